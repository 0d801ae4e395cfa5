use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use redb::Database;

use crate::durable::{self, RealDisk};

/// How long a start waits for what the run before it in the same process still has open.
const LET_GO: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An embedded database could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct DatabaseError {
    action: &'static str,
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A file of redb that outlives errors of the disk: redb refuses all work after one until the file is opened
/// anew, which is done here, and what failed is tried once more.
#[derive(Debug)]
pub struct EmbeddedDatabase {
    path: PathBuf,
    cache_bytes: usize,
    /// None while the disk does not even let it be opened.
    database: RwLock<Option<Database>>,
}

impl EmbeddedDatabase {
    /// Open the file, made if absent, and read from it. A file that is damaged, or that `read` cannot
    /// understand, is put aside, and a new one is made; `lost` says what goes with it.
    ///
    /// # Errors
    /// The file can be neither read nor put aside.
    pub fn open<T>(
        path: &Path,
        cache_bytes: usize,
        lost: &str,
        mut read: impl FnMut(&Database) -> Result<T, redb::Error>,
    ) -> Result<(EmbeddedDatabase, T), DatabaseError> {
        let started = Instant::now();
        let mut open_once = || loop {
            match create(path, cache_bytes) {
                // The data directory is ours alone, so it is this process that has not let go of it yet.
                Err(redb::Error::DatabaseAlreadyOpen) if started.elapsed() < LET_GO => {
                    thread::sleep(LOOK_EVERY);
                }
                created => {
                    let database = created?;
                    let found = read(&database)?;
                    return Ok((database, found));
                }
            }
        };
        let opened = match open_once() {
            Err(error) if is_damage(&error) && path.exists() => {
                let aside = path.with_extension("damaged");
                tracing::error!(path = %path.display(), aside = %aside.display(), %error, lost,
                    "a file of the box is damaged and put aside");
                fs::rename(path, &aside).map_err(DatabaseError::at("put aside", path))?;
                open_once()
            }
            opened => opened,
        };
        let (database, found) = opened.map_err(DatabaseError::at("open", path))?;
        let database = EmbeddedDatabase {
            path: path.to_owned(),
            cache_bytes,
            database: RwLock::new(Some(database)),
        };
        Ok((database, found))
    }

    /// Do a piece of work. It may be done twice, so it must come to the same if it is.
    ///
    /// # Errors
    /// The work failed, also on the file opened anew where that was called for.
    pub fn with<T>(
        &self,
        action: &'static str,
        mut work: impl FnMut(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, DatabaseError> {
        let failed = || DatabaseError::at(action, &self.path);
        if let Some(database) = &*self.database.read() {
            match work(database) {
                Err(redb::Error::PreviousIo) => {}
                done => return done.map_err(failed()),
            }
        }
        let mut database = self.database.write();
        // The file is locked by whoever has it open.
        *database = None;
        let opened = database.insert(create(&self.path, self.cache_bytes).map_err(failed())?);
        tracing::info!(path = %self.path.display(), "opened anew after an error of the disk");
        work(opened).map_err(failed())
    }

    /// This error with what was done, for what goes wrong outside of the database.
    pub fn error<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        action: &'static str,
    ) -> impl FnOnce(E) -> DatabaseError {
        DatabaseError::at(action, &self.path)
    }
}

fn create(path: &Path, cache_bytes: usize) -> Result<Database, redb::Error> {
    let new = !path.exists();
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let database = builder.create(path)?;
    if new {
        // The file is synced by redb, its name by us.
        durable::sync_name(&RealDisk, path)?;
    }
    Ok(database)
}

/// Whether the file is wrong, and not only the disk in a bad moment.
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Io(e) => matches!(
            e.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        ),
        redb::Error::PreviousIo
        | redb::Error::DatabaseAlreadyOpen
        | redb::Error::LockPoisoned(_) => false,
        _ => true,
    }
}

impl DatabaseError {
    fn at<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> DatabaseError {
        let path = path.to_owned();
        move |source| DatabaseError {
            action,
            path,
            source: source.into(),
        }
    }
}

impl From<DatabaseError> for io::Error {
    fn from(error: DatabaseError) -> Self {
        io::Error::other(error)
    }
}

#[cfg(test)]
mod tests {
    use redb::{ReadableDatabase, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("table");

    fn put(database: &Database, value: u64) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?.insert(1, value)?;
        transaction.commit()?;
        Ok(())
    }

    #[test]
    fn work_that_redb_refuses_after_an_error_is_done_on_the_file_opened_anew() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("a.redb");
        let (database, ()) =
            EmbeddedDatabase::open(&path, 1 << 20, "", |database| put(database, 1)).expect("opens");
        let mut tries = 0;
        let read = database.with("read", |database| {
            tries += 1;
            if tries == 1 {
                return Err(redb::Error::PreviousIo);
            }
            let table = database.begin_read()?.open_table(TABLE)?;
            Ok(table.get(1)?.map(|value| value.value()))
        });
        assert_eq!((read.expect("reads"), tries), (Some(1), 2));
        database.with("write", |d| put(d, 2)).expect("goes on");
    }

    #[test]
    fn an_error_of_the_disk_puts_nothing_aside() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("a.redb");
        let opened = EmbeddedDatabase::open(&path, 1 << 20, "", |_| {
            Err::<(), _>(redb::Error::Io(io::Error::from_raw_os_error(5)))
        });
        let told = opened.expect_err("the disk failed").to_string();
        assert!(told.starts_with("open "), "{told}");
        assert!(path.exists() && !path.with_extension("damaged").exists());
    }
}
