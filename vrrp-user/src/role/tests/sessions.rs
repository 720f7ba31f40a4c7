//! Whose sessions end so that a server becomes read-only, and when nobody's do.

use super::*;

/// Once it is read-only, to the end.
fn to_the_end() -> Vec<(Ask, Outcome)> {
    vec![(Ask::State, own("0-1-9")), (Ask::EndSessions, Outcome::Done), (Ask::State, own("0-1-9"))]
}

#[test]
fn an_offer_that_nobody_holds_up_ends_nobodys_session_whatever_comes_of_it() {
    let start = || vec![(Ask::RefuseWrites, Outcome::Done), (Ask::State, own("0-1-9"))];
    let lost = |answers: Vec<(Ask, Outcome)>| {
        let (last, remarks) = lose(Occasion::Offered, &answers);
        let Do::Finished(lost) = last else { panic!("{last:?}") };
        assert!(!remarks.iter().any(|remark| matches!(remark, Remark::LeftAt(_))), "it has not left");
        lost
    };
    let taken = lost(then(start(), vec![(Ask::Peer, peer(1, "0-1-9"))]));
    assert!(taken.is_handed_over && taken.obstacle.is_none(), "{taken:?}");
    for (answer, why) in [(silent(), "does not answer"), (peer(1, ""), "lacks 0-1-1..9")] {
        let mut answers = start();
        // As many looks, 5 ms apart and each answered within another, as `stall` allows.
        let count = if why.starts_with("lacks") { 335 } else { 1 };
        answers.extend(vec![(Ask::Peer, answer); count]);
        let refused = lost(answers);
        assert!(
            !refused.is_handed_over && refused.obstacle.as_ref().is_some_and(|o| o.contains(why)),
            "{refused:?}"
        );
    }
    // Somebody holds it up, and there is nobody to take over.
    let refused = lost(vec![(Ask::RefuseWrites, Outcome::Late), (Ask::Peer, silent())]);
    assert!(!refused.is_read_only && refused.obstacle.is_some_and(|o| o.contains("does not answer")));
}

/// Nobody's but theirs who hold it up: first whoever is at work, then an idle one with a table lock.
#[test]
fn an_offer_ends_who_holds_it_up_and_no_more() {
    let late = || {
        vec![
            (Ask::RefuseWrites, Outcome::Late),
            (Ask::Peer, peer(1, "0-1-9")),
            (Ask::EndWriters, Outcome::Done),
        ]
    };
    let taken = || {
        vec![(Ask::RefuseWrites, Outcome::Done), (Ask::State, own("0-1-9")), (Ask::Peer, peer(1, "0-1-9"))]
    };
    let idle = || vec![(Ask::RefuseWrites, Outcome::Late), (Ask::EndSessions, Outcome::Done)];
    for answers in [then(late(), taken()), then(then(late(), idle()), taken())] {
        let (last, _) = lose(Occasion::Offered, &answers);
        let Do::Finished(lost) = last else { panic!("{last:?}") };
        assert!(lost.is_read_only && lost.is_handed_over, "{lost:?}");
    }
    let never = then(then(late(), idle()), vec![(Ask::RefuseWrites, Outcome::Late)]);
    // What fails at once no session holds up.
    let refused = Outcome::Refused { code: 1227, text: "Access denied".to_owned() };
    let at_once = vec![
        (Ask::RefuseWrites, refused.clone()),
        (Ask::Peer, peer(1, "0-1-9")),
        (Ask::EndWriters, Outcome::Done),
        (Ask::RefuseWrites, refused),
    ];
    for answers in [never, at_once] {
        let (last, _) = lose(Occasion::Offered, &answers);
        let Do::Finished(lost) = last else { panic!("{last:?}") };
        assert!(
            !lost.is_read_only && lost.obstacle.as_ref().is_some_and(|o| o.contains("read-only")),
            "{lost:?}"
        );
    }
}

/// They all end soon: an idle one that holds a table's lock before it costs the peer what it lacks.
#[test]
fn who_holds_up_a_loss_is_ended_once_idle_or_not_and_then_the_network_part_goes_on() {
    let start = || vec![(Ask::RefuseWrites, Outcome::Late), (Ask::EndSessions, Outcome::Done)];
    let second = then(vec![(Ask::RefuseWrites, Outcome::Done)], to_the_end());
    let (last, _) = lose(Occasion::Forced, &then(start(), second.clone()));
    assert!(matches!(last, Do::Finished(Lost { is_read_only: true, .. })), "{last:?}");
    let mut planned = then(start(), second);
    planned.insert(4, (Ask::Peer, peer(1, "0-1-9")));
    let (last, _) = lose(Occasion::Planned, &planned);
    let is_whole = matches!(last, Do::Finished(Lost { is_read_only: true, is_handed_over: true, .. }));
    assert!(is_whole, "{last:?}");
    let never = vec![
        (Ask::RefuseWrites, Outcome::Late),
        (Ask::EndSessions, Outcome::Late),
        (Ask::State, Outcome::Late),
    ];
    let (last, _) = lose(Occasion::Planned, &then(start(), never));
    let Do::Finished(lost) = last else { panic!("{last:?}") };
    assert!(!lost.is_read_only && lost.obstacle.is_some(), "and gone all the same: {lost:?}");
}
