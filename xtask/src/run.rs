//! `cargo xtask run`: the daemon on this host, or a lab with two of them and a live view.
//!
//! Owns the choice between the two and the loop of the lab: look, draw, obey keys. Refuses to know how either is done.

use std::{
    io::{IsTerminal, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use vrrp_lab::{clock, interrupt, namespace};

use crate::{
    command::{cargo, program, require_root, succeed, target_folder, workspace},
    setup::{self, Group},
};

mod bare;
mod client;
mod database;
mod recipe;
mod screen;
mod stage;
mod switch;
mod tally;
mod view;
mod words;

use screen::Screen;
use stage::{Key, Plan, Stage};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// End by itself after so many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Lines instead of a live view, as when the output is no terminal; keys are read from standard input
    #[arg(long)]
    plain: bool,
    /// The bare lab: no database servers, adverts every 100 ms
    #[arg(long)]
    no_mysql: bool,
    /// Nodes that run a real keepalived instead, with the usual check of MySQL: a, b or both
    #[arg(long, value_name = "NODE", value_delimiter = ',', value_parser = ["a", "b"])]
    keepalived: Vec<String>,
    /// Run this build of the daemon instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// After `--`: run the daemon on this host with these arguments, as in `-- --config FILE`
    #[arg(last = true, value_name = "DAEMON ARGUMENT")]
    daemon: Vec<String>,
}

impl Options {
    /// The daemon to run: the one that was named, or one built now.
    fn daemon_binary(&self, is_release: bool) -> Result<PathBuf> {
        match &self.binary {
            Some(file) => file.canonicalize().with_context(|| format!("find {}", file.display())),
            None => build(is_release),
        }
    }
}

/// How often the lab is looked at.
const TICK: Duration = Duration::from_millis(100);

/// The verb itself.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    require_root("cargo xtask run")?;
    if !options.daemon.is_empty() {
        return run_on_this_host(&options);
    }
    let servers = (!options.no_mysql).then_some(Group::Mysql);
    let tests = (!options.keepalived.is_empty()).then_some(Group::Test);
    let build = options.binary.is_none().then_some(Group::Build);
    let groups: Vec<Group> = build.into_iter().chain([Group::Lab]).chain(servers).chain(tests).collect();
    setup::ensure(&groups)?;
    let binary = options.daemon_binary(false)?;
    // From here on a request to stop ends the loop below, and with it everything that was made.
    interrupt::catch_signals().context("catch signals")?;
    let outcome = run_lab(&options, &binary);
    // What a handle could not undo; normally nothing.
    for name in namespace::own_namespaces() {
        eprintln!("left behind, removing: {name}");
    }
    namespace::sweep_own();
    outcome.map(|()| ExitCode::SUCCESS)
}

fn run_on_this_host(options: &Options) -> Result<ExitCode> {
    if options.binary.is_none() {
        setup::ensure(&[Group::Build])?;
    }
    let binary = options.daemon_binary(true)?;
    // A relative --config is meant from where the user is, not from the workspace.
    let mut daemon = program(&binary.to_string_lossy());
    daemon.current_dir(std::env::current_dir().context("find the current folder")?);
    daemon.arg("run").args(&options.daemon);
    Err(daemon.exec()).with_context(|| format!("cannot start {}", binary.display()))
}

fn build(is_release: bool) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--locked", "-p", "vrrp-user", "--bin", "vrrp"];
    if is_release {
        arguments.push("--release");
    }
    succeed(&mut cargo(&arguments)).context("build the daemon and its kernel half")?;
    Ok(target_folder()?.join(if is_release { "release" } else { "debug" }).join("vrrp"))
}

fn run_lab(options: &Options, binary: &Path) -> Result<()> {
    let config = workspace().join("config");
    let has_servers = !options.no_mysql;
    if has_servers {
        eprintln!("starting MariaDB on both nodes, replicating both ways (without: --no-mysql)");
    }
    let mut stage =
        Stage::set(&Plan { binary, config: &config, keepalived: &options.keepalived, has_servers })?;
    let deadline = options.seconds.map(|seconds| clock::now_ns() + seconds * clock::SECOND);
    let is_over =
        || interrupt::caught().is_some() || deadline.is_some_and(|deadline| clock::now_ns() >= deadline);
    if options.plain || !std::io::stdout().is_terminal() {
        return run_plain(&mut stage, is_over);
    }
    let mut screen = Screen::open()?;
    while !is_over() {
        stage.look()?;
        screen.draw(&view::page(&stage.sight(), screen.size()))?;
        if let Some(key) = screen.key(TICK)?.and_then(Key::from_char) {
            if key == Key::Quit {
                break;
            }
            stage.obey(key);
        }
    }
    Ok(())
}

fn run_plain(stage: &mut Stage, is_over: impl Fn() -> bool) -> Result<()> {
    let keys = keys_from_stdin();
    let (mut told, mut next_status) = (0, 0);
    while !is_over() {
        stage.look()?;
        let sight = stage.sight();
        for event in sight.events.iter().filter(|event| event.number >= told) {
            println!("{}", view::event_text(event, sight.start_ns));
        }
        told = sight.events.iter().map(|event| event.number + 1).max().unwrap_or(told);
        if sight.now_ns >= next_status {
            println!("{}", view::status_text(&sight));
            next_status = sight.now_ns + 5 * clock::SECOND;
        }
        if let Some(key) = keys.try_recv().ok().and_then(Key::from_char) {
            if key == Key::Quit {
                break;
            }
            stage.obey(key);
        }
        thread::sleep(TICK);
    }
    Ok(())
}

/// The characters of standard input as they come; its end is not the lab's.
fn keys_from_stdin() -> mpsc::Receiver<char> {
    let (sender, keys) = mpsc::channel();
    thread::spawn(move || {
        for byte in std::io::stdin().lock().bytes().map_while(Result::ok) {
            if sender.send(char::from(byte)).is_err() {
                return;
            }
        }
    });
    keys
}
