//! Whether a router may take part, and with what priority: the one place where all that has a say in it meets.
//!
//! How to use it, from anywhere in the service runtime:
//! - [`Standing::hold`] keeps an instance out until the same [`Holder`] [lets go](Standing::let_go). Several may hold at
//!   once, each with its reason; only when the last one has let go does the router take part again. A MASTER that is held
//!   releases in order.
//! - [`Standing::weigh`] adds to the priority; the sum stays within 1 and 254. An address owner (255) stays 255.
//!
//! Both return at once. What follows from them is carried to the advert thread by the daemon, which waits for
//! `Standing::changed`; saying the same twice changes nothing. Instances go by their names, and a name that the
//! configuration does not know is refused. A reload keeps holders and weights of an instance that stays, also if it is
//! called something else afterwards.
//!
//! Owns the reasons; refuses to know what a drain file or a health check is.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::vrrp::OWNER;

/// Who keeps a router out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// `vrrp drain`; survives a restart.
    Operator,
    /// A check of that name.
    Check(String),
    /// The server cannot be promoted, and trying again changes nothing.
    Role,
}

/// Where an instance stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standpoint {
    /// The configured priority.
    pub base: NonZeroU8,
    /// What each source adds.
    pub weights: Vec<(String, i16)>,
    /// The sum.
    pub priority: NonZeroU8,
    /// Who keeps it out, and why.
    pub holders: Vec<(Holder, String)>,
}

/// What the advert thread has to be told of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Suspend { router: usize },
    Resume { router: usize },
    SetPriority { router: usize, priority: NonZeroU8 },
}

/// One instance of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Chair {
    pub(super) instance: String,
    pub(super) router: usize,
    pub(super) base: NonZeroU8,
}

/// The handle; a clone is another one to the same.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seats: Mutex<BTreeMap<String, Seat>>,
    changed: Notify,
}

#[derive(Debug)]
struct Seat {
    router: usize,
    base: NonZeroU8,
    holders: BTreeMap<Holder, String>,
    weights: BTreeMap<String, i16>,
    /// What the advert thread knows.
    told_suspended: bool,
    told_priority: Option<NonZeroU8>,
}

impl Seat {
    const fn new(router: usize, base: NonZeroU8) -> Self {
        Self {
            router,
            base,
            holders: BTreeMap::new(),
            weights: BTreeMap::new(),
            told_suspended: false,
            told_priority: Some(base),
        }
    }

    fn priority(&self) -> NonZeroU8 {
        if self.base.get() == OWNER {
            return self.base;
        }
        let sum =
            self.weights.values().fold(i32::from(self.base.get()), |sum, weight| sum + i32::from(*weight));
        let priority = u8::try_from(sum.clamp(1, i32::from(OWNER) - 1)).ok().and_then(NonZeroU8::new);
        priority.unwrap_or(self.base)
    }
}

impl Standing {
    /// Keeps the instance out, for this reason; a holder that holds already only gets another reason. False if there is
    /// no such instance.
    pub fn hold(&self, instance: &str, holder: Holder, reason: String) -> bool {
        self.change(instance, |seat| {
            seat.holders.insert(holder, reason);
        })
    }

    /// Takes it back. False if there is no such instance.
    pub fn let_go(&self, instance: &str, holder: &Holder) -> bool {
        self.change(instance, |seat| {
            seat.holders.remove(holder);
        })
    }

    /// Adds so much to the priority on behalf of `source`, instead of what it added before. False if there is no such
    /// instance.
    pub fn weigh(&self, instance: &str, source: &str, weight: i16) -> bool {
        self.change(instance, |seat| {
            seat.weights.insert(source.to_owned(), weight);
        })
    }

    /// A check that is no more neither holds nor weighs. False if there is no such instance.
    pub fn forget(&self, instance: &str, source: &str) -> bool {
        self.change(instance, |seat| {
            seat.holders.remove(&Holder::Check(source.to_owned()));
            seat.weights.remove(source);
        })
    }

    /// Where an instance stands.
    pub fn of(&self, instance: &str) -> Option<Standpoint> {
        self.seats().get(instance).map(|seat| Standpoint {
            base: seat.base,
            weights: seat.weights.iter().map(|(source, weight)| (source.clone(), *weight)).collect(),
            priority: seat.priority(),
            holders: seat.holders.iter().map(|(holder, why)| (holder.clone(), why.clone())).collect(),
        })
    }

    pub(super) fn is_held_by(&self, instance: &str, holder: &Holder) -> bool {
        self.seats().get(instance).is_some_and(|seat| seat.holders.contains_key(holder))
    }

    /// Why an instance is kept out, in one line; empty if it is not.
    pub(super) fn reasons(&self, instance: &str) -> String {
        let seats = self.seats();
        let reasons = seats.get(instance).map(|seat| seat.holders.values().map(String::as_str));
        reasons.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// All there are.
    pub fn instances(&self) -> Vec<String> {
        self.seats().keys().cloned().collect()
    }

    /// The instances of another configuration; those that are not in it lose their seats. Whoever keeps its place keeps
    /// its holders and weights.
    pub(super) fn seat(&self, chairs: &[Chair]) {
        let mut seats = self.seats();
        let mut former: BTreeMap<usize, Seat> =
            std::mem::take(&mut *seats).into_values().map(|seat| (seat.router, seat)).collect();
        for Chair { instance, router, base } in chairs {
            let seat = former.remove(router).map(|seat| Seat { base: *base, ..seat });
            seats.insert(instance.clone(), seat.unwrap_or_else(|| Seat::new(*router, *base)));
        }
        drop(seats);
        self.0.changed.notify_one();
    }

    /// The routers start, at whatever places, and know nothing: holders and weights are those of their names.
    pub(super) fn start(&self, chairs: &[Chair]) {
        let mut seats = self.seats();
        let mut former = std::mem::take(&mut *seats);
        for Chair { instance, router, base } in chairs {
            let seat = Seat::new(*router, *base);
            let seat = match former.remove(instance) {
                Some(Seat { holders, weights, .. }) => Seat { holders, weights, ..seat },
                None => seat,
            };
            seats.insert(instance.clone(), seat);
        }
        drop(seats);
        self.0.changed.notify_one();
    }

    /// What the advert thread has not been told yet; it counts as told now.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for seat in self.seats().values_mut() {
            let (router, suspended, priority) = (seat.router, !seat.holders.is_empty(), seat.priority());
            if seat.told_priority != Some(priority) {
                seat.told_priority = Some(priority);
                verdicts.push(Verdict::SetPriority { router, priority });
            }
            if seat.told_suspended != suspended {
                seat.told_suspended = suspended;
                verdicts.push(if suspended {
                    Verdict::Suspend { router }
                } else {
                    Verdict::Resume { router }
                });
            }
        }
        verdicts
    }

    /// With what a router of this place is to begin: kept out or not, and its priority. Counts as told.
    pub(super) fn begin(&self, router: usize) -> Option<(bool, NonZeroU8)> {
        let mut seats = self.seats();
        let seat = seats.values_mut().find(|seat| seat.router == router)?;
        let (suspended, priority) = (!seat.holders.is_empty(), seat.priority());
        (seat.told_suspended, seat.told_priority) = (suspended, Some(priority));
        Some((suspended, priority))
    }

    /// Comes back when there may be verdicts.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Those whom the operator keeps out.
    pub fn drained(&self) -> BTreeSet<String> {
        let seats = self.seats();
        let drained = seats.iter().filter(|(_, seat)| seat.holders.contains_key(&Holder::Operator));
        drained.map(|(instance, _)| instance.clone()).collect()
    }

    fn change(&self, instance: &str, change: impl FnOnce(&mut Seat)) -> bool {
        let known = self.seats().get_mut(instance).map(change).is_some();
        self.0.changed.notify_one();
        known
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<String, Seat>> {
        // Nothing that holds the lock can panic half way through a change.
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chair(instance: &str, router: usize, base: u8) -> Chair {
        Chair { instance: instance.to_owned(), router, base: NonZeroU8::new(base).unwrap() }
    }

    fn standing() -> Standing {
        let standing = Standing::default();
        standing.seat(&[chair("A", 0, 100), chair("B", 1, 255)]);
        assert_eq!(standing.verdicts(), []);
        standing
    }

    fn priority(priority: u8) -> NonZeroU8 {
        NonZeroU8::new(priority).unwrap()
    }

    #[test]
    fn only_the_last_who_lets_go_lets_a_router_in() {
        let standing = standing();
        let check = Holder::Check("mysql".to_owned());
        assert!(standing.hold("A", Holder::Operator, "drained".to_owned()));
        assert!(standing.hold("A", check.clone(), "mysql is down".to_owned()));
        assert_eq!(standing.reasons("A"), "drained; mysql is down");
        assert_eq!(standing.verdicts(), [Verdict::Suspend { router: 0 }]);
        assert!(standing.let_go("A", &Holder::Operator));
        assert_eq!(standing.verdicts(), []);
        assert!(standing.let_go("A", &check));
        assert_eq!(standing.verdicts(), [Verdict::Resume { router: 0 }]);
        assert!(!standing.hold("C", Holder::Operator, String::new()), "there is no such instance");
    }

    #[test]
    fn who_lets_go_before_it_was_told_changes_nothing() {
        let standing = standing();
        standing.hold("A", Holder::Operator, String::new());
        standing.let_go("A", &Holder::Operator);
        assert_eq!(standing.verdicts(), []);
    }

    #[test]
    fn weights_add_up_within_the_bounds_and_never_move_an_owner() {
        let standing = standing();
        for (weight, sum) in [(-30, 70), (-300, 1), (300, 254), (0, 100)] {
            standing.weigh("A", "chk", weight);
            assert_eq!(standing.verdicts(), [Verdict::SetPriority { router: 0, priority: priority(sum) }]);
        }
        standing.weigh("A", "one", 5);
        standing.weigh("A", "two", -20);
        assert_eq!(standing.of("A").unwrap().priority, priority(85));
        standing.verdicts();
        standing.forget("A", "two");
        assert_eq!(standing.verdicts(), [Verdict::SetPriority { router: 0, priority: priority(105) }]);
        standing.weigh("B", "chk", -100);
        assert_eq!(standing.verdicts(), []);
    }

    #[test]
    fn a_reload_keeps_holders_and_weights_by_place_whatever_the_name() {
        let standing = standing();
        standing.hold("A", Holder::Operator, "drained".to_owned());
        standing.weigh("A", "chk", -10);
        standing.verdicts();
        standing.seat(&[chair("A2", 0, 150), chair("A", 2, 100)]);
        assert_eq!(standing.drained(), BTreeSet::from(["A2".to_owned()]));
        assert_eq!(standing.verdicts(), [Verdict::SetPriority { router: 0, priority: priority(140) }]);
        assert_eq!(standing.of("B"), None);
    }

    #[test]
    fn routers_that_start_over_are_told_again_by_their_names() {
        let standing = standing();
        standing.hold("A", Holder::Operator, "drained".to_owned());
        standing.verdicts();
        standing.start(&[chair("B", 0, 100), chair("A", 1, 100)]);
        assert_eq!(standing.begin(1), Some((true, priority(100))));
        assert_eq!(standing.verdicts(), [], "told at the start");
        standing.let_go("A", &Holder::Operator);
        assert_eq!(standing.verdicts(), [Verdict::Resume { router: 1 }]);
    }
}
