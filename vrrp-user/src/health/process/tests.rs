//! The kernel's tables as it writes them, and a real process that listens and ends.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use super::*;

const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000000000000000 100 0 0 10 0
   1: 00000000:0CEB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0000000000000000 100 0 0 10 0
   2: 0100007F:0CEA 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0000000000000000 100 0 0 10 0
   3: 00000000:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1 0000000000000000 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0CEC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0CED 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 666 1 0000000000000000 100 0 0 10 0
";

#[cfg(target_endian = "little")]
#[test]
fn the_socket_that_a_connection_reaches_is_found() {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    for (address, port, inodes) in [
        (local, 3306, &[111][..]),
        (other, 3306, &[444]),
        (local, 3307, &[222]),
        (local, 3308, &[555]),
        (local, 3309, &[666]),
        (other, 3309, &[]),
        (local, 1, &[]),
    ] {
        assert_eq!(tcp_inodes(TCP, address, port), inodes, "{address}:{port}");
    }
}

#[test]
fn only_the_listening_end_of_a_unix_socket_counts() {
    let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                 0000000000000000: 00000002 00000000 00010000 0001 01 77 /run/mysqld/mysqld.sock\n\
                 0000000000000000: 00000003 00000000 00000000 0001 03 78 /run/mysqld/mysqld.sock\n\
                 0000000000000000: 00000002 00000000 00010000 0001 01 79 /run/mysqld/mysqld.sock2\n";
    assert_eq!(unix_inodes(table, Path::new("/run/mysqld/mysqld.sock")), [77]);
    assert_eq!(unix_inodes(table, Path::new("/run/none")), [0; 0]);
}

#[test]
fn a_socket_is_found_by_another_name_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (real, alias) = (folder.path().join("run"), folder.path().join("var-run"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &alias).unwrap();
    let _socket = UnixListener::bind(real.join("s")).unwrap();
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    assert_eq!(unix_inodes(&table, &alias.join("s")).len(), 1);
    assert_eq!(unix_inodes(&table, &alias.join("t")), [0; 0]);
}

#[test]
fn listeners_of_this_process_are_nobody_to_watch() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _unix = UnixListener::bind(&socket).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(!unix_inodes(&fs::read_to_string("/proc/net/unix").unwrap(), &socket).is_empty());
    assert!(!tcp_inodes(&fs::read_to_string("/proc/net/tcp").unwrap(), address, port).is_empty());
    assert!(find(&Listener { address, port, socket: None }).unwrap().is_none());
    assert!(find(&Listener { address, port, socket: Some(socket) }).unwrap().is_none());
}

/// A child that has a listening socket as its standard input.
fn listening_child(listener: TcpListener) -> std::process::Child {
    let mut command = std::process::Command::new("/bin/sleep");
    command.arg("1000").stdin(OwnedFd::from(listener)).spawn().unwrap()
}

#[tokio::test]
async fn the_listening_process_is_found_and_its_end_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Listener {
        address: Ipv4Addr::LOCALHOST.into(),
        port: listener.local_addr().unwrap().port(),
        socket: None,
    };
    let mut child = listening_child(listener);
    let process = find(&place).unwrap().unwrap();
    assert_eq!((process.pid, process.name.as_str()), (child.id(), "sleep"));
    assert!(!is_ending(process.pid));

    // A witness that is wrong is not believed.
    let (vigils, mut heard) = mpsc::channel::<Vigil>(1);
    let ended = tokio::spawn(async move { process.ended(Some(&Witness(vigils))).await });
    let vigil = heard.recv().await.unwrap();
    assert_eq!(vigil.pid, child.id());
    vigil.ends.send(()).unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(!ended.is_finished());

    child.kill().unwrap();
    assert_eq!(ended.await.unwrap(), "ended");
    assert!(is_ending(child.id()));
    child.wait().unwrap();
    assert!(find(&place).unwrap().is_none());
}

#[test]
fn another_hosts_server_is_not_whoever_listens_here() {
    let child_listens = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = child_listens.local_addr().unwrap().port();
    let mut child = listening_child(child_listens);
    let at = |address: &str| {
        find(&Listener { address: address.parse().unwrap(), port, socket: None })
            .unwrap()
            .map(|found| found.pid)
    };
    let found = (at("127.0.0.2"), at("192.0.2.7"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found, (Some(child.id()), None));
    assert!(is_here(Ipv6Addr::LOCALHOST.into()) && !is_here("2001:db8::7".parse().unwrap()));
}
