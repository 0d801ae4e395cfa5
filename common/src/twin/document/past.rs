use std::collections::BTreeMap;

use automerge::ActorId;
use serde::{Deserialize, Serialize};

use super::{DocumentError, Section};

/// Key at the root of a document for what its epoch began with.
pub(in crate::twin) const PAST: &str = "past";
/// Bytes of what an epoch began with.
pub(super) const PAST_BYTES_MAX: usize = 1 << 20;
/// Epochs back that writes are still told apart: known and replaced, or late.
pub(in crate::twin) const EPOCHS_KNOWN: u32 = 8;

/// A change by its actor and its number: what it wrote is told by this from all that others wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::twin) struct Dot {
    pub actor: Vec<u8>,
    pub seq: u64,
}

/// A scalar that an epoch began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::twin) struct Carried {
    pub section: Section,
    pub attribute: String,
    /// Which of [`PastText::layers`] put it.
    pub layer: u8,
    /// The change that wrote it first.
    pub dot: Dot,
}

/// Changes of an actor that are known, with the epoch they are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::twin) struct Known {
    /// The number of the last.
    pub seq: u64,
    /// The epoch.
    pub epoch: u32,
}

/// What an epoch began with, as it is written: what was known then, and what of it still stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::twin) struct PastText {
    /// Actors that put what is carried, one for each of several writes that stand beside each other.
    pub layers: Vec<Vec<u8>>,
    /// All changes that were known, by actor.
    pub known: BTreeMap<Vec<u8>, Known>,
    /// What still stood of them.
    pub carried: Vec<Carried>,
}

impl PastText {
    pub(in crate::twin) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<PastText, DocumentError> {
        postcard::from_bytes(bytes)
            .map_err(|_| DocumentError::Bytes("what an epoch began with cannot be read"))
    }
}

/// What one node let an epoch begin with. Several may have, each from what it knew: a scalar that one of them carries and
/// that another knew, but did not carry or has let go since, was replaced, and does not come back.
#[derive(Debug, Clone)]
pub(in crate::twin) struct Past {
    /// Who wrote it.
    pub by: ActorId,
    pub layers: Vec<ActorId>,
    pub known: BTreeMap<Vec<u8>, Known>,
    carried: BTreeMap<Section, BTreeMap<String, Vec<(u8, Dot)>>>,
}

impl Past {
    pub(super) fn new(by: ActorId, text: PastText) -> Past {
        let mut carried: BTreeMap<Section, BTreeMap<String, Vec<(u8, Dot)>>> = BTreeMap::new();
        for one in text.carried {
            let attributes = carried.entry(one.section).or_default();
            let dots = attributes.entry(one.attribute).or_default();
            dots.push((one.layer, one.dot));
        }
        Past {
            by,
            layers: text.layers.into_iter().map(ActorId::from).collect(),
            known: text.known,
            carried,
        }
    }

    /// The change that first wrote what `actor` put for an attribute, where this carries it.
    pub(super) fn dot(&self, section: Section, attribute: &str, actor: &ActorId) -> Option<&Dot> {
        let dots = self.carried.get(&section)?.get(attribute)?;
        let is_its = |(layer, _): &&(u8, Dot)| self.layers.get(usize::from(*layer)) == Some(actor);
        dots.iter().find(is_its).map(|(_, dot)| dot)
    }

    /// Whether a change was known.
    pub(super) fn knows(&self, dot: &Dot) -> bool {
        let known = self.known.get(&dot.actor);
        known.is_some_and(|known| known.seq >= dot.seq)
    }

    /// Whether it knew all that another did.
    pub(in crate::twin) fn knows_all_of(&self, other: &Past) -> bool {
        other.known.iter().all(|(actor, theirs)| {
            let mine = self.known.get(actor);
            mine.is_some_and(|mine| mine.seq >= theirs.seq)
        })
    }
}
