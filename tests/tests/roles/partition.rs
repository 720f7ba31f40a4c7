//! Two hosts that do not hear each other: one writer while the servers can still be asked; two, said loudly and ended as soon
//! as it is seen, when nothing can.

use vrrp_lab::{Requirement, clock, harness::Test, mysql::Flavour, tests};

use super::duo::{BY_DEFAULT, Duo, Plan, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        with_the_adverts_cut_and_a_server_that_answers_there_is_no_second_writer,
        two_writers_of_a_full_partition_end_read_only_and_loud,
    ]
}

fn with_the_adverts_cut_and_a_server_that_answers_there_is_no_second_writer() {
    let duo = Duo::start("muted", Flavour::MariaDb);
    let began = clock::now_ns();
    duo.lab.host("a").mute_adverts().unwrap();
    duo.wait_for_line("b", "the peer's server answers and is writable, and split is hold");
    for _ in 0..40 {
        assert!(duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
        assert!(!duo.lab.host("b").holds(VIP).unwrap(), "{}", duo.logs());
        clock::sleep_ms(50);
    }
    let timeline = duo.watch.timeline(VIP).unwrap();
    assert_eq!(timeline.lost_at("a", began), None, "{timeline}\n{}", duo.logs());
    assert!(!duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
}

fn two_writers_of_a_full_partition_end_read_only_and_loud() {
    let duo = Duo::start_with("partition", &Plan { limits: BY_DEFAULT, ..Plan::new(Flavour::MariaDb) });
    duo.lab.host("a").cut().unwrap();
    duo.wait_until("the other half promotes, too", || {
        !duo.pair.b.is_read_only().unwrap() && duo.lab.host("b").holds(VIP).unwrap()
    });
    duo.wait_for_line("b", "the peer's server does not answer");
    duo.pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)").unwrap();
    duo.pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (2, 2)").unwrap();
    clock::sleep_ms(500);
    duo.lab.host("a").heal().unwrap();
    duo.wait_until("both are read-only", || {
        duo.pair.a.is_read_only().unwrap() && duo.pair.b.is_read_only().unwrap()
    });
    duo.wait_for_line("a", "decide whose data count, and rebuild the other");
    duo.wait_for_line("b", "the servers have diverged");
    clock::sleep_ms(2_000);
    assert!(duo.pair.a.is_read_only().unwrap() && duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    let count = |server: &vrrp_lab::mysql::Server| server.ask("SELECT COUNT(*) FROM lab.writes").unwrap();
    assert_eq!(
        [count(&duo.pair.a), count(&duo.pair.b)],
        [Some("1".into()), Some("1".into())],
        "nothing flowed"
    );
    duo.wait_until("status says it", || duo.status("a").contains("READ-ONLY with the address"));
}
