use super::{
    Why,
    planning::{At, Planning},
};

/// How many thresholds a store may be below its share before it is given some. By placing alone no store gets over its
/// share by more than ε, but one may well stay a tenth below it: to level that would be moving without end.
const SHORT_THRESHOLDS: f64 = 4.0;
/// How much less uneven a move has to leave two stores, relative to their loads; more than what rounding may do.
const GAIN_MIN: f64 = 1e-9;

/// The article's rule, with the chunks of each store that has too much in the order in which they go.
///
/// No chunk ever goes back and forth: each move makes the sum of load² / share smaller, and there are only so many ways for
/// chunks to lie.
#[derive(Debug)]
pub(super) struct Balance {
    /// Bytes that each store should hold.
    due: Vec<f64>,
    /// Chunks by store, for those that have given some.
    theirs: Vec<Option<Vec<Candidate>>>,
    /// Chunks that a store got in this tick.
    arrived: Vec<Vec<Candidate>>,
}

/// A chunk that may go from a store: the first is the one that goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The ring has it there.
    belongs: bool,
    /// The larger the more good it does.
    bytes: std::cmp::Reverse<u64>,
    chunk: u32,
}

/// What stores may still give and get in this tick.
#[derive(Debug)]
struct Budget {
    /// Bytes, for those over their share.
    gives: Vec<f64>,
    /// Those that are over by more than the threshold give to any that is below its share, the others only to those far below.
    is_over: Vec<bool>,
    /// Bytes, for those far below their share.
    lacks: Vec<f64>,
}

impl Balance {
    pub(super) fn new(planning: &Planning<'_>) -> Balance {
        let total: f64 = planning.held.iter().map(|&held| held as f64).sum();
        let stores = planning.placement.len();
        Balance {
            due: (0..stores)
                .map(|at| (total * planning.placement.share(at)).max(1.0))
                .collect(),
            theirs: vec![None; stores],
            arrived: vec![Vec::new(); stores],
        }
    }

    /// Plan one tick. Says whether there was anything to do.
    pub(super) fn tick(&mut self, planning: &mut Planning<'_>) -> bool {
        let Some(mut budget) = self.budget(planning) else {
            return false;
        };
        let had = planning.moves.len();
        let stores = 0..self.due.len();
        let mut givers: Vec<usize> = stores.filter(|&at| budget.gives[at] > 0.0).collect();
        let relative = |at: usize| planning.held[at] as f64 / self.due[at];
        givers.sort_by(|&a, &b| relative(b).total_cmp(&relative(a)));
        self.look_up(planning, &givers);
        for from in givers {
            self.relieve(planning, &mut budget, from);
        }
        self.settle(planning);
        planning.moves.len() > had
    }

    /// None if all is level.
    fn budget(&self, planning: &Planning<'_>) -> Option<Budget> {
        let (alpha, threshold) = (planning.rule.alpha, planning.rule.threshold);
        let loads = || planning.held.iter().map(|&held| held as f64).zip(&self.due);
        let is_over: Vec<bool> = loads()
            .map(|(held, due)| held > due * (1.0 + threshold))
            .collect();
        let short = 1.0 - SHORT_THRESHOLDS * threshold;
        let lacks = loads().map(|(held, due)| {
            if held < due * short {
                alpha * (due - held)
            } else {
                0.0
            }
        });
        let lacks: Vec<f64> = lacks.collect();
        let is_any_short = lacks.iter().any(|&lacks| lacks > 0.0);
        if !is_any_short && !is_over.contains(&true) {
            return None;
        }
        let gives = loads().zip(&is_over).map(|((held, due), &is_over)| {
            if is_over || is_any_short {
                (alpha * (held - due)).max(0.0)
            } else {
                0.0
            }
        });
        Some(Budget {
            gives: gives.collect(),
            is_over,
            lacks,
        })
    }

    /// List the chunks of stores that give for the first time.
    fn look_up(&mut self, planning: &Planning<'_>, givers: &[usize]) {
        let mut is_new = vec![false; self.due.len()];
        for &at in givers {
            is_new[at] = self.theirs[at].is_none();
        }
        if !is_new.contains(&true) {
            return;
        }
        let mut new: Vec<Vec<Candidate>> = vec![Vec::new(); self.due.len()];
        for chunk in 0..planning.chunks.len() {
            for at in planning.copies(chunk) {
                if let At::Active(index) = at
                    && is_new[usize::from(*index)]
                {
                    new[usize::from(*index)].push(candidate(planning, chunk, usize::from(*index)));
                }
            }
        }
        for (at, mut chunks) in new.into_iter().enumerate().filter(|(at, _)| is_new[*at]) {
            chunks.sort_unstable();
            self.theirs[at] = Some(chunks);
        }
    }

    /// Move from one store what it may give: α of what it has too much, or if every chunk is larger than that, one.
    fn relieve(&mut self, planning: &mut Planning<'_>, budget: &mut Budget, from: usize) {
        let chunks = self.theirs[from].take().unwrap_or_default();
        let mut has_moved = false;
        for at in &chunks {
            let bytes = at.bytes.0 as f64;
            if budget.gives[from] <= 0.0 || !self.is_any_below(planning, budget, from) {
                break;
            }
            if bytes <= budget.gives[from] && self.try_move(planning, budget, from, *at, true) {
                has_moved = true;
            }
        }
        if !has_moved && self.is_any_below(planning, budget, from) {
            // The smallest there are, of those that the ring has elsewhere first.
            let elsewhere = chunks.partition_point(|at| !at.belongs);
            let mut by_size = chunks[..elsewhere]
                .iter()
                .rev()
                .chain(chunks[elsewhere..].iter().rev());
            by_size.find(|at| self.try_move(planning, budget, from, **at, false));
        }
        self.theirs[from] = Some(chunks);
    }

    fn try_move(
        &mut self,
        planning: &mut Planning<'_>,
        budget: &mut Budget,
        from: usize,
        at: Candidate,
        within: bool,
    ) -> bool {
        let (chunk, bytes) = (at.chunk as usize, at.bytes.0);
        let Some(slot) = planning
            .slot(chunk, from)
            .filter(|_| planning.has_room(bytes))
        else {
            return false;
        };
        let fits = |to: usize| {
            let lacks = budget.lacks[to];
            self.may_get(planning, budget, from, to)
                && (!within || budget.is_over[from] || bytes as f64 <= lacks)
                && self.is_better(planning, from, to, bytes)
                && planning.slot(chunk, to).is_none()
                && keeps_zones(planning, chunk, slot, from, to)
        };
        // Most chunks of a store that cannot go anywhere are found out without the ring.
        if !(0..self.due.len()).any(fits) {
            return false;
        }
        let Some(to) = planning.placement.walk(planning.key(chunk)).find(fits) else {
            return false;
        };
        planning.do_move(chunk, Some(slot), Some(to), Why::Balance);
        budget.gives[from] -= bytes as f64;
        budget.lacks[to] -= bytes as f64;
        let arrived = candidate(planning, chunk, to);
        self.arrived[to].push(arrived);
        true
    }

    /// Whether a store may get something from another at all.
    fn may_get(&self, planning: &Planning<'_>, budget: &Budget, from: usize, to: usize) -> bool {
        to != from
            && (planning.held[to] as f64) < self.due[to]
            && (budget.is_over[from] || budget.lacks[to] > 0.0)
    }

    fn is_any_below(&self, planning: &Planning<'_>, budget: &Budget, from: usize) -> bool {
        (0..self.due.len()).any(|to| self.may_get(planning, budget, from, to))
    }

    /// Whether two stores are more level with these bytes moved, and the one that gets them is not over then.
    fn is_better(&self, planning: &Planning<'_>, from: usize, to: usize, bytes: u64) -> bool {
        let (gives, gets, bytes) = (
            planning.held[from] as f64,
            planning.held[to] as f64,
            bytes as f64,
        );
        let then = (gets + bytes) / self.due[to];
        let is_level =
            then <= 1.0 + planning.rule.threshold || then <= (gives - bytes) / self.due[from];
        // The sum of load² / share changes by bytes × (this less that).
        let (this, that) = (
            (2.0 * gets + bytes) / self.due[to],
            (2.0 * gives - bytes) / self.due[from],
        );
        is_level && this < that * (1.0 - GAIN_MIN)
    }

    /// Bring the lists of chunks up to date with what has moved.
    fn settle(&mut self, planning: &Planning<'_>) {
        for (at, theirs) in self.theirs.iter_mut().enumerate() {
            let arrived = std::mem::take(&mut self.arrived[at]);
            let Some(theirs) = theirs else { continue };
            theirs.retain(|candidate| planning.slot(candidate.chunk as usize, at).is_some());
            if !arrived.is_empty() {
                let still =
                    |candidate: &Candidate| planning.slot(candidate.chunk as usize, at).is_some();
                theirs.extend(arrived.into_iter().filter(still));
                theirs.sort();
                theirs.dedup();
            }
        }
    }
}

/// A copy that shares its zone may go to a zone that has another, too.
fn keeps_zones(planning: &Planning<'_>, chunk: usize, slot: usize, from: usize, to: usize) -> bool {
    let placement = &planning.placement;
    !planning.has_zone(chunk, placement.zone(to), Some(slot))
        || planning.has_zone(chunk, placement.zone(from), Some(slot))
}

fn candidate(planning: &Planning<'_>, chunk: usize, at: usize) -> Candidate {
    let mut walk = planning.placement.walk(planning.key(chunk));
    let belongs = (0..planning.placement.copies()).any(|step| walk.get(step) == Some(at));
    Candidate {
        belongs,
        bytes: std::cmp::Reverse(planning.chunks[chunk].bytes),
        chunk: chunk as u32,
    }
}
