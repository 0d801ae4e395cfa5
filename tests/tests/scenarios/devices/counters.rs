use super::{House, values};

const CONFIG: &str = r#"{"name":"Energy","uniq_id":"meter_e","dev_cla":"energy","stat_cla":"total_increasing","unit_of_meas":"kWh","stat_t":"cellar/meter/energy","dev":{"ids":["meter"]}}"#;

/// Where the power fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fails {
    /// After the reading is in the store.
    Stored,
    /// While the reading is in the journal alone.
    Journaled,
    /// Not.
    Never,
}

/// Publishes raw values of a meter, each in a cut of its own, and looks what they have come to.
fn check(name: &'static str, said: &[(f64, Fails)], expected: &[f64]) {
    let mut house = House::new(name);
    house.publish(&[("homeassistant/sensor/meter/config", CONFIG.as_bytes())]);
    let id = house.wait_id("ha:meter");
    let (raw, cumulative) = ("energy", "energy.cumulative");
    for (number, (value, fails)) in said.iter().enumerate() {
        let payload = value.to_string();
        house.publish(&[("cellar/meter/energy", payload.as_bytes())]);
        if *fails == Fails::Journaled {
            house.edge.kill_9();
            house.edge.restart();
        }
        let rows = house.wait_count(&id, cumulative, number + 1);
        assert_eq!(values(&rows, &id, cumulative), expected[..=number]);
        if *fails == Fails::Stored {
            house.edge.kill_9();
            house.edge.restart();
        }
    }
    assert_eq!(house.edge.terminate(), 0);
    for engine in tarn_tests::python::ENGINES {
        let rows = super::rows_of(engine, &house.store());
        let said: Vec<f64> = said.iter().map(|(value, _)| *value).collect();
        assert_eq!(values(&rows, &id, raw), said, "{engine}");
        let sums = values(&rows, &id, cumulative);
        assert_eq!(sums, expected, "{engine}");
        assert!(sums.is_sorted(), "{engine}: {sums:?}");
        let unit_is_right = |row: &&super::Row| row.unit.as_deref() == Some("kWh");
        assert!(super::of(&rows, &id, cumulative).iter().all(unit_is_right));
    }
    house.edge.assert_quiet(&["journal"]);
}

/// Nothing was used and nothing was given back.
#[test]
fn a_zero_in_between_is_a_slip() {
    use Fails::{Journaled, Never, Stored};
    let said = [(514.0, Never), (0.0, Never), (514.2, Never)];
    check("counter-slip", &said, &[514.0, 514.0, 514.2]);
    let said = [(514.0, Stored), (0.0, Journaled), (514.2, Stored)];
    check("counter-slip-cut", &said, &[514.0, 514.0, 514.2]);
}

/// The sum goes on where it was.
#[test]
fn a_counter_that_begins_again_goes_on() {
    use Fails::{Journaled, Never, Stored};
    let said = [(514.0, Never), (2.0, Never), (3.0, Never)];
    check("counter-reset", &said, &[514.0, 516.0, 517.0]);
    let said = [(514.0, Journaled), (2.0, Stored), (3.0, Journaled)];
    check("counter-reset-cut", &said, &[514.0, 516.0, 517.0]);
}
