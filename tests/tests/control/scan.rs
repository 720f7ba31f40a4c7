//! `vrrp scan`: who speaks on a segment, and what does not fit.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use vrrp_lab::{
    Capture, Keepalived, Lab, Peer, Requirement, clock, daemon,
    flood::{Junk, send},
    frame::Advert,
    harness::Test,
    lab::Host,
    tests,
};

use super::wire::{LIMIT, NEEDS, Pair, VIP};

pub(crate) fn tests() -> Vec<Test> {
    let alone = tests![NEEDS; beside_a_daemon_it_tells_what_that_one_drops];
    let with_keepalived = tests![[Requirement::Lab, Requirement::Daemon, Requirement::Keepalived];
        speakers_are_listed_with_what_does_not_fit,
    ];
    [alone, with_keepalived].concat()
}

/// Its exit code, standard output and standard error, on that host.
fn scan(host: &Host, arguments: &[&str]) -> (Option<i32>, String, String) {
    let binary = daemon::binary().unwrap();
    let run = || Command::new(binary).arg("scan").args(arguments).output();
    let output = host.namespace().enter(run).unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn speaker<'r>(report: &'r Value, source: &str, id: u8) -> &'r Value {
    let speakers = report["speakers"].as_array().unwrap();
    let found = speakers.iter().find(|one| one["source"] == source && one["virtual_router_id"] == id);
    found.unwrap_or_else(|| panic!("nobody is {source} for {id} in {report:#}"))
}

fn problems(speaker: &Value) -> String {
    let problems = speaker["problems"].as_array().unwrap();
    problems.iter().map(|problem| problem.as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

fn speakers_are_listed_with_what_does_not_fit() {
    let lab = Lab::pair("scan").unwrap();
    let (a, b, client) = (lab.host("a"), lab.host("b"), lab.host("client"));
    let nowhere = lab.folder().join("no.sock").to_string_lossy().into_owned();
    let (code, out, _) = scan(b, &["eth0", "--for", "1s", "--socket", &nowhere]);
    assert_eq!(code, Some(0));
    assert!(out.contains("nobody speaks VRRP on eth0"), "{out}");
    let (code, _, error) = scan(b, &["eth7", "--for", "1s", "--socket", &nowhere]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no interface eth7; there is lo, eth0"), "{error}");

    let capture = Capture::start(&lab, &["a"]).unwrap();
    let _keepalived = Keepalived::start(
        a,
        &[
            Peer::v2(150),
            Peer {
                name: "VI_2".to_owned(),
                vrid: 52,
                virtual_addresses: vec!["10.99.0.202/24".to_owned()],
                ..Peer::v3(150, 500)
            },
        ],
    )
    .unwrap();
    assert!(capture.wait_for(LIMIT, |record| record.advert().is_some()).is_some(), "keepalived is silent");
    clock::sleep_ms(1_500);
    let config = b.file("scan.yaml");
    let instance = |name: &str, id: u8, address: &str, more: &str| {
        format!(
            "  - {{ name: {name}, interface: eth0, virtual_router_id: {id}, priority: 150, virtual_addresses: \
             [{address}], {more} }}\n"
        )
    };
    let text = format!(
        "instances:\n{}{}{}",
        instance(
            "FITS",
            51,
            "10.99.0.200/24",
            "auth: { type: pass, password: \"1111\" }, peers: [10.99.0.1]"
        ),
        instance("OTHER", 52, "10.99.0.203/24", "version: 2"),
        instance("SILENT", 53, "10.99.0.204/24", "version: 3"),
    );
    fs::write(&config, text).unwrap();
    let config = config.to_string_lossy().into_owned();
    let arguments = ["eth0", "--for", "5s", "--config", &config, "--socket", &nowhere, "--json"];
    // Another one for 52, by hand, while it listens.
    let rival = Advert::v3("10.99.0.100".parse().unwrap(), 52, 90, 50, &[VIP]).emit(client.mac());
    let (code, out, error) = std::thread::scope(|scope| {
        let scanning = scope.spawn(|| scan(b, &arguments));
        for _ in 0..8 {
            clock::sleep_ms(500);
            send(client, std::slice::from_ref(&rival)).unwrap();
        }
        scanning.join().unwrap()
    });
    assert_eq!(code, Some(1), "{error}{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["speakers"].as_array().unwrap().len(), 3, "{report:#}");
    assert_eq!(report["silent"], serde_json::json!(["SILENT"]));

    let fits = speaker(&report, "10.99.0.1", 51);
    assert_eq!((fits["version"].as_u64(), fits["interval_ms"].as_u64()), (Some(2), Some(1000)));
    assert_eq!(fits["instance"], "FITS");
    assert_eq!(problems(fits), "the priority of FITS: the higher of the two hosts' addresses decides");
    // The mean of four gaps or so, of which a stall makes one longer; the other router's are half as long.
    let measured = fits["measured_ms"].as_u64().unwrap();
    assert!((700..1_700).contains(&measured), "{measured}");
    let other = problems(speaker(&report, "10.99.0.1", 52));
    assert!(other.contains("version 3, OTHER has 2: neither hears the other"), "{other}");
    assert!(other.contains("speaks at the same time as 10.99.0.100: two masters"), "{other}");
    let rival = speaker(&report, "10.99.0.100", 52);
    assert_eq!((rival["priority"].as_u64(), rival["this_host"].as_bool()), (Some(90), Some(false)));
    assert!(problems(rival).contains("two masters"));

    let (_, table, _) = scan(b, &["eth0", "--for", "2s", "--config", &config, "--socket", &nowhere]);
    for words in ["VRID", "51 FITS", "10.99.0.1 02:00:0a:63:00:01", "SILENT is configured for eth0"] {
        assert!(table.contains(words), "{words:?} is not in\n{table}");
    }
    let (code, _, error) = scan(b, &["eth0", "--config", "/nowhere.yaml"]);
    assert_eq!(code, Some(2), "{error}");
}

fn beside_a_daemon_it_tells_what_that_one_drops() {
    let pair = Pair::start("scan-beside");
    let from = clock::now_ns();
    let model = Advert::v3("10.99.0.1".parse().unwrap(), 51, 150, 10, &[VIP]);
    send(pair.lab.host("client"), &Junk::WrongTtl.forge(&model, [2, 0, 10, 99, 0, 66])).unwrap();
    let of = |host: &str| {
        let socket = daemon::socket(pair.lab.host(host)).to_string_lossy().into_owned();
        let config = pair.daemon(host).config().to_string_lossy().into_owned();
        scan(
            pair.lab.host(host),
            &["eth0", "--for", "2s", "--socket", &socket, "--config", &config, "--json"],
        )
    };
    let (code, out, error) = of("b");
    assert_eq!(code, Some(1), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let master = speaker(&report, "10.99.0.1", 51);
    // Twenty were sent; the machine may stall.
    assert!(master["adverts"].as_u64().unwrap() >= 5, "{report:#}");
    assert_eq!(problems(master), "");
    let note = report["notes"][0].as_str().unwrap();
    assert!(
        note.starts_with("this host's daemon drops adverts for VI_1 (VRID 51), last from 10.99.0."),
        "{note}"
    );
    assert!(note.ends_with(": ip_ttl"), "{note}");

    // The master hears itself.
    let (_, out, _) = of("a");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(speaker(&report, "10.99.0.1", 51)["this_host"], true);
    assert!(Path::new(&pair.daemon("a").config()).exists());
    pair.assert_undisturbed("a", from);
}
