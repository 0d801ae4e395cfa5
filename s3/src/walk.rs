use std::{
    fs, io,
    path::{Path, PathBuf},
    vec,
};

use crate::{key::ObjectKey, tree::is_reserved};

/// From where keys are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct After {
    /// Keys behind this one.
    pub(crate) key: String,
    /// And none that begins with it.
    pub(crate) and_below: bool,
}

impl After {
    fn admits(&self, key: &str) -> bool {
        key > self.key.as_str() && !(self.and_below && key.starts_with(&self.key))
    }

    /// Whether any key of a directory may be wanted; `dir` ends with a slash.
    fn admits_any_of(&self, dir: &str) -> bool {
        if self.and_below && dir.starts_with(&self.key) {
            return false;
        }
        dir > self.key.as_str() || self.key.starts_with(dir)
    }
}

/// The keys of a directory that begin with a prefix, one after the other in the order of their bytes.
///
/// A directory is read when its turn comes, and none that holds nothing wanted: a page costs what the directories on its way hold, however
/// large the rest is.
#[derive(Debug)]
pub(crate) struct Walk {
    root: PathBuf,
    prefix: String,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// Key of the directory, with a slash at its end; empty for the root.
    dir: String,
    /// In the order of the keys: a directory sorts as its name with a slash.
    entries: vec::IntoIter<String>,
}

impl Walk {
    pub(crate) fn start(root: &Path, prefix: &str) -> io::Result<Walk> {
        let mut walk = Walk {
            root: root.to_owned(),
            prefix: prefix.to_owned(),
            levels: Vec::new(),
        };
        let dir = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        // The part before the last slash names one directory, if it names any.
        let is_dir = match dir.strip_suffix('/') {
            None => true,
            Some(dir) => is_dir_key(root, dir)?,
        };
        if is_dir {
            walk.enter(dir.to_owned())?;
        }
        Ok(walk)
    }

    /// The next key that is wanted. What is wanted may only move on from call to call.
    pub(crate) fn next(&mut self, after: &After) -> io::Result<Option<ObjectKey>> {
        while let Some(level) = self.levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                self.levels.pop();
                continue;
            };
            let path = format!("{}{entry}", level.dir);
            if path.ends_with('/') {
                let may_match = path.starts_with(&self.prefix) || self.prefix.starts_with(&path);
                if may_match && after.admits_any_of(&path) {
                    self.enter(path)?;
                }
            } else if path.starts_with(&self.prefix)
                && after.admits(&path)
                && let Ok(key) = ObjectKey::parse(&path)
            {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, dir: String) -> io::Result<()> {
        let entries = match fs::read_dir(self.root.join(&dir)) {
            Ok(entries) => entries,
            // It was removed meanwhile, or is no directory.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is no text is no key.
            let Ok(mut name) = entry.file_name().into_string() else {
                continue;
            };
            if dir.is_empty() && is_reserved(&name) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                name.push('/');
            } else if !kind.is_file() {
                continue;
            }
            names.push(name);
        }
        names.sort_unstable();
        self.levels.push(Level {
            dir,
            entries: names.into_iter(),
        });
        Ok(())
    }
}

/// Whether a key names a directory that is reached without a link.
fn is_dir_key(root: &Path, key: &str) -> io::Result<bool> {
    // Such a directory has no file that a key could name.
    if key.split('/').any(|part| matches!(part, "" | "." | ".."))
        || key.contains('\0')
        || is_reserved(key)
    {
        return Ok(false);
    }
    let mut path = root.to_owned();
    for part in key.split('/') {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::InvalidFilename
                ) =>
            {
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 12] = [
        "a", "a-b", "a.b", "a/b", "a/c/d", "a/c/e", "a0", "b/x", "b/y", "c", "é", "日/本",
    ];

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("dir");
        // A directory cannot hold `a` beside `a/b`.
        for key in KEYS.iter().filter(|key| **key != "a") {
            let path = dir.path().join(key);
            fs::create_dir_all(path.parent().expect("parent")).expect("dirs");
            fs::write(path, key).expect("write");
        }
        for hidden in [".tarn-uploads/x", ".tarn-store.json", "b/z.tmp"] {
            let path = dir.path().join(hidden);
            fs::create_dir_all(path.parent().expect("parent")).expect("dirs");
            fs::write(path, "hidden").expect("write");
        }
        fs::create_dir(dir.path().join("empty")).expect("dir");
        std::os::unix::fs::symlink(dir.path().join("b"), dir.path().join("link")).expect("link");
        std::os::unix::fs::symlink(dir.path().join("c"), dir.path().join("b/link")).expect("link");
        dir
    }

    fn keys(root: &Path, prefix: &str, after: &After) -> Vec<String> {
        let mut walk = Walk::start(root, prefix).expect("starts");
        std::iter::from_fn(|| walk.next(after).expect("goes on"))
            .map(|key| key.as_str().to_owned())
            .collect()
    }

    /// Whatever the prefix and the place to start from: what is found is what a sorted list of all keys holds.
    #[test]
    fn keys_come_in_the_order_of_their_bytes() {
        let dir = tree();
        let mut all: Vec<&str> = KEYS.iter().copied().filter(|key| *key != "a").collect();
        all.sort_unstable();
        let parts = [
            "", "a", "a/", "a/c", "a/c/", "a/c/d", "b", "b/", "empty/", "link/", "..", "../",
            "a//", "/", "z", "é", "日/",
        ];
        for prefix in parts {
            for key in parts {
                for and_below in [false, true] {
                    let after = After {
                        key: key.to_owned(),
                        and_below: and_below && !key.is_empty(),
                    };
                    let wanted: Vec<&str> = all
                        .iter()
                        .copied()
                        .filter(|k| k.starts_with(prefix) && *k > key)
                        .filter(|k| !(after.and_below && k.starts_with(key)))
                        .collect();
                    assert_eq!(
                        keys(dir.path(), prefix, &after),
                        wanted,
                        "{prefix:?} {after:?}"
                    );
                }
            }
        }
    }
}
