//! For who writes a pack: shows its query, or what it makes of the answer.
//!
//! ```sh
//! cargo run --example pack -- sql mine.toml lakeside Europe/Vienna > query.sql
//! tarn sql --json - < query.sql > answer.json
//! cargo run --example pack -- evaluate mine.toml < answer.json
//! ```
//!
//! Parameters follow as `name=value`, values as in TOML.

use std::{collections::BTreeMap, env, error::Error, fs, io};

use jiff::{Timestamp, tz::TimeZone};
use tarn_insights::{Pack, Row};

fn main() -> Result<(), Box<dyn Error>> {
    let (sets, words): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|word| is_setting(word));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let file = words
        .get(1)
        .ok_or("usage: sql|evaluate FILE [HOME ZONE] [NAME=VALUE…]")?;
    let pack = Pack::parse(file, &fs::read_to_string(file)?)?;
    let params = pack.params(&toml::from_str::<BTreeMap<_, _>>(&sets.join("\n"))?)?;
    #[allow(
        clippy::disallowed_methods,
        reason = "a program of its own, that nobody tests"
    )]
    let now_ms = Timestamp::now().as_millisecond();
    match words.as_slice() {
        ["sql", _, home, zone] => {
            println!("{}", pack.sql(home, now_ms, &TimeZone::get(zone)?, &params));
        }
        ["evaluate", _] => {
            let answer: serde_json::Value = serde_json::from_reader(io::stdin())?;
            for finding in pack.evaluate(rows(&answer), &params, now_ms)? {
                println!("{}", serde_json::to_string_pretty(&finding)?);
            }
        }
        _ => return Err("usage: sql|evaluate FILE [HOME ZONE] [NAME=VALUE…]".into()),
    }
    Ok(())
}

/// Whether a word is `name=value`, and not a file or a home.
fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        name.bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    })
}

/// The rows of an answer of `POST /v1/sql`: names of columns, and a list of values for each row.
fn rows(answer: &serde_json::Value) -> Vec<Row> {
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let columns: Vec<String> = list(&answer["columns"])
        .iter()
        .filter_map(|column| column["name"].as_str().map(str::to_owned))
        .collect();
    let rows = list(&answer["rows"]).into_iter();
    rows.map(|row| columns.iter().cloned().zip(list(&row)).collect())
        .collect()
}
