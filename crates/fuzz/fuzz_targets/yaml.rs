//! A configuration as YAML: what can be loaded survives a state file and a `sentinel.conf`.

#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../conf/tests/check/mod.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::check_yaml(&String::from_utf8_lossy(input));
});
