use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tarn_tests::http::Http;
use tarn_tests::process::Launch;
use tarn_tests::{python, tools, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// Publishes of the run with failing syncs.
const MESSAGES: usize = 20_000;

fn store_in(folder: &std::path::Path) -> String {
    format!("file://{}/store", folder.display())
}

/// Some syncs of the journal fail, as on a dying card: what was acked is still stored, once.
#[test]
fn syncs_that_fail_lose_nothing_that_was_acked() {
    let folder = tools::folder("eio");
    let store = store_in(folder.path());
    let edge = Launch::edge(folder.path(), "eio")
        .arg("--cut-age", "1s")
        .store(&store, &[]);
    let mut edge = edge.serve();
    let mut faults = fail_syncs(edge.pid());
    let acked = folder.path().join("acked");
    let run = Launch::simulate(folder.path(), "load", edge.mqtt())
        .arg("--profile", "load")
        .arg("--clients", 4)
        .arg("--messages", MESSAGES)
        .arg("--rate", 0)
        .arg("--drain", 60)
        .arg("--acked-file", acked.display())
        .run();
    let metrics = Http::new().get(&edge.url("/metrics"), "*/*").text();
    faults.kill().expect("stop strace");
    faults.wait().expect("strace ends");
    let _ = run.succeeded();
    let errors = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tarn_journal_write_errors_total "));
    assert!(
        errors.is_some_and(|n| n != "0"),
        "no sync failed: {errors:?}"
    );

    assert_eq!(edge.terminate(), 0);
    let report = python::check_acked(&store, &[acked.as_path()], &[], &[]);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["acked_messages"], MESSAGES, "{report}");
    let verify = Launch::command(folder.path(), "verify", &["verify", "--json"]);
    let _ = verify.store(&store, &[]).run().succeeded();
}

/// Make every 40th fdatasync of a process fail.
fn fail_syncs(pid: u32) -> Child {
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-qq",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=20+40",
    ]);
    strace.args(["-o", "/dev/null", "-p", &pid.to_string()]);
    let child = strace.stdin(Stdio::null()).spawn().expect("start strace");
    wait::until_true(LIMIT, "strace should be attached", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status
            .lines()
            .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    });
    child
}
