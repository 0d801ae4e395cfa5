use std::{collections::BTreeMap, io};

use tarn_common::ids::Seq;
use tarn_openapi::automation::Started;
use tarn_rules::{
    firing::{Firing, Why},
    input::{Input, Reading},
    rule::{RuleId, Whereabouts},
};

use super::{RuleStage, Running, asked::Asked, settings::Settings};
use crate::{devices::OWN_CLIENT, journal::frame::Kind, stream::as_reading};

/// A scene that was wanted longer ago is not carried out: nobody stands there waiting for it.
const START_WITHIN_MS: i64 = 60_000;

/// What one look gave.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) firings: Vec<Firing>,
    /// What clients ask of the home.
    pub(super) asked: Vec<Asked>,
    /// The record of the last of them.
    pub(super) asked_upto: Option<Seq>,
    /// Members whose trackers tell that they came or went.
    pub(super) presence: BTreeMap<String, Whereabouts>,
    /// Whether people may have to be told of alarms.
    pub(super) alarms_changed: bool,
    /// Whether somebody takes this box for silent.
    pub(super) is_called_silent: bool,
}

impl RuleStage {
    /// Tell the engine what has happened since the last look. `seen` is what settings gave, where they have changed.
    pub(super) fn look(&self, running: &mut Running, seen: Option<Seen>) -> Seen {
        let now_ms = self.clock.now_ms();
        let is_changed = seen.is_some();
        let mut seen = seen.unwrap_or_default();
        if running.is_awake
            && let Err(error) = self.read_journal(running, now_ms, &mut seen, |_| {})
        {
            self.metrics.read_errors.inc();
            tracing::warn!(%error, upto = %running.stream.last(), "the journal could not be read for rules; they look again");
        }
        seen.firings.extend(running.engine.tick(now_ms));
        let notices = running.engine.take_notices();
        for notice in &notices {
            tracing::warn!(rule = %notice.rule, kind = ?notice.kind, "{}", notice.words);
            self.act.note(notice);
        }
        self.count(running);
        if is_changed || !notices.is_empty() {
            self.show_rules(&running.engine);
        }
        seen
    }

    /// Tell the engine what the home's document says now.
    pub(super) fn take_settings(&self, running: &mut Running, now: Settings) -> Seen {
        let now_ms = self.clock.now_ms();
        let mut seen = Seen::default();
        let before = std::mem::replace(&mut running.settings, now);
        let now = &running.settings;
        let engine = &mut running.engine;
        if now.place != before.place {
            engine.set_place(now.place.or(self.zone.clone()));
        }
        if now.place != before.place || now.rules != before.rules {
            engine.set_rules(&now.rules, now_ms);
            running.has_new_rules = true;
        }
        if now.mode != before.mode {
            self.alarms.tell_mode(&now.mode);
            seen.firings
                .extend(engine.on(&Input::Mode(&now.mode), now_ms));
        }
        for (member, record) in &now.presence {
            if before.presence.get(member).map(|before| before.is) != Some(record.is) {
                let home = record.is == Whereabouts::Home;
                let fired = engine.on(&Input::Presence { member, home }, now_ms);
                seen.firings.extend(fired);
            }
        }
        seen.alarms_changed = before.alarms != now.alarms;
        seen.is_called_silent = now.stands(&self.silent);
        for (id, alarm) in self.alarms.tell(&before.alarms, &now.alarms) {
            let state = alarm.state;
            let fired = engine.on(&Input::Alarm { id, state }, now_ms);
            seen.firings.extend(fired);
        }
        self.started(&before.starts, now, now_ms, &mut seen);
        seen
    }

    /// Scenes that somebody wants and that were not carried out yet.
    pub(super) fn started(
        &self,
        before: &BTreeMap<String, Started>,
        now: &Settings,
        now_ms: i64,
        seen: &mut Seen,
    ) {
        for (id, started) in &now.starts {
            let is_new = before.get(id) != Some(started);
            if !is_new || now_ms.saturating_sub(started.at_ms).abs() > START_WITHIN_MS {
                continue;
            }
            if let Some(scene) = now.scenes.get(id) {
                seen.firings.push(Firing {
                    rule: RuleId(format!("scene/{id}")),
                    id: format!("scene/{id}@{}", started.at_ms),
                    at_ms: now_ms,
                    why: Why {
                        trigger: format!("started by {}", started.by),
                        seq: None,
                        values: BTreeMap::new(),
                    },
                    actions: scene.then.clone(),
                    overruled: Vec::new(),
                });
            }
        }
    }

    /// Tell the engine what the journal has that it was not told yet. `event` is told the payload of each event.
    pub(super) fn read_journal(
        &self,
        running: &mut Running,
        now_ms: i64,
        seen: &mut Seen,
        mut event: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let (known_upto, asked_upto) = (running.known_upto, running.asked_upto);
        let heard = running
            .stream
            .read(&self.journal, &self.devices, |record| match record.kind {
                Kind::Event => event(record.payload),
                Kind::Publish if record.seq > asked_upto && record.client != OWN_CLIENT => {
                    if let Some(asked) = Asked::of(&self.home, record.topic, record.payload) {
                        seen.asked.push(asked);
                        seen.asked_upto = Some(record.seq);
                    }
                }
                _ => {}
            })?;
        for row in heard.rows.shown() {
            let reading = as_reading(&row, row.seq <= known_upto);
            if !reading.replayed {
                track(&running.settings, &reading, &mut seen.presence);
            }
            let at_ms = row.received.min(now_ms);
            let fired = running.engine.on(&Input::Reading(reading), at_ms);
            seen.firings.extend(fired);
        }
        for (device, online) in &heard.come_and_gone {
            let (device, online) = (&**device, *online);
            let input = Input::Online { device, online };
            seen.firings.extend(running.engine.on(&input, now_ms));
        }
        heard.read
    }
}

/// Words of a tracker that mean at home; all others mean elsewhere.
const AT_HOME: [&str; 5] = ["home", "on", "true", "present", "at_home"];

/// Where a member is, if this reading tells it and it is news.
fn track(settings: &Settings, reading: &Reading<'_>, presence: &mut BTreeMap<String, Whereabouts>) {
    // They are as few as members.
    let tells = |(series, _): &(&String, &String)| {
        let metric = series.strip_prefix(reading.device);
        metric.and_then(|rest| rest.strip_prefix('/')) == Some(reading.metric)
    };
    let Some((_, member)) = settings.trackers.iter().find(tells) else {
        return;
    };
    let is_home = match (reading.text, reading.value) {
        (Some(word), _) => AT_HOME.iter().any(|home| word.eq_ignore_ascii_case(home)),
        (None, Some(value)) => value != 0.0,
        (None, None) => return,
    };
    let is = match is_home {
        true => Whereabouts::Home,
        false => Whereabouts::Away,
    };
    let known = settings.presence.get(member);
    if known.is_some_and(|known| known.is == is) {
        presence.remove(member);
    } else {
        presence.insert(member.clone(), is);
    }
}
