use super::*;

fn leak() -> Alarm {
    Alarm {
        home: "lakeside".into(),
        id: "leak".into(),
        state: AlarmState::Raised,
        severity: Severity::Warning,
        class: Some(Class::Water),
        message: "Water in the cellar".into(),
        raised_ms: 0,
        changed_ms: 60_000,
        by: "rule:leak".into(),
    }
}

#[track_caller]
fn check(state: AlarmState, flapping: Option<Flapping>, title: &str, end: &str) {
    let alarm = Alarm { state, ..leak() };
    let message = Message::of_alarm("phone", &alarm, flapping);
    let zone = TimeZone::get("Europe/Berlin").expect("zone");
    let begin = "Water in the cellar\n\nAlarm leak. ";
    assert_eq!(message.title(), title);
    assert_eq!(message.body(&zone), format!("{begin}{end}"));
}

#[test]
fn it_has_words_for_people() {
    let raised = "Raised at 1970-01-01 01:01 by rule:leak.";
    check(AlarmState::Raised, None, "Warning in lakeside", raised);
    let seen = "Acknowledged at 1970-01-01 01:01 by rule:leak, raised at 1970-01-01 01:00.";
    check(
        AlarmState::Acknowledged,
        None,
        "Acknowledged in lakeside",
        seen,
    );
    let over = "Cleared at 1970-01-01 01:01 by rule:leak, raised at 1970-01-01 01:00.";
    check(AlarmState::Cleared, None, "All clear in lakeside", over);
    let began = format!(
        "{raised} It comes and goes; what follows is told when it has stood still for a while."
    );
    let flapping = Some(Flapping::Began);
    check(
        AlarmState::Raised,
        flapping,
        "Comes and goes in lakeside",
        &began,
    );
    let rests = format!("{over} It came and went, and has stood still for a while now.");
    let flapping = Some(Flapping::Ended);
    check(
        AlarmState::Cleared,
        flapping,
        "All clear in lakeside",
        &rests,
    );
}

#[test]
fn the_same_news_has_the_same_id_and_other_news_another() {
    let id = |channel: &str, alarm: &Alarm| Message::of_alarm(channel, alarm, None).id;
    let first = id("phone", &leak());
    assert_eq!(first, id("phone", &leak()));
    assert_eq!(first.len(), "msg_".len() + 32);
    let (worse, later) = (Severity::Critical, 60_001);
    let others = [
        id("mail", &leak()),
        id(
            "phone",
            &Alarm {
                severity: worse,
                ..leak()
            },
        ),
        id(
            "phone",
            &Alarm {
                changed_ms: later,
                ..leak()
            },
        ),
        id(
            "phone",
            &Alarm {
                state: AlarmState::Cleared,
                ..leak()
            },
        ),
        Message::of_alarm("phone", &leak(), Some(Flapping::Began)).id,
    ];
    assert!(!others.contains(&first), "{others:?}");
}

#[test]
fn long_and_odd_texts_are_made_fit() {
    let notice = Notice {
        title: "a\r\nBcc: everybody".into(),
        message: "é".repeat(5_000),
        ..Notice::default()
    };
    let message = Message::of_notice("phone", &notice, 0, 1);
    assert_eq!(message.title(), "a  Bcc: everybody");
    let body = message.body(&TimeZone::UTC);
    assert_eq!(body.chars().count(), TEXT_CHARS_MAX + 1);
}

#[test]
fn it_is_read_as_it_was_written_and_a_class_that_nobody_knows_is_another() {
    let message = Message::of_alarm("phone", &leak(), Some(Flapping::Ended));
    let mut json = serde_json::to_value(&message).expect("JSON");
    let read: Message = serde_json::from_value(json.clone()).expect("reads");
    assert_eq!(read, message);
    json["alarm"]["class"] = "meteor".into();
    let read: Message = serde_json::from_value(json).expect("reads");
    assert_eq!(
        read.alarm().and_then(|alarm| alarm.class),
        Some(Class::Other)
    );
}
