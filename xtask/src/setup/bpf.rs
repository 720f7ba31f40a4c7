//! The toolchain of the kernel half: a compiler with `core` for BPF, and a linker whose LLVM is at least as new.
//!
//! Owns finding both (as vrrp-user's build script does) and building the linker. Refuses to build the program.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};

use super::{BPF_LINKER, apt_install};
use crate::command::{answer, cargo, find, program, succeed};

/// Debian's compiler with `core` for BPF; the package is rustc-web.
const RUSTC: &str = "/usr/bin/rustc";

/// Packages for what is not there. Nothing, if rustup's nightly can do it.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if env::var_os("VRRP_EBPF_OBJECT").is_none() && !has_prebuilt_core() && !has_nightly_source() {
        packages.extend(["rustc-web", "libstd-rust-web-dev-bpf"]);
    }
    packages
}

/// Whether bpf-linker is missing, or was built for an older LLVM than the compiler's.
pub(super) fn needs_linker() -> bool {
    if env::var_os("VRRP_EBPF_OBJECT").is_some() {
        return false;
    }
    let is_older = || Some(linker_llvm()? < llvm_major()?);
    find("bpf-linker").is_none() || is_older().unwrap_or(false)
}

/// Builds bpf-linker against Debian's LLVM of the compiler's major version.
pub(super) fn install_linker() -> Result<()> {
    let major = llvm_major().context("no BPF compiler tells its LLVM version (`rustc -vV`)")?;
    let (llvm, polly) = (format!("llvm-{major}-dev"), format!("libpolly-{major}-dev"));
    let mut packages = vec![llvm.as_str(), polly.as_str()];
    // The linker is a C++ program as far as LLVM goes.
    if find("c++").is_none() {
        packages.push("g++");
    }
    apt_install(&packages)?;
    let feature = format!("llvm-{major}");
    let arguments = ["install", "bpf-linker", "--force", "--version", BPF_LINKER, "--no-default-features"];
    let mut install = cargo(&arguments);
    install.args(["--features", &feature]).env("LLVM_PREFIX", format!("/usr/lib/llvm-{major}"));
    succeed(&mut install).with_context(|| {
        format!("build bpf-linker: does version {BPF_LINKER} know LLVM {major} (feature {feature})?")
    })
}

/// The LLVM of the compiler that builds the kernel half.
pub(super) fn llvm_major() -> Option<u32> {
    let version = if has_prebuilt_core() {
        answer(program(&rustc()).arg("-vV"))
    } else {
        answer(program("rustup").args(["run", "nightly", "rustc", "-vV"]))
    };
    let version = version?;
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

fn rustc() -> String {
    env::var("VRRP_BPF_RUSTC").unwrap_or_else(|_| RUSTC.to_owned())
}

/// An older distribution's rustc may sit at the same path: only its sysroot tells.
fn has_prebuilt_core() -> bool {
    let target = if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };
    let sysroot = answer(program(&rustc()).env_remove("RUSTUP_TOOLCHAIN").args(["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| {
        PathBuf::from(sysroot.trim()).join("lib/rustlib").join(target).join("lib").exists()
    })
}

fn has_nightly_source() -> bool {
    let sysroot = answer(program("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| {
        PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists()
    })
}

/// The LLVM feature that cargo remembers of its last build of bpf-linker; `None` if it came some other way.
fn linker_llvm() -> Option<u32> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(cargo.join(".crates2.json")).ok()?).ok()?;
    let installs = record["installs"].as_object()?;
    let (_, linker) = installs.iter().find(|(name, _)| name.starts_with("bpf-linker "))?;
    let mut features = linker["features"].as_array()?.iter().filter_map(|feature| feature.as_str());
    features.find_map(|feature| feature.strip_prefix("llvm-")?.parse().ok())
}
