//! Junk on the segment, as fast as this machine makes it: nothing moves, nothing is logged by the packet.

use std::time::Duration;

use vrrp_lab::{
    Instance, Requirement, clock,
    flood::{Bound, Flood, Junk},
    frame::Mac,
    harness::{self, Test},
    tests,
};

use super::pair::{LIMIT, Pair, Speed, VIP, between};

const STRANGER: Mac = [2, 0, 10, 99, 0, 66];
/// What both logs together may grow by.
const LOG_LIMIT: u64 = 4 << 10;

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    tests![[Lab, Daemon];
        junk_moves_nothing_at_1_s,
        junk_moves_nothing_at_100_ms,
        replayed_adverts_of_the_master_move_nothing,
        a_weaker_stranger_takes_nothing_and_keeps_no_dead_master_alive,
        a_stranger_beside_the_peers_takes_nothing_and_keeps_no_dead_master_alive,
    ]
}

/// From the third host, or, where the kernel can, ten times as much made by the kernel at the switch's ports.
fn flood(pair: &Pair, frames: Vec<Vec<u8>>, bound: Bound) -> Flood {
    match Requirement::LiveFrames.missing() {
        None => Flood::start_live(&pair.lab, &["a", "b"], frames, bound).unwrap(),
        Some(why) => {
            println!("no live frames, a packet socket sends: {why}");
            Flood::start(pair.lab.host("stranger"), frames, bound).unwrap()
        }
    }
}

fn flooded(pair: &Pair, what: &str, frames: Vec<Vec<u8>>, seconds: usize) {
    let logged = || pair.a.log_len() + pair.b.log_len();
    let (since, log_before) = (clock::now_ns(), logged());
    let cpu_before = pair.b.cpu_ns();
    let bound = Bound { time: Duration::from_secs(seconds as u64), packets: u64::MAX, rate: None };
    let received = pair.lab.host("b").received().unwrap();
    let report = flood(pair, frames, bound).finish().unwrap();
    let arrived = pair.lab.host("b").received().unwrap() - received;
    // What the flood has brought about would come within a down interval.
    std::thread::sleep(pair.speed.down_interval(100));
    let growth = logged() - log_before;
    let cpu = (pair.b.cpu_ns() - cpu_before) / clock::MILLISECOND;
    println!(
        "{what}: {} packets/s, {arrived} of {} arrived, logs grew by {growth} bytes, the backup used {cpu} ms of CPU",
        report.rate(),
        report.packets
    );
    pair.assert_unchanged_since(since);
    assert!(growth < LOG_LIMIT, "{what}: the logs grew by {growth} bytes");
    assert!(report.rate() > 10_000, "{what}: {} packets/s are no flood", report.rate());
    assert!(arrived > report.packets / 10, "{what}: {arrived} of {} packets arrived", report.packets);
}

fn junk_moves_nothing(name: &str, speed: Speed) {
    let pair = Pair::start(name, speed);
    let model = speed.model(150);
    let all = Junk::INVALID.iter().flat_map(|junk| junk.forge(&model, STRANGER)).collect();
    flooded(&pair, "all kinds of junk", all, harness::count(3, 10));
    if harness::is_long() {
        for junk in Junk::INVALID {
            flooded(&pair, &format!("{junk:?}"), junk.forge(&model, STRANGER), 10);
        }
    }
}

fn junk_moves_nothing_at_1_s() {
    junk_moves_nothing("junk1s", Speed::Slow);
}

fn junk_moves_nothing_at_100_ms() {
    junk_moves_nothing("junk100ms", Speed::Fast);
}

/// VRRP cannot tell a replayed advert from a new one (RFC 9568 §9): a replay keeps a dead master alive. It must not
/// confuse a living one, who hears his own voice.
fn replayed_adverts_of_the_master_move_nothing() {
    let pair = Pair::start("replay", Speed::Fast);
    let records = pair.capture.records();
    let frames: Vec<_> = records
        .iter()
        .filter(|record| record.host == "a" && record.advert().is_some_and(|advert| !advert.is_release()))
        .map(|record| record.bytes.clone())
        .collect();
    flooded(&pair, "replay", frames, harness::count(2, 10));
}

/// While a stranger's correct adverts of priority 1 pour in.
fn a_dead_master_is_replaced(mut pair: Pair) {
    let model = pair.speed.model(150);
    let frames = Junk::LowerPriority.forge(&model, STRANGER);
    flooded(&pair, "a weaker stranger", frames.clone(), harness::count(2, 10));
    let flood = flood(&pair, frames, Bound::seconds(30));
    clock::sleep_ms(300);
    let killed = clock::now_ns();
    // Guard and daemon: nobody says priority 0.
    pair.a.kill_tree();
    let claimed = || pair.first_claim_after("b", killed);
    assert!(clock::wait_until(LIMIT, || claimed().is_some()), "b never took over from a dead master");
    let claim = claimed().unwrap();
    // The answers that a gives the stranger every 10 ms go on until it is dead.
    let last = pair.last_advert_before("a", claim);
    drop(flood);
    let (took, limit) = (between(last, claim), pair.speed.down_interval(100));
    let slack = pair.slack(killed, claim);
    println!(
        "during the flood b took over {took:?} after the last advert (limit {limit:?}, slack {slack:?})"
    );
    assert!(took < limit + slack, "took {took:?} of {limit:?}");
    pair.wait_until("b holds the address", || pair.lab.host("b").holds(VIP).unwrap());
}

fn a_weaker_stranger_takes_nothing_and_keeps_no_dead_master_alive() {
    // With preemption: without it a BACKUP obeys every master, the weakest too (RFC 9568 §6.4.2).
    a_dead_master_is_replaced(Pair::start_with("weaker", Speed::Fast, Instance::preempting));
}

fn a_stranger_beside_the_peers_takes_nothing_and_keeps_no_dead_master_alive() {
    let with_peers = |instance: Instance| instance.with("peers: [10.99.0.1, 10.99.0.2]");
    a_dead_master_is_replaced(Pair::start_with("peers", Speed::Slow, with_peers));
}
