//! libFuzzer on [`vrrp_fuzz::IMPORT`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::IMPORT.plant(), |input: &[u8]| {
    (vrrp_fuzz::IMPORT.check)(input);
});
