use std::collections::BTreeMap;

use super::{FaultKind, Report, Twice};
use crate::{
    commit_log::{Entry, Origin, covers},
    ids::{EdgeId, HomeId, Seq},
    layout::EntryKey,
};

/// What of an entry is needed once all logs are read.
pub(super) struct Stretch {
    number: u64,
    first: Seq,
    last: Seq,
    has_chunks: bool,
    origin: Option<Origin>,
}

impl Stretch {
    pub(super) fn of(entry: &Entry) -> Stretch {
        Stretch {
            number: entry.number,
            first: entry.first,
            last: entry.last,
            has_chunks: !entry.adds.is_empty(),
            origin: entry.origin.clone(),
        }
    }
}

pub(super) type Logs = BTreeMap<(HomeId, EdgeId), Vec<Stretch>>;

/// What ids that go on from others say of those must be true: the logs together leave nothing out.
pub(super) fn check_origins(logs: &Logs, report: &mut Report) {
    for ((home, writer), log) in logs {
        for stretch in log {
            let Some(origin) = &stretch.origin else {
                continue;
            };
            let key = || EntryKey {
                home: home.clone(),
                writer: *writer,
                number: stretch.number,
            };
            let of = |id: EdgeId| logs.get(&(home.clone(), id)).map_or(&[][..], Vec::as_slice);
            if let (1, Some(after)) = (stretch.number, origin.after) {
                let reached = of(after).last().map_or(Seq::ZERO, |s| s.last);
                if stretch.first > reached.next() {
                    let (from, to) = (reached.next(), stretch.first.0 - 1);
                    let detail = format!("records {from} to {to} of {after} are in no entry");
                    report.fault(FaultKind::Gap, key(), detail);
                }
            }
            let others = origin.shared.iter().flat_map(|shared| {
                let theirs = of(shared.writer).iter();
                theirs.map(|s| {
                    (
                        shared.writer,
                        s.first,
                        s.last.min(shared.upto),
                        s.has_chunks,
                    )
                })
            });
            if stretch.has_chunks {
                let both = others.filter(|other| other.3);
                let both = both.map(|(other, first, last, _)| Twice {
                    home: home.clone(),
                    writer: *writer,
                    other,
                    first: first.max(stretch.first),
                    last: last.min(stretch.last),
                });
                report.twice.extend(both.filter(|t| t.first <= t.last));
            } else if origin.stored_elsewhere {
                let stretches = others.map(|(_, first, last, _)| (first, last)).collect();
                if !covers(stretches, stretch.first, stretch.last) {
                    let (first, last) = (stretch.first, stretch.last);
                    let detail = format!(
                        "it leaves records {first} to {last} to others, and they are not all in their logs"
                    );
                    report.fault(FaultKind::Gap, key(), detail);
                }
            }
        }
    }
}
