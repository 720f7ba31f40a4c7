//! The loaded programs, and what can be done with them.

use std::os::fd::AsFd;

use aya::programs::{TestRun, TestRunOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use vrrp_ebpf::abi::{AUTH_NONE, AUTH_PASS, Counter, FAMILY_IPV4, FAMILY_IPV6, Rule, RuleKey};
use vrrp_ebpf::receive::Fate;
use vrrp_ebpf::samples::Sample;
use vrrp_user::net::Interface;
use vrrp_user::net::receiver::{Choice, Control, Receiver, open};
use vrrp_user::net::xdp::{Diagnostics, Sizes};

/// The interface that test runs come in by: loopback.
pub(crate) const IFINDEX: u32 = 1;
pub(crate) const SLOT: u32 = 7;

/// What this machine lacks for these tests, if anything. Moves the process into a namespace of its own.
pub(crate) fn lacking() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root: run it with sudo".into());
    }
    // SAFETY: no other thread runs yet, and no descriptors are unshared.
    if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        return Some(format!("cannot make a network namespace: {error}"));
    }
    open(Choice::Xdp, &[loopback()], Sizes::default(), Diagnostics::Off).err().map(|error| error.to_string())
}

fn loopback() -> Interface {
    Interface { name: "lo".into(), index: IFINDEX }
}

/// A record as it came out of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) slot: u32,
    pub(crate) arrived_ns: u64,
    pub(crate) ifindex: u32,
    pub(crate) changed: bool,
    pub(crate) woke: bool,
    pub(crate) rejected: Option<u8>,
    pub(crate) frame: Vec<u8>,
}

pub(crate) struct Kernel {
    pub(crate) receiver: Receiver,
    pub(crate) control: Control,
}

impl Kernel {
    pub(crate) fn new() -> Self {
        Self::with_sizes(Sizes::default())
    }

    pub(crate) fn with_sizes(sizes: Sizes) -> Self {
        let (receiver, control) = open(Choice::Xdp, &[loopback()], sizes, Diagnostics::Errors).unwrap();
        Self { receiver, control }
    }

    /// With this rule for virtual router 10.
    pub(crate) fn with_rule(family: u8, rule: Rule) -> Self {
        let mut kernel = Self::new();
        kernel.insert(family, rule);
        kernel
    }

    pub(crate) fn insert(&mut self, family: u8, rule: Rule) {
        self.control.insert_rule(key(family), rule).unwrap();
    }

    pub(crate) fn run(&mut self, frame: &[u8]) -> Fate {
        match self.run_xdp(frame, 1).0 {
            2 => Fate::Pass,
            1 => Fate::Drop,
            other => panic!("XDP verdict {other}"),
        }
    }

    /// For a frame that the stack must get.
    pub(crate) fn hear(&mut self, frame: &[u8]) {
        assert_eq!(self.run(frame), Fate::Pass);
    }

    /// Verdict and nanoseconds per packet.
    pub(crate) fn run_xdp(&mut self, frame: &[u8], repeat: u32) -> (u32, u128) {
        let program = self.control.programs_mut().unwrap().xdp().unwrap();
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        let result = program.test_run(options).unwrap();
        (result.return_value, result.duration.as_nanos())
    }

    /// Whether the kernel's test run takes a frame of this length as a socket buffer: at least
    /// a whole IPv6 header, less than a page.
    pub(crate) fn tcx_takes(frame: &[u8]) -> bool {
        (54..3600).contains(&frame.len())
    }

    pub(crate) fn run_tcx(&mut self, frame: &[u8]) -> Fate {
        let program = self.control.programs_mut().unwrap().tcx().unwrap();
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        match program.test_run(options).unwrap().return_value.cast_signed() {
            -1 => Fate::Pass,
            2 => Fate::Drop,
            other => panic!("TCX verdict {other}"),
        }
    }

    pub(crate) fn take(&mut self) -> Option<Taken> {
        let record = self.receiver.next_record()?;
        Some(Taken {
            slot: record.slot(),
            arrived_ns: record.arrived_ns(),
            ifindex: record.ifindex(),
            changed: record.changed(),
            woke: record.woke(),
            rejected: record.rejected(),
            frame: record.frame().to_vec(),
        })
    }

    pub(crate) fn drain(&mut self) -> Vec<Taken> {
        std::iter::from_fn(|| self.take()).collect()
    }

    /// What was counted while `act` ran, each non-zero counter.
    pub(crate) fn counted(&mut self, act: impl FnOnce(&mut Self)) -> Vec<(Counter, u64)> {
        let before = self.control.counters().unwrap();
        act(self);
        let after = self.control.counters().unwrap();
        let difference = after.iter().map(|(counter, count)| (counter, count - before.get(counter)));
        difference.filter(|(_, count)| *count != 0).collect()
    }

    pub(crate) fn readable(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.receiver.as_fd(), PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }
}

pub(crate) fn key(family: u8) -> RuleKey {
    RuleKey { ifindex: IFINDEX, family, virtual_router_id: 10, padding: 0 }
}

pub(crate) fn v2() -> Rule {
    Rule { slot: SLOT, version: 2, auth_type: AUTH_NONE, flags: 0, v2_interval: 1, password: [0; 8] }
}

pub(crate) fn v2_pass() -> Rule {
    Rule { auth_type: AUTH_PASS, password: *b"1111\0\0\0\0", ..v2() }
}

pub(crate) fn v3() -> Rule {
    Rule { version: 3, v2_interval: 0, ..v2() }
}

/// A sample of each kind of advert, and the rule that fits it.
pub(crate) fn kinds() -> [(&'static str, Sample, u8, Rule); 5] {
    [
        ("v2", Sample::v2(), FAMILY_IPV4, v2()),
        ("v2 with password", Sample::v2_pass(), FAMILY_IPV4, v2_pass()),
        ("v3", Sample::v3(), FAMILY_IPV4, v3()),
        ("v3, RFC 9568", Sample::v3_message_only(), FAMILY_IPV4, v3()),
        ("v3 over IPv6", Sample::v6(), FAMILY_IPV6, v3()),
    ]
}
