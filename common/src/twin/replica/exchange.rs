use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use automerge::ChangeHash;

use super::{Fault, FaultError, Replica, Staged, hashes, succession};
use crate::twin::{
    document::{Document, DocumentError, DocumentId, DocumentKey, EPOCH_MAX, guarded},
    replica::DOCUMENTS_MAX,
    sync::{BODY_BYTES, BODY_BYTES_MAX, Heads, Message, Payload},
};

/// Documents of one part of an index.
const INDEX_PART: usize = 1_000;
/// Bytes of all answers to one body. What is not said is said after the next digest.
const REPLIES_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;
/// How many epochs a peer may be ahead of a document that we have: far more than any node stays away for, and far fewer than
/// there are, so that nobody brings a document to its last epoch at once.
const EPOCHS_AHEAD_MAX: u32 = 100_000;

/// What came of a peer's messages.
#[derive(Debug, Default)]
pub struct Exchanged {
    /// What is to be stored before anything is answered.
    pub staged: Staged,
    /// The answer to that peer.
    pub replies: Vec<Message>,
    /// What was not taken.
    pub faults: Vec<Fault>,
    /// Bytes of `replies`, about.
    bytes: usize,
    /// What the peer is asked for: heads that we have of documents.
    wanted: BTreeMap<DocumentKey, Heads>,
    /// Documents that were told, with what the peer had, so that nothing is said twice.
    told: BTreeSet<(DocumentKey, Vec<ChangeHash>)>,
    /// Documents whose changes were compared by actor.
    known: BTreeSet<DocumentKey>,
}

impl Exchanged {
    fn reply(&mut self, messages: Vec<Message>) {
        self.bytes += messages.iter().map(Message::bytes).sum::<usize>();
        self.replies.extend(messages);
    }

    /// Whether there is room for another answer.
    fn has_room(&mut self) -> bool {
        let has_room = self.bytes < REPLIES_BYTES_MAX;
        let is_told = self
            .faults
            .iter()
            .any(|fault| matches!(fault.error, FaultError::Much));
        if !has_room && !is_told {
            self.faults.push(Fault {
                document: None,
                error: FaultError::Much,
            });
        }
        has_room
    }

    /// Tell a document to somebody with these heads of it.
    fn tell(&mut self, document: &Document, since: &[ChangeHash]) {
        let is_new = self.told.insert((document.key().clone(), document.heads()));
        if is_new && self.has_room() {
            self.reply(told(document, since));
        }
    }

    fn want(&mut self, key: DocumentKey, heads: Heads) {
        // Whoever needs it whole needs no part of it.
        let wanted = self.wanted.entry(key).or_insert_with(|| heads.clone());
        if heads.is_empty() {
            *wanted = heads;
        }
    }
}

impl Replica {
    /// The greeting to a peer.
    #[must_use]
    pub fn digest(&self) -> Message {
        Message::Digest { root: self.root.0 }
    }

    /// Take in what a peer says. Whatever it is, this ends, and what is good stays as it is.
    pub fn exchange(&mut self, messages: Vec<Message>) -> Exchanged {
        let mut done = Exchanged::default();
        for message in messages {
            let about = about(&message);
            // What a peer's changes do to Automerge may come out only when the document is looked at.
            let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.take(message, &mut done);
            }));
            if taken.is_err() {
                done.faults.push(Fault {
                    document: about,
                    error: DocumentError::Panic.into(),
                });
            }
        }
        if !done.wanted.is_empty() {
            let entries = std::mem::take(&mut done.wanted).into_iter().collect();
            done.replies.push(Message::Heads { entries });
        }
        done
    }

    fn take(&mut self, message: Message, done: &mut Exchanged) {
        match message {
            Message::Digest { root } if root == self.root.0 => {}
            Message::Digest { .. } => {
                if done.has_room() {
                    let index = self.index();
                    done.reply(index);
                }
            }
            Message::Index {
                after,
                upto,
                entries,
            } => self.compare(after, upto, entries, done),
            Message::Heads { entries } => {
                for (key, heads) in entries {
                    self.answer_heads(key, &heads, done);
                }
            }
            Message::Changes {
                key,
                heads,
                more,
                payload,
            } => {
                let is_rest = matches!(payload, Payload::Rest(_));
                match self.take_changes(&key, payload, done) {
                    Ok(()) if more => {}
                    Ok(()) => self.after_changes(key, &heads, is_rest, done),
                    // Two histories of one actor are looked at whole, to go on from both.
                    Err(FaultError::Document(DocumentError::DuplicateChange)) => {
                        done.want(key, Heads::new());
                    }
                    Err(error) => done.faults.push(Fault {
                        document: Some(key),
                        error,
                    }),
                }
            }
            Message::Known {
                key,
                heads,
                actors,
                is_answer,
            } => self.answer_known(key, &heads, &actors, is_answer, done),
        }
    }

    /// A document as it will be once what is staged is stored.
    fn latest<'a>(&'a self, staged: &'a Staged, id: &DocumentId) -> Option<&'a Document> {
        staged.documents.get(id).or_else(|| self.documents.get(id))
    }

    fn index(&self) -> Vec<Message> {
        let all: Vec<&Document> = self.documents.values().collect();
        let parts: Vec<&[&Document]> = match all.is_empty() {
            true => vec![&[]],
            false => all.chunks(INDEX_PART).collect(),
        };
        let last = parts.len() - 1;
        let mut after = None;
        let mut index = Vec::new();
        for (at, part) in parts.into_iter().enumerate() {
            let upto = part
                .last()
                .filter(|_| at < last)
                .map(|document| document.key().id.clone());
            let entries = part
                .iter()
                .map(|document| (document.key().clone(), hashes(&document.heads())));
            index.push(Message::Index {
                after,
                upto: upto.clone(),
                entries: entries.collect(),
            });
            after = upto;
        }
        index
    }

    fn compare(
        &self,
        after: Option<DocumentId>,
        upto: Option<DocumentId>,
        entries: Vec<(DocumentKey, Heads)>,
        done: &mut Exchanged,
    ) {
        if let (Some(after), Some(upto)) = (&after, &upto)
            && after >= upto
        {
            return;
        }
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = upto.map_or(Bound::Unbounded, Bound::Included);
        let named: BTreeSet<&DocumentId> = entries.iter().map(|(key, _)| &key.id).collect();
        for (id, document) in self.documents.range::<DocumentId, _>((after, upto)) {
            if !named.contains(id) {
                done.tell(document, &[]);
            }
        }
        for (key, heads) in entries {
            match self.documents.get(&key.id) {
                Some(mine) if mine.key().epoch > key.epoch => done.tell(mine, &[]),
                Some(mine) if mine.key().epoch == key.epoch => {
                    let (own, theirs) = (mine.heads(), change_hashes(&heads));
                    if own == theirs {
                    } else if mine.knows(&theirs) {
                        done.tell(mine, &theirs);
                    } else {
                        done.want(key, hashes(&own));
                    }
                }
                _ => done.want(key, Heads::new()),
            }
        }
    }

    fn answer_heads(&self, key: DocumentKey, heads: &Heads, done: &mut Exchanged) {
        let Some(mine) = self.latest(&done.staged, &key.id).cloned() else {
            return;
        };
        let theirs = change_hashes(heads);
        match mine.key().epoch.cmp(&key.epoch) {
            // Whoever has heads of a newer epoch has it.
            std::cmp::Ordering::Less if !heads.is_empty() => done.want(key, Heads::new()),
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Greater => done.tell(&mine, &[]),
            std::cmp::Ordering::Equal if mine.heads() == theirs => {}
            std::cmp::Ordering::Equal if mine.knows(&theirs) => done.tell(&mine, &theirs),
            std::cmp::Ordering::Equal => known(&mine, false, done),
        }
    }

    /// Answer somebody whose heads are not known here, and who said what it has of each actor.
    fn answer_known(
        &self,
        key: DocumentKey,
        heads: &Heads,
        actors: &BTreeMap<Vec<u8>, u64>,
        is_answer: bool,
        done: &mut Exchanged,
    ) {
        let Some(mine) = self.latest(&done.staged, &key.id).cloned() else {
            return;
        };
        if *mine.key() != key || !done.has_room() {
            return;
        }
        let theirs = change_hashes(heads);
        if mine.knows(&theirs) {
            return done.tell(&mine, &theirs);
        }
        let own = mine.actors();
        let lacks = actors
            .iter()
            .any(|(actor, &seq)| own.get(actor).is_none_or(|&has| has < seq));
        let rest = mine.changes_beyond(actors);
        match (rest.is_empty(), lacks) {
            // We should be equal and are not: one actor wrote both.
            (true, false) => done.want(key, Heads::new()),
            (true, true) => {}
            (false, _) if done.told.insert((key, mine.heads())) => {
                done.reply(parts(&mine, rest, Payload::Rest));
            }
            (false, _) => {}
        }
        if lacks && !is_answer {
            known(&mine, true, done);
        }
    }

    fn take_changes(
        &mut self,
        key: &DocumentKey,
        payload: Payload,
        done: &mut Exchanged,
    ) -> Result<(), FaultError> {
        if !key.id.is_valid() {
            return Err(FaultError::Name);
        }
        let before = self.latest(&done.staged, &key.id).cloned();
        if let Some(mine) = &before {
            if mine.key().epoch > key.epoch {
                // What the peer wrote to the older epoch it takes over itself, when it hears of the newer one.
                return Ok(());
            }
            if key.epoch - mine.key().epoch > EPOCHS_AHEAD_MAX {
                return Err(FaultError::Epoch);
            }
        } else if self.documents.len() + done.staged.documents.len() >= DOCUMENTS_MAX {
            return Err(FaultError::TooMany);
        }
        if key.epoch > EPOCH_MAX {
            return Err(FaultError::Epoch);
        }
        let next = match (&before, &payload) {
            (Some(mine), Payload::Changes(changes) | Payload::Rest(changes))
                if mine.key() == key =>
            {
                mine.with_changes(changes)?
            }
            // A newer epoch is taken whole: changes alone may stand on others that are still to come.
            (Some(_), Payload::Changes(_) | Payload::Rest(_)) => return Ok(()),
            (None, Payload::Changes(changes) | Payload::Rest(changes)) => {
                Document::genesis(key).with_changes(changes)?
            }
            (None, Payload::Document(bytes)) => Document::received(key, bytes)?,
            (Some(mine), Payload::Document(bytes)) => {
                let theirs = Document::received(key, bytes)?;
                guarded(|| match mine.key() == key {
                    true => match mine.merged(&theirs) {
                        Err(DocumentError::DuplicateChange) => succession::healed(mine, &theirs),
                        merged => merged,
                    },
                    false => succession::succeed(mine, &theirs),
                })?
            }
        };
        let is_same = match &before {
            Some(before) => before.key() == next.key() && before.heads() == next.heads(),
            None => next.is_empty(),
        };
        if is_same {
            return Ok(());
        }
        if next.key() != key {
            // What each had differs, what both come to have does not.
            self.part(before.as_ref().unwrap_or(&next));
        }
        self.stage(&mut done.staged, before.as_ref(), next);
        Ok(())
    }

    /// See who lacks something after changes were taken.
    fn after_changes(&self, key: DocumentKey, heads: &Heads, is_rest: bool, done: &mut Exchanged) {
        let theirs = change_hashes(heads);
        match self.latest(&done.staged, &key.id).cloned() {
            Some(mine) if mine.key().epoch > key.epoch => done.tell(&mine, &[]),
            Some(mine) if mine.key().epoch == key.epoch => {
                if !mine.knows(&theirs) {
                    let own = match is_rest {
                        true => Heads::new(),
                        false => hashes(&mine.heads()),
                    };
                    done.want(key, own);
                } else if mine.heads() != theirs {
                    done.tell(&mine, &theirs);
                }
            }
            _ => done.want(key, Heads::new()),
        }
    }
}

/// The document that a message is about.
fn about(message: &Message) -> Option<DocumentKey> {
    match message {
        Message::Changes { key, .. } | Message::Known { key, .. } => Some(key.clone()),
        Message::Digest { .. } | Message::Index { .. } | Message::Heads { .. } => None,
    }
}

/// Say what we have of each actor, to somebody whose heads we do not know.
fn known(document: &Document, is_answer: bool, done: &mut Exchanged) {
    if done.has_room() && done.known.insert(document.key().clone()) {
        done.reply(vec![Message::Known {
            key: document.key().clone(),
            heads: hashes(&document.heads()),
            actors: document.actors(),
            is_answer,
        }]);
    }
}

/// What somebody with these heads lacks of a document; somebody without any gets it whole.
pub(super) fn told(document: &Document, since: &[ChangeHash]) -> Vec<Message> {
    match since.is_empty() {
        true => vec![Message::Changes {
            key: document.key().clone(),
            heads: hashes(&document.heads()),
            more: false,
            payload: Payload::Document(document.save_plain()),
        }],
        false => parts(document, document.changes_since(since), Payload::Changes),
    }
}

/// Changes in messages that are not too large.
fn parts(
    document: &Document,
    changes: Vec<Vec<u8>>,
    payload: fn(Vec<Vec<u8>>) -> Payload,
) -> Vec<Message> {
    let heads = hashes(&document.heads());
    let mut parts: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    let mut bytes = 0;
    for change in changes {
        bytes += change.len();
        if bytes > BODY_BYTES {
            parts.push(Vec::new());
            bytes = change.len();
        }
        if let Some(part) = parts.last_mut() {
            part.push(change);
        }
    }
    let last = parts.len() - 1;
    let parts = parts.into_iter().enumerate();
    parts
        .map(|(at, changes)| Message::Changes {
            key: document.key().clone(),
            heads: heads.clone(),
            more: at < last,
            payload: payload(changes),
        })
        .collect()
}

fn change_hashes(heads: &Heads) -> Vec<ChangeHash> {
    let mut heads: Vec<ChangeHash> = heads.iter().map(|&head| ChangeHash(head)).collect();
    heads.sort_unstable();
    heads
}
