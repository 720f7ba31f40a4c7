//! `vrrp watch`: what it tells is what the wire had, and nobody who watches costs an advert.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use vrrp_lab::{
    Requirement,
    clock::{self, now_ns},
    daemon,
    flood::{Bound, Flood, Junk, send},
    frame::{Advert, Mac},
    harness::Test,
    tests,
};
use vrrp_user::control::sight::{Advert as Seen, Sight, Transition, Way};

use super::wire::{INTERVAL, LIMIT, NEEDS, Pair, VIP};

const STRANGER: Mac = [2, 0, 10, 99, 0, 66];

pub(crate) fn tests() -> Vec<Test> {
    let alone = tests![NEEDS;
        adverts_and_transitions_are_told_as_the_wire_had_them,
        rejected_adverts_are_told_with_their_reason_and_only_a_sample_of_them,
        a_watcher_who_does_not_read_costs_no_advert_and_is_let_go,
        of_eight_watchers_the_ninth_is_refused_in_words,
    ];
    let with_tcpdump = tests![[Requirement::Lab, Requirement::Daemon, Requirement::Tool("tcpdump")];
        tcpdump_reads_the_capture_with_its_nanoseconds,
    ];
    [alone, with_tcpdump].concat()
}

/// A `vrrp watch` that runs.
struct Watcher(Child);

impl Watcher {
    fn start(pair: &Pair, host: &str, arguments: &[&str]) -> Self {
        let socket = daemon::socket(pair.lab.host(host));
        let mut command = Command::new(daemon::binary().unwrap());
        command.arg("watch").arg("--socket").arg(socket).args(arguments);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// What it has said in the end, with exit code 0.
    fn finish(self) -> String {
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn sights(self) -> Vec<Sight> {
        self.finish().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn adverts(sights: &[Sight], way: Way) -> Vec<&Seen> {
    let seen = sights.iter().filter_map(|sight| match sight {
        Sight::Advert(advert) if advert.way == way => Some(advert),
        Sight::Advert(_) | Sight::Transition(_) | Sight::Lost { .. } => None,
    });
    seen.collect()
}

fn transitions(sights: &[Sight]) -> Vec<&Transition> {
    let seen = sights.iter().filter_map(|sight| match sight {
        Sight::Transition(transition) => Some(transition),
        Sight::Advert(_) | Sight::Lost { .. } => None,
    });
    seen.collect()
}

fn adverts_and_transitions_are_told_as_the_wire_had_them() {
    // Repetitions do not enter the ring by themselves: whoever watches gets them all the same.
    let mut pair = Pair::start_with("watch", &["delivery: changes"]);
    let watcher = Watcher::start(&pair, "b", &["--json", "--for", "5s"]);
    clock::sleep_ms(2_500);
    pair.a.stop().unwrap();
    pair.watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let sights = watcher.sights();
    let (received, sent) = (adverts(&sights, Way::Received), adverts(&sights, Way::Sent));
    assert!(received.len() >= 15 && sent.len() >= 10, "{} and {}", received.len(), sent.len());

    // Each that the switch had since the watch began: both end with the release.
    let wire = pair.capture.adverts_from("a");
    let since = wire.iter().filter(|(at, _)| *at > received[0].time_monotonic_ns).count();
    assert!(received.len().abs_diff(since) <= 1, "{} told, {since} on the wire", received.len());
    let pairs = received.iter().rev().zip(wire.iter().rev());
    for (told, (at, advert)) in pairs {
        let message = told.message.as_ref().unwrap();
        assert_eq!((message.version, message.virtual_router_id, message.ttl), (3, 51, 255));
        assert_eq!(message.priority, advert.priority);
        assert_eq!(message.source.to_string(), "10.99.0.1");
        assert_eq!(message.interval_ms, 100);
        // Both are the kernel's stamps; between them is a bridge and a veth, perhaps a thread of the kernel that waits for a
        // CPU, and perhaps a stall of the machine.
        let behind = told.time_monotonic_ns.saturating_sub(*at);
        let stalled = clock::nanos(pair.stalls.within(*at, told.time_monotonic_ns + 1));
        assert!(behind.saturating_sub(stalled) < clock::nanos(INTERVAL), "{behind} ns behind the switch");
    }
    assert_eq!(received.last().unwrap().message.as_ref().unwrap().priority, 0, "the release is the last one");

    let told = transitions(&sights);
    let [taken] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((taken.from.as_str(), taken.to.as_str()), ("BACKUP", "MASTER"));
    assert!(taken.why.contains("stepped down"), "{}", taken.why);
    let release = received.last().unwrap().time_monotonic_ns;
    assert!(release <= taken.time_monotonic_ns && taken.time_monotonic_ns <= sent[0].time_monotonic_ns);
    assert!(adverts(&sights, Way::Rejected).is_empty());

    // The trace has ended with its watcher: a BACKUP sleeps again over what only says that the master is there.
    let text = Watcher::start(&pair, "b", &["VI_1", "--count", "3"]).finish();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        text.contains("sent") && text.contains("VRRPv3 51 priority 100, every 100ms, for 10.99.0.200"),
        "{text}"
    );
    let (code, _, error) = pair.command("b", &["watch", "nobody"]);
    assert_eq!((code, error.as_str()), (Some(1), "there is no instance nobody; there is VI_1\n"));
}

fn junk() -> Vec<Vec<u8>> {
    let model = Advert::v3("10.99.0.1".parse().unwrap(), 51, 150, 10, &[VIP]);
    Junk::WrongTtl.forge(&model, STRANGER)
}

fn rejected_adverts_are_told_with_their_reason_and_only_a_sample_of_them() {
    let pair = Pair::start("rejected");
    let watcher = Watcher::start(&pair, "b", &["--json", "--for", "4s"]);
    clock::sleep_ms(1_000);
    let from = now_ns();
    let bound = Bound { time: Duration::from_secs(2), packets: u64::MAX, rate: Some(20_000) };
    let report = Flood::start(pair.lab.host("client"), junk(), bound).unwrap().finish().unwrap();
    let sights = watcher.sights();
    let rejected = adverts(&sights, Way::Rejected);
    println!("{} packets, {} of them told", report.packets, rejected.len());
    assert!((20..=90).contains(&rejected.len()), "{}", rejected.len());
    for told in rejected {
        assert_eq!(told.reason.as_deref(), Some("ip_ttl"));
        assert!(told.why.as_deref().unwrap().contains("TTL is not 255"), "{told:?}");
        let message = told.message.as_ref().unwrap();
        assert_eq!((message.virtual_router_id, message.version), (51, 3));
        assert_ne!(message.ttl, 255);
        assert!(told.time_monotonic_ns >= from);
    }
    assert!(adverts(&sights, Way::Received).len() >= 20, "the master's are not lost among them");
    pair.assert_undisturbed("a", from);
}

/// A client who watches.
fn ask(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /v1/watch HTTP/1.1\r\nHost: vrrp\r\n\r\n").unwrap();
    stream
}

fn a_watcher_who_does_not_read_costs_no_advert_and_is_let_go() {
    let pair = Pair::start("unread");
    let socket = daemon::socket(pair.lab.host("a"));
    let from = now_ns();
    let mut deaf: Vec<_> = (0..4).map(|_| ask(&socket)).collect();
    clock::sleep_ms(200);
    // Enough to fill what the kernel keeps for him, and then what the daemon does.
    let model = Advert::v3("10.99.0.100".parse().unwrap(), 51, 50, 10, &[VIP]);
    let frames = [model.emit(pair.lab.host("client").mac())];
    for _ in 0..1_500 {
        send(pair.lab.host("client"), &frames).unwrap();
        clock::sleep_ms(2);
    }
    let busy = now_ns();
    assert!(pair.longest_silence("a", from, busy) < INTERVAL * 2);
    let told = Watcher::start(&pair, "a", &["--json", "--count", "2"]).sights();
    assert_eq!(told.len(), 2, "another watcher is served");
    clock::sleep_ms(12_000);
    // He is gone by now: what was on its way is there, and then the end.
    let mut rest = Vec::new();
    deaf[0].set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let ended = deaf[0].read_to_end(&mut rest);
    let is_cut = ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    assert!(ended.is_ok() || is_cut, "he is still being served: {ended:?}");
    assert!(String::from_utf8_lossy(&rest).contains("\"type\":\"advert\""));
    pair.assert_undisturbed("a", from);
}

fn of_eight_watchers_the_ninth_is_refused_in_words() {
    let pair = Pair::start("ninth");
    let socket = daemon::socket(pair.lab.host("a"));
    let line = |stream: &mut BufReader<UnixStream>| {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the daemon let a watcher go");
        line
    };
    let mut watchers: Vec<_> = (0..8).map(|_| BufReader::new(ask(&socket))).collect();
    for watcher in &mut watchers {
        watcher.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
        assert!(line(watcher).starts_with("HTTP/1.1 200"), "each of eight is served");
    }
    let (code, _, error) = pair.command("a", &["watch", "--for", "1s"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("8 clients are watching already"), "{error}");
    for watcher in &mut watchers {
        for _ in 0..10 {
            while !line(watcher).contains("\"type\":\"advert\"") {}
        }
    }
    drop(watchers);
    let is_served = || pair.command("a", &["watch", "--count", "1"]).0 == Some(0);
    assert!(clock::wait_until(LIMIT, is_served), "their places are free again");
}

fn tcpdump_reads_the_capture_with_its_nanoseconds() {
    let pair = Pair::start("pcap");
    let file = pair.lab.folder().join("adverts.pcap");
    let name = file.to_string_lossy().into_owned();
    let watcher = Watcher::start(&pair, "b", &["--json", "--pcap", &name, "--for", "3s"]);
    clock::sleep_ms(1_000);
    send(pair.lab.host("client"), &junk()).unwrap();
    let sights = watcher.sights();
    let (received, rejected) = (adverts(&sights, Way::Received), adverts(&sights, Way::Rejected));
    assert!(received.len() > 10 && !rejected.is_empty(), "{} and {}", received.len(), rejected.len());

    let arguments = ["-nn", "-tt", "-vv", "--time-stamp-precision=nano", "-r", &name];
    let output = Command::new("tcpdump").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches(" > 224.0.0.18: ").count(), received.len() + rejected.len(), "{text}");
    for seen in &received {
        let time =
            format!("{}.{:09} IP", seen.time_unix_ns / 1_000_000_000, seen.time_unix_ns % 1_000_000_000);
        assert!(text.contains(&time), "{time} is not in\n{text}");
    }
    assert!(text.contains("10.99.0.1 > 224.0.0.18") && text.contains("addrs: 10.99.0.200"), "{text}");

    // The same through a pipe.
    let mut watcher = Watcher::start(&pair, "b", &["--pcap", "-", "--count", "5"]);
    let stream = watcher.0.stdout.take().unwrap();
    let output = Command::new("tcpdump").args(["-nn", "-r", "-"]).stdin(stream).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("vrid 51").count(), 5);
    watcher.finish();
}
