use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tarn_common::{
    clock::Clock,
    ids::EdgeId,
    twin::{
        document::{Document, DocumentId, Section},
        edit::{Edit, value as scalar_value},
        home::HomeTwins,
        write::{DEVICE, Write},
    },
};
use tarn_devices::twin;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::interval,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    decode::time::PLAUSIBLE_FROM_MS,
    devices::{
        commands::{COMMANDS_MAX, Command, Status},
        send::CommandSender,
    },
};

/// How often it is tried to send what was left from before this process.
const LEFT_EVERY: Duration = Duration::from_secs(10);

/// Sends what is wanted of this box's devices, once, and writes down what became of it.
pub struct Actuator {
    edge: EdgeId,
    twins: Arc<HomeTwins>,
    sender: Arc<CommandSender>,
    clock: Arc<dyn Clock>,
    /// Held while it is decided what to send, so that nothing is sent twice.
    deciding: Mutex<()>,
    /// Writes that were there before this process and wait until their device is heard.
    left: Mutex<HashSet<String>>,
    done: mpsc::Sender<Done>,
    outcomes: Mutex<Option<mpsc::Receiver<Done>>>,
    waiting: TaskTracker,
}

/// What became of a write.
#[derive(Debug)]
struct Done {
    document: DocumentId,
    attribute: String,
    ack: String,
    /// What the attribute is at the device, where a late write must not stand over it.
    instead: Option<Value>,
}

/// What is to be done about a write.
enum Fate {
    Send(Write),
    Refuse(Write, &'static str, Option<Value>),
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
        let left = twins.read(|replica| {
            let documents = replica.documents();
            let unacked = documents.flat_map(|document| unacked(document, now_ms));
            unacked.map(|(_, write)| write.id).collect()
        });
        Actuator {
            edge,
            twins,
            sender,
            clock,
            deciding: Mutex::default(),
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
        let mut left = interval(LEFT_EVERY);
        left.tick().await;
        loop {
            tokio::select! {
                _ = left.tick() => if !self.left.lock().is_empty() {
                    self.act_on_all();
                },
                () = stop.cancelled() => return,
                Some(done) = outcomes.recv() => {
                    let mut all = vec![done];
                    while let Ok(done) = outcomes.try_recv() {
                        all.push(done);
                    }
                    self.write_down(all).await;
                }
                change = changes.recv() => match change {
                    Ok(change) => {
                        let mut documents = change.documents.iter().filter_map(|(document, _)| document.as_device());
                        documents.by_ref().for_each(|device| { self.act(device, None); });
                    }
                    Err(RecvError::Lagged(_)) => self.act_on_all(),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    fn act_on_all(&self) {
        let all: Vec<DocumentId> = self.twins.read(|replica| {
            replica
                .documents()
                .map(|document| document.key().id.clone())
                .collect()
        });
        for device in all.iter().filter_map(DocumentId::as_device) {
            self.act(device, None);
        }
    }

    /// Send what is newly wanted of a device. `timeout` is how long it may take, where whoever wants it says so.
    pub fn act(&self, device: &str, timeout: Option<Duration>) {
        let _deciding = self.deciding.lock();
        let now_ms = self.clock.now_ms();
        let id = DocumentId::device(device);
        let fates = self.twins.read(|replica| {
            let is_ours = replica
                .owner(&id, now_ms)
                .is_some_and(|owner| owner == self.edge.to_string());
            let document = replica.document(&id).filter(|_| is_ours);
            document
                .map(|document| self.fates(device, document, now_ms))
                .unwrap_or_default()
        });
        for (attribute, fate) in fates {
            self.carry_out(&id, device, attribute, fate, timeout);
        }
    }

    fn fates(&self, device: &str, document: &Document, now_ms: i64) -> Vec<(String, Fate)> {
        let registry = self.sender.devices.registry.read();
        let Some(known) = registry.device(device) else {
            return Vec::new();
        };
        let mut fates = Vec::new();
        for (attribute, write) in unacked(document, now_ms) {
            if self.sender.devices.commands.has(&write.id) {
                continue;
            }
            let reported = document
                .scalar(Section::Reported, &attribute)
                .map(|scalar| scalar_value(&scalar));
            let feature = known.features.get(attribute.as_str());
            let is_there = feature
                .zip(reported.as_ref())
                .is_some_and(|(feature, reported)| {
                    twin::wanted(feature, reported)
                        .is_some_and(|now| !twin::is_change(feature, &now, &write.v))
                });
            let is_live = document
                .policy(Section::Desired, &attribute)
                .is_live(&write.v)
                || feature.is_some_and(|feature| twin::is_deed(feature, &write.v));
            let was_left = self.left.lock().contains(&write.id);
            let fate = if now_ms < PLAUSIBLE_FROM_MS {
                Fate::Refuse(write, "clock_not_set", None)
            } else if was_left && is_live {
                Fate::Refuse(write, "box_restarted", None)
            } else if was_left && !registry.is_online(known).unwrap_or(true) {
                continue;
            } else if write.late && !is_there && reported.is_some() {
                let instead = feature
                    .zip(reported)
                    .and_then(|(feature, reported)| twin::wanted(feature, &reported));
                Fate::Refuse(write, "changed_at_device", instead)
            } else {
                Fate::Send(write)
            };
            fates.push((attribute, fate));
        }
        fates
    }

    fn carry_out(
        &self,
        id: &DocumentId,
        device: &str,
        attribute: String,
        fate: Fate,
        timeout: Option<Duration>,
    ) {
        match fate {
            Fate::Refuse(write, reason, instead) => {
                self.left.lock().remove(&write.id);
                let ack = format!("{}:refused:{reason}", write.id);
                self.end(Done {
                    document: id.clone(),
                    attribute,
                    ack,
                    instead,
                });
            }
            Fate::Send(write) => {
                self.left.lock().remove(&write.id);
                match self.sender.send(
                    write.id.clone(),
                    device,
                    attribute.clone(),
                    write.v,
                    timeout,
                ) {
                    Ok(command) => self.follow(id.clone(), attribute, command),
                    Err(error) => {
                        let ack = format!("{}:refused:{error}", write.id);
                        self.end(Done {
                            document: id.clone(),
                            attribute,
                            ack,
                            instead: None,
                        });
                    }
                }
            }
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
            let ack = {
                let command = command.borrow();
                match &command.status {
                    Status::Delivered => format!("{}:delivered", command.id),
                    Status::Confirmed => format!("{}:confirmed", command.id),
                    Status::TimedOut => format!("{}:timed_out", command.id),
                    Status::Refused(reason) => format!("{}:refused:{reason}", command.id),
                }
            };
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
                "too many commands ended at once; one is not acknowledged and is sent again"
            );
        }
    }

    async fn write_down(&self, all: Vec<Done>) {
        let mut edits = Vec::new();
        let mut seen = BTreeSet::new();
        // The latest of an attribute counts.
        for done in all.into_iter().rev() {
            if !seen.insert((done.document.clone(), done.attribute.clone())) {
                continue;
            }
            edits.push(Edit::new(
                done.document.clone(),
                Section::Ack,
                &done.attribute,
                done.ack,
            ));
            if let Some(instead) = done.instead {
                edits.push(
                    Edit::new(done.document, Section::Desired, &done.attribute, instead).by(DEVICE),
                );
            }
        }
        if let Err(error) = self.twins.edit(&edits, &self.edge.to_string()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "what became of commands is not written down"
            );
        }
    }
}

/// What is wanted of a device, and not acknowledged yet.
fn unacked(document: &Document, now_ms: i64) -> Vec<(String, Write)> {
    let attributes = document.attributes(Section::Desired).into_iter();
    let wanted = attributes.filter_map(|attribute| {
        let write = document
            .resolve(Section::Desired, &attribute, now_ms)
            .winner?;
        let ack = document.scalar(Section::Ack, &attribute);
        let is_acked = ack
            .as_ref()
            .and_then(|ack| ack.as_str())
            .is_some_and(|ack| ack.starts_with(&write.id));
        let is_wanted = !is_acked && !write.is_devices() && !write.v.is_null();
        is_wanted.then_some((attribute, write))
    });
    wanted.collect()
}
