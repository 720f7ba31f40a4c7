//! libFuzzer on [`vrrp_fuzz::FRAME`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::FRAME.plant(), |input: &[u8]| {
    (vrrp_fuzz::FRAME.check)(input);
});
