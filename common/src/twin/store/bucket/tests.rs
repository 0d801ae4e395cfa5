use std::{collections::BTreeSet, sync::Arc};

use super::{super::failing::FailingStore, *};
use crate::twin::{document::DocumentId, edit::Edit, replica::Replica};

#[tokio::test]
async fn it_is_a_store_of_twins() {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("store");
    let home = lakeside();
    let open = || -> Arc<dyn TwinStore> { Arc::new(BucketStore::new(store.clone(), home.clone())) };
    assert!(homes(&store).await.expect("lists").is_empty());
    super::super::conformance::check(open).await;
    assert_eq!(homes(&store).await.expect("lists"), [home]);
}

fn lakeside() -> HomeId {
    "lakeside".parse().expect("home")
}

/// A change of the home's document that no other one stands on.
fn change(number: i64) -> Bundle {
    let mut replica = Replica::new("a", true, [number as u8; 32]);
    let section = crate::twin::document::Section::Settings;
    let edit = Edit::new(DocumentId::home(), section, &format!("at{number}"), number);
    let mut staged = replica.edit(&[edit], "app", 0).expect("edit");
    staged.bundles.remove(0)
}

fn snapshot(of: &[Bundle]) -> Bundle {
    let mut replica = Replica::new("a", true, [0; 32]);
    assert!(replica.restore(of, 0).is_empty());
    let document = replica.document(&DocumentId::home()).expect("document");
    Bundle {
        key: document.key().clone(),
        kind: BundleKind::Snapshot,
        bytes: document.save().into(),
    }
}

/// The settings that stored bundles come to.
fn settings(stored: &[Bundle]) -> BTreeSet<String> {
    let mut replica = Replica::new("a", true, [0; 32]);
    assert!(replica.restore(stored, 0).is_empty());
    let document = replica.document(&DocumentId::home());
    let section = crate::twin::document::Section::Settings;
    document
        .map(|document| document.attributes(section))
        .unwrap_or_default()
        .into_iter()
        .collect()
}

#[tokio::test]
async fn what_another_replica_has_stored_meanwhile_is_not_compacted_away() {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("store");
    let (a, b) = (
        BucketStore::new(store.clone(), lakeside()),
        BucketStore::new(store.clone(), lakeside()),
    );
    a.append(&[change(1)]).await.expect("append");
    assert_eq!(b.load().await.expect("load").len(), 1);
    b.append(&[change(2)]).await.expect("append");
    a.compact(&[snapshot(&[change(1)])], &[])
        .await
        .expect("compact");
    let fresh = BucketStore::new(store.clone(), lakeside());
    let stored = fresh.load().await.expect("load");
    assert_eq!(stored.len(), 2);
    assert_eq!(settings(&stored), ["at1".into(), "at2".into()].into());
    // Each sees what the other did, once.
    assert_eq!(a.load().await.expect("load"), [change(2)]);
    assert_eq!(b.load().await.expect("load"), [snapshot(&[change(1)])]);
    assert!(b.load().await.expect("load").is_empty());
}

#[tokio::test]
async fn what_is_not_what_its_name_says_is_left_out_and_stays() {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("store");
    let a = BucketStore::new(store.clone(), lakeside());
    a.append(&[change(1), change(2)]).await.expect("append");
    let key = TwinKey::of(&lakeside(), &change(2)).to_string();
    let path = dir.path().join(key);
    std::fs::write(&path, b"other").expect("writes");
    let b = BucketStore::new(store.clone(), lakeside());
    for _ in 0..2 {
        let expected: &[Bundle] = if b.known.lock().is_loaded {
            &[]
        } else {
            &[change(1)]
        };
        assert_eq!(b.load().await.expect("load"), expected);
    }
    b.compact(&[snapshot(&[change(1)])], &[])
        .await
        .expect("compact");
    assert!(path.exists());
    // Once it is mended, it is read.
    std::fs::write(&path, change(2).bytes).expect("writes");
    assert_eq!(b.load().await.expect("load"), [change(2)]);
}

/// Replicas that write, load and compact at once, in several threads: a reader sees at each moment all that was stored before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_misses_nothing_while_others_compact() {
    const WRITES: i64 = 60;
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("store");
    let writers = (0..2).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let own = BucketStore::new(store.clone(), lakeside());
            let mut all = own.load().await.expect("load");
            for number in 0..WRITES {
                let change = change(2 * number + writer);
                own.append(std::slice::from_ref(&change))
                    .await
                    .expect("append");
                all.push(change);
                if number % 3 == 0 {
                    all.extend(own.load().await.expect("load"));
                    own.compact(&[snapshot(&all)], &[]).await.expect("compact");
                }
                let reader = BucketStore::new(store.clone(), lakeside());
                let read = settings(&reader.load().await.expect("load"));
                let missed: Vec<_> = settings(&all).difference(&read).cloned().collect();
                assert!(missed.is_empty(), "{missed:?}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("writes");
    }
    let reader = BucketStore::new(store, lakeside());
    let read = settings(&reader.load().await.expect("load"));
    assert_eq!(read.len() as i64, 2 * WRITES);
}

/// Whatever fails, what was told as stored is there, and a value that compacts takes away nothing that it did not know.
#[tokio::test]
async fn a_store_that_fails_loses_nothing_that_it_told_as_stored() {
    for seed in 0..50 {
        let shared = super::super::failing::Shared::default();
        let replica = |own: u64| FailingStore::new(shared.clone(), 300, 2 * seed + own);
        let replicas = [replica(0), replica(1)];
        let (mut known, mut acked) = ([Vec::new(), Vec::new()], BTreeSet::new());
        for number in 0..40 {
            let at = number as usize % 2;
            let (own, change) = (&replicas[at], change(number));
            if own.append(std::slice::from_ref(&change)).await.is_ok() {
                acked.insert(format!("at{number}"));
                known[at].push(change);
            }
            if !own.worn().is_empty() {
                // Failing or not, it may be tried again.
                let _ = own.compact(&[snapshot(&known[at])], &[]).await;
            }
            known[at].extend(own.load().await.unwrap_or_default());
        }
        let reader = FailingStore::new(shared.clone(), 1_000, seed);
        reader.load().await.expect_err("fails always");
        reader.fail(0);
        let read = settings(&reader.load().await.expect("load"));
        let lost: Vec<_> = acked.difference(&read).collect();
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
    }
}
