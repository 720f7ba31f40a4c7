//! The page fits every terminal and says what was seen.

use std::{collections::VecDeque, net::Ipv4Addr};

use vrrp_lab::{
    HoldingTimeline,
    frame::Advert,
    mysql::{Replica, ServerSeen},
    timeline::Change,
};

use super::*;
use crate::run::{client::Reach, database::ServerNode, stage::DatabaseSight, tally::Writes};

struct Scene {
    nodes: Vec<Node>,
    timeline: HoldingTimeline,
    reach: Reach,
    adverts: VecDeque<AdvertSeen>,
    events: VecDeque<Event>,
    servers: Vec<ServerNode>,
    writes: Option<Writes>,
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
        servers: Vec::new(),
        writes: None,
    }
}

fn sight(scene: &Scene) -> Sight<'_> {
    Sight {
        now_ns: 4 * SECOND,
        start_ns: SECOND,
        nodes: &scene.nodes,
        timeline: &scene.timeline,
        reach: &scene.reach,
        database: scene.writes.as_ref().map(|writes| DatabaseSight { servers: &scene.servers, writes }),
        adverts: &scene.adverts,
        events: &scene.events,
    }
}

/// The same with servers and a writer: `a` dead, `b` writable with a broken replication.
fn with_servers(holders: &[&str]) -> Scene {
    let replica = Replica {
        is_running: false,
        is_connecting: false,
        lag_seconds: None,
        error: "Got fatal error 1236".to_owned(),
    };
    let position = "0-2-417".to_owned();
    let seen = ServerSeen { at_ns: 4 * SECOND, is_read_only: false, position, replica: Some(replica) };
    let node = |name, condition, seen| ServerNode { name, pid: 99, condition, is_disk_full: false, seen };
    let servers = vec![
        ServerNode { is_disk_full: true, ..node("a", Condition::Ended("signal 9".to_owned()), None) },
        node("b", Condition::Running, Some(seen)),
    ];
    let writes = Writes {
        acknowledged: 1234,
        lost: Some(3),
        last_acknowledged_ns: Some(4 * SECOND),
        last_outage_ns: Some(42 * MILLISECOND),
        last_failure: None,
    };
    Scene { servers, writes: Some(writes), ..scene(holders) }
}

fn text(page: &[Line]) -> String {
    page.iter().map(|line| line.text() + "\n").collect()
}

#[test]
fn the_page_fits_every_terminal_and_ends_with_the_keys() {
    for (scene, more) in [(scene(&["a"]), BARE_KEYS), (with_servers(&["a"]), SERVER_KEYS)] {
        assert!(KEYS.chars().count() <= 80 && more.chars().count() <= 80);
        for height in 2..80 {
            for width in [1, 8, 40, 80, 300] {
                let page = page(&sight(&scene), Size { width, height });
                assert!(page.len() <= height, "{} lines on a terminal of {height}", page.len());
                let keys: Vec<String> = page.iter().rev().take(2).map(Line::text).collect();
                assert_eq!(keys, [more, KEYS], "{width} by {height}");
            }
        }
        assert_eq!(page(&sight(&scene), Size { width: 80, height: 1 }).len(), 1);
    }
}

#[test]
fn on_a_small_terminal_the_servers_leave_room_for_events() {
    let text = text(&page(&sight(&with_servers(&["b"])), Size { width: 80, height: 24 }));
    assert!(text.contains("event 49") && text.contains("event 47"), "{text}");
}

#[test]
fn servers_and_writer_are_shown_as_they_are() {
    let scene = with_servers(&["b"]);
    let page_text = text(&page(&sight(&scene), Size { width: 100, height: 40 }));
    let plain = status_text(&sight(&scene));
    for (text, words) in [
        (&page_text, ["dead: signal 9", "writable", "ERROR", "full", "0-2-417", "1234 acknowledged, 3 LOST"]),
        (
            &plain,
            ["dead: signal 9", "writable", "ERROR", "disk full", "b's mysqld", "1234 acknowledged, 3 LOST"],
        ),
    ] {
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    assert!(page_text.contains("last outage 42.0 ms"), "{page_text}");
    let bare = text(&page(&sight(&self::scene(&["b"])), Size { width: 100, height: 40 }));
    assert!(!bare.contains("mysqld") && !bare.contains("writer"), "{bare}");
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
