//! libFuzzer on [`vrrp_fuzz::CLASSIFY`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::CLASSIFY.plant(), |input: &[u8]| {
    (vrrp_fuzz::CLASSIFY.check)(input);
});
