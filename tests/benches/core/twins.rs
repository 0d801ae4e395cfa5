//! Twins: changes made and merged, what replicas say to each other, and what documents take in memory.

use std::time::Instant;

use serde_json::{Value, json};
use tarn_common::twin::{
    document::{DocumentId, Section},
    edit::Edit,
    replica::{Bundle, BundleKind, Replica},
    sync,
};

const DEVICES: usize = 200;
const ATTRIBUTES: usize = 20;
const CHANGES: usize = 1_000;
const NOW_MS: i64 = 1_800_000_000_000;

/// All figures, as JSON.
pub(crate) fn twins() -> Value {
    let before_kib = resident_kib();
    let mut here = home(1);
    let document_kib = (resident_kib() - before_kib) / DEVICES as f64;
    let mut there = Replica::new("there", false, [2; 32]);
    let snapshots: Vec<Bundle> = here
        .documents()
        .map(|document| Bundle {
            key: document.key().clone(),
            kind: BundleKind::Snapshot,
            bytes: document.save().into(),
        })
        .collect();
    there.restore(&snapshots, NOW_MS);
    let (nothing_bytes, nothing_ms) = meet(&mut here, &mut there);
    let edit_us = 1e6 * change(&mut here, "a") / CHANGES as f64;
    change(&mut there, "b");
    let (reconnect_bytes, reconnect_ms) = meet(&mut here, &mut there);

    // One document with a long history: what a change costs then, and what taking it in costs.
    let mut one = Replica::new("one", true, [3; 32]);
    let mut two = Replica::new("two", true, [4; 32]);
    let begun = Instant::now();
    let mut bodies = Vec::new();
    for at in 0..CHANGES {
        let edit = Edit::new(device(0), Section::Desired, "brightness", at as u64);
        let staged = one.edit(&[edit], "app", NOW_MS).expect("edits");
        bodies.extend(sync::encode(&staged.news));
        one.commit(staged, NOW_MS);
    }
    let one_document_edit_us = begun.elapsed().as_secs_f64() * 1e6 / CHANGES as f64;
    let begun = Instant::now();
    for body in &bodies {
        let exchanged = two.exchange(sync::decode(body).expect("body"));
        two.commit(exchanged.staged, NOW_MS);
    }
    let merged_one_by_one_per_s = CHANGES as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(one.root(), two.root());
    json!({
        "document_kib": document_kib,
        "nothing_new_bytes": nothing_bytes,
        "nothing_new_ms": nothing_ms,
        "edit_us": edit_us,
        "edit_of_1000_changes_us": one_document_edit_us,
        "merged_one_by_one_per_s": merged_one_by_one_per_s,
        "reconnect_1000_each_bytes": reconnect_bytes,
        "reconnect_1000_each_ms": reconnect_ms,
    })
}

fn device(at: usize) -> DocumentId {
    DocumentId::device(&format!("0x00158d00012a{at:04x}"))
}

/// A home of devices with their attributes.
fn home(seed: u8) -> Replica {
    let mut home = Replica::new("here", true, [seed; 32]);
    for at in 0..DEVICES {
        let edits: Vec<Edit> = (0..ATTRIBUTES)
            .map(|attribute| {
                let section = match attribute % 4 {
                    0 => Section::Desired,
                    1 => Section::About,
                    _ => Section::Reported,
                };
                Edit::new(
                    device(at),
                    section,
                    &format!("attribute_{attribute}"),
                    attribute as u64,
                )
            })
            .collect();
        let staged = home.edit(&edits, "app", NOW_MS).expect("edits");
        home.commit(staged, NOW_MS);
    }
    home
}

/// Make changes all over the home; gives how many seconds it took.
fn change(replica: &mut Replica, attribute: &str) -> f64 {
    let begun = Instant::now();
    for at in 0..CHANGES {
        let edit = Edit::new(device(at % DEVICES), Section::Desired, attribute, at as u64);
        let staged = replica.edit(&[edit], "app", NOW_MS).expect("edits");
        replica.commit(staged, NOW_MS);
    }
    begun.elapsed().as_secs_f64()
}

/// Let two replicas talk until they have nothing to say: bytes of it, and milliseconds.
fn meet(a: &mut Replica, b: &mut Replica) -> (usize, f64) {
    let begun = Instant::now();
    let mut bytes = 0;
    let mut to_b = sync::encode(&[a.digest()]);
    while !to_b.is_empty() {
        bytes += to_b.iter().map(Vec::len).sum::<usize>();
        let to_a = take(b, to_b);
        bytes += to_a.iter().map(Vec::len).sum::<usize>();
        to_b = take(a, to_a);
    }
    assert_eq!(a.root(), b.root());
    (bytes, begun.elapsed().as_secs_f64() * 1000.0)
}

fn take(replica: &mut Replica, bodies: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut replies = Vec::new();
    for body in bodies {
        let exchanged = replica.exchange(sync::decode(&body).expect("body"));
        assert!(exchanged.faults.is_empty(), "{:?}", exchanged.faults);
        replica.commit(exchanged.staged, NOW_MS);
        replies.extend(sync::encode(&exchanged.replies));
    }
    replies
}

/// Memory of this process, in KiB.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    kib.and_then(|kib| kib.trim().parse().ok())
        .unwrap_or_default()
}
