//! `vrrp bench xdp --interface`: what the kernel half decides about the traffic of a live interface, and how fast.
//!
//! Counts, second by second, while somebody else sends. Where another program holds the interface (a running daemon),
//! only what that one passes on is seen. Nothing is sent, answered or claimed.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vrrp_ebpf::abi::{Counter, RULE_CHANGES_ONLY};

use super::SCHEMA;
use super::adverts::Routers;
use super::latency::{LatencyError, Options, find, ring_mode};
use super::machine::{Machine, Ticks};
use super::raw_socket::RawSocket;
use crate::net::clock;
use crate::net::maps::Counters;
use crate::net::receiver::{Choice, open};
use crate::net::xdp::{Diagnostics, Sizes};

/// The raw socket that listens for virtual routers looks at the time this often.
const PATIENCE: Duration = Duration::from_millis(50);

/// Since the program was attached, by the counter's name.
pub type Counts = BTreeMap<String, u64>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictReport {
    pub schema: u32,
    pub machine: Machine,
    pub interface: String,
    pub mode: String,
    pub virtual_routers: Vec<u8>,
    pub nanoseconds: u64,
    pub start: Counts,
    pub end: Counts,
    /// Between the two.
    pub dropped: u64,
    pub dropped_per_second: u64,
    pub passed_per_second: u64,
    pub accepted_per_second: u64,
    /// Of the best second.
    pub most_dropped_per_second: u64,
}

/// Counts for `options.time`.
pub fn run(options: &Options) -> Result<VerdictReport, LatencyError> {
    let interface = find(&options.interface)?;
    let routers = match &options.config {
        Some(config) => Routers::of_config(config, &interface.name),
        None => Routers::listen(&RawSocket::open(&interface, PATIENCE)?),
    };
    let interfaces = std::slice::from_ref(&interface);
    let (receiver, mut control) = open(Choice::Auto, interfaces, Sizes::default(), Diagnostics::Off)?;
    let mode = ring_mode(&control, &interface)?;
    // The ring is not read: adverts that change nothing stay out of it.
    routers.insert(&mut control, interface.index, RULE_CHANGES_ONLY)?;

    let ticks = Ticks::now();
    let (first, begin) = (control.counters()?, clock::now());
    let (mut last, mut last_at, mut most) = (first, begin, 0);
    while last_at.since(begin) < options.time {
        thread::sleep(options.time.saturating_sub(last_at.since(begin)).min(Duration::from_secs(1)));
        let (now, at) = (control.counters()?, clock::now());
        most = most.max(per_second(dropped(&now) - dropped(&last), at.since(last_at)));
        (last, last_at) = (now, at);
    }
    drop(receiver);
    let time = last_at.since(begin);
    let counted = |counter: Counter| last.get(counter) - first.get(counter);
    let lost = dropped(&last) - dropped(&first);
    Ok(VerdictReport {
        schema: SCHEMA,
        machine: Machine::since(ticks),
        interface: interface.name,
        mode: mode.name().into(),
        virtual_routers: routers.ids(),
        nanoseconds: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        start: counts(&first),
        end: counts(&last),
        dropped: lost,
        dropped_per_second: per_second(lost, time),
        passed_per_second: per_second(
            counted(Counter::ForeignPassed) + counted(Counter::NotUnderstood),
            time,
        ),
        accepted_per_second: per_second(counted(Counter::Accepted), time),
        most_dropped_per_second: most,
    })
}

fn counts(counters: &Counters) -> Counts {
    counters.iter().map(|(counter, count)| (counter.name().to_owned(), count)).collect()
}

/// Packets whose way ended in the kernel half.
fn dropped(counters: &Counters) -> u64 {
    counters.iter().filter(|(counter, _)| is_drop(*counter)).map(|(_, count)| count).sum()
}

const fn is_drop(counter: Counter) -> bool {
    match counter {
        Counter::ForeignDropped
        | Counter::IpTtl
        | Counter::Version
        | Counter::InvalidType
        | Counter::PacketLength
        | Counter::Checksum
        | Counter::AuthTypeMismatch
        | Counter::AuthFailure
        | Counter::AdvertInterval
        | Counter::AddressCount
        | Counter::Sender => true,
        Counter::Accepted
        | Counter::ChecksumMessageOnly
        | Counter::ChecksumPseudoHeader
        | Counter::ForeignPassed
        | Counter::NotUnderstood
        | Counter::RateLimited
        | Counter::RingFull
        | Counter::Delivered
        | Counter::Woke => false,
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    let rate = u128::from(count) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

impl fmt::Display for VerdictReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "What the kernel half decided on {} by {}", self.interface, self.mode)?;
        writeln!(f, "{}\n", self.machine)?;
        writeln!(
            f,
            "a second: {} dropped (at most {}), {} passed, {} accepted\n",
            self.dropped_per_second,
            self.most_dropped_per_second,
            self.passed_per_second,
            self.accepted_per_second
        )?;
        for (name, count) in &self.end {
            let counted = count - self.start.get(name).copied().unwrap_or(0);
            if counted > 0 {
                writeln!(f, "{name:<24} {counted:>12}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_by_the_second() {
        assert_eq!(per_second(300, Duration::from_millis(1500)), 200);
        assert_eq!(per_second(1, Duration::ZERO), 1_000_000_000);
    }

    #[test]
    fn dropped_packets_are_counted_once_whatever_the_reason() {
        let index = |counter: Counter| counter as usize;
        let mut numbers = [0; Counter::ALL.len()];
        numbers[index(Counter::IpTtl)] = 3;
        numbers[index(Counter::ForeignDropped)] = 4;
        numbers[index(Counter::Accepted)] = 100;
        numbers[index(Counter::RateLimited)] = 50;
        let counters = Counters::from_fn(|counter| numbers[counter]);
        assert_eq!(dropped(&counters), 7);
    }
}
