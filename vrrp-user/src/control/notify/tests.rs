//! What is told to whom, with real processes, pipes and sockets.

use std::fs;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn config(lines: &str) -> Config {
    let text = format!(
        "router_id: db1\ninstances: [{{name: VI_1, interface: e, virtual_router_id: 1, virtual_addresses: [10.0.0.9]}}]\n{lines}\n"
    );
    Config::parse(&text, Path::new("x.yaml")).unwrap().config
}

fn news(state: State, priority: u8) -> News {
    News {
        time_unix_ms: 1_764_000_007_250,
        instance: "VI_1".into(),
        priority,
        why: "no master heard for 3.4s".into(),
        what: What::State(state),
    }
}

fn verdict() -> News {
    let what = What::Check { check: "port".into(), verdict: Verdict::Dead };
    News { what, ..news(State::Master, 100) }
}

fn script(folder: &Path, name: &str, body: &str) -> String {
    let path = folder.join(name);
    crate::testing::write_script(&path, body);
    path.display().to_string()
}

#[tokio::test]
async fn scripts_run_in_order_with_keepalived_s_arguments_and_the_last_state_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let any = script(folder.path(), "any", &format!("echo \"any $* $VRRP_STATE\" >> {out}"));
    let own = script(folder.path(), "own", &format!("echo \"own $*\" >> {out}"));
    let health = script(folder.path(), "health", &format!("echo \"health $* $VRRP_VERDICT\" >> {out}"));
    let mut herald =
        Herald::new(&config(&format!("notify: {{ any: '{any} a', master: '{own} b', health: '{health}' }}")));
    herald.tell(&news(State::Backup, 100));
    herald.tell(&verdict());
    for _ in 0..200 {
        herald.tell(&news(State::Master, 100));
        herald.tell(&news(State::Fault, 90));
    }
    herald.tell(&news(State::Master, 110));
    herald.tell(&news(State::Initialize, 110));
    let deliveries = herald.deliveries();
    timeout(LIMIT, herald.finish()).await.unwrap();
    let said = fs::read_to_string(out).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.last(), Some(&"any a INSTANCE VI_1 STOP 110 STOP"), "{said}");
    assert!(
        lines.contains(&"health CHECK VI_1 port dead dead"),
        "a verdict is not made old by states: {said}"
    );
    let masters: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("own")).collect();
    assert!(!masters.is_empty(), "{said}");
    for at in masters {
        assert_eq!(lines[at], "own b", "as keepalived: nothing is added to a state's own script");
        assert!(lines[at + 1].starts_with("any a INSTANCE VI_1 MASTER "), "its own first, then any: {said}");
    }
    assert!(lines.len() < 250, "a flood is not run through: {}", lines.len());
    assert!(deliveries["script"].superseded > 200, "{deliveries:?}");
}

#[tokio::test]
async fn a_hanging_script_is_killed_with_its_group_and_the_next_news_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let hang = script(folder.path(), "hang", "sleep 1000 & sleep 1000");
    let good = script(folder.path(), "good", &format!("echo $3 >> {out}"));
    let mut herald = Herald::new(&config(&format!(
        "notify: {{ master: {{ command: {hang}, timeout: 200ms }}, any: {good} }}"
    )));
    herald.tell(&news(State::Master, 100));
    herald.tell(&news(State::Backup, 100));
    let tally = Arc::clone(&herald.tallies[0]);
    timeout(LIMIT, herald.finish()).await.unwrap();
    assert_eq!(fs::read_to_string(out).unwrap(), "MASTER\nBACKUP\n");
    assert_eq!((tally.delivery().failed, tally.delivery().delivered), (1, 2));
}

#[tokio::test]
async fn the_fifo_has_keepalived_s_lines_and_waits_for_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let mut herald = Herald::new(&config(&format!("notify: {{ fifo: {} }}", path.display())));
    // More than a pipe holds, with nobody reading.
    for number in 0..10_000_u32 {
        herald.tell(&news(State::Backup, u8::try_from(number % 200).unwrap()));
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    herald.tell(&verdict());
    herald.tell(&news(State::Master, 254));
    let reader = tokio::net::unix::pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let mut lines = BufReader::new(reader).lines();
    let mut all = Vec::new();
    while all.last().is_none_or(|last| last != "INSTANCE \"VI_1\" MASTER 254") {
        all.push(timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap());
    }
    assert!(all.iter().any(|line| line == "CHECK \"VI_1\" \"port\" dead"), "{all:?}");
    assert!(all[0] == "INSTANCE \"VI_1\" BACKUP 0", "{all:?}");
    herald.finish().await;
}

#[tokio::test]
async fn what_stands_in_the_fifo_s_place_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "precious").unwrap();
    let mut herald = Herald::new(&config(&format!("notify: {{ fifo: {} }}", path.display())));
    herald.tell(&news(State::Master, 100));
    let tally = Arc::clone(&herald.tallies[1]);
    timeout(LIMIT, herald.finish()).await.unwrap();
    assert_eq!(tally.delivery().failed, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_webhook_that_fails_once_is_asked_again_and_gets_the_json() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let mut herald = Herald::new(&config(&format!(
        "notify: {{ webhook: {{ url: 'http://{place}/hook?x=1', on: [master, health] }} }}"
    )));
    herald.tell(&news(State::Backup, 100));
    herald.tell(&news(State::Master, 100));
    let mut seen = Vec::new();
    for status in ["500 Oh", "204 Fine"] {
        let (mut stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut bytes = vec![0; 4096];
        let mut length = 0;
        while !bytes[..length].ends_with(b"}") {
            length += stream.read(&mut bytes[length..]).await.unwrap();
        }
        seen.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
    }
    assert_eq!(seen[0], seen[1]);
    let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["state"], "MASTER");
    assert_eq!(body["why"], "no master heard for 3.4s");
    assert_eq!((&body["instance"], &body["router_id"]), (&"VI_1".into(), &"db1".into()));
    let tally = Arc::clone(&herald.tallies[3]);
    herald.finish().await;
    assert_eq!(tally.delivery().delivered, 1, "the backup was not asked for");
}

#[tokio::test]
async fn another_configuration_ends_the_old_ways_and_keeps_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut herald = Herald::new(&config(&format!("notify: {{ fifo: {} }}", one.display())));
    herald.go_by(&config(&format!("notify: {{ fifo: {} }}", one.display())));
    assert_eq!(herald.tasks.len(), 1, "the same goes on");
    herald.go_by(&config(&format!("notify: {{ fifo: {} }}", two.display())));
    herald.tell(&news(State::Master, 1));
    let appears = async {
        while !two.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(timeout(LIMIT, appears).await, Ok(()), "the new FIFO is never made");
    herald.go_by(&config(""));
    herald.tell(&news(State::Master, 1));
    assert_eq!(timeout(LIMIT, herald.finish()).await, Ok(()));
}

#[tokio::test]
async fn a_mail_server_that_refuses_keeps_nobody_from_ending() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let text = format!(
        "mail: {{ server: '127.0.0.1:{port}', from: a@example.org, to: [b@example.org], on: [fault] }}"
    );
    let mut herald = Herald::new(&config(&text));
    herald.tell(&news(State::Fault, 1));
    let began = Instant::now();
    assert_eq!(timeout(LIMIT, herald.finish()).await, Ok(()));
    // Its tries go on for longer than a script may take.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
