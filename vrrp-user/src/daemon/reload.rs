//! Another configuration for a running daemon: all of it is checked first, then only what differs is touched.
//!
//! Owns the comparison and the order of the steps. Until the change is handed to the advert thread nothing has been
//! touched that anybody could notice, and every error before it leaves things as they were.
//!
//! The order, and why: the guard hears first of what may be on from now on and last of what is gone, so that at no time
//! an address is on that it does not know; the kernel's news are told of new virtual addresses before these appear, or
//! they would be taken for the interface's own; rules are in the kernel before the router that listens by them, and a
//! place is given away only after its rule is gone and the executor has taken off what was on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use vrrp_ebpf::abi;

use crate::config::{Config, ConfigError, Loaded, Role};
use crate::daemon::advert_thread::{Change, Initial, Order, Router, Step};
use crate::daemon::guarding::wards;
use crate::daemon::leftovers;
use crate::daemon::service::{Running, chairs};
use crate::daemon::wiring::{Places, Wired, Wiring, WiringError, mapped};
use crate::net::Interface;
use crate::net::guard::{Testament, TestamentError};
use crate::net::links::{Interest, Picture};
use crate::net::maps::MapsError;
use crate::net::netlink::{HeldAddress, Netlink, NetlinkError};
use crate::net::packet::{PacketSocketError, PacketSockets};
use crate::net::receiver::OpenError;
use crate::vrrp;

/// The advert thread confirms a change within so many looks, unless the host is in deep trouble.
const CONFIRM_LOOKS: u32 = 500;
const CONFIRM_LOOK: Duration = Duration::from_millis(1);

/// Why nothing was changed.
#[derive(Debug, Error)]
pub(super) enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Attach(#[from] OpenError),
    #[error(transparent)]
    Sockets(#[from] PacketSocketError),
    #[error(transparent)]
    Rules(#[from] MapsError),
    #[error(
        "this process was started with room for {room} peers in all, and {wanted} are wanted; restart it"
    )]
    TooManyPeers { room: u32, wanted: usize },
    #[error(
        "instance {instance}: whether and how the role of its server is managed cannot change while the daemon runs; restart \
         it (the addresses are handed over first)"
    )]
    Role { instance: String },
    #[error(
        "instance {instance}: the interface, the virtual_router_id and the addresses of a managed server cannot change while the \
         daemon runs; restart it (the addresses are handed over first)"
    )]
    Places { instance: String },
    #[error(transparent)]
    Testament(#[from] TestamentError),
    #[error("the change before this one is not confirmed yet; try again in a second")]
    Busy,
    #[error("the work was cut short: {0}")]
    Cut(#[from] tokio::task::JoinError),
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) file: PathBuf,
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
    /// Keys whose new values wait for a restart.
    pub(super) needs_restart: Vec<&'static str>,
    pub(super) warnings: Vec<String>,
    /// The advert thread has the change and has not said so in time.
    pub(super) unconfirmed: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is in effect: ", self.file.display())?;
        let parts = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts = parts.map(|(what, names)| format!("{what} {}", names.join(", "))).collect::<Vec<_>>();
        f.write_str(&if parts.is_empty() { "no instance differs".to_owned() } else { parts.join("; ") })?;
        if !self.needs_restart.is_empty() {
            write!(f, "; needs a restart: {}", self.needs_restart.join(", "))?;
        }
        if self.unconfirmed {
            f.write_str("; the advert thread has not confirmed it yet")?;
        }
        Ok(())
    }
}

impl Running {
    /// As [`Self::reload`], and the log says what came of it.
    pub(super) async fn reload_and_say(&mut self) -> Result<Outcome, ReloadError> {
        self.supervisor.reloading();
        let result = self.reload().await;
        // Refused or not: it goes by a configuration.
        self.supervisor.ready(&self.summary());
        match &result {
            Ok(outcome) => say(outcome),
            Err(error) => tracing::error!("nothing was changed: {error}"),
        }
        result
    }

    /// Reads the file again and goes by it.
    pub(super) async fn reload(&mut self) -> Result<Outcome, ReloadError> {
        self.keep_returns();
        if self.change_under_way {
            return Err(ReloadError::Busy);
        }
        let source = self.source.clone();
        let Loaded { config, warnings, text } = spawn_blocking(move || source.load()).await??;
        let testament = Testament::write(text.reveal())?;
        drop(text);
        let (config, needs_restart) = keep_fixed(&self.config, config);
        keep_roles(&self.config, &config)?;
        let mut picture = spawn_blocking(|| Picture::take(&mut Netlink::open()?)).await??;
        // What is on by our own doing is no address of the host's, whatever the new file says of it.
        let ours = self.both(&Wiring::default()).vips;
        picture.addresses.retain(|held| !ours.contains(&(held.ifindex, held.address)));
        let mut next = Wiring::new(&config, &picture, &self.places())?;
        self.keep_links(&mut next);
        let difference = Difference::between(&self.wiring, &next);
        let names = |routers: &[Wired]| routers.iter().map(|router| router.name.clone()).collect();
        let mut outcome = Outcome {
            file: self.source.file.clone(),
            added: names(&difference.added),
            changed: difference.changed.iter().map(|(_, router)| router.name.clone()).collect(),
            removed: names(&difference.removed),
            needs_restart,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            unconfirmed: false,
        };
        if difference.is_nothing() {
            self.guarding.testament = testament;
            self.guarding.instruct(wards(&self.wiring, &self.formers)).await;
        } else {
            self.check_room(&next)?;
            self.clear_leftovers(&picture, &next).await?;
            let sockets = self.sockets_with(&next)?;
            self.attach(&next)?;
            self.set_rules(&difference)?;
            self.guarding.testament = testament;
            outcome.unconfirmed = !self.go_by(next, &difference, sockets).await;
        }
        self.config = config;
        let masters: BTreeSet<&str> = (self.wiring.routers.iter())
            .filter(|wired| self.arrivals.is_master(wired.router))
            .map(|wired| wired.name.as_str())
            .collect();
        self.checks.go_by(&self.config, |name| masters.contains(name));
        // What a check said that is no more must not decide a hand-over.
        for instance in &self.config.instances {
            self.note_server(&instance.name);
        }
        self.herald.go_by(&self.config);
        Ok(outcome)
    }

    /// Nothing fails from here on.
    async fn go_by(&mut self, next: Wiring, difference: &Difference, sockets: PacketSockets) -> bool {
        let union = self.both(&next);
        self.leaving.extend(difference.removed.iter().map(|router| router.router));
        for router in difference.removed.iter().chain(difference.moved()) {
            let mut ward = router.ward();
            if let Some(former) = self.formers.remove(&router.router) {
                ward.add(former);
            }
            self.formers.insert(router.router, ward);
        }
        self.guarding.instruct(wards(&next, &self.formers)).await;
        let interfaces = self.wiring.interest.interfaces.clone();
        self.interests.send_replace(Interest { interfaces, ..union.clone() });
        self.journal.learn(&next);
        let before = self.standing.instances().into_iter().collect();
        self.standing.seat(&chairs(&next));
        self.follow_drained(&before);
        self.sockets = sockets.clone();
        let change = Change { sockets, steps: self.steps(difference) };
        let old = std::mem::replace(&mut self.wiring, next);
        self.change_under_way = true;
        self.order(Order::Change(Box::new(change))).await;
        let confirmed = self.is_confirmed().await;
        self.remove_rules(&old);
        // Now that the routers are there, they hear how their interfaces are.
        let interfaces = self.wiring.interest.interfaces.clone();
        self.interests.send_replace(Interest { interfaces, ..union });
        if self.formers.is_empty() {
            self.tidy().await;
        }
        confirmed
    }

    /// The executor has taken off what a router had before a change.
    pub(super) async fn settle(&mut self, router: usize, gone: bool) {
        if gone {
            self.leaving.remove(&router);
            let name = self.journal.name(router).to_owned();
            if self.config.instances.iter().all(|instance| instance.name != name) {
                self.herald.forget(&name);
            }
            self.journal.forget(router);
            self.arrivals.forget(router);
        }
        // A change that was followed by the router's end is not yet the end.
        if !self.leaving.contains(&router) {
            self.formers.remove(&router);
        }
        if self.formers.is_empty() {
            self.tidy().await;
        }
    }

    /// Nothing of an earlier configuration is on any more.
    async fn tidy(&mut self) {
        self.interests.send_replace(self.wiring.interest.clone());
        let used = self.wiring.interest.interfaces.clone();
        let control = self.journal.control();
        let attached = control.attachments().iter().map(|attachment| attachment.interface.index);
        for ifindex in attached.filter(|ifindex| !used.contains_key(ifindex)).collect::<Vec<_>>() {
            control.detach(ifindex);
        }
        self.guarding.instruct(wards(&self.wiring, &self.formers)).await;
    }

    fn places(&self) -> Places {
        let mut places = Places::new(self.sizes.rules as usize);
        for router in &self.wiring.routers {
            places.own(router.rule_key, router.router);
        }
        for place in &self.leaving {
            places.block(*place);
        }
        places
    }

    /// The picture may be older than the news that the advert thread has been told.
    fn keep_links(&self, next: &mut Wiring) {
        for router in &mut next.routers {
            if let Some(known) = self.wiring.routers.iter().find(|known| known.ifindex == router.ifindex) {
                router.running = known.running;
                router.primary_address = known.primary_address;
                router.frames.set_source(known.primary_address);
            }
        }
    }

    fn check_room(&self, next: &Wiring) -> Result<(), ReloadError> {
        let both = peers(&self.wiring).chain(peers(next)).collect::<BTreeSet<_>>().len();
        match u32::try_from(both) {
            Ok(wanted) if wanted <= self.sizes.peers => Ok(()),
            Ok(_) | Err(_) => Err(ReloadError::TooManyPeers { room: self.sizes.peers, wanted: both }),
        }
    }

    /// What concerns the routers that are, that will be, and that are leaving.
    fn both(&self, next: &Wiring) -> Interest {
        let mut both = self.wiring.interest.clone();
        both.interfaces.extend(next.interest.interfaces.clone());
        both.devices.extend(next.interest.devices.clone());
        both.vips.extend(next.interest.vips.iter().copied());
        let formers = self.formers.values().flat_map(|former| &former.vips);
        both.vips.extend(formers.map(|vip| (vip.ifindex, vip.address)));
        both
    }

    /// A new virtual address that is on an interface already is there by nobody's right.
    async fn clear_leftovers(&self, picture: &Picture, next: &Wiring) -> Result<(), ReloadError> {
        leftovers::keep_others(next, picture);
        let living = Wiring { routers: self.wiring.routers.clone(), interest: self.both(&Wiring::default()) };
        let is_left = |held: &HeldAddress| {
            let place = (held.ifindex, held.address);
            next.interest.vips.contains(&place) && !living.interest.vips.contains(&place)
        };
        if picture.addresses.iter().any(is_left) {
            let (picture, next) = (picture.clone(), next.clone());
            spawn_blocking(move || leftovers::clear(&mut Netlink::open()?, &picture, &next, Some(&living)))
                .await??;
        }
        Ok(())
    }

    /// Those of routers that are leaving, too: they have a last word to say.
    fn sockets_with(&self, next: &Wiring) -> Result<PacketSockets, PacketSocketError> {
        let leaving = self.formers.values().map(|former| former.ifindex);
        let routers = self.wiring.routers.iter().chain(&next.routers).map(|router| router.ifindex);
        self.sockets.with(routers.chain(leaving))
    }

    fn attach(&mut self, next: &Wiring) -> Result<(), ReloadError> {
        let known = self.wiring.interest.interfaces.clone();
        let new = next.interest.interfaces.iter().filter(|(index, _)| !known.contains_key(index));
        let control = self.journal.control();
        for (index, name) in new.clone() {
            if let Err(error) = control.attach(&Interface { name: name.clone(), index: *index }) {
                new.for_each(|(index, _)| control.detach(*index));
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// All or none: what cannot be had is as it was.
    fn set_rules(&mut self, difference: &Difference) -> Result<(), ReloadError> {
        let control = self.journal.control();
        let mut set = || {
            for router in &difference.added {
                let slot = router.rule.slot;
                control.slots().set_minimum_priority(slot, abi::NOBODY_REFRESHES);
                control.slots().set_flags(slot, 0);
                control.slots().clear(slot);
            }
            for router in difference.added.iter().chain(difference.changed.iter().map(|(_, new)| new)) {
                for peer in peers_of(router) {
                    control.insert_peer(peer)?;
                }
                control.insert_rule(router.rule_key, router.rule)?;
            }
            Ok(())
        };
        let set: Result<(), MapsError> = set();
        if let Err(error) = set {
            let control = self.journal.control();
            for router in &difference.added {
                control.remove_rule(router.rule_key);
            }
            for (old, _) in &difference.changed {
                let restored = control.insert_rule(old.rule_key, old.rule);
                restored.unwrap_or_else(|error| tracing::error!("{error}"));
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Once nobody listens by them any more.
    fn remove_rules(&mut self, old: &Wiring) {
        let rules: BTreeSet<_> = self.wiring.routers.iter().map(|router| router.rule_key).collect();
        let kept: BTreeSet<_> = peers(&self.wiring).collect();
        let control = self.journal.control();
        let gone = old.routers.iter().map(|router| router.rule_key).filter(|key| !rules.contains(key));
        for key in gone {
            control.remove_rule(key);
        }
        for peer in peers(old).filter(|peer| !kept.contains(peer)) {
            control.remove_peer(peer).unwrap_or_else(|error| tracing::error!("{error}"));
        }
    }

    fn steps(&self, difference: &Difference) -> Vec<Step> {
        let removed = difference.removed.iter().map(|router| Step::Remove { router: router.router });
        let changed = difference.changed.iter().filter(|(old, new)| concerns_the_thread(old, new));
        let changed = changed.map(|(old, new)| Step::Alter {
            router: new.router,
            parts: Router::new(new),
            core: self.core(new),
            holding: (old.holding != new.holding).then(|| Box::new(new.holding.clone())),
            readdressed: old.holding.is_retaken_for(&new.holding),
        });
        let added = difference.added.iter().map(|new| {
            let (suspended, _) = self.standing.begin(new.router).unwrap_or((false, new.core.priority));
            let (running, primary_address) = (new.running, new.primary_address);
            Step::Insert {
                router: new.router,
                parts: Some(Router::new(new)),
                core: self.core(new),
                holding: Some(Box::new(new.holding.clone())),
                initial: Initial { suspended, running, primary_address },
            }
        });
        removed.chain(changed).chain(added).collect()
    }

    /// As configured, with the priority that all who weigh in it make of it.
    fn core(&self, router: &Wired) -> vrrp::Config {
        let priority =
            self.standing.of(&router.name).map_or(router.core.priority, |standing| standing.priority);
        vrrp::Config { priority, ..router.core }
    }

    async fn is_confirmed(&mut self) -> bool {
        for _ in 0..CONFIRM_LOOKS {
            self.keep_returns();
            if !self.change_under_way {
                return true;
            }
            sleep(CONFIRM_LOOK).await;
        }
        tracing::error!("the advert thread does not confirm the change; it may still come into effect");
        false
    }
}

/// What another wiring has more, less, and otherwise.
#[derive(Debug, Default)]
struct Difference {
    added: Vec<Wired>,
    /// Before and after.
    changed: Vec<(Wired, Wired)>,
    removed: Vec<Wired>,
}

impl Difference {
    /// A virtual router is its interface and its number; a new name makes no other of it.
    fn between(old: &Wiring, new: &Wiring) -> Self {
        let mut before: BTreeMap<_, _> = old.routers.iter().map(|router| (router.rule_key, router)).collect();
        let mut difference = Self::default();
        for router in &new.routers {
            match before.remove(&router.rule_key) {
                Some(known) if is_same(known, router) => {}
                Some(known) => difference.changed.push((known.clone(), router.clone())),
                None => difference.added.push(router.clone()),
            }
        }
        difference.removed.extend(before.into_values().cloned());
        difference
    }

    fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// As they were, those whose addresses the executor is told of.
    fn moved(&self) -> impl Iterator<Item = &Wired> {
        self.changed.iter().filter(|(old, new)| old.holding != new.holding).map(|(old, _)| old)
    }
}

fn is_same(old: &Wired, new: &Wired) -> bool {
    (&old.name, &old.rule, &old.peers) == (&new.name, &new.rule, &new.peers) && !concerns_the_thread(old, new)
}

fn concerns_the_thread(old: &Wired, new: &Wired) -> bool {
    old.core != new.core || old.holding != new.holding || !old.frames.is_like(&new.frames)
}

fn peers_of(router: &Wired) -> impl Iterator<Item = abi::PeerKey> {
    router.peers.iter().map(|peer| abi::PeerKey { slot: router.rule.slot, address: mapped(*peer) })
}

fn peers(wiring: &Wiring) -> impl Iterator<Item = abi::PeerKey> {
    wiring.routers.iter().flat_map(peers_of)
}

/// What only a start can change stays as it is; named, if the file says otherwise.
fn keep_fixed(running: &Config, file: Config) -> (Config, Vec<&'static str>) {
    let fixed = [
        ("rx", running.rx == file.rx),
        ("guard", running.guard == file.guard),
        ("realtime_priority", running.realtime_priority == file.realtime_priority),
        ("log", running.log == file.log),
        ("control", running.control == file.control),
        ("metrics", running.metrics == file.metrics),
        ("status_page", running.status_page == file.status_page),
    ];
    let needs_restart = fixed.iter().filter(|(_, same)| !same).map(|(key, _)| *key).collect();
    let kept = Config {
        rx: running.rx,
        guard: running.guard,
        realtime_priority: running.realtime_priority,
        log: running.log,
        control: running.control.clone(),
        metrics: running.metrics.clone(),
        status_page: running.status_page,
        ..file
    };
    (kept, needs_restart)
}

/// A server that is being written to does not change hands by an edit of a file.
fn keep_roles(running: &Config, file: &Config) -> Result<(), ReloadError> {
    let roles = |config: &Config| -> BTreeMap<String, Role> {
        let managed =
            config.instances.iter().filter_map(|i| Some((i.name.clone(), i.role.as_deref().cloned()?)));
        managed.collect()
    };
    let (before, after) = (roles(running), roles(file));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    if let Some(instance) = names.into_iter().find(|name| before.get(*name) != after.get(*name)) {
        return Err(ReloadError::Role { instance: instance.clone() });
    }
    // What is blocked and reset while the service leaves is set up once, and so is the way that orders take from the router.
    let places = |config: &Config, name: &String| {
        let instance = config.instances.iter().find(|instance| instance.name == *name)?;
        Some((instance.interface.clone(), instance.virtual_router_id, instance.virtual_addresses.clone()))
    };
    match before.keys().find(|name| places(running, name) != places(file, name)) {
        Some(instance) => Err(ReloadError::Places { instance: instance.clone() }),
        None => Ok(()),
    }
}

fn say(outcome: &Outcome) {
    for warning in &outcome.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("{outcome}");
}

#[cfg(test)]
mod tests;
