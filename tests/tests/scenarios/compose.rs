use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tarn_tests::access;
use tarn_tests::child::Managed;
use tarn_tests::http::Http;
use tarn_tests::s3::Ports;
use tarn_tests::{ports, python, tools, wait};

const LIMIT: Duration = Duration::from_secs(120);

/// The services of `docker-compose.yml`, each as a plain process: the same commands and the same environment, with a
/// port of this machine for each port of a container, and a folder for each volume.
struct Topology {
    file: Value,
    folder: tempfile::TempDir,
    /// `service:port` of the file → `127.0.0.1:port` here.
    addresses: BTreeMap<String, String>,
    /// All that the store opens.
    ports: Ports,
}

impl Topology {
    fn read() -> Topology {
        let path = tools::source("../docker-compose.yml");
        let path = path.to_str().expect("a path");
        let checked = python::run("compose.py", &[path], &[]).succeeded();
        let file: Value = serde_json::from_str(&checked).expect("JSON");
        let mut addresses = BTreeMap::new();
        let store = Ports::pick();
        let services = file["services"].as_object().expect("services");
        for (service, ports) in services.keys().map(|name| (name, ports_of(name))) {
            for there in ports {
                let port = if there == 8333 {
                    store.s3
                } else {
                    ports::free()
                };
                let here = format!("127.0.0.1:{port}");
                addresses.insert(format!("{service}:{there}"), here);
            }
        }
        Topology {
            file,
            folder: tools::folder("compose"),
            addresses,
            ports: store,
        }
    }

    /// A text of the file, as it is on this machine.
    fn here(&self, service: &str, text: &str) -> String {
        let mut text = text.to_owned();
        for (there, here) in &self.addresses {
            let (name, port) = there.split_once(':').expect("service:port");
            text = text.replace(there, here);
            if name == service {
                text = text.replace(&format!("0.0.0.0:{port}"), here);
            }
        }
        let data = self.folder.path().join(service);
        text.replace("/data", data.to_str().expect("a path"))
            .replace(
                "/etc/seaweedfs/s3.json",
                self.keys().to_str().expect("a path"),
            )
    }

    fn keys(&self) -> std::path::PathBuf {
        self.folder.path().join("s3.json")
    }

    fn start(&self, service: &str, program: &Path, more: &[String]) -> Managed {
        let said = &self.file["services"][service];
        let words = said["command"].as_array().expect("a command");
        let words = words
            .iter()
            .map(|word| self.here(service, word.as_str().expect("a word")));
        std::fs::create_dir_all(self.folder.path().join(service)).expect("make a folder");
        let mut command = Command::new(program);
        command.args(words).args(more).stdin(Stdio::null());
        command.current_dir(self.folder.path()).env_clear();
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in said["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().expect("environment is text");
            command.env(name, self.here(service, value));
        }
        let log = self.folder.path().join(format!("{service}.log"));
        Managed::start(service, &mut command, &log)
    }

    fn url(&self, place: &str, path: &str) -> String {
        format!("http://{}{path}", self.addresses[place])
    }
}

/// The ports that a service listens at in its container.
fn ports_of(service: &str) -> Vec<u16> {
    match service {
        "store" => vec![8333],
        "cloud" => vec![8090, 1893],
        name if name.starts_with("box-") => vec![1883, 8080],
        _ => Vec::new(),
    }
}

/// The file is what the schema allows, and what it says works: devices of two homes are seen in the cloud.
#[test]
fn the_topology_of_the_compose_file_works_as_plain_processes() {
    let topology = Topology::read();
    let keys = topology.file["configs"]["store-keys"]["content"].as_str();
    std::fs::write(topology.keys(), keys.expect("keys of the store")).expect("write keys");
    let mut more = topology.ports.arguments();
    let socket = |name: &str| topology.folder.path().join(name).display().to_string();
    more.extend([
        "-ip=127.0.0.1".into(),
        "-ip.bind=127.0.0.1".into(),
        format!("-filer.localSocket={}", socket("f.sock")),
        format!("-s3.localSocket={}", socket("s.sock")),
    ]);
    let _store = topology.start("store", &tools::weed(), &more);
    let tarn = tools::tarn();
    let http = Http::new();
    let is_up = |place: &str| {
        let url = topology.url(place, "/readyz");
        http.try_get(&url, "*/*")
            .is_ok_and(|answer| answer.status < 500)
    };
    let trusted = format!("--token-keys={}", access::keys().display());
    let _cloud = topology.start("cloud", &tarn, &[trusted]);
    let _boxes =
        ["box-1", "box-2"].map(|service| topology.start(service, &tarn, &["--cut-age=1s".into()]));
    for place in ["box-1:8080", "box-2:8080"] {
        wait::until_true(LIMIT, format!("{place} should be up"), || is_up(place));
    }
    let _devices = ["devices-1", "devices-2"].map(|service| topology.start(service, &tarn, &[]));
    wait::until_true(LIMIT, "both homes should be in the cloud", || {
        let answer = http.try_get(&topology.url("cloud:8090", "/v1/homes"), "application/json");
        let Some(answer) = answer.ok().filter(|answer| answer.status == 200) else {
            return false;
        };
        let text = answer.text();
        text.contains("home-1") && text.contains("home-2")
    });
}
