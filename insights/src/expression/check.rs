use cel::{
    IdedExpr,
    common::{
        ast::{CallExpr, Expr, LiteralValue, operators},
        types::CelDouble,
    },
};

use super::{DIVISOR, NESTING_MAX};

/// How deep operators and calls may nest.
const DEPTH_MAX: usize = 48;

/// Parts of an expression at most: literals, calls and names.
const NODES_MAX: usize = 256;

/// What is called by its name, and whether it is asked of something (`row.name.contains('x')`).
const FUNCTIONS: [(&str, bool); 6] = [
    ("size", false),
    ("double", false),
    ("string", false),
    ("contains", true),
    ("startsWith", true),
    ("endsWith", true),
];

const OPERATORS: [&str; 16] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NEGATE,
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::IN,
];

/// Refuses what nests too deep before the parser sees it: looking ahead it recurses without a bound of its own.
pub(super) fn nesting(source: &str) -> Result<(), String> {
    let mut depth: u16 = 0;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(format!("an expression nests {NESTING_MAX} deep at most"));
        }
    }
    Ok(())
}

/// Walks an expression once: refuses what is not known and makes whole numbers fractions.
#[allow(clippy::cast_precision_loss)]
pub(super) fn expr(
    expr: &mut IdedExpr,
    is_param: &impl Fn(&str) -> bool,
    nodes: &mut usize,
    depth: usize,
) -> Result<(), String> {
    *nodes += 1;
    if *nodes > NODES_MAX {
        return Err(format!("an expression has {NODES_MAX} parts at most"));
    }
    if depth > DEPTH_MAX {
        return Err(format!("an expression nests {DEPTH_MAX} deep at most"));
    }
    let mut each = |expr: &mut IdedExpr| self::expr(expr, is_param, nodes, depth + 1);
    match &mut expr.expr {
        Expr::Literal(literal) => {
            let number = match &*literal {
                LiteralValue::Int(number) => *number.inner() as f64,
                LiteralValue::UInt(number) => *number.inner() as f64,
                LiteralValue::Bytes(_) => return Err("bytes are not known here".to_owned()),
                _ => return Ok(()),
            };
            *literal = LiteralValue::Double(CelDouble::from(number));
            Ok(())
        }
        Expr::Ident(name) => match name.as_str() {
            "now" => Ok(()),
            "row" | "params" => Err(format!("`{name}` is asked for a value: `{name}.x`")),
            _ => Err(format!(
                "`{name}` is not known; there are row, params and now"
            )),
        },
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(name) if name == "row" => Ok(()),
            Expr::Ident(name) if name == "params" && is_param(&select.field) => Ok(()),
            Expr::Ident(name) if name == "params" => {
                Err(format!("there is no parameter `{}`", select.field))
            }
            _ => Err(format!("`.{}` is not known here", select.field)),
        },
        Expr::List(list) => list.elements.iter_mut().try_for_each(each),
        Expr::Call(call) => {
            known(call)?;
            call.target.as_deref_mut().map_or(Ok(()), &mut each)?;
            call.args.iter_mut().try_for_each(&mut each)?;
            if call.func_name == operators::DIVIDE
                && let Some(divisor) = call.args.get_mut(1)
            {
                wrap(divisor, DIVISOR);
            }
            if call.func_name == "size" {
                wrap(expr, "double");
            }
            Ok(())
        }
        Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
            Err("macros, maps and structs are not known here".to_owned())
        }
    }
}

fn known(call: &CallExpr) -> Result<(), String> {
    let name = call.func_name.as_str();
    let is_known = OPERATORS.contains(&name) && call.target.is_none()
        || FUNCTIONS.contains(&(name, call.target.is_some()));
    if is_known {
        return Ok(());
    }
    let functions: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    let shown: String = name.chars().take(40).collect();
    Err(format!(
        "`{shown}` is not known; there are {}",
        functions.join(", ")
    ))
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
