//! A disk whose power can be cut between any two operations, for tests.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tarn_common::durable::{Disk, RealDisk};

/// What a power cut does to what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The disk had written it anyway.
    Kept,
    /// Names and content are as they were before.
    Lost,
    /// The names are there, half of the content is.
    Torn,
}

/// A real disk that loses power after a number of operations.
#[derive(Debug)]
pub(crate) struct FailingDisk {
    operations_left: AtomicUsize,
    unsynced: Mutex<Vec<Unsynced>>,
}

#[derive(Debug)]
enum Unsynced {
    Content(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
        was: Option<Vec<u8>>,
    },
    Dir(PathBuf),
}

impl FailingDisk {
    pub(crate) fn after(operations: usize) -> Self {
        FailingDisk {
            operations_left: AtomicUsize::new(operations),
            unsynced: Mutex::default(),
        }
    }

    fn operate(&self, operation: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let left = self.operations_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(io::Error::other("power cut"));
        }
        self.operations_left.store(left - 1, Ordering::SeqCst);
        operation()
    }

    /// What is found on the disk when the power is back.
    pub(crate) fn power_is_back(&self, fate: Fate) {
        for unsynced in self.unsynced.lock().drain(..).rev() {
            match (fate, unsynced) {
                (Fate::Kept, _) | (Fate::Torn, Unsynced::Rename { .. } | Unsynced::Dir(_)) => {}
                (Fate::Torn, Unsynced::Content(path)) => {
                    // A file that was renamed meanwhile is torn under its new name: not possible
                    // here, because a cut syncs before it renames, and this would show it.
                    let bytes = fs::read(&path).expect("written and not renamed");
                    fs::write(&path, &bytes[..bytes.len() / 2]).expect("tears");
                }
                (Fate::Lost, Unsynced::Content(path)) => fs::write(&path, b"").expect("empties"),
                (Fate::Lost, Unsynced::Rename { from, to, was }) => {
                    fs::rename(&to, from).expect("takes back");
                    if let Some(bytes) = was {
                        fs::write(to, bytes).expect("takes back");
                    }
                }
                (Fate::Lost, Unsynced::Dir(dir)) => fs::remove_dir_all(dir).expect("takes back"),
            }
        }
    }
}

impl Disk for FailingDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.operate(|| {
            self.unsynced
                .lock()
                .push(Unsynced::Content(path.to_owned()));
            RealDisk.write(path, bytes)
        })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.operate(|| {
            self.unsynced
                .lock()
                .retain(|u| !matches!(u, Unsynced::Content(p) if p == path));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|| {
            let (from, to) = (from.to_owned(), to.to_owned());
            let was = fs::read(&to).ok();
            RealDisk.rename(&from, &to)?;
            self.unsynced
                .lock()
                .push(Unsynced::Rename { from, to, was });
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(|| {
            self.unsynced.lock().retain(|u| match u {
                Unsynced::Rename { to: path, .. } | Unsynced::Dir(path) => {
                    path.parent() != Some(dir)
                }
                Unsynced::Content(_) => true,
            });
            Ok(())
        })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(|| {
            self.unsynced.lock().push(Unsynced::Dir(dir.to_owned()));
            RealDisk.create_dir(dir)
        })
    }

    fn write_at(&self, _: &Path, _: u64, _: &[u8]) -> io::Result<()> {
        unreachable!("only whole files are written here")
    }

    fn truncate(&self, _: &Path, _: u64) -> io::Result<()> {
        unreachable!("only whole files are written here")
    }

    fn sync_data(&self, _: &Path) -> io::Result<()> {
        unreachable!("only whole files are written here")
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|| RealDisk.remove(path))
    }
}
