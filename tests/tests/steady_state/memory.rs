//! Memory under a hundred thousand adverts a second: flat, in the daemons and in their guards.

use std::{fs, time::Duration};

use vrrp_lab::{AddressWatch, Daemon, Instance, Lab, Process, clock, daemon, harness};
use vrrp_user::control::{client::Client, snapshot::Snapshot};

use crate::LIMIT;

const SEGMENTS: u8 = 4;
/// On each segment; with 10 ms between adverts these are the hundred thousand.
const ROUTERS: u8 = 250;
/// After all are elected: the second gratuitous ARPs and whatever is allocated once.
const WARM_UP: Duration = Duration::from_secs(8);
/// Pages that a thread touches late in its life. A leak of a byte in a hundred adverts is twice that in 10 minutes.
const GROWTH: u64 = 256;
/// A slower machine is looked at for longer, so many times, until there were adverts enough.
const PATIENCE: usize = 6;
/// Kilobytes, the process and its guard.
const ENOUGH: u64 = 256 << 10;

fn instances(priority: u8) -> Vec<Instance> {
    let instance = |segment: u8, router: u8| Instance {
        name: format!("VI_{segment}_{router}"),
        interface: format!("eth{segment}"),
        vrid: router,
        virtual_addresses: vec![format!("10.{}.1.{router}/32", 99 + u16::from(segment))],
        ..Instance::v3(priority, "10ms")
    };
    (0..SEGMENTS).flat_map(|segment| (1..=ROUTERS).map(move |router| instance(segment, router))).collect()
}

/// Kilobytes resident, of a daemon and its guard.
fn resident(process: &Process) -> u64 {
    let of = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    process.tree().into_iter().map(of).sum()
}

/// Frames that a host has sent, on all segments: asked without a question to the daemon.
fn frames(lab: &Lab, host: &str) -> u64 {
    let of = |segment: u8| {
        let file = format!("/sys/class/net/eth{segment}/statistics/tx_packets");
        lab.host(host).namespace().run("cat", &[&file]).unwrap().trim().parse::<u64>().unwrap()
    };
    (0..SEGMENTS).map(of).sum()
}

fn status(lab: &Lab, host: &str) -> Snapshot {
    Client::new(&daemon::socket(lab.host(host))).status().unwrap()
}

/// Adverts so far: sent by the master's thread, and judged good by the kernel half of the backup.
fn adverts(lab: &Lab) -> [u64; 2] {
    let accepted = status(lab, "b").counters.get("accepted").copied().unwrap_or(0);
    [status(lab, "a").advert_thread.adverts_sent, accepted]
}

/// How many a machine can carry is the benchmark's business; but memory that was flat under a trickle proves nothing.
pub(crate) fn memory_is_flat_under_a_hundred_thousand_adverts_a_second() {
    let seconds = harness::count(20, 600);
    let least = u64::try_from(harness::count(200_000, 60_000_000)).unwrap();
    let lab = Lab::pair("flat").unwrap();
    for segment in 1..SEGMENTS {
        lab.add_segment(segment, &["a", "b"]).unwrap();
    }
    let last = format!("10.{}.1.{ROUTERS}", 99 + u16::from(SEGMENTS - 1)).parse().unwrap();
    let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
    let mut a = Daemon::start(lab.host("a"), &instances(150)).unwrap();
    let limit = LIMIT * 4;
    watch.wait_for_holder(last, "a", limit).unwrap();
    let mut b = Daemon::start(lab.host("b"), &instances(100)).unwrap();
    let routers = usize::from(SEGMENTS) * usize::from(ROUTERS);
    let listens = || b.log().matches("INITIALIZE -> BACKUP").count() == routers;
    assert!(clock::wait_until(limit, listens), "not all listen:\n{}", b.log());
    // What an answer of this size needs is allocated before memory is looked at.
    let (before, begin) = (adverts(&lab), clock::now_ns());
    std::thread::sleep(WARM_UP);

    let logs = [a.log_len(), b.log_len()];
    let mut samples: [Vec<u64>; 2] = [Vec::new(), Vec::new()];
    let begun = frames(&lab, "a");
    let has_enough = || frames(&lab, "a") - begun >= least;
    while samples[0].len() < seconds || samples[0].len() < seconds * PATIENCE && !has_enough() {
        clock::sleep_ms(1000);
        samples[0].push(resident(&a));
        samples[1].push(resident(&b));
    }
    let took = Duration::from_nanos(clock::now_ns() - begin);
    let [sent, accepted] = adverts(&lab);
    let (sent, accepted) = (sent - before[0], accepted - before[1]);
    let rate = sent * 1000 / u64::try_from(took.as_millis()).unwrap();
    let wanted = routers * 100;
    println!("{routers} routers: {sent} adverts sent, {accepted} accepted in {took:?}: {rate}/s of {wanted}");
    assert!(a.is_running() && b.is_running(), "{:?} {:?}", a.ending(), b.ending());
    assert!(
        sent >= least && accepted >= least,
        "only {sent} adverts sent and {accepted} accepted, too few to say anything about memory (at least {least}): this \
         machine is too slow or too busy\na: {}\nb: {}",
        a.log(),
        b.log()
    );

    // On a machine that does not keep up roles change, and what that needs is touched for the first time later. What leaks
    // grows in each window, what warms up does not.
    for _ in 1..PATIENCE {
        if samples.iter().all(|samples| growth(samples, seconds).1 <= GROWTH) {
            break;
        }
        for _ in 0..seconds {
            clock::sleep_ms(1000);
            samples[0].push(resident(&a));
            samples[1].push(resident(&b));
        }
    }
    for ((name, samples), (daemon, log)) in
        ["a", "b"].iter().zip(&samples).zip([(&a, logs[0]), (&b, logs[1])])
    {
        let (early, grown) = growth(samples, seconds);
        let written = daemon.log_len() - log;
        println!("{name} with its guard: {early} kB, {grown} kB more at the end, {written} bytes of log");
        assert!(early > 0, "{name}: no memory is seen");
        assert!(early < ENOUGH, "{name} has {early} kB");
        assert!(grown <= GROWTH, "{name} grew by {grown} kB from {early} kB on: {samples:?}");
    }
}

/// Of the last so many samples: the most in their first quarter, and by how much it was exceeded in their last.
fn growth(samples: &[u64], window: usize) -> (u64, u64) {
    let window = &samples[samples.len().saturating_sub(window)..];
    let quarter = (window.len() / 4).max(1);
    let most = |part: &[u64]| part.iter().max().copied().unwrap_or(0);
    let (early, late) = (most(&window[..quarter]), most(&window[window.len() - quarter..]));
    (early, late.saturating_sub(early))
}
