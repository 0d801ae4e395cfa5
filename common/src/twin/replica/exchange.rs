use std::ops::Bound;

use automerge::ChangeHash;

use super::{Fault, FaultError, Replica, Staged, hashes, succession};
use crate::twin::{
    document::{Document, DocumentError, DocumentId, DocumentKey},
    replica::{BundleKind, DOCUMENTS_MAX},
    sync::{BLOOM_TURNS_MAX, BODY_BYTES, Heads, Message, Payload},
};

/// Documents of one part of an index.
const INDEX_PART: usize = 1_000;

/// What came of a peer's messages.
#[derive(Debug, Default)]
pub struct Exchanged {
    /// What is to be stored before anything is answered.
    pub staged: Staged,
    /// The answer to that peer.
    pub replies: Vec<Message>,
    /// What was not taken.
    pub faults: Vec<Fault>,
}

impl Replica {
    /// The greeting to a peer.
    #[must_use]
    pub fn digest(&self) -> Message {
        Message::Digest { root: self.root.0 }
    }

    /// Take in what a peer says.
    pub fn exchange(&mut self, messages: Vec<Message>, now_ms: i64) -> Exchanged {
        let mut done = Exchanged::default();
        let mut wanted = Vec::new();
        for message in messages {
            match message {
                Message::Digest { root } if root == self.root.0 => {}
                Message::Digest { .. } => done.replies.extend(self.index()),
                Message::Index {
                    after,
                    upto,
                    entries,
                } => {
                    self.compare(after, upto, entries, &mut done, &mut wanted);
                }
                Message::Heads { entries } => {
                    for (key, heads) in entries {
                        self.answer_heads(key, &heads, &mut done);
                    }
                }
                Message::Changes {
                    key,
                    heads,
                    more,
                    payload,
                } => match self.take_changes(&key, payload, now_ms, &mut done) {
                    Ok(()) if more => {}
                    Ok(()) => self.after_changes(key, &heads, &mut done, &mut wanted),
                    Err(error) => not_taken(key, error, &mut done, &mut wanted),
                },
                Message::Bloom { key, turn, bytes } => {
                    if let Err(error) = self.take_bloom(&key, turn, &bytes, &mut done) {
                        not_taken(key, error, &mut done, &mut wanted);
                    }
                }
            }
        }
        if !wanted.is_empty() {
            done.replies.push(Message::Heads { entries: wanted });
        }
        done
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
        wanted: &mut Vec<(DocumentKey, Heads)>,
    ) {
        if let (Some(after), Some(upto)) = (&after, &upto)
            && after >= upto
        {
            return;
        }
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = upto.map_or(Bound::Unbounded, Bound::Included);
        let named = entries
            .iter()
            .map(|(key, _)| &key.id)
            .collect::<std::collections::BTreeSet<_>>();
        for (id, document) in self.documents.range::<DocumentId, _>((after, upto)) {
            if !named.contains(id) {
                done.replies.extend(told(document, &[]));
            }
        }
        for (key, heads) in entries {
            match self.documents.get(&key.id) {
                Some(mine) if mine.key().epoch > key.epoch => done.replies.extend(told(mine, &[])),
                Some(mine) if mine.key().epoch == key.epoch => {
                    let (own, theirs) = (mine.heads(), change_hashes(&heads));
                    if own == theirs {
                    } else if mine.knows(&theirs) {
                        done.replies.extend(told(mine, &theirs));
                    } else {
                        wanted.push((key, hashes(&own)));
                    }
                }
                _ => wanted.push((key, Heads::new())),
            }
        }
    }

    fn answer_heads(&self, key: DocumentKey, heads: &Heads, done: &mut Exchanged) {
        let Some(mine) = self.latest(&done.staged, &key.id) else {
            return;
        };
        let theirs = change_hashes(heads);
        let answer = match mine.key().epoch.cmp(&key.epoch) {
            std::cmp::Ordering::Less => Vec::new(),
            std::cmp::Ordering::Greater => told(mine, &[]),
            std::cmp::Ordering::Equal if mine.heads() == theirs => Vec::new(),
            std::cmp::Ordering::Equal if mine.knows(&theirs) => told(mine, &theirs),
            std::cmp::Ordering::Equal => match mine.bloom(None) {
                Ok((_, Some(bytes))) => vec![Message::Bloom {
                    key,
                    turn: 0,
                    bytes,
                }],
                _ => Vec::new(),
            },
        };
        done.replies.extend(answer);
    }

    fn take_changes(
        &mut self,
        key: &DocumentKey,
        payload: Payload,
        now_ms: i64,
        done: &mut Exchanged,
    ) -> Result<(), FaultError> {
        if !key.id.is_valid() {
            return Err(FaultError::Name);
        }
        let before = self.latest(&done.staged, &key.id).cloned();
        if before.is_none() && self.documents.len() + done.staged.documents.len() >= DOCUMENTS_MAX {
            return Err(FaultError::TooMany);
        }
        if before
            .as_ref()
            .is_some_and(|before| before.key().epoch > key.epoch)
        {
            // What the peer wrote to the older epoch it takes over itself, when it hears of the newer one.
            return Ok(());
        }
        let next = match (&before, &payload) {
            (Some(mine), Payload::Changes(changes)) if mine.key() == key => {
                mine.with_changes(changes)?
            }
            (_, Payload::Changes(changes)) => Document::genesis(key).with_changes(changes)?,
            (_, Payload::Document(bytes)) => Document::load(key, bytes)?,
        };
        let next = match &before {
            None => next,
            Some(mine) if mine.key() == key && matches!(payload, Payload::Changes(_)) => next,
            Some(mine) if mine.key() == key => match mine.merged(&next) {
                Ok(merged) => merged,
                Err(DocumentError::DuplicateChange) if next.heads() > mine.heads() => {
                    return self.adopt(mine, &next, now_ms, done);
                }
                Err(DocumentError::DuplicateChange) => {
                    done.replies.extend(told(mine, &[]));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
            // A newer epoch, whole: changes alone may stand on others that are still to come.
            Some(mine) if matches!(payload, Payload::Document(_)) => {
                let actor = rand::Rng::random(&mut self.rng);
                succession::succeed(mine, &next, actor, now_ms)?
            }
            Some(_) => return Ok(()),
        };
        if before
            .as_ref()
            .is_none_or(|before| before.key() != next.key() || before.heads() != next.heads())
        {
            self.stage(&mut done.staged, before.as_ref(), next);
        }
        Ok(())
    }

    /// Go on in the history of a peer, because an actor of ours wrote two: put what we have again, as somebody new.
    fn adopt(
        &mut self,
        mine: &Document,
        theirs: &Document,
        now_ms: i64,
        done: &mut Exchanged,
    ) -> Result<(), FaultError> {
        let actor = rand::Rng::random(&mut self.rng);
        let next = succession::succeed(mine, theirs, actor, now_ms)?;
        let bundle = super::Bundle {
            key: next.key().clone(),
            kind: BundleKind::Snapshot,
            bytes: next.save().into(),
        };
        done.staged.bundles.push(bundle);
        done.staged.replaced.push(mine.key().clone());
        done.replies.extend(told(&next, &theirs.heads()));
        done.staged.documents.insert(next.key().id.clone(), next);
        Ok(())
    }

    /// See who lacks something after changes were taken.
    fn after_changes(
        &self,
        key: DocumentKey,
        heads: &Heads,
        done: &mut Exchanged,
        wanted: &mut Vec<(DocumentKey, Heads)>,
    ) {
        let theirs = change_hashes(heads);
        match self.latest(&done.staged, &key.id) {
            Some(mine) if mine.key().epoch > key.epoch => {
                let answer = told(mine, &[]);
                done.replies.extend(answer);
            }
            Some(mine) if mine.key().epoch == key.epoch => {
                if !mine.knows(&theirs) {
                    wanted.push((key, hashes(&mine.heads())));
                } else if mine.heads() != theirs {
                    let answer = told(mine, &theirs);
                    done.replies.extend(answer);
                }
            }
            _ => wanted.push((key, Heads::new())),
        }
    }

    fn take_bloom(
        &mut self,
        key: &DocumentKey,
        turn: u8,
        bytes: &[u8],
        done: &mut Exchanged,
    ) -> Result<(), FaultError> {
        let Some(before) = self
            .latest(&done.staged, &key.id)
            .filter(|mine| mine.key() == key)
            .cloned()
        else {
            return Ok(());
        };
        let (next, answer) = before.bloom(Some(bytes))?;
        if let Some(bytes) = answer.filter(|_| turn < BLOOM_TURNS_MAX) {
            done.replies.push(Message::Bloom {
                key: key.clone(),
                turn: turn + 1,
                bytes,
            });
        }
        if next.heads() != before.heads() {
            self.stage(&mut done.staged, Some(&before), next);
        }
        Ok(())
    }
}

/// Tell why something was not taken. Two histories of one actor are looked at whole, to go on in one of them.
fn not_taken(
    key: DocumentKey,
    error: FaultError,
    done: &mut Exchanged,
    wanted: &mut Vec<(DocumentKey, Heads)>,
) {
    match error {
        FaultError::Document(DocumentError::DuplicateChange) => wanted.push((key, Heads::new())),
        error => done.faults.push(Fault {
            document: Some(key),
            error,
        }),
    }
}

/// What somebody with these heads lacks of a document; somebody without any gets it whole.
pub(super) fn told(document: &Document, since: &[ChangeHash]) -> Vec<Message> {
    let key = document.key();
    let heads = hashes(&document.heads());
    let message = |more, payload| Message::Changes {
        key: key.clone(),
        heads: heads.clone(),
        more,
        payload,
    };
    if since.is_empty() {
        return vec![message(false, Payload::Document(document.save()))];
    }
    let mut parts: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    let mut bytes = 0;
    for change in document.changes_since(since) {
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
        .map(|(at, changes)| message(at < last, Payload::Changes(changes)))
        .collect()
}

fn change_hashes(heads: &Heads) -> Vec<ChangeHash> {
    let mut heads: Vec<ChangeHash> = heads.iter().map(|&head| ChangeHash(head)).collect();
    heads.sort_unstable();
    heads
}
