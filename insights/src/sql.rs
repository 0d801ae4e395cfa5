use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::params::{Params, Scalar};

/// Bytes of a query at most, before its places are filled in.
pub(crate) const SQL_BYTES_MAX: usize = 16 * 1024;

/// A query with places: `{home}`, `{zone}`, `{now}` or `{to}`, `{from}` (the window before now), `{midnight}` (when the
/// day began), `{from_midnight}` (when the day began that `{from}` lies in), `{today}` (a date), and the name of each
/// parameter. What is put there is always a whole SQL literal.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Sql(String),
    Place(Place),
}

#[derive(Debug, Clone)]
enum Place {
    Home,
    Now,
    From,
    FromMidnight,
    Midnight,
    Today,
    Zone,
    Param(String),
}

/// What the places of a query are filled in from.
pub(crate) struct Filling<'a> {
    pub(crate) home: &'a str,
    pub(crate) now_ms: i64,
    pub(crate) window_ms: i64,
    pub(crate) zone: &'a TimeZone,
    pub(crate) params: &'a Params,
}

/// Where in a query a character stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    Text,
    Name,
    Line,
    Block,
}

impl Query {
    /// Reads a query. `is_param` says whether there is a parameter of a name.
    ///
    /// A place in a text, a quoted name or a comment is refused: a literal that is put there would not be one.
    pub(crate) fn parse(source: &str, is_param: impl Fn(&str) -> bool) -> Result<Query, String> {
        if source.len() > SQL_BYTES_MAX {
            return Err(format!("a query has {SQL_BYTES_MAX} bytes at most"));
        }
        let begins = source.trim_start().get(..6).unwrap_or_default();
        let is_with = begins
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case("with"));
        if !is_with && !begins.eq_ignore_ascii_case("select") {
            return Err("a query begins with SELECT or WITH".to_owned());
        }
        let mut parts = Vec::new();
        let mut sql = String::new();
        let mut inside = Inside::Code;
        let mut rest = source;
        while let Some(next) = rest.chars().next() {
            if next == '{' {
                let Some((name, after)) = rest[1..].split_once('}') else {
                    return Err("a `{` in the query has no `}`".to_owned());
                };
                let shown: String = name.chars().take(40).collect();
                if inside != Inside::Code {
                    return Err(format!(
                        "`{{{shown}}}` stands in quotes or in a comment; a place brings its own quotes"
                    ));
                }
                let place = Place::parse(name, &is_param)
                    .ok_or_else(|| format!("`{{{shown}}}` is not known and no parameter"))?;
                parts.push(Part::Sql(std::mem::take(&mut sql)));
                parts.push(Part::Place(place));
                rest = after;
                continue;
            }
            let length = if inside == Inside::Code && next == ';' {
                return Err("a query is one statement, without `;`".to_owned());
            } else {
                inside.step(rest)
            };
            let (taken, after) = rest.split_at(length.max(next.len_utf8()));
            sql.push_str(taken);
            rest = after;
        }
        if matches!(inside, Inside::Text | Inside::Name | Inside::Block) {
            return Err("a quote or a comment in the query does not end".to_owned());
        }
        parts.push(Part::Sql(sql));
        Ok(Query { parts })
    }

    /// The query with its places filled in.
    pub(crate) fn fill(&self, filling: &Filling<'_>) -> String {
        let mut sql = String::new();
        for part in &self.parts {
            match part {
                Part::Sql(text) => sql.push_str(text),
                Part::Place(place) => place.write(&mut sql, filling),
            }
        }
        sql
    }
}

impl Inside {
    /// Takes what comes next and gives its length in bytes, 0 where it is a character like others.
    fn step(&mut self, rest: &str) -> usize {
        let (next, length) = match *self {
            Inside::Code if rest.starts_with('\'') => (Inside::Text, 1),
            Inside::Code if rest.starts_with('"') => (Inside::Name, 1),
            Inside::Code if rest.starts_with("--") => (Inside::Line, 2),
            Inside::Code if rest.starts_with("/*") => (Inside::Block, 2),
            // A doubled quote ends a text and begins it again, which comes to the same.
            Inside::Text if rest.starts_with('\'') => (Inside::Code, 1),
            Inside::Name if rest.starts_with('"') => (Inside::Code, 1),
            Inside::Line if rest.starts_with('\n') => (Inside::Code, 1),
            Inside::Block if rest.starts_with("*/") => (Inside::Code, 2),
            same => (same, 0),
        };
        *self = next;
        length
    }
}

impl Place {
    fn parse(name: &str, is_param: impl Fn(&str) -> bool) -> Option<Place> {
        Some(match name {
            "home" => Place::Home,
            "now" | "to" => Place::Now,
            "from" => Place::From,
            "from_midnight" => Place::FromMidnight,
            "midnight" => Place::Midnight,
            "today" => Place::Today,
            "zone" => Place::Zone,
            _ if is_param(name) => Place::Param(name.to_owned()),
            _ => return None,
        })
    }

    fn write(&self, sql: &mut String, filling: &Filling<'_>) {
        let Filling { now_ms, zone, .. } = *filling;
        let from_ms = now_ms.saturating_sub(filling.window_ms);
        match self {
            Place::Home => write_text(sql, filling.home),
            Place::Now => write_time(sql, now_ms),
            Place::From => write_time(sql, from_ms),
            Place::FromMidnight => write_time(sql, midnight_ms(from_ms, zone)),
            Place::Midnight => write_time(sql, midnight_ms(now_ms, zone)),
            Place::Today => {
                let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
                let _ = write!(sql, "DATE '{}'", zone.to_datetime(now).date());
            }
            Place::Zone => write_text(sql, &zone_name(zone, now_ms)),
            Place::Param(name) => match filling.params.get(name) {
                Some(value) => write_param(sql, value),
                None => sql.push_str("NULL"),
            },
        }
    }
}

/// When the day began that a moment lies in.
fn midnight_ms(ms: i64, zone: &TimeZone) -> i64 {
    let midnight = Timestamp::from_millisecond(ms)
        .ok()
        .and_then(|at| zone.to_datetime(at).date().to_zoned(zone.clone()).ok());
    midnight.map_or(ms, |at| at.timestamp().as_millisecond())
}

/// What a query calls a time zone: its name, or what its clocks are ahead of UTC now where it has none.
fn zone_name(zone: &TimeZone, now_ms: i64) -> String {
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    let seconds =
        Timestamp::from_millisecond(now_ms).map_or(0, |now| zone.to_offset(now).seconds());
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn write_text(sql: &mut String, text: &str) {
    sql.push('\'');
    for one in text.chars() {
        match one {
            '\'' => sql.push_str("''"),
            // No name or pattern has one, and not every reader of SQL takes it.
            '\0' => {}
            _ => sql.push(one),
        }
    }
    sql.push('\'');
}

fn write_time(sql: &mut String, ms: i64) {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    // Writing into a string cannot fail.
    let _ = write!(sql, "TIMESTAMP '{at:.3}'");
}

fn write_scalar(sql: &mut String, value: &Scalar) {
    match value {
        Scalar::Text(text) => write_text(sql, text),
        Scalar::Bool(yes) => sql.push_str(if *yes { "TRUE" } else { "FALSE" }),
        Scalar::Number(number) => {
            // Not bare, so that a minus never stands behind another one, which would begin a comment.
            let _ = write!(sql, "CAST({number:?} AS DOUBLE)");
        }
    }
}

fn write_param(sql: &mut String, value: &crate::params::Value) {
    match value {
        crate::params::Value::One(scalar) => write_scalar(sql, scalar),
        crate::params::Value::Many(list) => {
            sql.push_str("make_array(");
            for (at, scalar) in list.iter().enumerate() {
                if at > 0 {
                    sql.push_str(", ");
                }
                write_scalar(sql, scalar);
            }
            sql.push(')');
        }
    }
}

#[cfg(test)]
mod tests;
