//! All that a peer may say about twins: whatever it is, a replica ends with it, goes on, and comes to agree with peers that mean
//! well.
//!
//! An input is a row of parts: a byte that says what it is, its length as two bytes (the lower first), and its bytes. A part is the
//! content of a change or of a whole document, which gets the head and the checksum that Automerge wants, or a body as peers send it.
#![no_main]

use std::{hint::black_box, sync::Once};

use serde_json::json;
use sha2::{Digest, Sha256};
use tarn_common::twin::{
    document::{DocumentId, DocumentKey, Section},
    edit::Edit,
    history::history,
    replica::{Bundle, Replica, Staged},
    sync::{self, Message, Payload},
};
use tarn_fuzz::{about, saw};

/// Parts of one input at most.
const PARTS_MAX: usize = 16;
/// Milliseconds since 1970 of everything.
const NOW_MS: i64 = 1_800_000_000_000;
/// Turns in which two replicas become equal.
const TURNS_MAX: usize = 40;

struct Node {
    replica: Replica,
    stored: Vec<Bundle>,
}

impl Node {
    fn new(seed: u8) -> Node {
        Node {
            replica: Replica::new(&format!("n{seed}"), true, [seed; 32]),
            stored: Vec::new(),
        }
    }

    fn keep(&mut self, staged: Staged) {
        self.stored.extend(staged.bundles.iter().cloned());
        self.replica.commit(staged, NOW_MS);
    }

    fn want(&mut self, attribute: &str, value: i64) {
        let edit = Edit::new(lamp(), Section::Desired, attribute, value);
        let staged = self.replica.edit(&[edit], "app", NOW_MS);
        // A document may have grown to its bounds.
        if let Ok(staged) = staged {
            self.keep(staged);
        }
    }

    /// Take what came; gives the answers.
    fn take(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let done = self.replica.exchange(messages);
        for fault in &done.faults {
            saw(std::mem::discriminant(&fault.error));
            saw(fault.error.to_string());
        }
        saw((
            "taken",
            about(done.staged.bundles.len()),
            about(done.replies.len()),
        ));
        self.keep(done.staged);
        done.replies
    }
}

fn lamp() -> DocumentId {
    DocumentId::device("lamp")
}

/// A chunk of Automerge's with some content, and the checksum that it needs.
fn chunk(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut typed = vec![kind];
    let mut length = content.len();
    while length >= 0x80 {
        typed.push(length as u8 | 0x80);
        length >>= 7;
    }
    typed.push(length as u8);
    typed.extend(content);
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83];
    bytes.extend(&Sha256::digest(&typed)[..4]);
    bytes.extend(typed);
    bytes
}

/// What a part of an input says.
fn messages(kind: u8, content: &[u8]) -> Vec<Message> {
    let payload = match kind & 3 {
        0 => Payload::Changes(vec![chunk(1, content)]),
        1 => Payload::Document(chunk(0, content)),
        2 => Payload::Rest(vec![chunk(1, content)]),
        _ => return sync::decode(content).unwrap_or_default(),
    };
    vec![Message::Changes {
        key: DocumentKey {
            id: lamp(),
            epoch: u32::from(kind >> 6),
        },
        heads: Vec::new(),
        more: kind & 4 != 0,
        payload,
    }]
}

fn meet(a: &mut Node, b: &mut Node) {
    let mut to_b = vec![a.replica.digest()];
    for _ in 0..TURNS_MAX {
        let to_a = b.take(to_b);
        to_b = a.take(to_a);
        if to_b.is_empty() {
            break;
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A replica catches what Automerge panics on and names the document; the fuzzer's own hook would end the process there. What
    // is not caught ends it all the same, after its return.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let file = panic.location().map_or("", |location| location.file());
            if file.contains("fuzz_targets") || file.contains("twin") {
                eprintln!("{panic}");
            }
        }));
    });
    let (mut good, mut other) = (Node::new(1), Node::new(2));
    good.want("state", 1);
    good.want("brightness", 2);
    meet(&mut good, &mut other);
    other.want("color", 3);

    let mut rest = data;
    for _ in 0..PARTS_MAX {
        let [kind, low, high, after @ ..] = rest else {
            break;
        };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (content, after) = after.split_at(length);
        rest = after;
        good.take(messages(*kind, content));
    }

    for _ in 0..3 {
        meet(&mut good, &mut other);
        meet(&mut other, &mut good);
    }
    assert_eq!(
        good.replica.root(),
        other.replica.root(),
        "they come to agree"
    );
    let mut again = Node::new(3);
    let faults = again.replica.restore(&good.stored, NOW_MS);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(
        again.replica.root(),
        good.replica.root(),
        "what is stored gives the same again"
    );
    for document in good.replica.documents() {
        for &section in document.key().id.sections() {
            for attribute in document.attributes(section) {
                black_box(document.value(section, &attribute, NOW_MS));
                black_box(document.scalar(section, &attribute));
            }
        }
        black_box(history(document, 100));
    }
    let lamp = good.replica.document(&lamp());
    let color = lamp.map(|lamp| lamp.writes(Section::Desired, "color"));
    saw((
        "color",
        color.map(|writes| writes.iter().any(|write| write.v == json!(3))),
    ));
});
