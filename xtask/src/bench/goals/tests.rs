//! Runs as they could have been, and the verdicts that they must lead to.

use super::*;
use crate::bench::{deadline::Deadline, report::Verdict};

const ROUNDS: Rounds =
    Rounds { count: 5, quick: false, keepalived: true, tuned: false, deadline: Deadline::never() };

fn dense(false_masters: usize, longest_silence: f64) -> density::Run {
    density::Run {
        settled_ms: 1.0,
        sent_share: 1.0,
        sent_per_second: 20_000.0,
        skipped: 0,
        lateness_ms: Samples(vec![0.1]),
        behind_ms: None,
        false_masters,
        longest_silence,
        longest_stall: 0.0,
        stalled: 0.0,
        backup_wakes: Some(1_000.0),
        master_cpu: 10.0,
        backup_cpu: 2.0,
        master_mib: 9.0,
        backup_mib: 9.0,
        reload: None,
    }
}

fn tries<T: Clone>(run: &T, count: usize) -> Tries<T> {
    Tries::of(vec![run.clone(); count], 0)
}

/// The verdict of the goal whose name begins so.
fn verdict_of(goals: &[Goal], what: &str) -> Verdict {
    goals.iter().find(|goal| goal.what.starts_with(what)).unwrap_or_else(|| panic!("no {what}")).reached
}

fn density_goals(change: impl FnOnce(&mut Tries<density::Run>)) -> Vec<Goal> {
    let mut ours = tries(&dense(0, 1.1), 5);
    change(&mut ours);
    let mut found = density::Findings::default();
    found.runs.insert((10, 200, OURS), ours);
    let theirs = density::Run { master_cpu: 40.0, backup_cpu: 20.0, ..dense(3, 9.0) };
    found.runs.insert((10, 200, THEIRS), tries(&theirs, 5));
    judge(ROUNDS, &Findings { density: Some(found), ..Findings::default() })
}

fn density_verdict(change: impl FnOnce(&mut Tries<density::Run>)) -> Verdict {
    verdict_of(&density_goals(change), "200 instances at 10 ms")
}

#[test]
fn false_masters_are_summed_over_the_rounds_not_their_median() {
    assert_eq!(density_verdict(|_| {}), Verdict::Reached);
    assert_eq!(density_verdict(|ours| ours.runs[3].false_masters = 1), Verdict::Missed);
}

#[test]
fn one_silent_router_is_a_miss_however_many_adverts_there_were() {
    assert_eq!(density_verdict(|ours| ours.runs[0].longest_silence = 3.2), Verdict::Missed);
}

#[test]
fn an_advert_left_out_in_one_round_is_a_miss() {
    assert_eq!(density_verdict(|ours| ours.runs[2].skipped = 1), Verdict::Missed);
    assert_eq!(density_verdict(|ours| ours.runs[2].longest_silence = 2.0), Verdict::Missed);
    assert_eq!(density_verdict(|ours| ours.runs[2].longest_silence = 1.9), Verdict::Reached);
}

#[test]
fn a_late_stretch_is_judged_by_the_beat_that_it_is_behind() {
    let verdict = |behind: f64| {
        density_verdict(|ours| {
            for run in &mut ours.runs {
                run.behind_ms = Some(Samples(vec![behind; 50]));
            }
        })
    };
    assert_eq!([0.9, 4.0].map(verdict), [Verdict::Reached, Verdict::Missed]);
}

#[test]
fn a_takeover_before_its_time_is_no_success() {
    let verdict = |instances: usize, beyond: &[f64]| {
        let setting = Setting { version: 3, advert_ms: 10, instances };
        let outcome = failover::Outcome {
            first_advert: None,
            announced: Samples(vec![30.0]),
            beyond_limit: Samples(beyond.to_vec()),
            advert_beyond_limit: None,
            lanes: Vec::new(),
        };
        let mut found = failover::Findings::default();
        found.note(setting, [((Event::Cut, OURS), tries(&outcome, 5))].into());
        let goals = judge(ROUNDS, &Findings { failover: Some(found), ..Findings::default() });
        verdict_of(&goals, &format!("cut link; v3, 10 ms, {instances} instance"))
    };
    assert_eq!(verdict(1, &[0.9]), Verdict::Reached);
    assert_eq!(verdict(1, &[-0.9]), Verdict::Reached);
    assert_eq!(verdict(1, &[1.1]), Verdict::Missed);
    assert_eq!(verdict(1, &[-6.0]), Verdict::Missed);
    assert_eq!(verdict(200, &[-0.9, 4.9]), Verdict::Reached);
    assert_eq!(verdict(200, &[-1.1, 2.0]), Verdict::Missed);
    assert_eq!(verdict(200, &[0.1, 5.1]), Verdict::Missed);
}

#[test]
fn a_failed_round_is_a_miss_and_said() {
    let goals = density_goals(|ours| {
        ours.runs.pop();
        ours.fail(Noise::NONE);
    });
    assert_eq!(verdict_of(&goals, "200 instances at 10 ms"), Verdict::Missed);
    assert!(goals[0].measured.ends_with("; 1 failed round"), "{}", goals[0].measured);
    // Less CPU than half, also with the worst for a fifth one.
    assert_eq!(verdict_of(&goals, "CPU at 200"), Verdict::Reached);
}

#[test]
fn noise_excuses_a_miss_and_makes_no_success() {
    let verdict = |false_masters| {
        density_verdict(|ours| {
            ours.runs.pop();
            ours.push(dense(false_masters, 1.1), Noise { steal: 0.3, foreign: 0.0 });
        })
    };
    assert_eq!([0, 2].map(verdict), [Verdict::Reached, Verdict::Unknown]);
}

#[test]
fn one_noisy_round_does_not_excuse_what_the_others_missed() {
    let verdict = |wrong: &[usize]| {
        density_verdict(|ours| {
            let runs = std::mem::take(&mut ours.runs);
            for (number, mut run) in runs.into_iter().enumerate() {
                run.false_masters = usize::from(wrong.contains(&number));
                let steal = if number == 2 { 0.3 } else { 0.0 };
                ours.push(run, Noise { steal, foreign: 0.0 });
            }
        })
    };
    assert_eq!(verdict(&[2]), Verdict::Unknown);
    assert_eq!(verdict(&[2, 3]), Verdict::Missed);
    assert_eq!(verdict(&[]), Verdict::Reached);
}

#[test]
fn a_stall_excuses_what_it_can_have_done_and_no_more() {
    let goals = |stall, skipped, false_masters| {
        density_goals(|ours| {
            let run = dense(false_masters, 1.5);
            ours.runs[1] = density::Run { longest_stall: stall, stalled: stall, skipped, ..run };
        })
    };
    let verdict = |stall, skipped, wrong| verdict_of(&goals(stall, skipped, wrong), "200 instances at 10 ms");
    assert_eq!(verdict(0.5, 3, 0), Verdict::Missed);
    assert_eq!(verdict(1.2, 3, 0), Verdict::Unknown);
    assert_eq!(verdict(1.2, 0, 0), Verdict::Reached);
    assert_eq!(verdict(1.2, 0, 1), Verdict::Missed);
    assert_eq!(verdict(1.7, 0, 1), Verdict::Unknown);
    // Two intervals at most of each of the 200, and what is beyond that has another cause.
    assert_eq!(verdict(1.2, 400, 0), Verdict::Unknown);
    assert_eq!(verdict(1.2, 401, 0), Verdict::Missed);
    assert_eq!(verdict(1.2, 50_000, 0), Verdict::Missed);
    let measured = &goals(1.2, 3, 0)[0].measured;
    assert!(measured.ends_with("; no verdict: a CPU stood still for 1.20 intervals"), "{measured}");
    // Another round has no such excuse.
    let both = density_verdict(|ours| {
        ours.runs[1] = density::Run { longest_stall: 1.2, stalled: 1.2, skipped: 3, ..dense(0, 1.5) };
        ours.runs[2].skipped = 1;
    });
    assert_eq!(both, Verdict::Missed);
}

#[test]
fn each_goal_counts_its_own_rounds() {
    let few = |ours: &mut Tries<density::Run>| ours.runs.truncate(4);
    assert_eq!(density_verdict(few), Verdict::Unknown);
}

#[test]
fn wake_ups_are_judged_in_every_setting() {
    let goals = |wakes| {
        let mut found = density::Findings::default();
        found.runs.insert((10, 255, OURS), tries(&dense(0, 1.1), 5));
        let many = density::Run { backup_wakes: Some(wakes), ..dense(0, 1.1) };
        found.runs.insert((10, 1000, OURS), tries(&many, 5));
        judge(ROUNDS, &Findings { density: Some(found), ..Findings::default() })
    };
    assert_eq!(verdict_of(&goals(4_900.0), "quiet backup"), Verdict::Reached);
    assert_eq!(verdict_of(&goals(25_000.0), "quiet backup"), Verdict::Missed);
}

#[test]
fn sooner_than_nobody_is_not_sooner() {
    let verdict = |ours: &[f64], theirs: &[f64]| {
        let tries = |values: &[f64]| Tries::of(values.to_vec(), 0);
        let mut goals = Goals { quick: false, certain: Vec::new(), all: Vec::new() };
        goals.sooner("", "", (&tries(ours), &tries(theirs)), Subject::Timeline, |value: &f64| Some(*value));
        goals.all[0].reached
    };
    assert_eq!(verdict(&[1.0; 5], &[650.0; 5]), Verdict::Reached);
    assert_eq!(verdict(&[1.0; 5], &[]), Verdict::Unknown);
    assert_eq!(verdict(&[1.0; 5], &[650.0; 4]), Verdict::Unknown);
    assert_eq!(verdict(&[1.0; 5], &[50.0; 5]), Verdict::Missed);
    assert_eq!(verdict(&[9.0; 5], &[]), Verdict::Missed, "too late whatever the others do");
}

#[test]
fn noise_at_the_others_excuses_no_miss_that_it_cannot_have_made() {
    let noisy = Noise { steal: 0.3, foreign: 0.0 };
    let goals = |noisy_rounds: usize, their_master: f64| {
        let mut found = density::Findings::default();
        found.runs.insert((10, 200, OURS), tries(&dense(0, 1.1), 5));
        let their = density::Run { master_cpu: their_master, backup_cpu: 20.0, ..dense(3, 9.0) };
        let mut theirs = tries(&their, 5 - noisy_rounds);
        for _ in 0..noisy_rounds {
            theirs.push(their.clone(), noisy);
        }
        found.runs.insert((10, 200, THEIRS), theirs);
        judge(ROUNDS, &Findings { density: Some(found), ..Findings::default() })
    };
    let verdict = |noisy_rounds, their_master| verdict_of(&goals(noisy_rounds, their_master), "CPU at 200");
    assert_eq!(verdict(1, 40.0), Verdict::Reached);
    assert_eq!(verdict(1, 12.0), Verdict::Missed, "four quiet rounds say so");
    assert_eq!(verdict(3, 12.0), Verdict::Unknown, "three noisy ones could have said anything");

    let mut found = failover::Findings::default();
    let outcome = |ms: f64| failover::Outcome {
        first_advert: None,
        announced: Samples(vec![ms]),
        beyond_limit: Samples::default(),
        advert_beyond_limit: None,
        lanes: Vec::new(),
    };
    let mut theirs = tries(&outcome(50.0), 4);
    theirs.push(outcome(50.0), noisy);
    let recipe = Setting { version: 2, advert_ms: 1000, instances: 1 };
    let both = [((Event::Stop, OURS), tries(&outcome(1.0), 5)), ((Event::Stop, THEIRS), theirs)];
    found.note(recipe, both.into());
    let goals = judge(ROUNDS, &Findings { failover: Some(found), ..Findings::default() });
    assert_eq!(verdict_of(&goals, "planned stop; v2"), Verdict::Missed, "not a hundred times sooner");
}

const NO_NOISE: [Noise; 5] = [Noise::NONE; 5];

/// Five rounds of costs with such noise, the first ones of them failed.
fn cost_verdict(delivered_ns: f64, noise: [Noise; 5], failed: usize) -> Verdict {
    let cost = |name: &str, median_ns: f64| kernel_half::Cost {
        name: name.to_owned(),
        group: String::new(),
        best_ns: median_ns,
        median_ns,
        ratio: 1.1,
    };
    let all = vec![cost("not VRRP", 11.0), cost("TTL", 50.0), cost("delivered, v3", delivered_ns)];
    let mut costs = Tries::default();
    for (number, noise) in noise.into_iter().enumerate() {
        if number < failed { costs.fail(noise) } else { costs.push(all.clone(), noise) }
    }
    let kernel_half = kernel_half::Findings { costs, latency: Tries::default() };
    let goals = judge(ROUNDS, &Findings { kernel_half, ..Findings::default() });
    verdict_of(&goals, "a packet that is not VRRP")
}

#[test]
fn one_noisy_round_does_not_excuse_what_packets_cost_in_the_others() {
    let noisy = |count| {
        let mut noise = NO_NOISE;
        noise[..count].fill(Noise { steal: 0.3, foreign: 0.0 });
        noise
    };
    assert_eq!(cost_verdict(100.0, noisy(1), 0), Verdict::Reached);
    assert_eq!(cost_verdict(178.0, noisy(0), 0), Verdict::Missed);
    assert_eq!(cost_verdict(178.0, noisy(1), 0), Verdict::Missed);
    assert_eq!(cost_verdict(178.0, noisy(3), 0), Verdict::Unknown);
}

#[test]
fn failed_rounds_of_the_kernel_half_are_the_worst_and_not_left_out() {
    assert_eq!(cost_verdict(100.0, NO_NOISE, 2), Verdict::Reached);
    assert_eq!(cost_verdict(100.0, NO_NOISE, 3), Verdict::Missed);
    assert_eq!(cost_verdict(100.0, NO_NOISE, 5), Verdict::Missed);
    let latency = |failed| {
        let later = kernel_half::Later { ring_p50: 12.0, raw_p50: 10.0 };
        let latency = Tries::of(vec![later; 5 - failed], failed);
        let kernel_half = kernel_half::Findings { latency, costs: Tries::default() };
        let goals = judge(ROUNDS, &Findings { kernel_half, ..Findings::default() });
        verdict_of(&goals, "arrival to decision")
    };
    assert_eq!(
        [0, 2, 3, 5].map(latency),
        [Verdict::Reached, Verdict::Reached, Verdict::Missed, Verdict::Missed]
    );
}

#[test]
fn a_dead_master_that_nobody_replaced_is_a_miss() {
    let goals = |failed| {
        let mut found = starve::Findings::default();
        let run = starve::Run { false_masters: 0, replaced_after: Some(0.4), limit_met: None };
        let mut dead = tries(&run, 5 - failed);
        dead.failed = failed;
        found.runs.insert((Case::DeadMaster, 10, OURS), dead);
        for case in Case::JUDGED {
            found.runs.insert((case, 10, OURS), tries(&starve::Run { replaced_after: None, ..run }, 5));
        }
        judge(ROUNDS, &Findings { starve: Some(found), ..Findings::default() })
    };
    assert_eq!(verdict_of(&goals(0), "master dies"), Verdict::Reached);
    assert_eq!(verdict_of(&goals(1), "master dies"), Verdict::Missed);
    assert_eq!(verdict_of(&goals(1), "a stopped backup"), Verdict::Reached);
}

#[test]
fn a_planned_switch_answers_for_its_own_rows_alone() {
    use mysql::Event as Blow;
    let goal = |event, lost, twice| {
        let quiet = mysql::tests::outcome(Some(20.0));
        let mut found = mysql::Findings::default();
        found.note(Blow::Switch, Way::Managed, tries(&quiet, 5));
        let mut rounds = tries(&quiet, 5);
        (rounds.runs[1].lost, rounds.runs[1].twice) = (lost, twice);
        found.note(event, Way::Managed, rounds);
        let goals = judge(ROUNDS, &Findings { mysql: Some(found), ..Findings::default() });
        goals.into_iter().find(|goal| goal.what.starts_with("planned switch, ")).unwrap()
    };
    assert_eq!(goal(Blow::Kill, 1, 1).reached, Verdict::Reached);
    assert_eq!(goal(Blow::Switch, 1, 0).reached, Verdict::Missed);
    let twice = goal(Blow::Switch, 0, 2);
    assert_eq!((twice.reached, twice.measured.as_str()), (Verdict::Missed, "20.0 ms, 0 lost, 2 there twice"));
}
