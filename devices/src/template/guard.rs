//! Refuses templates whose memory the engine's fuel does not bound.
//!
//! The engine pays for text before it makes it, but repeats, joins and nests lists without copying them: a few
//! steps make a list that is longer than memory once it is turned into text or compared. So each expression
//! gets a bound of its size, and what grew over and over may only be printed, walked or counted, which is bounded.

use std::collections::BTreeMap;

use minijinja::{
    machinery::{
        Token,
        ast::{BinOpKind, CallArg, CompareOpKind, Expr, Stmt},
        parse, tokenize,
    },
    syntax::SyntaxConfig,
};

/// Most operators in one block: the engine walks a chain of them by recursion.
const OPERATORS_MAX: usize = 200;

/// Most statements that open another level; the engine walks these by recursion too.
const BLOCKS_MAX: usize = 500;

/// Most lists that one list is made of. The engine copies a sum of lists only when it is deeper than this.
const LISTS_MAX: u8 = 16;

/// Most passes until the sizes of variables stand; what needs more is refused.
const PASSES_MAX: usize = 64;

/// Filters that give a number or a boolean, or are bounded in what they read of a list.
const COUNTING: [&str; 20] = [
    "float",
    "int",
    "round",
    "length",
    "count",
    "abs",
    "is_number",
    "multiply",
    "add",
    "bool",
    "iif",
    "sqrt",
    "log",
    "join",
    "string",
    "to_json",
    "tojson",
    "ceil",
    "floor",
    "ord",
];

/// Filters that give what they are given, or a part of it.
const PASSING: [&str; 6] = ["default", "d", "is_defined", "first", "last", "list"];

/// Filters that walk a list and pay for each of its items.
const WALKING: [&str; 12] = [
    "average", "median", "min", "max", "sum", "sort", "unique", "reverse", "select", "reject",
    "map", "items",
];

/// How long a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Size {
    /// A number or text, which is paid for.
    Scalar,
    /// A list no longer than the payload or the template.
    Held,
    /// A list that was made of so many others.
    Built(u8),
    /// A list that was made of itself, or of too many others.
    Grown,
}

impl Size {
    /// How many lists a list was made of.
    fn lists(self) -> u8 {
        match self {
            Size::Scalar => 0,
            Size::Held => 1,
            Size::Built(lists) => lists,
            Size::Grown => LISTS_MAX,
        }
    }

    /// A list that is made of so many.
    fn of(lists: u8) -> Size {
        match lists {
            lists if lists >= LISTS_MAX => Size::Grown,
            lists => Size::Built(lists),
        }
    }
}

/// Checks a template that compiles.
pub(super) fn check(source: &str) -> Result<(), String> {
    chains(source)?;
    let template =
        parse(source, "<template>", SyntaxConfig::default()).map_err(|error| error.to_string())?;
    let mut guard = Guard {
        sizes: BTreeMap::new(),
        refused: None,
    };
    let is_settled = (0..PASSES_MAX).any(|_| {
        let before = guard.sizes.clone();
        guard.statement(&template);
        guard.refused.is_some() || guard.sizes == before
    });
    if !is_settled {
        guard.refuse("a tangle of variables");
    }
    guard.refused.map_or(Ok(()), |what| {
        Err(format!("{what} may need too much memory"))
    })
}

/// Refuses what is too deep to be compiled.
fn chains(source: &str) -> Result<(), String> {
    let (mut operators, mut blocks) = (0, 0);
    for token in tokenize(source, false, SyntaxConfig::default()) {
        let (token, _) = token.map_err(|error| error.to_string())?;
        match token {
            Token::VariableStart => operators = 0,
            Token::BlockStart => {
                operators = 0;
                blocks += 1;
            }
            Token::Comma | Token::Colon | Token::Str(_) | Token::String(_) | Token::Int(_) => {}
            Token::Ident(name)
                if !matches!(name, "and" | "or" | "not" | "if" | "is" | "in" | "elif") => {}
            Token::Int128(_) | Token::Float(_) | Token::TemplateData(_) => {}
            Token::VariableEnd | Token::BlockEnd => {}
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {}
            _ => operators += 1,
        }
        if operators > OPERATORS_MAX || blocks > BLOCKS_MAX {
            return Err(format!(
                "more than {OPERATORS_MAX} operators in a block, or {BLOCKS_MAX} blocks"
            ));
        }
    }
    Ok(())
}

/// The sizes of variables, and the first thing that is refused.
struct Guard<'s> {
    sizes: BTreeMap<&'s str, Size>,
    refused: Option<&'static str>,
}

impl<'s> Guard<'s> {
    fn refuse(&mut self, what: &'static str) {
        self.refused.get_or_insert(what);
    }

    fn statements(&mut self, statements: &[Stmt<'s>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'s>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => {
                self.size(&emit.expr);
            }
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => {
                let size = self.size(&each.iter);
                self.assign(&each.target, size);
                each.filter_expr.iter().for_each(|filter| {
                    self.size(filter);
                });
                if each.recursive {
                    self.refuse("a recursive loop");
                }
                self.statements(&each.body);
                self.statements(&each.else_body);
            }
            Stmt::IfCond(condition) => {
                self.size(&condition.expr);
                self.branches(condition);
            }
            Stmt::WithBlock(with) => {
                for (target, value) in &with.assignments {
                    let size = self.size(value);
                    self.assign(target, size);
                }
                self.statements(&with.body);
            }
            Stmt::Set(set) => {
                let size = self.size(&set.expr);
                self.assign(&set.target, size);
            }
            Stmt::SetBlock(set) => {
                self.statements(&set.body);
                self.assign(&set.target, Size::Held);
            }
            Stmt::AutoEscape(block) => self.statements(&block.body),
            Stmt::FilterBlock(block) => self.statements(&block.body),
            Stmt::Do(call) => {
                call.call.args.iter().for_each(|argument| {
                    self.argument(argument);
                });
            }
        }
    }

    fn branches(&mut self, condition: &minijinja::machinery::ast::IfCond<'s>) {
        self.statements(&condition.true_body);
        self.statements(&condition.false_body);
    }

    /// A variable may become as long as what is put into it, or into one of its attributes.
    fn assign(&mut self, target: &Expr<'s>, size: Size) {
        match target {
            Expr::Var(variable) => {
                let known = self.sizes.entry(variable.id).or_insert(size);
                *known = (*known).max(size);
            }
            Expr::GetAttr(attribute) => self.assign(&attribute.expr, size),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item, size)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item, size)),
            _ => self.refuse("an assignment"),
        }
    }

    /// How long the value of an expression may be.
    fn size(&mut self, expression: &Expr<'s>) -> Size {
        match expression {
            Expr::Const(_) => Size::Scalar,
            Expr::Var(variable) => *self.sizes.get(variable.id).unwrap_or(&Size::Held),
            Expr::Slice(slice) => self.size(&slice.expr),
            Expr::UnaryOp(operator) => {
                self.size(&operator.expr);
                Size::Scalar
            }
            Expr::BinOp(operator) => {
                let (left, right) = (self.size(&operator.left), self.size(&operator.right));
                let is_float = [&operator.left, &operator.right]
                    .into_iter()
                    .any(is_fraction);
                self.operator(operator.op, left, right, is_float)
            }
            Expr::Compare(compare) => {
                let mut left = self.size(&compare.expr);
                for operator in &compare.ops {
                    let right = self.size(&operator.expr);
                    let is_search = matches!(operator.op, CompareOpKind::In | CompareOpKind::NotIn);
                    if right == Size::Grown && (is_search || left == Size::Grown) {
                        self.refuse("a comparison of lists");
                    }
                    left = right;
                }
                Size::Scalar
            }
            Expr::IfExpr(choice) => {
                self.size(&choice.test_expr);
                let otherwise = choice.false_expr.as_ref().map(|other| self.size(other));
                self.size(&choice.true_expr)
                    .max(otherwise.unwrap_or(Size::Scalar))
            }
            Expr::Filter(filter) => {
                let given = filter
                    .expr
                    .as_ref()
                    .map_or(Size::Held, |given| self.size(given));
                let given = self.arguments(&filter.args).max(given);
                self.filter(filter.name, given)
            }
            Expr::Test(test) => {
                let given = self.size(&test.expr);
                if self.arguments(&test.args).min(given) == Size::Grown {
                    self.refuse("a comparison of lists");
                }
                Size::Scalar
            }
            Expr::GetAttr(attribute) => self.size(&attribute.expr),
            Expr::GetItem(item) => {
                self.size(&item.subscript_expr);
                self.size(&item.expr)
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.literal(&list.items),
            Expr::Tuple(tuple) => self.literal(&tuple.items),
            Expr::Map(map) => self.literal(&map.keys).max(self.literal(&map.values)),
        }
    }

    fn operator(&mut self, kind: BinOpKind, left: Size, right: Size, is_float: bool) -> Size {
        let (low, high) = (left.min(right), left.max(right));
        match kind {
            BinOpKind::Add if low == Size::Scalar => Size::Scalar,
            BinOpKind::Mul if high == Size::Scalar || is_float => Size::Scalar,
            BinOpKind::Add => self.made(left.lists() + right.lists()),
            BinOpKind::Mul => self.made(high.lists() + 1),
            BinOpKind::ScAnd | BinOpKind::ScOr => high,
            BinOpKind::Concat => {
                if high > Size::Held {
                    self.refuse("text of a list");
                }
                Size::Scalar
            }
            BinOpKind::In if right == Size::Grown => {
                self.refuse("a search in a list");
                Size::Scalar
            }
            _ => {
                if low == Size::Grown {
                    self.refuse("a comparison of lists");
                }
                Size::Scalar
            }
        }
    }

    fn filter(&mut self, name: &str, given: Size) -> Size {
        if COUNTING.contains(&name) {
            return Size::Scalar;
        }
        if PASSING.contains(&name) {
            return given;
        }
        if given > Size::Held && !WALKING.contains(&name) {
            self.refuse("a filter of a list");
        }
        match name {
            "zip" | "chain" | "batch" | "slice" => Size::Built(2),
            _ => given.max(Size::Held),
        }
    }

    fn call(&mut self, call: &minijinja::machinery::ast::Call<'s>) -> Size {
        let arguments = self.arguments(&call.args);
        match &call.expr {
            Expr::Var(function) if matches!(function.id, "namespace" | "dict") => arguments,
            Expr::Var(function) if matches!(function.id, "float" | "int" | "bool") => Size::Scalar,
            Expr::GetAttr(method) => {
                let object = self.size(&method.expr);
                let is_lookup = matches!(method.name, "get" | "items" | "keys" | "values");
                let limit = if is_lookup { Size::Grown } else { Size::Held };
                // A list of text is joined by the engine, which pays for it.
                if object > limit || (arguments > Size::Held && method.name != "join") {
                    self.refuse("a method of a list");
                }
                object.max(Size::Held)
            }
            _ => {
                if arguments == Size::Grown {
                    self.refuse("a function of a list");
                }
                arguments.max(Size::Held)
            }
        }
    }

    /// A list of constants is no longer than the template.
    fn literal(&mut self, items: &[Expr<'s>]) -> Size {
        let mut is_constant = true;
        let mut longest = 0;
        for item in items {
            longest = self.size(item).lists().max(longest);
            is_constant &= item.as_const().is_some();
        }
        match is_constant {
            true => Size::Held,
            false => self.made(longest + 1),
        }
    }

    /// A list that is made of others, unless they are too many.
    fn made(&mut self, lists: u8) -> Size {
        let size = Size::of(lists);
        if size == Size::Grown {
            self.refuse("a list that grows");
        }
        size
    }

    fn arguments(&mut self, arguments: &[CallArg<'s>]) -> Size {
        let sizes = arguments.iter().map(|argument| self.argument(argument));
        sizes.max().unwrap_or(Size::Scalar)
    }

    fn argument(&mut self, argument: &CallArg<'s>) -> Size {
        match argument {
            CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.size(value),
            CallArg::PosSplat(value) | CallArg::KwargSplat(value) => self.size(value),
        }
    }
}

/// Whether an expression is a constant with a fraction: no list can be multiplied by it.
fn is_fraction(expression: &Expr<'_>) -> bool {
    let constant = expression.as_const();
    constant.is_some_and(|value| !value.is_integer() && f64::try_from(value).is_ok())
}
