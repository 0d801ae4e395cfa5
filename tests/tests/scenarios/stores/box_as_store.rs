use std::time::Duration;

use serde_json::Value;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::{Launch, Service};
use tarn_tests::s3::S3Server;
use tarn_tests::{python, tools, wait};

const READINGS: u64 = 200;
const LIMIT: Duration = Duration::from_secs(60);

fn publish(folder: &std::path::Path, edge: &Service) {
    let payloads = (0..READINGS).map(|number| number.to_string()).collect();
    let log = folder.join("mosquitto_pub.log");
    let mut lines =
        Mosquitto::new(edge.mqtt_port()).publish_lines("home/meter/counter", payloads, 1, &log);
    assert_eq!(lines.wait(LIMIT), 0);
}

fn wait_for_rows(store: &str, variables: &[(String, String)]) {
    wait::until_true(
        LIMIT,
        format!("{store} should hold {READINGS} rows"),
        || python::count("pyarrow", store, variables) == READINGS,
    );
}

/// A box ships to a served directory as to any bucket, and every reader reads it.
#[test]
fn a_box_ships_to_a_served_directory() {
    let folder = tools::folder("ships");
    let mut server = Launch::store_server(folder.path(), "ships").serve();
    let variables = S3Server::variables_for(&server.s3_endpoint());
    let store = "s3://tarn/house";
    let mut edge = Launch::edge(folder.path(), "sender")
        .arg("--cut-age", "1s")
        .store(store, &variables)
        .serve();
    publish(folder.path(), &edge);
    wait_for_rows(store, &variables);
    for engine in python::ENGINES {
        assert_eq!(
            python::count(engine, store, &variables),
            READINGS,
            "{engine}"
        );
    }
    assert_eq!(edge.terminate(), 0);
    let verify = Launch::command(folder.path(), "verify", &["verify", "--json"]);
    let _ = verify.clone().store(store, &variables).run().succeeded();
    // The same directory without the server is the same store.
    assert_eq!(server.terminate(), 0);
    let directory = format!("file://{}/house", folder.path().join("ships").display());
    let _ = verify.store(&directory, &[]).run().succeeded();
    server.assert_quiet(&[]);
    edge.assert_quiet(&[]);
}

/// One box keeps the other's readings, and shows an analyst its own, which nobody may change.
#[test]
fn a_box_is_a_store_of_its_house() {
    let folder = tools::folder("house");
    let keeper = Launch::edge(folder.path(), "keeper")
        .arg("--cut-age", "1s")
        .arg("--s3", "127.0.0.1:0")
        .serve();
    let keys = std::fs::read(folder.path().join("keeper/s3-keys.json")).expect("keys were made");
    let keys: Value = serde_json::from_slice(&keys).expect("JSON");
    let as_who = |who: &str| {
        let mut variables = S3Server::variables_for(&keeper.s3_endpoint());
        for (name, value) in &mut variables {
            let which = match name.as_str() {
                "AWS_ACCESS_KEY_ID" => "access_key",
                "AWS_SECRET_ACCESS_KEY" => "secret_key",
                _ => continue,
            };
            *value = keys[who][which].as_str().expect("a key").to_owned();
        }
        variables
    };
    let (owner, reader) = (as_who("owner"), as_who("reader"));

    let mut sender = Launch::edge(folder.path(), "sender")
        .arg("--cut-age", "1s")
        .store("s3://neighbours", &owner)
        .serve();
    publish(folder.path(), &sender);
    wait_for_rows("s3://neighbours", &reader);
    assert_eq!(sender.terminate(), 0);
    let verify = Launch::command(folder.path(), "verify", &["verify", "--json"]);
    let _ = verify.store("s3://neighbours", &reader).run().succeeded();

    // What the keeper was told itself, read at its own disk.
    publish(folder.path(), &keeper);
    wait_for_rows("s3://tarn", &reader);
    assert_eq!(python::count("duckdb", "s3://tarn", &reader), READINGS);

    for (bucket, variables) in [("tarn", &owner), ("tarn", &reader), ("neighbours", &reader)] {
        let report =
            python::run("s3_client.py", &["put", bucket, "intruder"], variables).succeeded();
        assert!(report.contains("AccessDenied"), "{bucket}: {report}");
    }
    let metrics = tarn_tests::http::Http::new()
        .get(&keeper.url("/metrics"), "*/*")
        .text();
    assert!(
        metrics.contains(r#"tarn_s3_requests_total{operation="PutObject",outcome="ok"}"#),
        "{metrics}"
    );
    keeper.assert_quiet(&[]);
}
