use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use automerge::{
    ActorId, Automerge, AutomergeError, Change, ChangeHash, ObjId, ObjType, ROOT, ReadDoc,
    ScalarValue, Value,
    transaction::{CommitOptions, Transactable},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    resolve::{Policy, Resolved, resolve},
    write::Write,
};

/// Version of the shape of documents.
const SHAPE: i64 = 1;
/// Bytes of a document's changes that are taken from elsewhere at once.
pub const CHANGES_BYTES_MAX: usize = 4 << 20;
/// Changes after which a document goes on in a new epoch: nothing is ever collected from an Automerge document.
pub const EPOCH_CHANGES: usize = 2_000;
/// Bytes of a document's name.
pub const NAME_BYTES_MAX: usize = 1_100;

/// Names a document of a home: `home`, or `device/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(Arc<str>);

impl DocumentId {
    /// The document of the home itself.
    #[must_use]
    pub fn home() -> DocumentId {
        DocumentId("home".into())
    }

    /// The document of a device.
    #[must_use]
    pub fn device(id: &str) -> DocumentId {
        DocumentId(format!("device/{id}").into())
    }

    /// The device that it is about; none for the home.
    #[must_use]
    pub fn as_device(&self) -> Option<&str> {
        self.0.strip_prefix("device/")
    }

    /// Its sections: the maps at its root, in their order.
    #[must_use]
    pub fn sections(&self) -> &'static [Section] {
        match self.as_device() {
            Some(_) => &Section::OF_DEVICE,
            None => &Section::OF_HOME,
        }
    }

    /// Whether it is the name of a document.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let known = self
            .as_device()
            .map_or(&*self.0 == "home", |id| !id.is_empty());
        known && self.0.len() <= NAME_BYTES_MAX
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document in one of its epochs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocumentKey {
    /// The document.
    pub id: DocumentId,
    /// Its epoch: 0, 1, 2 …
    pub epoch: u32,
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => write!(f, "{}", self.id),
            epoch => write!(f, "{}~{epoch}", self.id),
        }
    }
}

/// A map at the root of a document, of attributes and scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Section {
    /// Name, room, owner and deletion of a device: writes by anyone.
    Meta,
    /// What a device announced; only its owner writes it.
    About,
    /// What a device says that it is; only its owner writes it.
    Reported,
    /// What is wanted of a device: writes by anyone.
    Desired,
    /// What became of the latest command of an attribute, `id:status` or `id:status:reason`; only its owner writes it.
    Ack,
    /// How it is decided between writes of an attribute, where not by time; only its owner writes it.
    Policy,
    /// Rooms by name.
    Rooms,
    /// Members of the household.
    Members,
    /// Boxes by id.
    Boxes,
    /// Rules.
    Rules,
    /// Settings of the home.
    Settings,
}

impl Section {
    const OF_DEVICE: [Section; 6] = [
        Section::Meta,
        Section::About,
        Section::Reported,
        Section::Desired,
        Section::Ack,
        Section::Policy,
    ];
    const OF_HOME: [Section; 5] = [
        Section::Rooms,
        Section::Members,
        Section::Boxes,
        Section::Rules,
        Section::Settings,
    ];

    /// Its key in the document.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Section::Meta => "meta",
            Section::About => "about",
            Section::Reported => "reported",
            Section::Desired => "desired",
            Section::Ack => "ack",
            Section::Policy => "policy",
            Section::Rooms => "rooms",
            Section::Members => "members",
            Section::Boxes => "boxes",
            Section::Rules => "rules",
            Section::Settings => "settings",
        }
    }

    /// Whether anyone may write to it, so that its scalars are [`Write`]s.
    #[must_use]
    pub fn has_writes(self) -> bool {
        !matches!(
            self,
            Section::About | Section::Reported | Section::Ack | Section::Policy
        )
    }
}

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
    /// There are more than are taken at once.
    #[error("{bytes} bytes are more than {CHANGES_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// The maps that every document of its kind has are not there, or are covered by others.
    #[error("it is not of the shape of {0}")]
    Shape(DocumentKey),
    /// An actor wrote two different changes under one number: the same actor ran twice from one state.
    #[error("two different changes have the same actor and number")]
    DuplicateChange,
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
    automerge: Automerge,
    /// Whether the actor was drawn for this value, so that it may write. It is never stored: an actor that went on from a
    /// restored state would number different changes alike.
    has_actor: bool,
    /// Who made its maps.
    genesis: ActorId,
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
        Document {
            key: key.clone(),
            automerge,
            has_actor: false,
            genesis: actor,
        }
    }

    /// Read a document from what was stored or sent: whole documents and changes, one after the other.
    ///
    /// # Errors
    /// The bytes are no document, or another one.
    pub fn load(key: &DocumentKey, bytes: &[u8]) -> Result<Document, DocumentError> {
        if bytes.len() > CHANGES_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes: bytes.len() });
        }
        let mut document = Document::genesis(key);
        guarded(|| document.automerge.load_incremental(bytes))?;
        document.shaped()
    }

    fn shaped(self) -> Result<Document, DocumentError> {
        let is_whole = self
            .key
            .id
            .sections()
            .iter()
            .all(|&section| self.map(section).is_some());
        let id = self.automerge.get(ROOT, "id").ok().flatten();
        let is_its = id.is_some_and(|(id, _)| id.as_str() == Some(self.key.id.as_str()));
        if is_whole && is_its {
            Ok(self)
        } else {
            Err(DocumentError::Shape(self.key))
        }
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

    /// Whether it has all of these changes.
    #[must_use]
    pub fn knows(&self, heads: &[ChangeHash]) -> bool {
        heads
            .iter()
            .all(|head| self.automerge.get_change_by_hash(head).is_some())
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

    /// The whole document, compressed, as any Automerge library opens it.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.automerge.save()
    }

    /// The Automerge document, to look into.
    #[must_use]
    pub fn automerge(&self) -> &Automerge {
        &self.automerge
    }

    /// The document with changes of others taken in. Changes whose past is missing wait inside, and show nothing.
    ///
    /// # Errors
    /// The changes cannot be taken; then none is.
    pub fn with_changes(&self, changes: &[Vec<u8>]) -> Result<Document, DocumentError> {
        let bytes = changes.iter().map(Vec::len).sum();
        if bytes > CHANGES_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes });
        }
        let mut next = self.clone();
        let read = || {
            changes
                .iter()
                .map(|bytes| Change::from_bytes(bytes.clone()))
                .collect::<Result<Vec<_>, _>>()
        };
        let changes = catch_unwind(AssertUnwindSafe(read)).map_err(|_| DocumentError::Panic)??;
        guarded(|| next.automerge.apply_changes_batch(changes))?;
        next.shaped()
    }

    /// The document with all that another one of the same key has.
    ///
    /// # Errors
    /// They do not go together.
    pub fn merged(&self, other: &Document) -> Result<Document, DocumentError> {
        let mut next = self.clone();
        let mut other = other.automerge.clone();
        guarded(|| next.automerge.merge(&mut other))?;
        next.shaped()
    }

    /// A message of Automerge's own protocol, which finds out by Bloom filters what the other side lacks. `received` is a message of
    /// that kind; without one it begins. Gives the document with what came, and the answer if there is one.
    ///
    /// # Errors
    /// The message cannot be read or taken.
    pub fn bloom(
        &self,
        received: Option<&[u8]>,
    ) -> Result<(Document, Option<Vec<u8>>), DocumentError> {
        use automerge::sync::{Message, State, SyncDoc};
        let mut next = self.clone();
        let mut answer = None;
        let run = || -> Result<(), DocumentError> {
            let mut state = State::new();
            if let Some(bytes) = received {
                let message = Message::decode(bytes).map_err(|_| AutomergeError::Fail)?;
                next.automerge.receive_sync_message(&mut state, message)?;
            }
            answer = next
                .automerge
                .generate_sync_message(&mut state)
                .map(Message::encode);
            Ok(())
        };
        catch_unwind(AssertUnwindSafe(run)).map_err(|_| DocumentError::Panic)??;
        Ok((next.shaped()?, answer))
    }

    /// Take an actor for what is written from now on. Each value in memory has its own.
    pub(super) fn take_actor(&mut self, actor: [u8; 16]) {
        if !self.has_actor {
            self.automerge.set_actor(ActorId::from(actor));
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
        let written = self.automerge.transact_with::<_, _, AutomergeError, _>(
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
        self.automerge.set_actor(actor);
        self.has_actor = true;
        self.put(scalars, now_ms)?;
        self.has_actor = false;
        Ok(())
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
        let map = self.map(section)?;
        match self.automerge.get(&map, attribute).ok()?? {
            (Value::Scalar(scalar), _) if !scalar.is_null() => Some(scalar.into_owned()),
            _ => None,
        }
    }

    /// The writes that stand beside each other for an attribute: those that no other one has seen and replaced.
    #[must_use]
    pub fn writes(&self, section: Section, attribute: &str) -> Vec<Write> {
        self.standing(section, attribute)
            .into_iter()
            .map(|(write, _)| write)
            .collect()
    }

    /// The same, each with the operation that wrote it.
    pub(super) fn standing(&self, section: Section, attribute: &str) -> Vec<(Write, ObjId)> {
        let all = self
            .map(section)
            .and_then(|map| self.automerge.get_all(&map, attribute).ok());
        let mut seen = BTreeSet::new();
        all.unwrap_or_default()
            .into_iter()
            .filter_map(|(value, id)| Some((Write::parse(value.as_str()?)?, id)))
            // One write that was taken over twice from an older epoch is one.
            .filter(|(write, _)| seen.insert(write.to_text()))
            .collect()
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
            (Value::Object(ObjType::Map), ObjId::Id(_, actor, _)) if *actor == self.genesis => {
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

/// Run Automerge on what came from elsewhere: hostile bytes with good checksums can make it panic.
fn guarded<T>(run: impl FnOnce() -> Result<T, AutomergeError>) -> Result<T, DocumentError> {
    let done = catch_unwind(AssertUnwindSafe(run)).map_err(|_| DocumentError::Panic)?;
    done.map_err(DocumentError::from)
}
