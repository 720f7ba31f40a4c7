//! libFuzzer on [`vrrp_fuzz::PLAN`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::PLAN.plant(), |input: &[u8]| {
    (vrrp_fuzz::PLAN.check)(input);
});
