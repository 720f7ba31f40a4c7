//! What Prometheus reads, against Prometheus's own tools, and what the dashboard and the alerts make of it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use vrrp_lab::{
    Daemon, Host, Lab, Requirement,
    clock::{self, now_ns},
    daemon,
    harness::Test,
    tests,
};

use super::wire::{LIMIT, NEEDS, Pair, VIP, instance};

const PROMTOOL: [Requirement; 3] = [NEEDS[0], NEEDS[1], Requirement::Tool("promtool")];
const PLACE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9112);

pub(crate) fn tests() -> Vec<Test> {
    [
        tests![PROMTOOL;
            promtool_finds_nothing_to_complain_about_and_every_metric_that_is_drawn_or_alerted_on_exists,
            the_alert_rules_fire_when_they_should,
        ],
        tests![NEEDS;
            a_failover_is_in_the_histograms_of_who_took_over,
            metrics_are_served_only_where_asked_and_only_read,
        ],
    ]
    .concat()
}

/// One request; the head and the body of the answer.
fn ask(mut stream: impl std::io::Read + std::io::Write, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn over_unix(socket: &Path, path: &str) -> (String, String) {
    // The file is there a moment before anybody listens.
    let Ok(stream) = UnixStream::connect(socket) else { return (String::new(), String::new()) };
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    ask(stream, &format!("GET {path} HTTP/1.1\r\nHost: vrrp\r\n\r\n"))
}

/// The same from inside the host, over TCP.
pub(crate) fn over_tcp(host: &Host, place: SocketAddr, request: &str) -> (String, String) {
    let request = request.to_owned();
    let work = move || {
        let stream = TcpStream::connect_timeout(&place, Duration::from_secs(5)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        ask(stream, &request)
    };
    host.namespace().enter(work).unwrap()
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// The value of one sample.
fn value(metrics: &str, sample: &str) -> Option<String> {
    metrics.lines().find_map(|line| Some(line.strip_prefix(sample)?.strip_prefix(' ')?.to_owned()))
}

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name)
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// What a text names that looks like one of our metrics. `vrrp_instance` is a label.
fn metrics_named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("vrrp_") && *word != "vrrp_instance");
    ours.map(str::to_owned).collect()
}

fn promtool_finds_nothing_to_complain_about_and_every_metric_that_is_drawn_or_alerted_on_exists() {
    let lab = Lab::pair("metrics").unwrap();
    let host = lab.host("a");
    let check = "checks: [{ name: port, tcp: { address: 127.0.0.1, port: 9112 }, interval: 100ms }]";
    let mut text = daemon::yaml("a", &[instance(150).with(check)]);
    text.push_str("metrics: { listen: \"127.0.0.1:9112\" }\n");
    let daemon = Daemon::start_with_yaml(host, &text).unwrap();
    let socket = daemon::socket(host);
    let seen =
        || socket.exists() && over_unix(&socket, "/metrics").1.contains("vrrp_probe_duration_seconds_bucket");
    assert!(clock::wait_until(LIMIT, seen), "{}", daemon.log());
    assert!(clock::wait_until(LIMIT, || host.holds(VIP).unwrap()), "{}", daemon.log());
    let (head, metrics) = over_unix(&socket, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");

    let (good, said) = promtool(&["check", "metrics"], &metrics);
    assert!(good && said.trim().is_empty(), "{said}\n{metrics}");

    let families: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for file in ["grafana-dashboard.json", "prometheus-rules.yml", "prometheus-rules-test.yml"] {
        let named = metrics_named_in(&fs::read_to_string(config(file)).unwrap());
        assert!(named.len() > 5, "{file} names {named:?}");
        for name in named {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let is_there = families.contains(name.as_str())
                || base.is_some_and(|base| metrics.contains(&format!("# TYPE {base} histogram")));
            assert!(is_there, "{file} uses {name}, and the daemon has only {families:?}");
        }
    }
    let dashboard = fs::read_to_string(config("grafana-dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let named = metrics_named_in(expression);
            assert!(!named.is_empty(), "{expression} names nothing of ours");
            // The reasons and states that it asks for are those that there are.
            for (label, metric) in [("state", "vrrp_instance_state"), ("verdict", "vrrp_check_verdict")] {
                for word in words_of(expression, label) {
                    assert!(
                        metrics.contains(&format!("{label}=\"{word}\"")),
                        "{expression}: no {metric} of {word}"
                    );
                }
            }
        }
    }
    let rules = fs::read_to_string(config("prometheus-rules.yml")).unwrap();
    let reasons = words_of(&rules, "reason");
    assert!(reasons.len() > 5);
    for reason in reasons {
        assert!(metrics.contains(&format!("reason=\"{reason}\"")), "no counter {reason}");
    }
}

/// The words in `label="word"` and `label=~"one|two"`.
fn words_of(text: &str, label: &str) -> Vec<String> {
    let mut words = Vec::new();
    for operator in ["=\"", "=~\"", "!=\""] {
        let before = format!("{label}{operator}");
        for part in text.split(before.as_str()).skip(1) {
            let quoted = part.split('"').next().unwrap_or_default();
            words.extend(quoted.split('|').map(str::to_owned));
        }
    }
    words
}

fn the_alert_rules_fire_when_they_should() {
    let file = |name: &str| config(name).to_string_lossy().into_owned();
    let (good, said) = promtool(&["check", "rules", &file("prometheus-rules.yml")], "");
    assert!(good, "{said}");
    let (good, said) = promtool(&["test", "rules", &file("prometheus-rules-test.yml")], "");
    assert!(good, "{said}");
    // Every alert has a case, and a rule that is broken is noticed.
    let rules = fs::read_to_string(config("prometheus-rules.yml")).unwrap();
    let cases = fs::read_to_string(config("prometheus-rules-test.yml")).unwrap();
    for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(cases.contains(&format!("alertname: {name}")), "{name} is not tested");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prometheus-rules.yml"), rules.replace("> 1\n", "> 2\n")).unwrap();
    fs::write(folder.path().join("cases.yml"), cases).unwrap();
    let (good, said) = promtool(&["test", "rules", &folder.path().join("cases.yml").to_string_lossy()], "");
    assert!(!good && said.contains("VrrpTwoMasters"), "{said}");
}

fn a_failover_is_in_the_histograms_of_who_took_over() {
    let mut pair = Pair::start("phases");
    let socket = daemon::socket(pair.lab.host("b"));
    let before = over_unix(&socket, "/metrics").1;
    let phase = |name: &str| format!("vrrp_failover_phase_seconds_count{{phase=\"{name}\"}}");
    assert_eq!(value(&before, &phase("silence")).as_deref(), Some("0"), "{before}");
    pair.a.kill_tree();
    let killed = now_ns();
    pair.watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let counted = || value(&over_unix(&socket, "/metrics").1, &phase("addresses_on")).as_deref() == Some("1");
    assert!(clock::wait_until(LIMIT, counted));
    let after = over_unix(&socket, "/metrics").1;
    for name in ["silence", "claim"] {
        assert_eq!(value(&after, &phase(name)).as_deref(), Some("1"), "{name}\n{after}");
    }
    // Down interval 360.9 ms at priority 100: no shorter, and no longer than what the address events show.
    let within = |phase: &str, le: &str| {
        value(&after, &format!("vrrp_failover_phase_seconds_bucket{{phase=\"{phase}\",le=\"{le}\"}}"))
    };
    assert_eq!(within("silence", "0.25").as_deref(), Some("0"), "{after}");
    let took = pair.watch.timeline(VIP).unwrap().acquired_at("b", killed).unwrap() - killed;
    if took < 500_000_000 {
        assert_eq!(within("silence", "0.5").as_deref(), Some("1"), "{after}");
    }
    assert_eq!(within("claim", "0.25").as_deref(), Some("1"), "{after}");
    let became = value(&after, "vrrp_instance_transitions_total{vrrp_instance=\"VI_1\",state=\"MASTER\"}");
    assert_eq!(became.as_deref(), Some("1"));
    let state = value(&after, "vrrp_instance_state{vrrp_instance=\"VI_1\",state=\"MASTER\"}");
    assert_eq!(state.as_deref(), Some("1"));
    let adverts = value(&after, "vrrp_advert_send_lateness_seconds_count").unwrap();
    assert!(adverts.parse::<u64>().unwrap() >= 1, "{adverts}");
}

fn metrics_are_served_only_where_asked_and_only_read() {
    let lab = Lab::pair("asked").unwrap();
    let host = lab.host("a");
    let socket = host.file("metrics.sock");
    let mut text = daemon::yaml("a", &[instance(150)]);
    text.push_str(&format!("metrics: {{ listen: \"{PLACE}\", socket: {} }}\n", socket.display()));
    let mut daemon = Daemon::start_with_yaml(host, &text).unwrap();
    let is_there = || daemon.log().contains("metrics on http://127.0.0.1:9112/");
    assert!(clock::wait_until(LIMIT, is_there), "{}", daemon.log());
    assert!(over_unix(&socket, "/metrics").1.contains("vrrp_build_info"));
    for (request, status) in [
        (get("127.0.0.1:9112", "/metrics"), "200"),
        (get("localhost:9112", "/metrics"), "200"),
        // A page of somebody else's, in a browser on this host.
        (get("evil.example:9112", "/metrics"), "403"),
        (get("localhost", "/v1/status"), "404"),
        (
            "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{\"all\":true}"
                .to_owned(),
            "404",
        ),
        ("rubbish\r\n\r\n".to_owned(), "400"),
    ] {
        let (head, _) = over_tcp(host, PLACE, &request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}\n{head}");
    }
    daemon.stop().unwrap();
    assert!(!socket.exists(), "a planned stop leaves no file");
    let without = Daemon::start_with_yaml(host, &daemon::yaml("a", &[instance(150)])).unwrap();
    assert!(clock::wait_until(LIMIT, || host.holds(VIP).unwrap()), "{}", without.log());
    let listening = host.namespace().run("ss", &["-Hltn"]).unwrap();
    assert_eq!(listening.trim(), "", "nothing listens on TCP unless asked");
}
