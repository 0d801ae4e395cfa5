use super::*;

const GOOD: &str = r#"
id = "mine"
title = "Mine"
about = "x"
category = "energy"
severity = "info"
every = "1h"
window = "1d"
sql = "SELECT 1 AS n, {high} AS high"
condition = "row.n > params.high"
key = "{{ row.n }}"
advice = "{{ row.n }} of {{ params.high }}"
[params]
high = { value = 1, about = "x" }
"#;

fn refused(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let source = GOOD.replace(from, to);
    Pack::parse("mine.toml", &source).expect_err(to).to_string()
}

#[test]
fn what_is_wrong_is_told_with_file_and_field() {
    Pack::parse("mine.toml", GOOD).expect("good");
    for (from, to, words) in [
        (
            "id = \"mine\"",
            "id = \"My pack\"",
            "id: it is 1 to 64 of a-z 0-9 -",
        ),
        (
            "title = \"Mine\"",
            "title = \"\"",
            "title: it has 1 to 100 characters",
        ),
        ("\"energy\"", "\"money\"", "line 5: unknown variant `money`"),
        (
            "about = \"x\"\ncategory",
            "abuot = \"x\"\ncategory",
            "line 4: unknown field `abuot`",
        ),
        ("\"1h\"", "\"1s\"", "every: it is every 1m at most"),
        ("\"1h\"", "\"0 25 * * *\"", "every: `0 25 * * *` is no time"),
        (
            "\"1d\"",
            "\"1 day\"",
            "window: `1 day` is no length of time",
        ),
        (
            "{high} AS",
            "{hihg} AS",
            "sql: `{hihg}` is not known and no parameter",
        ),
        ("{high} AS", "'{high}' AS", "sql: `{high}` stands in quotes"),
        (
            "SELECT 1",
            "DELETE 1",
            "sql: a query begins with SELECT or WITH",
        ),
        (
            "> params.high",
            "> params.low",
            "condition: there is no parameter `low`",
        ),
        ("> params.high", "> ", "condition: at character"),
        (
            "key = \"{{ row.n }}\"",
            "key = \"{{ row.n\"",
            "key: a `{{` in the text has no `}}`",
        ),
        (
            "of {{ params.high }}",
            "of {{ high }}",
            "advice: `high` is not known",
        ),
        (
            "high = { value",
            "Now = { value",
            "params.Now: a name begins with a letter",
        ),
        (
            "high = { value",
            "now = { value",
            "params.now: that name has a meaning",
        ),
        (
            "value = 1,",
            "value = 1, max = 0,",
            "params.high: it is a number up to 0",
        ),
    ] {
        let error = refused(from, to);
        assert!(
            error.starts_with(&format!("mine.toml: {words}")),
            "{to}: {error}"
        );
    }
}

const DAY_MS: i64 = 86_400_000;
const MIDNIGHT_MS: i64 = 1_774_738_800_000; // 2026-03-29T00:00 in Vienna; at 2 o'clock the clocks are put forward

fn due(every: &str, last_ms: Option<i64>, now_ms: i64) -> bool {
    let pack = Pack::parse("mine.toml", &GOOD.replace("1h", every)).expect(every);
    let zone = TimeZone::get("Europe/Vienna").expect("zone");
    pack.due(last_ms, now_ms, &zone)
}

#[test]
fn a_pack_is_due_after_its_time() {
    assert!(due("1h", None, 0));
    assert!(!due("1h", Some(1_000), 3_600_999));
    assert!(due("1h", Some(1_000), 3_601_000));
    assert!(due("1h", Some(9_000), 1_000), "the clock was wrong");
}

#[test]
fn a_pack_is_due_at_the_home_s_hours() {
    let at = |hours: i64| MIDNIGHT_MS + hours * 3_600_000;
    // Six o'clock is five hours after midnight on that day.
    assert!(!due("0 6 * * *", Some(at(-10)), at(5) - 1));
    assert!(due("0 6 * * *", Some(at(-10)), at(5)));
    assert!(!due("0 6 * * *", Some(at(5)), at(23)));
    assert!(due("0 6 * * *", Some(at(5)), at(5) + DAY_MS));
    assert!(
        due("0 6 * * *", Some(at(5)), at(5) + 30 * DAY_MS),
        "the box was away"
    );
}
