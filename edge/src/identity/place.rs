use std::{
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What boards and makers say where they have no serial number.
const NO_SERIALS: [&str; 6] = [
    "none",
    "default string",
    "not specified",
    "to be filled by o.e.m.",
    "system serial number",
    "03000200-0400-0500-0006-000700080009",
];

/// Where a data directory lives, by marks that stay through restarts and updates and that a copy does
/// not have: hashed, because nobody needs to read them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Of the directory and its lock file: inode and moment of birth, which no program can set. A file
    /// that was copied, unpacked or restored by name has others; a clone of a whole card has the same.
    files: String,
    /// Serial number of the hardware, where it has one that we may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hardware: Option<String>,
    /// Addresses of the network adapters that are built in or plugged in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    network: Vec<String>,
    /// The system's machine id. It counts only where neither of the two above is known, because clones
    /// have it in common and some systems make a new one with every start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
}

impl Place {
    /// Where a directory is now; `lock` is a file in it that is never written anew.
    #[must_use]
    pub fn here(dir: &Path, lock: &File) -> Place {
        let dir = fs::metadata(dir).map_or_else(|_| String::new(), |meta| mark(&meta));
        let lock = lock
            .metadata()
            .map_or_else(|_| String::new(), |meta| mark(&meta));
        let (system, root) = (Path::new("/sys/class/net"), Path::new("/"));
        Place {
            files: hash(&format!("{dir} {lock}")),
            hardware: serial(root).map(|text| hash(&text)),
            network: adapters(system).iter().map(|text| hash(text)).collect(),
            machine: text_of(&root.join("etc/machine-id")).map(|text| hash(&text)),
        }
    }

    /// What tells that a directory which was here is somewhere else now; nothing where it is in its place.
    #[must_use]
    pub fn left_for(&self, now: &Place) -> Option<&'static str> {
        if self.files != now.files {
            return Some("its files are not the ones that were made with it");
        }
        let both = |was: &Option<String>, is: &Option<String>| Some((was.clone()?, is.clone()?));
        let hardware = both(&self.hardware, &now.hardware).map(|(was, is)| was != is);
        let known = !self.network.is_empty() && !now.network.is_empty();
        let network = known.then(|| !now.network.iter().any(|is| self.network.contains(is)));
        let machine = both(&self.machine, &now.machine).map(|(was, is)| was != is);
        match (hardware, network) {
            (Some(true), _) => Some("the hardware is another one"),
            (_, Some(true)) => Some("the network adapters are other ones"),
            (None, None) if machine == Some(true) => Some("the machine id is another one"),
            _ => None,
        }
    }
}

fn mark(meta: &Metadata) -> String {
    let born = meta.created().ok();
    let born = born.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    format!("{} {}", meta.ino(), born.unwrap_or_default().as_nanos())
}

fn serial(root: &Path) -> Option<String> {
    [
        "proc/device-tree/serial-number",
        "sys/class/dmi/id/product_uuid",
        "sys/class/dmi/id/product_serial",
    ]
    .iter()
    .find_map(|file| text_of(&root.join(file)))
    .filter(|text| {
        let text = text.to_lowercase();
        let says_nothing = text.chars().all(|c| matches!(c, '0' | '-' | ' ' | 'f'));
        !says_nothing && !NO_SERIALS.contains(&text.as_str())
    })
}

/// Permanent addresses of adapters with a device behind them, which those of containers and tunnels have not.
fn adapters(system: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(system)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("device").exists())
        .filter(|path| text_of(&path.join("addr_assign_type")).as_deref() == Some("0"))
        .filter_map(|path| text_of(&path.join("address")))
        .collect();
    found.sort();
    found
}

fn text_of(file: &Path) -> Option<String> {
    let text = String::from_utf8(fs::read(file).ok()?).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(hardware: Option<&str>, network: &[&str], machine: Option<&str>) -> Place {
        Place {
            files: "f".into(),
            hardware: hardware.map(str::to_owned),
            network: network.iter().map(|&n| n.to_owned()).collect(),
            machine: machine.map(str::to_owned),
        }
    }

    #[test]
    fn the_best_mark_that_is_known_of_both_places_decides() {
        let home = place(Some("h"), &["a", "b"], Some("m"));
        let is_left = |now: Place| home.left_for(&now).is_some();
        assert!(!is_left(home.clone()));
        assert!(is_left(place(Some("other"), &["a", "b"], Some("m"))));
        assert!(is_left(place(Some("h"), &["c"], Some("m"))));
        // One adapter is gone and another new; marks that cannot be read; a machine id that is new with each start.
        assert!(!is_left(place(Some("h"), &["b", "c"], Some("m"))));
        assert!(!is_left(place(None, &[], None)));
        assert!(!is_left(place(Some("h"), &["a"], Some("other"))));
        let bare = place(None, &[], Some("m"));
        assert!(bare.left_for(&place(None, &[], Some("other"))).is_some());
        let moved = Place {
            files: "g".into(),
            ..home.clone()
        };
        assert!(is_left(moved));
    }

    #[test]
    fn a_copy_of_a_directory_is_another_place_even_where_it_takes_the_same_name() {
        let root = tempfile::tempdir().expect("dir");
        let dir = root.path().join("box");
        let here = || Place::here(&dir, &File::open(dir.join("lock")).expect("opens"));
        let make = || {
            fs::create_dir(&dir).expect("makes");
            File::create(dir.join("lock")).expect("makes");
        };
        make();
        let first = here();
        File::create(dir.join("lock")).expect("opens it again, as every start does");
        fs::write(dir.join("box.json"), b"{}").expect("writes");
        assert_eq!(here(), first);
        fs::rename(&dir, root.path().join("moved")).expect("moves");
        fs::rename(root.path().join("moved"), &dir).expect("moves");
        assert_eq!(here(), first, "a directory that was moved is no copy");
        // A file system may give the same inodes again.
        fs::remove_dir_all(&dir).expect("removes");
        make();
        assert!(first.left_for(&here()).is_some());
    }
}
