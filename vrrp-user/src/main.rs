//! The `vrrp` command: reads the command line, sets up the log, and hands over.

mod cli;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tracing::level_filters::LevelFilter;
use vrrp_user::config::{Config, Loaded, LogFormat, LogLevel};
use vrrp_user::{config, daemon, health, net};

use crate::cli::{Cli, Command};

/// A configuration that cannot be used: nothing was touched.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => match load(&run.file.config) {
            Ok(loaded) => serve(loaded, &run.file.config, run.log_format),
            Err(code) => code,
        },
        Command::Check(file) => match load(&file.config) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    eprintln!("warning: {warning}");
                }
                // What the daemon would find on this host; elsewhere it says nothing about the file.
                for instance in &loaded.config.instances {
                    for found in instance.checks.iter().flat_map(health::preflight) {
                        eprintln!("warning: instance {}: {found}", instance.name);
                    }
                }
                print!("{}", config::explain(&loaded.config));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::Guard => {
            start_log(LogFormat::Human, LogLevel::Info);
            finish(net::guard::watch::run().map_err(anyhow::Error::from))
        }
    }
}

fn load(file: &Path) -> Result<Loaded, ExitCode> {
    Config::load(file).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(BAD_CONFIGURATION)
    })
}

fn serve(loaded: Loaded, file: &Path, format: Option<cli::LogFormat>) -> ExitCode {
    let format = match format {
        Some(cli::LogFormat::Text) => LogFormat::Human,
        Some(cli::LogFormat::Json) => LogFormat::Json,
        None => loaded.config.log.format,
    };
    start_log(format, loaded.config.log.level);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    finish(daemon::run(loaded.config, file).map_err(anyhow::Error::from))
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).with_target(false);
    match format {
        LogFormat::Human => log.with_ansi(rustix::termios::isatty(io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
