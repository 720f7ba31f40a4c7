//! FAULT, promotion and release: who may hold the addresses, and when nobody may.

use super::*;

#[test]
fn without_link_or_address_the_start_is_a_fault_and_each_is_named() {
    let mut bench = Bench::new(config());
    let actions = bench.give(Event::Startup);
    assert_eq!(reason(&actions), Why::LinkDown);
    assert_eq!(bench.router.state, State::Fault(Fault::LinkDown));
    let actions = bench.give(Event::LinkUp);
    assert_eq!(reason(&actions), Why::NoPrimaryAddress);
    assert_eq!(bench.router.deadline(), None, "a fault of the interface ends by an event, not by time");
    bench.pass(ms(10_000));
    let actions = bench.give(Event::PrimaryAddress(Some(US)));
    assert_eq!(transitions(&actions), [(Label::Fault, Label::Backup)]);
    assert_eq!(bench.wait(), DOWN, "listening starts when both are there");
}

#[test]
fn every_flap_starts_the_listening_again() {
    let mut bench = Bench::started(config());
    bench.pass(ms(3000));
    assert_eq!(transitions(&bench.give(Event::LinkDown)), [(Label::Backup, Label::Fault)]);
    bench.pass(ms(10));
    bench.give(Event::LinkUp);
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn the_startup_delay_lengthens_each_listening_and_is_a_floor() {
    let mut bench = Bench::started(Config { startup_delay: ms(20_000), ..config() });
    assert_eq!(bench.wait(), DOWN + ms(20_000));
    // A master that is heard and dies in the meantime does not make us one before the delay is over.
    bench.hear(PEER, 150);
    bench.hear(PEER, RELEASE);
    assert_eq!(bench.wait(), ms(20_000));
    bench.pass(ms(100));
    bench.give(Event::LinkDown);
    bench.give(Event::LinkUp);
    assert_eq!(bench.wait(), DOWN + ms(20_000));
}

#[test]
fn the_owner_is_exempt_from_listening() {
    let owner = Config { priority: priority(255), startup_delay: ms(20_000), ..config() };
    let mut bench = Bench::holding(owner);
    assert_eq!(bench.now, bench.start);
    bench.give(Event::LinkDown);
    let actions = bench.give(Event::LinkUp);
    assert_eq!(transitions(&actions), [(Label::Fault, Label::Master)]);
}

#[test]
fn news_from_before_the_listening_does_not_shorten_it() {
    let mut bench = Bench::new(config());
    let old = bench.advert(PEER, 150);
    bench.pass(ms(2000));
    bench.give(Event::LinkUp);
    bench.give(Event::PrimaryAddress(Some(US)));
    bench.give(Event::Startup);
    bench.give(Event::Advert(old));
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn a_fault_neither_sends_nor_answers() {
    let mut bench = Bench::holding(config());
    let actions = bench.give(Event::LinkDown);
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())], "addresses off, nothing sent");
    assert_eq!(transitions(&actions), [(Label::Master, Label::Fault)]);
    for number in [0, 50, 200] {
        assert_eq!(bench.hear(PEER, number), []);
    }
    let mut bench = Bench::holding(config());
    let actions = bench.give(Event::PrimaryAddress(None));
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
    assert_eq!(reason(&actions), Why::NoPrimaryAddress);
    assert_eq!(transitions(&bench.give(Event::Shutdown)), [(Label::Fault, Label::Initialize)]);
}

#[test]
fn adverts_flow_while_the_addresses_are_on_their_way() {
    let mut bench = Bench::promoting(Config { advert_interval: v3(10), ..config() });
    assert_eq!(bench.run_to_deadline(None), [send(100)]);
    assert!(matches!(bench.phase(), Phase::Promoting { .. }));
    bench.give(Event::VipsHeld(bench.job()));
    assert_eq!(bench.phase(), Phase::Holding);
}

#[test]
fn a_refused_promotion_is_given_back_and_held_down() {
    let mut bench = Bench::promoting(config());
    let taken = bench.job();
    let actions = bench.give(Event::VipsRefused(taken));
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())], "half of them may be on");
    let actions = bench.give(Event::VipsReleased(bench.job()));
    assert_eq!(effects(&actions), [Action::SendRelease]);
    assert_eq!(transitions(&actions), [(Label::Master, Label::Fault)]);
    let why = Why::PromotionFailed { refusal: Refusal::ByKernel, retry_in: HOLD_DOWN };
    assert_eq!(reason(&actions), why);
    assert_eq!(bench.wait(), HOLD_DOWN);
    // A flap does not end the hold-down.
    bench.give(Event::LinkDown);
    bench.give(Event::LinkUp);
    assert_eq!(bench.router.label(), Label::Fault);
    let actions = bench.run_to_deadline(None);
    assert_eq!(transitions(&actions), [(Label::Fault, Label::Backup)]);
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn after_the_hold_down_the_interface_is_looked_at_again() {
    let mut bench = Bench::promoting(config());
    bench.give(Event::VipsRefused(bench.job()));
    bench.give(Event::VipsReleased(bench.job()));
    bench.give(Event::LinkDown);
    bench.run_to_deadline(None);
    assert_eq!(bench.router.state, State::Fault(Fault::LinkDown));
}

#[test]
fn a_promotion_not_confirmed_in_time_is_given_back() {
    let mut bench = Bench::promoting(Config { advert_interval: v3(10), ..config() });
    let promoted = bench.now;
    let dropped = loop {
        let actions = effects(&bench.run_to_deadline(None));
        if actions != [send(100)] {
            break actions;
        }
    };
    assert_eq!(bench.now.since(promoted), VIP_DEADLINE);
    assert_eq!(dropped, [Action::DropVips(bench.job())]);
    // The executor hangs: priority 0 goes out without its word.
    let released = loop {
        let actions = bench.run_to_deadline(None);
        if effects(&actions) != [send(100)] {
            break actions;
        }
    };
    assert_eq!(effects(&released), [Action::SendRelease]);
    assert_eq!(bench.now.since(promoted), VIP_DEADLINE + RELEASE_DEADLINE);
    assert!(matches!(bench.router.state, State::Fault(Fault::Refused { .. })));
}

#[test]
fn a_router_whose_addresses_are_refused_claims_less_and_less_often() {
    let mut bench = Bench::promoting(config());
    let mut waits = Vec::new();
    for _ in 0..9 {
        bench.give(Event::VipsRefused(bench.job()));
        bench.give(Event::VipsReleased(bench.job()));
        waits.push(bench.wait().as_secs());
        bench.run_to_deadline(None);
        while bench.router.label() != Label::Master {
            bench.run_to_deadline(None);
        }
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 320, 320]);
    bench.give(Event::VipsHeld(bench.job()));
    bench.give(Event::VipLost);
    bench.give(Event::VipsRefused(bench.job()));
    bench.give(Event::VipsReleased(bench.job()));
    assert_eq!(bench.wait(), HOLD_DOWN, "a success makes it begin anew");
}

#[test]
fn a_release_waits_50_ms_for_the_addresses_and_adverts_flow_meanwhile() {
    let mut bench = Bench::holding(Config { advert_interval: v3(2), ..config() });
    bench.give(Event::Shutdown);
    let asked = bench.now;
    assert_eq!(bench.run_to_deadline(None), [send(100)]);
    assert_eq!(bench.run_to_deadline(None), [send(100)]);
    let actions = bench.run_to_deadline(None);
    assert_eq!(effects(&actions), [Action::SendRelease]);
    assert_eq!(bench.now.since(asked), RELEASE_DEADLINE);
    assert_eq!(bench.router.label(), Label::Initialize);
}

#[test]
fn a_result_of_an_older_order_does_not_end_a_release() {
    let mut bench = Bench::holding(config());
    bench.hear(PEER, 150);
    let first_drop = bench.job();
    bench.run_to_deadline(None);
    bench.give(Event::Shutdown);
    assert_eq!(effects(&bench.give(Event::VipsReleased(first_drop))), []);
    assert_eq!(bench.router.label(), Label::Master);
    assert_eq!(effects(&bench.give(Event::VipsReleased(bench.job()))), [Action::SendRelease]);
}

#[test]
fn a_result_of_an_older_order_neither_confirms_nor_refuses_a_promotion() {
    let mut bench = Bench::promoting(config());
    let first_take = bench.job();
    bench.hear(PEER, 150);
    bench.run_to_deadline(None);
    bench.give(Event::VipsHeld(first_take));
    assert!(matches!(bench.phase(), Phase::Promoting { .. }));
    assert_eq!(bench.give(Event::VipsRefused(first_take)), []);
    assert!(matches!(bench.phase(), Phase::Promoting { .. }));
}

#[test]
fn nobody_is_answered_on_the_way_out() {
    let mut bench = Bench::holding(config());
    bench.give(Event::Shutdown);
    for number in [0, 50, 200] {
        assert_eq!(bench.hear(PEER, number), []);
    }
    assert!(matches!(bench.phase(), Phase::Releasing { then: Then::Initialize, .. }));
}

#[test]
fn shutdown_overrides_the_end_of_a_failed_promotion() {
    let mut bench = Bench::promoting(config());
    bench.give(Event::VipsRefused(bench.job()));
    let deadline = bench.deadline();
    bench.pass(ms(10));
    assert_eq!(bench.give(Event::Shutdown), []);
    assert_eq!(bench.deadline(), deadline, "and does not prolong it");
    bench.give(Event::VipsReleased(bench.job()));
    assert_eq!(bench.router.label(), Label::Initialize);
}

#[test]
fn losing_the_link_on_the_way_out_ends_it_without_a_word() {
    let mut bench = Bench::holding(config());
    bench.give(Event::Shutdown);
    let actions = bench.give(Event::LinkDown);
    assert_eq!(effects(&actions), []);
    assert_eq!(transitions(&actions), [(Label::Master, Label::Initialize)]);
    let mut bench = Bench::promoting(config());
    bench.give(Event::VipsRefused(bench.job()));
    bench.give(Event::LinkDown);
    assert_eq!(bench.router.state, State::Fault(Fault::LinkDown));
}

#[test]
fn an_address_that_somebody_else_removed_is_added_again() {
    let mut bench = Bench::holding(config());
    bench.pass(ms(100));
    let actions = bench.give(Event::VipLost);
    assert_eq!(effects(&actions), [Action::TakeVips(bench.job())]);
    assert_eq!(reason(&actions), Why::VipLost);
    assert_eq!(bench.phase(), Phase::Promoting { deadline: bench.now + VIP_DEADLINE });
    // Lost again before it was confirmed: ordered again, by the same deadline.
    bench.pass(ms(100));
    assert_eq!(effects(&bench.give(Event::VipLost)), [Action::TakeVips(bench.job())]);
    assert_eq!(bench.phase(), Phase::Promoting { deadline: bench.now + (VIP_DEADLINE - ms(100)) });
    bench.give(Event::VipsHeld(bench.job()));
    assert_eq!(bench.phase(), Phase::Holding);
}

#[test]
fn a_lost_address_is_no_concern_of_a_backup_or_of_one_on_the_way_out() {
    let mut bench = Bench::started(config());
    assert_eq!(bench.give(Event::VipLost), []);
    let mut bench = Bench::holding(config());
    bench.give(Event::Shutdown);
    assert_eq!(bench.give(Event::VipLost), []);
}
