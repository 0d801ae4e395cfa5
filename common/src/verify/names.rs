use std::collections::{BTreeMap, BTreeSet};

use super::{judge::named, listing::Listing};
use crate::{commit_log::Chunk, ids::StoreName};

/// The words that the log uses for stores whose URLs do not say: each takes the free name whose copies it has most of.
/// Without that, a replica that is looked at alone would pass for a primary that has lost everything.
///
/// `stores` are names that are taken for now, whether they were asked for, and what is there.
pub(super) fn fitting<'c>(
    stores: &[(StoreName, bool, &Listing)],
    chunks: impl Iterator<Item = &'c Chunk>,
) -> BTreeMap<StoreName, StoreName> {
    let asked: BTreeSet<&StoreName> = stores.iter().filter(|s| s.1).map(|s| &s.0).collect();
    // How many copies that the log has under a name are at a store, and all that it has under that name.
    let mut fits: BTreeMap<(usize, StoreName), u64> = BTreeMap::new();
    let mut names: BTreeSet<StoreName> = BTreeSet::new();
    for chunk in chunks {
        for spot in named(chunk).filter(|spot| !asked.contains(&spot.store)) {
            names.insert(spot.store.clone());
            let copy = (chunk.key.clone(), spot.is_primary);
            let has = stores
                .iter()
                .enumerate()
                .filter(|(_, (_, asked, listing))| !asked && listing.copies.contains_key(&copy));
            for (at, _) in has {
                *fits.entry((at, spot.store.clone())).or_default() += 1;
            }
        }
    }
    let mut by_fit: Vec<(u64, bool, usize, StoreName)> = fits
        .into_iter()
        .map(|((at, name), fit)| (fit, stores[at].0 == name, at, name))
        .collect();
    by_fit.sort_by(|a, b| b.cmp(a));
    let mut given: BTreeMap<usize, StoreName> = BTreeMap::new();
    for (_, _, at, name) in by_fit {
        if !given.contains_key(&at) && names.remove(&name) {
            given.insert(at, name);
        }
    }
    // What is left has nothing that would tell: it keeps its name, or takes one that the log has and nobody else.
    for (at, (name, is_asked, _)) in stores.iter().enumerate() {
        if *is_asked || given.contains_key(&at) {
            continue;
        }
        let is_free =
            |name: &StoreName| !given.values().any(|other| other == name) && !asked.contains(name);
        let keeps = names.contains(name) || (names.is_empty() && is_free(name));
        let name = match names.first().cloned() {
            Some(first) if !keeps => first,
            _ if is_free(name) => name.clone(),
            _ => (2..)
                .filter_map(|n| format!("store-{n}").parse().ok())
                .find(is_free)
                .unwrap_or_else(StoreName::main),
        };
        names.remove(&name);
        given.insert(at, name);
    }
    given
        .into_iter()
        .map(|(at, name)| (stores[at].0.clone(), name))
        .collect()
}
