/// Rounds of halving until a share is exact to the last bits of an `f64`.
const ROUNDS: usize = 128;

/// The shares of stores given as (weight, zone), zones numbered from 0 without a gap, for so many copies.
pub(super) fn shares(stores: &[(f64, usize)], zones: usize, copies: usize) -> Vec<f64> {
    let mut shares = vec![0.0; stores.len()];
    if stores.is_empty() {
        return shares;
    }
    let one = 1.0 / copies.max(1) as f64;
    let mut of_zone = vec![Vec::new(); zones];
    for (at, (_, zone)) in stores.iter().enumerate() {
        of_zone[*zone].push(at);
    }
    let bounds = of_zone.iter().map(|members| {
        let weight = members.iter().map(|&at| stores[at].0).sum();
        if zones >= copies {
            return Bounds {
                weight,
                least: 0.0,
                most: one,
            };
        }
        // Each zone has one copy, and the others are where there are further stores.
        let most = members.len().min(copies + 1 - zones);
        Bounds {
            weight,
            least: one,
            most: one * most as f64,
        }
    });
    let bounds: Vec<Bounds> = bounds.collect();
    for (members, share) in of_zone.iter().zip(fill(1.0, &bounds)) {
        let bounds = members.iter().map(|&at| Bounds {
            weight: stores[at].0,
            least: 0.0,
            most: one,
        });
        let bounds: Vec<Bounds> = bounds.collect();
        for (&at, share) in members.iter().zip(fill(share, &bounds)) {
            shares[at] = share;
        }
    }
    shares
}

/// What one of several may have of a whole.
#[derive(Debug)]
struct Bounds {
    weight: f64,
    least: f64,
    most: f64,
}

/// Divide a whole by weight within the bounds: there is one level at which the parts come to it.
fn fill(whole: f64, parts: &[Bounds]) -> Vec<f64> {
    let at_level = |level: f64| {
        parts
            .iter()
            .map(move |part| (level * part.weight).clamp(part.least, part.most))
    };
    let lightest = parts
        .iter()
        .map(|part| part.weight)
        .fold(f64::INFINITY, f64::min);
    let (mut low, mut high) = (0.0, whole.max(f64::MIN_POSITIVE) / lightest);
    for _ in 0..ROUNDS {
        let middle = low + (high - low) / 2.0;
        if at_level(middle).sum::<f64>() < whole {
            low = middle;
        } else {
            high = middle;
        }
    }
    at_level(high).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[track_caller]
    fn check(stores: &[(f64, usize)], zones: usize, copies: usize, should: &[f64]) {
        let are = shares(stores, zones, copies);
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
        assert!(are.iter().zip(should).all(is_near), "{are:?}");
    }

    #[test]
    fn shares_are_by_weight_as_far_as_copies_allow() {
        check(&[(3.0, 0), (1.0, 1)], 2, 1, &[0.75, 0.25]);
        check(&[(3.0, 0), (1.0, 1)], 2, 2, &[0.5, 0.5]);
        check(&[(9.0, 0), (1.0, 1), (1.0, 2)], 3, 2, &[0.5, 0.25, 0.25]);
        // Two zones of two stores, three copies: each zone has one or two of them.
        let heavy = [(9.0, 0), (9.0, 0), (1.0, 1), (1.0, 1)];
        let third = 1.0 / 3.0;
        check(&heavy, 2, 3, &[third, third, third / 2.0, third / 2.0]);
        // One zone for all is none.
        check(&[(1.0, 0), (1.0, 0), (2.0, 0)], 1, 2, &[0.25, 0.25, 0.5]);
        check(&[], 0, 0, &[]);
    }

    #[test]
    fn any_shares_come_to_the_whole_within_their_bounds() {
        let mut rng = StdRng::seed_from_u64(1);
        for round in 0..5_000 {
            let count = rng.random_range(1..20);
            let copies = rng.random_range(1..=count.min(8));
            let zones = rng.random_range(1..=count);
            let stores: Vec<(f64, usize)> = (0..count)
                .map(|at| {
                    let weight = 10_f64.powf(rng.random_range(-3.0..6.0));
                    // No zone is empty.
                    let zone = if at < zones {
                        at
                    } else {
                        rng.random_range(0..zones)
                    };
                    (weight, zone)
                })
                .collect();
            let shares = shares(&stores, zones, copies);
            let (one, slack) = (1.0 / copies as f64, 1e-9);
            assert!(
                (shares.iter().sum::<f64>() - 1.0).abs() < slack,
                "round {round}"
            );
            let is_bounded = |share: &f64| (0.0..=one + slack).contains(share);
            assert!(shares.iter().all(is_bounded), "round {round}");
            for zone in 0..zones {
                let of_zone = stores.iter().zip(&shares).filter(|((_, z), _)| *z == zone);
                let held: f64 = of_zone.map(|(_, share)| share).sum();
                if zones >= copies {
                    assert!(held <= one + slack, "round {round}: zone {zone} has {held}");
                } else {
                    assert!(held >= one - slack, "round {round}: zone {zone} has {held}");
                }
            }
        }
    }
}
