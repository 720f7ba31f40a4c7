//! What the policies say when something cannot be had: a stuck server, a peer that had more.

use std::time::Duration;

use mysql::prelude::Queryable as _;
use vrrp_lab::{
    Daemon, Instance, Lab, Requirement, clock,
    harness::Test,
    mysql::{Flavour, Ledger, Pair, Server, Writer, in_ms, managed},
    tests,
};

use super::duo::{Duo, Plan, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        a_stuck_server_is_killed_if_that_is_the_policy,
        a_server_that_cannot_be_made_read_only_is_left_alone_if_that_is_the_policy,
        a_second_writer_is_accepted_if_that_is_the_policy,
        an_owner_that_starts_leaves_its_server_writable,
        a_daemon_that_is_told_to_end_waits_no_longer_than_handover_timeout,
        a_host_that_lacks_what_its_peer_had_is_not_promoted_if_that_is_the_policy,
        a_host_that_has_not_applied_what_it_received_waits_if_that_is_the_policy,
        a_host_that_waited_in_vain_tries_again_as_soon_as_the_first_time,
        what_an_asynchronous_pair_lost_is_exactly_what_the_log_names,
        a_daemon_killed_under_its_address_leaves_a_server_that_lets_the_peer_win,
        a_daemon_killed_between_writes_and_address_leaves_no_server_writable,
        a_server_left_writable_by_daemon_and_guard_is_made_read_only_at_the_next_start,
    ]
}

fn a_stuck_server_is_killed_if_that_is_the_policy() {
    let mut duo = Duo::start_with("stuck", &Plan { more: "stuck: kill,", ..Plan::new(Flavour::MariaDb) });
    let writer = duo.writer();
    duo.pair.a.freeze();
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    duo.wait_for_line("a", "stuck is kill: process");
    let ending = clock::wait_until(super::duo::LIMIT, || !duo.pair.a.process().is_running());
    assert!(ending, "the frozen server still runs\n{}", duo.logs());
    assert!(!duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    duo.assert_never_two();
}

/// Its daemon cannot log in any more; a server that hangs would take the statement in when it goes on.
fn a_server_that_cannot_be_made_read_only_is_left_alone_if_that_is_the_policy() {
    let duo = Duo::start_with("leave", &Plan { more: "stuck: leave,", ..Plan::new(Flavour::MariaDb) });
    let set_password = |password: &str| {
        let mut root = duo.pair.a.connect().unwrap();
        root.query_drop("SET SESSION sql_log_bin = 0").unwrap();
        root.query_drop(format!("SET PASSWORD FOR 'vrrp'@'localhost' = PASSWORD('{password}')")).unwrap();
    };
    set_password("another");
    for row in duo.pair.a.rows("SELECT id FROM information_schema.processlist WHERE user = 'vrrp'").unwrap() {
        // It may have ended by itself meanwhile.
        drop(duo.pair.a.sql(&format!("KILL CONNECTION {}", row["id"])));
    }
    duo.wait_until("a's daemon is locked out", || duo.status("a").contains("the server does not answer"));
    duo.order("a", &["drain", "VI_1", "--force"]);
    duo.wait_for_line("a", "stuck is leave: it is left as it is");
    assert!(!duo.lab.host("a").holds(VIP).unwrap(), "{}", duo.logs());
    set_password("change-me-vrrp");
    duo.wait_until("a's daemon asks it again", || {
        let status = duo.status("a");
        status.contains("server: standby") && !status.contains("does not say whether it is read-only")
    });
    // Several looks, each of which could have made it read-only.
    for _ in 0..30 {
        assert!(!duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
        clock::sleep_ms(100);
    }
    assert!(!duo.lab.host("b").holds(VIP).unwrap(), "beside a writable server\n{}", duo.logs());
    // Whoever was left to see to it does.
    duo.pair.a.set_read_only(true).unwrap();
    duo.wait_for("b");
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    duo.assert_never_two();
}

fn a_second_writer_is_accepted_if_that_is_the_policy() {
    let plan = Plan { more: "split: promote,", ..Plan::new(Flavour::MariaDb) };
    let duo = Duo::start_with("second", &plan);
    duo.lab.host("a").mute_adverts().unwrap();
    duo.wait_until("b has the address and takes writes", || {
        duo.lab.host("b").holds(VIP).unwrap() && !duo.pair.b.is_read_only().unwrap()
    });
    duo.wait_for_line("b", "split is promote");
}

fn an_owner_that_starts_leaves_its_server_writable() {
    let lab = Lab::pair("owner").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.set_read_only(false).unwrap();
    let mut session = pair.a.connect().unwrap();
    session.query_drop("SELECT 1").unwrap();
    let instance = Instance::v2(255).with("role: manage");
    let instance = instance.with(&managed::role(&pair.a, lab.host("b").address(), ""));
    let a = Daemon::start(lab.host("a"), &[instance.with(&managed::checks(&pair.a, ""))]).unwrap();
    let has_won = || lab.host("a").holds(VIP).unwrap() && a.log().contains("the server is writable, after");
    assert!(clock::wait_until(super::duo::LIMIT, has_won), "{}", a.log());
    assert!(!pair.a.is_read_only().unwrap(), "{}", a.log());
    let log = a.log();
    assert!(!log.contains("make the server read-only") && !log.contains("is read-only until"), "{log}");
    session.query_drop("SELECT 1").unwrap();
}

fn a_daemon_that_is_told_to_end_waits_no_longer_than_handover_timeout() {
    // A peer that comes no nearer is given up sooner, unless it is given this long.
    let more = "stall: 50s, catch_up: 50s, handover_timeout: 3s,";
    let mut duo = Duo::start_with("endless", &Plan { more, ..Plan::new(Flavour::MariaDb) });
    let writer = duo.writer();
    duo.pair.b.sql("STOP SLAVE SQL_THREAD").unwrap();
    duo.wait_for_writes(&writer, 20);
    let told = clock::now_ns();
    duo.a.terminate();
    let ending = duo.a.wait(super::duo::LIMIT);
    let took = Duration::from_nanos(clock::now_ns() - told);
    println!("ended after {took:?}");
    assert!(ending.is_some_and(|status| status.success()), "{ending:?}\n{}", duo.logs());
    assert!(duo.a.log().contains("takes longer than handover_timeout"), "{}", duo.logs());
    let stalled = duo.stalls.within(told, told + clock::nanos(took));
    assert!(took < Duration::from_secs(30) + stalled, "{took:?}\n{}", duo.logs());
    assert!(!duo.lab.host("a").holds(VIP).unwrap(), "{}", duo.logs());
    assert!(duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
    drop(writer);
}

/// Whatever a writes from now on, b does not receive. a's daemon has told b's of it all the same, by a look at the server.
fn stop_replication_to_b(duo: &Duo, writer: &Writer) {
    duo.pair.b.sql("STOP SLAVE IO_THREAD").unwrap();
    duo.wait_for_writes(writer, 20);
    // Several looks, and hundreds of writes.
    clock::sleep_ms(1_200);
}

fn a_host_that_lacks_what_its_peer_had_is_not_promoted_if_that_is_the_policy() {
    let mut duo = Duo::start_with("refuse", &Plan { more: "behind: refuse,", ..Plan::new(Flavour::MariaDb) });
    let writer = duo.writer();
    stop_replication_to_b(&duo, &writer);
    duo.pair.a.kill();
    duo.wait_for_line("b", "which this server never received: it may be lost");
    duo.wait_until("it says why it stays out", || duo.status("b").contains("is not promoted"));
    for _ in 0..30 {
        assert!(duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
        assert!(!duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
        clock::sleep_ms(50);
    }
    // The server that has it all comes back: b receives it, or a is the active one again; nothing was lost.
    duo.pair.a.restart(duo.lab.host("a")).unwrap();
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    let record = writer.finish().unwrap();
    duo.pair.wait_equal(super::duo::LIMIT).unwrap();
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    assert!(verdict.is_clean(), "{verdict}\n{}", duo.logs());
}

fn a_host_that_has_not_applied_what_it_received_waits_if_that_is_the_policy() {
    let mut duo = Duo::start_with("wait", &Plan { more: "behind: wait,", ..Plan::new(Flavour::MariaDb) });
    let writer = duo.writer();
    // The applier waits for this lock while the receiver goes on.
    let mut lock = duo.pair.b.connect().unwrap();
    lock.query_drop("LOCK TABLES lab.writes READ").unwrap();
    clock::sleep_ms(500);
    let record = writer.finish().unwrap();
    duo.wait_until("b has received all of it", || {
        let status = duo.pair.b.replica_status().unwrap().unwrap();
        status["Gtid_IO_Pos"] == duo.pair.a.position().unwrap()
    });
    duo.pair.a.kill();
    // Longer than `catch_up`, after which another policy decides.
    for _ in 0..80 {
        assert!(duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
        assert!(!duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
        clock::sleep_ms(100);
    }
    drop(lock);
    duo.wait_for("b");
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    assert!(verdict.is_clean(), "{verdict}\n{}", duo.logs());
}

/// What the core calls a promotion that did not end in time it tries again ever later, up to minutes after the server was ready.
fn a_host_that_waited_in_vain_tries_again_as_soon_as_the_first_time() {
    let more = "behind: wait, catch_up: 500ms, split_wait: 100ms, write_limit: 2s,";
    let mut duo = Duo::start_with("waits", &Plan { more, ..Plan::new(Flavour::MariaDb) });
    let mut lock = duo.pair.b.connect().unwrap();
    lock.query_drop("LOCK TABLES lab.writes READ").unwrap();
    duo.pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)").unwrap();
    duo.wait_until("b has received it", || {
        let status = duo.pair.b.replica_status().unwrap().unwrap();
        status["Gtid_IO_Pos"] == duo.pair.a.position().unwrap()
    });
    duo.pair.a.kill();
    let given_up = || duo.b.log().matches("the server was not promoted, trying again in 5s").count();
    duo.wait_until("it gave up once", || given_up() == 1);
    duo.wait_until("and once more", || given_up() == 2);
    assert!(!duo.b.log().contains("not added in time"), "{}", duo.logs());
    drop(lock);
    duo.wait_for("b");
    assert_eq!(duo.pair.b.ask("SELECT COUNT(*) FROM lab.writes").unwrap().as_deref(), Some("1"));
}

/// The last transaction of that server's own that `on` has.
pub(crate) fn last_of_a(on: &Server) -> u64 {
    let state = on.ask("SELECT @@global.gtid_binlog_state").unwrap().unwrap();
    let own = state.split(',').find_map(|part| part.trim().strip_prefix("0-1-"));
    own.unwrap().parse().unwrap()
}

fn what_an_asynchronous_pair_lost_is_exactly_what_the_log_names() {
    let mut duo = Duo::start("lost", Flavour::MariaDb);
    let writer = duo.writer();
    stop_replication_to_b(&duo, &writer);
    duo.pair.a.kill();
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    let record = writer.finish().unwrap();
    let received = last_of_a(&duo.pair.b);
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    assert!(!verdict.lost.is_empty(), "there is nothing to name: {verdict}");
    assert!(verdict.duplicated.is_empty() && verdict.never_written.is_empty(), "{verdict}");
    // At once: from the first that is missing to the last that was seen.
    let at_once = format!("the peer had 0-1-{}..", received + 1);
    duo.wait_for_line("b", &at_once);

    // When the dead one is back: all of it, and only that.
    duo.pair.a.restart(duo.lab.host("a")).unwrap();
    let exactly = format!(
        "the peer's server has 0-1-{}..{}, which this one never received",
        received + 1,
        last_of_a(&duo.pair.a)
    );
    duo.wait_for_line("b", &exactly);
    let (dead, alive) = (Ledger::read(&duo.pair.a).unwrap(), Ledger::read(&duo.pair.b).unwrap());
    let only_there = dead.beyond(&alive);
    let in_doubt: Vec<u64> = record
        .failures
        .iter()
        .filter(|failure| failure.is_in_doubt())
        .filter_map(|failure| failure.number)
        .collect();
    let unexplained: Vec<&u64> = only_there
        .iter()
        .filter(|number| !verdict.lost.contains(number) && !in_doubt.contains(number))
        .collect();
    assert!(unexplained.is_empty(), "neither lost nor in doubt, and only on the dead one: {unexplained:?}");
    assert!(
        verdict.lost.iter().all(|number| only_there.contains(number)),
        "lost, and not among what the log names: {verdict}"
    );
    assert!(duo.pair.a.is_read_only().unwrap() && !duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
}

/// The guard takes the address off and has the server made read-only: without that the peer's gate would stay shut until the
/// daemon is back.
fn a_daemon_killed_under_its_address_leaves_a_server_that_lets_the_peer_win() {
    let mut duo = Duo::start("daemonless", Flavour::MariaDb);
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    let killed = clock::now_ns();
    duo.a.kill();
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    let record = writer.finish().unwrap();
    println!("outage {}", in_ms(record.longest_gap(killed, record.acknowledged.last().unwrap().at_ns)));
    duo.assert_never_two();
    assert!(duo.pair.a.is_read_only().unwrap() && !duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    let compare = || Ledger::read(&duo.pair.b).unwrap().compare(&record);
    clock::wait_until(Duration::from_secs(2), || compare().is_clean());
    assert!(compare().is_clean(), "{}\n{}", compare(), duo.logs());
}

/// The write that proves b's server writable waits for a lock, so the address is not there yet.
fn between_writes_and_address(name: &str) -> (Duo, mysql::Conn) {
    let mut duo = Duo::start(name, Flavour::MariaDb);
    let mut lock = duo.pair.b.connect().unwrap();
    lock.query_drop("LOCK TABLES vrrp.heartbeat READ").unwrap();
    duo.pair.a.kill();
    duo.wait_until("b is writable without the address", || !duo.pair.b.is_read_only().unwrap());
    (duo, lock)
}

fn a_daemon_killed_between_writes_and_address_leaves_no_server_writable() {
    let (mut duo, _lock) = between_writes_and_address("between");
    let killed = clock::now_ns();
    duo.b.kill();
    assert!(!duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
    // Sessions are ended, too, ours among them.
    let is_read_only = || duo.pair.b.is_read_only().is_ok_and(|is_read_only| is_read_only);
    duo.wait_until("its guard has it made read-only", is_read_only);
    println!("writable without a daemon for {}", in_ms(Duration::from_nanos(clock::now_ns() - killed)));
    duo.wait_for_line("b", "may be writable without the address: it is made read-only");
    assert!(!duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
}

fn a_server_left_writable_by_daemon_and_guard_is_made_read_only_at_the_next_start() {
    let (mut duo, _lock) = between_writes_and_address("guardless");
    duo.b.kill_tree();
    clock::sleep_ms(300);
    assert!(!duo.pair.b.is_read_only().unwrap(), "there is nobody who could have done it\n{}", duo.logs());
    let started = clock::now_ns();
    duo.b.restart(duo.lab.host("b")).unwrap();
    duo.wait_until("the next daemon makes it read-only", || duo.pair.b.is_read_only().unwrap());
    println!("read-only {} after the start", in_ms(Duration::from_nanos(clock::now_ns() - started)));
    assert!(!duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
}
