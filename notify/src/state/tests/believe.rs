use super::*;
use crate::told::{FLAP_REST_MS, FLAP_WINDOW_MS};

#[derive(Debug, Clone, Copy)]
enum Step {
    Raise(Severity),
    Acknowledge,
    Clear,
    Pass(i64),
    Begin,
    Deliver,
    Fail,
    Refuse,
}

fn step() -> impl Strategy<Value = Step> {
    let severity =
        prop::sample::select(vec![Severity::Info, Severity::Warning, Severity::Critical]);
    prop_oneof![
        4 => severity.prop_map(Step::Raise),
        2 => Just(Step::Acknowledge),
        3 => Just(Step::Clear),
        3 => (1_000..3 * FLAP_WINDOW_MS).prop_map(Step::Pass),
        1 => Just(Step::Pass(5 * 60 * MINUTE)),
        3 => Just(Step::Deliver),
        2 => Just(Step::Begin),
        1 => Just(Step::Fail),
        1 => Just(Step::Refuse),
    ]
}

impl House {
    /// As alarms change: what stands is raised again only when it is worse, what does not stand is not seen.
    fn take(&mut self, step: Step) {
        let stands = self.alarm.state != AlarmState::Cleared;
        match step {
            Step::Raise(severity) if !stands || severity > self.alarm.severity => {
                self.raise(severity);
            }
            Step::Acknowledge if self.alarm.state == AlarmState::Raised => {
                self.acknowledge();
            }
            Step::Clear if stands => {
                self.clear();
            }
            Step::Pass(ms) => {
                self.pass(ms);
            }
            Step::Deliver => {
                self.deliver();
            }
            Step::Fail => drop(self.attempt(away())),
            Step::Begin => drop(self.begin()),
            Step::Refuse => drop(self.attempt(never())),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, a second look at the same alarms changes nothing, no end is told of what was not told, and
    /// in the end the channel believes what is so.
    #[test]
    fn a_channel_believes_what_is_so(
        lines in prop::sample::select(vec![
            "", "severity = \"warning\"", "quiet = \"22:00-07:00\"", "after = \"10m\"",
            "after = \"30m\"\nquiet = \"11:00-13:00\"",
        ]),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut house = House::new(lines);
        let threshold = house.channel().severity;
        for step in steps {
            house.take(step);
            house.state.touched = Touched::default();
            house.reconcile();
            let touched = &house.state.touched;
            prop_assert!(
                touched.waiting.is_empty() && touched.dead.is_empty() && !touched.next_id,
                "a second look changed {touched:?}"
            );
        }
        // Everything comes to rest and is delivered, past all quiet hours too.
        for _ in 0..30 {
            house.pass(FLAP_REST_MS.max(60 * MINUTE)).deliver();
        }
        prop_assert_eq!(house.next(), Next::Idle);

        let mut knows = false;
        for heard in &house.heard {
            let is_raise = heard.starts_with("raised");
            prop_assert!(knows || is_raise, "{heard} comes from nowhere in {:?}", house.heard);
            knows = !heard.starts_with("cleared");
        }
        let alarm = &house.alarm;
        if !house.state.dead.is_empty() {
            return Ok(());
        }
        match alarm.state {
            AlarmState::Cleared => prop_assert!(!knows, "{:?}", house.heard),
            AlarmState::Raised if alarm.severity >= threshold => {
                prop_assert!(knows, "{:?}", house.heard);
                let last = house.heard.last().expect("it knows");
                prop_assert!(last.starts_with("raised"), "{:?}", house.heard);
            }
            // It may have been seen before the channel was to be told.
            AlarmState::Raised | AlarmState::Acknowledged => {}
        }
    }
}
