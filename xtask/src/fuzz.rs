//! `cargo xtask fuzz`: libFuzzer on every parser, for as long as wanted.
//!
//! Owns the instrumented build, the time, and what becomes of findings. Refuses to know what a parser must hold to: that
//! is `tests/fuzz`, whose corpus ordinary tests replay.
//!
//! No nightly toolchain: coverage comes from LLVM's own pass by stable options, and `RUSTC_BOOTSTRAP` lets a stable
//! compiler use the AddressSanitizer that ships with its standard library.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{answer, cargo, program, succeed, target_folder, workspace},
    setup::{self, Group},
};

/// What libFuzzer needs to see: which edges were taken, and what was compared with what.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Only what is fuzzed is worth the optimiser's time.
const OPTIMISED: [&str; 6] =
    ["vrrp-user", "vrrp-ebpf", "vrrp-fuzz", "yaml_serde", "libyaml-rs", "serde_json"];
/// An input that takes longer is a finding, and so is one that takes more memory.
const SECONDS_PER_INPUT: u32 = 5;
const MEGABYTES: u32 = 1024;
const LONGEST_INPUT: u32 = 4096;

/// Each target starts from its corpus in tests/fuzz/corpus and its seeds, and goes on where the last run ended. A
/// finding is written to a file in the build folder, with the command that shows it again.
#[derive(clap::Args)]
#[command(
    after_help = "Example: cargo xtask fuzz --for 60s\n         cargo xtask fuzz classify --for 10m --keep\n         \
                        cargo xtask fuzz advert --input FILE"
)]
pub(crate) struct Options {
    /// The parsers to fuzz, by their names in tests/fuzz/fuzz_targets; all when left out
    targets: Vec<String>,
    /// How long on each: 30s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = seconds)]
    seconds: u64,
    /// Add to the corpus in the source tree what reached something new
    #[arg(long)]
    keep: bool,
    /// Only run this input, as a finding names it
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let known = known_targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target {unknown:?}; there are {}", known.join(", "));
    }
    let targets = if options.targets.is_empty() { &known } else { &options.targets };
    if let Some(input) = &options.input {
        let [target] = targets.as_slice() else { bail!("--input needs the one target that it is for") };
        let input = input.canonicalize().with_context(|| format!("find {}", input.display()))?;
        let status = Fuzzer::build(targets)?.command(target).arg(input).status().context("run the target")?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    campaign(targets, options.seconds, options.keep)
}

/// Every target for so long.
pub(crate) fn run_all(seconds: u64) -> Result<ExitCode> {
    campaign(&known_targets()?, seconds, false)
}

fn campaign(targets: &[String], seconds: u64, keep: bool) -> Result<ExitCode> {
    let fuzzer = Fuzzer::build(targets)?;
    let mut failed = Vec::new();
    for target in targets {
        println!("== {target}");
        if !fuzzer.fuzz(target, seconds)? {
            failed.push(target.as_str());
        } else if keep {
            fuzzer.keep(target)?;
        }
    }
    if failed.is_empty() {
        println!("\nfuzz: {} targets, {seconds} s each, no finding", targets.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nfuzz: findings in {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The instrumented programs.
struct Fuzzer {
    programs: PathBuf,
    folder: PathBuf,
}

impl Fuzzer {
    fn build(targets: &[String]) -> Result<Self> {
        setup::ensure(&[Group::Fuzz])?;
        let folder = target_folder()?.join("fuzz");
        let object = no_kernel_half(&folder)?;
        let host = host()?;
        let mut build = cargo(&["build", "--package", "vrrp-fuzz", "--features", "libfuzzer", "--locked"]);
        build.args(["--target", &host]).arg("--target-dir").arg(&folder);
        for package in OPTIMISED {
            build.args(["--config", &format!("profile.dev.package.{package}.opt-level=2")]);
        }
        for target in targets {
            build.args(["--bin", target]);
        }
        let flags = [COVERAGE.as_slice(), &["-Zsanitizer=address", "--cfg=fuzzing"]].concat();
        build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env("RUSTC_BOOTSTRAP", "1");
        build.env("VRRP_EBPF_OBJECT", object);
        succeed(&mut build).context("build the fuzz targets")?;
        Ok(Self { programs: folder.join(host).join("debug"), folder })
    }

    fn command(&self, target: &str) -> Command {
        let mut command = program(&self.programs.join(target).to_string_lossy());
        command.args([
            format!("-timeout={SECONDS_PER_INPUT}"),
            format!("-rss_limit_mb={MEGABYTES}"),
            format!("-max_len={LONGEST_INPUT}"),
            "-print_final_stats=1".to_owned(),
        ]);
        command
    }

    /// False if something was found.
    fn fuzz(&self, target: &str, seconds: u64) -> Result<bool> {
        let seeds = self.made("seeds", target)?;
        let found = self.made("findings", target)?;
        let mut command = self.command(target);
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-artifact_prefix={}/", found.display()));
        // The first folder is written to.
        command.arg(self.made("corpus", target)?).arg(corpus(target)).arg(&seeds);
        let output = command.env("VRRP_FUZZ_SEEDS", &seeds).output();
        let output = output.with_context(|| format!("run the fuzz target {target}"))?;
        let told = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = told.lines().collect();
        if output.status.success() {
            let is_count = |line: &&&str| line.starts_with("Done ") || line.contains("cov:");
            lines.iter().rev().filter(is_count).take(2).for_each(|line| println!("{line}"));
            return Ok(true);
        }
        println!("{}", lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n"));
        println!(
            "again, once it is repaired: cargo xtask fuzz {target} --input FILE (see `Test unit written to`),"
        );
        println!("and put that file into {}", corpus(target).display());
        Ok(false)
    }

    /// Minimised: only inputs that reach what those before them do not.
    fn keep(&self, target: &str) -> Result<()> {
        let mut merge = self.command(target);
        merge.arg("-merge=1").arg(corpus(target));
        merge.args([self.made("corpus", target)?, self.made("seeds", target)?]);
        let output = merge.output().with_context(|| format!("merge the corpus of {target}"))?;
        if !output.status.success() {
            bail!("merging the corpus of {target} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let files = fs::read_dir(corpus(target)).context("count the corpus")?.count();
        println!("{files} files in {}", corpus(target).display());
        Ok(())
    }

    fn made(&self, what: &str, target: &str) -> Result<PathBuf> {
        let folder = self.folder.join(what).join(target);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(folder)
    }
}

/// An object for builds that never load it: not every compiler option is for BPF.
pub(crate) fn no_kernel_half(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let object = folder.join("no-kernel-half.o");
    fs::write(&object, b"").with_context(|| format!("write {}", object.display()))?;
    Ok(object)
}

/// The target this machine compiles for.
pub(crate) fn host() -> Result<String> {
    let version = answer(program("rustc").arg("-vV")).context("`rustc -vV` failed: is Rust installed?")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

fn corpus(target: &str) -> PathBuf {
    workspace().join("tests/fuzz/corpus").join(target)
}

/// By the files, so that none can be forgotten here.
fn known_targets() -> Result<Vec<String>> {
    let folder = workspace().join("tests/fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let file = entry.with_context(|| format!("list {}", folder.display()))?.path();
        names.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        other => return Err(format!("{other:?} is no unit of time; use s, m or h, as in 60s")),
    };
    let number: u64 =
        number.parse().map_err(|error| format!("{text:?} is no time ({error}); write it as in 60s"))?;
    number
        .checked_mul(factor)
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| format!("{text:?} is not a time that can be kept"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        let good = [("60s", 60), ("90", 90), ("10m", 600), ("2h", 7200)];
        good.iter().for_each(|(text, expected)| assert_eq!(seconds(text), Ok(*expected), "{text}"));
        for text in ["", "s", "0s", "1d", "-1s", "99999999999999999999s", "9999999999999999999h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_target_has_a_corpus() {
        let targets = known_targets().unwrap();
        assert!(targets.len() >= 8, "{targets:?}");
        for target in targets {
            assert!(fs::read_dir(corpus(&target)).unwrap().next().is_some(), "{target} has no corpus");
        }
    }
}
