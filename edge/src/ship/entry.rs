use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use tarn_common::{
    commit_log::{Chunk, Entry, Place},
    ids::{EdgeId, StoreName},
    layout::{EntryKey, log_prefix},
    store::pool::{Member, PoolError},
};
use tokio::time::{Instant, sleep_until};

use super::{
    PUTS_AT_ONCE, ShipError, Shipper,
    compare::{self, Likeness, Log, is_stored_elsewhere},
};
use crate::shelf::{EntryId, Shelf};

impl Shipper {
    /// Put an entry into the stores, after its chunks, unless it is another copy's by now.
    pub(super) async fn ship(&self, id: EntryId) -> Result<(), ShipError> {
        let mut up = self.reach().await?;
        let (key, bytes) = self.shelf.entry(id).map_err(|e| ShipError::Disk {
            action: "read log entry in",
            path: self.memory.clone(),
            source: io::Error::other(e),
        })?;
        // Who sees this entry must see, too, what has removed chunks of it that are not there any more.
        for remover in self.shelf.removers(id) {
            if !self.is_somewhere(remover) {
                match Box::pin(self.ship(remover)).await {
                    Ok(()) | Err(ShipError::Short) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // Chunks of an entry have names of its own, so who has not written the entry has not written them.
        match self.find(&mut up, &key, &bytes).await? {
            Some(Likeness::Other) => return Err(ShipError::Copied(key.to_string())),
            Some(Likeness::StoredElsewhere) => return self.remember(id),
            Some(Likeness::Same) | None => {}
        }
        let chunks = self.shelf.chunks(id);
        let entry = Entry::parse(&key, &bytes)?;
        let has_records = entry.has_records() && !chunks.is_empty();
        if let Some(since_ms) = shared_era(&self.shelf, id).filter(|_| has_records) {
            if self.is_elsewhere(&up, &entry).await? {
                let told = entry.stored_elsewhere().to_bytes();
                self.put_everywhere(&up, &key, told.into()).await?;
                tracing::info!(%key, "another copy of this box has stored these records");
                return self.remember(id);
            }
            if !self.has_waited(since_ms) {
                return Err(ShipError::Held);
            }
        }
        let had = self.partly.lock().get(&id).cloned().unwrap_or_default();
        let puts = chunks.iter().cloned().enumerate().map(|(at, chunk)| {
            let had = had.get(at).cloned().unwrap_or_default();
            self.ship_chunk(chunk, &up, had)
        });
        let placed: Vec<Vec<StoreName>> = stream::iter(puts)
            .buffered(PUTS_AT_ONCE)
            .try_collect()
            .await?;
        self.log_places(&key, &chunks, &placed).await?;
        self.put_everywhere(&up, &key, bytes.into()).await?;
        self.clear_away(&up, &entry).await?;
        let copies = self.stores.agreed().copies();
        if placed.iter().any(|stores| stores.len() < copies) {
            self.partly.lock().insert(id, placed);
            return Err(ShipError::Short);
        }
        self.metrics.entries.inc();
        self.metrics.last_shipped_ms.set(self.clock.now_ms());
        self.remember(id)
    }

    /// A chunk that was evicted may have come into a store before its own entry did: who reads without the log
    /// would find its readings twice, there and in what is left of it.
    async fn clear_away(&self, up: &[Arc<Member>], entry: &Entry) -> Result<(), ShipError> {
        for key in &entry.removes {
            for key in [true, false].map(|is_primary| key.copy(is_primary)) {
                for member in up {
                    member.delete(&key).await?;
                }
            }
        }
        Ok(())
    }

    /// The stores that take chunks now: asked whether another copy of the box has written to them, and given
    /// what they lack of our log.
    pub(super) async fn reach(&self) -> Result<Vec<Arc<Member>>, ShipError> {
        let unknown = |member: &Arc<Member>| !member.is_down() && !self.is_asked(member);
        let pool = self.stores.pool();
        if self.stores.is_any_unknown() || pool.members().iter().any(unknown) {
            let joined = self.stores.join().await;
            joined.map_err(ShipError::NoStore)?;
            let mut last = None;
            for member in pool.members().iter().filter(|m| unknown(m)) {
                match self.ask(member).await {
                    Ok(()) => {
                        self.asked.lock().insert(member.name().clone());
                    }
                    Err(error @ ShipError::Copied(_)) => return Err(error),
                    Err(error) => last = Some(error),
                }
            }
            if let (true, Some(last)) = (self.up().is_empty(), last) {
                return Err(last);
            }
        }
        let up = self.up();
        if up.is_empty() {
            let down = pool
                .members()
                .iter()
                .map(|m| m.name().to_string())
                .collect::<Vec<_>>();
            return Err(ShipError::NoStore(format!(
                "no answer from store {}",
                down.join(", ")
            )));
        }
        Ok(up)
    }

    /// The stores that answer, and take chunks.
    pub(super) fn up(&self) -> Vec<Arc<Member>> {
        let agreed = self.stores.agreed();
        let mut up = self.stores.pool().members();
        up.retain(|m| !m.is_down() && self.is_asked(m) && agreed.takes(m.name()));
        up
    }

    /// Their names.
    pub(super) fn up_names(&self) -> BTreeSet<StoreName> {
        self.up().iter().map(|m| m.name().clone()).collect()
    }

    fn is_asked(&self, member: &Member) -> bool {
        self.asked.lock().contains(member.name())
    }

    /// Whether another copy of the box has written to a store under an id of ours. All that waits is
    /// looked at, because the newest is shipped first, and may follow on one that is not ours any more.
    async fn ask(&self, member: &Member) -> Result<(), ShipError> {
        let identity = self.shelf.identity();
        let entries = self.shelf.entries_after(None);
        for (era, stretch) in identity.stretches().iter().enumerate() {
            let of_era = entries.iter().filter(|id| id.era == era);
            let log = Log {
                writer: stretch.edge,
                numbers: of_era.map(|id| id.number).collect(),
                is_current: stretch.edge == identity.edge,
            };
            let known = self.shipped.lock().clone();
            let (lake, home) = (self.shelf.lake(), &identity.home);
            let asking = compare::conflict(member.store(), lake, home, &log, &known);
            if let Some(conflict) = member.ask("log", asking).await? {
                let prefix = log_prefix(home, conflict.writer);
                return Err(ShipError::Copied(format!(
                    "{prefix} after {}",
                    conflict.kept
                )));
            }
        }
        self.mirror(member).await
    }

    /// A store that was away, or is new, gets what it lacks of our log; with one store there is nothing to get.
    async fn mirror(&self, member: &Member) -> Result<(), ShipError> {
        if self.stores.agreed().set.members.len() < 2 {
            return Ok(());
        }
        let home = &self.shelf.identity().home;
        for (writer, numbers) in self.shelf.numbers() {
            let listing = compare::numbers_after(member.store(), home, writer, 0);
            let there: BTreeSet<u64> = member.ask("log", listing).await?.into_iter().collect();
            let is_out = |number: &u64| {
                self.shelf.is_keepers(writer) || self.shipped.lock().contains(writer, *number)
            };
            for number in numbers
                .into_iter()
                .filter(|n| !there.contains(n) && is_out(n))
            {
                let key = EntryKey {
                    home: home.clone(),
                    writer,
                    number,
                };
                let path = self.shelf.lake().join(key.to_string());
                let bytes = tokio::fs::read(&path).await;
                let bytes = bytes.map_err(|source| ShipError::Disk {
                    action: "read",
                    path,
                    source,
                })?;
                member.put(&key.to_string(), bytes.into()).await?;
            }
        }
        Ok(())
    }

    /// How the stores' entry of this key stands to ours, if one has it. A store that fails is out of `up`.
    async fn find(
        &self,
        up: &mut Vec<Arc<Member>>,
        key: &EntryKey,
        ours: &[u8],
    ) -> Result<Option<Likeness>, ShipError> {
        let name = key.to_string();
        let asked = up.iter().map(|member| member.get(&name));
        let mut found = None;
        let mut failed = Vec::new();
        let mut last = None;
        for (at, theirs) in join_all(asked).await.into_iter().enumerate() {
            match theirs {
                Ok(theirs) => match compare::compare(key, ours, &theirs) {
                    Likeness::Other => return Ok(Some(Likeness::Other)),
                    likeness => found = Some(likeness),
                },
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    failed.push(up[at].name().clone());
                    last = Some(error);
                }
            }
        }
        self.forget(&failed);
        up.retain(|member| !failed.contains(member.name()));
        match last {
            Some(error) if up.is_empty() => Err(error.into()),
            _ => Ok(found),
        }
    }

    async fn is_elsewhere(&self, up: &[Arc<Member>], entry: &Entry) -> Result<bool, ShipError> {
        let ours = |writer: EdgeId| self.shelf.next_number(writer) - 1;
        for member in up {
            let looking = is_stored_elsewhere(member.store(), entry, ours);
            if member.ask("log", looking).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether another copy has had its time, by the clock or, where that was not set, in this run.
    fn has_waited(&self, since_ms: i64) -> bool {
        let waited = self.clock.now_ms().saturating_sub(since_ms);
        let running = self.clock.monotonic_ms() - self.started_ms;
        u128::try_from(waited.max(running)).unwrap_or(0) >= self.settings.copied_wait.as_millis()
    }

    /// Put the copies of a chunk that are not there yet, the primary first: to the stores that it was cut for, and
    /// where one of them is away to the next on the ring. Says where they are; there is one at least.
    async fn ship_chunk(
        &self,
        chunk: Arc<Chunk>,
        up: &[Arc<Member>],
        mut placed: Vec<StoreName>,
    ) -> Result<Vec<StoreName>, ShipError> {
        let agreed = self.stores.agreed();
        let copies = agreed.copies();
        if placed.len() >= copies {
            return Ok(placed);
        }
        let bytes = self.read(&chunk).await?;
        let mut last = None;
        for name in agreed.candidates(&chunk) {
            if placed.len() >= copies {
                break;
            }
            let Some(member) = up.iter().find(|member| *member.name() == name) else {
                continue;
            };
            if placed.contains(&name) {
                continue;
            }
            let key = chunk.key.copy(placed.is_empty());
            match self.put(member, &key, bytes.clone()).await {
                Ok(()) => {
                    placed.push(name);
                    self.metrics.bytes.inc_by(chunk.bytes);
                }
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if placed.is_empty() => Err(error),
            _ if placed.is_empty() => Err(ShipError::NoStore("no store takes chunks".into())),
            _ => {
                self.metrics.chunks.inc();
                Ok(placed)
            }
        }
    }

    async fn read(&self, chunk: &Chunk) -> Result<Bytes, ShipError> {
        let key = chunk.key.to_string();
        let Some(path) = self.shelf.path(&chunk.key) else {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(ShipError::Disk {
                action: "read",
                path: key.into(),
                source,
            });
        };
        let bytes = tokio::fs::read(&path).await;
        let bytes = bytes.map_err(|source| ShipError::Disk {
            action: "read",
            path,
            source,
        })?;
        chunk
            .check(&bytes)
            .map_err(|fault| ShipError::Damaged { key, fault })?;
        Ok(bytes.into())
    }

    /// Log where chunks are that are not where they were cut for.
    async fn log_places(
        &self,
        key: &EntryKey,
        chunks: &[Arc<Chunk>],
        placed: &[Vec<StoreName>],
    ) -> Result<(), ShipError> {
        let moved = chunks.iter().zip(placed).filter_map(|(chunk, stores)| {
            let now = self.shelf.chunk(&chunk.key)?;
            let is_as_cut = |name: &StoreName| chunk.stores.contains(name);
            let is_hinted = !stores.iter().all(is_as_cut);
            (now.stores != *stores).then(|| Place {
                key: chunk.key.clone(),
                stores: stores.clone(),
                rev: self.shelf.rev(&chunk.key) + 1,
                wanted: if is_hinted {
                    chunk.stores.clone()
                } else {
                    Vec::new()
                },
            })
        });
        let places: Vec<Place> = moved.collect();
        if !places.is_empty() {
            let entry = self.keeper.log(&key.home, places, None).await?;
            self.shelf.take_places(&entry);
        }
        Ok(())
    }

    /// Bring chunks home that went to other stores because theirs were away.
    pub(super) async fn hand_back(&self) {
        let up = self.up_names();
        for (chunk, rev, wanted) in self.shelf.hinted() {
            if !wanted.iter().all(|name| up.contains(name)) {
                continue;
            }
            match self.keeper.place(&chunk, rev, &wanted).await {
                Ok(entry) => {
                    self.shelf.take_places(&entry);
                    self.metrics.handed_back.inc();
                }
                Err(error) => {
                    tracing::warn!(%error, "a chunk stays where it went while its store was away");
                    return;
                }
            }
        }
        if !self.stores.is_any_unknown() {
            // What was at other stores goes once nobody can rely on it any more.
            self.keeper.tidy().await;
        }
    }

    /// Put a log entry into all stores that answer. One of them is enough; the others get it when they are back.
    async fn put_everywhere(
        &self,
        up: &[Arc<Member>],
        key: &EntryKey,
        bytes: Bytes,
    ) -> Result<(), ShipError> {
        let name = key.to_string();
        let puts = up
            .iter()
            .map(|member| self.put(member, &name, bytes.clone()));
        let (mut done, mut last) = (false, None);
        for put in join_all(puts).await {
            match put {
                Ok(()) => done = true,
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if !done => Err(error),
            _ => Ok(()),
        }
    }

    async fn put(&self, member: &Member, key: &str, bytes: Bytes) -> Result<(), ShipError> {
        let len = bytes.len();
        let started = Instant::now();
        if let Err(error) = member.put(key, bytes).await {
            self.forget(std::slice::from_ref(member.name()));
            return Err(error.into());
        }
        if let Some(rate) = self.settings.bytes_per_second {
            sleep_until(started + Duration::from_secs_f64(len as f64 / rate.max(1) as f64)).await;
        }
        Ok(())
    }

    /// These stores have failed: they are asked again before anything is put there.
    fn forget(&self, names: &[StoreName]) {
        let mut asked = self.asked.lock();
        names.iter().for_each(|name| {
            asked.remove(name);
        });
    }
}

impl From<PoolError> for ShipError {
    fn from(error: PoolError) -> ShipError {
        ShipError::Store(error)
    }
}

/// When the id of an entry was made whose records another copy of the box may have, too.
fn shared_era(shelf: &Shelf, id: EntryId) -> Option<i64> {
    let era = shelf.identity().eras.get(id.era)?;
    (!era.shared.is_empty()).then_some(era.since_ms)
}
