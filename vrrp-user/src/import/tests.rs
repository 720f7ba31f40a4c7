//! The recipe, each construct, the language, and what a hostile file can do.

use std::net::IpAddr;
use std::path::Path;

use super::*;
use crate::config::{Config, Loaded, Topic};

mod constructs;
mod hostile;
mod language;
mod recipe;
mod servers;

const FILE: &str = "/etc/keepalived/keepalived.conf";

/// With this text in the file, and nothing else on the disk.
fn imported(text: &str) -> Imported {
    with(Memory::default().with(FILE, text), &Options::default())
}

fn with(files: Memory, options: &Options) -> Imported {
    let imported = import(Path::new(FILE), &files, options).unwrap();
    if let Some(yaml) = &imported.yaml {
        parsed(yaml);
    }
    imported
}

fn parsed(yaml: &str) -> Loaded {
    match Config::parse(yaml, Path::new("x.yaml")) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}\n{yaml}"),
    }
}

/// The YAML before our parser has seen it.
fn draft(text: &str) -> String {
    draft_of(&Memory::default().with(FILE, text), &[])
}

fn draft_of(files: &Memory, local: &[&str]) -> String {
    let options = Options {
        config_id: String::new(),
        local: local.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect(),
    };
    let mut report = Report::default();
    let bytes = files.read(Path::new(FILE)).unwrap();
    let statements = statements(Path::new(FILE), bytes, files, "", &mut report);
    let mut import = Import {
        files,
        folder: Path::new("/etc/keepalived"),
        options: &options,
        report: &mut report,
        globals: Globals::default(),
        scripts: Scripts::default(),
    };
    let (mut globals, instances) = import.compose(&statements);
    globals.push(Entry::new("instances", yaml::Value::List(instances), &yaml::Origin::default()));
    yaml::render(&globals)
}

/// An instance that needs nothing more, with these lines in it from line 5 on.
fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{ 10.0.0.9 }}\n{lines}\n}}\n"
    )
}

/// Grade, line and keyword of all findings.
fn findings(imported: &Imported) -> Vec<(Grade, u32, &str)> {
    imported
        .report
        .findings()
        .iter()
        .map(|found| (found.grade, found.place.line(), found.what.as_str()))
        .collect()
}

/// Whether the parser of this version knows the key of an instance.
fn knows(key_and_value: &str) -> bool {
    let text = format!(
        "instances: [{{name: a, interface: eth0, virtual_router_id: 1, virtual_addresses: [10.0.0.9], {key_and_value}}}]"
    );
    Config::parse(&text, Path::new("x.yaml")).is_ok()
}
