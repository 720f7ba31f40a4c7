//! The document: its global keys, its instances, and what these must not share.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::fields::{CONTROL, Fields, LOG, ROOT, Value, boolean, number, scalar, text, word};
use super::instance::{Claim, identifier, instance};
use super::listen::{metrics, status_page};
use super::notify::{mail, notify};
use super::problem::{Finding, Problems};
use super::servers;
use super::tree::{self, Malformed, Node, Path, shown};
use super::{Config, Control, Delivery, Instance, Loaded, Log, LogFormat, LogLevel, Metrics, Notify, Rx};
use crate::health::secret::Secret;

pub(super) const RX: [(&str, Rx); 4] =
    [("auto", Rx::Auto), ("xdp", Rx::Xdp), ("tcx", Rx::Tcx), ("socket", Rx::Socket)];
pub(super) const DELIVERIES: [(&str, Delivery); 3] =
    [("auto", Delivery::Auto), ("all", Delivery::All), ("changes", Delivery::Changes)];
pub(super) const FORMATS: [(&str, LogFormat); 2] = [("human", LogFormat::Human), ("json", LogFormat::Json)];
pub(super) const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const DEFAULT_REALTIME_PRIORITY: u8 = 50;
const DEFAULT_LOG: Log = Log { format: LogFormat::Human, level: LogLevel::Info };
/// sockaddr_un has 108 bytes, one of which ends the path.
const MAX_SOCKET_PATH: usize = 107;
/// Below this interval a thread that waits for its turn misses adverts.
const URGENT: Duration = Duration::from_millis(100);

pub(super) fn read(text: &str, file: &FilePath) -> Result<Loaded, ConfigError> {
    let root = tree::parse(text).map_err(|malformed| syntax(malformed, text, file))?;
    if root == Node::Empty {
        return Err(ConfigError::Empty { file: file.to_owned() });
    }
    let mut problems = Problems::default();
    let value = Value { node: &root, path: Path::default() };
    let config = match root {
        Node::Text(_) if is_keepalived(text) => {
            problems.value(&value.path, KEEPALIVED);
            None
        }
        Node::Empty
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Fraction(_)
        | Node::Text(_)
        | Node::List(_)
        | Node::Map(_) => document(&value, &mut problems),
    };
    match config {
        Some(config) if problems.is_empty() => {
            Ok(Loaded { config, warnings: problems.warnings(text, file), text: Secret::new(text) })
        }
        Some(_) | None => {
            let (findings, more) = problems.errors(text, file);
            Err(ConfigError::Invalid { findings, more })
        }
    }
}

const KEEPALIVED: &str = "this looks like a keepalived.conf; write it as YAML, with `instances:` in place of \
                          `vrrp_instance`";

fn is_keepalived(text: &str) -> bool {
    text.contains("vrrp_instance") && text.contains('{') && !text.contains("instances:")
}

fn syntax(malformed: Malformed, text: &str, file: &FilePath) -> ConfigError {
    let Malformed { place, message } = malformed;
    let line = place.and_then(|place| text.lines().nth(place.line.saturating_sub(1)));
    let hint = if is_keepalived(text) {
        KEEPALIVED
    } else if line.is_some_and(|line| line.contains('\t')) {
        "there is a tab in this line: YAML is indented with spaces"
    } else {
        "check the indentation, the colons and the brackets here and in the line before"
    };
    ConfigError::Syntax(Finding {
        file: file.to_owned(),
        place: place.map(|place| (place.line, place.column)),
        path: String::new(),
        message: format!("is not YAML that can be read: {message}; {hint}"),
    })
}

fn document(value: &Value<'_>, problems: &mut Problems) -> Option<Config> {
    let fields = Fields::open(value, &ROOT, problems)?;
    let router_id = fields.optional("router_id", None, problems, |value, problems| {
        scalar(identifier)(value, problems).map(Some)
    });
    let rx = fields.optional("rx", Rx::Auto, problems, scalar(word(&RX)));
    let delivery = fields.optional("delivery", Delivery::Auto, problems, scalar(word(&DELIVERIES)));
    let consume = fields.optional("consume", false, problems, scalar(boolean));
    let guard = fields.optional("guard", true, problems, scalar(boolean));
    let realtime_priority = fields.optional(
        "realtime_priority",
        DEFAULT_REALTIME_PRIORITY,
        problems,
        scalar(number("a real-time priority", 0, 99)),
    );
    let log = fields.optional("log", DEFAULT_LOG, problems, log);
    let control = fields.optional("control", Control::default(), problems, control);
    let metrics = fields.optional("metrics", Metrics::default(), problems, metrics);
    let status_page = fields
        .optional("status_page", None, problems, |value, problems| status_page(value, problems).map(Some));
    let notify = fields.optional("notify", Notify::default(), problems, notify);
    let mail = fields.optional("mail", None, problems, |value, problems| mail(value, problems).map(Some));
    let instances = fields.required("instances", "[{ name: VI_1, ... }]", problems, instances);
    let config = Config {
        router_id: router_id?,
        rx: rx?,
        delivery: delivery?,
        consume: consume?,
        guard: guard?,
        realtime_priority: realtime_priority?,
        log: log?,
        control: control?,
        metrics: metrics?,
        status_page: status_page?,
        notify: notify?,
        mail: mail?,
        instances: instances?,
    };
    warn_about_combinations(&fields, &config, problems);
    servers::judge(&fields, &config, problems);
    Some(config)
}

fn log(value: &Value<'_>, problems: &mut Problems) -> Option<Log> {
    let fields = Fields::open(value, &LOG, problems)?;
    let format = fields.optional("format", DEFAULT_LOG.format, problems, scalar(word(&FORMATS)));
    let level = fields.optional("level", DEFAULT_LOG.level, problems, scalar(word(&LEVELS)));
    Some(Log { format: format?, level: level? })
}

fn control(value: &Value<'_>, problems: &mut Problems) -> Option<Control> {
    let fields = Fields::open(value, &CONTROL, problems)?;
    let Control { socket, state_dir } = Control::default();
    let socket = fields.optional("socket", socket, problems, scalar(socket_path));
    let state_dir = fields.optional("state_dir", state_dir, problems, scalar(absolute_path));
    Some(Control { socket: socket?, state_dir: state_dir? })
}

pub(super) fn absolute_path(node: &Node) -> Result<PathBuf, String> {
    let path = text(node)?;
    if !path.starts_with('/') || path.contains('\0') {
        return Err(format!("`{}` is no absolute path; begin it with /, as in /run/vrrp", shown(path)));
    }
    Ok(PathBuf::from(path))
}

pub(super) fn socket_path(node: &Node) -> Result<PathBuf, String> {
    let path = absolute_path(node)?;
    let length = path.as_os_str().len();
    if length > MAX_SOCKET_PATH {
        return Err(format!(
            "has {length} bytes, and the path of a socket at most {MAX_SOCKET_PATH}; use a shorter one"
        ));
    }
    Ok(path)
}

fn instances(value: &Value<'_>, problems: &mut Problems) -> Option<Vec<Instance>> {
    let items = value.list("`- name: VI_1` with the instance's other keys below it", problems)?;
    if items.is_empty() {
        problems.value(&value.path, "has no virtual router in it; add one that begins with `- name: VI_1`");
    }
    let mut taken = Taken::default();
    let mut checked = Some(Vec::new());
    for item in items {
        let read = instance(&item, problems);
        if let Some((claim, _)) = &read {
            taken.add(claim, &item.path, problems);
        }
        checked = checked.zip(read.and_then(|(_, instance)| instance)).map(|(mut all, instance)| {
            all.push(instance);
            all
        });
    }
    checked
}

/// What instances before this one have; each with the path of who has it.
#[derive(Default)]
struct Taken {
    names: HashMap<String, Path>,
    routers: HashMap<(String, u8), Path>,
    addresses: HashMap<(String, Ipv4Addr), Path>,
}

impl Taken {
    fn add(&mut self, claim: &Claim<'_>, path: &Path, problems: &mut Problems) {
        if let Some((name, value)) = &claim.name
            && let Some(owner) = first(&mut self.names, name.clone(), path)
        {
            problems
                .value(&value.path, format!("`{name}` is already the name of {owner}; names must be unique"));
        }
        if let (Some(interface), Some((id, value))) = (&claim.interface, &claim.virtual_router_id)
            && let Some(owner) = first(&mut self.routers, (interface.clone(), id.get()), path)
        {
            let message = format!(
                "{id} on {interface} is already the virtual router of {owner}; use another ID, 1 to 255, the same on \
                 all hosts"
            );
            problems.value(&value.path, message);
        }
        for (value, address) in &claim.addresses {
            if let Some(vip) = address
                && let Some(owner) =
                    first(&mut self.addresses, (vip.device.clone(), vip.address), &value.path)
            {
                let message = format!(
                    "{} on {} is already {owner}; keep it in one place only",
                    vip.address, vip.device
                );
                problems.value(&value.path, message);
            }
        }
    }
}

/// Who had it first, if not `path`.
fn first<K: std::hash::Hash + Eq>(taken: &mut HashMap<K, Path>, key: K, path: &Path) -> Option<Path> {
    if let Some(owner) = taken.get(&key) {
        return Some(owner.clone());
    }
    taken.insert(key, path.clone());
    None
}

fn warn_about_combinations(fields: &Fields<'_>, config: &Config, problems: &mut Problems) {
    let at = |key| fields.find(key).map_or_else(|| fields.path().clone(), |value| value.path);
    if !config.guard {
        let bare = config.instances.iter().find(|instance| config.address_lifetime(instance).is_none());
        if let Some(instance) = bare {
            let message = format!(
                "with `guard: false` nothing takes the addresses of {} off when the daemon is killed, and both hosts hold \
                 them until somebody does; use `guard: true`, or `address_lifetime: auto` and at most {} addresses",
                instance.name,
                super::MAX_TIMED_ADDRESSES
            );
            problems.warn(&at("guard"), message);
        }
    }
    if config.realtime_priority == 0
        && let Some(instance) =
            config.instances.iter().find(|instance| instance.advert_interval().duration() < URGENT)
    {
        let message = format!(
            "with `realtime_priority: 0` a busy host sends the adverts of {} late, and its peer takes over without need; \
             use 1 to 99 for intervals below 100ms",
            instance.name
        );
        problems.warn(&at("realtime_priority"), message);
    }
    if let (Some(page), Some(metrics)) = (config.status_page, config.metrics.listen)
        && page == metrics
    {
        problems.value(
            &at("status_page"),
            format!("{page} is already where `metrics` listens; use another port"),
        );
    }
    if let Some(socket) = &config.metrics.socket
        && *socket == config.control.socket
    {
        let message = "is the control socket, which has /metrics anyway; use another path, or leave it out";
        problems.value(&at("metrics"), message);
    }
    for (index, instance) in config.instances.iter().enumerate() {
        let place = instance_place(fields, index, "notify");
        let mail = instance.notify.as_ref().and_then(|notify| notify.mail.as_ref());
        if let (Some(_), None, Some(place)) = (mail, &config.mail, place) {
            let message =
                "`mail` has no effect without a global `mail: { to: [...] }`; add one, or leave it out";
            problems.warn(&place, message);
        }
    }
    if config.consume && config.rx == Rx::Socket {
        problems.warn(&at("consume"), "has no effect with `rx: socket`, which only listens; use another rx");
    }
}

/// Where a key of an instance stands.
fn instance_place(fields: &Fields<'_>, index: usize, key: &str) -> Option<Path> {
    Some(fields.find("instances")?.item(index)?.key(key)?.path)
}
