//! The state as it was, from the checkpoint and the log.

use std::{collections::HashMap, io, sync::Arc};

use bytes::Bytes;

use super::{Exchange, routes::Routes, sessions::Sessions};
use crate::{
    envelope::{Envelope, Properties},
    log::{Entry, EntryKind, Publish},
    mailbox::{Delivery, Mailbox},
    note::{self, Note},
    store::{Contents, Queued, StoredSession},
};

/// A message of a group whose member is not known yet.
type Unassigned = HashMap<(u64, Arc<str>), Arc<Envelope>>;

impl Exchange {
    /// Put everything back as it was when the log ended. Blocks; called before anyone connects.
    pub(crate) fn recover(&self, contents: Contents) -> io::Result<()> {
        let mut routes = self.routes.write();
        let mut sessions = self.sessions.lock();
        let upto = contents.upto;
        let last = self.log.last();
        for mut message in contents.retained {
            // A log that was lost begins anew, and what is retained is older than all of it.
            message.seq = message.seq.min(last);
            self.retained.restore(message);
        }
        for (client, session, queued) in contents.sessions {
            self.restore(&mut routes, &mut sessions, &client, session, queued);
        }
        let mut replay = Replay {
            exchange: self,
            routes: &mut routes,
            sessions: &mut sessions,
            unassigned: HashMap::new(),
            entries: 0,
        };
        self.log.replay(upto, &mut |entry| replay.apply(entry))?;
        let entries = replay.entries;
        replay.finish();
        self.settle(&mut routes, &mut sessions);
        self.metrics.sessions.set(sessions.by_client.len() as i64);
        tracing::info!(
            sessions = sessions.by_client.len(),
            retained = self.metrics.retained_messages.get(),
            replayed = entries,
            "broker state is recovered"
        );
        Ok(())
    }

    fn restore(
        &self,
        routes: &mut Routes,
        sessions: &mut Sessions,
        client: &str,
        session: StoredSession,
        queued: Vec<(u64, Queued)>,
    ) {
        let mailbox = self.mailbox(sessions, client);
        let mut state = mailbox.lock();
        state.set_expiry(session.expiry_s);
        state.closed_ms = session.closed_ms;
        state.will = session.will;
        state.stored = true;
        state.dirty = false;
        for subscription in session.subscriptions {
            routes.subscribe(&mailbox, &subscription);
            self.metrics.subscriptions.inc();
            state
                .subscriptions
                .insert(subscription.filter.clone(), subscription);
        }
        let deliveries = queued.into_iter().map(|(number, queued)| Delivery {
            number,
            qos: queued.qos,
            retain: queued.retain,
            identifiers: queued.identifiers.clone(),
            share: queued.share.as_deref().map(Into::into),
            envelope: Arc::new(queued.envelope()),
        });
        let deliveries = deliveries.collect();
        state.deliveries.restore(deliveries, &session.in_flight);
    }

    /// Nobody is connected: sessions that only lived with their connection are over, and the others
    /// count their time from now, as do the wills.
    fn settle(&self, routes: &mut Routes, sessions: &mut Sessions) {
        let now_ms = self.now_ms();
        let mailboxes: Vec<_> = sessions.by_client.values().cloned().collect();
        for mailbox in mailboxes {
            let mut state = mailbox.lock();
            // An old time stands for a connection that had ended before the stop.
            if state.closed_ms == 0 || state.closed_ms > now_ms {
                state.closed_ms = now_ms;
                state.dirty = true;
            }
            let grace_s = self.limits.will_grace.as_secs() as u32;
            let since_s = (now_ms - state.closed_ms) / 1000;
            if let Some(will) = &mut state.will {
                let until_s = since_s.saturating_add(u64::from(grace_s));
                will.delay_s = will.delay_s.max(u32::try_from(until_s).unwrap_or(u32::MAX));
            }
            let ends = !state.is_kept();
            drop(state);
            if ends {
                self.discard(routes, sessions, &mailbox);
            }
        }
    }

    fn mailbox(&self, sessions: &mut Sessions, client: &str) -> Arc<Mailbox> {
        if let Some(mailbox) = sessions.by_client.get(client) {
            return mailbox.clone();
        }
        let id = sessions.next_id();
        let mailbox = Arc::new(Mailbox::new(id, client, &self.limits, &self.metrics));
        sessions
            .by_client
            .insert(mailbox.client.clone(), mailbox.clone());
        mailbox
    }
}

/// Applies the log's entries one by one.
struct Replay<'a> {
    exchange: &'a Exchange,
    routes: &'a mut Routes,
    sessions: &'a mut Sessions,
    unassigned: Unassigned,
    entries: u64,
}

impl Replay<'_> {
    fn apply(&mut self, entry: Entry<'_>) {
        self.entries += 1;
        let received_ms = entry.received_ms.max(0) as u64;
        match entry.kind {
            EntryKind::Publish(publish) => self.publish(&publish, entry.seq, received_ms),
            EntryKind::Note { client, note } => match note::decode::<Note>(note) {
                Some(note) => self.note(client, note, received_ms),
                None => {
                    tracing::error!(
                        client,
                        seq = entry.seq.0,
                        "a note of a session cannot be read"
                    );
                }
            },
        }
    }

    fn publish(&mut self, publish: &Publish<'_>, seq: tarn_common::ids::Seq, received_ms: u64) {
        if !publish.retain && (publish.qos == 0 || self.routes.len() == 0) {
            return;
        }
        let sender = self.sessions.by_client.get(publish.client);
        let envelope = Envelope {
            topic: Bytes::copy_from_slice(publish.topic.as_bytes()),
            payload: Bytes::copy_from_slice(publish.payload),
            qos: publish.qos,
            retain: publish.retain,
            properties: Properties::from_wire(publish.properties),
            received_ms,
            seq,
            origin: sender.map_or(0, |mailbox| mailbox.id),
        };
        if publish.retain {
            self.exchange.retained.set(envelope.clone());
        }
        let envelope = Arc::new(envelope);
        if publish.qos > 0 {
            // Who of a group got it is told by the note that follows.
            for (share, members) in self.routes.groups(publish.topic) {
                if members.iter().any(|m| m.lock().is_persistent()) {
                    self.unassigned.insert((seq.0, share), envelope.clone());
                }
            }
            self.routes.replay(&envelope);
        }
    }

    fn note(&mut self, client: &str, note: Note, received_ms: u64) {
        let known = self.sessions.by_client.get(client).cloned();
        match note {
            Note::Opened {
                expiry_s,
                clean,
                will,
            } => {
                if clean && let Some(old) = known {
                    self.exchange.discard(self.routes, self.sessions, &old);
                }
                let mailbox = self.exchange.mailbox(self.sessions, client);
                let mut state = mailbox.lock();
                state.set_expiry(expiry_s);
                state.will = will;
                state.closed_ms = 0;
                state.dirty = true;
            }
            Note::Shared { filter, seq } => {
                let key = (seq, Arc::from(filter));
                if let Some(envelope) = self.unassigned.remove(&key) {
                    match known.filter(|mailbox| mailbox.lock().is_persistent()) {
                        Some(mailbox) => self.routes.give(&mailbox, &key.1, &envelope),
                        None => {
                            self.unassigned.insert(key, envelope);
                        }
                    }
                }
            }
            note => {
                if let Some(mailbox) = known {
                    self.change(&mailbox, note, received_ms);
                }
            }
        }
    }

    fn change(&mut self, mailbox: &Arc<Mailbox>, note: Note, received_ms: u64) {
        let mut state = mailbox.lock();
        state.dirty = true;
        match note {
            Note::Subscribed(subscription) => {
                let filter = subscription.filter.clone();
                let replaced = state.subscriptions.insert(filter, subscription.clone());
                drop(state);
                self.routes.subscribe(mailbox, &subscription);
                if replaced.is_none() {
                    self.exchange.metrics.subscriptions.inc();
                }
            }
            Note::Unsubscribed { filter } => {
                let removed = state.subscriptions.remove(&filter);
                drop(state);
                self.routes.unsubscribe(mailbox, &filter);
                if removed.is_some() {
                    self.exchange.metrics.subscriptions.dec();
                }
            }
            Note::Progress(progress) => {
                state.deliveries.replay(progress, &self.exchange.retained);
            }
            Note::Closed {
                expiry_s,
                will_pending,
            } => {
                state.set_expiry(expiry_s);
                state.closed_ms = received_ms;
                if !will_pending {
                    state.will = None;
                }
                let ends = !state.is_kept();
                drop(state);
                if ends {
                    self.exchange.discard(self.routes, self.sessions, mailbox);
                }
            }
            Note::WillPublished => state.will = None,
            Note::Ended => {
                drop(state);
                self.exchange.discard(self.routes, self.sessions, mailbox);
            }
            Note::Opened { .. } | Note::Shared { .. } => {}
        }
    }

    /// Messages of groups whose member was not kept go to one that is.
    fn finish(self) {
        let mut left: Vec<_> = self.unassigned.into_iter().collect();
        left.sort_unstable_by_key(|((seq, _), _)| *seq);
        for ((_, share), envelope) in left {
            self.routes.give_to_any(&share, &envelope);
        }
    }
}
