//! Who may read over HTTP: `metrics` and `status_page`.

use std::net::{Ipv4Addr, SocketAddr};

use super::Metrics;
use super::document::socket_path;
use super::fields::{Fields, Section, Value, kind, scalar};
use super::problem::Problems;
use super::tree::{Node, shown};

pub(super) const METRICS: Section = Section { name: "`metrics`", keys: &["socket", "listen"] };
pub(super) const STATUS_PAGE: Section = Section { name: "`status_page`", keys: &["listen"] };

pub(super) fn metrics(value: &Value<'_>, problems: &mut Problems) -> Option<Metrics> {
    let fields = Fields::open(value, &METRICS, problems)?;
    let some_path = |node: &Node| socket_path(node).map(Some);
    let socket = fields.optional("socket", None, problems, scalar(some_path));
    let listen =
        fields.optional("listen", None, problems, |value, problems| place(value, problems).map(Some));
    if fields.find("socket").is_none() && fields.find("listen").is_none() {
        let message = "does not say where; add `socket: /run/vrrp/metrics.sock` or `listen: 127.0.0.1:9112`";
        problems.value(fields.path(), message);
        return None;
    }
    Some(Metrics { socket: socket?, listen: listen? })
}

pub(super) fn status_page(value: &Value<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    let fields = Fields::open(value, &STATUS_PAGE, problems)?;
    fields.required("listen", "127.0.0.1:8112", problems, place)
}

/// A place that others can reach is accepted, and said.
fn place(value: &Value<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    let place = scalar(address)(value, problems)?;
    if !place.ip().is_loopback() {
        let message = format!(
            "{place} can be reached from other hosts, and there is neither password nor encryption: whoever can connect \
             sees the state of every instance; use 127.0.0.1, or keep others out with a firewall"
        );
        problems.warn(&value.path, message);
    }
    Some(place)
}

fn address(node: &Node) -> Result<SocketAddr, String> {
    let example = "write an address and a port, as in 127.0.0.1:9112, or a port alone for this host";
    match node {
        Node::Integer(port) => {
            let port = u16::try_from(*port).ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| format!("is no port; use 1 to 65535, or {example}"))?;
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
        Node::Text(text) => match text.parse::<SocketAddr>() {
            Ok(place) if place.port() > 0 => Ok(place),
            Ok(_) => Err(format!("`{}` has no port; {example}", shown(text))),
            Err(_) => Err(format!("`{}` is no address with a port; {example}", shown(text))),
        },
        Node::Empty | Node::Bool(_) | Node::Fraction(_) | Node::List(_) | Node::Map(_) => {
            Err(format!("is {}; {example}", kind(node)))
        }
    }
}
