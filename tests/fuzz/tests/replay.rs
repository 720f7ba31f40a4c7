//! Every target on its corpus, its seeds, and blind changes to both, on any toolchain: a crash that was found once does
//! not come back, and a parser that breaks at all breaks here first.
//!
//! `VRRP_FUZZ_SECONDS=60` changes for that long per target; libFuzzer, which sees what it reaches, digs deeper
//! (`cargo xtask fuzz`). A failure is written to a file that libFuzzer takes, too.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[path = "replay/changes.rs"]
mod changes;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, SystemTime},
};

use changes::Changes;
use vrrp_fuzz::{TARGETS, Target};

const SECONDS: u64 = 2;

/// The corpus in the order of its names, then the seeds.
fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let folder = target.corpus();
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let mut inputs: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    inputs.extend((target.seeds)());
    inputs
}

fn check(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.check)(input))).unwrap_or_else(|panic| {
        let file = env::temp_dir().join(format!("fuzz-{}-{}", target.name, std::process::id()));
        fs::write(&file, input).unwrap();
        eprintln!(
            "the input is in {0}; again: cargo xtask fuzz {1} --input {0}",
            file.display(),
            target.name
        );
        std::panic::resume_unwind(panic)
    })
}

#[expect(clippy::disallowed_methods, reason = "bounds the time of a test")]
fn replay(target: &Target) {
    let inputs = inputs(target);
    // A check that nothing gets through proves nothing.
    let accepted = inputs.iter().filter(|input| check(target, input)).count();
    assert!(accepted > 0, "{}: none of {} inputs is valid", target.name, inputs.len());
    let seconds = env::var("VRRP_FUZZ_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let begin = SystemTime::now();
    // Others each time, as the changes are blind anyway; the file above is what makes a failure come again.
    let mut changes = Changes::new(begin.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos());
    let (mut count, mut valid) = (0_u64, 0_u64);
    while begin.elapsed().unwrap() < Duration::from_secs(seconds) {
        for _ in 0..64 {
            valid += u64::from(check(target, changes.apply(&inputs)));
        }
        count += 64;
    }
    println!(
        "{}: {} inputs, {accepted} valid; {count} changed ones, {valid} valid",
        target.name,
        inputs.len()
    );
}

macro_rules! replay {
    ($($test:ident $target:ident),+ $(,)?) => {
        $(#[test]
        fn $test() {
            replay(&vrrp_fuzz::$target);
        })+
        const REPLAYED: &[Target] = &[$(vrrp_fuzz::$target),+];
    };
}

replay! {
    advert_keeps_its_promises ADVERT,
    frame_keeps_its_promises FRAME,
    arp_keeps_its_promises ARP,
    classify_delivers_only_what_the_rfcs_accept CLASSIFY,
    record_keeps_its_promises RECORD,
    config_keeps_its_promises CONFIG,
    value_keeps_its_promises VALUE,
    plan_keeps_its_promises PLAN,
    control_keeps_its_promises CONTROL,
    import_keeps_its_promises IMPORT,
    peek_tells_what_the_strict_parser_reads PEEK,
    reset_answers_as_the_rfc_says RESET,
    block_refuses_what_the_daemon_reads_too BLOCK,
    gtid_is_arithmetic_on_sets GTID,
    answers_are_taken_for_no_more_than_they_say ANSWERS,
    tables_keep_their_promises TABLES,
    kernel_record_keeps_its_promises KERNEL_RECORD,
    drained_keeps_its_promises DRAINED,
}

#[test]
fn no_target_is_left_out() {
    let names = |targets: &[Target]| targets.iter().map(|target| target.name).collect::<Vec<_>>();
    assert_eq!(names(REPLAYED), names(&TARGETS));
}

fn refuse_three(input: &[u8]) -> bool {
    assert!(input.len() < 3, "three");
    true
}

#[test]
fn a_panic_in_a_check_is_a_failure() {
    let broken = Target { name: "broken", check: refuse_three, seeds: Vec::new };
    assert!(check(&broken, &[1, 2]));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = catch_unwind(|| check(&broken, &[1, 2, 3]));
    std::panic::set_hook(hook);
    let file = env::temp_dir().join(format!("fuzz-broken-{}", std::process::id()));
    assert_eq!(fs::read(&file).unwrap(), [1, 2, 3]);
    fs::remove_file(file).unwrap();
    assert!(caught.is_err());
}
