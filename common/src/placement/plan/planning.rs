use rustc_hash::FxHashMap;

use super::{Move, Placed, Plan, Rule, Why};
use crate::{
    ids::StoreName,
    placement::{
        load::Loads,
        ring::{Placement, PlacementKey},
        set::{State, StoreSet},
    },
};

/// Where a copy is: a store that takes chunks, by its number in the placement, or one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Active(u16),
    /// It has to go from there, but can be read.
    Draining(u32),
    /// The store is lost, or not in the set.
    Gone(u32),
}

/// Where all copies are, as the moves planned so far leave them.
#[derive(Debug)]
pub(super) struct Planning<'a> {
    pub(super) placement: Placement,
    pub(super) rule: Rule,
    pub(super) chunks: &'a [Placed],
    /// The copies of all chunks, one chunk behind the other.
    slots: Vec<At>,
    /// Where each chunk's begin, and how many there are. Behind them is room for as many as there should be.
    begins: Vec<(usize, u32)>,
    /// Names of the stores that take no chunks.
    others: Vec<StoreName>,
    /// Bytes that each store of the placement holds.
    pub(super) held: Vec<u64>,
    pub(super) moves: Vec<Move>,
    /// Bytes copied by them.
    bytes: u64,
}

impl<'a> Planning<'a> {
    pub(super) fn new(set: &StoreSet, chunks: &'a [Placed], rule: &Rule) -> Planning<'a> {
        let placement = Placement::of(set);
        let mut planning = Planning {
            rule: *rule,
            slots: Vec::with_capacity(chunks.len() * placement.copies().max(1)),
            begins: Vec::with_capacity(chunks.len()),
            others: Vec::new(),
            held: vec![0; placement.len()],
            moves: Vec::new(),
            bytes: 0,
            placement,
            chunks,
        };
        let mut known: FxHashMap<&StoreName, At> = FxHashMap::default();
        for chunk in chunks {
            let begin = planning.slots.len();
            for name in &chunk.stores {
                let at = *known
                    .entry(name)
                    .or_insert_with(|| planning.locate(set, name));
                // A store that the log names twice has one copy.
                if planning.slots[begin..].contains(&at) {
                    continue;
                }
                if let At::Active(index) = at {
                    planning.held[usize::from(index)] += chunk.bytes;
                }
                planning.slots.push(at);
            }
            let count = planning.slots.len() - begin;
            planning.begins.push((begin, count as u32));
            let room = planning.placement.copies().saturating_sub(count);
            planning
                .slots
                .extend(std::iter::repeat_n(At::Gone(0), room));
        }
        planning
    }

    fn locate(&mut self, set: &StoreSet, name: &StoreName) -> At {
        if let Some(index) = self.placement.index(name) {
            return At::Active(index as u16);
        }
        self.others.push(name.clone());
        let number = (self.others.len() - 1) as u32;
        match set.member(name).map(|member| member.state) {
            Some(State::Draining) => At::Draining(number),
            _ => At::Gone(number),
        }
    }

    /// Where the copies of a chunk are, the primary first.
    pub(super) fn copies(&self, chunk: usize) -> &[At] {
        let (begin, count) = self.begins[chunk];
        &self.slots[begin..begin + count as usize]
    }

    /// The copy of a chunk at a store that takes chunks.
    pub(super) fn slot(&self, chunk: usize, store: usize) -> Option<usize> {
        let at = At::Active(store as u16);
        self.copies(chunk).iter().position(|other| *other == at)
    }

    /// Whether a zone has a copy, one of them left aside.
    pub(super) fn has_zone(&self, chunk: usize, zone: usize, but: Option<usize>) -> bool {
        let copies = self.copies(chunk).iter().enumerate();
        copies
            .filter(|(slot, _)| Some(*slot) != but)
            .any(|(_, at)| match at {
                At::Active(index) => self.placement.zone(usize::from(*index)) == zone,
                _ => false,
            })
    }

    pub(super) fn key(&self, chunk: usize) -> PlacementKey {
        PlacementKey::of(&self.chunks[chunk].key)
    }

    /// Whether the plan may have one more move, with so many bytes copied.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let most = self.rule.bytes_max;
        let fits = self.bytes.saturating_add(bytes) <= most || (self.bytes == 0 && most > 0);
        self.moves.len() < self.rule.moves_max && (bytes == 0 || fits)
    }

    /// Plan a copy to be made, one to be let go, or both.
    pub(super) fn do_move(
        &mut self,
        chunk: usize,
        from: Option<usize>,
        to: Option<usize>,
        why: Why,
    ) {
        let placed = &self.chunks[chunk];
        let was = from.map(|slot| self.copies(chunk)[slot]);
        let target = to.map(|at| At::Active(at as u16));
        let (begin, count) = &mut self.begins[chunk];
        let end = *begin + *count as usize;
        match (from, target) {
            (Some(slot), Some(target)) => self.slots[*begin + slot] = target,
            (Some(slot), None) => {
                self.slots
                    .copy_within(*begin + slot + 1..end, *begin + slot);
                *count -= 1;
            }
            (None, Some(target)) => {
                self.slots[end] = target;
                *count += 1;
            }
            (None, None) => return,
        }
        if let Some(At::Active(index)) = was {
            self.held[usize::from(index)] -= placed.bytes;
        }
        if let Some(to) = to {
            self.held[to] += placed.bytes;
            self.bytes += placed.bytes;
        }
        let stores = self.copies(chunk).iter().map(|at| self.name(*at).clone());
        self.moves.push(Move {
            key: placed.key.clone(),
            bytes: placed.bytes,
            from: was.map(|at| self.name(at).clone()),
            to: to.map(|at| self.placement.name(at).clone()),
            why,
            stores: stores.collect(),
        });
    }

    fn name(&self, at: At) -> &StoreName {
        match at {
            At::Active(index) => self.placement.name(usize::from(index)),
            At::Draining(number) | At::Gone(number) => &self.others[number as usize],
        }
    }

    /// What each store holds, those of the set that hold nothing too.
    pub(super) fn loads(&self) -> Loads {
        let mut active = vec![(0, 0); self.placement.len()];
        let mut others = vec![(0, 0); self.others.len()];
        for (at, chunk) in self.chunks.iter().enumerate() {
            for at in self.copies(at) {
                let (bytes, chunks) = match at {
                    At::Active(index) => &mut active[usize::from(*index)],
                    At::Draining(number) | At::Gone(number) => &mut others[*number as usize],
                };
                *bytes += chunk.bytes;
                *chunks += 1_u64;
            }
        }
        let mut loads = Loads::default();
        let names = (0..active.len())
            .map(|at| self.placement.name(at))
            .chain(&self.others);
        for (name, (bytes, chunks)) in names.zip(active.into_iter().chain(others)) {
            let load = loads.0.entry(name.clone()).or_default();
            (load.bytes, load.chunks) = (bytes, chunks);
        }
        loads
    }

    pub(super) fn finish(self, before: Loads) -> Plan {
        Plan {
            copies: self.moves.iter().filter(|m| m.to.is_some()).count() as u64,
            bytes: self.bytes,
            after: self.loads(),
            before,
            moves: self.moves,
        }
    }
}
