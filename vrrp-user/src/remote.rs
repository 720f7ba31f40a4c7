//! The commands that talk to a running daemon: asks, prints, and says by the exit code how it went.
//!
//! Owns the exit codes. What is asked and how the answer reads is `vrrp_user::control`.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use vrrp_user::control::client::{Client, ClientError};
use vrrp_user::control::message::{Done, Selection};
use vrrp_user::control::table::{self, Style};

use crate::cli::{Drain, Socket, Status, Which};

/// Nobody answers at the socket.
const NO_DAEMON: u8 = 3;
/// `--watch` looks this often.
const LOOK: Duration = Duration::from_secs(1);
/// Cursor home, then all below it gone.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(crate) fn status(command: &Status) -> ExitCode {
    let client = Client::new(&command.daemon.socket);
    loop {
        let snapshot = match client.status() {
            Ok(snapshot) => snapshot,
            Err(error) => return fail(&error),
        };
        if let Some(name) = &command.name
            && !snapshot.instances.iter().any(|instance| instance.name == *name)
        {
            let known = snapshot.instances.iter().map(|instance| instance.name.as_str()).collect::<Vec<_>>();
            eprintln!("there is no instance {name}; there is {}", known.join(", "));
            return ExitCode::FAILURE;
        }
        let text = if command.json {
            serde_json::to_string_pretty(&snapshot).map(|json| json + "\n").unwrap_or_default()
        } else {
            let style = if io::stdout().is_terminal() { Style::Colour } else { Style::Plain };
            table::render(&snapshot, command.name.as_deref(), style)
        };
        let clear = if command.watch && io::stdout().is_terminal() { CLEAR } else { "" };
        let mut out = io::stdout().lock();
        // A reader that has gone wants no more.
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() || !command.watch {
            return ExitCode::SUCCESS;
        }
        drop(out);
        thread::sleep(LOOK);
    }
}

pub(crate) fn drain(drain: &Drain) -> ExitCode {
    let selection = Selection { force: drain.force, ..selection(&drain.which) };
    say(Client::new(&drain.which.daemon.socket).drain(&selection))
}

pub(crate) fn resume(which: &Which) -> ExitCode {
    say(Client::new(&which.daemon.socket).resume(&selection(which)))
}

pub(crate) fn reload(daemon: &Socket) -> ExitCode {
    say(Client::new(&daemon.socket).reload())
}

fn selection(which: &Which) -> Selection {
    Selection { instances: which.names.clone(), all: which.all, force: false }
}

fn say(result: Result<Done, ClientError>) -> ExitCode {
    match result {
        Ok(Done { done, warnings }) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            for line in done {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

pub(crate) fn fail(error: &ClientError) -> ExitCode {
    eprintln!("{error}");
    match error {
        ClientError::Connect { .. } => ExitCode::from(NO_DAEMON),
        ClientError::Refused(_) | ClientError::Broken { .. } | ClientError::Runtime(_) => ExitCode::FAILURE,
    }
}
