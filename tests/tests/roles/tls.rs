//! Servers that want TLS of the daemons: it is had, and a certificate that will not do is neither a death nor passed over.

use std::{fs, path::Path, time::Duration};

use mysql::prelude::Queryable as _;
use vrrp_lab::{
    Lab, Requirement, clock,
    harness::Test,
    mysql::{Certificates, Flavour, Ledger, Pair, Server, Setup},
    tests,
};

use super::duo::{Duo, LIMIT, Plan, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        a_pair_over_tls_is_drained_under_load_and_fails_over,
        a_certificate_that_is_not_trusted_promotes_nobody_until_the_authority_is_put_right,
        authorities_that_cannot_be_read_hide_no_dead_server,
    ]
}

/// Accounts that may log in over TLS alone; b asks a's server with the authority in that file of the lab's folder.
fn start(name: &str, ca_of_b: impl FnOnce(&Lab, &Certificates) -> String) -> (Duo, Certificates) {
    let lab = Lab::pair(name).unwrap();
    let certificates = Certificates::make(&lab, "certificates").unwrap();
    let with = |node| certificates.equip(Setup::new(Flavour::MariaDb, node));
    let pair = Pair::start_with(&lab, with(1), with(2)).unwrap();
    for server in [&pair.a, &pair.b] {
        let mut root = server.connect().unwrap();
        for statement in [
            "SET SESSION sql_log_bin = 0",
            "ALTER USER 'vrrp'@'127.0.0.1' REQUIRE SSL",
            "ALTER USER 'vrrp_peer'@'10.99.0.%' REQUIRE SSL",
            "STOP SLAVE",
            "CHANGE MASTER TO MASTER_SSL = 1",
            "START SLAVE",
        ] {
            root.query_drop(statement).unwrap();
        }
    }
    let outer = format!("tls: {{ ca: {} }},", certificates.authority().display());
    let of_b = ca_of_b(&lab, &certificates);
    let plan = Plan { over_tcp: Some((outer, of_b)), ..Plan::new(Flavour::MariaDb) };
    (Duo::start_on(lab, pair, &plan), certificates)
}

fn peer_tls(file: &Path) -> String {
    format!("tls: {{ ca: {}, server_name: db.example }},", file.display())
}

/// Whoever has a connection needs a new one.
fn end_sessions_of_daemons(server: &Server) {
    let sessions = "SELECT id FROM information_schema.processlist WHERE user IN ('vrrp', 'vrrp_peer')";
    for row in server.rows(sessions).unwrap() {
        // It may have ended by itself meanwhile.
        drop(server.sql(&format!("KILL CONNECTION {}", row["id"])));
    }
}

fn a_pair_over_tls_is_drained_under_load_and_fails_over() {
    let (mut duo, _certificates) = start("overtls", |_, certificates| peer_tls(&certificates.authority()));
    let writer = duo.writer();
    end_sessions_of_daemons(&duo.pair.a);
    end_sessions_of_daemons(&duo.pair.b);
    clock::sleep_ms(500);
    duo.drain("a");
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    let record = writer.finish().unwrap();
    Ledger::read(&duo.pair.b).unwrap().compare(&record).assert_clean();
    duo.order("a", &["resume", "VI_1"]);
    duo.wait_until_followed("b");
    duo.pair.wait_replicating(LIMIT).unwrap();

    for server in [&duo.pair.a, &duo.pair.b] {
        server.sql("SET GLOBAL require_secure_transport = ON").unwrap();
        end_sessions_of_daemons(server);
    }
    // Several looks, each of which says anew how things are.
    clock::sleep_ms(1_000);
    duo.wait_until_followed("b");
    duo.pair.b.kill();
    duo.wait_for("a");
    assert!(!duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
    duo.assert_never_two();
    for host in ["a", "b"] {
        let log = duo.daemon(host).log();
        assert!(!log.contains("no TLS with") && !log.contains("-> misconfigured"), "{log}");
    }
}

fn a_certificate_that_is_not_trusted_promotes_nobody_until_the_authority_is_put_right() {
    let mut file = None;
    let (mut duo, certificates) = start("wrongca", |lab, _| {
        let stranger = Certificates::make(lab, "stranger").unwrap();
        peer_tls(file.insert(stranger.authority()))
    });
    let file = file.unwrap();
    duo.wait_for_line("b", "the peer's server refuses to be asked: no TLS with 10.99.0.1:3306");
    duo.wait_for_line("b", "name the file with the authority that signed it");
    let seen = clock::now_ns();
    let refused = || {
        let rows = duo.pair.a.rows("SHOW GLOBAL STATUS LIKE 'Aborted_connects'").unwrap();
        rows[0]["Value"].parse::<u32>().unwrap()
    };
    let before = refused();
    clock::sleep_ms(2_500);
    // A server that counts a hundred of them takes nobody's connections from this host any more, replication's neither.
    assert!(refused() <= before + 1, "{} handshakes were broken off", refused() - before);
    assert_eq!(duo.watch.timeline(VIP).unwrap().lost_at("a", seen), None, "{}", duo.logs());

    // The daemon alone: its server lives.
    duo.a.kill();
    duo.wait_for_line("b", "not promoted: the peer's server lives and does not say whether it is writable");
    assert!(duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    assert_eq!(duo.watch.timeline(VIP).unwrap().holders(), Vec::<String>::new(), "{}", duo.logs());
    assert!(!duo.b.log().contains("the peer's server does not answer"), "{}", duo.b.log());

    fs::copy(certificates.authority(), &file).unwrap();
    duo.wait_for("b");
    assert!(!duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    duo.assert_never_two();
}

fn authorities_that_cannot_be_read_hide_no_dead_server() {
    let (mut duo, _certificates) =
        start("noca", |lab, _| peer_tls(&lab.folder().join("nowhere").join("ca.pem")));
    duo.wait_for_line("b", "nowhere/ca.pem cannot be read");
    duo.pair.a.kill();
    duo.wait_for("b");
    assert!(!duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
}
