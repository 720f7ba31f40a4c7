//! Two hosts with a daemon each, and what watches them.

use std::{net::Ipv4Addr, path::Path, process::Command, time::Duration};

use vrrp_lab::{
    AddressWatch, Capture, Daemon, Instance, Lab, StallMeter, clock,
    daemon::{binary, socket, with_control, yaml},
    mysql::{Flavour, Server, Setup},
};

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// `a` is MASTER with priority 100, `b` is BACKUP with 90, at the recipe's own setting, unless a test changes it.
pub(crate) struct Site {
    // Dropped in this order: the daemons before the witnesses, the lab last.
    pub(crate) a: Daemon,
    pub(crate) b: Daemon,
    pub(crate) watch: AddressWatch,
    pub(crate) capture: Capture,
    pub(crate) stalls: StallMeter,
    pub(crate) lab: Lab,
}

impl Site {
    /// Both daemons with their checks, one line of YAML each.
    pub(crate) fn start(lab: Lab, checks_a: &str, checks_b: &str) -> Self {
        Self::start_with(lab, checks_a, checks_b, |instance| instance)
    }

    pub(crate) fn start_with(
        lab: Lab,
        checks_a: &str,
        checks_b: &str,
        change: impl Fn(Instance) -> Instance,
    ) -> Self {
        Self::start_all(lab, &binary().unwrap(), checks_a, checks_b, change)
    }

    /// With another program for `a`.
    pub(crate) fn start_as(lab: Lab, program: &Path, checks_a: &str, checks_b: &str) -> Self {
        Self::start_all(lab, program, checks_a, checks_b, |instance| instance)
    }

    fn start_all(
        lab: Lab,
        program: &Path,
        checks_a: &str,
        checks_b: &str,
        change: impl Fn(Instance) -> Instance,
    ) -> Self {
        let stalls = StallMeter::start().unwrap();
        let capture = Capture::start(&lab, &["a", "b"]).unwrap();
        let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
        let instance = |priority, peer, checks: &str| {
            let with = change(Instance::v2(priority)).with(&format!("peers: [{peer}]")).with("skew: none");
            with.with(&format!("checks: [{checks}]"))
        };
        let config = lab.host("a").file("vrrp.yaml");
        let text = with_control(lab.host("a"), &yaml("a", &[instance(100, "10.99.0.2", checks_a)]));
        std::fs::write(&config, text).unwrap();
        let a = Daemon::start_with_file(lab.host("a"), program, &config).unwrap();
        assert!(clock::wait_until(LIMIT, || a.log().contains("-> BACKUP")), "a does not start:\n{}", a.log());
        let b = Daemon::start(lab.host("b"), &[instance(90, "10.99.0.1", checks_b)]).unwrap();
        let site = Self { a, b, watch, capture, stalls, lab };
        site.wait_for("a");
        site.wait_until("b knows its master", || site.capture.adverts_from("a").len() >= 2);
        site
    }

    pub(crate) fn wait_for(&self, holder: &str) {
        if let Err(error) = self.watch.wait_for_holder(VIP, holder, LIMIT) {
            panic!("{error:#}\n--- a:\n{}\n--- b:\n{}", self.a.log(), self.b.log());
        }
    }

    pub(crate) fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(
            clock::wait_until(LIMIT, condition),
            "in vain: waited until {what}\n--- a:\n{}\n--- b:\n{}",
            self.a.log(),
            self.b.log()
        );
    }

    pub(crate) fn wait_for_line(&self, host: &str, words: &str) {
        self.wait_until(&format!("{host} says {words:?}"), || self.daemon(host).log().contains(words));
    }

    /// What `vrrp status` prints on that host.
    pub(crate) fn status(&self, host: &str) -> String {
        let mut command = Command::new(binary().unwrap());
        command.arg("status").arg("--socket").arg(socket(self.lab.host(host)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn daemon(&self, host: &str) -> &Daemon {
        if host == "a" { &self.a } else { &self.b }
    }

    /// From that instant to the first advert in which that host says that it is master.
    pub(crate) fn until_advert(&self, host: &str, from_ns: u64) -> Duration {
        let adverts = || self.capture.adverts_from(host);
        let found = || adverts().into_iter().find(|(at, advert)| *at > from_ns && advert.priority > 0);
        self.wait_until("the other one is master", || found().is_some());
        Duration::from_nanos(found().unwrap().0 - from_ns)
    }

    /// Nobody but that host has held the address since.
    pub(crate) fn assert_stayed(&self, host: &str, since_ns: u64) {
        let timeline = self.watch.timeline(VIP).unwrap();
        assert_eq!(timeline.holders(), [host.to_owned()], "{timeline}\n{}", self.daemon(host).log());
        assert_eq!(timeline.lost_at(host, since_ns), None, "{timeline}\n{}", self.daemon(host).log());
    }
}

/// A lab with a MariaDB on both routers.
pub(crate) fn with_servers(name: &str, change: impl Fn(Setup) -> Setup) -> (Lab, Server, Server) {
    with_flavour(name, Flavour::MariaDb, change)
}

/// The same with other servers.
pub(crate) fn with_flavour(
    name: &str,
    flavour: Flavour,
    change: impl Fn(Setup) -> Setup,
) -> (Lab, Server, Server) {
    let lab = Lab::pair(name).unwrap();
    let start = |host, node| Server::start(lab.host(host), change(Setup::new(flavour, node))).unwrap();
    let (a, b) = (start("a", 1), start("b", 2));
    (lab, a, b)
}

/// The password in `config/` of the probes' account.
pub(crate) const PROBE_PASSWORD: &str = "change-me-probe";

/// A mysql check of this server; `more` are further keys of `mysql` and `outside` of the check, each with a comma behind it.
pub(crate) fn mysql(server: &Server, more: &str, outside: &str) -> String {
    format!(
        "{{ mysql: {{ {more} socket: {}, user: vrrp_probe, password: {PROBE_PASSWORD}, login: {{ user: app, password: \
         app-password, interval: 200ms, deadline: 2s }} }}, {outside} hold_down: 300ms }}",
        server.socket().display()
    )
}
