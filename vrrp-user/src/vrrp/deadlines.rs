//! The next deadline of each router and the earliest of them: an indexed binary heap. Refuses to know what a deadline means.

use super::time::Instant;

/// Allocates when routers are added, never when deadlines are set.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// Routers, the earliest deadline first.
    heap: Vec<usize>,
    /// By router.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    at: Instant,
    /// Index into `heap`; [`ABSENT`] without a deadline.
    position: usize,
}

const ABSENT: usize = usize::MAX;

impl Deadlines {
    pub(super) fn with_capacity(routers: usize) -> Self {
        Self { heap: Vec::with_capacity(routers), slots: Vec::with_capacity(routers) }
    }

    /// One more router, without a deadline.
    pub(super) fn add(&mut self) {
        self.slots.push(Slot { at: Instant::from_nanos(0), position: ABSENT });
        self.heap.reserve(self.slots.len() - self.heap.len());
    }

    pub(super) fn first(&self) -> Option<(Instant, usize)> {
        self.heap.first().map(|router| (self.slots[*router].at, *router))
    }

    pub(super) fn set(&mut self, router: usize, deadline: Option<Instant>) {
        let position = self.slots[router].position;
        match deadline {
            Some(at) if position == ABSENT => {
                self.heap.push(router);
                self.slots[router] = Slot { at, position: self.heap.len() - 1 };
                self.sift_up(self.heap.len() - 1);
            }
            Some(at) => {
                self.slots[router].at = at;
                self.sift_up(position);
                self.sift_down(self.slots[router].position);
            }
            None if position == ABSENT => {}
            None => {
                self.heap.swap_remove(position);
                self.slots[router].position = ABSENT;
                if let Some(moved) = self.heap.get(position).copied() {
                    self.slots[moved].position = position;
                    self.sift_up(position);
                    self.sift_down(self.slots[moved].position);
                }
            }
        }
    }

    fn sift_up(&mut self, mut position: usize) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if !self.is_before(position, parent) {
                return;
            }
            self.swap(position, parent);
            position = parent;
        }
    }

    fn sift_down(&mut self, mut position: usize) {
        loop {
            let mut earliest = position;
            for child in [2 * position + 1, 2 * position + 2] {
                if child < self.heap.len() && self.is_before(child, earliest) {
                    earliest = child;
                }
            }
            if earliest == position {
                return;
            }
            self.swap(position, earliest);
            position = earliest;
        }
    }

    /// Equal deadlines by router, so that a run can be repeated.
    fn is_before(&self, one: usize, other: usize) -> bool {
        let (one, other) = (self.heap[one], self.heap[other]);
        (self.slots[one].at, one) < (self.slots[other].at, other)
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.slots[self.heap[one]].position = one;
        self.slots[self.heap[other]].position = other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_always_the_minimum(
            operations in prop::collection::vec((0..9usize, prop::option::of(0..20u64)), 0..200)
        ) {
            let mut deadlines = Deadlines::default();
            let mut model = [None; 9];
            for _ in 0..model.len() {
                deadlines.add();
            }
            let room = deadlines.heap.capacity();
            for (router, at) in operations {
                let at = at.map(Instant::from_nanos);
                deadlines.set(router, at);
                model[router] = at;
                let expected = (0..model.len()).filter_map(|router| Some((model[router]?, router))).min();
                prop_assert_eq!(deadlines.first(), expected);
            }
            prop_assert_eq!(deadlines.heap.capacity(), room, "setting never allocates");
        }
    }
}
