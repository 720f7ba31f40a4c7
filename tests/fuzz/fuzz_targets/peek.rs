//! libFuzzer on [`vrrp_fuzz::PEEK`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::PEEK.plant(), |input: &[u8]| {
    (vrrp_fuzz::PEEK.check)(input);
});
