//! What becomes of the active host when its standby dies, freezes, is deaf or full, while commits wait for a replica: they are
//! held up for a moment, and the address stays.

use std::{fs, path::Path, time::Duration};

use vrrp_lab::{
    Lab, Requirement, clock,
    harness::Test,
    mysql::{Flavour, Ledger, Pair, Record, Setup, Tmpfs, in_ms},
    tests,
};

use super::duo::{BY_DEFAULT, Duo, Plan, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        a_standby_whose_server_dies_costs_neither_the_address_nor_the_time_that_commits_may_wait,
        a_frozen_standby_holds_up_the_active_host_for_a_moment,
        a_standby_that_answers_and_does_not_receive_holds_up_the_active_host_for_a_moment,
        a_standby_without_room_for_its_relay_log_holds_up_the_active_host_for_a_moment,
        a_write_that_waits_for_a_replica_is_no_hung_server,
        a_former_master_without_room_for_its_relay_log_keeps_nobody_from_being_promoted,
    ]
}

/// What a server is told to wait for a replica, and nobody here does.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Generous: the active host acts after one to three seconds. Left alone, commits wait for all of the timeout.
const HELD_UP: Duration = Duration::from_secs(7);
/// More results of the write probe than its `fall`, had they been bad.
const LONG: u64 = 6_000;
/// By its defaults.
const WRITE: &str = "write: { table: vrrp.heartbeat },";

fn start(name: &str, more: &'static str, b: impl Fn(&Lab, Setup) -> Setup) -> Duo {
    let lab = Lab::pair(name).unwrap();
    let setup = |node| Setup::new(Flavour::MariaDb, node).with("rpl_semi_sync_slave_enabled = 1");
    let pair = Pair::start_with(&lab, setup(1), b(&lab, setup(2))).unwrap();
    let plan =
        Plan { semi_sync: true, check: WRITE, limits: BY_DEFAULT, more, ..Plan::new(Flavour::MariaDb) };
    let duo = Duo::start_on(lab, pair, &plan);
    duo.wait_until("commits wait for the peer", || duo.pair.is_semi_sync("a").unwrap());
    duo
}

/// Under a client's writes, for a while. What it has seen, and since when.
fn trouble(duo: &mut Duo, make: impl FnOnce(&mut Duo)) -> (Record, u64) {
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    let began = clock::now_ns();
    make(duo);
    duo.wait_for_line("a", "semi-synchronous replication is lowered");
    clock::sleep_ms(LONG);
    writer.wait_for_write(super::duo::LIMIT).unwrap();
    (writer.finish().unwrap(), began)
}

fn judge(duo: &Duo, record: &Record, began: u64) {
    let end = record.acknowledged.last().unwrap().at_ns;
    let (gap, stalled) = (record.longest_gap(began, end), duo.stalls.within(began, end));
    println!("held up for {}, of which the machine stalled {} at most", in_ms(gap), in_ms(stalled));
    let timeline = duo.watch.timeline(VIP).unwrap();
    assert_eq!(timeline.lost_at("a", began), None, "{timeline}\n{}", duo.logs());
    assert!(gap < HELD_UP + stalled, "{gap:?}\n{}", duo.logs());
    assert!(record.failures.is_empty(), "{:?}\n{}", record.failures, duo.logs());
    assert!(!duo.a.log().contains("-> hung"), "{}", duo.logs());
    let verdict = Ledger::read(&duo.pair.a).unwrap().compare(record);
    assert!(verdict.is_clean(), "{verdict}\n{}", duo.logs());
}

/// It is there again, and what is acknowledged is on both.
fn assert_waited_for(duo: &Duo) {
    duo.wait_for_line("a", "commits wait for it again");
    duo.wait_until("commits wait for a replica", || duo.pair.is_semi_sync("a").unwrap());
    duo.pair.wait_equal(super::duo::LIMIT).unwrap();
}

fn a_standby_whose_server_dies_costs_neither_the_address_nor_the_time_that_commits_may_wait() {
    let mut duo = start("dies", "", |_, setup| setup);
    let (record, began) = trouble(&mut duo, |duo| duo.pair.b.kill());
    judge(&duo, &record, began);
    duo.pair.b.restart(duo.lab.host("b")).unwrap();
    assert_waited_for(&duo);
}

fn a_frozen_standby_holds_up_the_active_host_for_a_moment() {
    let mut duo = start("freezes", "", |_, setup| setup);
    let (record, began) = trouble(&mut duo, |duo| duo.pair.b.freeze());
    duo.pair.b.thaw();
    judge(&duo, &record, began);
    assert_waited_for(&duo);
}

fn a_standby_that_answers_and_does_not_receive_holds_up_the_active_host_for_a_moment() {
    let mut duo = start("deafened", "", |_, setup| setup);
    let (record, began) = trouble(&mut duo, |duo| duo.pair.b.sql("STOP SLAVE IO_THREAD").unwrap());
    duo.pair.b.sql("START SLAVE IO_THREAD").unwrap();
    judge(&duo, &record, began);
    assert_waited_for(&duo);
}

fn a_standby_without_room_for_its_relay_log_holds_up_the_active_host_for_a_moment() {
    // Dropped last: its folder holds the mount.
    let mut duo;
    let lab = Lab::pair("norelay").unwrap();
    let disk = Tmpfs::mount(&lab.host("b").file("relay"), 64).unwrap();
    let setup = |node| Setup::new(Flavour::MariaDb, node).with("rpl_semi_sync_slave_enabled = 1");
    let b = setup(2).with(&format!("relay_log = {}/relay", disk.folder().display()));
    let pair = Pair::start_with(&lab, setup(1), b).unwrap();
    let plan = Plan { semi_sync: true, check: WRITE, limits: BY_DEFAULT, ..Plan::new(Flavour::MariaDb) };
    duo = Duo::start_on(lab, pair, &plan);
    let (record, began) = trouble(&mut duo, |_| disk.fill().unwrap());
    judge(&duo, &record, began);
    disk.free().unwrap();
}

/// Nobody lowers it, by policy: commits stand still for as long as the server was told, and it is no other server's turn.
fn a_write_that_waits_for_a_replica_is_no_hung_server() {
    let mut duo = start("keeps", "semi_sync: keep, write_limit: 12s,", |_, setup| setup);
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    let began = clock::now_ns();
    duo.pair.b.kill();
    clock::sleep_ms(LONG);
    assert!(duo.pair.is_semi_sync("a").unwrap(), "nothing was waited for\n{}", duo.logs());
    duo.wait_until("the server waits no longer", || {
        writer.wait_for_write(Duration::from_millis(200)).is_ok() && !duo.pair.is_semi_sync("a").unwrap()
    });
    let record = writer.finish().unwrap();
    let gap = record.longest_gap(began, record.acknowledged.last().unwrap().at_ns);
    assert!(gap > TIMEOUT / 2, "{gap:?}");
    let timeline = duo.watch.timeline(VIP).unwrap();
    assert_eq!(timeline.lost_at("a", began), None, "{timeline}\n{}", duo.logs());
    assert!(!duo.a.log().contains("-> hung"), "{}", duo.logs());
}

/// The size of the one that is written to.
fn relay_log(folder: &Path) -> u64 {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|number| number != "index"));
    fs::metadata(all.iter().max().unwrap()).unwrap().len()
}

/// The row that proves the winner writable waits for a replica that is there, answers, and acknowledges nothing.
fn a_former_master_without_room_for_its_relay_log_keeps_nobody_from_being_promoted() {
    // Dropped last: its folder holds the mount.
    let duo;
    let lab = Lab::pair("noroom").unwrap();
    let disk = Tmpfs::mount(&lab.host("a").file("relay"), 64).unwrap();
    let setup = |node| Setup::new(Flavour::MariaDb, node).with("rpl_semi_sync_slave_enabled = 1");
    let a = setup(1).with(&format!("relay_log = {}/relay", disk.folder().display()));
    let pair = Pair::start_with(&lab, a, setup(2)).unwrap();
    // One late answer is a refusal, and there must be none.
    let limits = "peer_limit: 2s, statement_limit: 2s,";
    duo = Duo::start_on(lab, pair, &Plan { semi_sync: true, limits, ..Plan::new(Flavour::MariaDb) });
    // A page that is half empty has room on the fullest disk.
    let beat =
        "INSERT INTO vrrp.heartbeat (server_id, beat) VALUES (7, 1) ON DUPLICATE KEY UPDATE beat = beat + 1";
    duo.wait_until("the relay log ends with its page", || {
        duo.pair.b.sql(beat).unwrap();
        duo.pair.wait_equal(super::duo::LIMIT).unwrap();
        (1..100).contains(&(4096 - relay_log(disk.folder()) % 4096))
    });
    disk.fill().unwrap();
    duo.drain("a");
    duo.wait_for("b");
    assert!(!duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    assert!(duo.b.log().contains("semi-synchronous replication is lowered"), "{}", duo.logs());
    assert!(!duo.b.log().contains("not promoted"), "{}", duo.logs());
    duo.pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (1, 2)").unwrap();
    disk.free().unwrap();
}
