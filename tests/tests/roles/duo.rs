//! Two hosts with a server and a daemon each, `role: manage`, and what watches them.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use vrrp_lab::{
    AddressWatch, Daemon, Instance, Lab, StallMeter, clock,
    daemon::{binary, socket},
    mysql::{Flavour, Pair, Server, Writer, WriterSetup, managed},
};

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// One late answer of a server that lives would be another case: a peer that is taken for dead, a promotion or a drain that is
/// refused.
const PATIENT: &str = "peer_limit: 2s, statement_limit: 1s,";
/// For what the product's own limits are the subject of.
pub(crate) const BY_DEFAULT: &str = "";

/// `a` is MASTER with priority 100, `b` BACKUP with 90, version 2 at 1 s, no preemption, both servers read-only at first.
pub(crate) struct Duo {
    // Dropped in this order: the daemons before the witnesses, the lab last.
    pub(crate) a: Daemon,
    pub(crate) b: Daemon,
    pub(crate) watch: AddressWatch,
    pub(crate) stalls: StallMeter,
    pub(crate) pair: Pair,
    pub(crate) lab: Lab,
}

/// How one differs from the usual.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) flavour: Flavour,
    pub(crate) semi_sync: bool,
    /// How long servers are waited for, as keys of `mysql`, each with a comma behind it.
    pub(crate) limits: &'static str,
    /// More keys of `mysql`, each with a comma behind it.
    pub(crate) more: &'static str,
    /// More keys of the check, the same.
    pub(crate) check: &'static str,
    /// Where b's daemon reads the password of its own server.
    pub(crate) password_file: Option<PathBuf>,
    /// Both servers are asked over TCP, with these keys: of `mysql` and of the check on both hosts, and of `peer` on b. Comma
    /// behind each.
    pub(crate) over_tcp: Option<(String, String)>,
}

impl Plan {
    pub(crate) fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            semi_sync: false,
            limits: PATIENT,
            more: "",
            check: "",
            password_file: None,
            over_tcp: None,
        }
    }
}

impl Duo {
    pub(crate) fn start(name: &str, flavour: Flavour) -> Self {
        Self::start_with(name, &Plan::new(flavour))
    }

    pub(crate) fn start_with(name: &str, plan: &Plan) -> Self {
        let lab = Lab::pair(name).unwrap();
        let pair = Pair::start(&lab, plan.flavour).unwrap();
        Self::start_on(lab, pair, plan)
    }

    /// With servers that were set up already.
    pub(crate) fn start_on(lab: Lab, pair: Pair, plan: &Plan) -> Self {
        if plan.semi_sync {
            pair.set_semi_sync(true, Duration::from_secs(10)).unwrap();
        }
        let stalls = StallMeter::start().unwrap();
        let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
        let more = format!("{}{}", plan.limits, plan.more);
        let start = |priority: u8, server: &Server, other: &str| {
            let peer = lab.host(other).address();
            let tls = plan.over_tcp.as_ref().map_or("", |(outer, _)| outer);
            let checks = managed::checks(server, &format!("{tls}{}", plan.check));
            let role = managed::role(server, peer, &more);
            let role = match &plan.password_file {
                Some(file) if server.host() == "b" => {
                    let key = format!("password_file: {}", file.display());
                    role.replacen("password: change-me-vrrp", &key, 1)
                }
                Some(_) | None => role,
            };
            let role = match &plan.over_tcp {
                Some((outer, of_b)) => {
                    let inner = if server.host() == "b" { of_b } else { "" };
                    managed::role_by_address(peer, &format!("{outer} {more}"), inner)
                }
                None => role,
            };
            let instance = Instance::v2(priority).with(&format!("peers: [{peer}]")).with("skew: none");
            let instance = instance.with("role: manage").with(&role).with(&checks);
            Daemon::start(lab.host(server.host()), &[instance]).unwrap()
        };
        let a = start(100, &pair.a, "b");
        // A promotion that is refused for a late answer is tried again, and b would have been promoted meanwhile.
        assert!(watch.wait_for_holder(VIP, "a", LIMIT).is_ok(), "a is not promoted:\n{}", a.log());
        let b = start(90, &pair.b, "a");
        let duo = Self { a, b, watch, stalls, pair, lab };
        duo.wait_for_line("b", "-> BACKUP");
        duo.wait_until("the active server takes writes and the other does not", || {
            !duo.pair.a.is_read_only().unwrap() && duo.pair.b.is_read_only().unwrap()
        });
        duo.wait_until_followed("a");
        duo
    }

    /// A client at the virtual address that has written already.
    pub(crate) fn writer(&self) -> Writer {
        let writer = Writer::start(self.lab.host("client"), WriterSetup::new(VIP)).unwrap();
        self.wait_until("the client writes", || writer.count() > 20);
        writer
    }

    /// So many more are acknowledged.
    pub(crate) fn wait_for_writes(&self, writer: &Writer, more: usize) {
        let before = writer.count();
        self.wait_until("the client writes on", || writer.count() >= before + more);
    }

    pub(crate) fn daemon(&self, host: &str) -> &Daemon {
        if host == "a" { &self.a } else { &self.b }
    }

    pub(crate) fn wait_for(&self, holder: &str) {
        if let Err(error) = self.watch.wait_for_holder(VIP, holder, LIMIT) {
            panic!("{error:#}\n{}", self.logs());
        }
    }

    pub(crate) fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(clock::wait_until(LIMIT, condition), "in vain: waited until {what}\n{}", self.logs());
    }

    pub(crate) fn wait_for_line(&self, host: &str, words: &str) {
        self.wait_until(&format!("{host} says {words:?}"), || self.daemon(host).log().contains(words));
    }

    /// The active host takes in from its peer again: the pair is whole.
    pub(crate) fn wait_until_followed(&self, active: &str) {
        self.wait_until("the pair is whole", || self.status(active).contains("the peer follows"));
    }

    pub(crate) fn status(&self, host: &str) -> String {
        let output = self.command(host, &["status"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// At no time did both hold it; the stamps of two hosts' news may be this far apart.
    pub(crate) fn assert_never_two(&self) {
        self.watch.timeline(VIP).unwrap().assert_never_two(Duration::from_millis(5));
    }

    /// `vrrp` on that host, at its daemon's socket.
    pub(crate) fn command(&self, host: &str, arguments: &[&str]) -> Output {
        let socket = socket(self.lab.host(host));
        Command::new(binary().unwrap()).args(arguments).arg("--socket").arg(socket).output().unwrap()
    }

    /// As the README tells it: a daemon that runs would start replication in the middle.
    pub(crate) fn rebuild_a(&mut self) {
        // A server that died as the active one may be writable, for all that its daemon knows before it has looked: then the
        // guard ends all its sessions after the stop, the rebuild's too.
        self.wait_until("a's daemon has looked at its server", || {
            let status = self.status("a");
            status.contains("server: standby") && !status.contains("does not say whether it is read-only")
        });
        self.a.stop().unwrap();
        self.pair.rebuild("a", LIMIT).unwrap();
        self.a.restart(self.lab.host("a")).unwrap();
    }

    /// A peer or a server that does not answer in time once has a drain refused, and nothing changed: how often.
    pub(crate) fn drain(&self, host: &str) -> usize {
        const ONCE: [&str; 3] = ["does not answer", "cannot be made read-only", "does not say what it has"];
        let mut refused = 0;
        self.wait_until("the drain is taken", || {
            let output = self.command(host, &["drain", "VI_1"]);
            let error = String::from_utf8_lossy(&output.stderr);
            let is_late = ONCE.iter().any(|words| error.contains(words));
            assert!(output.status.success() || is_late, "{error}\n{}", self.logs());
            refused += usize::from(!output.status.success());
            output.status.success()
        });
        refused
    }

    pub(crate) fn order(&self, host: &str, arguments: &[&str]) {
        let output = self.command(host, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}\n{}", self.logs());
    }

    pub(crate) fn logs(&self) -> String {
        format!("--- a:\n{}\n--- b:\n{}", self.a.log(), self.b.log())
    }
}
