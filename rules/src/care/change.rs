use serde::{Deserialize, Serialize};

use crate::{fingerprint::fingerprint, rule::Severity};

/// Characters of an alarm's id at most.
pub const ALARM_ID_CHARS_MAX: usize = 128;

/// What is wrong with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It cannot be reached.
    Offline,
    /// It was away again and again.
    ComesAndGoes,
    /// It can be reached as far as anybody knows, and tells nothing any more.
    Silent,
    /// It tells the same value again and again.
    Stuck,
    /// It tells values that cannot be right.
    OutOfRange,
    /// Its battery is low.
    BatteryLow,
    /// It no longer goes together with its neighbour.
    Drift,
}

impl FaultKind {
    /// Its name in ids and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Offline => "offline",
            FaultKind::ComesAndGoes => "comes_and_goes",
            FaultKind::Silent => "silent",
            FaultKind::Stuck => "stuck",
            FaultKind::OutOfRange => "out_of_range",
            FaultKind::BatteryLow => "battery_low",
            FaultKind::Drift => "drift",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            FaultKind::Stuck | FaultKind::Drift => Severity::Info,
            _ => Severity::Warning,
        }
    }

    /// Whether a device may have it once for each of its metrics.
    fn is_of_a_metric(self) -> bool {
        matches!(
            self,
            FaultKind::Stuck | FaultKind::OutOfRange | FaultKind::Drift
        )
    }
}

/// Whether a fault begins or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultState {
    /// It was found.
    Began,
    /// It is over.
    Ended,
}

/// A fault that was found, or that is over. Each is told once, when it begins and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CareChange {
    /// Id of the device.
    pub device: String,
    /// The metric by which it was found, where it was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metric: Option<String>,
    /// The neighbour's device and metric, of a drift.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub beside: Option<(String, String)>,
    /// What is wrong.
    pub kind: FaultKind,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, for people; a sentence whose subject is the device. At the end it says what it said at the
    /// beginning.
    pub words: String,
    /// Since when, in milliseconds since the epoch: the first sign, not the moment at which it was found.
    pub since_ms: i64,
    /// Whether it begins or is over.
    pub state: FaultState,
}

impl CareChange {
    /// A fault that begins.
    pub(super) fn began(device: &str, kind: FaultKind, words: String, since_ms: i64) -> CareChange {
        CareChange {
            device: device.to_owned(),
            metric: None,
            beside: None,
            kind,
            severity: kind.severity(),
            words,
            since_ms,
            state: FaultState::Began,
        }
    }

    /// The same, found by this metric.
    pub(super) fn of(mut self, metric: &str) -> CareChange {
        self.metric = Some(metric.to_owned());
        self
    }

    /// Id of the alarm that this begins or ends: `device/<device>/<kind>`, then the metric and the neighbour where a
    /// device may have several. The same fault has the same id at all times, up to [`ALARM_ID_CHARS_MAX`] characters.
    /// In one that would be longer, or has characters that MQTT keeps for itself, a fingerprint stands for the rest.
    #[must_use]
    pub fn alarm_id(&self) -> String {
        let mut id = format!("device/{}/{}", self.device, self.kind.name());
        let beside = self.beside.iter();
        let more = self.metric.iter().filter(|_| self.kind.is_of_a_metric());
        for part in more.chain(beside.flat_map(|(device, metric)| [device, metric])) {
            id.push('/');
            id.push_str(part);
        }
        let is_odd = |c: char| c.is_control() || matches!(c, '+' | '#');
        let is_short = id.chars().count() <= ALARM_ID_CHARS_MAX;
        if is_short && !id.contains(is_odd) {
            return id;
        }
        let end = format!("~{:016x}", fingerprint(&id));
        let room = ALARM_ID_CHARS_MAX - end.len();
        let kept = id
            .chars()
            .map(|c| if is_odd(c) { '_' } else { c })
            .take(room);
        kept.chain(end.chars()).collect()
    }
}

/// A place for one fault: it stands, or it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Standing(Option<CareChange>);

impl Standing {
    pub(super) fn kind(&self) -> Option<FaultKind> {
        self.0.as_ref().map(|fault| fault.kind)
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn get(&self) -> Option<&CareChange> {
        self.0.as_ref()
    }

    /// Begins a fault; one that stood here ends.
    pub(super) fn begin(&mut self, fault: CareChange, told: &mut Vec<CareChange>) {
        self.end(told);
        told.push(fault.clone());
        self.0 = Some(fault);
    }

    /// Ends what stands here, if something does.
    pub(super) fn end(&mut self, told: &mut Vec<CareChange>) {
        told.extend(self.0.take().map(|fault| CareChange {
            state: FaultState::Ended,
            ..fault
        }));
    }
}
