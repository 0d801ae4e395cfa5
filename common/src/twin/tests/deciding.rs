//! What must hold of [`resolve`] whatever was written.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom, seq::SliceRandom};
use serde_json::{Value, json};

use super::NOW;
use crate::twin::{
    resolve::{Policy, Resolved, Why, resolve},
    stamp::{SKEW_MAX_MS, Stamp},
    write::{DEVICE, Write},
};

/// Cases that are drawn.
const CASES: u64 = 20_000;

fn value(rng: &mut StdRng) -> Value {
    match rng.random_range(0..8) {
        0 => Value::Null,
        1 => json!("LOCK"),
        2 => json!("UNLOCK"),
        3 => json!(rng.random_range(-2.5..2.5)),
        4 => json!({"a": rng.random_range(0..2)}),
        _ => json!(rng.random_range(-3..3)),
    }
}

fn write(rng: &mut StdRng) -> Write {
    let ms = match rng.random_range(0..8) {
        0 => NOW + 400 * 86_400_000,
        1 => NOW - 400 * 86_400_000,
        2 => *[i64::MIN, i64::MAX, 0].choose(rng).expect("one"),
        _ => NOW - rng.random_range(0..200_000),
    };
    Write {
        v: value(rng),
        by: (*["app", "wall", DEVICE].choose(rng).expect("one")).to_owned(),
        at: Stamp {
            ms,
            count: rng.random_range(0..3),
        },
        ttl_s: rng.random_bool(0.3).then(|| rng.random_range(0..300)),
        id: format!("{}", rng.random_range(0..30)),
        late: rng.random_bool(0.1),
    }
}

fn policy(rng: &mut StdRng) -> Policy {
    match rng.random_range(0..4) {
        0 => Policy::Safe {
            order: vec![json!("LOCK"), json!("UNLOCK")],
            live: false,
        },
        1 => Policy::Max,
        2 => Policy::Min,
        _ => Policy::Latest,
    }
}

fn check(mut case: impl FnMut(&mut StdRng, &[Write], &Policy, &Resolved)) {
    for seed in 0..CASES {
        let mut rng = StdRng::seed_from_u64(seed);
        let writes: Vec<Write> = (0..rng.random_range(0..7))
            .map(|_| write(&mut rng))
            .collect();
        let policy = policy(&mut rng);
        let resolved = resolve(&writes, &policy, NOW);
        case(&mut rng, &writes, &policy, &resolved);
    }
}

fn holds(write: &Write) -> bool {
    !write.is_expired(NOW) && !write.at.is_ahead(NOW)
}

#[test]
fn the_order_and_repetition_of_what_was_written_decide_nothing() {
    check(|rng, writes, policy, resolved| {
        let mut others = writes.to_vec();
        others.shuffle(rng);
        assert_eq!(resolve(&others, policy, NOW), *resolved, "{writes:?}");
        if let Some(again) = writes.choose(rng) {
            others.push(again.clone());
            assert_eq!(resolve(&others, policy, NOW).winner, resolved.winner);
        }
    });
}

#[test]
fn whoever_holds_was_written_and_all_others_have_a_reason() {
    check(|_, writes, _, resolved| {
        let mut all: Vec<String> = resolved
            .losers
            .iter()
            .map(|(write, _)| write.to_text())
            .collect();
        all.extend(resolved.winner.as_ref().map(Write::to_text));
        let mut written: Vec<String> = writes.iter().map(Write::to_text).collect();
        all.sort_unstable();
        written.sort_unstable();
        assert_eq!(all, written);
        let is_due = |write: &Write| !write.is_expired(NOW);
        assert_eq!(resolved.winner.is_some(), writes.iter().any(is_due));
        for (write, why) in &resolved.losers {
            assert_eq!(
                write.is_expired(NOW),
                *why == Why::Expired,
                "{write:?} {why:?}"
            );
        }
    });
}

#[test]
fn what_has_expired_or_lies_ahead_holds_against_nothing_sane() {
    check(|_, writes, _, resolved| {
        let Some(winner) = &resolved.winner else {
            return;
        };
        assert!(!winner.is_expired(NOW));
        assert!(!winner.at.is_ahead(NOW) || !writes.iter().any(holds));
        assert!(winner.at.ms <= NOW + SKEW_MAX_MS || !writes.iter().any(holds));
    });
}

#[test]
fn a_policy_decides_whatever_the_time() {
    check(|_, writes, policy, resolved| {
        let Some(winner) = resolved.winner.as_ref().filter(|winner| holds(winner)) else {
            return;
        };
        let sane = || writes.iter().filter(|write| holds(write));
        let numbers = || sane().filter_map(|write| write.v.as_f64());
        match policy {
            Policy::Safe { .. } if sane().any(|write| write.v == json!("LOCK")) => {
                assert_eq!(winner.v, json!("LOCK"));
            }
            Policy::Safe { .. } if sane().any(|write| write.v == json!("UNLOCK")) => {
                assert_eq!(winner.v, json!("UNLOCK"));
            }
            Policy::Max if numbers().next().is_some() => {
                assert_eq!(winner.v.as_f64(), numbers().max_by(f64::total_cmp));
            }
            Policy::Min if numbers().next().is_some() => {
                assert_eq!(winner.v.as_f64(), numbers().min_by(f64::total_cmp));
            }
            Policy::Latest => {
                let is_devices = sane().any(Write::is_devices);
                let latest = sane().filter(|write| write.is_devices() || !is_devices);
                assert_eq!(Some(winner.at), latest.map(|write| write.at).max());
            }
            _ => {}
        }
    });
}

/// A node that does not know a lock's options may write them as it likes: to lock prevails all the same.
#[test]
fn words_are_as_safe_however_they_are_written() {
    let policy = Policy::Safe {
        order: vec![json!("lock"), json!("unlock")],
        live: true,
    };
    assert!(!policy.is_live(&json!("LOCK")));
    assert!(policy.is_live(&json!("UNLOCK")));
    let write = |value: &str, ms: i64| Write {
        v: json!(value),
        by: "app".into(),
        at: Stamp { ms, count: 0 },
        ttl_s: None,
        id: format!("{value}-{ms}"),
        late: false,
    };
    let writes = [write("LOCK", NOW - 2), write("unlock", NOW - 1)];
    let winner = resolve(&writes, &policy, NOW).winner.expect("one holds");
    assert_eq!(winner.v, json!("LOCK"));
}
