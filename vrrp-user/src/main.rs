//! The `vrrp` command: reads the command line, sets up the log, and hands over.

mod cli;
mod diagnosis;
mod foresight;
mod manual;
mod migration;
mod observation;
mod remote;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use vrrp_user::config::{Config, ConfigError, Loaded, LogFormat, LogLevel};
use vrrp_user::daemon::Source;
use vrrp_user::{bench, config, daemon, net};

use crate::cli::{Cli, Command};

/// Lines of the log that wait for whoever reads it.
const LOG_LINES: usize = 4096;
/// And so long a daemon that ends waits for him: of the second that it promises to end within.
const LOG_FAREWELL: Duration = Duration::from_millis(500);
/// A configuration that cannot be used: nothing was touched.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => {
            net::realtime::return_large_blocks();
            let source = Source { file: run.file.config, socket: run.socket };
            match load(source.load()) {
                Ok(loaded) => serve(loaded, &source, run.log_format),
                Err(code) => code,
            }
        }
        Command::Status(status) => remote::status(&status),
        Command::Watch(watch) => observation::watch(&watch),
        Command::Scan(scan) => observation::scan(&scan),
        Command::Drain(which) => remote::drain(&which),
        Command::Resume(which) => remote::resume(&which),
        Command::Reload(daemon) => remote::reload(&daemon),
        Command::Check(file) => match load(Config::load(&file.config)) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    eprintln!("warning: {warning}");
                }
                for found in foresight::foreseen(&loaded.config) {
                    eprintln!("warning: {found}");
                }
                print!("{}", config::explain(&loaded.config));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::Doctor(doctor) => diagnosis::run(&doctor),
        Command::Import(import) => migration::run(&import),
        Command::Bench(bench) => measure(&bench),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::page(),
        Command::Guard => {
            let mut log = None;
            let settled = || log = Some(start_locked_log(LogFormat::Human, LogLevel::Info));
            let ended = net::guard::watch::run(settled);
            let _log = log.unwrap_or_else(|| start_log(LogFormat::Human, LogLevel::Info));
            finish(ended.map_err(anyhow::Error::from))
        }
        Command::StandDown { file, names } => match load(Config::load(&file.config)) {
            Ok(loaded) => {
                let _log = start_log(loaded.config.log.format, loaded.config.log.level);
                finish(daemon::stand_down(&loaded.config, &names).map_err(anyhow::Error::from))
            }
            Err(code) => code,
        },
    }
}

fn measure(what: &cli::Bench) -> ExitCode {
    let _log = start_log(LogFormat::Human, LogLevel::Info);
    let (interface, measured) = match what {
        cli::Bench::Latency(live) => (Some(&live.interface), &live.measured),
        cli::Bench::Xdp(xdp) => (xdp.interface.as_ref(), &xdp.measured),
    };
    let config = match measured.config.as_deref().map(|file| load(Config::load(file))).transpose() {
        Ok(loaded) => loaded.map(|loaded| loaded.config),
        Err(code) => return code,
    };
    let live = interface.map(|interface| bench::latency::Options {
        interface: interface.clone(),
        config,
        time: measured.time,
    });
    finish(match (what, live) {
        (cli::Bench::Latency(_), Some(live)) => show(bench::latency::run(&live), measured.json),
        (cli::Bench::Xdp(_), Some(live)) => show(bench::verdicts::run(&live), measured.json),
        (cli::Bench::Xdp(xdp), None) => show(bench::xdp::run(xdp.rounds), measured.json),
        (cli::Bench::Latency(_), None) => Ok(()),
    })
}

fn show<T: Display + Serialize, E: std::error::Error + Send + Sync + 'static>(
    result: Result<T, E>,
    json: bool,
) -> anyhow::Result<()> {
    let report = result?;
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn load(loaded: Result<Loaded, ConfigError>) -> Result<Loaded, ExitCode> {
    loaded.map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(BAD_CONFIGURATION)
    })
}

fn serve(loaded: Loaded, source: &Source, format: Option<cli::LogFormat>) -> ExitCode {
    let format = match format {
        Some(cli::LogFormat::Text) => LogFormat::Human,
        Some(cli::LogFormat::Json) => LogFormat::Json,
        None => loaded.config.log.format,
    };
    let _log = start_locked_log(format, loaded.config.log.level);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    finish(daemon::run(loaded, source).map_err(anyhow::Error::from))
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

/// The log at work. When it goes it writes out what waits, while whoever reads it takes that.
struct Log(Option<WorkerGuard>);

impl Drop for Log {
    fn drop(&mut self) {
        let rest = self.0.take();
        let (ours, theirs) = mpsc::channel::<()>();
        // By itself it waits a whole second for a reader that stands still, which cannot be set.
        let writing = thread::Builder::new().name("log end".to_owned()).spawn(move || {
            drop(rest);
            drop(ours);
        });
        // Without a thread it has been dropped here, and has waited.
        if writing.is_ok() {
            theirs.recv_timeout(LOG_FAREWELL).unwrap_or_default();
        }
    }
}

/// For processes whose memory is locked: before the log has its thread, whose stack would be locked as a whole.
fn start_locked_log(format: LogFormat, level: LogLevel) -> Log {
    let locked = net::realtime::lock_memory();
    let log = start_log(format, level);
    if let Err(error) = locked {
        tracing::warn!("{error}");
    }
    log
}

/// Nobody waits for the log: a thread of its own writes it, and what whoever reads it does not take is left out, the newest
/// first.
fn start_log(format: LogFormat, level: LogLevel) -> Log {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LOG_LINES).thread_name("log");
    let (writer, rest) = queue.finish(io::stderr());
    let log = tracing_subscriber::fmt().with_writer(writer).with_max_level(level).with_target(false);
    match format {
        LogFormat::Human => log.with_ansi(rustix::termios::isatty(io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Log(Some(rest))
}
