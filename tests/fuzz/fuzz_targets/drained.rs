//! libFuzzer on [`vrrp_fuzz::DRAINED`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::DRAINED.plant(), |input: &[u8]| {
    (vrrp_fuzz::DRAINED.check)(input);
});
