use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that an engine is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input<'a> {
    /// A device told something.
    Reading(Reading<'a>),
    /// The home is in this mode now.
    Mode(&'a str),
    /// A member came or went.
    Presence {
        /// Name of the member.
        member: &'a str,
        /// Whether the member is at home now.
        home: bool,
    },
    /// An alarm got into a state.
    Alarm {
        /// Id of the alarm.
        id: &'a str,
        /// The state.
        state: AlarmState,
    },
    /// A device came or went.
    Online {
        /// The device.
        device: &'a str,
        /// Whether it can be reached now.
        online: bool,
    },
}

/// What a device told of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
    /// Order number of the journal's record that holds it.
    pub seq: u64,
    /// When it was measured, in milliseconds since the epoch.
    pub ts_ms: i64,
    /// The device.
    pub device: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// Its value as a number, if it is one.
    pub value: Option<f64>,
    /// Its words, if it has some.
    pub text: Option<&'a str>,
    /// Whether it is told again only to be known: it fires nothing.
    pub replayed: bool,
}

/// What state an alarm is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// Something is wrong.
    Raised,
    /// Somebody knows.
    Acknowledged,
    /// Nothing is wrong any more.
    Cleared,
}

impl fmt::Display for AlarmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AlarmState::Raised => "raised",
            AlarmState::Acknowledged => "acknowledged",
            AlarmState::Cleared => "cleared",
        })
    }
}
