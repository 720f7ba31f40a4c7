//! What this machine can do, found out by trying, with the reason when it cannot.
//!
//! Owns the probes and remembers their answers. Refuses to know which tests need what.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{bpf, daemon, lab::Lab, mysql::Flavour, namespace::Namespace};

/// Something that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// Root, network namespaces, veth pairs and bridges.
    Lab,
    /// XDP programs attach natively to veth.
    NativeXdp,
    /// Test runs of XDP programs make frames that really travel, and native XDP receives them.
    LiveFrames,
    /// Packet loss in the bridge, by nftables.
    Loss,
    /// A program in PATH.
    Tool(&'static str),
    /// keepalived, the real one.
    Keepalived,
    /// MariaDB, the real one.
    MariaDb,
    /// Oracle MySQL 5.6, the real one.
    MySql56,
    /// The daemon's binary is built.
    Daemon,
}

impl Requirement {
    /// Why this machine lacks it; `None` when it has it.
    pub fn missing(self) -> Option<String> {
        static ANSWERS: Mutex<Option<HashMap<Requirement, Option<String>>>> = Mutex::new(None);
        let known = || ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().as_ref().and_then(|answers| answers.get(&self)) {
            return answer.clone();
        }
        let answer = self.probe().err();
        known().get_or_insert_default().insert(self, answer.clone());
        answer
    }

    fn probe(self) -> Result<(), String> {
        match self {
            Self::Lab => probe_lab(),
            Self::NativeXdp => on_veth("probe-xdp", |ifindex| {
                let program =
                    bpf::load(bpf::Verdict::Pass).map_err(|e| format!("XDP programs do not load: {e}"))?;
                bpf::attach_native(&program, ifindex)
                    .map(drop)
                    .map_err(|e| format!("no native XDP on veth: {e}"))
            }),
            Self::LiveFrames => {
                available(Self::NativeXdp)?;
                on_veth("probe-live", |ifindex| {
                    let program = bpf::load(bpf::Verdict::Pass)
                        .map_err(|error| format!("XDP programs do not load: {error}"))?;
                    bpf::run_live(&program, ifindex, &[0; 60], 1)
                        .map_err(|error| format!("this kernel's test runs make no live frames: {error}"))
                })
            }
            Self::Loss => {
                available(Self::Lab)?;
                probe_tool("nft")?;
                let lab = Lab::new("probe-loss").map_err(|error| format!("{error:#}"))?;
                let rule = "table bridge probe { chain c { type filter hook forward priority 0; \
                            numgen random mod 100 < 1 drop; }; }";
                let outcome = lab.bridge().run("nft", &[rule]);
                outcome.map(drop).map_err(|error| format!("nftables cannot drop in a bridge: {error:#}"))
            }
            Self::Tool(name) => probe_tool(name),
            Self::Keepalived => probe_tool("keepalived"),
            Self::MariaDb => Flavour::MariaDb.program().map(drop),
            Self::MySql56 => Flavour::MySql56.program().map(drop),
            Self::Daemon => daemon::binary().map(drop).map_err(|error| format!("{error:#}")),
        }
    }
}

/// Where a program is, by PATH and by the system folders that PATH may lack.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn available(requirement: Requirement) -> Result<(), String> {
    requirement.missing().map_or(Ok(()), Err)
}

fn probe_tool(name: &str) -> Result<(), String> {
    find_program(name)
        .map(drop)
        .ok_or_else(|| format!("{name} is not installed (cargo xtask setup installs it)"))
}

fn probe_lab() -> Result<(), String> {
    if !is_root() {
        return Err("needs root (run it with sudo)".to_owned());
    }
    probe_tool("ip")?;
    probe_tool("bridge")?;
    if !Path::new("/proc/self/ns/net").exists() {
        return Err("this kernel has no network namespaces".to_owned());
    }
    let lab =
        Lab::pair("probe").map_err(|error| format!("cannot build a network of namespaces: {error:#}"))?;
    drop(lab);
    Ok(())
}

/// Tries something with an interface of a veth pair whose peer is up.
fn on_veth(name: &str, attempt: impl FnOnce(u32) -> Result<(), String> + Send) -> Result<(), String> {
    available(Requirement::Lab)?;
    let text = |error: anyhow::Error| format!("{error:#}");
    let namespace = Namespace::create(name).map_err(text)?;
    namespace.ip(&["link", "add", "name", "eth0", "type", "veth", "peer", "name", "eth1"]).map_err(text)?;
    namespace.ip(&["link", "set", "dev", "eth0", "up"]).map_err(text)?;
    namespace.ip(&["link", "set", "dev", "eth1", "up"]).map_err(text)?;
    let listing = namespace.ip(&["-o", "link", "show", "dev", "eth0"]).map_err(text)?;
    let ifindex = listing.split(':').next().and_then(|index| index.trim().parse().ok());
    let ifindex = ifindex.ok_or_else(|| format!("no interface index in {listing:?}"))?;
    namespace.enter(move || attempt(ifindex)).map_err(text)?
}
