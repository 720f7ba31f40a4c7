//! libFuzzer on [`vrrp_fuzz::CONFIG`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::CONFIG.plant(), |input: &[u8]| {
    (vrrp_fuzz::CONFIG.check)(input);
});
