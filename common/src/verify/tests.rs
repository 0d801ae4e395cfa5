use std::{fs, path::PathBuf};

use super::*;
use crate::{
    chunk::{self, ZSTD_LEVEL_BOX},
    commit_log::VERSION,
    ids::{Seq, Shard},
    layout::{ChunkKey, Content},
    reading::{DAY_MS, Quality},
    rows::{Row, Rows},
};

// Cargo runs tests in the folder of their package.
const FIXTURES: &str = "fixtures/store-v1";
const DAY: i32 = 20_779;

/// A chunk of the log at these stores, with nothing in it.
pub(crate) fn chunk_at(stores: &str) -> Chunk {
    let stores = stores.split_whitespace();
    Chunk {
        key: ChunkKey {
            home: "lakeside".parse().expect("home"),
            day: DAY,
            edge: EdgeId(0xab),
            shard: Shard(0),
            first: Seq(1),
            last: Seq(10),
            content: Content::Readings,
        },
        rows: 0,
        bytes: 0,
        crc32: 0,
        sha256: [0; 32],
        min_ts: 0,
        max_ts: 0,
        min_seq: Seq(1),
        max_seq: Seq(10),
        stores: stores.map(|name| name.parse().expect("name")).collect(),
    }
}

/// A store of two entries with one chunk each, readings 1 to 10 and 11 to 20.
async fn write_store(store: &Store) {
    write_stores(&[(StoreName::main(), store)]).await;
}

/// The same with a copy in each of some stores, the primary in the first.
async fn write_stores(stores: &[(StoreName, &Store)]) {
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
        for (at, (_, store)) in stores.iter().enumerate() {
            let key = key.copy(at == 0);
            let put = store.put(&key, encoded.bytes.clone());
            put.await.expect("puts");
        }
        let names = stores.iter().map(|(name, _)| name.clone()).collect();
        let entry = Entry {
            v: VERSION,
            home: key.home.clone(),
            writer: key.edge,
            number,
            at_ms: 0,
            first,
            last,
            lost_records: 0,
            adds: vec![Chunk::new(key, &encoded, names)],
            removes: Vec::new(),
            origin: None,
            places: Vec::new(),
            root: None,
        };
        for (_, store) in stores {
            let key = entry.key().to_string();
            let put = store.put(&key, entry.to_bytes().into());
            put.await.expect("puts");
        }
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

/// Two stores with a copy of each chunk in both, spoiled; what is found, and whether a repair leaves nothing to find.
struct Two {
    dirs: [tempfile::TempDir; 2],
    stores: [Store; 2],
}

impl Two {
    async fn written() -> Two {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("dir"));
        let stores = [0, 1].map(|at: usize| Store::directory(dirs[at].path()).expect("store"));
        let names = ["main", "attic"].map(|name| name.parse().expect("name"));
        let [first, second] = names;
        write_stores(&[(first, &stores[0]), (second, &stores[1])]).await;
        Two { dirs, stores }
    }

    async fn check(&self, repair: bool) -> Report {
        let options = Options {
            repair,
            ..Options::default()
        };
        verify_all(self.stores.to_vec(), &options)
            .await
            .expect("verifies")
    }

    /// Spoil one of them: which faults are found at which store, and all are repaired.
    async fn repairs(spoil: impl FnOnce([&std::path::Path; 2]), expected: &[(FaultKind, &str)]) {
        let two = Two::written().await;
        spoil([two.dirs[0].path(), two.dirs[1].path()]);
        for (repair, is_good) in [(false, expected.is_empty()), (true, true), (false, true)] {
            let report = two.check(repair).await;
            let found = report.faults.iter().map(|fault| {
                let store = fault.store.as_ref().map_or("", StoreName::as_str);
                (fault.kind, store)
            });
            let found: Vec<_> = found.collect();
            assert_eq!(report.ok, is_good, "{report:#?}");
            if repair || !is_good {
                assert_eq!(found, expected, "{report:#?}");
            } else {
                assert!(found.is_empty(), "{report:#?}");
            }
            if is_good {
                assert_eq!((report.chunks, report.rows), (2, 20), "{report:#?}");
            }
        }
    }
}

fn replica(key: &str) -> String {
    key.replacen("readings", "replicas", 1)
}

const FIRST_ENTRY: &str = "log/home=lakeside/00000000000000ab/000000000001.json";

#[tokio::test]
async fn a_bad_copy_is_made_good_from_another() {
    let flip = |mut bytes: Vec<u8>| {
        bytes[50] ^= 1;
        bytes
    };
    Two::repairs(|_| {}, &[]).await;
    Two::repairs(
        |[main, _]| fs::remove_file(main.join(FIRST)).expect("removes"),
        &[(FaultKind::Missing, "main")],
    )
    .await;
    Two::repairs(
        |[_, attic]| edit(attic.join(replica(FIRST)), flip),
        &[(FaultKind::Checksum, "attic")],
    )
    .await;
    Two::repairs(
        |[main, _]| edit(main.join(FIRST), |bytes| bytes[..20].to_vec()),
        &[(FaultKind::Checksum, "main")],
    )
    .await;
    // Somebody put another chunk in its place.
    Two::repairs(
        |[main, _]| {
            let other = FIRST.replace("000000000001-000000000010", "000000000011-000000000020");
            fs::copy(main.join(other), main.join(FIRST)).expect("copies");
        },
        &[(FaultKind::Checksum, "main")],
    )
    .await;
    Two::repairs(
        |[_, attic]| fs::remove_file(attic.join(FIRST_ENTRY)).expect("removes"),
        &[(FaultKind::Lacking, "attic")],
    )
    .await;
    Two::repairs(
        |[main, _]| edit(main.join(FIRST_ENTRY), |bytes| bytes[..20].to_vec()),
        &[(FaultKind::Entry, "main")],
    )
    .await;
    // A store that lost all that it had.
    Two::repairs(
        |[main, _]| {
            for dir in ["readings", "log"] {
                fs::remove_dir_all(main.join(dir)).expect("removes");
            }
        },
        &[
            (FaultKind::Lacking, "main"),
            (FaultKind::Lacking, "main"),
            (FaultKind::Missing, "main"),
            (FaultKind::Missing, "main"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_chunk_without_a_good_copy_is_told_in_full() {
    let two = Two::written().await;
    fs::remove_file(two.dirs[0].path().join(FIRST)).expect("removes");
    // What a flipped byte in the data leaves of the devices is still read.
    let path = two.dirs[1].path().join(replica(FIRST));
    edit(path, |mut bytes| {
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        bytes
    });
    let report = two.check(true).await;
    assert!(!report.ok && report.faults.iter().all(|fault| !fault.repaired));
    let [lost] = &report.lost[..] else {
        panic!("one is lost: {report:#?}");
    };
    let day_ms = i64::from(DAY) * DAY_MS;
    assert_eq!((lost.home.as_str(), lost.rows), ("lakeside", 10));
    assert_eq!((lost.min_ts, lost.max_ts), (day_ms + 1, day_ms + 10));
    assert_eq!((lost.first_seq, lost.last_seq), (Seq(1), Seq(10)));
    assert_eq!(lost.devices, None);
}

#[tokio::test]
async fn of_a_store_that_was_not_given_nothing_is_said() {
    let two = Two::written().await;
    // Alone and without a name it would pass for the first.
    let report = verify(&two.stores[1], None).await.expect("verifies");
    assert!(report.ok, "{report:#?}");
    assert_eq!(report.stores[0].name.as_str(), "attic");
    assert_eq!((report.chunks, report.not_looked_at), (2, 2));
    fs::remove_file(two.dirs[1].path().join(replica(FIRST))).expect("removes");
    let report = verify(&two.stores[1], None).await.expect("verifies");
    assert!(!report.ok && report.lost.is_empty(), "{report:#?}");
}

#[tokio::test]
async fn a_surplus_copy_goes_only_when_all_that_count_are_good() {
    let two = Two::written().await;
    let stray = two.dirs[1].path().join(FIRST);
    let options = Options {
        repair: true,
        delete_surplus: Some(Duration::ZERO),
        ..Options::default()
    };
    let put = |from: std::path::PathBuf| {
        fs::create_dir_all(stray.parent().expect("parent")).expect("makes");
        fs::copy(from, &stray).expect("copies");
    };
    put(two.dirs[0].path().join(FIRST));
    let report = two.check(true).await;
    assert!(
        report.ok && report.surplus.len() == 1 && stray.exists(),
        "{report:#?}"
    );
    // It is the last good one: then it is what the others are made of.
    fs::remove_file(two.dirs[0].path().join(FIRST)).expect("removes");
    fs::remove_file(two.dirs[1].path().join(replica(FIRST))).expect("removes");
    let report = verify_all(two.stores.to_vec(), &options)
        .await
        .expect("verifies");
    assert!(
        report.ok && report.deleted == 0 && stray.exists(),
        "{report:#?}"
    );
    let report = verify_all(two.stores.to_vec(), &options)
        .await
        .expect("verifies");
    assert!(
        report.ok && report.deleted == 1 && !stray.exists(),
        "{report:#?}"
    );
}

#[tokio::test]
async fn a_root_holds_the_log_to_what_it_was() {
    let two = Two::written().await;
    let offline = Options {
        needs_roots: true,
        ..Options::default()
    };
    let check = async || {
        verify_all(two.stores.to_vec(), &offline)
            .await
            .expect("verifies")
    };
    let report = check().await;
    assert!(
        report
            .faults
            .iter()
            .any(|fault| fault.kind == FaultKind::Root),
        "none yet: {report:#?}"
    );
    let mut catalog = Catalog::default();
    catalog.refresh(&two.stores[0]).await.expect("refreshes");
    let home: HomeId = "lakeside".parse().expect("home");
    let root = root_of(&catalog, &home, DAY).expect("no gaps");
    let members = fleet::named(two.stores.to_vec(), PATIENCE);
    let pool = Arc::new(Pool::new(members));
    let keeper = Keeper::new(
        EdgeId(9),
        pool,
        Arc::new(SystemClock),
        None,
        BTreeMap::new(),
    );
    keeper
        .log(&home, Vec::new(), Some(root))
        .await
        .expect("logs");
    let report = check().await;
    assert!(
        report.ok && report.roots[0].ok && report.roots[0].chunks == 2,
        "{report:#?}"
    );
    // Somebody alters the log everywhere, and all else agrees with it.
    for dir in &two.dirs {
        edit(dir.path().join(FIRST_ENTRY), |bytes| {
            let text = String::from_utf8(bytes).expect("text");
            let (adds, rest) = text.split_once("\"adds\":[").expect("adds");
            let rest = &rest[rest.rfind(']').expect("end")..];
            let rest = rest.trim_start_matches(']');
            format!("{adds}\"adds\":[]{rest}").into_bytes()
        });
    }
    let report = check().await;
    let kinds: Vec<_> = report.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::Root], "{report:#?}");
}
