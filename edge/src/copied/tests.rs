use std::{path::PathBuf, sync::Arc};

use jiff::tz::TimeZone;
use tarn_broker::log::{Publish, PublishLog};
use tarn_common::{
    clock::ManualClock,
    durable::RealDisk,
    fleet::Fleet,
    verify::{Report, verify},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    cut::Cutter,
    decode::topic::Topics,
    devices::Devices,
    evict::{Evictor, reduce::Step},
    failing_disk::{FailingDisk, Fate},
    journal::{Journal, JournalSettings, JournalStart},
    metrics::{CutMetrics, DeviceMetrics, DiskMetrics, JournalMetrics, ShipMetrics},
    shelf::Shelf,
    ship::{ShipSettings, Shipper},
};

const NOW_MS: i64 = 1_800_000_000_000;

/// A data directory between two starts of a box.
struct House {
    dir: PathBuf,
    clock: Arc<ManualClock>,
}

impl House {
    fn at(dir: &Path, now_ms: i64) -> House {
        let clock = Arc::new(ManualClock::at(now_ms));
        House {
            dir: dir.to_owned(),
            clock,
        }
    }

    /// The directory, taken for one that never left its place unless `moved`.
    fn open(&self, moved: bool) -> DataDir {
        let home = "h".parse().expect("home");
        let mut data = DataDir::open(&self.dir, &home, 2).expect("opens");
        data.moved = moved.then_some("it was moved");
        data
    }

    /// One run: publish these numbers, then cut what there is, or leave it in the journal.
    fn run(&self, numbers: std::ops::Range<i64>, cuts: bool) {
        let data = self.open(false);
        self.run_with(&data, true, numbers, cuts);
    }

    fn run_with(
        &self,
        data: &DataDir,
        begin_anew: bool,
        numbers: std::ops::Range<i64>,
        cuts: bool,
    ) {
        let identity = data.identity.clone();
        let shelf = Shelf::open(&data.lake(), identity.clone()).expect("opens");
        let cut_upto = shelf.view().1;
        let journal = Journal::open(
            &data.journal(),
            JournalStart {
                edge: identity.edge,
                closed_upto: cut_upto.max(Seq(identity.first().0 - 1)),
                begin_anew,
            },
            JournalSettings::default(),
            self.clock.clone(),
            JournalMetrics::default(),
        )
        .expect("opens");
        for number in numbers {
            self.clock.set(self.clock.now_ms() + 1000);
            let payload = number.to_string();
            let topic = format!("home/device-{}/number", number % 3);
            let publish = Publish {
                client: "c",
                topic: &topic,
                payload: payload.as_bytes(),
                qos: 0,
                packet_id: 0,
                dup: false,
                retain: false,
                properties: &[],
            };
            journal.append(publish).expect("appends");
        }
        if cuts {
            let cutter = Cutter {
                care: None,
                identity: identity.clone(),
                lake: data.lake(),
                devices: devices(),
                stores: None,
                disk: Arc::new(RealDisk),
                clock: self.clock.clone(),
                metrics: CutMetrics::default(),
            };
            runtime().block_on(journal.roll());
            for segment in journal.segments().sealed {
                if segment.last > shelf.view().1 && segment.last >= segment.first {
                    let number = shelf.next_number(identity.edge_at(segment.first));
                    shelf.take(&cutter.cut(&segment, number).expect("cuts").entry);
                }
                journal.retire(&segment, false).expect("retires");
            }
        }
        journal.close();
    }

    /// Evict all of what the cuts after one number have brought.
    fn evict(&self, data: &DataDir, kept: u64) {
        let shelf = Shelf::open(&data.lake(), data.identity.clone()).expect("opens");
        let evictor = Evictor {
            shelf: Arc::new(shelf),
            devices: devices(),
            disk: Arc::new(RealDisk),
            clock: self.clock.clone(),
            metrics: DiskMetrics::default(),
            entries: tokio::sync::watch::Sender::new(0),
            spared: Default::default(),
        };
        let freed = evictor.evict(1, &Step::ALL, &|entry| entry.number <= kept);
        assert!(freed.is_ok(), "{freed:?}");
        let freed = evictor.evict(2_000, &Step::ALL, &|entry| entry.number <= kept);
        assert!(freed.is_ok(), "{freed:?}");
    }

    fn ship(&self, data: &DataDir, store: &Store) -> bool {
        let shelf = Shelf::open(&data.lake(), data.identity.clone()).expect("opens");
        let settings = ShipSettings {
            copied_wait: Duration::ZERO,
            ..ShipSettings::default()
        };
        let shipper = Shipper::new(
            Arc::new(shelf),
            Arc::new(Fleet::new(
                vec![store.clone()],
                None,
                Some(data.stores()),
                settings.object_timeout,
            )),
            settings,
            ShipMetrics::default(),
            data.shipped(),
            self.clock.clone(),
        );
        runtime().block_on(async {
            let (stop, (_cuts, new)) = (CancellationToken::new(), tokio::sync::watch::channel(0));
            tokio::select! {
                () = shipper.run(new, stop) => false,
                () = shipper.drained() => true,
            }
        })
    }

    fn settle(
        &self,
        data: &mut DataDir,
        store: &Store,
        disk: &dyn Disk,
    ) -> Result<bool, SettleError> {
        let mut settling = Settling {
            data,
            stores: std::slice::from_ref(store),
            clock: &*self.clock,
            disk,
            fresh: &mut || EdgeId(rand::random()),
        };
        runtime().block_on(settling.settle())
    }
}

fn devices() -> Arc<Devices> {
    let (topics, metrics) = (Topics::default(), DeviceMetrics::default());
    Arc::new(Devices::new(
        topics,
        TimeZone::UTC,
        None,
        Seq::ZERO,
        "homeassistant",
        metrics,
    ))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("lists").path();
        let to = to.join(path.file_name().expect("has a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copies");
        }
    }
}

/// What every store must hold in the end, each number once.
fn check_store(store: &Store, expected: i64, what: &str) -> Report {
    let report = runtime().block_on(verify(store, None)).expect("verifies");
    assert!(report.ok && report.twice.is_empty(), "{what}: {report:#?}");
    assert!(report.unlogged.is_empty(), "{what}: {report:#?}");
    let told = report.rows + report.evicted_rows;
    assert_eq!(told, expected as u64, "{what}: {report:#?}");
    report
}

/// A box with numbers 0 to 20 cut and shipped and 20 to 30 in its journal is copied. The original goes on,
/// and cuts and ships 30 to 40, too. Gives the folder of the copy and the store's.
fn history(root: &Path) -> (PathBuf, PathBuf) {
    let (original, copied, shared) = (root.join("original"), root.join("copy"), root.join("store"));
    let store = Store::directory(&shared).expect("store");
    let first = House::at(&original, NOW_MS);
    first.run(0..20, true);
    assert!(first.ship(&first.open(false), &store));
    first.run(20..30, false);
    copy(&original, &copied);
    let later = House::at(&original, NOW_MS + 3_600_000);
    later.run_with(&later.open(false), false, 30..40, true);
    assert!(later.ship(&later.open(false), &store));
    (copied, shared)
}

/// Settle, with the power cut after every number of file operations, and then go on to the end.
///
/// `stride` spares time where there are many: the three fates then meet different operations.
fn check(dir: &Path, store: &Path, moved: bool, expected: i64, stride: usize) {
    for (nth, fate) in [Fate::Kept, Fate::Lost, Fate::Torn].into_iter().enumerate() {
        let mut operations = nth % stride;
        loop {
            let what = format!("{fate:?} after {operations} operations");
            let root = tempfile::tempdir().expect("dir");
            copy(dir, &root.path().join("box"));
            copy(store, &root.path().join("store"));
            let store = Store::directory(&root.path().join("store")).expect("store");
            let copied = House::at(&root.path().join("box"), NOW_MS + 9_000_000);
            let disk = FailingDisk::after(operations);
            let mut data = copied.open(moved);
            let was = data.identity.edge;
            let first_try = copied.settle(&mut data, &store, &disk);
            drop(data);
            disk.power_is_back(fate);

            let mut data = copied.open(false);
            data.moved = (moved && data.identity.edge == was).then_some("it was moved");
            assert!(
                copied
                    .settle(&mut data, &store, &RealDisk)
                    .expect("settles"),
                "{what}"
            );
            assert_ne!(data.identity.edge, was, "{what}");
            copied.run_with(&data, false, 1000..1010, true);
            assert!(copied.ship(&data, &store), "{what}");
            check_store(&store, expected + 10, &what);
            if first_try.is_ok() {
                assert!(operations >= 4, "{operations} operations");
                break;
            }
            operations += stride;
        }
    }
}

#[test]
fn a_copy_that_is_known_by_its_place_survives_a_power_cut_at_any_point() {
    let root = tempfile::tempdir().expect("dir");
    let (dir, store) = history(root.path());
    check(&dir, &store, true, 40, 1);
}

#[test]
fn a_copy_that_only_the_store_knows_survives_a_power_cut_at_any_point() {
    let root = tempfile::tempdir().expect("dir");
    let (dir, store) = history(root.path());
    check(&dir, &store, false, 40, 1);
}

#[test]
fn what_was_cut_under_an_id_that_another_copy_uses_gets_a_new_one() {
    let root = tempfile::tempdir().expect("dir");
    let (dir, store) = history(root.path());
    let copied = House::at(&dir, NOW_MS + 7_200_000);
    // Two runs without the store: what is shared, and what is its own, are cut under the old id.
    copied.run(100..110, true);
    copied.run(110..120, true);
    copied.run(120..130, false);
    let shared = Store::directory(&store).expect("store");
    assert!(
        !copied.ship(&copied.open(false), &shared),
        "it must not be shipped"
    );
    check(&dir, &store, false, 70, 3);
}

#[test]
fn what_was_evicted_under_an_id_that_another_copy_uses_is_told_under_the_new_one() {
    let root = tempfile::tempdir().expect("dir");
    let (dir, store) = history(root.path());
    let copied = House::at(&dir, NOW_MS + 7_200_000);
    copied.run(100..130, true);
    copied.run(130..160, true);
    // The first cut has what both copies have.
    let (data, shared) = (copied.open(false), 2);
    copied.evict(&data, shared);
    let report = runtime().block_on(verify(
        &Store::directory(&data.lake()).expect("store"),
        None,
    ));
    assert!(report.expect("verifies").evicted_rows > 20);
    drop(data);
    copied.run(160..170, true);
    check(&dir, &store, false, 110, 3);
}

#[test]
fn a_box_that_nobody_copied_keeps_its_id() {
    let root = tempfile::tempdir().expect("dir");
    let store = Store::directory(&root.path().join("store")).expect("store");
    let alone = House::at(&root.path().join("box"), NOW_MS);
    alone.run(0..10, true);
    assert!(alone.ship(&alone.open(false), &store));
    // Not shipped, and shipped without that being remembered.
    alone.run(10..20, true);
    let memory = fs::read(alone.open(false).shipped()).expect("reads");
    let mut data = alone.open(false);
    let was = data.identity.clone();
    assert!(alone.settle(&mut data, &store, &RealDisk).expect("settles"));
    assert!(alone.ship(&data, &store));
    fs::write(data.shipped(), memory).expect("writes");
    assert!(alone.settle(&mut data, &store, &RealDisk).expect("settles"));
    assert_eq!(data.identity, was);
    assert!(alone.ship(&data, &store));
    check_store(&store, 20, "one box");
}

#[test]
fn records_that_no_other_copy_stores_are_stored_after_a_while_and_twice_if_both_do() {
    let root = tempfile::tempdir().expect("dir");
    let store = Store::directory(&root.path().join("store")).expect("store");
    let (original, copied) = (root.path().join("original"), root.path().join("copy"));
    let first = House::at(&original, NOW_MS);
    first.run(0..10, false);
    copy(&original, &copied);
    let second = House::at(&copied, NOW_MS + 1000);
    let mut data = second.open(true);
    assert!(
        second
            .settle(&mut data, &store, &RealDisk)
            .expect("settles")
    );
    second.run_with(&data, false, 100..110, true);
    assert!(second.ship(&data, &store));
    check_store(&store, 20, "the copy alone");
    // The other one was away all the time, and comes back.
    first.run(10..20, true);
    assert!(first.ship(&first.open(false), &store));
    let report = runtime().block_on(verify(&store, None)).expect("verifies");
    assert!(report.ok && report.rows == 40, "{report:#?}");
    let twice: Vec<_> = report.twice.iter().map(|t| (t.first.0, t.last.0)).collect();
    assert_eq!(twice, [(1, 10)], "{report:#?}");
}
