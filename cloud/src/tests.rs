#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use tarn_common::{
    chunk,
    clock::ManualClock,
    commit_log::{self, Chunk, Entry},
    ids::{EdgeId, Seq, Shard},
    layout::{ChunkKey, Content},
    reading::{DAY_MS, Quality},
    rows::{Row, Rows},
    store::Store,
};

use tarn_openapi::access::{Homes, Jwk, KEY_FILE, Role, SigningKey, TokenRequest};

use crate::{Cloud, Settings};

const DAY: i64 = 20_000 * DAY_MS;

/// One box's cuts into a store: each is one chunk of ten readings and one entry.
struct Edge {
    store: Store,
    number: u64,
}

impl Edge {
    fn new(directory: &Path) -> Edge {
        Edge {
            store: Store::directory(directory).unwrap(),
            number: 0,
        }
    }

    async fn cut(&mut self) -> ChunkKey {
        self.number += 1;
        let first = Seq(self.number * 10 - 9);
        let mut rows = Rows::default();
        let series = rows.series("d", "t");
        for n in 0..10 {
            let ts = DAY + (first.0 + n) as i64;
            let row = Row {
                series,
                ts,
                value: Some(n as f64),
                text: None,
                unit: None,
                received: ts,
                seq: Seq(first.0 + n),
                quality: Quality::Good,
            };
            rows.push(row);
        }
        let part = &rows.partition(1)[0];
        let key = ChunkKey {
            home: "h".parse().unwrap(),
            day: part.day,
            edge: EdgeId(1),
            shard: Shard(0),
            first,
            last: Seq(first.0 + 9),
            content: Content::Readings,
        };
        let encoded = chunk::encode(&key, &rows.batch(part).unwrap(), 1).unwrap();
        self.store
            .put(&key.to_string(), encoded.bytes.clone())
            .await
            .unwrap();
        let entry = Entry {
            v: commit_log::VERSION,
            home: key.home.clone(),
            writer: key.edge,
            number: self.number,
            at_ms: DAY,
            first: key.first,
            last: key.last,
            lost_records: 0,
            adds: vec![Chunk::new(key.clone(), &encoded, vec![])],
            removes: vec![],
            origin: None,
            places: Vec::new(),
            root: None,
        };
        self.store
            .put(&entry.key().to_string(), entry.to_bytes().into())
            .await
            .unwrap();
        key
    }
}

fn settings(store: &Store) -> Settings {
    Settings {
        refresh_every: Duration::from_millis(100),
        cache_bytes: 1 << 20,
        ..Settings::new(vec![store.clone()])
    }
}

/// A key whose tokens the services take, and an owner's token.
fn owner() -> &'static (Jwk, String) {
    static OWNER: OnceLock<(Jwk, String)> = OnceLock::new();
    OWNER.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::open(&directory.path().join(KEY_FILE)).unwrap();
        let request = TokenRequest {
            name: "test".into(),
            role: Role::Owner,
            homes: Homes::All,
            lifetime: Duration::from_secs(30 * 86_400),
            by: "test".into(),
        };
        let token = key.issue(request, DAY).unwrap().token;
        (serde_json::from_value(key.public_jwk()).unwrap(), token)
    })
}

async fn start(mut settings: Settings) -> Cloud {
    settings.http_settings.trusted = vec![owner().0.clone()];
    Cloud::start(settings, Arc::new(ManualClock::at(DAY + DAY_MS)))
        .await
        .unwrap()
}

async fn get(cloud: &Cloud, path: &str) -> (u16, String) {
    let ask = reqwest::Client::new().get(format!("http://{}{path}", cloud.http_addr()));
    let response = ask.bearer_auth(&owner().1).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

async fn readings(cloud: &Cloud) -> Value {
    let (_, text) = get(cloud, "/v1/homes/h/devices/d/readings").await;
    serde_json::from_str(&text).unwrap()
}

fn count(page: &Value) -> usize {
    page["readings"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn new_entries_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let mut edge = Edge::new(directory.path());
    edge.cut().await;
    let cloud = start(settings(&edge.store)).await;
    until("ready", async || get(&cloud, "/readyz").await.0 == 200).await;
    assert_eq!(count(&readings(&cloud).await), 10);
    edge.cut().await;
    until("the second chunk", async || {
        count(&readings(&cloud).await) == 20
    })
    .await;
    let (_, metrics) = get(&cloud, "/metrics").await;
    for line in [
        "tarn_cloud_chunks 2",
        "tarn_cloud_rows 20",
        "tarn_cloud_entries_total 2",
        "tarn_cloud_cache_misses_total 2",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    cloud.shutdown().await;
}

#[tokio::test]
async fn damaged_and_absent_chunks_are_told_and_heal() {
    let directory = tempfile::tempdir().unwrap();
    let mut edge = Edge::new(directory.path());
    let keys = [edge.cut().await, edge.cut().await, edge.cut().await];
    let path = |key: &ChunkKey| directory.path().join(key.to_string());
    let good = std::fs::read(path(&keys[0])).unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    std::fs::write(path(&keys[0]), bad).unwrap();
    std::fs::remove_file(path(&keys[1])).unwrap();
    let cloud = start(settings(&edge.store)).await;
    until("ready", async || get(&cloud, "/readyz").await.0 == 200).await;
    let page = readings(&cloud).await;
    assert_eq!(count(&page), 10);
    let missing = page["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 2);
    assert!(
        missing[0]["reason"].as_str().unwrap().contains("CRC32"),
        "{missing:?}"
    );
    assert!(
        missing[1]["reason"].as_str().unwrap().contains("not found"),
        "{missing:?}"
    );
    std::fs::write(path(&keys[0]), good).unwrap();
    let page = readings(&cloud).await;
    assert_eq!(
        (count(&page), page["missing"].as_array().unwrap().len()),
        (20, 1)
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_store_that_fails_makes_it_not_ready_and_the_last_catalog_answers() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let mut edge = Edge::new(&root);
    edge.cut().await;
    let cloud = start(settings(&edge.store)).await;
    until("ready", async || get(&cloud, "/readyz").await.0 == 200).await;
    assert_eq!(count(&readings(&cloud).await), 10);
    // A file where the log's directory was cannot be listed.
    let log = root.join("log");
    std::fs::rename(&log, root.join("away")).unwrap();
    std::os::unix::fs::symlink(&log, &log).unwrap();
    until("not ready", async || get(&cloud, "/readyz").await.0 == 503).await;
    assert!(get(&cloud, "/readyz").await.1.contains("store file://"));
    assert_eq!(count(&readings(&cloud).await), 10);
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(root.join("away"), &log).unwrap();
    until("ready again", async || {
        get(&cloud, "/readyz").await.0 == 200
    })
    .await;
    cloud.shutdown().await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_used_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut edge = Edge::new(directory.path());
    for _ in 0..3 {
        edge.cut().await;
    }
    let second = directory
        .path()
        .join("log/home=h/0000000000000001/000000000002.json");
    let good = std::fs::read(&second).unwrap();
    std::fs::write(&second, b"{").unwrap();
    let cloud = start(settings(&edge.store)).await;
    until("ready", async || get(&cloud, "/readyz").await.0 == 200).await;
    assert_eq!(count(&readings(&cloud).await), 20);
    assert!(
        get(&cloud, "/metrics")
            .await
            .1
            .contains("tarn_cloud_failed_entries 1")
    );
    std::fs::write(&second, good).unwrap();
    until("the mended entry", async || {
        count(&readings(&cloud).await) == 30
    })
    .await;
    cloud.shutdown().await;
}

/// An S3 that answers each request with one status, or with 0 never.
async fn s3(status: u16) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4096]).await;
                if status == 0 {
                    std::future::pending::<()>().await;
                }
                let answer = format!(
                    "HTTP/1.1 {status} no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}

/// Stores take their settings from the environment, which a test must not write while others run: so
/// the case runs in a process of its own.
#[tokio::test]
async fn an_s3_that_refuses_is_told_and_nothing_is_passed_off_as_empty() {
    for (status, told) in [(403, "403"), (503, "503"), (0, "no answer within 1 s")] {
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "tests::in_a_process_of_its_own",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env("AWS_ENDPOINT_URL", s3(status).await)
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "local")
            .env("TOLD", told)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && text.contains("1 passed"),
            "{status}: {text}"
        );
    }
}

#[tokio::test]
#[ignore = "part of an_s3_that_refuses_is_told_and_nothing_is_passed_off_as_empty"]
async fn in_a_process_of_its_own() {
    let store = Store::open("s3://bucket/prefix").unwrap();
    let timeout = if std::env::var("TOLD").unwrap().starts_with("no") {
        1
    } else {
        30
    };
    let cloud = start(Settings {
        refresh_timeout: Duration::from_secs(timeout),
        ..settings(&store)
    })
    .await;
    until("told", async || {
        get(&cloud, "/readyz").await.1.contains("s3://bucket")
    })
    .await;
    let (_, reason) = get(&cloud, "/readyz").await;
    assert!(reason.contains(&std::env::var("TOLD").unwrap()), "{reason}");
    let (status, text) = get(&cloud, "/v1/homes").await;
    assert_eq!(status, 503, "{text}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], json!(503));
    assert_eq!(get(&cloud, "/healthz").await.0, 200);
    assert!(
        !get(&cloud, "/metrics")
            .await
            .1
            .contains("tarn_cloud_refresh_errors_total 0")
    );
    cloud.shutdown().await;
}
