use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as Key};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use tarn_tests::http::Http;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::{Launch, Service};
use tarn_tests::s3::{BUCKET, S3Server, objects};
use tarn_tests::{tools, wait};

const HOME: &str = "mended";
/// Readings that the box stores.
const READINGS: usize = 200;
const LIMIT: Duration = Duration::from_secs(60);
/// How long stores are damaged, and the cloud is killed, on a real S3 server.
const CHAOS: Duration = Duration::from_secs(20);
/// What a failing store is told as, which a killed one may be.
const STORE_TROUBLE: &str = "store";

/// A box has stored readings at each of these stores, and is gone.
fn store_readings(folder: &Path, stores: &[String], variables: &[(String, String)]) {
    let mut launch = Launch::edge(folder, HOME)
        .arg("--cut-age", "500ms")
        .arg("--copies", stores.len());
    for store in stores {
        launch = launch.store(store, variables);
    }
    let mut edge = launch.serve();
    let client = Mosquitto::new(edge.mqtt_port());
    for part in 0..4 {
        let each = READINGS / 4;
        let payloads = (part * each..(part + 1) * each).map(|number| number.to_string());
        let log = folder.join(format!("mosquitto_pub-{part}.log"));
        let mut lines = client.publish_lines("home/meter/counter", payloads.collect(), 1, &log);
        assert_eq!(lines.wait(LIMIT), 0, "the box should ack");
        // Chunks of their own.
        wait::until_true(LIMIT, "all should be stored", || {
            let report = verify(folder, &stores[..1], variables, &[]);
            report["rows"] == ((part + 1) * each)
        });
    }
    assert_eq!(edge.terminate(), 0);
    edge.assert_quiet(&[]);
}

fn cloud(folder: &Path, stores: &[String], variables: &[(String, String)]) -> Service {
    let mut launch = Launch::cloud(folder)
        .arg("--scrub-list", "300ms")
        .arg("--scrub-read", "1s")
        .arg("--scrub-rate", "100MiB");
    for store in stores {
        launch = launch.store(store, variables);
    }
    launch.serve()
}

fn verify(
    folder: &Path,
    stores: &[String],
    variables: &[(String, String)],
    flags: &[&str],
) -> Value {
    let mut launch = Launch::command(folder, "verify", &["verify", "--json"]).words(flags);
    for store in stores {
        launch = launch.store(store, variables);
    }
    let finished = launch.run();
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("no report: {finished}"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("list").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_cloud_mends_what_is_damaged_under_it() {
    let folder = tools::folder("mended");
    let dirs = ["one", "two"].map(|name| folder.path().join(name));
    let stores = ["one", "two"].map(|name| {
        let dir = folder.path().join(name);
        format!("file://{}?name={name}", dir.display())
    });
    store_readings(folder.path(), &stores, &[]);
    let whole = verify(folder.path(), &stores, &[], &[]);
    assert_eq!(
        (&whole["ok"], &whole["rows"]),
        (&true.into(), &READINGS.into()),
        "{whole:#}"
    );
    let cloud = cloud(folder.path(), &stores, &[]);

    let copies: Vec<PathBuf> = dirs
        .iter()
        .flat_map(|dir| [files(&dir.join("readings")), files(&dir.join("replicas"))].concat())
        .collect();
    assert!(copies.len() >= 8, "{copies:?}");
    let content = |path: &PathBuf| std::fs::read(path).expect("read");
    let before: Vec<Vec<u8>> = copies.iter().map(content).collect();
    let mut flipped = before[1].clone();
    flipped[40] ^= 4;
    std::fs::remove_file(&copies[0]).expect("remove");
    std::fs::write(&copies[1], &flipped).expect("write");
    std::fs::write(&copies[2], &before[2][..10]).expect("write");
    std::fs::remove_dir_all(dirs[1].join("log")).expect("remove");
    wait::until_true(LIMIT, "all should be as it was", || {
        let is_same = |(path, before): (&PathBuf, &Vec<u8>)| {
            std::fs::read(path).is_ok_and(|now| now == *before)
        };
        copies.iter().zip(&before).all(is_same) && dirs[1].join("log").exists()
    });
    let http = Http::new();
    let state = wait::until(LIMIT, "the cloud should tell of it", || {
        let answer = http.get(&cloud.url("/v1/stores/scrub"), "application/json");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let state: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let repaired = state["repaired"].as_u64().expect("a number");
        (repaired >= 4 && !state["read_at"].is_null()).then_some(state)
    });
    assert_eq!(state["lost"], serde_json::json!([]), "{state:#}");
    let kinds: Vec<&str> = state["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .filter_map(|f| f["kind"].as_str())
        .collect();
    for kind in ["missing", "checksum", "lacking"] {
        assert!(kinds.contains(&kind), "{kind}: {state:#}");
    }
    // A root was written, and holds.
    wait::until_true(LIMIT, "a root should be there", || {
        let report = verify(folder.path(), &stores, &[], &["--offline"]);
        report["ok"] == true && report["roots"][0]["ok"] == true
    });

    // What has no good copy left is told, with all that is known of it.
    let name = copies[0].file_name().expect("a name");
    for path in copies.iter().filter(|path| path.file_name() == Some(name)) {
        std::fs::remove_file(path).expect("remove");
    }
    let state = wait::until(LIMIT, "the loss should be told", || {
        let answer = http.get(&cloud.url("/v1/stores/scrub"), "application/json");
        let state: Value = serde_json::from_slice(&answer.body).expect("JSON");
        (state["lost"] != serde_json::json!([])).then_some(state)
    });
    let lost = &state["lost"][0];
    assert_eq!(
        (&lost["home"], &lost["devices"]),
        (&HOME.into(), &Value::Null),
        "{lost:#}"
    );
    assert!(
        lost["rows"].as_u64() > Some(0) && !lost["from"].is_null(),
        "{lost:#}"
    );
    let metrics = http.get(&cloud.url("/metrics"), "*/*").text();
    assert!(
        metrics.contains("tarn_cloud_scrub_lost_chunks 1"),
        "{metrics}"
    );
    let report = verify(folder.path(), &stores, &[], &["--repair"]);
    assert_eq!(
        (&report["ok"], &report["lost"][0]["rows"]),
        (&false.into(), &lost["rows"]),
        "{report:#}"
    );
    cloud.assert_quiet(&["no good copy of a chunk is left"]);
}

/// Somebody who damages copies at random, but never the last good one.
struct Vandal {
    bucket: AmazonS3,
    runtime: tokio::runtime::Runtime,
    /// Each copy of each chunk as it was, by the name of the chunk.
    copies: BTreeMap<String, Vec<(Key, Bytes)>>,
    rng: StdRng,
}

impl Vandal {
    fn new(server: &S3Server, stores: &[String], seed: u64) -> Vandal {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("build a runtime");
        let bucket = objects(&server.endpoint(), BUCKET);
        let mut copies: BTreeMap<String, Vec<(Key, Bytes)>> = BTreeMap::new();
        for store in stores {
            let prefix = store
                .strip_prefix(&format!("s3://{BUCKET}/"))
                .expect("a store of ours");
            let prefix = Key::from(prefix.split('?').next().expect("a prefix"));
            let objects: Vec<_> = runtime
                .block_on(bucket.list(Some(&prefix)).try_collect())
                .expect("list");
            for object in objects {
                let name = object.location.filename().expect("a name").to_owned();
                if name.ends_with(".parquet") {
                    let content = runtime
                        .block_on(get(&bucket, &object.location))
                        .expect("is there");
                    copies
                        .entry(name)
                        .or_default()
                        .push((object.location, content));
                }
            }
        }
        Vandal {
            bucket,
            runtime,
            copies,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Damage a copy, unless it is the last. Says whether one was.
    fn damage(&mut self) -> bool {
        let names: Vec<&String> = self.copies.keys().collect();
        let copies = &self.copies[*names.choose(&mut self.rng).expect("one")];
        let at = self.rng.random_range(0..copies.len());
        let others = copies.iter().enumerate().filter(|(other, _)| *other != at);
        let mut is_last = true;
        for (_, (key, content)) in others {
            let now = self.runtime.block_on(get(&self.bucket, key));
            is_last &= now.as_ref() != Some(content);
        }
        if is_last {
            return false;
        }
        let (key, content) = &copies[at];
        let bad = match self.rng.random_range(0..4) {
            0 => None,
            1 => Some(content.slice(..content.len() / 2)),
            2 => {
                let mut flipped = content.to_vec();
                flipped[self.rng.random_range(0..content.len())] ^= 1;
                Some(flipped.into())
            }
            _ => Some(Bytes::from_static(b"put here by somebody else")),
        };
        let done = self.runtime.block_on(async {
            match bad {
                None => self.bucket.delete(key).await,
                Some(bad) => self.bucket.put(key, bad.into()).await.map(drop),
            }
        });
        done.expect("the server should do it");
        true
    }
}

async fn get(bucket: &AmazonS3, key: &Key) -> Option<Bytes> {
    bucket.get(key).await.ok()?.bytes().await.ok()
}

#[test]
fn chaos_on_a_real_s3_server_loses_nothing() {
    let folder = tools::folder("chaos");
    let server = S3Server::shared();
    let variables = server.variables();
    let stores =
        ["one", "two", "three"].map(|name| format!("{}?name={name}", server.fresh_store("chaos")));
    store_readings(folder.path(), &stores, &variables);
    let seed = std::env::var("TARN_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("TARN_SEED={seed}");
    let mut vandal = Vandal::new(server, &stores, seed);
    let mut cloud = cloud(folder.path(), &stores, &variables);
    let until = Instant::now() + CHAOS;
    let mut damaged = 0;
    while Instant::now() < until {
        for _ in 0..vandal.rng.random_range(1..10) {
            damaged += u32::from(vandal.damage());
        }
        let pause = vandal.rng.random_range(0..800);
        std::thread::sleep(Duration::from_millis(pause));
        if vandal.rng.random_bool(0.2) {
            cloud.kill_9();
            cloud.restart();
        }
    }
    assert!(damaged > 20, "only {damaged} copies were damaged");
    cloud.kill_9();
    cloud.assert_quiet(&[STORE_TROUBLE]);
    let report = verify(folder.path(), &stores, &variables, &["--repair"]);
    assert_eq!(report["ok"], true, "{report:#}");
    let report = verify(folder.path(), &stores, &variables, &["--offline"]);
    assert_eq!(report["faults"], serde_json::json!([]), "{report:#}");
    assert_eq!(
        (&report["rows"], &report["lost"]),
        (&READINGS.into(), &serde_json::json!([])),
        "{report:#}"
    );
}
