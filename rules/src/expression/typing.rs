//! Walks an expression once: refuses what is not known, numbers what it looks at, and makes numbers fit each other.
//!
//! CEL does not add a whole number to a fraction and does not fail when a fraction is divided by zero. Both would
//! surprise whoever writes `value('a') + 2` or `value('a') / value('b') > 3`, so whole numbers next to fractions
//! become fractions here and divisors are checked.

use cel::{
    Env, ExecutionError, IdedExpr,
    common::{
        ast::{CallExpr, Expr, LiteralValue, operators},
        types::{CelDouble, DOUBLE_TYPE},
    },
};

use super::{
    DEPTH_MAX, NODES_MAX, Refused, Type,
    look::{Fold, Look, SeriesName},
};
use crate::{check::alike, duration::Span};

/// The longest window that an expression may look back over: 7 days.
pub(crate) const WINDOW_MS_MAX: i64 = 7 * 86_400_000;

/// Name of the function that fails where a divisor is zero; no expression can write it.
const DIVISOR: &str = "@divisor";

/// What a variable that stands for a look begins with; its number follows.
pub(super) const LOOK_PREFIX: char = '@';

const VARIABLES: [(&str, Look, Type); 5] = [
    ("mode", Look::Mode, Type::Text),
    ("hour", Look::Hour, Type::Int),
    ("minute", Look::Minute, Type::Int),
    ("weekday", Look::Weekday, Type::Int),
    ("now", Look::Now, Type::Double),
];

const FUNCTIONS: [&str; 16] = [
    "value", "text", "has", "age", "avg", "min", "max", "sum", "count", "online", "home", "anyone",
    "int", "double", "string", "size",
];

/// Adds to an environment what expressions are rewritten to.
pub(super) fn declare(env: &mut Env) {
    let declared = env.add_overload(DIVISOR, "divisor_double", vec![DOUBLE_TYPE], |mut args| {
        let divisor = args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
        match divisor.downcast_ref::<CelDouble>() {
            Some(number) if *number.inner() == 0.0 => Err(ExecutionError::DivisionByZero(0.into())),
            _ => Ok(divisor),
        }
    });
    debug_assert!(declared.is_ok(), "the environment is new");
}

/// An expression with its looks numbered, and what it gives.
pub(super) fn check(mut expr: IdedExpr) -> Result<(IdedExpr, Vec<Look>, Type), Refused> {
    let mut walk = Walk {
        looks: Vec::new(),
        nodes: 0,
    };
    let gives = walk.expr(&mut expr, 0)?;
    Ok((expr, walk.looks, gives))
}

struct Walk {
    looks: Vec<Look>,
    nodes: usize,
}

fn refuse<T>(words: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(words.into()))
}

fn is_number(of: Type) -> bool {
    matches!(of, Type::Int | Type::Double)
}

impl Walk {
    fn expr(&mut self, expr: &mut IdedExpr, depth: usize) -> Result<Type, Refused> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return refuse(format!("an expression may have {NODES_MAX} parts"));
        }
        if depth > DEPTH_MAX {
            return refuse(format!("an expression may nest {DEPTH_MAX} deep"));
        }
        match &mut expr.expr {
            Expr::Literal(literal) => Self::literal(literal),
            Expr::Ident(name) => {
                let Some((_, look, gives)) = VARIABLES.iter().find(|(known, ..)| known == name)
                else {
                    let known = VARIABLES.iter().map(|(known, ..)| *known);
                    let hint = alike::hint(name, known);
                    return refuse(format!("`{name}` is not known{hint}"));
                };
                let (look, gives) = (look.clone(), *gives);
                expr.expr = self.look(look);
                Ok(gives)
            }
            Expr::List(list) => {
                let mut of = None;
                for element in &mut list.elements {
                    let found = match self.expr(element, depth + 1)? {
                        Type::Int | Type::Double => Type::Numbers,
                        Type::Text => Type::Texts,
                        other => return refuse(format!("a list cannot hold {other}")),
                    };
                    if *of.get_or_insert(found) != found {
                        return refuse("a list holds either numbers or texts");
                    }
                }
                of.map_or_else(|| refuse("a list needs something in it"), Ok)
            }
            Expr::Call(call) if call.target.is_some() => self.member(call, depth),
            Expr::Call(call) => match self.function(call)? {
                Some((look, gives)) => {
                    expr.expr = self.look(look);
                    Ok(gives)
                }
                None => self.call(call, depth),
            },
            Expr::Select(select) => refuse(format!("`.{}` is not known here", select.field)),
            Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                refuse("macros, maps and structs are not known here")
            }
        }
    }

    fn literal(literal: &LiteralValue) -> Result<Type, Refused> {
        Ok(match literal {
            LiteralValue::Boolean(_) => Type::Bool,
            LiteralValue::Int(_) => Type::Int,
            LiteralValue::Double(_) => Type::Double,
            LiteralValue::String(_) => Type::Text,
            LiteralValue::UInt(_) => return refuse("write whole numbers without `u`"),
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                return refuse("bytes and null are not known here");
            }
        })
    }

    /// The variable that stands for a look.
    fn look(&mut self, look: Look) -> Expr {
        let at = self.looks.iter().position(|known| *known == look);
        let at = at.unwrap_or_else(|| {
            self.looks.push(look);
            self.looks.len() - 1
        });
        Expr::Ident(format!("{LOOK_PREFIX}{at}"))
    }

    /// What a call looks at, if it is one that looks at the home.
    fn function(&mut self, call: &CallExpr) -> Result<Option<(Look, Type)>, Refused> {
        let name = call.func_name.as_str();
        let series = || series(call, 0);
        let fold = Fold::ALL.iter().find(|(known, _)| *known == name);
        let arguments = match name {
            "value" | "text" | "has" | "age" | "online" | "home" => 1,
            "anyone" => 0,
            _ if fold.is_some() => 2,
            _ => return Ok(None),
        };
        if call.args.len() != arguments {
            return refuse(format!(
                "{name}() takes {arguments} arguments, here are {}",
                call.args.len()
            ));
        }
        self.nodes += arguments;
        Ok(Some(match name {
            "value" => (Look::Value(series()?), Type::Double),
            "text" => (Look::Text(series()?), Type::Text),
            "has" => (Look::Has(series()?), Type::Bool),
            "age" => (Look::Age(series()?), Type::Double),
            "online" => (Look::Online(literal(call, 0)?.into()), Type::Bool),
            "home" => (Look::Home(literal(call, 0)?.into()), Type::Bool),
            "anyone" => (Look::Anyone, Type::Bool),
            _ => {
                let window = literal(call, 1)?;
                let span = Span::parse(window).map_err(|error| Refused(error.to_string()))?;
                if span.ms() > WINDOW_MS_MAX {
                    return refuse(format!("{name}() looks back 7d at most, not {window}"));
                }
                let look = Look::Window {
                    series: series()?,
                    fold: fold.map_or(Fold::Avg, |(_, fold)| *fold),
                    window_ms: span.ms(),
                };
                (look, Type::Double)
            }
        }))
    }

    /// `text.contains('x')` and the like.
    fn member(&mut self, call: &mut CallExpr, depth: usize) -> Result<Type, Refused> {
        let name = call.func_name.clone();
        let arguments = match name.as_str() {
            "contains" | "startsWith" | "endsWith" => 1,
            "size" => 0,
            _ => {
                let known = ["contains", "startsWith", "endsWith", "size"];
                let hint = alike::hint(&name, known);
                return refuse(format!("`.{name}()` is not known{hint}"));
            }
        };
        if let Some(target) = &mut call.target
            && self.expr(target, depth + 1)? != Type::Text
        {
            return refuse(format!("`.{name}()` is asked of a text"));
        }
        if call.args.len() != arguments {
            return refuse(format!("`.{name}()` takes {arguments} arguments"));
        }
        for argument in &mut call.args {
            if self.expr(argument, depth + 1)? != Type::Text {
                return refuse(format!("`.{name}()` takes a text"));
            }
        }
        Ok(if arguments == 1 {
            Type::Bool
        } else {
            Type::Int
        })
    }

    /// Operators and what turns one type into another.
    fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<Type, Refused> {
        let mut types = Vec::with_capacity(call.args.len());
        for argument in &mut call.args {
            types.push(self.expr(argument, depth + 1)?);
        }
        let name = call.func_name.as_str();
        match (name, types.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [Type::Bool, Type::Bool])
            | (operators::LOGICAL_NOT, [Type::Bool]) => Ok(Type::Bool),
            (operators::NEGATE, [of]) if is_number(*of) => Ok(*of),
            (operators::ADD, [Type::Text, Type::Text]) => Ok(Type::Text),
            (operators::MODULO, [Type::Int, Type::Int]) => Ok(Type::Int),
            (
                operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE,
                [left, right],
            ) if is_number(*left) && is_number(*right) => Ok(arithmetic(call, *left, *right)),
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS
                | operators::EQUALS
                | operators::NOT_EQUALS,
                [left, right],
            ) if is_number(*left) && is_number(*right) => Ok(Type::Bool),
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [Type::Text, Type::Text],
            ) => Ok(Type::Bool),
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) if left == right => {
                Ok(Type::Bool)
            }
            (operators::IN, [of, Type::Numbers]) if is_number(*of) => Ok(Type::Bool),
            (operators::IN, [Type::Text, Type::Texts]) => Ok(Type::Bool),
            (operators::CONDITIONAL, [Type::Bool, yes, no]) if yes == no => Ok(*yes),
            (operators::CONDITIONAL, [Type::Bool, yes, no])
                if is_number(*yes) && is_number(*no) =>
            {
                to_double(&mut call.args[1], *yes);
                to_double(&mut call.args[2], *no);
                Ok(Type::Double)
            }
            ("int", [Type::Int | Type::Double | Type::Text]) => Ok(Type::Int),
            ("double", [Type::Int | Type::Double | Type::Text]) => Ok(Type::Double),
            ("string", [Type::Int | Type::Double | Type::Text | Type::Bool]) => Ok(Type::Text),
            ("size", [Type::Text | Type::Texts | Type::Numbers]) => Ok(Type::Int),
            _ => refuse(self.no_such_call(name, &types)),
        }
    }

    fn no_such_call(&self, name: &str, types: &[Type]) -> String {
        let types: Vec<String> = types.iter().map(Type::to_string).collect();
        let operator = name.trim_matches('_').trim_start_matches('@');
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !FUNCTIONS.contains(&name) {
            let hint = alike::hint(name, FUNCTIONS);
            return format!("`{name}()` is not known{hint}");
        }
        format!("`{operator}` does not go with {}", types.join(" and "))
    }
}

/// Makes both sides fractions where one is, and lets a division by zero fail.
fn arithmetic(call: &mut CallExpr, left: Type, right: Type) -> Type {
    if left == Type::Int && right == Type::Int {
        return Type::Int;
    }
    to_double(&mut call.args[0], left);
    to_double(&mut call.args[1], right);
    let is_safe = matches!(
        &call.args[1].expr,
        Expr::Literal(LiteralValue::Double(number)) if *number.inner() != 0.0
    );
    if call.func_name == operators::DIVIDE && !is_safe {
        wrap(&mut call.args[1], DIVISOR);
    }
    Type::Double
}

#[allow(clippy::cast_precision_loss)]
fn to_double(expr: &mut IdedExpr, of: Type) {
    if of != Type::Int {
        return;
    }
    match &expr.expr {
        Expr::Literal(LiteralValue::Int(number)) => {
            let number = CelDouble::from(*number.inner() as f64);
            expr.expr = Expr::Literal(LiteralValue::Double(number));
        }
        _ => wrap(expr, "double"),
    }
}

fn wrap(expr: &mut IdedExpr, function: &str) {
    let id = expr.id;
    let inner = std::mem::take(expr);
    *expr = IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: function.to_owned(),
            target: None,
            args: vec![inner],
        }),
    };
}

fn literal(call: &CallExpr, at: usize) -> Result<&str, Refused> {
    match call.args.get(at).map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(text))) => Ok(text.inner()),
        _ => refuse(format!(
            "{}() takes a text in quotes, so that what a rule looks at is known beforehand",
            call.func_name
        )),
    }
}

fn series(call: &CallExpr, at: usize) -> Result<SeriesName, Refused> {
    let text = literal(call, at)?;
    SeriesName::parse(text).map_or_else(
        || {
            let text: String = text.chars().take(40).collect();
            refuse(format!("`{text}` is no series: write 'device/metric'"))
        },
        Ok,
    )
}
