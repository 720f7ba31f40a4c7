//! The page fits every terminal and says what was seen.

use std::{collections::VecDeque, net::Ipv4Addr};

use vrrp_lab::{HoldingTimeline, frame::Advert, timeline::Change};

use super::*;
use crate::run::client::Reach;

struct Scene {
    nodes: Vec<Node>,
    timeline: HoldingTimeline,
    reach: Reach,
    adverts: VecDeque<AdvertSeen>,
    events: VecDeque<Event>,
}

fn scene(holders: &[&str]) -> Scene {
    let address = Ipv4Addr::new(10, 99, 0, 1);
    let seen = AdvertSeen {
        time_ns: 3 * SECOND,
        node: "a",
        gap_ns: Some(100 * MILLISECOND),
        advert: Advert::v3(address, 51, 100, 10, &[VIP]),
    };
    let node = |name| Node {
        name,
        program: "vrrp",
        address,
        pid: 4321,
        condition: Condition::Running,
        link: Link::Up,
        adverts: 7,
        last_advert: Some(seen.clone()),
    };
    let changes: Vec<Change> = holders
        .iter()
        .map(|host| Change { time_ns: 2 * SECOND, host: (*host).to_owned(), held: true })
        .collect();
    let event =
        |number| Event { number, time_ns: 2 * SECOND, kind: Kind::Moved, text: format!("event {number}") };
    Scene {
        nodes: vec![node("a"), node("b")],
        timeline: HoldingTimeline::new(SECOND, 4 * SECOND, &changes),
        reach: Reach::default(),
        adverts: (0..50).map(|_| seen.clone()).collect(),
        events: (0..50).map(event).collect(),
    }
}

fn sight(scene: &Scene) -> Sight<'_> {
    Sight {
        now_ns: 4 * SECOND,
        start_ns: SECOND,
        nodes: &scene.nodes,
        timeline: &scene.timeline,
        reach: &scene.reach,
        adverts: &scene.adverts,
        events: &scene.events,
    }
}

fn text(page: &[Line]) -> String {
    page.iter().map(|line| line.text() + "\n").collect()
}

#[test]
fn the_page_fits_every_terminal_and_ends_with_the_keys() {
    let scene = scene(&["a"]);
    for height in 1..80 {
        for width in [1, 8, 40, 80, 300] {
            let page = page(&sight(&scene), Size { width, height });
            assert!(page.len() <= height, "{} lines on a terminal of {height}", page.len());
            assert_eq!(page.last().map(Line::text).as_deref(), Some(KEYS));
        }
    }
}

#[test]
fn the_newest_events_are_shown() {
    let scene = scene(&["a"]);
    let text = text(&page(&sight(&scene), Size { width: 100, height: 40 }));
    assert!(text.contains("event 49") && !text.contains("event 3\n"), "{text}");
}

#[test]
fn one_owner_and_two_owners_are_told_apart() {
    let size = Size { width: 100, height: 40 };
    let one = text(&page(&sight(&scene(&["b"])), size));
    assert!(one.contains("[ b ]") && !one.contains("TWO OWNERS") && !one.contains('!'), "{one}");
    let two = scene(&["a", "b"]);
    let two = text(&page(&sight(&two), size));
    assert!(two.contains("[ a and b ]  TWO OWNERS") && two.contains('!'), "{two}");
    let nobody = text(&page(&sight(&scene(&[])), size));
    assert!(nobody.contains("nobody"), "{nobody}");
}
