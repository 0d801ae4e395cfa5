use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tarn_tests::fault_proxy::{Fault, FaultProxy};
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::{Finished, Launch, Service};
use tarn_tests::s3::S3Server;
use tarn_tests::{python, tools, wait};

const HOME: &str = "twice";
/// Readings of each phase.
const EACH: usize = 200;
const LIMIT: Duration = Duration::from_secs(120);

/// How a data directory comes back to an older state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Restore {
    /// By files of the same names: `cp -a`, tar, a new card.
    Files,
    /// By the content of the same files, as a snapshot or an image of the same disk does: nothing on the
    /// disk tells of it.
    Content,
}

/// How the box ends before it is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it should: all is cut.
    Stopped,
    /// With acknowledged readings in its journal.
    Killed,
}

/// A store, the boxes that use it, and what they have acknowledged.
struct Scene {
    folder: tempfile::TempDir,
    proxy: FaultProxy,
    store: String,
    acked: Vec<PathBuf>,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let server = S3Server::shared();
        Scene {
            folder: tools::folder(name),
            proxy: FaultProxy::start(&server.address()),
            store: server.fresh_store(name),
            acked: Vec::new(),
        }
    }

    /// A box whose data lie in `<folder>/<place>`.
    fn launch(&self, place: &str, cut_age: &str) -> Launch {
        let folder = self.folder.path().join(place);
        fs::create_dir_all(&folder).expect("make a folder");
        Launch::edge(&folder, HOME)
            .arg("--cut-age", cut_age)
            .arg("--ship-timeout", "2s")
            .store(
                &self.store,
                &S3Server::variables_for(&self.proxy.endpoint()),
            )
    }

    fn data(&self, place: &str) -> PathBuf {
        self.folder.path().join(place).join(HOME)
    }

    /// Publishes readings that nobody has published before, and waits for their acks.
    fn publish(&mut self, edge: &Service) {
        let phase = self.acked.len();
        let payloads = (phase * EACH..(phase + 1) * EACH).map(|number| number.to_string());
        let log = self.folder.path().join(format!("{phase}.log"));
        let acked = self.folder.path().join(format!("{phase}.acked"));
        let client = Mosquitto::new(edge.mqtt_port());
        let mut lines = client.publish_lines("home/meter/counter", payloads.collect(), 1, &log);
        assert_eq!(lines.wait(Duration::from_secs(30)), 0, "the box should ack");
        lines.write_acked(&acked);
        self.acked.push(acked);
    }

    /// Waits until every acked reading is in the store once, and `tarn verify` finds nothing.
    fn wait_whole(&self) -> Value {
        let variables = S3Server::shared().variables();
        let files: Vec<&Path> = self.acked.iter().map(AsRef::as_ref).collect();
        let limit = std::time::Instant::now() + LIMIT;
        let (report, verified) = loop {
            let report = python::check_acked(&self.store, &files, &[], &variables);
            let verified = self.verify();
            if report["ok"] == true && verified["ok"] == true {
                break (report, verified);
            }
            let is_over = std::time::Instant::now() > limit;
            assert!(!is_over, "{report:#}\n{verified:#}");
        };
        assert_eq!(
            report["acked_messages"],
            self.acked.len() * EACH,
            "{report:#}"
        );
        assert_eq!(verified["twice"], serde_json::json!([]));
        assert_eq!(verified["unlogged"], serde_json::json!([]));
        verified
    }

    fn verify(&self) -> Value {
        let launch = Launch::command(self.folder.path(), "verify", &["verify", "--json"])
            .store(&self.store, &S3Server::shared().variables());
        serde_json::from_str(&launch.run().stdout).expect("a report")
    }
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let _ = Finished::of(command.arg("-a").arg(from).arg(to)).succeeded();
}

fn restore(backup: &Path, data: &Path, how: Restore) {
    match how {
        Restore::Files => {
            fs::remove_dir_all(data).expect("remove the old state");
            copy(backup, data);
        }
        Restore::Content => restore_content(backup, data),
    }
}

/// Makes the content of `data` that of `backup`; files that are in both stay the same files.
fn restore_content(backup: &Path, data: &Path) {
    for path in list(data) {
        let there = backup.join(path.file_name().expect("a name"));
        if !there.exists() && path.is_dir() {
            fs::remove_dir_all(path).expect("remove");
        } else if !there.exists() {
            fs::remove_file(path).expect("remove");
        }
    }
    for path in list(backup) {
        let here = data.join(path.file_name().expect("a name"));
        if path.is_dir() {
            fs::create_dir_all(&here).expect("make");
            restore_content(&path, &here);
        } else {
            fs::write(&here, fs::read(path).expect("read")).expect("write");
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("list");
    entries.map(|entry| entry.expect("list").path()).collect()
}

fn ids(data: &Path) -> (String, usize) {
    let bytes = fs::read(data.join("box.json")).expect("read box.json");
    let identity: Value = serde_json::from_slice(&bytes).expect("JSON");
    let former = identity["eras"].as_array().map_or(0, Vec::len);
    (identity["edge"].as_str().expect("an id").to_owned(), former)
}

fn end(edge: &mut Service, how: End) {
    match how {
        End::Stopped => assert_eq!(edge.terminate(), 0),
        End::Killed => edge.kill_9(),
    }
}

/// A box is backed up, goes on, and goes back to the backup: nothing of any phase is lost or doubled.
fn check_backup(name: &str, how: Restore, ends: End, store_is_away: bool) {
    let mut scene = Scene::new(name);
    let mut edge = scene.launch("box", "10m").serve();
    scene.publish(&edge);
    assert_eq!(edge.terminate(), 0);
    edge.restart();
    scene.publish(&edge);
    end(&mut edge, ends);
    let (data, backup) = (scene.data("box"), scene.folder.path().join("backup"));
    copy(&data, &backup);

    edge.restart();
    scene.publish(&edge);
    assert_eq!(edge.terminate(), 0);
    scene.wait_whole();
    let (was, _) = ids(&data);

    restore(&backup, &data, how);
    if store_is_away {
        scene.proxy.set(Fault::Status(503));
        // Cut under whatever id, and not cut: both meet the original's once the store is back.
        edge.restart();
        scene.publish(&edge);
        assert_eq!(edge.terminate(), 0);
        edge.restart();
        scene.publish(&edge);
        edge.kill_9();
    }
    edge.restart();
    scene.publish(&edge);
    scene.proxy.set(Fault::None);
    wait::until_true(LIMIT, "the box should take a new id", || {
        ids(&data).0 != was
    });
    // Once the store shows it another box's entries, it starts again by itself.
    wait::until_true(LIMIT, "the box should serve under its new id", || {
        let (lines, (id, _)) = (edge.log_lines(), ids(&data));
        let is_up = |line: &String| line.contains("box is up") && line.contains(&id);
        lines.iter().any(is_up)
    });
    scene.publish(&edge);
    assert_eq!(edge.terminate(), 0);
    edge.restart();
    let verified = scene.wait_whole();
    assert_eq!(edge.terminate(), 0);

    let (is, former) = ids(&data);
    assert!((1..=3).contains(&former), "{former} former ids");
    let writers = verified["writers"].as_array().expect("writers");
    let wrote = |id: &String| writers.iter().any(|writer| writer["writer"] == **id);
    assert!(wrote(&was) && wrote(&is), "{verified:#}");
    edge.assert_quiet(&["copied", "another copy", "journal", "store"]);
}

#[test]
fn a_backup_that_is_copied_back() {
    check_backup("backup", Restore::Files, End::Stopped, false);
}

#[test]
fn a_backup_of_a_killed_box_that_is_copied_back() {
    check_backup("backup-killed", Restore::Files, End::Killed, false);
}

#[test]
fn a_backup_that_is_copied_back_while_the_store_is_away() {
    check_backup("backup-away", Restore::Files, End::Killed, true);
}

#[test]
fn a_disk_that_goes_back_in_time() {
    check_backup("rollback", Restore::Content, End::Stopped, false);
}

#[test]
fn a_disk_of_a_killed_box_that_goes_back_in_time() {
    check_backup("rollback-killed", Restore::Content, End::Killed, false);
}

#[test]
fn a_disk_that_goes_back_in_time_while_the_store_is_away() {
    check_backup("rollback-away", Restore::Content, End::Killed, true);
}

/// Two boxes from one directory, at work at once: each reading of both is there once, and nothing of either
/// is overwritten.
#[test]
fn a_clone_beside_its_original() {
    let mut scene = Scene::new("clone");
    let mut original = scene.launch("box", "10m").serve();
    scene.publish(&original);
    assert_eq!(original.terminate(), 0);
    original.restart();
    scene.publish(&original);
    original.kill_9();
    fs::create_dir_all(scene.folder.path().join("clone")).expect("make a folder");
    copy(&scene.data("box"), &scene.data("clone"));

    // The readings in the journal are both's. The clone leaves them to the original for a minute.
    let mut clone = scene
        .launch("clone", "1s")
        .arg("--copied-wait", "60s")
        .serve();
    let mut original = scene.launch("box", "1s").serve();
    for _ in 0..3 {
        scene.publish(&original);
        scene.publish(&clone);
    }
    scene.wait_whole();
    clone.kill_9();
    clone.restart();
    scene.publish(&clone);
    scene.publish(&original);
    scene.wait_whole();
    assert_eq!(original.terminate(), 0);
    assert_eq!(clone.terminate(), 0);
    assert_ne!(ids(&scene.data("box")).0, ids(&scene.data("clone")).0);
    assert_eq!(ids(&scene.data("box")).1, 0, "the original keeps its id");
    original.assert_quiet(&["journal"]);
    clone.assert_quiet(&["copied", "journal"]);
}

/// The original never comes back: after the wait the clone stores what was in the journal.
#[test]
fn a_clone_whose_original_is_gone() {
    let mut scene = Scene::new("heir");
    let mut original = scene.launch("box", "10m").serve();
    scene.publish(&original);
    original.kill_9();
    fs::create_dir_all(scene.folder.path().join("clone")).expect("make a folder");
    copy(&scene.data("box"), &scene.data("clone"));
    let mut clone = scene
        .launch("clone", "1s")
        .arg("--copied-wait", "3s")
        .serve();
    scene.publish(&clone);
    scene.wait_whole();
    assert_eq!(clone.terminate(), 0);
    clone.assert_quiet(&["copied", "journal"]);
}

/// A box with an empty directory for the same home is another writer, and no copy.
#[test]
fn a_new_box_for_the_same_home() {
    let mut scene = Scene::new("replaced");
    let mut old = scene.launch("old", "1s").serve();
    scene.publish(&old);
    let mut new = scene.launch("new", "1s").serve();
    scene.publish(&new);
    scene.publish(&old);
    let verified = scene.wait_whole();
    assert_eq!(verified["writers"].as_array().map(Vec::len), Some(2));
    assert_eq!(old.terminate(), 0);
    assert_eq!(new.terminate(), 0);
    old.assert_quiet(&[]);
    new.assert_quiet(&[]);
}
