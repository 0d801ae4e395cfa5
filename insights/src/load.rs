use std::{fs, io, path::Path};

use crate::{
    builtin::packs,
    pack::{FILE_BYTES_MAX, Pack, PackError},
};

/// Files of packs in a directory at most.
pub(crate) const FILES_MAX: usize = 200;

/// What a directory of packs gave.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The packs that can be used, in the order of their files' names.
    pub packs: Vec<Pack>,
    /// Why others cannot.
    pub refused: Vec<PackError>,
}

/// Reads the packs of a user: the files `*.toml` of a directory. One that is wrong harms no other.
///
/// # Errors
/// The directory cannot be read, or has over 200 such files.
pub fn load(dir: &Path) -> Result<Loaded, PackError> {
    let whole = |words: String| PackError {
        file: dir.display().to_string(),
        field: None,
        words,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| whole(error.to_string()))? {
        let entry = entry.map_err(|error| whole(error.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !name.starts_with('.') {
            names.push((name, entry.path()));
        }
        if names.len() > FILES_MAX {
            return Err(whole(format!("there are over {FILES_MAX} packs")));
        }
    }
    names.sort();
    let mut loaded = Loaded::default();
    for (name, path) in names {
        let read = read(&path).map_err(|error| PackError {
            file: name.clone(),
            field: None,
            words: error.to_string(),
        });
        match read.and_then(|source| Pack::parse(&name, &source)) {
            Ok(pack) if loaded.packs.iter().any(|known| known.id == pack.id) => {
                loaded.refused.push(PackError {
                    file: name,
                    field: Some("id".to_owned()),
                    words: format!("another file has `{}`, too", pack.id),
                });
            }
            Ok(pack) => loaded.packs.push(pack),
            Err(error) => loaded.refused.push(error),
        }
    }
    Ok(loaded)
}

/// All packs that a home has: those that come with the box, but a user's own of the same id in their place.
#[must_use]
pub fn merged(own: &[Pack]) -> Vec<&Pack> {
    let is_own = |pack: &&Pack| !own.iter().any(|own| own.id == pack.id);
    packs().iter().filter(is_own).chain(own).collect()
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX as u64 {
        return Err(io::Error::other(format!(
            "it has over {FILE_BYTES_MAX} bytes"
        )));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        id = "mine"
        title = "Mine"
        about = "x"
        category = "devices"
        severity = "info"
        every = "1h"
        window = "1d"
        sql = "SELECT 1 AS one"
        key = "one"
        advice = "{{ row.one }}"
    "#;

    #[test]
    fn a_pack_that_is_wrong_harms_no_other() {
        let dir = tempfile::tempdir().expect("directory");
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect(name);
        put("a.toml", GOOD);
        put("b.toml", &GOOD.replace("row.one", "row.one +"));
        put("c.toml", "id = 3");
        put("d.toml", &GOOD.replace("mine", "energy-daily"));
        put("e.toml", GOOD);
        put("notes.txt", "not a pack");
        let loaded = load(dir.path()).expect("loaded");
        let ids: Vec<&str> = loaded.packs.iter().map(|pack| pack.id.as_str()).collect();
        assert_eq!(ids, ["mine", "energy-daily"]);
        let refused: Vec<String> = loaded.refused.iter().map(ToString::to_string).collect();
        assert!(
            refused[0].starts_with("b.toml: advice: at character"),
            "{refused:?}"
        );
        assert!(
            refused[1].starts_with("c.toml: line 1: invalid type"),
            "{refused:?}"
        );
        assert_eq!(refused[2], "e.toml: id: another file has `mine`, too");

        let all = merged(&loaded.packs);
        assert_eq!(all.len(), packs().len() + 1);
        assert!(
            all.iter()
                .any(|pack| pack.id == "energy-daily" && pack.title == "Mine")
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().expect("directory");
        assert!(load(&dir.path().join("none")).is_err());
    }
}
