//! libFuzzer on [`vrrp_fuzz::ADVERT`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::ADVERT.plant(), |input: &[u8]| {
    (vrrp_fuzz::ADVERT.check)(input);
});
