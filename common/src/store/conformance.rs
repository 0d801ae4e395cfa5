//! What every store must do, whatever it lies on. The scenarios run it, too, on real servers.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::{TryStreamExt, future::join_all};
use tarn_common::store::{Store, StoreError};

/// More than two pages of S3.
const MANY: usize = 2_100;
/// Bytes of an object that does not go in one packet, or in one buffer.
const BIG: usize = 5 << 20;
/// How often something is tried again on a store that fails: a store that fails each time is not there.
const TRIES_MAX: usize = 100;

/// Keys as the layout has them, the odd ones among them.
const KEYS: [&str; 9] = [
    "readings/home=lake/date=2026-11-22/00000000000000ab-3-000000000001-5000000000000.parquet",
    "readings/home=My_home.1-a/date=1970-01-01/ffffffffffffffff-0-000000000001-000000000001.parquet",
    "replicas/home=lake/date=2026-11-22/00000000000000ab-3-000000000001-5000000000000.parquet",
    "log/home=lake/00000000000000ab/000000000007.json",
    "stores/000000000001-0123456789abcdef.json",
    "stores/identity-0123456789abcdef-0123456789abcdef.json",
    "twins/home=lake/lamp/changes-00.automerge",
    "twins/home=lake/x-=2F=20@2/snapshot-00.automerge",
    "twins/home=lake/lamp.-_=c3=bc@1/snapshot-00.automerge",
];

/// In which order a store lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By the bytes of the keys, as S3 has it.
    Keys,
    /// By names, directory after directory: `lamp/x` before `lamp.x`. What lies behind a key is told by that order, too.
    Directories,
    /// As it comes. What lies behind a key is told by the bytes of the keys.
    None,
}

/// Everything. `open` gives a new value over the same place each time; `again` ends who serves it and starts it anew, if there is one.
pub(crate) async fn check(open: impl Fn() -> Store, order: Order, again: impl FnOnce()) {
    let store = open();
    nothing_is_there(&store).await;
    what_is_put_is_there(&store).await;
    puts_may_be_repeated(&store).await;
    many_put_one_key(&store).await;
    sizes(&store).await;
    lists(&store, order).await;
    deletes(&store).await;
    pages(&store, order).await;

    let before = keys(&store, "").await;
    again();
    let store = open();
    assert_eq!(keys(&store, "").await, before);
    for key in KEYS {
        assert_eq!(store.get(key).await.expect(key), Bytes::from(key));
    }
}

async fn nothing_is_there(store: &Store) {
    assert_eq!(keys(store, "").await, Vec::<String>::new());
    assert_eq!(keys(store, "readings").await, Vec::<String>::new());
    assert_eq!(dirs(store, "log").await, Vec::<String>::new());
    for key in KEYS {
        assert_not_found(store, key).await;
        store.delete(key).await.expect("is deleted already");
    }
}

async fn what_is_put_is_there(store: &Store) {
    for key in KEYS {
        store.put(key, Bytes::from(key)).await.expect(key);
        assert_eq!(store.get(key).await.expect(key), Bytes::from(key));
    }
    // Neither what a key begins with nor what goes on behind it is an object for that.
    for key in [
        "log",
        "log/home=lake",
        "readings/home=lake/date=2026-11-22",
        "stores/000000000001-0123456789abcdef.json/x",
    ] {
        assert_not_found(store, key).await;
        store.delete(key).await.expect("is deleted already");
    }
    assert_eq!(
        store.get(KEYS[4]).await.expect("is still there"),
        Bytes::from(KEYS[4])
    );
}

async fn puts_may_be_repeated(store: &Store) {
    let key = KEYS[3];
    for _ in 0..3 {
        store.put(key, Bytes::from(key)).await.expect("again");
        store
            .put_among_others(key, Bytes::from(key))
            .await
            .expect("again");
    }
    store
        .put(key, Bytes::from_static(b"another"))
        .await
        .expect("another");
    assert_eq!(
        store.get(key).await.expect("there"),
        Bytes::from_static(b"another")
    );
    store.put(key, Bytes::from(key)).await.expect("as it was");
    assert_eq!(store.get(key).await.expect("there"), Bytes::from(key));
}

/// Whoever wins, one of them is there, whole.
async fn many_put_one_key(store: &Store) {
    let key = "log/home=race/00000000000000ab/000000000001.json";
    let contents: Vec<Bytes> = (0..16_usize)
        .map(|n| Bytes::from(vec![n as u8; 10_000 + n]))
        .collect();
    let puts = contents
        .iter()
        .map(|bytes| store.put_among_others(key, bytes.clone()));
    for put in join_all(puts).await {
        put.expect("put");
    }
    let found = store.get(key).await.expect("there");
    assert!(
        contents.contains(&found),
        "{} bytes that nobody put",
        found.len()
    );
    store.delete(key).await.expect("delete");
}

async fn sizes(store: &Store) {
    let big: Bytes = (0..BIG as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    for (key, bytes) in [
        ("sizes/empty", Bytes::new()),
        ("sizes/one", Bytes::from_static(b"1")),
        ("sizes/big", big),
    ] {
        store.put(key, bytes.clone()).await.expect(key);
        assert!(
            store.get(key).await.expect(key) == bytes,
            "{key} came back otherwise"
        );
        let listed: Vec<_> = store
            .list("sizes", None)
            .try_collect()
            .await
            .expect("lists");
        let size = listed.iter().find(|object| object.location.as_ref() == key);
        assert_eq!(size.expect(key).size, bytes.len() as u64);
        store.delete(key).await.expect(key);
    }
}

async fn lists(store: &Store, order: Order) {
    let wanted = |prefix: &str| {
        let below = format!("{prefix}/");
        let mut wanted: Vec<String> = KEYS
            .iter()
            .filter(|key| prefix.is_empty() || key.starts_with(&below))
            .map(|&key| key.to_owned())
            .collect();
        wanted.sort_unstable();
        wanted
    };
    for prefix in [
        "",
        "readings",
        "readings/home=lake",
        "readings/home=lak",
        "log",
        "stores",
        "twins/home=lake/x-=2F=20@2",
        "nothing",
    ] {
        assert_eq!(keys(store, prefix).await, wanted(prefix), "{prefix}");
    }
    let listed = listed(store, "", None).await;
    assert!(order != Order::Keys || listed.is_sorted(), "{listed:?}");
    // A reader of a log asks for what lies behind the last entry that it knows, in the directory of its writer.
    let prefix = if order == Order::Directories {
        "stores"
    } else {
        ""
    };
    let all = wanted(prefix);
    for (at, offset) in all.iter().enumerate() {
        let mut behind = self::listed(store, prefix, Some(offset)).await;
        behind.sort_unstable();
        assert_eq!(behind, all[at + 1..], "behind {offset}");
    }
    assert_eq!(
        dirs(store, "readings").await,
        ["home=My_home.1-a", "home=lake"]
    );
    assert_eq!(dirs(store, "log/home=lake").await, ["00000000000000ab"]);
    assert_eq!(
        dirs(store, "log/home=lake/00000000000000ab").await,
        Vec::<String>::new()
    );
}

async fn deletes(store: &Store) {
    let key = "gone/home=lake/x";
    store.put(key, Bytes::from_static(b"x")).await.expect("put");
    for _ in 0..2 {
        store.delete(key).await.expect("delete");
        assert_not_found(store, key).await;
    }
    assert_eq!(keys(store, "gone").await, Vec::<String>::new());
    store
        .put(key, Bytes::from_static(b"y"))
        .await
        .expect("put again");
    assert_eq!(
        store.get(key).await.expect("there"),
        Bytes::from_static(b"y")
    );
    store.delete(key).await.expect("delete");
}

async fn pages(store: &Store, order: Order) {
    let many: Vec<String> = (1..=MANY)
        .map(|n| format!("log/home=many/00000000000000ab/{n:012}.json"))
        .collect();
    for some in many.chunks(50) {
        let puts = some
            .iter()
            .map(|key| store.put(key, Bytes::from(key.clone())));
        for put in join_all(puts).await {
            put.expect("put");
        }
    }
    let listed = listed(store, "log/home=many", None).await;
    // These lie in one directory.
    assert!(order == Order::None || listed.is_sorted());
    assert_eq!(keys(store, "log/home=many").await, many);
    let behind = self::listed(store, "log/home=many", Some(&many[1_050])).await;
    assert_eq!(
        behind.iter().collect::<BTreeSet<_>>(),
        many[1_051..].iter().collect()
    );
    for some in many.chunks(50) {
        for deleted in join_all(some.iter().map(|key| store.delete(key))).await {
            deleted.expect("delete");
        }
    }
    assert_eq!(keys(store, "log/home=many").await, Vec::<String>::new());
}

/// What every store must do that fails now and then: what is tried until it is answered is there, whole, and what is deleted so is not.
pub(crate) async fn check_failing(store: &Store, objects: usize) {
    let key = |n: usize| {
        format!("readings/home=lake/date=2026-11-22/00000000000000ab-0-{n:012}-{n:012}.parquet")
    };
    let content = |n: usize| Bytes::from(format!("{n:08}").repeat(1 + n % 50));
    for n in 0..objects {
        again(async || store.put(&key(n), content(n)).await).await;
    }
    for n in (0..objects).step_by(3) {
        again(async || store.delete(&key(n)).await).await;
    }
    for n in 0..objects {
        // An error is no answer; that there is nothing is one.
        let got = again(async || match store.get(&key(n)).await {
            Err(StoreError::NotFound { .. }) => Ok(None),
            other => other.map(Some),
        });
        let wanted = (n % 3 != 0).then(|| content(n));
        assert!(got.await == wanted, "{} is not as it was answered", key(n));
    }
    let wanted: BTreeSet<String> = (0..objects).filter(|n| n % 3 != 0).map(key).collect();
    let mut last = BTreeSet::new();
    for _ in 0..TRIES_MAX {
        last = again(async || {
            let listed = store.list("readings", None);
            let keys = listed.map_ok(|object| object.location.to_string());
            keys.try_collect::<BTreeSet<String>>().await
        })
        .await;
        if last == wanted {
            return;
        }
    }
    assert_eq!(last, wanted, "no list ever tells what is there");
}

async fn again<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let mut last = None;
    for _ in 0..TRIES_MAX {
        match work().await {
            Ok(done) => return done,
            Err(e) => last = Some(e),
        }
    }
    panic!("failed {TRIES_MAX} times in a row, the last time with {last:?}");
}

async fn assert_not_found(store: &Store, key: &str) {
    let got = store.get(key).await;
    assert!(
        matches!(got, Err(StoreError::NotFound { .. })),
        "{key}: {got:?}"
    );
}

async fn listed(store: &Store, prefix: &str, offset: Option<&str>) -> Vec<String> {
    let listed = store.list(prefix, offset);
    let keys = listed.map_ok(|object| object.location.to_string());
    keys.try_collect().await.expect("lists")
}

async fn keys(store: &Store, prefix: &str) -> Vec<String> {
    let mut keys = listed(store, prefix, None).await;
    keys.sort_unstable();
    keys
}

async fn dirs(store: &Store, prefix: &str) -> Vec<String> {
    let mut dirs = store.list_dirs(prefix).await.expect("lists");
    dirs.sort_unstable();
    dirs
}
