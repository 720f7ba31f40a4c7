//! Virtual addresses, and the names they carry in the kernel.

use std::net::{IpAddr, Ipv4Addr};

use super::fields::{ADDRESS, Fields, Value, kind, scalar, text, word};
use super::problem::Problems;
use super::tree::{Node, shown};
use super::{Scope, VirtualAddress};

pub(super) const SCOPES: [(&str, Scope); 4] =
    [("global", Scope::Global), ("site", Scope::Site), ("link", Scope::Link), ("host", Scope::Host)];

/// The kernel's IFNAMSIZ less the terminating zero: names of interfaces and labels.
const MAX_NAME: usize = 15;

const EXAMPLE: &str = "192.168.1.200/24";

/// One entry of `virtual_addresses`; `interface` is where it goes unless it says otherwise.
pub(super) fn virtual_address(
    value: &Value<'_>,
    interface: Option<&str>,
    problems: &mut Problems,
) -> Option<VirtualAddress> {
    if !matches!(value.node, Node::Map(_)) {
        let (address, prefix) = scalar(with_prefix)(value, problems)?;
        return Some(VirtualAddress {
            address,
            prefix,
            device: interface?.to_owned(),
            label: None,
            scope: Scope::Global,
        });
    }
    let fields = Fields::open(value, &ADDRESS, problems)?;
    let address = fields.required("address", EXAMPLE, problems, scalar(with_prefix));
    let device = fields.optional("dev", interface.map(str::to_owned), problems, |value, problems| {
        scalar(interface_name)(value, problems).map(Some)
    });
    let label =
        fields.optional("label", None, problems, |value, problems| scalar(label)(value, problems).map(Some));
    let scope = fields.optional("scope", Scope::Global, problems, scalar(word(&SCOPES)));
    if let (Some(Some(device)), Some(Some(label)), Some(value)) = (&device, &label, fields.find("label"))
        && label != device
        && !label.strip_prefix(device.as_str()).is_some_and(|rest| rest.starts_with(':'))
    {
        let message = format!(
            "`{label}` does not begin with `{device}:`; the kernel takes it, but ip(8) and ifconfig expect that"
        );
        problems.warn(&value.path, message);
    }
    let (address, prefix) = address?;
    Some(VirtualAddress { address, prefix, device: device??, label: label?, scope: scope? })
}

/// `ADDR` or `ADDR/PREFIX`. None means /32, as in keepalived.
fn with_prefix(node: &Node) -> Result<(Ipv4Addr, u8), String> {
    let written = match node {
        Node::Text(text) => text,
        Node::Empty | Node::Bool(_) | Node::Integer(_) | Node::Fraction(_) | Node::List(_) | Node::Map(_) => {
            return Err(format!("is {}; write an address, as in {EXAMPLE}", kind(node)));
        }
    };
    if written.trim().contains(char::is_whitespace) {
        return Err(format!(
            "`{}` is more than an address; write `{{ address: {EXAMPLE}, dev: eth0, label: \"eth0:vip\" }}`",
            shown(written)
        ));
    }
    let (address, prefix) = match written.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (written.as_str(), None),
    };
    let address = ipv4(address)?;
    let prefix = match prefix {
        None => 32,
        Some(prefix) => prefix
            .parse::<u8>()
            .ok()
            .filter(|bits| (1..=32).contains(bits))
            .ok_or_else(|| format!("`/{}` is not a prefix length; use /1 to /32", shown(prefix)))?,
    };
    // A /31 has no such addresses (RFC 3021), a /32 has nothing but the host.
    if prefix < 31 {
        let host = u32::MAX >> prefix;
        if address.to_bits() & host == 0 || address.to_bits() & host == host {
            return Err(format!(
                "{address} is the network or the broadcast address of its /{prefix}, which no host can have; use \
                 another address, or /32"
            ));
        }
    }
    Ok((address, prefix))
}

/// One sender in `peers`.
pub(super) fn peer(node: &Node) -> Result<Ipv4Addr, String> {
    match node {
        Node::Text(text) => ipv4(text),
        Node::Empty | Node::Bool(_) | Node::Integer(_) | Node::Fraction(_) | Node::List(_) | Node::Map(_) => {
            Err(format!("is {}; write an address, as in 192.168.1.11", kind(node)))
        }
    }
}

fn ipv4(written: &str) -> Result<Ipv4Addr, String> {
    let address = match written.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address,
        Ok(IpAddr::V6(address)) => {
            return Err(format!(
                "{address} is an IPv6 address, and virtual routers are IPv4 only for now; list IPv4 addresses"
            ));
        }
        Err(_not_an_address) => {
            return Err(format!(
                "`{}` is not an IPv4 address; write one as in {EXAMPLE} (names are not looked up)",
                shown(written)
            ));
        }
    };
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback() {
        return Err(format!(
            "{address} is not an address that a host on a network can have; use a unicast address"
        ));
    }
    Ok(address)
}

/// The kernel's rule for a device (dev_valid_name), and only printable ASCII: it goes into commands and logs.
pub(super) fn interface_name(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    let sane = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if name.is_empty() || name.len() > MAX_NAME || !sane || name == "." || name == ".." {
        return Err(format!(
            "`{}` cannot be the name of an interface; use 1 to {MAX_NAME} characters without spaces, `/` and `:`, as \
             in eth0",
            shown(name)
        ));
    }
    Ok(name.to_owned())
}

fn label(node: &Node) -> Result<String, String> {
    let label = text(node)?;
    if label.is_empty() || label.len() > MAX_NAME || !label.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "`{}` cannot be a label ({} bytes); the kernel takes 1 to {MAX_NAME}, without spaces, as in \"eth0:vip\"",
            shown(label),
            label.len()
        ));
    }
    Ok(label.to_owned())
}
