//! The recipe's promises: the node of the higher priority has the address; when its server dies the other one has it;
//! and nobody takes it back from a living one.

use std::time::Duration;

use vrrp_lab::{Daemon, Requirement, clock, harness::Test, peers::Keepalived, tests};

use super::site::{AROUND, LIMIT, RETRIES, Site, VIP, folder, imported, published, wait_until};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Keepalived, Lab};
    let pair = tests![[Lab, Daemon]; a_pair_of_imported_files_keeps_the_recipe_s_promises];
    let mixed = tests![[Lab, Daemon, Keepalived];
        the_imported_master_beside_the_original_backup,
        the_imported_backup_beside_the_original_master,
    ];
    [pair, mixed].concat()
}

/// A release is heard at once; what follows it is the other node's skew time, below a second, and noise.
const HANDOVER: Duration = Duration::from_secs(3);
/// Long enough for a node that preempts to have done it: a down interval and more.
const PATIENCE_MS: u64 = 6_000;

fn assert_in_time(took: Duration) {
    assert!(took >= RETRIES, "before the last retry: {took:?}");
    assert!(took <= RETRIES + AROUND, "{took:?}");
}

fn a_pair_of_imported_files_keeps_the_recipe_s_promises() {
    let site = Site::new("recipe");
    let (server_a, server_b) = (site.server("a"), site.server("b"));
    let mut a = site.ours("a");
    let log_of_a = a.log_file();
    // Nobody preempts: the first to have listened long enough is the master.
    wait_until("a listens", &|| a.log(), || a.log().contains("-> BACKUP"));
    let b = site.ours("b");
    let logs = || format!("--- a:\n{}\n--- b:\n{}", std::fs::read_to_string(&log_of_a).unwrap(), b.log());
    site.wait_for("a", &logs);

    let died = clock::now_ns();
    drop(server_a);
    site.wait_for("b", &logs);
    let took = site.until_taken("b", died);
    println!("b has the address {took:?} after a's server died");
    assert_in_time(took);

    let server_a = site.server("a");
    wait_until("a sees its server again", &logs, || logs().contains("dead -> healthy"));
    let back = clock::now_ns();
    clock::sleep_ms(PATIENCE_MS);
    site.assert_stayed("b", back, &logs);

    a.stop().unwrap();
    a.restart(site.host("a")).unwrap();
    clock::sleep_ms(PATIENCE_MS);
    site.assert_stayed("b", back, &logs);

    let died = clock::now_ns();
    drop(server_b);
    site.wait_for("a", &logs);
    assert_in_time(site.until_taken("a", died));
    site.watch.timeline(VIP).unwrap().assert_never_two(Duration::ZERO);
    drop(server_a);
}

fn the_imported_master_beside_the_original_backup() {
    let site = Site::new("ours-a");
    let server_a = site.server("a");
    let a = site.ours("a");
    let log_of_a = || a.log();
    site.wait_for("a", &log_of_a);
    let mut b = site.keepalived("b", str::to_owned);
    let log_of_b = b.log_file();
    let logs = || format!("--- a:\n{}\n--- b:\n{}", a.log(), std::fs::read_to_string(&log_of_b).unwrap());
    wait_until("b is BACKUP", &logs, || logs().contains("Entering BACKUP STATE"));

    let died = clock::now_ns();
    drop(server_a);
    site.wait_for("b", &logs);
    assert_in_time(site.until_taken("b", died));
    let _server_a = site.server("a");
    wait_until("a sees its server again", &logs, || a.log().contains("dead -> healthy"));
    let back = clock::now_ns();
    clock::sleep_ms(PATIENCE_MS);
    site.assert_stayed("b", back, &logs);

    // What the script of the recipe does when b's server dies.
    hand_over_from(&mut b, &site, "a", &logs);
    let taken = clock::now_ns();
    b.restart(site.host("b")).unwrap();
    clock::sleep_ms(PATIENCE_MS);
    site.assert_stayed("a", taken, &logs);
}

fn the_imported_backup_beside_the_original_master() {
    let site = Site::new("ours-b");
    let _server_b = site.server("b");
    let mut a = site.keepalived("a", str::to_owned);
    let log_of_a = a.log_file();
    let first = || std::fs::read_to_string(&log_of_a).unwrap();
    site.wait_for("a", &first);
    let b = site.ours("b");
    let logs = || format!("--- a:\n{}\n--- b:\n{}", first(), b.log());
    wait_until("b knows its master", &logs, || b.log().contains("-> BACKUP"));
    clock::sleep_ms(PATIENCE_MS);
    site.assert_stayed("a", 0, &logs);
    hand_over_from(&mut a, &site, "b", &logs);

    // The recipe's own trap, which the importer names: `state MASTER` switches nopreempt off.
    a.restart(site.host("a")).unwrap();
    site.wait_for("a", &logs);
    assert!(first().contains("nopreempt will not work with initial state MASTER"), "{}", logs());
    hand_over_from(&mut a, &site, "b", &logs);
    drop(a);

    // With that one word mended the original keeps the recipe's promise, too,
    let mended = |text: &str| text.replacen("state MASTER", "state BACKUP", 1);
    let taken = clock::now_ns();
    let mut a = site.keepalived("a", mended);
    clock::sleep_ms(PATIENCE_MS);
    site.assert_stayed("b", taken, &logs);
    a.stop().unwrap();
    drop(a);

    // as does what is imported from the file as it is.
    let host = site.host("a");
    let yaml = imported(&folder(host, published("a")), host.address());
    let _server_a = site.server("a");
    let _ours = Daemon::start_with_yaml(host, &yaml).unwrap();
    clock::sleep_ms(PATIENCE_MS);
    site.assert_stayed("b", taken, &logs);
}

fn hand_over_from(keepalived: &mut Keepalived, site: &Site, to: &str, logs: &dyn Fn() -> String) {
    let stopped = clock::now_ns();
    keepalived.stop().unwrap();
    assert!(site.watch.wait_for_holder(VIP, to, LIMIT).is_ok(), "{to} does not take over\n{}", logs());
    let took = site.until_taken(to, stopped);
    assert!(took <= HANDOVER, "{took:?}");
}
