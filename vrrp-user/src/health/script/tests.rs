//! Scripts that end, fail, hang, fork and may not be run.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use tokio::time::sleep;

use super::*;

const PLENTY: Duration = Duration::from_secs(30);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, body: &str) -> CommandLine {
        let program = self.path("script");
        crate::testing::write_script(&program, body);
        CommandLine { program, arguments: vec!["one".into(), "two words".into()] }
    }
}

/// As whoever may run it: the tests' folder need not be root's alone.
async fn run_as_owner(line: &CommandLine, limit: Duration) -> Outcome {
    execute(line, geteuid().is_root().then_some("root"), &[("VRRP_CHECK", "x".to_owned())], limit).await
}

#[tokio::test]
async fn the_exit_code_decides() {
    let folder = Folder::new();
    assert_eq!(run_as_owner(&folder.script("exit 0"), PLENTY).await, Outcome::Good);
    let failed = run_as_owner(&folder.script("exit 3"), PLENTY).await;
    assert_eq!(failed, Outcome::Failed("exit status: 3".into()));
    let Outcome::Failed(why) = run_as_owner(&folder.script("kill -9 $$"), PLENTY).await else {
        panic!("not failed")
    };
    assert!(why.contains("signal: 9"), "{why}");
}

#[tokio::test]
async fn arguments_arrive_as_written_and_of_the_environment_only_what_is_meant() {
    let folder = Folder::new();
    let out = folder.path("out");
    let body = format!("printf '%s|%s|' \"$1\" \"$2\" > {0}; env >> {0}", out.display());
    assert_eq!(run_as_owner(&folder.script(&body), PLENTY).await, Outcome::Good);
    let text = fs::read_to_string(out).unwrap();
    assert!(text.starts_with("one|two words|"), "{text}");
    assert!(text.contains("VRRP_CHECK=x\n"), "{text}");
    // Cargo sets it for every test.
    assert!(!text.contains("CARGO_MANIFEST_DIR"), "{text}");
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_all_its_children() {
    let folder = Folder::new();
    let pids = folder.path("pids");
    let body = format!("sleep 1000 & echo $! > {0}; echo $$ >> {0}; wait", pids.display());
    let began = Instant::now();
    let outcome = run_as_owner(&folder.script(&body), Duration::from_secs(3)).await;
    assert!(matches!(&outcome, Outcome::TimedOut(why) if why.contains("3s")), "{outcome:?}");
    assert!(began.elapsed() < PLENTY);
    let pids = fs::read_to_string(pids).unwrap();
    assert_eq!(pids.lines().count(), 2, "{pids}");
    assert_gone(&pids).await;
}

#[tokio::test]
async fn a_run_that_is_given_up_leaves_nothing_behind() {
    let folder = Folder::new();
    let pids = folder.path("pids");
    let line = folder.script(&format!("sleep 1000 & echo $! > {0}; wait", pids.display()));
    let running = tokio::spawn(async move { run_as_owner(&line, PLENTY).await });
    while !fs::read_to_string(&pids).is_ok_and(|text| text.ends_with('\n')) {
        sleep(Duration::from_millis(5)).await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_gone(&fs::read_to_string(pids).unwrap()).await;
}

async fn assert_gone(pids: &str) {
    for pid in pids.lines() {
        // A killed orphan stays a zombie until its new parent reaps it.
        let lives = || {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
        };
        for _ in 0..1000 {
            if !lives() {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        assert!(!lives(), "process {pid} lives");
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_no_failure_of_the_service() {
    let folder = Folder::new();
    let line = CommandLine { program: folder.path("none"), arguments: Vec::new() };
    assert!(
        matches!(run_as_owner(&line, PLENTY).await, Outcome::NotRun(why) if why.contains("cannot be started"))
    );
    let line = folder.script("exit 0");
    let outcome = execute(&line, Some("no-such-user"), &[], PLENTY).await;
    assert!(matches!(&outcome, Outcome::NotRun(why) if why.contains("no user no-such-user")), "{outcome:?}");
}

#[test]
fn root_runs_nothing_that_others_can_change() {
    if !geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let program = folder.script("exit 0").program;
    assert_eq!(is_roots_alone(&program), Ok(()));
    fs::set_permissions(&program, Permissions::from_mode(0o775)).unwrap();
    assert!(is_roots_alone(&program).unwrap_err().contains("can be written by others (mode 0775)"));
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.0.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(is_roots_alone(&program).unwrap_err().contains("can be written by others (mode 0777)"));
    fs::set_permissions(folder.0.path(), Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&program, Some(12_345), None).unwrap();
    assert!(is_roots_alone(&program).unwrap_err().contains("belongs to user 12345"));
}

#[test]
fn what_nobody_may_execute_is_said_before_it_runs() {
    let folder = Folder::new();
    let line = folder.script("exit 0");
    let said = |line: &CommandLine| obstacle(line, Some("root"));
    assert_eq!(said(&line), None);
    fs::set_permissions(&line.program, Permissions::from_mode(0o644)).unwrap();
    assert!(said(&line).unwrap().contains("nobody may execute it (mode 0644)"), "{:?}", said(&line));
    let directory = CommandLine { program: folder.0.path().to_owned(), arguments: Vec::new() };
    assert!(said(&directory).unwrap().contains("is no program"), "{:?}", said(&directory));
}

#[test]
fn accounts_are_found_by_their_whole_name() {
    let accounts = "root:x:0:0:root:/root:/bin/bash\nnobody2:x:9:9::/:\nnobody:x:65534:65533:nobody:/:/bin/false\nbad:x\n";
    assert_eq!(find_account(accounts, "nobody"), Some((65534, 65533)));
    assert_eq!(find_account(accounts, "root"), Some((0, 0)));
    for name in ["nob", "bad", "x", ""] {
        assert_eq!(find_account(accounts, name), None, "{name}");
    }
}
