use super::*;

fn change(parts: &Value) -> Value {
    let mut trigger = json!({"device": "hall/door", "metric": "open"});
    for (name, part) in parts.as_object().expect("parts") {
        trigger[name] = part.clone();
    }
    json!([{"change": trigger}])
}

#[test]
fn a_change_fires_each_time_and_only_then() {
    let mut home = Home::new(&[
        ("any", json!({"when": change(&json!({}))})),
        ("opens", json!({"when": change(&json!({"to": true}))})),
        (
            "from2",
            json!({"when": change(&json!({"from": 2, "to": 1}))}),
        ),
    ]);
    assert!(home.tell("hall/door/open", 0.0).is_empty());
    assert!(home.tell("hall/door/open", 0.0).is_empty());
    assert_eq!(ids(&home.tell("hall/door/open", 1.0)), ["any", "opens"]);
    assert_eq!(ids(&home.tell("hall/door/open", 2.0)), ["any"]);
    assert_eq!(
        ids(&home.tell("hall/door/open", 1.0)),
        ["any", "from2", "opens"]
    );
}

#[test]
fn a_moment_needs_its_condition() {
    let mut home = Home::new(&[(
        "night",
        json!({"when": change(&json!({"to": true})), "if": "mode == 'night'"}),
    )]);
    home.tell("hall/door/open", 0.0);
    assert!(home.tell("hall/door/open", 1.0).is_empty());
    home.on(&Input::Mode("night"));
    home.tell("hall/door/open", 0.0);
    assert_eq!(home.tell("hall/door/open", 1.0).len(), 1);
}

#[test]
fn a_moment_waits_for_its_for() {
    let parts = json!({"when": change(&json!({"to": true})), "for": "5m"});
    let mut home = Home::new(&[("left open", parts)]);
    home.tell("hall/door/open", 0.0);
    home.tell("hall/door/open", 1.0);
    home.pass(200_000);
    home.tell("hall/door/open", 0.0);
    home.tell("hall/door/open", 1.0);
    assert!(home.pass(299_999).is_empty());
    let fired = home.pass(1);
    assert_eq!(fired[0].why.trigger, "hall/door/open 1, for 5m");
    assert_eq!(fired[0].id, "left open@4");
}

#[test]
fn what_no_longer_holds_ends_the_wait() {
    let parts = json!({"when": change(&json!({"to": true})), "if": "value('hall/lamp/on') == 0", "for": "5m"});
    let mut home = Home::new(&[("dark", parts)]);
    home.tell("hall/lamp/on", 0.0);
    home.tell("hall/door/open", 0.0);
    home.tell("hall/door/open", 1.0);
    home.tell("hall/lamp/on", 1.0);
    home.tell("hall/lamp/on", 0.0);
    assert!(home.pass(600_000).is_empty());
    home.tell("hall/door/open", 0.0);
    home.tell("hall/door/open", 1.0);
    assert_eq!(home.pass(600_000).len(), 1);
}

#[test]
fn modes_begin_when_they_change() {
    let mut home = Home::new(&[
        ("night", json!({"when": [{"mode": {"to": "night"}}]})),
        (
            "settled",
            json!({"when": [{"mode": {"to": "night"}}], "for": "1m"}),
        ),
    ]);
    assert!(home.on(&Input::Mode("night")).is_empty());
    home.on(&Input::Mode("day"));
    assert_eq!(ids(&home.on(&Input::Mode("night"))), ["night"]);
    assert!(home.on(&Input::Mode("night")).is_empty());
    home.on(&Input::Mode("day"));
    assert!(home.pass(60_000).is_empty());
    home.on(&Input::Mode("night"));
    assert_eq!(ids(&home.pass(60_000)), ["settled"]);
}

#[test]
fn members_come_and_go() {
    let presence = |parts: Value| json!({"when": [{"presence": parts}]});
    let mut home = Home::new(&[
        ("ada home", presence(json!({"member": "ada", "is": "home"}))),
        ("first", presence(json!({"is": "home"}))),
        ("last", presence(json!({"is": "away"}))),
    ]);
    let tell = |home: &mut Home, member: &str, is_home: bool| {
        let fired = home.on(&Input::Presence {
            member,
            home: is_home,
        });
        fired
            .iter()
            .map(|firing| firing.rule.0.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(tell(&mut home, "ada", false), [""; 0]);
    assert_eq!(tell(&mut home, "bob", false), [""; 0]);
    assert_eq!(tell(&mut home, "ada", true), ["ada home", "first"]);
    assert_eq!(tell(&mut home, "ada", true), [""; 0]);
    assert_eq!(tell(&mut home, "bob", true), [""; 0]);
    assert_eq!(tell(&mut home, "ada", false), [""; 0]);
    assert_eq!(tell(&mut home, "bob", false), ["last"]);
    assert_eq!(tell(&mut home, "bob", true), ["first"]);
}

#[test]
fn alarms_go_through_their_states() {
    let alarm = |is: &str| json!({"when": [{"alarm": {"alarm": "leak", "is": is}}]});
    let mut home = Home::new(&[("raised", alarm("raised")), ("cleared", alarm("cleared"))]);
    let mut tell = |id: &str, state| {
        let fired = home.on(&Input::Alarm { id, state });
        fired
            .iter()
            .map(|firing| firing.rule.0.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(tell("leak", AlarmState::Cleared), [""; 0]);
    assert_eq!(tell("fire", AlarmState::Raised), [""; 0]);
    assert_eq!(tell("leak", AlarmState::Raised), ["raised"]);
    assert_eq!(tell("leak", AlarmState::Raised), [""; 0]);
    assert_eq!(tell("leak", AlarmState::Acknowledged), [""; 0]);
    assert_eq!(tell("leak", AlarmState::Cleared), ["cleared"]);
    assert_eq!(tell("leak", AlarmState::Raised), ["raised"]);
}

#[test]
fn a_cooldown_suppresses_and_counts() {
    let mut home = Home::new(&[(
        "bell",
        json!({"when": at_reading("hall/bell"), "cooldown": "30s"}),
    )]);
    assert_eq!(home.say("hall/bell", "ring").len(), 1);
    home.pass(29_999);
    assert!(home.say("hall/bell", "ring").is_empty());
    home.pass(1);
    assert_eq!(home.say("hall/bell", "ring").len(), 1);
    assert_eq!(home.engine.stats().suppressed, 1);
    assert_eq!(home.engine.stats().firings, 2);
}

#[test]
fn a_rule_that_fires_far_too_often_rests() {
    let mut home = Home::new(&[("storm", json!({"when": at_reading("hall/bell")}))]);
    let mut fired = 0;
    for _ in 0..200 {
        fired += home.tell("hall/bell", 1.0).len();
        home.pass(100);
    }
    assert_eq!(fired, 60);
    let notices = home.notices();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].0, NoticeKind::Damped);
    home.pass(570_000);
    assert!(home.tell("hall/bell", 1.0).is_empty());
    home.pass(30_000);
    assert_eq!(home.tell("hall/bell", 1.0).len(), 1);
    assert_eq!(home.engine.stats().damped, 1);
}

#[test]
fn sixty_times_a_minute_is_not_too_often() {
    let mut home = Home::new(&[("each second", json!({"when": [{"every": "1s"}]}))]);
    assert_eq!(home.pass(300_000).len(), 300);
    assert_eq!(home.engine.stats().damped, 0);
}

#[test]
fn one_record_with_many_readings_gives_each_firing_its_id() {
    let mut home = Home::new(&[(
        "any",
        json!({"when": [
            {"reading": {"device": "a", "metric": "x"}},
            {"reading": {"device": "a", "metric": "y"}},
        ]}),
    )]);
    let first = home.tell("a/x", 1.0);
    home.seq -= 1;
    let second = home.tell("a/y", 1.0);
    assert_eq!(
        (first[0].id.as_str(), second[0].id.as_str()),
        ("any@1", "any@1+1")
    );
}

#[test]
fn a_reading_that_is_a_level_and_a_moment_fires_once() {
    let mut home = Home::new(&[(
        "both",
        json!({
            "when": [
                {"reading": {"device": "a", "metric": "x"}},
                {"change": {"device": "a", "metric": "x"}},
            ],
            "if": "value('a/x') > 1",
        }),
    )]);
    home.tell("a/x", 0.0);
    assert_eq!(home.tell("a/x", 2.0).len(), 1);
    assert_eq!(home.tell("a/x", 3.0).len(), 1);
    assert!(home.tell("a/x", 3.0).is_empty());
}

#[test]
fn a_text_that_is_published_tells_values() {
    let publish = |payload: Value| json!({"publish": {"topic": "t", "payload": payload}});
    let all = [(
        "echo",
        json!({
            "when": at_reading("a/b"),
            "then": [publish(json!("{{ value('a/b') }} W")), publish(json!({"as": "{{ it is }}"}))],
        }),
    )];
    let mut home = Home::new(&all);
    let fired = home.tell("a/b", 8.5);
    let told: Vec<&Value> = fired[0]
        .actions
        .iter()
        .filter_map(|action| match action {
            crate::rule::Action::Publish { payload, .. } => Some(payload),
            _ => None,
        })
        .collect();
    assert_eq!(told, [&json!("8.5 W"), &json!({"as": "{{ it is }}"})]);
}
