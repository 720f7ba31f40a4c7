//! `cargo xtask dist`: a Debian package of the daemon.
//!
//! Owns what goes where in it, and its control files. The manual and the completions come from the binary itself.
//! Refuses to enable or start anything: a host without a configuration must not have a failing unit.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{answer, cargo, find, program, succeed, target_folder, workspace},
    setup::{self, Group},
};

const NAME: &str = "vrrp";
const DOCUMENTS: &str = "usr/share/doc/vrrp";
const SUMMARY: &str = "keeps a virtual IP address on the host that should own it";
const DESCRIPTION: &str = " Two or more hosts elect by VRRP (version 2 or 3) the one that owns a virtual IP
 address, and checks of the local MySQL or MariaDB decide whether a host may.
 Adverts are filtered and stamped by an XDP program that the binary carries. It
 works with keepalived as the other router, and reads keepalived.conf.
";

/// The YAML reader is libyaml in Rust: it has the names, and not the code.
const OVERRIDES: &str = "vrrp: embedded-library libyaml*\n";

#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask dist && apt install ./target/dist/vrrp_*.deb")]
pub(crate) struct Options {
    /// Package this binary instead of building a release
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the package goes; `dist` in the build folder when left out
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Who answers for the package: `Name <address>`; DEBFULLNAME and DEBEMAIL when left out
    #[arg(long, value_name = "WHO")]
    maintainer: Option<String>,
}

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if find("dpkg-deb").is_none() {
        bail!("there is no dpkg-deb here: build the package on Debian, or `apt install dpkg`");
    }
    let binary = match &options.binary {
        Some(file) => file.canonicalize().with_context(|| format!("find {}", file.display()))?,
        None => build()?,
    };
    let output = match &options.output {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("dist"),
    };
    fs::create_dir_all(&output).with_context(|| format!("make {}", output.display()))?;
    let output = output.canonicalize().with_context(|| format!("find {}", output.display()))?;
    let package = Package::stage(&binary, &output, &maintainer(options))?;
    println!("{}", package.close()?.display());
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    setup::ensure(&[Group::Build])?;
    succeed(&mut cargo(&["build", "--release", "--package", "vrrp-user", "--locked"]))
        .context("build the release")?;
    Ok(target_folder()?.join("release").join(NAME))
}

fn maintainer(options: &Options) -> String {
    let named = || Some(format!("{} <{}>", env::var("DEBFULLNAME").ok()?, env::var("DEBEMAIL").ok()?));
    options.maintainer.clone().or_else(named).unwrap_or_else(|| "vrrp packagers <root@localhost>".to_owned())
}

/// A tree of files as they will lie on the host, and the control files beside it.
struct Package {
    root: PathBuf,
    architecture: String,
    version: String,
    /// The last commit's: the same source gives the same package.
    epoch: String,
    output: PathBuf,
}

impl Package {
    fn stage(binary: &Path, output: &Path, maintainer: &str) -> Result<Self> {
        let architecture = answer(program("dpkg").arg("--print-architecture"));
        let architecture = architecture.context("`dpkg --print-architecture` failed")?.trim().to_owned();
        let epoch = answer(program("git").args(["log", "-1", "--format=%ct"])).unwrap_or_default();
        let epoch = if epoch.trim().is_empty() { "0".to_owned() } else { epoch.trim().to_owned() };
        let root = output.join(format!("{NAME}-stage"));
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))?;
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let package = Self { root, architecture, version, epoch, output: output.to_owned() };
        package.files(binary, maintainer)?;
        package.control(binary, maintainer)?;
        Ok(package)
    }

    fn files(&self, binary: &Path, maintainer: &str) -> Result<()> {
        let bytes = fs::read(binary).with_context(|| format!("read {}", binary.display()))?;
        self.put("usr/bin/vrrp", &bytes, 0o755)?;
        // Without the tables for a debugger it is a fifth of the size. Without strip it is only larger.
        if find("strip").is_some() {
            succeed(program("strip").args(["--strip-unneeded"]).arg(self.root.join("usr/bin/vrrp")))?;
        }
        let source = |file: &str| {
            let path = workspace().join(file);
            fs::read(&path).with_context(|| format!("read {}", path.display()))
        };
        self.put("usr/lib/systemd/system/vrrp.service", &source("config/vrrp.service")?, 0o644)?;
        self.put_zipped("usr/share/man/man8/vrrp.8", &say(binary, &["man"])?)?;
        for (shell, place) in [
            ("bash", "usr/share/bash-completion/completions/vrrp"),
            ("zsh", "usr/share/zsh/vendor-completions/_vrrp"),
            ("fish", "usr/share/fish/vendor_completions.d/vrrp.fish"),
        ] {
            self.put(place, &say(binary, &["completions", shell])?, 0o644)?;
        }
        for document in ["README.md", "docs/mysql.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
            self.put_zipped(&format!("{DOCUMENTS}/{document}"), &source(document)?)?;
        }
        self.put_zipped(&format!("{DOCUMENTS}/changelog"), self.changelog(maintainer)?.as_bytes())?;
        let licence = String::from_utf8_lossy(&source("LICENSE-MIT")?).into_owned();
        self.put(&format!("{DOCUMENTS}/copyright"), copyright(&licence).as_bytes(), 0o644)?;
        let folder = workspace().join("config");
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let file = entry.with_context(|| format!("list {}", folder.display()))?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if file.is_file() && name != "vrrp.service" {
                let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
                self.put(&format!("{DOCUMENTS}/examples/{name}"), &bytes, 0o644)?;
            }
        }
        self.put(&format!("usr/share/lintian/overrides/{NAME}"), OVERRIDES.as_bytes(), 0o644)?;
        // Where the configuration will be.
        self.folder(&self.root.join("etc/vrrp"))
    }

    fn control(&self, binary: &Path, maintainer: &str) -> Result<()> {
        let mut size = 0;
        let mut sums = String::new();
        for file in self.listed()? {
            size += fs::metadata(self.root.join(&file)).map_or(0, |data| data.len().div_ceil(1024));
            let sum = answer(program("md5sum").arg("--").arg(self.root.join(&file)));
            let sum = sum.context("`md5sum` failed")?;
            let sum = sum.split_whitespace().next().unwrap_or_default();
            sums.push_str(&format!("{sum}  {file}\n"));
        }
        let libc = libc_version(&fs::read(binary).with_context(|| format!("read {}", binary.display()))?);
        let control = format!(
            "Package: {NAME}\nVersion: {}\nArchitecture: {}\nMaintainer: {maintainer}\nInstalled-Size: {size}\n\
             Depends: libc6 (>= {libc}), libgcc-s1\nSection: net\nPriority: optional\nDescription: {SUMMARY}\n{DESCRIPTION}",
            self.version, self.architecture
        );
        self.put("DEBIAN/control", control.as_bytes(), 0o644)?;
        self.put("DEBIAN/md5sums", sums.as_bytes(), 0o644)?;
        for (name, text) in SCRIPTS {
            self.put(&format!("DEBIAN/{name}"), text.as_bytes(), 0o755)?;
        }
        Ok(())
    }

    fn close(&self) -> Result<PathBuf> {
        let file = self.output.join(format!("{NAME}_{}_{}.deb", self.version, self.architecture));
        let mut build = program("dpkg-deb");
        build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&self.root).arg(&file);
        let output = build.env("SOURCE_DATE_EPOCH", &self.epoch).output().context("run dpkg-deb")?;
        if !output.status.success() {
            bail!("dpkg-deb failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        fs::remove_dir_all(&self.root).with_context(|| format!("remove {}", self.root.display()))?;
        Ok(file)
    }

    fn put(&self, place: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let path = self.root.join(place);
        self.folder(path.parent().unwrap_or(&self.root))?;
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("set the mode of {}", path.display()))
    }

    fn put_zipped(&self, place: &str, bytes: &[u8]) -> Result<()> {
        self.put(place, bytes, 0o644)?;
        succeed(program("gzip").args(["-9n", "--force"]).arg(self.root.join(place)))
    }

    /// Whatever the umask of whoever packs.
    fn folder(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        let inside = path.ancestors().take_while(|folder| folder.starts_with(&self.root));
        for folder in inside {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("set the mode of {}", folder.display()))?;
        }
        Ok(())
    }

    /// All files but the control files, in the order of their names.
    fn listed(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
                let path = entry.with_context(|| format!("list {}", folder.display()))?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(inside) = path.strip_prefix(&self.root) {
                    found.push(inside.to_string_lossy().into_owned());
                }
            }
        }
        found.retain(|file| !file.starts_with("DEBIAN/"));
        found.sort();
        Ok(found)
    }

    /// In Debian's form, which points to ours.
    fn changelog(&self, maintainer: &str) -> Result<String> {
        let date = answer(program("date").args(["-u", "-R", "-d", &format!("@{}", self.epoch)]));
        let date = date.context("`date` failed")?;
        Ok(format!(
            "{NAME} ({}) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz in this folder.\n\n -- {maintainer}  {}\n",
            self.version,
            date.trim()
        ))
    }
}

/// What a binary says on its standard output.
fn say(binary: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(binary).args(arguments).output();
    let output = output.with_context(|| format!("run {}", binary.display()))?;
    if !output.status.success() || output.stdout.is_empty() {
        bail!("`{} {}` failed ({})", binary.display(), arguments.join(" "), output.status);
    }
    Ok(output.stdout)
}

/// The newest version of the C library whose symbols the binary asks for, as `2.34`.
fn libc_version(binary: &[u8]) -> String {
    const MARK: &[u8] = b"GLIBC_2.";
    let ends = binary.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let minors = ends.filter_map(|(at, _)| {
        let digits = binary.get(at + MARK.len()..)?.iter().take_while(|byte| byte.is_ascii_digit()).take(3);
        String::from_utf8(digits.copied().collect()).ok()?.parse::<u32>().ok()
    });
    format!("2.{}", minors.max().unwrap_or(36))
}

fn copyright(licence: &str) -> String {
    let holder =
        licence.lines().find(|line| line.starts_with("Copyright")).unwrap_or("Copyright the authors");
    let body = |text: &str| {
        let lines = text
            .lines()
            .map(|line| if line.trim().is_empty() { " .".to_owned() } else { format!(" {line}") });
        lines.collect::<Vec<_>>().join("\n")
    };
    let after =
        licence.split_once("Permission is hereby").map_or(licence, |(head, _)| &licence[head.len()..]);
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: {NAME}\n\n\
         Files: *\nCopyright: {}\nLicense: Expat or Apache-2.0\n\nLicense: Expat\n{}\n\nLicense: Apache-2.0\n \
         On Debian systems the full text of the Apache License 2.0 is in\n /usr/share/common-licenses/Apache-2.0.\n",
        holder.trim_start_matches("Copyright").trim_start_matches(" (c)").trim(),
        body(after)
    )
}

/// The unit is neither enabled nor restarted: an upgrade must not move an address, `systemctl restart vrrp` does when it
/// suits.
const SCRIPTS: [(&str, &str); 3] = [
    (
        "postinst",
        "#!/bin/sh\nset -e\nif [ \"$1\" = configure ] && [ -z \"$DPKG_ROOT\" ] && [ -d /run/systemd/system ]; then\n    \
         systemctl --system daemon-reload >/dev/null || true\nfi\n",
    ),
    (
        "prerm",
        "#!/bin/sh\nset -e\n# Hands the addresses over first.\nif [ \"$1\" = remove ] && [ -z \"$DPKG_ROOT\" ] && \
         [ -d /run/systemd/system ]; then\n    deb-systemd-invoke stop vrrp.service >/dev/null || true\nfi\n",
    ),
    (
        "postrm",
        "#!/bin/sh\nset -e\nif [ -z \"$DPKG_ROOT\" ] && [ -d /run/systemd/system ]; then\n    \
         systemctl --system daemon-reload >/dev/null || true\nfi\nif [ \"$1\" = purge ]; then\n    \
         rm -rf \"${DPKG_ROOT}/var/lib/vrrp\"\nfi\n",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_s_version_is_the_newest_that_is_named() {
        assert_eq!(libc_version(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_PRIVATE"), "2.34");
        assert_eq!(libc_version(b""), "2.36");
    }

    #[test]
    fn the_copyright_is_in_the_form_that_machines_read() {
        let text = copyright(
            "MIT License\n\nCopyright (c) 2026 Some Body\n\nPermission is hereby granted\n\nmore\n",
        );
        assert!(text.contains("\nCopyright: 2026 Some Body\n"), "{text}");
        assert!(text.contains("License: Expat\n Permission is hereby granted\n .\n more\n"), "{text}");
    }
}
