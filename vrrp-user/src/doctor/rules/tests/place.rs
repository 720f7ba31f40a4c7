//! The host, the virtual address on it, and what runs there.

use super::*;

use Severity::{Error, Info, Warning};

fn at(severity: Severity, check: &'static str) -> [(Severity, Node, &'static str); 1] {
    [(severity, Node::Local, check)]
}

fn without_address(host: &mut HostFacts) {
    host.addresses = Some(vec!["10.99.0.1".to_owned()]);
}

/// Local and peer change roles.
fn turn(local: &mut Answers, peer: &mut Answers) {
    let position = |row: &Row, value: &str| {
        let text = show(row);
        let other = if value == "1" { "0" } else { "1" };
        recorded(&text.replace(&format!("read_only: {other}"), &format!("read_only: {value}")))
    };
    local.identity = position(&local.identity, "1");
    peer.identity = position(&peer.identity, "0");
    // Changed by somebody, not by a file.
    peer.read_only_origin = Some("DYNAMIC".to_owned());
}

/// Whether the peer's files say read-only cannot be told, and is beside the point here.
fn beside_the_point(found: Vec<(Severity, Node, &'static str)>) -> Vec<(Severity, Node, &'static str)> {
    found.into_iter().filter(|(_, _, check)| *check != "starts-read-only").collect()
}

#[test]
fn the_address_is_where_the_writable_server_is() {
    let strays = judged(|_, _, host| without_address(host));
    assert_eq!(strays, at(Warning, "address-and-writer"));
    let not_started = judged(|_, _, host| {
        without_address(host);
        host.has_daemon = false;
    });
    assert_eq!(not_started, at(Info, "address-and-writer"), "nothing decides yet");
    let refused = judged(|local, peer, _| turn(local, peer));
    assert_eq!(beside_the_point(refused), at(Error, "address-and-writer"));
    let standby = judged(|local, peer, host| {
        turn(local, peer);
        without_address(host);
    });
    assert_eq!(beside_the_point(standby), [], "both are at the peer");
    assert_eq!(judged(|_, _, host| host.addresses = None), [], "not known");
}

#[test]
fn an_address_of_ours_without_a_daemon_of_ours_is_an_error() {
    let left = judged(|_, _, host| host.has_daemon = false);
    assert_eq!(left, at(Error, "address-without-daemon"));
    let other = judged(|_, _, host| {
        host.has_daemon = false;
        host.other_managers = vec!["keepalived".to_owned()];
    });
    assert_eq!(
        other,
        [at(Error, "address-without-daemon"), at(Warning, "other-manager")].concat(),
        "and its name is said"
    );
}

#[test]
fn an_address_that_others_answer_for_is_told_of() {
    const VIP: &str = "10.99.0.200";
    let card = |last: u8| MacAddress([2, 0, 0, 0, 0, last]);
    let claims = |cards: &[u8]| {
        let found = cards.iter().map(|last| (VIP.to_owned(), card(*last))).collect();
        Some(Claims { asked: vec![VIP.to_owned()], found, peer: vec![card(2)] })
    };
    assert_eq!(judged(|_, _, host| host.claims = claims(&[])), [], "it is here alone");
    assert_eq!(judged(|_, _, host| host.claims = claims(&[2])), at(Error, "address-held-twice"));
    let standby = |cards: &'static [u8]| {
        let found = judged(move |local, peer, host| {
            turn(local, peer);
            without_address(host);
            host.claims = claims(cards);
        });
        beside_the_point(found)
    };
    assert_eq!(standby(&[2]), [], "the peer has it");
    assert_eq!(standby(&[3]), at(Warning, "address-held-by-another"));
    assert_eq!(standby(&[2, 3]), at(Error, "address-held-twice"));
    assert_eq!(standby(&[]), at(Warning, "address-held-by-nobody"));
    let unknown = judged(|local, peer, host| {
        turn(local, peer);
        without_address(host);
        host.claims = claims(&[3]).map(|claims| Claims { peer: Vec::new(), ..claims });
    });
    assert_eq!(beside_the_point(unknown), [], "the peer is on another segment");
    let own_card = judged(|local, peer, host| {
        turn(local, peer);
        without_address(host);
        let router = MacAddress([0, 0, 0x5e, 0, 1, 51]);
        host.claims = claims(&[]).map(|claims| Claims { found: vec![(VIP.to_owned(), router)], ..claims });
    });
    assert_eq!(beside_the_point(own_card), [], "keepalived with use_vmac");
}

#[test]
fn the_strict_kind_of_read_only_must_be_in_the_files_too() {
    let weak =
        judged(|_, _, host| host.starts_as = Some(StartsAs { read_only: true, ..StartsAs::default() }));
    assert_eq!(weak, at(Error, "starts-super-read-only"));
    let strict =
        judged(|_, _, host| host.starts_as = Some(StartsAs { super_read_only: true, ..StartsAs::default() }));
    assert_eq!(strict, [], "it includes the other");
    assert_eq!(
        judged(|_, _, host| host.starts_as = Some(StartsAs::default())),
        at(Error, "starts-read-only")
    );
}

#[test]
fn clock_keepalive_and_disks_of_the_host_are_looked_at() {
    assert_eq!(judged(|_, _, host| host.clock = Clock::Adrift), at(Warning, "clock-sync"));
    assert_eq!(judged(|_, _, host| host.clock = Clock::Unkept), at(Info, "clock-sync"));
    assert_eq!(judged(|_, _, host| host.keepalive_seconds = Some(7200)), at(Info, "tcp-keepalive"));
    let own = |seconds: &'static str| {
        judged(move |local, _, host| {
            host.keepalive_seconds = Some(7200);
            set(&mut local.variables, "tcp_keepalive_time", seconds);
        })
    };
    assert_eq!(own("60"), [], "the server's own beats the kernel's");
    assert_eq!(own("0"), at(Info, "tcp-keepalive"), "0 is the kernel's");
    assert_eq!(judged(|_, _, host| host.binlog_shares_disk = Some(true)), at(Info, "shared-disk"));
    let narrow = judged(|_, _, host| {
        host.binlog_shares_disk = Some(true);
        host.disks[0].free = 200;
    });
    assert_eq!(narrow, at(Warning, "shared-disk"));
}

#[test]
fn a_backup_on_the_active_server_is_told_of_and_its_victims_warned_of() {
    let session = |state: &str, info: &str| recorded(&format!("Id: 9\nState: {state}\nInfo: {info}"));
    for state in ["Waiting for global read lock", "Waiting for backup lock", "Waiting for commit lock"] {
        let found = judged(|local, _, _| local.sessions.push(session(state, "INSERT INTO t VALUES (1)")));
        assert_eq!(found, at(Warning, "backup-lock"), "{state}");
    }
    let lock = judged(|local, _, _| local.sessions.push(session("init", "flush tables  with read lock")));
    assert_eq!(lock, at(Info, "backup"));
    let program = judged(|local, _, _| local.programs.push(recorded("program: mysqldump")));
    assert_eq!(program, at(Info, "backup"));
    assert_eq!(judged(|_, _, host| host.backups = vec!["xtrabackup".to_owned()]), at(Info, "backup"));
    let standby = judged(|_, peer, _| peer.programs.push(recorded("program: mysqldump")));
    assert_eq!(standby, [], "that is the place for it");
}

#[test]
fn hardware_that_differs_is_told_of() {
    let found = judged(|local, peer, _| {
        set(&mut local.variables, "version_compile_machine", "x86_64");
        set(&mut peer.variables, "version_compile_machine", "aarch64");
    });
    assert_eq!(found, [(Info, Node::Pair, "parity")]);
}

#[test]
fn a_listener_on_loopback_alone_is_wrong_whatever_the_addresses_are() {
    let said = |bind: &str, virtual_addresses: &[&str]| {
        let mut local = mysql8(0);
        set(&mut local.variables, "bind_address", bind);
        let mut context = context();
        context.virtual_addresses = virtual_addresses.iter().map(|one| (*one).to_owned()).collect();
        let mut findings = Findings::on(Node::Local);
        reach::listener(&Facts::read(&local, Some(host())).unwrap(), &context, &mut findings);
        findings.into_all().into_iter().map(|finding| finding.found).collect::<Vec<_>>()
    };
    for bind in ["127.0.0.1", "localhost", "127.0.0.1,::1"] {
        assert_eq!(said(bind, &[]), [format!("it listens on {bind} only")]);
        assert_eq!(said(bind, &["10.99.0.200"]), [format!("it listens on {bind} only")]);
    }
    assert!(said("10.99.0.1", &[]).is_empty(), "nothing is known of the virtual address");
    assert!(said("*", &[]).is_empty());
    assert_eq!(said("10.99.0.200", &["10.99.0.200"]).len(), 1);
}
