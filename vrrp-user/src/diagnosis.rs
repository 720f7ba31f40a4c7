//! `vrrp doctor`, from the command line to the terminal.
//!
//! Owns where logins come from and how the report is shown. Refuses to know what is checked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use vrrp_user::config::Config;
use vrrp_user::database::{Login, Place};
use vrrp_user::doctor::{Context, Question, examine};
use vrrp_user::health::secret::{Secret, Source};

use crate::cli::Doctor;

/// The question could not be put.
const BAD_QUESTION: u8 = 2;
const PORT: NonZeroU16 = NonZeroU16::new(3306).expect("3306 is not 0");
const PASSWORD_VARIABLE: &str = "VRRP_DOCTOR_PASSWORD";
const PEER_PASSWORD_VARIABLE: &str = "VRRP_DOCTOR_PEER_PASSWORD";
const WIDTH: usize = 100;

pub(crate) fn run(options: &Doctor) -> ExitCode {
    match report(options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(BAD_QUESTION)
        }
    }
}

fn report(options: &Doctor) -> Result<u8> {
    let question = question(options)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let report = runtime.block_on(examine(&question));
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report).context("write JSON")?);
    } else {
        let is_terminal = rustix::termios::isatty(io::stdout());
        let size = rustix::termios::tcgetwinsize(io::stdout()).map_or(WIDTH, |size| usize::from(size.ws_col));
        print!("{}", report.table(size, is_terminal));
    }
    Ok(report.exit_code())
}

fn question(options: &Doctor) -> Result<Question> {
    let place = match &options.address {
        Some(address) => parse(address)?,
        None => Place::Socket(options.socket.clone()),
    };
    let is_here = match &place {
        Place::Socket(_) => true,
        Place::Tcp(address, _) => address.is_loopback(),
    };
    let password = password(options.password_file.as_deref(), PASSWORD_VARIABLE)?;
    let local = Login { place, user: options.user.clone(), password: password.clone() };
    let peer = match &options.peer {
        Some(address) => {
            let own = self::password(options.peer_password_file.as_deref(), PEER_PASSWORD_VARIABLE)?;
            let user = options.peer_user.clone().unwrap_or_else(|| options.user.clone());
            Some(Login { place: parse(address)?, user, password: own.or(password) })
        }
        None => None,
    };
    let context = Context {
        virtual_addresses: virtual_addresses(&options.file.config)?,
        daemon_user: options.daemon_user.clone(),
    };
    Ok(Question { local, is_here, peer, context })
}

/// Of the configuration, if there is one: the doctor may come before it.
fn virtual_addresses(file: &Path) -> Result<Vec<String>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let loaded = Config::load(file)?;
    let all = loaded.config.instances.iter().flat_map(|instance| &instance.virtual_addresses);
    Ok(all.map(|virtual_address| virtual_address.address.to_string()).collect())
}

fn parse(text: &str) -> Result<Place> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Place::Tcp(address, PORT));
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        bail!("{text:?} is not an address; write one such as 192.168.1.2 or 192.168.1.2:3306");
    };
    let Some(port) = NonZeroU16::new(address.port()) else {
        bail!("{text:?} has port 0; the usual one is 3306")
    };
    Ok(Place::Tcp(address.ip(), port))
}

fn password(file: Option<&Path>, variable: &str) -> Result<Option<Secret>> {
    let source = match file {
        Some(file) => Source::File(file.to_owned()),
        None if std::env::var_os(variable).is_some() => Source::Environment(variable.to_owned()),
        None => Source::Empty,
    };
    Ok(source.read()?)
}
