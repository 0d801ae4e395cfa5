//! Decoding of single packets, CONNECT among them, of both versions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tarn_broker::fuzzing::packets(data));
