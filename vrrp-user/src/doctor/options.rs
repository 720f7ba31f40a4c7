//! How a server will start: the option files and the command line that it was started with.
//!
//! Owns finding the files, their includes and which word counts. Refuses to fail: what cannot be read is not known.

use std::fs;
use std::path::{Path, PathBuf};

use super::facts::StartsAs;
use crate::mysql::Row;

/// Where a server looks for its options when it is not told.
const OPTION_FILES: [&str; 3] = ["/etc/my.cnf", "/etc/mysql/my.cnf", "/etc/mysql/mariadb.cnf"];
/// Includes within includes.
const MAX_DEPTH: u8 = 8;

/// By the option files that this very server was started with.
pub(super) fn starts_as(variables: &Row) -> Option<StartsAs> {
    let data = PathBuf::from(variables.get(&["datadir"])?);
    let pid_file = data.join(variables.get(&["pid_file"])?);
    let pid = fs::read_to_string(pid_file).ok()?.trim().parse::<u32>().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<String> =
        line.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let named =
        |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)).map(PathBuf::from);
    let files =
        match (named("--defaults-file="), arguments.iter().any(|argument| argument == "--no-defaults")) {
            (Some(file), _) => vec![file],
            (None, true) => Vec::new(),
            (None, false) => {
                let mut files: Vec<PathBuf> = OPTION_FILES.iter().map(PathBuf::from).collect();
                files.dedup_by_key(|file| fs::canonicalize(&*file).ok());
                files.extend(named("--defaults-extra-file="));
                files
            }
        };
    let mut value = StartsAs::default();
    for file in files {
        apply_file(&file, MAX_DEPTH, &mut value);
    }
    // MySQL 8: read after the files, before the command line.
    if let Ok(text) = fs::read_to_string(data.join("mysqld-auto.cnf")) {
        apply_persisted(&text, &mut value);
    }
    for argument in &arguments {
        if let Some(option) = argument.strip_prefix("--") {
            apply_option(option, &mut value);
        }
    }
    Some(value)
}

fn apply_file(path: &Path, depth: u8, value: &mut StartsAs) {
    let Ok(text) = fs::read_to_string(path) else { return };
    apply_text(&text, value, &mut |include, value| {
        let Some(deeper) = depth.checked_sub(1) else { return };
        match include {
            Include::File(file) => apply_file(Path::new(file), deeper, value),
            Include::Folder(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
                files.retain(|file| file.extension().is_some_and(|extension| extension == "cnf"));
                files.sort();
                files.iter().for_each(|file| apply_file(file, deeper, value));
            }
        }
    });
}

enum Include<'a> {
    File(&'a str),
    Folder(&'a str),
}

/// The last word counts; only groups that the server itself reads.
fn apply_text(text: &str, value: &mut StartsAs, include: &mut dyn FnMut(Include<'_>, &mut StartsAs)) {
    let mut is_ours = false;
    for line in text.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_ours = ["mysqld", "server", "mariadb", "mariadbd"].iter().any(|own| {
                group == *own || group.strip_prefix(own).is_some_and(|version| version.starts_with('-'))
            });
        } else if let Some(folder) = line.strip_prefix("!includedir ") {
            include(Include::Folder(folder.trim()), value);
        } else if let Some(file) = line.strip_prefix("!include ") {
            include(Include::File(file.trim()), value);
        } else if is_ours && !line.starts_with(['#', ';']) {
            apply_option(line, value);
        }
    }
}

/// What `SET PERSIST` keeps: JSON, each variable an object with a `Value`, in groups that differ between versions.
fn apply_persisted(text: &str, value: &mut StartsAs) {
    let Ok(all) = serde_json::from_str::<serde_json::Value>(text) else { return };
    for group in all.as_object().into_iter().flat_map(|all| all.values()) {
        for name in ["read_only", "super_read_only", "skip_slave_start", "skip_replica_start"] {
            if let Some(kept) = group.get(name).and_then(|variable| variable.get("Value")?.as_str()) {
                apply_option(&format!("{name}={kept}"), value);
            }
        }
    }
}

fn apply_option(option: &str, value: &mut StartsAs) {
    let option = option.split('#').next().unwrap_or_default();
    let (name, given) = option.split_once('=').unwrap_or((option, "1"));
    let name = name.trim().replace('-', "_").to_ascii_lowercase();
    let given = given.trim().trim_matches(['"', '\'']);
    // MariaDB before 12 takes any word that it does not know on its command line for OFF.
    let is_on = ["1", "ON", "TRUE", "YES"].iter().any(|yes| given.eq_ignore_ascii_case(yes));
    match name.as_str() {
        "read_only" => value.read_only = is_on,
        "super_read_only" => value.super_read_only = is_on,
        "skip_slave_start" | "skip_replica_start" => value.without_replication = is_on,
        "skip_read_only" | "disable_read_only" => value.read_only = false,
        "skip_super_read_only" | "disable_super_read_only" => value.super_read_only = false,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> StartsAs {
        let mut value = StartsAs::default();
        apply_text(text, &mut value, &mut |_, _| {});
        value
    }

    #[test]
    fn the_last_word_in_the_servers_own_groups_counts() {
        for (text, expected) in [
            ("[mysqld]\nread_only = 1", true),
            ("[mysqld]\nread-only", true),
            ("[mariadb-10.11]\nread_only=ON # why", true),
            ("[mysqld]\nsuper_read_only = ON", true),
            ("[client]\nread_only = 1", false),
            ("[mysqld]\nread_only = 1\n[mysqld]\nread_only = 0", false),
            ("[mysqld]\n#read_only = 1", false),
            ("[mysqld]\nread_only = NO_LOCK_NO_ADMIN", false),
            ("[mysqld]\nread_only\nskip-read-only", false),
        ] {
            assert_eq!(reads(text).is_read_only(), expected, "{text}");
        }
    }

    #[test]
    fn the_strict_kind_of_read_only_is_a_word_of_its_own() {
        for (text, expected) in [
            ("[mysqld]\nread_only = 1", (true, false)),
            ("[mysqld]\nsuper-read-only", (false, true)),
            ("[mysqld]\nread_only\nsuper_read_only = OFF", (true, false)),
            ("[mysqld]\nsuper_read_only\nskip_super_read_only", (false, false)),
        ] {
            let found = reads(text);
            assert_eq!((found.read_only, found.super_read_only), expected, "{text}");
        }
    }

    #[test]
    fn replication_that_waits_to_be_started_is_read_from_the_files() {
        for (text, expected) in [
            ("[mysqld]\nskip-slave-start", true),
            ("[mariadb]\nskip_slave_start = 1", true),
            ("[mysqld]\nskip_replica_start = OFF", false),
            ("[client]\nskip-slave-start", false),
            ("[mysqld]\nread_only", false),
        ] {
            assert_eq!(reads(text).without_replication, expected, "{text}");
        }
    }

    #[test]
    fn what_was_persisted_beats_the_files() {
        for (text, expected) in [
            (
                r#"{"Version":1,"mysql_server":{"super_read_only":{"Value":"ON","Metadata":{}}}}"#,
                (true, true),
            ),
            (r#"{"Version":2,"mysql_dynamic_variables":{"read_only":{"Value":"OFF"}}}"#, (false, false)),
            (r#"{"Version":2,"mysql_dynamic_variables":{"port":{"Value":"3306"}}}"#, (true, false)),
            ("no JSON", (true, false)),
        ] {
            let mut value = reads("[mysqld]\nread_only = 1");
            apply_persisted(text, &mut value);
            assert_eq!((value.read_only, value.super_read_only), expected, "{text}");
        }
    }

    #[test]
    fn included_files_are_read_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("main.txt", &format!("[mysqld]\nread_only=0\n!includedir {}\n", folder.path().display()));
        write("10.cnf", "[mysqld]\nread_only=0\n");
        write("20.cnf", "[mysqld]\nread_only=1\n");
        write("30.off", "[mysqld]\nread_only=0\n");
        let mut value = StartsAs::default();
        apply_file(&folder.path().join("main.txt"), MAX_DEPTH, &mut value);
        assert!(value.is_read_only() && !value.super_read_only);
    }
}
