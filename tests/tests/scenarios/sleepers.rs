use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tarn_tests::child::Managed;
use tarn_tests::process::Launch;
use tarn_tests::{python, tools};

/// Power cuts.
const KILLS: usize = 50;
/// Between them, milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 100..700;

/// What was acked to a publisher reaches every subscriber whose session was there, and what has QoS 2
/// reaches it once, however often the power fails.
#[test]
fn fifty_power_cuts_lose_nothing_and_double_nothing() {
    let seed = tools::seed();
    println!("seed {seed}: TARN_TEST_SEED={seed} repeats this run");
    let mut dice = StdRng::seed_from_u64(seed);
    let folder = tools::folder("sleepers");
    // Cuts and checkpoints come often, so that kills hit them, too.
    let mut edge = Launch::edge(folder.path(), "sleepers")
        .arg("--cut-age", "500ms")
        // What comes while nobody listens is not dropped, whatever this machine gets done.
        .arg("--mqtt-queue", 10_000_000)
        .arg("--mqtt-queue-size", "1GiB")
        .arg("--mqtt-queues-size", "1GiB")
        .serve();
    let port = edge.mqtt_port().to_string();
    let mut command = python::command("sleepers.py", &["--port", &port], &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let log = folder.path().join("sleepers.log");
    let mut clients = Managed::start_piped("sleepers", &mut command, &log);
    let mut input = clients.child_mut().stdin.take().expect("is piped");
    let output = clients.child_mut().stdout.take().expect("is piped");
    let mut lines = BufReader::new(output).lines();
    let ready = lines.next().and_then(Result::ok);
    assert_eq!(ready.as_deref(), Some("ready"), "{}", clients.tail());

    for _ in 0..KILLS {
        // A moment of the dice's choice: nothing is waited for.
        std::thread::sleep(Duration::from_millis(dice.random_range(PAUSE_MS)));
        edge.kill_9();
        edge.restart();
    }
    input.write_all(b"stop\n").expect("the clients live");
    let report = lines.next().and_then(Result::ok).unwrap_or_default();
    let report: Value = serde_json::from_str(&report)
        .unwrap_or_else(|error| panic!("{error}: {report}\n{}", clients.tail()));
    println!("{report}");
    for qos in ["1", "2"] {
        let acked = report["acked"][qos].as_u64().unwrap_or_default();
        assert!(acked > 1000, "too little was published: {report}");
    }
    for (name, qos) in [("awake-1", 1), ("awake-2", 2), ("asleep-2", 2)] {
        let subscriber = &report["subscribers"][name];
        assert_eq!(subscriber["missing"], 0, "seed {seed}: {name}: {report}");
        if qos == 2 {
            assert_eq!(subscriber["twice"], 0, "seed {seed}: {name}: {report}");
        }
    }
    assert_eq!(edge.terminate(), 0);
    edge.assert_quiet(&["torn", "cut off"]);
}
