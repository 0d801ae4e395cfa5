use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{clock::Clock, device::Device, drift::Pair};

/// What a [`Care`](super::Care) keeps over a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The last reading that counted. Take a state only when all readings of a record were told.
    pub upto: Option<u64>,
    pub(super) clock: Clock,
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) pairs: Vec<Pair>,
}

/// Counts since a [`Care`](super::Care) began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CareStats {
    /// Faults that were found.
    pub began: u64,
    /// Faults that were over.
    pub ended: u64,
    /// Readings, descriptions and comings and goings that were dropped: too many devices or series, or too long names.
    pub dropped: u64,
    /// Pairs of neighbours above the bound.
    pub pairs_dropped: u64,
    /// Times that the clock was set, or that nobody watched for a while.
    pub pauses: u64,
}
