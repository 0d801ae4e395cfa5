use serde::{Deserialize, Serialize};

/// A fall to less than this share of the last value is a new beginning; a smaller one is a device that
/// corrects itself (the rule that Home Assistant's statistics have).
const RESET_BELOW: f64 = 0.9;

/// A counter that only grows, put together over its resets.
///
/// What it makes of a raw value never falls, and is the raw value itself until the first reset. A device that
/// says 0 once and then goes on where it was (a glitch of many firmwares) has neither consumed nor returned
/// anything; one that says 0 and then counts from there has begun again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// Highest raw value since the last reset.
    last: f64,
    /// What the raw counts before it had come to.
    offset: f64,
    /// While it reads 0 after more: the raw value before, for as long as it is not known which of the two it is.
    zero_after: Option<f64>,
}

impl Counter {
    /// A counter whose first raw value is this.
    #[must_use]
    pub fn new(raw: f64) -> Counter {
        Counter {
            last: raw,
            offset: 0.0,
            zero_after: None,
        }
    }

    /// The next raw value; gives the cumulative one.
    pub fn next(&mut self, raw: f64) -> f64 {
        if let Some(before) = self.zero_after {
            if raw == 0.0 {
                return self.offset + before;
            }
            self.zero_after = None;
            if raw < before * RESET_BELOW {
                self.offset += before;
                self.last = raw;
                return self.offset + raw;
            }
            self.last = before;
        }
        if raw < self.last * RESET_BELOW {
            if raw == 0.0 {
                self.zero_after = Some(self.last);
                return self.offset + self.last;
            }
            self.offset += self.last;
            self.last = raw;
        } else {
            self.last = self.last.max(raw);
        }
        self.offset + self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[f64], expected: &[f64]) {
        let mut counter = Counter::new(raw[0]);
        let cumulative: Vec<f64> = raw.iter().map(|&raw| counter.next(raw)).collect();
        assert_eq!(cumulative, expected, "{raw:?}");
    }

    #[test]
    fn it_follows_what_only_grows() {
        check(&[514.0, 514.5, 515.0], &[514.0, 514.5, 515.0]);
        check(&[0.0, 0.0, 1.0], &[0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_reset_goes_on_from_what_was_counted() {
        check(&[514.0, 2.0, 3.0], &[514.0, 516.0, 517.0]);
        check(&[514.0, 0.0, 1.5, 2.0], &[514.0, 514.0, 515.5, 516.0]);
        check(&[10.0, 0.0, 1.0, 0.0, 0.5], &[10.0, 10.0, 11.0, 11.0, 11.5]);
    }

    #[test]
    fn a_zero_in_between_is_no_consumption() {
        check(&[514.0, 0.0, 514.2], &[514.0, 514.0, 514.2]);
        check(
            &[514.0, 0.0, 0.0, 514.2, 1.0],
            &[514.0, 514.0, 514.0, 514.2, 515.2],
        );
    }

    #[test]
    fn a_small_correction_is_no_reset() {
        check(&[100.0, 99.5, 100.5], &[100.0, 100.0, 100.5]);
    }
}
