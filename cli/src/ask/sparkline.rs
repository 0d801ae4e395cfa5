//! Series as lines of small bars.

/// From low to high.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where readings are missing for good.
const GAP: char = '·';

/// What differs by less, beside its size, differs by rounding only.
const ROUNDING: f64 = 1e-9;

/// What a place of the line stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// A number.
    Value(f64),
    /// No reading came.
    Silent,
    /// Readings that came are missing.
    Gap,
}

/// The places as a line of at most so many characters. Where there are more places, several share one: the mean of
/// their numbers, else a gap where one of them is one.
pub(crate) fn sparkline(places: &[Place], width: usize) -> String {
    let width = width.min(places.len());
    let drawn: Vec<Place> = (0..width)
        .map(|at| {
            let (from, to) = (at * places.len() / width, (at + 1) * places.len() / width);
            together(&places[from..to])
        })
        .collect();
    let values = drawn.iter().filter_map(|place| match place {
        Place::Value(value) => Some(*value),
        Place::Silent | Place::Gap => None,
    });
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let line = drawn.iter().map(|place| match place {
        Place::Silent => ' ',
        Place::Gap => GAP,
        Place::Value(value) => bar(*value, low, high),
    });
    line.collect()
}

fn together(places: &[Place]) -> Place {
    let (mut sum, mut count) = (0.0, 0_u32);
    for place in places {
        if let Place::Value(value) = place {
            sum += value;
            count += 1;
        }
    }
    match count {
        0 if places.contains(&Place::Gap) => Place::Gap,
        0 => Place::Silent,
        count => Place::Value(sum / f64::from(count)),
    }
}

/// A series that does not move is a line in the middle.
fn bar(value: f64, low: f64, high: f64) -> char {
    let share = (value - low) / (high - low);
    let is_level = high - low <= ROUNDING * low.abs().max(high.abs());
    if is_level || !share.is_finite() {
        return BARS[BARS.len() / 2 - 1];
    }
    // The share is 0 to 1, so the highest value alone would be one past the end.
    let at = (share * BARS.len() as f64) as usize;
    BARS[at.min(BARS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(places: &[Place], width: usize, line: &str) {
        assert_eq!(sparkline(places, width), line);
    }

    fn values(values: impl IntoIterator<Item = i32>) -> Vec<Place> {
        let values = values.into_iter();
        values.map(|value| Place::Value(value.into())).collect()
    }

    #[test]
    fn a_series_is_drawn_from_its_lowest_to_its_highest() {
        check(&values(0..8), 48, "▁▂▃▄▅▆▇█");
        check(&values([-5, 5, -5]), 48, "▁█▁");
        check(&values([7, 7, 7]), 48, "▄▄▄");
        check(&[], 48, "");
        check(&values([3]), 48, "▄");
        // A mean of equal numbers may be next to them.
        check(&[0.1, 0.1 + f64::EPSILON].map(Place::Value), 48, "▄▄");
    }

    #[test]
    fn silence_and_gaps_are_no_values() {
        let places = [
            Place::Value(0.0),
            Place::Silent,
            Place::Gap,
            Place::Value(1.0),
        ];
        check(&places, 48, "▁ ·█");
        check(&[Place::Silent, Place::Gap], 1, "·");
        check(&[Place::Silent, Place::Silent], 1, " ");
    }

    #[test]
    fn many_places_share_a_character() {
        check(&values(0..800), 8, "▁▂▃▄▅▆▇█");
        check(&values([0, 2, 8, 10]), 2, "▁█");
        let odd = values(0..7);
        assert_eq!(sparkline(&odd, 3).chars().count(), 3);
    }

    #[test]
    fn numbers_at_their_bounds_are_drawn() {
        let places = [f64::MIN, 0.0, f64::MAX].map(Place::Value);
        assert_eq!(sparkline(&places, 48).chars().count(), 3);
    }
}
