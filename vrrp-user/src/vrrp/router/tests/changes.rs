//! What others decide while it runs: staying out, the priority, another configuration.

use super::*;

fn releasing_to(bench: &Bench) -> Then {
    let Phase::Releasing { then, .. } = bench.phase() else { panic!("does not release: {:?}", bench.router) };
    then
}

#[test]
fn a_master_told_to_stay_out_drops_its_addresses_then_says_priority_0() {
    let mut bench = Bench::holding(config());
    let actions = bench.give(Event::Suspend);
    assert_eq!(effects(&actions), [Action::DropVips(bench.job())]);
    let actions = bench.give(Event::VipsReleased(bench.job()));
    assert_eq!(effects(&actions), [Action::SendRelease]);
    assert_eq!(bench.router.state, State::Fault(Fault::Suspended));
    assert_eq!(bench.router.deadline(), None);
    // Whatever happens.
    for event in [Event::LinkDown, Event::LinkUp, Event::Startup, Event::Suspend, Event::VipLost] {
        assert_eq!(bench.give(event), []);
    }
    assert_eq!(reason(&bench.give(Event::Resume)), Why::Resumed { listening_for: DOWN });
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn a_master_told_to_stay_out_does_not_wait_for_the_executor_for_ever() {
    let mut bench = Bench::holding(config());
    bench.give(Event::Suspend);
    assert_eq!(bench.wait(), RELEASE_DEADLINE);
    assert_eq!(effects(&bench.run_to_deadline(None)), [Action::SendRelease]);
    assert_eq!(bench.router.state, State::Fault(Fault::Suspended));
}

#[test]
fn a_router_let_in_again_before_its_release_ended_finishes_it_and_listens() {
    let mut bench = Bench::holding(Config { preempt: false, ..config() });
    bench.give(Event::Suspend);
    assert_eq!(effects(&bench.give(Event::Resume)), []);
    let actions = bench.give(Event::VipsReleased(bench.job()));
    assert_eq!(effects(&actions), [Action::SendRelease], "the address is off: the peer must hear of it");
    assert_eq!(reason(&actions), Why::Resumed { listening_for: DOWN });
    assert_eq!(bench.router.label(), Label::Backup);
}

#[test]
fn leaving_outranks_staying_out_which_outranks_a_refusal() {
    let mut bench = Bench::promoting(config());
    bench.give(Event::VipsRefused(bench.job()));
    assert_eq!(releasing_to(&bench), Then::Fault(Refusal::ByKernel));
    bench.give(Event::Suspend);
    assert_eq!(releasing_to(&bench), Then::Suspended);
    bench.give(Event::Shutdown);
    bench.give(Event::Suspend);
    assert_eq!(releasing_to(&bench), Then::Initialize);
}

#[test]
fn a_router_that_starts_told_to_stay_out_stays_out() {
    let mut bench = Bench::new(Config { startup_delay: ms(700), ..config() });
    bench.give(Event::Suspend);
    bench.give(Event::LinkUp);
    bench.give(Event::PrimaryAddress(Some(US)));
    assert_eq!(reason(&bench.give(Event::Startup)), Why::Suspended);
    bench.give(Event::Resume);
    assert_eq!(bench.wait(), DOWN + ms(700), "listens as at the start");
}

#[test]
fn a_refused_router_told_to_stay_out_does_not_try_again() {
    let mut bench = Bench::promoting(config());
    bench.give(Event::VipsRefused(bench.job()));
    bench.give(Event::VipsReleased(bench.job()));
    bench.give(Event::Suspend);
    assert_eq!((bench.router.state, bench.router.deadline()), (State::Fault(Fault::Suspended), None));
}

#[test]
fn a_masters_next_advert_carries_its_new_priority_and_the_slot_is_told_of_a_backups() {
    let mut master = Bench::holding(config());
    assert_eq!(master.give(Event::SetPriority(priority(70))), []);
    assert_eq!(effects(&master.run_to_deadline(None)), [send(70)]);
    let mut backup = Bench::started(config());
    assert_eq!(backup.give(Event::SetPriority(priority(70))), [Action::SetMinimumPriority(70)]);
}

#[test]
fn a_backup_counts_its_deadline_anew_from_the_same_advert() {
    let mut bench = Bench::started(config());
    bench.hear(PEER, 200);
    bench.pass(ms(1000));
    bench.give(Event::SetPriority(priority(200)));
    // Skew at priority 200: 56/256 of 1 s.
    assert_eq!(bench.wait(), ns(3_218_750_000) - ms(1000));
    bench.give(Event::SetPriority(priority(100)));
    assert_eq!(bench.wait(), DOWN - ms(1000));
}

#[test]
fn a_backup_made_weaker_hears_the_master_that_it_was_about_to_replace() {
    let mut bench = Bench::started(config());
    // A weaker master, whom we do not obey: we are about to take over.
    bench.pass(DOWN - ms(1));
    assert_eq!(bench.hear(PEER, 90), []);
    bench.give(Event::SetPriority(priority(50)));
    bench.pass(ms(999));
    bench.hear(PEER, 90);
    assert!(bench.wait() > ms(3000), "obeys it now");
}

#[test]
fn a_master_keeps_its_right_when_its_interval_becomes_shorter_and_says_so_at_once() {
    let mut bench = Bench::holding(config());
    bench.stay_master(ms(2000));
    bench.pass(ms(900));
    let config = Config { advert_interval: v3(1), ..config() };
    let actions = bench.give(Event::Reconfigure { config, readdressed: false });
    assert_eq!(effects(&actions), [send(100)]);
    assert_eq!((bench.phase(), bench.wait()), (Phase::Holding, ms(10)));
}

#[test]
fn a_silent_master_is_not_made_one_by_right_by_a_longer_interval() {
    let mut bench = Bench::holding(config());
    bench.pass(ms(3001));
    let config = Config { advert_interval: v3(4000), ..config() };
    let actions = bench.give(Event::Reconfigure { config, readdressed: true });
    assert_eq!(effects(&actions), []);
    assert!(matches!(bench.phase(), Phase::Doubting { .. }));
}

#[test]
fn other_addresses_are_taken_by_a_master_that_stays_one() {
    let mut bench = Bench::holding(config());
    let actions = bench.give(Event::Reconfigure { config: config(), readdressed: true });
    assert_eq!(actions, [Action::TakeVips(bench.job())], "no transition, no release");
    bench.give(Event::VipsHeld(bench.job()));
    assert_eq!(bench.phase(), Phase::Holding);
    let mut backup = Bench::started(config());
    let before = backup.backup();
    assert_eq!(backup.give(Event::Reconfigure { config: config(), readdressed: true }), []);
    assert_eq!(backup.backup(), before);
}

#[test]
fn a_backup_of_version_2_listens_a_whole_new_down_interval_when_the_interval_changes() {
    let slow = Config { advert_interval: v2(10), ..config() };
    let mut bench = Bench::started(slow);
    bench.hear(PEER, 200);
    bench.pass(ms(9000));
    let fast = Config { advert_interval: v2(1), ..slow };
    bench.give(Event::Reconfigure { config: fast, readdressed: false });
    assert_eq!(bench.wait(), DOWN);
}

#[test]
fn a_backup_that_learns_the_other_version_forgets_the_master_of_the_old_one() {
    let mut bench = Bench::started(Config { advert_interval: v2(1), ..config() });
    bench.hear(PEER, 200);
    bench.give(Event::Reconfigure { config: config(), readdressed: false });
    assert_eq!((bench.backup().master, bench.wait()), (None, DOWN));
}
