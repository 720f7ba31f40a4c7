//! The kernel half: loaded once, attached to each interface in the best mode to be had.
//!
//! Owns the object, the programs and their links. Refuses to know what the maps hold. Links are not pinned: when the
//! process ends, however it ends, nothing stays attached.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use aya::maps::Map;
use aya::programs::links::FdLink;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::XdpError;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_log::EbpfLogger;
use thiserror::Error;
use vrrp_ebpf::abi::{ABI_MARK, ABI_VERSION};
use vrrp_ebpf::table;

use super::maps::{Maps, MapsError};
use super::ring::{Ring, RingGauge};
use super::slots::{MappingError, Slots};
use super::{Attachment, Interface, Mode};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vrrp-ebpf.o"));

#[derive(Debug, Error)]
pub enum XdpLoadError {
    #[error(
        "this binary was built without its kernel half because no BPF toolchain was found: \
         install one with `cargo xtask setup` and build again"
    )]
    NotBuilt,
    #[error(
        "the BPF object speaks ABI version {found:?}, this daemon {ABI_VERSION}: build both from one source"
    )]
    Abi { found: Option<u16> },
    #[error("load the BPF object: {0}; it needs root (CAP_BPF, CAP_NET_ADMIN) and Linux 5.18 or newer")]
    Object(#[from] EbpfError),
    #[error(
        "load the program {name}: {source}; it needs root (CAP_BPF, CAP_NET_ADMIN) and Linux 5.18 or newer"
    )]
    Program { name: &'static str, source: ProgramError },
    #[error("the BPF object has no program {name}: it was not built from this version's sources")]
    MissingProgram { name: &'static str },
    #[error(transparent)]
    Maps(#[from] MapsError),
    #[error(transparent)]
    Slots(#[from] MappingError),
}

#[derive(Debug, Error)]
#[error("interface {interface}: adverts can be received in no permitted way: {}", list(refused))]
pub struct AttachError {
    pub interface: String,
    pub refused: Vec<(Mode, String)>,
}

fn list(refused: &[(Mode, String)]) -> String {
    refused.iter().map(|(mode, why)| format!("{mode}: {why}")).collect::<Vec<_>>().join("; ")
}

/// Sizes of the maps, fixed at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Virtual routers; also the number of slots.
    pub rules: u32,
    /// Peers of all of them.
    pub peers: u32,
    /// Token buckets: senders told apart.
    pub buckets: u32,
    /// Bytes of the ring; rounded up to a power of two of pages.
    pub ring_bytes: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { rules: 256, peers: 1024, buckets: 4096, ring_bytes: 256 * 1024 }
    }
}

/// What the kernel half may report of itself through aya-log; nothing on the packet path does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diagnostics {
    #[default]
    Off,
    Errors,
}

/// The programs and their links.
pub struct Programs {
    bpf: Ebpf,
    links: HashMap<u32, Link>,
    /// None where it cannot be had: nothing but the status is poorer for it.
    gauge: Option<RingGauge>,
    /// The kernel half's own words; None if it was told to say nothing.
    diagnostics: Option<EbpfLogger<&'static dyn log::Log>>,
}

#[expect(dead_code, reason = "held: dropping it detaches")]
enum Link {
    Xdp(FdLink),
    Tcx(SchedClassifierLink),
}

const XDP: &str = "vrrp_xdp";
const TCX: &str = "vrrp_tcx";
const NOTHING: &str = "vrrp_nothing";
const CLOCK: &str = "vrrp_clock";

/// Programs of the object to compare with: never attached, loaded when first asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Passes every packet unread.
    Nothing,
    /// Reads the clock once, as every delivered advert must.
    Clock,
}

/// Loads the kernel half. Nothing is attached yet.
pub(super) fn load(
    sizes: Sizes,
    diagnostics: Diagnostics,
) -> Result<(Programs, Maps, Ring, Slots), XdpLoadError> {
    if OBJECT.is_empty() {
        return Err(XdpLoadError::NotBuilt);
    }
    match abi_version(OBJECT) {
        Some(ABI_VERSION) => {}
        found => return Err(XdpLoadError::Abi { found }),
    }
    let level = match diagnostics {
        Diagnostics::Off => 0_u8,
        Diagnostics::Errors => 1,
    };
    let size = sizes.ring_bytes.next_power_of_two();
    let places = table::places(sizes.rules);
    let mut bpf = EbpfLoader::new()
        .map_max_entries("RULES", places)
        .map_max_entries("SLOTS", sizes.rules)
        .map_max_entries("PEERS", sizes.peers)
        .map_max_entries("BUCKETS", sizes.buckets)
        .map_max_entries("ADVERTS", sizes.ring_bytes)
        .override_global(aya_log::LEVEL, &level, true)
        .override_global("RING_BYTES", &u64::from(size), true)
        .override_global("RULE_PLACES", &places, true)
        .load(OBJECT)?;
    let maps = Maps::take(&mut bpf, places)?;
    let adverts = bpf.take_map("ADVERTS").ok_or(MapsError::Missing { name: "ADVERTS" })?;
    let gauge = if let Map::RingBuf(data) = &adverts { RingGauge::new(data.fd(), size).ok() } else { None };
    let ring = Ring::new(adverts).map_err(|source| MapsError::Shape { name: "ADVERTS", source })?;
    let Some(Map::Array(map)) = bpf.map("SLOTS") else {
        return Err(MapsError::Missing { name: "SLOTS" }.into());
    };
    let slots = Slots::map(map.fd(), sizes.rules)?;
    let mut programs = Programs { bpf, links: HashMap::new(), gauge, diagnostics: None };
    programs.xdp()?.load().map_err(|source| XdpLoadError::Program { name: XDP, source })?;
    // Silenced at load, the program has no map for its words.
    programs.diagnostics = EbpfLogger::init(&mut programs.bpf).ok();
    Ok((programs, maps, ring, slots))
}

fn abi_version(object: &[u8]) -> Option<u16> {
    let mark = object.windows(ABI_MARK.len()).position(|window| window == ABI_MARK)?;
    object[mark + ABI_MARK.len()..].first_chunk().map(|version| u16::from_ne_bytes(*version))
}

impl Programs {
    /// The XDP program, for tests and measurements that run it on a frame.
    pub fn xdp(&mut self) -> Result<&mut Xdp, XdpLoadError> {
        let program = self.bpf.program_mut(XDP).ok_or(XdpLoadError::MissingProgram { name: XDP })?;
        program.try_into().map_err(|source| XdpLoadError::Program { name: XDP, source })
    }

    /// The TCX program, likewise. Loaded when first asked for: most hosts never need it, and the verifier takes its time.
    /// It names the maps by the descriptors they had at load, which stay open as long as anybody receives.
    pub fn tcx(&mut self) -> Result<&mut SchedClassifier, XdpLoadError> {
        let failed = |source| XdpLoadError::Program { name: TCX, source };
        let program = self.bpf.program_mut(TCX).ok_or(XdpLoadError::MissingProgram { name: TCX })?;
        let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
        if program.fd().is_err() {
            program.load().map_err(failed)?;
        }
        Ok(program)
    }

    /// A program to compare with, likewise.
    pub fn reference(&mut self, which: Reference) -> Result<&mut Xdp, XdpLoadError> {
        let name = match which {
            Reference::Nothing => NOTHING,
            Reference::Clock => CLOCK,
        };
        let program = self.bpf.program_mut(name).ok_or(XdpLoadError::MissingProgram { name })?;
        let program: &mut Xdp =
            program.try_into().map_err(|source| XdpLoadError::Program { name, source })?;
        if program.fd().is_err() {
            program.load().map_err(|source| XdpLoadError::Program { name, source })?;
        }
        Ok(program)
    }

    /// Writes to the log what the kernel half had to say of itself: things that cannot happen.
    pub fn log_diagnostics(&mut self) {
        if let Some(diagnostics) = &mut self.diagnostics {
            diagnostics.flush();
        }
    }

    /// Attaches in the first of `modes` that can be had.
    pub(super) fn attach(
        &mut self,
        interface: &Interface,
        modes: &[Mode],
    ) -> Result<Attachment, AttachError> {
        let mut refused = Vec::new();
        let has_vlans = has_vlans(&interface.name);
        let has_other_ways = modes.contains(&Mode::Tcx);
        if has_vlans && !has_other_ways {
            tracing::warn!(
                interface = interface.name,
                "{HIDDEN_TAGS}; `ethtool -K {} rxvlan off` shows them",
                interface.name
            );
        }
        for &mode in modes {
            let attached = match mode {
                Mode::XdpNative | Mode::XdpGeneric if has_vlans && has_other_ways => Err(HIDDEN_TAGS.into()),
                Mode::XdpNative if is_bond(&interface.name) => {
                    Err("a bond runs the program on its ports, which have other interface indices".into())
                }
                Mode::XdpNative => self.attach_xdp(interface, XdpMode::Driver),
                Mode::XdpGeneric => self.attach_xdp(interface, XdpMode::Skb),
                Mode::Tcx => self.attach_tcx(interface),
                Mode::Socket => Err("is not a way of the kernel half".into()),
            };
            match attached {
                Ok(link) => {
                    self.links.insert(interface.index, link);
                    return Ok(Attachment { interface: interface.clone(), mode, refused });
                }
                Err(why) => refused.push((mode, why)),
            }
        }
        Err(AttachError { interface: interface.name.clone(), refused })
    }

    /// Bytes of the ring that are taken, and its size.
    pub(super) fn ring_fill(&self) -> Option<(u64, u64)> {
        self.gauge.as_ref().map(RingGauge::fill)
    }

    /// Detaches; an interface that was not attached is no error.
    pub(super) fn detach(&mut self, ifindex: u32) {
        self.links.remove(&ifindex);
    }

    fn attach_xdp(&mut self, interface: &Interface, mode: XdpMode) -> Result<Link, String> {
        let program = self.xdp().map_err(|error| error.to_string())?;
        let id = program.attach_to_if_index(interface.index, mode).map_err(|error| explain(&error))?;
        let link = program.take_link(id).map_err(|error| explain(&error))?;
        // A link made through netlink, as on kernels without bpf_link, would outlive a killed process.
        FdLink::try_from(link).map(Link::Xdp).map_err(|error| {
            format!("this kernel has no BPF links for XDP, they came with Linux 5.9 ({})", chain(&error))
        })
    }

    fn attach_tcx(&mut self, interface: &Interface) -> Result<Link, String> {
        let program = self.tcx().map_err(|error| error.to_string())?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program
            .attach_with_options(&interface.name, TcAttachType::Ingress, options)
            .map_err(|error| explain(&error))?;
        program.take_link(id).map(Link::Tcx).map_err(|error| explain(&error))
    }
}

/// A card that takes tags off hands XDP a VLAN's frames as the interface's own.
const HIDDEN_TAGS: &str = "it has VLANs, whose adverts XDP takes for its own where the card hides their tags";

fn has_vlans(interface: &str) -> bool {
    // There once the kernel has any.
    fs::read_to_string("/proc/net/vlan/config").is_ok_and(|table| carries_vlans(&table, interface))
}

/// Lines of "device | id | interface", below two of headings.
fn carries_vlans(table: &str, interface: &str) -> bool {
    let lower = |line: &str| line.split('|').nth(2).map(|name| name.trim() == interface);
    table.lines().any(|line| lower(line).unwrap_or(false))
}

fn is_bond(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).join("bonding").exists()
}

/// The error in an operator's words, with the kernel's behind them.
fn explain(error: &ProgramError) -> String {
    let number = if let ProgramError::SyscallError(error) = error {
        error.io_error.raw_os_error()
    } else if let ProgramError::XdpError(XdpError::NetlinkError(error)) = error {
        error.raw_os_error()
    } else {
        None
    };
    let words = match number {
        Some(libc::EBUSY | libc::EEXIST) => "another XDP program holds the interface",
        Some(libc::EOPNOTSUPP) => "the driver has no such mode",
        Some(libc::EPERM | libc::EACCES) => "not permitted: it needs root (CAP_BPF, CAP_NET_ADMIN)",
        Some(libc::ENODEV) => "the interface is gone",
        Some(libc::EINVAL) => "this kernel does not know it, or the driver refuses the interface's MTU",
        Some(_) | None => return chain(error),
    };
    format!("{words} ({})", chain(error))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_with_vlans_is_known_by_the_kernel_s_table() {
        let table = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                     eth0.20        | 20  | eth0\nstorage        | 7  | bond0\n";
        for (interface, expected) in
            [("eth0", true), ("bond0", true), ("eth0.20", false), ("eth1", false), ("VLAN ID", false)]
        {
            assert_eq!(carries_vlans(table, interface), expected, "{interface}");
        }
        assert!(!carries_vlans("", "eth0"));
    }
}
