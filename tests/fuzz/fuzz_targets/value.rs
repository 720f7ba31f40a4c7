//! libFuzzer on [`vrrp_fuzz::VALUE`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::VALUE.plant(), |input: &[u8]| {
    (vrrp_fuzz::VALUE.check)(input);
});
