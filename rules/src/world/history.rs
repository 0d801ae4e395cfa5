use std::collections::VecDeque;

/// Samples that a history keeps at most. A window is cut into so many slots; samples that fall into one slot become
/// one once the history is half full, so that a window's edge is at most one slot off.
pub const SAMPLES_MAX: usize = 256;

/// Some readings, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When the first of them was measured, in milliseconds since the epoch.
    pub first_ms: i64,
    /// When the last of them was measured.
    pub last_ms: i64,
    /// How many.
    pub count: u32,
    /// Their sum.
    pub sum: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Sample {
    const NONE: Sample = Sample {
        first_ms: i64::MAX,
        last_ms: i64::MIN,
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
    };

    fn one(ts_ms: i64, value: f64) -> Sample {
        Sample {
            first_ms: ts_ms,
            last_ms: ts_ms,
            count: 1,
            sum: value,
            min: value,
            max: value,
        }
    }

    fn and(self, other: Sample) -> Sample {
        Sample {
            first_ms: self.first_ms.min(other.first_ms),
            last_ms: self.last_ms.max(other.last_ms),
            count: self.count.saturating_add(other.count),
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// What a series told over a length of time.
#[derive(Debug)]
pub struct History {
    window_ms: i64,
    /// In the order of time.
    samples: VecDeque<Sample>,
}

impl History {
    /// A history over this length of time, in milliseconds.
    #[must_use]
    pub fn new(window_ms: i64) -> History {
        History {
            window_ms,
            samples: VecDeque::new(),
        }
    }

    /// How long back it goes, in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> i64 {
        self.window_ms
    }

    /// Takes a value; whether it went into one with a neighbour.
    pub fn push(&mut self, ts_ms: i64, value: f64, now_ms: i64) -> bool {
        let from_ms = now_ms.saturating_sub(self.window_ms);
        while self
            .samples
            .front()
            .is_some_and(|sample| sample.last_ms <= from_ms)
        {
            self.samples.pop_front();
        }
        if ts_ms <= from_ms {
            return false;
        }
        let at = self
            .samples
            .partition_point(|sample| sample.first_ms <= ts_ms);
        let slot = |ms: i64| ms.div_euclid((self.window_ms / SAMPLES_MAX as i64).max(1));
        let sample = Sample::one(ts_ms, value);
        let is_full = self.samples.len() >= SAMPLES_MAX;
        let may_join = |left: &Sample| slot(left.first_ms) == slot(ts_ms) || is_full;
        if self.samples.len() >= SAMPLES_MAX / 2
            && let Some(left) = at
                .checked_sub(1)
                .and_then(|left| self.samples.get_mut(left))
            && may_join(left)
        {
            *left = left.and(sample);
            return true;
        }
        if is_full && let Some(right) = self.samples.front_mut() {
            *right = right.and(sample);
            return true;
        }
        self.samples.insert(at, sample);
        false
    }

    /// What was told before, in the order of time, in the place of all that it has.
    pub(crate) fn fill(&mut self, samples: Vec<Sample>) {
        self.samples = samples.into();
        while self.samples.len() > SAMPLES_MAX
            && let Some(first) = self.samples.pop_front()
            && let Some(second) = self.samples.front_mut()
        {
            *second = first.and(*second);
        }
    }

    /// All that was told within the window before now, as one.
    #[must_use]
    pub fn sum(&self, now_ms: i64) -> Sample {
        let from_ms = now_ms.saturating_sub(self.window_ms);
        let within = self
            .samples
            .iter()
            .filter(|sample| sample.last_ms > from_ms);
        within.fold(Sample::NONE, |all, sample| all.and(*sample))
    }

    /// Forgets what is later than this.
    pub(crate) fn forget_after(&mut self, now_ms: i64) {
        self.samples.retain(|sample| sample.first_ms <= now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_what_is_older_than_its_window() {
        let mut history = History::new(10_000);
        for second in 0..20 {
            history.push(second * 1000, second as f64, second * 1000);
        }
        let sum = history.sum(19_000);
        assert_eq!(
            (sum.count, sum.min, sum.max, sum.sum),
            (10, 10.0, 19.0, 145.0)
        );
        assert_eq!(history.sum(24_500).count, 5);
        assert_eq!(history.sum(60_000).count, 0);
    }

    #[test]
    fn many_samples_become_few_and_sums_stay_right() {
        let mut history = History::new(600_000);
        let mut thinned = 0;
        for tenth in 0..6_000_i64 {
            thinned += u32::from(history.push(tenth * 100, 1.0, tenth * 100));
        }
        let sum = history.sum(599_900);
        assert!(
            history.samples.len() <= SAMPLES_MAX,
            "{}",
            history.samples.len()
        );
        assert_eq!((sum.count, sum.sum), (6_000, 6_000.0));
        assert_eq!(thinned as usize, 6_000 - history.samples.len());
        let half = history.sum(599_900 + 300_000);
        assert!((2_950..=3_050).contains(&half.count), "{}", half.count);
    }

    #[test]
    fn what_was_told_before_is_in_it() {
        let mut history = History::new(1_000_000);
        history.push(5_000, 1.0, 5_000);
        let many = (0..SAMPLES_MAX as i64 + 3).map(|ms| Sample::one(ms, 2.0));
        history.fill(many.collect());
        assert_eq!(history.samples.len(), SAMPLES_MAX);
        history.push(6_000, 9.0, 6_000);
        let sum = history.sum(6_000);
        assert_eq!((sum.count, sum.max), (SAMPLES_MAX as u32 + 4, 9.0));
        assert_eq!((sum.first_ms, sum.last_ms), (0, 6_000));
    }

    #[test]
    fn a_late_sample_finds_its_place() {
        let mut history = History::new(10_000);
        history.push(5_000, 1.0, 5_000);
        history.push(2_000, 7.0, 5_000);
        assert_eq!(history.sum(5_000).max, 7.0);
        assert_eq!(history.sum(13_000).count, 1);
        assert!(!history.push(-9_000, 3.0, 5_000));
        assert_eq!(history.sum(5_000).count, 2);
    }
}
