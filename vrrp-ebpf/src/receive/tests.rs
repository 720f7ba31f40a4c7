use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

use super::{Backlog, Environment, Fate, receive};
use crate::abi::{
    AUTH_NONE, Bucket, BucketKey, COUNTERS, Counter, FAMILY_IPV4, NOBODY_REFRESHES, PeerKey, RECORD_CHANGED,
    RECORD_REASON, RECORD_REJECTED, RECORD_WOKE, RULE_CHANGES_ONLY, RULE_CONSUME, RecordHeader, Rule,
    RuleKey, SLOT_DELIVER_ALWAYS, SLOT_WAKE_ALWAYS,
};
use crate::bucket::Rate;
use crate::classify::{Family, Rules};
use crate::frame::Bytes;
use crate::samples::Sample;
use crate::slot::SlotCell;

const SECOND: u64 = 1_000_000_000;

/// Maps, clock and ring of one host.
struct Host<'f> {
    rule: Rule,
    slot: SlotCell,
    now_ns: u64,
    buckets: HashMap<BucketKey, Bucket>,
    ring: Vec<RecordHeader>,
    backlog: Option<Backlog>,
    full: bool,
    counts: [u64; COUNTERS as usize],
    clock_readings: u32,
    frames: core::marker::PhantomData<&'f ()>,
}

impl<'f> Host<'f> {
    fn new() -> Self {
        let rule =
            Rule { slot: 0, version: 3, auth_type: AUTH_NONE, flags: 0, v2_interval: 0, password: [0; 8] };
        Self {
            rule,
            slot: SlotCell::new(),
            now_ns: 100 * SECOND,
            buckets: HashMap::new(),
            ring: Vec::new(),
            backlog: Some(Backlog { used: 0, size: 4096 }),
            full: false,
            counts: [0; COUNTERS as usize],
            clock_readings: 0,
            frames: core::marker::PhantomData,
        }
    }

    fn hear(&mut self, frame: &'f [u8]) -> Fate {
        receive(self, &mut Bytes::new(frame), 4, Family::Ipv4)
    }

    fn count(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    fn flags(&self) -> Vec<u32> {
        self.ring.iter().map(|record| record.flags).collect()
    }
}

impl Rules for Host<'_> {
    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        let ours = RuleKey { ifindex: 4, family: FAMILY_IPV4, virtual_router_id: 10, padding: 0 };
        (*key == ours).then_some(self.rule)
    }

    fn is_peer(&self, _key: &PeerKey) -> bool {
        false
    }
}

impl<'f> Environment for Host<'f> {
    type Frame = Bytes<'f>;

    fn arrived_ns(&mut self) -> u64 {
        self.clock_readings += 1;
        self.now_ns
    }

    fn slot(&self, index: u32) -> Option<&SlotCell> {
        (index == 0).then_some(&self.slot)
    }

    fn within(&mut self, rate: &Rate, key: &BucketKey, now_ns: u64) -> bool {
        if let Some(bucket) = self.buckets.get_mut(key) {
            return bucket.take(rate, now_ns);
        }
        self.buckets.insert(*key, Bucket::first(rate, now_ns));
        true
    }

    fn backlog(&self) -> Option<Backlog> {
        self.backlog
    }

    fn deliver(&mut self, header: &RecordHeader, frame: &mut Bytes<'f>) -> bool {
        assert_eq!(frame.first(usize::from(header.length)).len(), usize::from(header.length));
        if !self.full {
            self.ring.push(*header);
        }
        !self.full
    }

    fn count(&mut self, counter: Counter) {
        self.counts[counter as usize] += 1;
    }

    fn report_missing_slot(&mut self, index: u32) {
        assert_ne!(index, 0);
    }
}

const NEWS: u32 = RECORD_CHANGED | RECORD_WOKE;

#[test]
fn wakes_for_news_only() {
    let frame = Sample::v3().frame();
    let weaker = Sample { priority: 50, ..Sample::v3() }.frame();
    let slower = Sample { priority: 50, interval: 200, ..Sample::v3() }.frame();
    let stranger = Sample { source: vec![192, 0, 2, 9], ..Sample::v3() }.frame();
    let mut host = Host::new();
    for frame in [&frame, &frame, &frame, &weaker, &weaker, &slower, &stranger, &stranger] {
        assert_eq!(host.hear(frame), Fate::Pass);
    }
    assert_eq!(host.flags(), [NEWS, 0, 0, NEWS, 0, NEWS, NEWS, 0]);
    assert_eq!(host.count(Counter::Delivered), 8);
    assert_eq!(host.count(Counter::Woke), 4);
}

#[test]
fn farewell_always_wakes_and_never_refreshes() {
    let frame = Sample { priority: 0, ..Sample::v3() }.frame();
    let mut host = Host::new();
    host.rule.flags = RULE_CHANGES_ONLY;
    assert_eq!([host.hear(&frame), host.hear(&frame)], [Fate::Pass; 2]);
    assert_eq!(host.flags(), [NEWS, RECORD_WOKE]);
    assert_eq!(host.slot.read(), Ok(None));
}

#[test]
fn weaker_than_the_minimum_is_heard_but_wakes_nobody_and_keeps_nobody_alive() {
    let frame = Sample { priority: 99, ..Sample::v3() }.frame();
    let enough = Sample { priority: 100, ..Sample::v3() }.frame();
    let mut host = Host::new();
    host.slot.set_minimum_priority(100);
    assert_eq!(host.hear(&frame), Fate::Pass);
    assert_eq!(host.flags(), [0]);
    assert_eq!(host.slot.read(), Ok(None));
    assert_eq!(host.hear(&enough), Fate::Pass);
    // Between the master's adverts a stranger's do not make the master news again.
    assert_eq!((host.hear(&frame), host.hear(&enough)), (Fate::Pass, Fate::Pass));
    assert_eq!(host.flags(), [0, NEWS, 0, 0]);
    let recorded = host.slot.read().unwrap().unwrap();
    assert_eq!((recorded.priority, recorded.advert_interval, recorded.arrived_ns), (100, 100, 100 * SECOND));
    host.slot.set_minimum_priority(NOBODY_REFRESHES);
    host.now_ns += SECOND;
    let owner = Sample { priority: 255, ..Sample::v3() }.frame();
    assert_eq!(receive(&mut host, &mut Bytes::new(&owner), 4, Family::Ipv4), Fate::Pass);
    assert_eq!(host.slot.read().unwrap().unwrap(), recorded);
}

#[test]
fn flags_wake_and_deliver_what_the_rule_keeps_back() {
    let frame = Sample::v3().frame();
    let mut host = Host::new();
    host.rule.flags = RULE_CHANGES_ONLY;
    for flags in [0, 0, SLOT_DELIVER_ALWAYS, SLOT_WAKE_ALWAYS] {
        host.slot.set_flags(flags);
        host.now_ns += SECOND;
        assert_eq!(host.hear(&frame), Fate::Pass);
    }
    assert_eq!(host.flags(), [NEWS, 0, RECORD_WOKE]);
    assert_eq!(host.count(Counter::Accepted), 4);
    // The one that stayed out of the ring refreshed the slot all the same.
    assert_eq!(host.slot.read().unwrap().unwrap().arrived_ns, 104 * SECOND);
}

#[test]
fn what_found_no_room_is_still_news_the_next_time() {
    let frame = Sample::v3().frame();
    let mut host = Host::new();
    host.full = true;
    assert_eq!(host.hear(&frame), Fate::Pass);
    assert_eq!(host.count(Counter::RingFull), 1);
    assert!(host.slot.read().unwrap().is_some());
    host.full = false;
    assert_eq!(host.hear(&frame), Fate::Pass);
    assert_eq!(host.flags(), [NEWS]);
}

#[test]
fn wakes_while_the_ring_is_seen_half_full() {
    let frame = Sample::v3().frame();
    let mut host = Host::new();
    assert_eq!(host.hear(&frame), Fate::Pass);
    for used in [Some(0), Some(2047), None, Some(2048), None, Some(4000)] {
        host.backlog = used.map(|used| Backlog { used, size: 4096 });
        assert_eq!(host.hear(&frame), Fate::Pass);
    }
    assert_eq!(host.flags(), [NEWS, 0, 0, 0, RECORD_WOKE, 0, RECORD_WOKE]);
}

#[test]
fn one_sender_is_limited_at_the_ring_but_never_at_the_slot() {
    let frame = Sample::v3().frame();
    let mut host = Host::new();
    for _ in 0..1000 {
        assert_eq!(host.hear(&frame), Fate::Pass);
    }
    // The first came before it was recorded and took from the stranger's bucket.
    assert_eq!(host.count(Counter::Delivered), 257);
    assert_eq!(host.count(Counter::RateLimited), 743);
    // One more in a 300th of a second.
    host.now_ns += SECOND / 300;
    assert_eq!(host.hear(&frame), Fate::Pass);
    assert_eq!(host.count(Counter::Delivered), 258);
    assert_eq!(host.slot.read().unwrap().unwrap().arrived_ns, host.now_ns);
}

#[test]
fn strangers_together_are_limited_and_the_recorded_master_is_not() {
    let master = Sample::v3().frame();
    let strangers: Vec<_> = (0..2000_u16)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            Sample { source: vec![10, 0, high, low], priority: 1, ..Sample::v3() }.frame()
        })
        .collect();
    let mut host = Host::new();
    host.slot.set_minimum_priority(100);
    assert_eq!(host.hear(&master), Fate::Pass);
    for stranger in &strangers {
        assert_eq!(host.hear(stranger), Fate::Pass);
    }
    // The master's own first advert took one of the 512.
    assert_eq!(host.count(Counter::Delivered), 512);
    assert_eq!(host.hear(&master), Fate::Pass);
    assert_eq!(host.count(Counter::Delivered), 513);
    assert_eq!(host.slot.read().unwrap().unwrap().priority, 200);
}

#[test]
fn foreign_routers_pass_up_to_their_rate() {
    let frame = Sample { virtual_router_id: 99, ..Sample::v3() }.frame();
    let other = Sample { virtual_router_id: 98, ..Sample::v3() }.frame();
    let mut host = Host::new();
    let fates: Vec<_> = (0..101).map(|_| host.hear(&frame)).collect();
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Pass).count(), 100);
    assert_eq!((host.count(Counter::ForeignPassed), host.count(Counter::ForeignDropped)), (100, 1));
    assert_eq!(host.hear(&other), Fate::Pass);
    host.now_ns += SECOND / 100;
    assert_eq!(host.hear(&frame), Fate::Pass);
}

#[test]
fn consumed_adverts_end_here_and_so_do_rejected_ones() {
    let frame = Sample::v3().frame();
    let junk = Sample { ttl: 7, ..Sample::v3() }.frame();
    let mut host = Host::new();
    host.rule.flags = RULE_CONSUME;
    assert_eq!(host.hear(&frame), Fate::Drop);
    assert_eq!(host.flags(), [NEWS]);
    assert_eq!(host.hear(&junk), Fate::Drop);
    assert_eq!(host.slot.last_reject().unwrap().reason, Counter::IpTtl as u8);
    assert_eq!(host.slot.last_reject().unwrap().sender, [192, 0, 2, 251]);
}

#[test]
fn junk_costs_no_look_at_the_clock() {
    let junk = Sample { ttl: 7, ..Sample::v3() }.frame();
    let frame = Sample::v3().frame();
    let mut host = Host::new();
    assert_eq!(host.hear(&junk), Fate::Drop);
    assert_eq!(host.clock_readings, 0);
    assert_eq!(host.hear(&frame), Fate::Pass);
    assert_eq!(host.clock_readings, 1);
}

#[test]
fn a_trace_sees_a_sample_of_what_is_rejected_and_nobody_obeys_it() {
    let junk = Sample { ttl: 7, ..Sample::v3() }.frame();
    let mut host = Host::new();
    host.slot.set_flags(SLOT_DELIVER_ALWAYS);
    for _ in 0..1000 {
        assert_eq!(host.hear(&junk), Fate::Drop);
    }
    let reason = (Counter::IpTtl as u32) << RECORD_REASON;
    assert_eq!(host.flags(), vec![RECORD_REJECTED | RECORD_WOKE | reason; 20], "no more in this moment");
    assert!(host.ring.iter().all(|record| usize::from(record.length) == junk.len()));
    assert_eq!(host.slot.read(), Ok(None));
    assert_eq!(host.count(Counter::Delivered), 0);
    host.now_ns += SECOND;
    assert_eq!(host.hear(&junk), Fate::Drop);
    assert_eq!(host.ring.len(), 21);
    host.slot.set_flags(0);
    host.now_ns += SECOND;
    assert_eq!(host.hear(&junk), Fate::Drop);
    assert_eq!(host.ring.len(), 21, "the trace is over");
}

#[test]
fn a_rule_without_a_slot_harms_nobody() {
    let frame = Sample::v3().frame();
    let mut host = Host::new();
    host.rule.slot = 1;
    assert_eq!(host.hear(&frame), Fate::Pass);
    assert!(host.ring.is_empty());
}

#[test]
fn checksum_forms_are_told_apart() {
    let pseudo = Sample::v3().frame();
    let plain = Sample::v3_message_only().frame();
    let mut host = Host::new();
    assert_eq!([host.hear(&pseudo), host.hear(&plain), host.hear(&plain)], [Fate::Pass; 3]);
    assert_eq!(host.count(Counter::ChecksumPseudoHeader), 1);
    assert_eq!(host.count(Counter::ChecksumMessageOnly), 2);
}

#[test]
fn ipv6_senders_are_told_apart() {
    let sender = |last: u8| {
        let mut source = Sample::v6().source;
        source[15] = last;
        super::announcement(&crate::classify::Advert {
            key: RuleKey { ifindex: 4, family: 6, virtual_router_id: 10, padding: 0 },
            rule: Host::new().rule,
            sender: crate::address::Address::from_octets(source.try_into().unwrap()),
            priority: 100,
            interval: 100,
            checksum: crate::classify::Checksum::PseudoHeader,
            length: 0,
        })
    };
    let mut words: Vec<_> = (0..=255).map(sender).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 256);
}
