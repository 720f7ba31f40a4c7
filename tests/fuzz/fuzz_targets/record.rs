//! libFuzzer on [`vrrp_fuzz::RECORD`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::RECORD.plant(), |input: &[u8]| {
    (vrrp_fuzz::RECORD.check)(input);
});
