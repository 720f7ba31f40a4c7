//! libFuzzer on [`vrrp_fuzz::ARP`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::ARP.plant(), |input: &[u8]| {
    (vrrp_fuzz::ARP.check)(input);
});
