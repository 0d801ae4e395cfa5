use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tarn_tests::http::Http;
use tarn_tests::mosquitto::{Mosquitto, Version};
use tarn_tests::process::{Launch, Service};
use tarn_tests::s3::S3Server;
use tarn_tests::{python, tools, wait};

const LIMIT: Duration = Duration::from_secs(120);

/// The smallest segments and a budget for few of them, so that a box is full soon.
const SEGMENT: &str = "1MiB";
const BUDGET: &str = "2MiB";

fn full_box(folder: &Path, home: &str, policy: &str) -> Launch {
    Launch::edge(folder, home)
        .arg("--segment-size", SEGMENT)
        .arg("--disk-budget", BUDGET)
        .arg("--disk-full", policy)
        .arg("--cut-age", "1s")
}

fn random_text(dice: &mut StdRng, length: usize) -> String {
    let digits = (0..length).map(|_| char::from_digit(dice.random_range(0..16), 16));
    std::iter::once('n').chain(digits.flatten()).collect()
}

/// The store is away and the box is full: it refuses, and nothing that it acked is missing later.
#[test]
fn a_full_box_that_refuses_has_lost_nothing_when_its_store_is_back() {
    let seed = tools::seed();
    println!("seed {seed}: TARN_TEST_SEED={seed} repeats this run");
    let mut dice = StdRng::seed_from_u64(seed);
    let folder = tools::folder("full-refuse");
    let mut server = S3Server::start();
    let (store, variables) = (server.fresh_store("refuse"), server.variables());
    server.pause();
    let mut edge = full_box(folder.path(), "full", "refuse")
        .store(&store, &variables)
        .serve();
    let client = Mosquitto::new(edge.mqtt_port()).version(Version::V5);
    let mut acked = String::new();
    let mut publish = |acked: &mut String| {
        let text = random_text(&mut dice, 20_000);
        let told = client.try_publish("home/hall/note", &text, 1, false);
        let refused = told.code() != 0 || told.stderr.contains("Quota exceeded");
        if !refused {
            acked.push_str(&format!("home/hall/note\t{text}\n"));
        }
        refused
    };
    wait::until_true(LIMIT, "the box should be full", || publish(&mut acked));
    let metrics = Http::new().get(&edge.url("/metrics"), "*/*").text();
    assert!(metrics.contains("tarn_disk_refusing 1"), "{metrics}");
    assert!(
        metrics.contains("tarn_disk_budget_bytes 2097152"),
        "{metrics}"
    );
    assert!(acked.len() > 1_000_000, "{} bytes", acked.len());
    // A full box that loses power is as full after it.
    edge.kill_9();
    edge.restart();
    server.resume();
    wait::until_true(LIMIT, "the box should take readings again", || {
        !publish(&mut acked)
    });
    let file = folder.path().join("acked");
    fs::write(&file, acked).expect("write what was acked");
    let mut report = Value::Null;
    wait::until_true(LIMIT, "every acked reading should be in the store", || {
        report = python::check_acked(&store, &[&file], &["--gaps"], &variables);
        report["missing"] == 0
    });
    assert_eq!(report["ok"], true, "seed {seed}: {report}");
    assert_eq!(report["gaps"]["told"], 0, "seed {seed}: {report}");
    assert_eq!(edge.terminate(), 0);
    verify(folder.path(), &store, &variables);
}

/// The store is away and the box is full: it drops what is worth least, loses power while it does, and tells exactly
/// what is missing.
#[test]
fn a_full_box_that_evicts_tells_exactly_what_is_missing() {
    let seed = tools::seed();
    println!("seed {seed}: TARN_TEST_SEED={seed} repeats this run");
    let mut dice = StdRng::seed_from_u64(seed);
    let folder = tools::folder("full-evict");
    let mut server = S3Server::start();
    let (store, variables) = (server.fresh_store("evict"), server.variables());
    server.pause();
    let mut edge = full_box(folder.path(), "full", "evict")
        .store(&store, &variables)
        .serve();
    let load = folder.path().join("load.acked");
    let mut simulator = Launch::simulate(folder.path(), "load", edge.mqtt())
        .arg("--profile", "load")
        .arg("--clients", 2)
        .arg("--messages", 60_000)
        .arg("--rate", 4_000)
        .arg("--drain", 60)
        .arg("--acked-file", load.display())
        .start();
    let mut files = vec![load];
    for round in 0..6 {
        let notes = (0..300).map(|_| random_text(&mut dice, 3_000)).collect();
        let locks = (0..30).map(|n| format!("locked-{round}-{n}")).collect();
        let mut lines = Vec::new();
        for (topic, payloads) in [("home/hall/note", notes), ("home/door/lock", locks)] {
            let name = format!("{}-{round}", topic.replace('/', "-"));
            let client = Mosquitto::new(edge.mqtt_port()).session(&name);
            let log = folder.path().join(format!("{name}.log"));
            lines.push((client.publish_lines(topic, payloads, 1, &log), name));
        }
        if round > 1 {
            std::thread::sleep(Duration::from_millis(dice.random_range(0..2_000)));
            edge.kill_9();
            edge.restart();
        }
        for (mut lines, name) in lines {
            assert_eq!(lines.wait(LIMIT), 0, "{name}");
            let file = folder.path().join(format!("{name}.acked"));
            lines.write_acked(&file);
            files.push(file);
        }
    }
    let status = simulator.wait(LIMIT);
    assert!(status.success(), "{status}\n{}", simulator.tail());
    let on_box = gaps(&edge, "full", "");
    assert!(on_box["count"].as_u64() > Some(0), "{on_box}");

    server.resume();
    let mut report = Value::Null;
    wait::until_true(LIMIT, "all should be in the store, or told", || {
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        report = python::check_acked(&store, &files, &["--gaps"], &variables);
        report["ok"] == true
    });
    println!("{report}");
    assert_eq!(report["acked_messages"], 60_000 + 6 * 330, "{report}");
    let told = &report["gaps"];
    for tier in ["telemetry", "state"] {
        assert!(
            told["tiers"][tier].as_u64() > Some(0),
            "seed {seed}: {report}"
        );
    }
    assert_eq!(told["tiers"]["vital"], Value::Null, "seed {seed}: {report}");
    assert_eq!(edge.terminate(), 0);
    verify(folder.path(), &store, &variables);
    edge.assert_quiet(&["journal", "store", "the box is full", "disk budget"]);

    let cloud = Launch::cloud(folder.path())
        .store(&store, &variables)
        .serve();
    let note = "/v1/homes/full/devices/home%2Fhall/readings?limit=1";
    let page = Http::new().json(&cloud.url(note));
    let of_notes: u64 = page["gaps"]
        .as_array()
        .expect("gaps")
        .iter()
        .map(|gap| {
            assert_eq!(gap["metric"], "note", "{gap}");
            gap["rows"].as_u64().expect("counted")
        })
        .sum();
    assert_eq!(
        of_notes,
        told["tiers"]["state"].as_u64().expect("told"),
        "{page}"
    );
    let csv = Http::new().get(&cloud.url(note), "text/csv");
    let count = page["gaps"].as_array().expect("gaps").len().to_string();
    assert_eq!(csv.header("tarn-gaps"), Some(&*count));
    assert_eq!(gaps(&cloud, "full", "&to=2020-01-01")["count"], 0);
    let sql = json!({"sql": "SELECT CAST(sum(rows) AS BIGINT) AS lost FROM events WHERE kind = 'gap' AND home = 'full'"});
    let answer = Http::new().post(&cloud.url("/v1/sql"), &sql);
    assert_eq!(answer["rows"][0][0], told["told"], "{answer}");
}

/// The disk itself is full, by something else than the box: publishes wait or are refused, nothing acked is lost, and all goes on
/// when there is room.
#[test]
fn a_disk_without_room_loses_nothing_and_goes_on_with_room() {
    let mounts = Command::new("unshare").args(["-rm", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        println!("not run: this machine lets nobody mount a disk of his own");
        return;
    }
    let folder = tools::folder("no-room");
    let data = folder.path().join("tight");
    fs::create_dir_all(&data).expect("make the place of the disk");
    let store = format!("file://{}/store", folder.path().display());
    let mut edge = Launch::edge(folder.path(), "tight")
        .arg("--cut-age", "300ms")
        .on_small_disk(&data, 64 << 20)
        .store(&store, &[])
        .serve();
    let acked = folder.path().join("acked");
    let mut simulator = Launch::simulate(folder.path(), "load", edge.mqtt())
        .arg("--profile", "load")
        .arg("--clients", 4)
        .arg("--messages", 60_000)
        .arg("--rate", 6_000)
        .arg("--drain", 60)
        .arg("--acked-file", acked.display())
        .start();
    let metric = |edge: &Service, name: &str| {
        let text = Http::new().get(&edge.url("/metrics"), "*/*").text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .and_then(|value| value.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    wait::until_true(LIMIT, "readings should come in", || {
        metric(&edge, "tarn_journal_records_total") > 5_000.0
    });
    let filler = edge.own_path(&data).join("filler");
    let fill = || {
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(&filler)
            .expect("open the filler");
        while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    };
    // What the box removes meanwhile makes room again.
    // Whichever comes first: the journal finds no room, or the box sees that the disk is about to be full.
    wait::until_true(LIMIT, "the box should find no room", || {
        fill();
        metric(&edge, "tarn_journal_write_errors_total") > 0.0
            || metric(&edge, "tarn_disk_refusing") > 0.0
    });
    wait::until_true(LIMIT, "publishes should be refused", || {
        fill();
        metric(&edge, "tarn_disk_refusing") > 0.0
    });
    fs::remove_file(&filler).expect("make room");
    let status = simulator.wait(LIMIT);
    assert!(status.success(), "{status}\n{}", simulator.tail());
    assert_eq!(edge.terminate(), 0);
    let report = python::check_acked(&store, &[&acked], &["--gaps"], &[]);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["acked_messages"], 60_000, "{report}");
    assert_eq!(report["gaps"]["told"], 0, "{report}");
    verify(folder.path(), &store, &[]);
}

/// A budget in which not even the journal has room is refused at the start.
#[test]
fn a_budget_below_the_journal_is_refused_with_the_fix() {
    let folder = tools::folder("small-budget");
    let edge = |budget: &str, policy: &str| {
        let data = folder.path().join("data").display().to_string();
        let words = [
            "edge",
            "--home",
            "h",
            "--data",
            &data,
            "--disk-budget",
            budget,
            "--disk-full",
            policy,
        ];
        let told = Launch::command(folder.path(), "edge", &words).run();
        assert_eq!(told.code(), 2, "{told}");
        told.stderr
    };
    let told = edge("300KiB", "refuse");
    assert!(
        told.contains("--disk-budget")
            && told.contains("64.0 MiB")
            && told.contains("--segment-size"),
        "{told}"
    );
    let told = edge("1GiB", "forget");
    assert!(told.contains("refuse") && told.contains("evict"), "{told}");
}

fn gaps(service: &Service, home: &str, query: &str) -> Value {
    Http::new().json(&service.url(&format!("/v1/homes/{home}/gaps?from=0{query}")))
}

fn verify(folder: &Path, store: &str, variables: &[(String, String)]) {
    let verify = Launch::command(folder, "verify", &["verify", "--json"]);
    let _ = verify.store(store, variables).run().succeeded();
}
