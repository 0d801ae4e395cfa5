use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use serde::{Deserialize, Serialize};
use tarn_common::{
    durable::{self, RealDisk},
    ids::EdgeId,
    store::Store,
};

/// Which entries are in the store. Kept as JSON in `shipped.json`.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Shipped {
    /// The store that this is about; another store starts from nothing.
    store: String,
    /// The entries of each id.
    #[serde(default)]
    writers: BTreeMap<EdgeId, Numbers>,
    /// As a box that had one id only kept it.
    #[serde(flatten, skip_serializing)]
    of_one: Option<Numbers>,
}

/// Numbers of entries: all up to one, and some beyond.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    upto: u64,
    beyond: BTreeSet<u64>,
}

/// What [`Shipped`] knows these stores by.
#[must_use]
pub fn places<'a>(stores: impl Iterator<Item = &'a Store>) -> String {
    let urls: Vec<&str> = stores.map(|store| store.url().as_str()).collect();
    urls.join(" ")
}

impl Shipped {
    /// What is known of a store; `first` is the first id that the box had.
    #[must_use]
    pub fn load(path: &Path, store: &str, first: EdgeId) -> Shipped {
        let known = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Shipped>(&bytes).ok());
        let mut shipped = known
            .filter(|shipped| shipped.store == store)
            .unwrap_or_else(|| Shipped {
                store: store.to_owned(),
                ..Shipped::default()
            });
        if let Some(numbers) = shipped.of_one.take() {
            shipped.writers.entry(first).or_insert(numbers);
        }
        shipped
    }

    /// Keep it: durable when this returns.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        durable::put(&RealDisk, path, &json)
    }

    /// Whether an entry is in the store.
    #[must_use]
    pub fn contains(&self, writer: EdgeId, number: u64) -> bool {
        self.writers
            .get(&writer)
            .is_some_and(|numbers| number <= numbers.upto || numbers.beyond.contains(&number))
    }

    /// Take note that an entry is in the store.
    pub fn insert(&mut self, writer: EdgeId, number: u64) {
        let numbers = self.writers.entry(writer).or_default();
        numbers.beyond.insert(number);
        while numbers.beyond.remove(&(numbers.upto + 1)) {
            numbers.upto += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_box_with_one_id_kept_is_still_known() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("shipped.json");
        std::fs::write(&path, br#"{"store":"s","upto":3,"beyond":[5]}"#).expect("writes");
        let mut shipped = Shipped::load(&path, "s", EdgeId(1));
        let numbers = |shipped: &Shipped, writer| -> Vec<u64> {
            (1..8)
                .filter(|&n| shipped.contains(EdgeId(writer), n))
                .collect()
        };
        assert_eq!(numbers(&shipped, 1), [1, 2, 3, 5]);
        shipped.insert(EdgeId(1), 4);
        shipped.insert(EdgeId(2), 1);
        shipped.save(&path).expect("saves");
        let shipped = Shipped::load(&path, "s", EdgeId(2));
        assert_eq!(numbers(&shipped, 1), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&shipped, 2), [1]);
        let other = Shipped::load(&path, "other", EdgeId(1));
        assert_eq!(numbers(&other, 1), [0; 0]);
    }
}
