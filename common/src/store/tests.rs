use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, memory::InMemory};
use url::Url;

use super::{
    Store,
    conformance::{self, Order},
    failing::{FailingStore, Faults},
};

fn over(objects: Arc<dyn ObjectStore>) -> Store {
    Store::over(Url::parse("memory:///").expect("url"), objects)
}

fn failing(faults: Faults, seed: u64) -> (FailingStore, Store) {
    let failing = FailingStore::new(Arc::new(InMemory::new()), faults, seed);
    (failing.clone(), over(Arc::new(failing)))
}

#[tokio::test]
async fn a_directory_is_a_store() {
    let dir = tempfile::tempdir().expect("dir");
    let open = || Store::directory(dir.path()).expect("opens");
    conformance::check(open, Order::None, || {}).await;
}

#[tokio::test]
async fn what_a_crash_left_of_a_put_is_not_listed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("opens");
    let put = store.put_among_others("log/a.json", Bytes::from_static(b"a"));
    put.await.expect("put");
    std::fs::write(dir.path().join("log/b.json.0123456789abcdef.tmp"), b"b").expect("writes");
    let listed: Vec<_> = store.list("log", None).try_collect().await.expect("lists");
    let keys: Vec<&str> = listed.iter().map(|o| o.location.as_ref()).collect();
    assert_eq!(keys, ["log/a.json"]);
}

#[tokio::test]
async fn memory_is_a_store() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    conformance::check(|| over(objects.clone()), Order::Keys, || {}).await;
}

#[tokio::test]
async fn a_failing_store_that_is_told_nothing_is_a_store() {
    let (_, store) = failing(Faults::default(), 1);
    conformance::check(|| store.clone(), Order::Keys, || {}).await;
}

#[tokio::test]
async fn what_a_failing_store_answers_is_done() {
    for seed in 0..20 {
        let (failing, store) = failing(Faults::every(100), seed);
        conformance::check_failing(&store, 100).await;
        assert!(
            failing.failed() > 20,
            "seed {seed}: {} faults",
            failing.failed()
        );
    }
}

/// What is there when the only fault is one kind of it, each time.
#[tokio::test]
async fn faults_are_what_they_are_called() {
    let key = "log/x";
    let always = |faults: Faults| failing(faults, 7);
    let none = Faults::default();

    let (objects, store) = always(Faults {
        refused: 1_000,
        ..none
    });
    store
        .put(key, Bytes::from_static(b"whole"))
        .await
        .expect_err("refused");
    objects.set(none);
    store.get(key).await.expect_err("nothing was put");

    let (objects, store) = always(Faults {
        lost_acks: 1_000,
        ..none
    });
    store
        .put(key, Bytes::from_static(b"whole"))
        .await
        .expect_err("not answered");
    objects.set(none);
    assert_eq!(store.get(key).await.expect("was put"), "whole");

    let (objects, store) = always(Faults {
        torn: 1_000,
        ..none
    });
    store
        .put(key, Bytes::from_static(b"whole!"))
        .await
        .expect_err("torn");
    objects.set(none);
    assert_eq!(store.get(key).await.expect("was put"), "who");
    store
        .put(key, Bytes::from_static(b"whole!"))
        .await
        .expect("is put");
    objects.set(Faults {
        torn: 1_000,
        ..none
    });
    store
        .put(key, Bytes::from_static(b"whole!"))
        .await
        .expect_err("torn");
    objects.set(none);
    assert_eq!(store.get(key).await.expect("is as it was"), "whole!");

    let (objects, store) = always(none);
    store
        .put(key, Bytes::from_static(b"new"))
        .await
        .expect("is put");
    objects.set(Faults {
        stale_lists: 1_000,
        ..none
    });
    let listed: Vec<_> = store.list("log", None).try_collect().await.expect("lists");
    assert_eq!(listed.len(), 0);
    objects.set(none);
    store.delete(key).await.expect("is deleted");
    let listed: Vec<_> = store.list("log", None).try_collect().await.expect("lists");
    assert_eq!(listed.len(), 0);
}

#[tokio::test]
async fn one_seed_is_one_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (_, store) = failing(
            Faults {
                refused: 500,
                ..Faults::default()
            },
            42,
        );
        let mut run = Vec::new();
        for n in 0..100 {
            run.push(store.put(&format!("log/{n}"), Bytes::new()).await.is_ok());
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&true) && runs[0].contains(&false));
}
