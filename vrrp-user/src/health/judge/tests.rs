//! Sequences of results and the verdicts that must follow; then any sequence at all.

use std::num::{NonZeroU8, NonZeroU16};

use proptest::prelude::*;

use super::*;
use crate::health::secret::Source;
use crate::health::settings::{Account, CommandLine, Fast, Mysql, Reaction, Reactions, Script, Tcp};

const SECOND: Duration = Duration::from_secs(1);

fn times(count: u8) -> NonZeroU8 {
    NonZeroU8::new(count).unwrap()
}

fn check(kind: Kind, rise: u8, fall: u8, hold_down: Duration) -> Check {
    Check {
        name: "x".into(),
        kind,
        rise: times(rise),
        fall: times(fall),
        hold_down,
        on_failure: Reactions::all(Reaction::Release),
        notify_down: None,
        notify_up: None,
    }
}

fn tcp() -> Kind {
    Kind::Tcp(Tcp {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port: NonZeroU16::new(3306).unwrap(),
        interval: SECOND,
        connect_timeout: SECOND,
        retries: 0,
        retry_delay: SECOND,
    })
}

fn mysql(fall: u8) -> Kind {
    Kind::Mysql(Box::new(Mysql {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port: NonZeroU16::new(3306).unwrap(),
        socket: None,
        account: Account { user: "a".into(), password: Source::Empty },
        tls: None,
        fast: Fast { interval: SECOND / 20, deadline: SECOND / 5, fall: times(fall) },
        login: None,
        state: None,
        write: None,
        process: true,
    }))
}

/// Results come 100 ms apart; what stands after each.
fn verdicts(judge: &mut Judge, results: &[(View, Symptom)]) -> Vec<Verdict> {
    let start = judge.since().unwrap_or(Instant::from_nanos(0));
    let mut now = start;
    results
        .iter()
        .map(|(view, symptom)| {
            now = now + SECOND / 10;
            let cause = if *symptom == Good { "" } else { "why" };
            judge.hear(*view, &Finding::new(*symptom, cause), now);
            judge.verdict()
        })
        .collect()
}

fn one_view(judge: &mut Judge, view: View, symptoms: &[Symptom]) -> Vec<Verdict> {
    verdicts(judge, &symptoms.iter().map(|symptom| (view, *symptom)).collect::<Vec<_>>())
}

use Symptom::{Closed, Gone, Good, Impaired, Leaving, Stuck, Timeout, Wrong};
use Verdict::{Dead, Degraded, Healthy, Hung, Misconfigured};

#[test]
fn fall_bad_results_in_a_row_are_a_failure_and_rise_good_ones_end_it() {
    let mut judge = Judge::new(&check(tcp(), 2, 3, Duration::ZERO));
    let symptoms = [Gone, Timeout, Good, Gone, Gone, Timeout, Good, Gone, Good, Good];
    let expected = [Healthy, Healthy, Healthy, Healthy, Healthy, Dead, Dead, Dead, Dead, Healthy];
    assert_eq!(one_view(&mut judge, View::Plain, &symptoms), expected);
}

#[test]
fn what_is_better_and_not_yet_good_says_what_is_still_wrong() {
    let mut judge = Judge::new(&check(mysql(1), 2, 1, Duration::ZERO));
    let seen = one_view(&mut judge, View::Fast, &[Gone, Impaired, Good]);
    assert_eq!((seen[2], judge.reason().symptom, judge.cause()), (Degraded, Impaired, "why"));
}

#[test]
fn hold_down_keeps_a_flapping_service_out() {
    let mut judge = Judge::new(&check(tcp(), 1, 1, SECOND / 2));
    let mut symptoms = vec![Gone];
    symptoms.extend([Good, Good, Gone].repeat(20));
    assert!(one_view(&mut judge, View::Plain, &symptoms).iter().all(|verdict| *verdict == Dead));
    let steady = one_view(&mut judge, View::Plain, &[Good; 6]);
    assert_eq!(steady, [Dead, Dead, Dead, Dead, Dead, Healthy]);
}

#[test]
fn a_dead_process_acts_at_once_whatever_fall_is() {
    let mut judge = Judge::new(&check(mysql(10), 3, 10, SECOND));
    assert_eq!(one_view(&mut judge, View::Fast, &[Good, Gone]), [Healthy, Dead]);
}

#[test]
fn a_server_that_says_it_shuts_down_is_believed_at_once() {
    for view in [View::Fast, View::Login, View::Write] {
        let mut judge = Judge::new(&check(mysql(10), 3, 10, SECOND));
        assert_eq!(one_view(&mut judge, view, &[Good, Leaving]), [Healthy, Verdict::Leaving]);
    }
}

#[test]
fn silence_is_a_hang_after_fall() {
    let mut judge = Judge::new(&check(mysql(3), 3, 1, SECOND));
    assert_eq!(
        one_view(&mut judge, View::Fast, &[Good, Timeout, Timeout, Timeout]),
        [Healthy, Healthy, Healthy, Hung]
    );
}

#[test]
fn a_login_that_comes_through_says_that_it_is_no_hang() {
    let mut judge = Judge::new(&check(mysql(3), 1, 3, Duration::ZERO));
    let seen = verdicts(
        &mut judge,
        &[
            (View::Fast, Timeout),
            (View::Login, Good),
            (View::Fast, Timeout),
            (View::Fast, Timeout),
            (View::Fast, Timeout),
            (View::Fast, Good),
        ],
    );
    assert_eq!(seen[2..], [Healthy, Degraded, Degraded, Healthy]);
}

#[test]
fn an_old_login_is_no_second_opinion() {
    let mut judge = Judge::new(&check(mysql(2), 1, 3, Duration::ZERO));
    let seen = verdicts(&mut judge, &[(View::Login, Good), (View::Fast, Timeout), (View::Fast, Timeout)]);
    assert_eq!(seen[2], Hung);
}

#[test]
fn logins_or_commits_that_hang_are_a_hang_although_pings_come_back() {
    for view in [View::Login, View::Write] {
        let mut judge = Judge::new(&check(mysql(3), 1, 2, Duration::ZERO));
        let seen = verdicts(
            &mut judge,
            &[(View::Fast, Good), (view, Timeout), (View::Fast, Good), (view, Timeout), (View::Fast, Good)],
        );
        assert_eq!(seen, [Healthy, Healthy, Healthy, Hung, Hung], "{view:?}");
    }
}

#[test]
fn a_full_disk_is_a_hang_and_a_state_query_that_waits_is_not() {
    let mut judge = Judge::new(&check(mysql(3), 1, 2, Duration::ZERO));
    assert_eq!(one_view(&mut judge, View::Write, &[Stuck, Stuck]), [Healthy, Hung]);
    let mut judge = Judge::new(&check(mysql(3), 1, 2, Duration::ZERO));
    assert_eq!(one_view(&mut judge, View::State, &[Timeout; 5])[4], Degraded);
}

#[test]
fn a_wrong_password_is_said_at_once_and_never_more_than_misconfigured() {
    let mut judge = Judge::new(&check(mysql(1), 1, 1, Duration::ZERO));
    assert_eq!(one_view(&mut judge, View::Fast, &[Wrong; 4]), [Misconfigured; 4]);
    // And ends no failure: nobody has seen that the server is well.
    assert_eq!(one_view(&mut judge, View::Fast, &[Good, Gone, Wrong, Good]), [Healthy, Dead, Dead, Healthy]);
}

#[test]
fn a_failure_that_nobody_can_see_any_more_stands_and_is_no_word_on_the_server() {
    let mut judge = Judge::new(&check(mysql(1), 2, 1, Duration::ZERO));
    for (view, symptom, stands, seen) in [
        (View::Fast, Gone, Dead, Dead),
        (View::Fast, Wrong, Dead, Misconfigured),
        (View::Login, Wrong, Dead, Misconfigured),
        // Whoever spoke first goes on, and another one sees it.
        (View::Login, Timeout, Dead, Hung),
        (View::Login, Wrong, Dead, Misconfigured),
        (View::Fast, Gone, Dead, Dead),
        (View::Fast, Good, Dead, Dead),
    ] {
        verdicts(&mut judge, &[(view, symptom)]);
        assert_eq!((judge.verdict(), judge.seen()), (stands, seen), "{view:?} {symptom:?}");
    }
}

#[test]
fn a_look_that_could_not_be_made_ends_no_failure_and_is_told() {
    for (failure, verdict) in [(Stuck, Hung), (Leaving, Verdict::Leaving), (Gone, Dead)] {
        let mut judge = Judge::new(&check(mysql(1), 2, 1, Duration::ZERO));
        let seen = one_view(&mut judge, View::Fast, &[failure, Good, Wrong, Good, Wrong, Wrong, Wrong]);
        assert_eq!(seen, [verdict; 7]);
        assert_eq!(judge.cause(), "whether it still is cannot be told: why");
        assert_eq!(judge.reason().symptom, Wrong);
        assert_eq!(one_view(&mut judge, View::Fast, &[Impaired, Impaired])[1], Degraded, "it answers");
        assert_eq!(one_view(&mut judge, View::Fast, &[Wrong, Wrong])[1], Degraded);
        assert_eq!(one_view(&mut judge, View::Fast, &[Good, Good, Wrong])[1..], [Healthy, Misconfigured]);
    }
}

#[test]
fn the_cause_is_that_of_the_last_look_that_bears_the_verdict_out() {
    let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
    let mut judge = Judge::new(&check(mysql(1), 2, 1, Duration::ZERO));
    judge.hear(View::State, &Finding::new(Wrong, "error 1045"), at(1));
    assert_eq!(judge.hear(View::State, &Finding::new(Wrong, "error 1227"), at(2)), None);
    assert_eq!(judge.cause(), "error 1227");
    // Whoever spoke first goes on until it is better, or another worse.
    judge.hear(View::Fast, &Finding::new(Wrong, "error 1130"), at(3));
    assert_eq!((judge.cause(), judge.reason().view), ("error 1227", View::State));
    judge.hear(View::State, &Finding::good(), at(4));
    judge.hear(View::State, &Finding::good(), at(5));
    assert_eq!((judge.cause(), judge.reason().view), ("error 1130", View::Fast));
}

#[test]
fn too_many_connections_is_degraded_after_fall() {
    let mut judge = Judge::new(&check(mysql(3), 1, 3, Duration::ZERO));
    assert_eq!(one_view(&mut judge, View::Login, &[Impaired; 4]), [Healthy, Healthy, Degraded, Degraded]);
}

#[test]
fn a_login_address_where_nobody_ever_listened_is_a_mistake_of_ours() {
    let mut judge = Judge::new(&check(mysql(3), 1, 1, Duration::ZERO));
    assert_eq!(verdicts(&mut judge, &[(View::Fast, Good), (View::Login, Gone)])[1], Misconfigured);
    let mut judge = Judge::new(&check(mysql(3), 1, 1, Duration::ZERO));
    assert_eq!(
        verdicts(&mut judge, &[(View::Fast, Good), (View::Login, Good), (View::Login, Gone)])[2],
        Dead
    );
}

#[test]
fn a_mixed_run_settles_at_what_all_of_it_reached() {
    let mut judge = Judge::new(&check(mysql(3), 1, 3, Duration::ZERO));
    let symptoms = [Impaired, Timeout, Impaired, Timeout, Timeout, Closed, Closed, Closed];
    let expected = [Healthy, Healthy, Degraded, Degraded, Degraded, Hung, Hung, Dead];
    assert_eq!(one_view(&mut judge, View::Login, &symptoms), expected);
}

#[test]
fn a_change_tells_how_long_the_last_one_held_and_why() {
    let mut judge = Judge::new(&check(tcp(), 1, 1, Duration::ZERO));
    let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
    let change = judge.hear(View::Plain, &Finding::new(Gone, "refused"), at(5)).unwrap();
    assert_eq!(change, Change { from: Healthy, to: Dead, after: None, cause: "refused".into() });
    assert_eq!(judge.cause(), "refused");
    assert_eq!(judge.hear(View::Plain, &Finding::new(Gone, "refused again"), at(6)), None);
    let change = judge.hear(View::Plain, &Finding::good(), at(9)).unwrap();
    assert_eq!((change.to, change.after), (Healthy, Some(SECOND * 4)));
    assert_eq!(judge.cause(), "");
}

#[test]
fn init_fail_counts_as_failed_until_rise() {
    let script = Script {
        command: CommandLine { program: "/bin/true".into(), arguments: Vec::new() },
        interval: SECOND,
        timeout: SECOND,
        user: None,
        init_fail: true,
    };
    let mut judge = Judge::new(&check(Kind::Script(script), 2, 1, Duration::ZERO));
    assert_eq!(judge.verdict(), Dead);
    assert_eq!(one_view(&mut judge, View::Plain, &[Good, Good]), [Dead, Healthy]);
}

fn symptom() -> impl Strategy<Value = Symptom> {
    prop::sample::select(vec![Good, Wrong, Impaired, Timeout, Stuck, Closed, Leaving, Gone])
}

fn view() -> impl Strategy<Value = View> {
    prop::sample::select(vec![View::Fast, View::Login, View::State, View::Write])
}

fn is_failure(verdict: Verdict) -> bool {
    !matches!(verdict, Healthy | Misconfigured | Degraded)
}

proptest! {
    /// Whatever else is going on, what is not a failure of the server costs no address.
    #[test]
    fn a_server_that_answers_everything_is_never_failed(
        results in prop::collection::vec((view(), prop::sample::select(vec![Good, Wrong, Impaired])), 0..60),
    ) {
        let mut judge = Judge::new(&check(mysql(1), 1, 1, Duration::ZERO));
        prop_assert!(verdicts(&mut judge, &results).iter().all(|verdict| !is_failure(*verdict)));
    }

    /// A failure ends only after `rise` results and the hold-down, of the view that failed.
    #[test]
    fn nothing_comes_back_early(
        symptoms in prop::collection::vec(symptom(), 1..80), rise in 1..5_u8, hold in 0..10_u32,
    ) {
        let hold_down = SECOND / 10 * hold;
        let mut judge = Judge::new(&check(mysql(1), rise, 1, hold_down));
        let seen = one_view(&mut judge, View::Fast, &symptoms);
        for end in 1..seen.len() {
            if is_failure(seen[end - 1]) && !is_failure(seen[end]) {
                let calm = (0..=end).rev().take_while(|at| matches!(symptoms[*at], Good | Impaired)).count();
                prop_assert!(calm >= usize::from(rise), "{symptoms:?} {seen:?}");
                prop_assert!(calm > hold as usize, "{symptoms:?} {seen:?}");
            }
        }
    }

    /// Unless it is certain, fewer than `fall` bad results in a row are no failure.
    #[test]
    fn nothing_fails_early(
        symptoms in prop::collection::vec(prop::sample::select(vec![Good, Impaired, Timeout, Stuck, Closed]), 1..80),
        fall in 2..5_u8,
    ) {
        let mut judge = Judge::new(&check(mysql(fall), 1, fall, Duration::ZERO));
        let seen = one_view(&mut judge, View::Fast, &symptoms);
        for (end, verdict) in seen.iter().enumerate() {
            if is_failure(*verdict) && (end == 0 || !is_failure(seen[end - 1])) {
                let bad = (0..=end).rev().take_while(|at| matches!(symptoms[*at], Timeout | Stuck | Closed)).count();
                prop_assert!(bad >= usize::from(fall), "{symptoms:?} {seen:?}");
            }
        }
    }

    /// Whatever happened, a service that is well is called so again.
    #[test]
    fn good_results_heal_everything(results in prop::collection::vec((view(), symptom()), 0..60)) {
        let mut judge = Judge::new(&check(mysql(2), 3, 2, SECOND / 2));
        let mut results = results;
        for view in [View::Fast, View::Login, View::State, View::Write] {
            // Twice the hold-down: from failed to degraded, and from there.
            results.extend([(view, Good); 15]);
        }
        verdicts(&mut judge, &results);
        prop_assert_eq!(judge.verdict(), Healthy);
        prop_assert_eq!(judge.cause(), "");
    }

    /// Once said is enough: a change is reported when there is one, and only then.
    #[test]
    fn changes_are_exactly_the_changes(results in prop::collection::vec((view(), symptom()), 0..60)) {
        let mut judge = Judge::new(&check(mysql(2), 2, 2, SECOND / 5));
        let mut now = Instant::from_nanos(0);
        for (view, symptom) in results {
            now = now + SECOND / 10;
            let before = judge.verdict();
            let change = judge.hear(view, &Finding::new(symptom, "why"), now);
            prop_assert_eq!(change.is_some(), before != judge.verdict());
            if let Some(change) = change {
                prop_assert_eq!((change.from, change.to), (before, judge.verdict()));
            }
        }
    }
}
