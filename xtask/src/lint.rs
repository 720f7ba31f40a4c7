//! `cargo xtask lint`: what a reviewer should not have to look for.
//!
//! Owns the order of the checks and their sum: all run, each failure is told. Refuses to fix anything.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{
    command::{answer, cargo, program, succeed, workspace},
    setup::{self, Group},
};

mod layering;
mod size;

type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 8] = [
    ("format", format),
    ("layering", layering),
    ("file sizes", sizes),
    ("clippy", clippy),
    ("clippy, kernel half", clippy_kernel),
    ("clippy, fuzz targets", clippy_fuzz),
    ("documentation", documentation),
    ("licences and sources", deny),
];

/// The verb itself.
pub(crate) fn run() -> Result<ExitCode> {
    setup::ensure(&[Group::Lint])?;
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        println!("== {name}");
        if let Err(error) = check() {
            println!("{error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        println!("\nlint: {} checks passed", CHECKS.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nlint: failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn format() -> Result<()> {
    succeed(&mut cargo(&["fmt", "--all", "--check"]))
}

/// Never --all-features: the kernel binary cannot be linked for the host.
fn clippy() -> Result<()> {
    succeed(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The program for the kernel, checked as if it were for the host: no BPF compiler has a clippy beside it. Like the
/// real one it cannot unwind.
fn clippy_kernel() -> Result<()> {
    let arguments = [
        "clippy",
        "-p",
        "vrrp-ebpf",
        "--bin",
        "vrrp",
        "--features",
        "ebpf",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    succeed(cargo(&arguments).env("CARGO_PROFILE_DEV_PANIC", "abort"))
}

/// They are built only by `cargo xtask fuzz`, and must not rot until then.
fn clippy_fuzz() -> Result<()> {
    let arguments = [
        "clippy",
        "-p",
        "vrrp-fuzz",
        "--bins",
        "--features",
        "programs",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    succeed(&mut cargo(&arguments))
}

fn documentation() -> Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"];
    succeed(cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny() -> Result<()> {
    succeed(&mut cargo(&["deny", "--log-level", "warn", "check", "licenses", "bans", "sources"]))?;
    // The database is a git repository: where only package registries are reachable it cannot be had.
    if answer(program("timeout").args(["60", "cargo", "deny", "fetch", "db"])).is_none() {
        println!("skipped: advisories: their database cannot be fetched from here");
        return Ok(());
    }
    succeed(&mut cargo(&["deny", "--log-level", "warn", "check", "advisories"]))
}

fn layering() -> Result<()> {
    report(&layering::check(&workspace().join("vrrp-user/src"))?)
}

fn sizes() -> Result<()> {
    report(&size::check(workspace())?)
}

fn report(complaints: &[String]) -> Result<()> {
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{}", complaints.join("\n"))
}
