use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tarn_common::{
    durable::{self, RealDisk},
    ids::{EdgeId, HomeId},
};

/// What a data directory is, fixed when it is made. Kept in `box.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Format version of the directory.
    pub v: u32,
    /// Random identity of this directory.
    pub edge: EdgeId,
    /// The home whose readings it holds.
    pub home: HomeId,
    /// Number of shards its readings are split into.
    pub shards: u16,
}

/// A data directory that this process holds alone.
#[derive(Debug)]
pub struct DataDir {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub identity: Identity,
    _lock: File,
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("{0} is in use by another tarn; stop that one, or give this one a --data of its own")]
    InUse(PathBuf),
    /// It belongs to another home.
    #[error("{path} belongs to home {found}, not {wanted}; use --home {found}, or another --data")]
    OtherHome {
        /// The directory.
        path: PathBuf,
        /// Home that it belongs to.
        found: HomeId,
        /// Home that was asked for.
        wanted: HomeId,
    },
    /// `box.json` cannot be understood.
    #[error("{path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Version of the directory's format.
const VERSION: u32 = 1;

impl DataDir {
    /// Open a data directory, made if absent, and hold it until dropped.
    ///
    /// `shards` counts only for a new one. A new identity is durable before this returns, so a
    /// sequence is never used under an identity that a crash could take back.
    pub fn open(path: &Path, home: &HomeId, shards: u16) -> Result<DataDir, DataDirError> {
        let io = |action| {
            let path = path.to_owned();
            move |source| DataDirError::Io {
                action,
                path,
                source,
            }
        };
        durable::create_dirs(&RealDisk, path).map_err(io("make"))?;
        let lock = File::create(path.join("lock")).map_err(io("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| DataDirError::InUse(path.to_owned()))?;
        let file = path.join("box.json");
        let identity = match fs::read(&file) {
            Ok(bytes) => parse(&file, &bytes)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let edge = EdgeId(rand::random());
                let identity = Identity {
                    v: VERSION,
                    edge,
                    home: home.clone(),
                    shards,
                };
                let json = serde_json::to_vec_pretty(&identity).unwrap_or_default();
                durable::put(&RealDisk, &file, &json).map_err(io("write box.json in"))?;
                identity
            }
            Err(e) => return Err(io("read box.json in")(e)),
        };
        if identity.home != *home {
            let (found, wanted) = (identity.home, home.clone());
            return Err(DataDirError::OtherHome {
                path: path.to_owned(),
                found,
                wanted,
            });
        }
        Ok(DataDir {
            path: path.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// Where the journal lies.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Where the box's own lake lies, in the layout of any store.
    #[must_use]
    pub fn lake(&self) -> PathBuf {
        self.path.join("lake")
    }

    /// The broker's sessions and retained messages.
    #[must_use]
    pub fn broker(&self) -> PathBuf {
        self.path.join("broker.redb")
    }

    /// What is known of devices.
    #[must_use]
    pub fn devices(&self) -> PathBuf {
        self.path.join("devices.redb")
    }

    /// The home's twins.
    #[must_use]
    pub fn twins(&self) -> PathBuf {
        self.path.join("twins.log")
    }

    /// Where it is kept what has been shipped.
    #[must_use]
    pub fn shipped(&self) -> PathBuf {
        self.path.join("shipped.json")
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Identity, DataDirError> {
    let damaged = |reason: String| DataDirError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let identity: Identity = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if identity.v != VERSION {
        return Err(damaged(format!(
            "format version {} is not known to this tarn",
            identity.v
        )));
    }
    Ok(identity)
}
