//! `tarn demo --stores`: a hundred chunks over three stores, step by step: spread, levelled, agreed upon, repaired.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use tarn_common::{
    catalog::Catalog,
    chunk::{self, ZSTD_LEVEL_BOX},
    clock::SystemClock,
    commit_log::{Chunk, Entry, VERSION},
    fleet::{Carried, Fleet, carry_out, placed},
    ids::{EdgeId, FleetId, Seq, Shard, StoreName},
    keeper::Keeper,
    layout::{ChunkKey, Content},
    placement::{
        Change, Loads, Member, Method, Placement, PlacementKey, Rule, State, StoreSet, plan,
    },
    reading::{DAY_MS, Quality},
    rows::{Row, Rows},
    store::{Store, pool::PoolError},
};

use crate::{
    exit::Failure,
    stores::{before_and_after, read_log, table},
};

/// Chunks of the case.
const CHUNKS: u64 = 100;
/// Stores of the case.
const STORES: usize = 3;
/// Copies of each chunk.
const COPIES: usize = 2;
/// Shards that the days of the case are split into.
const SHARDS: u64 = 4;
/// 2026-11-01.
const FIRST_DAY: i32 = 20_758;
/// Patience with a directory.
const PATIENCE: Duration = Duration::from_secs(30);

/// Run the case in a directory, and check each step.
pub(super) async fn run(dir: &Path) -> Result<(), Failure> {
    let stores = || -> Result<Vec<Store>, Failure> {
        let urls =
            (1..=STORES).map(|n| format!("file://{}/store-{n}?name=store-{n}", dir.display()));
        urls.map(|url| Store::open(&url).map_err(Failure::broken))
            .collect()
    };
    println!(
        "{STORES} stores, {CHUNKS} chunks, {COPIES} copies of each, in {}\n",
        dir.display()
    );
    let fleet = Fleet::new(stores()?, Some(COPIES), None, PATIENCE);
    join(&fleet).await?;
    let chunks = write(&fleet).await?;

    spread(&fleet.agreed().set, &chunks);
    let mut case = Case::open(fleet).await?;
    case.overload().await?;
    case.level().await?;
    agree(&case.fleet, stores()?).await?;
    case.damage(dir).await?;
    println!("All as it should be.");
    Ok(())
}

async fn join(fleet: &Fleet) -> Result<(), Failure> {
    let joined = fleet.join().await;
    joined.map_err(|reason| Failure::broken(anyhow::anyhow!(reason)))
}

/// The chunks of 25 days, each with some readings, put where the ring has them, and logged.
async fn write(fleet: &Fleet) -> Result<Vec<Chunk>, Failure> {
    let mut chunks = Vec::new();
    for n in 0..CHUNKS {
        let key = ChunkKey {
            home: "demo".parse().map_err(Failure::broken)?,
            day: FIRST_DAY + (n / SHARDS) as i32,
            edge: EdgeId(0xdee0),
            shard: Shard((n % SHARDS) as u16),
            first: Seq(n * 60 + 1),
            last: Seq(n * 60 + 60),
            content: Content::Readings,
        };
        let rows = readings(&key);
        let batch = rows.batch(&rows.all()).map_err(Failure::broken)?;
        let encoded = chunk::encode(&key, &batch, ZSTD_LEVEL_BOX).map_err(Failure::broken)?;
        let stores = fleet.wanted(&key, encoded.bytes.len() as u64);
        for (at, name) in stores.iter().enumerate() {
            let member = fleet.pool().member(name);
            let member =
                member.ok_or_else(|| Failure::broken(anyhow::anyhow!("no store {name}")))?;
            let put = member.put(&key.copy(at == 0), encoded.bytes.clone()).await;
            put.map_err(Failure::broken)?;
        }
        let chunk = Chunk::new(key, &encoded, stores);
        let entry = Entry {
            v: VERSION,
            home: chunk.key.home.clone(),
            writer: chunk.key.edge,
            number: n + 1,
            at_ms: 0,
            first: chunk.key.first,
            last: chunk.key.last,
            lost_records: 0,
            adds: vec![chunk.clone()],
            removes: Vec::new(),
            origin: None,
            places: Vec::new(),
            root: None,
        };
        for member in fleet.pool().members() {
            let put = member
                .put(&entry.key().to_string(), entry.to_bytes().into())
                .await;
            put.map_err(Failure::broken)?;
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn readings(key: &ChunkKey) -> Rows {
    let mut rows = Rows::default();
    for seq in key.first.0..=key.last.0 {
        let ts = i64::from(key.day) * DAY_MS + (seq - key.first.0) as i64 * 1_440_000;
        let series = rows.series(&format!("home/room-{}", key.shard), "temperature");
        let unit = rows.unit("°C");
        rows.push(Row {
            series,
            ts,
            value: Some(20.0 + (seq % 50) as f64 / 10.0),
            text: None,
            unit: Some(unit),
            received: ts,
            seq: Seq(seq),
            quality: Quality::Good,
        });
    }
    rows
}

/// Step 1: the ring and modulo beside each other, and what a fourth store would move.
fn spread(set: &StoreSet, chunks: &[Chunk]) {
    println!("1  Spread by hash of home, shard and day\n");
    let mut table = table(
        &[
            "",
            "store-1",
            "store-2",
            "store-3",
            "fullest",
            "a 4th store moves",
        ],
        1..6,
    );
    for (method, word) in [(Method::Ring, "ring"), (Method::Modulo, "modulo")] {
        let set = StoreSet {
            method,
            ..set.clone()
        };
        let (placement, mut loads) = (Placement::of(&set), Loads::default());
        for chunk in chunks {
            let stores = placement.place(&PlacementKey::of(&chunk.key), chunk.bytes, &loads);
            stores.iter().for_each(|name| loads.add(name, chunk.bytes));
        }
        let fourth = set.changed(Change::Add(Member {
            name: fourth(),
            url: "file:///store-4".into(),
            weight: 1.0,
            zone: None,
            state: State::Active,
        }));
        let moved = fourth.map_or(0, |set| {
            let next = Placement::of(&set);
            let first = |placement: &Placement, chunk: &Chunk| {
                let order = placement.order(&PlacementKey::of(&chunk.key));
                order.first().map(|name| (*name).clone())
            };
            let moves = chunks
                .iter()
                .filter(|c| first(&placement, c) != first(&next, c));
            moves.count()
        });
        let mut row = vec![word.to_owned()];
        row.extend(
            set.members
                .iter()
                .map(|m| loads.of(&m.name).chunks.to_string()),
        );
        row.push(format!("{:.2} ×", loads.peak(set.weights())));
        row.push(format!("{moved} % of the chunks"));
        table.add_row(row);
    }
    println!("{table}\n");
}

fn fourth() -> StoreName {
    "store-4".parse().unwrap_or_else(|_| StoreName::main())
}

/// The stores with what the log says of them.
struct Case {
    fleet: Fleet,
    catalog: Catalog,
    keeper: Keeper,
}

impl Case {
    async fn open(fleet: Fleet) -> Result<Case, Failure> {
        let catalog = read_log(&fleet).await?;
        let keeper = Keeper::new(
            EdgeId(0xcee9e4),
            fleet.pool().clone(),
            Arc::new(SystemClock),
            None,
            BTreeMap::new(),
        );
        Ok(Case {
            fleet,
            catalog,
            keeper,
        })
    }

    fn loads(&self) -> Loads {
        Loads::of_chunks(self.catalog.snapshot().iter())
    }

    async fn place(&mut self, key: &ChunkKey, stores: &[StoreName]) -> Result<(), Failure> {
        let Some((chunk, by)) = self.catalog.placed(key) else {
            return Ok(());
        };
        let placed = self.keeper.place(&chunk, by.rev, stores).await;
        self.catalog.apply(&placed.map_err(Failure::broken)?);
        Ok(())
    }

    /// Step 2: every chunk gets a copy in the first store.
    async fn overload(&mut self) -> Result<(), Failure> {
        let first = self.fleet.agreed().set.members[0].name.clone();
        let before = self.loads();
        for chunk in self.catalog.snapshot().iter() {
            if !chunk.stores.contains(&first) {
                let stores = [chunk.stores[0].clone(), first.clone()];
                self.place(&chunk.key, &stores).await?;
            }
        }
        println!("2  {first} is given a copy of everything\n");
        println!("{}\n", before_and_after(&before, &self.loads()));
        Ok(())
    }

    /// Step 3: the article's rule, tick by tick.
    async fn level(&mut self) -> Result<(), Failure> {
        println!("3  Levelled: of what a store has too much, half goes in each tick\n");
        let set = self.fleet.agreed().set.clone();
        let heads = ["tick", "moves", "store-1", "store-2", "store-3", "fullest"];
        let mut table = table(&heads, 0..6);
        let mut tick = 0;
        loop {
            let next = plan(&set, &placed(&self.catalog.snapshot()), &Rule::default());
            let loads = self.loads();
            let mut row = vec![tick.to_string(), next.moves.len().to_string()];
            row.extend(
                set.members
                    .iter()
                    .map(|m| loads.of(&m.name).chunks.to_string()),
            );
            row.push(format!("{:.2} ×", loads.peak(set.weights())));
            table.add_row(row);
            if next.is_empty() {
                break;
            }
            let mut failed = None;
            let now = |key: &ChunkKey| self.catalog.placed(key);
            let done = carry_out(&self.keeper, &next, None, now, |_, carried| {
                if let Carried::Failed(error) = carried {
                    failed = Some(error);
                }
            });
            let done = done.await;
            if let Some(error) = failed {
                return Err(Failure::broken(error));
            }
            self.catalog.apply_all(&done);
            if self.loads() != next.after {
                println!("{}", before_and_after(&next.after, &self.loads()));
                return Err(Failure::broken(anyhow::anyhow!("the plan said otherwise")));
            }
            tick += 1;
        }
        println!("{table}\n");
        Ok(())
    }

    /// Step 5: a byte of one copy is flipped, found, and repaired from the other.
    async fn damage(&mut self, dir: &Path) -> Result<(), Failure> {
        println!("5  A copy is damaged\n");
        let snapshot = self.catalog.snapshot();
        let chunk = snapshot[snapshot.len() / 2].clone();
        let spoilt = chunk.stores[1].clone();
        let path = dir.join(spoilt.as_str()).join(chunk.key.copy(false));
        let mut bytes = std::fs::read(&path).map_err(Failure::broken)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&path, bytes).map_err(Failure::broken)?;
        let mut table = table(&["store", "copy", "before", "after repair"], 0..0);
        let before = self.look(&chunk).await;
        for (at, (name, found)) in before.iter().enumerate() {
            if found.is_err() {
                let mended = self.keeper.mend(&chunk, name, at == 0, None).await;
                mended.map_err(Failure::broken)?;
            }
        }
        let after = self.look(&chunk).await;
        for (at, ((name, before), (_, after))) in before.iter().zip(&after).enumerate() {
            let say = |found: &Result<(), String>| match found {
                Ok(()) => "as logged".to_owned(),
                Err(fault) => fault.clone(),
            };
            let role = if at == 0 { "primary" } else { "replica" };
            table.add_row([name.to_string(), role.into(), say(before), say(after)]);
        }
        println!("{}\n{table}\n", chunk.key);
        let is_mended = before.iter().any(|(_, found)| found.is_err())
            && after.iter().all(|(_, found)| found.is_ok());
        if is_mended {
            Ok(())
        } else {
            Err(Failure::broken(anyhow::anyhow!(
                "the copy was not repaired"
            )))
        }
    }

    /// What each store has of a chunk, held against the log.
    async fn look(&self, chunk: &Chunk) -> Vec<(StoreName, Result<(), String>)> {
        let mut found = Vec::new();
        for (at, name) in chunk.stores.iter().enumerate() {
            let Some(member) = self.fleet.pool().member(name) else {
                continue;
            };
            let read = member.read_copy(chunk, at == 0).await;
            let told = |error| match error {
                PoolError::Content { fault, .. } => fault.to_string(),
                other => other.to_string(),
            };
            found.push((name.clone(), read.map(|_| ()).map_err(told)));
        }
        found
    }
}

/// Step 4: one node changes the store set, and the others find the new version.
async fn agree(fleet: &Fleet, stores: Vec<Store>) -> Result<(), Failure> {
    println!("4  One node changes the store set, the others find it\n");
    let second = Fleet::new(stores.clone(), Some(COPIES), None, PATIENCE);
    let third = Fleet::new(stores, Some(COPIES), None, PATIENCE);
    join(&second).await?;
    join(&third).await?;
    let before = [fleet, &second, &third].map(|node| node.agreed().set.version);
    let last = fleet.agreed().set.members[STORES - 1].name.clone();
    let changed = second.change(Change::Weigh(last, 2.0)).await;
    changed.map_err(Failure::broken)?;
    let between = [fleet, &second, &third].map(|node| node.agreed().set.version);
    join(fleet).await?;
    join(&third).await?;
    let after = [fleet, &second, &third].map(|node| node.agreed().set.clone());
    let mut table = table(&["node", "version before", "changed", "after a look"], 1..4);
    for (at, node) in ["first", "second", "third"].iter().enumerate() {
        table.add_row([
            (*node).to_owned(),
            before[at].to_string(),
            between[at].to_string(),
            after[at].version.to_string(),
        ]);
    }
    println!("{table}\n");
    if after
        .iter()
        .all(|set| *set == after[0] && set.fleet != FleetId(0))
    {
        Ok(())
    } else {
        Err(Failure::broken(anyhow::anyhow!("the nodes do not agree")))
    }
}
