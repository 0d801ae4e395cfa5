use super::*;

#[test]
fn a_channel_hears_what_is_severe_enough() {
    let mut house = House::new("severity = \"warning\"");
    house
        .raise(Severity::Info)
        .heard(&[])
        .acknowledge()
        .heard(&[]);
    house.raise(Severity::Warning).heard(&["raised warning"]);
    house.acknowledge().heard(&["acknowledged warning"]);
    house.raise(Severity::Critical).heard(&["raised critical"]);
    house.clear().heard(&["cleared critical"]);
    // What it never heard of does not end either.
    house.alarm.id = "other".into();
    house.acknowledge().clear().heard(&[]);
    notice(&mut house, "small talk", Severity::Info);
    notice(&mut house, "news", Severity::Warning);
    house.heard(&["news"]);
}

#[test]
fn a_raise_that_was_missed_in_between_is_told() {
    let mut house = House::new("");
    house.warn().heard(&["raised warning"]).pass(MINUTE);
    house.alarm.raised_ms = house.now_ms;
    house.reconcile().heard(&["raised warning"]);
    // Somebody took back that it was seen, in a merge.
    house.acknowledge().heard(&["acknowledged warning"]);
    house.warn().heard(&["raised warning"]);
}

#[test]
fn what_is_urgent_goes_first_and_the_rest_in_order() {
    let mut house = House::new("");
    notice(&mut house, "one", Severity::Warning);
    notice(&mut house, "two", Severity::Info);
    house.raise(Severity::Critical);
    notice(&mut house, "three", Severity::Info);
    house.heard(&["raised critical", "one", "two", "three"]);
}

#[test]
fn a_receiver_that_is_away_is_tried_once_for_all_that_waits() {
    let mut house = House::new("");
    for title in ["one", "two", "three"] {
        notice(&mut house, title, Severity::Info);
    }
    assert!(house.attempt(away()).is_some());
    assert_eq!(house.next(), Next::At(NOON + 1_000));
    house.pass(1_000).attempt(away());
    assert_eq!(house.next(), Next::At(NOON + 3_000));
    // A new one is tried at once, and when it arrives the others follow.
    notice(&mut house, "four", Severity::Info);
    house.heard(&["four", "one", "two", "three"]);
}

#[test]
fn one_that_the_receiver_does_not_take_keeps_nobody_waiting() {
    let mut house = House::new("");
    notice(&mut house, "odd", Severity::Info);
    notice(&mut house, "plain", Severity::Info);
    let not_now = Err(Failure::NotNow {
        words: "answered 500".into(),
        retry_after: None,
    });
    house.attempt(not_now);
    house
        .heard(&["plain"])
        .pass(999)
        .heard(&[])
        .pass(1)
        .heard(&["odd"]);
}

#[test]
fn news_of_one_alarm_keeps_its_order() {
    let mut house = House::new("");
    house.warn().attempt(away());
    house.acknowledge().clear();
    house.heard(&["raised warning", "acknowledged warning", "cleared warning"]);
}

#[test]
fn a_day_of_trying_is_enough() {
    let mut house = House::new("");
    notice(&mut house, "late", Severity::Info);
    let mut attempts = 0;
    while let Some(delivery) = house.attempt(away()) {
        attempts += 1;
        assert!(delivery.queued_ms + GIVE_UP_MS + 3_600_000 >= house.now_ms);
        if let Next::At(at_ms) = house.next() {
            house.now_ms = at_ms;
        }
    }
    assert!(attempts > ATTEMPTS_MIN, "{attempts}");
    let dead = house.state.dead.values().next().expect("dead");
    assert_eq!(dead.failure.as_deref(), Some("given up: no route"));
    assert_eq!(house.next(), Next::Idle);
}

#[test]
fn what_was_refused_is_dead_with_what_would_have_followed_and_may_be_tried_again() {
    let mut house = House::new("");
    house.warn().acknowledge().attempt(never());
    assert_eq!(house.next(), Next::Idle);
    let id = *house.state.dead.keys().next().expect("dead");
    house.clear().heard(&[]);
    let channels = house.channels.clone();
    assert!(house.state.retry(&channels, id));
    assert!(!house.state.retry(&channels, id));
    house
        .reconcile()
        .heard(&["raised warning", "cleared warning"]);
}

#[test]
fn a_raise_that_got_worse_meanwhile_takes_the_place_of_one_that_was_refused() {
    let mut house = House::new("");
    house.warn();
    let Next::Send(first) = house.next() else {
        panic!("nothing goes");
    };
    house.state.in_flight.insert(first.id);
    house.raise(Severity::Critical).acknowledge();
    let channel = house.channel();
    let attempt = Attempt {
        id: first.id,
        result: never(),
        now_ms: house.now_ms,
        chance: 0.5,
    };
    house.state.record(&channel, &TimeZone::UTC, &attempt);
    house.heard(&["raised critical", "acknowledged critical"]);
}

#[test]
fn too_much_waits_the_least_urgent_and_oldest_goes() {
    let mut house = House::new("");
    house.raise(Severity::Critical);
    for _ in 0..WAITING_MAX {
        notice(&mut house, "small talk", Severity::Info);
    }
    assert_eq!(house.state.waiting.len(), WAITING_MAX);
    for _ in 0..WAITING_MAX {
        notice(&mut house, "help", Severity::Critical);
    }
    let waiting = &house.state.waiting;
    assert_eq!(waiting.len(), WAITING_MAX);
    assert!(
        waiting
            .values()
            .all(|delivery| delivery.message.is_urgent())
    );
    // Small talk does not push out what matters, it is dropped itself.
    notice(&mut house, "small talk", Severity::Info);
    assert!(
        house
            .state
            .waiting
            .values()
            .all(|delivery| delivery.message.is_urgent())
    );
    let outcomes = house.state.outcomes.iter();
    let dropped = outcomes.filter(|(_, outcome)| *outcome == Outcome::Dropped);
    assert_eq!(dropped.count(), WAITING_MAX + 2);
}

#[test]
fn the_dead_are_bounded() {
    let mut house = House::new("");
    for _ in 0..=DEAD_MAX {
        notice(&mut house, "nobody", Severity::Info);
        house.attempt(never());
    }
    assert_eq!(house.state.dead.len(), DEAD_MAX);
    assert!(!house.state.dead.contains_key(&DeliveryId(0)));
}

#[test]
fn a_message_with_a_key_waits_once() {
    let mut house = House::new("");
    let notice = Notice {
        title: "dinner".into(),
        key: Some("firing-1".into()),
        ..Notice::default()
    };
    let channels = house.channels.clone();
    for chance in 0..3 {
        house.state.notify(&channels, &notice, house.now_ms, chance);
    }
    house.heard(&["dinner"]);
}

#[test]
fn what_is_for_a_channel_goes_to_it_only_and_strangers_are_given_up() {
    let mut house = House::new("severity = \"critical\"");
    let notice = Notice {
        title: "for you".into(),
        channels: vec!["a".into()],
        ..Notice::default()
    };
    let channels = house.channels.clone();
    house.state.notify(&channels, &notice, house.now_ms, 1);
    house.raise(Severity::Critical);
    house
        .state
        .without_strangers(&Channels::default(), house.now_ms);
    assert_eq!((house.state.waiting.len(), house.state.dead.len()), (0, 2));
    assert!(house.state.told.is_empty());
}
