//! Two servers, each the replica of the other, one of them writable.
//!
//! Owns the channel both ways and semi-synchronous replication. Refuses to know the virtual IP.

use std::{panic::resume_unwind, thread, time::Duration};

use anyhow::{Context, Result, bail};
use mysql::prelude::Queryable;

use super::{Flavour, PORT, REPLICATION_PASSWORD, REPLICATION_USER, Server, Setup};
use crate::{clock, lab::Lab};

/// The servers on hosts `a` and `b`.
#[derive(Debug)]
pub struct Pair {
    pub a: Server,
    pub b: Server,
}

impl Pair {
    /// Both with the shipped settings, replicating both ways, both read-only, with the writer's table on both.
    pub fn start(lab: &Lab, flavour: Flavour) -> Result<Self> {
        Self::start_with(lab, Setup::new(flavour, 1), Setup::new(flavour, 2))
    }

    /// Both as they are set up, replicating both ways, both read-only, with the writer's table on both.
    pub fn start_with(lab: &Lab, a: Setup, b: Setup) -> Result<Self> {
        let (a, b) = thread::scope(|scope| {
            let b = scope.spawn(|| Server::start(lab.host("b"), b));
            let a = Server::start(lab.host("a"), a);
            (a, b.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let pair = Self { a: a?, b: b? };
        // Both were set up apart, by the same statements: their histories begin here.
        pair.a.sql("RESET MASTER")?;
        pair.b.sql("RESET MASTER")?;
        pair.replicate_both_ways(lab)?;
        pair.a.sql(
            "CREATE TABLE lab.writes (id BIGINT AUTO_INCREMENT PRIMARY KEY, number BIGINT NOT NULL, \
             server INT NOT NULL, KEY (number)) ENGINE=InnoDB",
        )?;
        pair.wait_equal(Duration::from_secs(20))?;
        pair.wait_replicating(Duration::from_secs(20))?;
        Ok(pair)
    }

    /// The server on that host; panics when there is none.
    pub fn on(&self, host: &str) -> &Server {
        if self.a.host() == host {
            return &self.a;
        }
        assert_eq!(self.b.host(), host, "the pair's servers are on a and b");
        &self.b
    }

    /// The same, to be changed.
    pub fn on_mut(&mut self, host: &str) -> &mut Server {
        if self.a.host() == host {
            return &mut self.a;
        }
        assert_eq!(self.b.host(), host, "the pair's servers are on a and b");
        &mut self.b
    }

    /// Points each at the other's own address (never the virtual IP) and starts both channels.
    pub fn replicate_both_ways(&self, lab: &Lab) -> Result<()> {
        replicate(&self.a, lab.host(self.b.host()).address())?;
        replicate(&self.b, lab.host(self.a.host()).address())
    }

    /// Waits until each has everything of the other.
    pub fn wait_equal(&self, limit: Duration) -> Result<()> {
        let positions = || Some((self.a.position().ok()?, self.b.position().ok()?));
        // What a binary log has is seen by readers a moment later.
        let rows = |server: &Server| server.ask("SELECT COUNT(*) FROM lab.writes").ok().flatten();
        let is_equal =
            || positions().is_some_and(|(a, b)| sorted(&a) == sorted(&b)) && rows(&self.a) == rows(&self.b);
        if clock::wait_until(limit, is_equal) {
            return Ok(());
        }
        bail!(
            "after {limit:?} the servers differ: {:?}\na: {:?}\nb: {:?}",
            positions(),
            self.a.replica_status(),
            self.b.replica_status()
        );
    }

    /// Waits until both threads run on both sides.
    pub fn wait_replicating(&self, limit: Duration) -> Result<()> {
        let runs = |server: &Server| {
            let status = server.replica_status().ok().flatten().unwrap_or_default();
            let yes = |key: &str| status.get(key).is_some_and(|value| value == "Yes");
            yes("Slave_IO_Running") && yes("Slave_SQL_Running")
        };
        if clock::wait_until(limit, || runs(&self.a) && runs(&self.b)) {
            return Ok(());
        }
        bail!(
            "replication does not run both ways after {limit:?}\na: {:?}\nb: {:?}",
            self.a.replica_status(),
            self.b.replica_status()
        );
    }

    /// Semi-synchronous replication both ways, on or off. The package of MySQL 5.6 brings no such plugin.
    pub fn set_semi_sync(&self, is_on: bool, timeout: Duration) -> Result<()> {
        for server in [&self.a, &self.b] {
            if server.flavour() != Flavour::MariaDb {
                bail!("{:?} on {} has no semi-synchronous replication", server.flavour(), server.host());
            }
            let value = u8::from(is_on);
            server.sql(&format!("SET GLOBAL rpl_semi_sync_master_timeout = {}", timeout.as_millis()))?;
            server.sql(&format!("SET GLOBAL rpl_semi_sync_slave_enabled = {value}"))?;
            // The thread asks for it when it connects.
            server.sql("STOP SLAVE IO_THREAD")?;
            server.sql("START SLAVE IO_THREAD")?;
        }
        for server in [&self.a, &self.b] {
            server.sql(&format!("SET GLOBAL rpl_semi_sync_master_enabled = {}", u8::from(is_on)))?;
        }
        if !is_on {
            return Ok(());
        }
        let has_client = |server: &Server| {
            let rows = server.rows("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_clients'");
            rows.is_ok_and(|rows| rows.iter().any(|row| row.get("Value").is_some_and(|value| value == "1")))
        };
        if clock::wait_until(Duration::from_secs(10), || has_client(&self.a) && has_client(&self.b)) {
            return Ok(());
        }
        bail!("no semi-synchronous replica connected on one side within 10 s");
    }

    /// That MariaDB gets its peer's rows and history in place of its own, as after a restored backup, and is its replica.
    /// Nobody may write meanwhile, and no daemon may run beside it: that would start replication in the middle.
    pub fn rebuild(&self, host: &str, limit: Duration) -> Result<()> {
        let (stale, good) = if host == self.a.host() { (&self.a, &self.b) } else { (&self.b, &self.a) };
        let history = good.ask("SELECT @@global.gtid_binlog_state")?.unwrap_or_default();
        let position = good.position()?;
        let rows = good.rows("SELECT id, number, server FROM lab.writes")?;
        let beats = good.rows("SELECT server_id, beat FROM vrrp.heartbeat")?;
        let mut connection = stale.connect()?;
        let mut run = |statement: &str| connection.query_drop(statement).with_context(|| shorten(statement));
        // Whoever starts it, it asks for that when it connects.
        run("SET GLOBAL rpl_semi_sync_slave_enabled = 1")?;
        run("STOP SLAVE")?;
        // What it last had from the other will be in no binary log there any more.
        let forget = || {
            good.sql("STOP SLAVE")?;
            good.sql(&format!("SET GLOBAL gtid_slave_pos = '{position}'"))
        };
        // A daemon may start it in between, once.
        forget().or_else(|_| forget())?;
        run("SET SESSION sql_log_bin = 0")?;
        run("DELETE FROM lab.writes")?;
        for row in rows {
            run(&format!(
                "INSERT INTO lab.writes VALUES ({}, {}, {})",
                row["id"], row["number"], row["server"]
            ))?;
        }
        run("DELETE FROM vrrp.heartbeat")?;
        for beat in beats {
            run(&format!(
                "INSERT INTO vrrp.heartbeat (server_id, beat) VALUES ({}, {})",
                beat["server_id"], beat["beat"]
            ))?;
        }
        run("RESET MASTER")?;
        run(&format!("SET GLOBAL gtid_binlog_state = '{history}'"))?;
        run(&format!("SET GLOBAL gtid_slave_pos = '{position}'"))?;
        run("START SLAVE")?;
        good.sql("START SLAVE")?;
        self.wait_equal(limit)
    }

    /// Whether that server's commits wait for the other: false after a fallback to asynchronous replication.
    pub fn is_semi_sync(&self, host: &str) -> Result<bool> {
        let rows = self.on(host).rows("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_status'")?;
        Ok(rows.iter().any(|row| row.get("Value").is_some_and(|value| value == "ON")))
    }
}

fn shorten(statement: &str) -> String {
    statement.chars().take(80).collect()
}

fn replicate(replica: &Server, source: std::net::Ipv4Addr) -> Result<()> {
    let position = match replica.flavour() {
        Flavour::MariaDb => "MASTER_USE_GTID = slave_pos",
        Flavour::MySql56 => "MASTER_AUTO_POSITION = 1",
    };
    replica.sql(&format!(
        "CHANGE MASTER TO MASTER_HOST = '{source}', MASTER_PORT = {PORT}, MASTER_USER = '{REPLICATION_USER}', \
         MASTER_PASSWORD = '{REPLICATION_PASSWORD}', MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 1, {position}"
    ))?;
    replica.sql("START SLAVE").with_context(|| format!("replicate from {source}"))
}

/// A GTID position without order and white space.
fn sorted(position: &str) -> Vec<String> {
    let mut parts: Vec<String> = position.split(',').map(|part| part.trim().to_owned()).collect();
    parts.sort();
    parts
}
