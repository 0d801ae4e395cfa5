use std::sync::{Arc, OnceLock};

use cel::{
    Context, Env, ExecutionError, Value,
    common::{
        types::{CelBool, CelDouble, CelInt, CelString},
        value::CowVal,
    },
    context::VariableResolver,
};

use super::{Expression, Look, look::Fold, typing::LOOK_PREFIX};
use crate::{
    place::Place,
    rule::Scalar,
    world::{SeriesId, World},
};

/// What an expression is evaluated against.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// What is known.
    pub world: &'a World,
    /// Where the home is.
    pub place: &'a Place,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

/// An expression together with the numbers of the series that it looks at.
#[derive(Debug)]
pub struct Bound {
    /// The expression.
    pub expression: Expression,
    /// One for each look; none where it looks at no series, or there were too many.
    pub(crate) series: Box<[Option<SeriesId>]>,
}

impl Bound {
    /// An expression whose series are not looked up yet.
    #[must_use]
    pub fn new(expression: Expression) -> Bound {
        Bound {
            series: vec![None; expression.looks().len()].into(),
            expression,
        }
    }

    /// Looks up the series.
    pub fn bind(&mut self, world: &mut World) {
        for (look, id) in self.expression.looks.iter().zip(&mut self.series) {
            *id = look
                .series()
                .and_then(|series| world.intern(&series.device, &series.metric));
        }
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Something that it looks at is not known, or it cannot be computed; the words say what, and are the same as long
    /// as the same is wrong.
    pub fn holds(&self, env: &Arc<Env>, moment: Moment<'_>) -> Result<bool, String> {
        let gives = |value: &dyn cel::common::value::Val| {
            value.downcast_ref::<CelBool>().map(|yes| *yes.inner())
        };
        self.with_result(env, moment, gives)
    }

    /// What it gives, as words.
    ///
    /// # Errors
    /// As [`Bound::holds`].
    pub fn words(&self, env: &Arc<Env>, moment: Moment<'_>) -> Result<String, String> {
        self.with_result(env, moment, |value| {
            if let Some(text) = value.downcast_ref::<CelString<'_>>() {
                Some(text.inner().to_owned())
            } else if let Some(number) = value.downcast_ref::<CelDouble>() {
                Some(rounded(*number.inner()))
            } else if let Some(number) = value.downcast_ref::<CelInt>() {
                Some(number.inner().to_string())
            } else {
                let yes = value.downcast_ref::<CelBool>()?;
                Some(yes.inner().to_string())
            }
        })
    }

    fn with_result<T>(
        &self,
        env: &Arc<Env>,
        moment: Moment<'_>,
        take: impl FnOnce(&dyn cel::common::value::Val) -> Option<T>,
    ) -> Result<T, String> {
        let view = View {
            looks: &self.expression.looks,
            series: &self.series,
            moment,
            fault: OnceLock::new(),
        };
        let mut context = Context::with_env(Arc::clone(env));
        context.set_variable_resolver(&view);
        match Value::resolve_val(&self.expression.expr, &context) {
            Ok(value) => take(value.as_ref()).ok_or_else(|| "it gives another type".to_owned()),
            Err(error) => Err(fault_words(&error, view.fault.get())),
        }
    }

    /// What each look gives now, by how it is written; those that give nothing are left out.
    pub fn values(&self, moment: Moment<'_>) -> impl Iterator<Item = (String, Scalar)> {
        let looks = self.expression.looks.iter().zip(&self.series);
        looks.filter_map(move |(look, id)| {
            let found = find(look, *id, moment).ok()?;
            let scalar = match found {
                Found::Bool(yes) => Scalar::Bool(yes),
                Found::Int(number) => Scalar::Number(f64::from(number)),
                Found::Double(number) => Scalar::Number(number),
                Found::Text(text) => Scalar::Text(text.to_owned()),
            };
            Some((look.to_string(), scalar))
        })
    }
}

/// A number for people: three digits after the point at most.
fn rounded(number: f64) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// Words for an error. Values are left out of them: they would make every failure a new one.
fn fault_words(error: &ExecutionError, looked: Option<&String>) -> String {
    match error {
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number became too large".to_owned(),
        ExecutionError::ValuesNotComparable(..) => "two values cannot be compared".to_owned(),
        ExecutionError::FunctionError { function, .. } => {
            format!("{function}() cannot read what it was given")
        }
        _ => looked
            .cloned()
            .unwrap_or_else(|| "it cannot be computed".to_owned()),
    }
}

enum Found<'a> {
    Bool(bool),
    Int(i32),
    Double(f64),
    Text(&'a str),
}

/// What a look gives, or why it gives nothing.
fn find<'a>(look: &Look, id: Option<SeriesId>, moment: Moment<'a>) -> Result<Found<'a>, String> {
    let Moment {
        world,
        place,
        now_ms,
    } = moment;
    let series = |name: &dyn std::fmt::Display| {
        let series = id.map(|id| world.series(id));
        let told = series.filter(|series| series.ts_ms.is_some());
        told.ok_or_else(|| format!("{name} told nothing yet"))
    };
    let local = || {
        place
            .local(now_ms)
            .ok_or_else(|| "the clock is wrong".to_owned())
    };
    Ok(match look {
        Look::Value(name) => {
            let value = series(name)?.value;
            Found::Double(value.ok_or_else(|| format!("{name} is no number"))?)
        }
        Look::Text(name) => {
            let text = series(name)?.text.as_deref();
            Found::Text(text.ok_or_else(|| format!("{name} has no words"))?)
        }
        Look::Has(name) => Found::Bool(series(name).is_ok()),
        Look::Age(name) => {
            let ts_ms = series(name)?.ts_ms.unwrap_or(now_ms);
            Found::Double(seconds(now_ms.saturating_sub(ts_ms)).max(0.0))
        }
        Look::Window {
            series: name,
            fold,
            window_ms,
        } => {
            let history = id.and_then(|id| world.history(id, *window_ms));
            let history = history.ok_or_else(|| format!("no history of {name} is kept"))?;
            let sum = history.sum(now_ms);
            match fold {
                Fold::Count => Found::Double(f64::from(sum.count)),
                Fold::Sum => Found::Double(sum.sum),
                _ if sum.count == 0 => return Err(format!("{name} told nothing within {look}")),
                Fold::Avg => Found::Double(sum.sum / f64::from(sum.count)),
                Fold::Min => Found::Double(sum.min),
                Fold::Max => Found::Double(sum.max),
            }
        }
        Look::Online(device) => {
            let online = world.is_online(device);
            Found::Bool(
                online.ok_or_else(|| format!("whether {device} is there is not known yet"))?,
            )
        }
        Look::Home(member) => Found::Bool(world.presence.get(&**member).copied().unwrap_or(false)),
        Look::Anyone => Found::Bool(world.is_anyone_home()),
        Look::Mode => Found::Text(world.mode.as_deref().unwrap_or("")),
        Look::Hour => Found::Int(local()?.hour().into()),
        Look::Minute => Found::Int(local()?.minute().into()),
        Look::Weekday => Found::Int(local()?.weekday().to_monday_one_offset().into()),
        Look::Now => Found::Double(seconds(now_ms)),
    })
}

#[allow(clippy::cast_precision_loss)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// What CEL asks for the variables that stand for looks.
struct View<'a> {
    looks: &'a [Look],
    series: &'a [Option<SeriesId>],
    moment: Moment<'a>,
    /// Why the first look that gave nothing did.
    fault: OnceLock<String>,
}

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let at: usize = variable.strip_prefix(LOOK_PREFIX)?.parse().ok()?;
        match find(self.looks.get(at)?, *self.series.get(at)?, self.moment) {
            Ok(Found::Bool(yes)) => Some(CowVal::owned(CelBool::from(yes))),
            Ok(Found::Int(number)) => Some(CowVal::owned(CelInt::from(i64::from(number)))),
            Ok(Found::Double(number)) => Some(CowVal::owned(CelDouble::from(number))),
            Ok(Found::Text(text)) => Some(CowVal::owned(CelString::from(text))),
            Err(words) => {
                let _ = self.fault.set(words);
                None
            }
        }
    }
}
