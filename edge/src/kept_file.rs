use std::{io, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use tarn_common::durable::{self, RealDisk};

/// What a stage goes on from after a restart: JSON in a file that is put whole, so that after a crash it is the one before or the
/// one after.
#[derive(Debug)]
pub(crate) struct KeptFile {
    path: PathBuf,
    /// What is in it, for people.
    what: &'static str,
}

impl KeptFile {
    /// The file, and what is in it, for people.
    #[must_use]
    pub(crate) fn new(path: PathBuf, what: &'static str) -> KeptFile {
        KeptFile { path, what }
    }

    /// What it has; none where there is no file. One that cannot be understood is told, and is none either.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let read = serde_json::from_slice(&bytes);
        Ok(read.inspect_err(|error| self.cannot_be_read(error)).ok())
    }

    /// The same, where a file that cannot be read is as good as none.
    #[must_use]
    pub(crate) fn read_or_default<T: DeserializeOwned + Default>(&self) -> T {
        let read = self.read().inspect_err(|error| self.cannot_be_read(error));
        read.ok().flatten().unwrap_or_default()
    }

    fn cannot_be_read(&self, error: &dyn std::fmt::Display) {
        tracing::error!(file = %self.path.display(), %error, "{} cannot be read; it begins anew", self.what);
    }

    /// Put something in the place of what it has; whether it is there.
    pub(crate) async fn put(&self, value: &impl Serialize) -> bool {
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        let path = self.path.clone();
        let put = tokio::task::spawn_blocking(move || durable::put(&RealDisk, &path, &bytes));
        let put = put.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        if let Err(error) = &put {
            tracing::warn!(%error, "{} is not kept; after a restart it goes on from before", self.what);
        }
        put.is_ok()
    }
}
