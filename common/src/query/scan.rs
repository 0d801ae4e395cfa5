use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    path::Path,
    sync::Arc,
};

use arrow::datatypes::Schema;
use futures::{StreamExt, future, stream};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::lake::{ChunkFile, Lake, Missing};
use crate::{commit_log::Chunk, event, layout::ChunkKey, reading::chunk_schema};

/// Files that are asked of the host at a time.
pub(super) const FILES_AT_ONCE: usize = 8;

/// Chunks whose footers are remembered as good at most.
const READABLE_MAX: usize = 100_000;

/// Chunks whose footers were read and fit the log. Chunks never change, so once is enough.
#[derive(Debug, Default)]
pub(super) struct Readable(Mutex<HashSet<ChunkKey>>);

impl Readable {
    fn knows(&self, key: &ChunkKey) -> bool {
        self.0.lock().contains(key)
    }

    fn add(&self, key: ChunkKey) {
        let mut known = self.0.lock();
        if known.len() >= READABLE_MAX {
            known.clear();
        }
        known.insert(key);
    }
}

/// The files of one query: asked for once each, held until the query ends, and the missing told.
#[derive(Debug)]
pub(super) struct Files {
    lake: Arc<dyn Lake>,
    readable: Arc<Readable>,
    held: Mutex<HashMap<ChunkKey, (Arc<Chunk>, ChunkFile)>>,
    missing: Mutex<BTreeMap<ChunkKey, Missing>>,
}

impl Files {
    pub(super) fn new(lake: Arc<dyn Lake>, readable: Arc<Readable>) -> Files {
        Files {
            lake,
            readable,
            held: Mutex::default(),
            missing: Mutex::default(),
        }
    }

    /// The chunks that can be had, in the order given, each with its file. The others are told.
    pub(super) async fn open(&self, chunks: Vec<Arc<Chunk>>) -> Vec<(Arc<Chunk>, ChunkFile)> {
        let opened = stream::iter(chunks).map(|chunk| async move {
            let file = self.open_one(&chunk).await?;
            Some((chunk, file))
        });
        opened
            .buffered(FILES_AT_ONCE)
            .filter_map(future::ready)
            .collect()
            .await
    }

    /// Chunks told as missing so far.
    pub(super) fn missing(&self) -> Vec<Missing> {
        self.missing.lock().values().cloned().collect()
    }

    /// Read every file of this query to its end, and tell those that cannot be. Says whether one
    /// was found. For after a failure only: it costs as much as a query of everything.
    pub(super) async fn find_damage(&self) -> bool {
        let held: Vec<_> = self.held.lock().values().cloned().collect();
        let mut found = false;
        for (chunk, file) in held {
            let path = file.path.clone();
            let read = tokio::task::spawn_blocking(move || read_to_end(&path)).await;
            let fault = match read {
                Ok(Ok(())) => continue,
                Ok(Err(reason)) => reason,
                Err(e) => e.to_string(),
            };
            found = true;
            self.tell(Missing::of(&chunk, format!("unreadable: {fault}")));
        }
        found
    }

    async fn open_one(&self, chunk: &Arc<Chunk>) -> Option<ChunkFile> {
        if self.missing.lock().contains_key(&chunk.key) {
            return None;
        }
        if let Some((_, file)) = self.held.lock().get(&chunk.key) {
            return Some(file.clone());
        }
        match self.fetch(chunk).await {
            Ok(file) => {
                self.held
                    .lock()
                    .insert(chunk.key.clone(), (chunk.clone(), file.clone()));
                Some(file)
            }
            Err(missing) => {
                self.tell(missing);
                None
            }
        }
    }

    async fn fetch(&self, chunk: &Arc<Chunk>) -> Result<ChunkFile, Missing> {
        let file = self.lake.file(chunk).await?;
        if !self.readable.knows(&chunk.key) {
            let (path, rows) = (file.path.clone(), chunk.rows);
            let schema = match chunk.key.is_events() {
                true => event::schema(),
                false => chunk_schema(),
            };
            let check = move || check_footer(&path, rows, &schema);
            let checked = tokio::task::spawn_blocking(check).await;
            checked
                .unwrap_or_else(|e| Err(e.to_string()))
                .map_err(|reason| Missing::of(chunk, format!("unreadable: {reason}")))?;
            self.readable.add(chunk.key.clone());
        }
        Ok(file)
    }

    pub(super) fn tell(&self, missing: Missing) {
        self.missing.lock().insert(missing.chunk.clone(), missing);
    }
}

/// A file may hold what the log says and still be no chunk that this version can read.
fn check_footer(path: &Path, rows: u64, schema: &Schema) -> Result<(), String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let metadata =
        ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|e| e.to_string())?;
    let found = metadata.metadata().file_metadata().num_rows();
    if u64::try_from(found) != Ok(rows) {
        return Err(format!("its footer says {found} rows, the log says {rows}"));
    }
    for field in schema.fields() {
        let type_of = metadata
            .schema()
            .field_with_name(field.name())
            .map(|f| f.data_type().clone());
        match type_of {
            Ok(found) if found == *field.data_type() => {}
            Ok(found) => return Err(format!("column {} is {found}", field.name())),
            Err(_) => return Err(format!("column {} is absent", field.name())),
        }
    }
    Ok(())
}

fn read_to_end(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
    let mut batches = reader.build().map_err(|e| e.to_string())?;
    batches
        .try_for_each(|batch| batch.map(|_| ()))
        .map_err(|e| e.to_string())
}
