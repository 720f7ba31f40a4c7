//! What this host says of itself: its name, and its IPv4 addresses.
//!
//! Owns the reading of /proc. Where that is not to be had the answers are empty.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// The first part of the host's name, as keepalived compares it with `@name`.
pub fn name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or_default().to_owned()
}

/// The addresses that the kernel calls its own.
pub fn local_addresses() -> Vec<IpAddr> {
    parse(&fs::read_to_string("/proc/net/fib_trie").unwrap_or_default())
}

/// In /proc/net/fib_trie an address stands in the line above `/32 host LOCAL`.
pub fn parse(trie: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.map(IpAddr::V4)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_the_kernel_calls_local() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n        \
                    /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.0.0.5\n        \
                    /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let addresses = ["10.0.0.5", "127.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(parse(trie), addresses);
    }
}
