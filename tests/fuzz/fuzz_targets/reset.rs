//! libFuzzer on [`vrrp_fuzz::RESET`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::RESET.plant(), |input: &[u8]| {
    (vrrp_fuzz::RESET.check)(input);
});
