use automerge::{
    ChangeHash, ObjId, ScalarValue,
    legacy::{Key, ObjectId, OpType},
};
use serde_json::Value;

use super::{
    document::{Document, Section, is_object},
    edit::value,
    write::{DEVICE, Write},
};

/// One change of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// When, milliseconds since 1970 UTC; none for what an epoch of the document began with and nobody dated.
    pub at_ms: Option<i64>,
    /// Who.
    pub by: String,
    /// Section of the attribute.
    pub section: Section,
    /// The attribute.
    pub attribute: String,
    /// What it became; null where it was taken away.
    pub value: Value,
    /// Id of the write; none for what only the owner writes.
    pub id: Option<String>,
}

/// Who changed what, when, since the document's epoch began: latest first, at most `max`.
#[must_use]
pub fn history(document: &Document, max: usize) -> Vec<Changed> {
    let maps: Vec<(Section, ObjId)> = document.maps();
    let mut all = Vec::new();
    for change in document.automerge().get_changes(&[] as &[ChangeHash]) {
        let change = change.decode();
        let at_ms = (change.time != 0).then(|| change.time.saturating_mul(1000));
        for operation in change.operations {
            let (Some(section), Key::Map(attribute)) =
                (section(&maps, &operation.obj), operation.key)
            else {
                continue;
            };
            let scalar = match operation.action {
                OpType::Put(scalar) => scalar,
                _ => ScalarValue::Null,
            };
            let write = scalar
                .as_str()
                .filter(|_| section.has_writes())
                .and_then(Write::parse);
            all.push(match write {
                Some(write) => Changed {
                    at_ms: Some(write.at.ms),
                    by: write.by,
                    section,
                    attribute: attribute.to_string(),
                    value: write.v,
                    id: Some(write.id),
                },
                None => Changed {
                    at_ms,
                    by: DEVICE.to_owned(),
                    section,
                    attribute: attribute.to_string(),
                    value: value(&scalar),
                    id: None,
                },
            });
        }
    }
    // What was written on both sides of a cut line comes in the order of its time.
    all.sort_by_key(|changed| std::cmp::Reverse(changed.at_ms));
    all.dedup_by(|a, b| a.id.is_some() && a.id == b.id);
    all.truncate(max);
    all
}

fn section(maps: &[(Section, ObjId)], object: &ObjectId) -> Option<Section> {
    let mut maps = maps.iter();
    maps.find(|(_, map)| is_object(map, object))
        .map(|(section, _)| *section)
}
