//! Can clients reach the server at the virtual address, and the daemon when clients cannot?

use std::net::IpAddr;

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;

pub(super) fn listener(facts: &Facts, context: &Context, findings: &mut Findings) {
    const WHY: &str = "the virtual address answers, and the connection is refused";
    if facts.is_on(&["skip_networking"]) == Some(true) {
        findings.error("listener", "skip_networking is ON", WHY, "my.cnf: remove skip_networking");
    }
    let bind = facts.variable(&["bind_address"]).unwrap_or("*");
    let is_everywhere =
        bind.is_empty() || bind.split(',').any(|one| ["*", "0.0.0.0", "::"].contains(&one.trim()));
    let covers = |address: &String| bind.split(',').any(|one| one.trim() == address);
    // Without a configuration nothing is known of the virtual address, but that it is none of these.
    let is_loopback =
        |one: &str| one == "localhost" || one.parse().is_ok_and(|one: IpAddr| one.is_loopback());
    let is_closed = bind.split(',').all(|one| is_loopback(one.trim()));
    if !is_everywhere && (is_closed || !context.virtual_addresses.iter().all(covers)) {
        findings.error(
            "listener",
            format!("it listens on {bind} only"),
            WHY,
            "my.cnf: bind_address = 0.0.0.0 (or *)",
        );
    } else if !is_everywhere
        && !context.virtual_addresses.is_empty()
        && facts.host.as_ref().and_then(|host| host.allows_nonlocal_bind) == Some(false)
    {
        findings.error(
            "listener",
            format!("it listens on {bind}, which is not here while the peer holds it"),
            "the server does not start on the standby",
            "sysctl net.ipv4.ip_nonlocal_bind=1, or my.cnf: bind_address = 0.0.0.0",
        );
    }
}

pub(super) fn limits(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if facts.is_on(&["skip_name_resolve"]) == Some(false) {
        findings.warn(
            "name-resolve",
            "skip_name_resolve is OFF",
            "with the name service slow every login is slow, and looks like a hang",
            "my.cnf: skip_name_resolve = 1 (accounts must name addresses, not host names)",
        );
    }
    if let Some(errors) = facts.number(&["max_connect_errors"]).filter(|errors| *errors < 10_000) {
        findings.warn(
            "connect-errors",
            format!("max_connect_errors is {errors}"),
            "a load balancer's bare TCP checks get a host blocked (1129)",
            "SET GLOBAL max_connect_errors = 1000000; my.cnf: max_connect_errors = 1000000",
        );
    }
    let has_extra_port = facts.number(&["extra_port"]).is_some_and(|port| port != 0);
    let has_admin_address = facts.variable(&["admin_address"]).is_some_and(|address| !address.is_empty());
    if !has_extra_port && !has_admin_address && !is_too_old_for_admin_port(facts) {
        let mend = if facts.flavour.is_mariadb() {
            "my.cnf: extra_port = 3307 and extra_max_connections = 5"
        } else {
            "my.cnf: admin_address = 127.0.0.1 and create_admin_listener_thread = ON"
        };
        findings.warn(
            "admin-port",
            "there is no listener of its own for administration",
            "with all connections taken, one is left for the daemon and for a person together",
            mend,
        );
    }
    for name in ["wait_timeout", "interactive_timeout"] {
        if let Some(seconds) = facts.number(&[name]).filter(|seconds| *seconds < 60) {
            findings.warn(
                "idle-timeout",
                format!("{name} is {seconds} s"),
                "idle connections of applications, and probes with a long period, are cut",
                format!("SET GLOBAL {name} = 28800; my.cnf: {name} = 28800"),
            );
        }
    }
    let statement_limit = facts.variable(&["max_statement_time", "max_execution_time"]).unwrap_or("0");
    if !statement_limit.trim_start_matches(['0', '.']).is_empty() {
        findings.info(
            "statement-limit",
            format!("statements are ended after {statement_limit}"),
            "the daemon's waits for a position are statements too; it asks for bounds of its own",
            "nothing, if it is meant",
        );
    }
    if let Some(host) = &facts.host {
        for name in &host.other_managers {
            findings.warn(
                "other-manager",
                format!("{name} runs on this host"),
                "two programs that move the same address give it two holders",
                format!("stop and disable {name}, or see that it has other addresses and router ids"),
            );
        }
    }
}

fn is_too_old_for_admin_port(facts: &Facts) -> bool {
    !facts.flavour.is_mariadb() && !facts.flavour.is_mysql_from(8, 0, 14)
}
