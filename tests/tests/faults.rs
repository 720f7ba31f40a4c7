//! Faults: what goes wrong around the daemon and in it, and what must hold all the same.
//!
//! Judged by captured packets and address events. Bounds of time add what a meter on each CPU has seen of stalls of the
//! machine itself (`StallMeter`); the bound before that is what the protocol or the documentation promises.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod faults {
    pub(super) mod addresses;
    pub(super) mod attach;
    pub(super) mod command;
    pub(super) mod death;
    pub(super) mod junk;
    pub(super) mod kills;
    pub(super) mod many;
    pub(super) mod pair;
    pub(super) mod refused;
    pub(super) mod release;
    pub(super) mod stalls;
}

use std::process::ExitCode;

use vrrp_lab::harness;

fn main() -> ExitCode {
    use faults::{addresses, attach, command, death, junk, kills, many, refused, release, stalls};
    let all = [
        command::tests(),
        junk::tests(),
        stalls::tests(),
        death::tests(),
        kills::tests(),
        refused::tests(),
        release::tests(),
        addresses::tests(),
        attach::tests(),
        many::tests(),
    ];
    harness::run(all.concat())
}
