use std::fs;
use std::path::Path;
use std::time::Duration;

use tarn_tests::http::Http;
use tarn_tests::process::{Launch, Service};
use tarn_tests::s3::S3Server;
use tarn_tests::{python, tools, wait};

const LIMIT: Duration = Duration::from_secs(120);

/// Messages of a simulated house, in which all conventions have spoken.
const HOUSE_MESSAGES: u64 = 1_500;
/// Notes that a small box cannot keep, so that it tells gaps.
const NOTES: &str = "2500";

/// Every snippet of the cookbook runs on a directory, and the engines agree, Spark among them.
#[test]
fn the_cookbook_answers_alike_in_a_directory() {
    let folder = tools::folder("cookbook");
    let store = format!("file://{}/store", folder.path().display());
    check_cookbook(folder.path(), &store, &[]);
}

/// The same on S3, where each engine finds server and keys as the book says.
#[test]
fn the_cookbook_answers_alike_on_s3() {
    let folder = tools::folder("cookbook-s3");
    let server = S3Server::shared();
    let store = server.fresh_store("cookbook");
    check_cookbook(folder.path(), &store, &server.variables());
}

/// Links of the documents lead somewhere.
#[test]
fn documents_link_to_what_is_there() {
    let told = python::run("check_docs.py", &["links"], &[]).succeeded();
    assert!(!told.starts_with("0 "), "nothing was checked: {told}");
}

/// What the documents tell to type is what the program understands.
#[test]
fn documents_name_commands_that_there_are() {
    let binary = tools::tarn();
    let binary = binary.to_str().expect("a path");
    let told = python::run("check_docs.py", &["commands", binary], &[]).succeeded();
    assert!(!told.starts_with("0 "), "nothing was checked: {told}");
}

/// Alert rules of the documents go by figures that a box or a cloud really gives.
#[test]
fn documents_name_figures_that_there_are() {
    let folder = tools::folder("figures");
    let store = format!("file://{}/store", folder.path().display());
    let edge = Launch::edge(folder.path(), "figures")
        .store(&store, &[])
        .serve();
    let cloud = Launch::cloud(folder.path()).store(&store, &[]).serve();
    let files = [(&edge, "edge.metrics"), (&cloud, "cloud.metrics")].map(|(service, name)| {
        let file = folder.path().join(name);
        fs::write(&file, metrics(service)).expect("write figures");
        file.display().to_string()
    });
    let arguments = ["metrics", &files[0], &files[1]];
    let told = python::run("check_docs.py", &arguments, &[]).succeeded();
    assert!(!told.starts_with("0 "), "nothing was checked: {told}");
}

/// Fills a store by two boxes and asks it everything that the book asks.
fn check_cookbook(folder: &Path, store: &str, variables: &[(String, String)]) {
    fill_by_a_home(folder, store, variables);
    fill_by_a_full_box(folder, store, variables);
    let verify = Launch::command(folder, "verify", &["verify"]).store(store, variables);
    let _ = verify.run().succeeded();
    let told = python::run("cookbook.py", &[store, "--needs-rows"], variables).succeeded();
    println!("{told}");
    assert!(told.ends_with(" passed, 0 failed\n"), "{told}");
    let is_s3 = store.starts_with("s3://");
    assert_eq!(
        told.contains("pass  Open the store [Spark]"),
        !is_s3,
        "{told}"
    );
}

/// A home with the days that the book asks for, and with devices of every kind.
fn fill_by_a_home(folder: &Path, store: &str, variables: &[(String, String)]) {
    let mut edge = Launch::edge(folder, "lakeside")
        .arg("--time-zone", "UTC")
        .arg("--cut-age", "1s")
        .store(store, variables)
        .serve();
    publish(&edge, &[]);
    // Other plain topics than those of the days that were told.
    let _ = Launch::simulate(folder, "house", edge.mqtt())
        .arg("--home-prefix", "house")
        .arg("--rate", 200)
        .arg("--messages", HOUSE_MESSAGES)
        .run()
        .succeeded();
    stop_when_shipped(&mut edge);
    edge.assert_quiet(&[]);
}

/// A box that is full before it has a store drops readings, and tells of each gap when it ships.
fn fill_by_a_full_box(folder: &Path, store: &str, variables: &[(String, String)]) {
    let full = || {
        Launch::edge(folder, "hut")
            .arg("--segment-size", "1MiB")
            .arg("--disk-budget", "2MiB")
            .arg("--disk-full", "evict")
            .arg("--cut-age", "1s")
    };
    let mut edge = full().serve();
    publish(&edge, &["--notes", NOTES]);
    wait::until_true(LIMIT, "the box should have dropped readings", || {
        let gaps = Http::new().json(&edge.url("/v1/homes/hut/gaps"));
        gaps["count"].as_u64() > Some(0)
    });
    assert_eq!(edge.terminate(), 0);
    let mut edge = full().store(store, variables).serve();
    stop_when_shipped(&mut edge);
}

/// Publishes what the cookbook's own script has, and waits for its acks.
fn publish(edge: &Service, flags: &[&str]) {
    let port = edge.mqtt_port().to_string();
    let arguments = [["--port", &port].as_slice(), flags].concat();
    let _ = python::run("cookbook_home.py", &arguments, &[]).succeeded();
}

/// Stops a box once nothing of it waits to be shipped.
fn stop_when_shipped(edge: &mut Service) {
    wait::until_true(LIMIT, "all should be shipped", || {
        // A segment that is still open is cut and shipped by the stop.
        metrics(edge)
            .lines()
            .any(|line| line == "tarn_ship_backlog_entries 0")
    });
    assert_eq!(edge.terminate(), 0);
}

fn metrics(service: &Service) -> String {
    Http::new().get(&service.url("/metrics"), "*/*").text()
}
