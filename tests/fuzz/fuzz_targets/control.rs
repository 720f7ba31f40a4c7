//! libFuzzer on [`vrrp_fuzz::CONTROL`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::CONTROL.plant(), |input: &[u8]| {
    (vrrp_fuzz::CONTROL.check)(input);
});
