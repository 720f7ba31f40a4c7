//! The client: inserts numbered rows at the virtual IP and remembers which of them were acknowledged, and when.
//!
//! One connection, as an application has it, on a host of its own; each number is tried once, so that what was not
//! acknowledged is in doubt and nothing is written twice by the client's own doing. Owns the record. Refuses to know which
//! server answers.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use mysql::{Conn, OptsBuilder, prelude::Queryable};

use super::{APP_PASSWORD, APP_USER, PORT};
use crate::{
    clock::{self, MILLISECOND},
    lab::Host,
};

/// How the client behaves.
#[derive(Clone, Debug)]
pub struct WriterSetup {
    pub address: Ipv4Addr,
    /// From one acknowledgement to the next write.
    pub pause: Duration,
    pub connect_timeout: Duration,
    /// How long it waits for an answer before it gives its connection up.
    pub answer_timeout: Duration,
    /// After a failure, before the next attempt.
    pub retry_pause: Duration,
    /// Gives its connection up also when the server merely refuses a write (read-only), as a pool does.
    pub drops_on_refusal: bool,
}

impl WriterSetup {
    /// A client with the kernel's own SYN timers, a connect timeout of 10 s, and about a thousand writes a second at most.
    pub fn new(address: Ipv4Addr) -> Self {
        Self {
            address,
            pause: Duration::from_millis(1),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            retry_pause: Duration::from_millis(5),
            drops_on_refusal: true,
        }
    }
}

/// A write that the server said it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub number: u64,
    /// When it was sent and when the answer came: CLOCK_MONOTONIC, nanoseconds.
    pub sent_ns: u64,
    pub at_ns: u64,
}

/// A login or a write that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub at_ns: u64,
    /// The write, if it was one.
    pub number: Option<u64>,
    /// The server's error code; none: the network's error.
    pub code: Option<u16>,
    pub text: String,
}

impl Failure {
    /// Whether the write may be in the database all the same: the connection broke, or the session was ended under it
    /// (1053 shutdown, 1317 interrupted, 1927 killed).
    pub fn is_in_doubt(&self) -> bool {
        self.number.is_some() && matches!(self.code, None | Some(1053 | 1317 | 1927))
    }
}

/// What the client has seen.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub acknowledged: Vec<Acknowledged>,
    pub failures: Vec<Failure>,
}

impl Record {
    /// The longest time without service that touches the window: from an acknowledgement (or the window's start) to the
    /// next, or to `to_ns` when none came.
    pub fn longest_gap(&self, from_ns: u64, to_ns: u64) -> Duration {
        let first = self.acknowledged.partition_point(|write| write.at_ns < from_ns);
        let mut last = first.checked_sub(1).and_then(|before| self.acknowledged.get(before));
        let mut longest = 0;
        for write in self.acknowledged.get(first..).unwrap_or_default() {
            let since = last.map_or(from_ns, |before| before.at_ns);
            longest = longest.max(write.at_ns.saturating_sub(since));
            last = Some(write);
            if write.at_ns >= to_ns {
                return Duration::from_nanos(longest);
            }
        }
        let since = last.map_or(from_ns, |before| before.at_ns);
        Duration::from_nanos(longest.max(to_ns.saturating_sub(since)))
    }

    /// How long an event kept the client from writing: the longest gap from the last acknowledgement before it to what
    /// came within `window` after it.
    pub fn outage(&self, event_ns: u64, window: Duration) -> Duration {
        self.longest_gap(event_ns, event_ns + clock::nanos(window))
    }

    /// The numbers of the acknowledged writes whose answer came before that time.
    pub fn acknowledged_before(&self, at_ns: u64) -> usize {
        self.acknowledged.partition_point(|write| write.at_ns < at_ns)
    }

    /// The failures with this code.
    pub fn failures_with(&self, code: u16) -> usize {
        self.failures.iter().filter(|failure| failure.code == Some(code)).count()
    }
}

/// The running client.
#[derive(Debug)]
pub struct Writer {
    record: Arc<Mutex<Record>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it on that host.
    pub fn start(host: &Host, setup: WriterSetup) -> Result<Self> {
        let join = host.namespace().joiner()?;
        let record = Arc::new(Mutex::new(Record::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, started) = mpsc::channel();
        let client = Client { setup, record: record.clone(), is_over: is_over.clone(), next: 0 };
        let thread = thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                let joined = join();
                let is_inside = joined.is_ok();
                if sender.send(joined).is_ok() && is_inside {
                    client.run();
                }
            })
            .context("start the writer's thread")?;
        started.recv().map_err(|_gone| anyhow!("the writer's thread died at its start"))??;
        Ok(Self { record, is_over, thread: Some(thread) })
    }

    /// What it has seen so far.
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// What came after so many acknowledgements and so many failures: for those who look again and again.
    pub fn record_since(&self, acknowledged: usize, failures: usize) -> Record {
        let record = lock(&self.record);
        Record {
            acknowledged: record.acknowledged.get(acknowledged..).unwrap_or_default().to_vec(),
            failures: record.failures.get(failures..).unwrap_or_default().to_vec(),
        }
    }

    /// How many writes have been acknowledged so far.
    pub fn count(&self) -> usize {
        lock(&self.record).acknowledged.len()
    }

    /// Waits until a write sent after this call is acknowledged.
    pub fn wait_for_write(&self, limit: Duration) -> Result<()> {
        let now = clock::now_ns();
        let is_written = || lock(&self.record).acknowledged.last().is_some_and(|write| write.sent_ns > now);
        if clock::wait_until(limit, is_written) {
            return Ok(());
        }
        let last = lock(&self.record).failures.last().cloned();
        bail!("the writer got nothing through in {limit:?}; its last failure: {last:?}");
    }

    /// Stops it, after the write it is waiting for, and hands over what it has seen.
    pub fn finish(mut self) -> Result<Record> {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_panic| anyhow!("the writer panicked"))?;
        }
        Ok(self.record())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Not joined: it may wait for an answer for as long as its timeout.
        self.is_over.store(true, Ordering::Release);
    }
}

struct Client {
    setup: WriterSetup,
    record: Arc<Mutex<Record>>,
    is_over: Arc<AtomicBool>,
    next: u64,
}

impl Client {
    fn run(mut self) {
        let mut connection = None;
        while !self.is_over.load(Ordering::Acquire) {
            let open = match connection.take() {
                Some(open) => Ok(open),
                None => self.connect(),
            };
            let outcome = match open {
                Ok(open) => self.write(open),
                Err(error) => Err((None, error)),
            };
            match outcome {
                Ok(open) => {
                    connection = Some(open);
                    thread::sleep(self.setup.pause);
                }
                Err((number, error)) => {
                    let (text, at_ns) = (error.to_string(), clock::now_ns());
                    let failure = Failure { at_ns, number, code: code(&error), text };
                    lock(&self.record).failures.push(failure);
                    thread::sleep(self.setup.retry_pause);
                }
            }
        }
    }

    fn connect(&self) -> Result<Conn, mysql::Error> {
        let setup = &self.setup;
        let options = OptsBuilder::new()
            .ip_or_hostname(Some(setup.address.to_string()))
            .tcp_port(PORT)
            .user(Some(APP_USER))
            .pass(Some(APP_PASSWORD))
            .prefer_socket(false)
            .max_allowed_packet(Some(1 << 20))
            .stmt_cache_size(0)
            .tcp_connect_timeout(Some(setup.connect_timeout))
            .read_timeout(Some(setup.answer_timeout))
            .write_timeout(Some(setup.answer_timeout));
        Conn::new(options)
    }

    /// The connection back, or the write that failed.
    fn write(&mut self, mut connection: Conn) -> Result<Conn, (Option<u64>, mysql::Error)> {
        loop {
            let number = self.next;
            self.next += 1;
            let statement = format!("INSERT INTO lab.writes (number, server) VALUES ({number}, @@server_id)");
            let sent_ns = clock::now_ns();
            match connection.query_drop(statement) {
                Ok(()) => {
                    let at_ns = clock::now_ns();
                    lock(&self.record).acknowledged.push(Acknowledged { number, sent_ns, at_ns });
                    return Ok(connection);
                }
                Err(error) if code(&error).is_some() && !self.setup.drops_on_refusal => {
                    let (text, at_ns) = (error.to_string(), clock::now_ns());
                    let failure = Failure { at_ns, number: Some(number), code: code(&error), text };
                    lock(&self.record).failures.push(failure);
                    if self.is_over.load(Ordering::Acquire) {
                        return Ok(connection);
                    }
                    thread::sleep(self.setup.retry_pause);
                }
                Err(error) => return Err((Some(number), error)),
            }
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn code(error: &mysql::Error) -> Option<u16> {
    match error {
        mysql::Error::MySqlError(error) => Some(error.code),
        mysql::Error::IoError(_)
        | mysql::Error::CodecError(_)
        | mysql::Error::DriverError(_)
        | mysql::Error::UrlError(_)
        | mysql::Error::FromValueError(_)
        | mysql::Error::FromRowError(_) => None,
    }
}

/// A gap as people read it.
pub fn in_ms(gap: Duration) -> String {
    let nanos = clock::nanos(gap);
    format!("{}.{} ms", nanos / MILLISECOND, nanos % MILLISECOND / (MILLISECOND / 10))
}
