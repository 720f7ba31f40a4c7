//! Produces the BPF objects that the daemon carries, with whichever toolchain is there:
//!
//! 1. objects that somebody built already, named by `VRRP_EBPF_OBJECT`, `VRRP_WITNESS_OBJECT` and
//!    `VRRP_DOORKEEPER_OBJECT`;
//! 2. a stable `rustc` whose sysroot holds `core` for BPF: `VRRP_BPF_RUSTC`, else `/usr/bin/rustc`
//!    (Debian's rustc-web with libstd-rust-web-dev-bpf);
//! 3. a nightly with rust-src from rustup, building `core` itself.
//!
//! None of them: empty objects, so that unit tests, clippy and docs need no BPF toolchain. The daemon then says at
//! run time what to install.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The variable that names a built one, what the daemon includes, the program that it is built from.
const OBJECTS: [(&str, &str, &str); 3] = [
    ("VRRP_EBPF_OBJECT", "vrrp-ebpf.o", "vrrp"),
    ("VRRP_WITNESS_OBJECT", "vrrp-witness.o", "vrrp-witness"),
    ("VRRP_DOORKEEPER_OBJECT", "vrrp-doorkeeper.o", "vrrp-doorkeeper"),
];

fn main() {
    let package = PathBuf::from(required("CARGO_MANIFEST_DIR")).join("../vrrp-ebpf");
    let out = PathBuf::from(required("OUT_DIR"));
    for variable in OBJECTS.map(|(variable, ..)| variable).into_iter().chain(["VRRP_BPF_RUSTC", "PATH"]) {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed={}", package.join("src").display());
    println!("cargo::rerun-if-changed={}", package.join("Cargo.toml").display());

    let empty = |file: &Path| {
        fs::write(file, b"").unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
    };
    if env::var_os("VRRP_EBPF_OBJECT").is_some() {
        for (variable, object, _) in OBJECTS {
            let object = out.join(object);
            match env::var_os(variable).map(PathBuf::from) {
                Some(built) => {
                    println!("cargo::rerun-if-changed={}", built.display());
                    copy(&built, &object);
                }
                // The daemon does without it, and says so.
                None => empty(&object),
            }
        }
    } else if let Some(toolchain) = Toolchain::find() {
        let built = toolchain.build(&package, &out.join("ebpf"));
        for (_, object, program) in OBJECTS {
            copy(&built.join(program), &out.join(object));
        }
    } else {
        println!(
            "cargo::warning=no BPF toolchain found: the daemon is built without its kernel half; \
             `cargo xtask setup` installs one"
        );
        for (_, object, _) in OBJECTS {
            empty(&out.join(object));
        }
    }
}

enum Toolchain {
    /// A compiler that has `core` for BPF.
    Prebuilt { rustc: OsString },
    /// rustup's nightly, which can build it.
    Nightly,
}

impl Toolchain {
    fn find() -> Option<Self> {
        // It answers 0 to --version; without a linker no compiler helps.
        output(Command::new("bpf-linker").arg("--version"))?;
        let named = env::var_os("VRRP_BPF_RUSTC");
        if let Some(rustc) = named.into_iter().chain([OsString::from("/usr/bin/rustc")]).find(has_bpf_core) {
            return Some(Self::Prebuilt { rustc });
        }
        let mut nightly = Command::new("rustup");
        let sysroot = output(nightly.args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
        Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists().then_some(Self::Nightly)
    }

    /// Runs cargo for the kernel's binaries; where they are.
    fn build(&self, package: &Path, target_dir: &Path) -> PathBuf {
        let target = bpf_target();
        let mut cargo = match self {
            Self::Prebuilt { rustc } => {
                let mut cargo = Command::new(required("CARGO"));
                // `core` has no compare-exchange for BPF but as an intrinsic (vrrp-ebpf/src/atomic.rs).
                cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Self::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", "nightly", "cargo"]).env_remove("RUSTC");
                cargo
            }
        };
        cargo.args(["build", "--release", "--locked", "--bins", "--features", "ebpf", "--target", target]);
        if matches!(self, Self::Nightly) {
            cargo.args(["-Z", "build-std=core"]);
        }
        // v3: atomics (Linux 5.12). Debug information becomes BTF, which the verifier quotes.
        let flags = [
            format!("--cfg=bpf_target_arch=\"{}\"", required("CARGO_CFG_TARGET_ARCH")),
            "-Ctarget-cpu=v3".into(),
            "-Cdebuginfo=2".into(),
            "-Clink-arg=--btf".into(),
        ];
        cargo
            .current_dir(package)
            .arg("--target-dir")
            .arg(target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            // What clippy and the like set for the crate under test is not meant for this build.
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env_remove("CARGO_BUILD_TARGET");
        let built = cargo.output().unwrap_or_else(|error| panic!("start {cargo:?}: {error}"));
        assert!(
            built.status.success(),
            "the kernel half does not build ({cargo:?}):\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        target_dir.join(target).join("release")
    }
}

fn bpf_target() -> &'static str {
    if required("CARGO_CFG_TARGET_ENDIAN") == "big" { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}

fn has_bpf_core(rustc: &OsString) -> bool {
    let sysroot = output(Command::new(rustc).env_remove("RUSTUP_TOOLCHAIN").args(["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| {
        Path::new(sysroot.trim()).join("lib/rustlib").join(bpf_target()).join("lib").exists()
    })
}

/// What the command printed, if it could be run and succeeded.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

fn copy(from: &Path, to: &Path) {
    if let Err(error) = fs::copy(from, to) {
        panic!("copy {} to {}: {error}", from.display(), to.display());
    }
}

fn required(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| panic!("cargo sets {variable} for build scripts"))
}
