use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{commit_log::Chunk, ids::StoreName};

/// What one store holds, and how it has been doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Load {
    /// Bytes of chunks.
    pub bytes: u64,
    /// Copies of chunks.
    pub chunks: u64,
    /// Operations of the last minute or two.
    pub recent_operations: u64,
    /// How long an operation takes on average, milliseconds.
    pub latency_ms: f64,
    /// Operations that failed since the start.
    pub errors: u64,
}

/// The loads of stores, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Loads(pub BTreeMap<StoreName, Load>);

impl Loads {
    /// The load of a store; that of one which holds nothing is zero.
    #[must_use]
    pub fn of(&self, name: &StoreName) -> Load {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// What these chunks come to at the stores that hold them.
    #[must_use]
    pub fn of_chunks<'c>(chunks: impl IntoIterator<Item = &'c Arc<Chunk>>) -> Loads {
        let mut loads = Loads::default();
        for chunk in chunks {
            loads.add_chunk(chunk);
        }
        loads
    }

    /// Count all copies of a chunk.
    pub fn add_chunk(&mut self, chunk: &Chunk) {
        for name in &chunk.stores {
            self.add(name, chunk.bytes);
        }
    }

    /// Count one copy of a chunk.
    pub fn add(&mut self, name: &StoreName, bytes: u64) {
        if let Some(load) = self.0.get_mut(name) {
            load.bytes += bytes;
            load.chunks += 1;
        } else {
            let load = Load {
                bytes,
                chunks: 1,
                ..Load::default()
            };
            self.0.insert(name.clone(), load);
        }
    }

    /// The highest load of the stores by their weight, over the mean; 1 is level. Nothing held is level.
    #[must_use]
    pub fn peak(&self, weights: impl IntoIterator<Item = (StoreName, f64)>) -> f64 {
        let weights: Vec<_> = weights.into_iter().collect();
        let total: u64 = weights.iter().map(|(name, _)| self.of(name).bytes).sum();
        let weight: f64 = weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return 1.0;
        }
        let mean = total as f64 / weight;
        let relative = weights
            .iter()
            .map(|(name, weight)| self.of(name).bytes as f64 / weight / mean);
        relative.fold(0.0, f64::max)
    }
}
