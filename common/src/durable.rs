use std::{
    fmt::Debug,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

/// Rights of a file that its owner alone may read and write.
const PRIVATE: u32 = 0o600;

/// What the names of files end with that are being written.
pub const ASIDE: &str = ".tmp";

/// The file operations that durability is made of, so that tests can cut the power between any two.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Create or replace a file's content; nothing is durable yet.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Make a file's content durable.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Give a file its name; durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Make the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Make a directory; durable after its parent's [`Disk::sync_dir`].
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Remove a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Write at a place of a file that is there; durable after [`Disk::sync_file`].
    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cut a file off; durable after [`Disk::sync_file`].
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Make what was written to a file durable, with the length that it needs to be read, and nothing else.
    fn sync_data(&self, path: &Path) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        File::create(path)?.write_all(bytes)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = File::options().write(true).open(path)?;
        file.write_all_at(bytes, offset)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        File::options().write(true).open(path)?.set_len(length)
    }

    fn sync_data(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_data()
    }
}

/// Where a file is written before it gets its name. A crash may leave it behind; the next write of
/// the same file replaces it, and no reader looks at it.
#[must_use]
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ASIDE);
    path.with_file_name(name)
}

/// Whether a file of this name is one that [`aside`] names.
#[must_use]
pub fn is_aside(name: &str) -> bool {
    name.ends_with(ASIDE)
}

/// Put a file in place so that after a crash at any point it is there whole or not at all, and
/// after the return it is there.
///
/// Order: directories, the file aside, its fsync, the rename, the fsync of the directory.
pub fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_by(disk, &aside(path), path, bytes)
}

/// The same where others may put the same file at the same time: written aside under a name of its own. After a crash that one stays.
pub fn put_among_others(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut own = path.as_os_str().to_owned();
    own.push(format!(".{:016x}", rand::random::<u64>()));
    put_by(disk, &aside(Path::new(&own)), path, bytes)
}

fn put_by(disk: &dyn Disk, aside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_dirs(disk, directory_of(path))?;
    disk.write(aside, bytes)?;
    put_written(disk, aside, path)
}

/// The same with a file that was written aside already, anywhere on the file system that `path` is on.
pub fn put_written(disk: &dyn Disk, aside: &Path, path: &Path) -> io::Result<()> {
    let dir = directory_of(path);
    create_dirs(disk, dir)?;
    disk.sync_file(aside)?;
    disk.rename(aside, path)?;
    disk.sync_dir(dir)
}

/// The same with a file that nobody but its owner may read.
pub fn put_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    create_dirs(&RealDisk, directory_of(path))?;
    // What a crash left may have other rights, and rights are given when a file is made.
    match fs::remove_file(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(&aside)?;
    file.write_all(bytes)?;
    put_written(&RealDisk, &aside, path)
}

/// Make the name of a file durable that somebody else writes and syncs.
pub fn sync_name(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.sync_dir(directory_of(path))
}

/// The directory that a name stands in: the working directory for a bare one.
fn directory_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Make a directory and its parents, each durable in its own parent.
///
/// One at a time in a process: whoever finds a directory there must not go on before the one who makes it has synced
/// its name.
pub fn create_dirs(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock();
    create_missing(disk, dir)
}

fn create_missing(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = directory_of(dir);
    create_missing(disk, parent)?;
    disk.create_dir(dir)?;
    disk.sync_dir(parent)
}
