//! Arbitrary bytes for every parser, and what each must hold to: not only that it does not panic.
//!
//! Owns the targets; a target's check panics when a promise is broken. Refuses to know who makes the bytes: the test
//! `replay` (the corpus and blind changes to it, on any toolchain) and libFuzzer (`cargo xtask fuzz`) run the same ones.
#![expect(clippy::unwrap_used, reason = "a check panics when a promise is broken")]

use std::{env, fs, path::PathBuf};

mod answers;
mod classify;
mod config;
mod control;
mod gtid;
mod import;
mod kernel;
mod peek;
mod plan;
mod tcp;
mod wire;

/// Where [`Target::plant`] puts its files.
pub const SEEDS_VARIABLE: &str = "VRRP_FUZZ_SEEDS";

/// One parser.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    /// Whether the parser accepted them.
    pub check: fn(&[u8]) -> bool,
    /// Inputs to begin with, most of them valid.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The VRRP message.
pub const ADVERT: Target = Target { name: "advert", check: wire::check_advert, seeds: wire::advert_seeds };
/// Ethernet, IPv4, VRRP.
pub const FRAME: Target = Target { name: "frame", check: wire::check_frame, seeds: wire::frame_seeds };
/// Gratuitous ARP.
pub const ARP: Target = Target { name: "arp", check: wire::check_arp, seeds: wire::arp_seeds };
/// The kernel half's classifier, rules and frame.
pub const CLASSIFY: Target = Target { name: "classify", check: classify::check, seeds: classify::seeds };
/// A record of the ring.
pub const RECORD: Target =
    Target { name: "record", check: classify::check_record, seeds: classify::record_seeds };
/// A configuration file.
pub const CONFIG: Target = Target { name: "config", check: config::check, seeds: config::seeds };
/// One value in an otherwise right configuration: durations, addresses, names, passwords, numbers.
pub const VALUE: Target = Target { name: "value", check: config::check_value, seeds: config::value_seeds };
/// The guard's plan.
pub const PLAN: Target = Target { name: "plan", check: plan::check, seeds: plan::seeds };
/// The bodies and the lines of the control socket.
pub const CONTROL: Target = Target { name: "control", check: control::check, seeds: control::seeds };
/// A keepalived.conf.
pub const IMPORT: Target = Target { name: "import", check: import::check, seeds: import::seeds };
/// Any VRRP frame, right or wrong, as a person sees it.
pub const PEEK: Target = Target { name: "peek", check: peek::check, seeds: peek::seeds };
/// A stranger's TCP segment, and the reset that answers it.
pub const RESET: Target = Target { name: "reset", check: tcp::check_reset, seeds: tcp::reset_seeds };
/// The same in the kernel half, which refuses it.
pub const BLOCK: Target = Target { name: "block", check: tcp::check_block, seeds: tcp::block_seeds };
/// Two positions by transaction id, of either product.
pub const GTID: Target = Target { name: "gtid", check: gtid::check, seeds: gtid::seeds };
/// A database's rows.
pub const ANSWERS: Target = Target { name: "answers", check: answers::check, seeds: answers::seeds };
/// The kernel's tables of sockets and routes.
pub const TABLES: Target = Target { name: "tables", check: kernel::check_tables, seeds: kernel::table_seeds };
/// Control messages, and the witness's records.
pub const KERNEL_RECORD: Target =
    Target { name: "kernel_record", check: kernel::check_record, seeds: kernel::record_seeds };
/// The file of what is drained.
pub const DRAINED: Target =
    Target { name: "drained", check: plan::check_drained, seeds: plan::drained_seeds };

pub const TARGETS: [Target; 18] = [
    ADVERT,
    FRAME,
    ARP,
    CLASSIFY,
    RECORD,
    CONFIG,
    VALUE,
    PLAN,
    CONTROL,
    IMPORT,
    PEEK,
    RESET,
    BLOCK,
    GTID,
    ANSWERS,
    TABLES,
    KERNEL_RECORD,
    DRAINED,
];

impl Target {
    /// The folder of its corpus in the source tree.
    pub fn corpus(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }

    /// Writes the seeds into the folder that the environment names, for libFuzzer, which reads only files.
    pub fn plant(&self) {
        let Some(folder) = env::var_os(SEEDS_VARIABLE).map(PathBuf::from) else { return };
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in (self.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

/// Any refusal says why.
fn refused(error: &dyn std::error::Error) -> bool {
    assert!(!error.to_string().is_empty(), "{error:?} has no words");
    false
}
