use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::Value;
use tarn_common::ids::Seq;
use tarn_devices::{binding::Binding, command::Expected};
use tokio::sync::watch;

use crate::journal::frame::Record;

/// Commands that are remembered at most, those that are done included.
pub const COMMANDS_MAX: usize = 1_000;

/// How long after its confirmation a command explains what its device says.
const EXPLAINS_MS: i64 = 5_000;

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is on its way to whoever listens for the device.
    Delivered,
    /// The device says what was wanted.
    Confirmed,
    /// The device did not say it in time.
    TimedOut,
    /// It was not sent, for this reason.
    Refused(String),
}

/// A command, as far as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its id, a ULID.
    pub id: String,
    /// The device.
    pub device: Arc<str>,
    /// What is set.
    pub metric: String,
    /// What to.
    pub value: Value,
    /// Topic that it was published to; empty when it was refused before.
    pub topic: String,
    /// How far it is.
    pub status: Status,
    /// When it was sent, milliseconds since 1970 UTC.
    pub sent_ms: i64,
    /// When it counts as timed out.
    pub deadline_ms: i64,
    /// When it came to its end.
    pub done_ms: Option<i64>,
    /// Where its publish stands in the journal.
    pub seq: Seq,
}

/// Commands on their way.
#[derive(Debug, Default)]
pub struct Commands {
    inner: Mutex<Inner>,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    sent: HashMap<String, Sent>,
    oldest_first: VecDeque<String>,
}

#[derive(Debug)]
struct Sent {
    command: watch::Sender<Command>,
    expected: Vec<Expected>,
}

impl Commands {
    /// Whether any command waits to be confirmed.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Whether a command is remembered.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.inner.lock().sent.contains_key(id)
    }

    /// Whether commands explain what a device says of a metric: one waits to be confirmed, or was confirmed a short while
    /// ago and leads to what it says.
    pub(crate) fn explain(
        &self,
        device: &str,
        metric: &str,
        now_ms: i64,
        leads_there: impl Fn(&Value) -> bool,
    ) -> bool {
        let inner = self.inner.lock();
        inner.sent.values().any(|sent| {
            let command = sent.command.borrow();
            let is_fresh = command
                .done_ms
                .is_some_and(|done_ms| now_ms - done_ms < EXPLAINS_MS);
            let is_confirmed = command.status == Status::Confirmed && is_fresh;
            let explains =
                !sent.expected.is_empty() || (is_confirmed && leads_there(&command.value));
            &*command.device == device && command.metric == metric && explains
        })
    }

    /// Remember a command; with nothing expected, or refused, it is done already.
    pub(super) fn add(
        &self,
        command: Command,
        expected: Vec<Expected>,
    ) -> watch::Receiver<Command> {
        let mut inner = self.inner.lock();
        let id = command.id.clone();
        let (command, receiver) = watch::channel(command);
        inner.oldest_first.push_back(id.clone());
        inner.sent.insert(id, Sent { command, expected });
        while inner.oldest_first.len() > COMMANDS_MAX {
            if let Some(oldest) = inner.oldest_first.pop_front() {
                inner.sent.remove(&oldest);
            }
        }
        self.count(&inner);
        receiver
    }

    /// A command by its id, as of `now_ms`.
    pub(crate) fn get(&self, id: &str, now_ms: i64) -> Option<watch::Receiver<Command>> {
        self.expire(now_ms);
        self.inner
            .lock()
            .sent
            .get(id)
            .map(|sent| sent.command.subscribe())
    }

    /// The latest commands to a device, latest first.
    pub(super) fn of(&self, device: &str, now_ms: i64) -> Vec<Command> {
        self.expire(now_ms);
        let inner = self.inner.lock();
        let latest_first = inner.oldest_first.iter().rev();
        let commands =
            latest_first.filter_map(|id| Some(inner.sent.get(id)?.command.borrow().clone()));
        commands
            .filter(|command| &*command.device == device)
            .collect()
    }

    /// Note where the publish of a command stands in the journal.
    pub(super) fn published(&self, id: &str, seq: Seq) {
        if let Some(sent) = self.inner.lock().sent.get(id) {
            sent.command.send_modify(|command| command.seq = seq);
        }
    }

    /// End a command that could not be sent after all.
    pub(super) fn refuse(&self, id: &str, reason: String, at_ms: i64) {
        let mut inner = self.inner.lock();
        if let Some(sent) = inner.sent.get_mut(id) {
            sent.expected.clear();
            sent.end(Status::Refused(reason), at_ms);
        }
        self.count(&inner);
    }

    /// End what nobody confirmed in time.
    pub(super) fn expire(&self, now_ms: i64) {
        if !self.is_waiting() {
            return;
        }
        let mut inner = self.inner.lock();
        for sent in inner
            .sent
            .values_mut()
            .filter(|sent| !sent.expected.is_empty())
        {
            if sent.command.borrow().deadline_ms <= now_ms {
                sent.expected.clear();
                sent.end(Status::TimedOut, now_ms);
            }
        }
        self.count(&inner);
    }

    /// Whether a topic is one of a device that a command waits for.
    pub(super) fn concerns(&self, binding: &Binding) -> bool {
        let inner = self.inner.lock();
        let waiting = inner.sent.values().filter(|sent| !sent.expected.is_empty());
        let devices: Vec<Arc<str>> = waiting
            .map(|sent| sent.command.borrow().device.clone())
            .collect();
        let keys = binding.keys.values().map(|meaning| &meaning.device);
        let templates = binding.templates.iter().map(|(_, meaning)| &meaning.device);
        let plain = binding.plain.iter().map(|meaning| &meaning.device);
        let mut speaks = keys.chain(templates).chain(plain).chain([&binding.device]);
        speaks.any(|device| devices.contains(device))
    }

    /// A device said something after a command to it was sent.
    pub(super) fn said(
        &self,
        device: &str,
        metric: &str,
        value: Option<f64>,
        text: Option<&str>,
        record: &Record<'_>,
    ) {
        let mut inner = self.inner.lock();
        for sent in inner
            .sent
            .values_mut()
            .filter(|sent| !sent.expected.is_empty())
        {
            let (is_its, is_late) = {
                let command = sent.command.borrow();
                let at_ms = record.received_ms;
                let in_time = (command.sent_ms..command.deadline_ms).contains(&at_ms);
                (&*command.device == device, !in_time)
            };
            if !is_its || is_late {
                continue;
            }
            sent.expected
                .retain(|expected| expected.metric != metric || !expected.is_met(value, text));
            if sent.expected.is_empty() {
                sent.end(Status::Confirmed, record.received_ms);
            }
        }
        self.count(&inner);
    }

    fn count(&self, inner: &Inner) {
        let waiting = inner.sent.values().filter(|sent| !sent.expected.is_empty());
        self.waiting.store(waiting.count(), Ordering::Release);
    }
}

impl Command {
    /// Say why it is not sent.
    pub(super) fn refuse(&mut self, reason: String) {
        self.status = Status::Refused(reason);
        self.done_ms = Some(self.sent_ms);
    }
}

impl Sent {
    fn end(&self, status: Status, at_ms: i64) {
        self.command.send_modify(|command| {
            command.status = status;
            command.done_ms = Some(at_ms);
        });
    }
}
