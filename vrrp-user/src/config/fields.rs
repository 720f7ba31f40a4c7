//! Keys taken out of a mapping: unknown ones refused, repeated ones refused, wrong kinds named.
//!
//! Owns the grammar (which keys stand where) and the messages about keys. Refuses to know what a value means.

use super::check;
use super::duration;
use super::foreign;
use super::listen;
use super::notify;
use super::problem::Problems;
use super::role;
use super::tree::{Node, Path, shown};
use std::time::Duration;

/// A mapping of the file, with the keys it may have.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
}

pub(super) const ROOT: Section = Section {
    name: "the top level",
    keys: &[
        "router_id",
        "rx",
        "delivery",
        "consume",
        "guard",
        "realtime_priority",
        "log",
        "control",
        "metrics",
        "status_page",
        "notify",
        "mail",
        "instances",
    ],
};
pub(super) const CONTROL: Section = Section { name: "`control`", keys: &["socket", "state_dir"] };
pub(super) const LOG: Section = Section { name: "`log`", keys: &["format", "level"] };
pub(super) const INSTANCE: Section = Section {
    name: "an instance",
    keys: &[
        "name",
        "interface",
        "virtual_router_id",
        "priority",
        "version",
        "advert_interval",
        "preempt",
        "startup_delay",
        "auth",
        "virtual_addresses",
        "checksum",
        "skew",
        "peers",
        "garp",
        "vip_deadline",
        "address_lifetime",
        "checks",
        "peer_priority",
        "role",
        "mysql",
        "notify",
    ],
};
pub(super) const AUTH: Section = Section { name: "`auth`", keys: &["type", "password"] };
pub(super) const ADDRESS: Section =
    Section { name: "an entry of `virtual_addresses`", keys: &["address", "dev", "label", "scope"] };
pub(super) const GARP: Section = Section { name: "`garp`", keys: &["burst", "repeat_after", "refresh"] };
const SECTIONS: &[&Section] = &[
    &ROOT,
    &LOG,
    &CONTROL,
    &listen::METRICS,
    &listen::STATUS_PAGE,
    &notify::MAIL,
    &notify::NOTIFY,
    &notify::INSTANCE_NOTIFY,
    &notify::COMMAND,
    &notify::WEBHOOK,
    &INSTANCE,
    &AUTH,
    &ADDRESS,
    &GARP,
    &check::CHECK,
    &check::TCP,
    &check::SCRIPT,
    &check::ON_FAILURE,
    &check::mysql::MYSQL,
    &check::mysql::TLS,
    &check::mysql::FAST,
    &check::mysql::LOGIN,
    &check::mysql::STATE,
    &check::mysql::WRITE,
    &role::MYSQL,
    &role::PEER,
];

/// A node and where it was found.
#[derive(Clone)]
pub(super) struct Value<'t> {
    pub(super) node: &'t Node,
    pub(super) path: Path,
}

impl<'t> Value<'t> {
    /// The items, or a message that it is no list. `example` is one.
    pub(super) fn list(&self, example: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        match self.node {
            Node::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, node)| Self { node, path: self.path.item(index) })
                    .collect(),
            ),
            Node::Empty
            | Node::Bool(_)
            | Node::Integer(_)
            | Node::Fraction(_)
            | Node::Text(_)
            | Node::Map(_) => {
                problems
                    .value(&self.path, format!("is {}; a list is wanted, as in {example}", kind(self.node)));
                None
            }
        }
    }

    /// An entry of a list. Says nothing: for what has been checked.
    pub(super) fn item(&self, index: usize) -> Option<Self> {
        let Node::List(items) = self.node else { return None };
        Some(Self { node: items.get(index)?, path: self.path.item(index) })
    }

    /// The value of a key, likewise.
    pub(super) fn key(&self, key: &str) -> Option<Self> {
        let Node::Map(entries) = self.node else { return None };
        let index = entries.iter().position(|(name, _)| name == key)?;
        let (name, node) = &entries[index];
        Some(Self { node, path: self.path.entry(index, name) })
    }

    /// The same for a place in a message: where nobody wrote the key, that is where it would stand.
    pub(super) fn key_or_itself(&self, key: &str) -> Self {
        self.key(key).unwrap_or_else(|| self.clone())
    }
}

/// A mapping whose keys have been checked.
pub(super) struct Fields<'t> {
    path: Path,
    entries: &'t [(String, Node)],
}

impl<'t> Fields<'t> {
    /// None, and a message, if it is no mapping. Wrong keys are told but do not stop the others from being read.
    pub(super) fn open(value: &Value<'t>, section: &Section, problems: &mut Problems) -> Option<Self> {
        let entries = match value.node {
            Node::Map(entries) => entries,
            Node::Empty
            | Node::Bool(_)
            | Node::Integer(_)
            | Node::Fraction(_)
            | Node::Text(_)
            | Node::List(_) => {
                let keys = section.keys.join(", ");
                problems.value(
                    &value.path,
                    format!("is {}; a mapping is wanted, with the keys {keys}", kind(value.node)),
                );
                return None;
            }
        };
        for (index, (key, _)) in entries.iter().enumerate() {
            let path = value.path.entry(index, key);
            if !section.keys.contains(&key.as_str()) {
                problems.key(&path, unknown(key, section));
            } else if entries[..index].iter().any(|(earlier, _)| earlier == key) {
                problems.key(&path, format!("`{key}` stands here twice; keep one of them"));
            }
        }
        Some(Self { path: value.path.clone(), entries })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn find(&self, key: &str) -> Option<Value<'t>> {
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        let (name, node) = &self.entries[index];
        Some(Value { node, path: self.path.entry(index, name) })
    }

    /// None, and a message, if the key is not there or its value will not do. `example` shows one that would.
    pub(super) fn required<T>(
        &self,
        key: &str,
        example: &str,
        problems: &mut Problems,
        read: impl FnOnce(&Value<'t>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.find(key) else {
            problems.value(&self.path, format!("`{key}` is missing; add it, as in `{key}: {example}`"));
            return None;
        };
        read(&value, problems)
    }

    /// The default if the key is not there; None, and a message, if its value will not do.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        default: T,
        problems: &mut Problems,
        read: impl FnOnce(&Value<'t>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        match self.find(key) {
            Some(value) => read(&value, problems),
            None => Some(default),
        }
    }
}

/// Makes a reader of a value from a function that judges its node alone.
pub(super) fn scalar<'t, T>(
    judge: impl FnOnce(&'t Node) -> Result<T, String>,
) -> impl FnOnce(&Value<'t>, &mut Problems) -> Option<T> {
    |value, problems| judge(value.node).map_err(|message| problems.value(&value.path, message)).ok()
}

/// What it is, for a message; never its contents, which may be a password.
pub(super) fn kind(node: &Node) -> &'static str {
    match node {
        Node::Empty => "empty",
        Node::Bool(true) => "`true`",
        Node::Bool(false) => "`false`",
        Node::Integer(_) | Node::Fraction(_) => "a number",
        Node::Text(_) => "text",
        Node::List(_) => "a list",
        Node::Map(_) => "a mapping",
    }
}

pub(super) fn text(node: &Node) -> Result<&str, String> {
    match node {
        Node::Text(text) => Ok(text),
        Node::Bool(_) | Node::Integer(_) | Node::Fraction(_) => {
            Err(format!("is {} to YAML, but text is wanted; put it in quotes, as in \"...\"", kind(node)))
        }
        Node::Empty | Node::List(_) | Node::Map(_) => Err(format!("is {}; text is wanted", kind(node))),
    }
}

pub(super) fn boolean(node: &Node) -> Result<bool, String> {
    match node {
        Node::Bool(value) => Ok(*value),
        Node::Text(text) => Err(format!("`{}` is neither true nor false; use true or false", shown(text))),
        Node::Empty | Node::Integer(_) | Node::Fraction(_) | Node::List(_) | Node::Map(_) => {
            Err(format!("is {}; use true or false", kind(node)))
        }
    }
}

/// A small number from `least` to `most`; `what` names it, as in "a priority".
pub(super) fn number(what: &str, least: u8, most: u8) -> impl FnOnce(&Node) -> Result<u8, String> {
    move |node| {
        let value = integer(what, least.into(), most.into())(node)?;
        u8::try_from(value).map_err(|_range| format!("{value} is not {what}; use {least} to {most}"))
    }
}

/// A whole number from `least` to `most`.
pub(super) fn integer(what: &str, least: i64, most: i64) -> impl FnOnce(&Node) -> Result<i64, String> {
    move |node| {
        let range = format!("use {least} to {most}");
        match node {
            Node::Integer(value) => i64::try_from(*value)
                .ok()
                .filter(|value| (least..=most).contains(value))
                .ok_or_else(|| format!("{value} is not {what}; {range}")),
            Node::Fraction(value) => Err(format!("{value} is not {what}; {range}")),
            Node::Text(text) => {
                let quotes = text.parse::<i64>().is_ok_and(|value| (least..=most).contains(&value));
                let quotes = if quotes { ", without quotes" } else { "" };
                Err(format!("`{}` is text, not {what}; {range}{quotes}", shown(text)))
            }
            Node::Empty | Node::Bool(_) | Node::List(_) | Node::Map(_) => {
                Err(format!("is {}, not {what}; {range}", kind(node)))
            }
        }
    }
}

pub(super) fn duration(node: &Node) -> Result<Duration, String> {
    match node {
        Node::Text(text) => duration::parse(text),
        Node::Integer(value) if *value >= 0 => Err(duration::no_unit(value)),
        Node::Integer(value) => Err(format!("{value} is not a duration; write one as in 1s or 100ms")),
        Node::Fraction(value) => Err(duration::no_unit(value)),
        Node::Empty | Node::Bool(_) | Node::List(_) | Node::Map(_) => {
            Err(format!("is {}; write a duration, as in 1s or 100ms", kind(node)))
        }
    }
}

/// A duration from `least` to `most`, both as an operator writes them.
pub(super) fn duration_within(
    least: Duration,
    most: Duration,
) -> impl FnOnce(&Node) -> Result<Duration, String> {
    move |node| {
        let value = duration(node)?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        let [value, least, most] = [value, least, most].map(duration::format);
        Err(format!("{value} is out of range; use {least} to {most}"))
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl FnOnce(&Node) -> Result<T, String> {
    move |node| {
        let known = words.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match node {
            Node::Text(text) => words
                .iter()
                .find(|(name, _)| name == text)
                .map(|(_, value)| *value)
                .ok_or_else(|| format!("`{}` is not known here; use one of {known}", shown(text))),
            Node::Empty
            | Node::Bool(_)
            | Node::Integer(_)
            | Node::Fraction(_)
            | Node::List(_)
            | Node::Map(_) => Err(format!("is {}; use one of {known}", kind(node))),
        }
    }
}

fn unknown(key: &str, section: &Section) -> String {
    if let Some(advice) = foreign::advice(key) {
        return advice.to_owned();
    }
    if let Some(home) = SECTIONS.iter().find(|other| other.keys.contains(&key)) {
        return format!("`{key}` does not belong in {}, but in {}; move it there", section.name, home.name);
    }
    let known = section.keys.join(", ");
    match closest(key, section.keys) {
        Some(near) => format!("is not a key of {}; did you mean `{near}`?", section.name),
        None => format!("is not a key of {}; known are {known}", section.name),
    }
}

/// The key that was probably meant: a third of it may be wrong, and `-`, `_` and case do not count.
fn closest<'k>(key: &str, keys: &[&'k str]) -> Option<&'k str> {
    // Nothing near a known key is longer, and the distance takes time in the product of the lengths.
    const LONGEST: usize = 40;
    if key.len() > LONGEST {
        return None;
    }
    let key = key.to_lowercase().replace(['-', ' '], "_");
    keys.iter()
        .map(|known| (distance(&key, known), *known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to add, drop, change or swap with their neighbour to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = usize::from(from[i - 1] != to[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::{INSTANCE, closest, distance};

    #[test]
    fn distance_counts_a_swap_as_one() {
        for (from, to, letters) in [
            ("", "", 0),
            ("", "abc", 3),
            ("priority", "priority", 0),
            ("priorty", "priority", 1),
            ("ab", "ba", 1),
        ] {
            assert_eq!(distance(from, to), letters, "{from} to {to}");
        }
    }

    #[test]
    fn misspelt_keys_find_the_one_that_was_meant() {
        for (written, meant) in [
            ("priorty", Some("priority")),
            ("prioirty", Some("priority")),
            ("Virtual-Router-ID", Some("virtual_router_id")),
            ("virtual_addreses", Some("virtual_addresses")),
            ("nmae", Some("name")),
            ("advert_intervall", Some("advert_interval")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(closest(written, INSTANCE.keys), meant, "{written}");
        }
    }
}
