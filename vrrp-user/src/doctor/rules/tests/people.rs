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
