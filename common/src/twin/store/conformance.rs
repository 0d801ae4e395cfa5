//! What every store of twins must do. The scenarios run it, too, on a real S3 server.

use std::sync::Arc;

use tarn_common::twin::{
    document::{DocumentId, DocumentKey, Section},
    edit::Edit,
    replica::{Bundle, BundleKind, Replica},
    store::TwinStore,
};

const NOW: i64 = 1_764_000_000_000;

/// A replica that stores what it does.
struct Writer {
    replica: Replica,
    store: Arc<dyn TwinStore>,
}

impl Writer {
    fn new(seed: u8, store: Arc<dyn TwinStore>) -> Writer {
        Writer {
            replica: Replica::new("writer", true, [seed; 32]),
            store,
        }
    }

    async fn put(&mut self, id: &DocumentId, value: i64) {
        let section = match id.as_device() {
            Some(_) => Section::Desired,
            None => Section::Settings,
        };
        let edit = Edit::new(id.clone(), section, "value", value);
        let staged = self.replica.edit(&[edit], "app", NOW).expect("edit");
        self.store.append(&staged.bundles).await.expect("append");
        self.replica.commit(staged, NOW);
    }

    fn snapshots(&self) -> Vec<Bundle> {
        let documents = self.replica.documents();
        let snapshot = |document: &tarn_common::twin::document::Document| Bundle {
            key: document.key().clone(),
            kind: BundleKind::Snapshot,
            bytes: document.save().into(),
        };
        documents.map(snapshot).collect()
    }
}

/// What a value that was just opened holds, as a replica.
async fn restored(store: &dyn TwinStore) -> Replica {
    let bundles = store.load().await.expect("load");
    let mut replica = Replica::new("reader", true, [200; 32]);
    let faults = replica.restore(&bundles, NOW);
    assert!(faults.is_empty(), "{faults:?}");
    replica
}

/// Ids that file names, keys and long names are hard on.
fn ids() -> Vec<DocumentId> {
    let long = "d".repeat(1_000);
    let longer = format!("{long}é");
    let devices = ["lamp", "a/b", "..", "x-1", "k\u{fc} ~%@=", &long, &longer];
    let devices = devices.iter().map(|id| DocumentId::device(id));
    devices.chain([DocumentId::home()]).collect()
}

/// `open` gives a new value over the same place each time.
pub(crate) async fn check(open: impl Fn() -> Arc<dyn TwinStore>) {
    assert!(open().load().await.expect("load").is_empty());
    let mut writer = Writer::new(1, open());
    writer.store.load().await.expect("load");
    writer.store.append(&[]).await.expect("nothing to store");
    for value in 0..3 {
        for id in ids() {
            writer.put(&id, value).await;
        }
    }
    // What was stored is there, once.
    let reader = open();
    assert_eq!(restored(&*reader).await.root(), writer.replica.root());
    assert!(reader.load().await.expect("load").is_empty());
    assert!(writer.store.load().await.expect("load").is_empty());
    assert!(writer.store.worn().is_empty());

    // A snapshot takes the place of what there was.
    let snapshots = writer.snapshots();
    writer
        .store
        .compact(&snapshots, &[])
        .await
        .expect("compact");
    let reader = open();
    let bundles = reader.load().await.expect("load");
    assert_eq!(bundles.len(), snapshots.len());
    assert!(
        bundles.iter().all(|bundle| snapshots.contains(bundle)),
        "other bytes"
    );
    // Once more changes nothing, and takes nothing away.
    writer
        .store
        .compact(&snapshots, &[])
        .await
        .expect("compact");
    assert_eq!(restored(&*open()).await.root(), writer.replica.root());

    // What is stored behind a snapshot is read with it.
    writer.put(&DocumentId::home(), 77).await;
    assert_eq!(restored(&*open()).await.root(), writer.replica.root());

    // A snapshot that is none takes nothing away.
    let bad = Bundle {
        bytes: b"no document".as_slice().into(),
        ..snapshots[0].clone()
    };
    writer
        .store
        .compact(&[bad], &[])
        .await
        .expect("is left out");
    assert_eq!(restored(&*open()).await.root(), writer.replica.root());

    // A document that is gone is gone, and the others are not.
    let gone = DocumentKey {
        id: DocumentId::device(".."),
        epoch: 0,
    };
    writer
        .store
        .compact(&[], std::slice::from_ref(&gone))
        .await
        .expect("compact");
    let after = restored(&*open()).await;
    assert!(after.document(&gone.id).is_none());
    assert_eq!(after.documents().count(), ids().len() - 1);

    // A document that much is stored of is worn until there is a snapshot of it. 40 KiB that do not compress, forty times.
    let lamp = DocumentId::device("lamp");
    for at in 0..40_u64 {
        let noise: String = (0..2_500_u64)
            .map(|n| {
                format!(
                    "{:016x}",
                    (at * 2_500 + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                )
            })
            .collect();
        let edit = Edit::new(lamp.clone(), Section::Reported, "noise", noise);
        let staged = writer.replica.edit(&[edit], "app", NOW).expect("edit");
        writer.store.append(&staged.bundles).await.expect("append");
        writer.replica.commit(staged, NOW);
    }
    let key = DocumentKey { id: lamp, epoch: 0 };
    assert!(writer.store.worn().contains(&key));
    let snapshots: Vec<Bundle> = writer.snapshots();
    writer
        .store
        .compact(&snapshots, &[])
        .await
        .expect("compact");
    assert!(writer.store.worn().is_empty(), "{:?}", writer.store.worn());
}
