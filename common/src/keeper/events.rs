use super::{Keeper, KeeperError};
use crate::{
    chunk::ZSTD_LEVEL_BOX,
    commit_log::{Chunk, Entry},
    event::{self, Event},
    ids::{HomeId, Seq, StoreName},
    layout::{ChunkKey, EntryKey},
};

impl Keeper {
    /// Put events of a home into the stores that `wanted` names for them, and log them. They get this keeper as their
    /// writer, and the number of the entry.
    ///
    /// # Errors
    /// They are in no store, or not in the log yet: [`KeeperError::Log`] says that they come into it with the next
    /// entry. After any other error they may be tried again.
    pub async fn add_events(
        &self,
        home: &HomeId,
        events: &[Event],
        wanted: &(dyn Fn(&ChunkKey, u64) -> Vec<StoreName> + Sync),
    ) -> Result<(), KeeperError> {
        let mut logs = self.logs.lock().await;
        let log = logs.entry(home.clone()).or_default();
        let number = log.number + 1;
        let own = events.iter().map(|event| Event {
            edge: self.id,
            first_seq: Seq(number),
            last_seq: Seq(number),
            ..event.clone()
        });
        let mut adds = Vec::new();
        for (key, events) in event::by_chunk(home, self.id, number, own) {
            adds.push(self.put_events(key, &events, wanted).await?);
        }
        log.number = number;
        let key = EntryKey {
            home: home.clone(),
            writer: self.id,
            number,
        };
        log.waiting.push(Entry {
            adds,
            ..Entry::of_keeper(key, self.clock.now_ms(), Vec::new(), None)
        });
        self.put_waiting(log).await
    }

    async fn put_events(
        &self,
        key: ChunkKey,
        events: &[Event],
        wanted: &(dyn Fn(&ChunkKey, u64) -> Vec<StoreName> + Sync),
    ) -> Result<Chunk, KeeperError> {
        let encoded = event::encode(&key, events, ZSTD_LEVEL_BOX);
        let encoded = encoded.map_err(|error| KeeperError::Log {
            key: key.to_string(),
            reason: error.to_string(),
        })?;
        let stores = wanted(&key, encoded.bytes.len() as u64);
        let chunk = Chunk::new(key, &encoded, stores.clone());
        for (at, name) in stores.iter().enumerate() {
            let member = self.member(name)?;
            let bytes = encoded.bytes.clone();
            self.put_copy(&chunk, &member, at == 0, bytes).await?;
        }
        Ok(chunk)
    }
}
