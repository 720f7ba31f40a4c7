//! Outages are counted from acknowledgement to acknowledgement, and only where something failed.

use super::*;

fn write(number: u64, at_ms: u64) -> Acknowledged {
    Acknowledged { number, sent_ns: at_ms * MILLISECOND - 1, at_ns: at_ms * MILLISECOND }
}

fn failure(at_ms: u64) -> Failure {
    Failure { at_ns: at_ms * MILLISECOND, number: None, code: None, text: "reset".to_owned() }
}

fn tally(acknowledged: &[Acknowledged], failures: &[Failure]) -> (Tally, Vec<News>) {
    let mut tally = Tally::start().unwrap_or_else(|error| panic!("{error:#}"));
    let record = Record { acknowledged: acknowledged.to_vec(), failures: failures.to_vec() };
    let news = tally.take_in(record);
    (tally, news)
}

#[test]
fn an_outage_lasts_from_the_last_acknowledgement_to_the_next() {
    let (tally, news) = tally(&[write(0, 10), write(1, 20), write(2, 62)], &[failure(21), failure(40)]);
    let first = Some("reset".to_owned());
    let outage = News::Outage { at_ns: 62 * MILLISECOND, length_ns: 42 * MILLISECOND, failures: 2, first };
    assert_eq!(news, [outage]);
    assert_eq!(tally.writes().last_outage_ns, Some(42 * MILLISECOND));
    assert_eq!((tally.place(), tally.writes().lost), ((3, 2), None));
}

#[test]
fn a_slow_disk_is_no_outage_and_a_hanging_server_is() {
    let (_, news) = tally(&[write(0, 10), write(1, 200)], &[]);
    assert_eq!(news, []);
    let (_, news) = tally(&[write(0, 10), write(1, 1_200)], &[]);
    assert!(matches!(news.as_slice(), [News::Outage { failures: 0, .. }]), "{news:?}");
}

#[test]
fn what_has_not_ended_is_shown_while_it_lasts() {
    let (tally, news) = tally(&[write(0, 10)], &[failure(30)]);
    assert_eq!(news, []);
    assert_eq!(tally.writes().out_for(60 * MILLISECOND), None);
    assert_eq!(tally.writes().out_for(310 * MILLISECOND), Some(300 * MILLISECOND));
}

#[test]
fn a_switch_is_judged_once_the_new_owner_has_taken_a_write() {
    let (mut tally, _) = tally(&[write(0, 10), write(1, 20)], &[]);
    tally.note_owner("a", 0, PathBuf::from("/nowhere/a"));
    tally.look(1);
    assert!(!tally.is_busy, "the first owner is no switch");
    tally.note_owner("b", 30 * MILLISECOND, PathBuf::from("/nowhere/b"));
    tally.look(2);
    assert!(!tally.is_busy && tally.pending.is_some());
    tally.take_in(Record { acknowledged: vec![write(2, 50)], failures: Vec::new() });
    tally.look(3);
    assert!(tally.is_busy && tally.pending.is_none());
    let (job, verdict) =
        tally.outcomes.recv_timeout(Duration::from_secs(5)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((job.host, job.record.acknowledged.len()), ("b", 2));
    assert!(verdict.is_err(), "there is no server");
    assert!(matches!(tally.note_verdict(job, verdict), Some(News::Unjudged { host: "b", .. })));
}

#[test]
fn what_is_missing_is_said_and_said_again_when_it_comes() {
    let (mut tally, _) = tally(&[write(0, 10), write(1, 20)], &[]);
    let job = |is_recheck| Job { host: "b", socket: PathBuf::new(), record: Record::default(), is_recheck };
    let verdict = |lost: &[u64]| Ok(Verdict { acknowledged: 2, lost: lost.to_vec(), ..Verdict::default() });
    let judged = News::Judged { host: "b", lost: 1, of: 2, odd: 0 };
    assert_eq!(tally.note_verdict(job(false), verdict(&[1])), Some(judged));
    assert_eq!(tally.writes().lost, Some(1));
    assert_eq!(tally.note_verdict(job(true), verdict(&[1])), None);
    assert_eq!(tally.note_verdict(job(true), verdict(&[])), Some(News::Back { host: "b", left: 0 }));
    assert_eq!(tally.writes().lost, Some(0));
}
