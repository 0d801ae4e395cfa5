/// Levelling loads.
mod balance;
/// Copies that are missing, or are where they may not stay.
mod mend;
/// Where all copies are while a plan is made.
mod planning;

use serde::{Deserialize, Serialize};

use self::{balance::Balance, planning::Planning};
use super::{load::Loads, set::StoreSet};
use crate::{ids::StoreName, layout::ChunkKey};

/// Ticks after which a plan is taken as it is. Each tick takes α of what is too much, so this is only met with an α near 0.
const TICKS_MAX: usize = 1_000;

/// A chunk, and where it is by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The chunk.
    pub key: ChunkKey,
    /// Its size.
    pub bytes: u64,
    /// The stores that hold a copy, the primary first.
    pub stores: Vec<StoreName>,
}

/// How much is moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The part of what a store has too much that is moved in one tick.
    pub alpha: f64,
    /// How far over its share a store may be before anything is moved: 0.05 is 5 %.
    pub threshold: f64,
    /// Moves of one plan at most.
    pub moves_max: usize,
    /// Bytes copied by one plan at most; a chunk that is larger than this is moved in a plan of its own.
    pub bytes_max: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Rule {
            alpha: 0.5,
            threshold: 0.05,
            moves_max: usize::MAX,
            bytes_max: u64::MAX,
        }
    }
}

/// Why a copy moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The store is lost, or not in the set: the copy is made again from another.
    Lost,
    /// There are fewer copies than there should be.
    TooFew,
    /// The store is to be emptied.
    Drain,
    /// Two copies are in one zone, and another zone has none.
    Zone,
    /// There are more copies than there should be.
    Surplus,
    /// The store holds more than its share.
    Balance,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::Lost => "lost",
            Why::TooFew => "too_few",
            Why::Drain => "drain",
            Why::Zone => "zone",
            Why::Surplus => "surplus",
            Why::Balance => "balance",
        })
    }
}

/// One copy made, one let go, or both: first the one, then the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The chunk.
    pub key: ChunkKey,
    /// Its size.
    pub bytes: u64,
    /// The store that lets its copy go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<StoreName>,
    /// The store that gets one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<StoreName>,
    /// Why.
    pub why: Why,
    /// The stores that hold the chunk afterwards, the primary first.
    pub stores: Vec<StoreName>,
}

/// What is to be moved, and what that comes to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// The moves, in order.
    pub moves: Vec<Move>,
    /// Copies that are made.
    pub copies: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What each store holds before.
    pub before: Loads,
    /// What each store holds afterwards.
    pub after: Loads,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

/// One tick: what is missing or must go comes first, the chunks with the fewest copies at the head; then, for each store
/// over its share × (1 + threshold), α × (load − share) goes to stores below theirs, and what a store far below its share
/// lacks comes from those above theirs. Nothing is ever planned to have fewer copies on the way than before. The same
/// chunks in the same order give the same plan.
#[must_use]
pub fn plan(set: &StoreSet, chunks: &[Placed], rule: &Rule) -> Plan {
    make(set, chunks, rule, 1)
}

/// All ticks until nothing is left to do: the whole of what a change to the set means.
#[must_use]
pub fn plan_to_rest(set: &StoreSet, chunks: &[Placed], rule: &Rule) -> Plan {
    make(set, chunks, rule, TICKS_MAX)
}

fn make(set: &StoreSet, chunks: &[Placed], rule: &Rule, ticks: usize) -> Plan {
    let mut planning = Planning::new(set, chunks, rule);
    let before = planning.loads();
    planning.mend();
    let mut balance = Balance::new(&planning);
    for _ in 0..ticks {
        if !balance.tick(&mut planning) {
            break;
        }
    }
    planning.finish(before)
}
