//! Hellos, one in each line, to a coordinator that watches a healthy group.

#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../core/tests/random/check.rs"]
mod check;
#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../core/tests/random/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::check_hellos(&String::from_utf8_lossy(input));
});
