//! What the design adds to the RFC in BACKUP and MASTER: skew none, rations, the slot's rule, priorities that change.

use super::*;

fn without_skew() -> Config {
    Config { skew: Skew::None { peer: PEER }, ..config() }
}

#[test]
fn skew_none_acts_at_once_on_the_recorded_masters_word() {
    let mut bench = Bench::started(without_skew());
    bench.hear(PEER, 150);
    bench.pass(ms(300));
    assert_eq!(effects(&bench.hear(PEER, RELEASE)), [], "a deadline, not an act");
    assert_eq!(bench.wait(), ms(0));
    let actions = bench.run_to_deadline(None);
    assert_eq!(effects(&actions), [send(100), Action::TakeVips(bench.job())]);
}

#[test]
fn skew_none_a_stranger_changes_nothing() {
    let mut bench = Bench::started(without_skew());
    bench.hear(PEER, 150);
    let before = bench.backup();
    bench.pass(ms(300));
    assert_eq!(bench.hear(STRANGER, RELEASE), []);
    assert_eq!(bench.backup(), before);
}

#[test]
fn skew_none_a_stranger_changes_nothing_even_as_the_recorded_master() {
    let mut bench = Bench::started(without_skew());
    bench.hear(STRANGER, 150);
    let before = bench.backup();
    bench.hear(STRANGER, RELEASE);
    assert_eq!(bench.backup(), before);
}

#[test]
fn skew_none_the_peer_has_no_shortcut_before_it_is_the_recorded_master() {
    let mut bench = Bench::started(without_skew());
    bench.hear(PEER, RELEASE);
    assert_eq!(bench.wait(), SKEW);
}

#[test]
fn skew_none_a_living_advert_in_the_same_drain_cancels() {
    let mut bench = Bench::started(without_skew());
    bench.hear(PEER, 150);
    bench.pass(ms(300));
    let release = bench.advert(PEER, RELEASE);
    bench.pass(ns(10_000));
    let living = bench.advert(PEER, 150);
    bench.pass(ms(1));
    bench.give(Event::Advert(release));
    bench.give(Event::Advert(living));
    assert_eq!(bench.deadline(), living.arrived + DOWN);
}

#[test]
fn skew_none_a_living_advert_in_the_slot_cancels() {
    let mut bench = Bench::started(without_skew());
    bench.hear(PEER, 150);
    bench.pass(ms(300));
    bench.hear(PEER, RELEASE);
    bench.pass(ns(10_000));
    let living = bench.advert(PEER, 150);
    assert_eq!(bench.give(Event::Deadline { heard: Some(living) }), []);
    assert_eq!(bench.deadline(), living.arrived + DOWN);
}

#[test]
fn an_advert_from_before_the_release_does_not_cancel_it() {
    let mut bench = Bench::started(config());
    let living = bench.advert(PEER, 150);
    bench.pass(ms(1));
    bench.hear(PEER, RELEASE);
    let deadline = bench.deadline();
    bench.give(Event::Advert(living));
    assert_eq!(bench.deadline(), deadline);
    bench.run_to_deadline(Some(living));
    assert_eq!(bench.router.label(), Label::Master);
}

#[test]
fn a_release_counts_even_when_the_timer_seems_to_end_sooner() {
    // The lazy timer has not seen what the slot has: measured by it, the release would be acted on before its skew time.
    let mut bench = Bench::started(config());
    bench.hear(PEER, 150);
    bench.pass(ms(3500));
    bench.hear(PEER, RELEASE);
    assert_eq!(bench.wait(), SKEW);
}

#[test]
fn a_stream_of_releases_does_not_put_the_deadline_off() {
    let mut bench = Bench::started(config());
    bench.hear(PEER, RELEASE);
    let deadline = bench.deadline();
    for _ in 0..10 {
        bench.pass(ms(50));
        bench.hear(STRANGER, RELEASE);
        assert_eq!(bench.deadline(), deadline);
    }
}

#[test]
fn a_living_masters_advert_undoes_a_strangers_release() {
    let mut bench = Bench::started(config());
    bench.hear(PEER, 150);
    bench.pass(ms(900));
    bench.hear(STRANGER, RELEASE);
    bench.pass(ms(100));
    bench.hear(PEER, 150);
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn our_own_echo_means_nothing() {
    let mut bench = Bench::started(config());
    let deadline = bench.deadline();
    bench.pass(ms(500));
    bench.hear(US, 200);
    assert_eq!(bench.deadline(), deadline);
    let mut bench = Bench::holding(config());
    for number in [0, 99, 100, 200] {
        assert_eq!(bench.hear(US, number), []);
    }
}

#[test]
fn answers_are_rationed_to_one_in_10_ms_and_announcements_to_one_a_second() {
    let mut bench = Bench::holding(config());
    let (mut answers, mut announcements) = (0, 0);
    for _ in 0..1_500 {
        for action in bench.hear(PEER, 50) {
            if action == Action::AnnounceVips {
                announcements += 1;
            } else {
                assert_eq!(action, send(100));
                answers += 1;
            }
        }
        bench.pass(ms(1));
    }
    assert_eq!((answers, announcements), (150, 2));
}

#[test]
fn a_flood_of_releases_draws_one_advert_in_10_ms() {
    let mut bench = Bench::holding(config());
    let sent: usize = (0..100)
        .map(|_| {
            bench.pass(ms(1));
            bench.hear(PEER, RELEASE).len()
        })
        .sum();
    assert_eq!(sent, 10);
}

#[test]
fn while_promoting_a_loser_is_answered_but_not_announced_to() {
    let mut bench = Bench::promoting(config());
    assert_eq!(bench.hear(PEER, 50), [send(100)]);
}

#[test]
fn the_slots_rule_follows_the_state() {
    let rule = |bench: &Bench| {
        let rule = bench.router.slot.unwrap();
        (rule.minimum_priority, rule.wake_always)
    };
    let mut bench = Bench::new(config());
    let told = bench.give(Event::LinkUp);
    assert_eq!(told, [Action::SetMinimumPriority(256), Action::WakeAlways(false)], "told once at first");
    bench.give(Event::Startup);
    assert_eq!(rule(&bench), (256, false), "fault");
    let actions = bench.give(Event::PrimaryAddress(Some(US)));
    assert!(actions.contains(&Action::SetMinimumPriority(100)));
    assert_eq!(rule(&bench), (100, false), "a preempting backup");
    let actions = bench.run_to_deadline(None);
    assert!(actions.contains(&Action::SetMinimumPriority(1)) && actions.contains(&Action::WakeAlways(true)));
    assert_eq!(rule(&bench), (1, true), "master");
    bench.pass(ms(3001));
    bench.give(Event::Deadline { heard: None });
    assert!(matches!(bench.phase(), Phase::Doubting { .. }));
    assert_eq!(rule(&bench), (1, true), "in doubt, everybody counts");
    let bench = Bench::started(Config { preempt: false, ..config() });
    assert_eq!(rule(&bench), (1, false), "without preemption");
    let bench = Bench::started(Config { priority: priority(1), ..config() });
    assert_eq!(rule(&bench), (1, false), "nobody is weaker than 1");
}

#[test]
fn a_new_priority_rules_from_the_next_advert_and_deadline_on() {
    let mut bench = Bench::holding(config());
    assert_eq!(bench.give(Event::SetPriority(priority(80))), []);
    assert_eq!(bench.run_to_deadline(None), [send(80)]);
    bench.hear(PEER, 90);
    assert_eq!(bench.router.label(), Label::Backup);
    let actions = bench.give(Event::SetPriority(priority(120)));
    assert_eq!(actions, [Action::SetMinimumPriority(120)]);
    let deadline = bench.deadline();
    bench.pass(ms(500));
    bench.hear(PEER, 90);
    assert_eq!(bench.deadline(), deadline, "weaker than us now");
    let heard = bench.advert(PEER, 90);
    bench.run_to_deadline(Some(heard));
    assert_eq!(bench.router.label(), Label::Master);
}
