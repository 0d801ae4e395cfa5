use std::collections::HashMap;

use automerge::{
    Change, ChangeHash, ScalarValue,
    legacy::{Key, ObjectId, OpType},
};

use super::{
    Document, DocumentError,
    past::{PAST, PAST_BYTES_MAX, PastText},
};
use crate::twin::edit::SCALAR_BYTES_MAX;

/// Operations of one change.
const OPERATIONS_MAX: usize = 20_000;
/// Bytes of an actor.
const ACTOR_BYTES_MAX: usize = 32;
/// Bytes that a change carries beside what it does.
const EXTRA_BYTES_MAX: usize = 1_024;
/// Bytes of the name of an attribute that somebody else made up.
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;
/// Changes of one actor: far more than any epoch has.
const SEQ_MAX: u64 = 1 << 24;

/// How the operations of changes are numbered that are looked at one after the other.
pub(super) struct Numbers {
    /// The last operation that is known.
    last: u64,
    /// The last operation of each change that was looked at.
    of: HashMap<ChangeHash, u64>,
}

impl Numbers {
    /// Nothing was looked at; `last` is the number of the last operation so far.
    pub(super) fn after(last: u64) -> Numbers {
        Numbers {
            last,
            of: HashMap::new(),
        }
    }

    /// Whether a change was looked at.
    pub(super) fn has(&self, hash: &ChangeHash) -> bool {
        self.of.contains_key(hash)
    }

    fn note(&mut self, change: &Change) {
        self.last = self.last.max(change.max_op());
        self.of.insert(change.hash(), change.max_op());
    }
}

impl Document {
    /// See that a change from elsewhere does what a node does: put scalars into the maps of this document. Whatever else
    /// Automerge could do (lists, texts, counters, maps over ours) nobody here asks for, and it is what can be turned against
    /// us. Its operations go on from what is known, and lie behind those that it stands on: else it would hide how far the
    /// document is, and what comes next would look as if it were too far ahead.
    pub(super) fn vet(&self, change: &Change, numbers: &mut Numbers) -> Result<(), DocumentError> {
        use DocumentError::Foreign;
        if self.begins_with(change) {
            numbers.note(change);
            return Ok(());
        }
        let start = change.start_op().get();
        if start > numbers.last + 1 || change.len() > OPERATIONS_MAX {
            return Err(Foreign("its operations are numbered too high"));
        }
        let last_of = |hash: &ChangeHash| {
            let meta = || self.automerge.get_change_meta_by_hash(hash);
            let looked_at = numbers.of.get(hash).copied();
            looked_at.or_else(|| meta().map(|meta| meta.max_op))
        };
        if change
            .deps()
            .iter()
            .filter_map(last_of)
            .any(|last| start <= last)
        {
            return Err(Foreign("its operations are numbered too low"));
        }
        let actors = std::iter::once(change.actor_id()).chain(change.other_actor_ids());
        for actor in actors {
            if !(1..=ACTOR_BYTES_MAX).contains(&actor.to_bytes().len()) {
                return Err(Foreign("an actor is too long"));
            }
        }
        let extra = change.extra_bytes().len() + change.message().map_or(0, str::len);
        if extra > EXTRA_BYTES_MAX || !(1..=SEQ_MAX).contains(&change.seq()) {
            return Err(Foreign("its head is too large"));
        }
        numbers.note(change);
        let maps = self.maps();
        for operation in change.decode().operations {
            let Key::Map(attribute) = &operation.key else {
                return Err(Foreign("it is about a list"));
            };
            if operation.insert || attribute.len() > ATTRIBUTE_BYTES_MAX {
                return Err(Foreign("the name of an attribute is too long"));
            }
            if operation.obj == ObjectId::Root {
                match &operation.action {
                    OpType::Put(ScalarValue::Bytes(bytes))
                        if attribute == PAST && bytes.len() <= PAST_BYTES_MAX =>
                    {
                        PastText::parse(bytes)?;
                        continue;
                    }
                    _ => return Err(Foreign("it changes the root")),
                }
            }
            if !maps
                .iter()
                .any(|(_, map)| super::is_object(map, &operation.obj))
            {
                return Err(Foreign("it is about no section"));
            }
            match &operation.action {
                OpType::Delete => {}
                OpType::Put(scalar) if is_small(scalar) => {}
                _ => return Err(Foreign("it puts something else than a scalar")),
            }
        }
        Ok(())
    }
}

fn is_small(scalar: &ScalarValue) -> bool {
    match scalar {
        ScalarValue::Str(text) => text.len() <= SCALAR_BYTES_MAX,
        ScalarValue::Bytes(bytes) => bytes.len() <= SCALAR_BYTES_MAX,
        ScalarValue::Counter(_) | ScalarValue::Unknown { .. } => false,
        _ => true,
    }
}
