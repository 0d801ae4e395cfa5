//! The rules of a home: when something is told, if an expression holds, for long enough, then actions.
//!
//! Pure: no I/O and no clock; whoever calls gives inputs and the time, and carries out what fires. In the
//! order that a rule passes through:

/// What a rule would have done.
pub mod backtest;
/// Faults of devices: away, silent, stuck, out of range, drifting, a low battery.
pub mod care;
/// Checking a rule when it is entered.
pub mod check;
/// Lengths of time as people write them.
pub mod duration;
/// The state machine that runs rules.
pub mod engine;
/// Conditions: CEL over the home's readings.
pub mod expression;
/// By what a text is known again.
mod fingerprint;
/// What comes of a rule that fires.
pub mod firing;
/// Devices of one kind, whatever their make.
pub mod group;
/// What an engine is told.
pub mod input;
/// What an engine has to tell besides firings.
pub mod notice;
/// Where a home is: its time zone and coordinates.
pub mod place;
/// What a rule says.
pub mod rule;
/// Moments that a clock brings: cron, the sun, every so often.
pub mod schedule;
/// What an engine keeps over a restart.
pub mod state;
/// Counts of what an engine did.
pub mod stats;
/// Texts with places that are filled in when a rule fires.
pub mod text;
/// What is known of the home: the latest of every series, its history, modes, members, alarms.
pub mod world;

pub use care::{Care, CareChange};
pub use engine::Engine;
pub use firing::{Firing, Overruled, Why};
pub use group::Group;
pub use input::{AlarmState, Input, Reading};
pub use place::Place;
pub use rule::{Action, AlarmClass, Rule, RuleId, Scalar, Severity, Trigger};
pub use state::State;
