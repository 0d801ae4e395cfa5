/// What peers say, and what is answered.
mod exchange;
/// A document goes on in a new epoch, or in another's history.
mod succession;

use std::collections::BTreeMap;

use automerge::{ChangeHash, ScalarValue};
use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{
    document::{Document, DocumentError, DocumentId, DocumentKey, EPOCH_CHANGES, Section},
    edit::{ATTRIBUTES_MAX, Edit, EditError, VALUE_BYTES_MAX, scalar},
    stamp::HybridClock,
    write::Write,
};

/// Documents of one home.
pub const DOCUMENTS_MAX: usize = 10_000;

/// Attribute of [`Section::Meta`] that names the box that a device is at.
pub const OWNER: &str = "owner_edge";

/// One home's documents on one node. Pure: what is to be stored comes out as [`Staged`], and counts once it is committed.
#[derive(Debug)]
pub struct Replica {
    /// Name of this node.
    me: String,
    /// Whether it is a box, which gives documents their next epoch.
    is_box: bool,
    documents: BTreeMap<DocumentId, Document>,
    root: Root,
    clock: HybridClock,
    rng: StdRng,
}

/// A digest of all documents with their heads: equal on two replicas that have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Root(pub [u8; 16]);

impl Root {
    /// Add a document, or take it out again: the order does not matter.
    fn toggle(&mut self, document: &Document) {
        let mut hash = Sha256::new();
        hash.update(document.key().to_string());
        for head in document.heads() {
            hash.update(head.0);
        }
        let digest = hash.finalize();
        self.0
            .iter_mut()
            .zip(digest)
            .for_each(|(root, byte)| *root ^= byte);
    }
}

/// What is kept of a document, as one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The document.
    pub key: DocumentKey,
    /// Whether these are changes, or the whole.
    pub kind: BundleKind,
    /// Automerge chunks, one after the other.
    pub bytes: Bytes,
}

/// What a bundle holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BundleKind {
    /// Changes since earlier bundles.
    Changes,
    /// All of the document. Whatever else is stored of it may go.
    Snapshot,
}

/// Something that a peer sent and that was not taken.
#[derive(Debug)]
pub struct Fault {
    /// The document, where it is known.
    pub document: Option<DocumentKey>,
    /// Why.
    pub error: FaultError,
}

/// Why something that a peer sent was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The message cannot be read.
    #[error("the message cannot be read: {0}")]
    Message(String),
    /// A document or its changes cannot be taken.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// No document has such a name.
    #[error("no document has this name")]
    Name,
    /// There are too many documents already.
    #[error("a home has at most {DOCUMENTS_MAX} documents")]
    TooMany,
}

/// Changes of a replica that are not stored yet.
#[derive(Debug, Default)]
pub struct Staged {
    /// What is to be stored, before anything is told to anyone.
    pub bundles: Vec<Bundle>,
    /// What peers are to be told once it is stored: the same changes, for those that had what we had.
    pub news: Vec<super::sync::Message>,
    /// Ids of the writes of an edit, in its order; empty for what only the owner writes and for what changed nothing.
    pub ids: Vec<String>,
    documents: BTreeMap<DocumentId, Document>,
    /// Documents as they were stored, which what is staged replaces.
    pub replaced: Vec<DocumentKey>,
}

impl Staged {
    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Documents that are other than before.
    pub fn changed(&self) -> impl Iterator<Item = &DocumentId> {
        self.documents.keys()
    }
}

impl Replica {
    /// A replica without documents. `seed` is for ids and actors: never the same twice.
    #[must_use]
    pub fn new(me: &str, is_box: bool, seed: [u8; 32]) -> Replica {
        Replica {
            me: me.to_owned(),
            is_box,
            documents: BTreeMap::new(),
            root: Root::default(),
            clock: HybridClock::default(),
            rng: StdRng::from_seed(seed),
        }
    }

    /// Name of this node.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.me
    }

    /// The documents, by name.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// A document; none that nobody wrote to.
    #[must_use]
    pub fn document(&self, id: &DocumentId) -> Option<&Document> {
        self.documents.get(id)
    }

    /// The digest of everything.
    #[must_use]
    pub fn root(&self) -> Root {
        self.root
    }

    /// The box that a device is at, by its own word or that of the one that took it over.
    #[must_use]
    pub fn owner(&self, id: &DocumentId, now_ms: i64) -> Option<String> {
        let owner = self
            .documents
            .get(id)?
            .value(Section::Meta, OWNER, now_ms)?;
        owner.as_str().map(str::to_owned)
    }

    /// Make some changes, one Automerge change for each document.
    ///
    /// # Errors
    /// One of them cannot be made; then none is.
    pub fn edit(&mut self, edits: &[Edit], by: &str, now_ms: i64) -> Result<Staged, EditError> {
        let mut staged = Staged::default();
        let mut by_document: BTreeMap<&DocumentId, Vec<(Section, String, ScalarValue)>> =
            BTreeMap::new();
        for edit in edits {
            let scalar = self.scalar(edit, by, now_ms, &mut staged.ids)?;
            let document = self.documents.get(&edit.document);
            let is = document.and_then(|document| document.scalar(edit.section, &edit.attribute));
            let scalars = by_document.entry(&edit.document).or_default();
            if is.unwrap_or(ScalarValue::Null) != scalar {
                scalars.push((edit.section, edit.attribute.clone(), scalar));
            }
        }
        let new = by_document
            .keys()
            .filter(|&&id| !self.documents.contains_key(id))
            .count();
        if self.documents.len() + new > DOCUMENTS_MAX {
            return Err(EditError::TooMany {
                what: "documents",
                max: DOCUMENTS_MAX,
            });
        }
        for (id, scalars) in by_document {
            let before = self.documents.get(id).cloned();
            let mut document = before.clone().unwrap_or_else(|| {
                Document::genesis(&DocumentKey {
                    id: id.clone(),
                    epoch: 0,
                })
            });
            document.take_actor(self.rng.random());
            if document.put(&scalars, now_ms)?.is_some() {
                self.stage(&mut staged, before.as_ref(), document);
            }
        }
        Ok(staged)
    }

    fn scalar(
        &mut self,
        edit: &Edit,
        by: &str,
        now_ms: i64,
        ids: &mut Vec<String>,
    ) -> Result<ScalarValue, EditError> {
        let Edit {
            document,
            section,
            attribute,
            value,
            ttl_s,
            by: own,
        } = edit;
        if !document.is_valid() || !document.sections().contains(section) || attribute.is_empty() {
            return Err(EditError::Document(format!(
                "{document} {} {attribute}",
                section.name()
            )));
        }
        if value.to_string().len() + attribute.len() > VALUE_BYTES_MAX {
            return Err(EditError::TooMany {
                what: "bytes of a value",
                max: VALUE_BYTES_MAX,
            });
        }
        let there = self.documents.get(document);
        let is_new = there.is_some_and(|there| {
            there.scalar(*section, attribute).is_none()
                && there.attributes(*section).len() >= ATTRIBUTES_MAX
        });
        if is_new {
            return Err(EditError::TooMany {
                what: "attributes",
                max: ATTRIBUTES_MAX,
            });
        }
        if !section.has_writes() {
            ids.push(String::new());
            return Ok(scalar(value));
        }
        let write = Write {
            v: value.clone(),
            by: own.clone().unwrap_or_else(|| by.to_owned()),
            at: self.clock.tick(now_ms),
            ttl_s: *ttl_s,
            id: Ulid::from_parts(now_ms.unsigned_abs(), self.rng.random()).to_string(),
            late: false,
        };
        ids.push(write.id.clone());
        Ok(ScalarValue::Str(write.to_text().into()))
    }

    /// Note what a document has become, with the bundle and the news of it.
    fn stage(&mut self, staged: &mut Staged, before: Option<&Document>, document: Document) {
        let is_same_epoch = before.is_some_and(|before| before.key() == document.key());
        let since = before
            .filter(|_| is_same_epoch)
            .map(Document::heads)
            .unwrap_or_default();
        let changes = document.changes_since(&since);
        let kind = if is_same_epoch || before.is_none() {
            BundleKind::Changes
        } else {
            BundleKind::Snapshot
        };
        let bytes = match kind {
            BundleKind::Changes => changes.concat(),
            BundleKind::Snapshot => document.save(),
        };
        staged.bundles.push(Bundle {
            key: document.key().clone(),
            kind,
            bytes: bytes.into(),
        });
        if let Some(before) = before.filter(|_| !is_same_epoch) {
            staged.replaced.push(before.key().clone());
        }
        staged.news.extend(exchange::told(&document, &since));
        staged.documents.insert(document.key().id.clone(), document);
    }

    /// Make what is staged count: it is stored.
    pub fn commit(&mut self, staged: Staged, now_ms: i64) {
        for (id, document) in staged.documents {
            self.hear(&document, now_ms);
            self.root.toggle(&document);
            if let Some(before) = self.documents.insert(id, document) {
                self.root.toggle(&before);
            }
        }
    }

    /// Let go of what is staged: it may be stored or not. What wrote it writes nothing more.
    pub fn abandon(&mut self, staged: &Staged) {
        for id in staged.documents.keys() {
            if let Some(document) = self.documents.get_mut(id) {
                document.drop_actor();
            }
        }
    }

    /// Follow the clocks of those that wrote.
    fn hear(&mut self, document: &Document, now_ms: i64) {
        let sections = document
            .key()
            .id
            .sections()
            .iter()
            .filter(|section| section.has_writes());
        for &section in sections {
            for attribute in document.attributes(section) {
                for write in document.writes(section, &attribute) {
                    self.clock.hear(write.at, now_ms);
                }
            }
        }
    }

    /// Take in what is stored, in any order; what cannot be read is told.
    pub fn restore(&mut self, bundles: &[Bundle], now_ms: i64) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut by_key: BTreeMap<&DocumentKey, Vec<&Bundle>> = BTreeMap::new();
        for bundle in bundles {
            by_key.entry(&bundle.key).or_default().push(bundle);
        }
        for (key, mut bundles) in by_key {
            bundles.sort_by(|a, b| b.kind.cmp(&a.kind).then_with(|| a.bytes.cmp(&b.bytes)));
            match succession::restored(key, &bundles, self.rng.random(), &mut faults) {
                Some(document) => self.take_in(document, now_ms),
                None => continue,
            }
        }
        faults
    }

    /// Take in one restored document beside what is there: epochs come in their order.
    fn take_in(&mut self, document: Document, now_ms: i64) {
        let id = document.key().id.clone();
        let next = match self.documents.get(&id) {
            Some(before) if before.key() != document.key() => {
                succession::succeed(before, &document, self.rng.random(), now_ms)
                    .unwrap_or(document)
            }
            _ => document,
        };
        let staged = Staged {
            documents: BTreeMap::from([(id, next)]),
            ..Staged::default()
        };
        self.commit(staged, now_ms);
    }

    /// Documents that have grown so that they should go on in a new epoch, which this node is the one to begin.
    #[must_use]
    pub fn grown(&self, now_ms: i64) -> Vec<DocumentId> {
        let is_due = |id: &DocumentId, document: &Document| {
            let changes = document.changes_count();
            if changes < EPOCH_CHANGES {
                return false;
            }
            let owner = self.owner(id, now_ms);
            let is_its = self.is_box && owner.is_none_or(|owner| owner == self.me);
            // Should its owner never come again, somebody else has to.
            is_its || changes >= 2 * EPOCH_CHANGES
        };
        let due = self
            .documents
            .iter()
            .filter(|(id, document)| is_due(id, document));
        due.map(|(id, _)| id.clone()).collect()
    }

    /// Begin the next epoch of a document: what it says now, without its past.
    ///
    /// # Errors
    /// Automerge refuses it.
    pub fn roll(&mut self, id: &DocumentId) -> Result<Staged, DocumentError> {
        let mut staged = Staged::default();
        if let Some(before) = self.documents.get(id).cloned() {
            let next = succession::rolled(&before)?;
            self.stage(&mut staged, Some(&before), next);
        }
        Ok(staged)
    }
}

/// Heads as they are sent.
pub(super) fn hashes(heads: &[ChangeHash]) -> Vec<[u8; 32]> {
    heads.iter().map(|head| head.0).collect()
}
