//! What a timeline shows of each half: adverts, not all of very many, and when each address was announced.

use std::collections::HashSet;

use vrrp_lab::observer::{Kind, Sighting};

use super::is_living_advert;
use crate::bench::{
    scene::is_from,
    stats::{evenly, milliseconds},
};

/// At most so many marks make a picture; more make a blot.
const MARKS: usize = 400;

/// The first and the last one among them: when somebody fell silent is what a timeline is for.
pub(super) fn advert_marks(all: &[Sighting], at: u64, half: u16) -> Vec<f64> {
    let adverts = all.iter().filter(|sighting| is_from(sighting, half) && is_living_advert(sighting));
    evenly(&adverts.map(|sighting| milliseconds(at, sighting.time_ns)).collect::<Vec<_>>(), MARKS)
}

/// The first of each address: to say it again is to take nothing.
pub(super) fn announcement_marks(all: &[Sighting], at: u64, half: u16) -> Vec<f64> {
    let mut known = HashSet::new();
    let mut is_first = |sighting: &&Sighting| match sighting.kind {
        Kind::Announcement { address } => is_from(sighting, half) && known.insert(address),
        Kind::Advert { .. } => false,
    };
    let first = all.iter().filter(|sighting| is_first(sighting));
    first.map(|sighting| milliseconds(at, sighting.time_ns)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(time_ns: u64, port: u16, kind: Kind) -> Sighting {
        Sighting { time_ns, port, outgoing: false, kind }
    }

    #[test]
    fn a_timeline_of_many_routers_goes_on_to_the_last_advert_before_the_event() {
        let advert = |number: u64, priority| {
            let virtual_router_id = u8::try_from(number % 200).unwrap();
            seen(number * 50_000, 0, Kind::Advert { virtual_router_id, priority })
        };
        let mut all: Vec<Sighting> = (0..2_000).map(|number| advert(number, 100)).collect();
        all.push(advert(2_001, 0));
        let marks = advert_marks(&all, 100_000_000, 0);
        assert_eq!((marks.len(), marks[0], marks[MARKS - 1]), (MARKS, -100.0, -0.05));
        assert_eq!(advert_marks(&all, 0, 1), [0.0; 0]);
    }

    #[test]
    fn each_address_is_announced_once_in_a_timeline() {
        let announcement = |at: u64, last: u8| {
            seen(at * 1_000_000, 1, Kind::Announcement { address: [10, 99, 1, last].into() })
        };
        let once = (1..=200).map(|last| announcement(u64::from(last), last));
        let again = (1..=200).map(|last| announcement(1_000 + u64::from(last), last));
        let all: Vec<Sighting> = once.chain(again).collect();
        let marks = announcement_marks(&all, 0, 1);
        assert_eq!((marks.len(), marks[0], marks[199]), (200, 1.0, 200.0));
    }
}
