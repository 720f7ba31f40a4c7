//! One database server on one host: its folder, its process, its root connection.
//!
//! Owns the setting up (a fresh data folder in under a second) and the process. Speaks to it over its Unix socket, which a
//! cut network does not cut. Refuses to know the other server.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use mysql::{Conn, OptsBuilder, Value, prelude::Queryable};

use super::{APP_PASSWORD, APP_USER, Flavour, mysql56_folder, statements};
use crate::{clock, lab::Host, process::Process};

/// Longer than any statement of a test, so that a hanging server fails a test instead of hanging it.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const START_LIMIT: Duration = Duration::from_secs(60);
/// So many in a row are nobody's fault.
const ENDED_SESSIONS: usize = 5;

/// One row of an answer by column name; NULL is absent.
pub type Row = BTreeMap<String, String>;

/// How a server differs from the shipped settings.
#[derive(Clone, Debug)]
pub struct Setup {
    pub flavour: Flavour,
    /// 1 or 2, also the auto_increment_offset.
    pub node: u32,
    /// Where the binary log goes, when not into the data folder.
    pub binlog_folder: Option<PathBuf>,
    /// More lines for `[mysqld]`; they win over all others.
    pub extra: Vec<String>,
}

impl Setup {
    /// The shipped settings for that node.
    pub fn new(flavour: Flavour, node: u32) -> Self {
        Self { flavour, node, binlog_folder: None, extra: Vec::new() }
    }

    /// The same with one more line: `with("max_connections = 5")`.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }
}

/// A database server on a host. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    host: String,
    folder: PathBuf,
    process: Process,
}

impl Server {
    /// Makes a data folder, starts the server, waits until it answers, and creates the users of `config/` and the
    /// application's.
    pub fn start(host: &Host, setup: Setup) -> Result<Self> {
        let folder = host.file("mysql");
        fs::create_dir_all(folder.join("data")).with_context(|| format!("make {}", folder.display()))?;
        let program = setup.flavour.program().map_err(anyhow::Error::msg)?;
        fs::write(folder.join("my.cnf"), settings(&setup, &folder)).context("write my.cnf")?;
        match setup.flavour {
            Flavour::MariaDb => bootstrap(&program, &folder)?,
            Flavour::MySql56 => copy_tree(&mysql56_folder().join("data/mysql"), &folder.join("data"))?,
        }
        let process = spawn(host, setup.flavour, &folder)?;
        let mut server = Self { setup, host: host.name().to_owned(), folder, process };
        server.wait_ready(START_LIMIT)?;
        server.create_users()?;
        Ok(server)
    }

    /// Which server it is.
    pub fn flavour(&self) -> Flavour {
        self.setup.flavour
    }

    /// The name of its host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its `server_id`.
    pub fn id(&self) -> u32 {
        self.setup.node
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s.sock")
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The process; its pid is the server's own.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: it accepts connections (the kernel does) and answers nothing.
    pub fn freeze(&mut self) {
        self.process.freeze();
    }

    /// SIGCONT.
    pub fn thaw(&mut self) {
        self.process.thaw();
    }

    /// SIGTERM: a clean shutdown, as systemd asks for it.
    pub fn terminate(&mut self) {
        self.process.terminate();
    }

    /// Starts it again on the same data, whatever state it is in, and waits until it answers.
    pub fn restart(&mut self, host: &Host) -> Result<()> {
        self.start_again(host)?;
        self.wait_ready(START_LIMIT)
    }

    /// Starts it again on the same data and waits for nothing.
    pub fn start_again(&mut self, host: &Host) -> Result<()> {
        self.process.kill_tree();
        self.process.wait(Duration::from_secs(10));
        self.process = spawn(host, self.setup.flavour, &self.folder)?;
        Ok(())
    }

    /// Waits until it answers a query.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let deadline = clock::now_ns() + clock::nanos(limit);
        loop {
            let Err(error) = self.ask("SELECT 1") else { return Ok(()) };
            let ending = self.process.ending();
            if ending.is_some() || clock::now_ns() > deadline {
                let ending = ending.unwrap_or_else(|| "still running".to_owned());
                return Err(error).with_context(|| {
                    format!("the server on {} does not answer ({ending}):\n{}", self.host, self.process.log())
                });
            }
            clock::sleep_ms(5);
        }
    }

    /// A connection as root, over the Unix socket.
    pub fn connect(&self) -> Result<Conn> {
        connect_as_root(&self.socket(), ANSWER_LIMIT)
            .with_context(|| format!("log in on {} as root", self.host))
    }

    /// Runs one statement, as root, on a connection of its own.
    pub fn sql(&self, statement: &str) -> Result<()> {
        self.connect()?
            .query_drop(statement)
            .with_context(|| format!("on {}: {}", self.host, shorten(statement)))
    }

    /// The first value of the first row; `None` for no row and for NULL.
    pub fn ask(&self, query: &str) -> Result<Option<String>> {
        let mut connection = self.connect()?;
        let row: Option<mysql::Row> =
            connection.query_first(query).with_context(|| format!("on {}: {}", self.host, shorten(query)))?;
        Ok(row.and_then(|row| row.as_ref(0).and_then(text)))
    }

    /// All rows.
    pub fn rows(&self, query: &str) -> Result<Vec<Row>> {
        let mut connection = self.connect()?;
        let rows: Vec<mysql::Row> =
            connection.query(query).with_context(|| format!("on {}: {}", self.host, shorten(query)))?;
        Ok(rows.iter().map(named).collect())
    }

    /// Whether it refuses the writes of ordinary users.
    pub fn is_read_only(&self) -> Result<bool> {
        // A daemon that gives its role up ends everybody's sessions, this one among them, and does so twice in a row.
        let mut ended = 0;
        loop {
            match self.ask("SELECT @@global.read_only") {
                Ok(value) => return Ok(value.as_deref() != Some("0")),
                Err(error) if ended == ENDED_SESSIONS => return Err(error),
                Err(_ended) => ended += 1,
            }
            clock::sleep_ms(10);
        }
    }

    /// Sets `read_only`.
    pub fn set_read_only(&self, is_read_only: bool) -> Result<()> {
        self.sql(&format!("SET GLOBAL read_only = {}", u8::from(is_read_only)))
    }

    /// `SHOW SLAVE STATUS`, if it replicates from anybody.
    pub fn replica_status(&self) -> Result<Option<Row>> {
        Ok(self.rows("SHOW SLAVE STATUS")?.into_iter().next())
    }

    /// Its last own position: `gtid_binlog_pos`, or `gtid_executed` of MySQL.
    pub fn position(&self) -> Result<String> {
        let query = match self.setup.flavour {
            Flavour::MariaDb => "SELECT @@global.gtid_binlog_pos",
            Flavour::MySql56 => "SELECT @@global.gtid_executed",
        };
        Ok(self.ask(query)?.unwrap_or_default())
    }

    /// A transaction of this server's own that its peer will see as one too many: written as root, past `read_only`.
    pub fn write_errant(&self) -> Result<()> {
        self.sql("CREATE TABLE IF NOT EXISTS lab.errant (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME)")?;
        self.sql("INSERT INTO lab.errant (at) VALUES (NOW())")
    }

    fn create_users(&self) -> Result<()> {
        let mut connection = self.connect()?;
        let mut all = statements(self.setup.flavour.users());
        all.push("CREATE DATABASE IF NOT EXISTS lab".to_owned());
        all.push(format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON lab.* TO '{APP_USER}'@'%' IDENTIFIED BY '{APP_PASSWORD}'"
        ));
        for statement in all {
            connection.query_drop(&statement).with_context(|| {
                format!("the users of {:?}, on {}: {}", self.setup.flavour, self.host, shorten(&statement))
            })?;
        }
        Ok(())
    }
}

/// A connection as root that waits for no answer longer than `limit`.
pub(super) fn connect_as_root(socket: &Path, limit: Duration) -> Result<Conn, mysql::Error> {
    let options = OptsBuilder::new().socket(Some(socket.to_string_lossy().into_owned())).user(Some("root"));
    Conn::new(options.read_timeout(Some(limit)).write_timeout(Some(limit)))
}

/// The shipped settings, the node's two lines, and what a small server in a folder of its own needs.
fn settings(setup: &Setup, folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "{}\n[mysqld]\nserver_id = {node}\nauto_increment_offset = {node}\nuser = root\ndatadir = {folder}/data\n\
         tmpdir = {folder}\nsocket = {folder}/s.sock\npid_file = {folder}/pid\ninnodb_buffer_pool_size = 16M\nperformance_schema = OFF\n",
        setup.flavour.settings(),
        node = setup.node
    );
    match setup.flavour {
        Flavour::MariaDb => text.push_str(MARIADB_SMALL),
        Flavour::MySql56 => {
            let base = mysql56_folder();
            text.push_str(&format!(
                "basedir = {0}\nlc_messages_dir = {0}/share\ninnodb_log_file_size = 8M\n",
                base.display()
            ));
        }
    }
    if let Some(binlog) = &setup.binlog_folder {
        text.push_str(&format!("log_bin = {}/binlog\n", binlog.display()));
    }
    for line in &setup.extra {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Files that are not there need not be written at each start.
const MARIADB_SMALL: &str = "innodb_log_file_size = 8M\ninnodb_data_file_path = ibdata1:4M:autoextend\n\
                             innodb_temp_data_file_path = ibtmp1:4M:autoextend\n";

/// What `mariadb-install-db` does, without the help texts.
fn bootstrap(program: &Path, folder: &Path) -> Result<()> {
    let share = Path::new("/usr/share/mysql");
    // No socket authentication for root, no anonymous users.
    let mut script =
        "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL, @skip_auth_anonymous=1, \
                      @current_hostname='localhost';\n"
            .to_owned();
    for name in ["mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql"] {
        let path = share.join(name);
        script.push_str(&fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?);
    }
    let data = folder.join("data");
    let log = fs::File::create(folder.join("bootstrap.log")).context("make bootstrap.log")?;
    let mut child = Command::new(program)
        .args(["--no-defaults", "--bootstrap", "--user=root", "--innodb-log-file-size=8M"])
        .args(["--innodb-buffer-pool-size=16M", "--innodb-data-file-path=ibdata1:4M:autoextend"])
        .arg(format!("--datadir={}", data.display()))
        // A starting server removes temporary tables, whosesoever they are.
        .arg(format!("--tmpdir={}", folder.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("run {} --bootstrap", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).context("hand the system tables to the server")?;
    }
    let status = child.wait().context("wait for the bootstrap")?;
    if !status.success() {
        let log = fs::read_to_string(folder.join("bootstrap.log")).unwrap_or_default();
        bail!("the bootstrap of {} failed ({status}):\n{log}", data.display());
    }
    Ok(())
}

fn spawn(host: &Host, flavour: Flavour, folder: &Path) -> Result<Process> {
    let program = flavour.program().map_err(anyhow::Error::msg)?;
    let settings = format!("--defaults-file={}", folder.join("my.cnf").display());
    match flavour {
        Flavour::MariaDb => host.spawn("mysqld", &program, &[&settings]),
        Flavour::MySql56 => {
            // Its libaio lies beside it. `env` becomes the server, so the pid stays the server's own.
            let libraries = format!("LD_LIBRARY_PATH={}", mysql56_folder().display());
            host.spawn(
                "mysqld",
                Path::new("/usr/bin/env"),
                &[&libraries, &program.to_string_lossy(), &settings],
            )
        }
    }
}

/// Without `auto.cnf`: each server makes a UUID of its own.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry.with_context(|| format!("read {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "auto.cnf" {
            continue;
        }
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}

/// A row by column name.
pub(super) fn named(row: &mysql::Row) -> Row {
    let names = row.columns_ref().iter().map(|column| column.name_str().into_owned());
    let values = (0..row.len()).map(|index| row.as_ref(index).and_then(text));
    names.zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(_) | Value::Double(_) | Value::Date(..) | Value::Time(..) => Some(value.as_sql(true)),
    }
}

fn shorten(statement: &str) -> String {
    statement.chars().take(200).collect()
}
