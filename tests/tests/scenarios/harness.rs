use std::time::Duration;

use serde_json::json;
use tarn_tests::fault_proxy::{Fault, FaultProxy};
use tarn_tests::http::Http;
use tarn_tests::python::{self, ENGINES};
use tarn_tests::s3::S3Server;
use tarn_tests::tools;
use tarn_tests::wait;

/// Writes a lake without Tarn and asks every engine every query: all must agree.
fn check_readers(store: &str, variables: &[(String, String)]) {
    let _ = python::run("write_lake.py", &[store, "--rows", "3000"], variables).succeeded();
    for query in ["count", "by_metric", "rows", "duplicates"] {
        let answers = ENGINES.map(|engine| python::read_lake(engine, store, query, variables));
        assert_eq!(answers[0], answers[1], "{query}: DuckDB and PyArrow differ");
        assert_eq!(answers[0], answers[2], "{query}: DuckDB and Polars differ");
    }
    assert_eq!(python::count("duckdb", store, variables), 3000);
    assert_eq!(
        python::read_lake("polars", store, "rows", variables).len(),
        3000
    );
}

#[test]
fn readers_agree_on_a_directory() {
    let folder = tools::folder("readers");
    check_readers(&format!("file://{}", folder.path().display()), &[]);
}

#[test]
fn readers_agree_on_s3() {
    let server = S3Server::shared();
    check_readers(&server.fresh_store("readers"), &server.variables());
}

/// Makes a lake with a known flaw and gives the checker's report.
fn report(flaw: &[&str]) -> serde_json::Value {
    let folder = tools::folder("checker");
    let acked = folder.path().join("acked");
    let (store, acked_name) = (
        folder.path().display().to_string(),
        acked.display().to_string(),
    );
    let mut arguments = vec![store.as_str(), "--rows", "500", "--acked", &acked_name];
    arguments.extend(flaw);
    let _ = python::run("write_lake.py", &arguments, &[]).succeeded();
    python::check_acked(&store, &[&acked], &[], &[])
}

#[test]
fn checker_passes_a_whole_lake() {
    let report = report(&[]);
    assert_eq!(
        (&report["ok"], &report["acked_messages"]),
        (&json!(true), &json!(500))
    );
}

#[test]
fn checker_sees_a_lost_reading() {
    let report = report(&["--lose", "1"]);
    assert_eq!(
        (&report["ok"], &report["missing"]),
        (&json!(false), &json!(1))
    );
}

#[test]
fn checker_sees_a_reading_stored_again() {
    let report = report(&["--repeat", "1"]);
    assert_eq!(
        (&report["ok"], &report["stored_more_often_than_acked"]),
        (&json!(false), &json!(1))
    );
}

#[test]
fn checker_sees_a_sequence_stored_twice() {
    let report = report(&["--copy", "1"]);
    assert_eq!(
        (&report["ok"], &report["same_edge_seq_metric"]),
        (&json!(false), &json!(1))
    );
}

/// The lake as DuckDB counts it through the proxy, if it can.
fn count_through(proxy: &FaultProxy, store: &str) -> Result<String, String> {
    let variables = S3Server::variables_for(&proxy.endpoint());
    let finished = python::run("read_lake.py", &["pyarrow", store, "by_metric"], &variables);
    if finished.code() == 0 {
        Ok(finished.stdout)
    } else {
        Err(finished.stderr)
    }
}

#[test]
fn fault_proxy_does_each_fault() {
    let server = S3Server::shared();
    let store = server.fresh_store("proxy");
    let _ = python::run(
        "write_lake.py",
        &[&store, "--rows", "2000"],
        &server.variables(),
    )
    .succeeded();
    let proxy = FaultProxy::start(&server.address());

    let well = count_through(&proxy, &store).expect("a proxy without a fault is invisible");
    assert!(well.contains(r#""count": 1600"#), "{well}");
    assert_eq!(proxy.faulted(), 0);

    for fault in [Fault::Status(403), Fault::CutBody, Fault::FlipAnswer] {
        proxy.set_for(fault, Some("GET"), ".parquet");
        let before = proxy.faulted();
        let answer = count_through(&proxy, &store);
        // A flipped bit may fall where nothing reads; the other faults cannot pass unseen.
        assert!(
            answer.is_err() || fault == Fault::FlipAnswer,
            "{fault:?} gave {answer:?}"
        );
        assert!(
            answer.as_ref() != Ok(&well) || fault == Fault::FlipAnswer,
            "{fault:?}"
        );
        assert!(proxy.faulted() > before, "{fault:?} met no request");
    }

    // Bytes that are wrong on their way in reach the server: a writer that checks would notice.
    proxy.set_for(Fault::FlipRequest, Some("PUT"), ".parquet");
    let through = S3Server::variables_for(&proxy.endpoint());
    let spoiled = server.fresh_store("spoiled");
    let before = proxy.faulted();
    let _ = python::run("write_lake.py", &[&spoiled, "--rows", "10"], &through);
    assert!(proxy.faulted() > before);
    proxy.set(Fault::None);
    assert_eq!(
        count_through(&proxy, &store).as_ref(),
        Ok(&well),
        "the line is healed"
    );
}

#[test]
fn fault_proxy_refuses_and_hangs() {
    let server = S3Server::shared();
    let proxy = FaultProxy::start(&server.address());
    let url = format!("{}/healthz", proxy.endpoint());
    let http = Http::new();
    assert_eq!(http.get(&url, "*/*").status, 200);
    for status in [403, 503] {
        proxy.set(Fault::Status(status));
        let answer = http.get(&url, "*/*");
        assert_eq!(answer.status, status);
        assert!(answer.text().contains("<Code>"), "{}", answer.text());
    }

    proxy.set(Fault::Never);
    let before = proxy.faulted();
    let asking = std::thread::spawn(move || Http::new().try_get(&url, "*/*").is_err());
    wait::until_true(Duration::from_secs(10), "the request should arrive", || {
        proxy.faulted() > before
    });
    assert!(!asking.is_finished(), "it should hang");
    proxy.set(Fault::None);
    assert!(
        asking.join().expect("the asking thread"),
        "a hung request ends without an answer"
    );
}

#[test]
fn s3_server_pauses_and_restarts() {
    let mut server = S3Server::start();
    let store = server.fresh_store("restart");
    let _ = python::run(
        "write_lake.py",
        &[&store, "--rows", "100"],
        &server.variables(),
    )
    .succeeded();
    let url = format!("{}/healthz", server.endpoint());
    let http = Http::new();

    server.pause();
    let asked = url.clone();
    let asking = std::thread::spawn(move || Http::new().get(&asked, "*/*").status);
    // A paused process cannot answer, however long one looks: a moment is enough to see that.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!asking.is_finished(), "a paused server answered");
    server.resume();
    assert_eq!(asking.join().expect("the asking thread"), 200);

    server.kill_9();
    assert!(
        http.try_get(&url, "*/*").is_err(),
        "a killed server answered"
    );
    server.restart();
    assert_eq!(python::count("pyarrow", &store, &server.variables()), 100);
}
