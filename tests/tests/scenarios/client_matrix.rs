use tarn_tests::certificates::Certificates;
use tarn_tests::process::Launch;
use tarn_tests::{python, tools};

const PORTS: [(&str, &str); 5] = [
    ("--tcp", "mqtt"),
    ("--tls", "mqtts"),
    ("--ws", "ws"),
    ("--wss", "wss"),
    ("--http", "http"),
];

/// What people connect with today: each client publishes and subscribes at every QoS, finds retained
/// messages, leaves a will, comes back to its session, and does it over TLS and WebSocket if it can.
#[test]
fn the_clients_in_use_work() {
    let folder = tools::folder("matrix");
    let certificates = Certificates::make(folder.path());
    let edge = Launch::edge(folder.path(), "matrix")
        .arg("--mqtts", "127.0.0.1:0")
        .arg("--ws", "127.0.0.1:0")
        .arg("--wss", "127.0.0.1:0")
        .arg("--tls-cert", certificates.certificate.display())
        .arg("--tls-key", certificates.key.display())
        .serve();
    let mut arguments = vec![
        "--ca".to_owned(),
        certificates.ca.display().to_string(),
        "--rumqttc".to_owned(),
        env!("CARGO_BIN_EXE_rumqttc-client").to_owned(),
    ];
    for (flag, wire) in PORTS {
        arguments.extend([flag.to_owned(), edge.port(wire).to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    println!(
        "{}",
        python::run_package("client_matrix", &arguments).succeeded()
    );
    edge.assert_quiet(&[]);
}
