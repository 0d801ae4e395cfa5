use tarn_broker::log::{Publish, PublishLog};
use tarn_common::{clock::ManualClock, ids::EdgeId};

use super::*;
use crate::{
    journal::{
        Journal, JournalSettings, JournalStart,
        segment::{self, RECORDS_AT, Scan},
    },
    metrics::JournalMetrics,
};

const NOW: i64 = 1_800_000_000_000;

fn journal(dir: &std::path::Path, clock: Arc<ManualClock>) -> Journal {
    let (settings, metrics) = (JournalSettings::default(), JournalMetrics::default());
    Journal::open(
        &dir.join("journal"),
        JournalStart::after(EdgeId(7), Seq::ZERO),
        settings,
        clock,
        metrics,
    )
    .expect("opens")
}

fn publish(journal: &Journal, topic: &str, payload: &str) {
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
}

async fn durable(journal: &Journal) -> Segments {
    journal.commit();
    let last = journal.last();
    journal
        .durable()
        .wait_for(|seq| *seq >= last)
        .await
        .expect("durable");
    journal.segments()
}

fn devices() -> Devices {
    Devices::new(
        Topics::default(),
        TimeZone::UTC,
        None,
        Seq::ZERO,
        "homeassistant",
        DeviceMetrics::default(),
    )
}

/// Decodes all that a journal has, as the cut does: device, metric and received time of each reading.
fn decoded(devices: &Devices, segments: &Segments) -> (Decoded, Vec<String>) {
    let context = devices.context();
    let bytes = segment::read(&segments.active, RECORDS_AT).expect("reads");
    let mut decoder = Decoder::new(&context, devices.state_before(segments.active.first));
    Scan::new(&bytes, 0, Seq::ZERO).for_each(|record| decoder.record(&record));
    let decoded = decoder.finish();
    let lines = decoded
        .rows
        .iter()
        .map(|(device, metric, ..)| format!("{device} {metric}"));
    let lines = lines.collect();
    (decoded, lines)
}

#[tokio::test]
async fn what_is_announced_later_counts_for_readings_before() {
    let dir = tempfile::tempdir().expect("folder");
    let journal = journal(dir.path(), Arc::new(ManualClock::at(NOW)));
    publish(&journal, "a/state", "21.5");
    publish(
        &journal,
        "homeassistant/sensor/a/config",
        r#"{"name":"T","uniq_id":"u","stat_t":"a/state","dev":{"ids":["a"]}}"#,
    );
    let devices = devices();
    let segments = durable(&journal).await;
    devices.catch_up(&segments).expect("reads");
    let id = devices
        .registry
        .read()
        .devices()
        .next()
        .expect("one")
        .id
        .clone();
    let (_, lines) = decoded(&devices, &segments);
    assert_eq!(lines[0], format!("{id} t"));
}

#[tokio::test]
async fn a_clock_that_is_set_under_way_mends_what_came_before() {
    let dir = tempfile::tempdir().expect("folder");
    let clock = Arc::new(ManualClock::at(60_000));
    let journal = journal(dir.path(), clock.clone());
    publish(&journal, "home/kitchen/temperature", "1");
    clock.set(70_000);
    publish(&journal, "home/kitchen/temperature", "2");
    // Ten seconds later somebody tells the box the time.
    clock.set(80_000);
    clock.step(NOW);
    publish(&journal, "home/kitchen/temperature", "3");
    clock.set(NOW + 1_500);
    publish(&journal, "home/kitchen/temperature", "4");
    let devices = devices();
    let segments = durable(&journal).await;
    devices.catch_up(&segments).expect("reads");
    assert_eq!(devices.metrics.clock_steps.get(), 1);
    let (decoded, _) = decoded(&devices, &segments);
    let batch = decoded.rows.batch(&decoded.rows.all()).expect("batch");
    let ts = batch
        .column(0)
        .as_any()
        .downcast_ref::<arrow::array::TimestampMillisecondArray>();
    let ts = ts.expect("times").values().to_vec();
    assert_eq!(ts, [NOW - 20_000, NOW - 10_000, NOW, NOW + 1_500]);
}

#[test]
fn a_cut_that_is_done_again_goes_on_from_where_the_first_began() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("devices.redb");
    let (store, _) = DeviceStore::open(&path).expect("opens");
    let state = |raw: &[f64]| {
        let mut state = State::default();
        raw.iter().for_each(|&raw| {
            state.count(1, raw);
        });
        state.fresh.insert((9, 1_000), raw.len() as u64);
        state
    };
    let (first, second) = (state(&[514.0]), state(&[514.0, 2.0]));
    store.keep(Seq(10), &first, None).expect("keeps");
    store.keep(Seq(20), &second, None).expect("keeps");
    drop(store);
    let (store, _) = DeviceStore::open(&path).expect("opens again");
    // The entry of the cut up to 20 was not written: it begins again at 11.
    let before = store.memory_before(Seq(11)).expect("reads");
    assert_eq!(before, first.memory);
    let after = store.memory_before(Seq(21)).expect("reads");
    assert_eq!(after, second.memory);
    assert_eq!(store.record_of(9, 1_000), Some(2));
    assert_eq!(store.record_of(9, 2_000), None);
}

#[test]
fn a_damaged_store_is_put_aside() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("devices.redb");
    std::fs::write(
        &path,
        b"no database at all, and longer than a page header would have to be",
    )
    .expect("writes");
    let (_, registry) = DeviceStore::open(&path).expect("opens anew");
    assert_eq!(registry.devices().len(), 0);
    assert!(path.with_extension("damaged").exists());
}
