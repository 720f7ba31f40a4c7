//! Both receivers on real interfaces: a veth pair and a bridge in a namespace of their own.
//!
//! Needs root and BPF; says so and skips where they are not to be had.
#![expect(clippy::unwrap_used, reason = "a test panics")]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use rustix::time::{ClockId, clock_gettime};
use vrrp_ebpf::abi::{AUTH_NONE, Counter, FAMILY_IPV4, FAMILY_IPV6, PeerKey, RULE_PEERS_ONLY, Rule, RuleKey};
use vrrp_ebpf::samples::Sample;
use vrrp_user::net::packet::{PacketSockets, Sent};
use vrrp_user::net::receiver::{Choice, Control, OpenError, Receiver, open};
use vrrp_user::net::xdp::{Diagnostics, Sizes};
use vrrp_user::net::{Interface, Mode};

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("veth_is_received_in_native_mode", veth_is_received_in_native_mode),
    ("bridge_is_received_in_generic_mode_and_says_why", bridge_is_received_in_generic_mode_and_says_why),
    (
        "an_interface_held_by_another_program_is_shared_by_tcx",
        an_interface_held_by_another_program_is_shared_by_tcx,
    ),
    ("xdp_only_refuses_an_interface_held_by_another", xdp_only_refuses_an_interface_held_by_another),
    ("adverts_arrive_by_xdp", adverts_arrive_by_xdp),
    ("adverts_arrive_by_tcx", adverts_arrive_by_tcx),
    ("adverts_arrive_by_socket", adverts_arrive_by_socket),
    ("a_priority_tag_hides_no_advert_from_tcx", a_priority_tag_hides_no_advert_from_tcx),
    ("a_priority_tag_hides_no_advert_from_the_socket", a_priority_tag_hides_no_advert_from_the_socket),
    (
        "what_a_send_socket_takes_arrives_whole_and_in_order",
        what_a_send_socket_takes_arrives_whole_and_in_order,
    ),
    (
        "the_last_one_to_let_go_of_send_sockets_closes_them_all",
        the_last_one_to_let_go_of_send_sockets_closes_them_all,
    ),
    ("socket_forgets_removed_rules_and_peers", socket_forgets_removed_rules_and_peers),
    ("nothing_stays_attached", nothing_stays_attached),
    ("the_group_is_joined_in_every_mode", the_group_is_joined_in_every_mode),
    ("an_interface_that_is_gone_is_named", an_interface_that_is_gone_is_named),
];

const SLOT: u32 = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share the one veth pair.
    arguments.test_threads = Some(1);
    let lacking = lacking();
    if let Some(why) = &lacking {
        println!("skipped: {why}");
    }
    let trials = CASES.iter().map(|(name, case): &Case| {
        let trial = Trial::test(*name, move || {
            case();
            Ok(())
        });
        trial.with_ignored_flag(lacking.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// What this machine lacks, if anything. Moves the process into a namespace of its own, which ends with it.
fn lacking() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root: run it with sudo".into());
    }
    // SAFETY: no other thread runs yet, and no descriptors are unshared.
    if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        return Some(format!("cannot make a network namespace: {error}"));
    }
    for command in [
        "link add left type veth peer name right",
        "link add bridge type bridge",
        "link set left up",
        "link set right up",
        "link set bridge up",
    ] {
        match Command::new("ip").args(command.split(' ')).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Some(format!("ip {command}: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => return Some(format!("ip {command}: {error}")),
        }
    }
    open(Choice::Xdp, &[], Sizes::default(), Diagnostics::Off).err().map(|error| error.to_string())
}

fn interface(name: &str) -> Interface {
    let name_c = std::ffi::CString::new(name).unwrap();
    // SAFETY: a C string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name_c.as_ptr()) };
    Interface { name: name.into(), index }
}

fn start(choice: Choice, names: &[&str]) -> (Receiver, Control) {
    let interfaces: Vec<_> = names.iter().map(|name| interface(name)).collect();
    open(choice, &interfaces, Sizes::default(), Diagnostics::Errors).unwrap()
}

fn modes(control: &Control) -> Vec<Mode> {
    control.attachments().iter().map(|attachment| attachment.mode).collect()
}

fn key(family: u8) -> RuleKey {
    RuleKey { ifindex: interface("left").index, family, virtual_router_id: 10, padding: 0 }
}

const V3: Rule =
    Rule { slot: SLOT, version: 3, auth_type: AUTH_NONE, flags: 0, v2_interval: 0, password: [0; 8] };

/// Puts a frame on the wire at the right end of the pair.
fn send(frame: &[u8]) {
    // SAFETY: no pointers; a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)) };
    // SAFETY: integers only, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = 17;
    address.sll_ifindex = interface("right").index.cast_signed();
    address.sll_halen = 6;
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap();
    // SAFETY: both buffers are as long as it says.
    let sent = unsafe {
        let to = (&raw const address).cast();
        libc::sendto(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, to, length)
    };
    assert_eq!(usize::try_from(sent), Ok(frame.len()), "{}", std::io::Error::last_os_error());
}

fn wait(receiver: &Receiver) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(receiver.as_fd(), PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 2, tv_nsec: 0 })).unwrap() == 1
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

fn veth_is_received_in_native_mode() {
    let (_receiver, control) = start(Choice::Auto, &["left"]);
    assert_eq!(modes(&control), [Mode::XdpNative]);
    assert_eq!(control.attachments()[0].refused, []);
}

fn bridge_is_received_in_generic_mode_and_says_why() {
    let (_receiver, control) = start(Choice::Auto, &["bridge", "left"]);
    assert_eq!(modes(&control), [Mode::XdpGeneric, Mode::XdpNative]);
    let (mode, why) = &control.attachments()[0].refused[0];
    assert_eq!(*mode, Mode::XdpNative);
    assert!(why.starts_with("the driver has no such mode"), "{why}");
}

fn an_interface_held_by_another_program_is_shared_by_tcx() {
    let (mut first, mut first_control) = start(Choice::Auto, &["left"]);
    let (mut second, mut second_control) = start(Choice::Auto, &["left"]);
    assert_eq!((modes(&first_control), modes(&second_control)), (vec![Mode::XdpNative], vec![Mode::Tcx]));
    for (mode, why) in &second_control.attachments()[0].refused {
        assert!(why.starts_with("another XDP program holds the interface"), "{mode}: {why}");
    }
    first_control.insert_rule(key(FAMILY_IPV4), V3).unwrap();
    second_control.insert_rule(key(FAMILY_IPV4), V3).unwrap();
    send(&Sample::v3().frame());
    assert!(wait(&first) && wait(&second));
    assert_eq!(first.next_record().unwrap().frame(), Sample::v3().frame());
    assert_eq!(second.next_record().unwrap().frame(), Sample::v3().frame());
}

fn xdp_only_refuses_an_interface_held_by_another() {
    let (_receiver, _control) = start(Choice::Xdp, &["left"]);
    let refused = open(Choice::Xdp, &[interface("left")], Sizes::default(), Diagnostics::Off);
    let Err(OpenError::Attach(error)) = refused else {
        panic!("attached twice");
    };
    assert_eq!(error.refused.len(), 2);
    assert!(error.to_string().contains("interface left"), "{error}");
}

/// One good advert, one rejected, one foreign, and IPv6, through this receiver.
fn adverts_arrive(choice: Choice, mode: Mode) {
    let (mut receiver, mut control) = start(choice, &["left"]);
    assert_eq!(modes(&control), [mode]);
    control.insert_rule(key(FAMILY_IPV4), V3).unwrap();
    control.insert_rule(key(FAMILY_IPV6), Rule { slot: SLOT + 1, ..V3 }).unwrap();
    // The socket takes up rules when it is read.
    assert!(receiver.next_record().is_none());
    let before = now_ns();
    send(&Sample { padding: 10, ..Sample::v3() }.frame());
    send(&Sample { ttl: 64, ..Sample::v3() }.frame());
    send(&Sample { virtual_router_id: 99, ..Sample::v3() }.frame());
    send(&Sample::v6().frame());
    let after = now_ns();
    assert!(wait(&receiver));

    let record = receiver.next_record().unwrap();
    assert_eq!((record.slot(), record.ifindex()), (SLOT, interface("left").index));
    assert!(record.changed() && record.woke());
    assert_eq!(record.frame(), Sample::v3().frame());
    let arrived_ns = record.arrived_ns();
    drop(record);
    assert_eq!(receiver.next_record().unwrap().frame(), Sample::v6().frame());
    assert!(receiver.next_record().is_none());

    // The socket's stamp is moved between two clocks that are read one after the other.
    let slack = 1_000_000;
    assert!((before - slack..=after + slack).contains(&arrived_ns), "{before} {arrived_ns} {after}");
    let live = receiver.slots().read(SLOT).unwrap().unwrap();
    assert_eq!((live.arrived_ns, live.priority), (arrived_ns, 200));
    assert!(receiver.slots().read(SLOT + 1).unwrap().is_some());
    assert_eq!(control.slots().last_reject(SLOT).unwrap().reason, Counter::IpTtl as u8);

    let counters = control.counters().unwrap();
    for (counter, count) in [
        (Counter::Accepted, 2),
        (Counter::Delivered, 2),
        (Counter::Woke, 2),
        (Counter::IpTtl, 1),
        (Counter::ForeignPassed, 1),
        (Counter::NotUnderstood, 0),
    ] {
        assert_eq!(counters.get(counter), count, "{counter:?}");
    }
}

fn adverts_arrive_by_xdp() {
    adverts_arrive(Choice::Xdp, Mode::XdpNative);
}

fn adverts_arrive_by_tcx() {
    adverts_arrive(Choice::Tcx, Mode::Tcx);
}

fn adverts_arrive_by_socket() {
    adverts_arrive(Choice::Socket, Mode::Socket);
}

/// The kernel takes the tag off before the hook and the socket see the frame. XDP sees it in the frame, and lets it pass.
fn a_priority_tag_hides_no_advert(choice: Choice) {
    let (mut receiver, mut control) = start(choice, &["left"]);
    control.insert_rule(key(FAMILY_IPV4), V3).unwrap();
    assert!(receiver.next_record().is_none());
    let tagged = |tag: u16, priority: u8| {
        let mut frame = Sample { priority, padding: 10, ..Sample::v3() }.frame();
        let [high, low] = tag.to_be_bytes();
        frame.splice(12..12, [0x81, 0x00, high, low]);
        frame
    };
    let (priority_6, vlan_20) = (6 << 13, 20);
    send(&tagged(vlan_20, 150));
    send(&tagged(priority_6 | vlan_20, 150));
    send(&tagged(priority_6, 120));
    assert!(wait(&receiver), "nothing came");
    let record = receiver.next_record().unwrap();
    assert_eq!(
        record.frame(),
        Sample { priority: 120, ..Sample::v3() }.frame(),
        "a VLAN's is another segment's"
    );
    drop(record);
    assert!(receiver.next_record().is_none());
}

fn a_priority_tag_hides_no_advert_from_tcx() {
    a_priority_tag_hides_no_advert(Choice::Tcx);
}

fn a_priority_tag_hides_no_advert_from_the_socket() {
    a_priority_tag_hides_no_advert(Choice::Socket);
}

/// More than two system calls' worth; every frame is news, so every one is delivered.
fn what_a_send_socket_takes_arrives_whole_and_in_order() {
    let (mut receiver, mut control) = start(Choice::Xdp, &["left"]);
    control.insert_rule(key(FAMILY_IPV4), V3).unwrap();
    let frames: Vec<_> = (1..=70).map(|priority| Sample { priority, ..Sample::v3() }.frame()).collect();
    let right = interface("right").index;
    let sockets = PacketSockets::open([right, right]).unwrap();
    let mut left = Vec::new();
    let sent = sockets.send(right, frames.iter().map(Vec::as_slice), |place| left.push(place));
    assert_eq!(sent, Sent { frames: 70, refused: 0 });
    assert_eq!(left, (0..70).collect::<Vec<_>>());
    for frame in &frames {
        assert!(wait(&receiver), "not all came");
        assert_eq!(receiver.next_record().unwrap().frame(), frame);
    }
    assert!(receiver.next_record().is_none());

    // Longer than any link takes, among good ones; an interface without a socket.
    let long = vec![0; 70_000];
    let mixed = [frames[0].as_slice(), &long, &frames[1]];
    left.clear();
    let sent = sockets.send(right, mixed.into_iter(), |place| left.push(place));
    assert_eq!((sent, left.as_slice()), (Sent { frames: 2, refused: 1 }, [0, 2].as_slice()));
    left.clear();
    let sent = sockets.send(4242, mixed.into_iter(), |place| left.push(place));
    assert_eq!((sent, left.as_slice()), (Sent { frames: 0, refused: 3 }, [].as_slice()));
}

/// More of them than are closed side by side.
fn the_last_one_to_let_go_of_send_sockets_closes_them_all() {
    let names: Vec<String> = (0..150).map(|number| format!("many{number}")).collect();
    for name in &names {
        let made = Command::new("ip").args(["link", "add", name, "type", "bridge"]).status().unwrap();
        assert!(made.success(), "{name}");
    }
    // A line for each, and a head.
    let open = || std::fs::read_to_string("/proc/self/net/packet").unwrap().lines().count();
    let before = open();
    let all = PacketSockets::open(names.iter().map(|name| interface(name).index)).unwrap();
    assert_eq!(open(), before + names.len());
    let first = all.with_those_there([interface(&names[0]).index, 4242]);
    assert_eq!(open(), before + names.len(), "what is open already is shared, what is not there left out");
    drop(all);
    assert_eq!(open(), before + 1);
    drop(first);
    assert_eq!(open(), before);
    for name in &names {
        Command::new("ip").args(["link", "delete", name]).status().unwrap();
    }
}

fn socket_forgets_removed_rules_and_peers() {
    let (mut receiver, mut control) = start(Choice::Socket, &["left"]);
    let mut address = [0; 16];
    address[12..].copy_from_slice(&Sample::v3().source);
    let peer = PeerKey { slot: SLOT, address };
    control.insert_rule(key(FAMILY_IPV4), Rule { flags: RULE_PEERS_ONLY, ..V3 }).unwrap();
    control.insert_peer(peer).unwrap();
    send(&Sample::v3().frame());
    assert!(wait(&receiver) && receiver.next_record().is_some());
    control.remove_peer(peer).unwrap();
    send(&Sample::v3().frame());
    assert!(wait(&receiver) && receiver.next_record().is_none());
    control.remove_rule(key(FAMILY_IPV4));
    send(&Sample::v3().frame());
    assert!(wait(&receiver) && receiver.next_record().is_none());
    let counters = control.counters().unwrap();
    assert_eq!((counters.get(Counter::Sender), counters.get(Counter::ForeignPassed)), (1, 1));
}

fn nothing_stays_attached() {
    let (_receiver, mut control) = start(Choice::Xdp, &["left", "bridge"]);
    control.detach(interface("left").index);
    assert_eq!(control.attachments().len(), 1);
    drop(start(Choice::Xdp, &["left"]));
    drop(control);
    let (_receiver, control) = start(Choice::Xdp, &["left", "bridge"]);
    assert_eq!(modes(&control), [Mode::XdpNative, Mode::XdpGeneric]);
}

fn the_group_is_joined_in_every_mode() {
    let joined = || {
        // /proc/self is the process that left this namespace's predecessor; its thread did, too.
        let groups = std::fs::read_to_string("/proc/thread-self/net/igmp").unwrap();
        groups.contains("120000E0")
    };
    assert!(!joined());
    for choice in [Choice::Xdp, Choice::Tcx, Choice::Socket] {
        let (_receiver, mut control) = start(choice, &["left"]);
        assert!(joined(), "{choice:?}");
        control.detach(interface("left").index);
        assert!(!joined(), "{choice:?}");
    }
}

fn an_interface_that_is_gone_is_named() {
    let gone = Interface { name: "gone".into(), index: 4242 };
    for choice in [Choice::Auto, Choice::Xdp, Choice::Socket] {
        let error =
            open(choice, std::slice::from_ref(&gone), Sizes::default(), Diagnostics::Off).err().unwrap();
        assert!(error.to_string().contains("interface gone"), "{choice:?}: {error}");
    }
}
