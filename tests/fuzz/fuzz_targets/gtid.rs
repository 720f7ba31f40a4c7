//! libFuzzer on [`vrrp_fuzz::GTID`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::GTID.plant(), |input: &[u8]| {
    (vrrp_fuzz::GTID.check)(input);
});
