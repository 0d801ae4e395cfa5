/// The ids of a directory, each with its stretch of the journal.
mod eras;
/// Marks of where a directory lives.
mod place;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tarn_common::{
    durable::{self, Disk, RealDisk},
    ids::{EdgeId, HomeId},
};
use tarn_openapi::access::KEY_FILE;

pub use self::{
    eras::{Era, Renewal},
    place::Place,
};

/// What a data directory is. Kept in `box.json`.
///
/// Home and shards are fixed when it is made. The id is, too, until the directory is copied, restored
/// or moved: then what is written from there on gets another one, because the other copy goes on with
/// the same sequences and log numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Format version of the directory.
    pub v: u32,
    /// Random id of what is written now.
    pub edge: EdgeId,
    /// The home whose readings it holds.
    pub home: HomeId,
    /// Number of shards its readings are split into.
    pub shards: u16,
    /// Where the directory was when it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The ids of before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eras: Vec<Era>,
}

impl Identity {
    /// The identity of a directory that is new.
    #[must_use]
    pub fn new(edge: EdgeId, home: HomeId, shards: u16) -> Identity {
        Identity {
            v: Identity::version(&[]),
            edge,
            home,
            shards,
            place: None,
            eras: Vec::new(),
        }
    }

    /// A tarn that knows of one id only must not take the records of others for its own.
    fn version(eras: &[Era]) -> u32 {
        if eras.is_empty() {
            VERSION_ONE_ID
        } else {
            VERSION
        }
    }
}

/// A data directory that this process holds alone.
#[derive(Debug)]
pub struct DataDir {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub identity: Identity,
    /// Why it is not where it was when it was last used, if so.
    pub moved: Option<&'static str>,
    here: Place,
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
const VERSION: u32 = 2;

/// The version before, which is still written where there has been one id only.
const VERSION_ONE_ID: u32 = 1;

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
        let here = Place::here(path, &lock);
        let file = path.join("box.json");
        let identity = match fs::read(&file) {
            Ok(bytes) => parse(&file, &bytes)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let identity = Identity {
                    place: Some(here.clone()),
                    ..Identity::new(EdgeId(rand::random()), home.clone(), shards)
                };
                save(&RealDisk, path, &identity)?;
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
        let left = identity.place.as_ref();
        let moved = left.and_then(|place| place.left_for(&here));
        let mut data = DataDir {
            path: path.to_owned(),
            identity,
            moved,
            here,
            _lock: lock,
        };
        if moved.is_none() && data.identity.place.as_ref() != Some(&data.here) {
            // One that an earlier tarn made, or whose network adapters have changed a little.
            data.become_now(data.identity.clone(), &RealDisk)?;
        }
        Ok(data)
    }

    /// Be this from now on, here: durable when this returns.
    pub fn become_now(&mut self, identity: Identity, disk: &dyn Disk) -> Result<(), DataDirError> {
        let identity = Identity {
            place: Some(self.here.clone()),
            ..identity
        };
        save(disk, &self.path, &identity)?;
        self.identity = identity;
        self.moved = None;
        Ok(())
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

    /// Where other boxes keep copies of theirs.
    #[must_use]
    pub fn neighbours(&self) -> PathBuf {
        self.path.join("neighbours")
    }

    /// The keys by which its objects are had.
    #[must_use]
    pub fn s3_keys(&self) -> PathBuf {
        self.path.join("s3-keys.json")
    }

    /// The key that the box signs tokens with.
    #[must_use]
    pub fn issuer_key(&self) -> PathBuf {
        self.path.join(KEY_FILE)
    }

    /// How far the rules are.
    #[must_use]
    pub fn rules(&self) -> PathBuf {
        self.path.join("rules.json")
    }

    /// What is known of devices' habits, and their faults.
    #[must_use]
    pub fn care(&self) -> PathBuf {
        self.path.join("care.json")
    }

    /// What insights have found.
    #[must_use]
    pub fn insights(&self) -> PathBuf {
        self.path.join("insights.json")
    }

    /// What Home Assistant was told of.
    #[must_use]
    pub fn entities(&self) -> PathBuf {
        self.path.join("entities.json")
    }

    /// Messages to people that wait.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.path.join("outbox.redb")
    }

    /// Where the store set is kept that the fleet has agreed on.
    #[must_use]
    pub fn stores(&self) -> PathBuf {
        self.path.join("stores.json")
    }

    /// Where it is kept what has been shipped.
    #[must_use]
    pub fn shipped(&self) -> PathBuf {
        self.path.join("shipped.json")
    }
}

fn save(disk: &dyn Disk, path: &Path, identity: &Identity) -> Result<(), DataDirError> {
    let json = serde_json::to_vec_pretty(identity).unwrap_or_default();
    let written = durable::put(disk, &path.join("box.json"), &json);
    written.map_err(|source| DataDirError::Io {
        action: "write box.json in",
        path: path.to_owned(),
        source,
    })
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Identity, DataDirError> {
    let damaged = |reason: String| DataDirError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let identity: Identity = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if !matches!(identity.v, VERSION | VERSION_ONE_ID) {
        return Err(damaged(format!(
            "format version {} is not known to this tarn",
            identity.v
        )));
    }
    Ok(identity)
}
