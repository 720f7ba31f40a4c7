//! Users that the configuration names, and the tables that they write to.

use super::*;

use Severity::{Error, Warning};

fn at(severity: Severity, check: &'static str) -> [(Severity, Node, &'static str); 1] {
    [(severity, Node::Local, check)]
}

#[test]
fn users_that_only_look_need_a_right_for_it() {
    let poor = judged(|local, _, _| {
        local.privileges.retain(|row| row.get(&["grantee"]) != Some("'vrrp_probe'@'localhost'"));
    });
    assert_eq!(poor, at(Error, "watch-rights"));
    let gone = judged(|local, _, _| {
        local.accounts.retain(|row| row.get(&["user"]) != Some("vrrp_probe"));
    });
    assert_eq!(gone, at(Warning, "watch-user"));
    let app = judged(|local, _, _| {
        local.privileges.retain(|row| row.get(&["grantee"]) != Some("'app'@'localhost'"));
    });
    assert_eq!(app, [], "one that only logs in needs none");
}

#[test]
fn every_named_user_must_log_in_in_a_way_that_we_know() {
    for (number, check) in [(0, "daemon-login"), (1, "user-login"), (2, "user-login")] {
        let found = judged(|local, _, _| {
            local.accounts[number] = recorded(
                &show(&local.accounts[number]).replace("caching_sha2_password", "authentication_kerberos"),
            );
        });
        assert_eq!(found, at(Error, check));
    }
    let stranger = judged(|local, _, _| {
        local.accounts.push(recorded("user: other\nhost: localhost\nplugin: authentication_kerberos"));
    });
    assert_eq!(stranger, [], "not ours to log in as");
}

#[test]
fn the_heartbeat_table_must_be_there_and_its_writer_may_write() {
    let presence = |is_there| judged(move |local, _, _| local.heartbeats[0].1 = is_there);
    assert_eq!(presence(Some(false)), at(Error, "heartbeat-table"));
    assert_eq!(presence(None), [], "this login may not look");
    let rights_of = |rows: Vec<Row>| judged(move |local, _, _| local.narrow_privileges = rows);
    assert_eq!(rights_of(heartbeat_rights(&["INSERT"])), at(Error, "heartbeat-rights"));
    assert_eq!(rights_of(Vec::new()), at(Error, "heartbeat-rights"));
    let of_schema = |schema: &str| {
        let row = |right| {
            recorded(&format!("grantee: 'vrrp'@'localhost'\ntable_schema: {schema}\nprivilege_type: {right}"))
        };
        rights_of(vec![row("INSERT"), row("UPDATE")])
    };
    assert_eq!(of_schema("vrrp"), [], "a right on all its schema will do");
    assert_eq!(of_schema("shop"), at(Error, "heartbeat-rights"));
    let everywhere = judged(|local, _, _| {
        local.narrow_privileges.clear();
        local.privileges.extend(rights("vrrp", &["INSERT", "UPDATE"]));
    });
    assert_eq!(everywhere, []);
}

/// The local server as MariaDB of that version, with an account that has these rights: what is said of rights.
fn on_mariadb(version: &str, user: &str, all: &[&str]) -> Vec<(String, String)> {
    let mut local = mysql8(0);
    local.identity = recorded(&show(&local.identity).replace("8.0.36", &format!("{version}-MariaDB")));
    local.accounts = vec![recorded(&format!("user: {user}\nhost: localhost\nplugin: ed25519"))];
    local.privileges = rights(user, all);
    let found = judge(&Facts::read(&local, None).unwrap(), None, &context());
    let found = found
        .into_iter()
        .filter(|finding| finding.check.contains("rights") && finding.check != "heartbeat-rights");
    found.map(|finding| (finding.check.to_owned(), finding.found)).collect()
}

/// As MariaDB 10.11.19 answers: 1227 to SET GLOBAL read_only, 1290 to an INSERT; semi-sync, threads and positions are allowed.
#[test]
fn what_super_includes_on_mariadb_depends_on_its_version() {
    for (version, lacks) in [
        ("10.6.12", ""),
        ("10.11.19", "READ_ONLY ADMIN"),
        (
            "11.4.2",
            "READ_ONLY ADMIN, CONNECTION ADMIN, SLAVE MONITOR, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, BINLOG \
             MONITOR",
        ),
    ] {
        let found = on_mariadb(version, "vrrp", &["SUPER", "PROCESS"]);
        let expected = format!("'vrrp'@'localhost' lacks {lacks}");
        let expected = (!lacks.is_empty()).then(|| ("daemon-rights".to_owned(), expected));
        assert_eq!(found, Vec::from_iter(expected), "{version}");
        let is_past = !on_mariadb(version, "shop", &["SUPER"]).is_empty();
        assert_eq!(is_past, version == "10.6.12", "{version}");
        assert_eq!(on_mariadb(version, "shop", &["READ_ONLY ADMIN"]).len(), 1, "{version}");
    }
    let all = [
        "READ_ONLY ADMIN",
        "CONNECTION ADMIN",
        "PROCESS",
        "SLAVE MONITOR",
        "BINLOG MONITOR",
        "REPLICATION SLAVE ADMIN",
    ];
    let lacks = on_mariadb("10.11.19", "vrrp", &all);
    assert_eq!(
        lacks[0].1, "'vrrp'@'localhost' lacks REPLICATION MASTER ADMIN",
        "semi-sync could not be lowered"
    );
    assert_eq!(on_mariadb("10.11.19", "vrrp", &[&all[..], &["REPLICATION MASTER ADMIN"]].concat()), []);
}

#[test]
fn no_user_of_the_daemon_is_told_to_lose_its_rights() {
    for (user, count) in [("manager", 0), ("shop", 1)] {
        let found = judged(|local, _, _| {
            local
                .accounts
                .push(recorded(&format!("user: {user}\nhost: localhost\nplugin: caching_sha2_password")));
            local.privileges.extend(rights(user, &["SUPER"]));
        });
        assert_eq!(found.len(), count, "{user}: {found:?}");
    }
}
