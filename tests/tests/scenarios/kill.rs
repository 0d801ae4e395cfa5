use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tarn_tests::child::Managed;
use tarn_tests::mosquitto::{Lines, Mosquitto};
use tarn_tests::process::{Launch, Service};
use tarn_tests::s3::S3Server;
use tarn_tests::{python, tools, wait};

const HOME: &str = "stormy";
/// Each of the five clients publishes this many: 200 000 in all.
const MESSAGES_EACH: usize = 40_000;
const KILLS: usize = 10;
/// The store stops answering after this kill …
const PAUSE_AFTER: usize = 3;
/// … and comes back after this one.
const RESUME_AFTER: usize = 6;
/// Messages a second of each simulator, so that it is still at work when the last kill comes.
const SIMULATE_RATE: u32 = 3000;
const CLIENT_LIMIT: Duration = Duration::from_secs(300);

/// Laws 1 and 3: whatever was acked is in the store once, however often the power fails.
#[test]
fn power_cuts_and_an_outage_lose_nothing() {
    let seed = tools::seed();
    println!("seed {seed}: TARN_TEST_SEED={seed} repeats this run");
    let mut dice = StdRng::seed_from_u64(seed);
    let folder = tools::folder("kill");
    let mut server = S3Server::start();
    let variables = server.variables();
    let store = server.fresh_store("kill");
    let mut edge = Launch::edge(folder.path(), HOME)
        .arg("--cut-age", "1s")
        .store(&store, &variables)
        .serve();

    let crowd = Crowd::start(folder.path(), &edge, seed);
    for (kill, moment) in moments(&mut dice).into_iter().enumerate() {
        wait::until_true(
            CLIENT_LIMIT,
            format!("{moment} acks should have come"),
            || crowd.acks() >= moment,
        );
        edge.kill_9();
        edge.restart();
        match kill + 1 {
            PAUSE_AFTER => server.pause(),
            RESUME_AFTER => server.resume(),
            _ => {}
        }
    }
    let acked = crowd.finish();

    let mut report = serde_json::Value::Null;
    wait::until_true(
        Duration::from_secs(180),
        "every acked reading should be in the store",
        || {
            let paths: Vec<&Path> = acked.iter().map(PathBuf::as_path).collect();
            report = python::check_acked(&store, &paths, &[], &variables);
            report["missing"] == 0
        },
    );
    assert_eq!(
        report["acked_messages"],
        5 * MESSAGES_EACH,
        "every client had all its acks: {report}"
    );
    assert_eq!(report["ok"], true, "seed {seed}: {report}");

    assert_eq!(edge.terminate(), 0);
    let verify = Launch::command(
        folder.path(),
        "verify",
        &["verify", "--home", HOME, "--json"],
    );
    let _ = verify.store(&store, &variables).run().succeeded();
    // A torn tail of the journal and a store that does not answer are told, and nothing else is.
    edge.assert_quiet(&["journal", "store"]);
}

/// After how many acks of the paho clients each kill comes.
fn moments(dice: &mut StdRng) -> Vec<usize> {
    let all = 2 * MESSAGES_EACH;
    let mut moments: Vec<usize> = (0..KILLS)
        .map(|_| dice.random_range(all / 50..all * 9 / 10))
        .collect();
    moments.sort_unstable();
    moments
}

/// Five real clients at QoS 1, of three makes.
struct Crowd {
    paho: Vec<(Managed, PathBuf)>,
    simulators: Vec<(Managed, PathBuf)>,
    mosquitto: (Lines, PathBuf),
}

impl Crowd {
    fn start(folder: &Path, edge: &Service, seed: u64) -> Crowd {
        let paho = [("paho-3", "3"), ("paho-5", "5")].map(|(name, version)| {
            let acked = folder.join(format!("{name}.acked"));
            let child = paho(folder, name, version, edge.mqtt_port(), &acked);
            (child, acked)
        });
        let simulators = [("simulate-1", seed), ("simulate-2", seed + 1)].map(|(name, seed)| {
            let acked = folder.join(format!("{name}.acked"));
            let launch = Launch::simulate(folder, name, edge.mqtt())
                .arg("--profile", "load")
                .arg("--home-prefix", name)
                .arg("--seed", seed)
                .arg("--messages", MESSAGES_EACH)
                .arg("--rate", SIMULATE_RATE)
                .arg("--drain", 60)
                .arg("--acked-file", acked.display());
            (launch.start(), acked)
        });
        let payloads = (0..MESSAGES_EACH)
            .map(|number| number.to_string())
            .collect();
        let client = Mosquitto::new(edge.mqtt_port()).session("mosquitto");
        let log = folder.join("mosquitto_pub.log");
        let lines = client.publish_lines("home/mosquitto/counter", payloads, 1, &log);
        let acked = folder.join("mosquitto.acked");
        Crowd {
            paho: paho.into(),
            simulators: simulators.into(),
            mosquitto: (lines, acked),
        }
    }

    /// How many acks the paho clients have noted; they write each one at once.
    fn acks(&self) -> usize {
        let lines = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes.iter().filter(|&&byte| byte == b'\n').count()
        };
        self.paho.iter().map(|(_, acked)| lines(acked)).sum()
    }

    /// Waits for all of them, and gives the files of what was acknowledged.
    fn finish(self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for (mut child, acked) in self.paho.into_iter().chain(self.simulators) {
            let status = child.wait(CLIENT_LIMIT);
            assert!(
                status.success(),
                "{}: {status}\n{}",
                child.name(),
                child.tail()
            );
            files.push(acked);
        }
        let (mut lines, acked) = self.mosquitto;
        assert_eq!(lines.wait(CLIENT_LIMIT), 0, "mosquitto_pub");
        lines.write_acked(&acked);
        files.push(acked);
        files
    }
}

fn paho(folder: &Path, name: &str, version: &str, port: u16, acked: &Path) -> Managed {
    let log = folder.join(format!("{name}.log"));
    let (port, count) = (port.to_string(), MESSAGES_EACH.to_string());
    let (acked, topic) = (acked.display().to_string(), format!("home/{name}/counter"));
    let arguments = [
        "--port",
        &port,
        "--client-id",
        name,
        "--topic",
        &topic,
        "--version",
        version,
    ];
    let more = [
        "--count",
        &count,
        "--qos",
        "1",
        "--acked",
        &acked,
        "--deadline",
        "300",
    ];
    python::start(
        name,
        "paho_publish.py",
        &[arguments.as_slice(), &more].concat(),
        &log,
    )
}
