use std::collections::BTreeMap;

use parking_lot::Mutex;
use tarn_common::ids::EdgeId;
use tarn_link::Presence;

use super::PlaceId;

/// Boxes that one home may have.
const BOXES_MAX: usize = 256;

/// What the other boxes of the home said of themselves, by box and meeting place.
#[derive(Debug, Default)]
pub(super) struct Others {
    boxes: Mutex<BTreeMap<EdgeId, BTreeMap<u64, Presence>>>,
}

impl Others {
    /// A box has said something at a meeting place. Returns whether there was room for it.
    pub(super) fn set(&self, place: PlaceId, edge: EdgeId, presence: Option<Presence>) -> bool {
        let mut boxes = self.boxes.lock();
        let Some(presence) = presence else {
            if let Some(places) = boxes.get_mut(&edge) {
                places.remove(&place.0);
            }
            boxes.retain(|_, places| !places.is_empty());
            return true;
        };
        if boxes.len() >= BOXES_MAX && !boxes.contains_key(&edge) {
            return false;
        }
        boxes.entry(edge).or_default().insert(place.0, presence);
        true
    }

    /// The meeting place cannot be heard any more: what was said there tells nothing now.
    pub(super) fn forget(&self, place: PlaceId) {
        let mut boxes = self.boxes.lock();
        boxes.retain(|_, places| {
            places.remove(&place.0);
            !places.is_empty()
        });
    }

    /// Whether a box is there at any meeting place.
    pub(super) fn present(&self, edge: EdgeId) -> Option<bool> {
        let boxes = self.boxes.lock();
        let places = boxes.get(&edge)?;
        Some(places.values().any(|presence| presence.online))
    }

    /// Each box with the best that it says anywhere.
    pub(super) fn all(&self) -> Vec<(EdgeId, Presence)> {
        let boxes = self.boxes.lock();
        let best = boxes.iter().filter_map(|(&edge, places)| {
            let best = places.values().max_by_key(|p| (p.online, p.since))?;
            Some((edge, best.clone()))
        });
        best.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_at_one_place_is_there() {
        let others = Others::default();
        let said = |online| {
            Some(Presence {
                online,
                since: jiff::Timestamp::UNIX_EPOCH,
                version: String::new(),
                name: None,
            })
        };
        let (cloud, lan, edge) = (PlaceId(1), PlaceId(2), EdgeId(7));
        assert_eq!(others.present(edge), None);
        assert!(others.set(cloud, edge, said(false)));
        assert_eq!(others.present(edge), Some(false));
        assert!(others.set(lan, edge, said(true)));
        assert_eq!(others.present(edge), Some(true));
        assert!(others.all()[0].1.online);
        others.forget(lan);
        assert_eq!(others.present(edge), Some(false));
        assert!(others.set(cloud, edge, None));
        assert_eq!(others.present(edge), None);
        for n in 0..BOXES_MAX as u64 {
            assert!(others.set(lan, EdgeId(n), said(true)));
        }
        assert!(!others.set(lan, EdgeId(1 << 40), said(true)));
        assert!(others.set(lan, EdgeId(0), said(false)));
    }
}
