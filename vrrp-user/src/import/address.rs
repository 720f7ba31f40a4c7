//! Entries of `virtual_ipaddress`: what ip(8) understands, to what we do.
//!
//! Owns their options.

use std::net::{IpAddr, Ipv4Addr};

use super::report::{Report, shown};
use super::settings::origin;
use super::tree::Statement;
use super::yaml::{Entry, Item, Origin, Value};

const BLOCK: &str = "virtual_ipaddress";

/// An entry that can be carried over.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) address: Ipv4Addr,
    pub(super) device: Option<String>,
    pub(super) item: Item,
}

/// What an entry turned out to be.
pub(super) enum Read {
    Ours(Address),
    /// IPv6.
    Six,
    /// Reported.
    Nothing,
}

/// One line of the block; `interface` is the instance's.
pub(super) fn read(statement: &Statement, interface: Option<&str>, report: &mut Report) -> Read {
    let place = statement.place;
    let Some((written, options)) = statement.words.split_first() else { return Read::Nothing };
    let (text, mask) =
        written.split_once('/').map_or((written.as_str(), None), |(text, mask)| (text, Some(mask)));
    let address = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address,
        Ok(IpAddr::V6(_)) => return Read::Six,
        Err(_not_an_address) => {
            let why = format!("`{}` is not an IP address; left out, as keepalived does", shown(written));
            report.error(place, BLOCK, why);
            return Read::Nothing;
        }
    };
    let mut prefix = 32;
    if let Some(mask) = mask {
        match mask.parse::<u8>().ok().filter(|bits| (1..=32).contains(bits)) {
            Some(bits) => prefix = bits,
            None => {
                let why = format!(
                    "`/{}` is no prefix length: keepalived takes /32 then, and so does this",
                    shown(mask)
                );
                report.warn(place, BLOCK, why);
            }
        }
    }
    let mut extra = Extra::default();
    extra.read(options, statement, report);
    let written = if mask.is_some() { format!("{address}/{prefix}") } else { address.to_string() };
    let from = Origin { what: BLOCK.to_owned(), ..origin(statement) };
    let bare = Origin { comment: None, ..from.clone() };
    let device = extra.device.filter(|device| Some(device.as_str()) != interface);
    let value = if device.is_none() && extra.label.is_none() && extra.scope.is_none() {
        Value::text(&written)
    } else {
        let mut entries = vec![Entry::new("address", Value::text(&written), &from)];
        let more = [("dev", &device), ("label", &extra.label), ("scope", &extra.scope)];
        for (key, text) in more {
            if let Some(text) = text {
                entries.push(Entry::new(key, Value::text(text), &bare));
            }
        }
        Value::Map(entries)
    };
    Read::Ours(Address { address, device, item: Item { value, origin: from } })
}

#[derive(Default)]
struct Extra {
    device: Option<String>,
    label: Option<String>,
    scope: Option<String>,
}

impl Extra {
    fn read(&mut self, options: &[String], statement: &Statement, report: &mut Report) {
        let place = statement.place;
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let what = format!("{BLOCK}: {option}");
            let what = what.as_str();
            let mut argument = |report: &mut Report| {
                let argument = options.next().cloned();
                if argument.is_none() {
                    report.warn(place, what, "has no value; left out");
                }
                argument
            };
            match option.as_str() {
                "dev" => self.device = argument(report),
                "label" => self.label = argument(report),
                "scope" => self.scope = argument(report).and_then(|text| scope(&text, what, place, report)),
                "brd" | "broadcast" => {
                    if argument(report).is_some() {
                        report.ignore(place, what, "the kernel needs none to serve the address");
                    }
                }
                "peer" => {
                    if argument(report).is_some() {
                        report.error(
                            place,
                            what,
                            "point-to-point addresses are not there; put on as an ordinary one",
                        );
                    }
                }
                "preferred_lft" => {
                    if argument(report).is_some_and(|text| text != "forever") {
                        let why =
                            "is not there: the kernel may choose the address as source of new connections";
                        report.error(place, what, why);
                    }
                }
                "track_group" => {
                    argument(report);
                    report.warn(place, what, "only static addresses have one");
                }
                "no_track" => {
                    report.warn(place, what, "an address that somebody takes away is always put back");
                }
                "noprefixroute" => {
                    let why =
                        "the kernel adds the route of the address's network; write /32 if that is unwanted";
                    report.error(place, what, why);
                }
                "use_vmac" => report.error(
                    place,
                    what,
                    "there is no virtual MAC address yet: the interface's own is used",
                ),
                "home" | "-nodad" | "nodad" | "mngtmpaddr" | "autojoin" => {
                    report.ignore(place, what, "means nothing for an IPv4 address of a service");
                }
                _ => report.warn(place, what, "keepalived knows no such option, and ignores it"),
            }
        }
    }
}

/// By name or number (rt_scopes).
fn scope(text: &str, what: &str, place: super::report::Place, report: &mut Report) -> Option<String> {
    let name = match text {
        "global" | "0" => return None,
        "site" | "200" => "site",
        "link" | "253" => "link",
        "host" | "254" => "host",
        _ => {
            report.error(
                place,
                what,
                format!("`{}` is no scope that can be set; global is used", shown(text)),
            );
            return None;
        }
    };
    Some(name.to_owned())
}
