//! The maps. Their names and types are the contract with userspace; their sizes are only defaults, which userspace
//! overrides at load.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use vrrp_ebpf::abi::{Bucket, BucketKey, Counts, PeerKey, Slot};

use crate::kernel::ScratchBytes;

/// The words of `table.rs`.
#[map]
pub(crate) static RULES: Array<u64> = Array::with_max_entries(2048, BPF_F_MMAPABLE);

#[map]
pub(crate) static PEERS: HashMap<PeerKey, u8> = HashMap::with_max_entries(1024, 0);

#[map]
pub(crate) static SLOTS: Array<Slot> = Array::with_max_entries(256, BPF_F_MMAPABLE);

#[map]
pub(crate) static COUNTERS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static BUCKETS: LruHashMap<BucketKey, Bucket> = LruHashMap::with_max_entries(4096, 0);

#[map]
pub(crate) static ADVERTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// Where a frame lies while it is judged, and the record is built.
#[map]
pub(crate) static SCRATCH: PerCpuArray<ScratchBytes> = PerCpuArray::with_max_entries(1, 0);
