//! Keywords of an instance that are not carried over, each with its grade and the reason.

use crate::import::globals::left_out;
use crate::import::report::{Grade, Report};
use crate::import::tree::Statement;

const NO_VMAC: &str = "there is no virtual MAC address yet: the addresses answer with the interface's own, announced by \
                       gratuitous ARP";
const NO_UNICAST: &str = "adverts go to the multicast group, from the interface's primary address";
const ONLY_ADDRESSES: &str =
    "only addresses follow the MASTER; set these with a script or where the network is configured";

/// A name, or its beginning followed by `*`; the first that fits counts.
const LEFT_OUT: &[(&str, Grade, &str)] = &[
    ("vrf", Grade::Error, "is not there; start the daemon with `ip vrf exec`"),
    ("use_vmac*", Grade::Error, NO_VMAC),
    ("vmac_xmit_base", Grade::Ignored, "adverts always leave by the interface itself"),
    ("use_ipvlan", Grade::Error, "is not there: the addresses go on the interface itself"),
    ("native_ipv6", Grade::Ignored, "the addresses decide"),
    ("dont_track_primary", Grade::Error, "without carrier on `interface` the addresses always come off"),
    (
        "track_file",
        Grade::Error,
        "is not there; a script check that reads the file does nearly the same: `checks: [{ script: ... }]`",
    ),
    (
        "track_process",
        Grade::Error,
        "is not there; for a MySQL server a `mysql` check sees the end of its process, and much more",
    ),
    ("track_bfd", Grade::Error, "there is no BFD; a short `advert_interval` in version 3 finds out as fast"),
    (
        "mcast_src_ip",
        Grade::Warning,
        "adverts leave from the interface's primary address; make it that one if a peer looks at it",
    ),
    ("unicast_src_ip", Grade::Warning, NO_UNICAST),
    (
        "track_src_ip",
        Grade::Warning,
        "an interface without any address means FAULT as it is; one particular is not watched",
    ),
    ("check_unicast_src", Grade::Ignored, "`peers` always limits the senders"),
    ("unicast_ttl", Grade::Error, NO_UNICAST),
    ("unicast_fault_no_peer", Grade::Ignored, NO_UNICAST),
    ("old_unicast_checksum", Grade::Ignored, NO_UNICAST),
    (
        "garp_lower_prio_*",
        Grade::Ignored,
        "a losing advert is answered, with a burst of gratuitous ARP at most once a second",
    ),
    ("garp_master_refresh_repeat", Grade::Ignored, "one frame for each address in each period"),
    ("garp_extra_if", Grade::Ignored, "addresses are announced on the interface that they are on"),
    (
        "lower_prio_no_advert",
        Grade::Warning,
        "a MASTER always answers a weaker one (RFC 9568, section 6.4.3)",
    ),
    ("higher_prio_send_advert", Grade::Ignored, "the winner announces its addresses again by itself"),
    (
        "promote_secondaries",
        Grade::Warning,
        "is a setting of the kernel's that stays as it is: set net.ipv4.conf.IFACE.promote_secondaries=1, or write /32",
    ),
    ("virtual_routes", Grade::Error, ONLY_ADDRESSES),
    ("virtual_rules", Grade::Error, ONLY_ADDRESSES),
    ("accept", Grade::Ignored, "the MASTER always accepts packets to its addresses"),
    ("no_accept", Grade::Error, "is not there: the MASTER always accepts packets to its addresses"),
    ("skip_check_adv_addr", Grade::Ignored, "a neighbour whose list of addresses differs is never ignored"),
    ("debug", Grade::Ignored, "keepalived does nothing with it"),
    ("kernel_rx_buf_size", Grade::Ignored, "buffers size themselves"),
    (
        "linkbeat_use_polling",
        Grade::Warning,
        "carrier is what the kernel tells; a driver that tells nothing is not polled",
    ),
    (
        "auth_hmac*",
        Grade::Error,
        "is not there: this router's adverts carry none, and a peer that enforces it does not hear them",
    ),
    ("lvs_sync_daemon*", Grade::Ignored, "is about balancing load with IPVS, which this daemon does not do"),
];

pub(super) fn report(keyword: &str, statement: &Statement, report: &mut Report) {
    left_out(LEFT_OUT, keyword, statement, report);
}
