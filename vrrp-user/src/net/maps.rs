//! Rules, peers and counters of the kernel half: map operations, each a system call, none for the advert thread.
//!
//! Owns the typed maps and what can go wrong with them. Refuses to know where rules come from.

use aya::Ebpf;
use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use thiserror::Error;
use vrrp_ebpf::abi::{Counter, Counts, PeerKey, Rule, RuleKey};

#[derive(Debug, Error)]
pub enum MapsError {
    #[error("the BPF object has no map {name}: it was not built from this version's sources")]
    Missing { name: &'static str },
    #[error(
        "the map {name} is not of the expected shape: the BPF object was not built from this version's sources"
    )]
    Shape { name: &'static str, source: MapError },
    #[error("{operation} virtual router {} on interface index {}: {source}", key.virtual_router_id, key.ifindex)]
    Rule { operation: &'static str, key: RuleKey, source: MapError },
    #[error("{operation} peer {:?} of slot {}: {source}", key.address, key.slot)]
    Peer { operation: &'static str, key: PeerKey, source: MapError },
    #[error("read the counters: {source}")]
    Counters { source: MapError },
}

/// Counts by reason, indexed by [`Counter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters(Counts);

impl Counters {
    pub(crate) fn from_fn(count: impl FnMut(usize) -> u64) -> Self {
        Self(std::array::from_fn(count))
    }

    pub const fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Each counter with its value, in the order of the ABI.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.into_iter().map(|counter| (counter, self.get(counter)))
    }
}

/// The maps that are written and read by system calls.
pub struct Maps {
    rules: HashMap<MapData, RuleKey, Rule>,
    peers: HashMap<MapData, PeerKey, u8>,
    counters: PerCpuArray<MapData, Counts>,
}

impl Maps {
    pub(super) fn take(bpf: &mut Ebpf) -> Result<Self, MapsError> {
        Ok(Self { rules: take(bpf, "RULES")?, peers: take(bpf, "PEERS")?, counters: take(bpf, "COUNTERS")? })
    }

    /// Adds or replaces; it holds for the next packet.
    pub fn insert_rule(&mut self, key: RuleKey, rule: Rule) -> Result<(), MapsError> {
        self.rules.insert(key, rule, 0).map_err(|source| MapsError::Rule { operation: "add", key, source })
    }

    /// Removes; one that is not there is no error.
    pub fn remove_rule(&mut self, key: RuleKey) -> Result<(), MapsError> {
        present(self.rules.remove(&key)).map_err(|source| MapsError::Rule {
            operation: "remove",
            key,
            source,
        })
    }

    pub fn insert_peer(&mut self, key: PeerKey) -> Result<(), MapsError> {
        self.peers.insert(key, 1, 0).map_err(|source| MapsError::Peer { operation: "add", key, source })
    }

    /// Removes; one that is not there is no error.
    pub fn remove_peer(&mut self, key: PeerKey) -> Result<(), MapsError> {
        present(self.peers.remove(&key)).map_err(|source| MapsError::Peer {
            operation: "remove",
            key,
            source,
        })
    }

    /// Summed over all CPUs.
    pub fn counters(&self) -> Result<Counters, MapsError> {
        let of_cpus = self.counters.get(&0, 0).map_err(|source| MapsError::Counters { source })?;
        let mut sums = Counts::default();
        for counts in of_cpus.iter() {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Ok(Counters(sums))
    }
}

fn take<M: TryFrom<aya::maps::Map, Error = MapError>>(
    bpf: &mut Ebpf,
    name: &'static str,
) -> Result<M, MapsError> {
    let map = bpf.take_map(name).ok_or(MapsError::Missing { name })?;
    M::try_from(map).map_err(|source| MapsError::Shape { name, source })
}

fn present(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
