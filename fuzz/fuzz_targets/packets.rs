//! Decoding of single packets, CONNECT among them, of both versions.
#![no_main]

use tarn_fuzz::{about, saw};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    saw((data.first(), about(data.len())));
    tarn_broker::fuzzing::packets(data);
});
