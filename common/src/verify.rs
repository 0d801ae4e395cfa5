/// What is in a chunk, row by row.
mod content;
/// Reading the copies of a chunk, and doing what is to be done.
pub mod examine;
/// What is wrong with the copies of a chunk, and what to do about it.
pub mod judge;
/// What stores have of the copies of chunks, by listing.
pub mod listing;
/// The logs of several stores as one.
mod logs;
/// Which name the log has for a store.
mod names;
/// Objects that all stores are to have: log entries, parts of twins, store sets.
pub mod objects;
/// What ids that go on from others say of those.
mod origins;
/// How fast stores are read.
pub mod rate;
/// What a check found.
mod report;
/// Merkle roots over the live chunks of a home.
mod roots;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::sync::watch;

use self::{
    content::{Readings, check_events, check_rows},
    examine::{Examined, Examiner, devices},
    judge::{Spot, State, Step},
    listing::{Listing, objects},
    logs::{Logs, check_log},
    objects::{Holdings, Shared, read_all},
    origins::{Stretch, check_origins},
    rate::Rate,
    roots::check_roots,
};
pub use self::{
    report::{CheckedRoot, Fault, FaultKind, Lost, Report, StoreReport, Surplus, Twice, Writer},
    roots::root_of,
};
use crate::{
    catalog::Catalog,
    clock::{Clock, SystemClock},
    commit_log::{Chunk, Entry},
    fleet,
    ids::{EdgeId, HomeId, StoreName},
    keeper::{GRACE_MS, Keeper},
    layout::{ACCESS, LOG, STORES, StoreSetKey, TWINS, twins_prefix},
    placement::{self, StoreSet},
    store::{
        Store,
        pool::{Member, Pool, PoolError},
    },
};

/// How long one operation on a store may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Chunks whose copies are read at a time.
const CHUNKS_AT_ONCE: usize = 4;
/// Small objects that are read at a time.
const READS_AT_ONCE: usize = 16;

/// What to check, and what to do about it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only this home.
    pub home: Option<HomeId>,
    /// Put right what can be, from what is good.
    pub repair: bool,
    /// With `repair`: delete copies that the log does not name, once they were known for so long. Less than
    /// [`GRACE_MS`] only where nobody else looks after these stores.
    pub delete_surplus: Option<Duration>,
    /// A home without a Merkle root is a fault.
    pub needs_roots: bool,
    /// Is told how far the check is.
    pub progress: Option<watch::Sender<Progress>>,
}

/// How far a check is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks whose copies have been read.
    pub done: u64,
    /// Chunks that the log names.
    pub total: u64,
}

/// Check one store, without repairing anything.
///
/// # Errors
/// It cannot be listed.
pub async fn verify(store: &Store, home: Option<&HomeId>) -> Result<Report, PoolError> {
    let options = Options {
        home: home.cloned(),
        ..Options::default()
    };
    verify_all(vec![store.clone()], &options).await
}

/// Read every log and every copy of every chunk of some stores, and check them together: the logs against each other,
/// their sequences for gaps, each copy against the log by CRC32 and SHA-256, the chunk itself by rows, order, days and
/// duplicates, the parts of twins, and the Merkle roots. Of stores that the log names and that were not given nothing
/// is said.
///
/// # Errors
/// Not one store can be listed.
pub async fn verify_all(stores: Vec<Store>, options: &Options) -> Result<Report, PoolError> {
    let clock = Arc::new(SystemClock);
    let mut check = Check::look(stores, options).await?;
    check.logs().await;
    check.shared().await;
    check.chunks().await;
    check.unlogged();
    check.delete_surplus(clock.as_ref()).await;
    let mut report = check.report;
    report.ok = report.lost.is_empty() && report.faults.iter().all(|fault| fault.repaired);
    Ok(report)
}

/// A check under way.
struct Check<'o> {
    options: &'o Options,
    pool: Arc<Pool>,
    keeper: Option<Keeper>,
    examiner: Examiner,
    listings: BTreeMap<StoreName, Listing>,
    holdings: Holdings,
    logs: Logs,
    catalog: Catalog,
    report: Report,
}

impl<'o> Check<'o> {
    /// List the stores and read their logs, and find out which store is which.
    async fn look(stores: Vec<Store>, options: &'o Options) -> Result<Check<'o>, PoolError> {
        let home = options.home.as_ref();
        let members = fleet::named(stores, PATIENCE);
        let (mut listings, mut holdings) = (BTreeMap::new(), Holdings::new());
        let mut away = BTreeMap::new();
        let mut last = PoolError::NoStore;
        for member in &members {
            let name = member.name().clone();
            let listed = async {
                let listing = Listing::of(member, home).await?;
                Ok::<_, PoolError>((listing, shared_objects(member, home).await?))
            };
            match listed.await {
                Ok((listing, has)) => {
                    listings.insert(name.clone(), listing);
                    holdings.insert(name, has);
                }
                Err(error) => {
                    away.insert(name, error.to_string());
                    last = error;
                }
            }
        }
        if listings.is_empty() {
            return Err(last);
        }
        let logs = Logs::read(&Pool::new(members.clone()), &holdings).await;
        let mut catalog = Catalog::default();
        catalog.apply_all(logs.entries.values());
        let live = catalog.snapshot();
        let none = Listing::default();
        let given: Vec<_> = members
            .iter()
            .map(|member| {
                let is_asked = member.store().asked().name.is_some();
                (
                    member.name().clone(),
                    is_asked,
                    listings.get(member.name()).unwrap_or(&none),
                )
            })
            .collect();
        let names = names::fitting(&given, live.iter().map(Arc::as_ref));
        let renamed = |name: &StoreName| names.get(name).unwrap_or(name).clone();
        let mut report = Report::default();
        for member in &members {
            let listing = listings.get(member.name());
            report.stores.push(StoreReport {
                name: renamed(member.name()),
                url: member.store().url().to_string(),
                away: away.get(member.name()).cloned(),
                copies: listing.map_or(0, |listing| listing.copies.len() as u64),
                bytes: listing.map_or(0, |listing| listing.copies.values().sum()),
            });
        }
        let members = members.iter().map(|member| {
            let store = member.store().clone();
            Arc::new(Member::new(renamed(member.name()), store, PATIENCE))
        });
        let pool = Arc::new(Pool::new(members.collect()));
        let keeper = options.repair.then(|| {
            let id = EdgeId(rand::random());
            let grace = options.delete_surplus.map_or(GRACE_MS, |grace| {
                i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)
            });
            let keeper = Keeper::new(
                id,
                pool.clone(),
                Arc::new(SystemClock),
                None,
                BTreeMap::new(),
            );
            keeper.with_grace(grace)
        });
        let gone = lost_stores(&pool, &holdings).await;
        let logs = Logs {
            bad: logs
                .bad
                .into_iter()
                .map(|(store, key, why)| (renamed(&store), key, why))
                .collect(),
            differ: logs
                .differ
                .into_iter()
                .map(|(key, a, b)| (key, renamed(&a), renamed(&b)))
                .collect(),
            entries: logs.entries,
        };
        Ok(Check {
            options,
            keeper,
            examiner: Examiner::new(pool.clone(), gone, Rate::default()),
            pool,
            listings: listings
                .into_iter()
                .map(|(name, l)| (renamed(&name), l))
                .collect(),
            holdings: holdings
                .into_iter()
                .map(|(name, h)| (renamed(&name), h))
                .collect(),
            logs,
            catalog,
            report,
        })
    }

    /// Check the logs, as far as they can be checked without chunks.
    async fn logs(&mut self) {
        let mut by_writer: BTreeMap<(HomeId, EdgeId), Vec<&Entry>> = BTreeMap::new();
        for (key, entry) in &self.logs.entries {
            let writer = (key.home.clone(), key.writer);
            by_writer.entry(writer).or_default().push(entry);
        }
        let mut stretches = BTreeMap::new();
        for ((home, writer), entries) in by_writer {
            check_log(&home, writer, &entries, &mut self.report);
            let log: Vec<Stretch> = entries.iter().map(|entry| Stretch::of(entry)).collect();
            stretches.insert((home, writer), log);
        }
        check_origins(&stretches, &mut self.report);
        check_roots(
            &self.logs.entries,
            self.options.needs_roots,
            &mut self.report,
        );
        for (key, one, other) in &self.logs.differ {
            let detail = format!(
                "{one} and {other} have different entries of this name; one of them was altered"
            );
            self.report
                .fault_at(FaultKind::Entry, key, Some(other), detail, false);
        }
        let bad = std::mem::take(&mut self.logs.bad);
        for (store, key, reason) in bad {
            self.give(FaultKind::Entry, &store, &key, &reason).await;
        }
    }

    /// Check what all stores are to have: whether they have it, and the content of what is no log entry.
    async fn shared(&mut self) {
        for lacking in objects::lacking(&self.holdings) {
            // What is there, and not good, is found by reading it.
            if lacking.is_there {
                continue;
            }
            // It may just have been put, or be gone.
            let kind = Shared::of(&lacking.key);
            if let Some(kind) = kind {
                let here = vec![lacking.store.clone()];
                let is_there = !read_all(&self.pool, &kind, &lacking.key, here)
                    .await
                    .is_empty();
                if is_there || objects::read_any(&self.pool, &lacking.key).await.is_err() {
                    continue;
                }
            }
            let detail = "other stores have it";
            self.give(FaultKind::Lacking, &lacking.store, &lacking.key, detail)
                .await;
        }
        let mut keys: BTreeMap<String, Vec<StoreName>> = BTreeMap::new();
        for (store, has) in &self.holdings {
            let others = has.keys().filter(|key| !key.starts_with(LOG));
            for key in others {
                keys.entry(key.clone()).or_default().push(store.clone());
            }
        }
        let pool = &self.pool;
        let reads = keys.into_iter().filter_map(|(key, stores)| {
            let kind = Shared::of(&key)?;
            Some(async move {
                let read = read_all(pool, &kind, &key, stores).await;
                (kind, key, read)
            })
        });
        let read: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
        for (kind, key, read) in read {
            // Parts are counted once, however many stores have them.
            let is_twin = matches!(kind, Shared::Twin(_));
            self.report.twins += u64::from(is_twin && !read.is_empty());
            for (store, read) in read {
                if let Err(reason) = read {
                    self.give(FaultKind::Checksum, &store, &key, &reason).await;
                }
            }
        }
    }

    /// Tell that something is wrong with an object of all stores, and put it right.
    async fn give(&mut self, kind: FaultKind, store: &StoreName, key: &str, detail: &str) {
        let mut repaired = false;
        let mut detail = detail.to_owned();
        if let (true, Some(member)) = (self.options.repair, self.pool.member(store)) {
            match objects::give(&self.pool, &member, key).await {
                Ok(_) => repaired = true,
                Err(reason) => detail = format!("{detail}; not repaired: {reason}"),
            }
        }
        self.report
            .fault_at(kind, key, Some(store), detail, repaired);
    }

    /// Check the copies of every live chunk, and each chunk's content once.
    async fn chunks(&mut self) {
        let entries = std::mem::take(&mut self.logs.entries);
        let total = entries.values().map(|entry| entry.adds.len() as u64).sum();
        let mut done = 0;
        for entry in entries.values() {
            let live = entry
                .adds
                .iter()
                .filter(|added| !self.catalog.is_removed(&added.key));
            let live: Vec<Arc<Chunk>> = live
                .filter_map(|added| self.catalog.get(&added.key).cloned())
                .collect();
            let mut seen = Readings::default();
            let examiner = &self.examiner;
            let listings = &self.listings;
            let reads = live.into_iter().map(|chunk| async move {
                let others = listed(listings, &chunk);
                let examined = examiner.read(&chunk, &others).await;
                (chunk, examined)
            });
            let examined: Vec<_> = stream::iter(reads).buffered(CHUNKS_AT_ONCE).collect().await;
            for (chunk, examined) in examined {
                self.take(&chunk, examined, &mut seen).await;
            }
            done += entry.adds.len() as u64;
            if let Some(progress) = &self.options.progress {
                progress.send_replace(Progress { done, total });
            }
        }
        self.logs.entries = entries;
    }

    async fn take(&mut self, chunk: &Chunk, examined: Examined, seen: &mut Readings) {
        self.report.copies += examined.read;
        let by = self.catalog.placed_by(&chunk.key);
        let mut mended = BTreeMap::new();
        if let Some(keeper) = &self.keeper {
            for (step, how) in self.examiner.act(keeper, chunk, by, &examined).await {
                if let Step::Mend(spot) = step {
                    mended.insert(spot, how);
                }
            }
        }
        for spot in judge::named(chunk) {
            let (kind, mut detail) = match examined.copies.get(&spot) {
                None | Some(State::Away) => {
                    self.report.not_looked_at += 1;
                    // A store that was listed and stopped answering is not one to say nothing of.
                    let stores = self.report.stores.iter_mut();
                    for store in stores.filter(|store| store.name == spot.store) {
                        let reason = "it stopped answering".to_owned();
                        store.away.get_or_insert(reason);
                    }
                    continue;
                }
                Some(State::Good | State::Listed) => continue,
                Some(State::Missing) => (
                    FaultKind::Missing,
                    "the log names it, the store does not have it".to_owned(),
                ),
                Some(State::Wrong(detail)) => (FaultKind::Checksum, detail.clone()),
            };
            let how = mended.get(&spot);
            if let Some(Err(reason)) = how {
                detail = format!("{detail}; not repaired: {reason}");
            }
            let key = chunk.key.copy(spot.is_primary);
            let repaired = matches!(how, Some(Ok(())));
            self.report
                .fault_at(kind, key, Some(&spot.store), detail, repaired);
        }
        for step in &examined.steps {
            match step {
                Step::Surplus(spot) => self.report.surplus.push(Surplus {
                    store: spot.store.clone(),
                    key: chunk.key.copy(spot.is_primary),
                }),
                Step::Lost => {
                    let devices = examined.damaged.as_ref().and_then(devices);
                    self.report.lost.push(Lost::of(chunk, devices));
                }
                Step::Mend(_) | Step::Adopt(_) => {}
            }
        }
        let Some(good) = examined.good else {
            return;
        };
        self.report.chunks += 1;
        if chunk.key.is_events() {
            self.report.bytes += good.len() as u64;
            match check_events(chunk, &good) {
                Ok(evicted) => self.report.evicted_rows += evicted,
                Err((kind, detail)) => self.report.fault(kind, &chunk.key, detail),
            }
            return;
        }
        self.report.rows += chunk.rows;
        self.report.bytes += good.len() as u64;
        if let Err((kind, detail)) = check_rows(chunk, &good, seen) {
            self.report.fault(kind, &chunk.key, detail);
        }
    }

    fn unlogged(&mut self) {
        let mut unlogged = BTreeSet::new();
        for listing in self.listings.values() {
            let copies = listing
                .copies
                .keys()
                .filter(|(key, _)| self.catalog.get(key).is_none() || self.catalog.is_removed(key));
            unlogged.extend(copies.map(|(key, is_primary)| key.copy(*is_primary)));
            unlogged.extend(listing.foreign.iter().cloned());
        }
        self.report.unlogged = unlogged.into_iter().collect();
    }

    /// Delete copies that are too many, by a second look after the grace.
    async fn delete_surplus(&mut self, clock: &dyn Clock) {
        let (Some(keeper), Some(grace)) = (&self.keeper, self.options.delete_surplus) else {
            return;
        };
        let is_whole = self.report.stores.iter().all(|store| store.away.is_none());
        if self.report.surplus.is_empty() || !is_whole || self.report.not_looked_at > 0 {
            return;
        }
        let began_ms = clock.monotonic_ms();
        tokio::time::sleep(grace).await;
        tracing::debug!(
            waited_ms = clock.monotonic_ms() - began_ms,
            "surplus copies are due"
        );
        self.report.deleted = keeper.tidy().await.deleted as u64;
    }
}

/// Stores that the newest store set says are lost.
async fn lost_stores(pool: &Pool, holdings: &Holdings) -> BTreeSet<StoreName> {
    let keys = holdings.values().flat_map(BTreeMap::keys);
    let newest = keys.filter_map(|key| key.parse::<StoreSetKey>().ok()).max();
    let Some(newest) = newest else {
        return BTreeSet::new();
    };
    let read = objects::read_any(pool, &newest.to_string()).await;
    let set = read.ok().and_then(|bytes| StoreSet::parse(&bytes).ok());
    let members = set.into_iter().flat_map(|set| set.members);
    let lost = members.filter(|member| member.state == placement::State::Lost);
    lost.map(|member| member.name).collect()
}

/// Where lists show copies of a chunk.
fn listed(listings: &BTreeMap<StoreName, Listing>, chunk: &Chunk) -> Vec<Spot> {
    let spots = listings.iter().flat_map(|(store, listing)| {
        let roles = [true, false].into_iter();
        let there = roles.filter(|role| listing.copies.contains_key(&(chunk.key.clone(), *role)));
        there.map(|is_primary| Spot {
            store: store.clone(),
            is_primary,
        })
    });
    spots.collect()
}

/// Keys and sizes of what all stores are to have, at one of them.
///
/// # Errors
/// It cannot be listed.
pub async fn shared_objects(
    member: &Member,
    home: Option<&HomeId>,
) -> Result<BTreeMap<String, u64>, PoolError> {
    let log = home.map_or(LOG.to_owned(), |home| format!("{LOG}/home={home}"));
    let twins = home.map_or(TWINS.to_owned(), twins_prefix);
    let mut has = BTreeMap::new();
    for prefix in [log.as_str(), twins.as_str(), STORES, ACCESS] {
        let found = objects(member, prefix).await?;
        has.extend(
            found
                .into_iter()
                .filter(|(key, _)| Shared::of(key).is_some()),
        );
    }
    Ok(has)
}

#[cfg(test)]
pub(crate) mod tests;
