/// Any sets, chunks and changes.
mod changes;
/// How level stores are, and what it takes.
mod levels;
/// What a store set may be.
mod sets;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    ids::{EdgeId, FleetId, Seq, Shard, StoreName},
    layout::{ChunkKey, Content},
};

fn name(n: usize) -> StoreName {
    format!("s{n}").parse().expect("name")
}

fn member(n: usize) -> Member {
    Member {
        name: name(n),
        url: format!("s3://bucket-{n}"),
        weight: 1.0,
        zone: None,
        state: State::Active,
    }
}

fn set(stores: usize, copies: usize) -> StoreSet {
    StoreSet::new(FleetId(1), copies, (0..stores).map(member).collect())
}

/// Chunks of many homes and days, one cut each.
fn keys(n: usize) -> Vec<ChunkKey> {
    let key = |n: usize| ChunkKey {
        home: format!("home-{}", n % 97).parse().expect("home"),
        day: 20_000 + (n / 388) as i32,
        edge: EdgeId(n as u64 % 97),
        shard: Shard((n / 97 % 4) as u16),
        first: Seq(n as u64 * 10 + 1),
        last: Seq(n as u64 * 10 + 10),
        content: Content::Readings,
    };
    (0..n).map(key).collect()
}

fn spread(set: &StoreSet, keys: &[ChunkKey], mut bytes: impl FnMut() -> u64) -> Vec<Placed> {
    let placement = Placement::of(set);
    let mut loads = Loads::default();
    let place = |key: &ChunkKey| {
        let bytes = bytes();
        let stores = placement.place(&PlacementKey::of(key), bytes, &loads);
        stores.iter().for_each(|name| loads.add(name, bytes));
        Placed {
            key: key.clone(),
            bytes,
            stores,
        }
    };
    keys.iter().map(place).collect()
}

fn loads(chunks: &[Placed]) -> Loads {
    let mut loads = Loads::default();
    for chunk in chunks {
        chunk
            .stores
            .iter()
            .for_each(|name| loads.add(name, chunk.bytes));
    }
    loads
}

/// Carry moves out, and check each on the way.
fn carry_out(set: &StoreSet, chunks: &mut [Placed], plan: &Plan) {
    let at: BTreeMap<ChunkKey, usize> = chunks
        .iter()
        .enumerate()
        .map(|(at, c)| (c.key.clone(), at))
        .collect();
    let readable = |name: &StoreName| set.member(name).is_some_and(|m| m.state != State::Lost);
    for step in &plan.moves {
        let chunk = &mut chunks[at[&step.key]];
        let had = chunk.stores.iter().filter(|name| readable(name)).count();
        if let Some(to) = &step.to {
            assert!(!chunk.stores.contains(to), "{step:?}");
            assert_eq!(
                set.member(to).map(|m| m.state),
                Some(State::Active),
                "{step:?}"
            );
        }
        if let Some(from) = &step.from {
            assert!(chunk.stores.contains(from), "{step:?}");
        }
        let has = step.stores.iter().filter(|name| readable(name)).count();
        assert!(
            has >= had.min(set.copies),
            "fewer copies than before: {step:?}"
        );
        let distinct: BTreeSet<&StoreName> = step.stores.iter().collect();
        assert_eq!(distinct.len(), step.stores.len(), "{step:?}");
        chunk.stores.clone_from(&step.stores);
    }
}
