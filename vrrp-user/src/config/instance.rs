//! One virtual router: its keys, and what they demand of each other.

use std::net::Ipv4Addr;
use std::num::NonZeroU8;
use std::time::Duration;

use super::address::{interface_name, peer, virtual_address};
use super::check::checks;
use super::check::weights::{self, Standing};
use super::duration;
use super::fields::{
    AUTH, Fields, GARP, INSTANCE, Value, boolean, duration_within, kind, number, scalar, text, word,
};
use super::notify::instance_notify;
use super::password::Password;
use super::problem::Problems;
use super::role;
use super::tree::{Node, shown};
use super::{
    AddressLifetime, Centiseconds, Checksum, Garp, Instance, InstanceNotify, Protocol, Seconds, Skew,
    VirtualAddress,
};

pub(super) const CHECKSUMS: [(&str, Checksum); 2] =
    [("rfc5798", Checksum::Rfc5798), ("rfc9568", Checksum::Rfc9568)];
pub(super) const SKEWS: [(&str, Skew); 2] = [("rfc", Skew::Rfc), ("none", Skew::None)];
pub(super) const LIFETIMES: [(&str, AddressLifetime); 2] =
    [("auto", AddressLifetime::Auto), ("off", AddressLifetime::Off)];

const DEFAULT_PRIORITY: NonZeroU8 = NonZeroU8::new(100).expect("100 is not 0");
/// Priority of the address owner (RFC 9568 §5.2.4).
pub(super) const OWNER: u8 = 255;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_GARP: Garp = Garp {
    burst: NonZeroU8::new(5).expect("5 is not 0"),
    repeat_after: Duration::from_secs(5),
    refresh: Duration::from_secs(60),
};
/// As many as the one-byte count of an advert can name.
const MAX_ADDRESSES: usize = 255;
const MAX_LABEL: usize = 64;

/// The keys on which instances may collide, read even where the rest of an instance will not do.
pub(super) struct Claim<'t> {
    pub(super) name: Option<(String, Value<'t>)>,
    pub(super) interface: Option<String>,
    pub(super) virtual_router_id: Option<(NonZeroU8, Value<'t>)>,
    /// Each virtual address, with its place; None for one that will not do.
    pub(super) addresses: Vec<(Value<'t>, Option<VirtualAddress>)>,
}

/// None, and messages, if it will not do.
pub(super) fn instance<'t>(
    value: &Value<'t>,
    problems: &mut Problems,
) -> Option<(Claim<'t>, Option<Instance>)> {
    let fields = Fields::open(value, &INSTANCE, problems)?;
    let name = fields.required("name", "VI_1", problems, scalar(identifier));
    let interface = fields.required("interface", "eth0", problems, scalar(router_interface));
    let virtual_router_id =
        fields.required("virtual_router_id", "51", problems, scalar(non_zero("a virtual router ID")));
    let priority = fields.optional("priority", DEFAULT_PRIORITY, problems, scalar(priority));
    let protocol = protocol(&fields, problems);
    let preempt = fields.optional("preempt", true, problems, scalar(boolean));
    let delay = duration_within(Duration::ZERO, Duration::from_secs(3600));
    let startup_delay = fields.optional("startup_delay", Duration::ZERO, problems, scalar(delay));
    let addresses = addresses(&fields, interface.as_deref(), problems);
    let peers = peers(&fields, &addresses, problems);
    let skew = skew(&fields, peers.as_deref(), problems);
    let garp = fields.optional("garp", DEFAULT_GARP, problems, garp);
    let deadline = duration_within(Duration::from_millis(10), Duration::from_secs(60));
    let vip_deadline = fields.optional("vip_deadline", Duration::from_secs(1), problems, scalar(deadline));
    let address_lifetime =
        fields.optional("address_lifetime", AddressLifetime::Auto, problems, scalar(word(&LIFETIMES)));
    let checks = fields.optional("checks", Vec::new(), problems, checks);
    let peer_priority = fields.optional("peer_priority", None, problems, |value, problems| {
        scalar(priority_of_peer)(value, problems).map(Some)
    });
    let role = role::role(&fields, checks.as_deref(), problems);
    let notify = fields.optional("notify", None, problems, |value, problems| {
        let notify = instance_notify(value, problems)?;
        Some((notify != InstanceNotify::default()).then(|| Box::new(notify)))
    });
    warn_about_owner(&fields, priority, preempt, startup_delay, problems);

    let claim = Claim {
        name: name.clone().zip(fields.find("name")),
        interface: interface.clone(),
        virtual_router_id: virtual_router_id.zip(fields.find("virtual_router_id")),
        addresses,
    };
    let checked = || {
        Some(Instance {
            name: name?,
            interface: interface?,
            virtual_router_id: virtual_router_id?,
            priority: priority?,
            protocol: protocol?,
            preempt: preempt?,
            startup_delay: startup_delay?,
            virtual_addresses: claim
                .addresses
                .iter()
                .map(|(_, address)| address.clone())
                .collect::<Option<_>>()?,
            peers: peers?,
            skew: skew?,
            garp: garp?,
            vip_deadline: vip_deadline?,
            address_lifetime: address_lifetime?,
            checks: checks?,
            peer_priority: peer_priority?,
            role: role?.map(Box::new),
            notify: notify?,
        })
    };
    let checked = checked();
    if let Some(instance) = &checked {
        weights::warn(&fields, Standing::of(instance), &instance.checks, problems);
    }
    Some((claim, checked))
}

/// A name that logs, metrics and commands can carry without quoting.
pub(super) fn identifier(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    let sane = |c: char| c.is_ascii_alphanumeric() || "_.-:@".contains(c);
    if !(1..=MAX_LABEL).contains(&name.len()) || !name.chars().all(sane) {
        return Err(format!(
            "`{}` is not a name; use 1 to {MAX_LABEL} letters, digits and _ . - : @, no spaces, as in VI_1",
            shown(name)
        ));
    }
    Ok(name.to_owned())
}

fn router_interface(node: &Node) -> Result<String, String> {
    let name = interface_name(node)?;
    if name == "lo" {
        return Err(
            "`lo` reaches no other router; name the interface that the pair shares, as in eth0".into()
        );
    }
    Ok(name)
}

fn non_zero(what: &str) -> impl FnOnce(&Node) -> Result<NonZeroU8, String> {
    move |node| {
        let value = number(what, 1, u8::MAX)(node)?;
        NonZeroU8::new(value).ok_or_else(|| format!("0 is not {what}; use 1 to 255"))
    }
}

fn priority(node: &Node) -> Result<NonZeroU8, String> {
    if *node == Node::Integer(0) {
        return Err("0 is what a MASTER sends when it gives up, not a priority; use 1 to 254, or 255 for the address \
                    owner"
            .into());
    }
    non_zero("a priority")(node)
}

fn priority_of_peer(node: &Node) -> Result<NonZeroU8, String> {
    non_zero("a priority")(node)
}

/// `version`, and the keys whose meaning hangs on it.
fn protocol(fields: &Fields<'_>, problems: &mut Problems) -> Option<Protocol> {
    let version = fields.optional("version", 2, problems, scalar(number("a version of VRRP", 2, 3)));
    let interval =
        fields.optional("advert_interval", DEFAULT_INTERVAL, problems, scalar(super::fields::duration));
    // Without a version nothing can be said about the other keys.
    if version? == 2 { version_2(fields, interval, problems) } else { version_3(fields, interval, problems) }
}

fn version_2(fields: &Fields<'_>, interval: Option<Duration>, problems: &mut Problems) -> Option<Protocol> {
    if let Some(value) = fields.find("checksum") {
        problems.key(&value.path, "is for version 3: version 2 has only one form; leave it out");
    }
    let password = fields.optional("auth", None, problems, |value, problems| auth(value, problems).map(Some));
    let interval = interval?;
    let advert_interval = Seconds::from_duration(interval);
    if advert_interval.is_none() {
        let message = format!(
            "{} is not an interval of version 2, which counts whole seconds; use 1s to 255s, or `version: 3`, which \
             has 10ms to 40950ms",
            duration::format(interval)
        );
        refuse_interval(fields, message, problems);
    }
    Some(Protocol::V2 { advert_interval: advert_interval?, password: password? })
}

fn version_3(fields: &Fields<'_>, interval: Option<Duration>, problems: &mut Problems) -> Option<Protocol> {
    if let Some(value) = fields.find("auth") {
        let message = "version 3 has no authentication; leave `auth` out and limit the senders with `peers`, or use \
                       `version: 2`";
        problems.key(&value.path, message);
    }
    let checksum = fields.optional("checksum", Checksum::Rfc5798, problems, scalar(word(&CHECKSUMS)));
    let interval = interval?;
    let advert_interval = Centiseconds::from_duration(interval);
    if advert_interval.is_none() {
        let message = format!(
            "{} is not an interval of version 3, which counts hundredths of a second; use 10ms to 40950ms in steps \
             of 10ms",
            duration::format(interval)
        );
        refuse_interval(fields, message, problems);
    }
    Some(Protocol::V3 { advert_interval: advert_interval?, checksum: checksum? })
}

/// The default fits both versions: only a written interval can be refused.
fn refuse_interval(fields: &Fields<'_>, message: String, problems: &mut Problems) {
    let path = fields.find("advert_interval").map_or_else(|| fields.path().clone(), |value| value.path);
    problems.value(&path, message);
}

fn auth(value: &Value<'_>, problems: &mut Problems) -> Option<Password> {
    let fields = Fields::open(value, &AUTH, problems)?;
    let kind = fields.required("type", "pass", problems, scalar(auth_type));
    let password =
        fields.required("password", "\"...\"", problems, scalar(|node| Password::new(text(node)?)));
    kind.and(password)
}

fn auth_type(node: &Node) -> Result<(), String> {
    match node {
        Node::Text(text) if text == "pass" => Ok(()),
        Node::Text(text) if text.eq_ignore_ascii_case("pass") => {
            Err(format!("write `pass` instead of `{}`", shown(text)))
        }
        Node::Text(text) if text.eq_ignore_ascii_case("ah") => {
            Err("AH is not there: the RFC took it back, and keepalived advises against it; use pass".into())
        }
        Node::Text(text) if text == "none" => {
            Err("leave `auth` out for no authentication, or use pass".into())
        }
        Node::Text(text) => Err(format!("`{}` is not a type of authentication; use pass", shown(text))),
        Node::Empty | Node::Bool(_) | Node::Integer(_) | Node::Fraction(_) | Node::List(_) | Node::Map(_) => {
            Err(format!("is {}; use pass", kind(node)))
        }
    }
}

fn addresses<'t>(
    fields: &Fields<'t>,
    interface: Option<&str>,
    problems: &mut Problems,
) -> Vec<(Value<'t>, Option<VirtualAddress>)> {
    let example = "[192.168.1.200/24]";
    let list = |value: &Value<'t>, problems: &mut Problems| {
        let items = value.list(example, problems)?;
        if items.is_empty() || items.len() > MAX_ADDRESSES {
            let message = format!("has {} addresses; an advert carries 1 to {MAX_ADDRESSES}", items.len());
            problems.value(&value.path, message);
        }
        Some(items)
    };
    let items = fields.required("virtual_addresses", example, problems, list).unwrap_or_default();
    items
        .into_iter()
        .map(|item| {
            let address = virtual_address(&item, interface, problems);
            (item, address)
        })
        .collect()
}

fn peers<'t>(
    fields: &Fields<'t>,
    addresses: &[(Value<'t>, Option<VirtualAddress>)],
    problems: &mut Problems,
) -> Option<Vec<Ipv4Addr>> {
    let Some(value) = fields.find("peers") else { return Some(Vec::new()) };
    let items = value.list("[192.168.1.11]", problems)?;
    if items.is_empty() {
        problems.value(&value.path, "names nobody, so no advert would count; leave it out to hear everybody");
        return None;
    }
    let mut peers = Vec::new();
    let mut complete = true;
    for item in items {
        let Some(address) = scalar(peer)(&item, problems) else {
            complete = false;
            continue;
        };
        if peers.contains(&address) {
            problems.value(&item.path, format!("{address} stands here twice; keep one of them"));
        } else if addresses.iter().flat_map(|(_, vip)| vip).any(|vip| vip.address == address) {
            let message =
                format!("{address} is a virtual address; name the address that the other router sends from");
            problems.value(&item.path, message);
        }
        peers.push(address);
    }
    complete.then_some(peers)
}

fn skew(fields: &Fields<'_>, peers: Option<&[Ipv4Addr]>, problems: &mut Problems) -> Option<Skew> {
    let skew = fields.optional("skew", Skew::Rfc, problems, scalar(word(&SKEWS)))?;
    if let (Skew::None, Some(peers), Some(value)) = (skew, peers, fields.find("skew"))
        && peers.len() != 1
    {
        let message = format!(
            "`none` needs exactly one other router, and `peers` names {}; add `peers: [ADDRESS]` with the other \
             router's address, or use rfc",
            peers.len()
        );
        problems.value(&value.path, message);
    }
    Some(skew)
}

fn garp(value: &Value<'_>, problems: &mut Problems) -> Option<Garp> {
    let fields = Fields::open(value, &GARP, problems)?;
    let burst = |node: &Node| {
        let burst = number("a number of frames", 1, 50)(node)?;
        NonZeroU8::new(burst).ok_or_else(|| "use 1 to 50".to_owned())
    };
    let minute = Duration::from_secs(60);
    let burst = fields.optional("burst", DEFAULT_GARP.burst, problems, scalar(burst));
    let repeat_after = duration_within(Duration::ZERO, minute);
    let repeat_after =
        fields.optional("repeat_after", DEFAULT_GARP.repeat_after, problems, scalar(repeat_after));
    let refresh = |node: &Node| {
        let refresh = duration_within(Duration::ZERO, minute * 60)(node)?;
        if !refresh.is_zero() && refresh < Duration::from_secs(1) {
            return Err(format!(
                "{} is too often; use 1s to 3600s, or 0s for none",
                duration::format(refresh)
            ));
        }
        Ok(refresh)
    };
    let refresh = fields.optional("refresh", DEFAULT_GARP.refresh, problems, scalar(refresh));
    Some(Garp { burst: burst?, repeat_after: repeat_after?, refresh: refresh? })
}

fn warn_about_owner(
    fields: &Fields<'_>,
    priority: Option<NonZeroU8>,
    preempt: Option<bool>,
    startup_delay: Option<Duration>,
    problems: &mut Problems,
) {
    if priority.is_none_or(|priority| priority.get() != OWNER) {
        return;
    }
    if let (Some(false), Some(value)) = (preempt, fields.find("preempt")) {
        let message = "has no effect on the address owner (priority 255), which always takes over (RFC 9568, section 6.1); \
                       use a priority below 255 if it should not";
        problems.warn(&value.path, message);
    }
    if let (Some(delay), Some(value)) = (startup_delay, fields.find("startup_delay"))
        && !delay.is_zero()
    {
        let message = "has no effect on the address owner (priority 255), which claims at once; use a priority below 255 \
                       if it should wait";
        problems.warn(&value.path, message);
    }
}
