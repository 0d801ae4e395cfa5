use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tarn_tests::child::Managed;
use tarn_tests::http::Http;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::Launch;
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(60);
/// How long the walk may take on a busy machine.
const WALK_LIMIT: Duration = Duration::from_secs(900);
const HOUR_S: u64 = 3_600;
/// A simulated house has more.
const HOUSE_DEVICES: usize = 20;
/// Days of history that the walk zooms through.
const DAYS: u64 = 365;
/// 2026-11-01, so that a year of history is behind any clock that runs this.
const UNTIL_S: u64 = 1_793_491_200;
/// The device of that history, which no simulated one is.
const ARCHIVE: &str = "archive/thermometer";

/// A pack of insights that finds something in what came just now, and is quick about it.
const PACK: &str = r#"
id = "walk-busy"
title = "A busy device"
about = "Devices that told much within the last minute."
category = "devices"
severity = "info"
every = "1d"
window = "1m"
sql = """
SELECT device, count(*) AS readings FROM readings
WHERE home = {home} AND ts >= {from} GROUP BY device ORDER BY readings DESC LIMIT 3
"""
condition = "row.readings >= params.least"
key = "{{ row.device }}"
advice = "{{ row.name }} told {{ row.readings }} readings."

[params]
least = { value = 1.0, unit = "readings", about = "from so many on it is busy", min = 0, max = 1000 }
"#;

/// A person opens the setup link of a box in a browser, and then looks at everything and uses it, at the width of a desk
/// and of a telephone.
#[test]
fn people_use_the_dashboard_of_a_box() {
    let folder = tools::folder("dashboard");
    let packs = folder.path().join("packs");
    std::fs::create_dir(&packs).expect("a directory for packs");
    std::fs::write(packs.join("walk-busy.toml"), PACK).expect("a pack");
    let edge = Launch::edge(folder.path(), "home-1")
        .arg("--cut-age", "2s")
        .arg("--insights", packs.display())
        .serve();
    let mut house = Launch::simulate(folder.path(), "house", edge.mqtt())
        .arg("--clients", 2)
        .arg("--rate", 40)
        .arg("--seconds", 1_800)
        .start();
    publish_a_year(edge.mqtt_port());
    let http = Http::new();
    let devices = edge.url("/v1/homes/home-1/devices");
    wait::until_true(LIMIT, "the house should have announced itself", || {
        let devices = http.json(&devices);
        devices["devices"].as_array().map_or(0, Vec::len) > HOUSE_DEVICES
    });
    let data = folder.path().join("home-1");
    let data = data.display().to_string();
    let words = ["token", "setup-link", "--data", &data, "--url", "http://x"];
    let link = Launch::command(folder.path(), "link", &words)
        .run()
        .succeeded();
    let code = link.trim().rsplit('/').next().expect("a code").to_owned();

    let shots = std::env::var("TARN_SCREENSHOTS")
        .unwrap_or_else(|_| folder.path().join("screenshots").display().to_string());
    let mut walk = Command::new("node");
    walk.arg("walk.mjs")
        .current_dir(tools::script("../browser"))
        .env("TARN_URL", edge.url(""))
        .env("TARN_NAME", "ada")
        .env("TARN_PASSWORD", "correct horse battery")
        .env("TARN_SETUP_CODE", code)
        .env("TARN_HOME", "home-1")
        .env("TARN_HISTORY", format!("{ARCHIVE}/temperature"))
        .env("TARN_PACK", "walk-busy")
        .env("TARN_SCREENSHOTS", shots)
        .stdin(Stdio::null());
    let log = folder.path().join("walk.log");
    let mut walk = Managed::start("walk", &mut walk, &log);
    let status = walk.wait(WALK_LIMIT);
    println!("{}", walk.output());
    assert!(status.success(), "{status}\n{}", walk.output());
    house.kill_9();
}

/// One reading an hour for a year, as a sleeper tells them.
fn publish_a_year(port: u16) {
    let client = Mosquitto::new(port);
    let hours: Vec<u64> = (0..DAYS * 24).collect();
    for part in hours.chunks(2_000) {
        let times: Vec<u64> = part.iter().map(|n| UNTIL_S - n * HOUR_S).collect();
        let warm = |n: &u64| 10.0 + (*n as f64 / 1_400.0).sin() * 9.0 + (*n % 24) as f64 / 6.0;
        let values: Vec<f64> = part.iter().map(warm).collect();
        let columns = json!({"ts": times, "temperature": values});
        client.publish(&format!("tarn/backlog/{ARCHIVE}"), &columns.to_string(), 1);
    }
}
