use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tarn_tests::device::Device;
use tarn_tests::process::{Finished, Launch, Service};
use tarn_tests::{access, ports, tools, wait};

const LIMIT: Duration = Duration::from_secs(30);
const HOME: &str = "terminal";

/// Someone at a terminal who asks a box or a cloud.
struct Terminal<'a> {
    folder: &'a Path,
    url: String,
}

impl<'a> Terminal<'a> {
    fn at(folder: &'a Path, service: &Service) -> Terminal<'a> {
        let url = service.url("");
        Terminal { folder, url }
    }

    fn launch(&self, words: &[&str]) -> Launch {
        Launch::command(self.folder, "asked", words).arg("--url", &self.url)
    }

    fn run(&self, words: &[&str]) -> Finished {
        self.launch(words).run()
    }

    /// What it prints. Nothing else is said: bars are for terminals.
    fn text(&self, words: &[&str]) -> String {
        let finished = self.run(words);
        assert_eq!(finished.stderr, "", "{words:?}");
        finished.succeeded()
    }

    fn json(&self, words: &[&str]) -> Value {
        let text = self.text(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// It ends with this code and one line that has these words.
    fn fails(&self, words: &[&str], code: i32, said: &str) {
        let finished = self.run(words);
        assert_eq!(finished.code(), code, "{finished}");
        assert_eq!(finished.stdout, "", "{finished}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished}");
        assert!(finished.stderr.starts_with("tarn: "), "{finished}");
        assert!(finished.stderr.contains(said), "{finished}");
    }
}

/// A box with simulated devices and a hall whose readings are known, and the cloud behind it, answer who asks at a
/// terminal: as tables, as JSON and as files.
#[test]
fn a_box_and_its_cloud_are_asked_at_a_terminal() {
    let folder = tools::folder("terminal");
    let folder = folder.path();
    let store = format!("file://{}/store", folder.display());
    std::fs::create_dir_all(folder.join("store")).expect("make a folder");
    let cloud = Launch::cloud(folder).store(&store, &[]).serve();
    let edge = Launch::edge(folder, HOME)
        .store(&store, &[])
        .arg("--cut-age", "1s")
        .arg("--cloud", format!("mqtt://127.0.0.1:{}", cloud.mqtt_port()))
        .serve();
    let _ = Launch::simulate(folder, "house", edge.mqtt())
        .arg("--rate", 200)
        .arg("--faults", 0)
        .arg("--messages", 400)
        .run()
        .succeeded();
    let hall = Device::silent(edge.mqtt_port(), "hall");
    for value in ["18 °C", "21.5 °C", "20 °C"] {
        hall.publish("hall/temperature", value);
    }
    hall.publish("hall/window", "open");
    hall.wait_acked();
    let asked = Terminal::at(folder, &edge);

    devices(&asked);
    readings(&asked);
    sql(&asked);
    status(&asked, None);
    refusals(&asked);

    let above = Terminal::at(folder, &cloud);
    let hall_is_there = || above.run(&["devices"]).stdout.contains("hall");
    wait::until_true(LIMIT, "the cloud should know the hall", hall_is_there);
    let box_has_told = || {
        let seen = above.json(&["status"]);
        seen["homes"][0]["boxes"][0]["disk_used_bytes"].is_number()
    };
    wait::until_true(LIMIT, "the cloud should know how its box is", box_has_told);
    status(&above, Some("main"));
    let verified = Launch::command(folder, "verify", &["verify", "--store", &store]).run();
    assert_eq!(verified.stderr, "", "bars are for terminals");
    edge.assert_quiet(&[]);
}

fn devices(asked: &Terminal) {
    let table = asked.text(&["devices"]);
    let hall = table.lines().find(|line| line.contains(" hall "));
    let hall = hall.unwrap_or_else(|| panic!("no hall in\n{table}"));
    assert!(hall.contains("temperature 20 °C, window open"), "{hall}");
    let list = asked.json(&["devices", "--home", HOME]);
    let list = list["devices"].as_array().expect("a list");
    assert!(list.len() > 20, "{} devices", list.len());
    assert_eq!(table.lines().count(), list.len() + 1, "{table}");

    // By a name as well as by an id.
    let detail = asked.text(&["devices", "kettle"]);
    assert!(detail.contains("name        Kettle\n"), "{detail}");
    assert!(detail.contains("set by"), "{detail}");
    let detail = asked.json(&["devices", "hall"]);
    assert_eq!(detail["device"]["rows"], 4, "{detail}");
}

fn readings(asked: &Terminal) {
    let table = asked.text(&["readings", "hall"]);
    let words = |metric: &str| -> Vec<String> {
        let row = table.lines().find(|line| line.contains(metric));
        let row = row.unwrap_or_else(|| panic!("no {metric} in\n{table}"));
        row.split_whitespace().map(str::to_owned).collect()
    };
    let row = words("temperature");
    let expected = ["temperature", "°C", "▄", "18", "19.833", "21.5", "20", "3"];
    assert_eq!(row, expected, "{table}");
    assert_eq!(words("window").last().map(String::as_str), Some("1"));
    // One metric of some time, by the hour.
    let some = [
        "readings",
        "hall",
        "temperature",
        "--from",
        "-48h",
        "--to",
        "-24h",
        "--every",
        "1h",
    ];
    let none = asked.text(&some);
    assert!(none.starts_with("no readings of hall from "), "{none}");

    let raw = asked.json(&["readings", "hall", "temperature"]);
    let values = raw["readings"].as_array().expect("readings").iter();
    let values: Vec<_> = values.map(|reading| reading["value"].as_f64()).collect();
    assert_eq!(values, [18.0, 21.5, 20.0].map(Some), "{raw}");
    let hourly = [
        "readings",
        "hall",
        "temperature",
        "--every",
        "1d",
        "--agg",
        "max",
    ];
    let hourly = asked.json(&hourly);
    assert_eq!(hourly["readings"][0]["value"], 21.5, "{hourly}");
    assert_eq!(hourly["gaps"], serde_json::json!([]));

    let path = |name: &str| asked.folder.join(name).display().to_string();
    let (csv, parquet) = (path("hall.csv"), path("hall.parquet"));
    assert_eq!(asked.text(&["readings", "hall", "--csv", &csv]), "");
    let rows = std::fs::read_to_string(&csv).expect("the CSV");
    assert_eq!(rows, asked.text(&["readings", "hall", "--csv", "-"]));
    let lines: Vec<&str> = rows.lines().collect();
    assert!(lines[0].starts_with("ts,device,metric,value,"), "{rows}");
    assert_eq!(lines.len(), 5, "{rows}");
    assert_eq!(asked.text(&["readings", "hall", "--parquet", &parquet]), "");
    let bytes = std::fs::read(&parquet).expect("the Parquet file");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

fn sql(asked: &Terminal) {
    let query = "SELECT metric, count(*) AS n, max(value) FROM readings WHERE device = 'hall' GROUP BY metric ORDER BY 1";
    let answer = asked.run(&["sql", query]);
    assert!(answer.stderr.starts_with("2 rows in "), "{answer}");
    let words: Vec<String> = answer
        .succeeded()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let expected = [
        "metric",
        "n",
        "max(readings.value)",
        "temperature",
        "3",
        "21.5",
        "window",
        "1",
    ];
    assert!(words.starts_with(&expected.map(str::to_owned)), "{words:?}");
    let rows = asked.json(&["sql", query])["rows"].clone();
    assert_eq!(rows[0], serde_json::json!(["temperature", 3, 21.5]));
    let typed = asked.launch(&["sql", "-", "--csv", "-"]);
    let typed = typed
        .run_with_input("SELECT 1 AS one,\n'a,b' AS two")
        .succeeded();
    assert_eq!(typed, "one,two\n1,\"a,b\"\n");
}

/// A box, or a cloud with a store of this name.
fn status(asked: &Terminal, store: Option<&str>) {
    let text = asked.text(&["status", "--once"]);
    for part in [
        "  ready  ",
        HOME,
        "readings a second",
        "last shipped",
        "online",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let seen = asked.json(&["status"]);
    assert_eq!(seen["ready"], true, "{seen}");
    let home = &seen["homes"][0];
    assert_eq!(home["home"]["home"], HOME, "{seen}");
    assert!(home["devices"]["total"].as_u64() > Some(20), "{seen}");
    assert_eq!(home["boxes"].as_array().map(Vec::len), Some(1), "{seen}");
    assert!(
        home["boxes"][0]["disk_used_bytes"].as_u64() > Some(0),
        "{seen}"
    );
    match store {
        None => {
            assert!(seen["rates"]["messages_per_second"].is_number(), "{seen}");
            assert_eq!(seen["stores"], Value::Null);
        }
        Some(name) => {
            let copies = &seen["stores"]["stores"][0];
            assert!(copies["chunks"].as_u64() > Some(0), "{seen}");
            assert!(text.contains(name), "{text}");
        }
    }
}

fn refusals(asked: &Terminal) {
    asked.fails(&["devices", "nobody"], 2, "nobody");
    asked.fails(&["readings", "nobody"], 2, "nobody");
    asked.fails(&["readings", "hall", "--from", "soon"], 2, "--from");
    asked.fails(&["readings", "hall", "--every", "1y"], 2, "--every");
    asked.fails(&["devices", "--home", "nowhere"], 2, "nowhere");
    asked.fails(&["status", "--home", "nowhere"], 2, "home");
    asked.fails(&["tail", "--home", "nowhere"], 2, "nowhere");
    asked.fails(&["sql", "selec"], 2, "SQL");
    asked.fails(
        &["sql", "SELECT 1", "--csv", "/nowhere/rows.csv"],
        2,
        "/nowhere/rows.csv",
    );
    let nobody = Terminal {
        folder: asked.folder,
        url: format!("http://127.0.0.1:{}", ports::free()),
    };
    for words in [
        &["status"][..],
        &["devices"],
        &["readings", "hall"],
        &["sql", "SELECT 1"],
        &["tail"],
    ] {
        nobody.fails(words, 3, "is not reachable");
    }
}

/// What is published is told at once, one event a line, to who listens to it.
#[test]
fn events_are_told_as_they_happen() {
    let folder = tools::folder("tail");
    let edge = Launch::edge(folder.path(), HOME).serve();
    let asked = Terminal::at(folder.path(), &edge);
    let device = Device::silent(edge.mqtt_port(), "hall");
    // A home is listed once it has a reading.
    device.publish("attic/temperature", "1 °C");
    device.wait_acked();
    let listen = |words: &[&str]| {
        let words = [
            &["tail", "-n", "3", "hall", "--metric", "temperature"],
            words,
        ]
        .concat();
        let mut tail = Launch::command(folder.path(), &format!("tail{}", words.len()), &words)
            .arg("--url", &asked.url)
            .start();
        // Until it listens, nobody tells it anything.
        wait::until_true(LIMIT, "three readings should be told", || {
            device.publish("attic/temperature", "1 °C");
            device.publish("hall/humidity", "40 %");
            device.publish("hall/temperature", "21.5 °C");
            device.wait_acked();
            std::thread::sleep(Duration::from_millis(100));
            tail.ended().is_some()
        });
        assert!(tail.ended().is_some_and(|status| status.success()));
        tail.output()
    };
    let lines = listen(&[]);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    for line in lines.lines() {
        assert!(line.ends_with("  hall  temperature  21.5 °C"), "{lines}");
    }
    for line in listen(&["--json"]).lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["value"], 21.5, "{line}");
    }
    edge.assert_quiet(&[]);
}

/// On a terminal the view is drawn over itself until it is told to end, and leaves the cursor as it was.
#[test]
fn the_status_is_refreshed_in_place() {
    let folder = tools::folder("status");
    let edge = Launch::edge(folder.path(), HOME).serve();
    let tarn = tools::tarn();
    let status = format!(
        "stty rows 30 cols 100; timeout -s INT 3 {} status --interval 200ms --url {}",
        tarn.display(),
        edge.url("")
    );
    // `script` gives it a terminal.
    let mut script = Command::new("script");
    script.args(["-qec", &status, "/dev/null"]);
    let drawn = Finished::of(script.env("TARN_TOKEN", access::owner()));
    let text = &drawn.stdout;
    assert!(
        text.contains("\u{1b}[?25l"),
        "the cursor is hidden\n{drawn}"
    );
    assert!(
        text.ends_with("\u{1b}[?25h"),
        "the cursor is shown\n{drawn}"
    );
    assert!(text.matches("  ready  ").count() > 3, "{drawn}");
    assert!(text.matches("\u{1b}[0K").count() + text.matches("\u{1b}[K").count() > 3);
    edge.assert_quiet(&[]);
}

/// What packages bring along is made by the program itself.
#[test]
fn completions_and_man_pages_are_generated() {
    let folder = tools::folder("package");
    let run = |words: &[&str]| {
        Launch::command(folder.path(), "package", words)
            .run()
            .succeeded()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(
            script.contains("readings") && script.contains("parquet"),
            "{shell}"
        );
        let path = folder.path().join(shell);
        std::fs::write(&path, script).expect("write the script");
        if shell == "bash" {
            let checked = Finished::of(Command::new("bash").arg("-n").arg(&path));
            let _ = checked.succeeded();
        }
    }
    let pages = folder.path().join("man");
    assert_eq!(run(&["man", &pages.display().to_string()]), "");
    for name in ["tarn", "tarn-edge", "tarn-readings", "tarn-stores-plan"] {
        let page = std::fs::read_to_string(pages.join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            page.contains(".SH NAME") && page.contains(".SH OPTIONS"),
            "{page}"
        );
    }
}
