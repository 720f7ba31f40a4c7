//! Rules, peers and counters of the kernel half: nothing here is for the advert thread.
//!
//! Owns the typed maps and what can go wrong with them. Refuses to know where rules come from.

use std::sync::atomic::AtomicU64;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use thiserror::Error;
use vrrp_ebpf::abi::{Counter, Counts, PeerKey, Rule, RuleKey};
use vrrp_ebpf::table::{Full, Table};

use super::slots::{Mapping, MappingError, Slots};

#[derive(Debug, Error)]
pub enum MapsError {
    #[error("the BPF object has no map {name}: it was not built from this version's sources")]
    Missing { name: &'static str },
    #[error(
        "the map {name} is not of the expected shape: the BPF object was not built from this version's sources"
    )]
    Shape { name: &'static str, source: MapError },
    #[error(transparent)]
    Mapping(#[from] MappingError),
    #[error("add virtual router {} on interface index {}: no room among the rules", key.virtual_router_id, key.ifindex)]
    Rule { key: RuleKey },
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

/// The maps that are written by [`super::receiver::Control`].
pub struct Maps {
    rules: Mapping<AtomicU64>,
    peers: HashMap<MapData, PeerKey, u8>,
    counters: PerCpuArray<MapData, Counts>,
}

impl Maps {
    /// `places`: elements of `RULES`.
    pub(super) fn take(bpf: &mut Ebpf, places: u32) -> Result<Self, MapsError> {
        let Some(Map::Array(rules)) = bpf.map("RULES") else {
            return Err(MapsError::Missing { name: "RULES" });
        };
        let rules = Mapping::of_words(rules.fd(), places)?;
        Ok(Self { rules, peers: take(bpf, "PEERS")?, counters: take(bpf, "COUNTERS")? })
    }

    /// Adds or replaces; it holds for the next packet.
    pub fn insert_rule(&mut self, slots: &Slots, key: RuleKey, rule: &Rule) -> Result<(), MapsError> {
        slots.set_rule(rule);
        Table::new(&self.rules).insert(&key, rule.slot).map_err(|Full| MapsError::Rule { key })
    }

    /// Removes; one that is not there is no error.
    pub fn remove_rule(&mut self, key: RuleKey) {
        Table::new(&self.rules).remove(&key);
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

fn take<M: TryFrom<Map, Error = MapError>>(bpf: &mut Ebpf, name: &'static str) -> Result<M, MapsError> {
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
