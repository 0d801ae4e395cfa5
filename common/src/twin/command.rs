use std::{collections::HashMap, str::FromStr, time::Duration};

use serde_json::Value;
use ulid::Ulid;

use super::{
    document::{Document, DocumentId, Section},
    history::{Changed, history},
    replica::Replica,
    resolve::{Policy, Resolved, Why},
    stamp::SKEW_MAX_MS,
    write::{DEVICE, Write},
};

/// The longest time to live of a value that is not the safest of its attribute, such as unlocked or open: it is for now, and
/// must not come to pass hours later.
pub const LIVE_TTL_MAX: Duration = Duration::from_secs(30);

/// How far a command is: a write to [`Section::Desired`], by what the documents say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStatus {
    /// It is stored, and the device's box has not taken it up yet.
    Pending,
    /// The box has sent it to whoever listens for the device.
    Delivered,
    /// The device says what was wanted.
    Confirmed,
    /// Its time passed before it was carried out or confirmed.
    TimedOut,
    /// It is not carried out.
    Refused,
    /// A later one came in its place before it was taken up.
    Superseded,
}

impl CommandStatus {
    /// Its name in acks and interfaces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CommandStatus::Pending => "pending",
            CommandStatus::Delivered => "delivered",
            CommandStatus::Confirmed => "confirmed",
            CommandStatus::TimedOut => "timed_out",
            CommandStatus::Refused => "refused",
            CommandStatus::Superseded => "superseded",
        }
    }

    /// Whether nothing more becomes of it. A box acknowledges what came of a command, so that what it calls delivered has no
    /// state that could confirm it.
    #[must_use]
    pub fn is_end(self) -> bool {
        self != CommandStatus::Pending
    }
}

impl FromStr for CommandStatus {
    type Err = UnknownStatus;

    fn from_str(name: &str) -> Result<CommandStatus, UnknownStatus> {
        let all = [
            CommandStatus::Pending,
            CommandStatus::Delivered,
            CommandStatus::Confirmed,
            CommandStatus::TimedOut,
            CommandStatus::Refused,
            CommandStatus::Superseded,
        ];
        let mut all = all.into_iter();
        all.find(|status| status.name() == name)
            .ok_or(UnknownStatus)
    }
}

/// No status has this name.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no status of a command has this name")]
pub struct UnknownStatus;

/// What became of a command, as the scalar of [`Section::Ack`] that its box writes: `id:status` or `id:status:reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Id of the write.
    pub id: String,
    /// How far it is.
    pub status: CommandStatus,
    /// Why it was refused.
    pub reason: Option<String>,
}

impl Ack {
    /// The scalar that stands in the document.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Ack { id, status, reason } = self;
        match reason {
            None => format!("{id}:{}", status.name()),
            Some(reason) => format!("{id}:{}:{reason}", status.name()),
        }
    }

    /// Read a scalar; none where it is not an ack of a status that is known here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Ack> {
        let mut parts = text.splitn(3, ':');
        Some(Ack {
            id: parts.next().filter(|id| !id.is_empty())?.to_owned(),
            status: parts.next()?.parse().ok()?,
            reason: parts.next().map(str::to_owned),
        })
    }

    /// The ack that stands for an attribute.
    #[must_use]
    pub fn of(document: &Document, attribute: &str) -> Option<Ack> {
        Ack::parse(document.scalar(Section::Ack, attribute)?.as_str()?)
    }
}

/// A command, as far as the documents tell.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandState {
    /// Its id, which is that of the write.
    pub id: String,
    /// What is set.
    pub attribute: String,
    /// What to.
    pub value: Value,
    /// Who wants it.
    pub by: String,
    /// When it was written, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Seconds from then on that it may be carried out; for ever where it is absent.
    pub ttl_s: Option<u32>,
    /// How far it is.
    pub status: CommandStatus,
    /// Why it is refused or superseded: the name of the reason, then who set what instead.
    pub reason: Option<String>,
    /// When it came to its end, milliseconds since 1970 UTC, as far as that is known; absent while it goes on.
    pub done_ms: Option<i64>,
}

/// What became of a desired write by its id; none where the document, in its present epoch, has no such write.
///
/// The past of the document is read only where what stands does not tell.
#[must_use]
pub fn state_of(document: &Document, id: &str, now_ms: i64) -> Option<CommandState> {
    let acked_ms = |ack: &Ack| Past::of(document).acked_ms(ack);
    standing_state(document, id, now_ms, &acked_ms).or_else(|| {
        let past = Past::of(document);
        let write = past
            .writes
            .iter()
            .find(|write| write.id.as_deref() == Some(id))?;
        past.state(document, write, now_ms)
    })
}

/// The latest commands of a device, latest first.
#[must_use]
pub fn commands_of(document: &Document, max: usize, now_ms: i64) -> Vec<CommandState> {
    let past = Past::of(document);
    let writes = past.writes.iter().take(max);
    let states = writes.filter_map(|write| {
        let id = write.id.as_deref()?;
        standing_state(document, id, now_ms, &|ack| past.acked_ms(ack))
            .or_else(|| past.state(document, write, now_ms))
    });
    states.collect()
}

/// What holds of each attribute that is wanted of a device, as a command. When it came to its end is not looked for.
#[must_use]
pub fn wanted_of(document: &Document, now_ms: i64) -> Vec<CommandState> {
    let attributes = document.attributes(Section::Desired);
    let wanted = attributes.iter().filter_map(|attribute| {
        let holds = document
            .resolve(Section::Desired, attribute, now_ms)
            .winner?;
        let state = standing_state(document, &holds.id, now_ms, &|_| None);
        state.filter(|state| !state.value.is_null())
    });
    wanted.collect()
}

/// A command by its id among all devices of a home, with the document of its device.
#[must_use]
pub fn find(replica: &Replica, id: &str, now_ms: i64) -> Option<(DocumentId, CommandState)> {
    let made_ms = Ulid::from_string(id).ok()?.timestamp_ms();
    let devices = || {
        replica
            .documents()
            .filter(|document| document.key().id.as_device().is_some())
    };
    let found = |document: &Document, state| (document.key().id.clone(), state);
    if let Some(standing) = devices().find_map(|document| {
        let acked_ms = |ack: &Ack| Past::of(document).acked_ms(ack);
        standing_state(document, id, now_ms, &acked_ms).map(|state| found(document, state))
    }) {
        return Some(standing);
    }
    // No change from before the id was drawn can hold it, so most pasts need not be read.
    let from_s = (i64::try_from(made_ms).unwrap_or(i64::MAX) - SKEW_MAX_MS).div_euclid(1000);
    let may_hold = |document: &&Document| {
        let changes = document.automerge().get_changes(&[]);
        changes.iter().any(|change| change.timestamp() >= from_s)
    };
    devices()
        .filter(may_hold)
        .find_map(|document| state_of(document, id, now_ms).map(|state| found(document, state)))
}

/// What became of a write that no later one has replaced.
fn standing_state(
    document: &Document,
    id: &str,
    now_ms: i64,
    acked_ms: &dyn Fn(&Ack) -> Option<i64>,
) -> Option<CommandState> {
    let attributes = document.attributes(Section::Desired);
    attributes.iter().find_map(|attribute| {
        let writes = document.writes(Section::Desired, attribute);
        let write = writes.iter().find(|write| write.id == id)?;
        let resolved = document.resolve(Section::Desired, attribute, now_ms);
        let mut state = began(attribute, write);
        if let Some(ack) = acked(document, attribute, write, &resolved) {
            let done_ms = ack
                .status
                .is_end()
                .then(|| acked_ms(&ack).unwrap_or(write.at.ms));
            state.end(ack.status, ack.reason, done_ms);
            return Some(state);
        }
        let lost = resolved.losers.iter().find(|(loser, _)| loser.id == id);
        match (lost, &resolved.winner) {
            (Some((_, Why::Expired)), _) => {
                let ttl_ms = i64::from(write.ttl_s.unwrap_or_default()) * 1000;
                let passed_ms = write.at.ms.saturating_add(ttl_ms);
                state.end(CommandStatus::TimedOut, None, Some(passed_ms));
            }
            // Who wanted the same gets the same.
            (Some((loser, why)), Some(winner)) if loser.v != winner.v => {
                let reason = format!("{}: {}", why.name(), told(winner));
                let at_ms = write.at.ms.max(winner.at.ms);
                state.end(CommandStatus::Refused, Some(reason), Some(at_ms));
            }
            _ => {}
        }
        Some(state)
    })
}

/// The ack of a write, or of the one that holds where that is for the same value.
fn acked(document: &Document, attribute: &str, write: &Write, resolved: &Resolved) -> Option<Ack> {
    let ack = Ack::of(document, attribute)?;
    let winner = resolved.winner.as_ref();
    let is_same = winner.is_some_and(|winner| winner.id == ack.id && winner.v == write.v);
    let is_expired = resolved
        .losers
        .iter()
        .any(|(loser, why)| loser.id == write.id && *why == Why::Expired);
    (ack.id == write.id || (is_same && !is_expired)).then_some(ack)
}

fn began(attribute: &str, write: &Write) -> CommandState {
    // What was done at the device is done.
    let (status, done_ms) = match write.is_devices() {
        true => (CommandStatus::Confirmed, Some(write.at.ms)),
        false => (CommandStatus::Pending, None),
    };
    CommandState {
        id: write.id.clone(),
        attribute: attribute.to_owned(),
        value: write.v.clone(),
        by: write.by.clone(),
        at_ms: write.at.ms,
        ttl_s: write.ttl_s,
        status,
        reason: None,
        done_ms,
    }
}

fn told(write: &Write) -> String {
    format!("{} set {}", write.by, write.v)
}

impl CommandState {
    fn end(&mut self, status: CommandStatus, reason: Option<String>, done_ms: Option<i64>) {
        (self.status, self.reason, self.done_ms) = (status, reason, done_ms);
    }
}

/// What a document remembers of commands since its epoch began.
struct Past {
    /// Desired writes, latest first.
    writes: Vec<Changed>,
    /// The last ack of each, with its time.
    acks: HashMap<String, (Ack, Option<i64>)>,
}

impl Past {
    fn of(document: &Document) -> Past {
        let mut past = Past {
            writes: Vec::new(),
            acks: HashMap::new(),
        };
        for changed in history(document, usize::MAX) {
            match changed.section {
                Section::Desired if changed.id.is_some() => past.writes.push(changed),
                Section::Ack => {
                    let ack = changed.value.as_str().and_then(Ack::parse);
                    if let Some(ack) = ack {
                        past.note(ack, changed.at_ms);
                    }
                }
                _ => {}
            }
        }
        past
    }

    /// Acks come latest first, but those of one second in any order: what is more than delivered counts.
    fn note(&mut self, ack: Ack, at_ms: Option<i64>) {
        let known = self.acks.get(&ack.id);
        if known.is_none_or(|(known, _)| known.status == CommandStatus::Delivered) {
            self.acks.insert(ack.id.clone(), (ack, at_ms));
        }
    }

    fn acked_ms(&self, ack: &Ack) -> Option<i64> {
        self.acks.get(&ack.id)?.1
    }

    /// What became of a write that a later one has replaced.
    fn state(&self, document: &Document, write: &Changed, now_ms: i64) -> Option<CommandState> {
        let at_ms = write.at_ms.unwrap_or_default();
        let mut state = CommandState {
            id: write.id.clone()?,
            attribute: write.attribute.clone(),
            value: write.value.clone(),
            by: write.by.clone(),
            at_ms,
            ttl_s: None,
            status: CommandStatus::Superseded,
            reason: None,
            done_ms: Some(at_ms),
        };
        if write.by == DEVICE {
            state.status = CommandStatus::Confirmed;
            return Some(state);
        }
        if let Some((ack, acked_ms)) = self.acks.get(&state.id) {
            state.end(ack.status, ack.reason.clone(), acked_ms.or(Some(at_ms)));
            return Some(state);
        }
        let holds = document.resolve(Section::Desired, &state.attribute, now_ms);
        if let Some(winner) = &holds.winner {
            state.reason = Some(told(winner));
            state.done_ms = Some(at_ms.max(winner.at.ms));
        }
        Some(state)
    }
}

/// A value was to wait longer than it is safe.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{value} is not the safe side of it, so it must not come late: with a ttl of at most {} s, or by POST …/call, which fails when the box is away",
    LIVE_TTL_MAX.as_secs()
)]
pub struct LiveError {
    /// The value.
    pub value: Value,
}

/// How many seconds a wanted value may live: as long as its author says, but no longer than [`LIVE_TTL_MAX`] where the
/// attribute's policy knows something safer.
///
/// # Errors
/// The author wants longer than that.
pub fn live_ttl(
    policy: &Policy,
    value: &Value,
    ttl: Option<Duration>,
) -> Result<Option<u32>, LiveError> {
    let is_live = !value.is_null() && policy.is_live(value);
    let ttl = match ttl {
        Some(ttl) if is_live && ttl > LIVE_TTL_MAX => {
            return Err(LiveError {
                value: value.clone(),
            });
        }
        None if is_live => Some(LIVE_TTL_MAX),
        ttl => ttl,
    };
    // A part of a second is a whole one: nothing that was wanted is gone at once.
    let seconds = |ttl: Duration| u32::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    Ok(ttl.map(seconds))
}

#[cfg(test)]
mod tests;
