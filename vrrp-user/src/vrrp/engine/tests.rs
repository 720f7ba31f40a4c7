use core::net::Ipv4Addr;
use core::num::NonZeroU8;
use core::time::Duration;

use super::*;
use crate::vrrp::action::{Action, Label};
use crate::vrrp::router::{RELEASE_DEADLINE, Skew};
use crate::wire::{AdvertInterval, Version};

const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);

fn config(priority: u8) -> Config {
    Config {
        priority: NonZeroU8::new(priority).unwrap(),
        advert_interval: AdvertInterval::from_wire(Version::V3, 10).unwrap(),
        preempt: true,
        skew: Skew::Rfc,
        startup_delay: Duration::ZERO,
        vip_deadline: Duration::from_secs(1),
        release_deadline: RELEASE_DEADLINE,
    }
}

fn index(number: usize) -> RouterIndex {
    RouterIndex(u32::try_from(number).unwrap())
}

fn start(engine: &mut Engine, now: Instant, actions: &mut Actions) {
    for number in 0..engine.len() {
        for event in
            [Event::LinkUp, Event::PrimaryAddress(Some(Ipv4Addr::new(192, 0, 2, 10))), Event::Startup]
        {
            engine.handle(index(number), event, now, actions);
        }
    }
}

#[test]
fn routers_act_in_the_order_of_their_deadlines() {
    // The stronger, the shorter the skew.
    let mut engine = Engine::new([10, 200, 100].into_iter().map(config));
    let mut actions = Actions::for_routers(3);
    let mut now = Instant::from_nanos(1_000_000_000);
    start(&mut engine, now, &mut actions);
    actions.clear();
    let mut order = Vec::new();
    while order.len() < 3 {
        now = engine.next_deadline().unwrap();
        engine.due(now, |_| None, &mut actions);
        for entry in actions.as_slice() {
            if matches!(entry.action, Action::Transition { to: Label::Master, .. }) {
                order.push(entry.router.0);
            }
        }
        actions.clear();
    }
    assert_eq!(order, [1, 2, 0]);
}

#[test]
fn the_slot_is_asked_only_about_routers_whose_deadline_has_come() {
    let mut engine = Engine::new([100, 200].into_iter().map(config));
    let mut actions = Actions::default();
    let start_at = Instant::from_nanos(1_000_000_000);
    start(&mut engine, start_at, &mut actions);
    let first = engine.next_deadline().unwrap();
    let mut asked = Vec::new();
    let heard = |router: RouterIndex| {
        asked.push(router.0);
        Some(Advert {
            arrived: first,
            sender: PEER,
            priority: 250,
            advert_interval: config(1).advert_interval,
        })
    };
    engine.due(first, heard, &mut actions);
    assert_eq!(asked, [1]);
    let expected = start_at + Duration::from_nanos(360_937_500);
    assert_eq!(engine.next_deadline(), Some(expected), "the other one's is next now");
}

#[test]
fn a_record_for_a_router_that_is_gone_is_ignored() {
    let mut engine = Engine::new([100].into_iter().map(config));
    let mut actions = Actions::default();
    engine.handle(RouterIndex(1), Event::Startup, Instant::from_nanos(1), &mut actions);
    engine.handle(RouterIndex(u32::MAX), Event::Startup, Instant::from_nanos(1), &mut actions);
    assert!(actions.is_empty());
    assert!(engine.router(RouterIndex(1)).is_none());
}

#[test]
fn four_thousand_routers_run_in_the_room_they_were_given() {
    const ROUTERS: usize = 4_000;
    let mut engine = Engine::new((0..ROUTERS).map(|_| config(100)));
    let mut actions = Actions::for_routers(ROUTERS);
    let room = actions.as_slice().as_ptr();
    let mut now = Instant::from_nanos(1_000_000_000);
    start(&mut engine, now, &mut actions);
    let mut adverts = 0;
    for _ in 0..40 {
        actions.clear();
        now = engine.next_deadline().unwrap().max(now + config(100).advert_interval.duration());
        engine.due(now, |_| None, &mut actions);
        assert!(engine.next_deadline().unwrap() > now);
        adverts +=
            actions.as_slice().iter().filter(|e| matches!(e.action, Action::SendAdvert { .. })).count();
    }
    assert!(adverts >= 10 * ROUTERS, "{adverts}");
    assert_eq!(actions.as_slice().as_ptr(), room, "the buffer never moved");
}

#[test]
fn a_place_is_taken_again_only_once_its_router_has_left_and_old_results_do_not_count() {
    let mut engine = Engine::with_room([config(100)].into_iter(), 2);
    let mut actions = Actions::for_routers(2);
    let now = Instant::from_nanos(1_000_000_000_000);
    let (first, second, third) = (RouterIndex(0), RouterIndex(1), RouterIndex(2));
    for event in [Event::LinkUp, Event::PrimaryAddress(Some(Ipv4Addr::new(192, 0, 2, 1))), Event::Startup] {
        engine.handle(first, event, now, &mut actions);
    }
    assert!(!engine.insert(first, config(50)), "it is taken");
    assert!(!engine.insert(third, config(50)), "the next one is another");
    assert!(engine.insert(second, config(50)));
    assert!(!engine.insert(third, config(50)), "there is no more room");
    engine.due(engine.next_deadline().unwrap(), |_| None, &mut actions);
    assert_eq!(engine.router(first).unwrap().label(), Label::Master);
    let old = actions
        .as_slice()
        .iter()
        .find_map(|entry| if let Action::TakeVips(job) = entry.action { Some(job) } else { None })
        .unwrap();
    engine.handle(first, Event::LinkDown, now, &mut actions);
    engine.handle(first, Event::Shutdown, now, &mut actions);
    assert!(engine.insert(first, config(70)));
    let router = engine.router(first).unwrap();
    assert_eq!((router.config().priority.get(), router.label()), (70, Label::Initialize));
    for event in [Event::LinkUp, Event::PrimaryAddress(Some(Ipv4Addr::new(192, 0, 2, 1))), Event::Startup] {
        engine.handle(first, event, now, &mut actions);
    }
    actions.clear();
    engine.due(engine.next_deadline().unwrap(), |_| None, &mut actions);
    let new = actions
        .as_slice()
        .iter()
        .find_map(|entry| if let Action::TakeVips(job) = entry.action { Some(job) } else { None })
        .unwrap();
    assert_ne!(new, old);
}

#[test]
fn routers_that_became_master_together_do_not_speak_in_chorus_even_after_a_stall() {
    // Eight companies of sixteen.
    const ROUTERS: usize = 8 * 16;
    let interval = config(100).advert_interval.duration();
    let mut engine = Engine::new((0..ROUTERS).map(|_| config(100)));
    let mut actions = Actions::for_routers(ROUTERS);
    let mut now = Instant::from_nanos(1_000_000_000);
    start(&mut engine, now, &mut actions);
    now = engine.next_deadline().unwrap();
    engine.due(now, |_| None, &mut actions);
    let masters = engine.routers().iter().filter(|router| router.label() == Label::Master).count();
    assert_eq!(masters, ROUTERS);
    for stall in [Duration::ZERO, interval / 2] {
        now = now + interval + stall;
        actions.clear();
        engine.due(now, |_| None, &mut actions);
        let mut beats = Vec::new();
        while beats.len() < ROUTERS {
            actions.clear();
            now = engine.next_deadline().unwrap();
            engine.due(now, |_| None, &mut actions);
            let sent = actions.as_slice().iter().filter(|e| matches!(e.action, Action::SendAdvert { .. }));
            beats.extend(sent.map(|_| now));
        }
        let mut places: Vec<_> =
            beats.iter().map(|at| u128::from(at.as_nanos()) % interval.as_nanos()).collect();
        places.sort_unstable();
        let gaps = places.chunk_by(|a, b| a == b).map(|company| company[0]).collect::<Vec<_>>();
        let gaps: Vec<_> = gaps.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, vec![interval.as_nanos() / 8; 7], "after a stall of {stall:?}");
    }
}

#[test]
fn many_routers_share_a_few_wake_ups_whenever_they_became_master() {
    const ROUTERS: usize = 200;
    let interval = config(100).advert_interval.duration();
    let mut engine = Engine::new((0..ROUTERS).map(|_| config(100)));
    let mut actions = Actions::for_routers(ROUTERS);
    for (number, router) in (0..).zip(0..ROUTERS) {
        // One after the other, at odd moments.
        let at = Instant::from_nanos(1_000_000_000 + number * 1_234_567);
        engine.handle(
            index(router),
            Event::PrimaryAddress(Some(Ipv4Addr::new(10, 0, 0, 1))),
            at,
            &mut actions,
        );
        engine.handle(index(router), Event::LinkUp, at, &mut actions);
        engine.handle(index(router), Event::Startup, at, &mut actions);
    }
    let settled = Instant::from_nanos(1_000_000_000) + interval * 8;
    let until = settled + interval;
    let mut groups = Vec::new();
    while let Some(now) = engine.next_deadline().filter(|next| *next < until) {
        actions.clear();
        engine.due(now, |_| None, &mut actions);
        let sent = actions
            .as_slice()
            .iter()
            .filter(|entry| matches!(entry.action, Action::SendAdvert { .. }))
            .count();
        if now >= settled {
            groups.push(sent);
        }
    }
    assert_eq!(groups.iter().sum::<usize>(), ROUTERS);
    // The places, and the first router, which keeps its own time.
    assert!(groups.len() <= 65, "{} wake-ups", groups.len());
}
