//! All virtual routers of a host and their deadlines. Refuses to know what a router does (`router`).

use super::action::{Actions, Label, RouterIndex};
use super::deadlines::Deadlines;
use super::event::{Advert, Event};
use super::router::{Config, Turn, VirtualRouter};
use super::time::Instant;

#[derive(Debug)]
pub struct Engine {
    routers: Vec<VirtualRouter>,
    deadlines: Deadlines,
    room: usize,
}

impl Engine {
    /// In INITIALIZE, in the order given: the place in it is the router's index.
    pub fn new(configs: impl ExactSizeIterator<Item = Config>) -> Self {
        let room = configs.len();
        Self::with_room(configs, room)
    }

    /// As [`Self::new`], with places for `room` routers in all: more do not come in later.
    pub fn with_room(configs: impl ExactSizeIterator<Item = Config>, room: usize) -> Self {
        let room = room.max(configs.len());
        let mut engine =
            Self { routers: Vec::with_capacity(room), deadlines: Deadlines::with_capacity(room), room };
        for (number, config) in (0..).zip(configs) {
            engine.routers.push(VirtualRouter::new(config, Turn::of(number)));
            engine.deadlines.add();
        }
        engine
    }

    /// A new router, in INITIALIZE, at a place where none takes part any more or at the next new one. False, and nothing
    /// happens, at any other place. Does not allocate.
    pub fn insert(&mut self, index: RouterIndex, config: Config) -> bool {
        let place = index.as_usize();
        let next = self.routers.len();
        match self.routers.get_mut(place) {
            Some(former) if former.label() == Label::Initialize => *former = former.successor(config),
            Some(_) => return false,
            None if place == next && place < self.room => {
                self.routers.push(VirtualRouter::new(config, Turn::of(index.0)));
                self.deadlines.add();
            }
            None => return false,
        }
        true
    }

    pub fn len(&self) -> usize {
        self.routers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.routers.is_empty()
    }

    pub fn router(&self, index: RouterIndex) -> Option<&VirtualRouter> {
        self.routers.get(index.as_usize())
    }

    /// In the order of their indices, with those that have left (INITIALIZE).
    pub fn routers(&self) -> &[VirtualRouter] {
        &self.routers
    }

    /// An index that we do not have is ignored: the ring may still hold a record for a router that is gone.
    pub fn handle(&mut self, index: RouterIndex, event: Event, now: Instant, actions: &mut Actions) {
        let Some(router) = self.routers.get_mut(index.as_usize()) else {
            return;
        };
        router.handle(event, now, &mut actions.of(index));
        self.deadlines.set(index.as_usize(), router.deadline());
    }

    /// When to call [`Self::due`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Acts on every deadline that has come. `heard` reads a router's slot, and is asked only about those routers.
    ///
    /// Ends: a router whose deadline has been handled has its next one in the future, or changed state on the way there.
    pub fn due(
        &mut self,
        now: Instant,
        mut heard: impl FnMut(RouterIndex) -> Option<Advert>,
        actions: &mut Actions,
    ) {
        while let Some((at, position)) = self.deadlines.first()
            && at <= now
            && let Ok(number) = u32::try_from(position)
        {
            let index = RouterIndex(number);
            self.handle(index, Event::Deadline { heard: heard(index) }, now, actions);
        }
    }
}

#[cfg(test)]
mod tests;
