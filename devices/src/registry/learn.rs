use std::{collections::BTreeSet, sync::Arc};

use super::{
    DEVICES_MAX, EXPLORED_MAX, Heard, Origin, PLAIN_TOPIC_BYTES_MAX, PLAIN_TOPICS_MAX, Part,
    Registry, Role, SOURCES_BYTES_MAX, SOURCES_MAX, Said, Source, explore, known_devices,
    plain_device,
};
use crate::{
    announcement::Announcement,
    convention::ConventionKind,
    fault::{Fault, FaultKind},
    message::Message,
    point::{Component, Point},
};

impl Registry {
    /// A topic's first message: what the topic is from now on, or what the message has changed already.
    pub(super) fn meet(&mut self, message: &Message<'_>, at_ms: i64) -> Result<Role, Heard> {
        // It is remembered once it has taught something: anybody may make up topics that look like it.
        if let Some(kind) = ConventionKind::teacher(message.topic) {
            return Ok(Role::Teaches(kind));
        }
        let recognised = ConventionKind::ALL.into_iter().find_map(|kind| {
            let announcement = kind.convention().recognise(message)?;
            Some((kind, announcement))
        });
        if let Some((kind, announcement)) = recognised
            && self.has_room(message)
        {
            let key = message.topic.to_owned();
            self.replace(
                kind,
                Origin::Recognised,
                key,
                message,
                vec![announcement],
                at_ms,
            );
            match self.roles.get(message.topic) {
                Some(Role::Presence) => self.presence(message, at_ms),
                Some(Role::Explored) => self.explore(message, at_ms),
                _ => Heard::Nothing,
            };
            return Err(Heard::Changed);
        }
        if message.topic.len() > PLAIN_TOPIC_BYTES_MAX {
            return Ok(Role::Plain);
        }
        if self.plain_topics >= PLAIN_TOPICS_MAX {
            self.roles.retain(|_, role| *role != Role::Plain);
            self.plain_topics = 0;
        }
        self.plain_topics += 1;
        self.roles.insert(message.topic.into(), Role::Plain);
        Ok(Role::Plain)
    }

    pub(super) fn learn(
        &mut self,
        kind: ConventionKind,
        message: &Message<'_>,
        seq: u64,
        at_ms: i64,
    ) -> Heard {
        let convention = kind.convention();
        let key = source_key(kind, message);
        let known = self
            .order_of
            .get(&key)
            .and_then(|order| self.sources.get(order));
        if known.is_some_and(|source| *source.payload == *message.payload) {
            return Heard::Nothing;
        }
        // What is known already may be replaced, or taken back, also where nothing new is taken.
        let has_room = known.is_some() || self.has_room(message);
        let learnt = if has_room {
            convention.learn(message)
        } else {
            let detail = format!(
                "no more is taken: {DEVICES_MAX} devices, {SOURCES_MAX} topics that announce or {SOURCES_BYTES_MAX} bytes of announcements are the limit"
            );
            Err(Fault::new(FaultKind::TooLarge, detail))
        };
        match learnt {
            Ok(announcements) => {
                if !announcements.is_empty() {
                    self.roles.insert(message.topic.into(), Role::Teaches(kind));
                }
                self.replace(kind, Origin::Taught, key, message, announcements, at_ms);
                Heard::Changed
            }
            Err(fault) => {
                let taught: Vec<Arc<str>> =
                    known_devices(self.order_of.get(&key).and_then(|o| self.sources.get(o)));
                let plain = plain_device(message.topic).to_owned();
                for device in taught.iter().map(|d| &**d).chain([plain.as_str()]) {
                    self.faults
                        .report(device, message.topic, fault.clone(), seq, at_ms);
                }
                Heard::Rejected
            }
        }
    }

    /// Look whether a topic's keys show what can be set.
    pub(super) fn explore(&mut self, message: &Message<'_>, at_ms: i64) -> Heard {
        let Some(binding) = self.schema.bindings.get(message.topic).cloned() else {
            return Heard::Nothing;
        };
        let mut heard = Heard::Nothing;
        for metric in explore::metrics(&binding.layout, message.payload) {
            let looked_at = (Box::from(message.topic), Box::from(metric.as_str()));
            if self.explored.len() >= EXPLORED_MAX || !self.explored.insert(looked_at) {
                continue;
            }
            if self.discover(
                binding.convention,
                message.topic,
                &metric,
                &binding.device,
                at_ms,
            ) {
                heard = Heard::Changed;
            }
        }
        heard
    }

    /// Take in how a metric of a recognised topic is set, if its convention knows.
    pub(super) fn discover(
        &mut self,
        kind: ConventionKind,
        topic: &str,
        metric: &str,
        device: &str,
        at_ms: i64,
    ) -> bool {
        let Some(point) = kind.convention().discover(topic, metric) else {
            return false;
        };
        let Some(identifiers) = self
            .devices
            .get(device)
            .map(|device| device.identifiers.clone())
        else {
            return false;
        };
        let announcement = Announcement {
            identifiers,
            points: vec![point],
            ..Announcement::default()
        };
        let message = Message {
            topic,
            payload: &[],
        };
        let (origin, key) = (
            Origin::Discovered(metric.to_owned()),
            format!("{topic}#{metric}"),
        );
        self.replace(kind, origin, key, &message, vec![announcement], at_ms);
        true
    }

    pub(super) fn has_room(&self, message: &Message<'_>) -> bool {
        self.sources.len() < SOURCES_MAX
            && self.sources_bytes + bytes_of(message) <= SOURCES_BYTES_MAX
            && self.devices.len() < DEVICES_MAX
    }

    /// Put what a source says in the place of what it said before.
    pub(super) fn replace(
        &mut self,
        kind: ConventionKind,
        origin: Origin,
        key: String,
        message: &Message<'_>,
        announcements: Vec<Announcement>,
        at_ms: i64,
    ) {
        let order = self.order_of.get(&key).copied();
        let mut affected: BTreeSet<Arc<str>> = BTreeSet::new();
        let before = order.and_then(|order| self.sources.remove(&order));
        let before_devices = known_devices(before.as_ref());
        if let Some(before) = before {
            self.sources_bytes -= before.topic.len() + before.payload.len();
            self.give_up_unique(order, &before.parts, &mut affected);
        }
        let order = order.unwrap_or_else(|| {
            self.next_order += 1;
            self.next_order - 1
        });
        for device in &before_devices {
            if let Some(sources) = self.spoken_of.get_mut(device) {
                sources.remove(&order);
            }
            affected.insert(device.clone());
        }
        let mut parts = Vec::new();
        let mut faults = Vec::new();
        for announcement in announcements {
            if announcement.identifiers.is_empty() {
                continue;
            }
            let resolved = self.identities.resolve(&announcement.identifiers);
            affected.insert(resolved.device.clone());
            for merged in resolved.merged {
                self.move_sources(&merged, &resolved.device);
                affected.insert(merged);
            }
            let device = resolved.device;
            self.claim_unique(order, &device, &announcement, &mut faults, &mut affected);
            self.spoken_of
                .entry(device.clone())
                .or_default()
                .insert(order);
            parts.push(Part {
                device,
                announcement,
            });
        }
        if let ([old], [new]) = (&before_devices[..], &parts[..])
            && *old != new.device
            && self.identities.current(old) != new.device
        {
            let detail = format!("it announced device {old} before");
            faults.push((
                new.device.clone(),
                Fault::new(FaultKind::IdentityChanged, detail),
            ));
        }
        if parts.is_empty() {
            self.order_of.remove(&key);
        } else {
            self.sources_bytes += bytes_of(message);
            self.order_of.insert(key.clone(), order);
            let (topic, payload) = (message.topic.into(), message.payload.into());
            self.sources.insert(
                order,
                Source {
                    kind,
                    origin,
                    topic,
                    payload,
                    parts,
                },
            );
        }
        for (device, fault) in faults {
            self.faults.report(&device, message.topic, fault, 0, at_ms);
        }
        for device in affected {
            self.compile(&device, at_ms);
        }
    }

    /// Let others have the `unique_id`s of what a source said before.
    pub(super) fn give_up_unique(
        &mut self,
        order: Option<u64>,
        parts: &[Part],
        affected: &mut BTreeSet<Arc<str>>,
    ) {
        let points = parts.iter().flat_map(|part| &part.announcement.points);
        for key in points.filter_map(unique_key) {
            let (Some(claims), Some(order)) = (self.unique.get_mut(&key), order) else {
                continue;
            };
            let had = claims.first() == Some(&order);
            claims.remove(&order);
            match claims.first() {
                Some(heir) if had => affected.extend(known_devices(self.sources.get(heir))),
                Some(_) => {}
                None => {
                    self.unique.remove(&key);
                }
            }
        }
    }

    /// Take note of who claims which `unique_id`. Whoever was heard first has it, so that a restart changes nothing.
    pub(super) fn claim_unique(
        &mut self,
        order: u64,
        device: &Arc<str>,
        announcement: &Announcement,
        faults: &mut Vec<(Arc<str>, Fault)>,
        affected: &mut BTreeSet<Arc<str>>,
    ) {
        for point in &announcement.points {
            let Some(key) = unique_key(point) else {
                continue;
            };
            let claims = self.unique.entry(key).or_default();
            let first = claims.first().copied();
            claims.insert(order);
            match first.and_then(|first| Some((first, self.sources.get(&first)?))) {
                Some((first, source)) if first < order => {
                    let (id, topic) = (
                        point.unique_id.as_deref().unwrap_or_default(),
                        &source.topic,
                    );
                    let detail = format!(
                        "unique_id {id:?} of {} is that of {topic} already; what it says is kept as it comes",
                        point.metric
                    );
                    faults.push((device.clone(), Fault::new(FaultKind::DuplicateId, detail)));
                }
                Some((first, source)) if first > order => {
                    affected.extend(known_devices(Some(source)));
                }
                _ => {}
            }
        }
    }

    /// Whether a source's point is not another's by its `unique_id`.
    pub(super) fn is_its_own(&self, order: u64, point: &Point) -> bool {
        let claims = unique_key(point).and_then(|key| self.unique.get(&key));
        claims.is_none_or(|claims| claims.first() == Some(&order))
    }

    /// What a message says about who is there.
    pub(super) fn presence(&mut self, message: &Message<'_>, at_ms: i64) -> Heard {
        let Some(binding) = self.schema.bindings.get(message.topic).cloned() else {
            return Heard::Nothing;
        };
        let payload = String::from_utf8_lossy(message.payload);
        let mut heard = Heard::Nothing;
        for rule in &binding.availability {
            let Some(online) = rule.read(payload.trim()) else {
                continue;
            };
            let said = self.presence.entry(rule.device.clone()).or_default();
            let before = said.insert(message.topic.into(), Said { online, at_ms });
            if before.is_none_or(|before| before.online != online) {
                heard = Heard::Presence;
            }
        }
        heard
    }
}

/// The name of what announces: the topic, unless several share it.
pub(super) fn source_key(kind: ConventionKind, message: &Message<'_>) -> String {
    let shared = kind.convention().source(message);
    shared.unwrap_or_else(|| message.topic.to_owned())
}

/// What no two points of a home share.
pub(super) fn unique_key(point: &Point) -> Option<(Component, String)> {
    Some((point.component, point.unique_id.clone()?))
}

/// What a source takes of [`SOURCES_BYTES_MAX`].
fn bytes_of(message: &Message<'_>) -> usize {
    message.topic.len() + message.payload.len()
}
