use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tarn_common::{
    clock::Clock,
    ids::EdgeId,
    twin::{
        command::{Ack, CommandStatus},
        document::{Document, DocumentId, Section},
        edit::Edit,
        home::{HomeTwins, TwinError},
        replica::Replica,
        write::{DEVICE, Write},
    },
};
use tarn_devices::twin;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{Instant, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::fate::{Circumstances, Fate, Unacked};
use crate::devices::{
    commands::{COMMANDS_MAX, Command, Status},
    send::CommandSender,
};

/// What is to be done about a write.
mod fate;

/// How often it is tried to send what was left from before this process, and to write down what could not be.
const AGAIN_EVERY: Duration = Duration::from_secs(2);
/// How long what was left waits for its device to say something, where nothing tells that it is away.
const LEFT_WAIT: Duration = Duration::from_secs(60);

/// Sends what is wanted of this box's devices, once, and writes down what became of it.
pub struct Actuator {
    edge: EdgeId,
    twins: Arc<HomeTwins>,
    sender: Arc<CommandSender>,
    clock: Arc<dyn Clock>,
    started: Instant,
    /// Held while it is decided what to send, so that nothing is sent twice.
    deciding: tokio::sync::Mutex<()>,
    /// Writes that were there before this process and wait until their device is heard, each with the device.
    left: Mutex<HashMap<String, String>>,
    done: mpsc::Sender<Done>,
    outcomes: Mutex<Option<mpsc::Receiver<Done>>>,
    waiting: TaskTracker,
}

/// What became of a write.
#[derive(Debug)]
struct Done {
    document: DocumentId,
    attribute: String,
    ack: Ack,
    /// What the attribute is at the device, where a late write must not stand over it.
    instead: Option<Value>,
}

impl Actuator {
    /// An actuator for the devices that `edge` has. What the documents want already is left until its device is heard.
    #[must_use]
    pub fn new(
        edge: EdgeId,
        twins: Arc<HomeTwins>,
        sender: Arc<CommandSender>,
        clock: Arc<dyn Clock>,
    ) -> Actuator {
        let (done, outcomes) = mpsc::channel(COMMANDS_MAX);
        let now_ms = clock.now_ms();
        let left = twins.read(|replica| fate::left(replica.documents(), now_ms));
        Actuator {
            edge,
            twins,
            sender,
            clock,
            started: Instant::now(),
            deciding: tokio::sync::Mutex::default(),
            left: Mutex::new(left),
            done,
            outcomes: Mutex::new(Some(outcomes)),
            waiting: TaskTracker::new(),
        }
    }

    /// Act upon changes of documents until stopped.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let Some(mut outcomes) = self.outcomes.lock().take() else {
            return;
        };
        let mut changes = self.twins.changes();
        let mut again = interval(AGAIN_EVERY);
        let mut unwritten = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = again.tick() => {
                    self.write_down(&mut unwritten).await;
                    self.act_on_left().await;
                }
                Some(done) = outcomes.recv() => {
                    unwritten.push(done);
                    while let Ok(done) = outcomes.try_recv() {
                        unwritten.push(done);
                    }
                    self.write_down(&mut unwritten).await;
                }
                change = changes.recv() => match change {
                    Ok(change) => {
                        let documents = change.documents.iter();
                        self.act_on(documents.map(|(document, _)| document.clone())).await;
                    }
                    Err(RecvError::Lagged(_)) => {
                        let all = self.twins.read(|replica| ids(replica.documents()));
                        self.act_on(all.into_iter()).await;
                    }
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// Write what is wanted of a device, and send it before anybody else does. `timeout` is how long the device may take, where
    /// whoever wants it says so.
    ///
    /// # Errors
    /// It is not written; nothing is sent.
    pub async fn want<E>(
        &self,
        device: &str,
        timeout: Option<Duration>,
        write: impl Future<Output = Result<Vec<String>, E>>,
    ) -> Result<Vec<String>, E> {
        let _deciding = self.deciding.lock().await;
        let ids = write.await?;
        self.act(device, timeout, &ids);
        Ok(ids)
    }

    async fn act_on(&self, documents: impl Iterator<Item = DocumentId>) {
        let _deciding = self.deciding.lock().await;
        for document in documents {
            if let Some(device) = document.as_device() {
                self.act(device, None, &[]);
            }
        }
    }

    async fn act_on_left(&self) {
        if self.left.lock().is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms();
        let still = self
            .twins
            .read(|replica| fate::left(replica.documents(), now_ms));
        let devices: BTreeSet<String> = {
            let mut left = self.left.lock();
            left.retain(|id, _| still.contains_key(id));
            left.values().cloned().collect()
        };
        let documents = devices.iter().map(|device| DocumentId::device(device));
        self.act_on(documents).await;
    }

    /// Send what is newly wanted of a device; `own` are the ids of writes that were made here just now.
    fn act(&self, device: &str, timeout: Option<Duration>, own: &[String]) {
        let now_ms = self.clock.now_ms();
        let id = DocumentId::device(device);
        let fates = self.twins.read(|replica| {
            let is_ours = replica
                .owner(&id, now_ms)
                .is_some_and(|owner| owner == self.edge.to_string());
            let document = replica.document(&id).filter(|_| is_ours);
            document
                .map(|document| self.fates(device, document, own, now_ms))
                .unwrap_or_default()
        });
        for (attribute, write, fate) in fates {
            match fate {
                Fate::Wait => {}
                Fate::Send => self.send(&id, device, attribute, write, timeout),
                Fate::End {
                    status,
                    reason,
                    instead,
                } => self.end(Done {
                    document: id.clone(),
                    attribute,
                    ack: Ack {
                        id: write.id,
                        status,
                        reason: reason.map(str::to_owned),
                    },
                    instead,
                }),
            }
        }
    }

    fn fates(
        &self,
        device: &str,
        document: &Document,
        own: &[String],
        now_ms: i64,
    ) -> Vec<(String, Write, Fate)> {
        let devices = &self.sender.devices;
        let registry = devices.registry.read();
        let Some(known) = registry.device(device) else {
            return Vec::new();
        };
        let has_waited = self.started.elapsed() > LEFT_WAIT;
        let is_there = devices.heard.spoke(device)
            || (has_waited && registry.is_online(known).unwrap_or(true));
        let unacked = Unacked::of(document, now_ms).into_iter();
        let new = unacked.filter(|unacked| !devices.commands.has(&unacked.write.id));
        let fates = new.map(|unacked| {
            let attribute = unacked.attribute.as_str();
            let feature = known.features.get(attribute);
            // The effect of a command is nobody's deed at the device.
            let pending = devices.heard.pending(device, attribute).filter(|state| {
                let leads_there = |value: &Value| {
                    feature.is_some_and(|feature| twin::leads_to(feature, value, state))
                };
                !devices
                    .commands
                    .explain(device, attribute, now_ms, leads_there)
            });
            let about = Circumstances {
                feature,
                pending: pending.as_ref(),
                is_own: own.contains(&unacked.write.id),
                is_left: self.left.lock().contains_key(&unacked.write.id),
                is_there,
                now_ms,
            };
            let fate = unacked.fate(document, &about);
            (unacked.attribute, unacked.write, fate)
        });
        fates.collect()
    }

    fn send(
        &self,
        document: &DocumentId,
        device: &str,
        attribute: String,
        write: Write,
        timeout: Option<Duration>,
    ) {
        self.left.lock().remove(&write.id);
        let sent = self.sender.send(
            write.id.clone(),
            device,
            attribute.clone(),
            write.v,
            timeout,
        );
        match sent {
            Ok(command) => self.follow(document.clone(), attribute, command),
            Err(error) => self.end(Done {
                document: document.clone(),
                attribute,
                ack: Ack {
                    id: write.id,
                    status: CommandStatus::Refused,
                    reason: Some(error.to_string()),
                },
                instead: None,
            }),
        }
    }

    /// Write down what becomes of a command.
    fn follow(
        &self,
        document: DocumentId,
        attribute: String,
        mut command: watch::Receiver<Command>,
    ) {
        let (sender, done) = (self.sender.clone(), self.done.clone());
        self.waiting.spawn(async move {
            sender.outcome(&mut command).await;
            let ack = ack(&command.borrow());
            // Whoever takes it stops before the box does.
            let _ = done
                .send(Done {
                    document,
                    attribute,
                    ack,
                    instead: None,
                })
                .await;
        });
    }

    fn end(&self, done: Done) {
        if self.done.try_send(done).is_err() {
            tracing::warn!(
                "too many commands ended at once; one is decided again with the next change"
            );
        }
    }

    /// Write down what became of writes. What cannot be stored is tried again.
    async fn write_down(&self, unwritten: &mut Vec<Done>) {
        if unwritten.is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms();
        let decide = |replica: &Replica| Ok::<_, TwinError>(edits(replica, unwritten, now_ms));
        match self.twins.edit_if(decide, &self.edge.to_string()).await {
            Ok(_) => unwritten.clear(),
            Err(error) => {
                let excess = unwritten.len().saturating_sub(COMMANDS_MAX);
                unwritten.drain(..excess);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what became of commands is not written down; it is tried again"
                );
            }
        }
    }
}

fn ids<'a>(documents: impl Iterator<Item = &'a Document>) -> Vec<DocumentId> {
    documents
        .map(|document| document.key().id.clone())
        .collect()
}

fn ack(command: &Command) -> Ack {
    let (status, reason) = match &command.status {
        Status::Delivered => (CommandStatus::Delivered, None),
        Status::Confirmed => (CommandStatus::Confirmed, None),
        Status::TimedOut => (CommandStatus::TimedOut, None),
        Status::Refused(reason) => (CommandStatus::Refused, Some(reason.clone())),
    };
    Ack {
        id: command.id.clone(),
        status,
        reason,
    }
}

/// What became of writes as edits. The ack of what holds now stands last; one of what was replaced meanwhile is only passed
/// through, and left out where it would hide that.
fn edits(replica: &Replica, all: &[Done], now_ms: i64) -> Vec<Edit> {
    let (mut past, mut present) = (Vec::new(), Vec::new());
    for done in all {
        let Some(document) = replica.document(&done.document) else {
            continue;
        };
        let resolved = document.resolve(Section::Desired, &done.attribute, now_ms);
        let holds = resolved.winner.as_ref().map(|write| write.id.as_str());
        let edit = |section, value: Value| {
            Edit::new(done.document.clone(), section, &done.attribute, value)
        };
        let ack = edit(Section::Ack, done.ack.to_text().into());
        if holds == Some(done.ack.id.as_str()) {
            present.push(ack);
            let instead = done.instead.clone();
            present.extend(instead.map(|instead| edit(Section::Desired, instead).by(DEVICE)));
            continue;
        }
        let is_acked =
            Ack::of(document, &done.attribute).is_some_and(|ack| holds == Some(ack.id.as_str()));
        if !is_acked {
            past.push(ack);
        }
    }
    past.extend(present);
    past
}
