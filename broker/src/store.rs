//! The embedded store: retained messages and sessions as they were at one position of the log.
//!
//! It is behind the log on purpose. What is newer is made again from the log at a start, so the
//! store is only written when the log wants to let go of records, and flash is spared. redb writes
//! a checkpoint in one transaction and syncs it; a crash leaves the one before.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use tarn_common::{
    database::{DatabaseError, EmbeddedDatabase},
    ids::Seq,
};

use crate::{
    envelope::{Envelope, Properties},
    note::{self, Subscription, Will},
};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const RETAINED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("retained");
const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
const QUEUED: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("queued");
/// Key in `META`: position of the log that the rest is as of.
const UPTO: &str = "upto";
/// Pages that redb keeps in memory. They are read once, at a start.
const CACHE_BYTES: usize = 1024 * 1024;
/// What goes with a damaged file.
const LOST: &str = "sessions and retained messages of before the last checkpoint";

/// A message as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredMessage {
    seq: u64,
    received_ms: u64,
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    properties: Properties,
}

/// A message that waits for a client.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Queued {
    message: StoredMessage,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) identifiers: Vec<u32>,
    pub(crate) share: Option<String>,
}

/// A session without its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSession {
    pub(crate) expiry_s: u32,
    pub(crate) closed_ms: u64,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Packet id, number of the message, and whether PUBREC has come.
    pub(crate) in_flight: Vec<(u16, u64, bool)>,
    pub(crate) will: Option<Will>,
}

/// What changed since the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) upto: Seq,
    /// `None` deletes.
    pub(crate) retained: Vec<(Arc<str>, Option<Arc<Envelope>>)>,
    pub(crate) gone: Vec<Arc<str>>,
    pub(crate) sessions: Vec<(Arc<str>, StoredSession, Vec<crate::mailbox::Delivery>)>,
}

/// A session by its client id, with its messages by their numbers.
pub(crate) type FoundSession = (String, StoredSession, Vec<(u64, Queued)>);

/// Everything that the store holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) upto: Seq,
    pub(crate) retained: Vec<Envelope>,
    pub(crate) sessions: Vec<FoundSession>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    database: EmbeddedDatabase,
    /// Numbers of the stored messages of each client. What is stored of a message never changes.
    /// None after a write that failed: it may have come through.
    numbers: Mutex<Option<Numbers>>,
}

type Numbers = HashMap<Arc<str>, HashSet<u64>>;

impl Store {
    /// Open the file, made if absent. One that is damaged is put aside, because what is in the log
    /// can still be served without it.
    pub(crate) fn open(path: &Path) -> Result<(Store, Contents), DatabaseError> {
        let (database, contents) = EmbeddedDatabase::open(path, CACHE_BYTES, LOST, contents)?;
        let store = Store {
            database,
            numbers: Mutex::new(Some(contents.numbers())),
        };
        Ok((store, contents))
    }

    /// Make changes durable, all or none. Blocks.
    pub(crate) fn write(&self, changes: &Changes) -> Result<(), DatabaseError> {
        let mut numbers = self.numbers.lock();
        let known = numbers.take();
        let next = self.database.with("write", |database| {
            let mut next = match &known {
                Some(known) => known.clone(),
                None => contents(database)?.numbers(),
            };
            write_all(database, changes, &mut next)?;
            Ok(next)
        })?;
        *numbers = Some(next);
        Ok(())
    }
}

fn write_all(
    database: &Database,
    changes: &Changes,
    numbers: &mut Numbers,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut retained = transaction.open_table(RETAINED)?;
        for (topic, message) in &changes.retained {
            match message {
                Some(message) => {
                    retained.insert(&**topic, &*note::encode(&StoredMessage::of(message)))?;
                }
                None => {
                    retained.remove(&**topic)?;
                }
            }
        }
        let mut sessions = transaction.open_table(SESSIONS)?;
        let mut queued = transaction.open_table(QUEUED)?;
        for client in &changes.gone {
            sessions.remove(&**client)?;
            for number in numbers.remove(client).into_iter().flatten() {
                queued.remove((&**client, number))?;
            }
        }
        for (client, session, deliveries) in &changes.sessions {
            sessions.insert(&**client, &*note::encode(session))?;
            let known = numbers.entry(client.clone()).or_default();
            let now: HashSet<u64> = deliveries.iter().map(|d| d.number).collect();
            for number in known.difference(&now) {
                queued.remove((&**client, *number))?;
            }
            for delivery in deliveries.iter().filter(|d| !known.contains(&d.number)) {
                let stored = Queued {
                    message: StoredMessage::of(&delivery.envelope),
                    qos: delivery.qos,
                    retain: delivery.retain,
                    identifiers: delivery.identifiers.clone(),
                    share: delivery.share.as_deref().map(str::to_owned),
                };
                queued.insert((&**client, delivery.number), &*note::encode(&stored))?;
            }
            *known = now;
        }
        let mut meta = transaction.open_table(META)?;
        meta.insert(UPTO, changes.upto.0)?;
    }
    transaction.commit()?;
    Ok(())
}

fn contents(database: &Database) -> Result<Contents, redb::Error> {
    // Tables exist once something was written.
    let transaction = database.begin_write()?;
    for table in [RETAINED, SESSIONS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(QUEUED)?;
    transaction.open_table(META)?;
    transaction.commit()?;
    let transaction = database.begin_read()?;
    let mut contents = Contents {
        upto: Seq(transaction
            .open_table(META)?
            .get(UPTO)?
            .map_or(0, |upto| upto.value())),
        ..Contents::default()
    };
    for entry in transaction.open_table(RETAINED)?.iter()? {
        let message = note::decode::<StoredMessage>(entry?.1.value()).ok_or_else(corrupt)?;
        contents.retained.push(message.envelope());
    }
    let queued = transaction.open_table(QUEUED)?;
    for entry in transaction.open_table(SESSIONS)?.iter()? {
        let (client, session) = entry?;
        let session = note::decode(session.value()).ok_or_else(corrupt)?;
        let mut messages = Vec::new();
        for message in queued.range((client.value(), 0)..=(client.value(), u64::MAX))? {
            let (key, message) = message?;
            let message = note::decode(message.value()).ok_or_else(corrupt)?;
            messages.push((key.value().1, message));
        }
        contents
            .sessions
            .push((client.value().to_owned(), session, messages));
    }
    Ok(contents)
}

fn corrupt() -> redb::Error {
    redb::Error::Corrupted("a value that cannot be decoded".into())
}

impl Contents {
    fn numbers(&self) -> Numbers {
        let numbers = self.sessions.iter().map(|(client, _, queued)| {
            let numbers = queued.iter().map(|(number, _)| *number).collect();
            (Arc::from(&**client), numbers)
        });
        numbers.collect()
    }
}

impl StoredMessage {
    fn of(message: &Envelope) -> StoredMessage {
        StoredMessage {
            seq: message.seq.0,
            received_ms: message.received_ms,
            topic: message.topic().to_owned(),
            payload: message.payload.to_vec(),
            qos: message.qos,
            retain: message.retain,
            properties: message.properties.clone(),
        }
    }

    fn envelope(self) -> Envelope {
        Envelope {
            topic: self.topic.into(),
            payload: self.payload.into(),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties,
            received_ms: self.received_ms,
            seq: Seq(self.seq),
            origin: 0,
        }
    }
}

impl Queued {
    pub(crate) fn envelope(self) -> Envelope {
        self.message.envelope()
    }
}
