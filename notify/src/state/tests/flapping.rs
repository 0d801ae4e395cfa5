use super::*;
use crate::told::{FLAP_RAISES_MAX, FLAP_REST_MS, FLAP_WINDOW_MS};

impl House {
    /// Raise it and clear it so often, a second apart each.
    fn flap(&mut self, times: usize, severity: Severity) -> &mut House {
        for _ in 0..times {
            self.pass(1_000).raise(severity).deliver();
            self.pass(1_000).clear().deliver();
        }
        self
    }

    fn begun(lines: &str, severity: Severity) -> House {
        let mut house = House::new(lines);
        house.flap(FLAP_RAISES_MAX, severity);
        assert_eq!(house.heard.len(), 2 * FLAP_RAISES_MAX);
        house.heard.clear();
        house.flap(1, severity);
        house
    }
}

#[test]
fn what_comes_and_goes_is_told_once_and_when_it_rests() {
    let mut house = House::begun("", Severity::Warning);
    house.heard(&["raised warning began"]);
    house.flap(50, Severity::Warning).heard(&[]);
    house.pass(FLAP_REST_MS - 1).heard(&[]);
    house.pass(1).heard(&["cleared warning ended"]);
    // Then it is an alarm like any other.
    house
        .warn()
        .heard(&["raised warning"])
        .clear()
        .heard(&["cleared warning"]);
}

#[test]
fn it_may_come_to_rest_while_it_stands() {
    let mut house = House::begun("", Severity::Warning);
    house.pass(1_000).warn().heard(&["raised warning began"]);
    house.pass(FLAP_REST_MS).heard(&["raised warning ended"]);
    house.acknowledge().heard(&["acknowledged warning"]);
    house.clear().heard(&["cleared warning"]);
}

#[test]
fn it_counts_within_the_window_only() {
    let mut house = House::new("");
    for _ in 0..50 {
        house.pass(FLAP_WINDOW_MS / FLAP_RAISES_MAX as i64);
        house
            .warn()
            .heard(&["raised warning"])
            .clear()
            .heard(&["cleared warning"]);
    }
}

#[test]
fn what_is_urgent_is_told_once_in_a_window_all_the_same() {
    let mut house = House::begun("", Severity::Critical);
    house.heard(&["raised critical began"]);
    // Not quite half an hour, two seconds each time.
    house.flap(890, Severity::Critical);
    house.heard(&["raised critical"; 2]);
    house.pass(FLAP_REST_MS).heard(&["cleared critical ended"]);
}

#[test]
fn it_is_told_after_quiet_hours() {
    let mut house = House::new("quiet = \"22:00-07:00\"");
    house
        .pass(11 * 60 * MINUTE)
        .flap(20, Severity::Warning)
        .heard(&[]);
    house.pass(8 * 60 * MINUTE);
    house.heard(&["raised warning began", "cleared warning ended"]);
}

#[test]
fn it_is_escalated_unless_somebody_has_seen_it() {
    let after = "after = \"20m\"";
    let mut house = House::new(after);
    house.flap(60, Severity::Warning).heard(&[]);
    house
        .pass(20 * MINUTE)
        .heard(&["raised warning began", "cleared warning ended"]);

    let mut house = House::new(after);
    house.flap(10, Severity::Warning).warn().acknowledge();
    house.pass(60 * MINUTE).heard(&[]).clear().heard(&[]);
}

#[test]
fn what_came_and_went_is_forgotten_when_it_has_rested() {
    let mut house = House::begun("", Severity::Warning);
    house.pass(FLAP_REST_MS).deliver().pass(FLAP_WINDOW_MS);
    house.reconcile();
    assert!(house.state.told.is_empty(), "{:?}", house.state.told);
}
