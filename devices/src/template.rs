/// Dates and times inside of a template.
mod datetime;
/// Home Assistant's filters, functions and tests.
mod functions;
/// Refuses what fuel does not bound.
mod guard;
/// Templates that only name a place in the payload.
mod path;
#[cfg(test)]
mod tests;
/// Text, JSON and Python's methods.
mod texts;

use std::{
    cell::OnceCell,
    fmt,
    sync::{
        LazyLock, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use minijinja::{
    Environment, Error, ErrorKind, Expression, Output, State, UndefinedBehavior, Value,
    value::{Serde, ValueKind},
};

pub use self::path::{Place, simple_path};
use crate::fault::{Fault, FaultKind};

/// Longest template that is compiled.
pub const TEMPLATE_BYTES_MAX: usize = 32 * 1024;

/// Longest payload that a template is given.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Longest text that a template may make.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Work of one evaluation. The engine takes one for each instruction and for each 64 bytes that are made, so
/// this bounds the time (a few milliseconds) and the memory (a few megabytes) alike.
const FUEL: u64 = 30_000;

/// How deep expressions may nest; a low bound keeps the stack of a worker thread safe.
const RECURSION_MAX: usize = 64;

/// Sources of templates with statements that stay compiled; beyond it all are compiled anew when they are used next.
const COMPILED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest detail of a fault.
const DETAIL_CHARS_MAX: usize = 300;

/// Names that Home Assistant gives to templates and that nothing here can answer: other entities and the clock.
const UNAVAILABLE: [&str; 28] = [
    "area_id",
    "area_name",
    "areas",
    "closest",
    "config_entry_id",
    "device_attr",
    "device_entities",
    "device_id",
    "distance",
    "expand",
    "floor_id",
    "floor_name",
    "has_value",
    "integration_entities",
    "is_device_attr",
    "is_state",
    "is_state_attr",
    "label_id",
    "labels",
    "now",
    "relative_time",
    "state_attr",
    "states",
    "time_since",
    "time_until",
    "today_at",
    "utcnow",
    "version",
];

/// Where single expressions are compiled and evaluated.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// Where templates with statements are compiled and kept, each under its own source as its name.
static STATEMENTS: LazyLock<RwLock<Environment<'static>>> = LazyLock::new(|| {
    let mut environment = environment();
    environment.set_loader(|source| Ok(Some(source.to_owned())));
    RwLock::new(environment)
});

/// Bytes of sources that `STATEMENTS` was asked to keep since it was last emptied.
static COMPILED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A Home Assistant template, compiled once and bounded in time and memory.
pub struct Template {
    source: String,
    code: Code,
    uses_json: bool,
}

/// What a template was compiled to.
enum Code {
    /// A single `{{ … }}`.
    Expression(Expression<'static, 'static>),
    /// Anything else, found in `STATEMENTS` by its source.
    Statements,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// It is too long, is none, or asks for what only Home Assistant knows (`states`, `now`).
    pub fn compile(source: &str) -> Result<Template, Fault> {
        if source.len() > TEMPLATE_BYTES_MAX {
            let detail = format!(
                "a template of {} bytes, of at most {TEMPLATE_BYTES_MAX}",
                source.len()
            );
            return Err(Fault::new(FaultKind::Template, detail));
        }
        guard::check(source)
            .map_err(|detail| Fault::new(FaultKind::Template, shortened(&detail)))?;
        let (code, names) = match path::single_expression(source) {
            Some(expression) => {
                let expression = EXPRESSIONS
                    .compile_expression_owned(expression.to_owned())
                    .map_err(|error| fault(&error))?;
                let names = expression.undeclared_variables(false);
                (Code::Expression(expression), names)
            }
            None => {
                keep(source.len());
                let environment = STATEMENTS.read().unwrap_or_else(|lock| lock.into_inner());
                let template = environment
                    .get_template(source)
                    .map_err(|error| fault(&error))?;
                (Code::Statements, template.undeclared_variables(false))
            }
        };
        if let Some(name) = UNAVAILABLE.iter().find(|name| names.contains(**name)) {
            let detail = format!("the template asks for `{name}`, which only Home Assistant has");
            return Err(Fault::new(FaultKind::Template, detail));
        }
        Ok(Template {
            source: source.to_owned(),
            code,
            uses_json: names.contains("value_json"),
        })
    }

    /// The place in the payload that the template names, if it does nothing else.
    #[must_use]
    pub fn simple_path(&self) -> Option<Place> {
        simple_path(&self.source)
    }

    /// What a value template makes of a payload, without surrounding space. None where the payload does not hold
    /// what the template asks for, or where the template means to say nothing: an undefined value, `None`, no text.
    ///
    /// # Errors
    /// The template fails, works too long or makes too much, or the payload is longer than
    /// [`PAYLOAD_BYTES_MAX`] or is no JSON where the template needs it.
    pub fn value(&self, payload: &str) -> Result<Option<String>, Fault> {
        self.value_of(&Payload::new(payload))
    }

    /// The same, of a payload that several templates read.
    ///
    /// # Errors
    /// As [`Template::value`].
    pub fn value_of(&self, payload: &Payload<'_>) -> Result<Option<String>, Fault> {
        let bytes = payload.text.len();
        if bytes > PAYLOAD_BYTES_MAX {
            let detail = format!(
                "a payload of {bytes} bytes for a template, of at most {PAYLOAD_BYTES_MAX}"
            );
            return Err(Fault::new(FaultKind::TooLarge, detail));
        }
        let json = match self.uses_json {
            true => payload.with_json(),
            false => None,
        };
        let is_json = json.is_some();
        let variables = json.unwrap_or_else(|| payload.alone()).clone();
        match self.evaluate(variables)? {
            None if self.uses_json && !is_json && !payload.text.trim().is_empty() => {
                Err(Fault::new(
                    FaultKind::Payload,
                    "the template reads JSON and the payload is none",
                ))
            }
            output => Ok(output),
        }
    }

    /// What a command template makes of a value. The keys of an object are variables beside `value`.
    ///
    /// # Errors
    /// The template fails, works too long or makes too much.
    pub fn command(&self, value: &serde_json::Value) -> Result<String, Fault> {
        let mut variables: Vec<(&str, Value)> = Vec::new();
        if let Some(object) = value.as_object() {
            let keys = object
                .iter()
                .map(|(key, value)| (key.as_str(), Value::from(Serde(value))));
            variables.extend(keys);
        }
        variables.push(("value", Value::from(Serde(value))));
        let output = self.evaluate(Value::from_pairs(variables))?;
        Ok(output.unwrap_or_default())
    }

    /// The text that the template makes with these variables, if it makes one.
    fn evaluate(&self, variables: Value) -> Result<Option<String>, Fault> {
        let mut output = Bounded(String::new());
        let made = match &self.code {
            Code::Expression(expression) => expression
                .eval(variables)
                .and_then(|value| write_value(&mut output, &value)),
            Code::Statements => {
                let environment = STATEMENTS.read().unwrap_or_else(|lock| lock.into_inner());
                environment
                    .get_template(&self.source)
                    .and_then(|template| template.render_captured_to(variables, &mut output))
                    .map(|_| ())
            }
        };
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UndefinedError => return Ok(None),
            Err(error) => return Err(fault(&error)),
        }
        let text = output.0.trim();
        if text.is_empty() || text == "None" {
            return Ok(None);
        }
        let is_trimmed = text.len() == output.0.len();
        Ok(Some(if is_trimmed {
            output.0
        } else {
            text.to_owned()
        }))
    }
}

/// A payload for templates, parsed once for all that read it.
#[derive(Debug)]
pub struct Payload<'p> {
    text: &'p str,
    alone: OnceCell<Value>,
    /// None where it is no JSON.
    with_json: OnceCell<Option<Value>>,
}

impl<'p> Payload<'p> {
    /// A payload that is parsed when the first template asks for it.
    #[must_use]
    pub fn new(text: &'p str) -> Payload<'p> {
        Payload {
            text,
            alone: OnceCell::new(),
            with_json: OnceCell::new(),
        }
    }

    /// The variables of a template that does not read JSON.
    fn alone(&self) -> &Value {
        self.alone
            .get_or_init(|| minijinja::context! { value => self.text })
    }

    /// The variables of a template that does.
    fn with_json(&self) -> Option<&Value> {
        let parse = || {
            let json: Value = serde_json::from_str(self.text).ok()?;
            Some(minijinja::context! { value => self.text, value_json => json })
        };
        self.with_json.get_or_init(parse).as_ref()
    }
}

/// Makes room for one more template with statements.
fn keep(source_bytes: usize) {
    if COMPILED_BYTES.fetch_add(source_bytes, Ordering::Relaxed) > COMPILED_BYTES_MAX {
        let mut environment = STATEMENTS.write().unwrap_or_else(|lock| lock.into_inner());
        environment.clear_templates();
        COMPILED_BYTES.store(0, Ordering::Relaxed);
    }
}

/// An engine with what Home Assistant adds to it, and with bounds.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(format_value);
    functions::add(&mut environment);
    environment
}

/// Prints a value into a template's output.
fn format_value(
    output: &mut Output<'_>,
    _: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return output.write_str(text).map_err(Error::from);
    }
    let mut text = Bounded(String::new());
    write_value(&mut text, value)?;
    output.write_str(&text.0).map_err(Error::from)
}

/// Prints a value as Python does: `True`, `False` and `None` begin with capitals. Lists are walked here rather than
/// by the engine, which would walk an endless one to its end before it asks for fuel.
fn write_value(output: &mut Bounded, value: &Value) -> Result<(), Error> {
    write_nested(output, value, 0).map_err(|_| {
        let detail = format!("the template makes more than {OUTPUT_BYTES_MAX} bytes");
        Error::new(ErrorKind::WriteFailure, detail)
    })
}

/// Prints a value that stands so deep inside of others.
fn write_nested(output: &mut Bounded, value: &Value, depth: usize) -> fmt::Result {
    use fmt::Write as _;
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::None => output.write_str("None"),
        ValueKind::Bool if value.is_true() => output.write_str("True"),
        ValueKind::Bool => output.write_str("False"),
        ValueKind::String => match value.as_str() {
            Some(text) if depth == 0 => output.write_str(text),
            _ => write!(output, "{value:?}"),
        },
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth == RECURSION_MAX => {
            Err(fmt::Error)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            output.write_str("[")?;
            for (place, item) in value.try_iter().map_err(|_| fmt::Error)?.enumerate() {
                output.write_str(if place > 0 { ", " } else { "" })?;
                write_nested(output, &item, depth + 1)?;
            }
            output.write_str("]")
        }
        ValueKind::Map => {
            output.write_str("{")?;
            for (place, key) in value.try_iter().map_err(|_| fmt::Error)?.enumerate() {
                output.write_str(if place > 0 { ", " } else { "" })?;
                write_nested(output, &key, depth + 1)?;
                output.write_str(": ")?;
                let item = value.get_item(&key).map_err(|_| fmt::Error)?;
                write_nested(output, &item, depth + 1)?;
            }
            output.write_str("}")
        }
        _ => write!(output, "{value}"),
    }
}

/// Text that refuses to grow beyond [`OUTPUT_BYTES_MAX`].
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > OUTPUT_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
        let full = || std::io::Error::other(format!("more than {OUTPUT_BYTES_MAX} bytes of text"));
        fmt::Write::write_str(self, text).map_err(|_| full())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is wrong, for people.
fn fault(error: &Error) -> Fault {
    let detail = match (error.kind(), error.detail()) {
        (ErrorKind::WriteFailure, _) => {
            format!("the template makes more than {OUTPUT_BYTES_MAX} bytes")
        }
        (ErrorKind::OutOfFuel, _) => "the template works too long".to_owned(),
        (kind, None) => kind.to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
    };
    Fault::new(FaultKind::Template, shortened(&detail))
}

/// The beginning of a detail.
fn shortened(detail: &str) -> String {
    detail.chars().take(DETAIL_CHARS_MAX).collect()
}
