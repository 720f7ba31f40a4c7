//! libFuzzer on [`vrrp_fuzz::TABLES`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::TABLES.plant(), |input: &[u8]| {
    (vrrp_fuzz::TABLES.check)(input);
});
