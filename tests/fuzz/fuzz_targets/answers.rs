//! libFuzzer on [`vrrp_fuzz::ANSWERS`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::ANSWERS.plant(), |input: &[u8]| {
    (vrrp_fuzz::ANSWERS.check)(input);
});
