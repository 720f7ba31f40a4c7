//! Who is told of transitions and verdicts, and how: `notify` of an instance and of all, `mail`.

use std::path::PathBuf;
use std::time::Duration;

use super::check::{command, user_name};
use super::document::absolute_path;
use super::fields::{Fields, Section, Value, duration_within, integer, kind, scalar, text, word};
use super::problem::Problems;
use super::tree::{Node, shown};
use crate::health::settings::CommandLine;

pub(super) const NOTIFY: Section = Section {
    name: "`notify` at the top level",
    keys: &["master", "backup", "fault", "stop", "any", "health", "fifo", "webhook"],
};
pub(super) const INSTANCE_NOTIFY: Section = Section {
    name: "`notify` of an instance",
    keys: &["master", "backup", "fault", "stop", "any", "health", "mail"],
};
pub(super) const COMMAND: Section =
    Section { name: "a script of `notify`", keys: &["command", "user", "timeout"] };
pub(super) const WEBHOOK: Section = Section { name: "`webhook`", keys: &["url", "on", "timeout"] };
pub(super) const MAIL: Section =
    Section { name: "`mail`", keys: &["to", "from", "server", "port", "connect_timeout", "helo", "on"] };

pub(super) const TOPICS: [(&str, Topic); 5] = [
    ("master", Topic::Master),
    ("backup", Topic::Backup),
    ("fault", Topic::Fault),
    ("stop", Topic::Stop),
    ("health", Topic::Health),
];

pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const DEFAULT_WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// keepalived's smtp_connect_timeout.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_SERVER: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 25;
const LEAST: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);
const MAX_RECIPIENTS: usize = 64;
const LONGEST_URL: usize = 2048;

/// What may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Master,
    Backup,
    Fault,
    Stop,
    /// A check has another verdict.
    Health,
}

impl Topic {
    pub const ALL: [Self; 5] = [Self::Master, Self::Backup, Self::Fault, Self::Stop, Self::Health];
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub line: CommandLine,
    /// root if none is named.
    pub user: Option<String>,
    pub timeout: Duration,
}

/// By what they are run for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts {
    pub master: Option<Command>,
    pub backup: Option<Command>,
    pub fault: Option<Command>,
    pub stop: Option<Command>,
    /// For each of the four, after its own.
    pub any: Option<Command>,
    pub health: Option<Command>,
}

impl Scripts {
    /// Those that there are, each by its key in the file.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        let Self { master, backup, fault, stop, any, health } = self;
        let all = [
            ("master", master),
            ("backup", backup),
            ("fault", fault),
            ("stop", stop),
            ("any", any),
            ("health", health),
        ];
        all.into_iter().filter_map(|(key, command)| Some((key, command.as_ref()?)))
    }
}

/// For all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Each for the instances that have none of their own for it.
    pub scripts: Scripts,
    pub fifo: Option<PathBuf>,
    pub webhook: Option<Webhook>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// http or https, with a host.
    pub url: String,
    pub on: Vec<Topic>,
    pub timeout: Duration,
}

/// Of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceNotify {
    pub scripts: Scripts,
    /// Instead of what `mail` says.
    pub mail: Option<Vec<Topic>>,
}

/// keepalived's notification_email and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// At least one.
    pub to: Vec<String>,
    /// vrrp@ the host's name if none is named.
    pub from: Option<String>,
    /// A name or an address.
    pub server: String,
    pub port: u16,
    pub connect_timeout: Duration,
    /// The host's name if none is named.
    pub helo: Option<String>,
    pub on: Vec<Topic>,
}

pub(super) fn notify(value: &Value<'_>, problems: &mut Problems) -> Option<Notify> {
    let fields = Fields::open(value, &NOTIFY, problems)?;
    let scripts = scripts(&fields, problems);
    let path = |node: &Node| absolute_path(node).map(Some);
    let fifo = fields.optional("fifo", None, problems, scalar(path));
    let webhook =
        fields.optional("webhook", None, problems, |value, problems| webhook(value, problems).map(Some));
    Some(Notify { scripts: scripts?, fifo: fifo?, webhook: webhook? })
}

pub(super) fn instance_notify(value: &Value<'_>, problems: &mut Problems) -> Option<InstanceNotify> {
    let fields = Fields::open(value, &INSTANCE_NOTIFY, problems)?;
    let scripts = scripts(&fields, problems);
    let mail = fields.optional("mail", None, problems, |value, problems| topics(value, problems).map(Some));
    Some(InstanceNotify { scripts: scripts?, mail: mail? })
}

pub(super) fn mail(value: &Value<'_>, problems: &mut Problems) -> Option<Mail> {
    let fields = Fields::open(value, &MAIL, problems)?;
    let to = fields.required("to", "[admin@example.org]", problems, recipients);
    let some_mailbox = |node: &Node| mailbox(node).map(Some);
    let from = fields.optional("from", None, problems, scalar(some_mailbox));
    let server = fields.optional("server", DEFAULT_SERVER.to_owned(), problems, scalar(host));
    let port = fields.optional("port", DEFAULT_PORT, problems, scalar(port));
    let timeout = duration_within(LEAST, HOUR);
    let connect_timeout =
        fields.optional("connect_timeout", DEFAULT_CONNECT_TIMEOUT, problems, scalar(timeout));
    let some_host = |node: &Node| host(node).map(Some);
    let helo = fields.optional("helo", None, problems, scalar(some_host));
    let on = fields.optional("on", Topic::ALL.to_vec(), problems, topics);
    Some(Mail {
        to: to?,
        from: from?,
        server: server?,
        port: port?,
        connect_timeout: connect_timeout?,
        helo: helo?,
        on: on?,
    })
}

fn scripts(fields: &Fields<'_>, problems: &mut Problems) -> Option<Scripts> {
    let mut script =
        |key| fields.optional(key, None, problems, |value, problems| script(value, problems).map(Some));
    let [master, backup, fault, stop, any, health] =
        ["master", "backup", "fault", "stop", "any", "health"].map(&mut script);
    Some(Scripts { master: master?, backup: backup?, fault: fault?, stop: stop?, any: any?, health: health? })
}

/// The command alone, or with who runs it and for how long.
fn script(value: &Value<'_>, problems: &mut Problems) -> Option<Command> {
    if !matches!(value.node, Node::Map(_)) {
        let line = scalar(command)(value, problems)?;
        return Some(Command { line, user: None, timeout: DEFAULT_TIMEOUT });
    }
    let fields = Fields::open(value, &COMMAND, problems)?;
    let line = fields.required("command", "\"/usr/local/bin/tell\"", problems, scalar(command));
    let some_user = |node: &Node| user_name(node).map(Some);
    let user = fields.optional("user", None, problems, scalar(some_user));
    let timeout = fields.optional("timeout", DEFAULT_TIMEOUT, problems, scalar(duration_within(LEAST, HOUR)));
    Some(Command { line: line?, user: user?, timeout: timeout? })
}

fn webhook(value: &Value<'_>, problems: &mut Problems) -> Option<Webhook> {
    let fields = Fields::open(value, &WEBHOOK, problems)?;
    let url = fields.required("url", "\"https://example.org/hook\"", problems, scalar(url));
    let on = fields.optional("on", Topic::ALL.to_vec(), problems, topics);
    let limit = duration_within(LEAST, Duration::from_secs(60));
    let timeout = fields.optional("timeout", DEFAULT_WEBHOOK_TIMEOUT, problems, scalar(limit));
    Some(Webhook { url: url?, on: on?, timeout: timeout? })
}

fn topics(value: &Value<'_>, problems: &mut Problems) -> Option<Vec<Topic>> {
    let items = value.list("[master, backup, fault, stop, health]", problems)?;
    let topics = items.iter().map(|item| scalar(word(&TOPICS))(item, problems)).collect::<Vec<_>>();
    let mut topics = topics.into_iter().collect::<Option<Vec<_>>>()?;
    topics.sort_unstable();
    topics.dedup();
    Some(topics)
}

fn recipients(value: &Value<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let items = value.list("[admin@example.org]", problems)?;
    if items.is_empty() || items.len() > MAX_RECIPIENTS {
        problems.value(&value.path, format!("has {} addresses; use 1 to {MAX_RECIPIENTS}", items.len()));
        return None;
    }
    let read = items.iter().map(|item| scalar(mailbox)(item, problems)).collect::<Vec<_>>();
    read.into_iter().collect()
}

fn mailbox(node: &Node) -> Result<String, String> {
    let written = text(node)?;
    match written.parse::<lettre::message::Mailbox>() {
        Ok(_) => Ok(written.to_owned()),
        Err(_) => Err(format!("`{}` is no mail address; write one as in admin@example.org", shown(written))),
    }
}

fn host(node: &Node) -> Result<String, String> {
    let written = text(node)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if written.is_empty() || written.len() > 253 || !written.chars().all(is_name) {
        return Err(format!(
            "`{}` is neither a host's name nor an address; write one as in 127.0.0.1",
            shown(written)
        ));
    }
    Ok(written.to_owned())
}

fn port(node: &Node) -> Result<u16, String> {
    let value = integer("a port", 1, 65535)(node)?;
    u16::try_from(value).map_err(|_range| "use 1 to 65535".to_owned())
}

fn url(node: &Node) -> Result<String, String> {
    const EXAMPLE: &str = "write one as in \"https://example.org/hook\"";
    let Node::Text(written) = node else { return Err(format!("is {}; {EXAMPLE}", kind(node))) };
    let parsed = written.parse::<hyper::Uri>().ok().filter(|_| written.len() <= LONGEST_URL);
    let Some(uri) = parsed else { return Err(format!("`{}` is no URL; {EXAMPLE}", shown(written))) };
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    match uri.scheme_str() {
        Some("http" | "https") if !authority.is_empty() && !authority.contains('@') => Ok(written.clone()),
        Some("http" | "https") => Err(format!("needs a host, and no user name before it; {EXAMPLE}")),
        Some(_) | None => Err(format!("`{}` is neither http nor https; {EXAMPLE}", shown(written))),
    }
}
