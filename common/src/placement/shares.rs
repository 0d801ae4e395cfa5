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
