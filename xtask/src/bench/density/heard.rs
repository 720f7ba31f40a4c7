//! What was heard of each virtual router's master: what was left out, how far behind its beat it was, how long it was silent.
//!
//! Refuses to know who was heard: beats are absolute, or they are not.

use std::collections::HashMap;

/// When one virtual router's master was heard, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Vec<u64>);

impl Heard {
    /// One more; when the one before it was.
    pub(super) fn note(all: &mut HashMap<usize, Self>, router: usize, at: u64) -> Option<u64> {
        let times = &mut all.entry(router).or_default().0;
        let before = times.last().copied();
        times.push(at);
        before
    }

    /// Between the first and the last: the window's edges, which cut an interval, do not matter.
    pub(super) fn skipped(&self, interval_ns: u64) -> u64 {
        // Beats are absolute, and nobody is ahead of one, but for as much as the first one was behind its own: a last one that
        // is late by less than an interval stands for no beat but its own.
        let since = |times: &[u64]| match times {
            [from, between @ .., last] => {
                ((last - from + interval_ns / 10) / interval_ns).saturating_sub(between.len() as u64 + 1)
            }
            [] | [_] => 0,
        };
        // If the first one was late, the second one tells the beat.
        since(&self.0).max(since(self.0.get(1..).unwrap_or_default()))
    }

    /// How far behind its beat each one was, the earliest of them on it. For those whose beats are absolute: each advert
    /// of a stretch that is late counts, where from one to the next only the first one would.
    pub(super) fn behind(&self, interval_ns: u64) -> Vec<u64> {
        let Some(first) = self.0.first() else { return Vec::new() };
        // Where in an interval they are: all a little behind one place, with the longest gap before it.
        let mut places: Vec<u64> = self.0.iter().map(|at| (at - first) % interval_ns).collect();
        places.sort_unstable();
        // The first one has the last one of the interval before it in front of it.
        let round = places.last().map(|last| last.wrapping_sub(interval_ns));
        let before = round.into_iter().chain(places.iter().copied());
        let gaps = places.iter().zip(before).map(|(place, before)| (place.wrapping_sub(before), *place));
        let beat = gaps.max().map_or(0, |(_, place)| place);
        // One interval early, so that the first one, too, is behind it.
        let start = (first + beat).saturating_sub(interval_ns);
        // Nobody is ahead of a beat, and no beat has two: from the end on, each is of the last beat that is left for it.
        let mut left = u64::MAX;
        let mut behind: Vec<u64> = Vec::with_capacity(self.0.len());
        for at in self.0.iter().rev() {
            let beat = ((at - start) / interval_ns).min(left);
            left = beat.saturating_sub(1);
            behind.push(at - start - beat * interval_ns);
        }
        behind
    }
}

/// For how long each virtual router's master said nothing.
pub(super) struct Silence {
    last: Vec<u64>,
    longest: u64,
}

impl Silence {
    pub(super) fn new(routers: usize, start: u64) -> Self {
        Self { last: vec![start; routers], longest: 0 }
    }

    pub(super) fn hear(&mut self, router: usize, at: u64) {
        if let Some(last) = self.last.get_mut(router) {
            self.longest = self.longest.max(at.saturating_sub(*last));
            *last = at;
        }
    }

    /// With the window's end, up to which it may have lasted.
    pub(super) fn longest(&self, end: u64) -> u64 {
        let open = self.last.iter().map(|last| end.saturating_sub(*last));
        open.fold(self.longest, u64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(times: &[u64]) -> u64 {
        let mut all = HashMap::new();
        for at in times {
            Heard::note(&mut all, 0, *at);
        }
        all[&0].skipped(10)
    }

    #[test]
    fn adverts_that_were_left_out_are_counted_whatever_the_edges_and_a_little_lateness() {
        assert_eq!(skipped(&[7]), 0);
        assert_eq!(skipped(&[7, 17, 27, 41, 47]), 0);
        assert_eq!(skipped(&[7, 17, 37, 47]), 1);
        // Late, then where it belongs again: a gap of less than two intervals, and one is missing all the same.
        assert_eq!(skipped(&[7, 18, 37, 47]), 1);
        assert_eq!(skipped(&[7, 67]), 5);
    }

    #[test]
    fn an_advert_that_is_late_at_an_edge_is_not_one_that_was_left_out() {
        assert_eq!(skipped(&[7, 17, 27, 43]), 0);
        assert_eq!(skipped(&[7, 17, 33, 43]), 0);
        assert_eq!(skipped(&[13, 17, 27, 37]), 0);
        // Nor does it hide one that was.
        assert_eq!(skipped(&[7, 17, 37, 53]), 1);
        assert_eq!(skipped(&[13, 17, 37, 47]), 1);
        assert_eq!(skipped(&[7, 17, 27, 47]), 1);
    }

    #[test]
    fn each_advert_of_a_late_stretch_is_behind_its_beat() {
        let behind = |times: &[u64]| {
            let mut behind = Heard(times.to_vec()).behind(1000);
            behind.reverse();
            behind
        };
        assert_eq!(behind(&[]), [0; 0]);
        assert_eq!(behind(&[5007]), [0]);
        assert_eq!(behind(&[5000, 6002, 7001, 8003]), [0, 2, 1, 3]);
        // The first one late, and three in a row, of which the distances tell one.
        assert_eq!(behind(&[5400, 6000, 7010, 8400, 9400, 10_400, 11_000]), [400, 0, 10, 400, 400, 400, 0]);
        // One left out is no lateness of those behind it.
        assert_eq!(behind(&[5000, 6001, 8002, 9000]), [0, 1, 2, 0]);
        // Two at once: the first one is of the beat before.
        assert_eq!(behind(&[5000, 6000, 8100, 8101, 9000]), [0, 0, 1100, 101, 0]);
    }

    #[test]
    fn a_router_that_is_never_heard_was_silent_all_the_time() {
        let mut silence = Silence::new(2, 100);
        for at in [110, 120, 150, 160] {
            silence.hear(0, at);
        }
        assert_eq!(silence.longest(165), 65);
        silence.hear(1, 112);
        assert_eq!(silence.longest(165), 53);
        silence.hear(1, 160);
        assert_eq!(silence.longest(165), 48);
    }
}
