//! The kernel half's doorkeeper: loaded, attached to each interface that services are on, told which to block.
//!
//! Owns the third BPF object. Refuses to know why a service is blocked. It may fail as a whole: then clients that come while
//! an address leaves are turned away only once it has left.

use std::io;

use aya::maps::{Array, HashMap, MapData, MapError};
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, qdisc_add_clsact, qdisc_detach_program,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use aya::{EbpfError, EbpfLoader};
use thiserror::Error;
use vrrp_ebpf::block::{Block, Service};

use crate::net::clock;
use crate::vrrp::Instant;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vrrp-doorkeeper.o"));

const PROGRAM: &str = "vrrp_doorkeeper";

#[derive(Debug, Error)]
pub enum DoorkeeperError {
    #[error(
        "this binary was built without its kernel half; install a BPF toolchain with `cargo xtask setup`, build again"
    )]
    NotBuilt,
    #[error("load the doorkeeper: {0}; it needs root (CAP_BPF, CAP_NET_ADMIN)")]
    Load(#[from] EbpfError),
    #[error(
        "attach the doorkeeper to {interface}: {source}; it needs root (CAP_BPF, CAP_NET_ADMIN) and Linux 6.6, or one with \
         sch_clsact and cls_bpf"
    )]
    Attach { interface: String, source: ProgramError },
    #[error("the doorkeeper has no {0}: it was not built from this version's sources")]
    Missing(&'static str),
    #[error("the doorkeeper's map: {0}")]
    Map(#[from] MapError),
}

/// Where frames are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Since Linux 6.6: in order with others, and gone with this process.
    Tcx,
    /// Before. The qdisc stays when this process ends, and so does the program when it is killed: what it blocks ends by
    /// itself, and the next start replaces it.
    Clsact,
}

/// See the file's head. Dropping it opens everything.
pub struct Doorkeeper {
    blocked: HashMap<MapData, Service, Block>,
    armed: Array<MapData, u64>,
    armed_until: u64,
    #[expect(dead_code, reason = "held: dropping it detaches")]
    links: Vec<SchedClassifierLink>,
}

impl Doorkeeper {
    /// At the best place there is. `services`: how many there can be.
    pub fn attach(interfaces: &[String], services: u32) -> Result<Self, DoorkeeperError> {
        match Self::attach_at(Hook::Tcx, interfaces, services) {
            Err(DoorkeeperError::Attach { interface, source }) => {
                tracing::debug!("{interface}: no TCX ({source}): clsact instead");
                Self::attach_at(Hook::Clsact, interfaces, services)
            }
            attached => attached,
        }
    }

    /// At this place.
    pub fn attach_at(hook: Hook, interfaces: &[String], services: u32) -> Result<Self, DoorkeeperError> {
        if OBJECT.is_empty() {
            return Err(DoorkeeperError::NotBuilt);
        }
        let mut bpf = EbpfLoader::new().map_max_entries("BLOCKED", services.max(1)).load(OBJECT)?;
        let blocked = bpf.take_map("BLOCKED").ok_or(DoorkeeperError::Missing("map BLOCKED"))?;
        let armed = bpf.take_map("ARMED").ok_or(DoorkeeperError::Missing("map ARMED"))?;
        let mut links = Vec::new();
        for interface in interfaces {
            let failed = |source| DoorkeeperError::Attach { interface: interface.clone(), source };
            let program = bpf.program_mut(PROGRAM).ok_or(DoorkeeperError::Missing("program"))?;
            let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
            if program.fd().is_err() {
                program.load().map_err(failed)?;
            }
            let options = match hook {
                Hook::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
                Hook::Clsact => {
                    make_room(interface).map_err(|error| failed(error.into()))?;
                    TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() })
                }
            };
            let link = program
                .attach_with_options(interface, TcAttachType::Ingress, options)
                .and_then(|id| program.take_link(id));
            links.push(link.map_err(failed)?);
        }
        Ok(Self {
            blocked: HashMap::try_from(blocked)?,
            armed: Array::try_from(armed)?,
            armed_until: 0,
            links,
        })
    }

    /// Until then at least: what was said of the service before is never taken back, or somebody would get in behind those who
    /// were sent away. `is_whole`: every segment, not only requests to open a connection.
    pub fn block(&mut self, service: Service, is_whole: bool, until: Instant) -> Result<(), DoorkeeperError> {
        let former = self.blocked.get(&service, 0).ok();
        let block = joined(former, is_whole, until, clock::now());
        self.blocked.insert(service, block, 0)?;
        if block.until_ns > self.armed_until {
            self.armed.set(0, block.until_ns, 0)?;
            self.armed_until = block.until_ns;
        }
        Ok(())
    }

    /// One that is not blocked is no error.
    pub fn open(&mut self, service: &Service) {
        if let Err(error) = self.blocked.remove(service) {
            tracing::trace!("{service:?} was not blocked: {error}");
        }
    }
}

fn joined(former: Option<Block>, is_whole: bool, until: Instant, now: Instant) -> Block {
    let former = former.filter(|former| former.until_ns > now.as_nanos());
    let until_ns = former.map_or(0, |former| former.until_ns).max(until.as_nanos());
    let is_whole = is_whole || former.is_some_and(|former| former.is_whole != 0);
    Block { until_ns, is_whole: u32::from(is_whole), padding: 0 }
}

/// The qdisc is there, whoever made it, and nothing of a process that was killed.
fn make_room(interface: &str) -> Result<(), TcError> {
    if let Err(error) = qdisc_add_clsact(interface) {
        // It is there already, or attaching says what is wrong.
        tracing::trace!("{interface}: {error}");
    }
    match qdisc_detach_program(interface, TcAttachType::Ingress, PROGRAM) {
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_never_shortened_nor_narrowed_while_it_lasts() {
        let block = |until_ns, is_whole| Block { until_ns, is_whole: u32::from(is_whole), padding: 0 };
        let now = Instant::from_nanos(100);
        for (former, is_whole, until, expected) in [
            (None, false, 150, block(150, false)),
            (Some(block(200, false)), true, 150, block(200, true)),
            (Some(block(150, true)), false, 200, block(200, true)),
            (Some(block(99, true)), false, 150, block(150, false)),
        ] {
            assert_eq!(joined(former, is_whole, Instant::from_nanos(until), now), expected, "{former:?}");
        }
    }
}
