//! The database servers of the lab: MariaDB on both nodes, each the replica of the other, and a client that writes at the VIP.
//!
//! Owns the servers, their small disks, those who ask them, and the reckoning. Nothing here waits for a server once it has
//! started. Refuses to know who should be the active one.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use vrrp_lab::{
    Lab,
    mysql::{Flavour, Pair, Server, ServerSeen, ServerWatch, Setup, Tmpfs, Writer, WriterSetup},
};

use super::{
    stage::{Condition, NODES, VIP},
    tally::{News, Tally, Writes},
};

/// Holds the binary log. Room for hours at the lab's pace, and full at a key.
const DISK_MEGABYTES: u32 = 128;
/// The lab's own lines: the log of changes does not outgrow its disk, and a fresh pair is quickly there.
const OWN_SETTINGS: [&str; 2] = ["max_binlog_size = 1M", "binlog_expire_logs_seconds = 900"];
const WRITER_PAUSE: Duration = Duration::from_millis(5);

/// One server, as seen.
#[derive(Clone, Debug)]
pub(super) struct ServerNode {
    pub(super) name: &'static str,
    pub(super) pid: u32,
    pub(super) condition: Condition,
    pub(super) is_disk_full: bool,
    /// Its last answer; nothing while it does not answer.
    pub(super) seen: Option<ServerSeen>,
}

/// All of it. Dropping it undoes all of it.
pub(super) struct Database {
    // Dropped in this order: the clients, the servers, their disks.
    writer: Writer,
    watches: Vec<ServerWatch>,
    tally: Tally,
    pair: Pair,
    disks: Vec<Tmpfs>,
    nodes: Vec<ServerNode>,
}

impl Database {
    /// Starts the servers, replicating, and the writer. With `is_writable` both take writes from the start and for ever, as
    /// the pair of the usual recipe does; otherwise none does before a daemon says so.
    pub(super) fn start(lab: &Lab, is_writable: bool) -> Result<Self> {
        let (mut disks, mut setups) = (Vec::new(), Vec::new());
        for (host, number) in NODES.into_iter().zip(1..) {
            let disk = Tmpfs::mount(&lab.host(host).file("binlog"), DISK_MEGABYTES)?;
            let mut setup = Setup::new(Flavour::MariaDb, number);
            setup.binlog_folder = Some(disk.folder().to_owned());
            setup.extra.extend(OWN_SETTINGS.map(str::to_owned));
            if is_writable {
                setup.extra.push("read_only = 0".to_owned());
            }
            disks.push(disk);
            setups.push(setup);
        }
        let (Some(b), Some(a)) = (setups.pop(), setups.pop()) else { bail!("the lab has two nodes") };
        let pair = Pair::start_with(lab, a, b).context("start MariaDB on both nodes")?;
        let watches = vec![ServerWatch::start(&pair.a)?, ServerWatch::start(&pair.b)?];
        let setup = WriterSetup { pause: WRITER_PAUSE, ..WriterSetup::new(VIP) };
        let writer = Writer::start(lab.host("client"), setup)?;
        let nodes = NODES.into_iter().map(|name| ServerNode {
            name,
            pid: 0,
            condition: Condition::Running,
            is_disk_full: false,
            seen: None,
        });
        Ok(Self { writer, watches, tally: Tally::start()?, pair, disks, nodes: nodes.collect() })
    }

    /// Where the server of that host listens.
    pub(super) fn socket(&self, host: &str) -> PathBuf {
        self.pair.on(host).socket()
    }

    pub(super) fn nodes(&self) -> &[ServerNode] {
        &self.nodes
    }

    pub(super) fn writes(&self) -> &Writes {
        self.tally.writes()
    }

    /// This host alone owns the address, since then.
    pub(super) fn note_owner(&mut self, host: &'static str, since_ns: u64) {
        let socket = self.socket(host);
        self.tally.note_owner(host, since_ns, socket);
    }

    /// Takes in what has happened since the last look: the writer's news, and endings nobody has told yet.
    pub(super) fn look(&mut self, now_ns: u64) -> (Vec<News>, Vec<String>) {
        let mut endings = Vec::new();
        for (node, watch) in self.nodes.iter_mut().zip(&self.watches) {
            node.seen = watch.seen();
            let process = self.pair.on_mut(node.name).process();
            node.pid = process.pid();
            let condition = Condition::of(process);
            watch.pause(condition == Condition::Frozen);
            if let Condition::Ended(how) = &condition
                && node.condition != condition
            {
                endings.push(format!("{}'s mysqld ended: {how}", node.name));
            }
            node.condition = condition;
        }
        let (acknowledged, failures) = self.tally.place();
        let mut news = self.tally.take_in(self.writer.record_since(acknowledged, failures));
        news.extend(self.tally.look(now_ns));
        (news, endings)
    }

    /// SIGKILL; what was done, in words.
    pub(super) fn kill(&mut self, host: usize) -> Result<&'static str> {
        self.living(host)?.kill();
        Ok("mysqld was killed (SIGKILL)")
    }

    pub(super) fn toggle_freeze(&mut self, host: usize) -> Result<&'static str> {
        if self.nodes[host].condition == Condition::Frozen {
            self.living(host)?.thaw();
            return Ok("mysqld was thawed (SIGCONT)");
        }
        self.living(host)?.freeze();
        Ok("mysqld was frozen (SIGSTOP)")
    }

    pub(super) fn toggle_disk(&mut self, host: usize) -> Result<&'static str> {
        if self.nodes[host].is_disk_full {
            self.disks[host].free()?;
            self.nodes[host].is_disk_full = false;
            return Ok("binary log's disk has room again (MariaDB looks once a minute)");
        }
        // Also when only some of it could be written.
        self.nodes[host].is_disk_full = true;
        self.disks[host].fill()?;
        Ok("binary log's disk was filled up")
    }

    /// Starts a dead server again, on its data.
    pub(super) fn start_again(&mut self, lab: &Lab, host: usize) -> Result<&'static str> {
        let server = self.pair.on_mut(NODES[host]);
        if server.process().is_running() {
            bail!("{}'s mysqld runs already", NODES[host]);
        }
        server.start_again(lab.host(NODES[host]))?;
        Ok("mysqld was started again")
    }

    fn living(&mut self, host: usize) -> Result<&mut Server> {
        let server = self.pair.on_mut(NODES[host]);
        if !server.process().is_running() {
            bail!("{}'s mysqld is dead; u starts it again", NODES[host]);
        }
        Ok(server)
    }
}
