use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::access;
use crate::child::Managed;
use crate::process::Finished;
use crate::tools;

/// The readers that every store must suit.
pub const ENGINES: [&str; 3] = ["duckdb", "pyarrow", "polars"];

/// Runs a script of `tests/python` to its end.
#[must_use]
pub fn run(script: &str, arguments: &[&str], variables: &[(String, String)]) -> Finished {
    Finished::of(&mut command(script, arguments, variables))
}

/// Runs a few words of Python to their end, and gives what they print.
#[must_use]
pub fn code(words: &str) -> String {
    Finished::of(python().args(["-c", words])).succeeded()
}

/// Starts a script of `tests/python` that goes on for a while.
#[must_use]
pub fn start(name: &str, script: &str, arguments: &[&str], log: &Path) -> Managed {
    Managed::start(name, &mut command(script, arguments, &[]), log)
}

/// Asks one engine one of the named queries of `read_lake.py`: a JSON object for each line.
#[must_use]
pub fn read_lake(
    engine: &str,
    store: &str,
    query: &str,
    variables: &[(String, String)],
) -> Vec<Value> {
    let text = run("read_lake.py", &[engine, store, query], variables).succeeded();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text.lines().map(parse).collect()
}

/// How many rows a store has for one engine.
#[must_use]
pub fn count(engine: &str, store: &str, variables: &[(String, String)]) -> u64 {
    let lines = read_lake(engine, store, "count", variables);
    lines[0]["rows"].as_u64().expect("a count of rows")
}

/// Compares files of acknowledged messages with a store; the report tells whether it is `ok`.
///
/// `flags` are those of `check_acked.py`.
#[must_use]
pub fn check_acked(
    store: &str,
    acked: &[&Path],
    flags: &[&str],
    variables: &[(String, String)],
) -> Value {
    let mut arguments = flags.to_vec();
    arguments.push(store);
    let names: Vec<String> = acked
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    arguments.extend(names.iter().map(String::as_str));
    let finished = run("check_acked.py", &arguments, variables);
    assert!(
        finished.code() <= 1 && !finished.stdout.is_empty(),
        "{finished}"
    );
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {finished}"));
    assert_eq!(report["ok"] == true, finished.code() == 0, "{finished}");
    report
}

/// Runs a package of `tests/python` to its end.
#[must_use]
pub fn run_package(package: &str, arguments: &[&str]) -> Finished {
    let folder = tools::script(package);
    let mut command = python();
    command
        .current_dir(folder.parent().expect("it lies in tests/python"))
        .args(["-m", package])
        .args(arguments);
    Finished::of(&mut command)
}

/// A script of `tests/python`, to be started.
#[must_use]
pub fn command(script: &str, arguments: &[&str], variables: &[(String, String)]) -> Command {
    let mut command = python();
    command
        .arg(tools::script(script))
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

fn python() -> Command {
    let mut command = Command::new(tools::python());
    command
        // No compiled files beside the sources, and every line at once in the log.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("TARN_TOKEN", access::owner())
        .stdin(Stdio::null());
    command
}
