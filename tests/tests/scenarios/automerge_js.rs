use std::{fs, process::Command};

use serde_json::{Value, json};
use tarn_common::twin::{
    document::{Document, DocumentId, DocumentKey, Section},
    edit::Edit,
    replica::Replica,
    stamp::Stamp,
    sync::{Message, Payload},
    write::Write,
};
use tarn_tests::tools;

const NOW_MS: i64 = 1_800_000_000_000;

/// A home's device with all sections, and two writes of one attribute beside each other.
fn replica() -> (Replica, DocumentId) {
    let id = DocumentId::device("lamp");
    let [mut here, mut there] =
        [1, 2].map(|seed| Replica::new(&format!("n{seed}"), true, [seed; 32]));
    let edit =
        |section, attribute: &str, value: Value| Edit::new(id.clone(), section, attribute, value);
    let edits = [
        edit(Section::Meta, "name", json!("Lämpchen 💡 \"im\" Flur\n")),
        edit(Section::About, "model", json!("Ünïcode 7")),
        edit(Section::Reported, "temp", json!(20.5)),
        edit(
            Section::Reported,
            "count",
            json!(-9_007_199_254_740_991_i64),
        ),
        edit(Section::Reported, "state", json!(true)),
        edit(Section::Ack, "state", json!("01H:done")),
        edit(Section::Policy, "state", json!({"policy": "max"})),
        edit(
            Section::Desired,
            "state",
            json!({"on": true, "level": 0.25}),
        ),
        edit(Section::Desired, "color", json!("红")),
    ];
    keep(&mut here, |here| {
        here.edit(&edits, "app", NOW_MS).expect("edit")
    });
    let whole = here.document(&id).expect("document").save();
    let key = DocumentKey {
        id: id.clone(),
        epoch: 0,
    };
    let bundle = tarn_common::twin::replica::Bundle {
        key: key.clone(),
        kind: tarn_common::twin::replica::BundleKind::Snapshot,
        bytes: whole.into(),
    };
    assert!(there.restore(&[bundle], NOW_MS).is_empty());
    for (replica, value) in [(&mut here, 1), (&mut there, 2)] {
        let edit = edit(Section::Desired, "level", json!(value));
        keep(replica, |replica| {
            replica.edit(&[edit], "app", NOW_MS + value).expect("edit")
        });
    }
    let theirs = there.document(&id).expect("document");
    let changes =
        Payload::Changes(theirs.changes_since(&here.document(&id).expect("document").heads()));
    let message = Message::Changes {
        key,
        heads: theirs.heads().iter().map(|head| head.0).collect(),
        more: false,
        payload: changes,
    };
    let exchanged = here.exchange(vec![message]);
    assert!(exchanged.faults.is_empty(), "{:?}", exchanged.faults);
    here.commit(exchanged.staged, NOW_MS + 10);
    (here, id)
}

fn keep(
    replica: &mut Replica,
    stage: impl FnOnce(&mut Replica) -> tarn_common::twin::replica::Staged,
) {
    let staged = stage(replica);
    replica.commit(staged, NOW_MS);
}

#[test]
fn a_twin_that_was_saved_is_a_document_of_any_automerge() {
    let (replica, id) = replica();
    let document = replica.document(&id).expect("document");
    let folder = tools::folder("automerge");
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    fs::write(&from, document.save()).expect("write");
    let write = Write {
        v: json!("blau 🔵"),
        by: "a browser".into(),
        at: Stamp {
            ms: NOW_MS + 20,
            count: 0,
        },
        ttl_s: None,
        id: "01HZZZZZZZZZZZZZZZZZZZZZZZ".into(),
        late: false,
    };
    let output = Command::new("node")
        .arg(tools::source("node/automerge_twin.mjs"))
        .args([tools::node_modules(), from, to.clone()])
        .args(["desired", "color", &write.to_text()])
        .output()
        .expect("node");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let mut values = json!({"id": "device/lamp", "v": 1});
    let mut conflicts = json!({});
    for &section in id.sections() {
        values[section.name()] = json!({});
        for attribute in document.attributes(section) {
            let scalar = document.scalar(section, &attribute).expect("scalar");
            values[section.name()][&attribute] = tarn_common::twin::edit::value(&scalar);
            let writes = document.writes(section, &attribute);
            if writes.len() > 1 {
                let mut texts: Vec<String> = writes.iter().map(Write::to_text).collect();
                texts.sort_unstable();
                conflicts[format!("{}/{attribute}", section.name())] = json!(texts);
            }
        }
    }
    assert_eq!(seen["values"], values);
    assert_eq!(seen["conflicts"], conflicts);
    assert_eq!(
        conflicts.as_object().map(|all| all.len()),
        Some(1),
        "{conflicts}"
    );

    // And back: what JavaScript wrote is read here, and only that has changed.
    let back = fs::read(&to).expect("read");
    let back = Document::load(document.key(), &back).expect("loads");
    assert_eq!(back.writes(Section::Desired, "color"), [write]);
    assert_eq!(
        back.writes(Section::Desired, "level"),
        document.writes(Section::Desired, "level")
    );
    // A peer takes it as it takes any change.
    let changes = back.changes_since(&document.heads());
    let taken = document.with_changes(&changes).expect("takes");
    assert_eq!(taken.heads(), back.heads());
}
