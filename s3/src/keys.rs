use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tarn_common::durable;

use crate::settings::{KeyPair, Rights};

/// Version of the file's format.
const VERSION: u32 = 1;
/// What access keys that are made here begin with.
const ACCESS_PREFIX: &str = "TARN";
/// Random bytes of an access key.
const ACCESS_BYTES: usize = 8;
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Keys that lie in a file.
#[derive(Debug)]
pub struct KeptKeys {
    /// May put and delete.
    pub owner: KeyPair,
    /// May only read.
    pub reader: KeyPair,
    /// Whether they were made just now.
    pub is_new: bool,
}

/// The file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct KeysError {
    /// The file.
    pub path: PathBuf,
    /// Why, and how to mend it.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    owner: Pair,
    reader: Pair,
}

#[derive(Serialize, Deserialize)]
struct Pair {
    access_key: String,
    secret_key: String,
}

impl Pair {
    fn make() -> Pair {
        let access: [u8; ACCESS_BYTES] = rand::random();
        let secret: [u8; SECRET_BYTES] = rand::random();
        Pair {
            access_key: format!("{ACCESS_PREFIX}{}", hex::encode_upper(access)),
            secret_key: hex::encode(secret),
        }
    }

    fn with(self, rights: Rights) -> KeyPair {
        KeyPair {
            access: self.access_key,
            secret: self.secret_key,
            rights,
        }
    }
}

/// The keys in this file; where there is none, a pair for the owner and one for readers are made and kept in it.
///
/// # Errors
/// A file that cannot be read, written or understood.
pub fn kept_keys(path: &Path) -> Result<KeptKeys, KeysError> {
    let wrong = |reason: String| KeysError {
        path: path.to_owned(),
        reason,
    };
    let (document, is_new) = match fs::read(path) {
        Ok(bytes) => {
            let document: Document = serde_json::from_slice(&bytes)
                .map_err(|e| wrong(format!("{e}; remove it to have new keys made")))?;
            (document, false)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let document = Document {
                v: VERSION,
                owner: Pair::make(),
                reader: Pair::make(),
            };
            keep(path, &document).map_err(|e| wrong(e.to_string()))?;
            (document, true)
        }
        Err(e) => return Err(wrong(e.to_string())),
    };
    if document.v != VERSION {
        return Err(wrong(format!(
            "version {} is not known; remove it to have new keys made",
            document.v
        )));
    }
    Ok(KeptKeys {
        owner: document.owner.with(Rights::ReadWrite),
        reader: document.reader.with(Rights::Read),
        is_new,
    })
}

fn keep(path: &Path, document: &Document) -> io::Result<()> {
    durable::put_private(path, &serde_json::to_vec_pretty(document)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_for_their_owner_only() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("keys.json");
        let made = kept_keys(&path).expect("makes");
        assert!(made.is_new);
        assert_ne!(made.owner.secret, made.reader.secret);
        assert_eq!(made.owner.secret.len(), 2 * SECRET_BYTES);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = kept_keys(&path).expect("reads");
        assert!(!read.is_new);
        assert_eq!((read.owner, read.reader), (made.owner, made.reader));
    }

    #[test]
    fn a_file_that_is_none_is_told_with_its_name() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("keys.json");
        for (text, said) in [
            ("{", "remove it"),
            (
                r#"{"v":2,"owner":{"access_key":"a","secret_key":"b"},"reader":{"access_key":"a","secret_key":"b"}}"#,
                "version 2",
            ),
        ] {
            fs::write(&path, text).expect("write");
            let error = kept_keys(&path).expect_err(text).to_string();
            assert!(
                error.contains("keys.json") && error.contains(said),
                "{error}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let pair = Pair::make().with(Rights::Read);
        assert!(!format!("{pair:?}").contains(&pair.secret));
    }
}
