/// Automerge's bytes, looked at before Automerge does.
mod chunks;
/// Names of documents.
mod key;
/// What an epoch began with.
mod past;
/// Maps of documents.
mod section;
/// What of a change from elsewhere is taken.
mod vet;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use automerge::{
    ActorId, Automerge, AutomergeError, Change, ChangeHash, ObjId, ObjType, ROOT, ReadDoc,
    ScalarValue, Value,
    legacy::ObjectId,
    transaction::{CommitOptions, Transactable},
};
use sha2::{Digest, Sha256};

pub(super) use self::past::{Carried, Dot, EPOCHS_KNOWN, Known, PAST, Past, PastText};
use self::{
    chunks::{ChunkKind, chunks},
    vet::Numbers,
};
pub use self::{
    key::{DocumentId, DocumentKey, NAME_BYTES_MAX},
    section::Section,
};
use super::{
    resolve::{Policy, Resolved, resolve},
    write::Write,
};

/// Version of the shape of documents.
const SHAPE: i64 = 1;
/// Bytes of a document's changes that are taken from elsewhere at once.
pub const CHANGES_BYTES_MAX: usize = 16 << 20;
/// Changes after which a document goes on in a new epoch: nothing is ever collected from an Automerge document.
pub const EPOCH_CHANGES: usize = 2_000;
/// The last epoch. A document in it goes on as any other, and only grows.
pub const EPOCH_MAX: u32 = u32::MAX / 2;
/// Attributes of a section that a document from elsewhere may have: several nodes may each have added as many as one may.
pub const FOREIGN_ATTRIBUTES_MAX: usize = 8 * super::edit::ATTRIBUTES_MAX;

/// Why bytes are no document, or no changes of one.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Automerge does not take them.
    #[error("Automerge refuses it")]
    Automerge(#[source] AutomergeError),
    /// A change cannot be read.
    #[error("a change cannot be read")]
    Change(#[from] automerge::LoadChangeError),
    /// Automerge panicked on them.
    #[error("Automerge panicked on it")]
    Panic,
    /// They are not what Automerge writes, or would become too much of it.
    #[error("{0}")]
    Bytes(&'static str),
    /// A change does something that no node does.
    #[error("a change is not one that a node makes: {0}")]
    Foreign(&'static str),
    /// There are more than are taken at once.
    #[error("{bytes} bytes are more than {CHANGES_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// The maps that every document of its kind has are not there, or hold more than one may.
    #[error("it is not of the shape of {0}")]
    Shape(DocumentKey),
    /// An actor wrote two different changes under one number: the same actor ran twice from one state.
    #[error("two different changes have the same actor and number")]
    DuplicateChange,
    /// It is in its last epoch.
    #[error("there is no epoch after {EPOCH_MAX}")]
    LastEpoch,
}

impl From<AutomergeError> for DocumentError {
    fn from(error: AutomergeError) -> DocumentError {
        match error {
            AutomergeError::DuplicateSeqNumber(..) => DocumentError::DuplicateChange,
            error => DocumentError::Automerge(error),
        }
    }
}

/// A document, as this node has it.
#[derive(Debug, Clone)]
pub struct Document {
    key: DocumentKey,
    /// Shared with the values that it was made from, until one of them changes.
    automerge: Arc<Automerge>,
    /// Whether the actor was drawn for this value, so that it may write. It is never stored: an actor that went on from a
    /// restored state would number different changes alike.
    has_actor: bool,
    /// Who made its maps, and in which change.
    genesis: (ActorId, ChangeHash),
    /// What its epoch began with, by each node that began it.
    pasts: Arc<[Past]>,
}

/// A scalar that stands for an attribute, with the operation that put it.
#[derive(Debug)]
pub(super) struct Standing {
    pub scalar: ScalarValue,
    pub operation: ObjId,
    /// The change of an earlier epoch that it is carried over from.
    pub from: Option<Dot>,
}

impl Document {
    /// The document before anyone wrote to it: the same bytes on every node, so that two of them may begin it apart.
    #[must_use]
    pub fn genesis(key: &DocumentKey) -> Document {
        let actor = fixed_actor("genesis", key, b"");
        let mut automerge = Automerge::new().with_actor(actor.clone());
        let made = automerge.transact_with::<_, _, AutomergeError, _>(
            |_| CommitOptions::default().with_time(0),
            |tx| {
                tx.put(ROOT, "id", key.id.as_str())?;
                tx.put(ROOT, "v", SHAPE)?;
                for section in key.id.sections() {
                    tx.put_object(ROOT, section.name(), ObjType::Map)?;
                }
                Ok(())
            },
        );
        debug_assert!(made.is_ok(), "an empty document takes its first change");
        let hash = automerge.get_heads().first().copied();
        Document {
            key: key.clone(),
            automerge: Arc::new(automerge),
            has_actor: false,
            genesis: (actor, hash.unwrap_or(ChangeHash([0; 32]))),
            pasts: Arc::new([]),
        }
    }

    /// Read a document from what was stored: whole documents and changes, one after the other.
    ///
    /// # Errors
    /// The bytes are no document, or another one.
    pub fn load(key: &DocumentKey, bytes: &[u8]) -> Result<Document, DocumentError> {
        Document::genesis(key).with_stored(bytes)
    }

    /// The document with whole documents and changes that were stored beside it. Changes whose past is missing wait inside.
    pub(super) fn with_stored(&self, bytes: &[u8]) -> Result<Document, DocumentError> {
        let mut next = self.clone();
        guarded(|| {
            let mut changes = Vec::new();
            for chunk in chunks(bytes)? {
                if chunk.kind == ChunkKind::Document {
                    let whole = Automerge::load(chunk.bytes)?;
                    let is_all = next.automerge.get_heads() == [next.genesis.1]
                        && whole.get_change_by_hash(&next.genesis.1).is_some();
                    match is_all {
                        true => next.automerge = Arc::new(whole),
                        false => next.merge(&whole)?,
                    }
                } else {
                    changes.push(Change::from_bytes(chunk.bytes.to_vec())?);
                }
            }
            Arc::make_mut(&mut next.automerge).apply_changes_batch(changes)?;
            next.shaped()
        })
    }

    /// Read a whole document that a peer sent.
    ///
    /// # Errors
    /// It is no document, another one, or does what no node does.
    pub fn received(key: &DocumentKey, bytes: &[u8]) -> Result<Document, DocumentError> {
        if bytes.len() > CHANGES_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes: bytes.len() });
        }
        let genesis = Document::genesis(key);
        guarded(|| {
            let [chunk] = chunks(bytes)?[..] else {
                return Err(DocumentError::Bytes("it is not one whole document"));
            };
            chunk.bounded(ChunkKind::Document)?;
            let automerge = Automerge::load(chunk.bytes)?;
            if automerge.get_change_by_hash(&genesis.genesis.1).is_none() {
                return Err(DocumentError::Shape(key.clone()));
            }
            let mut numbers = Numbers::after(0);
            for change in automerge.get_changes(&[]) {
                genesis.vet(&change, &mut numbers)?;
            }
            Document {
                automerge: Arc::new(automerge),
                ..genesis
            }
            .shaped()
        })
    }

    /// See that it has its shape, and read what its epoch began with.
    fn shaped(mut self) -> Result<Document, DocumentError> {
        let is_whole = self.key.id.sections().iter().all(|&section| {
            let map = self.map(section);
            map.is_some_and(|map| self.automerge.length(&map) <= FOREIGN_ATTRIBUTES_MAX)
        });
        if !is_whole {
            return Err(DocumentError::Shape(self.key));
        }
        let pasts = self.automerge.get_all(ROOT, PAST)?;
        if pasts.len() != self.pasts.len() {
            let read = |(value, id): (Value<'_>, ObjId)| match (value.as_bytes(), id) {
                (Some(bytes), ObjId::Id(_, actor, _)) => {
                    Some(PastText::parse(bytes).map(|text| Past::new(actor, text)))
                }
                _ => None,
            };
            self.pasts = pasts
                .into_iter()
                .filter_map(read)
                .collect::<Result<_, _>>()?;
        }
        Ok(self)
    }

    /// Which document it is.
    #[must_use]
    pub fn key(&self) -> &DocumentKey {
        &self.key
    }

    /// Its heads, in order.
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads = self.automerge.get_heads();
        heads.sort_unstable();
        heads
    }

    /// Whether nobody has written to it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.automerge.get_heads() == [self.genesis.1]
    }

    /// Whether it has all of these changes.
    #[must_use]
    pub fn knows(&self, heads: &[ChangeHash]) -> bool {
        heads
            .iter()
            .all(|head| self.automerge.get_change_meta_by_hash(head).is_some())
    }

    /// How many changes it is made of.
    #[must_use]
    pub fn changes_count(&self) -> usize {
        self.automerge.stats().num_changes as usize
    }

    /// The changes that somebody with these heads does not have, those that others stand on first.
    #[must_use]
    pub fn changes_since(&self, heads: &[ChangeHash]) -> Vec<Vec<u8>> {
        let changes = self.automerge.get_changes(heads);
        changes
            .iter()
            .map(|change| change.raw_bytes().to_vec())
            .collect()
    }

    /// The changes that somebody who has so many of each actor does not have.
    pub(super) fn changes_beyond(&self, actors: &BTreeMap<Vec<u8>, u64>) -> Vec<Vec<u8>> {
        let lacks = |change: &&Change| {
            let has = actors.get(change.actor_id().to_bytes());
            has.is_none_or(|&seq| seq < change.seq())
        };
        let changes = self.automerge.get_changes(&[]);
        let changes = changes.iter().filter(lacks);
        changes.map(|change| change.raw_bytes().to_vec()).collect()
    }

    /// How many changes it has of each actor.
    pub(super) fn actors(&self) -> BTreeMap<Vec<u8>, u64> {
        let mut actors = BTreeMap::new();
        for change in self.automerge.get_changes_meta(&[]) {
            let seq = actors.entry(change.actor.to_bytes().to_vec()).or_default();
            *seq = change.seq.max(*seq);
        }
        actors
    }

    /// The whole document, compressed, as any Automerge library opens it.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.automerge.save()
    }

    /// The whole document as peers are sent it: what is not compressed can be looked at before it is read.
    #[must_use]
    pub(super) fn save_plain(&self) -> Vec<u8> {
        self.automerge.save_nocompress()
    }

    /// The Automerge document, to look into.
    #[must_use]
    pub fn automerge(&self) -> &Automerge {
        &self.automerge
    }

    /// The document with changes of others taken in, those first that others stand on. Changes whose past is missing are not
    /// taken: they come again with it.
    ///
    /// # Errors
    /// The changes cannot be taken; then none is.
    pub fn with_changes(&self, changes: &[Vec<u8>]) -> Result<Document, DocumentError> {
        let bytes = changes.iter().map(Vec::len).sum();
        if bytes > CHANGES_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes });
        }
        let mut next = self.clone();
        guarded(|| {
            let mut ready = Vec::new();
            let mut numbers = Numbers::after(self.last_operation());
            for bytes in changes {
                let [chunk] = chunks(bytes)?[..] else {
                    return Err(DocumentError::Bytes("it is not one change"));
                };
                chunk.bounded(ChunkKind::Change)?;
                let change = Change::from_bytes(bytes.clone())?;
                let is_known = |hash: &ChangeHash| {
                    numbers.has(hash) || self.automerge.get_change_meta_by_hash(hash).is_some()
                };
                if is_known(&change.hash()) || !change.deps().iter().all(is_known) {
                    continue;
                }
                self.vet(&change, &mut numbers)?;
                ready.push(change);
            }
            if ready.is_empty() {
                return Ok(next);
            }
            Arc::make_mut(&mut next.automerge).apply_changes_batch(ready)?;
            next.shaped()
        })
    }

    /// The document with all that another one of the same key has.
    ///
    /// # Errors
    /// They do not go together.
    pub fn merged(&self, other: &Document) -> Result<Document, DocumentError> {
        let mut next = self.clone();
        guarded(|| {
            next.merge(&other.automerge)?;
            next.shaped()
        })
    }

    fn merge(&mut self, other: &Automerge) -> Result<(), AutomergeError> {
        let added = self.automerge.get_changes_added(other);
        if added.is_empty() {
            return Ok(());
        }
        Arc::make_mut(&mut self.automerge).apply_changes_batch(added)
    }

    /// The number of the last operation: that of a head, because every change goes on behind those that it stands on.
    fn last_operation(&self) -> u64 {
        let heads = self.automerge.get_heads();
        let metas = heads
            .iter()
            .filter_map(|head| self.automerge.get_change_meta_by_hash(head));
        metas.map(|meta| meta.max_op).max().unwrap_or_default()
    }

    /// Whether this change made its maps.
    fn begins_with(&self, change: &Change) -> bool {
        change.hash() == self.genesis.1
    }

    /// Take an actor for what is written from now on. Each value in memory has its own.
    pub(super) fn take_actor(&mut self, actor: [u8; 16]) {
        if !self.has_actor {
            Arc::make_mut(&mut self.automerge).set_actor(ActorId::from(actor));
            self.has_actor = true;
        }
    }

    /// Give up the actor: what it wrote may be stored somewhere, or not.
    pub(super) fn drop_actor(&mut self) {
        self.has_actor = false;
    }

    /// Write scalars in one change, at `now_ms`. The actor must have been taken. Gives the change; none where nothing is
    /// other than it was.
    ///
    /// # Errors
    /// Automerge refuses it.
    pub(super) fn put(
        &mut self,
        scalars: &[(Section, String, ScalarValue)],
        now_ms: i64,
    ) -> Result<Option<Vec<u8>>, DocumentError> {
        debug_assert!(self.has_actor, "an actor is drawn before the first write");
        let maps: Vec<ObjId> = scalars
            .iter()
            .map(|(section, ..)| {
                self.map(*section)
                    .ok_or_else(|| DocumentError::Shape(self.key.clone()))
            })
            .collect::<Result<_, _>>()?;
        let written = Arc::make_mut(&mut self.automerge).transact_with::<_, _, AutomergeError, _>(
            |_| CommitOptions::default().with_time(now_ms.div_euclid(1000)),
            |tx| {
                for ((_, attribute, scalar), map) in scalars.iter().zip(&maps) {
                    match scalar {
                        ScalarValue::Null if tx.get(map, attribute.as_str())?.is_none() => {}
                        scalar => tx.put(map, attribute.as_str(), scalar.clone())?,
                    }
                }
                Ok(())
            },
        );
        let written = written.map_err(|failure| failure.error)?;
        let change = written
            .hash
            .and_then(|hash| self.automerge.get_change_by_hash(&hash));
        Ok(change.map(|change| change.raw_bytes().to_vec()))
    }

    /// Write scalars as an actor that follows from them, at a time that does as well.
    ///
    /// # Errors
    /// Automerge refuses it.
    pub(super) fn write_as(
        &mut self,
        actor: ActorId,
        scalars: &[(Section, String, ScalarValue)],
        now_ms: i64,
    ) -> Result<(), DocumentError> {
        Arc::make_mut(&mut self.automerge).set_actor(actor);
        self.has_actor = true;
        self.put(scalars, now_ms)?;
        self.has_actor = false;
        Ok(())
    }

    /// Write down what the epoch begins with.
    pub(super) fn put_past(
        &mut self,
        actor: ActorId,
        past: &PastText,
    ) -> Result<(), DocumentError> {
        Arc::make_mut(&mut self.automerge).set_actor(actor);
        self.has_actor = false;
        let written = Arc::make_mut(&mut self.automerge).transact_with::<_, _, AutomergeError, _>(
            |_| CommitOptions::default().with_time(0),
            |tx| tx.put(ROOT, PAST, past.to_bytes()),
        );
        written.map_err(|failure| failure.error)?;
        self.pasts = Arc::new([]);
        *self = self.clone().shaped()?;
        Ok(())
    }

    /// What its epoch began with, by each node that began it.
    pub(super) fn pasts(&self) -> &[Past] {
        &self.pasts
    }

    /// Who made its maps.
    pub(super) fn genesis_actor(&self) -> &ActorId {
        &self.genesis.0
    }

    /// The change that an operation is part of.
    pub(super) fn dot(&self, operation: &ObjId) -> Option<(Dot, ChangeHash)> {
        let hash = self.automerge.hash_for_opid(operation)?;
        let meta = self.automerge.get_change_meta_by_hash(&hash)?;
        let dot = Dot {
            actor: meta.actor.to_bytes().to_vec(),
            seq: meta.seq,
        };
        Some((dot, hash))
    }

    /// Names of the attributes of a section, in order.
    #[must_use]
    pub fn attributes(&self, section: Section) -> Vec<String> {
        self.map(section)
            .map(|map| self.automerge.keys(&map).collect())
            .unwrap_or_default()
    }

    /// The scalar of an attribute, as Automerge shows it; none where there is none, or null.
    #[must_use]
    pub fn scalar(&self, section: Section, attribute: &str) -> Option<ScalarValue> {
        let last = self.standing(section, attribute).pop()?;
        Some(last.scalar).filter(|scalar| !scalar.is_null())
    }

    /// Attributes that are other than they were, like `desired.state`.
    #[must_use]
    pub fn differences(&self, before: Option<&Document>) -> Vec<String> {
        let mut differences = Vec::new();
        for &section in self.key.id.sections() {
            for attribute in self.attributes(section) {
                let is = self.scalar(section, &attribute);
                if before.and_then(|before| before.scalar(section, &attribute)) != is {
                    differences.push(format!("{}.{attribute}", section.name()));
                }
            }
        }
        differences
    }

    /// The writes that stand beside each other for an attribute: those that no other one has seen and replaced.
    #[must_use]
    pub fn writes(&self, section: Section, attribute: &str) -> Vec<Write> {
        let mut seen = BTreeSet::new();
        let all = self.standing(section, attribute).into_iter();
        all.filter_map(|standing| Write::parse(standing.scalar.as_str()?))
            // One write that was carried over twice from an older epoch is one.
            .filter(|write| seen.insert(write.to_text()))
            .collect()
    }

    /// What stands for an attribute, in Automerge's order.
    pub(super) fn standing(&self, section: Section, attribute: &str) -> Vec<Standing> {
        let all = self
            .map(section)
            .and_then(|map| self.automerge.get_all(&map, attribute).ok())
            .unwrap_or_default();
        let carried = |id: &ObjId| -> Vec<Option<&Dot>> {
            let ObjId::Id(_, actor, _) = id else {
                return Vec::new();
            };
            let pasts = self.pasts.iter();
            pasts
                .map(|past| past.dot(section, attribute, actor))
                .collect()
        };
        let all: Vec<_> = all
            .into_iter()
            .map(|(value, id)| (value, carried(&id), id))
            .collect();
        // Whoever knew what is carried carries it as well, or it was replaced.
        let stands = |dot: &&Dot| {
            let mut pasts = self.pasts.iter().enumerate();
            pasts.all(|(at, past)| {
                !past.knows(dot)
                    || all
                        .iter()
                        .any(|(_, dots, _)| dots.get(at) == Some(&Some(*dot)))
            })
        };
        let stand = all.iter().map(|(_, carried, _)| {
            let is_carried = carried.iter().any(Option::is_some);
            let from = carried.iter().copied().flatten().find(stands).cloned();
            (!is_carried || from.is_some()).then_some(from)
        });
        let stand: Vec<Option<Option<Dot>>> = stand.collect();
        let of_scalars = all
            .into_iter()
            .zip(stand)
            .filter_map(|((value, _, id), from)| {
                let Value::Scalar(scalar) = value else {
                    return None;
                };
                Some(Standing {
                    scalar: scalar.into_owned(),
                    operation: id,
                    from: from?,
                })
            });
        of_scalars.collect()
    }

    /// How it is decided between writes of an attribute.
    #[must_use]
    pub fn policy(&self, section: Section, attribute: &str) -> Policy {
        let text = (section == Section::Desired)
            .then(|| self.scalar(Section::Policy, attribute))
            .flatten();
        let text = text.as_ref().and_then(ScalarValue::as_str);
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// What holds for an attribute that anyone writes.
    #[must_use]
    pub fn resolve(&self, section: Section, attribute: &str, now_ms: i64) -> Resolved {
        let writes = self.writes(section, attribute);
        match section {
            Section::Desired => resolve(&writes, &self.policy(section, attribute), now_ms),
            // Only what is wanted of a device knows of changes at the device.
            _ => resolve(&writes, &Policy::Latest, now_ms),
        }
    }

    /// The value that holds for an attribute that anyone writes; none where there is none, or null.
    #[must_use]
    pub fn value(
        &self,
        section: Section,
        attribute: &str,
        now_ms: i64,
    ) -> Option<serde_json::Value> {
        let winner = self.resolve(section, attribute, now_ms).winner;
        winner.map(|write| write.v).filter(|value| !value.is_null())
    }

    /// The maps of its sections.
    pub(super) fn maps(&self) -> Vec<(Section, ObjId)> {
        let sections = self.key.id.sections().iter();
        sections
            .filter_map(|&section| Some((section, self.map(section)?)))
            .collect()
    }

    /// The map of a section. Only the one of the genesis counts: one that somebody put over it hides what was written.
    fn map(&self, section: Section) -> Option<ObjId> {
        let all = self.automerge.get_all(ROOT, section.name()).ok()?;
        all.into_iter().find_map(|(value, id)| match (&value, &id) {
            (Value::Object(ObjType::Map), ObjId::Id(_, actor, _)) if *actor == self.genesis.0 => {
                Some(id)
            }
            _ => None,
        })
    }
}

/// An actor that follows from what it writes, so that nodes that write the same write the same bytes.
pub(super) fn fixed_actor(what: &str, key: &DocumentKey, content: &[u8]) -> ActorId {
    let mut hash = Sha256::new();
    for part in [
        b"tarn twin",
        what.as_bytes(),
        key.to_string().as_bytes(),
        content,
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    ActorId::from(&hash.finalize()[..16])
}

/// Whether an object of a document is the one that an operation is about.
pub(super) fn is_object(object: &ObjId, named: &ObjectId) -> bool {
    match (object, named) {
        (ObjId::Root, ObjectId::Root) => true,
        (ObjId::Id(counter, actor, _), ObjectId::Id(id)) => *counter == id.0 && *actor == id.1,
        _ => false,
    }
}

/// Run Automerge on what came from elsewhere: hostile bytes with good checksums can make it panic.
pub(super) fn guarded<T>(
    run: impl FnOnce() -> Result<T, DocumentError>,
) -> Result<T, DocumentError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| DocumentError::Panic)?
}
