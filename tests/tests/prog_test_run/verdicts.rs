//! The kernel's verdicts are the host's, on the same frames.

use std::collections::HashMap;

use vrrp_ebpf::abi::{Counter, FAMILY_IPV4, PeerKey, RULE_PEERS_ONLY, Rule, RuleKey};
use vrrp_ebpf::classify::{Rules, Verdict, classify_bytes};
use vrrp_ebpf::receive::Fate;
use vrrp_ebpf::samples::{Sample, reseal_ipv4};

use super::kernel::{IFINDEX, Kernel, SLOT, key, kinds, v2, v3};

pub(crate) const CASES: &[crate::Case] = &[
    ("kernel_and_host_agree_on_every_mutated_byte", kernel_and_host_agree_on_every_mutated_byte),
    ("kernel_and_host_agree_on_every_length", kernel_and_host_agree_on_every_length),
    ("kernel_and_host_agree_on_random_bytes", kernel_and_host_agree_on_random_bytes),
    (
        "kernel_and_host_agree_on_options_and_address_counts",
        kernel_and_host_agree_on_options_and_address_counts,
    ),
    ("every_reason_is_produced_and_noted_in_the_slot", every_reason_is_produced_and_noted_in_the_slot),
    ("only_named_peers_are_heard", only_named_peers_are_heard),
];

struct Table(HashMap<RuleKey, Rule>);

impl Rules for Table {
    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        self.0.get(key).copied()
    }

    fn is_peer(&self, _key: &PeerKey) -> bool {
        false
    }
}

/// Counters that tell what was judged, not what became of it.
fn judged(counts: &[(Counter, u64)]) -> Vec<Counter> {
    let after = [
        Counter::ChecksumMessageOnly,
        Counter::ChecksumPseudoHeader,
        Counter::RateLimited,
        Counter::RingFull,
        Counter::Delivered,
        Counter::Woke,
    ];
    let counters = counts.iter().map(|(counter, _)| *counter).filter(|counter| !after.contains(counter));
    // Which of the two depends on the rate.
    counters.map(|c| if c == Counter::ForeignDropped { Counter::ForeignPassed } else { c }).collect()
}

fn compare(kernel: &mut Kernel, table: &Table, what: &str, frame: &[u8]) {
    let verdict = classify_bytes(frame, table, IFINDEX);
    let (fate, expected) = match verdict {
        Verdict::NotVrrp => (Some(Fate::Pass), vec![]),
        Verdict::Pass(counter) => (Some(Fate::Pass), vec![counter]),
        Verdict::Foreign { .. } => (None, vec![Counter::ForeignPassed]),
        Verdict::Drop { reason, .. } => (Some(Fate::Drop), vec![reason]),
        Verdict::Deliver(_) => (Some(Fate::Pass), vec![Counter::Accepted]),
    };
    for (hook, run) in [("XDP", Kernel::run as fn(&mut Kernel, &[u8]) -> Fate), ("TCX", Kernel::run_tcx)] {
        if hook == "TCX" && !Kernel::tcx_takes(frame) {
            continue;
        }
        let mut ran = Fate::Pass;
        let counts = kernel.counted(|kernel| ran = run(kernel, frame));
        assert_eq!(judged(&counts), expected, "{hook}, {what}: {verdict:?}, frame {frame:02x?}");
        assert!(fate.is_none_or(|fate| fate == ran), "{hook}, {what}: {ran:?} for {verdict:?}");
        // What changes nothing, or is above its rate, is not handed on.
        for record in kernel.drain() {
            let Verdict::Deliver(advert) = verdict else {
                panic!("{hook}, {what}: handed on for {verdict:?}")
            };
            assert_eq!(record.frame, frame[..usize::from(advert.length)], "{hook}, {what}");
        }
    }
}

fn kernel_and_host_agree_on_every_mutated_byte() {
    for (kind, sample, family, rule) in kinds() {
        let mut kernel = Kernel::with_rule(family, rule);
        let table = Table(HashMap::from([(key(family), rule)]));
        let frame = sample.frame();
        compare(&mut kernel, &table, kind, &frame);
        for at in 12..frame.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = frame.clone();
                changed[at] ^= flip;
                compare(&mut kernel, &table, &format!("{kind}, byte {at} ^ {flip:#04x}"), &changed);
                if family == FAMILY_IPV4 && (15..34).contains(&at) {
                    reseal_ipv4(&mut changed);
                    compare(
                        &mut kernel,
                        &table,
                        &format!("{kind}, byte {at} ^ {flip:#04x}, sealed"),
                        &changed,
                    );
                }
            }
        }
    }
}

fn kernel_and_host_agree_on_every_length() {
    for (kind, sample, family, rule) in kinds() {
        let mut kernel = Kernel::with_rule(family, rule);
        let table = Table(HashMap::from([(key(family), rule)]));
        let frame = Sample { padding: 80, ..sample }.frame();
        for length in 14..frame.len() {
            compare(&mut kernel, &table, &format!("{kind}, {length} bytes"), &frame[..length]);
        }
    }
}

fn kernel_and_host_agree_on_random_bytes() {
    let (family, rule) = (FAMILY_IPV4, v3());
    let mut kernel = Kernel::with_rule(family, rule);
    let table = Table(HashMap::from([(key(family), rule)]));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..500 {
        let mut random = || {
            // xorshift64: the same frames each time.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[3]
        };
        // Half of them get far: only the message and the options are random.
        let mut frame = Sample { options: 8, ..Sample::v3() }.frame();
        let from = if round % 2 == 0 { 34 } else { 0 };
        for byte in &mut frame[from..] {
            *byte = random();
        }
        if round % 2 == 0 {
            frame[42..44].copy_from_slice(&[0x31, 10]);
            reseal_ipv4(&mut frame);
        }
        compare(&mut kernel, &table, &format!("random frame {round}"), &frame);
    }
}

fn kernel_and_host_agree_on_options_and_address_counts() {
    for (kind, sample, family, rule) in kinds() {
        let mut kernel = Kernel::with_rule(family, rule);
        let table = Table(HashMap::from([(key(family), rule)]));
        // The test run's frame is one page less the room that XDP keeps; longer ones come in fragments.
        for count in [1, 3, 15, 60, 120, 121, 128, 200, 255] {
            let options = if family == FAMILY_IPV4 { usize::from(count) % 11 * 4 } else { 0 };
            let sample = Sample { options, ..sample.clone().with_addresses(count) };
            compare(
                &mut kernel,
                &table,
                &format!("{kind}, {count} addresses, {options} bytes"),
                &sample.frame(),
            );
            let mut corrupt = sample.frame();
            *corrupt.last_mut().unwrap() ^= 1;
            compare(&mut kernel, &table, &format!("{kind}, {count} addresses, corrupt"), &corrupt);
        }
    }
}

fn every_reason_is_produced_and_noted_in_the_slot() {
    let v3 = v3();
    let mut checksum = Sample::v3().frame();
    *checksum.last_mut().unwrap() ^= 1;
    let no_addresses = Sample { count: 0, addresses: vec![], ..Sample::v3() };
    let wrong_password = Sample { authentication: Some(*b"12345678"), ..Sample::v2_pass() };
    let peers_only = Rule { flags: RULE_PEERS_ONLY, ..v3 };
    for (reason, rule, frame) in [
        (Counter::IpTtl, v3, Sample { ttl: 254, ..Sample::v3() }.frame()),
        (Counter::Version, v3, Sample::v2().frame()),
        (Counter::InvalidType, v3, Sample { kind: 3, ..Sample::v3() }.frame()),
        (Counter::PacketLength, v3, Sample { trailing: 4, ..Sample::v3() }.frame()),
        (Counter::Checksum, v3, checksum),
        (Counter::AuthTypeMismatch, v2(), Sample::v2_pass().frame()),
        (Counter::AuthFailure, super::kernel::v2_pass(), wrong_password.frame()),
        (Counter::AdvertInterval, v2(), Sample { interval: 3, ..Sample::v2() }.frame()),
        (Counter::AddressCount, v3, no_addresses.frame()),
        (Counter::Sender, peers_only, Sample::v3().frame()),
    ] {
        let mut kernel = Kernel::with_rule(FAMILY_IPV4, rule);
        let counts = kernel.counted(|kernel| assert_eq!(kernel.run(&frame), Fate::Drop, "{reason:?}"));
        assert_eq!(counts, [(reason, 1)]);
        let rejected = kernel.control.slots().last_reject(SLOT).unwrap();
        assert_eq!((rejected.reason, rejected.sender), (reason as u8, [192, 0, 2, 251]));
        assert_eq!(kernel.control.slots().read(SLOT), Ok(None));
        assert!(kernel.take().is_none());
    }
}

fn only_named_peers_are_heard() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, Rule { flags: RULE_PEERS_ONLY, ..v3() });
    let mut address = [0; 16];
    address[12..].copy_from_slice(&Sample::v3().source);
    let peer = PeerKey { slot: SLOT, address };
    kernel.control.insert_peer(peer).unwrap();
    assert_eq!(kernel.run(&Sample::v3().frame()), Fate::Pass);
    assert!(kernel.take().is_some());
    kernel.control.remove_peer(peer).unwrap();
    kernel.control.remove_peer(peer).unwrap();
    assert_eq!(kernel.run(&Sample::v3().frame()), Fate::Drop);
}
