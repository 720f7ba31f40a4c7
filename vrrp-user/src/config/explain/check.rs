//! Checks, as `vrrp check` prints them: they read back as the same, passwords apart.

use std::fmt::{Formatter, Result};
use std::path::Path;

use super::quoted;
use crate::config::Instance;
use crate::config::check::mysql::shown_min_free;
use crate::config::check::weights::{Standing, failures, priority_when, sum};
use crate::config::duration::format as time;
use crate::health::secret::{HIDDEN, Source};
use crate::health::settings::{
    Account, Check, CommandLine, Kind, Login, Mysql, Reaction, Reactions, State, Write,
};
use crate::health::tls::Tls;

pub(super) fn explain_checks(f: &mut Formatter<'_>, instance: &Instance) -> Result {
    if let Some(priority) = instance.peer_priority {
        writeln!(f, "    peer_priority: {priority}")?;
    }
    if instance.checks.is_empty() {
        return Ok(());
    }
    writeln!(f, "    checks:")?;
    for check in &instance.checks {
        explain_check(f, check)?;
    }
    explain_weights(f, instance)
}

fn explain_check(f: &mut Formatter<'_>, check: &Check) -> Result {
    writeln!(f, "      - name: {}", quoted(&check.name))?;
    match &check.kind {
        Kind::Tcp(tcp) => {
            writeln!(
                f,
                "        tcp: {{ address: {}, port: {}, connect_timeout: {}, retries: {}{} }}",
                quoted(&tcp.address.to_string()),
                tcp.port,
                time(tcp.connect_timeout),
                tcp.retries,
                // Without retries it would be warned about.
                if tcp.retries > 0 {
                    format!(", retry_delay: {}", time(tcp.retry_delay))
                } else {
                    String::new()
                }
            )?;
            writeln!(f, "        interval: {}", time(tcp.interval))?;
        }
        Kind::Script(script) => {
            let user =
                script.user.as_ref().map(|user| format!(", user: {}", quoted(user))).unwrap_or_default();
            writeln!(
                f,
                "        script: {{ command: {}, timeout: {}{user}, init_fail: {} }}",
                command(&script.command),
                time(script.timeout),
                script.init_fail
            )?;
            writeln!(f, "        interval: {}", time(script.interval))?;
        }
        Kind::Mysql(mysql) => explain_mysql(f, mysql)?,
    }
    writeln!(
        f,
        "        rise: {}\n        fall: {}\n        hold_down: {}",
        check.rise,
        check.fall,
        time(check.hold_down)
    )?;
    writeln!(f, "        on_failure: {}", reactions(&check.on_failure))?;
    for (key, line) in [("notify_down", &check.notify_down), ("notify_up", &check.notify_up)] {
        if let Some(line) = line {
            writeln!(f, "        {key}: {}", command(line))?;
        }
    }
    Ok(())
}

fn explain_mysql(f: &mut Formatter<'_>, mysql: &Mysql) -> Result {
    writeln!(f, "        mysql:")?;
    writeln!(f, "          address: {}", quoted(&mysql.address.to_string()))?;
    writeln!(f, "          port: {}", mysql.port)?;
    if let Some(socket) = &mysql.socket {
        writeln!(f, "          socket: {}", path(socket))?;
    }
    for line in account(&mysql.account) {
        writeln!(f, "          {line}")?;
    }
    if let Some(own) = &mysql.tls {
        writeln!(f, "          tls: {}", tls(own))?;
    }
    let fast = mysql.fast;
    writeln!(
        f,
        "          fast: {{ interval: {}, deadline: {}, fall: {} }} # a hung server is found within {}",
        time(fast.interval),
        time(fast.deadline),
        fast.fall,
        time(fast.interval + fast.deadline * u32::from(fast.fall.get()))
    )?;
    if let Some(Login { account: login, interval, deadline }) = &mysql.login {
        let account = account(login).join(", ");
        writeln!(
            f,
            "          login: {{ {account}, interval: {}, deadline: {} }}",
            time(*interval),
            time(*deadline)
        )?;
    }
    match &mysql.state {
        None => writeln!(f, "          state: false")?,
        Some(State { interval, deadline, max_lag }) => {
            let lag = max_lag.map(|lag| format!(", max_lag: {}", time(lag))).unwrap_or_default();
            writeln!(
                f,
                "          state: {{ interval: {}, deadline: {}{lag} }}",
                time(*interval),
                time(*deadline)
            )?;
        }
    }
    if let Some(Write { interval, deadline, table: (schema, table), min_free }) = &mysql.write {
        writeln!(
            f,
            "          write: {{ interval: {}, deadline: {}, table: {}, min_free: {} }}",
            time(*interval),
            time(*deadline),
            quoted(&format!("{schema}.{table}")),
            quoted(&shown_min_free(*min_free))
        )?;
    }
    writeln!(f, "          process: {}", mysql.process)
}

pub(super) fn account(account: &Account) -> Vec<String> {
    let mut lines = vec![format!("user: {}", quoted(&account.user))];
    match &account.password {
        Source::Empty => {}
        Source::Inline(_) => lines.push(format!("password: \"{HIDDEN}\"")),
        Source::File(file) => lines.push(format!("password_file: {}", path(file))),
        Source::Environment(name) => lines.push(format!("password_env: {}", quoted(name))),
    }
    lines
}

pub(super) fn tls(tls: &Tls) -> String {
    let ca = tls.ca.as_ref().map(|ca| format!("ca: {}, ", path(ca))).unwrap_or_default();
    let name = tls.server_name.as_ref().map(|name| format!("server_name: {}, ", quoted(name)));
    format!("{{ {ca}{}verify: {} }}", name.unwrap_or_default(), tls.verify)
}

pub(super) fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

pub(super) fn command(line: &CommandLine) -> String {
    let mut words = vec![line.program.to_string_lossy().into_owned()];
    words.extend(line.arguments.iter().cloned());
    let words = words.iter().map(|word| {
        let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "/._-+=:,@%".contains(c));
        if plain { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    quoted(&words.collect::<Vec<_>>().join(" "))
}

fn reactions(reactions: &Reactions) -> String {
    if *reactions == Reactions::all(reactions.dead) {
        return reaction(reactions.dead);
    }
    let each = [
        ("dead", reactions.dead),
        ("hung", reactions.hung),
        ("leaving", reactions.leaving),
        ("degraded", reactions.degraded),
    ];
    let each = each.map(|(verdict, what)| format!("{verdict}: {}", reaction(what)));
    format!("{{ {} }}", each.join(", "))
}

fn reaction(reaction: Reaction) -> String {
    match reaction {
        Reaction::Release => "release".into(),
        Reaction::Report => "report".into(),
        Reaction::Weight(weight) => format!("{{ weight: {weight} }}"),
    }
}

/// The sums, so that nobody has to do them at night.
fn explain_weights(f: &mut Formatter<'_>, instance: &Instance) -> Result {
    let standing = Standing::of(instance);
    let weighted = instance.checks.iter().filter(|check| !check.on_failure.weights().is_empty());
    let mut any = false;
    for check in weighted {
        for verdict in failures(check) {
            let failing = priority_when(standing, &instance.checks, Some((check, verdict)));
            let sum = sum(standing, check, verdict);
            writeln!(f, "    # while {} is {verdict}: priority {sum} = {failing}", check.name)?;
            any = true;
        }
    }
    if any {
        let healthy = priority_when(standing, &instance.checks, None);
        writeln!(f, "    # while all is well: priority {healthy}")?;
        if instance.peer_priority.is_none() {
            writeln!(f, "    # not compared with the peer's: write its priority as `peer_priority`")?;
        }
    }
    Ok(())
}
