use tarn_tests::mosquitto_server::MosquittoServer;
use tarn_tests::process::Launch;
use tarn_tests::{python, tools};

/// Every statement of both versions of the standard that the suite knows.
#[test]
fn the_broker_keeps_to_the_standard() {
    let folder = tools::folder("conformance");
    let edge = Launch::edge(folder.path(), "conformance").serve();
    let port = edge.mqtt_port().to_string();
    let report = python::run_package("conformance", &["--port", &port, "--strict", "--jobs", "8"]);
    println!("{}", report.succeeded());
    // The suite tries users that there are not.
    edge.assert_quiet(&["login denied", "logins are held back"]);
}

/// The suite itself: another broker passes it, but for the cases that say why it does not.
#[test]
fn the_suite_holds_for_mosquitto() {
    let folder = tools::folder("conformance");
    let server = MosquittoServer::start(folder.path());
    let port = server.port().to_string();
    let known = tools::script("conformance/known_failures_mosquitto.txt");
    let known = known.display().to_string();
    // Most of what it fails is waited for in vain.
    let arguments = ["--port", &port, "--jobs", "24", "--known-failures", &known];
    println!(
        "{}",
        python::run_package("conformance", &arguments).succeeded()
    );
}
