//! Servers whose role goes with the address: one task each, between the election and the VIP executor.
//!
//! What the core orders for such a router comes here first ([`RoleOrder`]): its addresses come on once the server may be
//! written to, and go once it may not, or once the time for it is over. Owns the tasks and the way to them. No advert waits
//! for anything here, and what these tasks wait for is always bounded.

mod active;
mod commits;
mod decision;
mod errant;
mod keeper;
mod lag;
mod matter;
mod orders;
mod post;
mod quarantine;
mod stand_down;
mod standby;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::{Config, Role};
use crate::daemon::DaemonError;
use crate::daemon::advert_thread::{Lines, RoleOrder};
use crate::daemon::standing::Standing;
use crate::daemon::wiring::Wiring;
use crate::health::verdict::Verdict;
use crate::net::clock;
use crate::net::doorkeeper::Doorkeeper;
use crate::net::doors::{Doors, SharedDoorkeeper};
use crate::net::farewell::Places;
use crate::role::Turn;
use keeper::Keeper;
use orders::{Offer, Order, Orders};
use post::Post;
pub use stand_down::stand_down;

/// Orders on their way to one task; the thread's own queue is behind it.
const DEPTH: usize = 64;
/// A server that is being made read-only when the daemon ends gets this much longer.
pub(super) const SETTLE: Duration = Duration::from_secs(2);
/// From the last answer to an offer until the orders that follow from it are here.
const OBEY: Duration = Duration::from_secs(1);

/// What a task is at, in words for status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    /// Why the peer's server could not take over from this one, which is the active.
    obstacle: Option<String>,
    /// Nothing is under way.
    is_idle: bool,
    /// The address is here, and the server stays read-only.
    awaits_person: bool,
}

/// See the file's head. Dropping it ends all tasks where they are.
pub(super) struct Roles {
    members: BTreeMap<String, Member>,
    dispatcher: Option<AbortHandle>,
    /// A planned change may take this long.
    pub(super) longest: Duration,
}

struct Member {
    shown: watch::Receiver<Shown>,
    verdict: watch::Sender<Option<Verdict>>,
    offers: mpsc::Sender<Offer>,
    task: AbortHandle,
}

impl Roles {
    /// Starts what the configuration wants. Must be called inside the runtime.
    pub(super) fn start(
        config: &Config,
        wiring: &Wiring,
        standing: &Standing,
        lines: &Lines,
    ) -> Result<Self, DaemonError> {
        let (mut members, mut ways) = (BTreeMap::new(), BTreeMap::new());
        let doorkeeper = doorkeeper(config);
        let turn = Turn::default();
        for instance in &config.instances {
            let router = wiring.routers.iter().find(|router| router.name == instance.name);
            let (Some(role), Some(router)) = (&instance.role, router) else { continue };
            let (orders_in, orders) = mpsc::channel(DEPTH);
            let (shown_in, shown) = watch::channel(Shown::default());
            let (verdict, verdict_out) = watch::channel(None);
            let ports = role.service_ports.iter().map(|port| port.get()).collect();
            // Clients of an address that is on a device of its own come in by the interface.
            let places = router.holding.vips.iter().flat_map(|vip| {
                let interfaces = BTreeSet::from([vip.ifindex, router.ifindex]);
                interfaces.into_iter().map(|ifindex| (ifindex, vip.address))
            });
            let addresses = places.collect();
            let post = Post {
                router: router.router,
                tasks: Arc::clone(&lines.tasks),
                reports: Arc::clone(&lines.reports),
                board: Arc::clone(&lines.board),
                doors: Doors::new(Places { addresses, ports }, doorkeeper.clone()),
                state_dir: config.control.state_dir.clone(),
                turn: Arc::clone(&turn),
            };
            let is_owner = instance.priority.get() == crate::vrrp::OWNER;
            let keeper = Keeper::new(
                &instance.name,
                Role::clone(role),
                is_owner,
                post,
                standing.clone(),
                shown_in,
                verdict_out,
            );
            let (offers, offers_out) = mpsc::channel(DEPTH);
            let task = tokio::spawn(keeper.run(Orders::new(orders), offers_out)).abort_handle();
            members.insert(instance.name.clone(), Member { shown, verdict, offers, task });
            ways.insert(router.router, orders_in);
        }
        let longest = config.instances.iter().filter_map(|instance| instance.role.as_ref());
        let longest = longest.map(|role| role.handover_timeout).max().unwrap_or(Duration::ZERO);
        let dispatcher = if ways.is_empty() { None } else { Some(dispatch(lines, ways)?) };
        Ok(Self { members, dispatcher, longest })
    }

    /// What is known of the server, None for nothing: a hung one is not waited for.
    pub(super) fn note_verdict(&self, instance: &str, verdict: Option<Verdict>) {
        if let Some(member) = self.members.get(instance) {
            member.verdict.send_replace(verdict);
        }
    }

    /// For status; None: no role is managed.
    pub(super) fn shown(&self, instance: &str) -> Option<String> {
        self.members.get(instance).map(|member| member.shown.borrow().text.clone())
    }

    /// Why a planned change would leave nobody in charge, as far as the last look at both servers tells.
    pub(super) fn obstacle(&self, instance: &str) -> Option<String> {
        self.members.get(instance)?.shown.borrow().obstacle.clone()
    }

    /// A person has decided about a server that is read-only under its address, or that was refused it. True: it is under it.
    pub(super) fn go_alone(&self, instance: &str, was_refused: bool) -> bool {
        let Some(member) = self.members.get(instance) else { return false };
        let has_address = member.shown.borrow().awaits_person;
        // A queue full of earlier wishes takes no more of them: it can be said again.
        let is_told = (has_address || was_refused) && member.offers.try_send(Offer::GoAlone).is_ok();
        has_address && is_told
    }

    /// Has the peers' servers take in everything first; comes back, within the longest `handover_timeout`, with the first that
    /// could not and why, and then all is as it was.
    pub(super) fn offer(
        &self,
        names: &[String],
    ) -> impl Future<Output = Result<(), (String, String)>> + Send + 'static {
        let members = names
            .iter()
            .filter_map(|name| self.members.get(name).map(|member| (name.clone(), member.offers.clone())));
        let members: Vec<_> = members.collect();
        let limit = self.longest + SETTLE;
        async move {
            let (mut answers, by) = (Vec::new(), Instant::now() + limit);
            let until = clock::now() + limit + OBEY;
            for (name, offers) in &members {
                let (answer, answered) = oneshot::channel();
                // A full queue or a task that has ended answers below: the sender is gone.
                offers.try_send(Offer::Make { answer, until }).unwrap_or_default();
                answers.push((name.clone(), answered));
            }
            let mut outcome = Ok(());
            for (name, answered) in answers {
                let why = match timeout_at(by, answered).await {
                    Ok(Ok(Ok(()))) => continue,
                    Ok(Ok(Err(why))) => why,
                    Ok(Err(_cut_short)) => "an election came in between".to_owned(),
                    Err(_elapsed) => "it takes too long".to_owned(),
                };
                outcome = outcome.and(Err((name, why)));
            }
            if outcome.is_err() {
                for (_, offers) in &members {
                    offers.try_send(Offer::Withdraw).unwrap_or_default();
                }
            }
            outcome
        }
    }

    /// Waits, bounded, until nothing is under way.
    pub(super) async fn settle(&mut self) {
        let deadline = Instant::now() + SETTLE;
        for (name, member) in &mut self.members {
            let idle = member.shown.wait_for(|shown| shown.is_idle);
            if timeout_at(deadline, idle).await.is_err() {
                tracing::error!(
                    instance = name,
                    "the server's role is still being changed, and this process ends: see whether it is read-only"
                );
            }
        }
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        for member in self.members.values() {
            member.task.abort();
        }
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.abort();
        }
    }
}

/// At the interfaces of all managed addresses. Without it roles change as well, with a gap through which a client may come.
fn doorkeeper(config: &Config) -> SharedDoorkeeper {
    let (mut interfaces, mut services) = (BTreeSet::new(), 0);
    for instance in &config.instances {
        if let Some(role) = &instance.role {
            interfaces.insert(instance.interface.clone());
            interfaces.extend(instance.virtual_addresses.iter().map(|address| address.device.clone()));
            services += role.service_ports.len() * instance.virtual_addresses.len();
        }
    }
    if interfaces.is_empty() {
        return None;
    }
    let interfaces: Vec<String> = interfaces.into_iter().collect();
    match Doorkeeper::attach(&interfaces, u32::try_from(services).unwrap_or(u32::MAX)) {
        Ok(doorkeeper) => Some(Arc::new(Mutex::new(doorkeeper))),
        Err(error) => {
            tracing::warn!(
                "new connections are not blocked in the kernel while a server's role leaves; clients that come just then may \
                 hang until they time out: {error}"
            );
            None
        }
    }
}

/// From the advert thread's queue to the tasks. A task of its own: what the service runtime has in hand may take longer than
/// an order may wait.
fn dispatch(lines: &Lines, ways: BTreeMap<usize, mpsc::Sender<Order>>) -> Result<AbortHandle, DaemonError> {
    let listen = |source| DaemonError::System { operation: "wait for orders to change roles", source };
    let bell = lines.roles.listen().map_err(listen)?;
    let roles = Arc::clone(&lines.roles);
    let task = tokio::spawn(async move {
        loop {
            match bell.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime's own driver is gone, or the descriptor: look by the clock.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
            roles.hush();
            while let Some(order) = roles.take() {
                let (router, order) = match order {
                    RoleOrder::Take { router, job } => (router, Order::Take { job }),
                    RoleOrder::Drop { router, job, is_release } => (router, Order::Drop { job, is_release }),
                    RoleOrder::Rival { router } => (router, Order::Rival),
                };
                let Some(way) = ways.get(&router) else {
                    tracing::error!(
                        "virtual router {router} has nobody who changes its server's role, which is a fault of this program: \
                         restart the daemon"
                    );
                    continue;
                };
                if way.send(order).await.is_err() {
                    tracing::error!(
                        "a server's role has nobody who changes it any more, which is a fault of this program"
                    );
                }
            }
        }
    });
    Ok(task.abort_handle())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> (Member, mpsc::Receiver<Offer>) {
        let (offers, taken) = mpsc::channel(DEPTH);
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let (shown, verdict) = (watch::channel(Shown::default()).1, watch::channel(None).0);
        (Member { shown, verdict, offers, task }, taken)
    }

    /// `drain --all`: one is ready at once, the other at the last moment.
    #[tokio::test(start_paused = true)]
    async fn what_is_ready_stays_so_until_the_slowest_has_had_its_time() {
        let ((fast, mut to_fast), (slow, mut to_slow)) = (member(), member());
        let members = BTreeMap::from([("fast".to_owned(), fast), ("slow".to_owned(), slow)]);
        let roles = Roles { members, dispatcher: None, longest: Duration::from_secs(8) };
        let began = Instant::now();
        let offered = tokio::spawn(roles.offer(&["fast".to_owned(), "slow".to_owned()]));
        let Some(Offer::Make { answer, until }) = to_fast.recv().await else { panic!("no offer") };
        let patience = until.since(clock::now());
        answer.send(Ok(())).unwrap();
        let Some(Offer::Make { answer, .. }) = to_slow.recv().await else { panic!("no offer") };
        sleep(roles.longest + SETTLE / 2).await;
        answer.send(Ok(())).unwrap();
        offered.await.unwrap().unwrap();
        assert!(began.elapsed() < patience, "{patience:?}");

        // And one that does not answer at all costs no more.
        let began = Instant::now();
        let offered = tokio::spawn(roles.offer(&["fast".to_owned(), "slow".to_owned()]));
        let Some(Offer::Make { answer: _silent, until }) = to_fast.recv().await else { panic!("no offer") };
        let patience = until.since(clock::now());
        let Some(Offer::Make { answer: _silent_too, .. }) = to_slow.recv().await else { panic!("no offer") };
        assert!(offered.await.unwrap().is_err());
        assert!(began.elapsed() < patience, "{patience:?}");
        assert!(matches!(to_fast.recv().await, Some(Offer::Withdraw)));
    }
}
