//! The layering rule: the core cannot name what would tie it to a machine, and each folder knows only those above it.
//!
//! Owns the one table of layers. Reads text, not types: comments and strings are blanked first, then words are matched,
//! so a re-export under another name would escape it. Refuses to know anything else about the code.

use std::path::Path;

use anyhow::Result;

use super::size::{read, rust_files};

#[cfg(test)]
mod tests;

/// vrrp-user's folders from the top, each with those it may name (`crate::x`). What is not here (main, the daemon's
/// wiring) stands below and may name all.
const LAYERS: [Layer; 15] = [
    Layer { name: "histogram", knows: &[], is_core: true },
    Layer { name: "wire", knows: &[], is_core: true },
    Layer { name: "vrrp", knows: &["wire"], is_core: true },
    Layer { name: "mysql", knows: &[], is_core: true },
    Layer { name: "health", knows: &["histogram", "wire", "vrrp", "mysql"], is_core: false },
    Layer { name: "database", knows: &["mysql", "health"], is_core: false },
    Layer { name: "net", knows: &["wire", "vrrp"], is_core: false },
    Layer { name: "role", knows: &["vrrp", "mysql", "health", "database", "net"], is_core: false },
    Layer {
        name: "config",
        knows: &["wire", "vrrp", "mysql", "health", "database", "net", "role"],
        is_core: false,
    },
    // Beside control and daemon: it writes what they read, and neither knows of it.
    Layer { name: "import", knows: &["config"], is_core: false },
    Layer {
        name: "control",
        knows: &["histogram", "wire", "vrrp", "mysql", "health", "net", "role", "config"],
        is_core: false,
    },
    Layer {
        name: "doctor",
        knows: &["wire", "mysql", "health", "database", "net", "config"],
        is_core: false,
    },
    // Beside the daemon: it listens for itself.
    Layer { name: "scan", knows: &["wire", "vrrp", "net", "config"], is_core: false },
    Layer {
        name: "daemon",
        knows: &[
            "histogram",
            "wire",
            "vrrp",
            "mysql",
            "health",
            "database",
            "net",
            "role",
            "config",
            "control",
        ],
        is_core: false,
    },
    // Beside the daemon: it measures the parts that the daemon is made of, and neither knows the other.
    Layer { name: "bench", knows: &["wire", "vrrp", "net", "config"], is_core: false },
];

/// What the core cannot name, and why.
const FORBIDDEN: [(&str, &str); 19] = [
    ("tokio", "the core runs in no runtime"),
    ("aya", "the core knows no kernel"),
    ("libc", "the core makes no system calls"),
    ("rustix", "the core makes no system calls"),
    ("rtnetlink", "the core makes no system calls"),
    ("netlink_sys", "the core makes no system calls"),
    ("UdpSocket", "the core opens no sockets"),
    ("UdpSocketExt", "the core opens no sockets"),
    ("TcpStream", "the core opens no sockets"),
    ("TcpListener", "the core opens no sockets"),
    ("ToSocketAddrs", "the core asks no name service"),
    ("std::time::Instant", "time is an argument of the core"),
    ("Instant::now", "time is an argument of the core"),
    ("SystemTime", "time is an argument of the core"),
    ("std::thread", "the core starts no threads"),
    ("std::fs", "the core reads no files"),
    ("std::io", "the core does no input or output"),
    ("tracing", "what to log is decided outside the core"),
    ("unsafe", "the core is safe"),
];

struct Layer {
    name: &'static str,
    knows: &'static [&'static str],
    is_core: bool,
}

/// `file:line: why` for each offence below `vrrp-user/src`.
pub(super) fn check(source: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in rust_files(source)? {
        let inside = file.strip_prefix(source).unwrap_or(&file).to_owned();
        let Some(layer) = layer_of(&inside) else { continue };
        let text = read(&file)?;
        let shown = format!("vrrp-user/src/{}", inside.display());
        complaints
            .extend(offences(layer, &text).into_iter().map(|(line, why)| format!("{shown}:{line}: {why}")));
    }
    Ok(complaints)
}

/// The layer of `wire.rs` and of everything in `wire/`.
fn layer_of(file: &Path) -> Option<&'static Layer> {
    let first = file.iter().next()?.to_string_lossy();
    let name = first.strip_suffix(".rs").unwrap_or(&first);
    LAYERS.iter().find(|layer| layer.name == name)
}

/// The lines of a layer's source that break the rule, from 1, each with the reason.
fn offences(layer: &Layer, text: &str) -> Vec<(usize, String)> {
    let code = flatten_groups(&blank(text));
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        if layer.is_core {
            for (word, why) in FORBIDDEN {
                if names(line, word) {
                    found.push((index + 1, format!("{} cannot name {word}: {why}", layer.name)));
                }
            }
        }
        for other in
            LAYERS.iter().filter(|other| other.name != layer.name && !layer.knows.contains(&other.name))
        {
            let paths = [format!("crate::{}", other.name), format!("vrrp_user::{}", other.name)];
            if paths.iter().any(|path| names(line, path)) {
                let why = format!("{} cannot name {}, which is a layer below it", layer.name, other.name);
                found.push((index + 1, why));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Whether `line` has `path` as whole words; `aya_log` is not `aya`.
fn names(line: &str, path: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(path).any(|(start, _)| {
        let before = line.get(..start).unwrap_or_default().chars().next_back();
        let after = line.get(start + path.len()..).unwrap_or_default().chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The text with comments and the insides of strings replaced by blanks, line by line as before.
fn blank(text: &str) -> String {
    #[derive(PartialEq)]
    enum Inside {
        Code,
        Line,
        Block(u32),
        Text,
    }
    let mut inside = Inside::Code;
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let mut keep = matches!(inside, Inside::Code);
        match (&inside, c, next) {
            (Inside::Code, '/', Some('/')) => (inside, keep) = (Inside::Line, false),
            (Inside::Code, '/', Some('*')) => (inside, keep) = (Inside::Block(1), false),
            // A quote that is itself quoted is a character, not a string.
            (Inside::Code, '"', _) if !(previous == '\'' && next == Some('\'')) => inside = Inside::Text,
            (Inside::Line, '\n', _) => inside = Inside::Code,
            (Inside::Block(depth), '/', Some('*')) if previous != '*' => inside = Inside::Block(depth + 1),
            (Inside::Block(1), '/', _) if previous == '*' => inside = Inside::Code,
            (Inside::Block(depth), '/', _) if previous == '*' => inside = Inside::Block(depth - 1),
            (Inside::Text, '"', _) => inside = Inside::Code,
            (Inside::Text, '\\', Some(escaped)) => {
                rest.next();
                result.push(' ');
                if escaped == '\n' {
                    result.push('\n');
                    previous = ' ';
                    continue;
                }
            }
            _ => {}
        }
        result.push(if keep || c == '\n' { c } else { ' ' });
        previous = c;
    }
    result
}

/// Writes each name of a group import out where it stands: in `std::{thread, fs}` the words become `std::thread` and
/// `std::fs`, lines as before.
fn flatten_groups(code: &str) -> String {
    let mut result = String::with_capacity(code.len() * 2);
    let mut prefixes: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in code.chars() {
        if c.is_alphanumeric() || c == '_' || c == ':' {
            if word.is_empty() && !prefixes.is_empty() {
                let prefix = prefixes.concat();
                result.push_str(&prefix);
            }
            word.push(c);
            result.push(c);
            continue;
        }
        if c == '{' && (word.ends_with("::") || !prefixes.is_empty()) {
            prefixes.push(if word.ends_with("::") { word.clone() } else { String::new() });
        } else if c == '}' {
            prefixes.pop();
        }
        word.clear();
        result.push(c);
    }
    result
}
