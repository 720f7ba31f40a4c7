//! The witness of process exits: the real program on the real tracepoint.

use std::{
    process::{Child, Command},
    time::Duration,
};

use vrrp_lab::{
    Requirement, clock,
    harness::{Test, despite_stalls},
    tests,
};
use vrrp_user::net::exits::Exits;

/// The memory is gone some tens of milliseconds after the kill: whoever is not run meanwhile learns of both at once.
const STALL: Duration = Duration::from_millis(10);

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    let mut all = tests![[Lab, Daemon];
        the_witness_tells_of_watched_processes_and_of_no_others,
    ];
    all.extend(despite_stalls(
        STALL,
        tests![[Lab, Daemon];
            the_witness_speaks_before_the_memory_of_a_large_process_is_gone,
        ],
    ));
    all
}

fn in_runtime<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work().await })
}

fn sleeper() -> Child {
    Command::new("/bin/sleep").arg("1000").spawn().unwrap()
}

fn the_witness_tells_of_watched_processes_and_of_no_others() {
    in_runtime(async || {
        let mut exits = Exits::attach().unwrap();
        let (mut watched, mut other, mut forgotten) = (sleeper(), sleeper(), sleeper());
        for child in [&watched, &forgotten] {
            exits.watch(child.id()).unwrap();
        }
        exits.forget(forgotten.id());
        for child in [&mut other, &mut forgotten, &mut watched] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let told = tokio::time::timeout(Duration::from_secs(5), exits.next()).await.unwrap().unwrap();
        assert_eq!(told, watched.id(), "neither {} nor {}", other.id(), forgotten.id());
        let more = tokio::time::timeout(Duration::from_millis(200), exits.next()).await;
        assert!(more.is_err(), "nobody else: {more:?}");
    });
}

/// The tracepoint comes before the kernel takes the memory down; a parent learns of the end only after it. Far before: who is
/// woken first by one event is chance, and who waits for a CPU has another try.
fn the_witness_speaks_before_the_memory_of_a_large_process_is_gone() {
    const TRIES: usize = 5;
    let mut tries = std::iter::repeat_with(told_and_gone).take(TRIES);
    assert!(tries.any(|(told, gone)| told * 2 < gone), "it never spoke long before");
}

/// How long after the kill of a process with much memory the witness spoke, and its parent knew.
fn told_and_gone() -> (Duration, Duration) {
    const MEGABYTES: usize = 512;
    in_runtime(async || {
        let mut exits = Exits::attach().unwrap();
        let mut child = Command::new("/usr/bin/perl")
            .args([
                "-e",
                &format!(
                    "$x = 'x' x ({MEGABYTES} << 20); print \"ready\\n\"; $| = 1; print \"\\n\"; sleep 1000"
                ),
            ])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        exits.watch(child.id()).unwrap();
        let killed = clock::now_ns();
        child.kill().unwrap();
        let waiter = std::thread::spawn(move || {
            child.wait().unwrap();
            Duration::from_nanos(clock::now_ns() - killed)
        });
        exits.next().await.unwrap();
        let told = Duration::from_nanos(clock::now_ns() - killed);
        let gone = waiter.join().unwrap();
        println!("the witness spoke after {told:?}, the process was gone after {gone:?}");
        (told, gone)
    })
}
