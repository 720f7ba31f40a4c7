//! Deadlines count from arrival; who woke late looks before it acts; a MASTER that was late is no master by right.

use super::*;

#[test]
fn an_advert_processed_late_counts_from_its_arrival() {
    let mut bench = Bench::started(config());
    let advert = bench.advert(PEER, 150);
    bench.pass(ms(2500));
    bench.give(Event::Advert(advert));
    assert_eq!(bench.deadline(), advert.arrived + DOWN);
}

#[test]
fn an_older_advert_never_turns_the_timer_back() {
    let mut bench = Bench::started(config());
    let older = bench.advert(PEER, 150);
    bench.pass(ms(1000));
    bench.hear(PEER, 150);
    let deadline = bench.deadline();
    bench.give(Event::Advert(older));
    assert_eq!(bench.deadline(), deadline);
}

#[test]
fn a_deadline_looks_at_the_slot_before_it_acts() {
    let mut bench = Bench::started(config());
    bench.pass(ms(3000));
    let mut heard = bench.advert(PEER, 180);
    heard.advert_interval = v3(50);
    assert_eq!(bench.run_to_deadline(Some(heard)), []);
    assert_eq!(bench.deadline(), heard.arrived + ns(1_804_687_500), "sender and interval are adopted, too");
    assert_eq!(bench.backup().master.unwrap().priority, 180);
}

#[test]
fn a_slot_refreshed_by_one_whom_we_do_not_obey_arms_nothing() {
    let mut bench = Bench::started(config());
    bench.pass(ms(3000));
    let weaker = bench.advert(PEER, 99);
    bench.run_to_deadline(Some(weaker));
    assert_eq!(bench.router.label(), Label::Master);
}

#[test]
fn who_woke_late_listens_as_much_longer_once() {
    let mut bench = Bench::started(config());
    let heard = Some(bench.advert(PEER, 150));
    bench.hear(PEER, 150);
    bench.now = bench.deadline() + ms(300);
    // The slot still holds the advert that armed the timer: nothing new.
    let actions = bench.give(Event::Deadline { heard });
    assert_eq!(reason(&actions), Why::WokeLate { late: ms(300), listening_for: ms(300) });
    assert_eq!(transitions(&actions), [(Label::Backup, Label::Backup)]);
    assert_eq!(bench.wait(), ms(300));
    // Late a second time: acts.
    bench.now = bench.deadline() + ms(300);
    bench.give(Event::Deadline { heard });
    assert_eq!(bench.router.label(), Label::Master);
}

#[test]
fn who_woke_very_late_listens_one_interval_and_a_half_longer() {
    let mut bench = Bench::started(config());
    let mut advert = bench.advert(PEER, 150);
    advert.advert_interval = v3(10);
    bench.give(Event::Advert(advert));
    bench.now = bench.deadline() + ms(60_000);
    bench.give(Event::Deadline { heard: None });
    assert_eq!(bench.wait(), ms(150), "of the master's intervals");
    bench.run_to_deadline(None);
    assert_eq!(bench.router.label(), Label::Master);
}

#[test]
fn a_living_advert_in_the_extra_time_arms_the_timer_and_renews_the_extension() {
    let mut bench = Bench::started(config());
    bench.now = bench.deadline() + ms(300);
    bench.give(Event::Deadline { heard: None });
    bench.pass(ms(200));
    bench.hear(PEER, 150);
    assert_eq!(bench.wait(), DOWN);
    bench.now = bench.deadline() + ms(300);
    bench.give(Event::Deadline { heard: None });
    assert_eq!(bench.router.label(), Label::Backup, "late again, with a right to listen longer again");
}

#[test]
fn a_millisecond_is_not_late() {
    let mut bench = Bench::started(config());
    bench.now = bench.deadline() + LATE_TOLERANCE;
    bench.give(Event::Deadline { heard: None });
    assert_eq!(bench.router.label(), Label::Master);
    let mut bench = Bench::started(config());
    bench.now = bench.deadline() + LATE_TOLERANCE + ns(1);
    bench.give(Event::Deadline { heard: None });
    assert_eq!(bench.router.label(), Label::Backup);
}

#[test]
fn lateness_counts_from_the_last_sign_of_life_in_the_slot() {
    let mut bench = Bench::started(config());
    bench.pass(ms(3000));
    let heard = bench.advert(PEER, 150);
    bench.pass(DOWN + ms(7));
    bench.give(Event::Deadline { heard: Some(heard) });
    assert_eq!(bench.wait(), ms(7));
}

#[test]
fn an_advert_from_before_the_election_is_no_claim_against_the_new_master() {
    let mut bench = Bench::new(Config { priority: priority(255), ..config() });
    let old = bench.advert(PEER, 255);
    bench.pass(ms(10_000));
    for event in [Event::LinkUp, Event::PrimaryAddress(Some(US)), Event::Startup] {
        bench.give(event);
    }
    assert_eq!(bench.give(Event::Advert(old)), []);
    assert_eq!(bench.router.label(), Label::Master);
    bench.hear(PEER, 255);
    assert_eq!(bench.router.label(), Label::Backup);
}

/// A MASTER whose thread slept for more than three intervals.
fn overslept(config: Config) -> Bench {
    let mut bench = Bench::holding(config);
    bench.pass(ms(3001));
    bench
}

#[test]
fn a_master_that_was_late_sends_nothing_and_listens() {
    let mut bench = overslept(config());
    let actions = bench.give(Event::Deadline { heard: None });
    assert_eq!(effects(&actions), []);
    assert_eq!(transitions(&actions), [(Label::Master, Label::Master)]);
    assert_eq!(bench.wait(), ms(1000), "for one advert of whoever may have taken over");
}

#[test]
fn three_intervals_are_not_yet_late() {
    let mut bench = Bench::holding(config());
    bench.pass(ms(3000));
    assert_eq!(bench.give(Event::Deadline { heard: None }), [send(100)]);
}

#[test]
fn whatever_wakes_a_late_master_puts_it_in_doubt_first() {
    for event in [
        Event::VipLost,
        Event::LinkUp,
        Event::VipsHeld(Job::default()),
        Event::SetPriority(priority(100)),
        Event::Startup,
    ] {
        let mut bench = overslept(config());
        assert_eq!(effects(&bench.give(event)), [], "{event:?}");
        assert!(matches!(bench.phase(), Phase::Doubting { .. }), "{event:?}");
    }
}

#[test]
fn in_doubt_any_foreign_advert_decides() {
    for (preempt, number) in [(true, 200), (true, 50), (false, 200), (false, 1)] {
        let mut bench = Bench::holding(Config { preempt, ..config() });
        bench.pass(ms(2000));
        let advert = bench.advert(PEER, number);
        bench.pass(ms(5000));
        // Drained before the deadline is looked at.
        let actions = bench.give(Event::Advert(advert));
        assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
        let (sender, silent) = (PEER, ms(7000));
        assert_eq!(reason(&actions), Why::TakenOver { sender, priority: number, silent });
        assert_eq!(bench.wait(), DOWN, "listens from now on, old as the advert is");
    }
}

#[test]
fn in_doubt_a_foreign_advert_in_the_slot_decides() {
    let mut bench = overslept(config());
    let heard = bench.advert(PEER, 50);
    bench.pass(ms(1));
    let actions = bench.give(Event::Deadline { heard: Some(heard) });
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
    assert_eq!(bench.router.label(), Label::Backup);
}

#[test]
fn in_doubt_neither_old_news_nor_a_release_decides() {
    let mut bench = Bench::holding(config());
    let old = bench.advert(PEER, 50);
    bench.stay_master(ms(1000));
    bench.pass(ms(3001));
    assert_eq!(effects(&bench.give(Event::Deadline { heard: Some(old) })), []);
    assert_eq!(effects(&bench.give(Event::Advert(old))), []);
    assert_eq!(effects(&bench.hear(PEER, RELEASE)), []);
    assert!(matches!(bench.phase(), Phase::Doubting { .. }));
}

#[test]
fn when_nobody_took_over_a_master_in_doubt_resumes() {
    let mut bench = overslept(config());
    bench.give(Event::Deadline { heard: None });
    let actions = bench.run_to_deadline(None);
    assert_eq!(effects(&actions), [send(100), Action::TakeVips(bench.job())]);
    assert_eq!(transitions(&actions), [(Label::Master, Label::Master)]);
    assert_eq!(bench.phase(), Phase::Promoting { deadline: bench.now + VIP_DEADLINE });
}

#[test]
fn in_doubt_a_lost_address_is_never_repaired() {
    let mut bench = overslept(config());
    assert_eq!(effects(&bench.give(Event::VipLost)), []);
    assert_eq!(effects(&bench.give(Event::VipLost)), []);
    assert!(matches!(bench.phase(), Phase::Doubting { .. }));
}

#[test]
fn in_doubt_shutdown_still_takes_the_addresses_off_but_claims_nothing() {
    let mut bench = overslept(config());
    let actions = bench.give(Event::Shutdown);
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
    assert_eq!(effects(&bench.run_to_deadline(None)), [], "no advert of our own priority");
    assert_eq!(effects(&bench.run_to_deadline(None)), [Action::SendRelease]);
    assert_eq!(bench.router.label(), Label::Initialize);
}

#[test]
fn in_doubt_losing_the_link_or_the_kernels_consent_is_a_fault() {
    let mut bench = overslept(config());
    let actions = bench.give(Event::LinkDown);
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
    assert_eq!(bench.router.state, State::Fault(Fault::LinkDown));
    let mut bench = Bench::promoting(Config { advert_interval: v3(10), ..config() });
    bench.pass(ms(301));
    let actions = bench.give(Event::VipsRefused(bench.job()));
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())], "and no claim, not even of priority 0");
    assert!(matches!(bench.router.state, State::Fault(Fault::Refused { .. })));
}

#[test]
fn a_late_release_claims_nothing_more() {
    let mut bench = Bench::holding(Config { advert_interval: v3(1), ..config() });
    bench.give(Event::Shutdown);
    bench.pass(ms(31));
    assert_eq!(bench.give(Event::Deadline { heard: None }), []);
    assert_eq!(effects(&bench.run_to_deadline(None)), [Action::SendRelease]);
}

#[test]
fn a_fenced_master_starts_over_as_backup() {
    for mut bench in [Bench::holding(config()), Bench::promoting(config()), overslept(config())] {
        let actions = bench.give(Event::Fenced);
        assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
        assert_eq!(reason(&actions), Why::Fenced);
        assert_eq!(bench.wait(), DOWN);
    }
    let mut bench = Bench::holding(config());
    bench.give(Event::Shutdown);
    assert_eq!(bench.give(Event::Fenced), [], "its own release is under way");
}
