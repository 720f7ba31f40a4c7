//! Pairs: two daemons, and a daemon with a real keepalived in either role, through everything that a pair lives through.
//!
//! Judged by captured packets and address events, at version 2 with a password and version 3 at 1 s, 100 ms and 10 ms.
//! Bounds of time add what a meter on each CPU has seen of stalls of the machine itself; the bound before that is what
//! the protocol or the documentation promises.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod pairs {
    pub(super) mod answers;
    pub(super) mod case;
    pub(super) mod election;
    pub(super) mod handover;
    pub(super) mod links;
    pub(super) mod netlink_lock;
    pub(super) mod pair;
    pub(super) mod receiver;
    pub(super) mod restarts;
}

use std::process::ExitCode;

use vrrp_lab::harness;

fn main() -> ExitCode {
    use pairs::{answers, election, handover, links, netlink_lock, receiver, restarts};
    let all = [
        election::tests(),
        handover::tests(),
        links::tests(),
        restarts::tests(),
        receiver::tests(),
        answers::tests(),
        netlink_lock::tests(),
    ];
    harness::run(all.concat())
}
