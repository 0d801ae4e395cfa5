#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::{
    chunk::Digest,
    ids::{EdgeId, Seq, Shard},
    layout::Content,
    store::{Store, pool::Member},
};

const SIZE: usize = 1_000;

fn chunk(number: u64) -> (Chunk, Bytes) {
    let bytes = Bytes::from(vec![number as u8; SIZE]);
    let key = ChunkKey {
        home: "h".parse().unwrap(),
        day: 20_000,
        edge: EdgeId(1),
        shard: Shard(0),
        first: Seq(number),
        last: Seq(number),
        content: Content::Readings,
    };
    let encoded = crate::chunk::Encoded {
        rows: 1,
        digest: Digest::of(&bytes),
        ts_range: (0, 0),
        seq_range: (Seq(number), Seq(number)),
        bytes: bytes.clone(),
    };
    (Chunk::new(key, &encoded, vec![]), bytes)
}

fn open(directory: &Path, budget: usize) -> ChunkCache {
    ChunkCache::open(CacheSettings {
        directory: directory.to_owned(),
        budget_bytes: budget as u64,
    })
    .unwrap()
}

fn pool(stores: &[&Store]) -> Pool {
    let member = |(at, store): (usize, &&Store)| {
        let name = format!("store-{at}").parse().unwrap();
        Arc::new(Member::new(name, (*store).clone(), Duration::from_secs(5)))
    };
    Pool::new(stores.iter().enumerate().map(member).collect())
}

struct Fixture {
    directory: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    async fn new(chunks: u64) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::directory(&directory.path().join("store")).unwrap();
        for number in 1..=chunks {
            let (chunk, bytes) = chunk(number);
            store.put(&chunk.key.to_string(), bytes).await.unwrap();
        }
        Fixture { directory, store }
    }

    fn cache(&self, budget: usize) -> ChunkCache {
        open(&self.directory.path().join("cache"), budget)
    }
}

#[tokio::test]
async fn many_calls_fetch_once() {
    let fixture = Fixture::new(1).await;
    let cache = fixture.cache(10 * SIZE);
    let stores = pool(&[&fixture.store]);
    let (chunk, bytes) = chunk(1);
    let files = futures::future::join_all((0..20).map(|_| cache.file(&stores, &chunk))).await;
    for file in files {
        assert_eq!(std::fs::read(file.unwrap().path).unwrap(), bytes);
    }
    assert_eq!(
        (cache.figures().misses.get(), cache.figures().hits.get()),
        (1, 19)
    );
}

#[tokio::test]
async fn the_least_used_goes_out_and_what_is_in_use_stays() {
    let fixture = Fixture::new(4).await;
    let cache = fixture.cache(2 * SIZE);
    let stores = pool(&[&fixture.store]);
    let one = cache.file(&stores, &chunk(1).0).await.unwrap();
    let two = cache.file(&stores, &chunk(2).0).await.unwrap().path;
    let three = cache.file(&stores, &chunk(3).0).await.unwrap().path;
    assert!(one.path.exists() && !two.exists() && three.exists());
    assert_eq!(cache.figures().bytes.get(), 2 * SIZE as i64);
    let path = one.path.clone();
    drop(one);
    cache.file(&stores, &chunk(4).0).await.unwrap();
    assert!(!path.exists() && three.exists());
}

#[tokio::test]
async fn files_found_at_the_start_are_verified_before_use() {
    let fixture = Fixture::new(2).await;
    let stores = pool(&[&fixture.store]);
    let damaged = {
        let cache = fixture.cache(10 * SIZE);
        cache.file(&stores, &chunk(1).0).await.unwrap();
        cache.file(&stores, &chunk(2).0).await.unwrap().path
    };
    std::fs::write(&damaged, vec![9; SIZE]).unwrap();
    std::fs::write(aside(&damaged), b"left behind").unwrap();
    let cache = fixture.cache(10 * SIZE);
    assert!(!aside(&damaged).exists());
    for number in [1, 2] {
        let file = cache.file(&stores, &chunk(number).0).await.unwrap();
        assert_eq!(std::fs::read(file.path).unwrap(), chunk(number).1);
    }
    let figures = cache.figures();
    assert_eq!(
        (
            figures.hits.get(),
            figures.misses.get(),
            figures.crc_faults.get()
        ),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn a_wrong_object_is_refused_and_the_next_store_is_asked() {
    let fixture = Fixture::new(1).await;
    let wrong = Store::directory(&fixture.directory.path().join("wrong")).unwrap();
    let (chunk, bytes) = chunk(1);
    wrong
        .put(&chunk.key.to_string(), Bytes::from(vec![7; SIZE]))
        .await
        .unwrap();
    let cache = fixture.cache(10 * SIZE);
    let refused = cache.file(&pool(&[&wrong]), &chunk).await;
    assert!(
        matches!(refused, Err(CacheError::Pool(PoolError::Content { .. }))),
        "{refused:?}"
    );
    let file = cache
        .file(&pool(&[&wrong, &fixture.store]), &chunk)
        .await
        .unwrap();
    assert_eq!(std::fs::read(file.path).unwrap(), bytes);
    assert_eq!(cache.figures().crc_faults.get(), 2);
    assert!(matches!(
        cache.file(&pool(&[]), &self::chunk(2).0).await,
        Err(CacheError::Pool(PoolError::NoStore))
    ));
}
