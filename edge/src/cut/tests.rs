use std::time::Duration;

use jiff::tz::TimeZone;
use tarn_broker::log::{Publish, PublishLog};
use tarn_common::{
    clock::ManualClock,
    durable::RealDisk,
    ids::EdgeId,
    store::Store,
    verify::{Report, verify},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::*;
use crate::{
    decode::topic::Topics,
    failing_disk::{FailingDisk, Fate},
    journal::{Journal, JournalSettings, JournalStart},
    metrics::{DeviceMetrics, JournalMetrics},
    shelf::Shelf,
};

/// Two days and several devices, so that a cut has many chunks.
const DEVICES: usize = 6;
const PUBLISHES: usize = 40;
const DAY_END_MS: i64 = 1_800_057_600_000 - 5;

fn identity() -> Identity {
    Identity::new(EdgeId(9), "h".parse().expect("home"), 3)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime")
}

fn journal(dir: &Path) -> Journal {
    let clock = Arc::new(ManualClock::at(DAY_END_MS));
    let (settings, metrics) = (JournalSettings::default(), JournalMetrics::default());
    let journal = Journal::open(
        &dir.join("journal"),
        JournalStart::after(EdgeId(9), Seq::ZERO),
        settings,
        clock.clone(),
        metrics,
    )
    .expect("opens");
    for n in 0..PUBLISHES {
        clock.set(DAY_END_MS + n as i64);
        let topic = format!("home/device-{}", n % DEVICES);
        let payload = format!(r#"{{"n":{n},"m":1}}"#);
        let (payload, topic) = (payload.as_bytes(), topic.as_str());
        let publish = Publish {
            client: "c",
            topic,
            payload,
            qos: 0,
            packet_id: 0,
            dup: false,
            retain: false,
            properties: &[],
        };
        journal.append(publish).expect("appends");
    }
    runtime().block_on(journal.roll());
    journal
}

fn cutter(dir: &Path, disk: Arc<dyn Disk>) -> Cutter {
    Cutter {
        care: None,
        identity: identity(),
        lake: dir.join("lake"),
        devices: devices(),
        stores: None,
        disk,
        clock: Arc::new(ManualClock::at(DAY_END_MS)),
        metrics: CutMetrics::default(),
    }
}

fn check_lake(dir: &Path) -> Report {
    let store = Store::directory(&dir.join("lake")).expect("store");
    let report = runtime().block_on(verify(&store, None)).expect("verifies");
    assert!(report.ok && report.unlogged.is_empty(), "{report:?}");
    report
}

#[test]
fn a_power_cut_between_any_two_file_operations_is_mended_by_the_next_start() {
    for fate in [Fate::Kept, Fate::Lost, Fate::Torn] {
        let mut operations = 0;
        loop {
            let dir = tempfile::tempdir().expect("dir");
            let journal = journal(dir.path());
            let segment = journal.segments().sealed.pop_front().expect("sealed");
            let disk = Arc::new(FailingDisk::after(operations));
            let first_try = cutter(dir.path(), disk.clone()).cut(&segment, 1);
            disk.power_is_back(fate);

            let shelf = Shelf::open(&dir.path().join("lake"), identity()).expect("opens");
            if shelf.view().1 < segment.last {
                assert!(
                    first_try.is_err(),
                    "what was reported as cut must be logged"
                );
                let number = shelf.next_number(EdgeId(9));
                let cut = cutter(dir.path(), Arc::new(RealDisk))
                    .cut(&segment, number)
                    .expect("cuts");
                shelf.take(&cut.entry);
            }
            let report = check_lake(dir.path());
            assert_eq!(
                report.rows,
                2 * PUBLISHES as u64,
                "{fate:?} after {operations} operations"
            );
            if first_try.is_ok() {
                assert!(
                    operations > 20,
                    "a cut of many chunks takes many operations"
                );
                break;
            }
            operations += 1;
        }
    }
}

#[test]
fn a_damaged_segment_gives_all_its_other_records_and_tells_the_loss() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = journal(dir.path());
    let segment = journal.segments().sealed.pop_front().expect("sealed");
    let mut bytes = fs::read(&segment.path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&segment.path, &bytes).expect("writes");
    let cut = cutter(dir.path(), Arc::new(RealDisk))
        .cut(&segment, 1)
        .expect("cuts");
    assert_eq!(cut.entry.lost_records, 1);
    assert_eq!(cut.damage.len(), 1);
    let told = cut.entry.adds.iter().find(|chunk| chunk.key.is_events());
    let path = dir
        .path()
        .join("lake")
        .join(told.expect("told").key.to_string());
    let events = event::decode(fs::read(path).expect("reads").into()).expect("decodes");
    let gap = &events[0];
    assert_eq!((events.len(), gap.records, gap.rows), (1, Some(1), None));
    assert!(
        gap.first_seq == gap.last_seq && gap.until - gap.ts == 2,
        "{gap:?}"
    );
    assert_eq!(check_lake(dir.path()).rows, 2 * (PUBLISHES as u64 - 1));
}

#[test]
fn a_segment_cut_short_keeps_what_is_left() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = journal(dir.path());
    let segment = journal.segments().sealed.pop_front().expect("sealed");
    let bytes = fs::read(&segment.path).expect("reads");
    fs::write(&segment.path, &bytes[..bytes.len() / 2]).expect("writes");
    let cut = cutter(dir.path(), Arc::new(RealDisk))
        .cut(&segment, 1)
        .expect("cuts");
    let rows = check_lake(dir.path()).rows;
    assert_eq!(rows, 2 * (PUBLISHES as u64 - cut.entry.lost_records));
    assert!(cut.entry.lost_records > 0 && rows > 0);
}

#[test]
fn a_segment_that_cannot_be_read_is_told_as_lost_and_the_next_one_goes_on() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = Arc::new(journal(dir.path()));
    let segment = journal.segments().sealed.pop_front().expect("sealed");
    // A directory in its place cannot be read by anyone, root included.
    fs::remove_file(&segment.path).expect("removes");
    fs::create_dir(&segment.path).expect("makes");
    let shelf = Arc::new(Shelf::open(&dir.path().join("lake"), identity()).expect("opens"));
    let (_read, read_upto) = watch::channel(Seq::MAX);
    let stage = stage(dir.path(), &journal, &shelf, read_upto);
    runtime().block_on(async {
        assert!(
            stage.cut(&segment, false).await.is_err(),
            "it is tried again at first"
        );
        stage.cut(&segment, true).await.expect("gives up on it");
    });
    assert_eq!(shelf.view().1, segment.last);
    assert!(journal.segments().sealed.is_empty());
    let report = check_lake(dir.path());
    assert_eq!(
        (report.rows, report.writers[0].lost_records),
        (0, PUBLISHES as u64)
    );
}

#[test]
fn a_segment_stays_until_rules_have_read_it_and_is_cut_once() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = Arc::new(journal(dir.path()));
    let shelf = Arc::new(Shelf::open(&dir.path().join("lake"), identity()).expect("opens"));
    let (read, read_upto) = watch::channel(Seq::ZERO);
    let mut stage = stage(dir.path(), &journal, &shelf, read_upto);
    let last = journal.segments().sealed[0].last;
    let is_there = || !journal.segments().sealed.is_empty();
    for _ in 0..2 {
        assert_eq!(runtime().block_on(stage.cut_all(0)), 0);
        assert!(is_there() && shelf.view().1 == last);
    }
    assert_eq!(stage.cutter.metrics.cuts.get(), 1);
    read.send_replace(last);
    runtime().block_on(stage.cut_all(0));
    assert!(!is_there());
    assert_eq!(stage.cutter.metrics.unread.get(), 0);
    assert_eq!(check_lake(dir.path()).rows, 2 * PUBLISHES as u64);
}

#[test]
fn rules_that_never_read_on_hold_no_segment_for_ever() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = Arc::new(journal(dir.path()));
    let shelf = Arc::new(Shelf::open(&dir.path().join("lake"), identity()).expect("opens"));
    let (_read, read_upto) = watch::channel(Seq::ZERO);
    let mut stage = stage(dir.path(), &journal, &shelf, read_upto);
    runtime().block_on(stage.cut_all(0));
    assert!(!journal.segments().sealed.is_empty());
    let long_ago = Instant::now().checked_sub(Duration::from_secs(61));
    stage.unread_since = Some(long_ago.expect("up for a minute"));
    runtime().block_on(stage.cut_all(0));
    assert!(journal.segments().sealed.is_empty());
    assert_eq!(stage.cutter.metrics.unread.get(), 1);
}

fn stage(
    dir: &Path,
    journal: &Arc<Journal>,
    shelf: &Arc<Shelf>,
    read_upto: watch::Receiver<Seq>,
) -> stage::CutStage {
    stage::CutStage {
        cutter: Arc::new(cutter(dir, Arc::new(RealDisk))),
        journal: journal.clone(),
        shelf: shelf.clone(),
        tail: Arc::new(crate::tail::Tail::new(devices())),
        checkpoints: None,
        age: Duration::from_secs(60),
        entries: watch::channel(0).0,
        demands: mpsc::channel(1).1,
        read_upto,
        unread_since: None,
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
