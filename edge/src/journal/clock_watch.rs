use tarn_common::{clock::Clock, ids::Seq};

/// The wall clock has been set when it moves by this much more, or less, than time has passed.
const STEP_MS_MIN: i64 = 5_000;

/// The two clocks are compared when the wall clock has moved by this much since the last look.
const LOOK_EVERY_MS: i64 = 1_000;

/// Watches whether somebody sets the wall clock: a box without a clock chip starts with a wrong one, and is
/// told the time when the line is there.
#[derive(Debug)]
pub(super) struct ClockWatch {
    /// First record of this run.
    from: Seq,
    /// Wall time less monotonic time.
    offset_ms: i64,
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

impl ClockWatch {
    pub(super) fn new(clock: &dyn Clock, from: Seq) -> Self {
        let now_ms = clock.now_ms();
        ClockWatch {
            from,
            offset_ms: now_ms - clock.monotonic_ms(),
            looked_ms: now_ms,
        }
    }

    /// Whether the clock was set since the last look. Cheap: mostly it only compares.
    pub(super) fn look(&mut self, now_ms: i64, monotonic_ms: impl FnOnce() -> i64) -> Option<Step> {
        if (0..LOOK_EVERY_MS).contains(&(now_ms - self.looked_ms)) {
            return None;
        }
        let delta_ms = now_ms - monotonic_ms() - self.offset_ms;
        if delta_ms.abs() < STEP_MS_MIN {
            // Small steps and the slow pull of a time service are followed, not told.
            self.offset_ms += delta_ms;
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
        self.offset_ms += step.delta_ms;
        self.looked_ms += step.delta_ms;
    }
}
