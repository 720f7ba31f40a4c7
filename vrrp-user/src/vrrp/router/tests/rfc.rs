//! One test for each point of RFC 9568 §6.4 (and of RFC 3768 §6.4, §7.1 where version 2 differs).

use super::*;

#[test]
fn rfc9568_6_4_1_the_owner_becomes_master_at_startup() {
    let mut bench = Bench::new(Config { priority: priority(255), ..config() });
    bench.give(Event::LinkUp);
    bench.give(Event::PrimaryAddress(Some(US)));
    let actions = bench.give(Event::Startup);
    assert_eq!(effects(&actions), [send(255), Action::TakeVips(bench.job())]);
    assert_eq!(transitions(&actions), [(Label::Initialize, Label::Master)]);
    assert_eq!(bench.wait(), ms(1000));
}

#[test]
fn rfc9568_6_4_1_others_listen_for_a_down_interval_of_their_own() {
    let mut bench = Bench::new(config());
    bench.give(Event::LinkUp);
    bench.give(Event::PrimaryAddress(Some(US)));
    let actions = bench.give(Event::Startup);
    assert_eq!(effects(&actions), []);
    assert_eq!(transitions(&actions), [(Label::Initialize, Label::Backup)]);
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn rfc9568_6_4_1_initialize_ignores_everything_but_startup() {
    let mut bench = Bench::new(config());
    bench.give(Event::LinkUp);
    for event in [
        Event::Advert(bench.advert(PEER, 200)),
        Event::Advert(bench.advert(PEER, RELEASE)),
        Event::Deadline { heard: None },
        Event::Shutdown,
        Event::VipsHeld(Job::default()),
        Event::VipLost,
        Event::Fenced,
    ] {
        assert_eq!(bench.give(event), []);
        assert_eq!(bench.router.deadline(), None);
    }
}

#[test]
fn rfc9568_6_4_2_shutdown_leads_to_initialize() {
    let mut bench = Bench::started(config());
    let actions = bench.give(Event::Shutdown);
    assert_eq!(effects(&actions), []);
    assert_eq!(transitions(&actions), [(Label::Backup, Label::Initialize)]);
    assert_eq!(bench.router.deadline(), None);
}

#[test]
fn rfc9568_6_4_2_priority_zero_sets_the_timer_to_skew_time() {
    let mut bench = Bench::started(config());
    bench.hear(PEER, 150);
    bench.pass(ms(300));
    assert_eq!(effects(&bench.hear(PEER, RELEASE)), []);
    assert_eq!(bench.wait(), SKEW);
    let actions = bench.run_to_deadline(None);
    assert_eq!(effects(&actions), [send(100), Action::TakeVips(bench.job())]);
    assert_eq!(reason(&actions), Why::MasterReleased { by: PEER, ago: SKEW });
}

#[test]
fn rfc9568_6_4_2_skew_time_after_priority_zero_is_of_the_masters_interval() {
    let mut bench = Bench::started(config());
    let mut advert = bench.advert(PEER, 150);
    advert.advert_interval = v3(10);
    bench.give(Event::Advert(advert));
    bench.hear(PEER, RELEASE);
    assert_eq!(bench.wait(), ns(60_937_500));
}

#[test]
fn rfc9568_6_4_2_an_equal_or_greater_priority_arms_the_timer() {
    for heard in [100, 101, 254, 255] {
        let mut bench = Bench::started(config());
        bench.pass(ms(3000));
        // Equal priority is obeyed whatever the address: smaller than ours here.
        assert_eq!(bench.hear(SMALLER, heard), []);
        assert_eq!(bench.wait(), DOWN, "priority {heard}");
        assert_eq!(bench.backup().master.unwrap().address, SMALLER);
    }
}

#[test]
fn rfc9568_6_4_2_the_masters_interval_is_adopted() {
    let mut bench = Bench::started(config());
    let mut advert = bench.advert(PEER, 150);
    advert.advert_interval = v3(10);
    bench.give(Event::Advert(advert));
    assert_eq!(bench.wait(), ns(360_937_500));
    // And again when it changes.
    bench.pass(ms(50));
    advert = Advert { advert_interval: v3(200), ..bench.advert(PEER, 150) };
    bench.give(Event::Advert(advert));
    assert_eq!(bench.wait(), ns(2 * 3_609_375_000));
}

#[test]
fn rfc9568_6_4_2_a_new_master_speaks_at_its_own_interval() {
    let mut bench = Bench::started(config());
    let mut advert = bench.advert(PEER, 150);
    advert.advert_interval = v3(10);
    bench.give(Event::Advert(advert));
    bench.run_to_deadline(None);
    assert_eq!(bench.wait(), ms(1000));
}

#[test]
fn rfc9568_6_4_2_a_weaker_advert_is_discarded_when_preempting() {
    let mut bench = Bench::started(config());
    bench.pass(ms(1000));
    assert_eq!(bench.hear(PEER, 99), []);
    assert_eq!(bench.wait(), DOWN - ms(1000));
    bench.run_to_deadline(None);
    assert_eq!(bench.router.label(), Label::Master);
}

#[test]
fn rfc9568_6_4_2_a_weaker_advert_is_obeyed_without_preemption() {
    let mut bench = Bench::started(Config { preempt: false, ..config() });
    bench.pass(ms(1000));
    assert_eq!(bench.hear(PEER, 1), []);
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn rfc9568_6_1_preempt_mode_false_never_binds_the_owner() {
    let mut bench = Bench::holding(Config { priority: priority(255), preempt: false, ..config() });
    bench.hear(PEER, 255);
    assert_eq!(bench.router.label(), Label::Backup);
    let deadline = bench.deadline();
    bench.pass(ms(100));
    bench.hear(PEER, 254);
    assert_eq!(bench.deadline(), deadline, "the owner does not obey a weaker master");
}

#[test]
fn rfc9568_6_4_2_the_down_timer_makes_a_master() {
    let mut bench = Bench::started(config());
    bench.hear(PEER, 150);
    let actions = bench.run_to_deadline(None);
    assert_eq!(effects(&actions), [send(100), Action::TakeVips(bench.job())]);
    assert_eq!(transitions(&actions), [(Label::Backup, Label::Master)]);
    assert_eq!(bench.now.since(bench.start), DOWN);
    assert_eq!(bench.wait(), ms(1000));
}

#[test]
fn rfc9568_6_4_3_a_master_advertises_every_interval() {
    let mut bench = Bench::holding(config());
    for _ in 0..5 {
        assert_eq!(bench.wait(), ms(1000));
        assert_eq!(bench.run_to_deadline(None), [send(100)]);
    }
}

#[test]
fn rfc9568_6_4_3_adverts_stay_on_the_beat() {
    let mut bench = Bench::holding(config());
    bench.pass(ms(1030));
    assert_eq!(bench.give(Event::Deadline { heard: None }), [send(100)]);
    assert_eq!(bench.wait(), ms(970));
    // Missed beats are not made up for in a burst.
    bench.pass(ms(970 + 1500));
    assert_eq!(bench.give(Event::Deadline { heard: None }), [send(100)]);
    assert_eq!(bench.wait(), ms(500), "and the beat is the old one");
}

#[test]
fn rfc9568_6_4_3_priority_zero_is_answered_and_the_timer_starts_anew() {
    let mut bench = Bench::holding(config());
    bench.pass(ms(400));
    assert_eq!(bench.hear(PEER, RELEASE), [send(100)]);
    assert_eq!(bench.wait(), ms(1000));
}

#[test]
fn rfc9568_6_4_3_a_master_yields_to_a_greater_priority() {
    for preempt in [true, false] {
        let mut bench = Bench::holding(Config { preempt, ..config() });
        let mut advert = bench.advert(SMALLER, 101);
        advert.advert_interval = v3(10);
        bench.pass(ms(5));
        let actions = bench.give(Event::Advert(advert));
        assert_eq!(actions[0], Action::DropVips(bench.job()), "before anything else");
        assert_eq!(effects(&actions).len(), 1);
        assert_eq!(transitions(&actions), [(Label::Master, Label::Backup)]);
        // The master's interval is adopted, and the timer runs from the arrival.
        assert_eq!(bench.deadline(), advert.arrived + ns(360_937_500));
        assert_eq!(bench.backup().master.unwrap().address, SMALLER);
    }
}

#[test]
fn rfc9568_6_4_3_a_tie_goes_to_the_greater_address() {
    let mut bench = Bench::holding(config());
    assert_eq!(effects(&bench.hear(SMALLER, 100))[0], send(100));
    assert_eq!(bench.router.label(), Label::Master);
    let actions = bench.hear(PEER, 100);
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
    assert_eq!(reason(&actions), Why::EqualMaster { sender: PEER, priority: 100, age: ms(0) });
}

#[test]
fn rfc9568_6_4_3_addresses_are_compared_unsigned_in_network_order() {
    let mut bench = Bench::holding(config());
    bench.give(Event::PrimaryAddress(Some(Ipv4Addr::new(10, 0, 0, 255))));
    bench.hear(Ipv4Addr::new(10, 0, 0, 254), 100);
    assert_eq!(bench.router.label(), Label::Master);
    bench.hear(Ipv4Addr::new(200, 0, 0, 1), 100);
    assert_eq!(bench.router.label(), Label::Backup);
}

#[test]
fn rfc9568_6_4_3_losing_advert_is_answered() {
    for advert_interval in [v3(100), v2(1)] {
        let mut bench = Bench::holding(Config { advert_interval, ..config() });
        bench.pass(ms(400));
        assert_eq!(bench.hear(PEER, 99), [send(100), Action::AnnounceVips]);
        assert_eq!(bench.wait(), ms(600), "the timer is not touched");
    }
}

#[test]
fn rfc9568_6_4_3_shutdown_ends_in_priority_zero() {
    let mut bench = Bench::holding(config());
    let actions = bench.give(Event::Shutdown);
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
    bench.pass(ms(2));
    let actions = bench.give(Event::VipsReleased(bench.job()));
    assert_eq!(effects(&actions), [Action::SendRelease]);
    assert_eq!(transitions(&actions), [(Label::Master, Label::Initialize)]);
    assert_eq!(bench.router.deadline(), None);
}

#[test]
fn rfc3768_6_1_version_2_goes_by_its_own_interval() {
    let mut bench = Bench::started(Config { advert_interval: v2(1), priority: priority(150), ..config() });
    assert_eq!(bench.wait(), ns(3_414_062_500));
    bench.pass(ms(1000));
    bench.hear(PEER, 200);
    assert_eq!(bench.wait(), ns(3_414_062_500));
    bench.hear(PEER, RELEASE);
    assert_eq!(bench.wait(), ns(414_062_500));
}

#[test]
fn rfc3768_7_1_another_interval_is_discarded() {
    let config = Config { advert_interval: v2(1), ..config() };
    let mut bench = Bench::started(config);
    let deadline = bench.deadline();
    bench.pass(ms(1000));
    let foreign = |bench: &Bench, priority| Advert { advert_interval: v2(2), ..bench.advert(PEER, priority) };
    bench.give(Event::Advert(foreign(&bench, 200)));
    bench.give(Event::Advert(foreign(&bench, RELEASE)));
    assert_eq!(bench.deadline(), deadline);
    bench.now = deadline;
    bench.give(Event::Deadline { heard: Some(foreign(&bench, 200)) });
    assert_eq!(bench.router.label(), Label::Master, "from the slot neither");
    assert_eq!(bench.give(Event::Advert(foreign(&bench, 200))), []);
    assert_eq!(bench.give(Event::Advert(foreign(&bench, 50))), []);
}

#[test]
fn rfc9568_7_1_another_version_is_discarded() {
    let mut bench = Bench::started(config());
    let deadline = bench.deadline();
    bench.pass(ms(1000));
    let advert = Advert { advert_interval: v2(1), ..bench.advert(PEER, 200) };
    bench.give(Event::Advert(advert));
    assert_eq!(bench.deadline(), deadline);
}
