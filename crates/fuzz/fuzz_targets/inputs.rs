//! Bytes that choose what happens to a coordinator, as random numbers do in the ordinary tests.

#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../core/tests/random/check.rs"]
mod check;
#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../core/tests/random/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::check_inputs(input);
});
