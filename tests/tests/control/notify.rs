//! Who is told what, against the real keepalived, a real mail server, and ways of telling that hang.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use vrrp_lab::{
    Daemon, Host, Keepalived, Lab, Peer, Process, Requirement,
    capability::find_program,
    clock::{self, SECOND, nanos, now_ns},
    daemon,
    harness::{self, Test},
    peers, tests,
};

use super::wire::{INTERVAL, LIMIT, NEEDS, Pair, VIP, instance};

const KEEPALIVED: [Requirement; 3] = [NEEDS[0], NEEDS[1], Requirement::Keepalived];
const MAIL: [Requirement; 3] = [NEEDS[0], NEEDS[1], Requirement::Tool("aiosmtpd")];

pub(crate) fn tests() -> Vec<Test> {
    [
        tests![KEEPALIVED; scripts_and_fifo_hear_from_an_imported_file_what_keepalived_tells_them],
        tests![MAIL; mail_reaches_a_real_server_and_waits_for_one_that_is_down],
        tests![NEEDS; scripts_mail_and_webhooks_that_hang_hold_neither_adverts_nor_a_planned_stop_up],
    ]
    .concat()
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a host's script and FIFO heard.
struct Ears {
    heard: PathBuf,
    from_fifo: PathBuf,
    fifo: PathBuf,
    any: PathBuf,
    own: PathBuf,
    _reader: Process,
}

impl Ears {
    fn of(host: &Host) -> Self {
        let [heard, from_fifo, fifo, any, own] =
            ["heard", "from-fifo", "fifo", "any.sh", "own.sh"].map(|name| host.file(name));
        script(&any, &format!("echo \"any $*\" >> {}", heard.display()));
        script(&own, &format!("echo \"own $*\" >> {}", heard.display()));
        host.namespace().run("mkfifo", &[&fifo.to_string_lossy()]).unwrap();
        // Opened for writing too: the reader does not end with the daemon.
        let command = format!("exec cat 0<>{} > {}", fifo.display(), from_fifo.display());
        let reader = host.spawn("reader", Path::new("/bin/sh"), &["-c", &command]).unwrap();
        Self { heard, from_fifo, fifo, any, own, _reader: reader }
    }

    fn heard(&self) -> Vec<String> {
        lines(&self.heard)
    }

    fn piped(&self) -> Vec<String> {
        lines(&self.from_fifo)
    }

    fn wait_for(&self, line: &str, count: usize, log: &dyn Fn() -> String) {
        let found = || self.heard().iter().filter(|heard| *heard == line).count() >= count;
        assert!(
            clock::wait_until(LIMIT, found),
            "{line} is not {count} times in {:?}\n{}",
            self.heard(),
            log()
        );
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A life with every state in it; `log` for when it goes wrong.
fn live(host: &Host, ears: &Ears, log: &dyn Fn() -> String) {
    ears.wait_for("any INSTANCE VI_1 MASTER 100", 1, log);
    host.lose_carrier().unwrap();
    ears.wait_for("any INSTANCE VI_1 FAULT 100", 1, log);
    host.restore_carrier().unwrap();
    ears.wait_for("any INSTANCE VI_1 MASTER 100", 2, log);
}

fn scripts_and_fifo_hear_from_an_imported_file_what_keepalived_tells_them() {
    let lab = Lab::pair("ears").unwrap();
    let (a, b) = (lab.host("a"), lab.host("b"));
    let (theirs, ours) = (Ears::of(a), Ears::of(b));
    let peer = |ears: &Ears| Peer {
        extra: vec![
            format!("notify {}", ears.any.display()),
            format!("notify_master \"{} is master\"", ears.own.display()),
        ],
        ..Peer::v3(100, 100)
    };
    let globals =
        |ears: &Ears| ["script_user root".to_owned(), format!("vrrp_notify_fifo {}", ears.fifo.display())];

    let lines = globals(&theirs);
    let lines = lines.each_ref().map(String::as_str);
    let mut keepalived = Keepalived::start_with(a, &lines, &[peer(&theirs)]).unwrap();
    live(a, &theirs, &|| keepalived.log());
    keepalived.stop().unwrap();
    theirs.wait_for("any INSTANCE VI_1 STOP 100", 1, &|| keepalived.log());

    let file = b.file("imported.conf");
    let lines = globals(&ours);
    fs::write(&file, peers::configuration(&lines.each_ref().map(String::as_str), &[peer(&ours)])).unwrap();
    let imported = Command::new(daemon::binary().unwrap()).arg("import").arg(&file).output().unwrap();
    let yaml = String::from_utf8(imported.stdout).unwrap();
    let report = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert!(yaml.contains("notify:") && yaml.contains("fifo:"), "{yaml}\n{report}");
    let mut daemon = Daemon::start_with_yaml(b, &yaml).unwrap();
    live(b, &ours, &|| daemon.log());
    daemon.stop().unwrap();
    ours.wait_for("any INSTANCE VI_1 STOP 100", 1, &|| daemon.log());

    let last = "INSTANCE \"VI_1\" STOP 100";
    // The reader of the FIFO writes a little after the script.
    for ears in [&theirs, &ours] {
        let is_piped = || ears.piped().last().is_some_and(|line| line == last);
        assert!(clock::wait_until(LIMIT, is_piped), "{last:?} is not the last of {:?}", ears.piped());
    }
    println!("  keepalived: {:?}\n  fifo: {:?}", theirs.heard(), theirs.piped());
    println!("  vrrp: {:?}\n  fifo: {:?}", ours.heard(), ours.piped());
    let states = |lines: Vec<String>| {
        // keepalived runs its scripts at once and side by side: only what they were told can be compared.
        let mut lines = lines;
        lines.dedup();
        lines.sort();
        lines.dedup();
        lines
    };
    assert_eq!(states(ours.heard()), states(theirs.heard()));
    assert!(ours.heard().contains(&"own is master".to_owned()), "nothing added: {:?}", ours.heard());
    assert_eq!(states(ours.piped()), states(theirs.piped()));
}

fn mail_reaches_a_real_server_and_waits_for_one_that_is_down() {
    let lab = Lab::pair("mail").unwrap();
    let host = lab.host("a");
    let mut text = daemon::yaml("db1", &[instance(150)]);
    text.push_str(
        "mail: { to: [\"dba@example.org\", root@localhost], from: vrrp@example.org, server: 127.0.0.1, port: 2525,\n  \
         connect_timeout: 2s, on: [master, stop] }\n",
    );
    let mut daemon = Daemon::start_with_yaml(host, &text).unwrap();
    let refused = || daemon.log().contains("again in");
    assert!(clock::wait_until(LIMIT, refused), "{}", daemon.log());
    let program = find_program("aiosmtpd").unwrap();
    let arguments = ["-n", "-l", "127.0.0.1:2525", "-c", "aiosmtpd.handlers.Debugging", "stdout"];
    // Debian's, for Debian's Python: another one may be first in PATH.
    let arguments = [&[program.to_str().unwrap()], arguments.as_slice()].concat();
    let server =
        host.spawn("aiosmtpd", Path::new("/usr/bin/python3"), &[&["-u"], arguments.as_slice()].concat());
    let server = server.unwrap();
    let come = |text: &str| clock::wait_until(LIMIT, || server.log().contains(text));
    assert!(come("Subject: [db1] VI_1 is MASTER"), "{}\n{}", server.log(), daemon.log());
    for line in ["From: vrrp@example.org", "To: dba@example.org, root@localhost", "why:      no master heard"]
    {
        assert!(come(line), "{line} is not in\n{}", server.log());
    }
    assert!(!server.log().contains("is BACKUP"), "not asked for:\n{}", server.log());
    daemon.stop().unwrap();
    assert!(come("Subject: [db1] VI_1 is STOP"), "{}\n{}", server.log(), daemon.log());
}

fn scripts_mail_and_webhooks_that_hang_hold_neither_adverts_nor_a_planned_stop_up() {
    let pair = Pair::start("hang");
    let host = pair.lab.host("a");
    let (flap, hang) = (host.file("flap.sh"), host.file("hang.sh"));
    let well = host.file("well");
    script(&flap, &format!("test -e {}", well.display()));
    script(&hang, "sleep 1000");
    let check = format!(
        "checks: [{{ name: flap, script: {{ command: {} }}, interval: 50ms, on_failure: report }}]",
        flap.display()
    );
    // Addresses of the segment that nobody has: connecting takes its time.
    let lines = format!(
        "mail: {{ to: [x@y.example], server: 10.99.0.250 }}\n\
         notify: {{ any: {0}, health: {0}, fifo: {1}, webhook: {{ url: \"http://10.99.0.251/\" }} }}\n",
        hang.display(),
        host.file("unread").display()
    );
    pair.write("a", &(daemon::yaml("a", &[instance(150).with(&check)]) + &lines));
    let from = now_ns();
    pair.succeed("a", &["reload"]);
    let span = Duration::from_millis(harness::count(4_000, 20_000) as u64);
    while now_ns() - from < nanos(span) {
        fs::write(&well, "").unwrap();
        clock::sleep_ms(100);
        fs::remove_file(&well).unwrap();
        clock::sleep_ms(100);
    }
    let silence = pair.longest_silence("a", from, now_ns());
    let (status, _) = pair.status("a");
    let changes = status.instances[0].checks[0].changes;
    println!("  {changes} verdicts told; longest silence {silence:?}; {:?}", status.notifications);
    assert!(changes > 10, "{:?}", status.instances[0].checks);
    assert!(silence < INTERVAL * 2, "{silence:?}");
    pair.assert_undisturbed("a", from);

    // The addresses go at once, and what hangs is given up after a while.
    let mut pair = pair;
    let told = now_ns();
    pair.a.terminate();
    pair.watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let lost = pair.watch.timeline(VIP).unwrap().lost_at("a", told).unwrap();
    let allowed = SECOND + nanos(pair.stalls.within(told, lost));
    assert!(lost - told < allowed, "{} ms", (lost - told) / 1_000_000);
    assert!(pair.a.wait(Duration::from_secs(9)).is_some_and(|status| status.success()), "{}", pair.a.log());
    assert!(pair.a.log().contains("is given up"), "{}", pair.a.log());
}
