use std::fmt;

use tarn_common::durable;

/// What names of the server's own files at the top of a directory begin with.
pub(crate) const RESERVED: &str = ".tarn-";
/// Bytes of one part of a key, which is a file's name.
const PART_BYTES_MAX: usize = 255;
/// Bytes of a key, as S3 has it.
const KEY_BYTES_MAX: usize = 1024;

/// The key of an object: a path below the bucket's directory that names one file and leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ObjectKey(String);

/// Why there can be no object of such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadKey(&'static str);

impl ObjectKey {
    /// Take a key from outside.
    pub(crate) fn parse(key: &str) -> Result<ObjectKey, BadKey> {
        if key.len() > KEY_BYTES_MAX {
            return Err(BadKey("a key has at most 1024 bytes"));
        }
        for part in key.split('/') {
            check_part(part)?;
        }
        if key.starts_with(RESERVED) {
            return Err(BadKey("keys that begin with .tarn- are the server's own"));
        }
        if durable::is_aside(key) {
            return Err(BadKey(
                "names that end in .tmp are those of files that are being written",
            ));
        }
        Ok(ObjectKey(key.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_part(part: &str) -> Result<(), BadKey> {
    match part {
        "" => {
            return Err(BadKey(
                "a key has no slash at its beginning or end, and no two together",
            ));
        }
        "." | ".." => return Err(BadKey("no part of a key is . or ..")),
        _ => {}
    }
    if part.len() > PART_BYTES_MAX {
        return Err(BadKey(
            "a part of a key between slashes has at most 255 bytes",
        ));
    }
    // Lists are XML, which has no way to write these.
    if part.contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(BadKey("a key has no control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_name_one_file() {
        let long = format!("{0}/{0}/{0}/{0}", "k".repeat(PART_BYTES_MAX));
        for key in [
            "a",
            "readings/home=my-home.1/date=2026-11-22/00000000000000ab-3-000000000001-5000000000000.parquet",
            "twins/home=x/lamp@1/x-=20/changes-00.automerge",
            "a b/ü/%2e%2e/~#?&+@=;\\",
            "...",
            "..a",
            ".hidden",
            "a/.tarn-x",
            "tmp",
            "x.tmp/y",
            &long,
        ] {
            assert_eq!(ObjectKey::parse(key).expect(key).as_str(), key);
        }
    }

    #[test]
    fn keys_that_lead_elsewhere() {
        let long = "k".repeat(PART_BYTES_MAX + 1);
        let longer = "k/".repeat(KEY_BYTES_MAX / 2) + "k";
        for key in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a/./b",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{ffff}",
            ".tarn-uploads/x",
            ".tarn-store.json",
            "a.tmp",
            "a/b.tmp",
            &long,
            &longer,
        ] {
            assert!(ObjectKey::parse(key).is_err(), "{key:?}");
        }
    }
}
