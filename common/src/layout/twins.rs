use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::ForeignKey;
use crate::{
    ids::HomeId,
    twin::{
        document::{DocumentId, DocumentKey},
        replica::{Bundle, BundleKind},
    },
};

/// Prefix of the twins.
pub const TWINS: &str = "twins";
/// Characters of a device's id in a key; of a longer one the key has a hash.
const ID_CHARS_MAX: usize = 160;
/// What the hash of a long id begins with. An id that begins with it itself is escaped.
const HASHED: &str = "x-";
/// Bytes of that hash.
const HASH_BYTES: usize = 16;
/// What stands before the two hex digits of a byte of an id that a key cannot have as it is. Stores and their libraries leave it alone;
/// they do not leave `%` and `~`.
const ESCAPE: char = '=';
/// What stands before the epoch, where it is not the first.
const EPOCH: char = '@';

/// The key of an object of twins: `twins/home=<home>/<document>/<kind>-<sha256>.automerge`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TwinKey {
    /// The home it belongs to.
    pub home: HomeId,
    /// The document.
    pub document: TwinDocument,
    /// Whether these are changes, or the whole.
    pub kind: BundleKind,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
}

impl TwinKey {
    /// The key of a bundle.
    #[must_use]
    pub fn of(home: &HomeId, bundle: &Bundle) -> TwinKey {
        TwinKey {
            home: home.clone(),
            document: TwinDocument::of(&bundle.key),
            kind: bundle.kind,
            sha256: Sha256::digest(&bundle.bytes).into(),
        }
    }

    /// Whether this is what the key was made for.
    #[must_use]
    pub fn is_of(&self, content: &[u8]) -> bool {
        Sha256::digest(content)[..] == self.sha256
    }
}

impl fmt::Display for TwinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            BundleKind::Changes => "changes",
            BundleKind::Snapshot => "snapshot",
        };
        let (prefix, sha256) = (twins_prefix(&self.home), hex::encode(self.sha256));
        write!(f, "{prefix}{}/{kind}-{sha256}.automerge", self.document)
    }
}

impl FromStr for TwinKey {
    type Err = ForeignKey;

    fn from_str(key: &str) -> Result<Self, ForeignKey> {
        let parse = || {
            let mut parts = key.strip_prefix(TWINS)?.strip_prefix('/')?.split('/');
            let home = parts.next()?.strip_prefix("home=")?.parse().ok()?;
            let document = TwinDocument::parse(parts.next()?)?;
            let (kind, sha256) = parts.next()?.strip_suffix(".automerge")?.split_once('-')?;
            let kind = match kind {
                "changes" => BundleKind::Changes,
                "snapshot" => BundleKind::Snapshot,
                _ => return None,
            };
            let sha256 = hex::decode(sha256).ok()?.try_into().ok()?;
            let parsed = TwinKey {
                home,
                document,
                kind,
                sha256,
            };
            // One object has one key: other ways to write the same are foreign.
            (parts.next().is_none() && parsed.to_string() == key).then_some(parsed)
        };
        parse().ok_or_else(|| ForeignKey(key.to_owned()))
    }
}

/// The prefix under which a home's twins lie, with a slash at its end.
#[must_use]
pub fn twins_prefix(home: &HomeId) -> String {
    format!("{TWINS}/home={home}/")
}

/// What a key says of a document in one of its epochs: `home` or `device.<id>`, and `@<epoch>` for those after the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TwinDocument {
    name: Name,
    epoch: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    /// The name.
    Id(DocumentId),
    /// The beginning of the SHA-256 of a long device id. The content says it in full.
    Hash([u8; HASH_BYTES]),
}

impl TwinDocument {
    /// What the keys of a document say.
    #[must_use]
    pub fn of(key: &DocumentKey) -> TwinDocument {
        let long = key
            .id
            .as_device()
            .filter(|id| escaped(id).len() > ID_CHARS_MAX);
        TwinDocument {
            name: long.map_or_else(|| Name::Id(key.id.clone()), |id| Name::Hash(hash(id))),
            epoch: key.epoch,
        }
    }

    /// The document; none where the id is too long for a key.
    #[must_use]
    pub fn key(&self) -> Option<DocumentKey> {
        match &self.name {
            Name::Id(id) => Some(DocumentKey {
                id: id.clone(),
                epoch: self.epoch,
            }),
            Name::Hash(_) => None,
        }
    }

    /// The document, if it is the one of this id.
    #[must_use]
    pub fn key_of(&self, id: &str) -> Option<DocumentKey> {
        let id = match id.strip_prefix("device/") {
            Some(device) => DocumentId::device(device),
            None => DocumentId::home(),
        };
        let key = DocumentKey {
            id,
            epoch: self.epoch,
        };
        (TwinDocument::of(&key) == *self).then_some(key)
    }

    fn parse(segment: &str) -> Option<TwinDocument> {
        let (name, epoch) = match segment.split_once(EPOCH) {
            Some((name, epoch)) => (name, epoch.parse().ok()?),
            None => (segment, 0),
        };
        let name = match name.strip_prefix("device.") {
            None => (name == "home").then(|| Name::Id(DocumentId::home()))?,
            Some(id) => match id.strip_prefix(HASHED) {
                Some(hash) => Name::Hash(hex::decode(hash).ok()?.try_into().ok()?),
                None => Name::Id(DocumentId::device(&unescaped(id)?)),
            },
        };
        Some(TwinDocument { name, epoch })
    }
}

impl fmt::Display for TwinDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Id(id) => match id.as_device() {
                Some(id) => write!(f, "device.{}", escaped(id))?,
                None => f.write_str("home")?,
            },
            Name::Hash(hash) => write!(f, "device.{HASHED}{}", hex::encode(hash))?,
        }
        match self.epoch {
            0 => Ok(()),
            epoch => write!(f, "{EPOCH}{epoch}"),
        }
    }
}

fn hash(id: &str) -> [u8; HASH_BYTES] {
    let digest: [u8; 32] = Sha256::digest(id).into();
    std::array::from_fn(|at| digest[at])
}

fn escaped(id: &str) -> String {
    use fmt::Write;
    let mut out = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if is_plain && (at > 0 || !id.starts_with(HASHED)) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "{ESCAPE}{byte:02x}");
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split(ESCAPE);
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;

    fn check(id: DocumentId, epoch: u32, segment: &str) {
        let home: HomeId = "lakeside".parse().expect("home");
        let key = DocumentKey { id, epoch };
        let bundle = Bundle {
            key: key.clone(),
            kind: BundleKind::Changes,
            bytes: b"abc".as_slice().into(),
        };
        let object = TwinKey::of(&home, &bundle);
        let text = object.to_string();
        assert_eq!(
            text,
            format!(
                "twins/home=lakeside/{segment}/changes-\
                 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.automerge"
            )
        );
        assert_eq!(
            Path::from(text.as_str()).as_ref(),
            text,
            "a store would rename it"
        );
        assert_eq!(text.parse::<TwinKey>().expect("parses"), object);
        assert_eq!(object.document.key_of(key.id.as_str()), Some(key));
        assert!(object.is_of(b"abc") && !object.is_of(b"abd"));
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        check(DocumentId::home(), 0, "home");
        check(DocumentId::home(), 7, "home@7");
        check(DocumentId::device("home"), 0, "device.home");
        check(DocumentId::device(".."), 0, "device...");
        check(DocumentId::device("a/b~1%"), 2, "device.a=2fb=7e1=25@2");
        check(DocumentId::device("kü @="), 0, "device.k=c3=bc=20=40=3d");
        check(DocumentId::device("x-1"), 0, "device.=78-1");
        check(
            DocumentId::device(&"d".repeat(160)),
            0,
            &format!("device.{}", "d".repeat(160)),
        );
        let long = "d".repeat(161);
        let hashed = format!("device.x-{}", &hex::encode(Sha256::digest(&long))[..32]);
        check(DocumentId::device(&long), 3, &format!("{hashed}@3"));
        // The id that the key of another one's hash looks like.
        let alike = hashed.trim_start_matches("device.").to_owned();
        check(
            DocumentId::device(&alike),
            0,
            &format!("device.=78-{}", &alike[2..]),
        );
    }

    #[test]
    fn what_is_written_otherwise_is_foreign() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let name = format!("changes-{sha256}.automerge");
        assert!(
            format!("twins/home=a/home/{name}")
                .parse::<TwinKey>()
                .is_ok()
        );
        for key in [
            format!("twins/home=a/home@0/{name}"),
            format!("twins/home=a/home@01/{name}"),
            format!("twins/home=a/other/{name}"),
            format!("twins/home=a/device.=61/{name}"),
            format!("twins/home=a/device.=2F/{name}"),
            format!("twins/home=a/device.a=/{name}"),
            format!("twins/home=a/device.=ff/{name}"),
            format!("twins/home=a/device.x-00/{name}"),
            format!("twins/home=../home/{name}"),
            format!("twins/home=a/home/more/{name}"),
            format!("twins/home=a/home/{name}.tmp"),
            format!(
                "twins/home=a/home/changes-{}.automerge",
                sha256.to_uppercase()
            ),
            "twins/home=a/home/other-00.automerge".to_owned(),
        ] {
            assert!(key.parse::<TwinKey>().is_err(), "{key}");
        }
    }
}
