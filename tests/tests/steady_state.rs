//! The steady state: what the advert thread asks of the allocator (nothing) and of the kernel (to wait, to set its timer,
//! to send), and that memory stays what it is.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::{
    collections::BTreeSet,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use vrrp_lab::{
    AddressWatch, Capture, Host, Instance, Lab, Process, Requirement, capability::find_program, clock,
    daemon, harness, tests,
};

mod steady_state {
    pub(super) mod memory;
}

use steady_state::memory::memory_is_flat_under_a_hundred_thousand_adverts_a_second;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
const LIMIT: Duration = Duration::from_secs(15);
const INSTANCES: u8 = 40;
/// At 50 ms a guard acts 120 ms after the last advert, and the next is due at 50.
const STALL: Duration = Duration::from_millis(70);

fn main() -> ExitCode {
    let mut all = harness::despite_stalls(
        STALL,
        tests![[Requirement::Lab];
            the_advert_thread_does_not_allocate_as_master_nor_as_backup,
            nor_for_a_status_a_drain_or_a_reload,
            the_advert_thread_only_waits_sets_its_timer_sends_and_rings,
        ],
    );
    all.extend(tests![[Requirement::Lab]; memory_is_flat_under_a_hundred_thousand_adverts_a_second]);
    harness::run(all)
}

/// Many routers, with the VIP of the lab on the first.
fn instances(priority: u8) -> Vec<Instance> {
    (1..=INSTANCES)
        .map(|number| Instance {
            name: format!("VI_{number}"),
            vrid: 50 + number,
            virtual_addresses: vec![format!("10.99.0.{}/24", 199 + number)],
            ..Instance::v3(priority, "50ms")
        })
        .collect()
}

fn write(host: &Host, instances: &[Instance]) {
    let text = daemon::with_control(host, &daemon::yaml(host.name(), instances));
    fs::write(host.file("vrrp.yaml"), text).unwrap();
}

fn start(host: &Host, priority: u8, environment: &[String]) -> Process {
    let config = host.file("vrrp.yaml");
    write(host, &instances(priority));
    let binary = daemon::binary().unwrap();
    let mut arguments: Vec<&str> = environment.iter().map(String::as_str).collect();
    arguments.extend([binary.to_str().unwrap(), "run", "--config", config.to_str().unwrap()]);
    host.spawn("vrrp", Path::new("/usr/bin/env"), &arguments).unwrap()
}

/// A pair on the hosts `a` and `b` of which `a` has been master for a while.
fn settled_pair(lab: &Lab, environments: [&[String]; 2]) -> [Process; 2] {
    let watch = AddressWatch::start(lab, &["a", "b"]).unwrap();
    let a = start(lab.host("a"), 150, environments[0]);
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    let b = start(lab.host("b"), 100, environments[1]);
    // Past the second burst of gratuitous ARP and the backup's listening.
    clock::sleep_ms(6_500);
    assert_eq!(watch.holders(VIP).unwrap(), ["a"], "a: {}\nb: {}", a.log(), b.log());
    [a, b]
}

fn the_advert_thread_does_not_allocate_as_master_nor_as_backup() {
    let lab = Lab::pair("alloc").unwrap();
    let shim = compile_shim(lab.folder());
    let counters = ["a", "b"].map(|name| lab.host(name).file("allocations"));
    let environments = counters.each_ref().map(|counter| {
        fs::write(counter, [0u8; 8]).unwrap();
        vec![format!("LD_PRELOAD={}", shim.display()), format!("ALLOCATION_COUNTER={}", counter.display())]
    });
    let count = |counter: &PathBuf| u64::from_ne_bytes(fs::read(counter).unwrap().try_into().unwrap());

    let mut pair = settled_pair(&lab, [&environments[0], &environments[1]]);
    let at_start = counters.each_ref().map(count);
    assert!(at_start.iter().all(|count| *count > 0), "the shim counts nothing at all: {at_start:?}");
    let capture = Capture::start(&lab, &["a"]).unwrap();
    clock::sleep_ms(3_000);
    let adverts = capture.adverts_from("a").len();
    assert!(
        adverts > 20 * usize::from(INSTANCES),
        "{adverts} adverts in 3 s: no steady state\n{}",
        pair[0].log()
    );
    assert_eq!(
        counters.each_ref().map(count),
        at_start,
        "allocations in the steady state (a MASTER, b BACKUP)"
    );

    // The failover itself is no steady state, but must not need the allocator either: it is when memory is short.
    pair[0].terminate();
    assert!(clock::wait_until(LIMIT, || lab.host("b").holds(VIP).unwrap()), "b: {}", pair[1].log());
    assert_eq!(count(&counters[1]), at_start[1], "allocations of b's advert thread while it took over");
}

fn nor_for_a_status_a_drain_or_a_reload() {
    let lab = Lab::pair("ordered").unwrap();
    let shim = compile_shim(lab.folder());
    let counter = lab.host("a").file("allocations");
    fs::write(&counter, [0u8; 8]).unwrap();
    let environment =
        vec![format!("LD_PRELOAD={}", shim.display()), format!("ALLOCATION_COUNTER={}", counter.display())];
    let count = || u64::from_ne_bytes(fs::read(&counter).unwrap().try_into().unwrap());
    let pair = settled_pair(&lab, [&environment, &[]]);
    let before = count();
    assert!(before > 0, "the shim counts nothing at all");
    let host = lab.host("a");
    let order = |arguments: &[&str]| {
        let mut command = Command::new(daemon::binary().unwrap());
        let output = command.args(arguments).arg("--socket").arg(daemon::socket(host)).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for round in 1..=5 {
        order(&["status"]);
        // Fewer, more, others, and other addresses of the same.
        let mut changed = instances(150 + round);
        changed.truncate(usize::from(INSTANCES - 3 * round));
        changed.extend((0..round).map(|number| Instance {
            name: format!("NEW_{number}"),
            vrid: 150 + 10 * round + number,
            virtual_addresses: vec![format!("10.99.{round}.{number}/32")],
            ..Instance::v3(100, "100ms")
        }));
        changed[1].virtual_addresses.push(format!("10.98.0.{round}/32"));
        write(host, &changed);
        let said = order(&["reload"]);
        assert!(said.contains("changed VI_1"), "{said}");
        order(&["drain", "VI_2"]);
        clock::sleep_ms(700);
        order(&["resume", "VI_2"]);
    }
    clock::sleep_ms(500);
    assert_eq!(count(), before, "allocations of the advert thread:\n{}", pair[0].log());
    assert!(pair[0].log().contains("NEW_4"), "{}", pair[0].log());
}

fn compile_shim(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/steady_state/count.c");
    let shim = folder.join("count.so");
    let status =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(&source).status().unwrap();
    assert!(status.success(), "cc cannot compile {}", source.display());
    shim
}

fn the_advert_thread_only_waits_sets_its_timer_sends_and_rings() {
    let strace = find_program("strace").expect("strace is not installed (cargo xtask setup installs it)");
    let lab = Lab::pair("strace").unwrap();
    let pair = settled_pair(&lab, [&[], &[]]);
    let allowed = [
        BTreeSet::from(["epoll_pwait2", "epoll_pwait", "epoll_wait", "timerfd_settime", "sendmmsg"]),
        BTreeSet::from(["epoll_pwait2", "epoll_pwait", "epoll_wait", "timerfd_settime"]),
    ];
    for ((daemon, host), allowed) in pair.iter().zip(["a", "b"]).zip(allowed) {
        let trace = lab.host(host).file("strace");
        let thread = thread_named(daemon.pid(), "adverts").to_string();
        let arguments = ["-p", &thread, "-o", trace.to_str().unwrap()];
        let mut tracer = lab.host(host).spawn("strace", &strace, &arguments).unwrap();
        clock::sleep_ms(2_000);
        tracer.terminate();
        tracer.wait(LIMIT).expect("strace does not end");
        let text = fs::read_to_string(&trace).unwrap();
        // Ringing a bell is a write of eight bytes to an eventfd: the thread says that it woke late, as it does under
        // a tracer.
        let is_bell = |line: &&str| line.starts_with("write(") && line.contains("\\0\", 8)");
        let lines = text.lines().filter(|line| !is_bell(line));
        let calls: Vec<&str> =
            lines.filter_map(|line| line.split_once('(')).map(|(name, _)| name.trim()).collect();
        assert!(calls.len() >= 10, "only {} calls in 2 s on {host}:\n{text}", calls.len());
        let used: BTreeSet<&str> = calls.iter().copied().filter(|name| *name != "restart_syscall").collect();
        assert!(used.is_subset(&allowed), "{host} calls {used:?}, of which only {allowed:?} are expected");
        // Forty routers due together leave in a few sendmmsg, not in forty: of 40 beats these are 1600.
        let sends = calls.iter().filter(|name| **name == "sendmmsg").count();
        println!("  {host}: {sends} sends of {} calls", calls.len());
        assert!(sends < 400, "{sends} sends of {} calls", calls.len());
    }
}

fn thread_named(pid: u32, name: &str) -> u32 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let found = threads.filter_map(|thread| thread.unwrap().file_name().to_str()?.parse::<u32>().ok()).find(
        |thread| {
            fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"))
                .is_ok_and(|comm| comm.trim() == name)
        },
    );
    found.unwrap_or_else(|| panic!("process {pid} has no thread {name:?}"))
}
