use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    catalog::{PlacedBy, Snapshot},
    commit_log::{Chunk, Entry},
    keeper::{Keeper, KeeperError},
    layout::ChunkKey,
    placement::{Move, Placed, Plan},
};

/// The live chunks, as a plan wants them.
#[must_use]
pub fn placed(snapshot: &Snapshot) -> Vec<Placed> {
    let placed = snapshot.iter().map(|chunk| Placed {
        key: chunk.key.clone(),
        bytes: chunk.bytes,
        stores: chunk.stores.clone(),
    });
    placed.collect()
}

/// What came of one move.
#[derive(Debug)]
pub enum Carried {
    /// It is done.
    Done,
    /// The chunk is elsewhere by now, or gone: somebody else was first.
    Overtaken,
    /// It was not done; it can be tried again.
    Failed(KeeperError),
}

/// Carry a plan out, move by move, at so many bytes a second at most, and give the log entries that say so. `now` says
/// where a chunk is by the log before anything is moved; `told` hears what came of each move. A crash leaves a copy too
/// many at worst, and planning anew goes on from there.
pub async fn carry_out(
    keeper: &Keeper,
    plan: &Plan,
    bytes_per_second: Option<u64>,
    now: impl Fn(&ChunkKey) -> Option<(Arc<Chunk>, PlacedBy)>,
    mut told: impl FnMut(&Move, Carried),
) -> Vec<Entry> {
    // What was moved here is further than `now` says.
    let mut moved: HashMap<ChunkKey, (Arc<Chunk>, PlacedBy)> = HashMap::new();
    let mut entries = Vec::new();
    for step in &plan.moves {
        let started = Instant::now();
        let known = moved.get(&step.key).cloned();
        let carried = match known.or_else(|| now(&step.key)) {
            Some((chunk, by)) if is_as_planned(step, &chunk) => {
                match keeper.place(&chunk, by.rev, &step.stores).await {
                    Ok(entry) => {
                        let by = PlacedBy::of(&entry, by.rev + 1);
                        let chunk = Chunk {
                            stores: step.stores.clone(),
                            ..Chunk::clone(&chunk)
                        };
                        moved.insert(step.key.clone(), (Arc::new(chunk), by));
                        entries.push(entry);
                        Carried::Done
                    }
                    Err(error) => Carried::Failed(error),
                }
            }
            _ => Carried::Overtaken,
        };
        told(step, carried);
        if let Some(rate) = bytes_per_second.filter(|_| step.to.is_some()) {
            let took = Duration::from_secs_f64(step.bytes as f64 / rate.max(1) as f64);
            sleep_until(started + took).await;
        }
    }
    entries
}

/// Whether a chunk is where the plan took it to be: the move makes of that what it says.
fn is_as_planned(step: &Move, chunk: &Chunk) -> bool {
    let has = |name| chunk.stores.contains(name);
    step.from.as_ref().is_none_or(has)
        && step.to.as_ref().is_none_or(|to| !has(to))
        && step
            .stores
            .iter()
            .all(|name| has(name) || Some(name) == step.to.as_ref())
}
