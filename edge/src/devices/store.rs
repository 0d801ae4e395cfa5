use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use tarn_common::{
    database::{DatabaseError, EmbeddedDatabase},
    ids::Seq,
};
use tarn_devices::registry::{Registry, Saved};

use crate::decode::state::{Memory, Past, State};

/// The registry, under one key.
const REGISTRY: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("registry");
/// What decoding goes on from, as of the last record of a cut. The one before stays until the next cut, because the last may
/// have to be done again.
const MEMORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("memory");
/// Readings of the past that are stored, by series and time: the record that brought them.
const PAST: TableDefinition<'_, (u64, i64), u64> = TableDefinition::new("past");

/// Version of the values, their first byte.
const VERSION: u8 = 1;
/// Pages that redb keeps in memory.
const CACHE_BYTES: usize = 1 << 20;
/// What goes with a damaged file.
const LOST: &str = "names and merges that were set by hand, and where counters stood";
/// Readings of the past that are remembered at most, 30 bytes each; beyond it a further one is stored as often
/// as it is sent.
pub const PAST_READINGS_MAX: u64 = 20_000_000;

/// What is kept of devices over a restart: `devices.redb`.
///
/// A cut is kept here before its log entry is written. If the entry is not written, the cut is done again:
/// it finds the memory of before, and its own readings of the past as its own.
#[derive(Debug)]
pub struct DeviceStore {
    database: EmbeddedDatabase,
}

impl DeviceStore {
    /// Open the file, made if absent. One that is damaged is put aside: devices are learnt again from what they
    /// announce, and cumulative metrics begin anew.
    ///
    /// # Errors
    /// The file can be neither read nor put aside.
    pub fn open(path: &Path) -> Result<(DeviceStore, Registry), DatabaseError> {
        let (database, saved) = EmbeddedDatabase::open(path, CACHE_BYTES, LOST, |database| {
            make_tables(database)?;
            saved_registry(database)
        })?;
        let registry = saved.map_or_else(Registry::new, Registry::restore);
        Ok((DeviceStore { database }, registry))
    }

    /// What decoding had come to with the record before this one.
    pub(super) fn memory_before(&self, first: Seq) -> Result<Memory, DatabaseError> {
        let bytes = self.database.with("read", |database| {
            let table = database.begin_read()?.open_table(MEMORY)?;
            let last = table.range(..first.0)?.next_back().transpose()?;
            Ok(last.map(|(_, bytes)| bytes.value().to_vec()))
        })?;
        let memory = bytes.map(|bytes| decode(&bytes).map_err(self.database.error("understand")));
        Ok(memory.transpose()?.unwrap_or_default())
    }

    /// Keep what a cut has come to, and the registry if it is given: durable when this returns.
    pub(super) fn keep(
        &self,
        last: Seq,
        state: &State,
        saved: Option<&Saved>,
    ) -> Result<(), DatabaseError> {
        let memory = encode(&state.memory).map_err(self.database.error("encode for"))?;
        let saved = saved
            .map(encode)
            .transpose()
            .map_err(self.database.error("encode for"))?;
        self.database.with("write", |database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(MEMORY)?;
                let before: Vec<u64> = table
                    .range(..last.0)?
                    .map(|entry| entry.map(|(seq, _)| seq.value()))
                    .collect::<Result<_, _>>()?;
                for old in before.iter().rev().skip(1) {
                    table.remove(old)?;
                }
                table.insert(last.0, memory.as_slice())?;
                if !state.fresh.is_empty() {
                    let mut past = transaction.open_table(PAST)?;
                    let room = PAST_READINGS_MAX.saturating_sub(past.len()?);
                    for ((series, ts), seq) in state.fresh.iter().take(room as usize) {
                        past.insert((*series, *ts), *seq)?;
                    }
                }
                if let Some(saved) = &saved {
                    transaction
                        .open_table(REGISTRY)?
                        .insert("registry", saved.as_slice())?;
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Keep the registry: durable when this returns.
    pub(super) fn keep_registry(&self, saved: &Saved) -> Result<(), DatabaseError> {
        let bytes = encode(saved).map_err(self.database.error("encode for"))?;
        self.database.with("write", |database| {
            let transaction = database.begin_write()?;
            transaction
                .open_table(REGISTRY)?
                .insert("registry", bytes.as_slice())?;
            transaction.commit()?;
            Ok(())
        })
    }
}

impl Past for DeviceStore {
    fn record_of(&self, series: u64, ts: i64) -> Option<u64> {
        let record = self.database.with("read", |database| {
            let table = database.begin_read()?.open_table(PAST)?;
            Ok(table.get((series, ts))?.map(|seq| seq.value()))
        });
        record.unwrap_or_else(|e| {
            tracing::error!(error = %e, "it cannot be told whether a reading of the past is stored; it is stored again");
            None
        })
    }
}

fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(REGISTRY)?;
    transaction.open_table(MEMORY)?;
    transaction.open_table(PAST)?;
    transaction.commit()?;
    Ok(())
}

fn saved_registry(database: &Database) -> Result<Option<Saved>, redb::Error> {
    let table = database.begin_read()?.open_table(REGISTRY)?;
    let saved = table.get("registry")?.map(|bytes| decode(bytes.value()));
    saved
        .transpose()
        .map_err(|e| redb::Error::Corrupted(e.to_string()))
}

fn encode<T: serde::Serialize>(value: &T) -> postcard::Result<Vec<u8>> {
    postcard::to_extend(value, vec![VERSION])
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> postcard::Result<T> {
    match bytes.split_first() {
        Some((&VERSION, value)) => postcard::from_bytes(value),
        _ => Err(postcard::Error::DeserializeBadEncoding),
    }
}
