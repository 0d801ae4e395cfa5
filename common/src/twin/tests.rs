/// What holds of what was written at once.
mod deciding;
/// Peers that send what no node sends.
mod hostile;
/// Many replicas, everything that goes wrong, and what must hold all the same.
mod simulation;

use serde_json::{Value, json};

use super::{
    document::{Document, DocumentId, EPOCH_CHANGES, Section},
    edit::Edit,
    replica::{Bundle, BundleKind, Replica, Staged},
    resolve::Why,
    sync,
};

const NOW: i64 = 1_764_000_000_000;

/// A replica with what it has stored.
struct Node {
    replica: Replica,
    stored: Vec<Bundle>,
}

impl Node {
    fn new(name: &str, seed: u8) -> Node {
        Node {
            replica: Replica::new(name, true, [seed; 32]),
            stored: Vec::new(),
        }
    }

    fn keep(&mut self, staged: Staged, now_ms: i64) {
        self.stored.extend(staged.bundles.iter().cloned());
        self.replica.commit(staged, now_ms);
    }

    fn edit(&mut self, edit: Edit, by: &str, now_ms: i64) {
        let staged = self.replica.edit(&[edit], by, now_ms).expect("edit");
        self.keep(staged, now_ms);
    }

    fn want(&mut self, attribute: &str, value: impl Into<Value>, by: &str, now_ms: i64) {
        self.edit(
            Edit::new(device(), Section::Desired, attribute, value),
            by,
            now_ms,
        );
    }

    fn wanted(&self, attribute: &str, now_ms: i64) -> Option<Value> {
        self.replica
            .document(&device())?
            .value(Section::Desired, attribute, now_ms)
    }

    fn take(&mut self, bodies: Vec<Vec<u8>>, now_ms: i64) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        for body in bodies {
            let exchanged = self.replica.exchange(sync::decode(&body).expect("body"));
            assert!(exchanged.faults.is_empty(), "{:?}", exchanged.faults);
            self.keep(exchanged.staged, now_ms);
            replies.extend(sync::encode(&exchanged.replies));
        }
        replies
    }
}

/// A document as a store keeps it when it is tidied.
fn snapshot(document: &Document) -> Bundle {
    Bundle {
        key: document.key().clone(),
        kind: BundleKind::Snapshot,
        bytes: document.save().into(),
    }
}

fn device() -> DocumentId {
    DocumentId::device("lamp")
}

/// Let two nodes talk until they have nothing to say; gives the bytes of it.
fn meet(a: &mut Node, b: &mut Node, now_ms: i64) -> usize {
    let mut to_b = sync::encode(&[a.replica.digest()]);
    let mut bytes = 0;
    for _ in 0..20 {
        bytes += to_b.iter().map(Vec::len).sum::<usize>();
        let to_a = b.take(to_b, now_ms);
        bytes += to_a.iter().map(Vec::len).sum::<usize>();
        to_b = a.take(to_a, now_ms);
        if to_b.is_empty() {
            assert_eq!(a.replica.root(), b.replica.root());
            return bytes;
        }
    }
    panic!("they never end");
}

#[test]
fn what_is_written_apart_comes_together() {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    a.want("brightness", 10, "app", NOW);
    b.want("state", true, "wall", NOW + 1);
    meet(&mut a, &mut b, NOW + 2);
    for node in [&a, &b] {
        assert_eq!(node.wanted("brightness", NOW + 2), Some(json!(10)));
        assert_eq!(node.wanted("state", NOW + 2), Some(json!(true)));
    }
    assert!(
        meet(&mut a, &mut b, NOW + 3) < 40,
        "nothing new costs one small message"
    );
    for at in 0..50 {
        a.want("brightness", at, "app", NOW + 10 + at);
        b.want("state", at % 2 == 0, "wall", NOW + 10 + at);
    }
    meet(&mut b, &mut a, NOW + 100);
    assert_eq!(b.wanted("brightness", NOW + 100), Some(json!(49)));
    let mut restored = Node::new("c", 3);
    assert!(restored.replica.restore(&a.stored, NOW).is_empty());
    assert_eq!(restored.replica.root(), a.replica.root());
}

#[test]
fn the_later_write_holds_however_busy_the_other_side_was() {
    let (mut app, mut dial) = (Node::new("a", 1), Node::new("b", 2));
    app.want("setpoint", 20, "app", NOW);
    meet(&mut app, &mut dial, NOW);
    for at in 0..30 {
        app.want("other", at, "app", NOW + at);
    }
    app.want("setpoint", 23, "app", NOW + 60_000);
    dial.want("setpoint", 18, super::write::DEVICE, NOW + 120_000);
    meet(&mut app, &mut dial, NOW + 180_000);
    for node in [&app, &dial] {
        let document = node.replica.document(&device()).expect("document");
        let resolved = document.resolve(Section::Desired, "setpoint", NOW + 180_000);
        assert_eq!(
            resolved.winner.as_ref().map(|write| &write.v),
            Some(&json!(18))
        );
        assert!(resolved.is_conflict());
        assert_eq!(
            (resolved.losers[0].0.by.as_str(), resolved.losers[0].1),
            ("app", Why::ChangedAtDevice)
        );
    }
}

#[test]
fn locked_stands_over_unlocked() {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    let policy = json!({"policy": "safe", "order": ["LOCK", "UNLOCK"]}).to_string();
    a.edit(
        Edit::new(device(), Section::Policy, "state", policy),
        "a",
        NOW,
    );
    meet(&mut a, &mut b, NOW);
    a.want("state", "LOCK", "wall", NOW + 1);
    b.want("state", "UNLOCK", "app", NOW + 2);
    meet(&mut a, &mut b, NOW + 3);
    for node in [&a, &b] {
        assert_eq!(node.wanted("state", NOW + 3), Some(json!("LOCK")));
        let document = node.replica.document(&device()).expect("document");
        let losers = document.resolve(Section::Desired, "state", NOW + 3).losers;
        assert_eq!((losers[0].0.by.as_str(), losers[0].1), ("app", Why::Policy));
    }
}

#[test]
fn a_grown_document_goes_on_in_a_new_epoch_and_late_writes_come_along() {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    a.want("state", true, "app", NOW);
    meet(&mut a, &mut b, NOW);
    b.want("brightness", 7, "wall", NOW + 1);
    for at in 0..EPOCH_CHANGES as i64 {
        a.want("state", at, "app", NOW + at);
    }
    assert_eq!(a.replica.grown(NOW), [device()]);
    let staged = a.replica.roll(&device()).expect("roll");
    assert_eq!(staged.replaced.len(), 1);
    a.keep(staged, NOW);
    meet(&mut a, &mut b, NOW + 10_000);
    for node in [&a, &b] {
        let document = node.replica.document(&device()).expect("document");
        assert_eq!(document.key().epoch, 1);
        assert!(document.changes_count() <= 5);
        assert_eq!(node.wanted("brightness", NOW + 10_000), Some(json!(7)));
        assert_eq!(
            node.wanted("state", NOW + 10_000),
            Some(json!(EPOCH_CHANGES - 1))
        );
        let mut restored = Node::new("c", 3);
        assert!(restored.replica.restore(&node.stored, NOW).is_empty());
        assert_eq!(restored.wanted("brightness", NOW + 10_000), Some(json!(7)));
    }
}

#[test]
fn an_actor_that_ran_twice_is_healed() {
    let mut a = Node::new("a", 1);
    a.want("state", 1, "app", NOW);
    // The same seed draws the same actor, as a copy of a machine's memory does.
    let (mut x, mut y) = (Node::new("x", 9), Node::new("x", 9));
    meet(&mut a, &mut x, NOW);
    meet(&mut a, &mut y, NOW);
    x.want("brightness", 10, "app", NOW + 5);
    y.want("brightness", 20, "app", NOW + 6);
    y.want("color", 3, "app", NOW + 7);
    meet(&mut a, &mut x, NOW + 8);
    for _ in 0..3 {
        meet(&mut x, &mut y, NOW + 9);
        meet(&mut a, &mut y, NOW + 9);
        meet(&mut a, &mut x, NOW + 9);
    }
    for node in [&a, &x, &y] {
        assert_eq!(node.wanted("brightness", NOW + 9), Some(json!(20)));
        assert_eq!(node.wanted("color", NOW + 9), Some(json!(3)));
    }
}

/// A node goes on in a new epoch.
fn roll(node: &mut Node, now_ms: i64) {
    let staged = node.replica.roll(&device()).expect("roll");
    node.keep(staged, now_ms);
}

#[test]
fn what_was_replaced_does_not_come_back_with_a_node_that_slept_through_an_epoch() {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    a.want("setpoint", 18, super::write::DEVICE, NOW);
    a.edit(Edit::new(device(), Section::Reported, "temp", 18), "a", NOW);
    meet(&mut a, &mut b, NOW);
    // What is done at the device holds against whoever does not know of it; this one does.
    a.want("setpoint", 23, "app", NOW + 1);
    a.edit(
        Edit::new(device(), Section::Reported, "temp", 23),
        "a",
        NOW + 1,
    );
    roll(&mut a, NOW + 2);
    a.want("setpoint", 24, "app", NOW + 3);
    b.want("color", 3, "wall", NOW + 4);
    meet(&mut a, &mut b, NOW + 5);
    for node in [&a, &b] {
        let document = node.replica.document(&device()).expect("document");
        let resolved = document.resolve(Section::Desired, "setpoint", NOW + 5);
        assert_eq!(resolved.winner.map(|write| write.v), Some(json!(24)));
        assert_eq!(resolved.losers, []);
        assert_eq!(node.wanted("color", NOW + 5), Some(json!(3)));
        let temp = document.scalar(Section::Reported, "temp");
        assert_eq!(temp, Some(automerge::ScalarValue::Int(23)));
    }
}

#[test]
fn an_epoch_that_two_nodes_begin_apart_brings_nothing_back() {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    let policy = json!({"policy": "safe", "order": ["LOCK", "UNLOCK"]}).to_string();
    a.edit(
        Edit::new(device(), Section::Policy, "state", policy),
        "a",
        NOW,
    );
    a.want("state", "LOCK", "wall", NOW);
    meet(&mut a, &mut b, NOW);
    a.want("state", "UNLOCK", "app", NOW + 1);
    b.want("color", 1, "app", NOW + 1);
    roll(&mut a, NOW + 2);
    roll(&mut b, NOW + 2);
    a.want("color", 2, "app", NOW + 3);
    meet(&mut a, &mut b, NOW + 4);
    roll(&mut b, NOW + 5);
    meet(&mut a, &mut b, NOW + 5);
    for node in [&a, &b] {
        let document = node.replica.document(&device()).expect("document");
        let state = document.resolve(Section::Desired, "state", NOW + 5);
        assert_eq!(state.winner.map(|write| write.v), Some(json!("UNLOCK")));
        assert_eq!(state.losers, []);
        // Neither author knew of the other.
        assert_eq!(document.writes(Section::Desired, "color").len(), 2);
    }
}

#[test]
fn what_has_expired_or_lies_ahead_takes_nothing_along_into_an_epoch() {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    a.want("x", 0, "app", NOW);
    meet(&mut a, &mut b, NOW);
    a.want("setpoint", 30, "app", NOW + 400 * 86_400_000);
    b.want("setpoint", 20, "app", NOW + 1);
    a.edit(
        Edit::new(device(), Section::Desired, "state", true).for_s(Some(60)),
        super::write::DEVICE,
        NOW,
    );
    b.want("state", false, "app", NOW);
    meet(&mut a, &mut b, NOW + 2);
    roll(&mut a, NOW + 3);
    meet(&mut a, &mut b, NOW + 4);
    for node in [&a, &b] {
        assert_eq!(node.wanted("setpoint", NOW + 5), Some(json!(20)));
        assert_eq!(node.wanted("state", NOW + 5), Some(json!(true)));
        assert_eq!(node.wanted("state", NOW + 61_000), Some(json!(false)));
    }
}

#[test]
fn what_follows_from_two_stored_epochs_is_stored_with_the_next_change() {
    let mut a = Node::new("a", 1);
    a.want("state", 1, "app", NOW);
    // The next epoch is stored, and before that is known the older one is written to.
    let staged = a.replica.roll(&device()).expect("roll");
    a.stored.extend(staged.bundles.iter().cloned());
    a.replica.abandon(&staged);
    a.want("brightness", 2, "app", NOW + 1);
    for (seed, attribute) in [(2, "color"), (3, "effect")] {
        let mut again = Node::new("a", seed);
        assert!(again.replica.restore(&a.stored, NOW + 2).is_empty());
        again.stored = a.stored.clone();
        again.want(attribute, 3, "app", NOW + 3);
        // Without the older epoch, as after it was tidied away.
        let newer = |bundle: &Bundle| bundle.key.epoch == 1;
        let stored: Vec<Bundle> = again
            .stored
            .iter()
            .filter(|one| newer(one))
            .cloned()
            .collect();
        let mut newest = Node::new("a", 9);
        assert!(newest.replica.restore(&stored, NOW + 4).is_empty());
        assert_eq!(newest.replica.root(), again.replica.root());
        assert_eq!(newest.wanted("brightness", NOW + 4), Some(json!(2)));
        assert_eq!(newest.wanted(attribute, NOW + 4), Some(json!(3)));
        a = again;
    }
}
