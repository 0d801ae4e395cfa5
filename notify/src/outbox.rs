use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};
use tarn_common::database::{DatabaseError, EmbeddedDatabase};

use crate::{
    delivery::{Delivery, DeliveryId, Outcome},
    state::{State, ToldKey},
};

/// What redb keeps in memory of the file.
const CACHE_BYTES: usize = 1 << 20;
/// What waits, by its id. The number in each name is the version of what is in it: JSON.
const WAITING: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("waiting/1");
/// What was told of each alarm, by channel, home and alarm.
const TOLD: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("told/1");
/// What was given up, by its id.
const DEAD: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead/1");
/// The next id, under an empty name.
const NEXT: TableDefinition<'_, &str, u64> = TableDefinition::new("next/1");

/// What waits, what was told and what is dead, as it is on disk.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: EmbeddedDatabase,
    state: State,
    /// A change could not be written, so that what is in memory is not what is on disk.
    is_stale: bool,
}

impl Outbox {
    /// Open the file, made if absent.
    pub(crate) fn open(path: &Path) -> Result<Outbox, DatabaseError> {
        let lost = "messages that waited; alarms that stand are told again";
        let (file, state) = EmbeddedDatabase::open(path, CACHE_BYTES, lost, |database| {
            make_tables(database)?;
            load(database)
        })?;
        let inner = Mutex::new(Inner {
            file,
            state,
            is_stale: false,
        });
        Ok(Outbox { inner })
    }

    /// Look at it.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, DatabaseError> {
        let mut inner = self.inner.lock();
        inner.refresh()?;
        Ok(look(&inner.state))
    }

    /// Change it. On return the change is on disk, with all of it or nothing. Gives what became of deliveries by that.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> T,
    ) -> Result<(T, Vec<(Delivery, Outcome)>), DatabaseError> {
        let mut inner = self.inner.lock();
        inner.refresh()?;
        let Inner {
            file,
            state,
            is_stale,
        } = &mut *inner;
        let changed = change(state);
        if !state.touched.is_empty() {
            *is_stale = true;
            file.with("write", |database| store(database, state))?;
            *is_stale = false;
            state.touched = Default::default();
        }
        Ok((changed, std::mem::take(&mut state.outcomes)))
    }
}

impl Inner {
    /// What could not be written did not happen.
    fn refresh(&mut self) -> Result<(), DatabaseError> {
        if self.is_stale {
            let loaded = self.file.with("read", load)?;
            let in_flight = std::mem::take(&mut self.state.in_flight);
            self.state = State {
                in_flight,
                ..loaded
            };
            self.is_stale = false;
        }
        Ok(())
    }
}

fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(WAITING)?;
    transaction.open_table(TOLD)?;
    transaction.open_table(DEAD)?;
    transaction.open_table(NEXT)?;
    transaction.commit()?;
    Ok(())
}

fn load(database: &Database) -> Result<State, redb::Error> {
    let transaction = database.begin_read()?;
    let mut state = State::default();
    for (name, into) in [(WAITING, &mut state.waiting), (DEAD, &mut state.dead)] {
        for row in transaction.open_table(name)?.iter()? {
            let (id, delivery) = row?;
            into.insert(DeliveryId(id.value()), decode(delivery.value())?);
        }
    }
    for row in transaction.open_table(TOLD)?.iter()? {
        let (key, told) = row?;
        let (channel, home, alarm) = key.value();
        let key: ToldKey = (channel.to_owned(), home.to_owned(), alarm.to_owned());
        state.told.insert(key, decode(told.value())?);
    }
    let next = transaction.open_table(NEXT)?.get("")?;
    state.next_id = next.map_or(0, |next| next.value());
    Ok(state)
}

/// One transaction, synced when it returns.
fn store(database: &Database, state: &State) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut waiting = transaction.open_table(WAITING)?;
        for id in &state.touched.waiting {
            match state.waiting.get(id) {
                Some(delivery) => drop(waiting.insert(id.0, &*encode(delivery)?)?),
                None => drop(waiting.remove(id.0)?),
            }
        }
        let mut dead = transaction.open_table(DEAD)?;
        for id in &state.touched.dead {
            match state.dead.get(id) {
                Some(delivery) => drop(dead.insert(id.0, &*encode(delivery)?)?),
                None => drop(dead.remove(id.0)?),
            }
        }
        let mut told = transaction.open_table(TOLD)?;
        for key in &state.touched.told {
            let place = (&*key.0, &*key.1, &*key.2);
            match state.told.get(key) {
                Some(value) => drop(told.insert(place, &*encode(value)?)?),
                None => drop(told.remove(place)?),
            }
        }
        if state.touched.next_id {
            transaction.open_table(NEXT)?.insert("", state.next_id)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|e| redb::Error::Corrupted(e.to_string()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(bytes).map_err(|e| redb::Error::Corrupted(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{alarm::Notice, channels::Channels};

    fn notify(state: &mut State, title: &str) {
        let text = "[[channel]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"http://h/\"";
        let channels = Channels::parse(text, Path::new(".")).expect("channels");
        let notice = Notice {
            title: title.into(),
            ..Notice::default()
        };
        let chance = u128::from(state.next_id);
        state.notify(&channels, &notice, 0, chance);
    }

    fn titles(outbox: &Outbox) -> Vec<String> {
        let titles = |state: &State| {
            state
                .waiting
                .values()
                .map(|it| it.message.title())
                .collect()
        };
        outbox.read(titles).expect("reads")
    }

    #[test]
    fn what_was_changed_is_there_after_a_start_and_ids_are_not_used_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("notify.redb");
        let outbox = Outbox::open(&path).expect("opens");
        outbox.change(|state| notify(state, "one")).expect("writes");
        outbox.change(|state| notify(state, "two")).expect("writes");
        let remove = |state: &mut State| {
            state.waiting.remove(&DeliveryId(1));
            state.touched.waiting.insert(DeliveryId(1));
        };
        outbox.change(remove).expect("writes");
        drop(outbox);
        let outbox = Outbox::open(&path).expect("opens");
        assert_eq!(titles(&outbox), ["one"]);
        outbox
            .change(|state| notify(state, "three"))
            .expect("writes");
        assert!(
            outbox
                .read(|state| state.waiting.contains_key(&DeliveryId(2)))
                .expect("reads")
        );
    }

    #[test]
    fn what_could_not_be_written_did_not_happen() {
        let folder = tempfile::tempdir().expect("folder");
        let outbox = Outbox::open(&folder.path().join("notify.redb")).expect("opens");
        outbox.change(|state| notify(state, "one")).expect("writes");
        {
            // As a failed write leaves it.
            let mut inner = outbox.inner.lock();
            notify(&mut inner.state, "two");
            inner.state.in_flight.insert(DeliveryId(0));
            inner.is_stale = true;
        }
        assert_eq!(titles(&outbox), ["one"]);
        let inner = outbox.inner.lock();
        assert!(inner.state.in_flight.contains(&DeliveryId(0)));
        assert!(inner.state.touched.is_empty() && !inner.is_stale);
    }
}
