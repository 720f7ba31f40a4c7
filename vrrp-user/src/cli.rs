//! The command line: what can be asked for, in clap's words.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use vrrp_user::config::parse_duration;
use vrrp_user::health::tls::is_server_name;

/// Where the configuration is, unless the command line says otherwise.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/vrrp/vrrp.yaml";
/// Where the daemon listens, unless the configuration says otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/vrrp/vrrp.sock";

const EXAMPLE: &str = "Example: vrrp check && systemctl enable --now vrrp && vrrp status";

/// Keeps a virtual IP on the host that should own it: VRRP with adverts filtered and stamped in the kernel.
///
/// Exit code of every command: 0 done; 1 refused, and why stands on standard error; 2 the command line or the
/// configuration will not do; 3 no daemon answers at the socket. `import` and `doctor` grade what they find; see there.
#[derive(Debug, Parser)]
#[command(name = "vrrp", version, propagate_version = true, after_help = EXAMPLE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon in the foreground. SIGTERM and SIGINT release the addresses and end it.
    ///
    /// Exit code 0: told to end, and everything is released; 1: it failed, and why stands on standard error; 2: the
    /// configuration will not do, and nothing was touched.
    #[command(after_help = "Example: vrrp run --config /etc/vrrp/vrrp.yaml --log-format json")]
    Run(Run),
    /// Show what every virtual router does and why, and how the daemon is.
    ///
    /// Exit code 0: shown; 1: the daemon knows no such instance, or broke off; 3: no daemon answers.
    #[command(after_help = "Example: vrrp status VI_1 --watch")]
    Status(Status),
    /// Show adverts and transitions as they happen, those that are rejected, too, with the reason.
    ///
    /// Received and rejected ones bear the kernel's time of arrival; of the rejected ones it is a sample, at most 20 a second.
    /// Ends with the daemon. Exit code 0: as many as were wanted, or for as long; 1: the daemon knows no such instance,
    /// broke off, or the capture cannot be written; 3: no daemon answers.
    #[command(after_help = WATCH_EXAMPLE)]
    Watch(Watch),
    /// Listen on a segment: which virtual routers are spoken for, by whom, how often, and what does not fit our
    /// configuration. Sends nothing.
    ///
    /// It needs no daemon and disturbs none. What a daemon of this host drops in the kernel reaches nobody else: its last
    /// such sender is asked for over the socket. Exit code 0: all fits; 1: something does not, or nothing could be heard;
    /// 2: the configuration will not do.
    #[command(after_help = "Example: vrrp scan eth0 --for 10s")]
    Scan(Scan),
    /// Keep an instance out of the election: its addresses go to the other host, in order.
    ///
    /// It stays out, also over a restart, until it is resumed. Preemption plays no part in it. Exit codes as of status.
    #[command(after_help = "Example: vrrp drain VI_1     (then work on this host, then: vrrp resume VI_1)")]
    Drain(Drain),
    /// Let a drained instance take part again. It listens first; with `preempt: false` it leaves the other host its
    /// addresses.
    ///
    /// Exit codes as of status.
    #[command(after_help = "Example: vrrp resume --all")]
    Resume(Which),
    /// Have the running daemon read its configuration again. Only what differs is touched.
    ///
    /// Exit code 0: in effect; 1: nothing was changed, and why stands on standard error; 3: no daemon answers.
    #[command(after_help = "Example: vrrp check && vrrp reload")]
    Reload(Socket),
    /// Check a configuration and print the values in effect. Touches nothing.
    ///
    /// What this host does not have of what it names (an interface, a password, a script) is a warning: the file may be for
    /// another one. Exit code 0: usable; 2: not, and why stands on standard error.
    #[command(after_help = "Example: vrrp check --config new.yaml")]
    Check(File),
    /// Look at the database server of this host, and of the peer: are they fit for a failover? Changes nothing.
    ///
    /// Exit code 0: nothing found; 1: warnings; 2: errors. The passwords come from files, or from the environment variables
    /// VRRP_DOCTOR_PASSWORD and VRRP_DOCTOR_PEER_PASSWORD.
    #[command(
        after_help = "Example: vrrp doctor --peer 192.168.1.202 --peer-user admin --peer-password-file /root/peer"
    )]
    Doctor(Doctor),
    /// Turn a keepalived.conf into a configuration of ours. Touches nothing.
    ///
    /// The YAML goes to standard output or to a file, the report to standard error: what was not carried over, with line
    /// and reason. error: the YAML does not do what the original did; warning: it does, but look at it; ignored: left out,
    /// and nothing is lost.
    ///
    /// Exit code 0: all is carried over; 1: with warnings; 2: with errors, and the YAML lacks what they name; 3: nothing
    /// was written, because no virtual router could be carried over, a file could not be read, or the output is there
    /// already.
    #[command(after_help = IMPORT_EXAMPLE)]
    Import(Import),
    /// Measure what the parts of the daemon cost on this machine. Sends nothing, answers nothing, claims nothing.
    #[command(subcommand, after_help = "Example: vrrp bench xdp")]
    Bench(Bench),
    /// Print what a shell needs to complete these commands.
    #[command(after_help = "Example: vrrp completions bash > /etc/bash_completion.d/vrrp")]
    Completions { shell: Shell },
    /// Print the manual: one page with all commands, for man(1).
    #[command(after_help = "Example: vrrp man | man -l -")]
    Man,
    /// The process that takes the addresses off when the daemon dies. The daemon starts it.
    #[command(hide = true)]
    Guard,
    /// Make the servers of these instances read-only, because their daemon no longer can. The guard starts it.
    #[command(hide = true)]
    StandDown {
        #[command(flatten)]
        file: File,
        /// The instances.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// The configuration.
    #[arg(short = 'f', long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
}

/// The daemon to talk to.
#[derive(Debug, Args)]
pub(crate) struct Socket {
    /// The daemon's control socket.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) daemon: Socket,
    /// Only this instance, in full.
    pub(crate) name: Option<String>,
    /// All there is to know, as JSON.
    #[arg(long, conflicts_with_all = ["watch", "name"])]
    pub(crate) json: bool,
    /// Again and again, until interrupted.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    pub(crate) daemon: Socket,
    /// The instances.
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// All that there are.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Also where the other host's server could not take over, as `vrrp status` says: then nobody serves
    #[arg(long)]
    pub(crate) force: bool,
}

const WATCH_EXAMPLE: &str = "Example: vrrp watch VI_1
         vrrp watch --pcap adverts.pcap --for 1m     (then: tcpdump -r adverts.pcap)
         vrrp watch --pcap - | tcpdump -nr -";

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) daemon: Socket,
    /// Only this instance.
    pub(crate) name: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the frames to this file, too, with nanoseconds, as tcpdump and Wireshark read it; `-` is standard output, and
    /// nothing else goes there.
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// End after so many lines.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) time: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// Where to listen.
    #[arg(value_name = "INTERFACE")]
    pub(crate) interface: String,
    /// How long. A version 3 master may speak only every 40 s.
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) time: Duration,
    /// The configuration to compare with; the usual one if it is there.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) daemon: Socket,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

const IMPORT_EXAMPLE: &str =
    "Example: vrrp import /etc/keepalived/keepalived.conf --output /etc/vrrp/vrrp.yaml
         vrrp check
         systemctl disable --now keepalived && systemctl enable --now vrrp";

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The keepalived.conf. Files that it includes are read with it.
    pub(crate) file: PathBuf,
    /// Write the YAML here, readable by its owner only; there must be no such file yet.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the output if it is there.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// What lines with `@NAME` are compared with, as keepalived's own option; this host's name unless given.
    #[arg(short = 'i', long, value_name = "NAME")]
    pub(crate) config_id: Option<String>,
    /// An address of the host that the file is for: tells its own `real_server` from others. This host's addresses unless
    /// given.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) local: Vec<IpAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: File,
    /// The control socket to listen on; the configuration's `control.socket` unless given.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// How the log on standard error is written; the configuration's `log.format` unless given.
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// From an advert's arrival in the kernel to the decision about it: ring buffer beside raw socket, same packets.
    ///
    /// On an interface where another router is master; it may run beside the daemon.
    #[command(after_help = "Example: vrrp bench latency --interface eth0 --for 30s")]
    Latency(Live),
    /// ns per packet in the kernel half, by kind of packet.
    ///
    /// Without an interface: by BPF_PROG_TEST_RUN, no traffic needed. With one: verdicts a second on its traffic.
    #[command(after_help = "Example: vrrp bench xdp")]
    Xdp(Xdp),
}

#[derive(Debug, Args)]
pub(crate) struct Live {
    /// Where adverts are heard.
    #[arg(short, long, value_name = "IF")]
    pub(crate) interface: String,
    #[command(flatten)]
    pub(crate) measured: Measured,
}

#[derive(Debug, Args)]
pub(crate) struct Xdp {
    /// Count the verdicts on this interface's traffic instead.
    #[arg(short, long, value_name = "IF")]
    pub(crate) interface: Option<String>,
    /// How often each kind of packet is measured.
    #[arg(long, value_name = "N", default_value_t = 41, conflicts_with = "interface")]
    pub(crate) rounds: usize,
    #[command(flatten)]
    pub(crate) measured: Measured,
}

#[derive(Debug, Args)]
pub(crate) struct Measured {
    /// The virtual routers of this configuration; otherwise those that are heard first.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How long to measure live traffic.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) time: Duration,
    /// The result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) file: File,
    /// The server's Unix socket.
    #[arg(long, value_name = "PATH", default_value = "/run/mysqld/mysqld.sock", conflicts_with = "address")]
    pub(crate) socket: PathBuf,
    /// The server's address and port instead of a socket, as in 127.0.0.1:3306
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// Who logs in; root can by the socket alone, as Debian sets it up.
    #[arg(long, default_value = "root")]
    pub(crate) user: String,
    /// A file of mode 600 with the password in its first line.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The other server's address, as in 192.168.1.2 or 192.168.1.2:3306
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) peer: Option<String>,
    /// Who logs in there; the same as here unless given.
    #[arg(long, value_name = "USER")]
    pub(crate) peer_user: Option<String>,
    /// The password there.
    #[arg(long, value_name = "FILE")]
    pub(crate) peer_password_file: Option<PathBuf>,
    /// TLS to servers reached by address. Without any of these options it is as the configuration's `tls` of that server.
    #[arg(long)]
    pub(crate) tls: bool,
    /// PEM of the authority that signed the servers' certificates, instead of the public ones; means --tls
    #[arg(long, value_name = "FILE", conflicts_with = "tls_skip_verify")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The name in the certificates, if not the address; means --tls
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub(crate) tls_server_name: Option<String>,
    /// The name in the other server's certificate, if not the same as here; means --tls there
    #[arg(long, value_name = "NAME", value_parser = server_name, requires = "peer")]
    pub(crate) peer_tls_server_name: Option<String>,
    /// Any certificate will do; means --tls
    #[arg(long)]
    pub(crate) tls_skip_verify: bool,
    /// The daemon's own user on the servers, whose rights are checked [default: as the configuration's `mysql` has it, else vrrp]
    #[arg(long, value_name = "USER")]
    pub(crate) daemon_user: Option<String>,
    /// JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

fn server_name(text: &str) -> Result<String, String> {
    if is_server_name(text) {
        Ok(text.to_owned())
    } else {
        Err("no name that a certificate bears".to_owned())
    }
}
