//! `cargo xtask run` as its user has it: the program itself, keys on its standard input, and what it prints.
//!
//! It says nothing twice that the suites of the daemon prove: here the lab must show what happens, and leave nothing behind.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use vrrp_lab::{Requirement, clock, daemon::binary, harness, tests};

const LIMIT: Duration = Duration::from_secs(60);
/// The bare lab speaks each 100 ms: a guard acts 200 ms after the last advert, and the next is due at 100.
const STALL: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    use Requirement::{Daemon, Lab, MariaDb};
    let mut all = tests![[Lab, Daemon, MariaDb];
        a_killed_server_is_an_outage_and_the_next_owner_writes,
    ];
    all.extend(tests![[Lab, Daemon];
        the_bare_lab_switches_at_a_key,
    ]);
    harness::run(harness::despite_stalls(STALL, all))
}

/// The running program. Killed when dropped; then the next lab sweeps what it left.
struct Run {
    child: Child,
    keys: ChildStdin,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        let daemon = binary().unwrap();
        let program = daemon.with_file_name("xtask");
        assert!(program.is_file(), "no {} (cargo build -p xtask)", program.display());
        let mut child = Command::new(program)
            // A build here would be another one, as cargo unites other features for it: a minute lost, and the daemon of
            // the suites replaced under them.
            .args(["run", "--plain", "--binary"])
            .arg(daemon)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (keys, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        Self { child, keys, lines }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// The first line with all these words, from the line with that number on, and its number.
    fn wait_for(&self, from: usize, words: &[&str]) -> (usize, String) {
        let find = || {
            let lines = self.lines.lock().unwrap();
            let has = |line: &String| words.iter().all(|word| line.contains(word));
            let found = lines.iter().enumerate().skip(from).find(|(_, line)| has(line));
            found.map(|(number, line)| (number, line.clone()))
        };
        clock::wait_until(LIMIT, || find().is_some());
        find().unwrap_or_else(|| panic!("never said {words:?}:\n{}", self.text()))
    }

    fn press(&mut self, key: char) {
        write!(self.keys, "{key}").and_then(|()| self.keys.flush()).unwrap();
    }

    /// SIGINT, as Ctrl-C sends it: it ends by itself, soon, and nothing of it is left.
    fn interrupt(&mut self) {
        let pid = self.child.id();
        Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
        let mut ending = None;
        clock::wait_until(Duration::from_secs(15), || {
            ending = self.child.try_wait().unwrap();
            ending.is_some()
        });
        assert!(ending.is_some_and(|status| status.success()), "{ending:?}:\n{}", self.text());
        let mark = format!("vl{pid}-");
        let names = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let left = [names(PathBuf::from("/run/netns")), names(std::env::temp_dir())].concat();
        assert!(!left.iter().any(|name| name.starts_with(&mark)), "{left:?}");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&mark), "{mounts}");
        // Killed ones are gone when whoever has inherited them has heard of it.
        let mut processes = String::new();
        let is_clean = clock::wait_until(Duration::from_secs(20), || {
            let output = Command::new("ps").args(["-eo", "args"]).output().unwrap();
            processes = String::from_utf8_lossy(&output.stdout).into_owned();
            !processes.contains(&mark)
        });
        assert!(is_clean, "{processes}");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ending| ending.is_none()) {
            self.child.kill().and_then(|()| self.child.wait()).ok();
        }
    }
}

fn a_killed_server_is_an_outage_and_the_next_owner_writes() {
    let mut run = Run::start(&[]);
    run.wait_for(0, &["a owns the VIP"]);
    let (writes, _) = run.wait_for(
        0,
        &["owner: a", "a's mysqld runs, writable", "b's mysqld runs, read-only", "writer: writes"],
    );
    run.press('m');
    let (killed, _) = run.wait_for(writes, &["a's mysqld was killed"]);
    run.wait_for(killed, &["b owns the VIP"]);
    let (_, outage) = run.wait_for(killed, &["writer: outage", "writes again on b"]);
    println!("{outage}");
    run.wait_for(killed, &["acknowledged writes", "on b"]);
    let (_, status) =
        run.wait_for(killed, &["owner: b", "a's mysqld dead", "b's mysqld runs, writable", "writer: writes"]);
    println!("{status}");
    run.press('u');
    let (started, _) = run.wait_for(killed, &["a's mysqld was started again"]);
    run.wait_for(started, &["owner: b", "a's mysqld runs, read-only"]);
    // Full disk and back; a frozen server must not hold up the end.
    run.press('d');
    let (full, _) = run.wait_for(started, &["a's binary log's disk was filled up"]);
    run.press('d');
    run.wait_for(full, &["a's binary log's disk has room again"]);
    run.press('f');
    let (frozen, _) = run.wait_for(full, &["a's mysqld was frozen"]);
    run.wait_for(frozen, &["a's mysqld frozen, ?"]);
    run.interrupt();
    assert!(!run.text().contains("TWO OWNERS"), "{}", run.text());
}

fn the_bare_lab_switches_at_a_key() {
    let mut run = Run::start(&["--no-mysql"]);
    let (owned, line) = run.wait_for(0, &["owns the VIP"]);
    let (owner, other) = if line.contains("-> a owns") { ("a", "b") } else { ("b", "a") };
    // Until the other one has heard its master.
    run.wait_for(owned, &[&format!("owner: {owner}")]);
    run.press('p');
    let (told, _) = run.wait_for(owned, &[&format!("{owner} was told to hand over")]);
    run.wait_for(told, &[&format!("{other} owns the VIP")]);
    run.wait_for(told, &[&format!("{owner} was resumed")]);
    run.press('m');
    run.wait_for(told, &["no database servers"]);
    run.interrupt();
    assert!(!run.text().contains("TWO OWNERS") && !run.text().contains("mysqld"), "{}", run.text());
}
