//! The Debian package: built from this build, installed into a folder, used from there, and removed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use vrrp_lab::{Requirement, capability::find_program, daemon::binary, harness::Test, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![[Requirement::Daemon, Requirement::Tool("dpkg-deb")];
        the_package_installs_works_and_goes,
    ]
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// `xtask` beside the daemon: built with it.
fn xtask() -> PathBuf {
    let beside = binary().unwrap().with_file_name("xtask");
    assert!(beside.is_file(), "no {}: `cargo build --workspace` makes it", beside.display());
    beside
}

fn the_package_installs_works_and_goes() {
    let folder = Folder(std::env::temp_dir().join(format!("vrrp-package-{}", std::process::id())));
    let root = folder.0.join("root");
    let daemon = binary().unwrap();
    let (out, daemon) = (folder.0.to_string_lossy().into_owned(), daemon.to_string_lossy().into_owned());
    let maintainer = ["--maintainer", "Somebody <somebody@debian.org>"];
    let arguments = [&["dist", "--binary", &daemon, "--output", &out], maintainer.as_slice()].concat();
    let package = text(&run(&xtask(), &arguments)).trim().to_owned();
    let dpkg_deb = Path::new("dpkg-deb");
    let fields = text(&run(dpkg_deb, &["--field", &package]));
    for line in ["Package: vrrp", "Architecture: ", "Depends: libc6 (>= 2."] {
        assert!(fields.contains(line), "{line:?} is not in\n{fields}");
    }

    // As dpkg does it, into a root of its own; its scripts see that they are not on a running system.
    for inside in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log"] {
        fs::create_dir_all(root.join(inside)).unwrap();
    }
    for file in ["status", "available"] {
        fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
    }
    let rooted = format!("--root={}", root.display());
    let log = format!("--log={}", root.join("var/log/dpkg.log").display());
    let dpkg = |arguments: &[&str]| {
        let common = [rooted.as_str(), &log, "--force-depends", "--force-script-chrootless"];
        run(Path::new("dpkg"), &[common.as_slice(), arguments].concat());
    };
    dpkg(&["--install", &package]);
    let installed = root.join("usr/bin/vrrp");
    let version = text(&run(&installed, &["--version"]));
    assert_eq!(version.trim(), format!("vrrp {}", env!("CARGO_PKG_VERSION")));
    let examples = root.join("usr/share/doc/vrrp/examples");
    let mut checked = 0;
    for entry in fs::read_dir(&examples).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "yaml") {
            run(&installed, &["check", "--config", &file.to_string_lossy()]);
            checked += 1;
        }
    }
    assert!(checked >= 4, "{checked} examples");
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/vrrp.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/vrrp run "), "{unit}");
    let page =
        text(&run(Path::new("gzip"), &["-dc", &root.join("usr/share/man/man8/vrrp.8.gz").to_string_lossy()]));
    assert!(page.contains("VRRP DRAIN") && page.contains(".TH vrrp 8"), "{page}");
    let completions = root.join("usr/share/bash-completion/completions/vrrp");
    run(Path::new("bash"), &["-n", &completions.to_string_lossy()]);
    let documents =
        ["copyright", "README.md.gz", "docs/mysql.md.gz"].map(|name| format!("usr/share/doc/vrrp/{name}"));
    for file in documents.iter().map(String::as_str).chain(["etc/vrrp"]) {
        assert!(root.join(file).exists(), "{file}");
    }
    // The kernel half is inside: the object's section for its licence.
    assert!(fs::read(&installed).unwrap().windows(14).any(|window| window == b"vrrp-ebpf-abi:"));
    lint(&package);

    fs::create_dir_all(root.join("var/lib/vrrp")).unwrap();
    fs::write(root.join("var/lib/vrrp/drained"), "").unwrap();
    dpkg(&["--remove", "vrrp"]);
    assert!(!installed.exists() && root.join("var/lib/vrrp/drained").exists());
    dpkg(&["--purge", "vrrp"]);
    assert!(!root.join("var/lib/vrrp").exists(), "a purge forgets which instances were drained");
}

fn lint(package: &str) {
    let Some(lintian) = find_program("lintian") else {
        println!("without lintian: not installed");
        return;
    };
    let output = Command::new(lintian).args(["--fail-on", "error,warning", package]).output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
