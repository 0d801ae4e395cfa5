use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tarn_tests::child::Managed;
use tarn_tests::http::Http;
use tarn_tests::process::{Finished, Launch, Service};
use tarn_tests::{access, python, tools, wait};

const HOME: &str = "lakeside";
const LIMIT: Duration = Duration::from_secs(120);
/// Readings of one device, so that there are several pages.
const READINGS: u64 = 20;
/// Made-up requests for each operation; `tests/python/contract.py` makes thousands when asked to.
const CONTRACT_CASES: &str = "5";

/// A simulated house, its box, and a cloud on the box's store that it is linked with.
struct World {
    house: Managed,
    edge: Service,
    cloud: Service,
    /// It goes last.
    _folder: tempfile::TempDir,
}

impl World {
    fn start(name: &str) -> World {
        let folder = tools::folder(name);
        let store = folder.path().join("store");
        std::fs::create_dir_all(&store).expect("make a folder");
        let store = format!("file://{}", store.display());
        let cloud = Launch::cloud(folder.path()).store(&store, &[]).serve();
        let edge = Launch::edge(folder.path(), HOME)
            .store(&store, &[])
            .arg("--cut-age", "2s")
            .arg("--cloud", format!("mqtt://127.0.0.1:{}", cloud.mqtt_port()))
            .serve();
        let house = Launch::simulate(folder.path(), "house", edge.mqtt())
            .arg("--rate", 20)
            .start();
        let world = World {
            house,
            edge,
            cloud,
            _folder: folder,
        };
        for service in [&world.edge, &world.cloud] {
            wait_for_the_house(service);
        }
        world
    }

    /// Where scripts find it.
    fn variables(&self) -> Vec<(String, String)> {
        let pairs = [
            ("TARN_BOX_URL", self.edge.url("")),
            ("TARN_CLOUD_URL", self.cloud.url("")),
            ("TARN_HOME", HOME.to_owned()),
            ("TARN_TOKEN", access::owner().to_owned()),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }

    fn end(mut self) {
        self.house.kill_9();
        for service in [&self.edge, &self.cloud] {
            let lines = service.log_lines();
            let panics: Vec<&String> = lines
                .iter()
                .filter(|line| line.contains("panicked at"))
                .collect();
            assert!(panics.is_empty(), "{panics:?}");
        }
    }
}

/// Waits until a plug has a twin and a thermometer has been read often.
fn wait_for_the_house(service: &Service) {
    let http = Http::new();
    let devices = service.url(&format!("/v1/homes/{HOME}/devices"));
    let ask = |url: &str| -> Option<Value> {
        let answer = http.try_get(url, "application/json").ok()?;
        (answer.status == 200).then(|| answer.json("devices"))
    };
    wait::until_true(LIMIT, "the house should be known", || {
        let Some(list) = ask(&devices) else {
            return false;
        };
        let all = list["devices"].as_array().cloned().unwrap_or_default();
        let plug = all.iter().find(|one| one["name"] == "kitchen/plug");
        let plug = plug.and_then(|plug| plug["device"].as_str());
        let plug = plug.and_then(|id| ask(&format!("{devices}/{id}")));
        let has_twin = plug.is_some_and(|plug| {
            plug["twin"]["reported"]["state"].is_boolean() && plug["announced"].is_object()
        });
        let is_read = |one: &Value| {
            let is_plain = one["device"].as_str().is_some_and(|id| id.contains('/'));
            is_plain && one["rows"].as_u64() > Some(READINGS)
        };
        has_twin && all.iter().any(is_read)
    });
}

/// Runs a script of the TypeScript folder to its end.
fn npm(script: &str, variables: &[(String, String)]) -> Finished {
    let mut command = Command::new("npm");
    command
        .args(["run", "--silent", script])
        .current_dir(tools::source("clients/typescript"))
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    Finished::of(&mut command)
}

/// Runs a program of the Rust folder to its end. It is a workspace of its own, built before the tests are.
fn cargo(words: &[&str], variables: &[(String, String)]) -> Finished {
    let mut command = Command::new("cargo");
    let manifest = tools::source("clients/rust/Cargo.toml");
    command
        .args(["run", "--quiet", "--locked", "--manifest-path"])
        .arg(manifest)
        .args(words)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    Finished::of(&mut command)
}

/// Clients that are generated from the committed documents see and use a whole home, at its box and in the cloud.
#[test]
fn generated_clients_walk_through_a_home() {
    let world = World::start("generated-clients");
    let variables = world.variables();
    println!("{}", python::run("clients.py", &[], &variables).succeeded());
    println!("{}", npm("walk", &variables).succeeded());
    println!("{}", cargo(&[], &variables).succeeded());
    let ten_lines = ["--example", "ten_lines"];
    println!("{}", cargo(&ten_lines, &variables).succeeded());
    world.end();
}

/// Made-up requests get answers that the documents have, and no server error.
#[test]
fn both_services_keep_to_their_documents() {
    let world = World::start("contract");
    let mut variables = world.variables();
    variables.push(("TARN_CONTRACT_CASES".into(), CONTRACT_CASES.into()));
    println!(
        "{}",
        python::run("contract.py", &[], &variables).succeeded()
    );
    world.end();
}

/// The documents are clean.
#[test]
fn documents_pass_their_lint() {
    println!("{}", npm("lint", &[]).succeeded());
}

/// Nothing that the released documents promise is gone, and the rules that tell so find what they are for.
#[test]
fn documents_take_nothing_away() {
    println!(
        "{}",
        python::run("compatible.py", &["--self-test"], &[]).succeeded()
    );
    println!("{}", python::run("compatible.py", &[], &[]).succeeded());
}
