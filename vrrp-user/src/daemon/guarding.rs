//! That there is a guard beside the daemon while it runs, and that it knows whom to guard.
//!
//! Owns the guard's life: its start, its plan, and another one for one that ends or does not listen. What a guard does is
//! `net/guard`; refuses to know why its wards changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::daemon::wiring::Wiring;
use crate::net::board::Board;
use crate::net::guard::{Guard, GuardError, Plan, Testament, Ward};

/// A guard that does not take a new plan within this time is replaced.
const PLAN_DEADLINE: Duration = Duration::from_millis(500);

/// The place of a guard, and the one that has it.
pub(super) struct Guarding {
    /// None: it has ended, or none is wanted.
    guard: Option<Guard>,
    is_wanted: bool,
    board: Arc<Board>,
    realtime_priority: Option<u8>,
    /// The configuration in effect, for what the guard starts when a managed server is left writable.
    pub(super) testament: Testament,
}

impl Guarding {
    pub(super) fn new(board: &Arc<Board>, realtime_priority: Option<u8>, testament: Testament) -> Self {
        Self { guard: None, is_wanted: false, board: Arc::clone(board), realtime_priority, testament }
    }

    pub(super) async fn start(&mut self, wards: Vec<Ward>) -> Result<(), GuardError> {
        self.is_wanted = true;
        self.guard = Some(Guard::start(&self.plan(wards)).await?);
        Ok(())
    }

    pub(super) fn is_there(&self) -> bool {
        self.guard.is_some()
    }

    /// It is wanted, and has ended.
    pub(super) fn is_missing(&self) -> bool {
        self.is_wanted && self.guard.is_none()
    }

    /// Another one in place of one that is missing.
    pub(super) async fn replace(&mut self, wards: Vec<Ward>) {
        match self.start(wards).await {
            Ok(()) => tracing::info!("the guard is back"),
            Err(error) => tracing::error!("{error}"),
        }
    }

    /// Tells the guard whom to guard now. One that does not listen is let go, and missing from then on.
    pub(super) async fn instruct(&mut self, wards: Vec<Ward>) {
        let plan = self.plan(wards);
        let Some(guard) = &mut self.guard else { return };
        match timeout(PLAN_DEADLINE, guard.update(&plan)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::error!("{error}"),
            Err(_elapsed) => tracing::error!("the guard does not take its plan: replacing it"),
        }
        if let Some(guard) = self.guard.take() {
            guard.abandon();
        }
    }

    /// Returns when the guard has ended by itself; never while there is none.
    pub(super) async fn lost(&mut self) {
        let Some(guard) = &mut self.guard else { return std::future::pending().await };
        if let Err(error) = guard.ended().await {
            tracing::error!("the guard: {error}");
        }
        tracing::error!("the guard has ended; until it is back a dying daemon leaves its addresses behind");
        self.guard = None;
    }

    /// The daemon is about to end by itself.
    pub(super) async fn dismiss(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.dismiss().await;
        }
    }

    fn plan(&self, wards: Vec<Ward>) -> Plan {
        Plan::new(&self.board, self.realtime_priority, wards, &self.testament)
    }
}

/// What the guard must know, in the order of the board's entries: of each router what it has and what it may still have.
pub(super) fn wards(wiring: &Wiring, formers: &BTreeMap<usize, Ward>) -> Vec<Ward> {
    let now = wiring.routers.iter().map(|router| router.router);
    let places = now.chain(formers.keys().copied()).max().map_or(0, |last| last + 1);
    let mut wards = vec![Ward::default(); places];
    for (place, former) in formers {
        wards[*place] = former.clone();
    }
    for router in &wiring.routers {
        let former = std::mem::replace(&mut wards[router.router], router.ward());
        wards[router.router].add(former);
    }
    wards
}
