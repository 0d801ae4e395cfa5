#![allow(clippy::unwrap_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    Aggregate, Answer, ChunkFile, Engine, EngineSettings, Lake, LakeError, Limits, Missing,
    QueryError, ReadingsQuery, Tail, View, readings::Plan, when,
};
use crate::{
    catalog::Snapshot,
    chunk,
    commit_log::Chunk,
    ids::{EdgeId, HomeId, Seq, Shard},
    layout::{ChunkKey, Content},
    reading::{DAY_MS, Quality, column},
    rows::{Row, Rows},
};

const HOUR_MS: i64 = 3_600_000;
const DAY: i64 = 20_000 * DAY_MS;

/// A lake in a directory, which notes what was asked for.
#[derive(Debug)]
struct TestLake {
    directory: tempfile::TempDir,
    view: View,
    asked: Mutex<Vec<ChunkKey>>,
}

#[async_trait]
impl Lake for TestLake {
    async fn view(&self) -> Result<View, LakeError> {
        Ok(self.view.clone())
    }

    async fn file(&self, chunk: &Chunk) -> Result<ChunkFile, Missing> {
        self.asked.lock().push(chunk.key.clone());
        let path = self.directory.path().join(chunk.key.to_string());
        let bytes = std::fs::read(&path).map_err(|e| Missing::of(chunk, e.to_string()))?;
        chunk
            .check(&bytes)
            .map_err(|e| Missing::of(chunk, e.to_string()))?;
        Ok(ChunkFile { path, guard: None })
    }
}

impl TestLake {
    fn new() -> TestLake {
        TestLake {
            directory: tempfile::tempdir().unwrap(),
            view: View::default(),
            asked: Mutex::default(),
        }
    }

    /// Write the rows as chunks of a home, all in one shard.
    fn add(&mut self, home: &str, edge: u64, rows: &Rows) {
        let mut chunks = self.view.chunks.to_vec();
        for part in rows.partition(1) {
            let batch = rows.batch(&part).unwrap();
            let number = Seq(chunks.len() as u64 + 1);
            let key = ChunkKey {
                home: home.parse().unwrap(),
                day: part.day,
                edge: EdgeId(edge),
                shard: Shard(0),
                first: number,
                last: number,
                content: Content::Readings,
            };
            let encoded = chunk::encode(&key, &batch, 1).unwrap();
            self.write(&key, &encoded.bytes);
            chunks.push(Arc::new(Chunk::new(key, &encoded, vec![])));
        }
        self.view.chunks = Arc::new(chunks);
    }

    fn add_tail(&mut self, home: &str, edge: u64, rows: &Rows) {
        for part in rows.partition(1) {
            let batch = rows.batch(&part).unwrap();
            self.view.tail.push(Tail {
                home: home.parse().unwrap(),
                edge: EdgeId(edge),
                batch,
            });
        }
    }

    fn write(&self, key: &ChunkKey, bytes: &[u8]) {
        let path = self.directory.path().join(key.to_string());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Replace a chunk's content, and what the log says of it, so that it looks verified.
    fn replace(&mut self, index: usize, bytes: &[u8]) {
        let mut chunks = self.view.chunks.to_vec();
        let mut chunk = chunks[index].as_ref().clone();
        chunk.bytes = bytes.len() as u64;
        chunk.crc32 = crc32fast::hash(bytes);
        self.write(&chunk.key, bytes);
        chunks[index] = Arc::new(chunk);
        self.view.chunks = Arc::new(chunks);
    }

    fn path(&self, index: usize) -> std::path::PathBuf {
        self.directory
            .path()
            .join(self.view.chunks[index].key.to_string())
    }
}

/// `count` readings of one device and metric from `ts` on, `step` apart, with values 0, 1, 2 …
fn rows(device: &str, metric: &str, ts: i64, step: i64, count: u64, first_seq: u64) -> Rows {
    let mut rows = Rows::default();
    let series = rows.series(device, metric);
    let unit = rows.unit("°C");
    for n in 0..count {
        let ts = ts + step * n as i64;
        let row = Row {
            series,
            ts,
            value: Some(n as f64),
            text: None,
            unit: Some(unit),
            received: ts,
            seq: Seq(first_seq + n),
            quality: Quality::Good,
        };
        rows.push(row);
    }
    rows
}

/// Three days of one home, one day of another, and a tail.
fn lake() -> TestLake {
    let mut lake = TestLake::new();
    for day in 0..3 {
        lake.add(
            "alpha",
            1,
            &rows(
                "attic/t",
                "temperature",
                DAY + day * DAY_MS,
                HOUR_MS,
                24,
                1 + 24 * day as u64,
            ),
        );
    }
    lake.add("beta", 2, &rows("cellar", "humidity", DAY, HOUR_MS, 24, 1));
    lake.add_tail(
        "alpha",
        1,
        &rows("attic/t", "temperature", DAY + 3 * DAY_MS, HOUR_MS, 2, 73),
    );
    lake
}

fn engine(lake: TestLake) -> (Arc<TestLake>, Arc<Engine>) {
    let lake = Arc::new(lake);
    let settings = EngineSettings {
        threads: 2,
        memory_bytes: 256 << 20,
        queries_at_once: 4,
    };
    (
        lake.clone(),
        Arc::new(Engine::new(lake, &settings).unwrap()),
    )
}

fn limits() -> Limits {
    Limits {
        time: Duration::from_secs(60),
        ..Limits::default()
    }
}

fn integer(answer: &Answer) -> i64 {
    answer.batches[0]
        .column(0)
        .as_primitive::<Int64Type>()
        .value(0)
}

fn query(home: &str, device: &str) -> ReadingsQuery {
    ReadingsQuery {
        home: home.parse().unwrap(),
        devices: vec![device.into()],
        metrics: vec![],
        from: None,
        to: None,
        every: None,
        aggregate: None,
        limit: None,
        cursor: None,
    }
}

#[tokio::test]
async fn sql_counts_chunks_and_tail() {
    let (_, engine) = engine(lake());
    let answer = engine
        .sql("SELECT count(*) FROM readings", limits())
        .await
        .unwrap();
    assert_eq!(integer(&answer), 98);
    let answer = engine
        .sql(
            "SELECT count(value) FROM readings WHERE quality = 0",
            limits(),
        )
        .await
        .unwrap();
    assert_eq!(integer(&answer), 98);
    assert!(answer.missing.is_empty());
    let text = "SELECT home, edge, date, max(ts) m, count(*) n FROM readings GROUP BY home, edge, date ORDER BY home, date";
    let answer = engine.sql(text, limits()).await.unwrap();
    assert_eq!(answer.rows(), 5);
    let edges = answer.batches[0].column(1).as_string::<i32>();
    assert_eq!(edges.value(0), "0000000000000001");
}

#[tokio::test]
async fn only_the_chunks_that_may_hold_an_answer_are_asked_for() {
    let check = async |filter: &str, chunks: usize, count: i64| {
        let (lake, engine) = engine(lake());
        let text = format!("SELECT count(value) FROM readings WHERE {filter}");
        let answer = engine.sql(&text, limits()).await.unwrap();
        assert_eq!(
            (lake.asked.lock().len(), integer(&answer)),
            (chunks, count),
            "{filter}"
        );
    };
    check("home = 'beta'", 1, 24).await;
    check("home = 'alpha' AND date = '2024-10-05'", 1, 24).await;
    check(
        "ts >= '2024-10-05T12:00:00Z' AND ts < '2024-10-06T01:00:00Z'",
        2,
        13,
    )
    .await;
    check("ts > '2024-10-07T00:30:00Z'", 0, 1).await;
    check("edge = '0000000000000002' OR date < '2024-10-04'", 1, 24).await;
    check("home = 'nobody'", 0, 0).await;
    check("seq <= 24 AND home <> 'beta'", 1, 24).await;
    check("device = 'cellar'", 4, 24).await;
}

#[tokio::test]
async fn known_devices_prune_chunks() {
    let (lake, engine) = engine(lake());
    engine
        .devices(&"alpha".parse().unwrap(), limits().time)
        .await
        .unwrap();
    engine
        .devices(&"beta".parse().unwrap(), limits().time)
        .await
        .unwrap();
    lake.asked.lock().clear();
    let text = "SELECT count(value) FROM readings WHERE device = 'cellar'";
    assert_eq!(integer(&engine.sql(text, limits()).await.unwrap()), 24);
    assert_eq!(lake.asked.lock().len(), 1);
}

#[tokio::test]
async fn paging_gives_every_row_once_and_in_order() {
    for limit in [1, 7, 24, 37, 73, 74, 75, 100] {
        let (_, engine) = engine(lake());
        let mut query = ReadingsQuery {
            limit: Some(limit),
            ..query("alpha", "attic/t")
        };
        let mut seen = Vec::new();
        loop {
            let page = engine.readings(&query, limits()).await.unwrap();
            for batch in &page.answer.batches {
                let seq = batch.column_by_name(column::SEQ).unwrap();
                seen.extend_from_slice(seq.as_primitive::<Int64Type>().values());
            }
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(seen, (1..=74).collect::<Vec<i64>>(), "limit {limit}");
    }
}

#[tokio::test]
async fn paging_breaks_ties_of_time_metric_and_edge() {
    let mut lake = TestLake::new();
    for edge in [1, 2] {
        for metric in ["a", "b"] {
            lake.add("h", edge, &rows("d", metric, DAY, 0, 5, 1));
        }
    }
    let (_, engine) = engine(lake);
    let mut query = ReadingsQuery {
        limit: Some(3),
        ..query("h", "d")
    };
    let mut seen = Vec::new();
    loop {
        let page = engine.readings(&query, limits()).await.unwrap();
        for batch in &page.answer.batches {
            for row in 0..batch.num_rows() {
                let text = |name| {
                    batch
                        .column_by_name(name)
                        .unwrap()
                        .as_string::<i32>()
                        .value(row)
                        .to_owned()
                };
                let seq = batch
                    .column_by_name(column::SEQ)
                    .unwrap()
                    .as_primitive::<Int64Type>()
                    .value(row);
                seen.push((text(column::METRIC), text("edge"), seq));
            }
        }
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 20);
    assert!(seen.is_sorted());
    seen.dedup();
    assert_eq!(seen.len(), 20);
}

#[tokio::test]
async fn buckets_aggregate_and_page() {
    let (_, engine) = engine(lake());
    let query = ReadingsQuery {
        from: Some(DAY + HOUR_MS),
        to: Some(DAY + 2 * DAY_MS),
        every: Some(6 * HOUR_MS),
        limit: Some(3),
        ..query("alpha", "attic/t")
    };
    let values = async |aggregate| {
        let (mut query, mut values) = (
            ReadingsQuery {
                aggregate,
                ..query.clone()
            },
            Vec::new(),
        );
        loop {
            let page = engine.readings(&query, limits()).await.unwrap();
            for batch in &page.answer.batches {
                let ts = batch.column(0).as_primitive::<TimestampMillisecondType>();
                let value = batch.column(3).as_primitive::<Float64Type>();
                values.extend(
                    (0..batch.num_rows()).map(|r| ((ts.value(r) - DAY) / HOUR_MS, value.value(r))),
                );
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break values;
            }
        }
    };
    let hours = [0, 6, 12, 18, 24, 30, 36, 42];
    let with = |v: [f64; 8]| hours.into_iter().zip(v).collect::<Vec<_>>();
    assert_eq!(
        values(None).await,
        with([3.0, 8.5, 14.5, 20.5, 2.5, 8.5, 14.5, 20.5])
    );
    assert_eq!(
        values(Some(Aggregate::Min)).await,
        with([1.0, 6.0, 12.0, 18.0, 0.0, 6.0, 12.0, 18.0])
    );
    assert_eq!(
        values(Some(Aggregate::Last)).await,
        with([5.0, 11.0, 17.0, 23.0, 5.0, 11.0, 17.0, 23.0])
    );
    assert_eq!(
        values(Some(Aggregate::Count)).await,
        with([5.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0])
    );
    assert_eq!(values(Some(Aggregate::Sum)).await[0], (0, 15.0));
}

#[tokio::test]
async fn damaged_absent_and_unreadable_chunks_are_told() {
    let mut damaged = lake();
    std::fs::remove_file(damaged.path(0)).unwrap();
    let mut bytes = std::fs::read(damaged.path(1)).unwrap();
    bytes[100] ^= 1;
    std::fs::write(damaged.path(1), bytes).unwrap();
    damaged.replace(2, b"verified, and no Parquet");
    let (lake, engine) = engine(damaged);
    let answer = engine
        .sql("SELECT count(value) FROM readings", limits())
        .await
        .unwrap();
    assert_eq!(integer(&answer), 26);
    let told: Vec<_> = answer
        .missing
        .iter()
        .map(|m| (m.chunk.day, m.rows))
        .collect();
    assert_eq!(told, [(20_000, 24), (20_001, 24), (20_002, 24)]);
    assert!(
        answer.missing[1].reason.contains("CRC32"),
        "{:?}",
        answer.missing[1]
    );
    assert_eq!(answer.missing[2].to, DAY + 2 * DAY_MS + 23 * HOUR_MS);
    let devices = engine
        .devices(&"alpha".parse().unwrap(), limits().time)
        .await
        .unwrap();
    assert_eq!((devices.devices[0].rows, devices.missing.len()), (2, 3));
    drop(lake);
}

#[tokio::test]
async fn a_page_damaged_behind_a_good_footer_is_told() {
    let mut damaged = lake();
    let mut bytes = std::fs::read(damaged.path(1)).unwrap();
    bytes[10..60].fill(0xff);
    damaged.replace(1, &bytes);
    let (_, engine) = engine(damaged);
    let answer = engine
        .sql(
            "SELECT count(*), sum(CAST(ts AS BIGINT) - seq) FROM readings",
            limits(),
        )
        .await
        .unwrap();
    assert_eq!(integer(&answer), 74);
    assert_eq!(answer.missing.len(), 1, "{:?}", answer.missing);
}

#[tokio::test]
async fn what_does_more_than_read_is_refused() {
    let (_, engine) = engine(lake());
    for text in [
        "DROP TABLE readings",
        "DELETE FROM readings",
        "INSERT INTO readings SELECT * FROM readings",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY readings TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM generate_series(1, 100000000000)",
        "SELECT generate_series(1, 100000000000)",
        "SELECT repeat('x', 2000000000)",
        "EXPLAIN ANALYZE SELECT count(*) FROM readings",
        "SELECT 1; SELECT 2",
        "SELECT nothing FROM readings",
        "SELECT FROM WHERE",
        "",
        "SELECT 1/0",
    ] {
        let refused = engine.sql(text, limits()).await;
        assert!(
            matches!(refused, Err(QueryError::BadQuery(_))),
            "{text}: {refused:?}"
        );
        println!("{text}: {}", refused.unwrap_err());
    }
    for text in [
        "SHOW COLUMNS FROM readings",
        "DESCRIBE readings",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "SELECT 1",
    ] {
        engine.sql(text, limits()).await.unwrap();
    }
}

#[tokio::test]
async fn deep_nesting_is_an_error_and_no_crash() {
    let (_, engine) = engine(lake());
    let deep = |open: &str, middle: &str, close: &str, n: usize| {
        format!("SELECT {}{middle}{}", open.repeat(n), close.repeat(n))
    };
    for text in [
        deep("(", "1", ")", 5_000),
        deep("abs(", "1", ")", 5_000),
        deep("NOT ", "true", "", 5_000),
        deep("- ", "1", "", 5_000),
        deep("[", "1", "]", 5_000),
        deep("", "1", "+1", 20_000),
        deep("(SELECT ", "1", ")", 3_000),
        deep("CASE WHEN true THEN ", "1", " END", 3_000),
        deep("", "1", " UNION ALL SELECT 1", 3_000),
    ] {
        let refused = engine.sql(&text, limits()).await;
        assert!(
            matches!(refused, Err(QueryError::BadQuery(_))),
            "{refused:?}"
        );
    }
    // As deep as is allowed must fit the stack.
    for text in [
        deep("", "1", "+1", 590),
        deep("", "seq", "+seq", 590) + " FROM readings",
        deep("", "true", " OR seq > 5", 290) + " FROM readings",
        deep("", "1", " UNION ALL SELECT 1", 190),
    ] {
        let answered = engine.sql(&text, limits()).await;
        assert!(
            matches!(answered, Ok(_) | Err(QueryError::BadQuery(_))),
            "{answered:?}"
        );
    }
}

#[tokio::test]
async fn time_limit_stops_the_work() {
    let mut big = TestLake::new();
    big.add("h", 1, &rows("d", "m", DAY, 1, 20_000, 1));
    let (_, engine) = engine(big);
    let limits = Limits {
        time: Duration::from_millis(500),
        ..limits()
    };
    for text in [
        "SELECT count(*) FROM readings a, readings b, readings c WHERE a.value + b.value < c.value",
        "SELECT sum(a.value * b.value + c.value) FROM readings a, readings b, readings c WHERE a.seq <> b.seq + c.seq",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    ] {
        let started = Instant::now();
        let stopped = engine.sql(text, limits).await;
        assert!(
            matches!(stopped, Err(QueryError::TooExpensive { .. })),
            "{text}: {stopped:?}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        let idle = async {
            while engine.busy() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), idle)
            .await
            .unwrap_or_else(|_| panic!("{text}: the work goes on after its limit"));
        println!("{text}: idle after {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn rows_and_memory_are_limited() {
    let mut big = TestLake::new();
    big.add("h", 1, &rows("d", "m", DAY, 1, 50_000, 1));
    let (_, engine) = engine(big);
    let answer = engine
        .sql(
            "SELECT * FROM readings",
            Limits {
                rows: 10,
                ..limits()
            },
        )
        .await
        .unwrap();
    assert_eq!((answer.rows(), answer.truncated), (10, true));
    let answer = engine
        .sql(
            "SELECT 1",
            Limits {
                rows: 1,
                ..limits()
            },
        )
        .await
        .unwrap();
    assert_eq!((answer.rows(), answer.truncated), (1, false));
    let little = Limits {
        memory_bytes: 1 << 20,
        rows: 1_000_000,
        ..limits()
    };
    for text in [
        "SELECT * FROM readings",
        "SELECT seq, array_agg(value) FROM readings GROUP BY seq ORDER BY seq",
    ] {
        let refused = engine.sql(text, little).await;
        assert!(
            matches!(refused, Err(QueryError::TooExpensive { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn devices_and_homes_are_summed_up_once() {
    let (lake, engine) = engine(lake());
    let homes = engine.homes().await.unwrap();
    let alpha: HomeId = "alpha".parse().unwrap();
    assert_eq!((homes.len(), homes[0].rows, homes[0].chunks), (2, 74, 3));
    assert_eq!(
        (homes[0].first_ts, homes[0].last_ts),
        (Some(DAY), Some(DAY + 3 * DAY_MS + HOUR_MS))
    );
    assert!(lake.asked.lock().is_empty());
    for _ in 0..2 {
        let devices = engine.devices(&alpha, limits().time).await.unwrap().devices;
        assert_eq!(devices.len(), 1);
        let temperature = &devices[0].metrics["temperature"];
        assert_eq!((devices[0].rows, temperature.value), (74, Some(1.0)));
        assert_eq!(temperature.unit.as_deref(), Some("°C"));
    }
    assert_eq!(lake.asked.lock().len(), 3);
}

/// A lake whose chunks come and go.
#[derive(Debug)]
struct MovingLake {
    lake: TestLake,
    chunks: Mutex<Snapshot>,
}

#[async_trait]
impl Lake for MovingLake {
    async fn view(&self) -> Result<View, LakeError> {
        let chunks = self.chunks.lock().clone();
        Ok(View {
            chunks,
            ..self.lake.view.clone()
        })
    }

    async fn file(&self, chunk: &Chunk) -> Result<ChunkFile, Missing> {
        self.lake.file(chunk).await
    }
}

#[tokio::test]
async fn what_is_merged_of_devices_is_what_the_chunks_say_now() {
    let lake = lake();
    let all = lake.view.chunks.to_vec();
    let moving = Arc::new(MovingLake {
        lake,
        chunks: Mutex::default(),
    });
    let settings = EngineSettings {
        threads: 1,
        ..EngineSettings::default()
    };
    let engine = |lake: Arc<MovingLake>| Engine::new(lake, &settings).unwrap();
    let old = Arc::new(engine(moving.clone()));
    // Chunks are added, put in the place of others, and taken away.
    for chunks in [
        &all[..1],
        &all[..3],
        &all[1..3],
        &all[..2],
        &all[..0],
        &all[..],
    ] {
        *moving.chunks.lock() = Arc::new(chunks.to_vec());
        for home in ["alpha", "beta"] {
            let home: HomeId = home.parse().unwrap();
            let anew = Arc::new(engine(moving.clone()));
            let anew = anew.devices(&home, limits().time).await.unwrap();
            for _ in 0..2 {
                let known = old.devices(&home, limits().time).await.unwrap();
                assert_eq!(known, anew, "{home} of {} chunks", chunks.len());
            }
        }
    }
    let asked = moving.lake.asked.lock();
    let by_the_old = asked.len() - (1 + 3 + 2 + 2 + all.len());
    assert_eq!(by_the_old, all.len(), "each chunk is read once");
}

/// The rows of a page's buckets.
fn buckets_of(answer: &Answer) -> Vec<(i64, String, Option<f64>, i64)> {
    let rows = answer.batches.iter().flat_map(|batch| {
        let ts = batch.column(0).as_primitive::<TimestampMillisecondType>();
        let metric = batch.column(1).as_string::<i32>();
        let value = batch.column(3).as_primitive::<Float64Type>();
        let count = batch.column(5).as_primitive::<Int64Type>();
        (0..batch.num_rows()).map(|row| {
            let value = value.is_valid(row).then(|| value.value(row));
            (
                ts.value(row),
                metric.value(row).to_owned(),
                value,
                count.value(row),
            )
        })
    });
    rows.collect()
}

#[tokio::test]
async fn buckets_by_known_days_are_those_of_a_scan() {
    let mut lake = lake();
    lake.add(
        "alpha",
        1,
        &rows("attic/t", "humidity", DAY, 2 * HOUR_MS, 40, 200),
    );
    let all = lake.view.chunks.to_vec();
    let moving = Arc::new(MovingLake {
        lake,
        chunks: Mutex::default(),
    });
    let engine = Arc::new(Engine::new(moving.clone(), &EngineSettings::default()).unwrap());
    for chunks in [&all[..1], &all[..3], &all[1..3], &all[..]] {
        *moving.chunks.lock() = Arc::new(chunks.to_vec());
        for (from, to, aggregate, limit) in [
            (None, None, Aggregate::Avg, 1000),
            (None, None, Aggregate::Avg, 7),
            (Some(DAY), Some(DAY + 2 * DAY_MS), Aggregate::Last, 1000),
            (
                Some(DAY + HOUR_MS),
                Some(DAY + 2 * DAY_MS + 1),
                Aggregate::Count,
                5,
            ),
        ] {
            for every in [HOUR_MS, 8 * HOUR_MS, DAY_MS] {
                let mut query = ReadingsQuery {
                    from,
                    to,
                    every: Some(every),
                    aggregate: Some(aggregate),
                    limit: Some(limit),
                    ..query("alpha", "attic/t")
                };
                let plan = Plan {
                    query: query.clone(),
                    cursor: None,
                    limit: 1000,
                };
                let limits = Limits {
                    rows: 1000,
                    ..limits()
                };
                let wanted = buckets_of(&engine.by_scan(plan, limits).await.unwrap());
                let mut found = Vec::new();
                loop {
                    let page = engine.readings(&query, limits).await.unwrap();
                    found.extend(buckets_of(&page.answer));
                    query.cursor = page.next_cursor;
                    if query.cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(found, wanted, "{query:?} of {} chunks", chunks.len());
            }
        }
    }
}

#[tokio::test]
async fn days_that_are_known_are_not_read_again() {
    let (lake, engine) = engine(lake());
    let query = ReadingsQuery {
        every: Some(HOUR_MS),
        ..query("alpha", "attic/t")
    };
    let first = engine.readings(&query, limits()).await.unwrap();
    let asked = lake.asked.lock().len();
    assert_eq!(asked, 3);
    let again = engine.readings(&query, limits()).await.unwrap();
    assert_eq!(buckets_of(&again.answer), buckets_of(&first.answer));
    assert_eq!(again.answer.rows(), 74);
    assert_eq!(lake.asked.lock().len(), asked);
}

#[test]
fn dropping_an_engine_inside_of_a_task_is_no_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { drop(engine(lake())) });
}

#[test]
fn moments_and_widths_are_read() {
    let now = 1_000_000_000_000;
    let moment = |text: &str| when::moment("from", text, now).ok();
    assert_eq!(moment("-24h"), Some(now - 86_400_000));
    assert_eq!(moment("now"), Some(now));
    assert_eq!(moment("-5"), Some(-5));
    assert_eq!(moment("2024-10-04"), Some(DAY));
    assert_eq!(moment("2024-10-04T02:00:00+02:00"), Some(DAY));
    assert_eq!(moment("yesterday"), None);
    assert_eq!(moment("-99999999999999999999h"), None);
    assert_eq!(when::width("every", "15m").ok(), Some(900_000));
    for text in ["", "0s", "m", "1y", "-1h", "367d", "9999999999999999d"] {
        assert!(when::width("every", text).is_err(), "{text}");
    }
}
