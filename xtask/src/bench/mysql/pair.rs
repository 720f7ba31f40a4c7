//! Two hosts with a server and a keeper of the address each, a client that writes, and the switch's view.
//!
//! Owns the configurations and what is done to the pair. Refuses to judge.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use vrrp_lab::{
    Daemon, Instance, Keepalived, Lab, Observer, Peer, clock,
    mysql::{self, Flavour, Ledger, Record, Writer, WriterSetup, managed},
    observer::{Kind, Port},
    peers,
    process::Process,
};

use super::{Event, Outcome, Way, steps};
use crate::{
    bench::{noise::CpuTime, report::Lane, stats::milliseconds},
    command::output_within,
};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
const HOSTS: [&str; 2] = ["a", "b"];
const PRIORITIES: [u8; 2] = [100, 90];
const START: Duration = Duration::from_secs(20);
/// A client that has not written again by then will not.
const LIMIT: Duration = Duration::from_secs(20);
/// The client waits so long for an answer, whoever keeps the address.
const ANSWER: Duration = Duration::from_secs(5);
/// So long a frozen server is left to a check that may never notice.
const FROZEN: Duration = Duration::from_secs(15);
/// Between two events, and before the first: the peer knows its master, and the client is at work.
const QUIET: Duration = Duration::from_millis(1_300);

/// Dropped in this order: the client and the keepers before the servers, the lab last.
pub(super) struct Pair {
    way: Way,
    binary: PathBuf,
    active: usize,
    /// By when each event was over, for the reckoning.
    events: Vec<u64>,
    writer: Option<Writer>,
    keepers: [Keeper; 2],
    observer: Observer,
    servers: mysql::Pair,
    lab: Lab,
}

enum Keeper {
    Ours(Daemon),
    Keepalived(Keepalived),
}

impl Keeper {
    fn process(&mut self) -> &mut Process {
        match self {
            Self::Ours(daemon) => daemon,
            Self::Keepalived(keepalived) => keepalived,
        }
    }
}

impl Pair {
    /// A pair at rest, `a` active, the client writing.
    pub(super) fn start(way: Way, binary: &Path) -> Result<Self> {
        let lab = Lab::pair("mysql")?;
        let servers = mysql::Pair::start(&lab, Flavour::MariaDb)?;
        if way != Way::Managed {
            // The recipe: both may be written to, and one is.
            servers.a.set_read_only(false)?;
            servers.b.set_read_only(false)?;
        }
        let ports = HOSTS.map(|host| Port { ifindex: lab.host(host).port(), from: true, to: false });
        let observer = Observer::start(lab.bridge(), &ports)?;
        let a = keeper(&lab, &servers, way, binary, 0)?;
        let announced =
            || observer.look(0, |all| all.iter().any(|seen| is_claim(&seen.kind) && seen.port == 0));
        ensure!(clock::wait_until(START, announced), "a does not take the address");
        let b = keeper(&lab, &servers, way, binary, 1)?;
        let mut pair = Self {
            way,
            binary: binary.to_owned(),
            active: 0,
            events: Vec::new(),
            writer: None,
            keepers: [a, b],
            observer,
            servers,
            lab,
        };
        let listened = |pair: &mut Self| pair.keepers[1].process().log().contains("BACKUP");
        ensure!(clock::wait_until(START, || listened(&mut pair)), "b does not become BACKUP");
        pair.await_whole()?;
        let setup = WriterSetup { answer_timeout: ANSWER, ..WriterSetup::new(VIP) };
        let writer = Writer::start(pair.lab.host("client"), setup)?;
        let writes = clock::wait_until(START, || writer.count() > 20);
        ensure!(writes, "the client does not write: {:?}", writer.record().failures.last());
        pair.writer = Some(writer);
        Ok(pair)
    }

    /// Does it to the active host, and waits until the client writes again.
    pub(super) fn strike(&mut self, event: Event) -> Result<Outcome> {
        std::thread::sleep(QUIET);
        self.observer.clear();
        let (from, to) = (self.active, 1 - self.active);
        let said = self.keepers[to].process().log().len();
        let cpu = CpuTime::now();
        let mut at = clock::now_ns();
        match event {
            Event::Switch => self.hand_over(from)?,
            Event::Kill => {
                self.servers.on_mut(HOSTS[from]).kill();
                self.tell(from, false)?;
            }
            Event::Freeze => self.servers.on_mut(HOSTS[from]).freeze(),
            Event::Cut => {
                self.lab.host(HOSTS[from]).cut()?;
                // The command itself takes a few milliseconds.
                at = clock::now_ns();
            }
        }
        let patience = if event == Event::Freeze { FROZEN } else { LIMIT };
        let writer = self.writer.as_ref().context("the client has ended")?;
        // The first of the new owner's, not the last of the old one's.
        let moved = || {
            self.observer
                .look(0, |all| all.iter().any(|seen| is_claim(&seen.kind) && usize::from(seen.port) == to))
        };
        let is_moved = clock::wait_until(patience, moved);
        let serves = is_moved
            && clock::wait_until(LIMIT, || writer.wait_for_write(Duration::from_millis(200)).is_ok());
        std::thread::sleep(Duration::from_millis(100));
        let now = clock::now_ns();
        self.events.push(now);
        let (noise, record) = (cpu.noise_since(), writer.record());
        let outage = serves.then(|| record.longest_gap(at, now)).map(|gap| gap.as_secs_f64() * 1e3);
        let seen = self.observer.sightings();
        let of = |half: usize, kind: fn(&Kind) -> bool| {
            let marks = seen.iter().filter(|seen| usize::from(seen.port) == half && kind(&seen.kind));
            marks.map(|seen| milliseconds(at, seen.time_ns)).collect::<Vec<_>>()
        };
        let announced = of(to, is_claim).first().copied();
        let lane = |half, name: &str, announcements| Lane {
            name: name.to_owned(),
            adverts: of(half, |kind| matches!(kind, Kind::Advert { .. })),
            announcements,
            limit: None,
        };
        // The survivor takes it once, however often it says so.
        let lanes = vec![
            lane(from, "old master", of(from, is_claim)),
            lane(to, "survivor", announced.into_iter().collect()),
        ];
        let log = self.keepers[to].process().log();
        let steps = steps::winning(log.get(said..).unwrap_or_default());
        // Whoever holds the address is reckoned with, served or not; and a dead server is not.
        if is_moved || event == Event::Kill {
            self.active = to;
        }
        Ok(Outcome {
            outage,
            waited: milliseconds(at, now),
            announced,
            lost: 0,
            twice: 0,
            noise,
            steps,
            lanes,
        })
    }

    /// Undoes what the event did, so that there can be another one.
    pub(super) fn mend(&mut self, event: Event) -> Result<()> {
        let passive = 1 - self.active;
        let host = self.lab.host(HOSTS[passive]);
        match event {
            Event::Switch => match &mut self.keepers[passive] {
                Keeper::Ours(daemon) => order(&self.binary, daemon, host, "resume")?,
                Keeper::Keepalived(keepalived) => keepalived.restart(host)?,
            },
            Event::Freeze => {
                for name in HOSTS {
                    self.servers.on_mut(name).thaw();
                }
                // Nobody noticed: the client goes on where it was.
                let writer = self.writer.as_ref().context("the client has ended")?;
                let goes_on = || writer.wait_for_write(Duration::from_millis(200)).is_ok();
                ensure!(clock::wait_until(LIMIT, goes_on), "the client does not go on after the thaw");
            }
            Event::Kill => {
                self.servers.on_mut(HOSTS[passive]).restart(host)?;
                self.tell(passive, true)?;
            }
            Event::Cut => host.heal()?,
        }
        self.await_whole()
    }

    /// Ends the client; by event, how many of its acknowledged writes are not on the server that serves, and how many rows are
    /// there twice.
    pub(super) fn settle_accounts(mut self) -> Result<Vec<Account>> {
        let writer = self.writer.take().context("the client has ended")?;
        for name in HOSTS {
            self.servers.on_mut(name).thaw();
        }
        let record = writer.finish()?;
        // It may have lost what the outcomes were told by.
        self.observer.finish()?;
        let server = self.servers.on(HOSTS[self.active]);
        let compare = || Ledger::read(server).map(|ledger| ledger.compare(&record));
        // What was received is applied a moment later.
        clock::wait_until(Duration::from_secs(2), || compare().is_ok_and(|verdict| verdict.is_clean()));
        let verdict = compare()?;
        let mut accounts = vec![Account::default(); self.events.len()];
        for number in &verdict.lost {
            accounts[cause(&self.events, &record, *number)].lost += 1;
        }
        for number in &verdict.duplicated {
            accounts[cause(&self.events, &record, *number)].twice += 1;
        }
        Ok(accounts)
    }

    fn hand_over(&mut self, from: usize) -> Result<()> {
        let host = self.lab.host(HOSTS[from]);
        match &mut self.keepers[from] {
            Keeper::Ours(daemon) => order(&self.binary, daemon, host, "drain"),
            Keeper::Keepalived(keepalived) => {
                keepalived.terminate();
                Ok(())
            }
        }
    }

    /// The best detection there is: keepalived hears of it when it happens.
    fn tell(&self, half: usize, is_well: bool) -> Result<()> {
        if self.way != Way::Told {
            return Ok(());
        }
        let file = track_file(&self.lab, half);
        fs::write(&file, if is_well { "0\n" } else { "-255\n" })
            .with_context(|| format!("write {}", file.display()))
    }

    fn await_whole(&mut self) -> Result<()> {
        let (active, passive) = (HOSTS[self.active], HOSTS[1 - self.active]);
        if self.way == Way::Managed {
            let Keeper::Ours(daemon) = &mut self.keepers[self.active] else { bail!("ours is managed") };
            let host = self.lab.host(active);
            let follows = || status(&self.binary, host).contains("the peer follows");
            ensure!(clock::wait_until(START, follows), "the pair does not become whole:\n{}", daemon.log());
        }
        self.servers.wait_replicating(START).with_context(|| format!("{passive} does not follow"))
    }
}

/// What one event did to the client's writes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub(super) lost: usize,
    pub(super) twice: usize,
}

/// The first event that was not over when the write, or else the next one, was acknowledged; the last one for what came
/// behind it.
fn cause(events: &[u64], record: &Record, number: u64) -> usize {
    let next = record.acknowledged.iter().find(|write| write.number >= number);
    let at = next.map_or(u64::MAX, |write| write.at_ns);
    let later = events.iter().position(|event| *event >= at);
    later.unwrap_or_else(|| events.len().saturating_sub(1))
}

const fn is_claim(kind: &Kind) -> bool {
    match kind {
        Kind::Announcement { address } => address.to_bits() == VIP.to_bits(),
        Kind::Advert { .. } => false,
    }
}

fn keeper(lab: &Lab, servers: &mysql::Pair, way: Way, binary: &Path, half: usize) -> Result<Keeper> {
    let host = lab.host(HOSTS[half]);
    let (server, other) = (servers.on(HOSTS[half]), lab.host(HOSTS[1 - half]).address());
    let instance = Instance::v2(PRIORITIES[half]).with(&format!("peers: [{other}]")).with("skew: none");
    let instance = instance.with(&managed::checks(server, ""));
    let ours = |instance| {
        let text = vrrp_lab::daemon::yaml(&format!("bench-{}", host.name()), &[instance]);
        let config = host.file("vrrp.yaml");
        fs::write(&config, vrrp_lab::daemon::with_control(host, &text))
            .with_context(|| format!("write {}", config.display()))?;
        Daemon::start_with_file(host, binary, &config).map(Keeper::Ours)
    };
    match way {
        Way::Managed => ours(instance.with("role: manage").with(&managed::role(server, other, ""))),
        Way::Observed => ours(instance),
        Way::Told => {
            let file = track_file(lab, half);
            fs::write(&file, "0\n").with_context(|| format!("write {}", file.display()))?;
            let head = format!("vrrp_track_file mysql {{\n    file {}\n    weight 1\n}}\n", file.display());
            theirs(lab, half, &head, "track_file {\n        mysql\n    }")
        }
        Way::Recipe => {
            let script = host.file("check.sh");
            fs::write(&script, "#!/bin/bash\nexec timeout 10 bash -c '</dev/tcp/127.0.0.1/3306'\n")
                .and_then(|()| executable(&script))
                .with_context(|| format!("write {}", script.display()))?;
            let head = format!(
                "vrrp_script mysql {{\n    script {}\n    interval 2\n    timeout 10\n    fall 3\n    rise 1\n}}\n",
                script.display()
            );
            theirs(lab, half, &head, "track_script {\n        mysql\n    }")
        }
    }
}

fn theirs(lab: &Lab, half: usize, head: &str, track: &str) -> Result<Keeper> {
    let host = lab.host(HOSTS[half]);
    let mut peer = Peer::v2(PRIORITIES[half]);
    peer.extra.push(track.to_owned());
    let text = peers::configuration(&["script_user root"], &[peer]);
    let text = text.replacen("vrrp_instance", &format!("{head}vrrp_instance"), 1);
    let config = host.file("keepalived.conf");
    fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    Keepalived::start_talking(host, peers::Talk::Usual, &config).map(Keeper::Keepalived)
}

fn track_file(lab: &Lab, half: usize) -> PathBuf {
    lab.host(HOSTS[half]).file("mysql.track")
}

fn executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

fn order(binary: &Path, daemon: &Daemon, host: &vrrp_lab::Host, what: &str) -> Result<()> {
    let mut command = Command::new(binary);
    command.args([what, "VI_1", "--socket"]).arg(vrrp_lab::daemon::socket(host));
    let output = output_within(&mut command, START)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`vrrp {what}` on {}: {error}\n{}", host.name(), daemon.log());
    Ok(())
}

fn status(binary: &Path, host: &vrrp_lab::Host) -> String {
    let mut command = Command::new(binary);
    command.args(["status", "--socket"]).arg(vrrp_lab::daemon::socket(host));
    output_within(&mut command, START)
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
