use std::process::{Command, Stdio};
use std::time::Duration;

use tarn_tests::child::Managed;
use tarn_tests::tools;

/// How long each target runs here, unless the environment says otherwise.
const SECONDS: &str = "8";

#[test]
fn decoding_survives_any_packet() {
    fuzz("packets");
}

#[test]
fn the_broker_survives_any_session() {
    fuzz("session");
}

#[test]
fn the_devices_survive_any_message() {
    fuzz("devices");
}

#[test]
fn twins_survive_any_peer() {
    fuzz("twins");
}

/// Runs a fuzz target from the packets of the corpus on. Any panic, a session that hangs and memory
/// beyond the bound end it with a failure and the input that did it.
fn fuzz(target: &str) {
    let seconds = std::env::var("TARN_FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let folder = tools::folder("fuzz");
    // What is found goes into the first folder, the second is only read.
    let found = folder.path().join("found");
    std::fs::create_dir(&found).expect("make a folder");
    let corpus = tools::source("../fuzz/corpus");
    let program = tools::tarn().with_file_name(target);
    let mut command = Command::new(&program);
    command
        .args([&found, &corpus.join(target)])
        .arg(format!("-max_total_time={seconds}"))
        .args(["-rss_limit_mb=1024", "-timeout=20", "-max_len=65536"])
        .arg("-keep_seed=1")
        .arg(format!("-seed={}", tools::seed().max(1)))
        .arg(format!("-artifact_prefix={}/", folder.path().display()))
        .stdin(Stdio::null());
    let log = folder.path().join("fuzz.log");
    let mut child = Managed::start(target, &mut command, &log);
    let limit = Duration::from_secs(60 + seconds.parse::<u64>().expect("a number"));
    let status = child.wait(limit);
    let output = child.output();
    assert!(status.success(), "{status}: {}", child.tail());
    let done = output.lines().find(|line| line.contains("Done"));
    println!("{target}: {}", done.unwrap_or("no closing line"));
    let runs = done
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or_default();
    assert!(runs > 100, "it did next to nothing: {output}");
}
