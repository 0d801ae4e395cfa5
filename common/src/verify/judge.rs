use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{commit_log::Chunk, ids::StoreName};

/// Where a copy of a chunk lies: at which store, and whether under the primary's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Spot {
    /// The store.
    pub store: StoreName,
    /// Whether it is the primary.
    pub is_primary: bool,
}

/// What is known of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The store was not asked, or did not answer.
    Away,
    /// There is none.
    Missing,
    /// Listed with the size of the log, and not read.
    Listed,
    /// Read whole: every byte is what the log says.
    Good,
    /// It is not what the log says, and how.
    Wrong(String),
}

impl State {
    /// Whether it may be taken for a copy, as far as is known.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(self, State::Good | State::Listed)
    }

    /// Whether it is known to be of no use.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self, State::Missing | State::Wrong(_))
    }
}

/// What is known of the copies of a chunk, those that the log names and others.
pub type Copies = BTreeMap<Spot, State>;

/// What to do about the copies of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Put a good copy where the log names one that is missing or wrong.
    Mend(Spot),
    /// The log names stores that nobody has any more, and there are copies elsewhere: place it there.
    Adopt(Vec<StoreName>),
    /// A copy that the log does not name, while all that it names are there.
    Surplus(Spot),
    /// No copy is left.
    Lost,
}

/// Where the log says that the copies of a chunk are.
pub fn named(chunk: &Chunk) -> impl Iterator<Item = Spot> {
    let stores = chunk.stores.iter().enumerate();
    stores.map(|(at, store)| Spot {
        store: store.clone(),
        is_primary: at == 0,
    })
}

/// What to do about the copies of a chunk. `gone` are stores that the fleet has no more.
///
/// Nothing is decided by a store that did not answer: a chunk is lost only when every copy is known to be of no use.
#[must_use]
pub fn judge(chunk: &Chunk, copies: &Copies, gone: &BTreeSet<StoreName>) -> Vec<Step> {
    let named: Vec<Spot> = named(chunk).collect();
    let state = |spot: &Spot| {
        let is_gone = gone.contains(&spot.store);
        if is_gone {
            &State::Missing
        } else {
            copies.get(spot).unwrap_or(&State::Away)
        }
    };
    let is_any_there = copies
        .iter()
        .any(|(spot, state)| state.is_there() && !gone.contains(&spot.store));
    if !is_any_there {
        let is_any_away = named.iter().any(|spot| *state(spot) == State::Away)
            || copies.values().any(|s| *s == State::Away);
        return if is_any_away {
            Vec::new()
        } else {
            vec![Step::Lost]
        };
    }
    let others = || {
        let others = copies.iter().filter(|(spot, _)| !named.contains(spot));
        others.filter(|(spot, _)| !gone.contains(&spot.store))
    };
    let mut steps = Vec::new();
    if named.iter().any(|spot| gone.contains(&spot.store)) {
        let mut stores: Vec<StoreName> = chunk.stores.clone();
        stores.retain(|name| !gone.contains(name));
        let found =
            others().filter(|(spot, state)| state.is_there() && !stores.contains(&spot.store));
        let found: BTreeSet<StoreName> = found.map(|(spot, _)| spot.store.clone()).collect();
        stores.extend(found);
        stores.truncate(chunk.stores.len());
        if !stores.is_empty() {
            steps.push(Step::Adopt(stores));
        }
        return steps;
    }
    let bad = named.iter().filter(|spot| state(spot).is_bad());
    steps.extend(bad.map(|spot| Step::Mend(spot.clone())));
    if steps.is_empty() && named.iter().all(|spot| state(spot).is_there()) {
        let surplus = others().filter(|(_, state)| !matches!(state, State::Missing | State::Away));
        steps.extend(surplus.map(|(spot, _)| Step::Surplus(spot.clone())));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::chunk_at;

    fn spot(text: &str) -> Spot {
        let (is_primary, name) = (text.starts_with('p'), &text[1..]);
        Spot {
            store: name.parse().expect("name"),
            is_primary,
        }
    }

    /// Copies as `pa:good ra:missing`, gone stores, and the steps that come of it.
    fn check(stores: &str, copies: &str, gone: &str, expected: &str) {
        let chunk = chunk_at(stores);
        let copies: Copies = copies
            .split_whitespace()
            .map(|copy| {
                let (at, state) = copy.split_once(':').expect("state");
                let state = match state {
                    "good" => State::Good,
                    "listed" => State::Listed,
                    "missing" => State::Missing,
                    "away" => State::Away,
                    wrong => State::Wrong(wrong.into()),
                };
                (spot(at), state)
            })
            .collect();
        let gone = gone
            .split_whitespace()
            .map(|name| name.parse().expect("name"))
            .collect();
        let said =
            |spot: &Spot| format!("{}{}", if spot.is_primary { 'p' } else { 'r' }, spot.store);
        let steps = judge(&chunk, &copies, &gone);
        let steps = steps.iter().map(|step| match step {
            Step::Mend(at) => format!("mend {}", said(at)),
            Step::Surplus(at) => format!("surplus {}", said(at)),
            Step::Adopt(stores) => {
                let names: Vec<&str> = stores.iter().map(StoreName::as_str).collect();
                format!("adopt {}", names.join("+"))
            }
            Step::Lost => "lost".into(),
        });
        let steps: Vec<String> = steps.collect();
        assert_eq!(steps.join(", "), expected, "{stores}: {copies:?}");
    }

    #[test]
    fn steps_follow_from_what_is_known() {
        check("a b", "pa:good rb:good", "", "");
        check("a b", "pa:listed rb:missing", "", "mend rb");
        check("a b", "pa:cut rb:good", "", "mend pa");
        check("a b", "pa:cut rb:missing", "", "lost");
        check("a b", "pa:cut rb:away", "", "");
        check("a b", "pa:cut", "", "");
        // A copy that no log names is as good a source as any.
        check(
            "a b",
            "pa:missing rb:missing pc:good",
            "",
            "mend pa, mend rb",
        );
        check("a b", "pa:missing rb:missing pc:cut", "", "lost");
        check(
            "a b",
            "pa:good rb:good rc:good pb:cut",
            "",
            "surplus pb, surplus rc",
        );
        // Nothing is too much while a copy is not known to be there.
        check("a b", "pa:good rb:away rc:good", "", "");
        check("a b", "pa:good rb:cut rc:good", "", "mend rb");
        check("a b", "pa:good rc:good", "b", "adopt a+c");
        check("a b", "pa:good", "b", "adopt a");
        check("a b", "rb:good rc:good", "a", "adopt b+c");
        check("a", "pa:good", "a", "lost");
    }
}
