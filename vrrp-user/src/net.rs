//! What touches the kernel.
//!
//! Receiving: the XDP or TCX program with its maps, slots and ring, and the fallback without BPF, in two halves, a
//! [`Receiver`](receiver::Receiver) for the advert thread and a [`Control`](receiver::Control) for everybody else.
//! Sending: packet sockets. Addresses: netlink, the executor's thread, the guard's process and the board between them.
//!
//! Refuses to know what an advert means to a state machine, and who has a right to an address.

pub mod board;
pub mod clock;
pub mod doorkeeper;
pub mod doors;
pub mod ear;
pub mod executor;
pub mod exits;
pub mod farewell;
pub mod guard;
pub mod inquiry;
pub mod links;
pub mod mailbox;
pub mod maps;
pub mod netlink;
pub mod packet;
pub mod realtime;
pub mod receiver;
pub mod ring;
pub mod slots;
pub mod sockets;
pub mod soft;
pub mod stamp;
pub mod xdp;

use std::fmt;

/// A network interface, by both of its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    pub name: String,
    pub index: u32,
}

/// How adverts of one interface reach the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// XDP in the driver, before the kernel allocates anything.
    XdpNative,
    /// XDP in the network stack.
    XdpGeneric,
    /// The same program at the traffic-control hook, first in order.
    Tcx,
    /// A packet socket, the same checks in the daemon.
    Socket,
}

impl Mode {
    /// The name in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XdpNative => "xdp-native",
            Self::XdpGeneric => "xdp-generic",
            Self::Tcx => "tcx",
            Self::Socket => "socket",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How one interface came to its mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub interface: Interface,
    pub mode: Mode,
    /// The modes that were tried before, and why each was not to be had, in an operator's words.
    pub refused: Vec<(Mode, String)>,
}
