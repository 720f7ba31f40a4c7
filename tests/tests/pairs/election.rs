//! Who becomes MASTER, what it says then, and who does not although it could.

use std::time::Duration;

use vrrp_lab::{
    Instance,
    capture::Record,
    clock,
    frame::{GROUP, checksum},
    harness::Test,
    tests,
};

use super::{
    case::{
        Case, Kind, Measured, NEEDS, NEEDS_KEEPALIVED, V2, V3_100, each, keepalived_then_ours, mixed, ours,
        stalls,
    },
    pair::{Pair, Plan, STAMP_ERROR, USUAL, VIP, between, sleep_until},
};

/// The default of `garp: burst`.
const BURST: usize = 5;

pub(crate) fn tests() -> Vec<Test> {
    let mut all = tests![NEEDS;
        of_two_daemons_the_higher_priority_is_elected,
        a_daemon_that_returns_without_preemption_stays_backup,
        a_daemon_that_returns_with_preemption_takes_over_after_listening,
        the_owner_is_master_at_once,
        a_tie_is_won_by_the_greater_address,
    ];
    all.extend(tests![NEEDS_KEEPALIVED;
        of_a_daemon_and_keepalived_the_higher_priority_is_elected,
        nobody_takes_the_address_from_keepalived_or_for_it_without_preemption,
        a_daemon_preempts_keepalived_after_listening_and_is_preempted_by_it,
        a_tie_with_keepalived_is_won_by_the_greater_address,
    ]);
    all
}

fn of_two_daemons_the_higher_priority_is_elected() {
    each(&ours(), elect);
}

fn of_a_daemon_and_keepalived_the_higher_priority_is_elected() {
    each(&mixed(), elect);
}

/// Both start at once; with preemption the order in which they come up does not matter.
fn elect(case: Case) -> Measured {
    let mut pair = Pair::new(case, Plan { preempt: true, ..USUAL });
    let from = clock::now_ns();
    pair.launch("a");
    pair.launch("b");
    pair.wait_for("a");
    let elected = pair.timeline().acquired_at("a", from).unwrap();
    let (count, span) = if case.setting.is_slow() { (4, 3) } else { (20, 20) };
    pair.wait_for_adverts("a", count);
    std::thread::sleep(pair.interval() * span);
    let until = clock::now_ns();
    let timeline = pair.timeline();
    assert_eq!(timeline.holders(), ["a"], "{timeline}");
    // Preempting is no handover: b drops the address when it hears a's first advert, which leaves before a takes it.
    timeline.assert_never_two(pair.slack(&["a", "b"], from, until));
    if case.a == Kind::Ours {
        judge_master(&pair, "a", elected);
    }
    vec![("from start to MASTER", between(from, elected))]
}

/// What a MASTER of ours must say: each advert right to the last byte, at its interval, and a burst of announcements.
fn judge_master(pair: &Pair, host: &str, elected: u64) {
    let records = pair.capture.records();
    let adverts: Vec<&Record> =
        records.iter().filter(|record| record.host == host && record.advert().is_some()).collect();
    for record in &adverts {
        judge_fields(pair, host, record);
    }
    let beats: Vec<u64> = adverts.iter().map(|r| r.time_ns).filter(|at| *at > elected).collect();
    let interval = pair.interval();
    for beat in beats.windows(2) {
        let gap = between(beat[0], beat[1]);
        let allowed = interval + pair.slack(&[host], beat[0], beat[1]);
        assert!(gap <= allowed, "adverts {gap:?} apart at an interval of {interval:?}");
    }
    // The beat keeps its grid: what one advert is late by, the next gap is shorter by.
    let (first, last) = (beats[0], beats[beats.len() - 1]);
    let gaps = u32::try_from(beats.len() - 1).unwrap();
    let mean = between(first, last) / gaps;
    let allowed = interval / 50 + pair.slack(&[host], first, last) / gaps;
    assert!(
        mean.abs_diff(interval) <= allowed,
        "the adverts are {mean:?} apart in the mean, at an interval of {interval:?}"
    );
    let announced = pair.capture.announcements(host, VIP);
    // The event's own stamp is late by its reader's scheduling.
    let error = |at: u64| clock::nanos(STAMP_ERROR + pair.slack(&[], at, elected));
    let announced: Vec<u64> = announced.into_iter().filter(|at| at + error(*at) >= elected).collect();
    assert!(announced.len() >= BURST, "{} gratuitous ARPs after the election", announced.len());
    let burst = between(announced[0], announced[BURST - 1]);
    assert!(burst <= pair.slack(&[host], announced[0], announced[BURST - 1]), "a burst that takes {burst:?}");
}

fn judge_fields(pair: &Pair, host: &str, record: &Record) {
    let (advert, at) = (record.advert().unwrap(), pair.lab.host(host));
    let setting = pair.case.setting;
    assert_eq!((advert.version, advert.vrid, advert.ttl), (setting.version, 51, 255));
    assert_eq!(advert.priority, pair.priority(host));
    assert_eq!((advert.source, advert.destination), (at.address(), GROUP));
    assert_eq!(advert.interval(), setting.interval());
    assert_eq!(advert.addresses, [VIP]);
    assert_eq!(advert.auth, (setting.version == 2).then_some((1, *b"1111\0\0\0\0")));
    assert_eq!(record.source_mac, at.mac());
    let bytes = &record.bytes;
    assert_eq!(bytes[..6], [0x01, 0, 0x5e, 0, 0, 0x12], "the group's MAC address (RFC 1112 §6.4)");
    assert_eq!(bytes[15], 0xc0, "precedence: internetwork control, as keepalived");
    assert_eq!(checksum(&bytes[14..34]), 0, "the IP header's checksum is right");
    // The witness's own idea of the message, checksum included.
    let model = advert.emit(at.mac());
    assert_eq!(bytes[34..model.len()], model[34..], "the message is right to the last byte");
}

fn a_daemon_that_returns_without_preemption_stays_backup() {
    each(&ours(), return_without_preemption);
}

fn nobody_takes_the_address_from_keepalived_or_for_it_without_preemption() {
    each(&mixed(), return_without_preemption);
}

/// The first comer serves; the better one comes, and comes again, and leaves it alone.
fn return_without_preemption(case: Case) -> Measured {
    let mut pair = Pair::new(case, USUAL);
    let listening = pair.start("b");
    let claimed = pair.claim_after("b", listening.start);
    let waited = between(listening.start, claimed);
    if case.b == Kind::Ours {
        let due = pair.down_interval("b");
        assert!(waited >= due, "b was MASTER after {waited:?}, before its down interval ({due:?}) was over");
    }
    pair.wait_for("b");
    let from = clock::now_ns();
    for _ in 0..2 {
        let returned = pair.start("a");
        sleep_until(returned.end, pair.down_interval("a") + pair.interval());
        pair.kill_backup("a");
    }
    let timeline = pair.timeline();
    assert_eq!(pair.adverts_after("a", from), [], "a spoke though a MASTER was alive");
    assert_eq!((timeline.holders(), timeline.acquisitions("b")), (&["b".to_owned()][..], 1), "{timeline}");
    assert_eq!(timeline.acquisitions("a"), 0, "{timeline}");
    if case.b == Kind::Ours {
        judge_master(&pair, "b", timeline.acquired_at("b", 0).unwrap());
    }
    vec![("listened before the first claim", waited)]
}

fn a_daemon_that_returns_with_preemption_takes_over_after_listening() {
    each(&ours(), return_with_preemption);
}

fn a_daemon_preempts_keepalived_after_listening_and_is_preempted_by_it() {
    each(&mixed(), return_with_preemption);
}

fn return_with_preemption(case: Case) -> Measured {
    let mut pair = Pair::new(case, Plan { preempt: true, ..USUAL });
    pair.start("b");
    pair.wait_for("b");
    let listening = pair.start("a");
    let claimed = pair.claim_after("a", listening.start);
    pair.wait_for("a");
    if case.a == Kind::Ours {
        let (due, waited) = (pair.down_interval("a"), between(listening.start, claimed));
        assert!(waited >= due, "a preempted after {waited:?}, before it had listened for {due:?}");
        let late = between(listening.end, claimed).saturating_sub(due);
        assert!(late <= pair.slack(&["a"], listening.start, claimed), "a preempted {late:?} too late");
    }
    // b lets go when it hears a's first advert; a has the address a moment after sending it.
    let until = clock::now_ns();
    pair.timeline().assert_never_two(pair.slack(&["a", "b"], claimed, until));
    let left = pair.timeline().lost_at("b", listening.start).unwrap();
    let yielded = between(claimed, left);
    assert!(
        yielded <= pair.slack(&["b"], claimed, left),
        "b let go {yielded:?} after the better one's advert"
    );
    vec![("let go after the better one's advert", yielded)]
}

fn the_owner_is_master_at_once() {
    for setting in [V2, V3_100] {
        let case = Case { a: Kind::Ours, b: Kind::Ours, setting };
        // Preemption off does not bind it (RFC 9568 §6.1).
        let mut pair = Pair::new(case, USUAL);
        pair.start("b");
        pair.wait_for("b");
        let from = clock::now_ns();
        let interval = format!("{}ms", setting.interval_ms);
        let owner = if setting.version == 2 { Instance::v2(255) } else { Instance::v3(255, &interval) };
        pair.launch_instance("a", owner);
        let claimed = pair.claim_after("a", from);
        pair.wait_for("a");
        // Attaching takes its time, and waits for kernel locks; listening (3 s at 1 s) would take longer.
        let allowed = Duration::from_secs(2) + stalls().within(from, claimed);
        let took = between(from, claimed);
        println!("  {case}: the owner's first advert {took:.2?} after its start");
        assert!(took < allowed, "the owner's first advert came {took:?} after its start");
        // At 100 ms it would have listened for no longer than that.
        pair.wait_until("a says that it is MASTER", || pair.log("a").contains("-> MASTER"));
        let log = pair.log("a");
        assert!(!log.contains("-> BACKUP"), "the owner has listened:\n{log}");
        let attached = pair.timeline();
        attached.assert_never_two(pair.slack(&["a", "b"], from, clock::now_ns()));
    }
}

fn a_tie_is_won_by_the_greater_address() {
    each(&ours(), tie);
}

fn a_tie_with_keepalived_is_won_by_the_greater_address() {
    each(&[keepalived_then_ours(), super::case::ours_then_keepalived()].concat(), tie);
}

/// Two masters of equal priority, made by a cut link: b's address is the greater one.
fn tie(case: Case) -> Measured {
    let mut pair = Pair::new(case, Plan { priority_a: 100, priority_b: 100, ..USUAL });
    pair.lab.host("b").cut().unwrap();
    pair.start("a");
    pair.start("b");
    pair.watch.wait_for_holders(VIP, &["a", "b"], super::pair::LIMIT).unwrap();
    pair.wait_for_adverts("b", 1);
    let healed = clock::now_ns();
    pair.lab.host("b").heal().unwrap();
    let open = clock::now_ns();
    pair.wait_for("b");
    pair.wait_for_adverts("b", 1);
    let timeline = pair.timeline();
    let left = timeline.lost_at("a", healed).unwrap();
    let took = between(open, left);
    // The next advert of the greater one decides.
    let allowed = pair.interval() + pair.slack(&["a", "b"], open, left);
    assert!(took <= allowed, "two masters for {took:?} after the heal, allowed {allowed:?}");
    assert_eq!(timeline.holders(), ["b"], "{timeline}");
    assert_eq!(timeline.lost_at("b", healed), None, "the winner let go, too:\n{timeline}");
    vec![("two masters after the heal", took)]
}
