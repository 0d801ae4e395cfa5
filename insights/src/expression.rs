//! Conditions and places in texts: CEL over `row`, `params` and `now` (seconds since 1970).
//!
//! Numbers are all fractions here, in rows as in expressions, so that `row.days >= 3` means what it says. Left out of
//! CEL, so that the cost is bounded by the length: macros over lists, regular expressions, maps.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Context, Env, ExecutionError, IdedExpr, Value,
    common::{
        types::{CelBool, CelDouble, CelInt, CelString, DOUBLE_TYPE},
        value::Val,
    },
};
use serde_json::Value as Json;

use crate::{
    Row,
    params::{self, Params},
};

/// What is let into an expression.
mod check;

/// Bytes of an expression at most.
const EXPRESSION_BYTES_MAX: usize = 2 * 1024;

/// How deep brackets may nest: the parser recurses.
const NESTING_MAX: u16 = 20;

/// Characters of a row's text that an expression sees.
const CELL_CHARS_MAX: usize = 1_000;

/// Name of the function that fails where a divisor is zero; no expression can write it.
const DIVISOR: &str = "@divisor";

/// A checked expression.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    expr: IdedExpr,
}

/// What an expression is evaluated against: one row.
pub(crate) struct Scope<'a> {
    context: Context<'a, 'a>,
}

/// What is the same for all rows of a pack.
pub(crate) struct Frame {
    env: Arc<Env>,
    params: Value,
    now: Value,
}

impl Frame {
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn new(params: &Params, now_ms: i64) -> Frame {
        let mut env = Env::default().with_optional_support(false).with_stdlib();
        let declared =
            env.add_overload(DIVISOR, "divisor_double", vec![DOUBLE_TYPE], |mut args| {
                let divisor = args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
                match divisor.downcast_ref::<CelDouble>() {
                    Some(number) if *number.inner() == 0.0 => {
                        Err(ExecutionError::DivisionByZero(0.into()))
                    }
                    _ => Ok(divisor),
                }
            });
        debug_assert!(declared.is_ok(), "the environment is new");
        let params: HashMap<String, Value> = params
            .iter()
            .map(|(name, value)| (name.clone(), param(value)))
            .collect();
        Frame {
            env: Arc::new(env),
            params: params.into(),
            now: Value::Float(now_ms as f64 / 1000.0),
        }
    }

    pub(crate) fn scope(&self, row: &Row) -> Scope<'static> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        let row: HashMap<String, Value> = row
            .iter()
            .map(|(column, value)| (column.clone(), cell(value)))
            .collect();
        context.add_variable_from_value("row", row);
        context.add_variable_from_value("params", self.params.clone());
        context.add_variable_from_value("now", self.now.clone());
        Scope { context }
    }
}

impl Expression {
    /// Reads an expression. `is_param` says whether there is a parameter of a name.
    pub(crate) fn parse(
        source: &str,
        is_param: &impl Fn(&str) -> bool,
    ) -> Result<Expression, String> {
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(format!(
                "an expression has {EXPRESSION_BYTES_MAX} bytes at most"
            ));
        }
        check::nesting(source)?;
        let parsed = Env::default()
            .with_optional_support(false)
            .parser()
            .max_recursion_depth(NESTING_MAX)
            .error_recovery_limit(1)
            .parse(source);
        let mut expr = parsed.map_err(|errors| match errors.errors.first() {
            Some(error) => {
                let words: String = error.msg.chars().take(200).collect();
                format!("at character {}: {words}", error.pos.1)
            }
            None => "it cannot be read".to_owned(),
        })?;
        let mut nodes = 0;
        check::expr(&mut expr, is_param, &mut nodes, 0)?;
        Ok(Expression { expr })
    }

    /// Whether it holds of a row.
    pub(crate) fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        self.with_result(scope, |value| {
            let yes = value.downcast_ref::<CelBool>().map(|yes| *yes.inner());
            yes.ok_or_else(|| "it gives something else than yes or no".to_owned())
        })
    }

    /// What it gives for a row, as words.
    pub(crate) fn words(&self, scope: &Scope<'_>) -> Result<String, String> {
        self.with_result(scope, |value| {
            if let Some(text) = value.downcast_ref::<CelString<'_>>() {
                Ok(text.inner().to_owned())
            } else if let Some(number) = value.downcast_ref::<CelDouble>() {
                rounded(*number.inner()).ok_or_else(|| "a number became too large".to_owned())
            } else if let Some(number) = value.downcast_ref::<CelInt>() {
                Ok(number.inner().to_string())
            } else if let Some(yes) = value.downcast_ref::<CelBool>() {
                Ok(yes.inner().to_string())
            } else {
                Err("it gives neither a number nor a text".to_owned())
            }
        })
    }

    fn with_result<T>(
        &self,
        scope: &Scope<'_>,
        take: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<T, String> {
        match Value::resolve_val(&self.expr, &scope.context) {
            Ok(value) => take(value.as_ref()),
            Err(error) => Err(fault(&error)),
        }
    }
}

/// A number for people: three digits after the point at most; none where it is not finite.
fn rounded(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Some(if text == "-0" { "0" } else { text }.to_owned())
}

fn fault(error: &ExecutionError) -> String {
    match error {
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::NoSuchKey(key) => {
            let key: String = key.chars().take(40).collect();
            format!("the row has no column `{key}`")
        }
        error => {
            let words: String = error.to_string().chars().take(200).collect();
            format!("it cannot be computed ({words}); is a column null, or a text?")
        }
    }
}

fn cell(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::Bool(*yes),
        Json::Number(number) => number.as_f64().map_or(Value::Null, Value::Float),
        Json::String(text) => text_value(text.chars().take(CELL_CHARS_MAX).collect()),
        Json::Array(list) => Value::List(Arc::new(list.iter().map(cell).collect())),
        // A query gives none of its own, and an expression could not look into it.
        Json::Object(_) => text_value(value.to_string().chars().take(CELL_CHARS_MAX).collect()),
    }
}

fn text_value(text: String) -> Value {
    Value::String(Arc::new(text))
}

fn param(value: &params::Value) -> Value {
    let one = |scalar: &params::Scalar| match scalar {
        params::Scalar::Bool(yes) => Value::Bool(*yes),
        params::Scalar::Number(number) => Value::Float(*number),
        params::Scalar::Text(text) => text_value(text.clone()),
    };
    match value {
        params::Value::One(scalar) => one(scalar),
        params::Value::Many(list) => Value::List(Arc::new(list.iter().map(one).collect())),
    }
}

#[cfg(test)]
mod tests;
