use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    objects::{Holdings, Shared, read_all},
    report::{FaultKind, Report, Writer},
};
use crate::{
    commit_log::Entry,
    ids::{EdgeId, HomeId, Seq, StoreName},
    layout::{EntryKey, log_prefix},
    store::pool::Pool,
};

/// Objects that are read at a time: they are small, and many.
const READS_AT_ONCE: usize = 16;

/// The logs of several stores as one.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// Every entry that a store has, read from the first that has a good one.
    pub(super) entries: BTreeMap<EntryKey, Entry>,
    /// Objects that are not what they should be: at which store, key, why.
    pub(super) bad: Vec<(StoreName, String, String)>,
    /// Entries that two stores have in different words.
    pub(super) differ: Vec<(String, StoreName, StoreName)>,
}

impl Logs {
    /// Read every entry at every store that has it.
    pub(super) async fn read(pool: &Pool, holdings: &Holdings) -> Logs {
        let mut logs = Logs::default();
        let mut keys: BTreeMap<EntryKey, Vec<StoreName>> = BTreeMap::new();
        for (store, has) in holdings {
            for key in has.keys().filter_map(|key| key.parse().ok()) {
                keys.entry(key).or_default().push(store.clone());
            }
        }
        let reads = keys.into_iter().map(|(key, stores)| async move {
            let kind = Shared::Entry(key.clone());
            let read = read_all(pool, &kind, &key.to_string(), stores).await;
            (key, read)
        });
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        while let Some((key, read)) = reads.next().await {
            logs.take(key, read);
        }
        logs
    }

    fn take(&mut self, key: EntryKey, read: Vec<(StoreName, Result<Bytes, String>)>) {
        let mut first: Option<(StoreName, Bytes)> = None;
        for (store, bytes) in read {
            match (bytes, &first) {
                (Ok(bytes), None) => {
                    // It was checked a moment ago.
                    if let Ok(entry) = Entry::parse(&key, &bytes) {
                        self.entries.insert(key.clone(), entry);
                    }
                    first = Some((store, bytes));
                }
                (Ok(bytes), Some((other, good))) if bytes != *good => {
                    self.differ.push((key.to_string(), other.clone(), store));
                }
                (Ok(_), Some(_)) => {}
                (Err(reason), _) => self.bad.push((store, key.to_string(), reason)),
            }
        }
    }
}

/// Entries of a writer must follow each other in number and in sequence.
pub(super) fn check_log(home: &HomeId, writer: EdgeId, entries: &[&Entry], report: &mut Report) {
    let log = log_prefix(home, writer);
    let (mut number, mut last) = (0, Seq::ZERO);
    let after = entries.iter().find_map(|e| e.origin.as_ref()?.after);
    for entry in entries {
        if entry.number != number + 1 {
            report.fault(
                FaultKind::Gap,
                &log,
                format!("entries {} to {} are missing", number + 1, entry.number - 1),
            );
        } else if entry.first > last.next() && (number > 0 || after.is_none()) {
            // What comes before the first entry of a new id is under the id before.
            report.fault(
                FaultKind::Gap,
                entry.key(),
                format!(
                    "records {} to {} are in no entry",
                    last.next(),
                    entry.first.0 - 1
                ),
            );
        }
        if entry.first <= last && !entry.is_keepers() {
            report.fault(
                FaultKind::Overlap,
                entry.key(),
                format!(
                    "starts at record {}, but the entry before ends at {last}",
                    entry.first
                ),
            );
        }
        (number, last) = (entry.number, last.max(entry.last));
    }
    report.writers.push(Writer {
        home: home.clone(),
        writer,
        entries: entries.len() as u64,
        first_seq: entries.first().map_or(Seq::ZERO, |e| e.first),
        last_seq: last,
        lost_records: entries.iter().map(|e| e.lost_records).sum(),
        after,
    });
}
