//! Clients that are many, slow, silent or mad: none of them may cost an advert.

use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use vrrp_lab::{
    clock::{self, now_ns},
    daemon,
    harness::{self, Test},
    tests,
};

use super::wire::{INTERVAL, NEEDS, Pair};

const CLIENTS: usize = 50;

pub(crate) fn tests() -> Vec<Test> {
    tests![NEEDS;
        fifty_clients_half_of_them_slow_or_mad_make_no_advert_late,
        rubbish_is_answered_or_cut_off_and_the_next_client_is_served,
        the_socket_is_for_root_and_its_group_and_is_not_taken_from_a_living_daemon,
    ]
}

/// One request in one go; what came back until the server closed.
fn ask(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    // Of one that is too long the server need not take in the rest before it closes.
    stream.write_all(request).ok();
    let mut answer = Vec::new();
    // Reset: cut off, which is an answer, too.
    stream.read_to_end(&mut answer).unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

const STATUS: &[u8] = b"GET /v1/status HTTP/1.1\r\nHost: vrrp\r\n\r\n";

/// What client `number` does once.
fn misbehave(number: usize, socket: &Path, stop: &AtomicBool) {
    let Ok(mut stream) = UnixStream::connect(socket) else { return };
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let rubbish: Vec<u8> = (0..4096u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    match number % 5 {
        // A byte at a time.
        0 => {
            for byte in STATUS {
                if stop.load(Ordering::Relaxed) || stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        // Connects and says nothing.
        1 => thread::sleep(Duration::from_millis(500)),
        // Asks and never listens.
        2 => {
            stream.write_all(STATUS).ok();
            thread::sleep(Duration::from_millis(500));
        }
        // A head without end.
        3 => while !stop.load(Ordering::Relaxed) && stream.write_all(&[b'a'; 1024]).is_ok() {},
        _ => {
            stream.write_all(&rubbish).ok();
            stream.read(&mut [0; 64]).unwrap_or_default();
        }
    }
}

fn fifty_clients_half_of_them_slow_or_mad_make_no_advert_late() {
    let pair = Pair::start("clients");
    let socket = daemon::socket(pair.lab.host("a"));
    let span = harness::count(4_000, 20_000) as u64;
    let quiet = now_ns();
    clock::sleep_ms(span);
    let baseline = pair.longest_silence("a", quiet, now_ns());

    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let loud = now_ns();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (socket, stop, served) = (&socket, &stop, &served);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        misbehave(number / 2, socket, stop);
                    } else {
                        let answer = ask(socket, STATUS);
                        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                        served.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
        clock::sleep_ms(span);
        stop.store(true, Ordering::Relaxed);
    });
    let busy = pair.longest_silence("a", loud, now_ns());
    let served = served.into_inner();
    println!("  {served} clients served; longest silence {busy:?}, without clients {baseline:?}");
    assert!(served > CLIENTS, "only {served} were served:\n{}", pair.a.log());
    // Half an interval is far more than noise, and far less than an advert that did not leave.
    assert!(busy < baseline.max(INTERVAL) + INTERVAL / 2, "{busy:?}, without clients {baseline:?}");
    pair.assert_undisturbed("a", quiet);
    assert_eq!(pair.log_count("b", "-> MASTER"), 0, "{}", pair.b.log());
}

fn rubbish_is_answered_or_cut_off_and_the_next_client_is_served() {
    let mut pair = Pair::start("rubbish");
    let socket = daemon::socket(pair.lab.host("a"));
    let post = |path: &str, body: &str| {
        let length = body.len();
        ask(
            &socket,
            format!("POST {path} HTTP/1.1\r\nHost: v\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
        )
    };
    for (answer, status, text) in [
        (post("/v1/drain", "{"), "400", "not the JSON that is wanted"),
        (post("/v1/drain", "{}"), "400", "name the instances"),
        (post("/v1/drain", "{\"all\":true,\"instances\":[\"VI_1\"]}"), "400", "name the instances"),
        (post("/v1/drain", "{\"instances\":[\"VI_9\"]}"), "404", "no instance VI_9"),
        (post("/v1/drain", "{\"urgent\":true}"), "400", "urgent"),
        (post("/v1/drain", "{\"force\":true}"), "400", "name the instances"),
        (post("/v1/resume", "{\"all\":true,\"force\":true}"), "400", "force"),
        (post("/v1/drain", &"a".repeat(100_000)), "400", "body"),
        (post("/v1/status", ""), "405", "GET /v1/status"),
        (post("/", ""), "404", "GET /v1/status"),
        (ask(&socket, b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n"), "400", ""),
        (ask(&socket, &[b'a'; 40_000]), "4", ""),
    ] {
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.is_empty() || line.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(line.is_empty() || answer.contains(text), "{answer}");
    }
    assert!(ask(&socket, STATUS).starts_with("HTTP/1.1 200"));
    assert!(pair.a.is_running());
    assert_eq!(pair.log_count("a", "-> FAULT"), 0, "nothing of it drained anything");
}

fn the_socket_is_for_root_and_its_group_and_is_not_taken_from_a_living_daemon() {
    let mut pair = Pair::start("socket");
    let socket = daemon::socket(pair.lab.host("a"));
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    // b is told to use a's: it runs without one.
    let yaml = daemon::yaml("b", &[super::wire::instance(100)]);
    let yaml = daemon::with_control(pair.lab.host("a"), &yaml);
    std::fs::write(pair.b.config(), yaml).unwrap();
    let host = pair.lab.host("b");
    pair.b.restart(host).unwrap();
    pair.wait_for_log("b", "another process answers there", 1);
    assert_eq!(pair.status("a").0.pid, pair.a.pid());
    // What a killed daemon leaves is replaced, and a planned stop leaves nothing.
    let host = pair.lab.host("a");
    pair.a.restart(host).unwrap();
    assert!(clock::wait_until(Duration::from_secs(5), || pair.command("a", &["status"]).0 == Some(0)));
    pair.a.stop().unwrap();
    assert!(!socket.exists());
}
