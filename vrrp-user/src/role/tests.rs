//! Every branch of both orders, with answers made up here.

mod sessions;
mod waiting;

use std::time::Duration;

use super::*;
use crate::mysql::row::tests::recorded;
use crate::mysql::{Position, SemiSync, ServerState};
use crate::vrrp::Instant;

const MS: Duration = Duration::from_millis(1);

fn state(read_only: u8, position: &str) -> Box<ServerState> {
    let text = format!(
        "server_id: 1\nread_only: {read_only}\ngtid_binlog_state: {position}\nversion: 10.11.19-MariaDB"
    );
    Box::new(ServerState::read(&recorded(&text)).unwrap())
}

fn peer(read_only: u8, position: &str) -> Outcome {
    Outcome::Peer(PeerAnswer::State(state(read_only, position)))
}

fn own(position: &str) -> Outcome {
    Outcome::State(state(1, position))
}

fn silent() -> Outcome {
    Outcome::Peer(PeerAnswer::Silent("connection refused".to_owned()))
}

fn replicas(received: u32, applied: u32, applier: &str) -> Outcome {
    Outcome::Replicas(vec![Channel {
        is_caught_up: received == applied,
        is_stopped: applier == "No",
        has_read_all: false,
        applied: format!("0-1-{applied}"),
    }])
}

fn semi(clients: u64) -> Outcome {
    Outcome::SemiSync(Some(SemiSync::of_source(clients)))
}

/// Drives a machine: each answer must be to the question named with it; pauses are slept through.
struct Play<M> {
    machine: M,
    now: Instant,
    remarks: Vec<Remark>,
}

macro_rules! play {
    ($machine:ty, $result:ty) => {
        impl Play<$machine> {
            fn through(&mut self, mut next: Do<$result>, answers: &[(Ask, Outcome)]) -> Do<$result> {
                for (expected, outcome) in answers {
                    while let Do::Pause { until } = next {
                        assert!(until > self.now, "a pause without end");
                        self.now = until;
                        next = self.machine.answer(Outcome::Done, self.now);
                    }
                    let Do::Ask { what, by } = next else { panic!("{next:?} instead of {expected:?}") };
                    assert_eq!(what, *expected);
                    assert!(by > self.now, "{what:?} has no time");
                    self.now = self.now + MS;
                    next = self.machine.answer(outcome.clone(), self.now);
                    self.remarks.extend(self.machine.remarks());
                }
                next
            }
        }
    };
}

play!(Winning, Result<Won, Refusal>);
play!(Losing, Lost);

type WinResult = (Do<Result<Won, Refusal>>, Vec<Remark>);

fn win(settings: &Settings, known: Option<&str>, answers: &[(Ask, Outcome)]) -> WinResult {
    win_knowing(settings, known.map(|text| seen(text, false)), answers)
}

fn seen(position: &str, is_remembered: bool) -> Seen {
    let heard = (!is_remembered).then(|| Instant::from_nanos(1));
    Seen { position: Position::parse_mariadb(position).unwrap(), at: 0, heard }
}

fn win_knowing(settings: &Settings, known: Option<Seen>, answers: &[(Ask, Outcome)]) -> WinResult {
    let now = Instant::from_nanos(1);
    let (machine, next) = Winning::begin(settings, known, Mandate::Open, now);
    let mut play = Play { machine, now, remarks: Vec::new() };
    let last = play.through(next, answers);
    (last, play.remarks)
}

fn lose(occasion: Occasion, answers: &[(Ask, Outcome)]) -> (Do<Lost>, Vec<Remark>) {
    let now = Instant::from_nanos(1);
    let (machine, next) = Losing::begin(&Settings::default(), occasion, now);
    let mut play = Play { machine, now, remarks: Vec::new() };
    let last = play.through(next, answers);
    (last, play.remarks)
}

fn won(is_semi_sync_lowered: bool) -> Do<Result<Won, Refusal>> {
    Do::Finished(Ok(Won { is_semi_sync_lowered, is_peer_read_only: false }))
}

/// Over a peer that was seen alive and read-only, and is still so once this server is writable.
fn won_over_a_follower() -> Do<Result<Won, Refusal>> {
    Do::Finished(Ok(Won { is_semi_sync_lowered: false, is_peer_read_only: true }))
}

/// As [`rest`], with the second look at a peer that was read-only.
fn rest_looking_again(position: &str, seen: Outcome) -> Vec<(Ask, Outcome)> {
    let mut all = rest(position);
    all.insert(5, (Ask::Peer, seen));
    all
}

/// From the receiver's stop to the write, with nothing in the way.
fn rest(position: &str) -> Vec<(Ask, Outcome)> {
    vec![
        (Ask::StopReceiver, Outcome::Done),
        (Ask::SemiSync, Outcome::SemiSync(None)),
        (Ask::Replicas, replicas(100, 100, "Yes")),
        (Ask::State, own(position)),
        (Ask::AllowWrites, Outcome::Done),
        (Ask::Write, Outcome::Done),
    ]
}

fn then(first: Vec<(Ask, Outcome)>, rest: Vec<(Ask, Outcome)>) -> Vec<(Ask, Outcome)> {
    first.into_iter().chain(rest).collect()
}

#[test]
fn a_dead_peer_is_asked_once_and_what_it_had_more_is_named() {
    let settings = Settings::default();
    let (last, remarks) = win(&settings, Some("0-1-9"), &then(vec![(Ask::Peer, silent())], rest("0-1-9")));
    assert_eq!((last, remarks.len()), (won(false), 1));
    let (last, remarks) = win(&settings, Some("0-1-12"), &then(vec![(Ask::Peer, silent())], rest("0-1-9")));
    assert_eq!(last, won(false));
    assert!(remarks.contains(&Remark::MayBeLost("0-1-10..12".to_owned())), "{remarks:?}");
    let (_, remarks) = win(&settings, None, &then(vec![(Ask::Peer, silent())], rest("0-1-9")));
    assert!(remarks.contains(&Remark::LossUnknown));
}

#[test]
fn what_is_missing_is_not_passed_over_where_the_policy_forbids() {
    for behind in [Behind::Wait, Behind::Refuse] {
        let settings = Settings { behind, ..Settings::default() };
        let answers = [
            (Ask::Peer, silent()),
            (Ask::StopReceiver, Outcome::Done),
            (Ask::SemiSync, Outcome::SemiSync(None)),
            (Ask::Replicas, replicas(100, 100, "Yes")),
            (Ask::State, own("0-1-9")),
        ];
        let (last, _) = win(&settings, Some("0-1-12"), &answers);
        assert_eq!(last, Do::Finished(Err(Refusal::Behind("0-1-10..12".to_owned()))));
    }
}

/// By a process that was restarted beside a dead peer.
#[test]
fn what_was_only_remembered_makes_nobody_less_careful() {
    let with = |behind| Settings { behind, ..Settings::default() };
    let dead = |position| then(vec![(Ask::Peer, silent())], rest(position));
    for behind in [Behind::Wait, Behind::PromoteAnyway, Behind::Refuse] {
        let (last, remarks) = win_knowing(&with(behind), Some(seen("0-1-9", true)), &dead("0-1-9"));
        assert_eq!(last, won(false));
        assert!(remarks.contains(&Remark::OnlyRemembered), "what it wrote since is not known: {remarks:?}");
    }
    let mut lacking = dead("0-1-9");
    let (last, remarks) = win_knowing(&with(Behind::PromoteAnyway), Some(seen("0-1-12", true)), &lacking);
    assert_eq!(last, won(false));
    for remark in [Remark::OnlyRemembered, Remark::MayBeLost("0-1-10..12".to_owned())] {
        assert!(remarks.contains(&remark), "{remark:?} of {remarks:?}");
    }
    lacking.truncate(5);
    let (last, _) = win_knowing(&with(Behind::Refuse), Some(seen("0-1-12", true)), &lacking);
    assert_eq!(last, Do::Finished(Err(Refusal::Behind("0-1-10..12".to_owned()))));
    // One that answers is believed, whatever was remembered.
    let alive = then(
        vec![(Ask::Peer, peer(1, "0-1-9")), (Ask::State, own("0-1-9"))],
        rest_looking_again("0-1-9", peer(1, "0-1-9")),
    );
    let (last, remarks) = win_knowing(&with(Behind::Refuse), Some(seen("0-1-12", true)), &alive);
    assert_eq!((last, remarks), (won_over_a_follower(), vec![]));
}

/// It lived on, and could not be asked: a changed password, no more connections.
#[test]
fn what_was_seen_long_before_the_peer_died_is_no_word_of_what_it_had() {
    let dead = |position| then(vec![(Ask::Peer, silent())], rest(position));
    let long_ago = |before: Duration, behind, answers: &[(Ask, Outcome)]| {
        let now = Instant::from_nanos(1) + before;
        let settings = Settings { behind, ..Settings::default() };
        let (machine, next) = Winning::begin(&settings, Some(seen("0-1-9", false)), Mandate::Open, now);
        let mut play = Play { machine, now, remarks: Vec::new() };
        (play.through(next, answers), play.remarks)
    };
    let hour = Duration::from_secs(3_600);
    for behind in [Behind::Wait, Behind::PromoteAnyway, Behind::Refuse] {
        let (last, remarks) = long_ago(hour, behind, &dead("0-1-9"));
        assert_eq!(last, won(false));
        assert!(remarks.contains(&Remark::SeenLongAgo { age: hour }), "{remarks:?}");
        // Its death took the election that long to see.
        let (last, remarks) = long_ago(MS * 4_500, behind, &dead("0-1-9"));
        assert_eq!((last, remarks.len()), (won(false), 1), "{remarks:?}");
    }
    // One that answers says what it has.
    let alive = then(
        vec![(Ask::Peer, peer(1, "0-1-9")), (Ask::State, own("0-1-9"))],
        rest_looking_again("0-1-9", peer(1, "0-1-9")),
    );
    assert_eq!(long_ago(hour, Behind::Refuse, &alive), (won_over_a_follower(), vec![]));
}

#[test]
fn a_writable_peer_is_no_reason_to_become_a_second_writer() {
    let asks = vec![(Ask::Peer, peer(0, "0-1-9")); 2];
    let settings = Settings { split_wait: MS * 2, ..Settings::default() };
    assert_eq!(win(&settings, None, &asks).0, Do::Finished(Err(Refusal::PeerWritable)));
    let settings = Settings { split: Split::Promote, ..settings };
    let (last, remarks) = win(&settings, None, &then(asks, rest("0-1-9")));
    assert_eq!(last, won(false));
    assert!(remarks.contains(&Remark::SecondWriter));
}

#[test]
fn a_peer_on_its_way_out_is_waited_for_and_followed_to_its_end() {
    let first = vec![
        (Ask::Peer, peer(0, "0-1-9")),
        (Ask::Peer, peer(1, "0-1-11")),
        (Ask::State, own("0-1-9")),
        (Ask::State, own("0-1-10")),
        (Ask::State, own("0-1-11")),
    ];
    let end = rest_looking_again("0-1-11", peer(1, "0-1-11"));
    let (last, remarks) = win(&Settings::default(), None, &then(first, end));
    assert_eq!((last, remarks), (won_over_a_follower(), vec![]), "nothing is lost, nothing to say");
}

/// Both gates saw a read-only peer, and both opened: whoever looks after its own server is writable sees the other.
#[test]
fn a_peer_that_became_writable_behind_the_gate_is_seen_before_the_address_comes() {
    let first = vec![(Ask::Peer, peer(1, "0-1-9")), (Ask::State, own("0-1-9"))];
    let mut answers = then(first.clone(), rest_looking_again("0-1-9", peer(0, "0-1-9")));
    answers.pop();
    answers.push((Ask::RefuseWrites, Outcome::Done));
    assert_eq!(win(&Settings::default(), None, &answers).0, Do::Finished(Err(Refusal::PeerWritable)));
    let promote = Settings { split: Split::Promote, ..Settings::default() };
    let answers = then(first.clone(), rest_looking_again("0-1-9", peer(0, "0-1-9")));
    let (last, remarks) = win(&promote, None, &answers);
    assert_eq!(last, won_over_a_follower());
    assert!(remarks.contains(&Remark::SecondWriter));
    // One that is silent by now has died since.
    let answers = then(first, rest_looking_again("0-1-9", silent()));
    assert_eq!(win(&Settings::default(), None, &answers).0, won_over_a_follower());
}

/// With several appliers the one that hands out has read all while the others are still at work.
#[test]
fn what_others_are_still_applying_is_waited_for_and_half_a_transaction_is_not() {
    let channel = |applied: u32| {
        Outcome::Replicas(vec![Channel {
            is_caught_up: false,
            is_stopped: false,
            has_read_all: true,
            applied: format!("0-1-{applied}"),
        }])
    };
    let settings = Settings { stall: MS * 12, ..Settings::default() };
    let mut answers = vec![
        (Ask::Peer, silent()),
        (Ask::StopReceiver, Outcome::Done),
        (Ask::SemiSync, Outcome::SemiSync(None)),
    ];
    answers.extend([5, 6, 7, 8, 9].map(|applied| (Ask::Replicas, channel(applied))));
    let (last, _) = win(&settings, Some("0-1-9"), &answers);
    assert!(matches!(last, Do::Pause { .. }), "it moves: {last:?}");
    answers.extend([(Ask::Replicas, channel(9)), (Ask::Replicas, channel(9))]);
    let (last, remarks) = win(&settings, Some("0-1-9"), &then(answers, rest("0-1-9").split_off(3)));
    assert_eq!(last, won(false));
    assert!(!remarks.iter().any(|remark| matches!(remark, Remark::NotApplied { .. })), "{remarks:?}");
}

#[test]
fn a_peer_that_lives_and_cannot_be_asked_counts_as_writable_unless_it_is_leaving() {
    let answer = |code| Outcome::Peer(PeerAnswer::Unaskable { code, text: String::new() });
    let (last, _) = win(&Settings::default(), None, &[(Ask::Peer, answer(1045))]);
    assert_eq!(last, Do::Finished(Err(Refusal::PeerUnaskable { code: 1045, text: String::new() })));
    let leaving = vec![(Ask::Peer, answer(1053))];
    let (last, _) = win(&Settings::default(), None, &then(leaving.clone(), rest("0-1-1")));
    assert_eq!(last, won(false));
    // Its replica leaves with it, counted or not.
    let mut lowered = then(leaving, rest("0-1-1"));
    lowered[2].1 = semi(1);
    lowered.insert(3, (Ask::LowerSemiSync, Outcome::Done));
    assert_eq!(win(&Settings::default(), None, &lowered).0, won(true));
}

#[test]
fn divergence_is_promoted_by_mandate_alone_and_only_beside_a_peer_that_is_read_only() {
    let (ours, theirs) = ("0-1-8,0-2-9", "0-1-9,0-2-5");
    let win = |settings: &Settings, answers: &[(Ask, Outcome)]| {
        let now = Instant::from_nanos(1);
        let (machine, next) = Winning::begin(settings, Some(seen(theirs, false)), Mandate::Serve, now);
        let mut play = Play { machine, now, remarks: Vec::new() };
        (play.through(next, answers), play.remarks)
    };
    let gate = || vec![(Ask::Peer, peer(1, theirs)), (Ask::State, own(ours))];
    for behind in [Behind::Wait, Behind::PromoteAnyway, Behind::Refuse] {
        let settings = Settings { behind, catch_up: MS, ..Settings::default() };
        let (last, remarks) = win(&settings, &then(gate(), rest_looking_again(ours, peer(1, theirs))));
        assert_eq!(last, won_over_a_follower(), "{behind:?}");
        assert!(matches!(remarks[..], [Remark::BesideDiverged { .. }]), "it is said: {remarks:?}");
        // Something of the other history was received, and will not be applied.
        let mut stuck = then(gate(), rest_looking_again(ours, peer(1, theirs)));
        stuck[4].1 = replicas(100, 50, "No");
        stuck.insert(5, (Ask::StopReplication, Outcome::Done));
        assert_eq!(win(&settings, &stuck).0, won_over_a_follower(), "{behind:?}");
    }
    let settings = Settings { split_wait: MS, ..Settings::default() };
    let (last, _) = win(&settings, &[(Ask::Peer, peer(0, theirs))]);
    assert_eq!(last, Do::Finished(Err(Refusal::PeerWritable)));
    // It has served until now: what it took is not left behind.
    let yields = [(Ask::Peer, peer(0, theirs)), (Ask::Peer, peer(1, theirs)), (Ask::State, own(ours))];
    let (last, _) = win(&Settings::default(), &yields);
    assert!(matches!(last, Do::Finished(Err(Refusal::Diverged { .. }))), "{last:?}");
}

#[test]
fn divergence_is_not_promoted_without_a_mandate() {
    for split in [Split::Hold, Split::Promote] {
        let settings = Settings { split, ..Settings::default() };
        let answers = [(Ask::Peer, peer(1, "0-1-9,0-2-5")), (Ask::State, own("0-1-8,0-2-9"))];
        let (last, _) = win(&settings, None, &answers);
        assert!(matches!(last, Do::Finished(Err(Refusal::Diverged { .. }))), "{last:?}");
    }
}

/// It would write beside a history that is still there.
#[test]
fn nobody_is_promoted_beside_a_living_server_that_has_more_if_divergence_is_forbidden() {
    let settings = |diverged| Settings { diverged, stall: MS * 12, ..Settings::default() };
    let mut beside = vec![(Ask::Peer, peer(1, "0-1-12"))];
    // As many looks, 5 ms apart and each answered within another, as `stall` allows.
    beside.extend(vec![(Ask::State, own("0-1-9")); 3]);
    let strict = settings(Divergence::ReadOnly);
    let mut refused = then(beside.clone(), rest("0-1-9"));
    refused.truncate(beside.len() + 4);
    let (last, remarks) = win(&strict, None, &refused);
    assert_eq!(last, Do::Finished(Err(Refusal::Behind("0-1-10..12".to_owned()))));
    assert!(remarks.contains(&Remark::MayBeLost("0-1-10..12".to_owned())), "{remarks:?}");
    let goes_on = then(beside, rest_looking_again("0-1-9", peer(1, "0-1-12")));
    assert_eq!(win(&settings(Divergence::Serve), None, &goes_on).0, won_over_a_follower());
    // A dead one is what `behind` is for.
    let dead = then(vec![(Ask::Peer, silent())], rest("0-1-9"));
    assert_eq!(win(&strict, Some("0-1-12"), &dead).0, won(false));
}

/// Whoever starts beside a dead peer has no proof that they agree again.
#[test]
fn after_a_divergence_that_nobody_decided_a_silent_peer_promotes_nobody() {
    let undecided = |answers: &[(Ask, Outcome)]| {
        let now = Instant::from_nanos(1);
        let (machine, next) =
            Winning::begin(&Settings::default(), Some(seen("0-1-9", true)), Mandate::Undecided, now);
        Play { machine, now, remarks: Vec::new() }.through(next, answers)
    };
    let leaving = Outcome::Peer(PeerAnswer::Unaskable { code: 1053, text: String::new() });
    for answer in [silent(), leaving] {
        assert_eq!(undecided(&[(Ask::Peer, answer)]), Do::Finished(Err(Refusal::Undecided)));
    }
    let settings = Settings { stall: MS * 12, ..Settings::default() };
    let now = Instant::from_nanos(1);
    let (machine, next) = Winning::begin(&settings, None, Mandate::Undecided, now);
    let mut behind = vec![(Ask::Peer, peer(1, "0-1-12"))];
    behind.extend(vec![(Ask::State, own("0-1-9")); 3]);
    let last = Play { machine, now, remarks: Vec::new() }.through(next, &behind);
    assert_eq!(last, Do::Finished(Err(Refusal::Undecided)));
    let agrees = then(
        vec![(Ask::Peer, peer(1, "0-1-9")), (Ask::State, own("0-1-9"))],
        rest_looking_again("0-1-9", peer(1, "0-1-9")),
    );
    assert_eq!(undecided(&agrees), won_over_a_follower());
}

/// It may have been rebuilt since, without a binary log: that history is gone, and would be waited for for ever.
#[test]
fn a_living_peer_is_not_measured_by_what_it_had_once() {
    let mut unknown = state(1, "0-1-9");
    unknown.position = Err(crate::mysql::PositionError::Off("log_bin"));
    let answers = then(
        vec![(Ask::Peer, Outcome::Peer(PeerAnswer::State(unknown.clone())))],
        rest_looking_again("0-1-9", Outcome::Peer(PeerAnswer::State(unknown))),
    );
    for diverged in [Divergence::Serve, Divergence::ReadOnly] {
        let settings = Settings { diverged, ..Settings::default() };
        let (last, remarks) = win_knowing(&settings, Some(seen("0-1-8,0-2-30", true)), &answers);
        assert_eq!(last, won_over_a_follower());
        assert!(remarks.contains(&Remark::OnlyRemembered), "{remarks:?}");
    }
}

#[test]
fn a_refusal_that_is_no_servers_has_no_number() {
    assert_eq!(in_words(1045, "Access denied"), "1045 Access denied");
    assert_eq!(in_words(0, "10.0.0.2:3306: no password"), "10.0.0.2:3306: no password");
    let how = Outcome::Refused { code: 0, text: "no password".to_owned() }.checked();
    assert_eq!(how, Err("no password".to_owned()));
    let said = |code| Refusal::PeerUnaskable { code, text: "no login".to_owned() }.to_string();
    assert!(said(1045).contains("(1045 no login)") && said(0).contains("(no login)"), "{}", said(0));
}

#[test]
fn applying_is_waited_for_within_its_bound() {
    let start = || {
        vec![
            (Ask::Peer, silent()),
            (Ask::StopReceiver, Outcome::Late),
            (Ask::SemiSync, Outcome::SemiSync(None)),
            (Ask::Replicas, replicas(100, 50, "Yes")),
        ]
    };
    let rest = |position| rest(position).split_off(2);
    let (last, remarks) = win(&Settings::default(), Some("0-1-9"), &then(start(), rest("0-1-9")));
    assert_eq!(last, won(false));
    assert!(!remarks.iter().any(|remark| matches!(remark, Remark::NotApplied { .. })));
    let short = Settings { catch_up: MS * 2, ..Settings::default() };
    let late = then(start(), vec![(Ask::Replicas, replicas(100, 60, "Yes"))]);
    let stopped_first = then(vec![(Ask::StopReplication, Outcome::Done)], rest("0-1-9").split_off(1));
    let (last, remarks) = win(&short, Some("0-1-9"), &then(late.clone(), stopped_first));
    assert_eq!(last, won(false), "promote_anyway, and nothing old is applied among new writes");
    assert!(remarks.iter().any(|remark| matches!(remark, Remark::NotApplied { .. })));
    let (last, _) = win(&Settings { behind: Behind::Refuse, ..short.clone() }, None, &late);
    assert!(matches!(last, Do::Finished(Err(Refusal::NotApplied))));
    let (last, _) = win(&Settings { behind: Behind::Wait, ..short }, None, &late);
    assert!(matches!(last, Do::Pause { .. }), "another bound ends it");
    let mut stopped = start();
    stopped[3].1 = replicas(100, 50, "No");
    let (last, _) = win(&Settings { behind: Behind::Refuse, ..Settings::default() }, None, &stopped);
    assert!(matches!(last, Do::Finished(Err(Refusal::NotApplied))), "a stopped applier is not waited for");
}

#[test]
fn a_server_that_does_not_take_the_write_is_made_read_only_again() {
    let mut answers = then(vec![(Ask::Peer, silent())], rest("0-1-9"));
    answers.pop();
    answers.push((Ask::Write, Outcome::Late));
    answers.push((Ask::SemiSync, Outcome::SemiSync(None)));
    answers.push((Ask::RefuseWrites, Outcome::Done));
    let (last, _) = win(&Settings::default(), Some("0-1-9"), &answers);
    assert!(matches!(last, Do::Finished(Err(Refusal::Server { what: Ask::Write, .. }))), "{last:?}");
    let gone = [
        (Ask::Peer, silent()),
        (Ask::StopReceiver, Outcome::Late),
        (Ask::SemiSync, Outcome::Late),
        (Ask::Replicas, Outcome::Gone("x".into())),
    ];
    let (last, _) = win(&Settings::default(), None, &gone);
    assert!(matches!(last, Do::Finished(Err(Refusal::Server { what: Ask::Replicas, .. }))));
}

#[test]
fn a_planned_loss_waits_for_the_peer_and_ends_sessions_last() {
    let (last, remarks) = lose(
        Occasion::Planned,
        &[
            (Ask::RefuseWrites, Outcome::Done),
            (Ask::State, own("0-1-9")),
            (Ask::Peer, peer(1, "0-1-7")),
            (Ask::Peer, peer(1, "0-1-9")),
            (Ask::EndSessions, Outcome::Done),
            (Ask::State, own("0-1-9")),
        ],
    );
    let position = Position::parse_mariadb("0-1-9").unwrap();
    let lost = Lost {
        position: Some(position.clone()),
        is_read_only: true,
        is_handed_over: true,
        ..Lost::default()
    };
    assert_eq!(last, Do::Finished(lost));
    assert_eq!(remarks, [Remark::LeftAt(position)]);
}

#[test]
fn a_forced_loss_waits_for_nobody() {
    let answers = [
        (Ask::RefuseWrites, Outcome::Done),
        (Ask::State, own("0-1-9")),
        (Ask::EndSessions, Outcome::Done),
        (Ask::State, own("0-1-9")),
    ];
    let (last, _) = lose(Occasion::Forced, &answers);
    assert!(matches!(last, Do::Finished(Lost { is_read_only: true, is_handed_over: false, .. })), "{last:?}");
}

#[test]
fn a_dead_server_is_left_at_once() {
    let (last, _) =
        lose(Occasion::Planned, &[(Ask::RefuseWrites, Outcome::Gone("connection refused".into()))]);
    assert_eq!(last, Do::Finished(Lost { is_gone: true, ..Lost::default() }));
}

#[test]
fn a_peer_that_does_not_answer_holds_up_no_planned_loss() {
    let answers = [
        (Ask::RefuseWrites, Outcome::Done),
        (Ask::State, own("0-1-9")),
        (Ask::Peer, silent()),
        (Ask::EndSessions, Outcome::Done),
        (Ask::State, own("0-1-9")),
    ];
    let (last, _) = lose(Occasion::Planned, &answers);
    assert!(matches!(last, Do::Finished(Lost { is_handed_over: false, is_read_only: true, .. })));
}

#[test]
fn a_peer_that_gets_no_nearer_is_not_waited_for_to_the_end() {
    let settings = Settings { stall: MS * 20, ..Settings::default() };
    let now = Instant::from_nanos(1);
    let (machine, next) = Losing::begin(&settings, Occasion::Planned, now);
    let mut play = Play { machine, now, remarks: Vec::new() };
    let mut answers = vec![(Ask::RefuseWrites, Outcome::Done), (Ask::State, own("0-1-9"))];
    for seen in ["0-1-5", "0-1-6", "0-1-7", "0-1-8", "0-1-8", "0-1-8", "0-1-8", "0-1-8"] {
        answers.push((Ask::Peer, peer(1, seen)));
    }
    answers.push((Ask::EndSessions, Outcome::Done));
    answers.push((Ask::State, own("0-1-9")));
    let last = play.through(next, &answers);
    assert!(matches!(last, Do::Finished(Lost { is_handed_over: false, .. })), "{last:?}");
    assert!(play.remarks.contains(&Remark::PeerLacks("0-1-9".to_owned())), "{:?}", play.remarks);
}
