use serde::{Deserialize, Serialize};
use tarn_common::{
    commit_log::{Entry, Origin, Shared},
    ids::{EdgeId, Seq},
};

use super::Identity;

/// A stretch of the journal whose records are stored under one id. It begins after the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Era {
    /// The id.
    pub edge: EdgeId,
    /// The last record under it.
    pub last: Seq,
    /// Ids under which another copy of this box may have stored the same records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<Shared>,
    /// When the id was made, milliseconds since 1970 UTC.
    #[serde(default)]
    pub since_ms: i64,
    /// Number of the last log entry under it, where another copy of this box has gone on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
}

impl Era {
    /// The last record of the era that goes on.
    const OPEN: Seq = Seq(u64::MAX);

    /// Whether a log entry under its id is not of it any more. One of an eviction has no records of its own, so
    /// where it comes right after the last record its number decides.
    #[must_use]
    pub fn has_left(&self, entry: &Entry) -> bool {
        entry.last > self.last || self.entries.is_some_and(|last| entry.number > last)
    }
}

/// Which records get another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The records up to this one stay as they are.
    pub kept: Seq,
    /// The records after `kept` and up to this one are in another copy of the box, too.
    pub shared_upto: Seq,
    /// The last record concerned; none for all that will ever come.
    pub last: Option<Seq>,
}

impl Identity {
    /// Every id with its stretch of the journal, oldest first; the last one goes on.
    #[must_use]
    pub fn stretches(&self) -> Vec<Era> {
        let open = Era {
            edge: self.edge,
            last: Era::OPEN,
            shared: Vec::new(),
            since_ms: 0,
            entries: None,
        };
        self.eras.iter().cloned().chain([open]).collect()
    }

    /// The first record of an era, by its place among [`Identity::stretches`].
    #[must_use]
    pub fn first_of(&self, index: usize) -> Seq {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.eras.get(before));
        before.map_or(Seq::ZERO, |era| era.last).next()
    }

    /// The first record under the current id.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first_of(self.eras.len())
    }

    /// The ids that this directory had before, oldest first.
    #[must_use]
    pub fn former(&self) -> Vec<EdgeId> {
        self.eras.iter().map(|era| era.edge).collect()
    }

    /// Where an id stands among [`Identity::stretches`].
    #[must_use]
    pub fn index_of(&self, edge: EdgeId) -> Option<usize> {
        let all = self.former().into_iter().chain([self.edge]);
        all.into_iter().position(|id| id == edge)
    }

    /// The id that a record is stored under.
    #[must_use]
    pub fn edge_at(&self, seq: Seq) -> EdgeId {
        let era = self.eras.iter().find(|era| seq <= era.last);
        era.map_or(self.edge, |era| era.edge)
    }

    /// Whether an id was ever this directory's, also if nothing was stored under it.
    #[must_use]
    pub fn had(&self, edge: EdgeId) -> bool {
        let shared = self.eras.iter().flat_map(|era| &era.shared);
        self.index_of(edge).is_some() || shared.into_iter().any(|s| s.writer == edge)
    }

    /// What the log entries of an id say of where it goes on from.
    #[must_use]
    pub fn origin_of(&self, edge: EdgeId) -> Option<Origin> {
        let index = self.index_of(edge)?;
        let before = index
            .checked_sub(1)
            .and_then(|before| self.eras.get(before));
        let shared = self
            .eras
            .get(index)
            .map(|era| era.shared.clone())
            .unwrap_or_default();
        let origin = Origin {
            after: before.map(|era| era.edge),
            shared,
            stored_elsewhere: false,
        };
        (origin.after.is_some() || !origin.shared.is_empty()).then_some(origin)
    }

    /// The same directory with fresh ids for some of its records: one for those that another copy has,
    /// too, and one for its own.
    #[must_use]
    pub fn renewed(
        &self,
        renewal: Renewal,
        now_ms: i64,
        fresh: &mut dyn FnMut() -> EdgeId,
    ) -> Identity {
        let end = renewal.last.unwrap_or(Era::OPEN);
        let shared_upto = renewal.shared_upto.min(end);
        let (mut eras, mut after, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = Seq(1);
        for era in self.stretches() {
            let last = era.last;
            if first <= renewal.kept {
                eras.push(Era {
                    last: last.min(renewal.kept),
                    ..era.clone()
                });
            }
            let overlaps = last > renewal.kept && first <= shared_upto;
            if overlaps {
                shared.extend(era.shared.iter().filter(|s| s.upto > renewal.kept));
                shared.push(Shared {
                    writer: era.edge,
                    upto: last.min(shared_upto),
                });
            }
            if last > end || (last == end && renewal.last.is_none()) {
                after.push(era);
            }
            first = Seq(last.0.saturating_add(1));
        }
        if shared_upto > renewal.kept {
            eras.push(Era {
                edge: fresh(),
                last: shared_upto,
                shared,
                since_ms: now_ms,
                entries: None,
            });
        }
        if shared_upto.max(renewal.kept) < end && renewal.last.is_some() {
            eras.push(Era {
                edge: fresh(),
                last: end,
                shared: Vec::new(),
                since_ms: now_ms,
                entries: None,
            });
        }
        let edge = match renewal.last {
            None => fresh(),
            Some(_) => self.edge,
        };
        after.pop();
        eras.extend(after);
        Identity {
            v: Identity::version(&eras),
            edge,
            eras,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of an identity with their last records, and of whom they share them: `1:10 2:15(1:15) 3`.
    fn text(identity: &Identity) -> String {
        let mut text = String::new();
        for era in &identity.eras {
            let shared: Vec<String> = era
                .shared
                .iter()
                .map(|s| format!("{}:{}", s.writer.0, s.upto))
                .collect();
            let shared = match shared.len() {
                0 => String::new(),
                _ => format!("({})", shared.join(",")),
            };
            text += &format!("{}:{}{shared} ", era.edge.0, era.last);
        }
        format!("{text}{}", identity.edge.0)
    }

    /// Renew an identity step by step; each new id is the next number.
    fn check(steps: &[(u64, u64, Option<u64>)], expected: &str) {
        let mut identity = Identity::new(EdgeId(1), "h".parse().expect("home"), 1);
        let mut next = 1;
        for &(kept, shared_upto, last) in steps {
            let renewal = Renewal {
                kept: Seq(kept),
                shared_upto: Seq(shared_upto),
                last: last.map(Seq),
            };
            identity = identity.renewed(renewal, 0, &mut || {
                next += 1;
                EdgeId(next)
            });
        }
        assert_eq!(text(&identity), expected);
        for (index, era) in identity.stretches().iter().enumerate() {
            let first = identity.first_of(index);
            assert!(first <= era.last, "{era:?} is empty");
            assert_eq!(identity.edge_at(first), era.edge);
        }
        let bytes = serde_json::to_vec(&identity).expect("encodes");
        let read: Identity = serde_json::from_slice(&bytes).expect("decodes");
        assert_eq!(read, identity);
    }

    #[test]
    fn each_record_has_one_id_and_the_kept_ones_their_old() {
        // Nothing was there yet; all was cut; some was not.
        check(&[(0, 0, None)], "2");
        check(&[(10, 10, None)], "1:10 2");
        check(&[(10, 15, None)], "1:10 2:15(1:15) 3");
        check(&[(0, 15, None)], "2:15(1:15) 3");
        // A copy of a copy: before anything was cut, after the shared records were, and after more.
        check(
            &[(10, 15, None), (10, 20, None)],
            "1:10 4:20(1:15,2:15,3:20) 5",
        );
        check(
            &[(10, 15, None), (15, 20, None)],
            "1:10 2:15(1:15) 4:20(3:20) 5",
        );
        check(
            &[(10, 15, None), (18, 20, None)],
            "1:10 2:15(1:15) 3:18 4:20(3:20) 5",
        );
        // An id under which nothing was stored is forgotten.
        check(&[(10, 10, None), (10, 10, None)], "1:10 3");
        // Only some records of a former id are at issue.
        check(&[(10, 10, None), (4, 4, Some(10))], "1:4 3:10 2");
        check(&[(10, 10, None), (4, 6, Some(10))], "1:4 3:6(1:6) 4:10 2");
        check(&[(10, 10, None), (0, 10, Some(10))], "3:10(1:10) 2");
    }
}
