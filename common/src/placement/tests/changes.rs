use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;

#[test]
fn any_change_of_any_set_comes_to_rest_with_all_copies() {
    let first = std::env::var("TARN_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..2_000_u64, |seed| seed..seed + 1);
    for seed in seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let stores = rng.random_range(2..9);
        let copies = rng.random_range(1..=stores.min(3));
        let mut now = set(stores, copies);
        let zones = rng.random_range(0..4);
        for member in &mut now.members {
            member.weight = rng.random_range(0.2..5.0);
            member.zone = (zones > 0).then(|| format!("z{}", rng.random_range(0..zones)));
        }
        let chunks = rng.random_range(1..120);
        let mut chunks = spread(&now, &keys(chunks), || rng.random_range(1..100_000));
        for step in 0..4 {
            let any = now.members.choose(&mut rng).expect("some").name.clone();
            let change = match rng.random_range(0..6) {
                0 => Change::Add(member(20 + step)),
                1 => Change::Drain(any),
                2 => Change::Lose(any),
                3 => Change::Restore(any),
                4 => Change::Weigh(any, rng.random_range(0.2..5.0)),
                _ => Change::Copies(rng.random_range(1..4)),
            };
            let Ok(next) = now.changed(change.clone()) else {
                continue;
            };
            now = next;
            let rule = Rule {
                alpha: rng.random_range(0.1..=1.0),
                threshold: rng.random_range(0.01..0.3),
                moves_max: if rng.random_bool(0.3) { 7 } else { usize::MAX },
                ..Rule::default()
            };
            let whole = plan_to_rest(&now, &chunks, &rule);
            let mut steps: Vec<Move> = Vec::new();
            let mut ticks = 0;
            while let plan = plan(&now, &chunks, &rule)
                && !plan.is_empty()
            {
                assert_eq!(plan.before.0.len(), plan.before.0.keys().count());
                assert!(
                    plan.moves.is_sorted_by_key(|m| urgency(m.why)),
                    "seed {seed}"
                );
                assert_eq!(plan.bytes, copied(&plan.moves), "seed {seed}");
                carry_out(&now, &mut chunks, &plan);
                check_level(&now, &plan, seed);
                steps.extend(plan.moves.iter().cloned());
                let held: BTreeMap<_, _> =
                    plan.after.0.iter().filter(|(_, l)| l.chunks > 0).collect();
                let measured = loads(&chunks);
                assert_eq!(held, measured.0.iter().collect(), "seed {seed}");
                ticks += 1;
                assert!(
                    ticks < 2_000,
                    "it does not come to rest: seed {seed}, {change:?}"
                );
            }
            check(&now, &chunks, seed);
            if rule.moves_max == usize::MAX {
                // The preview is what the ticks come to, move by move.
                assert_eq!(whole.moves, steps, "seed {seed}, {change:?}");
                assert_eq!(whole.bytes, copied(&steps), "seed {seed}");
            }
        }
    }
}

fn urgency(why: Why) -> usize {
    let order = [
        Why::Lost,
        Why::TooFew,
        Why::Drain,
        Why::Surplus,
        Why::Zone,
        Why::Balance,
    ];
    order.iter().position(|other| *other == why).expect("known")
}

fn copied(moves: &[Move]) -> u64 {
    let made = moves.iter().filter(|m| m.to.is_some());
    made.map(|m| m.bytes).sum()
}

/// What only levels makes the sum of load² / share smaller, so it cannot go on for ever.
fn check_level(set: &StoreSet, plan: &Plan, seed: u64) {
    if plan.moves.iter().any(|m| m.why != Why::Balance) {
        return;
    }
    let uneven = |loads: &Loads| -> f64 {
        let placement = Placement::of(set);
        let shares = placement.shares();
        let parts = shares.map(|(name, share)| (loads.of(&name).bytes as f64).powi(2) / share);
        parts.sum()
    };
    assert!(uneven(&plan.after) < uneven(&plan.before), "seed {seed}");
}

fn check(set: &StoreSet, chunks: &[Placed], seed: u64) {
    let state = |name: &StoreName| set.member(name).map(|m| m.state);
    let zone = |name: &StoreName| {
        let member = set.member(name).expect("known");
        member.zone.clone().unwrap_or_else(|| format!("of {name}"))
    };
    let zones: BTreeSet<String> = set.active().map(|m| zone(&m.name)).collect();
    for chunk in chunks {
        if chunk
            .stores
            .iter()
            .all(|name| state(name) == Some(State::Lost))
        {
            // All copies are gone: there is nothing to be planned.
            continue;
        }
        let wanted = set.copies.min(set.active().count());
        assert_eq!(chunk.stores.len(), wanted, "seed {seed}: {chunk:?}");
        assert!(
            chunk
                .stores
                .iter()
                .all(|name| state(name) == Some(State::Active)),
            "seed {seed}: {chunk:?}"
        );
        let of_chunk: BTreeSet<String> = chunk.stores.iter().map(zone).collect();
        assert_eq!(
            of_chunk.len(),
            wanted.min(zones.len()),
            "seed {seed}: {chunk:?}"
        );
    }
}

#[test]
fn what_is_urgent_goes_first_whatever_the_order_of_chunks() {
    let mut four = set(4, 2);
    four.members[3].state = State::Lost;
    four.members[2].state = State::Draining;
    let holds: [&[usize]; 6] = [&[0, 1, 2], &[0, 2], &[0, 1, 3], &[0, 3], &[1], &[0, 1]];
    let mut chunks: Vec<Placed> = keys(holds.len())
        .into_iter()
        .zip(holds)
        .map(|(key, stores)| Placed {
            key,
            bytes: 1_000,
            stores: stores.iter().map(|&n| name(n)).collect(),
        })
        .collect();
    let one = Rule {
        moves_max: 1,
        ..Rule::default()
    };
    let mut done = Vec::new();
    while let next = plan(&four, &chunks, &one)
        && !next.is_empty()
    {
        assert_eq!(next.moves.len(), 1);
        let step = &next.moves[0];
        let at = chunks.iter().position(|chunk| chunk.key == step.key);
        done.push((at.expect("known"), step.why));
        carry_out(&four, &mut chunks, &next);
    }
    // Of the two with a copy at the lost store, the one that has no other; then the one that has one copy at all.
    let should = [
        (3, Why::Lost),
        (2, Why::Lost),
        (4, Why::TooFew),
        (1, Why::Drain),
        (0, Why::Drain),
    ];
    assert_eq!(done, should);
}

#[test]
fn a_plan_keeps_to_its_bounds() {
    let two = set(2, 1);
    let mut chunks = spread(&two, &keys(100), || 1_000);
    chunks.iter_mut().for_each(|c| c.stores = vec![name(0)]);
    let rule = |moves_max, bytes_max| Rule {
        moves_max,
        bytes_max,
        ..Rule::default()
    };
    assert_eq!(plan(&two, &chunks, &rule(7, u64::MAX)).moves.len(), 7);
    assert_eq!(plan(&two, &chunks, &rule(99, 3_500)).bytes, 3_000);
    assert_eq!(plan_to_rest(&two, &chunks, &rule(99, 3_500)).bytes, 3_000);
    // A chunk that is larger than the bound goes alone, or it would never go.
    assert_eq!(plan(&two, &chunks, &rule(99, 1)).bytes, 1_000);
    assert!(plan(&two, &chunks, &rule(99, 0)).is_empty());
    assert!(plan(&two, &chunks, &rule(0, u64::MAX)).is_empty());
}

#[test]
fn a_log_that_says_odd_things_is_planned_for_all_the_same() {
    let three = set(3, 2);
    let odd = |stores: &[StoreName]| Placed {
        key: keys(1)[0].clone(),
        bytes: 10,
        stores: stores.to_vec(),
    };
    let unknown: StoreName = "elsewhere".parse().expect("name");
    // Named twice is one copy.
    let mut chunks = [odd(&[name(0), name(0)])];
    let mend = plan(&three, &chunks, &Rule::default());
    assert_eq!(mend.moves[0].why, Why::TooFew);
    carry_out(&three, &mut chunks, &mend);
    assert_eq!(chunks[0].stores.len(), 2);
    // What nobody can read is told elsewhere, and not planned.
    for stores in [&[][..], std::slice::from_ref(&unknown)] {
        assert!(plan(&three, &[odd(stores)], &Rule::default()).is_empty());
    }
    let mut chunks = [odd(&[unknown.clone(), name(1)])];
    let mend = plan(&three, &chunks, &Rule::default());
    assert_eq!(mend.before.of(&unknown).chunks, 1);
    carry_out(&three, &mut chunks, &mend);
    assert_eq!(mend.after.of(&unknown).chunks, 0);
    // A set that nothing may be placed by makes no plan, and takes nothing away.
    let mut none = three.clone();
    none.members
        .iter_mut()
        .for_each(|m| m.state = State::Draining);
    assert!(plan(&none, &[odd(&[name(0), name(1)])], &Rule::default()).is_empty());
    let huge = Placed {
        bytes: u64::MAX / 4,
        ..odd(&[name(0)])
    };
    assert_eq!(plan(&three, &[huge], &Rule::default()).moves.len(), 1);
}
