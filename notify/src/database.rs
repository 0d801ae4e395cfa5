use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use redb::Database;

/// What redb keeps in memory of the file.
const CACHE_BYTES: usize = 1 << 20;
/// How long a start waits for what the run before it in the same process still has open.
const LET_GO: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A file of the outbox could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct DatabaseError {
    action: &'static str,
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A file of redb that outlives errors of the disk: redb refuses all work after one until the file is opened anew,
/// which is done here at the next piece of work.
#[derive(Debug)]
pub(crate) struct OutboxFile {
    path: PathBuf,
    /// None while the disk does not even let it be opened.
    database: Option<Database>,
}

impl OutboxFile {
    /// Open the file, made if absent, and read from it. One that is damaged, or that `read` cannot understand, is put
    /// aside, and a new one is made.
    pub(crate) fn open<T>(
        path: &Path,
        read: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<(OutboxFile, T), DatabaseError> {
        let started = Instant::now();
        let open = || {
            let database = loop {
                match create(path) {
                    // The folder is ours alone, so it is this process that has not let go of it yet.
                    Err(redb::Error::DatabaseAlreadyOpen) if started.elapsed() < LET_GO => {
                        thread::sleep(LOOK_EVERY);
                    }
                    created => break created?,
                }
            };
            let found = read(&database)?;
            Ok((database, found))
        };
        let opened = match open() {
            Err(error) if is_damage(&error) && path.exists() => {
                let aside = path.with_extension("damaged");
                tracing::error!(path = %path.display(), aside = %aside.display(), %error,
                    lost = "messages that waited; alarms that stand are told again",
                    "a file of the box is damaged and put aside");
                fs::rename(path, &aside).map_err(at("put aside", path))?;
                open()
            }
            opened => opened,
        };
        let (database, found) = opened.map_err(at("open", path))?;
        let file = OutboxFile {
            path: path.to_owned(),
            database: Some(database),
        };
        Ok((file, found))
    }

    /// Do a piece of work. It may be done twice, so it must come to the same if it is.
    pub(crate) fn with<T>(
        &mut self,
        action: &'static str,
        work: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, DatabaseError> {
        if let Some(database) = &self.database {
            match work(database) {
                Err(redb::Error::PreviousIo) => {}
                done => return done.map_err(at(action, &self.path)),
            }
        }
        // The file is locked by whoever has it open.
        self.database = None;
        let opened = create(&self.path).map_err(at("open", &self.path))?;
        tracing::info!(path = %self.path.display(), "opened anew after an error of the disk");
        work(self.database.insert(opened)).map_err(at(action, &self.path))
    }
}

fn create(path: &Path) -> Result<Database, redb::Error> {
    let is_new = !path.exists();
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create(path)?;
    if is_new {
        // The file is synced by redb, its name by us.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use redb::{ReadableDatabase, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("table");

    #[test]
    fn work_that_redb_refuses_after_an_error_is_done_on_the_file_opened_anew() {
        let folder = tempfile::tempdir().expect("folder");
        let put = |database: &Database| {
            let transaction = database.begin_write()?;
            transaction.open_table(TABLE)?.insert(1, 7)?;
            transaction.commit()?;
            Ok(())
        };
        let (mut file, ()) = OutboxFile::open(&folder.path().join("a.redb"), put).expect("opens");
        let tries = Cell::new(0);
        let read = file.with("read", |database| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 {
                return Err(redb::Error::PreviousIo);
            }
            let table = database.begin_read()?.open_table(TABLE)?;
            Ok(table.get(1)?.map(|value| value.value()))
        });
        assert_eq!((read.expect("reads"), tries.get()), (Some(7), 2));
    }

    #[test]
    fn an_error_of_the_disk_puts_nothing_aside() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.redb");
        let opened = OutboxFile::open(&path, |_| {
            Err::<(), _>(redb::Error::Io(io::Error::from_raw_os_error(5)))
        });
        let told = opened.expect_err("the disk failed").to_string();
        assert!(told.starts_with("open "), "{told}");
        assert!(path.exists() && !path.with_extension("damaged").exists());
    }
}
