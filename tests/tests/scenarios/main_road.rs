use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tarn_tests::http::Http;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::{Launch, Service};
use tarn_tests::python::{self, ENGINES};
use tarn_tests::s3::S3Server;
use tarn_tests::{tools, wait};

const HOME: &str = "lakeside";
/// Readings of the device `home/meter`, with the values 0, 1, 2 …
const METER_READINGS: usize = 500;
const CSV: &str = "text/csv";

/// From a device's publish to an analyst's query and an app's request, each by the tools they use.
#[test]
fn a_reading_travels_from_a_device_to_everyone() {
    let folder = tools::folder("main-road");
    let server = S3Server::shared();
    let variables = server.variables();
    let store = server.fresh_store("main-road");
    let edge = Launch::edge(folder.path(), HOME)
        .arg("--cut-age", "1s")
        .store(&store, &variables)
        .serve();
    let mut cloud = Launch::cloud(folder.path())
        .store(&store, &variables)
        .serve();

    let clients = Mosquitto::new(edge.mqtt_port());
    clients.publish("home/kitchen/temperature", "21.5", 1);
    clients.publish("home/kitchen/lock", "locked", 1);
    clients.publish("home/air", r#"{"co2":600,"dust":{"pm10":4.5}}"#, 2);
    let acked = folder.path().join("paho.acked");
    let port = edge.mqtt_port().to_string();
    let (count, acked_name) = (METER_READINGS.to_string(), acked.display().to_string());
    let arguments = [
        "--port",
        &port,
        "--client-id",
        "meter",
        "--topic",
        "home/meter/counter",
    ];
    let more = ["--count", &count, "--acked", &acked_name];
    let _ = python::run(
        "paho_publish.py",
        &[arguments.as_slice(), &more].concat(),
        &[],
    )
    .succeeded();

    let rows = METER_READINGS as u64 + 4;
    wait::until_true(
        Duration::from_secs(60),
        "every reading should be in the bucket",
        || python::count("pyarrow", &store, &variables) >= rows,
    );
    let [duckdb, pyarrow, polars] =
        ENGINES.map(|engine| python::read_lake(engine, &store, "rows", &variables));
    assert_eq!(duckdb.len() as u64, rows, "nothing is stored twice");
    assert_eq!(duckdb, pyarrow);
    assert_eq!(duckdb, polars);
    let pairs: BTreeSet<_> = duckdb
        .iter()
        .map(|row| {
            (
                row["device"].as_str().unwrap_or_default(),
                row["metric"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("home/air", "co2"),
        ("home/air", "dust.pm10"),
        ("home/kitchen", "lock"),
        ("home/kitchen", "temperature"),
        ("home/meter", "counter"),
    ];
    assert_eq!(pairs, BTreeSet::from(expected));
    let report = python::check_acked(&store, &[&acked], &[], &variables);
    assert_eq!(report["ok"], true, "{report}");

    // What the analyst reads is what the app is told, by the box and by the cloud.
    check_rest(&edge);
    check_rest(&cloud);

    // The bucket is the database: without its cache, a new replica answers the same.
    assert_eq!(cloud.terminate(), 0);
    std::fs::remove_dir_all(folder.path().join("cache")).expect("remove the cache");
    cloud.restart();
    check_rest(&cloud);

    let verify =
        Launch::command(folder.path(), "verify", &["verify", "--json"]).store(&store, &variables);
    let _ = verify.run().succeeded();
    edge.assert_quiet(&[]);
    cloud.assert_quiet(&[]);
}

/// The readings of the meter and the list of devices, in every form that the interface offers.
fn check_rest(service: &Service) {
    let http = Http::new();
    let limit = Duration::from_secs(30);
    wait::until_true(limit, "it should be ready", || {
        http.try_get(&service.url("/readyz"), "*/*")
            .is_ok_and(|answer| answer.status == 200)
    });
    let homes = http.json(&service.url("/v1/homes")).to_string();
    assert!(homes.contains(HOME), "{homes}");
    let devices = http
        .json(&service.url(&format!("/v1/homes/{HOME}/devices")))
        .to_string();
    for device in ["home/air", "home/kitchen", "home/meter"] {
        assert!(devices.contains(device), "{device} is not in {devices}");
    }

    let expected: Vec<f64> = (0..METER_READINGS).map(|number| number as f64).collect();
    let path = format!("/v1/homes/{HOME}/devices/home%2Fmeter/readings?metric=counter&limit=10000");
    let url = service.url(&path);
    let answer = http.get(&url, CSV);
    assert_eq!(
        (answer.status, &answer.content_type[..CSV.len()]),
        (200, CSV),
        "{}",
        answer.text()
    );
    let mut values = csv_numbers(&answer.text(), "value");
    values.sort_by(f64::total_cmp);
    assert_eq!(values, expected);

    let parquet = http.get(&url, "application/vnd.apache.parquet");
    assert_eq!(
        (parquet.status, &parquet.body[..4]),
        (200, b"PAR1".as_slice()),
        "{}",
        parquet.text()
    );
    let arrow = http.get(&url, "application/vnd.apache.arrow.stream");
    // A stream begins with the marker of its first message.
    assert_eq!(
        (arrow.status, &arrow.body[..4]),
        (200, [0xff; 4].as_slice()),
        "{}",
        arrow.text()
    );

    let sql = "SELECT count(*) AS n, sum(value) AS total FROM readings WHERE metric = 'counter'";
    let answer = http
        .post(&service.url("/v1/sql"), &json!({ "sql": sql }))
        .to_string();
    let total: usize = (0..METER_READINGS).sum();
    assert!(answer.contains(&METER_READINGS.to_string()), "{answer}");
    assert!(answer.contains(&total.to_string()), "{answer}");
}

/// The numbers in one column of a CSV document without quoted fields.
fn csv_numbers(text: &str, column: &str) -> Vec<f64> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let index = header.iter().position(|&name| name == column);
    let index = index.unwrap_or_else(|| panic!("there is no column {column} in {header:?}"));
    let number = |line: &str| line.split(',').nth(index)?.parse().ok();
    lines
        .map(|line| number(line).unwrap_or_else(|| panic!("no {column} in {line:?}")))
        .collect()
}
