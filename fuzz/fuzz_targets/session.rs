//! Whole sessions: all that a client may send, from its first byte to its last.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tarn_broker::fuzzing::session(data));
