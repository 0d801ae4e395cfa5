use std::collections::BTreeMap;

use super::*;
use crate::params::{Param, Value};

const DAY_MS: i64 = 86_400_000;

const NOW_MS: i64 = 1_795_973_400_000; // 2026-11-29T17:30:00Z

fn params(overrides: &str) -> Params {
    let declared: BTreeMap<String, Param> = toml::from_str(
        "low = { value = -1.5, about = 'x' }\nword = { value = 'a', about = 'x' }\nlist = { value = [1, 2], about = 'x' }",
    )
    .expect("params");
    let overrides: BTreeMap<String, Value> = toml::from_str(overrides).expect(overrides);
    Params::of(&declared, &overrides).expect("params")
}

fn parse(source: &str) -> Result<Query, String> {
    Query::parse(source, |name| ["low", "word", "list"].contains(&name))
}

fn filled(source: &str, home: &str, window: i64, overrides: &str) -> String {
    let zone = TimeZone::get("Europe/Vienna").expect("zone");
    parse(source).expect(source).fill(&Filling {
        home,
        now_ms: NOW_MS,
        window_ms: window,
        zone: &zone,
        params: &params(overrides),
    })
}

#[test]
fn places_are_literals() {
    let sql = |source: &str| filled(source, "lakeside", 7 * DAY_MS, "");
    assert_eq!(sql("SELECT {home}"), "SELECT 'lakeside'");
    assert_eq!(sql("SELECT {zone}"), "SELECT 'Europe/Vienna'");
    for (place, at) in [
        ("now", "2026-11-29T17:30:00.000Z"),
        ("to", "2026-11-29T17:30:00.000Z"),
        ("from", "2026-11-22T17:30:00.000Z"),
        ("midnight", "2026-11-28T23:00:00.000Z"),
        ("from_midnight", "2026-11-21T23:00:00.000Z"),
    ] {
        let filled = sql(&format!("SELECT {{{place}}}"));
        assert_eq!(filled, format!("SELECT TIMESTAMP '{at}'"), "{place}");
    }
    assert_eq!(sql("SELECT {today}"), "SELECT DATE '2026-11-29'");
    assert_eq!(sql("SELECT 1-{low}"), "SELECT 1-CAST(-1.5 AS DOUBLE)");
    assert_eq!(
        sql("SELECT {list}"),
        "SELECT make_array(CAST(1.0 AS DOUBLE), CAST(2.0 AS DOUBLE))"
    );
}

/// Days are the home's, and the clocks were put back meanwhile.
#[test]
fn days_begin_at_the_midnights_of_the_home() {
    let sql = filled("SELECT {from_midnight}", "x", 42 * DAY_MS, "");
    assert_eq!(sql, "SELECT TIMESTAMP '2026-10-17T22:00:00.000Z'");
}

#[test]
fn nothing_gets_out_of_its_quotes() {
    let evil = "x' OR 1=1; DROP TABLE readings --{now}\n/*\\'";
    assert_eq!(
        filled("SELECT {home}, 1", evil, DAY_MS, ""),
        "SELECT 'x'' OR 1=1; DROP TABLE readings --{now}\n/*\\''', 1"
    );
    assert_eq!(
        filled("SELECT {word}", "x", DAY_MS, r#"word = "{home}'; --""#),
        "SELECT '{home}''; --'"
    );
}

#[test]
fn a_place_is_never_inside_something() {
    for source in [
        "SELECT '{home}'",
        "SELECT 'it''s {home}'",
        "SELECT \"{home}\"",
        "SELECT 1 -- {home}\n",
        "SELECT 1 /* {home} */",
        "SELECT {hom}",
        "SELECT {home",
        "SELECT 1; SELECT 2",
        "SELECT 'open",
        "DELETE FROM readings",
        "",
    ] {
        assert!(parse(source).is_err(), "{source}");
    }
    for source in [
        "SELECT 'a;b', \"c;d\", {home} -- e;f",
        "WITH a AS (SELECT 'it''s') SELECT {home} FROM a",
        "  select '--', {home}, '/*', {now}",
    ] {
        assert!(parse(source).is_ok(), "{source}");
    }
}
