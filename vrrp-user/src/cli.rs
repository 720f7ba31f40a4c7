//! The command line: what can be asked for, in clap's words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Where the configuration is, unless the command line says otherwise.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/vrrp/vrrp.yaml";

/// Keeps a virtual IP on the host that should own it: VRRP with adverts filtered and stamped in the kernel.
#[derive(Debug, Parser)]
#[command(name = "vrrp", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon in the foreground. SIGTERM and SIGINT release the addresses and end it.
    Run(Run),
    /// Check a configuration and print the values in effect. Touches nothing.
    ///
    /// Exit code 0: usable; 2: not, and why stands on standard error.
    Check(File),
    /// The process that takes the addresses off when the daemon dies. The daemon starts it.
    #[command(hide = true)]
    Guard,
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// The configuration.
    #[arg(short = 'f', long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: File,
    /// How the log on standard error is written; the configuration's `log.format` unless given.
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
