use std::collections::BTreeMap;

use tarn_tests::python;

use super::{House, Row, fixture, rows_of};

const HISTORICAL: i64 = 4;
/// `(metric, ts)` with value, text and unit.
type Expected =
    BTreeMap<(&'static str, i64), (Option<f64>, Option<&'static str>, Option<&'static str>)>;

/// The rows of the fixture, and one that is from long before.
fn rows_form() -> Expected {
    Expected::from([
        (
            ("temperature", 1_736_603_810_000),
            (Some(21.5), None, Some("°C")),
        ),
        (
            ("window", 1_736_603_870_250),
            (Some(1.0), Some("true"), None),
        ),
        (("mode", 1_736_603_930_000), (None, Some("eco"), None)),
        (("temperature", 1_736_604_000_000), (Some(21.7), None, None)),
        (("humidity", 1_736_604_000_000), (Some(40.0), None, None)),
        (
            ("battery.percent", 1_736_604_000_000),
            (Some(81.0), None, None),
        ),
        (
            ("battery.cells.0", 1_736_604_000_000),
            (Some(1.51), None, None),
        ),
        (
            ("battery.cells.1", 1_736_604_000_000),
            (Some(1.49), None, None),
        ),
        (("pressure", 946_684_800_000), (Some(1013.0), None, None)),
    ])
}

/// The columns of the fixture.
fn columns_form() -> Expected {
    Expected::from([
        (("temperature", 1_736_603_810_000), (Some(21.5), None, None)),
        (("temperature", 1_736_603_930_000), (Some(21.7), None, None)),
        (("humidity", 1_736_603_810_000), (Some(40.0), None, None)),
        (("humidity", 1_736_603_870_000), (Some(41.0), None, None)),
        (("door", 1_736_603_810_000), (Some(1.0), Some("on"), None)),
        (("door", 1_736_603_870_000), (Some(0.0), Some("off"), None)),
        (("door", 1_736_603_930_000), (None, Some("ajar"), None)),
    ])
}

fn check(engine: &str, rows: &[Row], device: &str, expected: &Expected) {
    let own: Vec<&Row> = rows.iter().filter(|row| row.device == device).collect();
    assert_eq!(own.len(), expected.len(), "{engine}: {own:#?}");
    for row in own {
        let known = expected.get(&(row.metric.as_str(), row.ts));
        let said = (row.value, row.text.as_deref(), row.unit.as_deref());
        assert_eq!(known, Some(&said), "{engine}: {row:?}");
        assert_eq!(row.quality, HISTORICAL, "{engine}: {row:?}");
    }
}

/// A device that is not sure whether its history has arrived sends it again, over power cuts and restarts of the
/// box: each reading is in the lake once, at its own time, however old.
#[test]
fn readings_of_the_past_are_stored_once() {
    let mut house = House::new("backlog");
    let (rows, columns) = (
        fixture("backlog/rows.json"),
        fixture("backlog/columns.json"),
    );
    let old = br#"{"ts": "2000-01-01T00:00:00Z", "pressure": 1013}"#;
    let send = |house: &House| {
        house.publish(&[
            ("tarn/backlog/cellar", rows.as_slice()),
            ("tarn/backlog/attic", columns.as_slice()),
            ("tarn/backlog/cellar", old.as_slice()),
        ]);
    };
    send(&house);
    send(&house);
    house.wait_count("cellar", "pressure", 1);
    house.wait_count("attic", "door", 3);

    // Stored already, and in the journal alone when the power fails.
    send(&house);
    house.edge.kill_9();
    house.edge.restart();
    house.publish(&[("cellar/seen", b"1")]);
    house.wait_count("cellar", "seen", 1);
    send(&house);
    assert_eq!(house.edge.terminate(), 0);
    house.edge.restart();
    send(&house);
    assert_eq!(house.edge.terminate(), 0);

    for engine in python::ENGINES {
        let mut rows = rows_of(engine, &house.store());
        rows.retain(|row| row.metric != "seen");
        check(engine, &rows, "cellar", &rows_form());
        check(engine, &rows, "attic", &columns_form());
        assert_eq!(
            rows.iter()
                .filter(|r| !r.device.starts_with("tarn"))
                .count(),
            16,
            "{rows:#?}"
        );
    }
    house.edge.assert_quiet(&["journal"]);
}

/// The power fails before any of it was cut, and again before the second half was.
#[test]
fn what_was_never_cut_is_stored_once() {
    let mut house = House::cutting_after("backlog-uncut", "1h");
    let rows = fixture("backlog/rows.json");
    let old = br#"[{"ts": 946684800, "metric": "pressure", "value": 1013}]"#;
    for _ in 0..2 {
        house.publish(&[("tarn/backlog/cellar", rows.as_slice())]);
        house.edge.kill_9();
        house.edge.restart();
        house.publish(&[("tarn/backlog/cellar", old.as_slice())]);
    }
    assert_eq!(house.edge.terminate(), 0);
    check("duckdb", &house.rows(), "cellar", &rows_form());
}
