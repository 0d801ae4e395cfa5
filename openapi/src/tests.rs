#![allow(clippy::unwrap_used)]

/// Tokens, logins, and what each role may.
mod access;
mod document;
/// Changes that are asked for again.
mod idempotency;
/// Operations on twins, over a socket.
mod twins;

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
    ipc::reader::StreamReader,
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tarn_common::{
    chunk,
    clock::{Clock, ManualClock},
    commit_log::Chunk,
    event::{self, AuditEntry, Event},
    ids::{EdgeId, HomeId, Seq, Shard},
    layout::{ChunkKey, Content},
    query::{ChunkFile, Engine, EngineSettings, Lake, LakeError, Limits, Missing, View},
    reading::{DAY_MS, Quality},
    rows::{Row, Rows},
    store::Store,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Access, AccessSettings, HttpSettings, Kind, Service,
    access::{Homes, RateSettings, Role, TokenRequest},
    cloud_document, edge_document,
    live::{LiveHub, LiveMetrics},
    serve,
};

/// The stream of events, and what is told of freshness.
mod live;

const DAY: i64 = 20_000 * DAY_MS;
const DEVICE: &str = "attic/t °";
const ENCODED: &str = "attic%2Ft%20%C2%B0";

#[derive(Debug)]
struct TestLake {
    directory: tempfile::TempDir,
    view: View,
}

#[async_trait]
impl Lake for TestLake {
    async fn view(&self) -> Result<View, LakeError> {
        Ok(self.view.clone())
    }

    async fn file(&self, chunk: &Chunk) -> Result<ChunkFile, Missing> {
        let path = self.directory.path().join(chunk.key.to_string());
        if path.exists() {
            Ok(ChunkFile { path, guard: None })
        } else {
            Err(Missing::of(chunk, "gone"))
        }
    }
}

/// 30 readings on each of two days, every third a text; the second day's chunk is gone.
fn lake() -> TestLake {
    let directory = tempfile::tempdir().unwrap();
    let mut rows = Rows::default();
    let series = rows.series(DEVICE, "temperature");
    let unit = rows.unit("°C");
    for n in 0..60u64 {
        let ts = DAY + n as i64 * DAY_MS / 30;
        let text = n % 3 == 2;
        rows.push(Row {
            series,
            ts,
            value: (!text).then_some(n as f64 / 4.0),
            text: text.then_some("a \"b\", c"),
            unit: (!text).then_some(unit),
            received: ts + 1,
            seq: Seq(n + 1),
            quality: Quality::Good,
        });
    }
    let mut chunks = Vec::new();
    for part in rows.partition(1) {
        let key = ChunkKey {
            home: "h".parse().unwrap(),
            day: part.day,
            edge: EdgeId(1),
            shard: Shard(0),
            first: Seq(1),
            last: Seq(60),
            content: Content::Readings,
        };
        let encoded = chunk::encode(&key, &rows.batch(&part).unwrap(), 1).unwrap();
        let path = directory.path().join(key.to_string());
        if chunks.is_empty() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &encoded.bytes).unwrap();
        }
        chunks.push(Arc::new(Chunk::new(key, &encoded, vec![])));
    }
    let key = ChunkKey {
        shard: Shard(0),
        day: (DAY / DAY_MS) as i32,
        first: Seq(3),
        last: Seq(3),
        content: Content::Events,
        ..chunks[0].key.clone()
    };
    let gaps = [
        gap(Some(DEVICE), Some("temperature"), 10),
        gap(Some("attic/other"), Some("temperature"), 10),
        gap(Some(DEVICE), Some("humidity"), 3_600_000),
        gap(None, None, 7_200_000),
    ];
    let encoded = event::encode(&key, &gaps, 1).unwrap();
    let path = directory.path().join(key.to_string());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &encoded.bytes).unwrap();
    chunks.push(Arc::new(Chunk::new(key, &encoded, vec![])));
    TestLake {
        directory,
        view: View {
            chunks: Arc::new(chunks),
            ..View::default()
        },
    }
}

/// A gap of 5 ms on the first day.
fn gap(device: Option<&str>, metric: Option<&str>, after: i64) -> Event {
    Event {
        ts: DAY + after,
        until: DAY + after + 5,
        kind: event::GAP.into(),
        device: device.map(Into::into),
        metric: metric.map(Into::into),
        tier: device.map(|_| "telemetry".into()),
        reason: Some(event::reason::EVICTED.into()),
        rows: device.map(|_| 6),
        records: None,
        bytes: Some(60),
        edge: EdgeId(1),
        first_seq: Seq(1),
        last_seq: Seq(9),
        recorded: DAY,
        text: None,
    }
}

#[derive(Debug)]
struct Host {
    engine: Arc<Engine>,
    clock: ManualClock,
    reasons: Mutex<Vec<String>>,
    live: Arc<LiveHub>,
    people: People,
}

/// Who may do what, and who did.
#[derive(Debug)]
struct People {
    access: Arc<Access>,
    noted: Mutex<Vec<(HomeId, AuditEntry)>>,
    _directory: tempfile::TempDir,
}

impl People {
    fn at(now_ms: i64) -> People {
        let directory = tempfile::tempdir().unwrap();
        let settings = AccessSettings {
            store: Store::directory(directory.path()).unwrap(),
            key_file: directory.path().join("issuer.key"),
            trusted: Vec::new(),
            rate: RateSettings::per_second(0),
        };
        People {
            access: Arc::new(Access::new(settings, Arc::new(ManualClock::at(now_ms)))),
            noted: Mutex::default(),
            _directory: directory,
        }
    }

    async fn token(&self, name: &str, role: Role, homes: &[&str]) -> String {
        let request = TokenRequest {
            name: name.into(),
            role,
            homes: Homes::parse(homes).unwrap(),
            lifetime: Duration::from_secs(86_400),
            by: "test".into(),
        };
        self.access.issue(request).await.unwrap().token
    }

    /// What was noted.
    fn audited(&self) -> Vec<AuditEntry> {
        let noted = self.noted.lock();
        noted.iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// What is sent with each request of an owner.
    async fn owner(&self) -> Client {
        client(&self.token("owner", Role::Owner, &["*"]).await)
    }
}

fn client(token: &str) -> Client {
    let value = format!("Bearer {token}").parse().unwrap();
    let headers = [(reqwest::header::AUTHORIZATION, value)];
    let client = Client::builder().default_headers(headers.into_iter().collect());
    client.build().unwrap()
}

#[async_trait]
impl Service for Host {
    fn kind(&self) -> Kind {
        Kind::Edge
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn limits(&self) -> Limits {
        Limits {
            rows: 50,
            ..Limits::default()
        }
    }

    fn access(&self) -> &Arc<Access> {
        &self.people.access
    }

    async fn audit(&self, home: &HomeId, entry: AuditEntry) {
        self.people.noted.lock().push((home.clone(), entry));
    }

    fn live(&self, home: &str) -> Option<Arc<LiveHub>> {
        (home == "h").then(|| self.live.clone())
    }

    fn not_ready(&self) -> Vec<String> {
        self.reasons.lock().clone()
    }
}

struct Fixture {
    url: String,
    http: Client,
    host: Arc<Host>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Fixture {
    async fn new() -> Fixture {
        Fixture::with(HttpSettings::default()).await
    }

    async fn with(http: HttpSettings) -> Fixture {
        let settings = EngineSettings {
            threads: 2,
            ..EngineSettings::default()
        };
        let host = Arc::new(Host {
            engine: Arc::new(Engine::new(Arc::new(lake()), &settings).unwrap()),
            clock: ManualClock::at(DAY + DAY_MS),
            reasons: Mutex::default(),
            live: Arc::new(LiveHub::new(7, LiveMetrics::default())),
            people: People::at(DAY + DAY_MS),
        });
        host.live.feed_began();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = serve(listener, host.clone(), Arc::default(), http, stop.clone());
        Fixture {
            url,
            http: host.people.owner().await,
            host,
            stop,
            served: tokio::spawn(served),
        }
    }

    async fn get(&self, path: &str, accept: &str) -> Response {
        self.http
            .get(format!("{}{path}", self.url))
            .header("accept", accept)
            .send()
            .await
            .unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path, "application/json").await;
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn sql(&self, sql: &str, accept: &str) -> Response {
        let request = self
            .http
            .post(format!("{}/v1/sql", self.url))
            .header("accept", accept);
        let body = json!({ "sql": sql }).to_string();
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap()
    }
}

async fn problem(response: Response, status: u16) -> Value {
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let url = response.url().clone();
    assert_eq!(
        (response.status().as_u16(), kind.as_str()),
        (status, "application/problem+json"),
        "{url}"
    );
    let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["status"], status);
    for field in ["type", "title", "detail"] {
        assert!(
            problem[field].as_str().is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
    }
    problem
}

#[tokio::test]
async fn readings_come_alike_in_every_form() {
    let fixture = Fixture::new().await;
    let path = format!("/v1/homes/h/devices/{ENCODED}/readings?limit=20");
    let page = fixture.json(&path).await;
    let readings = page["readings"].as_array().unwrap();
    assert_eq!(readings.len(), 20);
    assert_eq!(readings[0]["ts"], "2024-10-04T00:00:00.000Z");
    assert_eq!(
        (
            &readings[1]["value"],
            &readings[1]["text"],
            &readings[1]["seq"]
        ),
        (&json!(0.25), &Value::Null, &json!(2))
    );
    assert_eq!(
        (&readings[2]["value"], &readings[2]["text"]),
        (&Value::Null, &json!("a \"b\", c"))
    );
    assert!(readings[0].as_object().unwrap().contains_key("count"));
    assert_eq!(page["missing"][0]["rows"], 30);
    let seqs: Vec<i64> = readings
        .iter()
        .map(|r| r["seq"].as_i64().unwrap())
        .collect();
    let of = |batches: Vec<RecordBatch>| -> Vec<i64> {
        let column = |b: &RecordBatch| {
            b.column_by_name("seq")
                .unwrap()
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        };
        batches.iter().flat_map(column).collect()
    };
    let bytes = |response: Response| async move {
        assert_eq!(response.headers()["tarn-missing-chunks"], "1");
        assert!(response.headers().contains_key("tarn-next-cursor"));
        response.bytes().await.unwrap()
    };
    let csv = bytes(fixture.get(&path, "text/csv").await).await;
    let csv = std::str::from_utf8(&csv).unwrap();
    assert_eq!(csv.lines().count(), 21);
    assert!(
        csv.contains("2024-10-04T00:00:00.000Z,attic/t °,temperature,0.0,,°C"),
        "{csv}"
    );
    assert!(csv.contains("\"a \"\"b\"\", c\""));
    let arrow = bytes(
        fixture
            .get(&path, "application/vnd.apache.arrow.stream")
            .await,
    )
    .await;
    let arrow = StreamReader::try_new(std::io::Cursor::new(arrow), None).unwrap();
    assert_eq!(of(arrow.map(Result::unwrap).collect()), seqs);
    let parquet: Bytes = bytes(fixture.get(&path, "application/vnd.apache.parquet").await).await;
    let parquet = ParquetRecordBatchReaderBuilder::try_new(parquet)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(of(parquet.map(Result::unwrap).collect()), seqs);
    let next = format!("{path}&cursor={}", page["next_cursor"].as_str().unwrap());
    let page = fixture.json(&next).await;
    assert_eq!(
        (
            page["readings"].as_array().unwrap().len(),
            &page["next_cursor"]
        ),
        (10, &Value::Null)
    );
    problem(fixture.get(&path, "image/png").await, 406).await;
}

#[tokio::test]
async fn windows_metrics_and_buckets_are_heard() {
    let fixture = Fixture::new().await;
    let base = format!("/v1/homes/h/devices/{ENCODED}/readings");
    let count = async |query: &str| {
        fixture.json(&format!("{base}?{query}")).await["readings"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count("from=-12h&to=now").await, 15);
    assert_eq!(count("metric=power").await, 0);
    assert_eq!(count("metric=power&metric=temperature").await, 30);
    assert_eq!(count("to=2024-10-04T12:00:00Z").await, 15);
    let page = fixture
        .json(&format!("{base}?every=12h&agg=max&to=2024-10-05"))
        .await;
    let values: Vec<_> = page["readings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["value"].clone())
        .collect();
    assert_eq!(values, [json!(3.25), json!(7.0)]);
    assert_eq!(page["missing"], json!([]));
    for query in [
        "every=1y",
        "agg=max",
        "from=soon",
        "limit=0",
        "limit=100001",
        "limit=x",
        "cursor=abc",
        "every=1h&agg=median",
    ] {
        problem(fixture.get(&format!("{base}?{query}"), "*/*").await, 400).await;
    }
}

#[tokio::test]
async fn gaps_are_told_beside_readings_and_by_themselves() {
    let fixture = Fixture::new().await;
    let check = async |query: &str, expected: &[(&str, &str)]| {
        let path = format!("/v1/homes/h/devices/{ENCODED}/readings?limit=5{query}");
        let page = fixture.json(&path).await;
        let told = |gaps: &Value| -> Vec<(String, String)> {
            let gaps = gaps.as_array().unwrap().iter();
            let text = |value: &Value| value.as_str().unwrap_or("all").to_owned();
            gaps.map(|gap| (text(&gap["metric"]), text(&gap["from"])))
                .collect()
        };
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(metric, from)| ((*metric).into(), format!("2024-10-04T{from}Z")))
            .collect();
        assert_eq!(told(&page["gaps"]), expected, "{query}: {page}");
        let csv = fixture.get(&path, "text/csv").await;
        assert_eq!(
            csv.headers()["tarn-gaps"],
            expected.len().to_string().as_str()
        );
        let path = format!("/v1/homes/h/gaps?device={ENCODED}{query}");
        let list = fixture.json(&path).await;
        assert_eq!(told(&list["gaps"]), expected, "{query}: {list}");
        assert_eq!(list["count"], expected.len());
    };
    let (t, h) = (
        ("temperature", "00:00:00.010"),
        ("humidity", "01:00:00.000"),
    );
    let all = ("all", "02:00:00.000");
    check("", &[t, h, all]).await;
    check("&metric=temperature", &[t, all]).await;
    // Both ends of a gap belong to it, the end that is asked for does not belong to the question.
    check("&from=2024-10-04T00:00:00.015Z", &[t, h, all]).await;
    check("&from=2024-10-04T00:00:00.016Z", &[h, all]).await;
    check("&to=2024-10-04T01:00:00Z", &[t]).await;
    check("&to=2024-10-04T01:00:00.001Z", &[t, h]).await;
    check("&to=2024-10-03", &[]).await;
    let home = fixture.json("/v1/homes/h/gaps").await;
    assert_eq!(home["count"], 4);
    let first = &home["gaps"][0];
    assert_eq!(
        (
            &first["device"],
            &first["rows"],
            &first["reason"],
            &first["tier"]
        ),
        (
            &json!("attic/other"),
            &json!(6),
            &json!("evicted"),
            &json!("telemetry")
        )
    );
    // A later page tells those from where it starts.
    let page = fixture
        .json(&format!("/v1/homes/h/devices/{ENCODED}/readings?limit=5"))
        .await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/v1/homes/h/devices/{ENCODED}/readings?limit=5&cursor={cursor}");
    assert_eq!(fixture.json(&path).await["gaps"], json!([]));
    let sql = "SELECT count(*), sum(rows), min(home), min(CAST(date AS VARCHAR)) FROM events WHERE kind = 'gap' AND device IS NOT NULL";
    let answer = fixture.sql(sql, "application/json").await;
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(
        answer["rows"][0],
        json!([3, 18, "h", "2024-10-04"]),
        "{answer}"
    );
    problem(fixture.get("/v1/homes/h/gaps?from=soon", "*/*").await, 400).await;
    problem(fixture.get("/v1/homes/other/gaps", "*/*").await, 404).await;
}

#[tokio::test]
async fn homes_and_devices_are_listed() {
    let fixture = Fixture::new().await;
    let homes = fixture.json("/v1/homes").await;
    assert_eq!(
        (&homes["homes"][0]["home"], &homes["homes"][0]["rows"]),
        (&json!("h"), &json!(60))
    );
    let devices = fixture.json("/v1/homes/h/devices").await;
    let device = &devices["devices"][0];
    assert_eq!(
        (&device["device"], &device["rows"]),
        (&json!(DEVICE), &json!(30))
    );
    assert_eq!(device["metrics"][0]["text"], "a \"b\", c");
    assert_eq!(devices["missing"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn latest_readings_are_listed() {
    let fixture = Fixture::new().await;
    let all = fixture.json("/v1/homes/h/latest").await;
    let latest = json!([{
        "device": DEVICE,
        "metric": "temperature",
        "ts": "2024-10-04T23:12:00.000Z",
        "value": null,
        "text": "a \"b\", c",
        "unit": null,
    }]);
    assert_eq!(all["latest"], latest);
    assert_eq!(all["missing"].as_array().unwrap().len(), 1);
    let asked = format!("/v1/homes/h/latest?metric=humidity&metric=temperature&device={ENCODED}");
    assert_eq!(fixture.json(&asked).await["latest"], latest);
    for none in ["?metric=humidity", "?device=attic"] {
        let asked = format!("/v1/homes/h/latest{none}");
        assert_eq!(fixture.json(&asked).await["latest"], json!([]), "{none}");
    }
}

#[tokio::test]
async fn sql_answers_in_every_form() {
    let fixture = Fixture::new().await;
    let sql =
        "SELECT seq, value, ts, date, CAST('NaN' AS DOUBLE) AS nan FROM readings ORDER BY seq";
    let answer: Value =
        serde_json::from_slice(&fixture.sql(sql, "*/*").await.bytes().await.unwrap()).unwrap();
    assert!(answer["columns"].is_array(), "{answer}");
    assert_eq!(
        answer["columns"][0],
        json!({"name": "seq", "type": "Int64"})
    );
    assert_eq!(
        answer["rows"][1],
        json!([2, 0.25, "2024-10-04T00:48:00.000Z", "2024-10-04", null])
    );
    assert_eq!(
        (&answer["truncated"], &answer["missing"][0]["reason"]),
        (&json!(false), &json!("gone"))
    );
    let cross = "SELECT a.seq FROM readings a, readings b";
    let response = fixture.sql(cross, "text/csv").await;
    assert_eq!(response.headers()["tarn-truncated"], "true");
    assert_eq!(response.text().await.unwrap().lines().count(), 51);
    let response = fixture
        .sql("SELECT seq FROM readings WHERE seq < 0", "text/csv")
        .await;
    assert_eq!(response.text().await.unwrap(), "seq\n");
    for accept in [
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.parquet",
    ] {
        assert_eq!(
            fixture.sql(sql, accept).await.headers()["content-type"],
            accept
        );
    }
    problem(
        fixture.sql("SELECT nothing FROM readings", "*/*").await,
        400,
    )
    .await;
    problem(fixture.sql("SELECT make_array(1)", "text/csv").await, 400).await;
    problem(fixture.sql("DROP TABLE readings", "*/*").await, 400).await;
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let fixture = Fixture::new().await;
    for (path, status) in [
        ("/nothing", 404),
        ("/v1/homes/nobody/devices", 404),
        ("/v1/homes/..a/devices", 400),
        ("/v1/homes/nobody/devices/d/readings", 404),
        ("/v1/sql", 405),
        ("/v1/homes/h/devices/%ff/readings", 400),
    ] {
        problem(fixture.get(path, "application/json").await, status).await;
    }
    let post = |body: String, kind: &'static str| {
        let request = fixture
            .http
            .post(format!("{}/v1/sql", fixture.url))
            .header("content-type", kind);
        let sent = request.body(body).send();
        async { sent.await.unwrap() }
    };
    problem(post("{".into(), "application/json").await, 400).await;
    problem(post("{\"sql\": 1}".into(), "application/json").await, 400).await;
    problem(
        post(
            "{\"sql\": \"SELECT 1\", \"more\": 1}".into(),
            "application/json",
        )
        .await,
        400,
    )
    .await;
    problem(post("SELECT 1".into(), "text/plain").await, 415).await;
    problem(
        post(" ".repeat((1 << 20) + 1), "application/json").await,
        413,
    )
    .await;
    problem(post("[".repeat(100_000), "application/json").await, 400).await;
}

#[tokio::test]
async fn the_service_tells_its_state_and_stops() {
    let fixture = Fixture::new().await;
    assert_eq!(
        fixture.get("/healthz", "*/*").await.text().await.unwrap(),
        "ok\n"
    );
    assert_eq!(fixture.get("/readyz", "*/*").await.status(), 200);
    fixture.host.reasons.lock().push("no store".into());
    let told = problem(fixture.get("/readyz", "*/*").await, 503).await;
    assert_eq!(told["detail"], "no store");
    fixture.get("/nothing", "*/*").await;
    let response = fixture.get("/metrics", "*/*").await;
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = response.text().await.unwrap();
    assert!(
        text.contains("tarn_http_requests_total{route=\"/healthz\",status=\"200\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("tarn_http_requests_total{route=\"unmatched\",status=\"404\"} 1"),
        "{text}"
    );
    assert_eq!(
        fixture
            .get("/openapi.json", "*/*")
            .await
            .text()
            .await
            .unwrap(),
        edge_document()
    );
    let docs = fixture.get("/docs", "text/html").await;
    assert!(
        docs.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'self'")
    );
    let docs = docs.text().await.unwrap();
    assert!(
        docs.contains("listReadings") && !docs.contains("fonts.googleapis.com/css2?family=Open")
    );
    fixture.stop.cancel();
    fixture.served.await.unwrap().unwrap();
}

#[test]
fn the_documents_are_current() {
    for (name, text) in [
        ("edge.json", edge_document()),
        ("cloud.json", cloud_document()),
    ] {
        // Cargo runs tests in the folder of their package.
        let committed = std::fs::read_to_string(name).unwrap_or_default();
        assert!(
            committed == text,
            "openapi/{name} is not current: run `make openapi`"
        );
    }
}

#[test]
fn operations_and_their_errors_are_described() {
    let document: Value = serde_json::from_str(&edge_document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(!paths.is_empty());
    for (path, operations) in paths {
        for operation in operations.as_object().unwrap().values() {
            for field in ["operationId", "summary", "description", "tags"] {
                assert!(!operation[field].is_null(), "{path} has no {field}");
            }
        }
    }
    let device = &paths["/v1/homes/{home}/devices/{device}"];
    for (method, operation) in [("get", "getDevice"), ("patch", "updateDevice")] {
        assert_eq!(device[method]["operationId"], operation);
    }
    let readings = &paths["/v1/homes/{home}/devices/{device}/readings"]["get"];
    for status in ["400", "404", "406", "422", "500", "503"] {
        let content = &readings["responses"][status]["content"];
        assert!(
            content.get("application/problem+json").is_some(),
            "{status}: {content}"
        );
    }
    assert_eq!(
        readings["responses"]["200"]["content"]
            .as_object()
            .unwrap()
            .len(),
        4
    );
    assert_eq!(
        document["components"]["schemas"]["Reading"]["properties"]["value"]["nullable"],
        true
    );
}
