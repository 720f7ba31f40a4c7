//! The server's process: which one it is, and the moment it ends.
//!
//! It is the process that listens: on the socket of the check, else at its address and port. Asked of the kernel
//! (/proc/net and the descriptors of processes), not of a pid file, which may be stale or another container's, and not
//! by a connection, which a server would count as aborted. A pidfd says when it is gone; the kernel half's witness, where there
//! is one, before its memory is torn down.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;

use super::judge::{Finding, Symptom, View};
use super::watch::Desk;

#[cfg(test)]
mod tests;

/// The listening process is looked for this often while none is found.
const SEARCH: Duration = Duration::from_millis(500);
/// PF_EXITING of include/linux/sched.h.
const EXITING: u64 = 0x4;

/// Somebody who sees processes end early.
#[derive(Clone, Debug)]
pub struct Witness(pub mpsc::Sender<Vigil>);

/// One process to keep an eye on.
#[derive(Debug)]
pub struct Vigil {
    pub pid: u32,
    /// Used when its last thread begins to exit; dropped if that cannot be seen.
    pub ends: oneshot::Sender<()>,
}

/// Where the server listens.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) socket: Option<PathBuf>,
}

/// What the probe works with.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) listener: Listener,
    pub(super) witness: Option<Witness>,
    pub(super) desk: Desk,
    pub(super) kick: Arc<Notify>,
}

/// Ends only with its task.
pub(super) async fn run(place: Place) {
    let mut unseen_said = false;
    loop {
        let listener = place.listener.clone();
        let found = tokio::task::spawn_blocking(move || find(&listener)).await;
        match found {
            Ok(Ok(Some(process))) => {
                tracing::info!(
                    "watching process {} ({}), which serves {}",
                    process.pid,
                    process.name,
                    process.place
                );
                let ended = process.ended(place.witness.as_ref()).await;
                let cause = format!(
                    "process {} ({}) that served {} {ended}",
                    process.pid, process.name, process.place
                );
                place.desk.tell(View::Fast, Finding::new(Symptom::Gone, cause)).await;
                place.kick.notify_one();
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                if !unseen_said {
                    tracing::warn!(
                        "the server's process cannot be found ({error}); its end is seen by its sockets alone. It needs root \
                         (CAP_SYS_PTRACE), or set `process: false`"
                    );
                    unseen_said = true;
                }
            }
            Err(_panicked_or_shut_down) => {}
        }
        sleep(SEARCH).await;
    }
}

/// A process that listens, and a hold on it.
struct Process {
    pid: u32,
    name: String,
    /// For people.
    place: String,
    handle: OwnedFd,
}

impl Process {
    /// Waits for its end; says who saw it.
    async fn ended(&self, witness: Option<&Witness>) -> &'static str {
        let (ends, mut seen) = oneshot::channel();
        if let Some(Witness(vigils)) = witness
            && vigils.send(Vigil { pid: self.pid, ends }).await.is_err()
        {
            tracing::debug!("the witness of exits is gone");
        }
        let mut witnessed = true;
        loop {
            tokio::select! {
                biased;
                heard = &mut seen, if witnessed => {
                    witnessed = false;
                    if heard.is_ok() && is_ending(self.pid) {
                        return "is exiting";
                    }
                }
                () = self.gone() => return "ended",
            }
        }
    }

    async fn gone(&self) {
        let waiting = async {
            let handle = self.handle.try_clone()?;
            // SAFETY: an OwnedFd is open until it is dropped and always says the same number, and the AsyncFd owns it.
            let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }?;
            handle.readable().await.map(drop)
        };
        let waited: io::Result<()> = waiting.await;
        if let Err(error) = waited {
            tracing::warn!("process {}: its end cannot be waited for: {error}", self.pid);
            std::future::pending::<()>().await;
        }
    }
}

/// Gone, a zombie, or on its way: its threads are past the point of no return.
fn is_ending(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let Some((_, fields)) = stat.rsplit_once(") ") else { return true };
    let mut fields = fields.split(' ');
    let state = fields.next().unwrap_or_default();
    // State, ppid, pgrp, session, tty_nr, tpgid, flags.
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or(0);
    matches!(state, "Z" | "X" | "x") || flags & EXITING != 0
}

/// SIGKILL for the process that serves there; its number. None: nobody listens.
pub fn kill(address: IpAddr, port: u16, socket: Option<PathBuf>) -> io::Result<Option<u32>> {
    let Some(process) = find(&Listener { address, port, socket })? else { return Ok(None) };
    pidfd_send_signal(&process.handle, Signal::KILL)?;
    Ok(Some(process.pid))
}

/// None: nobody listens there.
fn find(listener: &Listener) -> io::Result<Option<Process>> {
    let (inodes, place) = sockets(listener)?;
    if inodes.is_empty() {
        return Ok(None);
    }
    let Some(pid) = holder(&inodes)? else { return Ok(None) };
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let handle = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Its number may have gone to another between the search and the hold on it.
    if !holds(pid, &inodes) {
        return Ok(None);
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Ok(Some(Process { pid, name: name.trim_end().to_owned(), place, handle }))
}

/// Whether an address is this host's: whatever it connects from to get there is the address itself. Sends nothing, and is not
/// misled by ip_nonlocal_bind.
pub fn is_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        // Any port: none is reached.
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    address.is_loopback() || address.is_unspecified() || source().is_ok_and(|source| source.ip() == address)
}

/// The listening sockets, and where they are, for people.
fn sockets(listener: &Listener) -> io::Result<(Vec<u64>, String)> {
    if let Some(socket) = &listener.socket {
        let inodes = unix_inodes(&fs::read_to_string("/proc/net/unix")?, socket);
        if !inodes.is_empty() {
            return Ok((inodes, socket.display().to_string()));
        }
        // Bound by a path of another mount namespace, a container's perhaps: the port is the same server's.
    }
    if !is_here(listener.address) {
        // Whoever listens here at any address is another server.
        return Ok((Vec::new(), String::new()));
    }
    let tcp = fs::read_to_string("/proc/net/tcp")?;
    // Without IPv6 there is no such file.
    let tcp6 = fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let inodes = tcp_inodes(&format!("{tcp}{tcp6}"), listener.address, listener.port);
    Ok((inodes, SocketAddr::new(listener.address, listener.port).to_string()))
}

/// Who has one of these sockets open. Not init, which holds those that it opens for others.
fn holder(inodes: &[u64]) -> io::Result<Option<u32>> {
    let own = std::process::id();
    let mut pids = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != 1 && *pid != own)
        .collect::<Vec<_>>();
    pids.sort_unstable();
    Ok(pids.into_iter().find(|pid| holds(*pid, inodes)))
}

fn holds(pid: u32, inodes: &[u64]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| {
        let inode =
            target.to_str().and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode: u64| inodes.contains(&inode))
    })
}

/// Listening sockets with this path, of /proc/net/unix.
pub fn unix_inodes(table: &str, path: &Path) -> Vec<u64> {
    /// __SO_ACCEPTCON.
    const LISTENING: &str = "00010000";
    // /var/run is /run: what was bound by one name is asked for by another.
    let same = |name: &Path| {
        name == path
            || fs::canonicalize(name).is_ok_and(|name| fs::canonicalize(path).is_ok_and(|path| path == name))
    };
    table
        .lines()
        .filter_map(|line| {
            let fields = line.split_whitespace().collect::<Vec<_>>();
            let [_, _, _, flags, _, _, inode, name, ..] = fields.as_slice() else { return None };
            let wanted = *flags == LISTENING && Path::new(name).is_absolute() && same(Path::new(name));
            wanted.then(|| inode.parse().ok()).flatten()
        })
        .collect()
}

/// Listening sockets that a connection to this address and port reaches, of /proc/net/tcp and tcp6.
pub fn tcp_inodes(table: &str, address: IpAddr, port: u16) -> Vec<u64> {
    /// TCP_LISTEN.
    const LISTEN: &str = "0A";
    let listeners = table.lines().filter_map(|line| {
        let fields = line.split_whitespace().collect::<Vec<_>>();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (host, at) = local.split_once(':')?;
        let found =
            (u16::from_str_radix(at, 16).ok()? == port && *state == LISTEN).then(|| parse_host(host))??;
        Some((found, inode.parse::<u64>().ok()?))
    });
    let (exact, any): (Vec<_>, Vec<_>) = listeners
        .filter(|(host, _)| *host == address || host.is_unspecified())
        .partition(|(host, _)| *host == address);
    let chosen = if exact.is_empty() { any } else { exact };
    chosen.into_iter().map(|(_, inode)| inode).collect()
}

/// Words of 32 bits in the byte order of this machine, in hexadecimal.
fn parse_host(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for start in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(start..start + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?);
    Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}
