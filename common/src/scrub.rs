/// What going through the copies has found.
mod findings;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use futures::future::join_all;
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use self::findings::Findings;
pub use self::findings::{Figures, KindLabel, ScrubFault, ScrubReport};
use crate::{
    catalog::{Catalog, PlacedBy},
    clock::Clock,
    commit_log::Chunk,
    ids::{HomeId, StoreName},
    keeper::{Cleared, Keeper, Look},
    layout::ChunkKey,
    reading::DAY_MS,
    verify::{
        FaultKind, Lost,
        examine::{Examined, Examiner, devices},
        judge::{self, Copies, Spot, State, Step},
        listing::Listing,
        objects::{self, Holdings, Lacking, Shared},
        rate::Rate,
        root_of, shared_objects,
    },
};

/// The log of all stores of a fleet, as whoever follows it knows it.
#[async_trait]
pub trait FollowedLog: Send + Sync {
    /// Look at all stores now. Says whether each was seen whole.
    async fn look(&self) -> bool;

    /// Have the catalog for a moment.
    async fn with_catalog(&self, ask: &mut (dyn for<'c> FnMut(&'c Catalog) + Send));
}

/// Goes through the copies of all chunks, and what else stores are to have: first by lists, which cost little and show
/// what is missing, then by reading, slowly. What is wrong is repaired by a keeper.
#[derive(Debug)]
pub struct Scrub {
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    /// Reads as slowly as it was told to.
    slow: Examiner,
    /// Reads what has to be repaired.
    fast: Examiner,
    rng: Mutex<StdRng>,
    figures: Figures,
    findings: Mutex<Findings>,
}

impl Scrub {
    /// By this keeper, reading so many bytes per second at most. The seed decides on the order.
    #[must_use]
    pub fn new(
        keeper: Arc<Keeper>,
        clock: Arc<dyn Clock>,
        bytes_per_second: Option<u64>,
        seed: u64,
    ) -> Scrub {
        let examiner =
            |rate| Examiner::new(keeper.pool().clone(), BTreeSet::new(), Rate::new(rate));
        Scrub {
            slow: examiner(bytes_per_second),
            fast: examiner(None),
            keeper,
            clock,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            figures: Figures::default(),
            findings: Mutex::default(),
        }
    }

    /// The keeper that repairs.
    #[must_use]
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// Its counters.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// What it has found so far.
    #[must_use]
    pub fn report(&self) -> ScrubReport {
        self.findings.lock().report()
    }

    /// Go through what stores have by listing them: give each what others have of logs, twins and store sets, and find
    /// copies that are missing, cut, or too many. What is wrong is repaired. Says how many chunks needed it.
    pub async fn by_lists(&self, log: &dyn FollowedLog) -> usize {
        log.look().await;
        let mut homes = homes(log).await;
        homes.shuffle(&mut *self.rng.lock());
        let mut count = 0;
        let mut away = BTreeSet::new();
        for home in homes {
            let suspects = self.home_by_lists(log, &home, &mut away).await;
            count += suspects.len();
            self.settle(log, &suspects).await;
        }
        let now = self.clock.now_ms();
        log.with_catalog(&mut |catalog| {
            let mut findings = self.findings.lock();
            findings.listed(now, std::mem::take(&mut away));
            findings.retain_lost(|key| catalog.placed(key).is_some());
            self.figures.lost_chunks.set(findings.lost_count());
        })
        .await;
        count
    }

    /// Chunks of a home whose copies are not all where the log has them, by lists.
    async fn home_by_lists(
        &self,
        log: &dyn FollowedLog,
        home: &HomeId,
        away: &mut BTreeSet<StoreName>,
    ) -> Vec<ChunkKey> {
        // What the log names was put before it was logged, so that the lists that come after it have it.
        let chunks = chunks_of(log, home).await;
        let lists = self
            .keeper
            .pool()
            .members()
            .into_iter()
            .map(|member| async move {
                let listed = async {
                    let has = shared_objects(&member, Some(home)).await?;
                    Ok::<_, crate::store::pool::PoolError>((
                        has,
                        Listing::of(&member, Some(home)).await?,
                    ))
                };
                (member.name().clone(), listed.await)
            });
        let (mut holdings, mut listings) = (Holdings::new(), BTreeMap::new());
        for (store, listed) in join_all(lists).await {
            match listed {
                Ok((has, listing)) => {
                    holdings.insert(store.clone(), has);
                    listings.insert(store, listing);
                }
                Err(error) => {
                    tracing::debug!(%store, %error, "a store cannot be listed");
                    away.insert(store);
                }
            }
        }
        for lacking in objects::lacking(&holdings) {
            self.give(&lacking, "other stores have it").await;
        }
        let mut suspects = Vec::new();
        for (chunk, by) in chunks {
            let examined = self.fast.by_lists(&chunk, copies_in(&listings, &chunk));
            let is_repair = |step: &Step| !matches!(step, Step::Surplus(_));
            if examined.steps.iter().any(is_repair) {
                suspects.push(chunk.key.clone());
            } else {
                self.fast.act(&self.keeper, &chunk, by, &examined).await;
            }
        }
        suspects
    }

    /// Give a store what it lacks, or has and should not have like that.
    async fn give(&self, lacking: &Lacking, detail: &str) {
        let pool = self.keeper.pool();
        let Some(member) = pool.member(&lacking.store) else {
            return;
        };
        let (repaired, detail) = match objects::give(pool, &member, &lacking.key).await {
            Ok(false) => return,
            Ok(true) => (true, detail.to_owned()),
            Err(reason) => (false, reason),
        };
        self.found(ScrubFault {
            kind: if lacking.is_there {
                FaultKind::Checksum
            } else {
                FaultKind::Lacking
            },
            store: lacking.store.clone(),
            key: lacking.key.clone(),
            detail,
            at_ms: self.clock.now_ms(),
            repaired,
        });
    }

    /// Read what all stores are to have at each of them: logs, twins, store sets. What is wrong is repaired.
    pub async fn read_shared(&self, log: &dyn FollowedLog) {
        let pool = self.keeper.pool();
        for home in homes(log).await {
            let mut keys: BTreeMap<String, Vec<StoreName>> = BTreeMap::new();
            for member in pool.members() {
                // One that is away is read in the next round.
                let has = shared_objects(&member, Some(&home)).await;
                for key in has.unwrap_or_default().into_keys() {
                    keys.entry(key).or_default().push(member.name().clone());
                }
            }
            for (key, stores) in keys {
                let Some(kind) = Shared::of(&key) else {
                    continue;
                };
                for (store, read) in objects::read_all(pool, &kind, &key, stores).await {
                    match read {
                        Ok(bytes) => self.slow.rate().take(bytes.len() as u64).await,
                        Err(reason) => {
                            let lacking = Lacking {
                                store,
                                key: key.clone(),
                                is_there: true,
                            };
                            self.give(&lacking, &reason).await;
                        }
                    }
                }
            }
        }
    }

    /// Chunks to read, in an order of its own.
    pub async fn to_read(&self, log: &dyn FollowedLog) -> Vec<ChunkKey> {
        let mut keys = Vec::new();
        log.with_catalog(&mut |catalog| {
            keys = catalog
                .snapshot()
                .iter()
                .map(|chunk| chunk.key.clone())
                .collect();
        })
        .await;
        keys.shuffle(&mut *self.rng.lock());
        keys
    }

    /// Read all copies of a chunk, and repair what is wrong.
    pub async fn read(&self, log: &dyn FollowedLog, key: &ChunkKey) {
        let Some((chunk, by)) = placed(log, key).await else {
            return;
        };
        let examined = self.slow.read(&chunk, &[]).await;
        self.count(&examined);
        let is_repair = |step: &Step| !matches!(step, Step::Surplus(_));
        if examined.steps.iter().any(is_repair) {
            // It may have been placed anew or removed while this was read.
            self.settle(log, std::slice::from_ref(key)).await;
        } else {
            self.slow.act(&self.keeper, &chunk, by, &examined).await;
            self.is_found(&chunk);
        }
    }

    /// Look at the log again, read what is suspected, and repair it.
    async fn settle(&self, log: &dyn FollowedLog, suspects: &[ChunkKey]) {
        if suspects.is_empty() {
            return;
        }
        let is_whole = log.look().await;
        for key in suspects {
            let Some((chunk, by)) = placed(log, key).await else {
                continue;
            };
            let examined = self.fast.read(&chunk, &[]).await;
            self.count(&examined);
            self.repair(&chunk, by, &examined, is_whole).await;
        }
    }

    async fn repair(&self, chunk: &Chunk, by: PlacedBy, examined: &Examined, is_whole: bool) {
        if examined.good.is_some() {
            self.is_found(chunk);
        }
        let now = self.clock.now_ms();
        for (step, how) in self.fast.act(&self.keeper, chunk, by, examined).await {
            match step {
                Step::Mend(spot) => {
                    let (kind, wrong) = match examined.copies.get(&spot) {
                        Some(State::Wrong(detail)) => (FaultKind::Checksum, detail.clone()),
                        _ => (
                            FaultKind::Missing,
                            "the log names it, the store does not have it".into(),
                        ),
                    };
                    let (repaired, detail) = match how {
                        Ok(()) => (true, wrong),
                        Err(reason) => (false, format!("{wrong}; not repaired: {reason}")),
                    };
                    self.found(ScrubFault {
                        kind,
                        key: chunk.key.copy(spot.is_primary),
                        store: spot.store,
                        detail,
                        at_ms: now,
                        repaired,
                    });
                }
                // An entry that was not seen may have placed it elsewhere, or removed it.
                Step::Lost if is_whole => self.lost(chunk, examined),
                Step::Lost | Step::Adopt(_) | Step::Surplus(_) => {}
            }
        }
    }

    fn found(&self, fault: ScrubFault) {
        let kind = KindLabel { kind: fault.kind };
        self.figures.faults.get_or_create(&kind).inc();
        self.figures.repaired.inc_by(u64::from(fault.repaired));
        let (store, key, detail) = (&fault.store, &fault.key, &fault.detail);
        if fault.repaired {
            tracing::info!(%store, key, detail, "repaired");
        } else if self.findings.lock().is_new(&fault) {
            tracing::warn!(%store, key, detail, "not repaired; it is tried again");
        }
        self.findings.lock().fault(fault);
    }

    fn lost(&self, chunk: &Chunk, examined: &Examined) {
        let lost = Lost::of(chunk, examined.damaged.as_ref().and_then(devices));
        let mut findings = self.findings.lock();
        if findings.lost(&chunk.key, lost) {
            tracing::error!(
                chunk = %chunk.key,
                rows = chunk.rows,
                min_ts = chunk.min_ts,
                max_ts = chunk.max_ts,
                "no good copy of a chunk is left: its readings are lost unless a store that has one comes back"
            );
        }
        self.figures.lost_chunks.set(findings.lost_count());
    }

    fn is_found(&self, chunk: &Chunk) {
        let mut findings = self.findings.lock();
        findings.retain_lost(|key| *key != chunk.key);
        self.figures.lost_chunks.set(findings.lost_count());
    }

    fn count(&self, examined: &Examined) {
        self.figures.copies.inc_by(examined.read);
        self.figures.bytes.inc_by(examined.read_bytes);
    }

    /// Delete copies that are too many, if they are known as such for long enough and all stores were seen.
    pub async fn clear(&self, log: &dyn FollowedLog) -> Cleared {
        let due = self.keeper.due();
        if due.is_empty() {
            return Cleared::default();
        }
        let began_ms = self.clock.monotonic_ms();
        if !log.look().await {
            let left = due.len();
            return Cleared { deleted: 0, left };
        }
        let mut look = Look::default();
        log.with_catalog(&mut |catalog| look = Look::of(catalog, &due, began_ms))
            .await;
        self.keeper.clear(&look).await
    }

    /// Write the Merkle root of today for each home that has none yet. Says how many were written.
    pub async fn roots(&self, log: &dyn FollowedLog) -> usize {
        // A day that is not over is as good as any: the root says what it stands on.
        let day = i32::try_from(self.clock.now_ms().div_euclid(DAY_MS)).unwrap_or(i32::MAX);
        if !log.look().await {
            return 0;
        }
        let mut written = 0;
        for home in homes(log).await {
            let mut root = None;
            log.with_catalog(&mut |catalog| {
                let is_due = catalog.root(&home).is_none_or(|root| root.day < day);
                root = is_due.then(|| root_of(catalog, &home, day)).flatten();
            })
            .await;
            if root.is_some() {
                match self.keeper.log(&home, Vec::new(), root).await {
                    Ok(_) => written += 1,
                    Err(error) => {
                        tracing::warn!(%home, %error, "the root of the day is not written; it is tried again");
                    }
                }
            }
        }
        written
    }

    /// Take note of how far a round of reading has come.
    pub fn progress(&self, read: usize, of: usize) {
        self.findings.lock().progress(self.clock.now_ms(), read, of);
    }
}

/// What lists say of the copies of a chunk.
fn copies_in(listings: &BTreeMap<StoreName, Listing>, chunk: &Chunk) -> Copies {
    let mut copies = Copies::new();
    for (store, listing) in listings {
        for is_primary in [true, false] {
            let size = listing.copies.get(&(chunk.key.clone(), is_primary));
            let state = match size {
                Some(size) if *size == chunk.bytes => State::Listed,
                Some(size) => State::Wrong(format!("{size} bytes, the log says {}", chunk.bytes)),
                None => State::Missing,
            };
            let spot = Spot {
                store: store.clone(),
                is_primary,
            };
            copies.insert(spot, state);
        }
    }
    for spot in judge::named(chunk) {
        copies.entry(spot).or_insert(State::Away);
    }
    copies
}

async fn homes(log: &dyn FollowedLog) -> Vec<HomeId> {
    let mut homes = Vec::new();
    log.with_catalog(&mut |catalog| homes = catalog.homes())
        .await;
    homes
}

async fn placed(log: &dyn FollowedLog, key: &ChunkKey) -> Option<(Arc<Chunk>, PlacedBy)> {
    let mut placed = None;
    log.with_catalog(&mut |catalog| placed = catalog.placed(key))
        .await;
    placed
}

async fn chunks_of(log: &dyn FollowedLog, home: &HomeId) -> Vec<(Arc<Chunk>, PlacedBy)> {
    let mut chunks = Vec::new();
    log.with_catalog(&mut |catalog| {
        let live = catalog.snapshot();
        let of_home = live.iter().filter(|chunk| chunk.key.home == *home);
        chunks = of_home
            .map(|chunk| (chunk.clone(), catalog.placed_by(&chunk.key)))
            .collect();
    })
    .await;
    chunks
}
