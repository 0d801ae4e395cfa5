//! A file that is read again when it changes.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::{Mutex, RwLock};

/// What tells one version of a file from another.
pub type Stamp = Option<(SystemTime, u64, u64)>;

/// The parsed contents of a file, the last that could be read.
#[derive(Debug)]
pub struct Watched<T> {
    path: PathBuf,
    contents: RwLock<Arc<T>>,
    stamp: Mutex<Stamp>,
}

impl<T> Watched<T> {
    /// Read the file.
    ///
    /// # Errors
    /// It cannot be read or parsed.
    pub fn open<E>(path: &Path, parse: impl Fn(&str) -> Result<T, E>) -> Result<Watched<T>, E>
    where
        E: From<io::Error>,
    {
        let stamp = stamp(path);
        let contents = parse(&fs::read_to_string(path)?)?;
        Ok(Watched {
            path: path.to_owned(),
            contents: RwLock::new(Arc::new(contents)),
            stamp: Mutex::new(stamp),
        })
    }

    /// What it says.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.contents.read().clone()
    }

    /// Read the file again if it has changed. One that cannot be used leaves what was read before,
    /// and is told once. Returns whether there is something new.
    pub fn refresh<E>(&self, parse: impl Fn(&str) -> Result<T, E>) -> bool
    where
        E: From<io::Error> + std::fmt::Display,
    {
        let now = stamp(&self.path);
        {
            let mut seen = self.stamp.lock();
            if *seen == now {
                return false;
            }
            *seen = now;
        }
        let read = fs::read_to_string(&self.path).map_err(E::from);
        match read.and_then(|text| parse(&text)) {
            Ok(contents) => {
                *self.contents.write() = Arc::new(contents);
                tracing::info!(path = %self.path.display(), "read again");
                true
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot be used; what was read before goes on");
                false
            }
        }
    }
}

/// Which version of the file there is now; none without one.
#[must_use]
pub fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}
