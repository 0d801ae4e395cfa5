use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use tarn_broker::log::{Publish, PublishLog};
use tarn_common::{
    clock::ManualClock,
    durable::RealDisk,
    event,
    fleet::Fleet,
    ids::Seq,
    store::Store,
    verify::{Report, verify},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    cut::Cutter,
    decode::topic::Topics,
    failing_disk::{FailingDisk, Fate},
    identity::Identity,
    journal::{Journal, JournalSettings, JournalStart},
    metrics::{CutMetrics, DeviceMetrics, JournalMetrics, ShipMetrics},
    ship::{ShipSettings, Shipper},
};

const NOW_MS: i64 = 1_800_000_000_000;
/// Publishes of each cut, one a second: of three devices a temperature, now and then a lamp and a lock.
const PUBLISHES: i64 = 90;
const CUTS: i64 = 3;
/// More than there is.
const ALL: u64 = u64::MAX >> 1;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime")
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

fn identity() -> Identity {
    Identity::new(EdgeId(9), "h".parse().expect("home"), 2)
}

fn shelf(dir: &Path) -> Arc<Shelf> {
    Arc::new(Shelf::open(&dir.join("lake"), identity()).expect("opens"))
}

/// A lake of so many cuts; nothing is shipped.
fn lake(cuts: i64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("dir");
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let start = JournalStart::after(EdgeId(9), Seq::ZERO);
    let (settings, metrics) = (JournalSettings::default(), JournalMetrics::default());
    let journal = dir.path().join("journal");
    let journal = Journal::open(&journal, start, settings, clock.clone(), metrics).expect("opens");
    let shelf = shelf(dir.path());
    let cutter = Cutter {
        care: None,
        identity: identity(),
        lake: dir.path().join("lake"),
        devices: devices(),
        disk: Arc::new(RealDisk),
        clock: clock.clone(),
        metrics: CutMetrics::default(),
        stores: None,
    };
    for n in 0..cuts * PUBLISHES {
        clock.set(NOW_MS + n * 1000);
        let (topic, payload) = match n % 10 {
            8 => (
                "home/hall/lamp",
                ["on", "off"][(n / 10 % 2) as usize].to_owned(),
            ),
            9 => ("home/hall/lock", "locked".to_owned()),
            d => (
                ["home/a/t", "home/b/t", "home/c/t"][(d % 3) as usize],
                n.to_string(),
            ),
        };
        let publish = Publish {
            client: "c",
            topic,
            payload: payload.as_bytes(),
            qos: 0,
            packet_id: 0,
            dup: false,
            retain: false,
            properties: &[],
        };
        journal.append(publish).expect("appends");
        if (n + 1) % PUBLISHES == 0 {
            runtime().block_on(journal.roll());
            let segment = journal.segments().sealed.pop_front().expect("sealed");
            let number = shelf.next_number(EdgeId(9));
            shelf.take(&cutter.cut(&segment, number).expect("cuts").entry);
            journal.retire(&segment, false).expect("retires");
        }
    }
    dir
}

fn evictor(shelf: Arc<Shelf>, disk: Arc<dyn Disk>) -> Evictor {
    Evictor {
        shelf,
        devices: devices(),
        disk,
        clock: Arc::new(ManualClock::at(NOW_MS + 1_000_000)),
        metrics: DiskMetrics::default(),
        entries: watch::Sender::new(0),
        spared: Mutex::default(),
    }
}

fn check(store: &Store, cuts: i64, what: &str) -> Report {
    let report = runtime().block_on(verify(store, None)).expect("verifies");
    assert!(
        report.ok && report.unlogged.is_empty(),
        "{what}: {report:#?}"
    );
    assert_eq!(
        report.rows + report.evicted_rows,
        (cuts * PUBLISHES) as u64,
        "{what}: {report:#?}"
    );
    report
}

fn check_lake(dir: &Path, what: &str) -> Report {
    check_lake_of(dir, CUTS, what)
}

fn check_lake_of(dir: &Path, cuts: i64, what: &str) -> Report {
    let store = Store::directory(&dir.join("lake")).expect("store");
    check(&store, cuts, what)
}

fn gaps(shelf: &Shelf) -> Vec<Event> {
    let (chunks, _) = shelf.view();
    let chunks = chunks.iter().filter(|chunk| chunk.key.is_events());
    let events = chunks.flat_map(|chunk| {
        let path: PathBuf = shelf.path(&chunk.key).expect("on disk");
        event::decode(fs::read(path).expect("reads").into()).expect("decodes")
    });
    events.collect()
}

#[test]
fn what_is_worth_least_goes_first_and_the_oldest_of_it() {
    let (cuts, total) = (30, 30 * PUBLISHES as u64);
    let dir = lake(cuts);
    let shelf = shelf(dir.path());
    let evictor = evictor(shelf.clone(), Arc::new(RealDisk));
    let metrics = &evictor.metrics;
    let mut before = total;
    let mut seen = Vec::new();
    // A byte at a time, until nothing is left to go.
    while evictor.evict(1, &Step::ALL, &|_| false).expect("evicts") > 0
        || shelf.view().0.iter().any(|c| !c.key.is_events())
    {
        let report = check_lake_of(dir.path(), cuts, "step by step");
        assert!(report.rows < before, "{report:#?}");
        before = report.rows;
        let left: Vec<u64> = Tier::ALL
            .iter()
            .map(|t| {
                let told = gaps(&shelf)
                    .into_iter()
                    .filter(|g| g.tier.as_deref() == Some(t.name()));
                told.map(|g| g.rows.expect("counted")).sum()
            })
            .collect();
        seen.push(left);
    }
    let lamps = total / 10;
    let last = [total - 2 * lamps, lamps, lamps];
    assert_eq!(seen.last().expect("some"), &last);
    for tiers in &seen {
        for (lower, higher) in [(0, 1), (1, 2)] {
            assert!(
                tiers[higher] == 0 || tiers[lower] == last[lower],
                "{tiers:?}"
            );
        }
    }
    assert!(seen.len() > 9, "{seen:?}");
    let gone = |tier: Tier| {
        let told = gaps(&shelf)
            .into_iter()
            .filter(|g| g.tier.as_deref() == Some(tier.name()));
        told.map(|g| g.rows.unwrap_or(0)).sum::<u64>()
    };
    for tier in Tier::ALL {
        let mut text = String::new();
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register("evicted", "", metrics.evicted_readings.clone());
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encodes");
        let line = format!("evicted_total{{tier=\"{}\"}} {}", tier.name(), gone(tier));
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn a_power_cut_between_any_two_file_operations_loses_nothing_untold() {
    let whole = lake(CUTS);
    for (nth, fate) in [Fate::Kept, Fate::Lost, Fate::Torn].into_iter().enumerate() {
        // Half of it: some chunks are thinned, some dropped.
        for wanted in [1, 6_000, ALL] {
            // Each fate meets other operations, to spare time; the smallest eviction has them all.
            let stride = if wanted == 1 { 1 } else { 3 };
            let mut operations = nth % stride;
            loop {
                let what = format!("{fate:?}, {wanted} bytes, after {operations} operations");
                let dir = tempfile::tempdir().expect("dir");
                copy(whole.path(), dir.path());
                let disk = Arc::new(FailingDisk::after(operations));
                let tried = evictor(shelf(dir.path()), disk.clone());
                let first_try = tried.evict(wanted, &Step::ALL, &|_| false);
                disk.power_is_back(fate);
                // What the next start finds, and that it goes on.
                let again = shelf(dir.path());
                let report = check_lake(dir.path(), &what);
                if first_try.is_ok() {
                    assert!(report.evicted_rows > 0, "{what}: {report:#?}");
                }
                let next = evictor(again, Arc::new(RealDisk));
                next.evict(1, &Step::ALL, &|_| false).expect("evicts");
                check_lake(dir.path(), &what);
                if first_try.is_ok() {
                    assert!(operations > 10, "{operations} operations");
                    break;
                }
                operations += stride;
            }
        }
    }
}

#[test]
fn what_was_evicted_is_told_in_the_store_and_nothing_is_there_twice() {
    let dir = lake(CUTS);
    let lake = shelf(dir.path());
    let store = Store::directory(&dir.path().join("store")).expect("store");
    // One chunk got there before the line was cut, its entry did not.
    let early = lake.view().0[0].clone();
    let bytes = fs::read(lake.path(&early.key).expect("on disk")).expect("reads");
    let key = early.key.to_string();
    let put = store.put(&key, bytes.into());
    runtime().block_on(put).expect("puts");
    let evictor = evictor(lake.clone(), Arc::new(RealDisk));
    evictor.evict(1, &Step::ALL, &|_| false).expect("evicts");
    evictor
        .evict(6_000, &Step::ALL, &|_| false)
        .expect("evicts");
    let told = check_lake(dir.path(), "on the box");
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let settings = ShipSettings::default();
    let stores = Fleet::new(
        vec![store.clone()],
        None,
        Some(dir.path().join("stores.json")),
        settings.object_timeout,
    );
    let shipper = Shipper::new(
        lake,
        Arc::new(stores),
        settings,
        ShipMetrics::default(),
        dir.path().join("shipped.json"),
        clock,
    );
    runtime().block_on(async {
        let (stop, (_cuts, new)) = (CancellationToken::new(), watch::channel(0));
        tokio::select! {
            () = shipper.run(new, stop) => {}
            () = shipper.drained() => {}
        }
    });
    let report = check(&store, CUTS, "in the store");
    assert_eq!(report.evicted_rows, told.evicted_rows);
}

#[test]
fn a_damaged_chunk_goes_last_and_is_told() {
    let dir = lake(CUTS);
    let lake = shelf(dir.path());
    let spoilt = lake.view().0[0].clone();
    let path = lake.path(&spoilt.key).expect("on disk");
    let mut bytes = fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&path, bytes).expect("writes");
    let evictor = evictor(lake.clone(), Arc::new(RealDisk));
    evictor.evict(ALL, &Step::ALL, &|_| false).expect("evicts");
    let damaged: Vec<_> = gaps(&lake)
        .into_iter()
        .filter(|g| g.reason.as_deref() == Some(reason::DAMAGED))
        .collect();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!(
        (damaged[0].rows, damaged[0].device.as_ref()),
        (Some(spoilt.rows), None)
    );
    assert_eq!(check_lake(dir.path(), "all gone").rows, 0);
}

#[test]
fn what_is_in_a_store_is_not_evicted_as_if_it_were_not() {
    let dir = lake(CUTS);
    let lake = shelf(dir.path());
    let evictor = evictor(lake, Arc::new(RealDisk));
    assert_eq!(evictor.evict(ALL, &Step::ALL, &|_| true).expect("looks"), 0);
    evictor
        .evict(ALL, &Step::ALL, &|entry| matches!(entry.number, 2 | 3))
        .expect("evicts");
    let report = check_lake(dir.path(), "the first cut alone");
    assert_eq!(report.evicted_rows, PUBLISHES as u64);
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
