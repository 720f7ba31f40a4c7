//! The host under the server: its clock, and how soon it forgets clients that vanished.

use super::Context;
use crate::doctor::facts::{Clock, Facts};
use crate::doctor::finding::Findings;

/// Two hours is what kernels come with.
const LONGEST_KEEPALIVE_SECONDS: u64 = 600;

pub(super) fn clock(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str = "time stamps in the data jump at a failover, and measured lag is wrong";
    match facts.host.as_ref().map(|host| host.clock) {
        Some(Clock::Adrift) => findings.warn(
            "clock-sync",
            "systemd-timesyncd runs and has not set the clock yet",
            WHY,
            "timedatectl timesync-status tells why; see that its servers can be reached",
        ),
        Some(Clock::Unkept) => findings.info(
            "clock-sync",
            "no program that keeps the clock runs here",
            WHY,
            "install chrony, unless the machine under this one keeps the time",
        ),
        Some(Clock::Kept) | None => {}
    }
}

/// MariaDB has settings of its own, 0 meaning the kernel's; MySQL has none.
pub(super) fn keepalive(facts: &Facts, _context: &Context, findings: &mut Findings) {
    let own = facts.number(&["tcp_keepalive_time"]).filter(|seconds| *seconds != 0);
    let kernels = facts.host.as_ref().and_then(|host| host.keepalive_seconds);
    let Some(seconds) = own.or(kernels).filter(|seconds| *seconds > LONGEST_KEEPALIVE_SECONDS) else {
        return;
    };
    let mend = if facts.variables.has("tcp_keepalive_time") {
        "SET GLOBAL tcp_keepalive_time = 60; my.cnf: tcp_keepalive_time = 60, tcp_keepalive_interval = 10, \
         tcp_keepalive_probes = 3"
    } else {
        "sysctl net.ipv4.tcp_keepalive_time=60 net.ipv4.tcp_keepalive_intvl=10 net.ipv4.tcp_keepalive_probes=3"
    };
    findings.info(
        "tcp-keepalive",
        format!("a silent client is asked whether it lives after {seconds} s"),
        "one that vanished keeps its connection and its locks so long",
        mend,
    );
}
