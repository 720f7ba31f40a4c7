//! One face for both ways of receiving adverts: the kernel half, and the fallback without BPF.
//!
//! Owns the choice between them (`rx:`) and the multicast memberships, which every mode needs. Refuses to know how
//! either works.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::sockopt::set_ip_add_membership_with_ifindex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use thiserror::Error;
use vrrp_ebpf::abi::{PeerKey, Rule, RuleKey};

use super::maps::{Counters, Maps, MapsError};
use super::ring::{Record, Ring};
use super::slots::Slots;
use super::soft::{self, SocketError, SoftControl, SoftReceiver};
use super::xdp::{self, AttachError, Diagnostics, Programs, Sizes, XdpLoadError};
use super::{Attachment, Interface, Mode};

/// RFC 9568 §5.1.1.2.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// `rx:` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best that can be had for every interface, and say why if that is not the first.
    #[default]
    Auto,
    /// Native or generic XDP, or nothing.
    Xdp,
    Tcx,
    Socket,
}

impl Choice {
    const fn modes(self) -> &'static [Mode] {
        match self {
            Self::Auto => &[Mode::XdpNative, Mode::XdpGeneric, Mode::Tcx],
            Self::Xdp => &[Mode::XdpNative, Mode::XdpGeneric],
            Self::Tcx => &[Mode::Tcx],
            Self::Socket => &[],
        }
    }
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Load(#[from] XdpLoadError),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("join {GROUP} on interface {interface}: {source}")]
    Join { interface: String, source: io::Error },
}

/// The advert thread's half: no method blocks, allocates or waits for the other half.
pub struct Receiver {
    source: Source,
    slots: Arc<Slots>,
}

enum Source {
    Ring(Ring),
    Socket(SoftReceiver),
}

/// Everybody else's half: interfaces, rules, peers, counters.
pub struct Control {
    half: Half,
    choice: Choice,
    slots: Arc<Slots>,
    attachments: Vec<Attachment>,
    /// An unbound UDP socket for each interface (a socket has room for 20 groups): it receives nothing, but the
    /// kernel speaks IGMP for it and opens the network card's filter.
    memberships: HashMap<u32, OwnedFd>,
}

#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Half {
    Bpf { programs: Programs, maps: Maps },
    Soft { control: SoftControl, why: Vec<(Mode, String)> },
}

/// Opens the receiving side for these interfaces. No rule is there yet: every advert is foreign and passes.
pub fn open(
    choice: Choice,
    interfaces: &[Interface],
    sizes: Sizes,
    diagnostics: Diagnostics,
) -> Result<(Receiver, Control), OpenError> {
    let (receiver, mut control) = match choice {
        Choice::Socket => open_socket(sizes, Vec::new())?,
        Choice::Xdp | Choice::Tcx => open_bpf(choice, interfaces, sizes, diagnostics)?,
        Choice::Auto => match open_bpf(choice, interfaces, sizes, diagnostics) {
            Ok(both) => both,
            // Said of every interface, and true of this one.
            Err(OpenError::Attach(AttachError { interface, refused })) => {
                let why = refused.into_iter().map(|(mode, why)| (mode, format!("{interface}: {why}")));
                open_socket(sizes, why.collect())?
            }
            Err(error @ (OpenError::Load(_) | OpenError::Socket(_) | OpenError::Join { .. })) => {
                open_socket(sizes, vec![(Mode::XdpNative, error.to_string())])?
            }
        },
    };
    for interface in interfaces {
        control.attach(interface)?;
    }
    Ok((receiver, control))
}

/// Proves with the interfaces at hand that BPF will do, and leaves them attached.
fn open_bpf(
    choice: Choice,
    interfaces: &[Interface],
    sizes: Sizes,
    diagnostics: Diagnostics,
) -> Result<(Receiver, Control), OpenError> {
    let (programs, maps, ring, slots) = xdp::load(sizes, diagnostics)?;
    let slots = Arc::new(slots);
    let receiver = Receiver { source: Source::Ring(ring), slots: Arc::clone(&slots) };
    let mut control = Control::new(Half::Bpf { programs, maps }, choice, slots);
    for interface in interfaces {
        control.attach(interface)?;
    }
    Ok((receiver, control))
}

fn open_socket(sizes: Sizes, why: Vec<(Mode, String)>) -> Result<(Receiver, Control), OpenError> {
    let slots = Arc::new(Slots::own(sizes.rules));
    let (receiver, control) = soft::open(Arc::clone(&slots), 2 * (sizes.rules + sizes.peers))?;
    let receiver = Receiver { source: Source::Socket(receiver), slots: Arc::clone(&slots) };
    Ok((receiver, Control::new(Half::Soft { control, why }, Choice::Socket, slots)))
}

impl Receiver {
    /// The oldest advert not yet taken. After a wake-up: until `None`, since the descriptor tells edges.
    pub fn next_record(&mut self) -> Option<Record<'_>> {
        match &mut self.source {
            Source::Ring(ring) => ring.next_record(),
            Source::Socket(socket) => socket.next_record(),
        }
    }

    /// Whether the last [`Self::next_record`] gave up with frames still waiting: come back after the deadlines.
    pub fn has_more(&self) -> bool {
        match &self.source {
            Source::Ring(_) => false,
            Source::Socket(socket) => socket.has_more(),
        }
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }
}

impl AsFd for Receiver {
    /// Readable when woken; for epoll.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Ring(ring) => ring.as_fd(),
            Source::Socket(socket) => socket.as_fd(),
        }
    }
}

impl Control {
    fn new(half: Half, choice: Choice, slots: Arc<Slots>) -> Self {
        Self { half, choice, slots, attachments: Vec::new(), memberships: HashMap::new() }
    }

    /// Attaches another interface and joins the group on it; one that is attached already stays as it is.
    pub fn attach(&mut self, interface: &Interface) -> Result<(), OpenError> {
        if self.attachments.iter().any(|attachment| attachment.interface.index == interface.index) {
            return Ok(());
        }
        let membership = join(interface)
            .map_err(|source| OpenError::Join { interface: interface.name.clone(), source })?;
        let attachment = match &mut self.half {
            Half::Bpf { programs, .. } => programs.attach(interface, self.choice.modes())?,
            // The one socket hears all interfaces.
            Half::Soft { why, .. } => {
                Attachment { interface: interface.clone(), mode: Mode::Socket, refused: why.clone() }
            }
        };
        self.memberships.insert(interface.index, membership);
        self.attachments.push(attachment);
        Ok(())
    }

    /// Detaches and leaves the group; for an interface that is no longer configured, or is gone.
    pub fn detach(&mut self, ifindex: u32) {
        if let Half::Bpf { programs, .. } = &mut self.half {
            programs.detach(ifindex);
        }
        self.memberships.remove(&ifindex);
        self.attachments.retain(|attachment| attachment.interface.index != ifindex);
    }

    /// How each interface is received, and why not better.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    pub fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// Adds or replaces a rule. Set the slot's minimum priority and clear it first.
    pub fn insert_rule(&mut self, key: RuleKey, rule: Rule) -> Result<(), MapsError> {
        match &mut self.half {
            Half::Bpf { maps, .. } => maps.insert_rule(&self.slots, key, &rule),
            Half::Soft { control, .. } => {
                control.insert_rule(key, rule);
                Ok(())
            }
        }
    }

    pub fn remove_rule(&mut self, key: RuleKey) {
        match &mut self.half {
            Half::Bpf { maps, .. } => maps.remove_rule(key),
            Half::Soft { control, .. } => control.remove_rule(key),
        }
    }

    pub fn insert_peer(&mut self, key: PeerKey) -> Result<(), MapsError> {
        match &mut self.half {
            Half::Bpf { maps, .. } => maps.insert_peer(key),
            Half::Soft { control, .. } => {
                control.insert_peer(key);
                Ok(())
            }
        }
    }

    pub fn remove_peer(&mut self, key: PeerKey) -> Result<(), MapsError> {
        match &mut self.half {
            Half::Bpf { maps, .. } => maps.remove_peer(key),
            Half::Soft { control, .. } => {
                control.remove_peer(key);
                Ok(())
            }
        }
    }

    /// Summed over all CPUs.
    pub fn counters(&self) -> Result<Counters, MapsError> {
        match &self.half {
            Half::Bpf { maps, .. } => maps.counters(),
            Half::Soft { control, .. } => Ok(control.counters()),
        }
    }

    /// Bytes of the ring that are taken, and its size; `None` where there is none.
    pub fn ring_fill(&self) -> Option<(u64, u64)> {
        match &self.half {
            Half::Bpf { programs, .. } => programs.ring_fill(),
            Half::Soft { .. } => None,
        }
    }

    /// The loaded programs; `None` in the fallback.
    pub fn programs_mut(&mut self) -> Option<&mut Programs> {
        match &mut self.half {
            Half::Bpf { programs, .. } => Some(programs),
            Half::Soft { .. } => None,
        }
    }
}

pub(super) fn join(interface: &Interface) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    set_ip_add_membership_with_ifindex(&socket, &GROUP, &Ipv4Addr::UNSPECIFIED, interface.index)?;
    Ok(socket)
}
