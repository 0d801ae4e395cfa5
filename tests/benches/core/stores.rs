//! Placing chunks on stores, and planning what is to be moved.

use std::time::Instant;

use serde_json::{Value, json};
use tarn_common::{
    ids::{EdgeId, FleetId, Seq, Shard},
    layout::{ChunkKey, Content},
    placement::{
        Change, Loads, Member, Placed, Placement, PlacementKey, Rule, State, StoreSet, plan_to_rest,
    },
};

const CHUNKS: usize = 1_000_000;
const STORES: usize = 10;
const COPIES: usize = 2;

fn member(n: usize) -> Member {
    Member {
        name: format!("s{n}").parse().expect("name"),
        url: format!("s3://bucket-{n}"),
        weight: 1.0,
        zone: None,
        state: State::Active,
    }
}

/// Decisions a second, and how long the plan for an eleventh store takes, over a million chunks of two copies.
pub(crate) fn stores() -> Value {
    let set = StoreSet::new(FleetId(1), COPIES, (0..STORES).map(member).collect());
    let placement = Placement::of(&set);
    let keys: Vec<ChunkKey> = (0..CHUNKS)
        .map(|n| ChunkKey {
            home: format!("home-{}", n % 997).parse().expect("home"),
            day: 20_000 + (n / 3_988) as i32,
            edge: EdgeId(n as u64 % 997),
            shard: Shard((n / 997 % 4) as u16),
            first: Seq(n as u64 * 10 + 1),
            last: Seq(n as u64 * 10 + 10),
            content: Content::Readings,
        })
        .collect();
    let bytes = |n: usize| 50_000 + (n as u64 * 7_919) % 400_000;
    let mut loads = Loads::default();
    let started = Instant::now();
    let placed: Vec<Placed> = keys
        .into_iter()
        .enumerate()
        .map(|(n, key)| {
            let stores = placement.place(&PlacementKey::of(&key), bytes(n), &loads);
            stores.iter().for_each(|name| loads.add(name, bytes(n)));
            Placed {
                key,
                bytes: bytes(n),
                stores,
            }
        })
        .collect();
    let decisions_per_s = CHUNKS as f64 / started.elapsed().as_secs_f64();
    let peak = loads.peak(set.weights());
    let more = set.changed(Change::Add(member(STORES))).expect("adds");
    let started = Instant::now();
    let plan = plan_to_rest(&more, &placed, &Rule::default());
    let plan_s = started.elapsed().as_secs_f64();
    let total: u64 = placed.iter().map(|p| p.bytes * COPIES as u64).sum();
    json!({
        "decisions_per_s": decisions_per_s,
        "peak": peak,
        "plan_s": plan_s,
        "moved_of_share": plan.bytes as f64 / (total as f64 / (STORES + 1) as f64),
        "peak_after": plan.after.peak(more.weights()),
    })
}
