//! A pair at 100 ms and what its wire has seen.

use std::{fs, net::Ipv4Addr, process::Command, time::Duration};

use vrrp_lab::{
    AddressWatch, Capture, Daemon, Instance, Lab, Requirement, StallMeter,
    clock::{self, nanos},
    daemon,
};
use vrrp_user::control::snapshot::{self, Snapshot};

pub(crate) const NEEDS: [Requirement; 2] = [Requirement::Lab, Requirement::Daemon];
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
pub(crate) const LIMIT: Duration = Duration::from_secs(15);
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// `a` is MASTER with 150, `b` BACKUP with 100, both without preemption.
pub(crate) struct Pair {
    // Dropped in this order: the daemons before the witnesses, the lab last.
    pub(crate) a: Daemon,
    pub(crate) b: Daemon,
    pub(crate) watch: AddressWatch,
    pub(crate) capture: Capture,
    pub(crate) stalls: StallMeter,
    pub(crate) lab: Lab,
}

pub(crate) fn instance(priority: u8) -> Instance {
    Instance::v3(priority, "100ms")
}

impl Pair {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// With more lines at the end of both files.
    pub(crate) fn start_with(name: &str, lines: &[&str]) -> Self {
        let lab = Lab::pair(name).unwrap();
        let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
        let capture = Capture::start(&lab, &["a", "b"]).unwrap();
        let stalls = StallMeter::start().unwrap();
        let start = |host: &str, priority: u8| {
            let text = daemon::yaml(host, &[instance(priority)]) + &lines.join("\n");
            Daemon::start_with_yaml(lab.host(host), &text).unwrap()
        };
        let a = start("a", 150);
        watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
        let b = start("b", 100);
        let pair = Self { a, b, watch, capture, stalls, lab };
        pair.wait_for_log("b", "-> BACKUP", 1);
        clock::sleep_ms(500);
        pair
    }

    pub(crate) fn daemon_mut(&mut self, host: &str) -> &mut Daemon {
        if host == "a" { &mut self.a } else { &mut self.b }
    }

    pub(crate) fn daemon(&self, host: &str) -> &Daemon {
        if host == "a" { &self.a } else { &self.b }
    }

    /// Writes another file for a host's daemon.
    pub(crate) fn write(&self, host: &str, text: &str) {
        let text = daemon::with_control(self.lab.host(host), text);
        fs::write(self.daemon(host).config(), text).unwrap();
    }

    /// Runs a command against a host's daemon: its exit code, standard output and standard error.
    pub(crate) fn command(&self, host: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let socket = daemon::socket(self.lab.host(host));
        let mut command = Command::new(daemon::binary().unwrap());
        let output = command.args(arguments).arg("--socket").arg(socket).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// The same, of a command that must succeed: its standard output.
    pub(crate) fn succeed(&self, host: &str, arguments: &[&str]) -> String {
        let (code, out, error) = self.command(host, arguments);
        assert_eq!(code, Some(0), "{arguments:?} on {host}: {error}\n{}", self.daemon(host).log());
        out
    }

    /// `vrrp status --json` of the one instance.
    pub(crate) fn status(&self, host: &str) -> (Snapshot, snapshot::Instance) {
        let snapshot: Snapshot = serde_json::from_str(&self.succeed(host, &["status", "--json"])).unwrap();
        let instance = snapshot.instances[0].clone();
        (snapshot, instance)
    }

    /// Waits until the log has so many lines with this in them.
    pub(crate) fn wait_for_log(&self, host: &str, text: &str, count: usize) {
        let found = || self.log_count(host, text) >= count;
        assert!(
            clock::wait_until(LIMIT, found),
            "{host} never says {text:?} {count} times:\n{}",
            self.daemon(host).log()
        );
    }

    pub(crate) fn log_count(&self, host: &str, text: &str) -> usize {
        self.daemon(host).log().lines().filter(|line| line.contains(text)).count()
    }

    /// The longest silence of a host between two of its adverts in this time, with the machine's own stalls taken off.
    pub(crate) fn longest_silence(&self, host: &str, from: u64, to: u64) -> Duration {
        let adverts = self.capture.adverts_from(host);
        let times: Vec<u64> =
            adverts.iter().map(|(at, _)| *at).filter(|at| (from..=to).contains(at)).collect();
        assert!(
            times.len() > 2,
            "{} adverts of {host} in {:?}",
            times.len(),
            Duration::from_nanos(to - from)
        );
        let gaps = times.windows(2).map(|pair| {
            let stalled = self.stalls.within(pair[0], pair[1]);
            Duration::from_nanos((pair[1] - pair[0]).saturating_sub(nanos(stalled)))
        });
        gaps.max().unwrap()
    }

    /// Nobody but `holder` had the address at any time since `from`, and it always had it.
    pub(crate) fn assert_undisturbed(&self, holder: &str, from: u64) {
        let timeline = self.watch.timeline(VIP).unwrap();
        assert_eq!(timeline.holders(), [holder]);
        assert_eq!(timeline.lost_at(holder, from), None, "{:?}", timeline.spans());
        timeline.assert_never_two(Duration::ZERO);
    }
}
