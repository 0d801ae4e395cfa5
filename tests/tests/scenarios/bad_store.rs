use std::path::Path;
use std::time::Duration;

use tarn_tests::fault_proxy::{Fault, FaultProxy};
use tarn_tests::http::Http;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::Launch;
use tarn_tests::s3::S3Server;
use tarn_tests::{python, tools, wait};

/// Readings published before the fault, during it, and after it.
const EACH: usize = 100;
/// How many requests must have met the fault before it is healed.
const FAULTED_MIN: u64 = 3;
const LIMIT: Duration = Duration::from_secs(120);

/// While the store does this to what the box writes, the box goes on; afterwards the store is whole.
fn check(name: &str, fault: Fault, method: Option<&str>) {
    let folder = tools::folder(name);
    let server = S3Server::shared();
    let proxy = FaultProxy::start(&server.address());
    let store = server.fresh_store(name);
    let edge = Launch::edge(folder.path(), name)
        .arg("--cut-age", "1s")
        .arg("--ship-timeout", "2s")
        .store(&store, &S3Server::variables_for(&proxy.endpoint()))
        .serve();
    let mut acked = Vec::new();
    let mut publish = |part: usize| {
        let file = folder.path().join(format!("{part}.acked"));
        publish_some(folder.path(), edge.mqtt_port(), part, &file);
        acked.push(file);
    };

    publish(0);
    wait_for(server, &store, EACH);
    proxy.set_for(fault, method, "");
    publish(1);
    wait::until_true(LIMIT, "the box should try to reach the store", || {
        proxy.faulted() >= FAULTED_MIN
    });
    // Law 2: with the store out of reach, the box takes readings and answers.
    publish(2);
    let health = Http::new().get(&edge.url("/healthz"), "*/*");
    assert_eq!(health.status, 200, "{}", health.text());
    proxy.set(Fault::None);
    wait_for(server, &store, 3 * EACH);

    let variables = server.variables();
    let files: Vec<&Path> = acked.iter().map(AsRef::as_ref).collect();
    let report = python::check_acked(&store, &files, &[], &variables);
    assert_eq!(report["ok"], true, "{report}");
    let verify =
        Launch::command(folder.path(), "verify", &["verify", "--json"]).store(&store, &variables);
    let _ = verify.run().succeeded();
    edge.assert_quiet(&["store"]);
}

fn publish_some(folder: &Path, port: u16, part: usize, acked: &Path) {
    let first = part * EACH;
    let payloads = (first..first + EACH)
        .map(|number| number.to_string())
        .collect();
    let log = folder.join(format!("mosquitto_pub-{part}.log"));
    let mut lines = Mosquitto::new(port).publish_lines("home/meter/counter", payloads, 1, &log);
    assert_eq!(
        lines.wait(Duration::from_secs(30)),
        0,
        "the box should ack, whatever the store does"
    );
    lines.write_acked(acked);
}

/// Waits, past the proxy, until the store holds this many rows.
fn wait_for(server: &S3Server, store: &str, rows: usize) {
    let what = format!("the store should hold {rows} rows");
    wait::until_true(LIMIT, what, || {
        python::count("pyarrow", store, &server.variables()) >= rows as u64
    });
}

#[test]
fn a_store_that_forbids() {
    check("forbids", Fault::Status(403), None);
}

#[test]
fn a_store_that_is_overloaded() {
    check("overloaded", Fault::Status(503), None);
}

#[test]
fn a_line_that_breaks_in_the_middle_of_a_put() {
    check("breaks", Fault::CutBody, Some("PUT"));
}

#[test]
fn a_line_that_changes_bytes_of_a_put() {
    check("changes", Fault::FlipRequest, Some("PUT"));
}

#[test]
fn a_store_that_never_answers() {
    check("hangs", Fault::Never, None);
}

/// A cloud that reads wrong bytes says so, or answers right by reading again: never with a wrong number.
#[test]
fn a_line_that_changes_bytes_of_a_read() {
    let folder = tools::folder("lies");
    let server = S3Server::shared();
    let store = server.fresh_store("lies");
    let mut edge = Launch::edge(folder.path(), "lies")
        .arg("--cut-age", "1s")
        .store(&store, &server.variables())
        .serve();
    publish_some(
        folder.path(),
        edge.mqtt_port(),
        0,
        &folder.path().join("acked"),
    );
    wait_for(server, &store, EACH);
    assert_eq!(edge.terminate(), 0);

    let proxy = FaultProxy::start(&server.address());
    proxy.set_for(Fault::FlipAnswer, Some("GET"), ".parquet");
    let through = S3Server::variables_for(&proxy.endpoint());
    let cloud = Launch::cloud(folder.path()).store(&store, &through).serve();
    let http = Http::new();
    let url = cloud.url("/v1/homes/lies/devices/home%2Fmeter/readings?metric=counter&limit=1000");
    // What was read with wrong bytes is in no answer, and each answer says which readings those are.
    wait::until_true(LIMIT, "the cloud should know of the readings", || {
        let answer = http.get(&url, "application/json");
        answer.status == 200
            && serde_json::from_slice(&answer.body)
                .is_ok_and(|page| missing_rows(&page) == EACH as u64)
    });
    assert!(
        proxy.faulted() > 0,
        "the question was answered without the store"
    );
    assert_eq!(http.json(&url)["readings"], serde_json::json!([]));

    proxy.set(Fault::None);
    wait::until_true(
        LIMIT,
        "the cloud should answer once the line is good",
        || {
            let answer = http.get(&url, "text/csv");
            answer.status == 200 && answer.text().lines().count() == EACH + 1
        },
    );
}

fn missing_rows(page: &serde_json::Value) -> u64 {
    let missing = page["missing"].as_array().into_iter().flatten();
    missing
        .map(|chunk| chunk["rows"].as_u64().unwrap_or(0))
        .sum()
}
