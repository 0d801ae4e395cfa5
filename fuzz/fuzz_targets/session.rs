//! Whole sessions: all that a client may send, from its first byte to its last.
#![no_main]

use tarn_fuzz::{about, saw};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    saw((data.first(), about(data.len())));
    tarn_broker::fuzzing::session(data);
});
