//! The sessions of all clients: opened, closed, expired.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Batch, Exchange, Message, Sender,
    routes::{Routes, Way},
};
use crate::{
    mailbox::{Connected, Mailbox, State},
    note::{Note, Will},
    topics,
};

/// Mailboxes by client id: of all that are connected, and of those that may come back.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub(super) by_client: HashMap<Arc<str>, Arc<Mailbox>>,
    /// Clients whose mailboxes have gone since the last checkpoint.
    pub(super) gone: HashSet<Arc<str>>,
    last_id: u64,
}

impl Sessions {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// What a client asks of its session at CONNECT.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) clean: bool,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<Will>,
    pub(crate) connection: Connected,
}

/// A session that a connection has now.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) mailbox: Arc<Mailbox>,
    /// The client finds its session of before.
    pub(crate) present: bool,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Closing {
    /// The client said goodbye: its will is not wanted.
    pub(crate) discard_will: bool,
    /// Session expiry that the client gave with its goodbye.
    pub(crate) expiry_s: Option<u32>,
    /// The broker stops: the client will be back, and its will is kept for the case that it is not.
    pub(crate) stopping: bool,
}

/// There are as many sessions as the limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions")]
pub(crate) struct SessionsFull;

/// A will to be published, and whose it is.
type DueWill = (Arc<Mailbox>, Will);

impl Exchange {
    /// Give a client its session: the one it had, or a new one. No other connection may have it.
    pub(crate) fn open(&self, client: &str, opening: Opening) -> Result<Opened, SessionsFull> {
        let (opened, will) = {
            let mut routes = self.routes.write();
            self.open_in(&mut routes, client, opening)?
        };
        self.publish_wills(will);
        Ok(opened)
    }

    fn open_in(
        &self,
        routes: &mut Routes,
        client: &str,
        opening: Opening,
    ) -> Result<(Opened, Option<DueWill>), SessionsFull> {
        let mut sessions = self.sessions.lock();
        let old = sessions.by_client.get(client).cloned();
        let mut due = None;
        let mut noted = false;
        let mut found = None;
        if let Some(old) = old {
            let mut state = old.lock();
            noted = state.is_kept();
            let will = state.will.take();
            drop(state);
            if opening.clean {
                // With its session its delay ends too.
                due = will.map(|will| (old.clone(), will));
                self.discard(routes, &mut sessions, &old);
            } else {
                found = Some(old);
            }
        }
        let present = found.is_some();
        let mailbox = match found {
            Some(mailbox) => mailbox,
            None if sessions.by_client.len() >= self.limits.sessions_max => {
                return Err(SessionsFull);
            }
            None => {
                let id = sessions.next_id();
                let mailbox = Mailbox::new(id, client, &self.limits, &self.metrics);
                let mailbox = Arc::new(mailbox);
                sessions
                    .by_client
                    .insert(mailbox.client.clone(), mailbox.clone());
                mailbox
            }
        };
        let mut state = mailbox.lock();
        state.set_expiry(opening.expiry_s);
        state.will = opening.will.clone();
        state.connection = Some(opening.connection);
        state.closed_ms = 0;
        state.dirty = true;
        state.deliveries.resume();
        mailbox.set_online(true);
        if noted || state.is_kept() {
            self.note_or_warn(
                &mailbox,
                &Note::Opened {
                    expiry_s: opening.expiry_s,
                    clean: opening.clean,
                    will: opening.will,
                },
            );
        }
        drop(state);
        self.count_sessions(&sessions);
        Ok((Opened { mailbox, present }, due))
    }

    /// The ways on which a session gets messages of QoS 0 for its subscriptions.
    pub(crate) fn link(&self, mailbox: &Mailbox) -> Vec<(String, Way)> {
        let mut routes = self.routes.write();
        let state = mailbox.lock();
        let plain = |filter: &&String| topics::share(filter).group.is_none();
        let filters = state.subscriptions.keys().filter(plain);
        filters
            .map(|filter| (filter.clone(), routes.link(filter)))
            .collect()
    }

    /// A connection has ended: its session ends or waits, its will goes out, waits or is dropped.
    pub(crate) fn close(&self, mailbox: &Arc<Mailbox>, closing: Closing) {
        let due = {
            let mut routes = self.routes.write();
            let mut sessions = self.sessions.lock();
            let due = self.close_in(&mut routes, &mut sessions, mailbox, closing);
            self.count_sessions(&sessions);
            due
        };
        self.publish_wills(due);
    }

    fn close_in(
        &self,
        routes: &mut Routes,
        sessions: &mut Sessions,
        mailbox: &Arc<Mailbox>,
        closing: Closing,
    ) -> Option<DueWill> {
        let mut guard = mailbox.lock();
        let state = &mut *guard;
        let noted = state.is_kept();
        mailbox.set_online(false);
        state.connection = None;
        state.closed_ms = self.now_ms();
        state.dirty = true;
        if let Some(expiry_s) = closing.expiry_s {
            state.set_expiry(expiry_s);
        }
        state.deliveries.pause();
        if closing.discard_will {
            state.will = None;
        }
        let persistent = state.is_persistent();
        let waits = |will: &mut Will| closing.stopping || (will.delay_s > 0 && persistent);
        let due = state.will.take_if(|will| !waits(will));
        for filter in state.subscriptions.keys() {
            if topics::share(filter).group.is_none() {
                routes.unlink(filter);
            }
        }
        if noted {
            let note = Note::Closed {
                expiry_s: state.expiry_s,
                will_pending: state.will.is_some(),
            };
            self.note_or_warn(mailbox, &note);
        }
        let ends = !persistent && state.will.is_none();
        drop(guard);
        if ends {
            self.discard(routes, sessions, mailbox);
        }
        due.map(|will| (mailbox.clone(), will))
    }

    /// Look at the sessions without a connection: some have lived long enough, some wills are due.
    pub(crate) fn expire(&self) {
        let now_ms = self.now_ms();
        let is_due = |state: &State| state.is_expired(now_ms) || state.is_will_due(now_ms);
        let due: Vec<Arc<Mailbox>> = {
            let sessions = self.sessions.lock();
            let offline = sessions.by_client.values().filter(|m| !m.is_online());
            offline.filter(|m| is_due(&m.lock())).cloned().collect()
        };
        for mailbox in due {
            let will = {
                let mut routes = self.routes.write();
                let mut sessions = self.sessions.lock();
                let mut state = mailbox.lock();
                // The client may have come back in between.
                if mailbox.is_online() || !is_due(&state) {
                    continue;
                }
                let expired = state.is_expired(now_ms);
                let will = state.will.take();
                state.dirty = true;
                drop(state);
                if expired {
                    self.note_or_warn(&mailbox, &Note::Ended);
                    self.discard(&mut routes, &mut sessions, &mailbox);
                    self.metrics.sessions_expired.inc();
                } else {
                    self.note_or_warn(&mailbox, &Note::WillPublished);
                }
                self.count_sessions(&sessions);
                will
            };
            self.publish_wills(will.map(|will| (mailbox, will)));
        }
    }

    /// Remove the retained messages whose time is over.
    pub(crate) fn expire_retained(&self) {
        self.retained.expire(self.now_ms());
    }

    /// All sessions at this moment.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.sessions.lock().by_client.values().cloned().collect()
    }

    /// End a session that nobody is connected to. Returns whether there was one. Its will goes out.
    pub(crate) fn end_session(&self, client: &str) -> bool {
        let will = {
            let mut routes = self.routes.write();
            let mut sessions = self.sessions.lock();
            let Some(mailbox) = sessions.by_client.get(client).cloned() else {
                return false;
            };
            let will = mailbox.lock().will.take();
            self.note_or_warn(&mailbox, &Note::Ended);
            self.discard(&mut routes, &mut sessions, &mailbox);
            self.count_sessions(&sessions);
            will.map(|will| (mailbox, will))
        };
        self.commit();
        self.publish_wills(will);
        true
    }

    /// Take a mailbox out of everything. What waits in it for its groups goes to other members.
    pub(super) fn discard(
        &self,
        routes: &mut Routes,
        sessions: &mut Sessions,
        mailbox: &Arc<Mailbox>,
    ) {
        let mut state = mailbox.lock();
        let filters = std::mem::take(&mut state.subscriptions);
        let shared = state.deliveries.take_shared();
        let stored = std::mem::take(&mut state.stored);
        drop(state);
        for filter in filters.keys() {
            routes.unsubscribe(mailbox, filter);
            self.metrics.subscriptions.dec();
        }
        for delivery in shared {
            routes.pass_on(delivery);
        }
        let current = sessions.by_client.get(&mailbox.client);
        if current.is_some_and(|current| current.id == mailbox.id) {
            sessions.by_client.remove(&mailbox.client);
        }
        if stored {
            sessions.gone.insert(mailbox.client.clone());
        }
    }

    /// Publish wills as their clients would have.
    fn publish_wills(&self, due: Option<DueWill>) {
        let Some((mailbox, will)) = due else {
            return;
        };
        let payload = will.payload.into();
        let message = Message {
            topic: &will.topic,
            payload: &payload,
            qos: will.qos,
            retain: will.retain,
            properties: &will.properties,
            origin: mailbox.id,
        };
        let sender = Sender {
            client: &mailbox.client,
            packet_id: 0,
            dup: false,
        };
        let mut batch = Batch::default();
        self.metrics.wills.inc();
        if let Err(refused) = self.publish(message, Some(sender), &mut batch) {
            tracing::warn!(client = %mailbox.client, topic = will.topic, "will is delivered but not stored: {refused}");
            // Without a log nothing refuses it.
            let _ = self.publish(message, None, &mut batch);
        }
        self.log.commit();
        // A dead router is told by its watch.
        let _ = self.flush(&mut batch);
    }

    /// Note what happens whether or not it can be noted.
    fn note_or_warn(&self, mailbox: &Mailbox, note: &Note) {
        if let Err(refused) = self.note(mailbox, note) {
            tracing::warn!(client = %mailbox.client, "a restart will not know of this session's last change: {refused}");
        }
    }

    fn count_sessions(&self, sessions: &Sessions) {
        self.metrics.sessions.set(sessions.by_client.len() as i64);
    }
}
