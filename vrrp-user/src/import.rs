//! keepalived.conf to our YAML: every original's meaning kept, and a report of all that could not be.
//!
//! Owns the order: lines, statements, mapping, and our own parser as the last judge of what is written. Reads files only
//! through [`Files`], so that all of it can be tested and fuzzed without a disk; writes none.

mod address;
mod check;
mod command;
mod define;
mod files;
mod glob;
mod globals;
mod group;
pub mod host;
mod instance;
mod lines;
mod notify;
mod report;
mod sequence;
mod server;
mod settings;
mod tree;
mod verify;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use thiserror::Error;

pub use files::{Disk, Files, Memory};
pub use host::{local_addresses, name};
pub use report::{Finding, Grade, Place, Report};

use check::Scripts;
use globals::Globals;
use instance::Instance;
use tree::{Builder, Statement};
use yaml::{Entry, Item};

/// What the file does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What `@name` lines are compared with: keepalived's `--config-id`, by default the host's name.
    pub config_id: String,
    /// Addresses of the host that the file is for: tells a local `real_server` from one elsewhere.
    pub local: Vec<IpAddr>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// None if no virtual router is left. It is always accepted by `Config::parse`.
    pub yaml: Option<String>,
    pub report: Report,
}

#[derive(Debug, Error)]
pub enum ImportError {
    #[error("cannot read {file}: {source}; name the keepalived.conf to import")]
    Read { file: String, source: io::Error },
}

/// Reads the file and what it includes.
pub fn import(file: &Path, files: &dyn Files, options: &Options) -> Result<Imported, ImportError> {
    let bytes =
        files.read(file).map_err(|source| ImportError::Read { file: file.display().to_string(), source })?;
    let mut report = Report::default();
    let statements = statements(file, bytes, files, &options.config_id, &mut report);
    let mut import = Import {
        files,
        folder: file.parent().unwrap_or_else(|| Path::new("")),
        options,
        report: &mut report,
        globals: Globals::default(),
        scripts: Scripts::default(),
    };
    let (globals, instances) = import.compose(&statements);
    let yaml = verify::verified(globals, instances, &mut report);
    if yaml.is_none() {
        report.error(
            Place::default(),
            "(file)",
            "no virtual router in it can be carried over: nothing is written",
        );
    }
    report.sort();
    let yaml = yaml.map(|text| headed(&text, file, &report));
    Ok(Imported { yaml, report })
}

fn statements(
    file: &Path,
    bytes: Vec<u8>,
    files: &dyn Files,
    id: &str,
    report: &mut Report,
) -> Vec<Statement> {
    let mut builder = Builder::default();
    lines::read(file, bytes, files, id, report, &mut |report, line| builder.line(line, report));
    builder.finish(report)
}

/// What mapping needs from one end to the other.
struct Import<'i> {
    files: &'i dyn Files,
    /// Where the file is: scripts may be beside it.
    folder: &'i Path,
    options: &'i Options,
    report: &'i mut Report,
    globals: Globals,
    scripts: Scripts,
}

impl Import<'_> {
    /// Our global keys and the instances, not yet seen by the parser.
    fn compose(&mut self, statements: &[Statement]) -> (Vec<Entry>, Vec<Item>) {
        // What instances refer to may stand behind them.
        for block in statements {
            match block.keyword() {
                "global_defs" => self.globals.read(block, self.report),
                "vrrp_script" => self.scripts.read(block, self.report),
                _ => {}
            }
        }
        let mut instances = Vec::new();
        for block in statements.iter().filter(|block| block.keyword() == "vrrp_instance") {
            let instance = Instance::read(block, &self.globals, &mut self.scripts, self.report);
            instances.extend(instance);
        }
        for block in statements {
            match block.keyword() {
                "global_defs" | "vrrp_script" | "vrrp_instance" => {}
                "virtual_server" => server::read(block, &mut instances, self),
                "vrrp_sync_group" => group::read(block, self.report),
                keyword => self.other(keyword, block),
            }
        }
        self.scripts.report_unused(self.report);
        self.part(&mut instances);
        let items = instances.iter_mut().map(|instance| instance.item(&self.globals, self.report)).collect();
        let mut globals = self.globals.entries(self.report);
        globals.extend(self.globals.mail.entry(self.report));
        globals.extend(self.globals.fifo_entry());
        (globals, items)
    }

    /// Blocks of which nothing is carried over.
    fn other(&mut self, keyword: &str, block: &Statement) {
        const TRACKED: &str = "does nothing unless an instance tracks it; see there";
        let (grade, why) = match keyword {
            "static_ipaddress" | "static_routes" | "static_rules" => {
                (Grade::Error, "is not there: configure it where the host's network is configured")
            }
            "track_group" => (Grade::Ignored, "is for static addresses and routes"),
            "vrrp_track_process" | "track_file" | "vrrp_track_file" | "bfd_instance" => {
                (Grade::Ignored, TRACKED)
            }
            "garp_group" => (Grade::Warning, "is not there: a burst of gratuitous ARP goes out at once"),
            "linkbeat_interfaces" => (
                Grade::Warning,
                "carrier is what the kernel tells; a driver that tells nothing is not polled",
            ),
            "interface_up_down_delays" => {
                (Grade::Error, "is not there: a carrier that is lost means FAULT at once")
            }
            "virtual_server_group" | "SSL" => {
                (Grade::Ignored, "is about balancing load with IPVS, which this daemon does not do")
            }
            "net_namespace" => {
                (Grade::Error, "is not there: start the daemon inside the namespace, with `ip netns exec`")
            }
            "instance"
            | "use_pid_dir"
            | "child_wait_time"
            | "net_namespace_ipvs"
            | "namespace_with_ipsets" => (Grade::Ignored, "is about keepalived's own processes"),
            "" => (Grade::Warning, "a block without a name; left out, as keepalived does"),
            _ => (
                Grade::Warning,
                "is not a keyword of keepalived 2.2 at this place; left out, as keepalived does",
            ),
        };
        self.report.add(grade, block.place, keyword, why);
    }

    /// Two instances cannot be the same one, nor have the same address: the later one goes.
    fn part(&mut self, instances: &mut Vec<Instance>) {
        let mut names: HashMap<String, Place> = HashMap::new();
        let mut routers: HashMap<(String, String), String> = HashMap::new();
        let mut addresses: HashMap<(String, std::net::Ipv4Addr), String> = HashMap::new();
        instances.retain_mut(|instance| {
            if let Some(first) = names.get(&instance.name) {
                let why = format!(
                    "{} is defined already in line {}; left out, as keepalived does",
                    instance.name,
                    first.line()
                );
                self.report.error(instance.place(), "vrrp_instance", why);
                return false;
            }
            if let (Some(interface), Some(id)) = (&instance.interface, &instance.virtual_router_id) {
                let key = (interface.text.clone(), id.text.trim_start_matches('0').to_owned());
                if let Some(owner) = routers.get(&key) {
                    let why = format!(
                        "{} on {} is already the virtual router of {owner}; the instance is left out",
                        report::shown(&id.text),
                        report::shown(&interface.text)
                    );
                    self.report.error(id.origin.place, "virtual_router_id", why);
                    return false;
                }
                routers.insert(key, instance.name.clone());
            }
            names.insert(instance.name.clone(), instance.place());
            let keys: Vec<(String, std::net::Ipv4Addr)> = instance
                .addresses
                .iter()
                .map(|address| (instance.device(address).to_owned(), address.address))
                .collect();
            let mut keys = keys.into_iter();
            instance.addresses.retain(|address| {
                let Some(key) = keys.next() else { return true };
                if let Some(owner) = addresses.get(&key) {
                    let why = format!(
                        "{} on {} stands already in {owner}; left out here",
                        key.1,
                        report::shown(&key.0)
                    );
                    self.report.error(address.item.origin.place, "virtual_ipaddress", why);
                    return false;
                }
                addresses.insert(key, instance.name.clone());
                true
            });
            true
        });
    }
}

/// Errors that the head of the YAML names; the report has them all.
const MAX_NAMED: usize = 20;

/// The YAML under a comment that says where it is from and what it lacks: the report may be gone when it is read again.
fn headed(text: &str, file: &Path, report: &Report) -> String {
    let clean = |text: &str| text.chars().map(yaml::printable).collect::<String>();
    let mut head = format!("# From {} by `vrrp import`.\n", clean(&file.display().to_string()));
    let errors: Vec<&Finding> =
        report.findings().iter().filter(|finding| finding.grade == Grade::Error).collect();
    if !errors.is_empty() {
        head.push_str("# It does not do all that the original did:\n");
        for finding in errors.iter().take(MAX_NAMED) {
            let line = format!("#   {} {}: {}\n", report.place(finding.place), finding.what, finding.why);
            head.push_str(
                &line.chars().map(|c| if c == '\n' { c } else { yaml::printable(c) }).collect::<String>(),
            );
        }
        if errors.len() > MAX_NAMED {
            head.push_str(&format!("#   and {} more\n", errors.len() - MAX_NAMED));
        }
    }
    head + text
}
