//! Commands: keepalived's script strings as words, and back as one string of ours; and what a script does to keepalived.
//!
//! Owns their quoting. Starts nothing.

use std::path::Path;

use super::files::Files;

/// Longer scripts are read up to here.
const MAX_SCRIPT: usize = 64 << 10;

/// A script string in words, as keepalived splits it: white space, and quotes of either kind.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && (c == '"' || c == '\'') {
            quote = Some(c);
            word.get_or_insert_default();
        } else if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    words
}

/// The same command for our configuration, which wants a program with its whole path.
pub(super) fn command(text: &str) -> String {
    let mut words = split(text);
    if words.first().is_some_and(|program| !program.starts_with('/')) {
        // keepalived looks the program up in PATH.
        words.insert(0, "/usr/bin/env".to_owned());
    }
    words.iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ")
}

fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./:=,@%+-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\"'\"'"))
    }
}

/// Words that only a shell understands. keepalived 2 passes them on as they are, and so do we.
pub(super) fn needs_shell(text: &str) -> bool {
    split(text)
        .iter()
        .any(|word| ["|", "||", "&", "&&", ";", ">", ">>", "<", "2>&1"].contains(&word.as_str()))
}

/// What a script that runs when a server goes down does to keepalived itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It ends keepalived, and does nothing besides.
    Kills,
    /// It ends keepalived among other things.
    KillsAndMore,
    Other,
    /// It cannot be read here.
    Unknown,
}

/// Judges by the command's own words and, if it is a file that can be read, by what is in that. Where the file is not at
/// its path, one of that name beside the configuration is taken for it.
pub(super) fn effect(text: &str, folder: &Path, files: &dyn Files) -> Effect {
    if kills(text) {
        return Effect::Kills;
    }
    let words = split(text);
    let Some(program) = words.first().map(Path::new) else { return Effect::Other };
    let beside = program.file_name().map(|name| folder.join(name));
    let script = files.read(program).ok().or_else(|| files.read(&beside?).ok());
    let Some(mut bytes) = script else { return Effect::Unknown };
    bytes.truncate(MAX_SCRIPT);
    let script = String::from_utf8_lossy(&bytes);
    let lines = script.lines().map(str::trim);
    // A first line without its `#` is still meant as one: `!/bin/sh pkill keepalived`.
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>();
    match (code.iter().any(|line| kills(line)), code.iter().all(|line| kills(line))) {
        (true, true) => Effect::Kills,
        (true, false) => Effect::KillsAndMore,
        (false, _) => Effect::Other,
    }
}

/// Whether a line of shell ends keepalived.
fn kills(line: &str) -> bool {
    if !line.contains("keepalived") {
        return false;
    }
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || ";|&()`\"'".contains(c)).collect();
    let has = |wanted: &str| words.iter().any(|word| word.rsplit('/').next() == Some(wanted));
    let is_stopped =
        has("stop") && (has("systemctl") || has("service") || has("keepalived") || has("rc-service"));
    // Signal 0 only asks whether it lives.
    let is_killed = (has("pkill") || has("killall") || has("kill")) && !has("-0");
    is_killed || is_stopped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::files::Memory;

    #[test]
    fn commands_keep_their_words() {
        assert_eq!(command("/usr/bin/check -x 'a b'"), "/usr/bin/check -x 'a b'");
        assert_eq!(command("killall -0 mysqld"), "/usr/bin/env killall -0 mysqld");
        assert_eq!(command("/x it\"'\"s $HOME"), "/x 'it'\"'\"'s' '$HOME'");
        assert_eq!(split("  "), Vec::<String>::new());
    }

    #[test]
    fn what_kills_keepalived_is_known() {
        let files = Memory::default()
            .with("/etc/keepalived/check_mysql.sh", "!/bin/sh pkill keepalived")
            .with("/s/two.sh", "#!/bin/sh\n# stops it\nlogger down\n/usr/bin/systemctl stop keepalived.service\nsystemctl stop keepalived\n")
            .with("/s/mail.sh", "#!/bin/sh\nmail -s 'keepalived says' root\n")
            .with("/conf/beside.sh", "killall keepalived\n");
        let folder = Path::new("/conf");
        for (text, expected) in [
            ("/etc/keepalived/check_mysql.sh", Effect::Kills),
            ("/s/two.sh arg", Effect::KillsAndMore),
            ("/s/mail.sh", Effect::Other),
            ("/gone/beside.sh", Effect::Kills),
            ("/gone/else.sh", Effect::Unknown),
            ("pkill keepalived", Effect::Kills),
            ("/etc/init.d/keepalived stop", Effect::Kills),
            ("killall -0 keepalived", Effect::Unknown),
            ("/bin/sh -c 'service keepalived stop'", Effect::Kills),
        ] {
            assert_eq!(effect(text, folder, &files), expected, "{text}");
        }
    }
}
