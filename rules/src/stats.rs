use serde::{Deserialize, Serialize};

/// Counts since an engine began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Expressions evaluated.
    pub evaluations: u64,
    /// Firings.
    pub firings: u64,
    /// Firings that a cooldown suppressed.
    pub suppressed: u64,
    /// Metrics that rules did not set because others had priority.
    pub overruled: u64,
    /// Times that a rule began to fail, or failed in another way.
    pub faults: u64,
    /// Times that a rule fired far too often and was damped.
    pub damped: u64,
    /// Moments that passed while nobody looked and that were not made up for.
    pub missed: u64,
    /// Readings of series above the bound on series; no rule can see them.
    pub readings_dropped: u64,
    /// Samples that went into one with their neighbour because a history was full.
    pub samples_thinned: u64,
    /// Notices that nobody fetched in time.
    pub notices_dropped: u64,
}
