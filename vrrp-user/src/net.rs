//! What touches the kernel.
pub mod board;
pub mod clock;
pub mod executor;
pub mod guard;
pub mod links;
pub mod mailbox;
pub mod netlink;
pub mod packet;
pub mod realtime;
