//! Bytes from clients: whole against byte by byte, with the invariants of the ordinary tests.

#![no_main]

#[allow(dead_code, reason = "each target uses its own half")]
#[path = "../../resp/tests/codec/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check_requests(input));
