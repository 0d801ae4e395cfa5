use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tarn_common::{
    clock::{Clock, SystemClock},
    twin::{
        command::{CommandStatus, state_of},
        document::{DocumentId, Section},
        edit::Edit,
        sync,
    },
};
use tarn_tests::{device::Device, tools};

use super::{
    Peer, announce, command, conflicts, gadget, told, twin, wait_reported, wait_status, wait_twin,
    want,
};
use crate::devices::House;

/// Waits until the box has acted upon all that it has heard: a command that comes after is carried out.
fn settle(house: &House, id: &str) {
    let done = want(house, id, "?wait=10s", &[], &json!({"plug": true}));
    assert_eq!(done.json("plug")["commands"][0]["status"], "confirmed");
}

/// What the peer knows of a command.
fn peers_state(peer: &Peer, device: &str, id: &str) -> (CommandStatus, Option<String>) {
    let document = peer
        .replica
        .document(&DocumentId::device(device))
        .expect("a document");
    let state = state_of(document, id, SystemClock.now_ms()).expect("a command");
    (state.status, state.reason)
}

fn a_dial(name: &'static str) -> (House, String, Device) {
    let house = House::new(name);
    let id = announce(&house);
    let device = gadget(&house);
    house.publish(&[("g/dial", b"20")]);
    wait_reported(&house, &id, "dial", &json!(20));
    (house, id, device)
}

fn turn(house: &House, id: &str) {
    house.publish(&[("g/dial", b"18")]);
    wait_twin(house, id, "18 should be wanted by the device", |twin| {
        twin["desired"]["dial"]["value"] == 18 && twin["desired"]["dial"]["by"] == "device"
    });
}

/// The dial's 18 stands, and the app's author is told why.
fn stands(house: &House, id: &str, device: &Device, peer: &mut Peer, wish: &str) {
    peer.meet(house);
    settle(house, id);
    let now = twin(house, id);
    let wanted = &now["desired"]["dial"];
    assert_eq!(
        (&wanted["value"], &wanted["by"]),
        (&json!(18), &json!("device")),
        "{now:#}"
    );
    assert_eq!(now["reported"]["dial"], 18, "{now:#}");
    assert_eq!(told(device, "g/dial/set"), [""; 0]);
    let answer = command(house, wish);
    let reason = answer["reason"].as_str().unwrap_or_default();
    assert_eq!(answer["status"], "refused", "{answer:#}");
    assert!(reason.starts_with("changed_at_device"), "{answer:#}");
    let (status, reason) = peers_state(peer, id, wish);
    assert_eq!(status, CommandStatus::Refused);
    assert!(reason.is_some_and(|reason| reason.starts_with("changed_at_device")));
    let conflicts = conflicts(house, id);
    let [conflict] = &conflicts[..] else {
        panic!("{conflicts:#?}")
    };
    let winner = (
        &conflict["metric"],
        &conflict["winner"]["value"],
        &conflict["winner"]["by"],
        &conflict["winner"]["why"],
    );
    assert_eq!(
        winner,
        (&json!("dial"), &json!(18), &json!("device"), &Value::Null),
        "{conflict:#}"
    );
    let losers = conflict["losers"].as_array().expect("a list");
    let [loser] = &losers[..] else {
        panic!("{conflict:#}")
    };
    assert_eq!(
        (&loser["value"], &loser["by"], &loser["why"]),
        (&json!(23), &json!("app"), &json!("changed_at_device")),
        "{conflict:#}"
    );
    assert_eq!(now["conflicts"], 1, "{now:#}");
}

/// The app sets 23 °C while it does not reach the box; somebody turns the dial to 18 °C later; then they meet.
#[test]
fn a_dial_that_was_turned_later_stands() {
    let (house, id, device) = a_dial("twin-dial-later");
    let mut peer = Peer::new("peer-later");
    peer.meet(&house);
    let wish = peer.want(&id, "dial", &json!(23), "app");
    turn(&house, &id);
    stands(&house, &id, &device, &mut peer, &wish);
    house.edge.assert_quiet(&["journal"]);
}

/// The same with a dial that was turned before, which the app did not know. Once it knows, its word counts.
#[test]
fn a_dial_that_was_turned_before_unknown_to_the_app_stands() {
    let (house, id, device) = a_dial("twin-dial-before");
    let mut peer = Peer::new("peer-before");
    peer.meet(&house);
    turn(&house, &id);
    let wish = peer.want(&id, "dial", &json!(23), "app");
    stands(&house, &id, &device, &mut peer, &wish);
    let again = peer.want(&id, "dial", &json!(24), "app");
    peer.meet(&house);
    wait_status(&house, &again, "confirmed");
    assert_eq!(told(&device, "g/dial/set"), ["24"]);
    assert!(conflicts(&house, &id).is_empty());
    house.edge.assert_quiet(&["journal"]);
}

/// Who says to lock prevails, whoever it is and whenever it was.
#[test]
fn a_lock_is_locked_where_they_disagree() {
    for (name, at_box, at_peer) in [
        ("twin-lock", "lock", "unlock"),
        ("twin-unlocked", "unlock", "lock"),
    ] {
        let house = House::new(name);
        let id = announce(&house);
        let device = gadget(&house);
        let mut peer = Peer::new("peer-lock");
        peer.meet(&house);
        let done = want(
            &house,
            &id,
            "?wait=10s",
            &[("tarn-author", "porter")],
            &json!({"door": at_box}),
        );
        assert_eq!(done.json("door")["commands"][0]["status"], "confirmed");
        let wish = peer.want_at(
            &id,
            "door",
            &json!(at_peer),
            "visitor",
            SystemClock.now_ms(),
            Some(30),
        );
        peer.meet(&house);
        settle(&house, &id);
        let wanted = twin(&house, &id)["desired"]["door"].clone();
        assert_eq!(wanted["value"], "lock", "{wanted:#}");
        wait_reported(&house, &id, "door", &json!("locked"));
        let published = told(&device, "g/door/set");
        match at_box {
            "lock" => assert_eq!(published, ["LOCK"]),
            _ => assert_eq!(published, ["UNLOCK", "LOCK"]),
        }
        let conflicts = conflicts(&house, &id);
        let [conflict] = &conflicts[..] else {
            panic!("{conflicts:#?}")
        };
        let (locks, unlocks) = if at_box == "lock" {
            ("porter", "visitor")
        } else {
            ("visitor", "porter")
        };
        assert_eq!(
            (&conflict["winner"]["value"], &conflict["winner"]["by"]),
            (&json!("lock"), &json!(locks)),
            "{conflict:#}"
        );
        let loser = &conflict["losers"][0];
        assert_eq!(
            (&loser["value"], &loser["by"], &loser["why"]),
            (&json!("unlock"), &json!(unlocks), &json!("policy")),
            "{conflict:#}"
        );
        if at_peer == "unlock" {
            assert_eq!(command(&house, &wish)["status"], "refused");
        }
        house.edge.assert_quiet(&["journal"]);
    }
}

/// What comes too late is not done, whether its author said so or it would be unsafe.
#[test]
fn what_comes_too_late_is_not_done() {
    let house = House::new("twin-late");
    let id = announce(&house);
    let device = gadget(&house);
    let mut peer = Peer::new("peer-late");
    // It has never met the box, so that its clock stands where we say.
    let then_ms = SystemClock.now_ms() - 120_000;
    let dial = peer.want_at(&id, "dial", &json!(25), "app", then_ms, Some(10));
    let door = peer.want_at(&id, "door", &json!("unlock"), "app", then_ms, None);
    let plug = peer.want_at(&id, "plug", &json!(false), "app", then_ms, Some(3600));
    peer.meet(&house);
    wait_status(&house, &plug, "confirmed");
    for late in [&dial, &door] {
        wait_status(&house, late, "timed_out");
    }
    assert_eq!(told(&device, "g/dial/set"), [""; 0]);
    assert_eq!(told(&device, "g/door/set"), [""; 0]);
    assert_eq!(told(&device, "g/plug/set"), ["OFF"]);
    house.edge.assert_quiet(&["journal"]);
}

/// Bytes that were changed on the way do not bring the box down, and whoever sent them is named.
#[test]
fn damaged_bytes_are_answered_and_their_sender_is_named() {
    let house = House::new("twin-hostile");
    let id = announce(&house);
    let mut peer = Peer::new("mallory");
    peer.meet(&house);
    let edit = Edit::new(DocumentId::device(&id), Section::Desired, "dial", 21);
    let staged = peer
        .replica
        .edit(&[edit], "app", SystemClock.now_ms())
        .expect("edits");
    let bodies = sync::encode(&staged.news);
    let seed = tools::seed();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let digest = sync::encode(&[peer.replica.digest()]);
    for round in 0..300 {
        let bodies = if round % 10 == 0 { &digest } else { &bodies };
        let mut body = bodies[0].clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..body.len());
            body[at] ^= 1 << rng.random_range(0..8);
        }
        if round % 7 == 0 {
            body.truncate(rng.random_range(0..body.len()));
        }
        let answer = peer.send(&house, &body);
        assert!(
            answer.status < 500,
            "{round}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let large = peer.send(&house, &vec![1; 2 << 20]);
    assert_eq!(large.status, 413, "{}", large.text());
    assert_eq!(twin(&house, &id)["name"], "Gadget");
    let warnings = house.edge.unexpected_warnings(&["journal"]);
    assert!(
        warnings.iter().any(|line| line.contains("mallory")),
        "{warnings:#?}"
    );
    let strange: Vec<&String> = warnings
        .iter()
        .filter(|line| !line.contains("mallory") && !line.contains("panicked at"))
        .collect();
    assert!(strange.is_empty(), "{strange:#?}");
    // Whoever comes with good bytes is understood.
    let mut good = Peer::new("good");
    good.meet(&house);
    assert_eq!(
        good.replica
            .document(&DocumentId::device(&id))
            .map(|document| document.key().id.clone()),
        Some(DocumentId::device(&id))
    );
}
