//! The managed role, as `vrrp check` prints it: it reads back as the same, passwords apart.

use std::fmt::{Formatter, Result};

use super::check::{account, path, tls};
use super::{quoted, word};
use crate::config::duration::format as time;
use crate::config::role::{BEHINDS, DIVERGENCES, SEMI_SYNCS, SPLITS, STUCKS};
use crate::config::{Instance, Role};
use crate::database::Place;
use crate::health::tls::Tls;
use crate::role::Divergence;

pub(super) fn explain_role(f: &mut Formatter<'_>, instance: &Instance) -> Result {
    let Some(role) = &instance.role else { return Ok(()) };
    let Role { local, peer, service_ports, settings, handover_timeout } = role.as_ref();
    writeln!(f, "    role: manage\n    mysql:")?;
    match &local.place {
        Place::Socket(socket) => writeln!(f, "      socket: {}", path(socket))?,
        Place::Tcp(address, port) => {
            writeln!(f, "      address: {}\n      port: {port}", quoted(&address.to_string()))?;
        }
    }
    for line in account(&local.account) {
        writeln!(f, "      {line}")?;
    }
    if let Some(own) = &local.tls {
        writeln!(f, "      tls: {}", tls(own))?;
    }
    let ports = service_ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    writeln!(f, "      service_ports: [{ports}]")?;
    match peer {
        Some(peer) => {
            let place = match &peer.place {
                Place::Socket(socket) => path(socket),
                Place::Tcp(address, port) => {
                    format!("address: {}, port: {port}", quoted(&address.to_string()))
                }
            };
            let tls = match (&peer.tls, &local.tls) {
                (Some(own), _) => format!(", tls: {}", tls(own)),
                // Else it would take over the outer one.
                (None, Some(_)) => ", tls: false".to_owned(),
                (None, None) => String::new(),
            };
            writeln!(f, "      peer: {{ {place}, {}{tls} }}", account(&peer.account).join(", "))?;
            explain_tls(f, peer.tls.as_ref())?;
        }
        None => writeln!(f, "      # no peer: the gate cannot ask, and what may be lost cannot be named")?,
    }
    writeln!(f, "      split: {}", word(&SPLITS, settings.split))?;
    writeln!(f, "      behind: {}", word(&BEHINDS, settings.behind))?;
    writeln!(f, "      diverged: {}", word(&DIVERGENCES, settings.diverged))?;
    let of_divergence = match settings.diverged {
        Divergence::Serve => "the winner serves on; replication from it stays stopped",
        Divergence::ReadOnly => "both servers stay read-only until a person has decided",
    };
    writeln!(f, "      # a former master comes back with writes of its own: {of_divergence}")?;
    writeln!(f, "      semi_sync: {}", word(&SEMI_SYNCS, settings.semi_sync))?;
    writeln!(f, "      stuck: {}", word(&STUCKS, settings.stuck))?;
    for (key, span) in [
        ("peer_limit", settings.peer_limit),
        ("split_wait", settings.split_wait),
        ("statement_limit", settings.statement_limit),
        ("catch_up", settings.catch_up),
        ("stall", settings.stall),
        ("write_limit", settings.write_limit),
    ] {
        writeln!(f, "      {key}: {}", time(span))?;
    }
    writeln!(f, "      heartbeat_table: {}", quoted(&settings.heartbeat_table))?;
    writeln!(f, "      handover_timeout: {}", time(*handover_timeout))?;
    writeln!(
        f,
        "      # winning takes {} at most, before the addresses come on",
        time(settings.longest_win())
    )?;
    writeln!(
        f,
        "      # losing as planned keeps them {} at most, to a stronger master {}, of a hung server not at all",
        time(*handover_timeout),
        time(settings.statement_limit)
    )
}

fn explain_tls(f: &mut Formatter<'_>, tls: Option<&Tls>) -> Result {
    match tls {
        Some(Tls { verify: false, .. }) => writeln!(
            f,
            "      # the peer's server is asked over TLS, whatever certificate it has: somebody in between could be it"
        ),
        Some(_) => writeln!(
            f,
            "      # the peer's server is asked over TLS; one whose certificate is refused counts as alive, and is not taken over from"
        ),
        None => Ok(()),
    }
}
