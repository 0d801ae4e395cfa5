use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tarn_tests::process::Launch;
use tarn_tests::s3::{self, BUCKET};
use tarn_tests::{tools, wait};

/// Who puts side by side.
const WRITERS: usize = 8;
const KILLS: usize = 8;
/// Puts that are answered between two kills at least.
const PUTS_BETWEEN: usize = 40;
const LIMIT: Duration = Duration::from_secs(60);

/// What lies at a key: whoever reads it knows what it must be.
fn content(key: &str) -> Bytes {
    let seed = key.bytes().fold(7, |seed: u64, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    let mut dice = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; dice.random_range(0..200_000)];
    dice.fill(&mut bytes[..]);
    bytes.into()
}

/// Puts one object after the other, each until it is answered, and gives the keys of those.
async fn put_on(
    objects: AmazonS3,
    writer: usize,
    puts: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Vec<String> {
    let mut answered = Vec::new();
    for number in 0.. {
        // A new directory now and then, so that its name has to become durable as well.
        let key = format!(
            "readings/home=cut/date=2026-01-{:02}/{writer}-{number}",
            1 + number / 5
        );
        loop {
            if stop.load(Ordering::Relaxed) {
                return answered;
            }
            if objects
                .put(&Key::from(key.as_str()), content(&key).into())
                .await
                .is_ok()
            {
                break;
            }
            // It is dead, and comes back.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        puts.fetch_add(1, Ordering::Relaxed);
        answered.push(key);
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_put_outlives_kills() {
    let seed = tools::seed();
    println!("seed {seed}: TARN_TEST_SEED={seed} repeats this run");
    let mut dice = StdRng::seed_from_u64(seed);
    let folder = tools::folder("cuts");
    let mut server = Launch::store_server(folder.path(), "cuts").serve();
    let objects = s3::objects(&server.s3_endpoint(), BUCKET);
    let (puts, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(put_on(objects.clone(), writer, puts.clone(), stop.clone())))
        .collect();
    for kill in 1..=KILLS {
        let until =
            puts.load(Ordering::Relaxed) + PUTS_BETWEEN + dice.random_range(0..PUTS_BETWEEN);
        wait::until_true(LIMIT, format!("{until} puts before kill {kill}"), || {
            puts.load(Ordering::Relaxed) >= until
        });
        server.kill_9();
        server.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = BTreeSet::new();
    for writer in writers {
        answered.extend(writer.await.expect("a writer"));
    }
    assert!(answered.len() >= KILLS * PUTS_BETWEEN);

    let listed: Vec<_> = objects.list(None).try_collect().await.expect("lists");
    let listed: BTreeSet<String> = listed
        .iter()
        .map(|object| object.location.to_string())
        .collect();
    let missing: Vec<_> = answered.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "seed {seed}: answered, and not there: {missing:?}"
    );
    // Whatever is there is whole, answered or not.
    for key in &listed {
        let found = objects.get(&Key::from(key.as_str())).await.expect("gets");
        assert!(
            found.bytes().await.expect("whole") == content(key),
            "seed {seed}: {key} is not what was put"
        );
    }
    // Nothing half is left anywhere.
    assert_eq!(server.terminate(), 0);
    let uploads = std::fs::read_dir(folder.path().join("cuts/.tarn-uploads")).expect("reads");
    assert_eq!(uploads.count(), 0);
}
