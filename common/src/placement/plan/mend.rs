use super::{
    Why,
    planning::{At, Planning},
};

/// What a chunk may need, the most urgent first.
const URGENCY: [Why; 5] = [Why::Lost, Why::TooFew, Why::Drain, Why::Surplus, Why::Zone];

impl Planning<'_> {
    /// Plan what chunks need whatever the loads are: the most urgent of all chunks first, and of what is missing, that of
    /// the chunks with the fewest copies.
    pub(super) fn mend(&mut self) {
        let mut waiting: [Vec<usize>; URGENCY.len()] = Default::default();
        for chunk in 0..self.chunks.len() {
            if let Some(urgency) = self.urgency(chunk) {
                waiting[urgency].push(chunk);
            }
        }
        for urgency in 0..URGENCY.len() {
            let mut chunks = std::mem::take(&mut waiting[urgency]);
            // What a more urgent need has left here came later than its neighbours.
            chunks.sort_by_key(|&chunk| (self.readable(chunk), chunk));
            for chunk in chunks {
                loop {
                    match self.urgency(chunk) {
                        Some(now) if now <= urgency => {
                            if !self.mend_once(chunk, URGENCY[now]) {
                                return;
                            }
                        }
                        Some(later) => {
                            waiting[later].push(chunk);
                            break;
                        }
                        None => break,
                    }
                }
            }
        }
    }

    /// Copies that can be read.
    fn readable(&self, chunk: usize) -> usize {
        let copies = self.copies(chunk).iter();
        copies.filter(|at| !matches!(at, At::Gone(_))).count()
    }

    fn active(&self, chunk: usize) -> usize {
        let copies = self.copies(chunk).iter();
        copies.filter(|at| matches!(at, At::Active(_))).count()
    }

    /// The most urgent need of a chunk, by its place in the list of them.
    fn urgency(&self, chunk: usize) -> Option<usize> {
        let wanted = self.placement.copies();
        let (copies, readable, active) =
            (self.copies(chunk), self.readable(chunk), self.active(chunk));
        // Of a chunk whose copies are all gone there is nothing to be made: it is told, not planned.
        if readable == 0 || wanted == 0 {
            return None;
        }
        let need = if readable < copies.len() {
            Why::Lost
        } else if readable < wanted {
            Why::TooFew
        } else if active < readable {
            Why::Drain
        } else if active > wanted {
            Why::Surplus
        } else if self.crowded(chunk).is_some() {
            Why::Zone
        } else {
            return None;
        };
        URGENCY.iter().position(|why| *why == need)
    }

    /// Plan one step of what a chunk needs. Says whether the plan has room for more.
    fn mend_once(&mut self, chunk: usize, need: Why) -> bool {
        let copies = self.copies(chunk);
        let is_short = self.active(chunk) < self.placement.copies();
        let (from, to) = match need {
            Why::Lost => (
                copies.iter().position(|at| matches!(at, At::Gone(_))),
                is_short.then(|| self.target(chunk)),
            ),
            Why::Drain => (
                copies.iter().position(|at| matches!(at, At::Draining(_))),
                is_short.then(|| self.target(chunk)),
            ),
            Why::TooFew => (None, Some(self.target(chunk))),
            Why::Surplus => (Some(self.fullest(chunk)), None),
            Why::Zone | Why::Balance => (self.crowded(chunk), Some(self.target(chunk))),
        };
        let to = to.flatten();
        let bytes = if to.is_some() {
            self.chunks[chunk].bytes
        } else {
            0
        };
        if !self.has_room(bytes) {
            return false;
        }
        self.do_move(chunk, from, to, need);
        true
    }

    /// The store that a chunk's next copy goes to: in a zone that has none, with room, the first on the ring.
    fn target(&self, chunk: usize) -> Option<usize> {
        let total = self.held.iter().map(|&held| held as f64).sum::<f64>()
            + self.chunks[chunk].bytes as f64;
        let most = total * (1.0 + self.placement.epsilon());
        let has_room = |at: usize| (self.held[at] as f64) < most * self.placement.share(at);
        let is_new_zone = |at: usize| !self.has_zone(chunk, self.placement.zone(at), None);
        let mut walk = self.placement.walk(self.key(chunk));
        let mut find = |need_zone: bool, need_room: bool| {
            walk.find(|at| {
                self.slot(chunk, at).is_none()
                    && (!need_zone || is_new_zone(at))
                    && (!need_room || has_room(at))
            })
        };
        find(true, true)
            .or_else(|| find(true, false))
            .or_else(|| find(false, true))
            .or_else(|| find(false, false))
    }

    /// The copy at the store that is fullest by its share; one in a zone that has another goes first.
    fn fullest(&self, chunk: usize) -> usize {
        let copies = self.copies(chunk).iter().enumerate();
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

    /// A copy that shares its zone with another, where there is a zone without one.
    fn crowded(&self, chunk: usize) -> Option<usize> {
        let copies = self.copies(chunk);
        let zone = |at: &At| match at {
            At::Active(index) => Some(self.placement.zone(usize::from(*index))),
            _ => None,
        };
        let is_first = |slot: usize| {
            !copies[..slot]
                .iter()
                .any(|other| zone(other) == zone(&copies[slot]))
        };
        let double = (1..copies.len()).rfind(|&slot| !is_first(slot))?;
        let zones = (0..copies.len()).filter(|&slot| is_first(slot)).count();
        (zones < self.placement.zones()).then_some(double)
    }
}
