use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    load::{Load, Loads},
    ring::{Placement, PlacementKey},
    set::{State, StoreSet},
};
use crate::{ids::StoreName, layout::ChunkKey};

/// Ticks after which a plan is taken as it is.
const TICKS_MAX: usize = 64;

/// A chunk, and where it is by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The chunk.
    pub key: ChunkKey,
    /// Its size.
    pub bytes: u64,
    /// The stores that hold a copy, the primary first.
    pub stores: Vec<StoreName>,
}

/// How much is moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The part of what a store has too much that is moved in one tick.
    pub alpha: f64,
    /// How far over its share a store may be before anything is moved: 0.05 is 5 %.
    pub threshold: f64,
    /// Moves of one plan at most.
    pub moves_max: usize,
    /// Bytes of one plan at most.
    pub bytes_max: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Rule {
            alpha: 0.5,
            threshold: 0.05,
            moves_max: usize::MAX,
            bytes_max: u64::MAX,
        }
    }
}

/// Why a copy moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The store is lost, or not in the set: the copy is made again from another.
    Lost,
    /// There are fewer copies than there should be.
    TooFew,
    /// The store is to be emptied.
    Drain,
    /// Two copies are in one zone, and another zone has none.
    Zone,
    /// There are more copies than there should be.
    Surplus,
    /// The store holds more than its share.
    Balance,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::Lost => "lost",
            Why::TooFew => "too_few",
            Why::Drain => "drain",
            Why::Zone => "zone",
            Why::Surplus => "surplus",
            Why::Balance => "balance",
        })
    }
}

/// One copy made, one let go, or both: first the one, then the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The chunk.
    pub key: ChunkKey,
    /// Its size.
    pub bytes: u64,
    /// The store that lets its copy go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<StoreName>,
    /// The store that gets one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<StoreName>,
    /// Why.
    pub why: Why,
    /// The stores that hold the chunk afterwards, the primary first.
    pub stores: Vec<StoreName>,
}

/// What is to be moved, and what that comes to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// The moves, in order.
    pub moves: Vec<Move>,
    /// Copies that are made.
    pub copies: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What each store holds before.
    pub before: Loads,
    /// What each store holds afterwards.
    pub after: Loads,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

/// One tick: what is missing or must go comes first, then, for each store over its share × (1 + threshold), α of what it
/// has too much goes to stores below theirs. Nothing is ever planned to have fewer copies on the way than before.
#[must_use]
pub fn plan(set: &StoreSet, chunks: &[Placed], rule: &Rule) -> Plan {
    let mut state = Planning::new(set, chunks);
    let before = state.loads();
    let mut moves = Vec::new();
    state.tick(rule, &mut moves);
    state.finish(moves, before)
}

/// All ticks until nothing is left to do: the whole of what a change to the set means.
#[must_use]
pub fn plan_to_rest(set: &StoreSet, chunks: &[Placed], rule: &Rule) -> Plan {
    let mut state = Planning::new(set, chunks);
    let before = state.loads();
    let mut moves = Vec::new();
    for _ in 0..TICKS_MAX {
        let had = moves.len();
        state.tick(rule, &mut moves);
        if moves.len() == had {
            break;
        }
    }
    state.finish(moves, before)
}

/// Where a copy is: a store that takes chunks, by its number in the placement, or one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Active(u16),
    /// It has to go from there, but can be read.
    Draining(u16),
    Gone(u16),
}

#[derive(Debug)]
struct Planning<'a> {
    placement: Placement,
    zones: usize,
    chunks: &'a [Placed],
    copies: Vec<Vec<At>>,
    /// Names of the stores that take no chunks.
    others: Vec<StoreName>,
    held: Vec<u64>,
    bytes: u64,
}

impl<'a> Planning<'a> {
    fn new(set: &StoreSet, chunks: &'a [Placed]) -> Planning<'a> {
        let placement = Placement::of(set);
        let mut others: Vec<StoreName> = Vec::new();
        let mut known: BTreeMap<StoreName, At> = BTreeMap::new();
        let mut held = vec![0; placement.len()];
        let mut copies = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let mut at = Vec::with_capacity(chunk.stores.len());
            for name in &chunk.stores {
                let place =
                    *known
                        .entry(name.clone())
                        .or_insert_with(|| match placement.index(name) {
                            Some(index) => At::Active(index as u16),
                            None => {
                                others.push(name.clone());
                                let number = (others.len() - 1) as u16;
                                match set.member(name).map(|m| m.state) {
                                    Some(State::Draining) => At::Draining(number),
                                    _ => At::Gone(number),
                                }
                            }
                        });
                if let At::Active(index) = place {
                    held[usize::from(index)] += chunk.bytes;
                }
                at.push(place);
            }
            copies.push(at);
        }
        Planning {
            zones: placement.zones(),
            placement,
            chunks,
            copies,
            others,
            held,
            bytes: 0,
        }
    }

    fn name(&self, at: At) -> &StoreName {
        match at {
            At::Active(index) => self.placement.name(usize::from(index)),
            At::Draining(number) | At::Gone(number) => &self.others[usize::from(number)],
        }
    }

    fn tick(&mut self, rule: &Rule, moves: &mut Vec<Move>) {
        for chunk in 0..self.chunks.len() {
            while self.has_room(rule, moves) && self.mend(chunk, moves) {}
        }
        self.balance(rule, moves);
    }

    fn has_room(&self, rule: &Rule, moves: &[Move]) -> bool {
        moves.len() < rule.moves_max && self.bytes < rule.bytes_max
    }

    /// Plan the most urgent thing that a chunk needs, whatever the loads are. Says whether there was one.
    fn mend(&mut self, chunk: usize, moves: &mut Vec<Move>) -> bool {
        let wanted = self.placement.copies();
        let at = &self.copies[chunk];
        let active = at.iter().filter(|at| matches!(at, At::Active(_))).count();
        // Of a chunk whose copies are all gone there is nothing to be made: it is told, not planned.
        let can_be_read = at.iter().any(|at| !matches!(at, At::Gone(_)));
        if !can_be_read {
            return false;
        }
        let gone = at.iter().position(|at| matches!(at, At::Gone(_)));
        let leaving = at.iter().position(|at| matches!(at, At::Draining(_)));
        if let Some(slot) = gone {
            let to = (active < wanted).then(|| self.target(chunk)).flatten();
            self.do_move(chunk, Some(slot), to, Why::Lost, moves);
            return true;
        }
        if let Some(slot) = leaving {
            let to = (active < wanted).then(|| self.target(chunk)).flatten();
            if active + usize::from(to.is_some()) == 0 {
                return false;
            }
            self.do_move(chunk, Some(slot), to, Why::Drain, moves);
            return true;
        }
        if active < wanted {
            let Some(to) = self.target(chunk) else {
                return false;
            };
            self.do_move(chunk, None, Some(to), Why::TooFew, moves);
            return true;
        }
        if active > wanted {
            let slot = self.fullest(chunk);
            self.do_move(chunk, Some(slot), None, Why::Surplus, moves);
            return true;
        }
        if let Some((slot, to)) = self.crowded(chunk) {
            self.do_move(chunk, Some(slot), Some(to), Why::Zone, moves);
            return true;
        }
        false
    }

    /// The store that a chunk's next copy goes to.
    fn target(&self, chunk: usize) -> Option<usize> {
        let key = PlacementKey::of(&self.chunks[chunk].key);
        let has = |at: usize| self.copies[chunk].contains(&At::Active(at as u16));
        let total: u64 = self.held.iter().sum::<u64>() + self.chunks[chunk].bytes;
        let has_room =
            |at: usize| (self.held[at] as f64) < 1.05 * total as f64 * self.placement.share(at);
        let is_new_zone = |at: usize| !self.has_zone(chunk, self.placement.zone(at), None);
        let tries: [&dyn Fn(usize) -> bool; 3] = [
            &|at| is_new_zone(at) && has_room(at),
            &|at| is_new_zone(at),
            &|at| has_room(at),
        ];
        let mut found = tries
            .iter()
            .find_map(|fits| self.placement.first(key, |at| !has(at) && fits(at)));
        if found.is_none() {
            found = self.placement.first(key, |at| !has(at));
        }
        found
    }

    fn has_zone(&self, chunk: usize, zone: usize, but: Option<usize>) -> bool {
        let copies = self.copies[chunk].iter().enumerate();
        copies
            .filter(|(slot, _)| Some(*slot) != but)
            .any(|(_, at)| match at {
                At::Active(index) => self.placement.zone(usize::from(*index)) == zone,
                _ => false,
            })
    }

    /// The copy at the store that is fullest by its share; one in a zone that has another goes first.
    fn fullest(&self, chunk: usize) -> usize {
        let copies = self.copies[chunk].iter().enumerate();
        let ranked = copies.filter_map(|(slot, at)| match at {
            At::Active(index) => {
                let index = usize::from(*index);
                let is_double = self.has_zone(chunk, self.placement.zone(index), Some(slot));
                let load = self.held[index] as f64 / self.placement.share(index);
                Some((slot, is_double, load))
            }
            _ => None,
        });
        let fullest = ranked.max_by(|a, b| a.1.cmp(&b.1).then(a.2.total_cmp(&b.2)));
        fullest.map_or(0, |(slot, ..)| slot)
    }

    /// A copy that shares its zone with another, and a store in a zone without one.
    fn crowded(&self, chunk: usize) -> Option<(usize, usize)> {
        if self.zones < 2 || self.copies[chunk].len() < 2 {
            return None;
        }
        let double = self.copies[chunk]
            .iter()
            .enumerate()
            .rposition(|(slot, at)| match at {
                At::Active(index) => {
                    self.has_zone(chunk, self.placement.zone(usize::from(*index)), Some(slot))
                }
                _ => false,
            })?;
        let to = self.target(chunk)?;
        (!self.has_zone(chunk, self.placement.zone(to), None)).then_some((double, to))
    }

    /// The article's rule: over its share × (1 + threshold), α × (load − share) goes, the chunks that do most first.
    fn balance(&mut self, rule: &Rule, moves: &mut Vec<Move>) {
        let total: u64 = self.held.iter().sum();
        let n = self.placement.len();
        let shares: Vec<f64> = (0..n)
            .map(|at| total as f64 * self.placement.share(at))
            .collect();
        let relative = |held: u64, at: usize| held as f64 / shares[at].max(1.0);
        let mut over: Vec<usize> = (0..n)
            .filter(|&at| self.held[at] as f64 > shares[at] * (1.0 + rule.threshold))
            .collect();
        if over.is_empty() || n < 2 {
            return;
        }
        over.sort_by(|&a, &b| relative(self.held[b], b).total_cmp(&relative(self.held[a], a)));
        // The chunks of the full stores only.
        let mut theirs: Vec<Vec<u32>> = vec![Vec::new(); n];
        for (chunk, copies) in self.copies.iter().enumerate() {
            for at in copies {
                if let At::Active(index) = at
                    && over.contains(&usize::from(*index))
                {
                    theirs[usize::from(*index)].push(chunk as u32);
                }
            }
        }
        for from in over {
            let excess = self.held[from] as f64 - shares[from];
            let mut left = rule.alpha * excess;
            let is_below = |this: &Self, at: usize, bytes: u64| {
                // Never so much that it is the next one over, nor fuller than where it comes from.
                let then = this.held[at] + bytes;
                then as f64 <= shares[at] * (1.0 + rule.threshold / 2.0)
                    && relative(then, at) < relative(this.held[from], from)
            };
            let mut candidates: Vec<(bool, u64, u32)> = theirs[from]
                .iter()
                .map(|&chunk| {
                    let placed = &self.chunks[chunk as usize];
                    let key = PlacementKey::of(&placed.key);
                    // Those whose place on the ring is at a store that has room are where they do not belong.
                    let belongs = self
                        .placement
                        .first(key, |_| true)
                        .is_some_and(|first| first != from && is_below(self, first, placed.bytes));
                    (!belongs, u64::MAX - placed.bytes, chunk)
                })
                .collect();
            candidates.sort_unstable();
            for (_, _, chunk) in candidates {
                if left <= 0.0 || !self.has_room(rule, moves) {
                    break;
                }
                let chunk = chunk as usize;
                let bytes = self.chunks[chunk].bytes;
                // A chunk that is larger than what is left goes only where nothing smaller could.
                if bytes as f64 > left && bytes as f64 > excess {
                    continue;
                }
                let Some(slot) = self.copies[chunk]
                    .iter()
                    .position(|at| *at == At::Active(from as u16))
                else {
                    continue;
                };
                let key = PlacementKey::of(&self.chunks[chunk].key);
                let to = self.placement.first(key, |at| {
                    at != from
                        && is_below(self, at, bytes)
                        && !self.copies[chunk].contains(&At::Active(at as u16))
                        && (!self.has_zone(chunk, self.placement.zone(at), Some(slot))
                            || self.has_zone(chunk, self.placement.zone(from), Some(slot)))
                });
                if let Some(to) = to {
                    self.do_move(chunk, Some(slot), Some(to), Why::Balance, moves);
                    left -= bytes as f64;
                }
            }
        }
    }

    fn do_move(
        &mut self,
        chunk: usize,
        from: Option<usize>,
        to: Option<usize>,
        why: Why,
        moves: &mut Vec<Move>,
    ) {
        let placed = &self.chunks[chunk];
        let was = from.map(|slot| self.copies[chunk][slot]);
        let target = to.map(|at| At::Active(at as u16));
        match (from, target) {
            (Some(slot), Some(target)) => self.copies[chunk][slot] = target,
            (Some(slot), None) => {
                self.copies[chunk].remove(slot);
            }
            (None, Some(target)) => self.copies[chunk].push(target),
            (None, None) => return,
        }
        if let Some(At::Active(index)) = was {
            self.held[usize::from(index)] -= placed.bytes;
        }
        if let Some(to) = to {
            self.held[to] += placed.bytes;
            self.bytes += placed.bytes;
        }
        let stores = self.copies[chunk].iter().map(|at| self.name(*at).clone());
        moves.push(Move {
            key: placed.key.clone(),
            bytes: placed.bytes,
            from: was.map(|at| self.name(at).clone()),
            to: to.map(|at| self.placement.name(at).clone()),
            why,
            stores: stores.collect(),
        });
    }

    /// What each store holds, those of the set that hold nothing too.
    fn loads(&self) -> Loads {
        let mut loads = Loads::default();
        for at in 0..self.placement.len() {
            loads
                .0
                .insert(self.placement.name(at).clone(), Load::default());
        }
        for (chunk, copies) in self.chunks.iter().zip(&self.copies) {
            for at in copies {
                loads.add(self.name(*at), chunk.bytes);
            }
        }
        loads
    }

    fn finish(self, moves: Vec<Move>, before: Loads) -> Plan {
        Plan {
            copies: moves.iter().filter(|m| m.to.is_some()).count() as u64,
            bytes: self.bytes,
            after: self.loads(),
            before,
            moves,
        }
    }
}
