//! `vrrp watch` and `vrrp scan`: looks on while others speak, prints, and says by the exit code what came of it.
//!
//! Owns files, the terminal and the exit codes. How a line reads is `vrrp_user::control::sight`'s, what does not fit
//! `vrrp_user::scan`'s.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thiserror::Error;
use vrrp_user::config::Config;
use vrrp_user::control::client::{Client, ClientError};
use vrrp_user::control::pcap::Capture;
use vrrp_user::control::sight::{Sight, from_hex};
use vrrp_user::control::snapshot::Snapshot;
use vrrp_user::scan::{self, Options, Report};

use crate::cli::{DEFAULT_CONFIG, Scan, Watch};
use crate::{BAD_CONFIGURATION, remote};

#[derive(Debug, Error)]
enum OutputError {
    #[error("cannot write the capture {}: {source}; name another file with --pcap", file.display())]
    Capture { file: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Terminal(io::Error),
}

pub(crate) fn watch(wanted: &Watch) -> ExitCode {
    let client = Client::new(&wanted.daemon.socket);
    if let Some(name) = &wanted.name {
        match client.status() {
            Ok(snapshot) if !snapshot.instances.iter().any(|instance| instance.name == *name) => {
                return unknown(name, &snapshot);
            }
            Ok(_) => {}
            Err(error) => return remote::fail(&error),
        }
    }
    let mut lookout = match Lookout::open(wanted) {
        Ok(lookout) => lookout,
        Err(error) => return refuse(&error),
    };
    let mut failed = None;
    let watched = client.watch(wanted.time, |sight| match lookout.take(&sight) {
        Ok(flow) => flow,
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    match (failed, watched) {
        // A reader that has gone wants no more.
        (Some(OutputError::Terminal(error)), _) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        (Some(error), _) => refuse(&error),
        (None, Ok(())) => ExitCode::SUCCESS,
        (None, Err(error)) => remote::fail(&error),
    }
}

fn unknown(name: &str, snapshot: &Snapshot) -> ExitCode {
    let known = snapshot.instances.iter().map(|instance| instance.name.as_str()).collect::<Vec<_>>();
    eprintln!("there is no instance {name}; there is {}", known.join(", "));
    ExitCode::FAILURE
}

fn refuse(error: &OutputError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Where sights go.
struct Lookout<'w> {
    wanted: &'w Watch,
    capture: Option<(PathBuf, Capture<Box<dyn Write>>)>,
    left: u64,
}

impl<'w> Lookout<'w> {
    fn open(wanted: &'w Watch) -> Result<Self, OutputError> {
        let capture = wanted.pcap.as_deref().map(|file| {
            let failed = |source| OutputError::Capture { file: file.to_owned(), source };
            let out: Box<dyn Write> = if is_terminal(file) {
                Box::new(io::stdout())
            } else {
                Box::new(File::create(file).map_err(failed)?)
            };
            Ok((file.to_owned(), Capture::begin(out).map_err(failed)?))
        });
        Ok(Self { wanted, capture: capture.transpose()?, left: wanted.count.unwrap_or(u64::MAX) })
    }

    fn take(&mut self, sight: &Sight) -> Result<ControlFlow<()>, OutputError> {
        let is_wanted = match (&self.wanted.name, sight.instance()) {
            (Some(name), Some(instance)) => name == instance,
            (None, _) | (Some(_), None) => true,
        };
        if !is_wanted {
            return Ok(ControlFlow::Continue(()));
        }
        if let (Some((file, capture)), Sight::Advert(advert)) = (&mut self.capture, sight) {
            let bytes = from_hex(&advert.frame).unwrap_or_default();
            capture
                .frame(advert.time_unix_ns, advert.length.into(), &bytes)
                .map_err(|source| OutputError::Capture { file: file.clone(), source })?;
        }
        if self.wanted.pcap.as_deref().is_none_or(|file| !is_terminal(file)) {
            self.show(sight).map_err(OutputError::Terminal)?;
        }
        self.left = self.left.saturating_sub(1);
        Ok(if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn show(&self, sight: &Sight) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.wanted.json {
            let line = serde_json::to_string(sight)?;
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{sight}")?;
        }
        out.flush()
    }
}

fn is_terminal(file: &Path) -> bool {
    file == Path::new("-")
}

pub(crate) fn scan(wanted: &Scan) -> ExitCode {
    let config = match config(wanted) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let options = Options { interface: wanted.interface.clone(), time: wanted.time, config };
    let mut report = match scan::run(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    ask_the_daemon(wanted, &mut report);
    if wanted.json {
        match serde_json::to_string(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
    } else {
        print!("{report}");
    }
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// That which was named; or the usual one, if there is one.
fn config(wanted: &Scan) -> Result<Option<Config>, ExitCode> {
    let usual = Path::new(DEFAULT_CONFIG);
    let file = match &wanted.config {
        Some(file) => file,
        None if usual.exists() => usual,
        None => return Ok(None),
    };
    match Config::load(file) {
        Ok(loaded) => Ok(Some(loaded.config)),
        Err(error) => {
            eprintln!("{error}");
            Err(ExitCode::from(BAD_CONFIGURATION))
        }
    }
}

/// What it drops in the kernel nobody else on this host can hear.
fn ask_the_daemon(wanted: &Scan, report: &mut Report) {
    let snapshot = match Client::new(&wanted.daemon.socket).status() {
        Ok(snapshot) => snapshot,
        // No daemon drops nothing.
        Err(ClientError::Connect { .. }) => return,
        Err(error) => {
            eprintln!("warning: {error}");
            return;
        }
    };
    let here = snapshot.instances.iter().filter(|instance| instance.interface == wanted.interface);
    report.notes.extend(here.filter_map(|instance| {
        let reject = instance.last_reject.as_ref()?;
        Some(format!(
            "this host's daemon drops adverts for {} (VRID {}), last from {}: {}",
            instance.name, instance.virtual_router_id, reject.sender, reject.reason
        ))
    }));
}
