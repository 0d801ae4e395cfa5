use automerge::ScalarValue;

use super::{Bundle, Fault};
use crate::twin::{
    document::{Document, DocumentError, DocumentKey, fixed_actor},
    resolve::resolve,
    write::Write,
};

/// A moment before all others: what is decided as of then is the same on every node.
const BEFORE_ALL_MS: i64 = i64::MIN;

/// The next epoch of a document: its values, without its past. Two nodes that begin it with the same values write the same
/// bytes; with others, what they wrote stands beside each other, as if it were written at once.
pub(super) fn rolled(document: &Document) -> Result<Document, DocumentError> {
    let key = DocumentKey {
        id: document.key().id.clone(),
        epoch: document.key().epoch.saturating_add(1),
    };
    let mut scalars = Vec::new();
    for &section in document.key().id.sections() {
        for attribute in document.attributes(section) {
            let scalar = match section.has_writes() {
                true => {
                    let writes = document.writes(section, &attribute);
                    let held = resolve(
                        &writes,
                        &document.policy(section, &attribute),
                        BEFORE_ALL_MS,
                    )
                    .winner;
                    held.map(|write| ScalarValue::Str(write.to_text().into()))
                }
                false => document.scalar(section, &attribute),
            };
            if let Some(scalar) = scalar {
                scalars.push((section, attribute, scalar));
            }
        }
    }
    let mut next = Document::genesis(&key);
    let content = format!("{scalars:?}");
    next.write_as(fixed_actor("epoch", &key, content.as_bytes()), &scalars, 0)?;
    Ok(next)
}

/// Go on in another document than the one that we have of the same name: a newer epoch, or a history that ours does not go
/// together with. What anyone wrote to ours and the other does not have is put again, by somebody new.
pub(super) fn succeed(
    before: &Document,
    next: &Document,
    actor: [u8; 16],
    now_ms: i64,
) -> Result<Document, DocumentError> {
    let mut next = next.clone();
    let mut scalars = Vec::new();
    for &section in before
        .key()
        .id
        .sections()
        .iter()
        .filter(|section| section.has_writes())
    {
        for attribute in before.attributes(section) {
            let there = next.writes(section, &attribute);
            let policy = next.policy(section, &attribute);
            let mut all: Vec<Write> = before.writes(section, &attribute);
            all.retain(|write| there.iter().all(|other| other.id != write.id));
            all.iter_mut().for_each(|write| write.late = true);
            let late: Vec<String> = all.iter().map(|write| write.id.clone()).collect();
            all.extend(there);
            let winner = resolve(&all, &policy, BEFORE_ALL_MS).winner;
            if let Some(winner) = winner.filter(|winner| late.contains(&winner.id)) {
                scalars.push((
                    section,
                    attribute,
                    ScalarValue::Str(winner.to_text().into()),
                ));
            }
        }
    }
    if !scalars.is_empty() {
        next.take_actor(actor);
        next.put(&scalars, now_ms)?;
    }
    Ok(next)
}

/// Put a document together from what is stored of it. What cannot be read is told, and the rest is used.
pub(super) fn restored(
    key: &DocumentKey,
    bundles: &[&Bundle],
    actor: [u8; 16],
    faults: &mut Vec<Fault>,
) -> Option<Document> {
    let joined: Vec<u8> = bundles
        .iter()
        .flat_map(|bundle| bundle.bytes.iter().copied())
        .collect();
    if let Ok(document) = Document::load(key, &joined) {
        return Some(document);
    }
    // One of them is bad, or two histories were written by one actor: one by one, then.
    let mut document: Option<Document> = None;
    for bundle in bundles {
        let base = document.clone().unwrap_or_else(|| Document::genesis(key));
        let next =
            Document::load(key, &bundle.bytes).and_then(|loaded| match base.merged(&loaded) {
                // A snapshot comes first, and what it was made to replace may still be there.
                Err(DocumentError::DuplicateChange) => succeed(&loaded, &base, actor, 0),
                merged => merged,
            });
        match next {
            Ok(next) => document = Some(next),
            Err(error) => faults.push(Fault {
                document: Some(key.clone()),
                error: error.into(),
            }),
        }
    }
    document
}
