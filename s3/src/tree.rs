use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::RwLock;
use tarn_common::durable::{self, Disk};

use crate::{
    conditions::PutCondition,
    key::{ObjectKey, RESERVED},
};

/// Where objects are written before they get their names; emptied at start.
const UPLOADS: &str = ".tarn-uploads";
/// Who holds it writes to the directory.
const LOCK: &str = ".tarn-store.lock";

/// A directory as a bucket: each object is the file at its key.
///
/// Links are not followed and not listed, so that nothing outside is served.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Shared by who gives a file a name in a directory that is there; held alone by who makes or removes directories or decides by what
    /// is there. So nobody relies on a directory whose own name is not durable yet, or that is about to go.
    names: RwLock<()>,
    _lock: Option<File>,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectMeta {
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written.
    pub(crate) modified: SystemTime,
    /// Another one with every other object, and with every put of the same.
    pub(crate) tag: String,
}

impl ObjectMeta {
    pub(crate) fn of(metadata: &Metadata) -> ObjectMeta {
        // A file gets its content before its name and never changes, so these three tell two contents apart.
        let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        ObjectMeta {
            size: metadata.len(),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            tag: format!(
                "{:x}-{seconds:x}{nanos:08x}-{:x}",
                metadata.ino(),
                metadata.len()
            ),
        }
    }
}

/// What stands at a key.
#[derive(Debug)]
enum Place {
    /// An object.
    Object(Metadata),
    /// Nothing, and the directory for it is there.
    Free,
    /// Nothing, and no directory for it either.
    FreeWithoutDirectory,
    /// A directory of other keys.
    Directory,
    /// The beginning of the key is an object itself, or a link or the like.
    Under(String),
}

/// What a directory cannot do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// The key is the beginning of other keys.
    #[error(
        "other objects have keys that begin with this one and a slash, and a directory cannot hold both"
    )]
    IsDirectory,
    /// The beginning of the key is an object.
    #[error("{0:?} is an object already, and a directory cannot hold objects below it, too")]
    UnderObject(String),
    /// What the request demanded of what is there does not hold.
    #[error("what is there is not what the request demands")]
    Condition,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// A file that is written and has no name yet. It is removed when nobody wants it.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
}

impl Staged {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Once it has a name there is nothing here; what else stays is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Tree {
    /// A directory that is read only; nothing in it is touched.
    pub(crate) fn read_only(root: &Path, disk: Arc<dyn Disk>) -> io::Result<Tree> {
        durable::create_dirs(&*disk, root)?;
        Ok(Tree {
            root: root.canonicalize()?,
            disk,
            names: RwLock::new(()),
            _lock: None,
        })
    }

    /// A directory that this server alone writes to. None if another one does.
    pub(crate) fn writable(root: &Path, disk: Arc<dyn Disk>) -> io::Result<Option<Tree>> {
        let tree = Tree::read_only(root, disk)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(tree.root.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
        let uploads = tree.root.join(UPLOADS);
        match fs::remove_dir_all(&uploads) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        durable::create_dirs(&*tree.disk, &uploads)?;
        Ok(Some(Tree {
            _lock: Some(lock),
            ..tree
        }))
    }

    /// Where its objects lie.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A place to write to that has no name yet.
    pub(crate) fn stage(&self) -> Staged {
        let name = format!("{:032x}", rand::random::<u128>());
        Staged {
            path: self.root.join(UPLOADS).join(name),
        }
    }

    /// What is known of an object.
    pub(crate) fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, TreeError> {
        match self.place(key)? {
            Place::Object(metadata) => Ok(ObjectMeta::of(&metadata)),
            _ => Err(TreeError::NotFound),
        }
    }

    /// An object to be read. Whoever has it open goes on reading the same one, whatever is put there.
    pub(crate) fn open(&self, key: &ObjectKey) -> Result<(File, ObjectMeta), TreeError> {
        self.head(key)?;
        let file = match File::open(self.path(key)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(TreeError::NotFound),
            other => other?,
        };
        let meta = ObjectMeta::of(&file.metadata()?);
        Ok((file, meta))
    }

    /// Give a written file its key. On return it is durable.
    pub(crate) fn put(
        &self,
        staged: &Staged,
        key: &ObjectKey,
        condition: Option<&PutCondition>,
    ) -> Result<ObjectMeta, TreeError> {
        let path = self.path(key);
        if condition.is_none() {
            let _shared = self.names.read();
            if let Place::Object(_) | Place::Free = self.place(key)? {
                return self.name(staged, &path);
            }
        }
        let _alone = self.names.write();
        let there = match self.place(key)? {
            Place::Object(metadata) => Some(ObjectMeta::of(&metadata)),
            Place::Free | Place::FreeWithoutDirectory => None,
            Place::Directory => {
                remove_empty(&path).map_err(|_| TreeError::IsDirectory)?;
                None
            }
            Place::Under(object) => return Err(TreeError::UnderObject(object)),
        };
        if let Some(condition) = condition {
            condition.check(there.as_ref())?;
        }
        self.name(staged, &path)
    }

    fn name(&self, staged: &Staged, path: &Path) -> Result<ObjectMeta, TreeError> {
        // Taken before it has a name: afterwards another may have taken its place.
        let meta = ObjectMeta::of(&fs::metadata(&staged.path)?);
        durable::put_written(&*self.disk, &staged.path, path)?;
        Ok(meta)
    }

    /// Take an object away; one that is not there is away already. On return that is durable.
    pub(crate) fn delete(&self, key: &ObjectKey) -> Result<(), TreeError> {
        let path = self.path(key);
        {
            let _shared = self.names.read();
            if !matches!(self.place(key)?, Place::Object(_)) {
                return Ok(());
            }
            self.disk.remove(&path)?;
            durable::sync_name(&*self.disk, &path)?;
        }
        self.prune(&path);
        Ok(())
    }

    /// Remove the directories of a key that are empty now: they would stand in the way of a key of their own name.
    fn prune(&self, path: &Path) {
        let _alone = self.names.write();
        let above = path.ancestors().skip(1);
        for dir in above.take_while(|dir| *dir != self.root) {
            if fs::remove_dir(dir).is_err() {
                return;
            }
        }
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn place(&self, key: &ObjectKey) -> io::Result<Place> {
        let mut path = self.root.clone();
        let mut parts = key.as_str().split('/').peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let is_last = parts.peek().is_none();
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    return Ok(if is_last {
                        Place::Free
                    } else {
                        Place::FreeWithoutDirectory
                    });
                }
                Err(e) => return Err(e),
            };
            match (is_last, metadata.is_dir(), metadata.is_file()) {
                (true, true, _) => return Ok(Place::Directory),
                (true, _, true) => return Ok(Place::Object(metadata)),
                (false, true, _) => {}
                _ => {
                    let at = path.strip_prefix(&self.root).unwrap_or(&path);
                    return Ok(Place::Under(at.display().to_string()));
                }
            }
        }
        Ok(Place::Free)
    }
}

/// Whether a name at the top of a directory is the server's own.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Remove a directory that holds nothing but directories that hold nothing.
fn remove_empty(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        remove_empty(&entry?.path())?;
    }
    fs::remove_dir(dir)
}

#[cfg(test)]
mod tests;
