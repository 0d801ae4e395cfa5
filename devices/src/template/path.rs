use minijinja::{
    machinery::{
        ast::{CallArg, Expr, Stmt},
        parse,
    },
    syntax::SyntaxConfig,
};

use super::TEMPLATE_BYTES_MAX;

/// Filters that leave the value of a number as it is; a default changes only what is not there.
const KEEPING: [&str; 6] = ["float", "int", "is_defined", "default", "d", "string"];

/// The place in a payload that a template names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The payload itself (`{{ value }}`).
    Value,
    /// Keys and array places of its JSON, joined by dots (`{{ value_json.a['b'][0] }}` is `a.b.0`).
    Path(String),
}

/// The place in the payload that a template names, if it does nothing else with it.
#[must_use]
pub fn simple_path(source: &str) -> Option<Place> {
    let source = source.trim();
    if source.len() > TEMPLATE_BYTES_MAX || !is_single(source) {
        return None;
    }
    let template = parse(source, "<template>", SyntaxConfig::default()).ok()?;
    let mut path = Vec::new();
    let root = walk(only_expression(&template)?, &mut path)?;
    match (root, path.is_empty()) {
        ("value", true) => Some(Place::Value),
        ("value_json", true) => Some(Place::Value),
        ("value_json", false) => Some(Place::Path(path.join("."))),
        _ => None,
    }
}

/// The inside of a template that is one `{{ … }}` and nothing else.
pub(super) fn single_expression(source: &str) -> Option<&str> {
    let source = source.trim();
    if !is_single(source) {
        return None;
    }
    let template = parse(source, "<template>", SyntaxConfig::default()).ok()?;
    only_expression(&template)?;
    let inside = source.strip_prefix("{{")?.strip_suffix("}}")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    Some(inside.strip_suffix(['-', '+']).unwrap_or(inside))
}

/// Whether a template may be one `{{ … }}`; what this refuses is not worth being parsed.
fn is_single(source: &str) -> bool {
    source.starts_with("{{") && source.ends_with("}}") && !source.contains("{%")
}

/// The expression of a template that is nothing else.
fn only_expression<'t, 's>(template: &'t Stmt<'s>) -> Option<&'t Expr<'s>> {
    let Stmt::Template(template) = template else {
        return None;
    };
    match template.children.as_slice() {
        [Stmt::EmitExpr(emit)] => Some(&emit.expr),
        _ => None,
    }
}

/// The variable that an expression begins with; what is looked up in it is added to the path.
fn walk<'s>(expression: &Expr<'s>, path: &mut Vec<String>) -> Option<&'s str> {
    match expression {
        Expr::Var(variable) => Some(variable.id),
        Expr::Filter(filter) if KEEPING.contains(&filter.name) => {
            let is_other_base = filter.name == "int" && filter.args.len() > 1;
            match is_other_base {
                true => None,
                false => walk(filter.expr.as_ref()?, path),
            }
        }
        Expr::GetAttr(lookup) => {
            let root = walk(&lookup.expr, path)?;
            path.push(lookup.name.to_owned());
            Some(root)
        }
        Expr::GetItem(lookup) => {
            let root = walk(&lookup.expr, path)?;
            path.push(key(&lookup.subscript_expr)?);
            Some(root)
        }
        Expr::Call(call) => {
            let (Expr::GetAttr(method), Some(CallArg::Pos(name))) = (&call.expr, call.args.first())
            else {
                return None;
            };
            if method.name != "get" {
                return None;
            }
            let root = walk(&method.expr, path)?;
            path.push(key(name)?);
            Some(root)
        }
        _ => None,
    }
}

/// A constant key or place, as flattening spells it.
fn key(expression: &Expr<'_>) -> Option<String> {
    let value = expression.as_const()?;
    match value.as_str() {
        Some("") => None,
        Some(key) => Some(key.to_owned()),
        None => usize::try_from(value).ok().map(|place| place.to_string()),
    }
}
