//! The status page in a real browser, and what its listener withstands.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use vrrp_lab::{Requirement, clock::now_ns, daemon, harness::Test, tests};

use super::browser::Browser;
use super::metrics::over_tcp;
use super::wire::{INTERVAL, LIMIT, NEEDS, Pair, VIP};

const BROWSER: [Requirement; 3] = [NEEDS[0], NEEDS[1], Requirement::Tool("chromium")];
const PLACE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8112);
const PAGE: &str = "status_page: { listen: 8112 }";
/// Set to a folder to keep the pictures.
const PICTURES: &str = "VRRP_TEST_PICTURES";

pub(crate) fn tests() -> Vec<Test> {
    [
        tests![BROWSER; the_page_shows_the_owner_follows_a_failover_and_complains_of_nothing],
        tests![NEEDS;
            the_page_needs_nothing_from_elsewhere_and_takes_no_orders,
            those_who_watch_are_bounded_and_hold_no_advert_up,
        ],
    ]
    .concat()
}

const CARD: &str = "document.querySelector('[data-instance=VI_1]')";

fn the_page_shows_the_owner_follows_a_failover_and_complains_of_nothing() {
    let mut pair = Pair::start_with("page", &[PAGE]);
    let mut browser = Browser::start(pair.lab.host("b"));
    browser.look_like(1280, 900, false);
    browser.open("http://127.0.0.1:8112/");
    browser.wait_for(&format!("{CARD}?.dataset.state === 'BACKUP'"));
    browser.wait_for(&format!("{CARD}.innerText.includes('owner: 10.99.0.1 (priority 150)')"));
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    browser.wait_for("document.querySelector('.well') !== null");
    assert!(browser.evaluate("document.title").as_str().unwrap().starts_with("1 BACKUP"));

    let killed = now_ns();
    pair.a.kill_tree();
    pair.watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    browser.wait_for(&format!("{CARD}.dataset.state === 'MASTER'"));
    let held = pair.watch.timeline(VIP).unwrap().acquired_at("b", killed).unwrap();
    let seen = Duration::from_nanos(now_ns() - held);
    println!("  the page shows it {seen:?} after the address was there");
    assert!(seen < Duration::from_secs(5), "{seen:?}");
    browser.wait_for(&format!("{CARD}.innerText.includes('this host owns it')"));
    browser
        .wait_for(&format!("{CARD}.querySelector('.timeline li.MASTER').innerText.includes('from BACKUP')"));
    browser
        .wait_for(&format!("{CARD}.querySelector('.timeline li.MASTER').innerText.includes('silent for')"));
    // Silence, claim, addresses on, lateness: each has a bar now.
    browser.wait_for("document.querySelectorAll('.chart:not(.empty)').length >= 4");
    let foreign = "performance.getEntriesByType('resource').filter((one) => !one.name.startsWith(location.origin)).length";
    assert_eq!(browser.evaluate(foreign), 0);

    picture(&mut browser, &pair, "master");

    // Trouble: a check that fails, and then no carrier.
    let checks = "checks: [{ name: mysql-port, tcp: { port: 3306 }, interval: 100ms, on_failure: { weight: -30 } }, \
                  { name: disk, script: { command: /bin/true }, interval: 100ms }]";
    let text = daemon::yaml("b", &[super::wire::instance(100).with(checks)]) + PAGE;
    pair.write("b", &text);
    pair.succeed("b", &["reload"]);
    browser.wait_for("document.getElementById('trouble').innerText.includes('check mysql-port says dead')");
    browser.wait_for(&format!("{CARD}.innerText.includes('70 = 100 − 30 (mysql-port)')"));
    picture(&mut browser, &pair, "check");
    pair.lab.host("b").lose_carrier().unwrap();
    browser.wait_for(&format!("{CARD}.dataset.state === 'FAULT'"));
    browser.wait_for("document.getElementById('trouble').innerText.includes('no carrier')");
    browser.wait_for("document.title.startsWith('! ')");
    picture(&mut browser, &pair, "fault");
    assert_eq!(browser.complaints(), [] as [String; 0]);

    // And it does not pass the past off as the present.
    pair.b.kill_tree();
    browser.wait_for("document.getElementById('live').innerText.includes('what is below is old')");
}

/// Bright and dark, on a desk and in a hand; nothing sticks out on the side.
fn picture(browser: &mut Browser, pair: &Pair, what: &str) {
    let folder = std::env::var_os(PICTURES).map(PathBuf::from);
    if let Some(folder) = &folder {
        fs::create_dir_all(folder).unwrap();
    }
    for (width, height, dark) in [(1280, 900, false), (1280, 900, true), (390, 844, false), (390, 844, true)]
    {
        browser.look_like(width, height, dark);
        browser.wait_for("document.documentElement.scrollWidth <= innerWidth");
        let scheme = if dark { "dark" } else { "light" };
        let name = format!("{what}-{width}-{scheme}.png");
        let file =
            folder.as_ref().map_or_else(|| pair.lab.host("b").file(&name), |folder| folder.join(&name));
        browser.shoot(&file);
        let ink = browser.evaluate("getComputedStyle(document.body).backgroundColor");
        assert_eq!(ink == "rgb(14, 17, 22)", dark, "{ink}");
    }
}

fn the_page_needs_nothing_from_elsewhere_and_takes_no_orders() {
    let pair = Pair::start_with("plain", &[PAGE]);
    let host = pair.lab.host("a");
    let ask = |method: &str, path: &str, name: &str| {
        over_tcp(
            host,
            PLACE,
            &format!("{method} {path} HTTP/1.1\r\nHost: {name}\r\nContent-Length: 0\r\n\r\n"),
        )
    };
    let (head, page) = ask("GET", "/", "127.0.0.1:8112");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("default-src 'none'"), "{head}");
    for address in ["http://", "https://", "//cdn", "@import", "url("] {
        assert!(!page.contains(address), "{address} in the page");
    }
    for (method, path, name, status) in [
        ("GET", "/v1/status", "localhost", "200"),
        ("GET", "/metrics", "localhost", "200"),
        ("GET", "/", "evil.example", "403"),
        ("GET", "/events", "evil.example", "403"),
        ("POST", "/v1/drain", "localhost", "404"),
        ("POST", "/v1/reload", "localhost", "404"),
        ("POST", "/", "localhost", "404"),
    ] {
        let (head, _) = ask(method, path, name);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path} {name}\n{head}");
    }
    let (_, status) = pair.status("a");
    assert!(status.held_out.is_empty());
}

fn those_who_watch_are_bounded_and_hold_no_advert_up() {
    let pair = Pair::start_with("watchers", &[PAGE]);
    let host = pair.lab.host("a");
    let quiet = now_ns();
    vrrp_lab::clock::sleep_ms(2_000);
    let baseline = pair.longest_silence("a", quiet, now_ns());
    let watch = || {
        let connect = || {
            let mut stream = TcpStream::connect(PLACE).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
            stream
        };
        host.namespace().enter(connect).unwrap()
    };
    let hear = |stream: &mut TcpStream| {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let loud = now_ns();
    let mut watchers: Vec<TcpStream> = (0..16).map(|_| watch()).collect();
    for stream in &mut watchers {
        assert!(hear(stream).starts_with("HTTP/1.1 200"));
    }
    assert!(hear(&mut watch()).starts_with("HTTP/1.1 503"), "one too many");
    // None of them reads on.
    vrrp_lab::clock::sleep_ms(2_000);
    let busy = pair.longest_silence("a", loud, now_ns());
    println!("  longest silence {busy:?}, without watchers {baseline:?}");
    assert!(busy < baseline.max(INTERVAL) + INTERVAL / 2, "{busy:?}, without watchers {baseline:?}");
    assert_eq!(pair.status("a").1.name, "VI_1");
    drop(watchers);
    let freed = || hear(&mut watch()).starts_with("HTTP/1.1 200");
    assert!(vrrp_lab::clock::wait_until(LIMIT, freed), "their places are free again");
    pair.assert_undisturbed("a", quiet);
}
