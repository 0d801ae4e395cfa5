use tarn_common::{clock::Clock, ids::Seq};

/// The wall clock has been set when it moves by this much more, or less, than time has passed.
const STEP_MS_MIN: i64 = 5_000;

/// The two clocks are compared when the wall clock has moved by this much since the last look.
const LOOK_EVERY_MS: i64 = 1_000;

/// The two clocks are read within so much of each other: who is stopped in between would take the pause for a step.
const READ_WITHIN_MS: i64 = 1_000;
/// So often it is tried to; then the next look has to.
const READ_TRIES: usize = 5;

/// Watches whether somebody sets the wall clock: a box without a clock chip starts with a wrong one, and is
/// told the time when the line is there.
#[derive(Debug)]
pub(super) struct ClockWatch {
    /// First record of this run.
    from: Seq,
    /// Wall time less monotonic time; none until they could be read together.
    offset_ms: Option<i64>,
    looked_ms: i64,
}

/// The clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    from: Seq,
    pub(super) delta_ms: i64,
}

impl Step {
    /// Payload of its record.
    pub(super) fn payload(&self) -> [u8; 16] {
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&self.from.0.to_le_bytes());
        payload[8..].copy_from_slice(&self.delta_ms.to_le_bytes());
        payload
    }
}

/// Wall time less monotonic time, where the two could be read together.
fn offset_ms(clock: &dyn Clock) -> Option<i64> {
    (0..READ_TRIES).find_map(|_| {
        let before_ms = clock.monotonic_ms();
        let now_ms = clock.now_ms();
        let after_ms = clock.monotonic_ms();
        (after_ms - before_ms <= READ_WITHIN_MS).then_some(now_ms - after_ms)
    })
}

impl ClockWatch {
    pub(super) fn new(clock: &dyn Clock, from: Seq) -> Self {
        ClockWatch {
            from,
            offset_ms: offset_ms(clock),
            looked_ms: clock.now_ms(),
        }
    }

    /// Whether the clock was set since the last look. Cheap: mostly it only compares.
    pub(super) fn look(&mut self, now_ms: i64, clock: &dyn Clock) -> Option<Step> {
        if (0..LOOK_EVERY_MS).contains(&(now_ms - self.looked_ms)) {
            return None;
        }
        let offset_ms = offset_ms(clock)?;
        let delta_ms = offset_ms - self.offset_ms.unwrap_or(offset_ms);
        if delta_ms.abs() < STEP_MS_MIN {
            // Small steps and the slow pull of a time service are followed, not told.
            self.offset_ms = Some(offset_ms);
            self.looked_ms = now_ms;
            return None;
        }
        Some(Step {
            from: self.from,
            delta_ms,
        })
    }

    /// The step is in the journal.
    pub(super) fn told(&mut self, step: &Step) {
        self.offset_ms = self.offset_ms.map(|offset| offset + step.delta_ms);
        self.looked_ms += step.delta_ms;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// Two clocks of which each look takes some milliseconds.
    #[derive(Debug, Default)]
    struct SlowClock {
        passed_ms: AtomicI64,
        wall_ms: AtomicI64,
        look_takes_ms: AtomicI64,
    }

    impl SlowClock {
        fn pass(&self) -> i64 {
            let takes_ms = self.look_takes_ms.load(Ordering::SeqCst);
            self.passed_ms.fetch_add(takes_ms, Ordering::SeqCst) + takes_ms
        }
    }

    impl Clock for SlowClock {
        fn now_ms(&self) -> i64 {
            self.pass() + self.wall_ms.load(Ordering::SeqCst)
        }

        fn monotonic_ms(&self) -> i64 {
            self.pass()
        }
    }

    #[test]
    fn a_pause_between_two_clocks_is_no_step() {
        let clock = SlowClock::default();
        let mut watch = ClockWatch::new(&clock, Seq(1));
        clock.look_takes_ms.store(60_000, Ordering::SeqCst);
        assert_eq!(watch.look(clock.now_ms(), &clock), None);
        clock.look_takes_ms.store(300, Ordering::SeqCst);
        assert_eq!(watch.look(clock.now_ms(), &clock), None);
        clock.wall_ms.store(3_600_000, Ordering::SeqCst);
        let step = watch.look(clock.now_ms(), &clock).expect("a step");
        assert!((step.delta_ms - 3_600_000).abs() <= 600, "{step:?}");
        watch.told(&step);
        assert_eq!(watch.look(clock.now_ms(), &clock), None);
    }
}
