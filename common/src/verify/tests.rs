use std::{fs, path::PathBuf};

use super::*;
use crate::{
    chunk::ZSTD_LEVEL_BOX,
    commit_log::VERSION,
    ids::{Shard, StoreName},
    layout::Content,
    reading::Quality,
    rows::{Row, Rows},
};

// Cargo runs tests in the folder of their package.
const FIXTURES: &str = "fixtures/store-v1";
const DAY: i32 = 20_779;

/// A store of two entries with one chunk each, readings 1 to 10 and 11 to 20.
async fn write_store(store: &Store) {
    for number in 1..=2 {
        let (first, last) = (Seq((number - 1) * 10 + 1), Seq(number * 10));
        let key = ChunkKey {
            home: "lakeside".parse().expect("home"),
            day: DAY,
            edge: EdgeId(0xab),
            shard: Shard(0),
            first,
            last,
            content: Content::Readings,
        };
        let mut rows = Rows::default();
        for seq in first.0..=last.0 {
            let ts = i64::from(DAY) * DAY_MS + seq as i64;
            let series = rows.series("home/kitchen", "temperature");
            let unit = rows.unit("°C");
            let (value, received) = (Some(20.0 + seq as f64 / 10.0), ts);
            let (text, quality) = (None, Quality::Good);
            rows.push(Row {
                series,
                ts,
                value,
                text,
                unit: Some(unit),
                received,
                seq: Seq(seq),
                quality,
            });
        }
        let batch = rows.batch(&rows.all()).expect("batch");
        let encoded = chunk::encode(&key, &batch, ZSTD_LEVEL_BOX).expect("encodes");
        store
            .put(&key.to_string(), encoded.bytes.clone())
            .await
            .expect("puts");
        let entry = Entry {
            v: VERSION,
            home: key.home.clone(),
            writer: key.edge,
            number,
            at_ms: 0,
            first,
            last,
            lost_records: 0,
            adds: vec![Chunk::new(key, &encoded, vec![StoreName::main()])],
            removes: Vec::new(),
            origin: None,
            places: Vec::new(),
            root: None,
        };
        store
            .put(&entry.key().to_string(), entry.to_bytes().into())
            .await
            .expect("puts");
    }
}

const FIRST: &str =
    "readings/home=lakeside/date=2026-11-22/00000000000000ab-0-000000000001-000000000010.parquet";
const SECOND_ENTRY: &str = "log/home=lakeside/00000000000000ab/000000000002.json";

/// Spoil a good store and say which kinds of faults are found.
async fn check(spoil: impl FnOnce(&std::path::Path), expected: &[FaultKind]) {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("store");
    write_store(&store).await;
    spoil(dir.path());
    let report = verify(&store, None).await.expect("verifies");
    let kinds: Vec<FaultKind> = report.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, expected, "{report:?}");
    assert_eq!(report.ok, expected.is_empty());
}

fn edit(path: PathBuf, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(&path).expect("reads");
    fs::write(path, change(bytes)).expect("writes");
}

#[tokio::test]
async fn every_fault_is_found_and_a_good_store_has_none() {
    check(|_| {}, &[]).await;
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    check(|dir| edit(dir.join(FIRST), half), &[FaultKind::Checksum]).await;
    let flip = |mut bytes: Vec<u8>| {
        bytes[50] ^= 1;
        bytes
    };
    check(|dir| edit(dir.join(FIRST), flip), &[FaultKind::Checksum]).await;
    check(
        |dir| fs::remove_file(dir.join(FIRST)).expect("removes"),
        &[FaultKind::Missing],
    )
    .await;
    check(
        |dir| edit(dir.join(SECOND_ENTRY), half),
        &[FaultKind::Entry],
    )
    .await;
    let first_entry = SECOND_ENTRY.replace("02.json", "01.json");
    check(
        |dir| fs::remove_file(dir.join(first_entry)).expect("removes"),
        &[FaultKind::Gap],
    )
    .await;
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .expect("text")
                .replace(from, to)
                .into_bytes()
        }
    };
    check(
        |dir| {
            edit(
                dir.join(SECOND_ENTRY),
                replace(r#""first":11"#, r#""first":13"#),
            );
        },
        &[FaultKind::Gap],
    )
    .await;
    check(
        |dir| {
            edit(
                dir.join(SECOND_ENTRY),
                replace(r#""first":11"#, r#""first":9"#),
            );
        },
        &[FaultKind::Overlap],
    )
    .await;
    check(
        |dir| {
            edit(
                dir.join(SECOND_ENTRY),
                replace(r#""rows":10"#, r#""rows":9"#),
            );
        },
        &[FaultKind::Content],
    )
    .await;
}

#[tokio::test]
async fn what_no_entry_names_is_told() {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("store");
    write_store(&store).await;
    fs::remove_file(dir.path().join(SECOND_ENTRY)).expect("removes");
    let report = verify(&store, None).await.expect("verifies");
    assert!(report.ok && report.unlogged.len() == 1, "{report:?}");
}

/// Format 1 is readable for ever: these files were written by the first version.
#[tokio::test]
async fn the_golden_store_of_format_1_is_read() {
    let store = Store::directory(FIXTURES.as_ref()).expect("store");
    let report = verify(&store, None).await.expect("verifies");
    assert!(report.ok, "{report:?}");
    assert_eq!((report.chunks, report.rows), (2, 20));
}

#[tokio::test]
#[ignore = "writes the golden store; run once by hand when a format version is new"]
async fn write_the_golden_store() {
    let store = Store::directory(FIXTURES.as_ref()).expect("store");
    write_store(&store).await;
}

#[tokio::test]
async fn a_part_of_a_twin_must_be_what_its_name_says() {
    let twin = "twins/home=lakeside/home/changes-\
                ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.automerge";
    let put = |content: &'static str| {
        move |dir: &std::path::Path| {
            let path = dir.join(twin);
            fs::create_dir_all(path.parent().expect("parent")).expect("makes");
            fs::write(path, content).expect("writes");
        }
    };
    check(put("abc"), &[]).await;
    check(put("abd"), &[FaultKind::Checksum]).await;
}
