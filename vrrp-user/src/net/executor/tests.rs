//! Orders and a board, without an address: which order is carried out, and when.

use super::*;

/// Longer than any test waits.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn an_order_as_old_as_the_last_advert_waits_for_the_next_one_or_for_the_next_order() {
    let board = Arc::new(Board::create(2).unwrap());
    let (tasks, reports) = (Arc::new(Mailbox::new(8).unwrap()), Arc::new(Mailbox::new(8).unwrap()));
    let holding = Holding { freeze_limit: LIMIT, ..Holding::nothing() };
    let (holdings, job) = (vec![holding.clone(), holding], Job::default());
    // Ordered while all was well; then nothing of this host ran.
    let then = Instant::from_nanos(1);
    assert!(clock::now().since(then) > LIMIT, "this machine has only just started");
    for router in 0..2 {
        board.note_taking(router, then);
        board.order(router, job.number());
        tasks.post(Task::Take { router, job }).unwrap();
    }
    let executor =
        start(holdings, Arc::clone(&board), Arc::clone(&tasks), Arc::clone(&reports), None).unwrap();
    let next_report = |patience: Duration| {
        let by = clock::now() + patience;
        while reports.is_empty() && clock::now() < by {
            thread::sleep(Duration::from_millis(1));
        }
        reports.take()
    };
    assert_eq!(next_report(PUT_OFF * 3), None, "by what right?");
    assert!(!board.is_held(0) && !board.is_held(1));

    board.note_sent(0, clock::now());
    let report = next_report(LIMIT / 2);
    assert!(matches!(report, Some(Report::Held { router: 0, .. })), "{report:?}");

    board.order(1, job.number() + 1);
    board.note_sent(1, clock::now());
    assert_eq!(next_report(PUT_OFF * 3), None, "another order has overtaken it");
    assert!(board.is_held(0) && !board.is_held(1));
    tasks.post(Task::Stop).unwrap();
    executor.join().unwrap();
}
