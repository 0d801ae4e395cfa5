//! Conditions: CEL over the home's readings, parsed and typed once, evaluated often.
//!
//! `value('kitchen/co2')` and the like become variables that are looked up by number when an expression is evaluated.
//! Left out of CEL, so that a rule's cost is bounded by its length: macros over lists, regular expressions, maps.

use std::{fmt, sync::Arc};

use cel::{Env, IdedExpr};

/// Evaluating an expression.
pub mod evaluate;
/// What an expression looks at.
pub mod look;
/// Types of an expression's parts.
mod typing;

pub use evaluate::Moment;
pub use look::{Look, SeriesName};

/// Bytes of an expression at most.
pub const EXPRESSION_BYTES_MAX: usize = 2 * 1024;

/// Parts of an expression at most: literals, calls and names.
pub const NODES_MAX: usize = 256;

/// How deep brackets and branches may nest: the parser recurses, and must do with the stack of any thread.
pub const NESTING_MAX: u16 = 20;

/// How deep operators and calls may nest.
pub const DEPTH_MAX: usize = 48;

/// What kind of value an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Yes or no.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// Words.
    Text,
    /// A list of numbers.
    Numbers,
    /// A list of texts.
    Texts,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Bool => "yes or no",
            Type::Int | Type::Double => "a number",
            Type::Text => "a text",
            Type::Numbers => "a list of numbers",
            Type::Texts => "a list of texts",
        })
    }
}

/// An expression that is refused; for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A checked expression.
#[derive(Debug)]
pub struct Expression {
    expr: IdedExpr,
    looks: Box<[Look]>,
    gives: Type,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is no CEL, uses what is not known here, mixes types, or is too long or nested; the words say where.
    pub fn parse(source: &str) -> Result<Expression, Refused> {
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(Refused(format!(
                "an expression may have {EXPRESSION_BYTES_MAX} bytes, this one has {}",
                source.len()
            )));
        }
        nesting(source)?;
        let parsed = Env::default()
            .with_optional_support(false)
            .parser()
            .max_recursion_depth(NESTING_MAX)
            .error_recovery_limit(1)
            .parse(source)
            .map_err(|errors| Refused(first_words(&errors)))?;
        let (expr, looks, gives) = typing::check(parsed)?;
        Ok(Expression {
            expr,
            looks: looks.into(),
            gives,
        })
    }

    /// Reads an expression that is a condition.
    ///
    /// # Errors
    /// As [`Expression::parse`], and where it gives something else than yes or no.
    pub fn parse_condition(source: &str) -> Result<Expression, Refused> {
        let expression = Expression::parse(source)?;
        match expression.gives {
            Type::Bool => Ok(expression),
            other => Err(Refused(format!(
                "a condition gives yes or no, this gives {other}: compare it with something"
            ))),
        }
    }

    /// What it looks at, each once.
    #[must_use]
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// What kind of value it gives.
    #[must_use]
    pub fn gives(&self) -> Type {
        self.gives
    }

    /// Whether time alone can change what it gives.
    #[must_use]
    pub fn uses_clock(&self) -> bool {
        self.looks.iter().any(Look::uses_clock)
    }
}

/// The environment that expressions are evaluated in.
#[must_use]
pub fn environment() -> Arc<Env> {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    typing::declare(&mut env);
    Arc::new(env)
}

/// Refuses what nests too deep before the parser sees it: looking ahead it recurses without a bound of its own. Brackets
/// in texts count too, so that no trick with quotes gets around it.
fn nesting(source: &str) -> Result<(), Refused> {
    let mut depth: u16 = 0;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(Refused(format!(
                "an expression may nest {NESTING_MAX} deep"
            )));
        }
    }
    Ok(())
}

fn first_words(errors: &cel::ParseErrors) -> String {
    match errors.errors.first() {
        Some(error) if error.msg.contains("Recursion limit") => {
            format!("an expression may nest {NESTING_MAX} deep")
        }
        Some(error) => {
            let words: String = error.msg.chars().take(200).collect();
            format!("at character {}: {words}", error.pos.1)
        }
        None => "it cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests;
