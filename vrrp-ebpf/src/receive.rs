//! The way of one VRRP frame after the gate: judged, its slot refreshed, and into the ring or not.
//!
//! Owns the order of these and the rule of who wakes the consumer; kernel and fallback both run this code.
//! Refuses to know where slots, buckets and the ring live: they are the [`Environment`].

use crate::abi::{
    ABI_VERSION, BucketKey, Counter, EVERYBODY, RECORD_CHANGED, RECORD_REASON, RECORD_REJECTED, RECORD_WOKE,
    RULE_CHANGES_ONLY, RULE_CONSUME, RecordHeader, RuleKey, SLOT_DELIVER_ALWAYS, SLOT_WAKE_ALWAYS,
};
use crate::address::Address;
use crate::bucket::{self, Rate};
use crate::classify::{Advert, Checksum, Family, Rules, Verdict, classify};
use crate::frame::Frame;
use crate::slot::{Liveness, SlotCell};

/// What happens to the frame itself.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On to the stack.
    Pass,
    /// It ends here.
    Drop,
}

/// How much of the ring is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub used: u64,
    pub size: u64,
}

impl Backlog {
    /// Only then is a consumer woken that has nothing urgent to do; more than once if it is slow to come.
    #[inline(always)]
    const fn is_half(self) -> bool {
        self.used >= self.size / 2
    }
}

/// What `receive` works on.
pub trait Environment: Rules {
    type Frame: Frame;

    /// Arrival of this frame, ns of CLOCK_MONOTONIC. Asked at most once, and only for what needs it.
    fn arrived_ns(&mut self) -> u64;
    fn slot(&self, index: u32) -> Option<&SlotCell>;
    /// Takes a token from the bucket of this key.
    #[must_use]
    fn within(&mut self, rate: &Rate, key: &BucketKey, now_ns: u64) -> bool;
    /// None: not looked at this time.
    fn backlog(&self) -> Option<Backlog>;
    /// Puts header and frame into the ring; false if there is no room.
    #[must_use]
    fn deliver(&mut self, header: &RecordHeader, frame: &mut Self::Frame) -> bool;
    fn count(&mut self, counter: Counter);
    /// A rule points outside of the slots: cannot happen, worth a diagnostic.
    fn report_missing_slot(&mut self, index: u32);
}

/// Receives a frame that the gate let through.
#[inline(always)]
pub fn receive<E: Environment>(
    environment: &mut E,
    frame: &mut E::Frame,
    ifindex: u32,
    family: Family,
) -> Fate {
    match classify(frame, environment, ifindex, family) {
        Verdict::NotVrrp => Fate::Pass,
        Verdict::Pass(counter) => {
            environment.count(counter);
            Fate::Pass
        }
        Verdict::Foreign { key, sender } => {
            let now_ns = environment.arrived_ns();
            if environment.within(&bucket::FOREIGN, &bucket_key(&key, sender), now_ns) {
                environment.count(Counter::ForeignPassed);
                Fate::Pass
            } else {
                environment.count(Counter::ForeignDropped);
                Fate::Drop
            }
        }
        Verdict::Drop { reason, slot, sender } => {
            environment.count(reason);
            let Some(known) = environment.slot(slot) else {
                environment.report_missing_slot(slot);
                return Fate::Drop;
            };
            known.reject(reason, sender.low());
            if known.flags() & SLOT_DELIVER_ALWAYS != 0 {
                show_rejected(environment, frame, ifindex, family, slot, reason);
            }
            Fate::Drop
        }
        Verdict::Deliver(advert) => {
            accept(environment, frame, &advert);
            if advert.rule.flags & RULE_CONSUME == 0 { Fate::Pass } else { Fate::Drop }
        }
    }
}

#[inline(always)]
fn accept<E: Environment>(environment: &mut E, frame: &mut E::Frame, advert: &Advert) {
    let arrived_ns = environment.arrived_ns();
    environment.count(Counter::Accepted);
    match advert.checksum {
        Checksum::Version2 => {}
        Checksum::MessageOnly => environment.count(Counter::ChecksumMessageOnly),
        Checksum::PseudoHeader => environment.count(Counter::ChecksumPseudoHeader),
    }

    let Some(slot) = environment.slot(advert.rule.slot) else {
        environment.report_missing_slot(advert.rule.slot);
        return;
    };
    let recorded = slot.is_recorded(advert.sender);
    // Before any limit: a flood must not be able to make a living master look dead.
    let refreshes = refreshes(advert.priority, slot.minimum_priority());
    if refreshes {
        slot.refresh(&Liveness {
            arrived_ns,
            sender: advert.sender,
            priority: advert.priority,
            advert_interval: advert.interval,
            family: advert.key.family,
        });
    }
    let announcement = announcement(advert);
    // A weaker router than the one this BACKUP waits for changes nothing: it neither wakes nor makes the master news.
    let weighs = refreshes || advert.priority == 0;
    let changed = weighs && slot.announced() != announcement;
    let flags = slot.flags();
    let urgent = changed || advert.priority == 0 || flags & SLOT_WAKE_ALWAYS != 0;
    let wanted = urgent || advert.rule.flags & RULE_CHANGES_ONLY == 0 || flags & SLOT_DELIVER_ALWAYS != 0;
    if !wanted {
        return;
    }

    let may_enter = if recorded {
        slot.within(&bucket::SENDER, arrived_ns)
    } else {
        environment.within(&bucket::SENDER, &bucket_key(&advert.key, advert.sender), arrived_ns)
            && environment.within(
                &bucket::EVERYBODY,
                &bucket_key(&advert.key, Address::from_octets(EVERYBODY)),
                arrived_ns,
            )
    };
    if !may_enter {
        environment.count(Counter::RateLimited);
        return;
    }

    let wakes = urgent || environment.backlog().is_some_and(Backlog::is_half);
    let header = RecordHeader {
        abi_version: ABI_VERSION,
        length: advert.length,
        slot: advert.rule.slot,
        arrived_ns,
        ifindex: advert.key.ifindex,
        flags: if changed { RECORD_CHANGED } else { 0 } | if wakes { RECORD_WOKE } else { 0 },
    };
    if !environment.deliver(&header, frame) {
        environment.count(Counter::RingFull);
        return;
    }
    environment.count(Counter::Delivered);
    if wakes {
        environment.count(Counter::Woke);
    }
    // Only now: what did not get in is still news the next time.
    if changed && let Some(slot) = environment.slot(advert.rule.slot) {
        slot.set_announced(announcement);
    }
}

/// For a trace: a sample, which can neither fill the ring nor cost more than a look into one bucket.
#[inline(always)]
fn show_rejected<E: Environment>(
    environment: &mut E,
    frame: &mut E::Frame,
    ifindex: u32,
    family: Family,
    slot: u32,
    reason: Counter,
) {
    let arrived_ns = environment.arrived_ns();
    // There is no virtual router 0: the bucket is nobody else's.
    let key = RuleKey { ifindex, family: family.number(), virtual_router_id: 0, padding: 0 };
    if !environment.within(&bucket::REJECTED, &bucket_key(&key, Address::from_octets(EVERYBODY)), arrived_ns)
    {
        return;
    }
    let header = RecordHeader {
        abi_version: ABI_VERSION,
        #[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_FRAME")]
        length: frame.at_hand() as u16,
        slot,
        arrived_ns,
        ifindex,
        flags: RECORD_REJECTED | RECORD_WOKE | (reason as u32) << RECORD_REASON,
    };
    // No room: one sample less.
    let (true | false) = environment.deliver(&header, frame);
}

/// Priority 0 is a farewell, not a sign of life (RFC 9568 §6.4.2).
#[inline(always)]
const fn refreshes(priority: u8, minimum: u32) -> bool {
    priority != 0 && priority as u32 >= minimum
}

/// Sender, priority and interval in one word, never 0. Exact for IPv4; for IPv6 the sender is mixed into 39 bits.
#[inline(always)]
fn announcement(advert: &Advert) -> u64 {
    let (high, low) = (u64::from_be(advert.sender.first), u64::from_be(advert.sender.second));
    let sender = if high == 0 {
        low
    } else {
        // Odd constants of a multiplicative hash (2^64 over the golden ratio, and a prime of xxHash).
        let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (low ^ mixed).wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 25
    };
    1 << 63 | (sender & 0x7f_ffff_ffff) << 24 | u64::from(advert.interval) << 8 | u64::from(advert.priority)
}

#[inline(always)]
const fn bucket_key(rule: &RuleKey, sender: Address) -> BucketKey {
    BucketKey {
        ifindex: rule.ifindex,
        family: rule.family,
        virtual_router_id: rule.virtual_router_id,
        padding: 0,
        sender: sender.octets(),
    }
}

#[cfg(test)]
mod tests;
