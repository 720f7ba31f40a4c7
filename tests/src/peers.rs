//! The opponent: a real keepalived on a host of the lab, configured as its users do.
//!
//! Owns keepalived's configuration file and its process tree. Refuses to correct what it does.

use std::{
    fmt::Write as _,
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{capability::find_program, lab::Host, process::Process};

/// One `vrrp_instance`.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    pub interface: String,
    pub vrid: u8,
    pub priority: u8,
    pub version: u8,
    pub advert_ms: u32,
    pub nopreempt: bool,
    /// Version 2: `auth_type PASS`.
    pub password: Option<String>,
    pub virtual_addresses: Vec<String>,
    /// More lines of the instance.
    pub extra: Vec<String>,
}

impl Peer {
    /// Version 2 with a password, 1 s, no preemption: as `Instance::v2` of the daemon.
    pub fn v2(priority: u8) -> Self {
        Self {
            name: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 51,
            priority,
            version: 2,
            advert_ms: 1000,
            nopreempt: true,
            password: Some("1111".to_owned()),
            virtual_addresses: vec!["10.99.0.200/24".to_owned()],
            extra: Vec::new(),
        }
    }

    /// Version 3 at this interval.
    pub fn v3(priority: u8, advert_ms: u32) -> Self {
        Self { version: 3, password: None, advert_ms, ..Self::v2(priority) }
    }

    /// The same with preemption.
    #[must_use]
    pub fn preempting(self) -> Self {
        Self { nopreempt: false, ..self }
    }
}

/// keepalived.conf for these instances; `globals` are more lines of its `global_defs`.
pub fn configuration(globals: &[&str], peers: &[Peer]) -> String {
    let mut text = "global_defs {\n    router_id lab\n".to_owned();
    for line in globals {
        writeln!(text, "    {line}").ok();
    }
    text.push_str("}\n");
    for peer in peers {
        let (seconds, thousandths) = (peer.advert_ms / 1000, peer.advert_ms % 1000);
        // Writing to a String cannot fail.
        write!(
            text,
            "vrrp_instance {} {{\n    state BACKUP\n    interface {}\n    version {}\n    virtual_router_id {}\n    \
             priority {}\n    advert_int {seconds}.{thousandths:03}\n",
            peer.name, peer.interface, peer.version, peer.vrid, peer.priority
        )
        .ok();
        if peer.nopreempt {
            text.push_str("    nopreempt\n");
        }
        if let Some(password) = &peer.password {
            writeln!(
                text,
                "    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}"
            )
            .ok();
        }
        for line in &peer.extra {
            writeln!(text, "    {line}").ok();
        }
        text.push_str("    virtual_ipaddress {\n");
        for address in &peer.virtual_addresses {
            writeln!(text, "        {address} dev {}", peer.interface).ok();
        }
        text.push_str("    }\n}\n");
    }
    text
}

/// keepalived on a host. All that [`Process`] can is there by dereference; mind that the VRRP work is done by a child
/// that the parent restarts, so kill, freeze and thaw the tree.
#[derive(Debug)]
pub struct Keepalived {
    process: Process,
    config: PathBuf,
    talk: Talk,
}

/// How much it logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// As installed.
    Usual,
    /// `-D`: a line for each gratuitous ARP, too.
    Detailed,
}

impl Keepalived {
    /// Starts it with these instances.
    pub fn start(host: &Host, peers: &[Peer]) -> Result<Self> {
        Self::start_with(host, &[], peers)
    }

    /// Starts it with these instances and more lines in its `global_defs`.
    pub fn start_with(host: &Host, globals: &[&str], peers: &[Peer]) -> Result<Self> {
        let config = host.file("keepalived.conf");
        fs::write(&config, configuration(globals, peers))
            .with_context(|| format!("write {}", config.display()))?;
        Self::start_with_file(host, &config)
    }

    /// Starts it with this file.
    pub fn start_with_file(host: &Host, config: &Path) -> Result<Self> {
        Self::start_talking(host, Talk::Detailed, config)
    }

    /// Starts it with this file, logging that much.
    pub fn start_talking(host: &Host, talk: Talk, config: &Path) -> Result<Self> {
        Ok(Self { process: spawn(host, talk, config)?, config: config.to_owned(), talk })
    }

    /// Ends what is left of it and starts it again, same file, same log.
    pub fn restart(&mut self, host: &Host) -> Result<()> {
        self.process.kill_tree();
        self.process.wait(Duration::from_secs(5));
        self.process = spawn(host, self.talk, &self.config)?;
        Ok(())
    }

    /// The file it was started with.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// A planned stop: it sends priority 0 and takes its addresses off.
    pub fn stop(&mut self) -> Result<()> {
        self.process.terminate();
        match self.process.wait(Duration::from_secs(10)) {
            Some(_) => Ok(()),
            None => bail!("{} still runs 10 s after SIGTERM:\n{}", self.name(), self.log()),
        }
    }
}

impl Deref for Keepalived {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Keepalived {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn spawn(host: &Host, talk: Talk, config: &Path) -> Result<Process> {
    let program = find_program("keepalived").context("keepalived is not installed")?;
    let pid_files = ["main", "vrrp", "checkers"].map(|name| {
        // One that a killed keepalived left would keep the next from starting.
        let file = host.file(&format!("keepalived-{name}.pid"));
        fs::remove_file(&file).ok();
        file.to_string_lossy().into_owned()
    });
    let [main, vrrp, checkers] = &pid_files;
    let file = config.to_string_lossy();
    // Only the VRRP child (-P), in the foreground, its log to standard output and none to syslog.
    let mut arguments = vec!["-P", "-n", "-l", "-G", "-f", &file, "-p", main, "-r", vrrp, "-c", checkers];
    if talk == Talk::Detailed {
        arguments.push("-D");
    }
    host.spawn("keepalived", &program, &arguments)
}
