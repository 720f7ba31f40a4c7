//! The daemon under test, on a host of the lab, with a configuration file written for it.
//!
//! Owns where the binary is and what its YAML says. Refuses to know whether it behaves.

use std::{
    fmt::Write as _,
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{lab::Host, process::Process};

/// Names the binary to test instead of the one beside the test's own executable.
pub const BINARY_VARIABLE: &str = "VRRP_BIN";

/// A server's role is handed over first, which may take 8 s by default.
const STOP: Duration = Duration::from_secs(20);

/// One virtual router, as the YAML has it. The defaults are the pair of the lab: version 2, 1 s, VRID 51.
#[derive(Clone, Debug)]
pub struct Instance {
    pub name: String,
    pub interface: String,
    pub vrid: u8,
    pub priority: u8,
    pub version: u8,
    /// With its unit, as in the file: `1s`, `100ms`.
    pub advert_interval: String,
    pub preempt: bool,
    /// Version 2: the password, if any.
    pub password: Option<String>,
    pub virtual_addresses: Vec<String>,
    /// More keys of the instance, one `key: value` each.
    pub extra: Vec<String>,
}

impl Instance {
    /// Version 2 with a password, 1 s, no preemption: the usual MySQL pair.
    pub fn v2(priority: u8) -> Self {
        Self {
            name: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 51,
            priority,
            version: 2,
            advert_interval: "1s".to_owned(),
            preempt: false,
            password: Some("1111".to_owned()),
            virtual_addresses: vec!["10.99.0.200/24".to_owned()],
            extra: Vec::new(),
        }
    }

    /// Version 3 at this interval.
    pub fn v3(priority: u8, advert_interval: &str) -> Self {
        let advert_interval = advert_interval.to_owned();
        Self { version: 3, password: None, advert_interval, ..Self::v2(priority) }
    }

    /// The same with preemption.
    #[must_use]
    pub fn preempting(self) -> Self {
        Self { preempt: true, ..self }
    }

    /// The same with one more key of the instance: `with("skew: none")`.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }
}

/// The whole file for these instances, in the form of the project's documentation.
pub fn yaml(router_id: &str, instances: &[Instance]) -> String {
    let mut text = format!("router_id: {router_id}\ninstances:\n");
    for instance in instances {
        // Writing to a String cannot fail.
        write!(
            text,
            "  - name: {}\n    interface: {}\n    virtual_router_id: {}\n    priority: {}\n    version: {}\n    \
             advert_interval: {}\n    preempt: {}\n    virtual_addresses: [{}]\n",
            instance.name,
            instance.interface,
            instance.vrid,
            instance.priority,
            instance.version,
            instance.advert_interval,
            instance.preempt,
            instance.virtual_addresses.join(", "),
        )
        .ok();
        if let Some(password) = &instance.password {
            writeln!(text, "    auth: {{ type: pass, password: \"{password}\" }}").ok();
        }
        for line in &instance.extra {
            writeln!(text, "    {line}").ok();
        }
    }
    text
}

/// The daemon on a host. All that [`Process`] can is there by dereference.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    binary: PathBuf,
    config: PathBuf,
}

impl Daemon {
    /// Starts it with these instances.
    pub fn start(host: &Host, instances: &[Instance]) -> Result<Self> {
        Self::start_with_yaml(host, &yaml(&format!("lab-{}", host.name()), instances))
    }

    /// Starts it with this file's text.
    pub fn start_with_yaml(host: &Host, text: &str) -> Result<Self> {
        let config = host.file("vrrp.yaml");
        let text = with_control(host, text);
        fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        Self::start_with_file(host, &binary()?, &config)
    }

    /// Starts this binary with this file.
    pub fn start_with_file(host: &Host, binary: &Path, config: &Path) -> Result<Self> {
        let (binary, config) = (binary.to_owned(), config.to_owned());
        Ok(Self { process: spawn(host, &binary, &config)?, binary, config })
    }

    /// Ends what is left of it and starts it again, same file, same log.
    pub fn restart(&mut self, host: &Host) -> Result<()> {
        self.process.kill_tree();
        self.process.wait(Duration::from_secs(5));
        self.process = spawn(host, &self.binary, &self.config)?;
        Ok(())
    }

    /// A planned stop: SIGTERM, and the exit code 0. The daemon promises a second, on a host that runs; taking programs off
    /// interfaces waits for kernel locks that all hosts of the lab share, so here it gets longer.
    pub fn stop(&mut self) -> Result<()> {
        self.process.terminate();
        match self.process.wait(STOP) {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{} answered SIGTERM with {status}:\n{}", self.name(), self.log()),
            None => bail!("{} still runs {STOP:?} after SIGTERM:\n{}", self.name(), self.log()),
        }
    }

    /// The file it was started with.
    pub fn config(&self) -> &Path {
        &self.config
    }
}

impl Deref for Daemon {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Daemon {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The file system is common to all hosts: each has its socket and its state folder in its own place.
pub fn with_control(host: &Host, text: &str) -> String {
    if text.contains("\ncontrol:") || !text.contains("instances:") {
        return text.to_owned();
    }
    let (socket, state) = (socket(host), host.file("state"));
    format!(
        "{}\ncontrol: {{ socket: {}, state_dir: {} }}\n",
        text.trim_end(),
        socket.display(),
        state.display()
    )
}

/// Where the daemon of a host listens.
pub fn socket(host: &Host) -> PathBuf {
    host.file("vrrp.sock")
}

/// The binary under test: `VRRP_BIN`, or `vrrp` in the build folder that this executable is in.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("{BINARY_VARIABLE} names {}, which is no file", path.display());
        }
        return Ok(path);
    }
    let own = std::env::current_exe().context("find this executable")?;
    let candidates = own.ancestors().skip(1).take(2).map(|folder| folder.join("vrrp"));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.with_context(|| {
        format!("the daemon is not built: no `vrrp` near {} (cargo build -p vrrp-user)", own.display())
    })
}

fn spawn(host: &Host, binary: &Path, config: &Path) -> Result<Process> {
    host.spawn("vrrp", binary, &["run", "--config", &config.to_string_lossy(), "--log-format", "text"])
}
