use datafusion::{
    common::DataFusionError,
    logical_expr::LogicalPlan,
    sql::sqlparser::{
        dialect::GenericDialect,
        tokenizer::{Token, Tokenizer},
    },
};

use super::error::QueryError;

/// Bytes of a query's text at most.
pub(super) const SQL_TEXT_BYTES_MAX: usize = 64 << 10;

/// Operators and keywords of a query at most. Each may nest the plan one level deeper, and the
/// planner recurses: this bound times its deepest frame fits the threads' stacks.
pub(super) const SQL_WORDS_MAX: usize = 600;

/// Functions that make much out of little, before any memory limit sees it.
pub(super) const REFUSED_FUNCTIONS: [&str; 8] = [
    "repeat",
    "lpad",
    "rpad",
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
    "gen_series",
];

/// Refuse a text that the parser or the planner could not take.
pub(super) fn check_text(text: &str) -> Result<(), QueryError> {
    if text.len() > SQL_TEXT_BYTES_MAX {
        return Err(QueryError::BadQuery(format!(
            "the query has {} bytes; {SQL_TEXT_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize();
    let tokens = tokens.map_err(|e| QueryError::BadQuery(format!("SQL: {e}")))?;
    let words = tokens.iter().filter(|token| deepens(token)).count();
    if words > SQL_WORDS_MAX {
        return Err(QueryError::BadQuery(format!(
            "the query has {words} operators and keywords; {SQL_WORDS_MAX} are allowed"
        )));
    }
    Ok(())
}

/// Whether a token may take part in nesting. Literals, names, commas and brackets do not: a call or
/// a bracket nests too, but the parser bounds those itself.
fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.keyword != datafusion::sql::sqlparser::keywords::Keyword::NoKeyword
        }
        Token::EOF
        | Token::Whitespace(_)
        | Token::Comma
        | Token::LParen
        | Token::RParen
        | Token::Period
        | Token::SemiColon
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_) => false,
        _ => true,
    }
}

/// Refuse what does more than read, beside what the engine's own options refuse.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<(), DataFusionError> {
    match plan {
        // Executing it for its timings would answer outside of the row limit, and its text names files.
        LogicalPlan::Analyze(_) => Err(DataFusionError::Plan(
            "EXPLAIN ANALYZE is not allowed here; use EXPLAIN".into(),
        )),
        _ => Ok(()),
    }
}
