//! Insights: what the readings of a home say when they are looked at over days. A pack is a query, a condition and an
//! advice, in one file of TOML.
//!
//! Pure but for [`load`] and [`Tariff::load`], which read files: whoever calls runs the query and gives its rows and the time. In the
//! order that a pack passes through them:

/// Odd values and forecasts, added to rows.
pub mod analysis;
/// Packs that come with the box.
mod builtin;
/// From rows to findings.
mod evaluate;
/// Expressions over a row: CEL.
mod expression;
/// What a pack's file says.
mod file;
/// What a pack has found.
pub mod finding;
/// Packs of a user, from a directory.
mod load;
/// A pack that was checked.
pub mod pack;
/// Values that a user may set.
pub mod params;
/// The query of a pack, with places for what is only known when it runs.
mod sql;
/// What energy costs, from a file of a user.
mod tariff;
/// Texts with places that are filled in from a row.
mod text;

pub use builtin::packs;
pub use evaluate::{COLUMNS_MAX, EvaluateError, FINDINGS_MAX, ROWS_MAX};
pub use finding::Finding;
pub use load::{Loaded, load, merged};
pub use pack::{Category, Pack, PackError};
pub use params::{Param, ParamError, Params};
pub use tariff::Tariff;
pub use tarn_rules::Severity;

/// A row of a query's answer: a value for each column.
pub type Row = serde_json::Map<String, serde_json::Value>;
