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
    document::{
        Document, DocumentError, DocumentId, DocumentKey, EPOCH_CHANGES, EPOCH_MAX, Section,
    },
    edit::{ATTRIBUTES_MAX, Edit, EditError, SCALAR_BYTES_MAX, VALUE_BYTES_MAX, scalar},
    stamp::HybridClock,
    write::Write,
};

/// Documents of one home.
pub const DOCUMENTS_MAX: usize = 10_000;

/// Attribute of [`Section::Meta`] that names the box that a device is at.
pub const OWNER: &str = "owner_edge";

/// Attribute of [`Section::Meta`] that says when a device went.
pub const DELETED_AT: &str = "deleted_at";

/// One home's documents on one node. Pure: what is to be stored comes out as [`Staged`], and counts once it is committed.
#[derive(Debug)]
pub struct Replica {
    /// Name of this node.
    me: String,
    /// Whether it is a box, which gives documents their next epoch.
    is_box: bool,
    documents: BTreeMap<DocumentId, Document>,
    /// Documents that are not stored as they are, with the heads up to which they are: what followed from what was stored in
    /// two epochs is stored with the next change.
    unstored: BTreeMap<DocumentId, Vec<ChangeHash>>,
    root: Root,
    clock: HybridClock,
    rng: StdRng,
    /// Changes after which a document goes on in a new epoch.
    epoch_changes: usize,
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
    /// It says that it is of an epoch that no document of ours can have come to.
    #[error("its epoch is too far from ours")]
    Epoch,
    /// More was asked for at once than is answered.
    #[error("it asks for too much at once")]
    Much,
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
    /// Documents that what is staged changes, each with its attributes that are other than now, like `desired.state`.
    #[must_use]
    pub fn differences(&self, staged: &Staged) -> Vec<(DocumentId, Vec<String>)> {
        let of = |(id, document): (&DocumentId, &Document)| {
            let attributes = document.differences(self.documents.get(id));
            (id.clone(), attributes)
        };
        staged.documents.iter().map(of).collect()
    }

    /// A replica without documents. `seed` is for ids and actors: never the same twice.
    #[must_use]
    pub fn new(me: &str, is_box: bool, seed: [u8; 32]) -> Replica {
        Replica {
            me: me.to_owned(),
            is_box,
            documents: BTreeMap::new(),
            unstored: BTreeMap::new(),
            root: Root::default(),
            clock: HybridClock::default(),
            rng: StdRng::from_seed(seed),
            epoch_changes: EPOCH_CHANGES,
        }
    }

    /// The same, whose documents go on in a new epoch after so many changes.
    #[must_use]
    pub fn with_epoch_changes(self, epoch_changes: usize) -> Replica {
        Replica {
            epoch_changes,
            ..self
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
            document.take_actor(self.actor(&document, &scalars));
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
        let text = write.to_text();
        if text.len() > SCALAR_BYTES_MAX {
            return Err(EditError::TooMany {
                what: "bytes of a value with its author",
                max: SCALAR_BYTES_MAX,
            });
        }
        ids.push(write.id);
        Ok(ScalarValue::Str(text.into()))
    }

    /// An actor for what is written to a document from now on. It follows from what is written as well, so that two nodes that
    /// draw alike, because one is a copy of the other's memory, part with their first writes.
    fn actor(
        &mut self,
        document: &Document,
        scalars: &[(Section, String, ScalarValue)],
    ) -> [u8; 16] {
        let mut hash = self.drawn(document);
        hash.update(format!("{scalars:?}"));
        let mut actor = [0; 16];
        actor.copy_from_slice(&hash.finalize()[..16]);
        actor
    }

    /// Draw otherwise from now on than somebody who drew alike up to now.
    fn part(&mut self, document: &Document) {
        self.rng = StdRng::from_seed(self.drawn(document).finalize().into());
    }

    /// Something drawn, mixed with who we are and what we have.
    fn drawn(&mut self, document: &Document) -> Sha256 {
        let mut hash = Sha256::new();
        hash.update(self.rng.random::<[u8; 32]>());
        hash.update(&self.me);
        for head in document.heads() {
            hash.update(head.0);
        }
        hash
    }

    /// Note what a document has become, with the bundle and the news of it.
    fn stage(&self, staged: &mut Staged, before: Option<&Document>, document: Document) {
        let is_same_epoch = before.is_some_and(|before| before.key() == document.key());
        let since = before
            .filter(|_| is_same_epoch)
            .map(Document::heads)
            .unwrap_or_default();
        let stored = self.unstored.get(&document.key().id);
        let stored = stored.filter(|_| is_same_epoch).unwrap_or(&since);
        let kind = if is_same_epoch || before.is_none() {
            BundleKind::Changes
        } else {
            BundleKind::Snapshot
        };
        let bytes = match kind {
            BundleKind::Changes => document.changes_since(stored).concat(),
            BundleKind::Snapshot => document.save(),
        };
        let news = exchange::told(&document, &since);
        staged.bundles.push(Bundle {
            key: document.key().clone(),
            kind,
            bytes: bytes.into(),
        });
        if let Some(before) = before.filter(|_| !is_same_epoch) {
            staged.replaced.push(before.key().clone());
        }
        staged.news.extend(news);
        staged.documents.insert(document.key().id.clone(), document);
    }

    /// Make what is staged count: it is stored.
    pub fn commit(&mut self, staged: Staged, now_ms: i64) {
        for (id, document) in staged.documents {
            self.unstored.remove(&id);
            self.put(document, now_ms);
        }
    }

    fn put(&mut self, document: Document, now_ms: i64) {
        self.hear(&document, now_ms);
        self.root.toggle(&document);
        if let Some(before) = self.documents.insert(document.key().id.clone(), document) {
            self.root.toggle(&before);
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

    /// Take in what is stored, in any order, beside what is there; what cannot be read is told.
    pub fn restore(&mut self, bundles: &[Bundle], now_ms: i64) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut by_key: BTreeMap<&DocumentKey, Vec<&Bundle>> = BTreeMap::new();
        for bundle in bundles {
            by_key.entry(&bundle.key).or_default().push(bundle);
        }
        for (key, mut bundles) in by_key {
            bundles.sort_by(|a, b| b.kind.cmp(&a.kind).then_with(|| a.bytes.cmp(&b.bytes)));
            let mine = self.documents.get(&key.id).filter(|mine| mine.key() == key);
            let base = mine.cloned().unwrap_or_else(|| Document::genesis(key));
            if let Some(document) = succession::restored(&base, &bundles, &mut faults) {
                self.take_in(key, document, now_ms);
            }
        }
        faults
    }

    /// Take in one document that was restored beside what is there: epochs go on from each other.
    fn take_in(&mut self, stored: &DocumentKey, document: Document, now_ms: i64) {
        let id = document.key().id.clone();
        let (key, heads) = (document.key().clone(), document.heads());
        let mine = self.documents.get(&id);
        let next = match mine {
            Some(mine) if mine.key().epoch < key.epoch => succession::succeed(mine, &document),
            Some(mine) if mine.key().epoch > key.epoch => succession::succeed(&document, mine),
            Some(mine) if *stored != key => mine.merged(&document),
            _ => Ok(document),
        };
        let Ok(next) = next else {
            return;
        };
        let upto = match mine.filter(|mine| mine.key() == next.key()) {
            _ if next.key() == stored && next.heads() == heads => None,
            Some(mine) if mine.heads() == next.heads() => None,
            Some(mine) => Some(self.unstored.remove(&id).unwrap_or_else(|| mine.heads())),
            None if next.key() == stored => Some(heads),
            None => Some(Vec::new()),
        };
        if let Some(upto) = upto {
            self.unstored.insert(id, upto);
        }
        self.put(next, now_ms);
    }

    /// Documents that have grown so that they should go on in a new epoch, which this node is the one to begin.
    #[must_use]
    pub fn grown(&self, now_ms: i64) -> Vec<DocumentId> {
        let is_due = |id: &DocumentId, document: &Document| {
            let changes = document.changes_count();
            if changes < self.epoch_changes || document.key().epoch >= EPOCH_MAX {
                return false;
            }
            let owner = self.owner(id, now_ms);
            let is_its = self.is_box && owner.is_none_or(|owner| owner == self.me);
            // Should its owner never come again, somebody else has to.
            is_its || changes >= 2 * self.epoch_changes
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
