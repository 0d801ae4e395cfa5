//! Stores that fail, keepers that are killed at any moment, and somebody who damages what is stored. All of it follows from
//! a seed: `TARN_SEED=<seed>` runs that one alone, `TARN_SEEDS=<count>` so many.

/// Stores in memory that take their turns.
mod turns;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path as Key};
use rand::{Rng, seq::IndexedRandom};

use self::turns::{Pace, Turns, killed_after};
use super::*;
use crate::{
    chunk::Digest,
    clock::ManualClock,
    commit_log::{Entry, VERSION},
    ids::{EdgeId, Seq, Shard},
    keeper::GRACE_MS,
    layout::Content,
    store::{
        Store,
        failing::{FailingStore, Faults},
        pool::{Member, Pool},
    },
};

/// Seeds that are run where none is named.
const SEEDS: u64 = 1_500;
/// How long one operation may take. No more than a limit: the time of the simulation is another.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rounds of scrubbing after which nothing is left to do once all is healed.
const ROUNDS_MAX: usize = 6;

struct SimStore {
    name: StoreName,
    inner: Arc<InMemory>,
    failing: FailingStore,
}

/// A log as one process follows it.
#[derive(Debug)]
struct SimLog {
    pool: Arc<Pool>,
    catalog: tokio::sync::Mutex<Catalog>,
}

#[async_trait]
impl FollowedLog for SimLog {
    async fn look(&self) -> bool {
        let mut catalog = self.catalog.lock().await;
        let mut is_whole = true;
        for member in self.pool.members() {
            let refreshed = catalog.refresh(member.store()).await;
            is_whole &= matches!(refreshed, Ok(refreshed) if refreshed.failed.is_empty());
        }
        is_whole
    }

    async fn with_catalog(&self, ask: &mut (dyn for<'c> FnMut(&'c Catalog) + Send)) {
        ask(&*self.catalog.lock().await);
    }
}

/// A process that looks after copies.
struct Process {
    scrub: Scrub,
    log: SimLog,
}

struct World {
    rng: StdRng,
    clock: Arc<ManualClock>,
    pace: Arc<Pace>,
    stores: Vec<SimStore>,
    copies: usize,
    /// Whether somebody damages copies of chunks.
    has_vandal: bool,
    /// Every chunk, with its content.
    chunks: BTreeMap<ChunkKey, Bytes>,
    removed: BTreeSet<ChunkKey>,
    entries: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(3..=5);
        let stores = (0..count).map(|at| {
            let inner = Arc::new(InMemory::new());
            SimStore {
                name: format!("s{at}").parse().expect("name"),
                failing: FailingStore::new(inner.clone(), Faults::default(), rng.random()),
                inner,
            }
        });
        let stores = stores.collect();
        let clock = Arc::new(ManualClock::at(1_795_000_000_000));
        World {
            pace: Arc::new(Pace::new(clock.clone(), rng.random())),
            clock,
            stores,
            copies: rng.random_range(1..=3),
            has_vandal: rng.random_bool(0.5),
            chunks: BTreeMap::new(),
            removed: BTreeSet::new(),
            entries: 0,
            rng,
        }
    }

    fn names(&mut self, count: usize) -> Vec<StoreName> {
        let chosen = self.stores.choose_multiple(&mut self.rng, count);
        chosen.map(|store| store.name.clone()).collect()
    }

    fn store(&self, name: &StoreName) -> &SimStore {
        let found = self.stores.iter().find(|store| store.name == *name);
        found.expect("is there")
    }

    /// The stores as a process has them that knows of no trouble yet.
    fn members(&self) -> Vec<Arc<Member>> {
        let members = self.stores.iter().map(|store| {
            let url = format!("memory:///{}", store.name).parse().expect("url");
            let turns = Turns::new(store.failing.clone(), self.pace.clone());
            let over = Store::over(url, Arc::new(turns));
            Arc::new(Member::new(store.name.clone(), over, PATIENCE))
        });
        members.collect()
    }

    fn process(&mut self) -> Process {
        let pool = Arc::new(Pool::new(self.members()));
        let id = EdgeId(self.rng.random());
        let keeper = Keeper::new(id, pool.clone(), self.clock.clone(), None, BTreeMap::new());
        Process {
            scrub: Scrub::new(
                Arc::new(keeper),
                self.clock.clone(),
                None,
                self.rng.random(),
            ),
            log: SimLog {
                pool,
                catalog: tokio::sync::Mutex::default(),
            },
        }
    }

    fn set(&self, faults: Faults) {
        self.stores
            .iter()
            .for_each(|store| store.failing.set(faults));
    }

    /// A box stores a chunk, as boxes do: its copies, then the entry. What it is not told of it does again, so that in
    /// the end it is there.
    async fn ship(&mut self) {
        self.entries += 1;
        let number = self.entries;
        let content: Vec<u8> = (0..self.rng.random_range(20..200))
            .map(|_| self.rng.random())
            .collect();
        let content = Bytes::from(content);
        let key = ChunkKey {
            home: "lakeside".parse().expect("home"),
            day: 20_779,
            edge: EdgeId(0xab),
            shard: Shard(0),
            first: Seq(number),
            last: Seq(number),
            content: Content::Readings,
        };
        let stores = self.names(self.copies);
        let digest = Digest::of(&content);
        let chunk = Chunk {
            key: key.clone(),
            rows: 1,
            bytes: content.len() as u64,
            crc32: digest.crc32,
            sha256: digest.sha256,
            min_ts: 0,
            max_ts: 0,
            min_seq: Seq(number),
            max_seq: Seq(number),
            stores: stores.clone(),
        };
        let live: Vec<ChunkKey> = self.chunks.keys().cloned().collect();
        let removes = match live.choose(&mut self.rng) {
            Some(removed) if self.rng.random_bool(0.1) => vec![removed.clone()],
            _ => Vec::new(),
        };
        let entry = Entry {
            v: VERSION,
            home: key.home.clone(),
            writer: key.edge,
            number,
            at_ms: 0,
            first: Seq(number),
            last: Seq(number),
            lost_records: 0,
            adds: vec![chunk],
            removes: removes.clone(),
            origin: None,
            places: Vec::new(),
            root: None,
        };
        for (at, name) in stores.iter().enumerate() {
            put(&self.store(name).inner, &key.copy(at == 0), content.clone()).await;
        }
        // One store at least has the entry; the others get it.
        let count = self.rng.random_range(1..=self.stores.len());
        for name in self.names(count) {
            put(
                &self.store(&name).inner,
                &entry.key().to_string(),
                entry.to_bytes().into(),
            )
            .await;
        }
        self.chunks.insert(key, content);
        self.removed.extend(removes);
    }

    /// Something happens to what is stored, behind everybody's back.
    async fn damage(&mut self) {
        let store = self.stores.choose(&mut self.rng).expect("one");
        let inner = store.inner.clone();
        let keys: Vec<Key> = inner
            .list(None)
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .expect("lists");
        let Some(key) = keys.choose(&mut self.rng) else {
            return;
        };
        let is_log = key.as_ref().starts_with("log/");
        let whole = get(&inner, key).await.expect("is there");
        if is_log {
            // What nobody else has stays, as the log is all that tells what there is.
            let mut is_elsewhere = false;
            for other in self
                .stores
                .iter()
                .filter(|other| !Arc::ptr_eq(&other.inner, &inner))
            {
                is_elsewhere |= get(&other.inner, key)
                    .await
                    .is_some_and(|other| other == whole);
            }
            if !is_elsewhere {
                return;
            }
        } else if !self.has_vandal {
            return;
        }
        match self.rng.random_range(0..4) {
            0 => inner.delete(key).await.expect("deletes"),
            1 => put(&inner, key.as_ref(), whole.slice(..whole.len() / 2)).await,
            2 => {
                let mut flipped = whole.to_vec();
                let at = self.rng.random_range(0..flipped.len());
                flipped[at] ^= 0x10;
                // A log entry says nothing false that can be read; that is what the Merkle root is for.
                if is_log {
                    flipped[0] = b'!';
                }
                put(&inner, key.as_ref(), flipped.into()).await;
            }
            _ => {
                let other = self.chunks.values().next().cloned().unwrap_or_default();
                put(&inner, key.as_ref(), other).await;
            }
        }
    }

    /// A process does something, and may be killed in the middle of it.
    async fn act(scrub: &Process, what: u32, place: Option<(ChunkKey, Vec<StoreName>)>) {
        let log = &scrub.log;
        match what {
            0..=2 => {
                scrub.scrub.by_lists(log).await;
            }
            3..=4 => {
                for key in scrub.scrub.to_read(log).await {
                    scrub.scrub.read(log, &key).await;
                }
            }
            5..=6 => {
                scrub.scrub.clear(log).await;
            }
            7 => {
                scrub.scrub.roots(log).await;
            }
            _ => {
                let Some((key, stores)) = place else {
                    return;
                };
                // By what it knows, which may be old.
                if let Some((chunk, by)) = placed(log, &key).await {
                    let _ = scrub.scrub.keeper().place(&chunk, by.rev, &stores).await;
                }
            }
        }
    }

    async fn step(&mut self, processes: &mut [Process; 2]) {
        let per_mille = *[0, 10, 60].choose(&mut self.rng).expect("one");
        self.set(Faults {
            // A put is whole or nothing, and a list shows what was put, at S3 as in a directory.
            torn: 0,
            stale_lists: 0,
            delayed: 0,
            ..Faults::every(per_mille)
        });
        self.pace
            .operations_take(*[2, 50, 2_000].choose(&mut self.rng).expect("one"));
        if self.rng.random_bool(0.3) {
            let away = self.stores.choose(&mut self.rng).expect("one");
            away.failing.set(Faults {
                refused: 1_000,
                ..Faults::default()
            });
        }
        if self.rng.random_bool(0.4) {
            self.ship().await;
        }
        for process in processes.iter_mut() {
            // Who is killed starts anew; who was only given up on goes on with what it knows.
            if self.rng.random_bool(0.2) {
                *process = self.process();
            } else {
                process.log.pool.replace(self.members());
            }
        }
        let live: Vec<ChunkKey> = self.chunks.keys().cloned().collect();
        let mut job = |process| {
            let place = live.choose(&mut self.rng).cloned();
            let place = place.map(|key| (key, self.names(self.copies)));
            let polls = match self.rng.random_range(0..3) {
                0 => self.rng.random_range(0..20),
                1 => self.rng.random_range(0..300),
                _ => usize::MAX,
            };
            let job = World::act(process, self.rng.random_range(0..14), place);
            killed_after(polls, job)
        };
        let [first, second] = processes;
        let (first, second) = (job(first), job(second));
        let turns = self.rng.random_range(0..200);
        let damage = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            if self.rng.random_bool(0.5) {
                self.damage().await;
            }
        };
        tokio::join!(first, second, damage);
        let pause = self.rng.random_range(0..GRACE_MS / 2);
        self.pass(pause);
    }

    fn pass(&self, ms: i64) {
        self.clock.set(self.clock.now_ms() + ms);
    }

    /// Whether a good copy of a chunk is anywhere.
    async fn survives(&self, key: &ChunkKey) -> bool {
        for store in &self.stores {
            for is_primary in [true, false] {
                let copy = get(&store.inner, &Key::from(key.copy(is_primary))).await;
                if copy.as_ref() == Some(&self.chunks[key]) {
                    return true;
                }
            }
        }
        false
    }

    async fn run(&mut self) {
        for _ in 0..self.rng.random_range(1..8) {
            self.ship().await;
        }
        let mut processes = [self.process(), self.process()];
        for _ in 0..self.rng.random_range(5..25) {
            Box::pin(self.step(&mut processes)).await;
        }
        drop(processes);
        self.set(Faults::default());
        self.pace.operations_take(2);
        let mut surviving = BTreeSet::new();
        for key in self.chunks.keys() {
            if !self.removed.contains(key) && self.survives(key).await {
                surviving.insert(key.clone());
            }
        }
        let process = self.process();
        let mut is_at_rest = false;
        for _ in 0..ROUNDS_MAX {
            let (scrub, log) = (&process.scrub, &process.log);
            let before = scrub.figures().repaired.get();
            let suspects = scrub.by_lists(log).await;
            scrub.read_shared(log).await;
            for key in scrub.to_read(log).await {
                scrub.read(log, &key).await;
            }
            self.pass(GRACE_MS);
            let cleared = scrub.clear(log).await;
            let lost = scrub.report().lost.len();
            if suspects <= lost && cleared.deleted == 0 && scrub.figures().repaired.get() == before
            {
                is_at_rest = true;
                break;
            }
        }
        assert!(is_at_rest, "there is always something left to do");
        self.check(&process, &surviving).await;
    }

    async fn check(&self, process: &Process, surviving: &BTreeSet<ChunkKey>) {
        let acknowledged: Vec<&ChunkKey> = self
            .chunks
            .keys()
            .filter(|key| !self.removed.contains(*key))
            .collect();
        // Each store alone tells the same.
        for store in &self.stores {
            let mut catalog = Catalog::default();
            let over = Store::over("memory:///".parse().expect("url"), store.inner.clone());
            catalog.refresh(&over).await.expect("refreshes");
            let live = catalog.snapshot();
            let live: Vec<&ChunkKey> = live.iter().map(|chunk| &chunk.key).collect();
            assert_eq!(live, acknowledged, "live by {}", store.name);
        }
        let lost: BTreeSet<String> = process
            .scrub
            .report()
            .lost
            .into_iter()
            .map(|lost| lost.key)
            .collect();
        for key in acknowledged {
            let (chunk, _) = placed(&process.log, key).await.expect("is live");
            let is_lost = lost.contains(&key.to_string());
            assert_eq!(is_lost, !surviving.contains(key), "{key} is told as lost");
            assert!(!is_lost || self.has_vandal, "{key} was lost to keepers");
            if is_lost {
                continue;
            }
            assert_eq!(chunk.stores.len(), self.copies, "{key}");
            let mut there = BTreeSet::new();
            for store in &self.stores {
                for is_primary in [true, false] {
                    let copy = get(&store.inner, &Key::from(key.copy(is_primary))).await;
                    if let Some(copy) = copy {
                        assert_eq!(copy, self.chunks[key], "{key} at {}", store.name);
                        there.insert(Spot {
                            store: store.name.clone(),
                            is_primary,
                        });
                    }
                }
            }
            let named: BTreeSet<Spot> = judge::named(&chunk).collect();
            assert_eq!(there, named, "{key}");
        }
    }
}

async fn put(store: &InMemory, key: &str, bytes: Bytes) {
    store
        .put(&Key::from(key), bytes.into())
        .await
        .expect("puts");
}

async fn get(store: &InMemory, key: &Key) -> Option<Bytes> {
    store.get(key).await.ok()?.bytes().await.ok()
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime");
    let run = std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { Box::pin(World::new(seed).run()).await });
    });
    if let Err(panic) = std::panic::catch_unwind(run) {
        eprintln!("TARN_SEED={seed} fails");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn whatever_happens_each_chunk_with_a_good_copy_gets_all_of_them_back() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("TARN_SEED") {
        return run(seed);
    }
    for seed in 0..number("TARN_SEEDS").unwrap_or(SEEDS) {
        run(seed);
    }
}
