//! libFuzzer on [`vrrp_fuzz::KERNEL_RECORD`].
#![no_main]

libfuzzer_sys::fuzz_target!(init: vrrp_fuzz::KERNEL_RECORD.plant(), |input: &[u8]| {
    (vrrp_fuzz::KERNEL_RECORD.check)(input);
});
