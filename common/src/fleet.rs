use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    ids::StoreName,
    store::{Store, pool::Member},
};

/// Give each store the name that it asked for; the first of those without one is `main`, the others take the name
/// of their bucket or directory.
#[must_use]
pub fn named(stores: Vec<Store>, patience: Duration) -> Vec<Arc<Member>> {
    let mut taken: BTreeSet<StoreName> = stores
        .iter()
        .filter_map(|store| store.asked().name.clone())
        .collect();
    let mut name = |store: &Store| {
        if let Some(name) = &store.asked().name {
            return name.clone();
        }
        let main = StoreName::main();
        let name = if taken.contains(&main) {
            free_name(store, &taken)
        } else {
            main
        };
        taken.insert(name.clone());
        name
    };
    let members = stores.into_iter().map(|store| {
        let name = name(&store);
        Arc::new(Member::new(name, store, patience))
    });
    members.collect()
}

fn free_name(store: &Store, taken: &BTreeSet<StoreName>) -> StoreName {
    let url = store.url();
    let last = url
        .path_segments()
        .and_then(|mut s| s.rfind(|s| !s.is_empty()));
    let word: String = last
        .or(url.host_str())
        .unwrap_or("store")
        .to_ascii_lowercase()
        .bytes()
        .filter(|b| b.is_ascii_alphanumeric() || *b == b'-')
        .take(StoreName::LENGTH_MAX - 4)
        .map(char::from)
        .collect();
    let numbered = (1..).map(|n| {
        if n == 1 {
            word.clone()
        } else {
            format!("{word}-{n}")
        }
    });
    numbered
        .filter_map(|name| name.parse().ok())
        .find(|name| !taken.contains(name))
        .unwrap_or_else(StoreName::main)
}
