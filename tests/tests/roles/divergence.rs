//! A former master that comes back with what was lost: whom the policy lets write, and how a person ends it.

use std::{fs, time::Duration};

use vrrp_lab::{
    Requirement, clock,
    harness::Test,
    mysql::{Flavour, Ledger, Writer, WriterSetup},
    tests,
};

use super::{
    duo::{Duo, LIMIT, Plan, VIP},
    policies::last_of_a,
};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        a_former_master_with_writes_of_its_own_stops_both_if_that_is_the_policy,
        a_person_lets_the_winner_serve_while_the_other_is_away,
        a_divergence_outlives_the_daemons_and_ends_by_a_repair_and_resume,
        one_resume_is_enough_for_a_winner_that_was_refused_while_the_other_lived,
        a_standby_whose_writes_do_not_come_in_is_a_divergence_too,
        the_one_that_serves_goes_on_after_another_was_master_for_a_moment,
        the_one_that_serves_goes_on_after_a_restart_of_its_daemon,
        what_two_writers_left_is_decided_by_nobodys_death,
        a_server_in_quarantine_that_somebody_makes_writable_is_closed_again,
        a_daemon_restarted_beside_a_dead_peer_still_knows_what_that_had,
    ]
}

/// b is the active one, and a is back with a tail that b never received. The policy is `read_only`.
fn diverged(name: &str) -> Duo {
    let duo = lossy(name, "diverged: read_only,");
    duo.wait_for_line(
        "b",
        "written before it lost the address. This server is read-only until that is mended",
    );
    duo.wait_until("both are read-only", || are_read_only(&duo));
    duo
}

/// The same with `serve`, and b serves on.
fn serving(name: &str) -> Duo {
    // Whoever is refused because the other is not read-only yet comes back, and says all of it once more.
    let duo = lossy(name, "split_wait: 5s,");
    duo.wait_for_line("b", "written before it lost the address. Replication from it stays stopped");
    duo.wait_until("the standby says it", || duo.status("a").contains("DIVERGED"));
    duo
}

fn lossy(name: &str, more: &'static str) -> Duo {
    let mut duo = Duo::start_with(name, &Plan { more, ..Plan::new(Flavour::MariaDb) });
    let writer = duo.writer();
    duo.pair.b.sql("STOP SLAVE IO_THREAD").unwrap();
    duo.wait_for_writes(&writer, 20);
    clock::sleep_ms(600);
    duo.pair.a.kill();
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    let record = writer.finish().unwrap();
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    assert!(!verdict.lost.is_empty(), "nothing was lost: {verdict}");
    duo.pair.a.restart(duo.lab.host("a")).unwrap();
    duo
}

fn are_read_only(duo: &Duo) -> bool {
    duo.pair.a.is_read_only().unwrap() && duo.pair.b.is_read_only().unwrap()
}

fn assert_both_stay_read_only(duo: &Duo) {
    for _ in 0..40 {
        assert!(are_read_only(duo), "{}", duo.logs());
        clock::sleep_ms(50);
    }
}

/// On b, and everything reaches a.
fn assert_serves(duo: &Duo) {
    duo.wait_for("b");
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    let writer = Writer::start(duo.lab.host("client"), WriterSetup::new(VIP)).unwrap();
    duo.wait_until("the client writes", || writer.count() > 20);
    let record = writer.finish().unwrap();
    duo.wait_until_followed("b");
    duo.pair.wait_equal(LIMIT).unwrap();
    for server in [&duo.pair.a, &duo.pair.b] {
        assert!(Ledger::read(server).unwrap().compare(&record).lost.is_empty(), "{}", duo.logs());
    }
    assert!(duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
}

fn a_former_master_with_writes_of_its_own_stops_both_if_that_is_the_policy() {
    let mut duo = diverged("strict");
    assert_both_stay_read_only(&duo);
    // As after two writers: whoever has the address keeps it, and says why nobody can write.
    duo.wait_for("b");
    duo.wait_until("status says it", || duo.status("b").contains("READ-ONLY with the address"));
    duo.wait_until("the standby says it, too", || duo.status("a").contains("DIVERGED"));
    // Its server died as the active one, and is read-only since it is back: there is nothing left for the guard to do.
    duo.a.stop().unwrap();
    assert!(!duo.a.log().contains("may be writable without the address"), "{}", duo.a.log());
    duo.a.restart(duo.lab.host("a")).unwrap();
    duo.wait_until("a daemon that knows nothing finds it", || duo.status("a").contains("DIVERGED"));
    assert_both_stay_read_only(&duo);
    duo.rebuild_a();
    assert_serves(&duo);
    duo.assert_never_two();
}

/// Whoever rebuilds the other may need hours, in which this one could serve.
fn a_person_lets_the_winner_serve_while_the_other_is_away() {
    let mut duo = diverged("alone");
    duo.order("b", &["resume", "VI_1"]);
    assert_both_stay_read_only(&duo);
    duo.pair.a.kill();
    for _ in 0..40 {
        assert!(duo.pair.b.is_read_only().unwrap(), "a death decides nothing\n{}", duo.logs());
        clock::sleep_ms(50);
    }
    // An upgrade, say.
    duo.b.stop().unwrap();
    duo.b.restart(duo.lab.host("b")).unwrap();
    duo.wait_until("nor does a restart", || duo.status("b").contains("the servers had diverged"));
    assert!(duo.pair.b.is_read_only().unwrap() && !duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
    duo.order("b", &["resume", "VI_1"]);
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    duo.wait_for("b");
    // With what it had all the same.
    duo.pair.a.restart(duo.lab.host("a")).unwrap();
    duo.wait_until("both are read-only", || are_read_only(&duo));
    assert_both_stay_read_only(&duo);
}

fn a_divergence_outlives_the_daemons_and_ends_by_a_repair_and_resume() {
    let mut duo = diverged("outlived");
    duo.b.kill();
    // Neither is promoted over the other, and each says so.
    duo.wait_for_line("a", "not promoted: the servers have diverged");
    duo.b.restart(duo.lab.host("b")).unwrap();
    duo.wait_for_line("b", "not promoted: the servers have diverged");
    assert_both_stay_read_only(&duo);
    // Which of them goes on is for a person to say: the one that is not stopped.
    duo.a.stop().unwrap();
    duo.pair.rebuild("a", LIMIT).unwrap();
    duo.order("b", &["resume", "VI_1"]);
    duo.wait_for("b");
    duo.a.restart(duo.lab.host("a")).unwrap();
    assert_serves(&duo);
    duo.assert_never_two();
}

fn one_resume_is_enough_for_a_winner_that_was_refused_while_the_other_lived() {
    let mut duo = diverged("once");
    duo.b.stop().unwrap();
    duo.b.restart(duo.lab.host("b")).unwrap();
    duo.wait_for_line("b", "not promoted: the servers have diverged");
    duo.pair.a.kill();
    clock::sleep_ms(500);
    duo.order("b", &["resume", "VI_1"]);
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    duo.wait_for("b");
}

/// Both directions run: it would flow in, if the applier of the active one did not stop at it.
fn a_standby_whose_writes_do_not_come_in_is_a_divergence_too() {
    let more = "diverged: read_only,";
    let duo = Duo::start_with("applier", &Plan { more, ..Plan::new(Flavour::MariaDb) });
    duo.pair.a.sql("STOP SLAVE SQL_THREAD").unwrap();
    duo.pair.b.write_errant().unwrap();
    duo.wait_for_line("a", "which does not come in here");
    duo.wait_until("both are read-only", || are_read_only(&duo));
    assert_both_stay_read_only(&duo);
    duo.wait_until("status says it", || duo.status("a").contains("READ-ONLY with the address"));
}

/// b, beside a that is diverged and read-only, at the end of whatever was.
fn assert_b_serves_alone(duo: &Duo) {
    duo.wait_until("b is writable under the address", || {
        duo.lab.host("b").holds(VIP).unwrap() && !duo.pair.b.is_read_only().unwrap()
    });
    let writer = Writer::start(duo.lab.host("client"), WriterSetup::new(VIP)).unwrap();
    duo.wait_until("the client writes", || writer.count() > 20);
    drop(writer);
    for _ in 0..40 {
        assert!(duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
        assert!(!duo.lab.host("a").holds(VIP).unwrap(), "{}", duo.logs());
        assert!(
            duo.lab.host("b").holds(VIP).unwrap() && !duo.pair.b.is_read_only().unwrap(),
            "{}",
            duo.logs()
        );
        clock::sleep_ms(50);
    }
    duo.wait_until("b says it", || duo.status("b").contains("active; the peer has DIVERGED"));
    duo.wait_until("a says it", || duo.status("a").contains("DIVERGED"));
}

/// It outranks the one that serves, and its server wrote nothing meanwhile.
fn the_one_that_serves_goes_on_after_another_was_master_for_a_moment() {
    let duo = serving("hiccup");
    let refused = "not promoted: the servers have diverged";
    let goes_on = || duo.b.log().matches("which this one goes on without").count();
    for _ in 0..2 {
        let before = duo.a.log().matches(refused).count();
        let said = goes_on();
        duo.lab.host("b").mute_adverts().unwrap();
        duo.wait_until("a is refused", || duo.a.log().matches(refused).count() > before);
        duo.lab.host("b").hear_adverts().unwrap();
        assert_b_serves_alone(&duo);
        assert!(goes_on() > said, "{}", duo.logs());
        // That a takes part again, said while b serves, is no word against b.
        duo.order("a", &["resume", "VI_1"]);
        clock::sleep_ms(1_000);
    }
    assert!(!duo.b.log().contains("both servers took writes"), "{}", duo.logs());
    duo.assert_never_two();
}

fn the_one_that_serves_goes_on_after_a_restart_of_its_daemon() {
    let mut duo = serving("upgraded");
    duo.b.stop().unwrap();
    duo.wait_for_line("a", "not promoted: the servers have diverged");
    duo.b.restart(duo.lab.host("b")).unwrap();
    duo.wait_for_line("b", "which this one goes on without");
    assert_b_serves_alone(&duo);
    duo.assert_never_two();
    // And no longer than it is needed: once they agree, it is a pair as any other.
    duo.rebuild_a();
    assert_serves(&duo);
}

/// The one that has the address dies: the other one has a history that nobody has chosen, by `serve` either.
fn what_two_writers_left_is_decided_by_nobodys_death() {
    let mut duo = Duo::start("undecided", Flavour::MariaDb);
    duo.lab.host("a").cut().unwrap();
    duo.wait_until("the other half promotes, too", || {
        !duo.pair.b.is_read_only().unwrap() && duo.lab.host("b").holds(VIP).unwrap()
    });
    duo.pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)").unwrap();
    duo.pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (2, 2)").unwrap();
    clock::sleep_ms(500);
    duo.lab.host("a").heal().unwrap();
    duo.wait_until("status says it", || duo.status("a").contains("READ-ONLY with the address"));
    duo.wait_until("so does the standby", || duo.status("b").contains("this one is not promoted"));
    duo.pair.a.kill();
    duo.wait_for_line("b", "not promoted: the servers had diverged");
    for _ in 0..40 {
        assert!(duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
        clock::sleep_ms(50);
    }
    // A person may: by that word, and for the pair's whole time.
    duo.order("b", &["resume", "VI_1"]);
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    duo.wait_for("b");
    duo.pair.a.restart(duo.lab.host("a")).unwrap();
    assert_b_serves_alone(&duo);
}

fn a_server_in_quarantine_that_somebody_makes_writable_is_closed_again() {
    let duo = diverged("opened");
    duo.wait_until("both are read-only", || are_read_only(&duo));
    duo.pair.b.set_read_only(false).unwrap();
    duo.wait_for_line("b", "the server was writable although the gate did not let it");
    duo.wait_until("it is closed again", || duo.pair.b.is_read_only().unwrap());
    assert_both_stay_read_only(&duo);
}

fn a_daemon_restarted_beside_a_dead_peer_still_knows_what_that_had() {
    let mut duo =
        Duo::start_with("remembered", &Plan { more: "behind: refuse,", ..Plan::new(Flavour::MariaDb) });
    let writer = duo.writer();
    duo.pair.b.sql("STOP SLAVE IO_THREAD").unwrap();
    duo.wait_for_writes(&writer, 20);
    let file = duo.lab.host("b").file("state").join("peer-position-VI_1");
    duo.wait_until("what b lacks and a has is on b's disk", || {
        let written = fs::read_to_string(&file).unwrap_or_default();
        // `..."position":"0-1-123"...`
        let number = written.split("0-1-").nth(1).and_then(|rest| rest.split('"').next());
        number.is_some_and(|number| number.parse::<u64>().unwrap() > last_of_a(&duo.pair.b))
    });
    duo.b.kill();
    duo.pair.a.kill();
    duo.a.kill();
    drop(writer);
    duo.b.restart(duo.lab.host("b")).unwrap();
    duo.wait_for_line("b", "as the process before saw it");
    duo.wait_for_line("b", "is known from the process before this one only");
    duo.wait_until("it says why it stays out", || duo.status("b").contains("is not promoted"));
    assert!(duo.pair.b.is_read_only().unwrap() && !duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
}
