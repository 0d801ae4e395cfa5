use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::*;
use crate::{Category, Finding, Row};

const NOW_MS: i64 = 1_795_973_400_000; // 2026-11-29T17:30:00Z

fn pack(id: &str) -> &'static Pack {
    packs().iter().find(|pack| pack.id == id).expect(id)
}

fn rows(rows: Value) -> Vec<Row> {
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row.as_object().expect("row").clone())
        .collect()
}

fn found(id: &str, given: Value) -> Vec<Finding> {
    let pack = pack(id);
    let params = pack.params(&BTreeMap::new()).expect("params");
    pack.evaluate(rows(given), &params, NOW_MS).expect(id)
}

/// One row that is ill, one that is healthy: the first alone is found, and its advice is whole.
fn check(id: &str, ill: Value, healthy: Value, key: &str, says: &str) {
    assert_eq!(found(id, json!([healthy])), [], "{id}: healthy");
    let findings = found(id, json!([healthy, ill]));
    assert_eq!(findings.len(), 1, "{id}");
    let Finding { advice, .. } = &findings[0];
    assert_eq!(findings[0].key, key, "{id}");
    assert!(advice.contains(says), "{id}: {advice}");
    let is_whole = !advice.contains("{{") && !advice.contains('\n') && !advice.contains("? ");
    assert!(is_whole || id == "energy-daily", "{id}: {advice}");
}

#[test]
fn every_pack_can_be_read() {
    for (name, source) in FILES {
        let pack = Pack::parse(name, source).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(format!("{}.toml", pack.id), name);
        assert!(!pack.about.is_empty(), "{name}");
    }
    assert_eq!(packs().len(), FILES.len());
}

#[test]
fn what_is_about_people_is_private_and_says_so() {
    for pack in packs() {
        let is_health = pack.category == Category::Health;
        assert_eq!(pack.private, is_health, "{}", pack.id);
        assert_eq!(pack.disclaimer.is_some(), is_health, "{}", pack.id);
    }
}

#[test]
fn every_query_is_bounded_and_quoted() {
    let zone = TimeZone::get("Europe/Vienna").expect("zone");
    for pack in packs() {
        let params = pack.params(&BTreeMap::new()).expect("params");
        let sql = pack.sql("x'; DROP TABLE readings --", NOW_MS, &zone, &params);
        assert!(
            sql.contains("home = 'x''; DROP TABLE readings --'"),
            "{sql}"
        );
        assert!(!sql.contains('{') && !sql.contains("NULL,"), "{sql}");
        let scans = sql.matches("FROM readings").count();
        assert_eq!(
            sql.matches("ts >= TIMESTAMP '2026-").count(),
            scans,
            "{sql}"
        );
    }
}

#[test]
fn energy() {
    check(
        "energy-daily",
        json!({"device": "oven", "kwh": 6.0, "usual": 1.5, "days": 7, "cost": 1.35}),
        json!({"device": "fridge", "kwh": 0.9, "usual": 0.8, "days": 7, "cost": 0.03}),
        "oven",
        "oven took 6 kWh yesterday; on the 7 days before it was 1.5 kWh a day. The difference comes to 1.35 EUR.",
    );
    check(
        "energy-standby",
        json!({"device": "tv", "watts": 8.1, "nights": 7, "kwh_a_year": 71, "cost_a_year": 21.3}),
        json!({"device": "lamp", "watts": 0.4, "nights": 7, "kwh_a_year": 4, "cost_a_year": 1.1}),
        "tv",
        "takes 8.1 W all night. In a year that is 71 kWh, or 21.3 EUR.",
    );
    let washer = json!({"device": "washer", "kwh_a_month": 15.7, "cost_a_month": 6, "shifted_a_month": 2.8,
                        "saving_a_month": 3.2, "busy": 2, "cheapest_hour": 3});
    let fridge = json!({"device": "fridge", "kwh_a_month": 27, "cost_a_month": 7.2, "shifted_a_month": 4.8,
                        "saving_a_month": 2.4, "busy": 100, "cheapest_hour": 3});
    check(
        "energy-peak-shift",
        washer,
        fridge,
        "washer",
        "Begun at 3 o'clock",
    );
    check(
        "energy-solar",
        json!({"produced": 53, "exported": 34, "self_use": 36, "best_hour": 12}),
        json!({"produced": 53, "exported": 10, "self_use": 81, "best_hour": 12}),
        "solar",
        "36 % were used at home. Most is left over at 12 o'clock",
    );
}

/// Six weeks of an oven, with a feast yesterday or without.
fn oven(yesterday: f64) -> Value {
    let first: jiff::civil::Date = "2026-10-18".parse().expect("date");
    let days = first.series(jiff::Span::new().days(1)).take(42).enumerate();
    let days = days.map(|(at, day)| {
        let usual = if at % 7 == 6 { 2.0 } else { 1.0 };
        let kwh = if at == 41 {
            yesterday
        } else {
            usual + 0.01 * (at * 7 % 11) as f64
        };
        json!({"device": "oven", "day": day.to_string(), "kwh": kwh, "is_yesterday": at == 41})
    });
    days.collect()
}

#[test]
fn an_unusual_day() {
    let findings = found("energy-unusual-day", oven(6.0));
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].advice.starts_with("oven took 6 kWh yesterday"),
        "{findings:?}"
    );
    assert_eq!(found("energy-unusual-day", oven(2.05)), []);
}

#[test]
fn climate() {
    check(
        "climate-overheating",
        json!({"device": "attic", "metric": "temperature", "warmest": 29.3, "latest": 22, "hours": 5.2}),
        json!({"device": "hall", "metric": "temperature", "warmest": 26.5, "latest": 22, "hours": 0.5}),
        "attic",
        "above 26 °C for 5.2 of the last 24 hours, up to 29.3 °C",
    );
    let mut damp = json!({"device": "bedroom", "celsius": 17, "humidity": 72, "outside": 1.2, "dew_point": 11.9,
                          "surface": 12.3, "surface_humidity": 98, "hours_a_day": 24, "hours": 72});
    let bedroom = damp.clone();
    damp["device"] = "kitchen".into();
    damp["hours_a_day"] = 2.into();
    check(
        "climate-mould",
        bedroom,
        damp,
        "bedroom",
        "a dew point of 11.9 °C",
    );
    check(
        "climate-co2",
        json!({"device": "study", "metric": "co2", "worst": 1754, "worst_at": "11:10", "latest": 611, "hours": 3.2}),
        json!({"device": "hall", "metric": "co2", "worst": 714, "worst_at": "16:20", "latest": 626, "hours": 0}),
        "study",
        "up to 1754 ppm at 11:10",
    );
}

#[test]
fn health() {
    check(
        "health-blood-pressure",
        json!({"device": "cuff", "days": 7, "days_above": 5, "systolic": 148, "diastolic": 92}),
        json!({"device": "other", "days": 7, "days_above": 1, "systolic": 121, "diastolic": 77}),
        "cuff",
        "On 5 of 7 days with readings, the mean of cuff was at or above 135/85 mmHg",
    );
    check(
        "health-body-temperature",
        json!({"device": "t", "days": 4, "days_above": 2, "highest": 38.8, "latest": 38.5}),
        json!({"device": "u", "days": 4, "days_above": 0, "highest": 36.9, "latest": 36.6}),
        "t",
        "38 °C or more on 2 of 4 days",
    );
    let row = json!([{"device": "t", "days": 4, "days_above": 2, "highest": 38.8, "latest": 38.5}]);
    let finding = &found("health-body-temperature", row)[0];
    assert!(finding.private && finding.disclaimer.is_some());
}

#[test]
fn sensors() {
    let words = "has told nothing for 67 hours";
    let row = json!([{"device": "door", "metric": "temperature", "fault": "silent", "readings": 0,
                      "usual_readings": 144, "silent_hours": 67.3, "value": 20.2, "words": words}]);
    let findings = found("devices-failing-sensor", row);
    assert!(
        findings[0]
            .advice
            .starts_with("door (temperature) has told nothing for 67 hours.")
    );
    assert_eq!(found("devices-failing-sensor", json!([])), []);
}

/// Levels of a battery from 2026-10-01 on, day by day.
fn battery(device: &str, level: impl Fn(usize) -> f64) -> Vec<Value> {
    let first: jiff::civil::Date = "2026-10-01".parse().expect("date");
    let days = first.series(jiff::Span::new().days(1)).take(60).enumerate();
    let series = format!("{device}/battery");
    let days = days.map(|(at, day)| {
        json!({"device": device, "metric": "battery", "series": series, "day": day.to_string(), "level": level(at)})
    });
    days.collect()
}

#[test]
fn batteries() {
    let falls = battery("door", |day| (50.0 - 0.5 * day as f64).round());
    let stays = battery("window", |day| if day % 2 == 0 { 95.0 } else { 94.0 });
    let low = battery("leak", |_| 12.0);
    let findings = found("devices-battery", [falls, stays, low].concat().into());
    let advice: Vec<&str> = findings
        .iter()
        .map(|finding| finding.advice.as_str())
        .collect();
    assert_eq!(advice.len(), 2, "{advice:?}");
    assert!(
        advice[0]
            .starts_with("The battery of door is at 21 %. As it goes on, it will be at 15 % in 1"),
        "{advice:?}"
    );
    assert!(
        advice[1].ends_with("It is low: replace it now."),
        "{advice:?}"
    );
}

#[test]
fn films() {
    check(
        "entertainment-film-scene",
        json!({"device": "tv", "evenings": 12, "lights_on": "lamp", "lights_off": "ceiling"}),
        json!({"device": "tv2", "evenings": 2, "lights_on": "lamp", "lights_off": null}),
        "tv",
        "with these lights on: lamp, and these off: ceiling.",
    );
    let dark =
        json!([{"device": "tv", "evenings": 12, "lights_on": null, "lights_off": "ceiling"}]);
    assert_eq!(found("entertainment-film-scene", dark), []);
}

#[test]
fn the_book_names_every_pack_and_parameter() {
    let book = include_str!("../../../docs/insights.md");
    for pack in packs() {
        let row = book
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", pack.id)));
        let row = row.unwrap_or_else(|| panic!("{}", pack.id));
        for name in pack.params.keys() {
            assert!(row.contains(&format!("`{name}`")), "{}: {name}", pack.id);
        }
    }
}

/// The pack that the book shows can be read.
#[test]
fn the_book_s_own_pack_is_good() {
    let book = include_str!("../../../docs/insights.md");
    let begins = book.find("id = \"cellar-damp\"").expect("pack");
    let source = book[begins..].split("```").next().expect("end");
    Pack::parse("cellar.toml", source).unwrap_or_else(|error| panic!("{error}"));
}
