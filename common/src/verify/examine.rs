use std::{
    collections::{BTreeSet, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::array::AsArray;
use bytes::Bytes;
use futures::future::join_all;

use super::{
    judge::{Copies, Spot, State, Step, judge, named},
    rate::Rate,
};
use crate::{
    catalog::PlacedBy,
    chunk,
    commit_log::Chunk,
    ids::StoreName,
    keeper::Keeper,
    store::pool::{Member, Pool, aside},
};

/// Devices that are listed of a lost chunk at most.
const DEVICES_MAX: usize = 1_000;

/// Looks at the copies of chunks, one chunk after the other, and says what is to be done, or does it.
#[derive(Debug)]
pub struct Examiner {
    pool: Arc<Pool>,
    gone: BTreeSet<StoreName>,
    rate: Rate,
}

/// What was found of the copies of one chunk.
#[derive(Debug, Default)]
pub struct Examined {
    /// Each copy that was looked at.
    pub copies: Copies,
    /// What is to be done.
    pub steps: Vec<Step>,
    /// What the chunk is, if a copy was read and found good.
    pub good: Option<Bytes>,
    /// A copy that is not good, if there is one.
    pub damaged: Option<Bytes>,
    /// Copies that were read.
    pub read: u64,
    /// Bytes of them.
    pub read_bytes: u64,
}

impl Examiner {
    /// Over these stores; `gone` are those that the fleet has no more, and reading goes at this rate.
    #[must_use]
    pub fn new(pool: Arc<Pool>, gone: BTreeSet<StoreName>, rate: Rate) -> Examiner {
        Examiner { pool, gone, rate }
    }

    /// How fast it reads.
    #[must_use]
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// The stores.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What lists say of the copies of a chunk, without reading any.
    #[must_use]
    pub fn by_lists(&self, chunk: &Chunk, listed: Copies) -> Examined {
        Examined {
            steps: judge(chunk, &listed, &self.gone),
            copies: listed,
            ..Examined::default()
        }
    }

    /// Read every copy that the log names, and `others` that a list shows beside them. Where one that the log names is not good, all
    /// stores are asked for one.
    pub async fn read(&self, chunk: &Chunk, others: &[Spot]) -> Examined {
        let mut examined = Examined::default();
        let mut spots: BTreeSet<Spot> = named(chunk).collect();
        let is_named: HashSet<Spot> = spots.iter().cloned().collect();
        spots.extend(others.iter().cloned());
        self.read_spots(chunk, spots, &mut examined).await;
        let is_good = |spot: &Spot| examined.copies.get(spot) == Some(&State::Good);
        if !is_named.iter().all(is_good) {
            let everywhere = self.pool.members().into_iter().flat_map(|member| {
                [true, false].map(|is_primary| Spot {
                    store: member.name().clone(),
                    is_primary,
                })
            });
            let further = everywhere.filter(|spot| !examined.copies.contains_key(spot));
            let further: BTreeSet<Spot> = further.collect();
            self.read_spots(chunk, further, &mut examined).await;
            // What is nowhere and need not be anywhere says nothing.
            examined
                .copies
                .retain(|spot, state| is_named.contains(spot) || *state != State::Missing);
        }
        examined.steps = judge(chunk, &examined.copies, &self.gone);
        examined
    }

    async fn read_spots(&self, chunk: &Chunk, spots: BTreeSet<Spot>, examined: &mut Examined) {
        let reads = spots.into_iter().map(|spot| async move {
            let Some(member) = self.pool.member(&spot.store) else {
                return (spot, State::Away, None);
            };
            let (state, bytes) = read_copy(&member, chunk, spot.is_primary).await;
            (spot, state, bytes)
        });
        for (spot, state, bytes) in join_all(reads).await {
            if let Some(bytes) = &bytes {
                examined.read += 1;
                examined.read_bytes += bytes.len() as u64;
                self.rate.take(bytes.len() as u64).await;
            }
            match state {
                State::Good => examined.good = examined.good.take().or(bytes),
                _ => examined.damaged = examined.damaged.take().or(bytes),
            }
            examined.copies.insert(spot, state);
        }
    }

    /// Do what is to be done. Says of each step how it went; surplus copies are only taken note of.
    pub async fn act(
        &self,
        keeper: &Keeper,
        chunk: &Chunk,
        by: PlacedBy,
        examined: &Examined,
    ) -> Vec<(Step, Result<(), String>)> {
        let mut done = Vec::with_capacity(examined.steps.len());
        for step in &examined.steps {
            let how = match step {
                Step::Mend(spot) => {
                    let good = examined.good.clone();
                    let mend = keeper.mend(chunk, &spot.store, spot.is_primary, good);
                    mend.await.map_err(|e| e.to_string())
                }
                Step::Adopt(stores) => {
                    let place = keeper.place(chunk, by.rev, stores).await;
                    place.map(drop).map_err(|e| e.to_string())
                }
                Step::Surplus(spot) => {
                    keeper.saw_surplus(&chunk.key, by, &spot.store, spot.is_primary);
                    Ok(())
                }
                Step::Lost => Err("no good copy is left".into()),
            };
            done.push((step.clone(), how));
        }
        done
    }
}

async fn read_copy(member: &Member, chunk: &Chunk, is_primary: bool) -> (State, Option<Bytes>) {
    let bytes = match member.get(&chunk.key.copy(is_primary)).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return (State::Missing, None),
        Err(_) => return (State::Away, None),
    };
    let (logged, checked) = (chunk.clone(), bytes.clone());
    let fault = aside(bytes.len(), move || {
        let fault = logged.check_fully(&checked).err()?;
        Some(match other_chunk(&logged, &checked) {
            Some(other) => format!("{fault}; {other}"),
            None => fault.to_string(),
        })
    });
    match fault.await {
        Ok(None) => (State::Good, Some(bytes)),
        Ok(Some(fault)) => (State::Wrong(fault), Some(bytes)),
        Err(_) => (State::Away, None),
    }
}

/// Whether bytes that are not what the log says are another good chunk, put there from outside.
fn other_chunk(chunk: &Chunk, bytes: &Bytes) -> Option<String> {
    let footer = catch_unwind(AssertUnwindSafe(|| chunk::footer(bytes)));
    let footer = footer.ok()?.ok()?;
    let says = |name: &str| {
        let found = footer.metadata.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let (home, edge) = (says("tarn.home"), says("tarn.edge"));
    let (first, last) = (says("tarn.first_seq"), says("tarn.last_seq"));
    let is_its_own = home == chunk.key.home.as_str()
        && edge == chunk.key.edge.to_string()
        && first == chunk.key.first.to_string()
        && last == chunk.key.last.to_string();
    Some(match (is_its_own, home) {
        (true, _) => "it is another file of the same records".into(),
        (_, "") => "it is a Parquet file of somebody else".into(),
        _ => format!("it is the chunk of records {first} to {last} of {edge} in home {home}"),
    })
}

/// The devices that a damaged chunk still tells of; none where it tells nothing.
#[must_use]
pub fn devices(damaged: &Bytes) -> Option<Vec<String>> {
    // What is damaged can make a decoder panic.
    let read = || {
        let mut found = BTreeSet::new();
        for batch in chunk::read(damaged.clone()).ok()? {
            let Ok(batch) = batch else { break };
            let devices = batch.column_by_name("device")?.as_string_opt::<i32>()?;
            found.extend(devices.iter().flatten().map(str::to_owned));
            if found.len() > DEVICES_MAX {
                break;
            }
        }
        let found: Vec<String> = found.into_iter().take(DEVICES_MAX).collect();
        (!found.is_empty()).then_some(found)
    };
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}
