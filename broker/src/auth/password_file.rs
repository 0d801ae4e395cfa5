//! Users and the hashes of their passwords: lines of `name:$argon2id$…`.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tarn_common::password::{self, HashError};

/// Bytes of a user name at most.
const NAME_BYTES_MAX: usize = 128;

/// What is wrong with a password file, or with a change to it.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not `name:hash`.
    #[error("line {0}: not name:hash with a hash of argon2id; make it by `tarn user add`")]
    Line(usize),
    /// A name that cannot be in the file.
    #[error(
        "{0:?} is no user name: 1 to {NAME_BYTES_MAX} bytes, no colon, no control characters, no # in front"
    )]
    Name(String),
    /// The hash function failed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// The users of one file, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PasswordFile {
    hashes: BTreeMap<String, String>,
}

impl PasswordFile {
    /// Parse a file's text. Blank lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<PasswordFile, PasswordFileError> {
        let mut hashes = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = PasswordFileError::Line(index + 1);
            match line.split_once(':') {
                Some((name, hash)) if check_name(name).is_ok() && password::is_hash(hash) => {
                    hashes.insert(name.to_owned(), hash.to_owned());
                }
                _ => return Err(wrong),
            }
        }
        Ok(PasswordFile { hashes })
    }

    /// The names of all users, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hashes.keys().map(String::as_str)
    }

    /// The hash of a user's password.
    pub(super) fn hash(&self, name: &str) -> Option<&str> {
        self.hashes.get(name).map(String::as_str)
    }

    fn text(&self) -> String {
        let lines = self.hashes.iter();
        lines
            .map(|(name, hash)| format!("{name}:{hash}\n"))
            .collect()
    }
}

/// Read a file; one that is not there has no users.
///
/// # Errors
/// It cannot be read, or a line is wrong.
pub fn read(path: &Path) -> Result<PasswordFile, PasswordFileError> {
    match fs::read_to_string(path) {
        Ok(text) => PasswordFile::parse(&text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(PasswordFile::default()),
        Err(e) => Err(e.into()),
    }
}

/// Add a user, or give it another password. The file is made if absent. Returns whether it is new.
///
/// # Errors
/// The name is none, or the file cannot be read or written.
pub fn add(path: &Path, name: &str, password: &[u8]) -> Result<bool, PasswordFileError> {
    check_name(name)?;
    let hash = password::hash(password)?;
    change(path, |file| {
        file.hashes.insert(name.to_owned(), hash).is_none()
    })
}

/// Take a user away. Returns whether there was one.
///
/// # Errors
/// The file cannot be read or written.
pub fn remove(path: &Path, name: &str) -> Result<bool, PasswordFileError> {
    change(path, |file| file.hashes.remove(name).is_some())
}

/// Change the file as a whole: a reader and a crash see the old one or the new one. Comments go.
fn change(
    path: &Path,
    change: impl FnOnce(&mut PasswordFile) -> bool,
) -> Result<bool, PasswordFileError> {
    // Two changes at one time must not lose one. The lock is a file of its own, because the other
    // is replaced.
    let lock = File::create(beside(path, "lock"))?;
    lock.lock()?;
    let mut file = read(path)?;
    let changed = change(&mut file);
    let new = beside(path, "new");
    let _ = fs::remove_file(&new);
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    out.write_all(file.text().as_bytes())?;
    out.sync_all()?;
    fs::rename(&new, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(changed)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn check_name(name: &str) -> Result<(), PasswordFileError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let odd = |c: char| c == ':' || c.is_control();
    if fits && !name.contains(odd) && !name.starts_with('#') && name.trim() == name {
        Ok(())
    } else {
        Err(PasswordFileError::Name(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn users_come_and_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users");
        assert_eq!(read(&path).expect("absent is empty").names().count(), 0);
        assert!(add(&path, "ann", b"secret").expect("adds"));
        assert!(add(&path, "bob", b"other").expect("adds"));
        assert!(!add(&path, "ann", b"changed").expect("changes"));
        let file = read(&path).expect("reads");
        assert_eq!(file.names().collect::<Vec<_>>(), ["ann", "bob"]);
        let ann = file.hash("ann").expect("is there");
        assert!(password::verify(b"changed", ann) && !password::verify(b"secret", ann));
        assert!(!ann.contains("changed"));
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(remove(&path, "ann").expect("removes"));
        assert!(!remove(&path, "ann").expect("removes"));
        for name in ["", "a:b", "#a", " a", "a\n"] {
            assert!(add(&path, name, b"x").is_err(), "{name:?}");
        }
    }

    #[test]
    fn changes_at_one_time_are_all_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users");
        std::thread::scope(|scope| {
            for number in 0..4 {
                let path = &path;
                scope.spawn(move || add(path, &format!("u{number}"), b"x").expect("adds"));
            }
        });
        assert_eq!(read(&path).expect("reads").names().count(), 4);
    }

    #[test]
    fn damage_is_told_by_its_line() {
        let good = password::hash(b"x").expect("hashes");
        let parsed = PasswordFile::parse(&format!("# users\n\nann:{good}\n"));
        assert_eq!(parsed.expect("is good").names().count(), 1);
        for bad in [
            "ann",
            "ann:plain",
            "ann:$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
            ":x",
        ] {
            let error = PasswordFile::parse(&format!("\n{bad}\n")).expect_err(bad);
            assert!(error.to_string().starts_with("line 2:"), "{error}");
        }
    }
}
