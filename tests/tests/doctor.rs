//! `vrrp doctor` against real servers: a pair with the shipped settings, and the same with faults.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, ExitCode, Output},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;
use vrrp_lab::{
    Lab, Requirement, clock, daemon, harness,
    mysql::{Certificates, Flavour, Pair, Server, Setup},
    tests,
};

const VIP: &str = "10.99.0.200";
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    use Requirement::{Daemon, Lab, MariaDb, MySql56};
    let mut all = tests![[Lab, Daemon, MariaDb];
        a_mariadb_pair_with_the_shipped_settings_is_fit,
        faults_of_a_mariadb_pair_are_found_with_what_mends_them,
        what_the_configuration_names_is_looked_at_on_both_servers,
        the_address_without_its_daemon_and_a_backup_that_stops_writes_are_found,
        whoever_else_answers_for_the_address_is_found,
        a_server_that_does_not_answer_is_an_error_and_no_password_is_shown,
        under_writes_a_standby_has_nothing_errant,
        one_question_that_hangs_costs_its_answer_alone,
        a_peer_that_demands_tls_is_asked_over_it_by_option_or_by_the_configuration,
    ];
    all.extend(tests![[Lab, Daemon, MySql56];
        a_mysql_pair_with_the_shipped_settings_is_fit,
        one_question_that_hangs_costs_its_answer_alone_without_a_bound_in_the_server,
        faults_of_a_mysql_pair_are_found_with_what_mends_them,
    ]);
    harness::run(all)
}

fn a_mariadb_pair_with_the_shipped_settings_is_fit() {
    let lab = Lab::pair("fit").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.set_semi_sync(true, Duration::from_secs(1)).unwrap();
    let report = examine(&lab, &pair, "10.99.0.2");
    assert_eq!(checks(&report, "error") + checks(&report, "warning"), 0, "{report:#}");
    assert!(report["local"]["server"].as_str().unwrap().starts_with("MariaDB 10.11"), "{report:#}");
    assert_eq!(
        (&report["local"]["role"], &report["peer"]["role"]),
        (&"writable".into(), &"read_only".into())
    );
}

fn a_mysql_pair_with_the_shipped_settings_is_fit() {
    let lab = Lab::pair("fit56").unwrap();
    let pair = Pair::start(&lab, Flavour::MySql56).unwrap();
    pair.a.set_read_only(false).unwrap();
    let report = examine(&lab, &pair, "10.99.0.2");
    // The package has no plugin for semi-synchronous replication.
    let left: Vec<&Value> =
        found(&report, "warning").filter(|finding| finding["check"] != "semi-sync").collect();
    assert!(left.is_empty() && checks(&report, "error") == 0, "{report:#}");
}

fn faults_of_a_mariadb_pair_are_found_with_what_mends_them() {
    let lab = Lab::pair("unfit").unwrap();
    let weak = Setup::new(Flavour::MariaDb, 2)
        .with("auto_increment_offset = 1")
        .with("gtid_strict_mode = 0")
        .with("sync_binlog = 0")
        .with("read_only = 0");
    let pair = Pair::start_with(&lab, Setup::new(Flavour::MariaDb, 1), weak).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.wait_equal(LIMIT).unwrap();
    pair.a.sql("STOP SLAVE").unwrap();
    pair.b.sql("STOP SLAVE").unwrap();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)").unwrap();
    pair.b.write_errant().unwrap();
    pair.a.sql("CREATE TABLE lab.raw (x INT) ENGINE = MyISAM").unwrap();
    pair.a.sql("CREATE USER shop IDENTIFIED BY 'x'").unwrap();
    pair.a.sql("GRANT SUPER, READ_ONLY ADMIN ON *.* TO shop").unwrap();
    pair.a.sql("REVOKE PROCESS ON *.* FROM 'vrrp'@'localhost'").unwrap();
    let report = examine(&lab, &pair, "10.99.0.2");
    for (severity, node, check, mend) in [
        ("error", "pair", "one-writer", "SET GLOBAL read_only = 1"),
        ("error", "pair", "auto-increment", "auto_increment_offset = 2"),
        ("error", "pair", "divergence", "decide"),
        ("error", "peer", "gtid-strict", "gtid_strict_mode = 1"),
        ("error", "peer", "starts-read-only", "read_only = 1"),
        ("warning", "peer", "durability", "sync_binlog = 1"),
        ("error", "local", "channel-running", "START SLAVE"),
        ("error", "local", "daemon-rights", "GRANT PROCESS ON *.* TO 'vrrp'@'localhost'"),
        ("warning", "local", "rights-past-read-only", "REVOKE READ_ONLY ADMIN ON *.* FROM 'shop'"),
        ("warning", "local", "primary-keys", "ADD PRIMARY KEY"),
        ("warning", "local", "engines", "ENGINE = InnoDB"),
        ("warning", "local", "semi-sync", "rpl_semi_sync_master_enabled = 1"),
    ] {
        assert_has(&report, severity, node, check, mend);
    }
    let text =
        doctor(&lab, &pair, &["--peer", "10.99.0.2", "--peer-user", "doctor", "--config", "/nonexistent"]);
    assert_eq!(text.status.code(), Some(2));
    let shown = String::from_utf8(text.stdout).unwrap();
    assert!(shown.contains("one-writer") && shown.contains("mend"), "{shown}");
    if std::env::var_os("VRRP_SHOW").is_some() {
        println!("{shown}");
    }
}

/// The pair of the lab by the shipped users, with one address.
fn configuration(pair: &Pair) -> String {
    let text = format!(
        "instances:\n  - name: VI_1\n    interface: eth0\n    virtual_router_id: 51\n    virtual_addresses: [{VIP}/24]\n    \
         checks: [{{ mysql: {{ socket: {socket}, user: vrrp_probe, password: change-me-probe, \
         login: {{ user: app, password: app-password }}, write: {{ table: vrrp.heartbeat }} }} }}]\n    \
         role: manage\n    mysql: {{ socket: {socket}, user: vrrp, password: change-me-vrrp, \
         peer: {{ address: 10.99.0.2, user: vrrp_peer, password: change-me-peer }} }}\n",
        socket = pair.a.socket().display()
    );
    let file = pair.a.data().with_file_name("doctor.yaml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

fn what_the_configuration_names_is_looked_at_on_both_servers() {
    let lab = Lab::pair("named").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.set_semi_sync(true, Duration::from_secs(1)).unwrap();
    let file = configuration(&pair);
    let look = || examine_with(&lab, &pair, &["--config", &file]);
    let report = look();
    assert_eq!(checks(&report, "error") + checks(&report, "warning"), 0, "{report:#}");
    // The address waits for a daemon, which none started here.
    assert_has(&report, "info", "local", "address-and-writer", "nothing before the daemon");
    let alone = |server: &Server, statement: &str| {
        let mut connection = server.connect().unwrap();
        for statement in ["SET SESSION sql_log_bin = 0", statement] {
            mysql::prelude::Queryable::query_drop(&mut connection, statement).unwrap();
        }
    };
    alone(&pair.a, "REVOKE SLAVE MONITOR ON *.* FROM 'vrrp_probe'@'localhost'");
    alone(&pair.a, "REVOKE INSERT ON vrrp.heartbeat FROM 'vrrp'@'localhost'");
    alone(&pair.b, "DROP TABLE vrrp.heartbeat");
    alone(&pair.b, "DROP USER 'vrrp_peer'@'10.99.0.%'");
    let report = look();
    for (severity, node, check, mend) in [
        ("error", "local", "watch-rights", "GRANT SLAVE MONITOR ON *.* TO 'vrrp_probe'@'localhost'"),
        ("error", "local", "heartbeat-rights", "ON vrrp.heartbeat TO 'vrrp'@'localhost'"),
        ("error", "peer", "heartbeat-table", "CREATE TABLE"),
        ("warning", "peer", "watch-user", "mysql-users"),
    ] {
        assert_has(&report, severity, node, check, mend);
    }
}

fn the_address_without_its_daemon_and_a_backup_that_stops_writes_are_found() {
    let lab = Lab::pair("stray").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.b.set_read_only(false).unwrap();
    let file = configuration(&pair);
    let address = format!("{VIP}/24");
    lab.host("a").namespace().ip(&["address", "add", &address, "dev", "eth0"]).unwrap();
    let report = examine_with(&lab, &pair, &["--config", &file]);
    assert_has(&report, "error", "local", "address-without-daemon", "ip address del");
    assert_has(&report, "error", "local", "address-and-writer", "vrrp status");
    pair.b.set_read_only(true).unwrap();
    pair.a.set_read_only(false).unwrap();
    let mut backup = pair.a.connect().unwrap();
    mysql::prelude::Queryable::query_drop(&mut backup, "FLUSH TABLES WITH READ LOCK").unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)"));
        let waits = || {
            let rows = pair.a.rows("SHOW PROCESSLIST").unwrap();
            rows.iter().any(|row| row.get("State").is_some_and(|state| state.starts_with("Waiting for")))
        };
        assert!(clock::wait_until(LIMIT, waits), "the write does not wait");
        let report = examine_with(&lab, &pair, &["--config", &file]);
        drop(backup);
        writer.join().unwrap().unwrap();
        assert_has(&report, "warning", "local", "backup-lock", "standby");
    });
}

fn whoever_else_answers_for_the_address_is_found() {
    let mut lab = Lab::pair("claims").unwrap();
    lab.add_host("stranger", "10.99.0.7").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.b.set_read_only(false).unwrap();
    let file = configuration(&pair);
    let turn = |verb: &str, host: &str| {
        let address = format!("{VIP}/24");
        lab.host(host).namespace().ip(&["address", verb, &address, "dev", "eth0"]).unwrap();
    };
    let said = |check: &str| {
        let report = examine_with(&lab, &pair, &["--config", &file]);
        let all = report["findings"].as_array().unwrap();
        all.iter().find(|finding| finding["check"] == check).map(|finding| finding["found"].to_string())
    };
    let card = |host: &str| vrrp_user::wire::MacAddress(lab.host(host).mac()).to_string();
    assert_eq!(said("address-held-twice").or_else(|| said("address-held-by-another")), None, "nobody has it");
    turn("add", "b");
    assert_eq!(
        said("address-held-twice").or_else(|| said("address-held-by-another")),
        None,
        "the peer has it"
    );
    turn("add", "a");
    let twice = said("address-held-twice").unwrap();
    assert!(twice.contains("is on this host") && twice.contains(&card("b")), "{twice}");
    turn("del", "a");
    turn("add", "stranger");
    let twice = said("address-held-twice").unwrap();
    assert!(twice.contains(&card("b")) && twice.contains(&card("stranger")), "{twice}");
    turn("del", "b");
    let another = said("address-held-by-another").unwrap();
    assert!(another.contains(&card("stranger")), "{another}");
}

fn faults_of_a_mysql_pair_are_found_with_what_mends_them() {
    let lab = Lab::pair("unfit56").unwrap();
    let weak = Setup::new(Flavour::MySql56, 2)
        .with("slave_parallel_workers = 2")
        .with("replicate_ignore_db = shop")
        .with("read_only = 0");
    let pair = Pair::start_with(&lab, Setup::new(Flavour::MySql56, 1), weak).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.a.sql("STOP SLAVE").unwrap();
    pair.a.sql("CHANGE MASTER TO MASTER_RETRY_COUNT = 10, MASTER_HEARTBEAT_PERIOD = 30").unwrap();
    pair.a.sql("START SLAVE").unwrap();
    let report = examine(&lab, &pair, "10.99.0.2");
    for (severity, node, check, mend) in [
        ("error", "pair", "one-writer", "SET GLOBAL read_only = 1"),
        ("error", "pair", "filters-differ", "replicate_*"),
        ("warning", "peer", "filters", "replicate_*"),
        ("warning", "local", "retry-count", "MASTER_RETRY_COUNT = 86400"),
        ("warning", "local", "heartbeat-period", "MASTER_HEARTBEAT_PERIOD = 1"),
        ("info", "peer", "commit-order", "slave_parallel_workers = 0"),
    ] {
        assert_has(&report, severity, node, check, mend);
    }
}

fn a_server_that_does_not_answer_is_an_error_and_no_password_is_shown() {
    let lab = Lab::pair("silent").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.b.kill();
    let output = doctor(
        &lab,
        &pair,
        &["--json", "--peer", "10.99.0.2", "--peer-user", "doctor", "--config", "/nonexistent"],
    );
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        found(&report, "error").any(|finding| finding["check"] == "answers" && finding["node"] == "peer")
    );
    pair.a.freeze();
    let output = doctor(&lab, &pair, &["--user", "vrrp_probe", "--config", "/nonexistent"]);
    let shown =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("did not answer within"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    pair.a.thaw();
}

/// A scope waits for its threads, whoever panics: one that runs until it is told would run for ever.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn under_writes_a_standby_has_nothing_errant() {
    let lab = Lab::pair("written").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.wait_replicating(LIMIT).unwrap();
    let (is_over, rows) = (AtomicBool::new(false), AtomicU64::new(0));
    let asked = ["--json", "--peer", "10.99.0.2", "--peer-user", "doctor", "--config", "/nonexistent"];
    std::thread::scope(|scope| {
        let over = SetOnDrop(&is_over);
        let writer = scope.spawn(|| {
            let mut connection = pair.a.connect().unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let number = rows.load(Ordering::Relaxed) + 1;
                let insert = format!("INSERT INTO lab.writes (number, server) VALUES ({number}, 1)");
                mysql::prelude::Queryable::query_drop(&mut connection, insert).unwrap();
                rows.store(number, Ordering::Relaxed);
            }
        });
        let mut outputs: Vec<Output> = Vec::new();
        // As many as a slow disk needs.
        let is_enough = clock::wait_until(LIMIT, || {
            outputs.push(doctor(&lab, &pair, &asked));
            outputs.len() >= 5 && rows.load(Ordering::Relaxed) > 100
        });
        drop(over);
        writer.join().unwrap();
        println!("{rows:?} rows were written, and {} times it was looked at", outputs.len());
        assert!(is_enough, "{rows:?} rows, looked at {} times", outputs.len());
        for report in outputs.iter().map(read) {
            let all = report["findings"].as_array().unwrap();
            let wrong: Vec<&Value> =
                all.iter().filter(|one| one["check"] == "errant" || one["check"] == "divergence").collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
    });
    // What is errant is found as ever; without the rest of those rows it would have diverged.
    pair.wait_equal(LIMIT).unwrap();
    pair.a.sql("STOP SLAVE").unwrap();
    pair.b.write_errant().unwrap();
    let report = examine(&lab, &pair, "10.99.0.2");
    assert_has(&report, "warning", "pair", "errant", "SHOW BINLOG EVENTS");
}

fn one_question_that_hangs_costs_its_answer_alone() {
    a_locked_table_costs_one_answer("locked", Flavour::MariaDb, "mysql.global_priv");
}

fn one_question_that_hangs_costs_its_answer_alone_without_a_bound_in_the_server() {
    a_locked_table_costs_one_answer("locked56", Flavour::MySql56, "mysql.user");
}

fn a_locked_table_costs_one_answer(name: &str, flavour: Flavour, table: &str) {
    let lab = Lab::pair(name).unwrap();
    let pair = Pair::start(&lab, flavour).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.a.sql("CREATE TABLE lab.raw (x INT PRIMARY KEY) ENGINE = MyISAM").unwrap();
    let mut locker = pair.a.connect().unwrap();
    mysql::prelude::Queryable::query_drop(&mut locker, format!("LOCK TABLES {table} WRITE")).unwrap();
    let report = read(&doctor(&lab, &pair, &["--json", "--config", "/nonexistent"]));
    drop(locker);
    assert_eq!(report["local"]["role"], "writable", "{report:#}");
    let answers: Vec<&Value> = found(&report, "warning").filter(|one| one["check"] == "answers").collect();
    assert!(
        matches!(answers[..], [one] if one["found"] == "no answer in time about its accounts"),
        "{report:#}"
    );
    assert_eq!(checks(&report, "error"), 0, "{report:#}");
    // What was asked later has its answer.
    assert_has(&report, "warning", "local", "engines", "ENGINE = InnoDB");
    assert_has(&report, "info", "local", "daemon-user", "root");
}

/// The login for the other side, made here: it may read all and change nothing.
const PASSWORD: &str = "doctors-password";

fn a_peer_that_demands_tls_is_asked_over_it_by_option_or_by_the_configuration() {
    let lab = Lab::pair("secret").unwrap();
    let certificates = Certificates::make(&lab, "certificates").unwrap();
    let stranger = Certificates::make(&lab, "stranger").unwrap();
    let with = |node| certificates.equip(Setup::new(Flavour::MariaDb, node));
    let pair = Pair::start_with(&lab, with(1), with(2)).unwrap();
    pair.b.sql("SET GLOBAL require_secure_transport = ON").unwrap();
    let (ours, theirs) =
        (certificates.authority().display().to_string(), stranger.authority().display().to_string());
    let file = configuration(&pair);
    let has_answer = |report: &Value| report["peer"]["role"] == "read_only";
    let look = |more: &[&str]| examine_with(&lab, &pair, more);

    let says = |report: &Value, words: &str| {
        assert!(found(report, "error").any(|one| one.to_string().contains(words)), "{words}: {report:#}");
    };
    // MariaDB's words for it; MySQL has 3159.
    let plain = look(&["--config", &file]);
    assert!(!has_answer(&plain), "{plain:#}");
    says(&plain, "set `tls` (`vrrp doctor`: --tls)");
    says(&look(&["--config", "/nonexistent", "--tls-ca", &theirs]), "name the file with the authority");
    says(&look(&["--config", "/nonexistent", "--tls"]), "name the file with the authority");
    let wrong_name = ["--config", "/nonexistent", "--tls-ca", &ours, "--peer-tls-server-name", "db2.example"];
    says(&look(&wrong_name), "set `server_name`");

    for options in [
        &["--tls-ca", &ours][..],
        &["--tls-ca", &ours, "--peer-tls-server-name", "db.example"],
        &["--tls-skip-verify"],
    ] {
        let report = look(&[&["--config", "/nonexistent"], options].concat());
        assert!(has_answer(&report), "{options:?}: {report:#}");
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let peer = "peer: { address: 10.99.0.2,";
    assert!(text.contains(peer), "{text}");
    std::fs::write(&file, text.replace(peer, &format!("{peer} tls: {{ ca: {ours} }},"))).unwrap();
    let report = look(&["--config", &file]);
    assert!(has_answer(&report), "{report:#}");

    pair.a.sql("CREATE USER 'walled'@'localhost' IDENTIFIED BY 'x' REQUIRE SSL").unwrap();
    let password = lab.host("a").file("walled");
    std::fs::write(&password, "x\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let walled = ["--config", "/nonexistent", "--user", "walled", "--password-file"];
    says(&look(&[&walled[..], &[&password.to_string_lossy()]].concat()), "cannot log in by the socket");

    let output = doctor(&lab, &pair, &["--config", "/nonexistent", "--tls"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("add --address or --peer"), "{said}");
    let without = ["--peer", "10.99.0.2", "--config", "/nonexistent", "--tls-ca", "/nonexistent"];
    let output = doctor(&lab, &pair, &without);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && said.contains("the CA file /nonexistent cannot be read"),
        "{said}"
    );
}

fn examine(lab: &Lab, pair: &Pair, peer: &str) -> Value {
    read(&doctor(lab, pair, &["--json", "--peer", peer, "--peer-user", "doctor", "--config", "/nonexistent"]))
}

fn examine_with(lab: &Lab, pair: &Pair, arguments: &[&str]) -> Value {
    let usual = ["--json", "--peer", "10.99.0.2", "--peer-user", "doctor"];
    read(&doctor(lab, pair, &[&usual, arguments].concat()))
}

fn assert_has(report: &Value, severity: &str, node: &str, check: &str, mend: &str) {
    let is_one = |finding: &Value| {
        finding["node"] == node
            && finding["check"] == check
            && finding["mend"].as_str().unwrap().contains(mend)
    };
    assert!(found(report, severity).any(is_one), "{severity} {node} {check}: {report:#}");
}

fn read(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let has =
        |severity: &str| report["findings"].as_array().unwrap().iter().any(|one| one["severity"] == severity);
    let expected = if has("error") { 2 } else { i32::from(has("warning")) };
    assert_eq!(output.status.code(), Some(expected), "{report:#}");
    report
}

/// On host a, as root over the socket.
fn doctor(lab: &Lab, pair: &Pair, arguments: &[&str]) -> Output {
    if pair.b.ask("SELECT 1").is_ok() {
        let rights = match pair.b.flavour() {
            Flavour::MariaDb => "SELECT, PROCESS, SLAVE MONITOR, BINLOG MONITOR",
            Flavour::MySql56 => "SELECT, PROCESS, REPLICATION CLIENT",
        };
        let mut connection = pair.b.connect().unwrap();
        for statement in [
            "SET SESSION sql_log_bin = 0",
            &format!("GRANT {rights} ON *.* TO 'doctor'@'10.99.0.1' IDENTIFIED BY '{PASSWORD}'"),
        ] {
            mysql::prelude::Queryable::query_drop(&mut connection, statement).unwrap();
        }
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", lab.host("a").namespace().name()]).arg(daemon::binary().unwrap());
    command.args(["doctor", "--socket", &pair.a.socket().to_string_lossy()]);
    command.args(arguments).env("VRRP_DOCTOR_PEER_PASSWORD", PASSWORD).output().unwrap()
}

fn found<'a>(report: &'a Value, severity: &'a str) -> impl Iterator<Item = &'a Value> {
    // How full this machine's disk is and who keeps its clock say nothing about the servers.
    let machine = ["disk", "shared-disk", "clock-sync"];
    let is_server = move |finding: &&Value| !machine.iter().any(|check| finding["check"] == *check);
    let all = report["findings"].as_array().unwrap().iter().filter(is_server);
    all.filter(move |finding| finding["severity"] == severity)
}

fn checks(report: &Value, severity: &str) -> usize {
    found(report, severity).count()
}
