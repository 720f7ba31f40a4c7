//! `vrrp bench xdp`: what a packet costs in the kernel half, by BPF_PROG_TEST_RUN, beside a program that does nothing.
//!
//! Owns the measuring. In a network namespace of its own: no interface of the host, no traffic, no daemon takes part.
//! All kinds of packet are run in turn, round by round, so that a noisy moment favours none; the best and the median
//! round are told. The kernel reports whole nanoseconds, rounded down.

mod cases;

use std::fmt;
use std::io;
use std::thread;

use aya::programs::{ProgramError, TestRun, TestRunOptions, TestRunResult, Xdp};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vrrp_ebpf::abi::{Counter, Rule, RuleKey, SLOT_WAKE_ALWAYS};

use self::cases::{Case, Supply, cases};
use super::SCHEMA;
use super::machine::{Machine, Ticks, share};
use crate::net::Interface;
use crate::net::maps::MapsError;
use crate::net::receiver::{Choice, Control, OpenError, Receiver, open};
use crate::net::xdp::{Diagnostics, Programs, Reference, Sizes, XdpLoadError};

/// The loopback of a new namespace.
const IFINDEX: u32 = 1;
/// Packets of an endless supply in one run: a fraction of a scheduler's tick.
const ENDLESS: u32 = 20_000;
/// A run that the machine stalled is made again.
const TRIES: u32 = 10;
/// A bucket of the recorded sender holds 256 tokens, one is spent on the first packet.
const TOKENS: Lengths = Lengths { long: 250, short: 50 };
/// A bucket of a foreign sender holds 100.
const FOREIGN_TOKENS: Lengths = Lengths { long: 90, short: 10 };
/// Room for the longest adverts of a run without a reader.
const RING: u32 = 1 << 20;

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// A long run less a short one, so that what is cold at the start of each does not count.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    long: u32,
    short: u32,
}

#[derive(Debug, Error)]
pub enum XdpBenchError {
    #[error("make a network namespace: {0}; it needs root (CAP_SYS_ADMIN)")]
    Namespace(io::Error),
    #[error("start the measuring thread: {0}")]
    Thread(io::Error),
    #[error("the measuring thread panicked, which is a fault of this program")]
    Panicked,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Load(#[from] XdpLoadError),
    #[error(transparent)]
    Maps(#[from] MapsError),
    #[error("run \"{case}\" by BPF_PROG_TEST_RUN: {source}; it needs root (CAP_BPF) and Linux 5.18 or newer")]
    Run { case: &'static str, source: ProgramError },
    #[error(
        "\"{case}\": the program returned {found} instead of {expected}: the costs would be those of something else"
    )]
    Verdict { case: &'static str, found: u32, expected: u32 },
    #[error(
        "\"{case}\": of {packets} packets {found} were counted as {counter}: the costs would be those of something else"
    )]
    Count { case: &'static str, counter: &'static str, packets: u64, found: u64 },
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Another program's cost, to compare with.
    Reference,
    /// Passed on to the stack.
    Pass,
    /// Dropped.
    Drop,
    /// Refreshed its slot and went on to the stack.
    Accept,
    /// That, and entered the ring.
    Deliver,
}

/// One kind of packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub group: Group,
    pub best_ns: u64,
    pub median_ns: u64,
    /// Medians: this one to that of the empty program.
    pub ratio: f64,
}

/// One program as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub program: String,
    /// Instructions that the verifier went through, of the million it allows.
    pub verified_instructions: Option<u32>,
    pub instructions: Option<u32>,
    pub jited_bytes: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct XdpReport {
    pub schema: u32,
    pub machine: Machine,
    pub rounds: usize,
    pub rows: Vec<Row>,
    pub sizes: Vec<Size>,
}

/// The names of all rows, in their order.
pub fn names() -> Vec<&'static str> {
    let cases = cases();
    REFERENCES.iter().map(|(name, _)| *name).chain(cases.iter().map(|case| case.name)).collect()
}

const REFERENCES: [(&str, Reference); 2] =
    [("empty program", Reference::Nothing), ("bpf_ktime_get_ns", Reference::Clock)];

/// Measures, `rounds` times each kind of packet. About 60 ms a round.
pub fn run(rounds: usize) -> Result<XdpReport, XdpBenchError> {
    // Of its own, since it leaves the network namespace of the process.
    let thread = thread::Builder::new().name("bench".into()).spawn(move || {
        // SAFETY: no descriptors and no memory are unshared, only the network of this thread.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
            .map_err(|errno| XdpBenchError::Namespace(errno.into()))?;
        measure(rounds.max(1))
    });
    thread.map_err(XdpBenchError::Thread)?.join().map_err(|_panic| XdpBenchError::Panicked)?
}

fn measure(rounds: usize) -> Result<XdpReport, XdpBenchError> {
    let ticks = Ticks::now();
    let mut bench = Bench::open()?;
    let cases = cases();
    for (case, number) in cases.iter().zip(1..) {
        bench.set_up(case, number)?;
    }
    let mut references = [const { Vec::new() }; REFERENCES.len()];
    let mut costs: Vec<Costs> = cases.iter().map(|_| Costs::default()).collect();
    let frame = cases.first().map(|case| case.frame(1, 0)).unwrap_or_default();
    for round in 0..rounds {
        for ((name, reference), costs) in REFERENCES.iter().zip(&mut references) {
            costs.push(bench.run_reference(name, *reference, &frame)?);
        }
        for ((case, number), costs) in cases.iter().zip(1..).zip(&mut costs) {
            bench.run_case(case, number, round, costs)?;
        }
    }

    let mut rows: Vec<Row> = Vec::new();
    let empty = median(&references[0]);
    let mut row = |name: &str, group, best_ns, median_ns| {
        rows.push(Row { name: name.into(), group, best_ns, median_ns, ratio: share(median_ns, empty) });
    };
    for ((name, _), costs) in REFERENCES.iter().zip(&references) {
        row(name, Group::Reference, best(costs), median(costs));
    }
    for (case, costs) in cases.iter().zip(&costs) {
        row(case.name, case.group, costs.of(case, best), costs.of(case, median));
    }
    let sizes = bench.sizes()?;
    Ok(XdpReport { schema: SCHEMA, machine: Machine::since(ticks), rounds, rows, sizes })
}

/// ns per packet, round by round.
#[derive(Default)]
struct Costs {
    /// Of the long runs, or of the only ones.
    long: Vec<u64>,
    short: Vec<u64>,
}

impl Costs {
    fn of(&self, case: &Case, choose: fn(&[u64]) -> u64) -> u64 {
        let lengths = match case.supply {
            Supply::Endless => return choose(&self.long),
            Supply::Tokens => TOKENS,
            Supply::ForeignTokens => FOREIGN_TOKENS,
        };
        let (long, short) = (u64::from(lengths.long), u64::from(lengths.short));
        // Round by round: the best long run and the best short one need not be of the same moment.
        let rounds = self.long.iter().zip(&self.short);
        let costs = rounds.map(|(all, few)| (all * long).saturating_sub(few * short) / (long - short));
        choose(&costs.collect::<Vec<_>>())
    }
}

fn best(costs: &[u64]) -> u64 {
    costs.iter().copied().min().unwrap_or(0)
}

fn median(costs: &[u64]) -> u64 {
    let mut sorted = costs.to_vec();
    sorted.sort_unstable();
    sorted.get(costs.len() / 2).copied().unwrap_or(0)
}

/// The kernel half on a loopback that nobody else has.
struct Bench {
    receiver: Receiver,
    control: Control,
}

impl Bench {
    /// Attached, because the kernel pauses for 20 ms before each test run of a program that is not.
    fn open() -> Result<Self, XdpBenchError> {
        let loopback = Interface { name: "lo".into(), index: IFINDEX };
        let sizes = Sizes { ring_bytes: RING, ..Sizes::default() };
        let (receiver, control) = open(Choice::Xdp, &[loopback], sizes, Diagnostics::Off)?;
        Ok(Self { receiver, control })
    }

    fn set_up(&mut self, case: &Case, number: u8) -> Result<(), XdpBenchError> {
        let slot = u32::from(number);
        if case.wakes {
            self.control.slots().set_flags(slot, SLOT_WAKE_ALWAYS);
        }
        if let Some(rule) = case.rule {
            let key =
                RuleKey { ifindex: IFINDEX, family: case.family, virtual_router_id: number, padding: 0 };
            self.control.insert_rule(key, Rule { slot, ..rule })?;
        }
        Ok(())
    }

    fn run_case(
        &mut self,
        case: &Case,
        number: u8,
        round: usize,
        costs: &mut Costs,
    ) -> Result<(), XdpBenchError> {
        match case.supply {
            Supply::Endless => {
                let frame = case.frame(number, 0);
                let mut tries = 1..TRIES;
                loop {
                    match self.run_batch(case, &frame, ENDLESS) {
                        // Stalled for long enough to earn tokens: no measurement.
                        Err(XdpBenchError::Count { .. }) if case.exceptions > 0 && tries.next().is_some() => {
                        }
                        result => break costs.long.push(result?),
                    }
                }
            }
            Supply::Tokens => {
                let frame = case.frame(number, 0);
                let run = |bench: &mut Self, length| {
                    bench.control.slots().clear(u32::from(number));
                    // It is news, wakes the consumer, and is not measured.
                    bench.run_xdp(case, &frame, 1)?;
                    bench.run_batch(case, &frame, length)
                };
                // The first one only warms what the case before has left cold.
                run(self, TOKENS.long)?;
                costs.long.push(run(self, TOKENS.long)?);
                costs.short.push(run(self, TOKENS.short)?);
            }
            Supply::ForeignTokens => {
                // The case gives each sender a bucket of its own.
                let first = u16::try_from(round * 3).unwrap_or(u16::MAX - 2);
                let run = |bench: &mut Self, sender, length| {
                    bench.run_batch(case, &case.frame(number, first + sender), length)
                };
                run(self, 0, FOREIGN_TOKENS.long)?;
                costs.long.push(run(self, 1, FOREIGN_TOKENS.long)?);
                costs.short.push(run(self, 2, FOREIGN_TOKENS.short)?);
            }
        }
        Ok(())
    }

    /// ns per packet. Makes sure that all packets came to what the case is about.
    fn run_batch(&mut self, case: &Case, frame: &[u8], packets: u32) -> Result<u64, XdpBenchError> {
        let before = self.control.counters()?;
        let result = self.run_xdp(case, frame, packets)?;
        let after = self.control.counters()?;
        while self.receiver.next_record().is_some() {}

        let expected = if case.group == Group::Drop { XDP_DROP } else { XDP_PASS };
        if result.return_value != expected {
            let (case, found) = (case.name, result.return_value);
            return Err(XdpBenchError::Verdict { case, found, expected });
        }
        let counted = |counter: Counter| after.get(counter) - before.get(counter);
        let packets = u64::from(packets);
        let (counter, found, at_least) = match case.counter {
            Some(counter) => (counter.name(), counted(counter), packets - case.exceptions),
            None => ("nothing", packets - Counter::ALL.into_iter().map(counted).sum::<u64>(), packets),
        };
        if found < at_least || found > packets {
            return Err(XdpBenchError::Count { case: case.name, counter, packets, found });
        }
        Ok(nanoseconds(&result))
    }

    fn run_xdp(&mut self, case: &Case, frame: &[u8], packets: u32) -> Result<TestRunResult, XdpBenchError> {
        test_run(self.programs()?.xdp()?, case.name, frame, packets)
    }

    fn run_reference(
        &mut self,
        name: &'static str,
        reference: Reference,
        frame: &[u8],
    ) -> Result<u64, XdpBenchError> {
        let program = self.programs()?.reference(reference)?;
        Ok(nanoseconds(&test_run(program, name, frame, ENDLESS)?))
    }

    fn programs(&mut self) -> Result<&mut Programs, XdpBenchError> {
        self.control.programs_mut().ok_or(XdpBenchError::Load(XdpLoadError::NotBuilt))
    }

    fn sizes(&mut self) -> Result<Vec<Size>, XdpBenchError> {
        let failed = |source| XdpBenchError::Run { case: "program information", source };
        let programs = self.programs()?;
        let xdp = programs.xdp()?.info().map_err(failed)?;
        let tcx = programs.tcx()?.info().map_err(failed)?;
        let size = |(program, info): (&str, aya::programs::ProgramInfo)| Size {
            program: program.into(),
            verified_instructions: info.verified_instruction_count(),
            // Eight bytes each.
            instructions: info.size_translated().map(|bytes| bytes / 8),
            jited_bytes: info.size_jitted(),
        };
        Ok([("xdp", xdp), ("tcx", tcx)].map(size).into())
    }
}

fn test_run(
    program: &Xdp,
    case: &'static str,
    frame: &[u8],
    packets: u32,
) -> Result<TestRunResult, XdpBenchError> {
    let options = TestRunOptions { data_in: Some(frame), repeat: packets, ..TestRunOptions::new() };
    program.test_run(options).map_err(|source| XdpBenchError::Run { case, source })
}

fn nanoseconds(result: &TestRunResult) -> u64 {
    u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Display for XdpReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "What a packet costs in the kernel half (BPF_PROG_TEST_RUN, {} rounds in turn)",
            self.rounds
        )?;
        writeln!(f, "{}\n", self.machine)?;
        writeln!(f, "{:<10} {:<34} {:>8} {:>10} {:>10}", "", "ns per packet", "best", "median", "to empty")?;
        for Row { name, group, best_ns, median_ns, ratio } in &self.rows {
            let group = format!("{group:?}").to_lowercase();
            writeln!(f, "{group:<10} {name:<34} {best_ns:>8} {median_ns:>10} {ratio:>10.1}")?;
        }
        writeln!(f)?;
        for Size { program, verified_instructions, instructions, jited_bytes } in &self.sizes {
            let number = |number: &Option<u32>| number.map_or("?".into(), |number| number.to_string());
            writeln!(
                f,
                "{program}: {} instructions, {jited_bytes} bytes of machine code; the verifier went through {} of 1000000",
                number(instructions),
                number(verified_instructions),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_run_does_not_count() {
        // 1000 ns of being cold, then 100 ns a packet.
        let cold = |packets: u32| (1000 + 100 * u64::from(packets)) / u64::from(packets);
        let costs = Costs { long: vec![cold(TOKENS.long); 3], short: vec![cold(TOKENS.short); 3] };
        let of = |supply| costs.of(&Case { supply, ..cases().remove(0) }, median);
        assert!(of(Supply::Tokens).abs_diff(100) <= 1, "{}", of(Supply::Tokens));
        assert_eq!(of(Supply::Endless), 104);
    }

    #[test]
    fn every_reason_to_drop_is_measured() {
        let measured: Vec<Counter> = cases().iter().filter_map(|case| case.counter).collect();
        // These two say more about a packet that another counter has told of.
        let more = [Counter::ChecksumMessageOnly, Counter::ChecksumPseudoHeader];
        // One is the daemon's fault, the other is told by a case's flag.
        let other = [Counter::RingFull, Counter::Woke];
        for counter in Counter::ALL {
            assert_ne!(
                measured.contains(&counter),
                more.contains(&counter) || other.contains(&counter),
                "{counter:?}"
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
