//! libFuzzer on [`vrrp_fuzz::BLOCK`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::BLOCK.plant(), |input: &[u8]| {
    (vrrp_fuzz::BLOCK.check)(input);
});
