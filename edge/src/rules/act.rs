use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tarn_broker::Publisher;
use tarn_common::{
    clock::Clock,
    event::{LoggedEvent, RULE},
    ids::{HomeId, Seq},
    twin::home::{HomeTwins, TwinError},
};
use tarn_openapi::{
    Command, DeviceError, DeviceService, announced,
    automation::{self, AlarmChange},
    notices::Teller,
};
use tarn_rules::{
    firing::Firing,
    group::Group,
    notice::{Notice, NoticeKind},
    rule::{Action, RuleId, Scalar, Whereabouts},
};
use tokio::sync::Semaphore;

use super::{
    asked::Asked,
    metrics::RuleMetrics,
    noted::{DONE, FIRED},
};
use crate::{devices::OWN_CLIENT, journal::Journal};

/// How long a firing waits for the disk: what cannot be noted is carried out all the same, for it may be an alarm.
pub(super) const NOTED_WITHIN: Duration = Duration::from_secs(1);
/// How long an action that calls a device waits for it.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// Firings that are carried out at one time; others wait their turn.
const AT_ONCE: usize = 64;

/// Who says where a member is whom a tracker follows.
const TRACKER: &str = "tracker";
/// Who clears the alarm that the box is silent.
const BOX: &str = "box";
/// Who asks by MQTT.
const MQTT: &str = "mqtt";

/// What is being carried out.
#[derive(Debug)]
pub struct Underway {
    /// Room for firings that are carried out at one time.
    places: Semaphore,
    /// Firings that are not carried out to their end, by their ids.
    firings: Mutex<BTreeMap<String, Firing>>,
}

impl Default for Underway {
    fn default() -> Underway {
        Underway {
            places: Semaphore::new(AT_ONCE),
            firings: Mutex::default(),
        }
    }
}

/// Carries out what fires.
pub struct Act {
    /// The home.
    pub home: HomeId,
    /// Its devices.
    pub devices: Arc<dyn DeviceService>,
    /// Where mode and alarms are.
    pub twins: Arc<HomeTwins>,
    /// What publishes.
    pub publisher: Publisher,
    /// Where firings are noted.
    pub journal: Arc<Journal>,
    /// When it is.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: RuleMetrics,
    /// Tells people.
    pub teller: Teller,
    /// What it is at.
    pub underway: Underway,
}

impl Act {
    /// Note a firing, and carry it out once that is on disk. Gives the record of the note.
    pub(super) fn fire(self: &Arc<Self>, firing: Firing) -> Option<Seq> {
        let noted = self.log(&firing.rule, FIRED, json!(firing));
        self.start(firing, noted);
        noted
    }

    /// Carry out a firing that is noted already.
    pub(super) fn carry_out(self: &Arc<Self>, firing: Firing) {
        self.start(firing, None);
    }

    /// Firings that are not carried out to their end.
    pub(super) fn underway(&self) -> Vec<Firing> {
        self.underway.firings.lock().values().cloned().collect()
    }

    /// Carry out a firing, once its note is on disk.
    fn start(self: &Arc<Self>, firing: Firing, noted: Option<Seq>) {
        let mut firings = self.underway.firings.lock();
        firings.insert(firing.id.clone(), firing.clone());
        let act = self.clone();
        tokio::spawn(async move {
            if let Some(seq) = noted {
                act.journal.wait_durable(seq, NOTED_WITHIN).await;
            }
            act.perform(firing).await;
        });
    }

    /// Clear an alarm that is none.
    pub(super) fn clear(self: &Arc<Self>, alarm: String) {
        let act = self.clone();
        tokio::spawn(async move {
            let now_ms = act.clock.now_ms();
            if let Err(fault) = act.change(&alarm, &AlarmChange::Clear, BOX, now_ms).await {
                tracing::warn!(alarm, fault, "an alarm that is none cannot be cleared");
            }
        });
    }

    /// Do what clients ask, one after the other.
    pub(super) async fn answer(&self, asked: Vec<Asked>) {
        for asked in asked {
            self.answer_one(asked).await;
        }
    }

    /// Say who has come and gone.
    pub(super) fn place(self: &Arc<Self>, presence: BTreeMap<String, Whereabouts>) {
        for (member, is) in presence {
            let act = self.clone();
            tokio::spawn(async move {
                let now_ms = act.clock.now_ms();
                let said = automation::set_presence(&act.twins, &member, is, TRACKER, now_ms);
                if let Err(error) = said.await {
                    tracing::error!(member, %error, "where a member is cannot be kept");
                }
            });
        }
    }

    async fn answer_one(&self, asked: Asked) {
        let now_ms = self.clock.now_ms();
        let (twins, words) = (&self.twins, |e: TwinError| e.to_string());
        let answered = match &asked {
            Asked::Scene(id) => match automation::start_scene(twins, id, MQTT, now_ms).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!("there is no scene {id:?}")),
                Err(error) => Err(words(error)),
            },
            Asked::Mode(mode) => automation::set_mode(twins, mode, MQTT).await.map_err(words),
            Asked::Acknowledge(id) => {
                self.change(id, &AlarmChange::Acknowledge, MQTT, now_ms)
                    .await
            }
        };
        if let Err(fault) = answered {
            tracing::warn!(?asked, fault, "what was asked by MQTT is not done");
        }
    }

    /// Note what there is to say about a rule.
    pub(super) fn note(&self, notice: &Notice) {
        let word = match notice.kind {
            NoticeKind::Fault => "fault",
            NoticeKind::Recovered => "recovered",
            NoticeKind::Damped => "damped",
            NoticeKind::Missed => "missed",
        };
        self.log(&notice.rule, word, json!(notice));
    }

    fn log(&self, rule: &RuleId, word: &str, detail: Value) -> Option<Seq> {
        let event = LoggedEvent {
            at_ms: self.clock.now_ms(),
            kind: RULE.into(),
            subject: rule.to_string(),
            reason: word.into(),
            detail,
        };
        self.journal.tell(&event)
    }

    async fn perform(&self, firing: Firing) {
        // It is never closed.
        let _place = self.underway.places.acquire().await;
        let by = match firing.rule.as_str().strip_prefix("scene/") {
            Some(scene) => format!("scene:{scene}"),
            None => format!("rule:{}", firing.rule),
        };
        let mut faults = Vec::new();
        for action in &self.in_full(&firing.actions) {
            if let Err(fault) = self.one(action, &by, &firing.id).await {
                tracing::warn!(rule = %firing.rule, fault, "an action of a rule failed");
                faults.push(fault);
            }
        }
        self.metrics.actions_failed.inc_by(faults.len() as u64);
        let took_ms = self.clock.now_ms().saturating_sub(firing.at_ms).max(0);
        self.metrics
            .carried_out(Duration::from_millis(took_ms.unsigned_abs()));
        // Before it is noted: whoever keeps that it is underway has read no note that it is done.
        self.underway.firings.lock().remove(&firing.id);
        let detail = json!({"id": firing.id, "faults": faults});
        self.log(&firing.rule, DONE, detail);
    }

    /// Actions, with those of scenes in the place of their names.
    fn in_full(&self, actions: &[Action]) -> Vec<Action> {
        let is_scene = |action: &Action| matches!(action, Action::Scene { .. });
        if !actions.iter().any(is_scene) {
            return actions.to_vec();
        }
        let now_ms = self.clock.now_ms();
        let mut scenes = self
            .twins
            .read(|replica| automation::scenes(replica, now_ms));
        let in_full = actions.iter().flat_map(|action| match action {
            Action::Scene { scene } => match scenes.remove(scene) {
                // A scene starts none.
                Some(scene) => scene.then.into_iter().filter(|a| !is_scene(a)).collect(),
                None => vec![action.clone()],
            },
            other => vec![other.clone()],
        });
        in_full.collect()
    }

    async fn one(&self, action: &Action, by: &str, key: &str) -> Result<(), String> {
        let now_ms = self.clock.now_ms();
        match action {
            Action::Set { device, values } => self.set(device, values, by).await,
            Action::Group(group) => self.set_all(group, by).await,
            Action::Call { device, values } => {
                let request = automation::request(values, by);
                let call = self.devices.call(&self.home, device, request, CALL_WITHIN);
                carried_out(call.await)
            }
            Action::Publish {
                topic,
                payload,
                retain,
            } => self.publish(topic, payload, *retain),
            Action::Notify { title, message } => {
                self.notify(title, message.as_deref(), by, key).await
            }
            Action::Raise {
                alarm,
                severity,
                class,
                message,
            } => {
                let change = AlarmChange::Raise {
                    severity: *severity,
                    class: *class,
                    message: message.clone(),
                };
                self.change(alarm, &change, by, now_ms).await
            }
            Action::Clear { alarm } => self.change(alarm, &AlarmChange::Clear, by, now_ms).await,
            Action::Mode { mode } => {
                let set = automation::set_mode(&self.twins, mode, by);
                set.await.map_err(|e| e.to_string())
            }
            Action::Scene { scene } => Err(format!("there is no scene {scene:?}")),
        }
    }

    async fn set(
        &self,
        device: &str,
        values: &BTreeMap<String, Scalar>,
        by: &str,
    ) -> Result<(), String> {
        let request = automation::request(values, by);
        let set = self
            .devices
            .set(&self.home, device, request, Duration::ZERO);
        carried_out(set.await)
    }

    /// Set all devices of a kind; those that cannot be had keep none of the others waiting.
    async fn set_all(&self, group: &Group, by: &str) -> Result<(), String> {
        let now_ms = self.clock.now_ms();
        let known = announced(&*self.devices, &self.home, &self.twins, now_ms).await;
        let set = automation::set_group(&*self.devices, &self.home, &known, group, by).await;
        if set.is_empty() {
            return Err(format!("no {} can be set to this", group.component));
        }
        let failed = set
            .into_iter()
            .filter_map(|(_, set)| carried_out(set).err());
        let failed: Vec<String> = failed.collect();
        match failed.is_empty() {
            true => Ok(()),
            false => Err(failed.join("; ")),
        }
    }

    async fn notify(
        &self,
        title: &str,
        message: Option<&str>,
        by: &str,
        key: &str,
    ) -> Result<(), String> {
        let topic = format!("tarn/{}/notify", self.home);
        let words = json!({"title": title, "message": message, "by": by});
        self.publish(&topic, &words, false)?;
        let notice = tarn_notify::Notice {
            home: self.home.to_string(),
            title: title.to_owned(),
            message: message.unwrap_or_default().to_owned(),
            by: by.to_owned(),
            key: Some(format!("{key}/{title}")),
            ..tarn_notify::Notice::default()
        };
        self.teller.notice(notice).await.map_err(|e| e.to_string())
    }

    async fn change(
        &self,
        alarm: &str,
        change: &AlarmChange,
        by: &str,
        now_ms: i64,
    ) -> Result<(), String> {
        let changed = automation::change_alarm(&self.twins, alarm, change, by, now_ms);
        changed.await.map(drop).map_err(|e| e.to_string())
    }

    fn publish(&self, topic: &str, payload: &Value, retain: bool) -> Result<(), String> {
        let payload = match payload {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let published = self
            .publisher
            .publish_logged(OWN_CLIENT, topic, payload, 1, retain);
        published.map(drop).map_err(|e| e.to_string())
    }
}

/// What did not come to a device, in words.
fn carried_out(set: Result<Vec<Command>, DeviceError>) -> Result<(), String> {
    let commands = set.map_err(|e| e.to_string())?;
    let failed = commands
        .into_iter()
        .filter(|command| matches!(&*command.status, "refused" | "timed_out"));
    let words = failed.map(|command| {
        let why = command.reason.unwrap_or_else(|| command.status.clone());
        format!("{} of {}: {why}", command.metric, command.device)
    });
    let words: Vec<String> = words.collect();
    match words.is_empty() {
        true => Ok(()),
        false => Err(words.join("; ")),
    }
}
