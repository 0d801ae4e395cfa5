//! Peers that send what no node sends, with good checksums.

use automerge::{
    ActorId, Automerge, ObjType, ROOT, ReadDoc, ScalarValue,
    transaction::{CommitOptions, Transactable},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

use super::{NOW, Node, device, meet};
use crate::twin::{
    document::{Document, DocumentId, DocumentKey, Section},
    edit::Edit,
    sync::{self, Message, Payload},
};

/// When the fuzzer's documents are written.
const FOUND_AT_MS: i64 = 1_800_000_000_000;
/// Mutated changes and documents that are delivered.
const MUTATIONS: u64 = 3_000;

fn key(epoch: u32) -> DocumentKey {
    DocumentKey {
        id: device(),
        epoch,
    }
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

/// Kind and content of a chunk.
fn open(bytes: &[u8]) -> (u8, Vec<u8>) {
    let length = 1 + bytes[9..]
        .iter()
        .position(|&byte| byte < 0x80)
        .expect("a length");
    (bytes[8], bytes[9 + length..].to_vec())
}

fn mutated(rng: &mut StdRng, bytes: &[u8]) -> Vec<u8> {
    let (kind, mut content) = open(bytes);
    for _ in 0..rng.random_range(1..=3) {
        if content.is_empty() {
            break;
        }
        let at = rng.random_range(0..content.len());
        match rng.random_range(0..4) {
            0 => content[at] = rng.random(),
            1 => content[at] ^= 1 << rng.random_range(0..8),
            2 => drop(content.remove(at)),
            _ => content.insert(at, rng.random()),
        }
    }
    chunk(kind, &content)
}

fn changes(payload: Payload) -> Message {
    Message::Changes {
        key: key(0),
        heads: Vec::new(),
        more: false,
        payload,
    }
}

/// Deliver messages; gives whether any of it was taken, and how many faults there were.
fn deliver(node: &mut Node, messages: Vec<Message>) -> (bool, Vec<String>) {
    let done = node.replica.exchange(messages);
    let faults = done
        .faults
        .iter()
        .map(|fault| format!("{fault:?}"))
        .collect();
    let is_taken = !done.staged.is_empty();
    node.keep(done.staged, NOW);
    (is_taken, faults)
}

/// A node with a device that has some history.
fn good() -> Node {
    let mut good = Node::new("good", 1);
    good.want("state", true, "app", NOW);
    good.want("brightness", 10, "app", NOW + 1);
    good.edit(
        Edit::new(device(), Section::Reported, "temp", 20.5),
        "good",
        NOW + 2,
    );
    good
}

#[test]
fn no_bytes_bring_a_replica_down_or_apart() {
    for seed in 0..MUTATIONS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut good = good();
        let mut other = Node::new("other", 2);
        meet(&mut good, &mut other, NOW);
        other.want("color", 3, "wall", NOW + 5);
        let sent = other.replica.document(&device()).expect("document");
        let heads = good.replica.document(&device()).expect("document").heads();
        let payload = match rng.random_range(0..3) {
            0 => Payload::Document(mutated(&mut rng, &sent.save_plain())),
            1 => Payload::Document(mutated(&mut rng, &sent.save())),
            _ => {
                let change = sent.changes_since(&heads).remove(0);
                Payload::Changes(vec![mutated(&mut rng, &change)])
            }
        };
        deliver(&mut good, vec![changes(payload)]);
        let mut body = sync::encode(&[good.replica.digest()]).concat();
        let at = rng.random_range(0..body.len());
        body[at] ^= 1 << rng.random_range(0..8);
        if let Ok(messages) = sync::decode(&body) {
            deliver(&mut good, messages);
        }
        // What good peers say is taken all the same.
        for _ in 0..3 {
            meet(&mut good, &mut other, NOW + 10);
        }
        assert_eq!(good.replica.root(), other.replica.root(), "seed {seed}");
        assert_eq!(
            good.wanted("color", NOW + 10),
            Some(3.into()),
            "seed {seed}"
        );
    }
}

/// A change by a stranger on what a node has, made with Automerge itself.
fn foreign(node: &Node, change: impl FnOnce(&mut Automerge)) -> (Vec<Vec<u8>>, Vec<u8>) {
    let document = node.replica.document(&device()).expect("document");
    let heads = document.heads();
    let mut automerge = document
        .automerge()
        .clone()
        .with_actor(ActorId::from([7; 16]));
    change(&mut automerge);
    let changes = automerge.get_changes(&heads);
    let changes = changes.iter().map(|change| change.raw_bytes().to_vec());
    (changes.collect(), automerge.save_nocompress())
}

/// What a stranger did is refused as a change and as a whole document, by name, and nothing is other than before.
fn check_refused(change: impl Fn(&mut Automerge)) {
    let mut node = good();
    let root = node.replica.root();
    let (parts, whole) = foreign(&node, &change);
    for payload in [Payload::Changes(parts), Payload::Document(whole)] {
        let (is_taken, faults) = deliver(&mut node, vec![changes(payload)]);
        assert!(!is_taken && node.replica.root() == root, "{faults:?}");
        assert!(
            faults.len() == 1 && faults[0].contains("device/lamp"),
            "{faults:?}"
        );
    }
}

fn transact(
    automerge: &mut Automerge,
    run: impl FnOnce(&mut automerge::transaction::Transaction<'_>),
) {
    let mut transaction = automerge.transaction();
    run(&mut transaction);
    transaction.commit_with(CommitOptions::default().with_time(1));
}

#[test]
fn what_no_node_does_is_refused() {
    let section = |tx: &automerge::transaction::Transaction<'_>| {
        tx.get(ROOT, "desired").expect("get").expect("section").1
    };
    check_refused(|automerge| {
        transact(automerge, |tx| tx.delete(ROOT, "desired").expect("delete"));
    });
    check_refused(|automerge| transact(automerge, |tx| tx.put(ROOT, "desired", 7).expect("put")));
    check_refused(|automerge| {
        transact(automerge, |tx| {
            drop(tx.put_object(ROOT, "desired", ObjType::Map).expect("put"));
        });
    });
    check_refused(|automerge| {
        transact(automerge, |tx| {
            let map = section(tx);
            drop(tx.put_object(map, "state", ObjType::List).expect("put"));
        });
    });
    check_refused(|automerge| {
        transact(automerge, |tx| {
            let map = section(tx);
            tx.put(map, "state", "x".repeat(1 << 20)).expect("put");
        });
    });
    check_refused(|automerge| {
        transact(automerge, |tx| {
            let map = section(tx);
            tx.put(map, "state", ScalarValue::counter(1)).expect("put");
        });
    });
    check_refused(|automerge| {
        transact(automerge, |tx| {
            let map = section(tx);
            for at in 0..50_000 {
                tx.put(&map, format!("{at}"), 1).expect("put");
            }
        });
    });
    check_refused(|automerge| {
        transact(automerge, |tx| {
            tx.put(ROOT, "past", ScalarValue::Bytes(vec![9; 40]))
                .expect("put");
        });
    });
    check_refused(|automerge| {
        // More attributes than all nodes of a home add.
        for at in 0..9 {
            transact(automerge, |tx| {
                let map = section(tx);
                for name in 0..1_000 {
                    tx.put(&map, format!("{at} {name}"), 1).expect("put");
                }
            });
        }
    });
}

#[test]
fn text_that_is_no_write_stands_beside_writes_and_counts_for_nothing() {
    let mut node = good();
    let (parts, _) = foreign(&node, |automerge| {
        transact(automerge, |tx| {
            let map = tx.get(ROOT, "desired").expect("get").expect("section").1;
            tx.put(map, "color", "no write").expect("put");
        });
    });
    let (is_taken, faults) = deliver(&mut node, vec![changes(Payload::Changes(parts))]);
    assert!(is_taken && faults.is_empty(), "{faults:?}");
    assert_eq!(node.wanted("color", NOW), None);
    assert_eq!(node.wanted("brightness", NOW), Some(10.into()));
}

#[test]
fn runs_that_a_few_bytes_tell_of_are_not_followed() {
    let mut node = good();
    let (parts, _) = foreign(&node, |automerge| {
        transact(automerge, |tx| {
            let map = tx.get(ROOT, "desired").expect("get").expect("section").1;
            tx.put(map, "color", 1).expect("put");
        });
    });
    let (kind, content) = open(&parts[0]);
    let mut refused = 0;
    // Wherever a run of one row begins, it becomes one of half a billion.
    for at in 0..content.len() {
        let mut content = content.clone();
        content.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x01]);
        let message = changes(Payload::Changes(vec![chunk(kind, &content)]));
        let (is_taken, faults) = deliver(&mut node, vec![message]);
        refused += usize::from(!is_taken && !faults.is_empty());
    }
    assert!(
        refused > content.len() / 2,
        "{refused} of {}",
        content.len()
    );
}

#[test]
fn epochs_that_nobody_can_have_come_to_are_refused_and_others_lose_nothing() {
    let mut node = good();
    for epoch in [u32::MAX, u32::MAX / 2 + 1, 200_000] {
        let whole = Document::genesis(&key(epoch)).save_plain();
        let message = Message::Changes {
            key: key(epoch),
            heads: Vec::new(),
            more: false,
            payload: Payload::Document(whole),
        };
        let (is_taken, faults) = deliver(&mut node, vec![message]);
        assert!(!is_taken && faults.len() == 1, "{faults:?}");
    }
    let message = Message::Changes {
        key: key(90_000),
        heads: Vec::new(),
        more: false,
        payload: Payload::Document(Document::genesis(&key(90_000)).save_plain()),
    };
    let (is_taken, _) = deliver(&mut node, vec![message]);
    assert!(is_taken);
    assert_eq!(node.wanted("brightness", NOW), Some(10.into()));
    node.want("brightness", 11, "app", NOW + 3);
    assert_eq!(node.wanted("brightness", NOW + 3), Some(11.into()));
}

#[test]
fn names_of_other_documents_absurd_ranges_and_endless_questions_are_borne() {
    let mut node = good();
    let whole = node
        .replica
        .document(&device())
        .expect("document")
        .save_plain();
    for name in ["device/other", "home", "", "device/", "x"] {
        let id: DocumentId = serde_json::from_value(name.into()).expect("name");
        let message = Message::Changes {
            key: DocumentKey { id, epoch: 0 },
            heads: Vec::new(),
            more: false,
            payload: Payload::Document(whole.clone()),
        };
        let (is_taken, faults) = deliver(&mut node, vec![message]);
        assert!(!is_taken && faults.len() == 1, "{name} {faults:?}");
    }
    for at in 0..300 {
        let id = DocumentId::device(&format!("d{at}"));
        node.edit(
            Edit::new(id, Section::Desired, "state", "x".repeat(50_000)),
            "app",
            NOW,
        );
    }
    let index = |after: &str, upto: &str| Message::Index {
        after: (!after.is_empty()).then(|| DocumentId::device(after)),
        upto: (!upto.is_empty()).then(|| DocumentId::device(upto)),
        entries: Vec::new(),
    };
    let mut messages = vec![index("z", "a"), index("a", "a"), index("", "")];
    messages.extend((0..8_000).map(|_| index("", "")));
    let heads = (0..2_000u16).map(|at| [at as u8; 32]).collect();
    messages.push(Message::Heads {
        entries: vec![(key(0), heads); 50],
    });
    let begun = std::time::Instant::now();
    let done = node.replica.exchange(messages);
    let bytes: usize = sync::encode(&done.replies).iter().map(Vec::len).sum();
    assert!(bytes < 20 << 20, "{bytes}");
    assert!(begun.elapsed().as_secs() < 20);
}

/// Found by the fuzzer: a change without operations, numbered as the first of all, on top of everything. Taken in, it would make
/// whatever an honest peer says next look as if it were numbered too high.
#[test]
fn a_change_that_is_numbered_before_what_it_stands_on_is_refused() {
    let content = hex::decode(concat!(
        "016d793a908557958831cd2bff7bb4ec796e93a649190cb4665b56d598ec8af4bc107afa3d6dad00fd4ff91f543e62f23f4c",
        "01010000000000000000000000000000ecd608010202030901023456420242aaaaaaaaaaaaaaaa4d434335524d30304e5139",
        "58513041484147335034415436227d00000000000023400200"
    ));
    let (mut good, mut other) = (Node::new("n1", 1), Node::new("n2", 2));
    good.want("state", 1, "app", FOUND_AT_MS);
    good.want("brightness", 2, "app", FOUND_AT_MS);
    other.want("color", 3, "app", FOUND_AT_MS);
    let change = chunk(1, &content.expect("hex"));
    let (is_taken, faults) = deliver(&mut good, vec![changes(Payload::Changes(vec![change]))]);
    assert!(!is_taken && faults.len() == 1, "{is_taken} {faults:?}");
    assert!(faults[0].contains("numbered too low"), "{faults:?}");
    meet(&mut good, &mut other, FOUND_AT_MS);
}
