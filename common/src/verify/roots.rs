use std::collections::{BTreeMap, BTreeSet};

use super::report::{CheckedRoot, FaultKind, Report};
use crate::{
    catalog::Catalog,
    commit_log::{Entry, Root},
    ids::HomeId,
    layout::{EntryKey, LOG, date_of},
    merkle,
};

/// The root of a home's live chunks on this day; none while entries are missing, because nobody else would come to the
/// same.
#[must_use]
pub fn root_of(catalog: &Catalog, home: &HomeId, day: i32) -> Option<Root> {
    if !catalog.has_no_gaps(home) {
        return None;
    }
    let live = catalog.snapshot();
    let live = live.iter().filter(|chunk| chunk.key.home == *home);
    let leaves: Vec<_> = live.map(|chunk| (&chunk.key, &chunk.sha256)).collect();
    Some(Root {
        day,
        chunks: leaves.len() as u64,
        sha256: merkle::root(leaves.into_iter()),
        upto: catalog.upto(home),
    })
}

/// Check the newest root of each home against the entries that it stands on. With `is_needed` a home without one is a
/// fault.
pub(super) fn check_roots(
    entries: &BTreeMap<EntryKey, Entry>,
    is_needed: bool,
    report: &mut Report,
) {
    let homes: BTreeSet<&HomeId> = entries.keys().map(|key| &key.home).collect();
    for home in homes {
        let of_home = || entries.values().filter(|entry| entry.home == *home);
        let roots = of_home().filter_map(|entry| {
            entry
                .root
                .as_ref()
                .map(|root| (root.day, entry.key(), root))
        });
        let Some((_, at, root)) = roots.max_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1))) else {
            if is_needed {
                let log = format!("{LOG}/home={home}/");
                report.fault(
                    FaultKind::Root,
                    log,
                    "there is no root to check by; a cloud service writes one a day",
                );
            }
            continue;
        };
        let wrong = wrong_with(root, home, entries);
        report.roots.push(CheckedRoot {
            home: home.clone(),
            date: date_of(root.day).to_string(),
            chunks: root.chunks,
            sha256: hex::encode(root.sha256),
            ok: wrong.is_none(),
        });
        if let Some(wrong) = wrong {
            report.fault(FaultKind::Root, at, wrong);
        }
    }
}

/// Why a home's log does not come to a root, if it does not.
fn wrong_with(root: &Root, home: &HomeId, entries: &BTreeMap<EntryKey, Entry>) -> Option<String> {
    let mut catalog = Catalog::default();
    let mut stands_on = Vec::new();
    for (writer, upto) in &root.upto {
        for number in 1..=*upto {
            let key = EntryKey {
                home: home.clone(),
                writer: *writer,
                number,
            };
            match entries.get(&key) {
                Some(entry) => stands_on.push(entry),
                None => return Some(format!("{key} is missing, on which it stands")),
            }
        }
    }
    catalog.apply_all(stands_on);
    let found = root_of(&catalog, home, root.day)?;
    let date = date_of(root.day);
    if found.chunks != root.chunks {
        let (found, then) = (found.chunks, root.chunks);
        return Some(format!(
            "on {date} there were {then} live chunks, the same entries come to {found} now"
        ));
    }
    (found.sha256 != root.sha256).then(|| {
        format!(
            "on {date} the root was {}, the same entries come to {} now",
            hex::encode(root.sha256),
            hex::encode(found.sha256)
        )
    })
}
