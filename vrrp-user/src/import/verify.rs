//! What was written is read by our own parser before anybody sees it: what it refuses is taken out and reported with the
//! keepalived line that it came from.
//!
//! Owns the taking out. What a value may be is the parser's business alone.

use std::collections::BTreeMap;
use std::path::Path;

use super::report::{Place, Report};
use super::yaml::{Entry, Item, Origin, Step, Value, origin, render, steps};
use crate::config::{Config, ConfigError, Finding, Loaded};

/// Refusals of one instance, one after the other, before it is given up.
const MAX_ROUNDS: usize = 40;
/// `Config::load` reads no more.
const MAX_TEXT: usize = 16 << 20;

/// The text, if anything usable is left of it.
pub(super) fn verified(
    mut globals: Vec<Entry>,
    mut instances: Vec<Item>,
    report: &mut Report,
) -> Option<String> {
    let stub = stub();
    globals.retain(|entry| !matches!(entry.key, "instances"));
    settle(&mut globals, &stub, report);
    // One by one: a mistake in the last of many costs no walk through all of them.
    instances.retain_mut(|instance| settle_instance(instance, report));
    if instances.is_empty() {
        return None;
    }
    for _ in 0..MAX_ROUNDS {
        let document = whole(&globals, &instances);
        let text = render(&document);
        if text.len() > MAX_TEXT {
            report.error(
                Place::default(),
                "(file)",
                "comes to more than 16 MiB of YAML: nothing is written; split the file",
            );
            return None;
        }
        let findings = match parse(&text) {
            Ok(_) => return Some(text),
            Err(findings) => findings,
        };
        // What only the whole can show: two that want the same, and a check of another's address.
        let mut gone: Vec<usize> = Vec::new();
        let mut parts: BTreeMap<usize, Vec<(&str, Option<usize>)>> = BTreeMap::new();
        for finding in &findings {
            let path = steps(&finding.path);
            refuse(&document, &path, finding, report);
            match path.as_slice() {
                [Step::Key("instances"), Step::Index(at), Step::Key("checks"), Step::Index(index), ..] => {
                    parts.entry(*at).or_default().push(("checks", Some(*index)));
                }
                [Step::Key("instances"), Step::Index(index), ..] => gone.push(*index),
                [Step::Key(key), ..] if *key != "instances" => globals.retain(|entry| entry.key != *key),
                [..] => return None,
            }
        }
        for (at, taken_out) in parts {
            if let Some(Item { value: Value::Map(entries), .. }) = instances.get_mut(at) {
                take_out(entries, taken_out);
            }
        }
        let mut index = 0;
        instances.retain(|_| {
            index += 1;
            !gone.contains(&(index - 1))
        });
        if findings.is_empty() || instances.is_empty() {
            return None;
        }
    }
    None
}

fn whole(globals: &[Entry], instances: &[Item]) -> Vec<Entry> {
    let mut document = globals.to_vec();
    document.push(Entry::new("instances", Value::List(instances.to_vec()), &Origin::default()));
    document
}

/// An instance that always passes, beside which the global keys are tried.
fn stub() -> Item {
    let none = Origin::default();
    let address = Item { value: Value::text("192.0.2.1/32"), origin: none.clone() };
    let entries = vec![
        Entry::new("name", Value::text("stub"), &none),
        Entry::new("interface", Value::text("eth0"), &none),
        Entry::new("virtual_router_id", Value::number("1"), &none),
        Entry::new("virtual_addresses", Value::List(vec![address]), &none),
    ];
    Item { value: Value::Map(entries), origin: none }
}

fn settle(globals: &mut Vec<Entry>, stub: &Item, report: &mut Report) {
    for _ in 0..MAX_ROUNDS {
        let document = whole(globals, std::slice::from_ref(stub));
        let findings = match parse(&render(&document)) {
            Ok(loaded) => return warn(&document, &loaded, report),
            Err(findings) => findings,
        };
        let before = globals.len();
        for finding in &findings {
            let path = steps(&finding.path);
            refuse(&document, &path, finding, report);
            if let Some(Step::Key(key)) = path.first() {
                globals.retain(|entry| entry.key != *key);
            }
        }
        if globals.len() == before {
            return globals.clear();
        }
    }
}

/// Whether anything is left of it.
fn settle_instance(instance: &mut Item, report: &mut Report) -> bool {
    for _ in 0..MAX_ROUNDS {
        let document = whole(&[], std::slice::from_ref(instance));
        let findings = match parse(&render(&document)) {
            Ok(loaded) => {
                warn(&document, &loaded, report);
                return true;
            }
            Err(findings) => findings,
        };
        let Value::Map(entries) = &mut instance.value else { return false };
        let mut taken_out: Vec<(&str, Option<usize>)> = Vec::new();
        for finding in &findings {
            let path = steps(&finding.path);
            refuse(&document, &path, finding, report);
            match path.as_slice() {
                [_, _, Step::Key(key), rest @ ..] => {
                    let index = rest.first().and_then(|step| match step {
                        Step::Index(index) if is_list_of_parts(key) => Some(*index),
                        Step::Index(_) | Step::Key(_) => None,
                    });
                    if let Some(entry) = entries.iter().find(|entry| entry.key == *key) {
                        taken_out.push((entry.key, index));
                    }
                }
                // A key is missing, and all else depends on it.
                [..] => return false,
            }
        }
        if taken_out.is_empty() {
            return false;
        }
        take_out(entries, taken_out);
    }
    let name = &instance.origin;
    report.error(name.place, &name.what, "too much of it cannot be used: left out");
    false
}

/// Lists of which one entry can go and the rest keeps its meaning.
fn is_list_of_parts(key: &str) -> bool {
    matches!(key, "virtual_addresses" | "checks" | "track_interfaces" | "peers")
}

fn take_out(entries: &mut Vec<Entry>, mut taken_out: Vec<(&str, Option<usize>)>) {
    taken_out.sort_unstable();
    taken_out.dedup();
    // From the back, so that the indices before stay true.
    for (key, index) in taken_out.into_iter().rev() {
        let Some(at) = entries.iter().position(|entry| entry.key == key) else { continue };
        let is_empty = match (&mut entries[at].value, index) {
            (Value::List(items), Some(index)) if index < items.len() => {
                items.remove(index);
                items.is_empty()
            }
            (Value::List(_) | Value::Map(_) | Value::Scalar(_), _) => true,
        };
        if is_empty {
            entries.remove(at);
        }
    }
}

fn refuse(document: &[Entry], path: &[Step<'_>], finding: &Finding, report: &mut Report) {
    let (place, what) = place(document, path);
    report.error(place, &what, format!("{} (left out)", finding.message));
}

fn warn(document: &[Entry], loaded: &Loaded, report: &mut Report) {
    for finding in &loaded.warnings {
        let (place, what) = place(document, &steps(&finding.path));
        report.warn(place, &what, finding.message.clone());
    }
}

fn place(document: &[Entry], path: &[Step<'_>]) -> (Place, String) {
    origin(document, path)
        .map_or_else(|| (Place::default(), "(file)".to_owned()), |origin| (origin.place, origin.what.clone()))
}

fn parse(text: &str) -> Result<Loaded, Vec<Finding>> {
    Config::parse(text, Path::new("import")).map_err(|error| match error {
        ConfigError::Invalid { findings, more: _ } => findings,
        ConfigError::Syntax(finding) => vec![finding],
        ConfigError::Missing { .. }
        | ConfigError::Denied { .. }
        | ConfigError::Unreadable { .. }
        | ConfigError::Directory { .. }
        | ConfigError::TooLong { .. }
        | ConfigError::NotUtf8 { .. }
        | ConfigError::Empty { .. } => Vec::new(),
    })
}
