use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tarn_rules::{Place, Severity, Trigger, duration::Span, schedule::Schedule};

use crate::{
    analysis::Analysis,
    expression::Expression,
    file::File,
    params::{PARAMS_MAX, Param, ParamError, Params, Value},
    sql::{Filling, Query},
    text::Text,
};

/// Bytes of a pack's file at most.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

/// The shortest time between two runs of a pack: 1 minute.
const EVERY_MS_MIN: i64 = 60_000;

/// Places of a query that are no parameters.
const RESERVED: [&str; 8] = [
    "home",
    "zone",
    "now",
    "to",
    "from",
    "midnight",
    "from_midnight",
    "today",
];

/// What a pack is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// What is used, and what it costs.
    Energy,
    /// Air, warmth and damp.
    Climate,
    /// People.
    Health,
    /// The devices themselves.
    Devices,
    /// Films, music, games.
    Entertainment,
}

/// A pack that was checked: what it is, its query, its condition, its advice.
#[derive(Debug, Clone)]
pub struct Pack {
    /// What it is called by programs: `a-z`, `0-9` and `-`.
    pub id: String,
    /// What it is called by people.
    pub title: String,
    /// What it tells, in a sentence or two.
    pub about: String,
    /// What it is about.
    pub category: Category,
    /// How bad a finding is.
    pub severity: Severity,
    /// When it runs, as written: a length of time, or a cron pattern in the home's time zone.
    pub every: String,
    /// How far back its query looks.
    pub window: Span,
    /// Whether its findings are nobody's business but the home's: they are neither to be shipped nor to be told to guests.
    pub private: bool,
    /// What is to be read beside each finding.
    pub disclaimer: Option<String>,
    /// What a user may set.
    pub params: BTreeMap<String, Param>,
    pub(crate) when: When,
    pub(crate) query: Query,
    pub(crate) analysis: Option<Analysis>,
    pub(crate) condition: Option<Expression>,
    pub(crate) key: Text,
    pub(crate) advice: Text,
}

/// When a pack runs.
#[derive(Debug, Clone)]
pub(crate) enum When {
    Every(Span),
    Cron(Box<Schedule>),
}

/// Why a pack is refused; for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}{words}", field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct PackError {
    /// The file, by its name.
    pub file: String,
    /// What stands in it that is wrong; none where it is the whole file.
    pub field: Option<String>,
    /// What is wrong with it.
    pub words: String,
}

impl Pack {
    /// Reads a pack. `file` is what an error calls it.
    ///
    /// # Errors
    /// It is no TOML, something is missing or not known, or a query, an expression or a time cannot be read; the error
    /// has the field and words.
    pub fn parse(file: &str, source: &str) -> Result<Pack, PackError> {
        let error = |field: Option<&str>, words: String| PackError {
            file: file.to_owned(),
            field: field.map(str::to_owned),
            words,
        };
        if source.len() > FILE_BYTES_MAX {
            return Err(error(None, format!("it has over {FILE_BYTES_MAX} bytes")));
        }
        let read: File = toml::from_str(source).map_err(|fault| {
            let line = fault.span().map(|span| {
                let before = source.get(..span.start).unwrap_or_default();
                format!("line {}: ", before.matches('\n').count() + 1)
            });
            error(None, line.unwrap_or_default() + fault.message())
        })?;
        Pack::check(read).map_err(|(field, words)| error(Some(&field), words))
    }

    fn check(read: File) -> Result<Pack, (String, String)> {
        let at = |field: &'static str| move |words: String| (field.to_owned(), words);
        id_is_good(&read.id).map_err(at("id"))?;
        if read.title.is_empty() || read.title.chars().count() > 100 {
            return Err(at("title")("it has 1 to 100 characters".to_owned()));
        }
        if read.params.len() > PARAMS_MAX {
            return Err(at("params")(format!("there are {PARAMS_MAX} at most")));
        }
        for name in read.params.keys() {
            param_name_is_good(name).map_err(|words| (format!("params.{name}"), words))?;
        }
        Params::of(&read.params, &BTreeMap::new())
            .map_err(|fault| (format!("params.{}", fault.name), fault.words))?;
        let is_param = |name: &str| read.params.contains_key(name);
        let window = Span::parse(&read.window).map_err(|fault| at("window")(fault.to_string()))?;
        let query = Query::parse(&read.sql, is_param).map_err(at("sql"))?;
        let condition = read.condition.as_deref();
        let condition = condition.map(|source| Expression::parse(source, &is_param));
        if let Some(analysis) = &read.analysis {
            analysis.check(&read.params).map_err(at("analysis"))?;
        }
        Ok(Pack {
            when: When::parse(&read.every).map_err(at("every"))?,
            condition: condition.transpose().map_err(at("condition"))?,
            key: Text::parse(&read.key, &is_param).map_err(at("key"))?,
            advice: Text::parse(&read.advice, &is_param).map_err(at("advice"))?,
            query,
            window,
            analysis: read.analysis,
            id: read.id,
            title: read.title,
            about: read.about.trim().to_owned(),
            category: read.category,
            severity: read.severity,
            every: read.every,
            private: read.private,
            disclaimer: read.disclaimer,
            params: read.params,
        })
    }

    /// The values that the pack runs with: its own, and those of the user in their place.
    ///
    /// # Errors
    /// There is no parameter of a name, or its value is of another kind or out of bounds; the error has words.
    pub fn params(&self, overrides: &BTreeMap<String, Value>) -> Result<Params, ParamError> {
        Params::of(&self.params, overrides)
    }

    /// The query to run, in DataFusion's SQL, with everything in it quoted.
    ///
    /// `home` is the name of the home, `now_ms` the time (milliseconds since 1970), `zone` the home's time zone.
    #[must_use]
    pub fn sql(&self, home: &str, now_ms: i64, zone: &TimeZone, params: &Params) -> String {
        self.query.fill(&Filling {
            home,
            now_ms,
            window_ms: self.window.ms(),
            zone,
            params,
        })
    }

    /// Whether it is time to run, where it ran at `last_ms` before, if ever (both milliseconds since 1970).
    ///
    /// A pack that has never run is due, and so is one that ran in what is now the future: a clock was wrong.
    #[must_use]
    pub fn due(&self, last_ms: Option<i64>, now_ms: i64, zone: &TimeZone) -> bool {
        let Some(last_ms) = last_ms.filter(|last_ms| *last_ms <= now_ms) else {
            return true;
        };
        match &self.when {
            When::Every(every) => now_ms.saturating_sub(last_ms) >= every.ms(),
            When::Cron(schedule) => {
                let place = Place {
                    zone: zone.clone(),
                    coordinates: None,
                };
                let next_ms = schedule.after(last_ms, &place);
                next_ms.is_some_and(|next_ms| next_ms <= now_ms)
            }
        }
    }
}

impl When {
    fn parse(every: &str) -> Result<When, String> {
        if !every.trim().contains(char::is_whitespace) {
            let span = Span::parse(every).map_err(|fault| fault.to_string())?;
            if span.ms() < EVERY_MS_MIN {
                return Err("it is every 1m at most".to_owned());
            }
            return Ok(When::Every(span));
        }
        let trigger = Trigger::Schedule {
            cron: every.trim().to_owned(),
        };
        let nowhere = Place {
            zone: TimeZone::UTC,
            coordinates: None,
        };
        match Schedule::of(&trigger, &nowhere)? {
            Some(schedule) => Ok(When::Cron(Box::new(schedule))),
            None => Err("it is no time".to_owned()),
        }
    }
}

fn id_is_good(id: &str) -> Result<(), String> {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&id.len()) && id.bytes().all(is_known) {
        return Ok(());
    }
    Err("it is 1 to 64 of a-z 0-9 -".to_owned())
}

fn param_name_is_good(name: &str) -> Result<(), String> {
    if RESERVED.contains(&name) {
        return Err("that name has a meaning of its own in queries".to_owned());
    }
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && name.len() <= 40 && name.bytes().all(is_known) {
        return Ok(());
    }
    Err("a name begins with a letter and is 1 to 40 of a-z 0-9 _".to_owned())
}

#[cfg(test)]
mod tests;
