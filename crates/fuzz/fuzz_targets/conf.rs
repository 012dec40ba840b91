//! The text of a `sentinel.conf`: what can be loaded is rewritten, loaded again, and must agree.

#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../conf/tests/check/mod.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::check_conf(&String::from_utf8_lossy(input));
});
