//! What only the host that a server runs on can tell: free room, addresses, its clock, other programs that move addresses.
//!
//! Owns reading files, file systems and the kernel's list of addresses, and asking the segment who else has them. Refuses to
//! judge, and to fail: what cannot be read is not known.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::facts::{Claims, Clock, Disk, HostFacts};
use super::{Context, options};
use crate::mysql::Row;
use crate::net::inquiry;
use crate::net::links::Picture;
use crate::net::netlink::Netlink;
use crate::wire::MacAddress;

/// Programs that put addresses on hosts, as the kernel shows their names.
const MANAGERS: [&str; 5] = ["keepalived", "pacemakerd", "corosync", "ucarp", "vrrpd"];
/// Programs that set the clock by others; the kernel keeps 15 bytes of a name.
const CLOCKS: [&str; 5] = ["chronyd", "ntpd", "ntp-daemon", "phc2sys", TIMESYNCD];
const TIMESYNCD: &str = "systemd-timesyn";
/// Programs that copy a running server.
const BACKUPS: [&str; 8] = [
    "mariabackup",
    "mariadb-backup",
    "xtrabackup",
    "mysqlbackup",
    "mysqldump",
    "mariadb-dump",
    "mysqlpump",
    "mydumper",
];

/// Everything, for the server with these variables and the addresses of this configuration. Asking the segment takes its time.
pub(super) fn look(variables: &Row, context: &Context) -> HostFacts {
    let processes = processes();
    let named = |names: &[&str], is_everywhere: bool| {
        let is_one = |process: &&Process| {
            names.contains(&process.name.as_str()) && (is_everywhere || process.shares_our_network)
        };
        let mut found: Vec<String> =
            processes.iter().filter(is_one).map(|process| process.name.clone()).collect();
        found.sort();
        found.dedup();
        found
    };
    HostFacts {
        disks: disks(variables),
        binlog_shares_disk: binlog_shares_disk(variables),
        starts_as: options::starts_as(variables),
        other_managers: named(&MANAGERS, false),
        has_daemon: processes.iter().any(|process| process.is_our_daemon && process.shares_our_network),
        backups: named(&BACKUPS, true),
        clock: clock(&named(&CLOCKS, true), Path::new("/run/systemd/timesync/synchronized").exists()),
        addresses: addresses(),
        claims: claims(&context.places, context.peer_address.as_deref()),
        allows_nonlocal_bind: sysctl("ip_nonlocal_bind").map(|value| value == 1),
        keepalive_seconds: sysctl("tcp_keepalive_time"),
    }
}

fn sysctl(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?.trim().parse().ok()
}

fn addresses() -> Option<Vec<String>> {
    let held = Netlink::open().and_then(|mut netlink| netlink.addresses()).ok()?;
    Some(held.iter().map(|held| held.address.to_string()).collect())
}

/// One after the other: hardly anybody has more than one such interface.
fn claims(places: &[(String, Ipv4Addr)], peer: Option<&str>) -> Option<Claims> {
    let picture = Picture::take(&mut Netlink::open().ok()?).ok()?;
    let ours: BTreeSet<[u8; 6]> = picture.links.iter().map(|link| link.mac).collect();
    let peer = peer.and_then(|peer| peer.parse::<Ipv4Addr>().ok());
    let mut claims = Claims::default();
    for link in picture.links.iter().filter(|link| link.ethernet && link.running) {
        let here = places.iter().filter(|(name, _)| *name == link.name).map(|(_, address)| *address);
        let here: BTreeSet<Ipv4Addr> = here.collect();
        if here.is_empty() {
            continue;
        }
        let asked: BTreeSet<Ipv4Addr> = here.iter().copied().chain(peer).collect();
        for (address, card) in inquiry::ask(link.ifindex, MacAddress(link.mac), &asked, &ours).ok()? {
            if here.contains(&address) {
                claims.found.push((address.to_string(), MacAddress(card)));
            } else {
                claims.peer.push(MacAddress(card));
            }
        }
        claims.asked.extend(here.iter().map(Ipv4Addr::to_string));
    }
    Some(claims)
}

/// Of timesyncd its own word is known; of others only that they run.
fn clock(keepers: &[String], is_synchronised: bool) -> Clock {
    match keepers {
        [] => Clock::Unkept,
        [only] if only == TIMESYNCD && !is_synchronised => Clock::Adrift,
        _ => Clock::Kept,
    }
}

/// The folder of a file that a variable names, relative to the data folder or not.
fn folder(variables: &Row, name: &str) -> Option<PathBuf> {
    let data = variables.get(&["datadir"]).map(PathBuf::from).unwrap_or_default();
    data.join(variables.get(&[name])?).parent().map(Path::to_path_buf)
}

fn binlog_shares_disk(variables: &Row) -> Option<bool> {
    let data = fs::metadata(variables.get(&["datadir"])?).ok()?;
    let binlog = fs::metadata(folder(variables, "log_bin_basename")?).ok()?;
    Some(data.dev() == binlog.dev())
}

fn disks(variables: &Row) -> Vec<Disk> {
    let places = [
        ("data", variables.get(&["datadir"]).map(PathBuf::from)),
        ("binary log", folder(variables, "log_bin_basename")),
        ("relay log", folder(variables, "relay_log_basename")),
    ];
    let mut disks: Vec<Disk> = Vec::new();
    for (what, path) in places {
        let Some(path) = path else { continue };
        let (Ok(room), Ok(metadata)) = (statvfs(&path), fs::metadata(&path)) else { continue };
        if disks.iter().any(|known| known.device == metadata.dev()) {
            continue;
        }
        disks.push(Disk {
            what,
            path: path.display().to_string(),
            device: metadata.dev(),
            free: room.f_bavail.saturating_mul(room.f_frsize),
            total: room.f_blocks.saturating_mul(room.f_frsize),
        });
    }
    disks
}

struct Process {
    name: String,
    /// Another network namespace is another host, as far as addresses go.
    shares_our_network: bool,
    /// `vrrp run`.
    is_our_daemon: bool,
}

fn processes() -> Vec<Process> {
    let ours = fs::read_link("/proc/self/ns/net").ok();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered =
        entries.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    let read = |folder: PathBuf| {
        let name = fs::read_to_string(folder.join("comm")).ok()?.trim().to_owned();
        let theirs = fs::read_link(folder.join("ns/net")).ok();
        Some(Process {
            name,
            shares_our_network: theirs.is_none() || theirs == ours,
            is_our_daemon: is_our_daemon(&fs::read(folder.join("cmdline")).unwrap_or_default()),
        })
    };
    numbered.filter_map(|entry| read(entry.path())).collect()
}

fn is_our_daemon(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default().rsplit(|byte| *byte == b'/').next();
    program == Some(b"vrrp".as_slice()) && words.next() == Some(b"run".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_is_told_from_its_guard_and_from_this_program() {
        for (line, expected) in [
            ("/usr/sbin/vrrp\0run\0--config\0x\0", true),
            ("vrrp\0run\0", true),
            ("vrrp\0guard\0", false),
            ("vrrp\0doctor\0--config\0run\0", false),
            ("/usr/sbin/vrrpd\0run\0", false),
            ("", false),
        ] {
            assert_eq!(is_our_daemon(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn a_clock_is_kept_by_whoever_runs_unless_it_says_that_it_has_no_time_yet() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(clock(&names(&[]), false), Clock::Unkept);
        assert_eq!(clock(&names(&["chronyd"]), false), Clock::Kept);
        assert_eq!(clock(&names(&[TIMESYNCD]), true), Clock::Kept);
        assert_eq!(clock(&names(&[TIMESYNCD]), false), Clock::Adrift);
        assert_eq!(clock(&names(&["chronyd", TIMESYNCD]), false), Clock::Kept);
    }

    #[test]
    fn a_log_beside_the_data_shares_their_disk() {
        let folder = tempfile::tempdir().unwrap();
        let row = |binlog: &str| -> Row {
            let data = folder.path().display().to_string();
            let cells = [("datadir", data.as_str()), ("log_bin_basename", binlog)];
            cells.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect()
        };
        assert_eq!(binlog_shares_disk(&row("binlog")), Some(true));
        assert_eq!(binlog_shares_disk(&row("/proc/binlog")), Some(false));
        assert_eq!(binlog_shares_disk(&row("/nonexistent/binlog")), None);
    }
}
