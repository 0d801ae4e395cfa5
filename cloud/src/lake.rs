use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tarn_common::{
    cache::ChunkCache,
    commit_log::Chunk,
    layout::ChunkKey,
    query::{ChunkFile, Lake, LakeError, Missing, View},
};

use crate::{follow::Follow, metrics::Metrics};

/// Missing chunks whose log line is remembered at most.
const TOLD_MAX: usize = 10_000;

/// The lake of the stores: their catalog, and their chunks through the cache.
#[derive(Debug)]
pub(crate) struct StoreLake {
    follow: Arc<Follow>,
    cache: Arc<ChunkCache>,
    metrics: Metrics,
    told: Mutex<BTreeSet<ChunkKey>>,
}

impl StoreLake {
    pub(crate) fn new(follow: Arc<Follow>, cache: Arc<ChunkCache>, metrics: Metrics) -> StoreLake {
        StoreLake {
            follow,
            cache,
            metrics,
            told: Mutex::default(),
        }
    }

    /// One line when a chunk goes missing, one when it is back.
    fn note(&self, chunk: &Chunk, missing: Option<&str>) {
        let mut told = self.told.lock();
        match missing {
            Some(reason) => {
                self.metrics.missing_chunks.inc();
                if told.len() < TOLD_MAX && told.insert(chunk.key.clone()) {
                    tracing::warn!(chunk = %chunk.key, reason, "a chunk cannot be had");
                }
            }
            None => {
                if told.remove(&chunk.key) {
                    tracing::info!(chunk = %chunk.key, "a chunk can be had again");
                }
            }
        }
    }
}

#[async_trait]
impl Lake for StoreLake {
    async fn view(&self) -> Result<View, LakeError> {
        self.follow.look_for_query().await;
        if !self.follow.has_catalog() {
            return Err(LakeError(self.follow.reasons().join("; ")));
        }
        // What is not cut yet is on the boxes: the cloud has chunks only.
        Ok(View {
            chunks: self.follow.snapshot(),
            ..View::default()
        })
    }

    async fn file(&self, chunk: &Chunk) -> Result<ChunkFile, Missing> {
        match self.cache.file(self.follow.stores(), chunk).await {
            Ok(file) => {
                self.note(chunk, None);
                Ok(ChunkFile {
                    guard: Some(file.guard()),
                    path: file.path,
                })
            }
            Err(error) => {
                let reason = error.to_string();
                self.note(chunk, Some(&reason));
                Err(Missing::of(chunk, reason))
            }
        }
    }
}
