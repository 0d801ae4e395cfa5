use std::{collections::HashMap, sync::Arc};

use super::{engine::Engine, error::QueryError, lake::Missing};
use crate::{
    commit_log::Chunk,
    event::{AuditEntry, Event},
    ids::{EdgeId, HomeId, Seq},
};

/// Which audit rows are wanted. Times are milliseconds since 1970 UTC.
#[derive(Debug, Clone)]
pub struct AuditQuery {
    /// The home.
    pub home: HomeId,
    /// Those at this moment or later.
    pub from: Option<i64>,
    /// Those before this moment.
    pub to: Option<i64>,
    /// Those that stand behind this one.
    pub after: Option<AuditPlace>,
    /// How many at most.
    pub limit: usize,
}

/// The place of an audit row among those of its home: they stand in the order of time, the newest first, and those of one
/// moment in that of their boxes and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditPlace {
    /// When, milliseconds since 1970 UTC.
    pub ts: i64,
    /// The writer.
    pub edge: EdgeId,
    /// Its number there.
    pub seq: Seq,
    /// Which of several under that number.
    pub nth: u32,
}

/// Audit rows, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// The rows.
    pub entries: Vec<(AuditPlace, AuditEntry)>,
    /// Whether there are more behind them.
    pub more: bool,
    /// Chunks of events that could not be read, so that rows may be absent.
    pub missing: Vec<Missing>,
}

impl AuditQuery {
    fn may_be_in(&self, chunk: &Chunk) -> bool {
        let to = self.after.map(|after| after.ts + 1).or(self.to);
        chunk.key.home == self.home
            && self.from.is_none_or(|from| chunk.max_ts >= from)
            && to.is_none_or(|to| chunk.min_ts < to)
    }

    fn wants(&self, place: AuditPlace) -> bool {
        self.from.is_none_or(|from| place.ts >= from)
            && self.to.is_none_or(|to| place.ts < to)
            && self.after.is_none_or(|after| place < after)
    }
}

impl Engine {
    /// Audit rows of a home, the newest first. Reads the chunks from the newest on, and no more than it needs.
    pub async fn audit(self: &Arc<Self>, query: &AuditQuery) -> Result<Audit, QueryError> {
        let view = self.view().await?;
        let mut found = Audit::default();
        let own = view.uncut_events.iter();
        let own: Vec<Event> = own
            .filter(|(home, _)| *home == query.home)
            .map(|(_, event)| event.clone())
            .collect();
        take_audit(query, &own, &mut found.entries);
        let chunks = view.events().filter(|chunk| query.may_be_in(chunk));
        let mut chunks: Vec<&Arc<Chunk>> = chunks.collect();
        chunks.sort_by_key(|chunk| std::cmp::Reverse(chunk.max_ts));
        for chunk in chunks {
            let is_enough =
                found.entries.len() > query.limit && found.entries[query.limit].0.ts > chunk.max_ts;
            if is_enough {
                break;
            }
            match self.events_of(chunk).await {
                Ok(events) => take_audit(query, &events, &mut found.entries),
                Err(missing) => found.missing.push(missing),
            }
        }
        found.more = found.entries.len() > query.limit;
        found.entries.truncate(query.limit);
        Ok(found)
    }
}

/// Put those that are wanted among the others, in their order.
fn take_audit(query: &AuditQuery, events: &[Event], entries: &mut Vec<(AuditPlace, AuditEntry)>) {
    let mut counts: HashMap<(i64, EdgeId, Seq), u32> = HashMap::new();
    for event in events {
        let Some(entry) = AuditEntry::of_event(event) else {
            continue;
        };
        let nth = counts
            .entry((event.ts, event.edge, event.first_seq))
            .or_default();
        let place = AuditPlace {
            ts: event.ts,
            edge: event.edge,
            seq: event.first_seq,
            nth: *nth,
        };
        *nth += 1;
        if query.wants(place) {
            entries.push((place, entry));
        }
    }
    entries.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
}
