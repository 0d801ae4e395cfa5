use std::collections::{BTreeMap, BTreeSet, HashSet};

use automerge::{ChangeHash, ScalarValue};

use super::{Bundle, Fault};
use crate::twin::{
    document::{
        Carried, Document, DocumentError, DocumentKey, Dot, EPOCH_MAX, EPOCHS_KNOWN, Known,
        PastText, Section, Standing, fixed_actor,
    },
    resolve::resolve,
    write::Write,
};

/// A moment before all others: what is decided as of then is the same on every node.
const BEFORE_ALL_MS: i64 = i64::MIN;
/// Writes of one attribute beside each other that go on into the next epoch: the one that holds, and the latest others.
const LAYERS_MAX: usize = 16;

/// Changes that another history of the document does not have, and has others in their place: the actor ran twice.
type Apart = HashSet<ChangeHash>;

/// The key of the next epoch of a document.
fn next_key(document: &Document) -> Result<DocumentKey, DocumentError> {
    match document.key().epoch {
        EPOCH_MAX.. => Err(DocumentError::LastEpoch),
        epoch => Ok(DocumentKey {
            id: document.key().id.clone(),
            epoch: epoch + 1,
        }),
    }
}

/// The next epoch of a document: what it says now, without its past.
pub(super) fn rolled(document: &Document) -> Result<Document, DocumentError> {
    carried(document, &next_key(document)?, &Apart::new())
}

/// Go on in a newer epoch than that of the document that we have: what it said goes along, as one more beginning of that
/// epoch, unless whoever began it knew all of that.
pub(super) fn succeed(before: &Document, next: &Document) -> Result<Document, DocumentError> {
    let mine = carried(before, next.key(), &Apart::new())?;
    let is_known = |mine| next.pasts().iter().any(|past| past.knows_all_of(mine));
    match mine.pasts().iter().all(is_known) {
        true => Ok(next.clone()),
        false => next.merged(&mine),
    }
}

/// Join two histories that one actor wrote, each without knowing of the other: both go on in the next epoch. What either
/// wrote since they parted counts as written by somebody of its own, so that none of it passes for known to the other.
pub(super) fn healed(mine: &Document, theirs: &Document) -> Result<Document, DocumentError> {
    let key = next_key(mine)?;
    let ours = carried(mine, &key, &apart(mine, theirs))?;
    ours.merged(&carried(theirs, &key, &apart(theirs, mine))?)
}

/// Changes of actors that went on otherwise in another history.
fn apart(document: &Document, other: &Document) -> Apart {
    let there = other.actors();
    let changes = document.automerge().get_changes_meta(&[]);
    let mut parted: BTreeMap<&[u8], u64> = BTreeMap::new();
    for change in &changes {
        let actor = change.actor.to_bytes();
        let is_theirs = there.get(actor).is_some_and(|&seq| seq >= change.seq);
        if is_theirs && !other.knows(&[change.hash]) {
            let first = parted.entry(actor).or_insert(change.seq);
            *first = change.seq.min(*first);
        }
    }
    let is_apart = |actor: &[u8], seq| parted.get(actor).is_some_and(|&first| seq >= first);
    let apart = changes
        .iter()
        .filter(|change| is_apart(change.actor.to_bytes(), change.seq));
    apart.map(|change| change.hash).collect()
}

/// A change as if somebody had written it who wrote nothing else.
fn renamed(change: &ChangeHash) -> Dot {
    Dot {
        actor: change.0[..16].to_vec(),
        seq: 1,
    }
}

/// A document that begins an epoch with what another says. Whoever begins it with the same, knowing the same, writes the
/// same bytes; otherwise the beginnings stand beside each other, and [`Past`](crate::twin::document::Past) tells what of
/// them was replaced.
fn carried(
    document: &Document,
    key: &DocumentKey,
    apart: &Apart,
) -> Result<Document, DocumentError> {
    let mut layers: Vec<Vec<(Section, String, ScalarValue)>> = Vec::new();
    let mut all = Vec::new();
    for &section in key.id.sections() {
        for attribute in document.attributes(section) {
            let standing = document.standing(section, &attribute);
            let kept = match section.has_writes() {
                true => writes(document, section, &attribute, standing),
                false => standing
                    .into_iter()
                    .next_back()
                    .into_iter()
                    .filter(|standing| !standing.scalar.is_null())
                    .collect(),
            };
            for (layer, standing) in kept.into_iter().enumerate() {
                let Some(dot) = dot(document, &standing, apart) else {
                    continue;
                };
                if layers.len() == layer {
                    layers.push(Vec::new());
                }
                layers[layer].push((section, attribute.clone(), standing.scalar));
                all.push(Carried {
                    section,
                    attribute: attribute.clone(),
                    layer: layer as u8,
                    dot,
                });
            }
        }
    }
    let mut next = Document::genesis(key);
    let mut actors = Vec::new();
    for layer in &layers {
        let actor = fixed_actor("layer", key, format!("{layer:?}").as_bytes());
        actors.push(actor.to_bytes().to_vec());
        // Each stands on the genesis alone, so that they stand beside each other.
        let mut alone = Document::genesis(key);
        alone.write_as(actor, layer, 0)?;
        next = next.merged(&alone)?;
    }
    let past = PastText {
        layers: actors,
        known: known(document, key, apart),
        carried: all,
    };
    next.put_past(fixed_actor("epoch", key, &past.to_bytes()), &past)?;
    Ok(next)
}

/// The writes of an attribute that go along: the one that holds first, whatever the time.
fn writes(
    document: &Document,
    section: Section,
    attribute: &str,
    standing: Vec<Standing>,
) -> Vec<Standing> {
    let mut by_text: BTreeMap<String, Standing> = BTreeMap::new();
    let mut writes = Vec::new();
    for one in standing {
        if let Some(write) = one.scalar.as_str().and_then(Write::parse) {
            by_text.entry(write.to_text()).or_insert(one);
            writes.push(write);
        }
    }
    let policy = document.policy(section, attribute);
    let resolved = resolve(&writes, &policy, BEFORE_ALL_MS);
    let losers = resolved.losers.into_iter().map(|(write, _)| write);
    let ordered = resolved.winner.into_iter().chain(losers);
    ordered
        .filter_map(|write| by_text.remove(&write.to_text()))
        .take(LAYERS_MAX)
        .collect()
}

/// The change that first wrote what stands.
fn dot(document: &Document, standing: &Standing, apart: &Apart) -> Option<Dot> {
    if let Some(from) = &standing.from {
        return Some(from.clone());
    }
    let (dot, change) = document.dot(&standing.operation)?;
    Some(if apart.contains(&change) {
        renamed(&change)
    } else {
        dot
    })
}

/// All changes that a document knows of, its own and those of the epochs before.
fn known(document: &Document, key: &DocumentKey, apart: &Apart) -> BTreeMap<Vec<u8>, Known> {
    let mut known: BTreeMap<Vec<u8>, Known> = BTreeMap::new();
    let mut note = |actor: &[u8], one: Known| {
        let is = known.entry(actor.to_vec()).or_insert(one);
        is.seq = is.seq.max(one.seq);
    };
    let mut fixed = BTreeSet::from([document.genesis_actor().clone()]);
    for past in document.pasts() {
        fixed.insert(past.by.clone());
        fixed.extend(past.layers.iter().cloned());
        for (actor, one) in &past.known {
            if one.epoch.saturating_add(EPOCHS_KNOWN) >= key.epoch {
                note(actor, *one);
            }
        }
    }
    let epoch = document.key().epoch;
    for change in document.automerge().get_changes_meta(&[]) {
        if fixed.contains(&*change.actor) {
            continue;
        }
        match apart.contains(&change.hash) {
            true => {
                let Dot { actor, seq } = renamed(&change.hash);
                note(&actor, Known { seq, epoch });
            }
            false => note(
                change.actor.to_bytes(),
                Known {
                    seq: change.seq,
                    epoch,
                },
            ),
        }
    }
    known
}

/// Put a document together from what is stored of it, beside what is there already. What cannot be read is told, and the
/// rest is used. Where one actor wrote two histories, it goes on in the next epoch.
pub(super) fn restored(
    base: &Document,
    bundles: &[&Bundle],
    faults: &mut Vec<Fault>,
) -> Option<Document> {
    let joined = bundles.iter().map(|bundle| &bundle.bytes[..]);
    if let Ok(document) = base.with_stored(&joined.collect::<Vec<_>>().concat()) {
        return Some(document).filter(|document| !document.is_empty());
    }
    // One of them is bad, or two histories were written by one actor: one by one, then, each into every history that it
    // goes together with.
    let mut histories = vec![base.clone()];
    for bundle in bundles {
        let mut is_taken = false;
        let mut refused = None;
        for history in &mut histories {
            match history.with_stored(&bundle.bytes) {
                Ok(next) => {
                    *history = next;
                    is_taken = true;
                }
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(DocumentError::DuplicateChange) if !is_taken => {
                histories.extend(Document::load(base.key(), &bundle.bytes).ok());
            }
            Some(error) if !is_taken => faults.push(Fault {
                document: Some(base.key().clone()),
                error: error.into(),
            }),
            _ => {}
        }
    }
    let mut histories = histories.into_iter().filter(|history| !history.is_empty());
    let mut document = histories.next()?;
    for other in histories {
        let joined = match document.key() == other.key() {
            true => match document.merged(&other) {
                Err(DocumentError::DuplicateChange) => healed(&document, &other),
                merged => merged,
            },
            false => succeed(&other, &document),
        };
        match joined {
            Ok(joined) => document = joined,
            Err(error) => faults.push(Fault {
                document: Some(base.key().clone()),
                error: error.into(),
            }),
        }
    }
    Some(document)
}
