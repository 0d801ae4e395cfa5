//! The parts of the benchmark that run inside one process: the disk, bare loops, the cut against
//! the Arrow writer alone, and a lake of ten million rows for the query rows. Prints JSON.
#![allow(missing_docs, reason = "a program, not a library")]

mod devices;
mod stores;
mod twins;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use serde_json::json;
use tarn_broker::log::{Publish, PublishLog};
use tarn_common::{
    chunk::{self, ZSTD_LEVEL_BOX},
    clock::ManualClock,
    commit_log::{Chunk, Entry, VERSION},
    durable::{self, RealDisk},
    ids::{EdgeId, Seq, Shard},
    layout::{ChunkKey, Content},
    reading::{DAY_MS, Quality},
    rows::{Row, Rows},
};
use tarn_edge::{
    cut::Cutter,
    decode::{Decoder, state::State, topic::Topics},
    devices::Devices,
    identity::Identity,
    journal::{Journal, JournalSettings, JournalStart, segment::Scan},
    metrics::{CutMetrics, DeviceMetrics, JournalMetrics},
};

const DAY: i32 = 20_779;
const RECORD_BYTES: usize = 125;

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let dir = PathBuf::from(
        args.next()
            .expect("core DIR [make-lake DAYS ROWS | devices | stores | twins]"),
    );
    fs::create_dir_all(&dir).expect("makes its directory");
    match args.next().as_deref() {
        Some("make-lake") => {
            let mut number = || args.next().and_then(|n| n.parse::<u32>().ok());
            let (days, rows) = (number().unwrap_or(10), number().unwrap_or(250_000));
            return make_lake(&dir, days.into(), rows.into());
        }
        Some("devices") => return println!("{}", devices::devices()),
        Some("stores") => return println!("{}", stores::stores()),
        Some("twins") => return println!("{}", twins::twins()),
        _ => {}
    }
    let disk = disk(&dir, 4096, 1500);
    let group = (0..3).map(|_| group_commit(&dir, 50)).fold(0.0, f64::max);
    let cut: Vec<_> = (0..5)
        .map(|round| cut(&dir.join(format!("cut-{round}"))))
        .collect();
    println!(
        "{}",
        json!({
            "fdatasync_4k_ms": disk,
            "bare_append_loop_per_s": 1000.0 / disk_mean(&dir, RECORD_BYTES, 3000),
            "bare_group_commit_50_per_s": group,
            "cut": cut,
            "devices": devices::devices(),
            "stores": stores::stores(),
            "twins": twins::twins(),
        })
    );
}

/// Time of each append + fdatasync on a preallocated file, in milliseconds.
fn syncs(dir: &Path, bytes: usize, count: usize) -> Vec<f64> {
    let path = dir.join("disk.bin");
    let file = File::create(&path).expect("creates");
    rustix::fs::fallocate(
        &file,
        rustix::fs::FallocateFlags::empty(),
        0,
        (bytes * count) as u64,
    )
    .expect("allocates");
    file.sync_all().expect("syncs");
    let block = vec![7; bytes];
    let times = (0..count).map(|n| {
        let started = Instant::now();
        file.write_all_at(&block, (n * bytes) as u64)
            .expect("writes");
        file.sync_data().expect("syncs");
        started.elapsed().as_secs_f64() * 1000.0
    });
    let times = times.collect();
    fs::remove_file(path).expect("removes");
    times
}

fn disk(dir: &Path, bytes: usize, count: usize) -> serde_json::Value {
    let mut times = syncs(dir, bytes, count);
    times.sort_by(f64::total_cmp);
    json!({"p50": times[count / 2], "p99": times[count * 99 / 100]})
}

fn disk_mean(dir: &Path, bytes: usize, count: usize) -> f64 {
    syncs(dir, bytes, count).iter().sum::<f64>() / count as f64
}

/// Records a second of `threads` that each wait for their record before the next, one thread syncing.
fn group_commit(dir: &Path, threads: usize) -> f64 {
    struct State {
        frames: Vec<u8>,
        next: u64,
        durable: u64,
    }
    let shared = Arc::new((
        Mutex::new(State {
            frames: Vec::new(),
            next: 0,
            durable: 0,
        }),
        Condvar::new(),
        Condvar::new(),
    ));
    let until = Instant::now() + Duration::from_secs(2);
    let clients: Vec<_> = (0..threads)
        .map(|_| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let (state, wake, durable) = &*shared;
                let mut done = 0u64;
                while Instant::now() < until {
                    let mut state = state.lock().expect("lock");
                    state.frames.extend_from_slice(&[7; RECORD_BYTES]);
                    state.next += 1;
                    let mine = state.next;
                    wake.notify_one();
                    drop(
                        durable
                            .wait_while(state, |s| s.durable < mine)
                            .expect("lock"),
                    );
                    done += 1;
                }
                done
            })
        })
        .collect();
    let path = dir.join("group.bin");
    let file = File::create(&path).expect("creates");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 64 << 20)
        .expect("allocates");
    let (state, wake, durable) = &*shared;
    let mut at = 0;
    while !clients.iter().all(std::thread::JoinHandle::is_finished) {
        let guard = state.lock().expect("lock");
        let (mut guard, _) = wake
            .wait_timeout_while(guard, Duration::from_millis(10), |s| s.frames.is_empty())
            .expect("lock");
        let (frames, last) = (std::mem::take(&mut guard.frames), guard.next);
        drop(guard);
        file.write_all_at(&frames, at).expect("writes");
        file.sync_data().expect("syncs");
        at += frames.len() as u64;
        state.lock().expect("lock").durable = last;
        durable.notify_all();
    }
    fs::remove_file(path).expect("removes");
    let done: u64 = clients.into_iter().map(|c| c.join().expect("joins")).sum();
    done as f64 / 2.0
}

/// One journal segment of 61-byte objects on 200 topics, cut by us, and its rows written by the
/// Arrow writer alone.
fn cut(dir: &Path) -> serde_json::Value {
    const PUBLISHES: usize = 200_000;
    let clock = Arc::new(ManualClock::at(i64::from(DAY) * DAY_MS));
    let settings = JournalSettings {
        segment_bytes: 1 << 30,
        ..JournalSettings::default()
    };
    let journal = Journal::open(
        &dir.join("journal"),
        JournalStart::after(EdgeId(1), Seq::ZERO),
        settings,
        clock.clone(),
        JournalMetrics::default(),
    )
    .expect("opens");
    for n in 0..PUBLISHES {
        clock.set(i64::from(DAY) * DAY_MS + n as i64 * 5);
        let wave = (n % 977) as f64 / 10.0;
        let payload = format!(
            r#"{{"temperature":{:.1},"humidity":{:.0},"power":{:.1},"lqi":{:>3}}}"#,
            15.0 + wave / 10.0,
            30.0 + wave / 4.0,
            wave * 7.0,
            n % 255
        );
        let topic = format!("home/room-{}/sensor", n % 200);
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
        if n % 1000 == 0 {
            journal.commit();
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    runtime.block_on(journal.roll());
    let segment = journal.segments().sealed.pop_front().expect("sealed");
    let identity = Identity::new(EdgeId(1), "bench".parse().expect("home"), 4);
    let devices = Arc::new(Devices::new(
        Topics::default(),
        TimeZone::UTC,
        None,
        Seq::ZERO,
        "homeassistant",
        DeviceMetrics::default(),
    ));
    let cutter = Cutter {
        care: None,
        identity,
        lake: dir.join("lake"),
        devices: devices.clone(),
        disk: Arc::new(RealDisk),
        clock,
        metrics: CutMetrics::default(),
        stores: None,
    };
    let started = Instant::now();
    let entry = cutter.cut(&segment, 1).expect("cuts").entry;
    let cut_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let bytes = fs::read(&segment.path).expect("reads");
    let context = devices.context();
    let mut decoder = Decoder::new(&context, State::default());
    Scan::new(&bytes, 32, Seq(segment.first.0 - 1)).for_each(|record| decoder.record(&record));
    let rows = decoder.finish().rows;
    let decode_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let batches: Vec<_> = rows
        .partition(4)
        .iter()
        .map(|part| rows.batch(part).expect("batch"))
        .collect();
    let sort_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    for (batch, add) in batches.iter().zip(&entry.adds) {
        chunk::encode(&add.key, batch, ZSTD_LEVEL_BOX).expect("encodes");
    }
    let writer_s = started.elapsed().as_secs_f64();
    let readings = rows.len() as f64;
    let bytes: u64 = entry.adds.iter().map(|c| c.bytes).sum();
    drop(journal);
    fs::remove_dir_all(dir).expect("removes");
    json!({
        "readings": readings, "cut_per_s": readings / cut_s, "writer_alone_per_s": readings / writer_s,
        "ratio": writer_s / cut_s, "decode_s": decode_s, "sort_and_batch_s": sort_s, "writer_s": writer_s, "cut_s": cut_s,
        "bytes_per_reading": bytes as f64 / readings,
    })
}

/// Readings of 500 series of one home over some days, four chunks of so many rows a day.
fn make_lake(dir: &Path, days: u64, rows_each: i64) {
    let edge = EdgeId(1);
    let mut seq = 0;
    for number in 1..=4 * days {
        let (day, shard) = (
            DAY + (number as i32 - 1) / 4,
            Shard((number as u16 - 1) % 4),
        );
        let (first, last) = (Seq(seq + 1), Seq(seq + rows_each.unsigned_abs()));
        let key = ChunkKey {
            home: "bench".parse().expect("home"),
            day,
            edge,
            shard,
            first,
            last,
            content: Content::Readings,
        };
        let mut rows = Rows::default();
        for n in 0..rows_each {
            seq += 1;
            let device = format!("home/room-{}-{shard}", n % 25);
            let series = rows.series(
                &device,
                ["temperature", "humidity", "power", "lqi", "battery"][(n / 25 % 5) as usize],
            );
            let ts = i64::from(day) * DAY_MS + n * (DAY_MS / rows_each);
            let value = Some((n * 7919 % 1000) as f64 / 10.0);
            rows.push(Row {
                series,
                ts,
                value,
                text: None,
                unit: None,
                received: ts,
                seq: Seq(seq),
                quality: Quality::Good,
            });
        }
        let part = rows.partition(1).pop().expect("one part");
        let encoded = chunk::encode(&key, &rows.batch(&part).expect("batch"), ZSTD_LEVEL_BOX)
            .expect("encodes");
        durable::put(&RealDisk, &dir.join(key.to_string()), &encoded.bytes).expect("writes");
        let entry = Entry {
            v: VERSION,
            home: key.home.clone(),
            writer: edge,
            number,
            at_ms: 0,
            first,
            last,
            lost_records: 0,
            adds: vec![Chunk::new(
                key,
                &encoded,
                vec![tarn_common::ids::StoreName::main()],
            )],
            removes: Vec::new(),
            origin: None,
            places: Vec::new(),
            root: None,
        };
        durable::put(
            &RealDisk,
            &dir.join(entry.key().to_string()),
            &entry.to_bytes(),
        )
        .expect("writes");
    }
}
