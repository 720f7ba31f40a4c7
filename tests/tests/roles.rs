//! The orders of winning and losing on real servers: what the driver does, how long it takes, and that nothing is lost.
//!
//! No daemon in this file: the address is the server's own, and the client is told by the test when to change over. The whole
//! of it, with daemons, is in `roles/`.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod roles {
    pub(super) mod divergence;
    pub(super) mod doors;
    pub(super) mod duo;
    pub(super) mod failures;
    pub(super) mod partition;
    pub(super) mod planned;
    pub(super) mod policies;
    pub(super) mod secrets;
    pub(super) mod stand_down;
    pub(super) mod standby;
    pub(super) mod tls;
    pub(super) mod trouble;
}

use std::{net::Ipv4Addr, num::NonZeroU16, process::ExitCode, time::Duration};

use mysql::prelude::Queryable;
use vrrp_lab::{
    Lab, Requirement, clock, harness,
    mysql::{Flavour, Ledger, Pair, Server, Setup, Tmpfs, Writer, WriterSetup, in_ms},
    tests,
};
use vrrp_user::{
    database::{Login, Place},
    health::secret::Secret,
    mysql::Relation,
    role::{
        Behind, Driver, Lost, Mandate, Occasion, PeerAnswer, Refusal, Settings, Split, View, Won,
        driver::NoSockets,
    },
};

const LIMIT: Duration = Duration::from_secs(60);
/// A peer's server that answers later than 200 ms counts as dead, by right.
const STALL: Duration = Duration::from_millis(150);
const A: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

fn main() -> ExitCode {
    use Requirement::{Lab, MariaDb, MySql56};
    let mut all = tests![[Lab, MariaDb];
        a_planned_change_on_mariadb_loses_nothing_under_load,
        a_killed_mariadb_is_followed_by_its_peer_and_the_loss_is_known,
        a_frozen_peer_holds_up_the_winner_no_longer_than_its_limit,
        a_writable_peer_is_held_against_us,
        divergence_is_refused,
        a_statement_that_blocks_read_only_is_ended,
        a_full_binlog_disk_does_not_keep_the_loser,
        semi_sync_is_lowered_so_that_the_test_write_does_not_stall,
        what_was_received_is_applied_before_writes,
        what_one_domain_has_left_is_waited_for_although_another_is_further,
        an_idle_session_with_a_table_lock_on_mariadb_is_ended,
        a_client_of_the_address_sees_a_reset_and_others_keep_their_connections,
    ];
    all.extend(tests![[Lab, MySql56];
        a_planned_change_on_mysql_loses_nothing_under_load,
        a_killed_mysql_is_followed_by_its_peer,
        an_idle_session_with_a_table_lock_on_mysql_is_ended,
        what_was_left_unapplied_is_not_applied_after_the_promotion,
    ]);
    all.extend(
        [
            roles::divergence::tests(),
            roles::doors::tests(),
            roles::planned::tests(),
            roles::failures::tests(),
            roles::partition::tests(),
            roles::policies::tests(),
            roles::secrets::tests(),
            roles::stand_down::tests(),
            roles::standby::tests(),
            roles::tls::tests(),
            roles::trouble::tests(),
        ]
        .concat(),
    );
    harness::run(harness::despite_stalls(STALL, all))
}

/// The driver of one node, run inside its namespace as the daemon would.
struct Node<'a> {
    lab: &'a Lab,
    host: &'a str,
    driver: Driver<NoSockets>,
    /// The connections live as long as it does.
    runtime: tokio::runtime::Runtime,
}

impl<'a> Node<'a> {
    fn new(lab: &'a Lab, server: &Server, other: &Server, settings: Settings) -> Self {
        let host = if server.host() == "a" { "a" } else { "b" };
        let secret = |text: &str| Some(Secret::new(text));
        let place = Place::Socket(server.socket());
        let local = Login { place, user: "vrrp".to_owned(), password: secret("change-me-vrrp"), tls: None };
        let place = Place::Tcp(lab.host(other.host()).address().into(), NonZeroU16::new(3306).unwrap());
        let peer =
            Login { place, user: "vrrp_peer".to_owned(), password: secret("change-me-peer"), tls: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let driver = Driver::new("VI_1", settings, local.into(), Some(peer.into()), NoSockets);
        Self { lab, host, driver, runtime }
    }

    fn inside<T: Send>(
        &mut self,
        work: impl AsyncFnOnce(&mut Driver<NoSockets>) -> T + Send,
    ) -> (T, Duration) {
        let (driver, runtime) = (&mut self.driver, &mut self.runtime);
        self.lab
            .host(self.host)
            .namespace()
            .enter(move || {
                let began = clock::now_ns();
                let result = runtime.block_on(work(driver));
                (result, Duration::from_nanos(clock::now_ns() - began))
            })
            .unwrap()
    }

    fn win(&mut self) -> (Result<Won, Refusal>, Duration) {
        self.inside(async |driver| driver.win(Mandate::Open).await)
    }

    fn lose(&mut self, occasion: Occasion) -> (Lost, Duration) {
        self.inside(async |driver| driver.lose(occasion).await)
    }

    fn look(&mut self) -> View {
        self.inside(async |driver| driver.look(true).await).0
    }

    /// As the active one, whose peer is read-only and has nothing of its own.
    fn follow(&mut self) {
        let view = self.look();
        let is_read_only =
            matches!(&view.theirs, PeerAnswer::State(state) if !state.writability.is_writable());
        assert!(is_read_only, "{view:?}");
        assert!(matches!(view.relation(), Some(Relation::Equal | Relation::Ahead(_))), "{view:?}");
        assert_eq!(self.inside(async |driver| driver.receive().await).0, Ok(()));
    }
}

/// Where one late answer of a server would be another case, and none is what is tried.
fn patient() -> Settings {
    Settings {
        split_wait: Duration::from_millis(200),
        peer_limit: Duration::from_secs(2),
        statement_limit: Duration::from_secs(3),
        write_limit: Duration::from_secs(10),
        ..Settings::default()
    }
}

/// Where a statement is late, and those after it must not be.
fn firm() -> Settings {
    Settings {
        statement_limit: Duration::from_secs(1),
        peer_limit: Duration::from_secs(2),
        ..Settings::default()
    }
}

fn patient_nodes<'a>(lab: &'a Lab, pair: &Pair) -> (Node<'a>, Node<'a>) {
    (Node::new(lab, &pair.a, &pair.b, patient()), Node::new(lab, &pair.b, &pair.a, patient()))
}

fn a_planned_change_on_mariadb_loses_nothing_under_load() {
    planned_change(Flavour::MariaDb);
}

fn a_planned_change_on_mysql_loses_nothing_under_load() {
    planned_change(Flavour::MySql56);
}

fn planned_change(flavour: Flavour) {
    let lab = Lab::pair("planned").unwrap();
    let pair = Pair::start(&lab, flavour).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    let (won, took) = a.win();
    assert!(won.is_ok(), "{won:?}");
    println!("the first win took {}", in_ms(took));
    assert!(!pair.a.is_read_only().unwrap() && pair.b.is_read_only().unwrap());
    a.follow();
    let mut records = Vec::new();
    let addresses = [A, Ipv4Addr::new(10, 99, 0, 2)];
    for round in 0..harness::count(4, 50) {
        let (from, to) = if round % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let setup = WriterSetup { pause: Duration::ZERO, ..WriterSetup::new(addresses[round % 2]) };
        let writer = Writer::start(lab.host("client"), setup).unwrap();
        assert!(clock::wait_until(LIMIT, || writer.count() >= 20), "round {round}: the client writes");
        let (lost, out) = from.lose(Occasion::Planned);
        assert!(lost.is_read_only && lost.is_handed_over, "{lost:?}");
        assert!(writer.wait_for_write(Duration::from_millis(100)).is_err(), "the loser takes no more writes");
        let record = writer.finish().unwrap();
        assert!(!record.acknowledged.is_empty() && record.failures_with(1062) == 0, "{:?}", record.failures);
        let (won, into) = to.win();
        assert!(won.is_ok(), "round {round}: {won:?}");
        println!("round {round}: lost in {}, won in {}", in_ms(out), in_ms(into));
        // At this moment, before anything else can arrive.
        let (winner, _) = if round % 2 == 0 { (&pair.b, &pair.a) } else { (&pair.a, &pair.b) };
        let held = Ledger::read(winner).unwrap();
        let missing = held.compare(&record).lost;
        assert_eq!(missing, Vec::<u64>::new(), "round {round}");
        records.push(record);
        // The loser is read-only and has nothing of its own: it is received from again.
        to.follow();
        winner.sql("DELETE FROM lab.writes").unwrap();
        pair.wait_equal(LIMIT).unwrap();
    }
    assert!(records.iter().map(|record| record.acknowledged.len()).sum::<usize>() > 50);
}

fn a_killed_mariadb_is_followed_by_its_peer_and_the_loss_is_known() {
    let lab = Lab::pair("killed").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    assert!(a.win().0.is_ok());
    pair.wait_equal(LIMIT).unwrap();
    // What the peer never gets: its receiver is stopped, and it has seen the position.
    pair.b.sql("STOP SLAVE IO_THREAD").unwrap();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1), (2, 1)").unwrap();
    b.look();
    pair.a.kill();
    let refusing = Settings { behind: Behind::Refuse, ..patient() };
    let mut careful = Node::new(&lab, &pair.b, &pair.a, refusing);
    // A driver that never saw the peer alive cannot name what is missing, and goes on.
    let (won, took) = b.win();
    assert!(won.is_ok(), "{won:?}");
    // A server that hangs is waited for 2 s.
    assert!(took < Duration::from_millis(1_900), "took {}", in_ms(took));
    println!("won over a dead peer in {}", in_ms(took));
    assert!(!pair.b.is_read_only().unwrap());
    pair.a.restart(lab.host("a")).unwrap();
    assert!(pair.a.is_read_only().unwrap());
    // A look whose answer is late has found nothing.
    let mut found = None;
    clock::wait_until(LIMIT, || {
        found = b.look().relation();
        found.is_some()
    });
    assert!(
        matches!(found, Some(Relation::Behind(_) | Relation::Diverged { .. })),
        "what only the former master has is no secret: {found:?}"
    );
    let (won, _) = careful.win();
    assert!(
        matches!(won, Err(Refusal::Diverged { .. } | Refusal::Behind(_))),
        "the returned peer has more: {won:?}"
    );
}

fn a_killed_mysql_is_followed_by_its_peer() {
    let lab = Lab::pair("killed56").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MySql56).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    assert!(a.win().0.is_ok());
    pair.wait_equal(LIMIT).unwrap();
    b.look();
    pair.a.kill();
    let (won, took) = b.win();
    assert!(won.is_ok(), "{won:?}");
    println!("won over a dead peer in {}", in_ms(took));
    pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (1, 2)").unwrap();
}

fn a_frozen_peer_holds_up_the_winner_no_longer_than_its_limit() {
    let lab = Lab::pair("frozen").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let mut a = Node::new(&lab, &pair.a, &pair.b, Settings::default());
    let peer_limit = Settings::default().peer_limit;
    let mut b = Node::new(&lab, &pair.b, &pair.a, Settings { peer_limit, ..patient() });
    assert!(clock::wait_until(LIMIT, || a.win().0.is_ok()));
    pair.a.freeze();
    let (won, took) = b.win();
    assert!(won.is_ok(), "{won:?}");
    println!("won over a frozen peer in {}", in_ms(took));
    assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(3), "{}", in_ms(took));
    let (lost, took) = a.lose(Occasion::Forced);
    assert!(!lost.is_read_only, "a frozen server cannot be made read-only");
    assert!(took < Settings::default().longest_lose(), "and it is not waited for: {}", in_ms(took));
    pair.a.thaw();
}

fn a_writable_peer_is_held_against_us() {
    let lab = Lab::pair("split").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    assert!(a.win().0.is_ok());
    let (won, _) = b.win();
    assert_eq!(won, Err(Refusal::PeerWritable));
    assert!(pair.b.is_read_only().unwrap());
    let settings = Settings { split: Split::Promote, split_wait: Duration::ZERO, ..Settings::default() };
    let (won, _) = Node::new(&lab, &pair.b, &pair.a, settings).win();
    assert!(won.is_ok() && !pair.b.is_read_only().unwrap(), "{won:?}");
}

fn divergence_is_refused() {
    let lab = Lab::pair("diverged").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.sql("STOP SLAVE").unwrap();
    pair.b.sql("STOP SLAVE").unwrap();
    pair.a.write_errant().unwrap();
    pair.b.write_errant().unwrap();
    let (_, mut b) = patient_nodes(&lab, &pair);
    let (won, _) = b.win();
    assert!(matches!(won, Err(Refusal::Diverged { .. })), "{won:?}");
    assert!(pair.b.is_read_only().unwrap());
}

fn a_statement_that_blocks_read_only_is_ended() {
    let lab = Lab::pair("blocked").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let mut a = Node::new(&lab, &pair.a, &pair.b, firm());
    assert!(a.win().0.is_ok());
    let mut blocker = pair.a.connect().unwrap();
    let id: u64 = blocker.query_first("SELECT CONNECTION_ID()").unwrap().unwrap();
    let worker = std::thread::spawn(move || {
        blocker.query_drop("INSERT INTO lab.writes (number, server) SELECT 1, SLEEP(30)").is_err()
    });
    let is_there = || {
        let query = format!(
            "SELECT state FROM information_schema.processlist WHERE id = {id} AND state = 'User sleep'"
        );
        pair.a.ask(&query).is_ok_and(|state| state.is_some())
    };
    assert!(clock::wait_until(LIMIT, is_there));
    let (lost, took) = a.lose(Occasion::Forced);
    assert!(lost.is_read_only, "{lost:?}");
    println!("lost past a blocking statement in {}", in_ms(took));
    assert!(took < Duration::from_secs(8), "{}", in_ms(took));
    assert!(worker.join().unwrap(), "the statement was ended");
}

fn an_idle_session_with_a_table_lock_on_mariadb_is_ended() {
    lock_holders(Flavour::MariaDb);
}

fn an_idle_session_with_a_table_lock_on_mysql_is_ended() {
    lock_holders(Flavour::MySql56);
}

/// Read-only waits for it, and it does nothing.
fn lock_holders(flavour: Flavour) {
    let lab = Lab::pair("holders").unwrap();
    let pair = Pair::start(&lab, flavour).unwrap();
    let mut a = Node::new(&lab, &pair.a, &pair.b, firm());
    let lock = || {
        let mut holder = pair.a.connect().unwrap();
        holder.query_drop("LOCK TABLES lab.writes WRITE").unwrap();
        holder
    };
    assert!(a.win().0.is_ok());
    for occasion in [Occasion::Forced, Occasion::Planned, Occasion::Offered] {
        let mut holder = lock();
        let (lost, took) = a.lose(occasion);
        println!("{occasion:?} in {}", in_ms(took));
        assert!(lost.is_read_only && pair.a.is_read_only().unwrap(), "{occasion:?}: {lost:?}");
        assert_eq!(lost.is_handed_over, occasion != Occasion::Forced, "{occasion:?}: {lost:?}");
        assert!(holder.query_drop("SELECT 1").is_err(), "{occasion:?}: its session goes on");
        assert_eq!(a.inside(async |driver| driver.allow_writes().await).0, Ok(()));
    }
    // Found writable without the address.
    let _holder = lock();
    assert_eq!(a.inside(async |driver| driver.refuse_writes().await).0, Ok(()));
    assert!(pair.a.is_read_only().unwrap());
}

fn a_full_binlog_disk_does_not_keep_the_loser() {
    let lab = Lab::pair("fullrole").unwrap();
    let disk = Tmpfs::mount(&lab.host("a").file("binlog"), 8).unwrap();
    let setup = Setup { binlog_folder: Some(disk.folder().to_owned()), ..Setup::new(Flavour::MariaDb, 1) };
    let pair = Pair::start_with(&lab, setup, Setup::new(Flavour::MariaDb, 2)).unwrap();
    let mut a = Node::new(&lab, &pair.a, &pair.b, Settings::default());
    let mut b = Node::new(&lab, &pair.b, &pair.a, patient());
    assert!(clock::wait_until(LIMIT, || a.win().0.is_ok()));
    let writer = Writer::start(lab.host("client"), WriterSetup::new(A)).unwrap();
    writer.wait_for_write(LIMIT).unwrap();
    disk.fill().unwrap();
    clock::sleep_ms(500);
    let (lost, took) = a.lose(Occasion::Planned);
    println!("lost with the disk full in {}: {lost:?}", in_ms(took));
    assert!(took < Settings::default().longest_lose(), "{}", in_ms(took));
    disk.free().unwrap();
    drop(writer);
    let (won, _) = b.win();
    assert!(won.is_ok() || won == Err(Refusal::PeerWritable), "{won:?}");
}

fn semi_sync_is_lowered_so_that_the_test_write_does_not_stall() {
    let lab = Lab::pair("lower").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    pair.set_semi_sync(true, Duration::from_secs(10)).unwrap();
    assert!(a.win().0.is_ok());
    pair.wait_equal(LIMIT).unwrap();
    b.look();
    pair.a.kill();
    let (won, took) = b.win();
    println!("won with semi-sync in {}: {won:?}", in_ms(took));
    assert_eq!(won, Ok(Won { is_semi_sync_lowered: true, is_peer_read_only: false }));
    assert!(took < Duration::from_secs(5), "{}", in_ms(took));
}

fn what_was_received_is_applied_before_writes() {
    let lab = Lab::pair("apply").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    assert!(a.win().0.is_ok());
    pair.wait_equal(LIMIT).unwrap();
    // The applier waits for this lock while the receiver goes on.
    let mut lock = pair.b.connect().unwrap();
    lock.query_drop("LOCK TABLES lab.writes READ").unwrap();
    for number in 0..20 {
        pair.a.sql(&format!("INSERT INTO lab.writes (number, server) VALUES ({number}, 1)")).unwrap();
    }
    let received = || {
        let status = pair.b.replica_status().unwrap().unwrap();
        status["Gtid_IO_Pos"] == pair.a.position().unwrap()
    };
    assert!(clock::wait_until(LIMIT, received), "{:?}", pair.b.replica_status());
    b.look();
    pair.a.kill();
    let release = std::thread::spawn(move || {
        clock::sleep_ms(700);
        let released = clock::now_ns();
        drop(lock);
        released
    });
    let (won, took) = b.win();
    let ended = clock::now_ns();
    let released = release.join().unwrap();
    assert!(won.is_ok(), "{won:?}");
    assert!(ended >= released, "it did not wait for the applier: {}", in_ms(took));
    assert_eq!(pair.b.ask("SELECT COUNT(*) FROM lab.writes").unwrap().as_deref(), Some("20"));
}

/// Several appliers, and the place in the source's log is that of the one that is furthest.
fn what_one_domain_has_left_is_waited_for_although_another_is_further() {
    let lab = Lab::pair("domains").unwrap();
    let parallel = |node| Setup::new(Flavour::MariaDb, node).with("slave_parallel_threads = 4");
    let mut pair = Pair::start_with(&lab, parallel(1), parallel(2)).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    assert!(a.win().0.is_ok());
    pair.a.sql("CREATE TABLE lab.slow (id INT PRIMARY KEY) ENGINE=InnoDB").unwrap();
    pair.wait_equal(LIMIT).unwrap();
    // The first domain's applier waits for this lock.
    let mut lock = pair.b.connect().unwrap();
    lock.query_drop("LOCK TABLES lab.slow READ").unwrap();
    for (domain, statement) in
        [(1, "INSERT INTO lab.slow VALUES (1)"), (2, "INSERT INTO lab.writes (number, server) VALUES (1, 1)")]
    {
        let mut client = pair.a.connect().unwrap();
        client.query_drop(format!("SET SESSION gtid_domain_id = {domain}")).unwrap();
        client.query_drop(statement).unwrap();
    }
    let is_further = || {
        let status = pair.b.replica_status().unwrap().unwrap();
        let is_there = pair.b.ask("SELECT COUNT(*) FROM lab.writes").unwrap().as_deref() == Some("1");
        is_there && status["Exec_Master_Log_Pos"] == status["Read_Master_Log_Pos"]
    };
    assert!(clock::wait_until(LIMIT, is_further), "{:?}", pair.b.replica_status());
    b.look();
    pair.a.kill();
    let release = std::thread::spawn(move || {
        clock::sleep_ms(700);
        drop(lock);
    });
    let (won, _) = b.win();
    let slow = pair.b.ask("SELECT COUNT(*) FROM lab.slow").unwrap();
    release.join().unwrap();
    assert!(won.is_ok(), "{won:?}");
    assert_eq!(slow.as_deref(), Some("1"), "it was promoted before all was applied");
}

/// MySQL keeps its relay log over STOP SLAVE and START SLAVE.
fn what_was_left_unapplied_is_not_applied_after_the_promotion() {
    let lab = Lab::pair("unapplied").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MySql56).unwrap();
    let (mut a, mut b) = patient_nodes(&lab, &pair);
    assert!(a.win().0.is_ok());
    pair.wait_equal(LIMIT).unwrap();
    pair.b.sql("STOP SLAVE SQL_THREAD").unwrap();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)").unwrap();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (2, 1)").unwrap();
    let received = || {
        let status = pair.b.replica_status().unwrap().unwrap();
        status["Read_Master_Log_Pos"] == pair.a.rows("SHOW MASTER STATUS").unwrap()[0]["Position"]
    };
    assert!(clock::wait_until(LIMIT, received), "{:?}", pair.b.replica_status());
    b.look();
    pair.a.kill();
    let (won, _) = b.win();
    assert!(won.is_ok(), "{won:?}");
    pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (3, 2)").unwrap();
    pair.a.restart(lab.host("a")).unwrap();
    // It may have received by now what was written since.
    let found = b.look().relation();
    let has_more = matches!(found, Some(Relation::Diverged { .. } | Relation::Behind(_)));
    assert!(has_more, "{found:?}");
    rebuild_mysql(&pair.a, &pair.b);
    b.follow();
    clock::sleep_ms(2_000);
    let numbers = || {
        let rows = pair.b.rows("SELECT number FROM lab.writes ORDER BY number").unwrap();
        rows.iter().map(|row| row["number"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(), ["3"], "the former master's old writes are among the new ones");
    // And the channel is as it was: what the other writes from now on comes in, also after a restart.
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (4, 1)").unwrap();
    assert!(clock::wait_until(LIMIT, || numbers() == ["3", "4"]), "{:?}", pair.b.replica_status());
    pair.b.restart(lab.host("b")).unwrap();
    pair.wait_replicating(LIMIT).unwrap();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (5, 1)").unwrap();
    pair.wait_equal(LIMIT).unwrap();
    assert_eq!(pair.b.replica_status().unwrap().unwrap()["Auto_Position"], "1");
}

/// As after a restored dump of the other.
fn rebuild_mysql(stale: &Server, good: &Server) {
    let position = good.position().unwrap();
    let rows = good.rows("SELECT id, number, server FROM lab.writes").unwrap();
    let mut connection = stale.connect().unwrap();
    let mut run = |statement: &str| connection.query_drop(statement).unwrap();
    run("STOP SLAVE");
    run("SET SESSION sql_log_bin = 0");
    run("DELETE FROM lab.writes");
    for row in rows {
        run(&format!("INSERT INTO lab.writes VALUES ({}, {}, {})", row["id"], row["number"], row["server"]));
    }
    run("DELETE FROM vrrp.heartbeat");
    for beat in good.rows("SELECT server_id, beat FROM vrrp.heartbeat").unwrap() {
        run(&format!(
            "INSERT INTO vrrp.heartbeat (server_id, beat) VALUES ({}, {})",
            beat["server_id"], beat["beat"]
        ));
    }
    run("RESET MASTER");
    run(&format!("SET GLOBAL gtid_purged = '{}'", position.replace('\n', "")));
    run("START SLAVE");
}

/// The client sits in a read; nothing but a reset tells it.
fn a_client_of_the_address_sees_a_reset_and_others_keep_their_connections() {
    use std::io::Read;
    let lab = Lab::pair("reset").unwrap();
    let host = lab.host("a");
    let vip = Ipv4Addr::new(10, 99, 0, 200);
    host.namespace().ip(&["address", "add", "10.99.0.200/32", "dev", "eth0"]).unwrap();
    // One listener of each family, as servers of different versions have them.
    for any in ["0.0.0.0:3306", "[::]:3306"] {
        let listener = host.namespace().enter(|| std::net::TcpListener::bind(any).unwrap()).unwrap();
        let client = lab.host("client").namespace();
        let open =
            |to: Ipv4Addr| client.enter(move || std::net::TcpStream::connect((to, 3306)).unwrap()).unwrap();
        let (mut through_vip, mut direct) = (open(vip), open(A));
        let servers = (listener.accept().unwrap(), listener.accept().unwrap());
        let blocked = std::thread::spawn(move || {
            let outcome = through_vip.read(&mut [0; 1]).map_err(|error| error.kind());
            (outcome, clock::now_ns())
        });
        clock::sleep_ms(50);
        let began = clock::now_ns();
        let count =
            host.namespace().enter(|| vrrp_user::net::sockets::destroy(&[vip], &[3306]).unwrap()).unwrap();
        let (outcome, at) = blocked.join().unwrap();
        assert_eq!((count, outcome), (1, Err(std::io::ErrorKind::ConnectionReset)), "{any}");
        println!("{any}: reset after {}", in_ms(Duration::from_nanos(at - began)));
        direct.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let outcome = direct.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(outcome, Err(std::io::ErrorKind::WouldBlock), "another address is none of our business");
        drop(servers);
    }
}
