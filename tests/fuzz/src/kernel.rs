//! What the kernel says: its tables of sockets and routes as text, control messages, and the records of the witness.

use std::{net::IpAddr, path::Path};

use vrrp_ebpf::exit::Exit;
use vrrp_user::{
    health::process::{tcp_inodes, unix_inodes},
    import::host,
    net::stamp,
};

const SOCKET: &str = "/run/mysqld/mysqld.sock";
const PORT: u16 = 3306;
const HEADER: usize = 16;

pub(crate) fn table_seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
         0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0\n   \
         1: 00000000:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0\n   \
         2: 0100007F:0CEA 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0\n",
        "   0: 00000000000000000000000000000000:0CEA 00000000000000000000000000000000:0000 0A 00000000:00000000 \
         00:00000000 00000000     0        0 555 1 0 100 0 0 10 0\n   \
         1: 0000000000000000FFFF00000100007F:0CEA 00000000000000000000000000000000:0000 0A 00000000:00000000 \
         00:00000000 00000000     0        0 666 1 0 100 0 0 10 0\n",
        "Num       RefCount Protocol Flags    Type St Inode Path\n\
         0000000000000000: 00000002 00000000 00010000 0001 01 77 /run/mysqld/mysqld.sock\n\
         0000000000000000: 00000003 00000000 00000000 0001 03 78 /run/mysqld/mysqld.sock\n\
         0000000000000000: 00000002 00000000 00010000 0001 01 79 @abstract\n",
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n        \
         /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 127.0.0.1\n        \
         /32 host LOCAL\n",
    ];
    seeds.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// One text as each of the tables.
pub(crate) fn check_tables(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let said_by = |inode: u64, word: &str| {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let is_inode = |field: &&str| field.parse() == Ok(inode);
        lines.any(|fields| fields.iter().any(is_inode) && fields.contains(&word))
    };
    let mut is_known = false;
    for address in ["127.0.0.1", "10.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap()) {
        for inode in tcp_inodes(text, address, PORT) {
            assert!(said_by(inode, "0A"), "{inode} does not listen");
            is_known = true;
        }
    }
    for inode in unix_inodes(text, Path::new(SOCKET)) {
        assert!(said_by(inode, "00010000"), "{inode} does not listen");
        is_known = true;
    }
    let local = host::parse(text);
    assert!(local.len() <= text.matches("/32 host LOCAL").count(), "{local:?}");
    for (number, address) in local.iter().enumerate() {
        assert!(text.contains(&address.to_string()), "{address} is nowhere");
        assert!(!local[..number].contains(address), "{address} twice");
    }
    is_known || !local.is_empty()
}

fn control_message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let length = HEADER + data.len();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(length.next_multiple_of(8), 0);
    bytes
}

/// SOL_SOCKET and SCM_TIMESTAMPNS; SOL_PACKET and PACKET_AUXDATA.
const STAMP: (i32, i32) = (1, 35);
const AUXILIARY: (i32, i32) = (263, 8);

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let exit = [&4711_u32.to_ne_bytes()[..], &[0; 4], &123_456_789_u64.to_ne_bytes()].concat();
    let time = [1_764_000_007_i64.to_ne_bytes(), 250_000_000_i64.to_ne_bytes()].concat();
    let stamp = control_message(STAMP.0, STAMP.1, &time);
    let others = control_message(AUXILIARY.0, AUXILIARY.1, &[1; 20]);
    let short = control_message(STAMP.0, STAMP.1, &time[..12]);
    let endless = [vec![0; 8], others[8..].to_vec(), stamp.clone()].concat();
    vec![exit, [others, stamp.clone()].concat(), stamp, short, endless]
}

/// An exit, and control messages.
pub(crate) fn check_record(input: &[u8]) -> bool {
    let exit = Exit::from_bytes(input);
    assert_eq!(exit.is_some(), input.len() == 16, "{exit:?}");
    if let Some(Exit { process, padding, at }) = exit {
        let parts = [&process.to_ne_bytes()[..], &padding.to_ne_bytes(), &at.to_ne_bytes()];
        assert_eq!(parts.concat(), input);
    }
    let Some(found) = stamp::find(input) else { return exit.is_some() };
    // Where the kernel puts it: behind its header, aligned.
    let time = [found.tv_sec.to_ne_bytes(), found.tv_nsec.to_ne_bytes()].concat();
    let marks = [STAMP.0.to_ne_bytes(), STAMP.1.to_ne_bytes()].concat();
    let wanted = [marks, time].concat();
    let mut starts = (8..input.len()).step_by(8);
    assert!(starts.any(|start| input[start..].starts_with(&wanted)), "{found:?} is not in the message");
    true
}
