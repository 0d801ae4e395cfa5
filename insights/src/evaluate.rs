use std::collections::HashSet;

use crate::{Finding, Pack, Params, Row, expression::Frame};

/// Rows that a pack looks at, at most.
pub const ROWS_MAX: usize = 20_000;

/// Columns of a row at most.
pub const COLUMNS_MAX: usize = 64;

/// Findings of one run at most: the first that the query gives.
pub const FINDINGS_MAX: usize = 100;

/// Characters of a key at most; it is cut there.
const KEY_CHARS_MAX: usize = 200;

/// Characters of an advice at most; it is cut there.
const ADVICE_CHARS_MAX: usize = 2_000;

/// Why a pack could not be evaluated; for people. Other packs are not concerned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// The query gave more than a pack may look at.
    #[error("{pack}: its query gives {found} {what}, {max} at most are looked at")]
    TooMuch {
        /// The pack's id.
        pack: String,
        /// Rows or columns.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Something of the pack does not fit the rows of its query.
    #[error("{pack}: {field}: {words}")]
    Field {
        /// The pack's id.
        pack: String,
        /// `analysis`, `condition` or `key`.
        field: &'static str,
        /// What is wrong.
        words: String,
    },
}

impl Pack {
    /// What the rows of its query say. `now_ms` is milliseconds since 1970.
    ///
    /// A row that has a `device` and no `name` gets the device's id as its name: whoever knows names puts them there before.
    /// Of several rows with one key the first counts, and there are [`FINDINGS_MAX`] findings at most.
    ///
    /// # Errors
    /// There are too many rows or columns, or a column is missing or of another kind than the pack takes it for.
    pub fn evaluate(
        &self,
        mut rows: Vec<Row>,
        params: &Params,
        now_ms: i64,
    ) -> Result<Vec<Finding>, EvaluateError> {
        self.bound("rows", rows.len(), ROWS_MAX)?;
        let columns = rows.iter().map(Row::len).max().unwrap_or_default();
        self.bound("columns", columns, COLUMNS_MAX)?;
        rows.iter_mut().for_each(name);
        if let Some(analysis) = &self.analysis {
            let added = analysis.add(rows, params);
            rows = added.map_err(|words| self.error("analysis", words))?;
        }
        let frame = Frame::new(params, now_ms);
        let mut keys = HashSet::new();
        let mut findings = Vec::new();
        for row in rows {
            if findings.len() == FINDINGS_MAX {
                break;
            }
            let scope = frame.scope(&row);
            if let Some(condition) = &self.condition {
                let holds = condition.holds(&scope);
                if !holds.map_err(|words| self.error("condition", words))? {
                    continue;
                }
            }
            let key = self.key.fill_wholly(&scope);
            let key = cut(
                key.map_err(|words| self.error("key", words))?,
                KEY_CHARS_MAX,
            );
            if !keys.insert(key.clone()) {
                continue;
            }
            let advice = cut(self.advice.fill(&scope), ADVICE_CHARS_MAX);
            findings.push(self.finding(key, advice, row, now_ms));
        }
        Ok(findings)
    }

    fn finding(&self, key: String, advice: String, values: Row, now_ms: i64) -> Finding {
        Finding {
            pack: self.id.clone(),
            key,
            severity: self.severity,
            title: self.title.clone(),
            advice,
            values,
            private: self.private,
            disclaimer: self.disclaimer.clone(),
            at_ms: now_ms,
        }
    }

    fn bound(&self, what: &'static str, found: usize, max: usize) -> Result<(), EvaluateError> {
        if found <= max {
            return Ok(());
        }
        Err(EvaluateError::TooMuch {
            pack: self.id.clone(),
            what,
            found,
            max,
        })
    }

    fn error(&self, field: &'static str, words: String) -> EvaluateError {
        EvaluateError::Field {
            pack: self.id.clone(),
            field,
            words,
        }
    }
}

fn name(row: &mut Row) {
    if !row.contains_key("name")
        && let Some(device) = row.get("device").cloned()
    {
        row.insert("name".to_owned(), device);
    }
}

fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
