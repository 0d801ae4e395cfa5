use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{evaluate::Bound, *};
use crate::{input::Reading, place::Place, world::World};

const NOW_MS: i64 = 1_750_000_000_000;

fn world() -> World {
    let mut world = World::default();
    for (device, metric, value, text) in [
        ("kitchen", "co2", Some(900.0), None),
        ("bath/climate", "temperature", Some(21.5), None),
        ("grid", "power", Some(0.0), None),
        ("hall", "lock", None, Some("locked")),
        ("odd", "number", Some(f64::NAN), None),
    ] {
        let reading = Reading {
            seq: 1,
            ts_ms: NOW_MS - 90_000,
            device,
            metric,
            value,
            text,
            replayed: false,
        };
        world.take(&reading, NOW_MS);
    }
    world.mode = Some("night".to_owned());
    world.presence.insert("ada".to_owned(), true);
    world.online.insert("freezer".to_owned(), false);
    world
}

fn bound(source: &str, world: &mut World) -> Bound {
    let mut bound = Bound::new(Expression::parse(source).expect(source));
    bound.bind(world);
    let windows: Vec<_> = bound
        .expression
        .looks()
        .iter()
        .zip(&bound.series)
        .filter_map(|(look, id)| match look {
            Look::Window { window_ms, .. } => Some(((*id)?, *window_ms)),
            _ => None,
        })
        .collect();
    world.keep_histories(windows);
    bound
}

fn evaluated(source: &str) -> Result<String, String> {
    let mut world = world();
    let bound = bound(source, &mut world);
    let place = Place {
        zone: TimeZone::get("Europe/Berlin").expect("zone"),
        coordinates: None,
    };
    let moment = Moment {
        world: &world,
        place: &place,
        now_ms: NOW_MS,
    };
    bound.words(&environment(), moment)
}

fn check(source: &str, expected: &str) {
    assert_eq!(evaluated(source).as_deref(), Ok(expected), "{source}");
}

fn check_fails(source: &str, words: &str) {
    assert_eq!(evaluated(source), Err(words.to_owned()), "{source}");
}

fn check_refused(source: &str, words: &str) {
    let refused = Expression::parse_condition(source).expect_err(source);
    assert!(refused.0.contains(words), "{source}: {refused}");
}

#[test]
fn an_expression_sees_the_home() {
    check("value('kitchen/co2')", "900");
    check("value('bath/climate/temperature') > 21", "true");
    check("text('hall/lock') == 'locked'", "true");
    check("has('kitchen/co2') && !has('kitchen/tvoc')", "true");
    check("age('kitchen/co2')", "90");
    check("online('freezer')", "false");
    check("online('kitchen')", "true");
    check("home('ada') && !home('bob') && anyone()", "true");
    check("mode in ['night', 'away']", "true");
    // 2025-06-15, a Sunday, 17:06:40 in Berlin.
    check("hour * 100 + minute", "1706");
    check("weekday == 7", "true");
    check("now", "1750000000");
}

#[test]
fn whole_numbers_and_fractions_go_together() {
    check("value('kitchen/co2') + 2", "902");
    check("2 * value('kitchen/co2') - 1", "1799");
    check("value('kitchen/co2') / 2 + hour", "467");
    check("hour > 22 ? 1.5 : 2", "2");
    check("hour % 2 == 1", "true");
    check("double(hour) / 2 > 8", "true");
    check("value('grid/power') in [0, 1]", "true");
}

#[test]
fn what_cannot_be_computed_fails_in_words() {
    check_fails("value('kitchen/tvoc') > 1", "kitchen/tvoc told nothing yet");
    check_fails("value('odd/number') > 1", "odd/number is no number");
    check_fails("value('hall/lock') > 1", "hall/lock is no number");
    check_fails("text('kitchen/co2') == ''", "kitchen/co2 has no words");
    check_fails(
        "online('garage')",
        "whether garage is there is not known yet",
    );
    check_fails("1 / value('grid/power') > 3", "division by zero");
    check_fails("hour / (minute - 6) > 3", "division by zero");
    check_fails("hour % (minute - 6) > 3", "division by zero");
    check_fails(
        "avg('kitchen/co2', '10s') > 3",
        "kitchen/co2 told nothing within avg('kitchen/co2', '10s')",
    );
}

#[test]
fn a_failure_that_does_not_matter_is_none() {
    check(
        "value('kitchen/tvoc') > 1 || value('kitchen/co2') > 1",
        "true",
    );
    check(
        "value('kitchen/tvoc') > 1 && value('kitchen/co2') < 1",
        "false",
    );
    check(
        "has('kitchen/tvoc') ? value('kitchen/tvoc') > 1 : false",
        "false",
    );
}

#[test]
fn windows_are_folded() {
    let mut world = world();
    let folds = "avg('a/b', '10m') == 2 && min('a/b', '10m') == 1 && max('a/b', '10m') == 3 \
                 && sum('a/b', '10m') == 6 && count('a/b', '10m') == 3";
    let bound = bound(folds, &mut world);
    for (at, value) in [(700, 50.0), (300, 1.0), (200, 2.0), (100, 3.0)] {
        let ts_ms = NOW_MS - at * 1000;
        let reading = Reading {
            seq: 1,
            ts_ms,
            device: "a",
            metric: "b",
            value: Some(value),
            text: None,
            replayed: false,
        };
        world.take(&reading, ts_ms);
    }
    let place = Place {
        zone: TimeZone::UTC,
        coordinates: None,
    };
    let moment = Moment {
        world: &world,
        place: &place,
        now_ms: NOW_MS,
    };
    assert_eq!(bound.holds(&environment(), moment), Ok(true));
    let values: Vec<_> = bound.values(moment).map(|(name, _)| name).collect();
    assert!(
        values.contains(&"avg('a/b', '10m')".to_owned()),
        "{values:?}"
    );
}

#[test]
fn what_is_not_known_is_refused_in_words() {
    check_refused("value('kitchen/co2')", "compare it");
    check_refused(
        "vale('kitchen/co2') > 1",
        "`vale()` is not known, did you mean `value`?",
    );
    check_refused("hours > 1", "`hours` is not known, did you mean `hour`?");
    check_refused("value('kitchen' + '/co2') > 1", "a text in quotes");
    check_refused("value('co2') > 1", "write 'device/metric'");
    check_refused(
        "value('a/b') > 'x'",
        "`>` does not go with a number and a text",
    );
    check_refused("text('a/b') && true", "does not go with");
    check_refused("avg('a/b', '8d') > 1", "7d at most");
    check_refused("avg('a/b', 'long') > 1", "no length of time");
    check_refused("avg('a/b') > 1", "takes 2 arguments");
    check_refused("[1, 2].exists(x, x > 1)", "not known");
    check_refused("text('a/b').matches('x*')", "not known");
    check_refused("{'a': 1}.a > 1", "not known");
    check_refused("value('a/b') >", "at character");
    check_refused("@0 == 1.0", "at character");
}

#[test]
fn long_and_deep_expressions_are_refused() {
    check_refused(&format!("hour > {}", "1".repeat(2100)), "2048 bytes");
    check_refused(
        &format!("{}hour{} > 1", "(".repeat(60), ")".repeat(60)),
        "nest",
    );
    check_refused(
        &format!("{}1 > 0", "true ? 1 : ".repeat(100)),
        "may nest 20 deep",
    );
    check_refused(&format!("hour{} > 1", " + 1".repeat(300)), "nest 48 deep");
    check_refused(&format!("{}true", "true && ".repeat(250)), "parts");
}

#[test]
fn a_small_stack_is_enough_for_the_worst() {
    let chains = [
        "(",
        "[",
        "{",
        "a(",
        "!",
        "-",
        "true ? 1 : ",
        "a.",
        "a[",
        "!(",
        "1 + ",
        "1 < ",
        "[-",
        "{1:",
        "a{b:",
    ];
    let mut sources: Vec<String> = chains
        .iter()
        .map(|part| part.repeat(EXPRESSION_BYTES_MAX / part.len() - 1) + "1")
        .collect();
    let deepest = usize::from(NESTING_MAX);
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!(1 > ", ")"),
        ("(true ? 1 : ", ")"),
    ] {
        sources.push(format!(
            "{}1{}",
            open.repeat(deepest),
            close.repeat(deepest)
        ));
    }
    let parse = move || {
        sources
            .iter()
            .filter(|source| Expression::parse(source).is_ok())
            .count()
    };
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(parse);
    let accepted = small.expect("thread").join().expect("parsed");
    assert!((1..10).contains(&accepted), "{accepted}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_does_no_harm(parts in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..60)) {
        let source = parts.concat();
        if let Ok(expression) = Expression::parse(&source) {
            let mut world = world();
            let mut bound = Bound::new(expression);
            bound.bind(&mut world);
            let place = Place { zone: TimeZone::UTC, coordinates: None };
            let moment = Moment { world: &world, place: &place, now_ms: NOW_MS };
            let types = ["it gives another type", "it cannot be computed"];
            let result = bound.words(&environment(), moment);
            prop_assert!(!result.is_err_and(|words| types.contains(&words.as_str())), "{}", source);
        }
    }

    #[test]
    fn bytes_that_are_no_expression_do_no_harm(source in "\\PC{0,200}") {
        let _ = Expression::parse(&source);
    }
}

/// What random expressions are put together from.
const FRAGMENTS: &[&str] = &[
    "value('kitchen/co2')",
    "text('hall/lock')",
    "has('a/b')",
    "avg('kitchen/co2', '10m')",
    "online('x')",
    "hour",
    "now",
    "mode",
    "1",
    "2.5",
    "'x'",
    "true",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    " > ",
    " == ",
    " != ",
    " in ",
    " && ",
    " || ",
    "!",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ", ",
    " ? ",
    " : ",
    ".size()",
    ".contains('x')",
    ".",
    "int(",
    "double(",
    "string(",
    "size(",
    "null",
    "b'x'",
    "1u",
    "9223372036854775807",
    "1e308",
    "\"",
    "'",
    "\\",
    "\n",
    "@0",
    "`a`",
];
