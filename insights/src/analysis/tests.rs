use serde_json::json;

use super::*;

fn analysis(more: &str) -> Analysis {
    let source = format!("key = 'device'\ntime = 'day'\nvalue = 'value'\n{more}");
    let analysis: Analysis = toml::from_str(&source).expect(&source);
    analysis.check(&BTreeMap::new()).expect(&source);
    analysis
}

/// A row for each day from 2026-03-01 on; a day without a value has none.
fn rows(device: &str, values: &[Option<f64>]) -> Vec<Row> {
    let first: jiff::civil::Date = "2026-03-01".parse().expect("date");
    let days = first.series(jiff::Span::new().days(1)).zip(values);
    let rows = days.filter_map(|(day, value)| {
        let row = json!({"device": device, "day": day.to_string(), "value": value.as_ref()?});
        row.as_object().cloned()
    });
    rows.collect()
}

fn noise(day: usize) -> f64 {
    [
        0.11, -0.2, 0.05, 0.17, -0.08, -0.13, 0.02, 0.2, -0.04, 0.09, -0.16,
    ][day % 11]
}

/// Six weeks; weekends take twice as much as other days.
fn weeks(odd_day: usize, more: f64) -> Vec<Option<f64>> {
    let value = |day: usize| {
        let usual = if day % 7 >= 5 { 8.0 } else { 4.0 };
        usual + noise(day) + if day == odd_day { more } else { 0.0 }
    };
    (0..42).map(|day| Some(value(day))).collect()
}

const OUTLIER: &str = "kind = 'outlier'\nseason = 7\nthreshold = 5.0\nmargin = 0.5";

fn outliers(rows: Vec<Row>) -> Vec<String> {
    let rows = analysis(OUTLIER)
        .add(rows, &Params::default())
        .expect("rows");
    let odd = rows.iter().filter(|row| row["is_outlier"] == true);
    odd.map(|row| row["day"].as_str().expect("day").to_owned())
        .collect()
}

#[test]
fn the_odd_day_of_a_weekly_pattern_is_found() {
    for (odd_day, date) in [(20, "2026-03-21"), (30, "2026-03-31"), (41, "2026-04-11")] {
        assert_eq!(outliers(rows("tv", &weeks(odd_day, 6.0))), [date]);
        assert_eq!(outliers(rows("tv", &weeks(odd_day, -3.5))), [date]);
    }
}

#[test]
fn a_week_as_always_has_no_odd_day() {
    assert_eq!(outliers(rows("tv", &weeks(99, 0.0))), [] as [&str; 0]);
    let equal = vec![Some(1.0); 42];
    assert_eq!(outliers(rows("tv", &equal)), [] as [&str; 0]);
}

#[test]
fn where_most_are_equal_the_one_that_is_not_stands_apart() {
    let mut values = vec![Some(1.0); 42];
    values[41] = Some(5.0);
    assert_eq!(outliers(rows("tv", &values)), ["2026-04-11"]);
}

#[test]
fn series_are_kept_apart_and_may_have_holes() {
    let mut both = rows("tv", &weeks(41, 6.0));
    let mut holes = weeks(99, 0.0);
    holes[10] = None;
    holes[25] = None;
    both.extend(rows("oven", &holes));
    assert_eq!(outliers(both.clone()), ["2026-04-11"]);
    let added = analysis(OUTLIER)
        .add(both, &Params::default())
        .expect("rows");
    assert_eq!(added.iter().filter(|row| row["is_last"] == true).count(), 2);
    let expected = added[41]["expected"].as_f64().expect("expected");
    assert!((7.0..9.0).contains(&expected), "{expected}");
}

#[test]
fn what_is_too_short_is_not_judged() {
    let added = analysis(OUTLIER).add(rows("tv", &weeks(5, 9.0)[..10]), &Params::default());
    assert!(
        added
            .expect("rows")
            .iter()
            .all(|row| row["is_outlier"].is_null())
    );
}

const FORECAST: &str = "kind = 'forecast'\nreaches = 15.0\nhorizon = 120";

fn reaches(values: &[Option<f64>]) -> Option<f64> {
    let added = analysis(FORECAST).add(rows("door", values), &Params::default());
    let added = added.expect("rows");
    assert_eq!(added.len(), 1, "the last row is kept");
    added[0]["reaches_at_days"].as_f64()
}

/// 0.5 % a day from 60 %, told in whole percents.
#[test]
fn a_battery_that_falls_is_low_when_it_will_be() {
    let level = |day: i32| (60.0 - 0.5 * f64::from(day)).round();
    let values: Vec<Option<f64>> = (0..50).map(|day| Some(level(day))).collect();
    let days = reaches(&values).expect("days");
    assert!(
        (35.0..=48.0).contains(&days),
        "at 35.5 %, 41 days are left: {days}"
    );
}

#[test]
fn a_battery_that_stays_is_never_low() {
    assert_eq!(reaches(&vec![Some(90.0); 50]), None);
    let wavy: Vec<Option<f64>> = (0..50).map(|day| Some(90.0 + noise(day))).collect();
    assert_eq!(reaches(&wavy), None);
    assert_eq!(reaches(&[Some(40.0), Some(35.0)]), None, "too short");
}

#[test]
fn what_is_there_already_is_there_now() {
    assert_eq!(reaches(&[Some(40.0), Some(14.0)]), Some(0.0));
    assert_eq!(reaches(&[Some(14.0)]), Some(0.0));
}

#[test]
fn an_analysis_that_makes_no_sense_is_refused() {
    let none = BTreeMap::new();
    for more in [
        "kind = 'outlier'\nthreshold = 3.0",
        "kind = 'outlier'\nseason = 1\nthreshold = 3.0",
        "kind = 'outlier'\nseason = 7\nthreshold = 'none'",
        "kind = 'forecast'\nhorizon = 10",
        "kind = 'forecast'\nhorizon = 1000\nreaches = 1.0",
        "kind = 'forecast'\nhorizon = 10\nreaches = 1.0\nseason = 7",
        "kind = 'forecast'\nhorizon = 10\nreaches = 1.0\nfrom = 'left'",
    ] {
        let source = format!("key = 'device'\ntime = 'day'\nvalue = 'value'\n{more}");
        let read = toml::from_str::<Analysis>(&source).map_err(|error| error.to_string());
        let checked = read.and_then(|analysis| analysis.check(&none));
        assert!(checked.is_err(), "{more}");
    }
    let no_time = json!({"device": "a", "day": "soon", "value": 1});
    let row = no_time.as_object().expect("row").clone();
    let words = analysis(OUTLIER).add(vec![row], &Params::default());
    assert_eq!(
        words.expect_err("time"),
        "`day` is \"soon\", which is no time"
    );
}
