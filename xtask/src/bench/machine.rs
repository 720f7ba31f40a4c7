//! The machine under the measurements: what it is, its load, and the versions of what took part.
//!
//! Owns these facts. Refuses to judge results.

use std::{fs, process::Command, time::Duration};

use serde::Serialize;

use super::noise::Noise;
use crate::command::{self, output_within};

/// For a program that only says its version.
const PATIENCE: Duration = Duration::from_secs(10);
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// When the run began.
    pub(crate) date: String,
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_mib: u64,
    pub(crate) commit: String,
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
    /// Over the whole run.
    #[serde(flatten)]
    pub(crate) noise: Noise,
}

impl Machine {
    /// As it is now; `load_after` and `noise` come with the end of the run.
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = read("/proc/meminfo");
        let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        let mut commit = command::program("git");
        commit.args(["describe", "--always", "--dirty", "--abbrev=12"]);
        let version = |program: &str, arguments: &[&str]| {
            let output = output_within(Command::new(program).args(arguments), PATIENCE).ok()?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            text.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
        };
        let versions = [
            ("keepalived", version("keepalived", &["--version"])),
            ("mariadb", version("mariadbd", &["--version"])),
            ("rustc", version("rustc", &["--version"])),
        ];
        let date = command::answer(command::program("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]));
        Self {
            date: date.unwrap_or_default().trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: cpu.map(|(_, name)| name.to_owned()).unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            memory_mib: kib.unwrap_or(0) / 1024,
            commit: command::answer(&mut commit).unwrap_or_default().trim().to_owned(),
            versions: versions
                .into_iter()
                .filter_map(|(name, version)| Some((name.to_owned(), version?)))
                .collect(),
            load_before: load(),
            load_after: String::new(),
            noise: Noise::default(),
        }
    }
}

/// The three averages, as the kernel prints them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
