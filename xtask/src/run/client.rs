//! The client of the lab: asks by ARP who has the VIP, all the time, as a machine does that wants to send to it.
//!
//! Owns the asking thread and what its answers mean. Refuses to know who should have answered.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use vrrp_lab::{Host, clock::MILLISECOND, flood::Injector, frame::arp_request};

/// It asks this often; three times as long without an answer is an outage.
pub(super) const PERIOD: u64 = 20 * MILLISECOND;

/// What the client knows of the VIP.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    pub(super) last_answer_ns: Option<u64>,
    pub(super) answered_by: Option<&'static str>,
    pub(super) last_outage_ns: Option<u64>,
}

impl Reach {
    /// For how long it has had no answer, if for longer than chance.
    pub(super) fn out_for(&self, now_ns: u64) -> Option<u64> {
        let age = now_ns.saturating_sub(self.last_answer_ns?);
        (age > 3 * PERIOD + 100 * MILLISECOND).then_some(age)
    }
}

/// The asking thread; ends when dropped.
pub(super) struct Client {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Client {
    pub(super) fn start(client: &Host, address: Ipv4Addr) -> Result<Self> {
        let injector = Injector::new(client)?;
        let question = [arp_request(client.mac(), client.address(), address)];
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("client".into()).spawn(move || {
            while !is_stopped.load(Ordering::Relaxed) {
                injector.send(&question)?;
                thread::sleep(Duration::from_nanos(PERIOD));
            }
            Ok(())
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    pub(super) fn check(&mut self) -> Result<()> {
        match self.thread.take_if(|thread| thread.is_finished()).map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome.context("the client stopped asking"),
            Some(Err(_)) => bail!("the client's thread panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the client's thread panicked");
        }
    }
}
