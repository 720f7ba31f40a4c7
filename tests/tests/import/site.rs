//! The recipe's site: two nodes, .201 and .202, with a server on port 3306 each, and the address .200 between them.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use vrrp_lab::{AddressWatch, Daemon, Lab, clock, daemon::binary, lab::Host, peers::Keepalived};

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 200);
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// The recipe's: three retries, three seconds apart, after a try that found the server gone.
pub(crate) const RETRIES: Duration = Duration::from_secs(9);
/// What may come before them: delay_loop of 2 s; and behind: the skew time of priority 90, and this machine's noise.
pub(crate) const AROUND: Duration = Duration::from_secs(6);

pub(crate) const SCRIPT: &str = include_str!("../../../vrrp-user/src/import/samples/check_mysql.sh");

/// The file as published.
pub(crate) fn published(host: &str) -> &'static str {
    match host {
        "a" => include_str!("../../../vrrp-user/src/import/samples/recipe-master.conf"),
        _ => include_str!("../../../vrrp-user/src/import/samples/recipe-backup.conf"),
    }
}

/// A folder like /etc/keepalived: the file, and its script beside it.
pub(crate) fn folder(host: &Host, text: &str) -> PathBuf {
    let folder = host.file("keepalived");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("check_mysql.sh"), SCRIPT).unwrap();
    let file = folder.join("keepalived.conf");
    fs::write(&file, text).unwrap();
    file
}

/// `vrrp` with these arguments.
pub(crate) fn vrrp(arguments: &[&str]) -> Output {
    Command::new(binary().unwrap()).args(arguments).output().unwrap()
}

/// The YAML that the importer makes of the file, for the host of that address.
pub(crate) fn imported(file: &Path, local: Ipv4Addr) -> String {
    let output = vrrp(&["import", &file.to_string_lossy(), "--local", &local.to_string()]);
    let (yaml, report) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!yaml.is_empty(), "{report}");
    yaml
}

pub(crate) struct Site {
    pub(crate) watch: AddressWatch,
    pub(crate) lab: Lab,
}

impl Site {
    pub(crate) fn new(name: &str) -> Self {
        let mut lab = Lab::new(name).unwrap();
        lab.add_host("a", "192.168.1.201/24").unwrap();
        lab.add_host("b", "192.168.1.202/24").unwrap();
        let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
        Self { watch, lab }
    }

    pub(crate) fn host(&self, host: &str) -> &Host {
        self.lab.host(host)
    }

    /// The server on that node; dropped, it is dead.
    pub(crate) fn server(&self, host: &str) -> TcpListener {
        let address = self.host(host).address();
        let bind = || TcpListener::bind((address, 3306));
        self.host(host).namespace().enter(bind).unwrap().unwrap()
    }

    /// Ours, from that node's imported file.
    pub(crate) fn ours(&self, host: &str) -> Daemon {
        let host = self.host(host);
        let file = folder(host, published(host.name()));
        Daemon::start_with_yaml(host, &imported(&file, host.address())).unwrap()
    }

    /// The real one, from that node's file with this done to it. Only its VRRP child runs: its checker needs IPVS, which
    /// not every kernel has, and what the script does, `pkill keepalived`, would not stay within the namespace. Whoever
    /// lets the server of such a node die ends the process in its place.
    pub(crate) fn keepalived(&self, host: &str, change: impl Fn(&str) -> String) -> Keepalived {
        let host = self.host(host);
        let file = folder(host, &change(published(host.name())));
        Keepalived::start_with_file(host, &file).unwrap()
    }

    pub(crate) fn wait_for(&self, holder: &str, logs: &dyn Fn() -> String) {
        if let Err(error) = self.watch.wait_for_holder(VIP, holder, LIMIT) {
            panic!("{error:#}\n{}", logs());
        }
    }

    /// Nobody but that node has held it since.
    pub(crate) fn assert_stayed(&self, holder: &str, since_ns: u64, logs: &dyn Fn() -> String) {
        let timeline = self.watch.timeline(VIP).unwrap();
        assert_eq!(timeline.holders(), [holder.to_owned()], "{timeline}\n{}", logs());
        assert_eq!(timeline.lost_at(holder, since_ns), None, "{timeline}\n{}", logs());
    }

    /// How long after that instant the node got the address.
    pub(crate) fn until_taken(&self, host: &str, since_ns: u64) -> Duration {
        let timeline = self.watch.timeline(VIP).unwrap();
        Duration::from_nanos(timeline.acquired_at(host, since_ns).unwrap() - since_ns)
    }
}

pub(crate) fn wait_until(what: &str, logs: &dyn Fn() -> String, condition: impl FnMut() -> bool) {
    assert!(clock::wait_until(LIMIT, condition), "in vain: waited until {what}\n{}", logs());
}
