//! What guides the fuzzer where a build has no coverage of its own, as in the scenarios: without any guidance
//! libFuzzer throws the corpus away and tries nothing but the empty input.

use std::{
    hash::{Hash, Hasher},
    sync::atomic::{AtomicU8, Ordering},
};

/// Things that can be told apart.
const COUNTERS: usize = 1 << 14;

/// libFuzzer looks at this section after each run and forgets it before the next.
#[allow(
    unsafe_code,
    reason = "the section is libFuzzer's interface, and bytes have no other meaning"
)]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static SEEN: [AtomicU8; COUNTERS] = [const { AtomicU8::new(0) }; COUNTERS];

/// Say that an input did something: one that does what none did before is kept, and changed further.
pub fn saw(what: impl Hash) {
    let mut hash = std::hash::DefaultHasher::new();
    what.hash(&mut hash);
    SEEN[(hash.finish() % COUNTERS as u64) as usize].store(1, Ordering::Relaxed);
}

/// A size, as far as it matters.
#[must_use]
pub fn about(size: usize) -> u32 {
    usize::BITS - size.leading_zeros()
}
