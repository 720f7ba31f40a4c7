//! The fallback without any BPF program: a packet socket with kernel receive timestamps, the kernel half's own code
//! run over its frames, slots in plain memory.
//!
//! Owns the rules, buckets and counters that are maps elsewhere. Refuses to decide anything by itself: that is
//! `vrrp_ebpf::receive`. The frame's fate is the stack's business here: a socket only sees a copy, so
//! `consume: true` has no effect.

pub(super) mod socket;

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use vrrp_ebpf::abi::{Bucket, BucketKey, COUNTERS, Counter, MAX_FRAME, PeerKey, RecordHeader, Rule, RuleKey};
use vrrp_ebpf::bucket::Rate;
use vrrp_ebpf::classify::{Rules, gate};
use vrrp_ebpf::frame::Bytes;
use vrrp_ebpf::receive::{Backlog, Environment, Fate, receive};
use vrrp_ebpf::slot::SlotCell;

use self::socket::Socket;
pub use self::socket::SocketError;
use super::maps::Counters;
use super::ring::Record;
use super::slots::Slots;

/// Frames looked at in one call: a flood of rejected ones must let the advert thread see its deadlines.
const ROUND: usize = 512;
/// Buckets are replaced on collision: a lost one is a full one.
const BUCKETS: usize = 1024;

type Counts = Arc<[AtomicU64; COUNTERS as usize]>;

enum Change {
    InsertRule(RuleKey, Rule),
    RemoveRule(RuleKey),
    InsertPeer(PeerKey),
    RemovePeer(PeerKey),
}

/// The receiving end: belongs to the advert thread.
pub struct SoftReceiver {
    socket: Socket,
    buffer: Box<[u8; MAX_FRAME]>,
    changes: Arc<ArrayQueue<Change>>,
    state: State,
    more: bool,
}

/// The other end: rules and counters.
pub struct SoftControl {
    changes: Arc<ArrayQueue<Change>>,
    counts: Counts,
}

struct State {
    rules: HashMap<RuleKey, Rule>,
    peers: HashSet<PeerKey>,
    buckets: Box<[Option<(BucketKey, Bucket)>]>,
    slots: Arc<Slots>,
    counts: Counts,
}

/// `room` changes of rules and peers can be on their way to the advert thread; the sender waits when there are more.
pub(super) fn open(slots: Arc<Slots>, room: u32) -> Result<(SoftReceiver, SoftControl), SocketError> {
    let changes = Arc::new(ArrayQueue::new(room as usize));
    let counts = Counts::new(std::array::from_fn(|_| AtomicU64::new(0)));
    let state = State {
        // As many as there can be: they must not grow in the advert thread.
        rules: HashMap::with_capacity(room as usize),
        peers: HashSet::with_capacity(room as usize),
        buckets: vec![None; BUCKETS].into_boxed_slice(),
        slots,
        counts: Arc::clone(&counts),
    };
    let receiver = SoftReceiver {
        socket: Socket::open()?,
        buffer: Box::new([0; MAX_FRAME]),
        changes: Arc::clone(&changes),
        state,
        more: false,
    };
    Ok((receiver, SoftControl { changes, counts }))
}

impl SoftReceiver {
    /// The next advert that is for the ring, if there were one; others are dealt with on the way.
    pub fn next_record(&mut self) -> Option<Record<'_>> {
        while let Some(change) = self.changes.pop() {
            self.state.apply(change);
        }
        self.more = true;
        for _ in 0..ROUND {
            let Some(received) = self.socket.receive(self.buffer.as_mut_slice()) else {
                self.more = false;
                return None;
            };
            let frame = &self.buffer[..received.length];
            if let Some(header) = self.state.receive(frame, received.ifindex, received.arrived_ns) {
                // Borrowed again, because a borrow that is returned from a loop lasts for the whole loop.
                return Some(Record::of_frame(header, &self.buffer[..usize::from(header.length)]));
            }
        }
        None
    }

    /// Whether the last call ended because of its bound, with frames still waiting.
    pub fn has_more(&self) -> bool {
        self.more
    }
}

impl AsFd for SoftReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl SoftControl {
    pub fn insert_rule(&self, key: RuleKey, rule: Rule) {
        self.push(Change::InsertRule(key, rule));
    }

    pub fn remove_rule(&self, key: RuleKey) {
        self.push(Change::RemoveRule(key));
    }

    pub fn insert_peer(&self, key: PeerKey) {
        self.push(Change::InsertPeer(key));
    }

    pub fn remove_peer(&self, key: PeerKey) {
        self.push(Change::RemovePeer(key));
    }

    pub fn counters(&self) -> Counters {
        Counters::from_fn(|counter| self.counts[counter].load(Ordering::Relaxed))
    }

    /// The advert thread empties the queue each time it looks for adverts.
    fn push(&self, change: Change) {
        let mut change = change;
        while let Err(back) = self.changes.push(change) {
            change = back;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl State {
    fn apply(&mut self, change: Change) {
        match change {
            Change::InsertRule(key, rule) => {
                self.rules.insert(key, rule);
            }
            Change::RemoveRule(key) => {
                self.rules.remove(&key);
            }
            Change::InsertPeer(key) => {
                self.peers.insert(key);
            }
            Change::RemovePeer(key) => {
                self.peers.remove(&key);
            }
        }
    }

    /// The record that the kernel half would have made of this frame, if any.
    fn receive(&mut self, frame: &[u8], ifindex: u32, arrived_ns: u64) -> Option<RecordHeader> {
        let family = frame.first_chunk().and_then(gate)?;
        let slots = Arc::clone(&self.slots);
        let mut view =
            View { state: self, slots: slots.cells(), arrived_ns, record: None, frames: PhantomData };
        match receive(&mut view, &mut Bytes::new(frame), ifindex, family) {
            // The stack has its own copy either way.
            Fate::Pass | Fate::Drop => view.record,
        }
    }
}

/// One frame's environment.
struct View<'a, 'f> {
    state: &'a mut State,
    slots: &'a [SlotCell],
    arrived_ns: u64,
    record: Option<RecordHeader>,
    frames: PhantomData<Bytes<'f>>,
}

impl Rules for View<'_, '_> {
    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        self.state.rules.get(key).copied()
    }

    fn is_peer(&self, key: &PeerKey) -> bool {
        self.state.peers.contains(key)
    }
}

impl<'f> Environment for View<'_, 'f> {
    type Frame = Bytes<'f>;

    fn arrived_ns(&mut self) -> u64 {
        self.arrived_ns
    }

    fn slot(&self, index: u32) -> Option<&SlotCell> {
        self.slots.get(index as usize)
    }

    fn within(&mut self, rate: &Rate, key: &BucketKey, now_ns: u64) -> bool {
        let index = bucket_index(key, self.state.buckets.len());
        match &mut self.state.buckets[index] {
            Some((owner, bucket)) if owner == key => bucket.take(rate, now_ns),
            place => {
                *place = Some((*key, Bucket::first(rate, now_ns)));
                true
            }
        }
    }

    /// The socket's own queue is the ring, and each packet in it wakes.
    fn backlog(&self) -> Option<Backlog> {
        None
    }

    fn deliver(&mut self, header: &RecordHeader, _frame: &mut Self::Frame) -> bool {
        self.record = Some(*header);
        true
    }

    fn count(&mut self, counter: Counter) {
        self.state.counts[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn report_missing_slot(&mut self, index: u32) {
        tracing::error!(slot = index, "a rule points to a slot that does not exist");
    }
}

/// FNV-1a over what tells senders apart.
fn bucket_index(key: &BucketKey, count: usize) -> usize {
    let seed = 0xcbf2_9ce4_8422_2325 ^ u64::from(key.ifindex);
    let bytes = key.sender.iter().chain([&key.virtual_router_id, &key.family]);
    let hash = bytes.fold(seed, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let hash = (hash >> 32) as usize;
    hash % count
}
