use std::{borrow::Cow, sync::Arc, time::Duration};

use rand::Rng as _;
use tarn_common::ids::EdgeId;
use tarn_link::{
    Answer, AnswerKind, Ask, BoxState, Channel, Delivery, Envelope, Link, LinkEvent, LinkEvents,
    LinkSettings, LinkTask, MeetingPlace, NodeId, PlaceError, Will,
    link::Message,
    message::{self, AskId, BODY_BYTES_MAX, JSON_BYTES_MAX, OF_A_BOX_BYTES_MAX},
    topic,
};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Company, PlaceId, Shared, asks::Taken};

/// How often nodes compare what they have, even if nothing seems to be missing; each time up to a fifth sooner.
const DIGEST_EVERY: Duration = Duration::from_secs(300);
/// How often the box looks whether its state has changed.
const STATE_LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it tells its state even so.
const STATE_EVERY: Duration = Duration::from_secs(60);

/// One meeting place, from its first connection to the farewell.
pub(super) struct Meeting {
    id: PlaceId,
    company: Company,
    shared: Arc<Shared>,
    link: Link,
    events: LinkEvents,
    told: Option<(Instant, BoxState)>,
}

impl Meeting {
    pub(super) fn new(
        id: PlaceId,
        place: MeetingPlace,
        company: Company,
        shared: Arc<Shared>,
    ) -> Result<(Meeting, Link, LinkTask), PlaceError> {
        let (home, edge) = (&shared.parts.identity.home, shared.edge());
        let speaker = shared.clone();
        let settings = LinkSettings {
            place,
            client_id: format!("tarn-{home}-{edge}"),
            will: Some(Will {
                topic: shared.topic(Channel::Presence(edge)),
                payload: Arc::new(move || speaker.presence(false)),
            }),
            subscriptions: match &company {
                Company::All => topic::of_a_box(home, edge),
                Company::Boxes(_) => topic::of_a_box_among_boxes(home, edge),
            },
        };
        let (link, events, task) = Link::new(settings, shared.metrics.link.clone())?;
        let meeting = Meeting {
            id,
            company,
            shared,
            link: link.clone(),
            events,
            told: None,
        };
        Ok((meeting, link, task))
    }

    /// Take part until told to stop, then say farewell and stop the link.
    pub(super) async fn run(mut self, stop: CancellationToken, link_stop: CancellationToken) {
        let mut news = self.shared.parts.sync.news();
        let mut has_news = true;
        let mut digest_at = Instant::now() + digest_pause();
        let mut look = interval(STATE_LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.events.recv() => match event {
                    Some(LinkEvent::Connected) => {
                        self.arrive().await;
                        digest_at = Instant::now() + digest_pause();
                    }
                    Some(LinkEvent::Message(message)) => self.take(message).await,
                    Some(LinkEvent::Disconnected) => self.shared.others.forget(self.id),
                    None => break,
                },
                told = news.recv(), if has_news => has_news = self.pass_on(told).await,
                () = sleep_until(digest_at) => {
                    self.send_digest().await;
                    digest_at = Instant::now() + digest_pause();
                }
                _ = look.tick() => self.tell_state(false).await,
            }
        }
        if self.link.is_up() {
            let farewell = self.shared.presence(false);
            self.publish(
                Channel::Presence(self.shared.edge()),
                farewell,
                Delivery::RETAINED,
            )
            .await;
        }
        self.shared.others.forget(self.id);
        link_stop.cancel();
    }

    async fn arrive(&mut self) {
        let here = self.shared.presence(true);
        self.publish(
            Channel::Presence(self.shared.edge()),
            here,
            Delivery::RETAINED,
        )
        .await;
        self.tell_state(true).await;
        self.send_digest().await;
    }

    async fn tell_state(&mut self, now: bool) {
        // Its state is for replicas.
        if self.company != Company::All || !self.link.is_up() {
            return;
        }
        let state = (self.shared.parts.state)();
        let is_due = self.told.as_ref().is_none_or(|(at, told)| {
            now || at.elapsed() >= STATE_EVERY || is_worth_telling(told, &state)
        });
        if is_due {
            let payload = message::to_json(&state);
            self.told = Some((Instant::now(), state));
            self.publish(
                Channel::State(self.shared.edge()),
                payload,
                Delivery::RETAINED,
            )
            .await;
        }
    }

    async fn send_digest(&self) {
        if self.link.is_up()
            && let Some(digest) = self.shared.parts.sync.digest()
        {
            self.send_sync(Channel::SyncAll, &digest).await;
        }
    }

    /// Tell everybody what is new. Returns whether there may be more.
    async fn pass_on(&self, told: Result<Arc<Vec<u8>>, RecvError>) -> bool {
        match told {
            Ok(body) if self.link.is_up() => self.send_sync(Channel::SyncAll, &body).await,
            // A digest is sent when the link comes up.
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => self.send_digest().await,
            Err(broadcast::error::RecvError::Closed) => return false,
        }
        true
    }

    async fn send_sync(&self, channel: Channel, body: &[u8]) {
        let (home, edge) = (&self.shared.parts.identity.home, self.shared.edge());
        let body = match &self.company {
            Company::All => Cow::Borrowed(body),
            Company::Boxes(key) => Cow::Owned(key.seal(home, edge, body)),
        };
        if body.len() > BODY_BYTES_MAX {
            self.shared.metrics.link.drop_one("too_large");
            tracing::error!(
                bytes = body.len(),
                "a message of the twins is too large to send"
            );
            return;
        }
        let envelope = Envelope {
            from: edge.into(),
            body: &body,
        };
        self.publish(channel, envelope.encode(), Delivery::ACKED)
            .await;
    }

    async fn publish(&self, channel: Channel, payload: Vec<u8>, delivery: Delivery) {
        let topic = self.shared.topic(channel);
        // Counted by the link, and told again by what comes later.
        if let Err(error) = self.link.publish(&topic, payload, delivery).await {
            tracing::debug!(%topic, %error, "not sent");
        }
    }

    async fn take(&self, message: Message) {
        let topic = match message.topic.parse::<topic::Topic>() {
            Ok(topic) if topic.home == self.shared.parts.identity.home => topic,
            _ => return self.odd(&message.topic, "its topic is not of this home"),
        };
        let own = self.shared.edge();
        match topic.channel {
            Channel::SyncAll | Channel::SyncTo(_) => match Envelope::decode(&message.payload) {
                Ok(envelope) if envelope.from == NodeId::from(own) => {}
                Ok(envelope) => match self.unsealed(envelope) {
                    Some(body) => self.receive(envelope.from, body).await,
                    None => self.odd(&message.topic, "its seal is wrong"),
                },
                Err(error) => self.odd(&message.topic, &error.to_string()),
            },
            Channel::Presence(edge) if edge == own => {}
            Channel::Presence(edge) => self.see(edge, &message),
            Channel::Ask(edge) if edge == own && self.company == Company::All => {
                match message::from_json(&message.payload, JSON_BYTES_MAX) {
                    Ok(ask) => self.answer(ask).await,
                    Err(error) => self.odd(&message.topic, &error.to_string()),
                }
            }
            _ => {}
        }
    }

    /// What is said; none if that cannot be believed.
    fn unsealed<'a>(&self, envelope: Envelope<'a>) -> Option<&'a [u8]> {
        let home = &self.shared.parts.identity.home;
        match &self.company {
            Company::All => Some(envelope.body),
            Company::Boxes(key) => key.unseal(home, envelope.from.edge(), envelope.body),
        }
    }

    async fn receive(&self, from: NodeId, body: &[u8]) {
        let sync = &self.shared.parts.sync;
        for reply in sync.receive(&from.to_string(), body).await {
            self.send_sync(Channel::SyncTo(from), &reply).await;
        }
    }

    fn see(&self, edge: EdgeId, message: &Message) {
        let presence = match message.payload.is_empty() {
            true => None,
            false => match message::from_json(&message.payload, OF_A_BOX_BYTES_MAX) {
                Ok(presence) => Some(presence),
                Err(error) => return self.odd(&message.topic, &error.to_string()),
            },
        };
        if !self.shared.others.set(self.id, edge, presence) {
            self.odd(&message.topic, "there are too many boxes");
        }
    }

    async fn answer(&self, ask: Ask) {
        let (id, from) = (ask.id, ask.from);
        match self.shared.asks.take(ask, self.shared.parts.clock.now_ms()) {
            Taken::Known => {}
            Taken::Refuse(answer) => reply(&self.shared, &self.link, id, from, answer).await,
            Taken::Do(asked) => {
                let (shared, link) = (self.shared.clone(), self.link.clone());
                self.shared.tasks.spawn(async move {
                    if let Some(answer) = asked.answer(&*shared.parts.asks).await {
                        reply(&shared, &link, id, from, answer).await;
                    }
                });
            }
        }
    }

    /// Anybody who may come to the meeting place can send anything.
    fn odd(&self, topic: &str, reason: &str) {
        self.shared.metrics.link.drop_one("odd");
        tracing::debug!(topic, reason, "a message is left");
    }
}

async fn reply(shared: &Shared, link: &Link, id: AskId, from: NodeId, answer: AnswerKind) {
    let edge = shared.edge();
    let answer = message::to_json(&Answer { id, edge, answer });
    let topic = shared.topic(Channel::Answer(from));
    // Who asked hears nothing, and its time goes by.
    let _ = link.publish(&topic, answer, Delivery::ACKED).await;
}

/// Boxes that started together do not go on telling together.
fn digest_pause() -> Duration {
    DIGEST_EVERY.mul_f64(rand::rng().random_range(0.8..=1.0))
}

/// Whether someone waits for a change: the backlog came or went, something was shipped, a device was found.
fn is_worth_telling(told: &BoxState, state: &BoxState) -> bool {
    (told.backlog_entries == 0) != (state.backlog_entries == 0)
        || told.last_shipped != state.last_shipped
        || told.devices != state.devices
}
