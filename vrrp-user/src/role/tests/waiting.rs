//! What a winner waits for, and for how long: its applier, and a replica that does not answer.

use super::*;

#[test]
fn a_wait_for_the_applier_ends_with_a_word_of_our_own_before_the_election_gives_up() {
    let settings = Settings { behind: Behind::Wait, ..Settings::default() };
    let begun = Instant::from_nanos(1);
    let (machine, next) = Winning::begin(&settings, None, Mandate::Open, begun);
    let mut play = Play { machine, now: begun, remarks: Vec::new() };
    let start = [
        (Ask::Peer, silent()),
        (Ask::StopReceiver, Outcome::Late),
        (Ask::SemiSync, Outcome::SemiSync(None)),
        (Ask::Replicas, replicas(10_000, 1, "Yes")),
    ];
    let mut next = play.through(next, &start);
    let mut applied = 1;
    while !matches!(next, Do::Finished(_)) {
        // It comes nearer all the time, and not near enough.
        applied += 1;
        next = play.through(next, &[(Ask::Replicas, replicas(10_000, applied, "Yes"))]);
    }
    assert!(matches!(next, Do::Finished(Err(Refusal::NotApplied))), "{next:?}");
    let waited = play.now.since(begun);
    assert!(waited > settings.catch_up, "{waited:?}: that is for other policies");
    // Had it been done at the last moment, all that follows would still have had its time.
    let rest = settings.statement_limit * 5 + settings.peer_limit + settings.write_limit * 2;
    assert!(waited + rest <= settings.longest_win() + MS * 10, "{waited:?}");
}

#[test]
fn semi_sync_without_a_replica_is_lowered_by_policy_before_anything_is_waited_for() {
    let start = |asked, clients| {
        let first = [(Ask::Peer, asked), (Ask::StopReceiver, Outcome::Done), (Ask::SemiSync, semi(clients))];
        first.to_vec()
    };
    let end = || rest("0-1-9").split_off(2);
    let lower = || then(vec![(Ask::LowerSemiSync, Outcome::Done)], end());
    let (last, remarks) = win(&Settings::default(), Some("0-1-9"), &then(start(silent(), 0), lower()));
    assert_eq!(last, won(true));
    assert!(remarks.contains(&Remark::SemiSyncLowered { clients: 0 }));
    // The dead peer itself is still counted.
    let (last, _) = win(&Settings::default(), Some("0-1-9"), &then(start(silent(), 1), lower()));
    assert_eq!(last, won(true));
    let (last, _) = win(&Settings::default(), Some("0-1-9"), &then(start(silent(), 2), end()));
    assert_eq!(last, won(false), "another replica is there");
    let keep = Settings { semi_sync: SemiSyncPolicy::Keep, ..Settings::default() };
    assert_eq!(win(&keep, Some("0-1-9"), &then(start(silent(), 0), end())).0, won(false));
}

#[test]
fn a_write_that_waits_for_a_stuck_replica_is_tried_again_without_waiting_for_it() {
    let waits = |waiting| {
        let semi = semi(1).semi_sync().unwrap().unwrap();
        Outcome::SemiSync(Some(SemiSync { waiting, ..semi }))
    };
    let late = |asked| {
        let mut answers = then(vec![(Ask::Peer, peer(1, "0-1-9")), (Ask::State, own("0-1-9"))], {
            rest_looking_again("0-1-9", peer(1, "0-1-9"))
        });
        answers.pop();
        then(answers, vec![(Ask::Write, Outcome::Late), (Ask::SemiSync, asked)])
    };
    let again =
        |outcome| then(late(waits(1)), vec![(Ask::LowerSemiSync, Outcome::Done), (Ask::Write, outcome)]);
    let (last, remarks) = win(&Settings::default(), None, &again(Outcome::Done));
    assert_eq!(last, Do::Finished(Ok(Won { is_semi_sync_lowered: true, is_peer_read_only: true })));
    assert!(remarks.contains(&Remark::SemiSyncLowered { clients: 1 }), "{remarks:?}");
    let undone = |answers| {
        let answers = then(answers, vec![(Ask::RefuseWrites, Outcome::Done)]);
        let (last, _) = win(&Settings::default(), None, &answers);
        assert!(matches!(last, Do::Finished(Err(Refusal::Server { what: Ask::Write, .. }))), "{last:?}");
    };
    undone(again(Outcome::Late));
    undone(late(waits(0)));
    undone(late(Outcome::Late));
    undone(then(late(waits(1)), vec![(Ask::LowerSemiSync, Outcome::Late)]));
}
