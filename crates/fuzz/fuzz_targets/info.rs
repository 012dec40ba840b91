//! Texts of INFO, as the answers of the servers of a healthy group.

#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../core/tests/random/check.rs"]
mod check;
#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../core/tests/random/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::check_infos(&String::from_utf8_lossy(input));
});
