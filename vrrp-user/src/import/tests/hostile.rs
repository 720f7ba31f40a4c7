//! No input panics, none takes for ever, and what is written is always taken by our parser.

use core::fmt;
use core::time::Duration;

use proptest::prelude::*;

use super::*;

/// Words that mean something, so that random files get far.
const WORDS: &[&str] = &[
    "global_defs",
    "vrrp_instance",
    "vrrp_script",
    "vrrp_sync_group",
    "virtual_server",
    "real_server",
    "TCP_CHECK",
    "MISC_CHECK",
    "virtual_ipaddress",
    "virtual_ipaddress_excluded",
    "interface",
    "eth0",
    "eth1",
    "lo",
    "state",
    "MASTER",
    "BACKUP",
    "virtual_router_id",
    "priority",
    "advert_int",
    "nopreempt",
    "preempt",
    "preempt_delay",
    "authentication",
    "auth_type",
    "auth_pass",
    "PASS",
    "AH",
    "VI_1",
    "VI_2",
    "chk",
    "track_script",
    "track_interface",
    "script",
    "weight",
    "reverse",
    "notify_down",
    "notify_master",
    "notification_email",
    "smtp_server",
    "smtp_alert",
    "router_id",
    "garp_master_delay",
    "version",
    "unicast_peer",
    "10.0.0.1",
    "10.0.0.2/24",
    "10.0.0.256",
    "fe80::1",
    "0",
    "1",
    "2",
    "3",
    "51",
    "100",
    "255",
    "256",
    "0.25",
    "-20",
    "dev",
    "label",
    "scope",
    "brd",
    "{",
    "}",
    "{",
    "}",
    "\n",
    "\n",
    "\n",
    "\n",
    "#",
    "!",
    "\"",
    "'",
    "\\",
    "\\\n",
    "$A",
    "$A=",
    "${A}",
    "@x",
    "@^x",
    "~SEQ(A,1,3)",
    "~SEQx(A,3)",
    "~LST(A,1,2)",
    "~SEQ(A",
    "include",
    "*",
    "/etc/keepalived/keepalived.conf",
    "标记",
    "\u{0}",
    "\u{85}",
    "fall",
    "rise",
    "interval",
    "delay_loop",
    "retry",
    "connect_port",
    "vrrp_version",
    "vrrp_garp_master_repeat",
    "vrrp_strict",
    "\t",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        with(Memory::default().with(FILE, bytes), &Options::default());
    }

    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..120)) {
        imported(&words.join(" "));
    }

    #[test]
    fn any_lines_of_an_instance_leave_a_file_that_our_parser_takes(
        lines in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(WORDS), 1..5), 0..12),
    ) {
        let lines: Vec<String> = lines.iter().map(|line| line.join(" ")).collect();
        imported(&instance(&lines.join("\n")));
    }

    #[test]
    fn comments_and_names_are_written_so_that_they_read_back(comment in "\\PC{0,30}", name in "[^\\s{}\"'\\\\#!$@~]{1,20}") {
        let text = instance(&format!("priority 7 #{comment}")).replace("VI_1", &name);
        let imported = imported(&text);
        let config = parsed(imported.yaml.as_deref().unwrap()).config;
        prop_assert_eq!(config.instances[0].priority.get(), 7);
    }
}

#[test]
fn definitions_without_an_end_are_given_up() {
    for text in [
        "$A=$A\n$A\n",
        "$A=${A}${A}\n$A x\n",
        "$A= \\\n$A \\\n$A\n$A\n",
        "$A= \\\nx \\\n$B\n$B= \\\n$A \\\n$A\n$A\n",
        "$A=~SEQ(B,1,9) $A\n$A\n",
        "~SEQ(A,0,9223372036854775807) ~SEQ(B,0,9223372036854775807) @never x\n",
    ] {
        let before = cpu();
        let imported = imported(&format!("{text}{}", instance("")));
        let found = findings(&imported);
        assert!(found.iter().any(|(grade, _, _)| *grade == Grade::Error), "{text}{}", imported.report);
        let took = cpu() - before;
        assert!(took < 30.0, "{text} took {took} s");
    }
}

#[test]
fn nesting_without_an_end_is_survived() {
    let imported = imported(&format!("{}{}", "a {\n".repeat(20_000), "}\n".repeat(20_000)));
    assert!(imported.yaml.is_none());
}

/// Seconds of CPU that this thread has used: other load on the machine does not count.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
        .as_secs_f64()
}

fn instances(count: usize) -> String {
    let one = |number: usize| {
        format!(
            "vrrp_instance VI_{number} {{ # c{number}\n state BACKUP\n interface eth{}\n virtual_router_id {}\n priority 100\n advert_int 1\n \
             authentication {{\n  auth_type PASS\n  auth_pass 1111\n }}\n virtual_ipaddress {{\n  10.{}.{}.{}/32\n }}\n}}\n",
            number / 250,
            number % 250 + 1,
            number >> 16,
            number >> 8 & 255,
            number & 255
        )
    };
    (0..count).map(one).collect()
}

/// All 60 000 in the long mode.
fn count() -> usize {
    if std::env::var("VRRP_TEST_LONG").is_ok_and(|value| value == "1") { 60_000 } else { 4000 }
}

/// One of up to three measurements is good: what shares the machine takes its caches, too, and so costs CPU time.
fn assert_once<T: fmt::Debug>(what: &str, measure: impl Fn() -> T, is_good: impl Fn(&T) -> bool) {
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let measured = measure();
        if is_good(&measured) {
            return;
        }
        seen.push(measured);
    }
    panic!("{what}: {seen:?}");
}

#[test]
fn ten_thousand_lines_take_less_than_a_second_and_twice_as_many_twice_as_long() {
    let time = |count: usize| {
        let text = instances(count);
        let lines = text.lines().count();
        let before = cpu();
        let imported =
            import(Path::new(FILE), &Memory::default().with(FILE, text), &Options::default()).unwrap();
        let took = cpu() - before;
        assert_eq!(findings(&imported), []);
        assert_eq!(imported.yaml.unwrap().matches("- name:").count(), count);
        (lines, took)
    };
    let measure = || {
        let (_, half) = time(count() / 2);
        let (lines, took) = time(count());
        (took / (lines as f64 / 10_000.0), took / half)
    };
    let what = "seconds for each 10 000 lines, and how much longer twice the lines took";
    assert_once(what, measure, |(each, ratio)| *each < 1.0 && *ratio < 4.0);
}

#[test]
fn instances_by_the_sequence_come_out_one_by_one() {
    let (interfaces, ids) = if count() == 60_000 { (240, 250) } else { (16, 250) };
    let text = format!(
        "$I= \\\nvrrp_instance v.${{IF}}.${{ID}} {{ \\\ninterface bond${{IF}} \\\nuse_vmac v${{IF}}.${{ID}} \\\nvirtual_router_id ${{ID}} \\\n\
         virtual_ipaddress {{ \\\n10.1.${{IF}}.${{ID}}/32 \\\n}} \\\n}}\n~SEQ(IF,1,{interfaces}) ~SEQ(ID,1,{ids}) $I\n"
    );
    let measure = || {
        let before = cpu();
        let files = Memory::default().with(FILE, text.clone());
        let imported = import(Path::new(FILE), &files, &Options::default()).unwrap();
        let took = cpu() - before;
        assert_eq!(imported.yaml.unwrap().matches("- name:").count(), interfaces * ids);
        let [vmac] = imported.report.findings() else { panic!("{}", imported.report) };
        assert_eq!((vmac.place.line(), vmac.times), (4, interfaces * ids));
        // Nine lines for each.
        took / ((interfaces * ids * 9) as f64 / 10_000.0)
    };
    assert_once("seconds for each 10 000 lines", measure, |each| *each < 1.0);
}

/// The second of two mistakes must not cost a walk through all the others.
#[test]
fn a_mistake_in_each_of_many_instances_is_as_quick() {
    let text = instances(count() / 4).replace("priority 100", "priority 300");
    let lines = text.lines().count();
    let measure = || {
        let before = cpu();
        let files = Memory::default().with(FILE, text.clone());
        let imported = import(Path::new(FILE), &files, &Options::default()).unwrap();
        let took = cpu() - before;
        assert_eq!(imported.report.count(Grade::Error), count() / 4);
        took / (lines as f64 / 10_000.0)
    };
    assert_once("seconds for each 10 000 lines", measure, |each| *each < 1.5);
}
