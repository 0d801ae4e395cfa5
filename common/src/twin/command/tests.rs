use std::time::Duration;

use serde_json::{Value, json};

use super::{Ack, CommandStatus, commands_of, find, live_ttl, state_of, wanted_of};
use crate::twin::{
    document::{Document, DocumentId, Section},
    edit::Edit,
    replica::Replica,
    resolve::Policy,
    sync,
    write::DEVICE,
};

const NOW: i64 = 1_764_000_000_000;

fn lamp() -> DocumentId {
    DocumentId::device("lamp")
}

fn replica(seed: u8) -> Replica {
    Replica::new("node", true, [seed; 32])
}

fn edit(replica: &mut Replica, edit: Edit, by: &str, now_ms: i64) -> String {
    let mut staged = replica.edit(&[edit], by, now_ms).expect("edit");
    let id = staged.ids.remove(0);
    replica.commit(staged, now_ms);
    id
}

fn want(replica: &mut Replica, value: impl Into<Value>, by: &str, now_ms: i64) -> String {
    let wanted = Edit::new(lamp(), Section::Desired, "state", value);
    edit(replica, wanted, by, now_ms)
}

fn ack(replica: &mut Replica, text: String, now_ms: i64) {
    edit(
        replica,
        Edit::new(lamp(), Section::Ack, "state", text),
        "node",
        now_ms,
    );
}

fn document(replica: &Replica) -> &Document {
    replica.document(&lamp()).expect("document")
}

/// Status, reason and end of a command.
fn state(replica: &Replica, id: &str, now_ms: i64) -> (CommandStatus, Option<String>, Option<i64>) {
    let state = state_of(document(replica), id, now_ms).expect("state");
    let found = find(replica, id, now_ms).expect("found");
    assert_eq!(found, (lamp(), state.clone()));
    let all = commands_of(document(replica), 100, now_ms);
    assert!(all.contains(&state), "{state:?} is not among {all:?}");
    (state.status, state.reason, state.done_ms)
}

fn meet(a: &mut Replica, b: &mut Replica, now_ms: i64) {
    let mut bodies = sync::encode(&[a.digest()]);
    for turn in 0..20 {
        let to = if turn % 2 == 0 { &mut *b } else { &mut *a };
        let mut replies = Vec::new();
        for body in bodies {
            let exchanged = to.exchange(sync::decode(&body).expect("body"));
            to.commit(exchanged.staged, now_ms);
            replies.extend(sync::encode(&exchanged.replies));
        }
        bodies = replies;
    }
    assert_eq!(a.root(), b.root());
}

#[test]
fn a_command_goes_from_pending_to_its_end() {
    let mut node = replica(1);
    let id = want(&mut node, true, "app", NOW);
    assert_eq!(state(&node, &id, NOW), (CommandStatus::Pending, None, None));
    ack(&mut node, format!("{id}:delivered"), NOW + 1_000);
    assert_eq!(
        state(&node, &id, NOW + 1_000),
        (CommandStatus::Delivered, None, Some(NOW + 1_000))
    );
    ack(&mut node, format!("{id}:confirmed"), NOW + 3_000);
    let confirmed = (CommandStatus::Confirmed, None, Some(NOW + 3_000));
    assert_eq!(state(&node, &id, NOW + 9_000), confirmed);
    // It stays so when another one comes in its place.
    let next = want(&mut node, false, "wall", NOW + 10_000);
    assert_eq!(state(&node, &id, NOW + 10_000), confirmed);
    ack(
        &mut node,
        format!("{next}:refused:nobody listens: on lamp/set"),
        NOW + 11_000,
    );
    assert_eq!(
        state(&node, &next, NOW + 12_000),
        (
            CommandStatus::Refused,
            Some("nobody listens: on lamp/set".into()),
            Some(NOW + 11_000)
        )
    );
    let ids: Vec<String> = commands_of(document(&node), 1, NOW + 12_000)
        .into_iter()
        .map(|state| state.id)
        .collect();
    assert_eq!(ids, [next]);
    assert!(state_of(document(&node), "01KAV6M3V7XJ3T1S9Q4YB2N8ZD", NOW).is_none());
    assert!(find(&node, "01KAV6M3V7XJ3T1S9Q4YB2N8ZD", NOW).is_none());
    assert!(find(&node, "no id", NOW).is_none());
}

#[test]
fn one_that_another_replaced_before_it_was_taken_up_is_superseded() {
    let mut node = replica(1);
    let first = want(&mut node, true, "app", NOW);
    want(&mut node, false, "wall", NOW + 5);
    assert_eq!(
        state(&node, &first, NOW + 5),
        (
            CommandStatus::Superseded,
            Some("wall set false".into()),
            Some(NOW + 5)
        )
    );
}

#[test]
fn one_whose_time_passed_unacked_is_timed_out() {
    let mut node = replica(1);
    let wanted = Edit::new(lamp(), Section::Desired, "state", true).for_s(Some(10));
    let id = edit(&mut node, wanted, "app", NOW);
    assert_eq!(
        state(&node, &id, NOW + 10_000),
        (CommandStatus::Pending, None, None)
    );
    assert_eq!(
        state(&node, &id, NOW + 10_001),
        (CommandStatus::TimedOut, None, Some(NOW + 10_000))
    );
}

#[test]
fn the_author_of_one_that_lost_is_told_why_and_to_whom() {
    let (mut app, mut dial) = (replica(1), replica(2));
    let lost = want(&mut app, 23, "app", NOW);
    let won = want(&mut dial, 18, DEVICE, NOW + 60_000);
    meet(&mut app, &mut dial, NOW + 70_000);
    for node in [&app, &dial] {
        assert_eq!(
            state(node, &lost, NOW + 70_000),
            (
                CommandStatus::Refused,
                Some("changed_at_device: device set 18".into()),
                Some(NOW + 60_000)
            )
        );
        assert_eq!(
            state(node, &won, NOW + 70_000),
            (CommandStatus::Confirmed, None, Some(NOW + 60_000))
        );
    }
}

#[test]
fn who_wanted_the_same_gets_the_same() {
    let (mut app, mut wall) = (replica(1), replica(2));
    let first = want(&mut app, true, "app", NOW);
    let second = want(&mut wall, true, "wall", NOW + 1);
    meet(&mut app, &mut wall, NOW + 2);
    assert_eq!(
        state(&app, &first, NOW + 2),
        (CommandStatus::Pending, None, None)
    );
    ack(&mut app, format!("{second}:confirmed"), NOW + 4_000);
    let wanted = wanted_of(document(&app), NOW + 5_000);
    let wanted: Vec<_> = wanted
        .iter()
        .map(|wanted| (&wanted.id, wanted.status))
        .collect();
    assert_eq!(wanted, [(&second, CommandStatus::Confirmed)]);
    for id in [&first, &second] {
        assert_eq!(
            state(&app, id, NOW + 5_000),
            (CommandStatus::Confirmed, None, Some(NOW + 4_000))
        );
    }
}

#[test]
fn acks_are_read_as_they_are_written() {
    for text in ["id:delivered", "id:refused:why: because"] {
        assert_eq!(Ack::parse(text).expect(text).to_text(), text);
    }
    for text in ["", ":", "id", "id:", ":confirmed", "id:well"] {
        assert_eq!(Ack::parse(text), None, "{text}");
    }
}

#[test]
fn what_is_unsafe_lives_for_a_short_time_only() {
    let safe = Policy::Safe {
        order: vec![json!("LOCK"), json!("UNLOCK")],
        live: true,
    };
    let check = |policy: &Policy, value: Value, ttl_s: Option<u64>| {
        live_ttl(policy, &value, ttl_s.map(Duration::from_secs)).map_err(|error| error.to_string())
    };
    assert_eq!(check(&safe, json!("LOCK"), None), Ok(None));
    assert_eq!(check(&safe, json!("LOCK"), Some(3600)), Ok(Some(3600)));
    assert_eq!(check(&safe, Value::Null, None), Ok(None));
    assert_eq!(check(&safe, json!("UNLOCK"), None), Ok(Some(30)));
    assert_eq!(check(&safe, json!("UNLOCK"), Some(5)), Ok(Some(5)));
    assert_eq!(check(&safe, json!("OPEN"), None), Ok(Some(30)));
    let refused = check(&safe, json!("UNLOCK"), Some(31)).expect_err("too long");
    assert!(refused.contains("POST …/call"), "{refused}");
    // What is safe of heat or water may be wanted for later all the same.
    let heat = Policy::Safe {
        order: vec![json!("off"), json!("heat")],
        live: false,
    };
    assert_eq!(check(&heat, json!("heat"), Some(3600)), Ok(Some(3600)));
    assert_eq!(check(&Policy::Latest, json!("UNLOCK"), None), Ok(None));
    assert_eq!(
        live_ttl(&Policy::Max, &json!(1), Some(Duration::from_millis(1))),
        Ok(Some(1))
    );
}
