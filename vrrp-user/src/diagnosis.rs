//! `vrrp doctor`, from the command line to the terminal.
//!
//! Owns where logins come from and how the report is shown. Refuses to know what is checked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use vrrp_user::config::{Config, Instance};
use vrrp_user::database::{Login, Place, Trust};
use vrrp_user::doctor::{Context, Heartbeat, Question, examine};
use vrrp_user::health::secret::{Secret, Source};
use vrrp_user::health::settings::{Kind, Mysql};
use vrrp_user::health::tls::Tls;

use crate::cli::Doctor;

/// The question could not be put.
const BAD_QUESTION: u8 = 2;
const PORT: NonZeroU16 = NonZeroU16::new(3306).expect("3306 is not 0");
const PASSWORD_VARIABLE: &str = "VRRP_DOCTOR_PASSWORD";
const PEER_PASSWORD_VARIABLE: &str = "VRRP_DOCTOR_PEER_PASSWORD";
const WIDTH: usize = 100;
/// As the files in config/ call it.
const DAEMON_USER: &str = "vrrp";

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
    if is_tls_asked_for(options) && options.address.is_none() && options.peer.is_none() {
        bail!(
            "TLS is for servers that are reached by address: add --address or --peer, or leave these options out"
        );
    }
    let is_here = match &place {
        Place::Socket(_) => true,
        Place::Tcp(address, _) => address.is_loopback(),
    };
    let configured = load(&options.file.config)?;
    let context = Context {
        daemon_user: daemon_user(options.daemon_user.as_deref(), &place, &configured),
        ..named(&configured)
    };
    let password = password(options.password_file.as_deref(), PASSWORD_VARIABLE)?;
    let tls = tls_to(options, &place, options.tls_server_name.as_ref(), &configured)?;
    let local = Login { place, user: options.user.clone(), password: password.clone(), tls };
    let peer = match &options.peer {
        Some(address) => {
            let own = self::password(options.peer_password_file.as_deref(), PEER_PASSWORD_VARIABLE)?;
            let user = options.peer_user.clone().unwrap_or_else(|| options.user.clone());
            let place = parse(address)?;
            let name = options.peer_tls_server_name.as_ref().or(options.tls_server_name.as_ref());
            let tls = tls_to(options, &place, name, &configured)?;
            Some(Login { place, user, password: own.or(password), tls })
        }
        None => None,
    };
    let peer_address = peer.as_ref().and_then(|login| match &login.place {
        Place::Tcp(address, _) if !address.is_loopback() => Some(address.to_string()),
        Place::Tcp(..) | Place::Socket(_) => None,
    });
    Ok(Question { local, is_here, peer, context: Context { peer_address, ..context } })
}

/// By the option, else whoever manages that server by the configuration, else any that it names.
fn daemon_user(option: Option<&str>, place: &Place, configured: &[Instance]) -> String {
    let roles = || configured.iter().filter_map(|instance| instance.role.as_deref());
    let named = || roles().find(|role| role.local.place == *place).or_else(|| roles().next());
    let user = option.map(str::to_owned).or_else(|| Some(named()?.local.account.user.clone()));
    user.unwrap_or_else(|| DAEMON_USER.to_owned())
}

/// What the configuration says, if there is one: the doctor may come before it.
fn load(file: &Path) -> Result<Vec<Instance>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    Ok(Config::load(file)?.config.instances)
}

fn is_tls_asked_for(options: &Doctor) -> bool {
    options.tls || options.tls_skip_verify || options.tls_ca.is_some() || options.tls_server_name.is_some()
}

/// By the options, else as the configuration has it for that server.
fn tls_to(
    options: &Doctor,
    place: &Place,
    name: Option<&String>,
    configured: &[Instance],
) -> Result<Option<Trust>> {
    if matches!(place, Place::Socket(_)) {
        return Ok(None);
    }
    let configured = configured.iter().find_map(|instance| configured_tls(instance, place));
    let tls = if is_tls_asked_for(options) || name.is_some() {
        // What is not asked for otherwise stays as it is configured.
        let base = configured.unwrap_or_else(Tls::public);
        Some(Tls {
            ca: options.tls_ca.clone().or(base.ca),
            server_name: name.cloned().or(base.server_name),
            verify: !options.tls_skip_verify && (base.verify || options.tls || options.tls_ca.is_some()),
        })
    } else {
        configured
    };
    Ok(tls.map(|tls| tls.load()).transpose()?.map(Ok))
}

fn configured_tls(instance: &Instance, place: &Place) -> Option<Tls> {
    let role = instance.role.iter().flat_map(|role| role.servers());
    let of_role =
        role.filter(|(_, server)| server.place == *place).find_map(|(_, server)| server.tls.clone());
    let is_there = |mysql: &&Mysql| Place::Tcp(mysql.address, mysql.port) == *place;
    of_role.or_else(|| mysql_checks(instance).filter(is_there).find_map(|mysql| mysql.tls.clone()))
}

fn named(instances: &[Instance]) -> Context {
    let addresses = |is_one: &dyn Fn(&&Instance) -> bool| -> Vec<String> {
        let all = instances.iter().filter(is_one).flat_map(|instance| &instance.virtual_addresses);
        all.map(|virtual_address| virtual_address.address.to_string()).collect()
    };
    let virtual_addresses = addresses(&|_| true);
    let mut context = Context::default();
    let of_servers =
        addresses(&|instance| instance.role.is_some() || mysql_checks(instance).next().is_some());
    // A pair without such a check still is a pair of servers: that is what the doctor is asked about.
    context.service_addresses = if of_servers.is_empty() { virtual_addresses.clone() } else { of_servers };
    context.virtual_addresses = virtual_addresses;
    let all = instances.iter().flat_map(|instance| &instance.virtual_addresses);
    context.places = all.map(|address| (address.device.clone(), address.address)).collect();
    for instance in instances {
        for check in mysql_checks(instance) {
            let user = check.account.user.clone();
            if let Some(write) = &check.write {
                let table = format!("{}.{}", write.table.0, write.table.1);
                context.heartbeats.push(Heartbeat { table, user: user.clone() });
            }
            context.watch_users.push(user);
            context.login_users.extend(check.login.iter().map(|login| login.account.user.clone()));
        }
        if let Some(role) = &instance.role {
            let user = role.local.account.user.clone();
            let table = role.settings.heartbeat_table.clone();
            context.heartbeats.push(Heartbeat { table, user: user.clone() });
            context.login_users.push(user.clone());
            context.role_users.push(user);
            context.watch_users.extend(role.peer.iter().map(|peer| peer.account.user.clone()));
        }
    }
    context.watch_users.sort();
    context.watch_users.dedup();
    context
}

fn mysql_checks(instance: &Instance) -> impl Iterator<Item = &Mysql> {
    instance.checks.iter().filter_map(|check| match &check.kind {
        Kind::Mysql(mysql) => Some(mysql.as_ref()),
        Kind::Tcp(_) | Kind::Script(_) => None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_pair_names_its_users_its_table_and_its_address() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/mysql-pair-a.yaml");
        let context = named(&load(&file).unwrap());
        assert_eq!(context.service_addresses, ["192.168.1.200"]);
        assert_eq!(context.watch_users, ["vrrp_peer", "vrrp_probe"]);
        assert_eq!(context.login_users, ["vrrp_probe", "vrrp"]);
        let writers: Vec<(&str, &str)> =
            context.heartbeats.iter().map(|one| (one.table.as_str(), one.user.as_str())).collect();
        assert_eq!(writers, [("vrrp.heartbeat", "vrrp_probe"), ("vrrp.heartbeat", "vrrp")]);
    }

    #[test]
    fn the_daemons_user_is_the_configured_one_unless_the_option_says_otherwise() {
        let text = |number: u8, user: &str| {
            format!(
                "{{ name: {user}, interface: e, virtual_router_id: {number}, virtual_addresses: [10.0.0.{number}], role: manage, \
                 mysql: {{ socket: /{user}, user: {user} }} }}"
            )
        };
        let all = format!("instances: [{}, {}]\n", text(1, "one"), text(2, "two"));
        let configured = Config::parse(&all, Path::new("x.yaml")).unwrap().config.instances;
        let user = |socket: &str, configured: &[Instance], option: Option<&str>| {
            daemon_user(option, &Place::Socket(socket.into()), configured)
        };
        for (socket, option, expected) in
            [("/two", None, "two"), ("/other", None, "one"), ("/two", Some("three"), "three")]
        {
            assert_eq!(user(socket, &configured, option), expected, "{socket}");
        }
        assert_eq!(user("/two", &[], None), DAEMON_USER);
        assert_eq!(named(&configured).role_users, ["one", "two"]);
    }

    #[test]
    fn before_there_is_a_configuration_nothing_is_named() {
        let context = named(&load(Path::new("/nonexistent")).unwrap());
        assert!(context.virtual_addresses.is_empty() && context.heartbeats.is_empty());
    }
}
