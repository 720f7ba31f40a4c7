//! What is left after a fault of this program. No server answers here.

use tokio::time::sleep;

use super::*;
use crate::health::secret::Source;
use crate::health::settings::Account;
use crate::mysql::ServerState;
use crate::mysql::row::tests::recorded;
use crate::net::board::Board;
use crate::net::executor::Task;
use crate::net::farewell::Places;
use crate::net::mailbox::Mailbox;
use crate::role::{Mandate, PeerAnswer, View, Won};

/// Of router 0, whose addresses are on by the board, with a server that is not there.
struct Scene {
    keeper: Keeper,
    shown: watch::Receiver<Shown>,
    tasks: Arc<Mailbox<Task>>,
    /// For its files, as long as it lives.
    _folder: tempfile::TempDir,
    _verdict: watch::Sender<Option<Verdict>>,
}

fn scene(handover_timeout: Duration) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Socket(folder.path().join("no.sock"));
    let account = Account { user: "vrrp".to_owned(), password: Source::Empty };
    let role = Role {
        local: Access { place, account, tls: None },
        peer: None,
        service_ports: Vec::new(),
        settings: crate::role::Settings::default(),
        handover_timeout,
    };
    let board = Arc::new(Board::create(1).unwrap());
    assert!(board.hold(0));
    let tasks = Arc::new(Mailbox::new(4).unwrap());
    let post = Post {
        router: 0,
        tasks: Arc::clone(&tasks),
        reports: Arc::new(Mailbox::new(4).unwrap()),
        board,
        doors: Doors::new(Places { addresses: Vec::new(), ports: Vec::new() }, None),
        state_dir: folder.path().to_owned(),
        turn: crate::role::Turn::default(),
    };
    let (shown_in, shown) = watch::channel(Shown::default());
    let (verdict, verdict_out) = watch::channel(None);
    let keeper = Keeper::new("VI_1", role, false, post, Standing::default(), shown_in, verdict_out);
    Scene { keeper, shown, tasks, _folder: folder, _verdict: verdict }
}

#[tokio::test]
async fn after_a_fault_a_server_that_was_won_is_still_the_active_one() {
    let Scene { mut keeper, shown, _folder, _verdict, .. } = scene(Duration::from_secs(1));
    keeper.term = Term { is_won: true, has_followed: true, ..Term::default() };
    keeper.start_over();
    assert!(!keeper.term.has_followed && keeper.is_tainted, "what else was known is not relied on");
    keeper.look(false).await;
    assert_eq!(shown.borrow().text, "active; the server does not answer");
    // The guard has taken the address off meanwhile.
    assert!(keeper.post.board.fence(0));
    keeper.show("", true);
    keeper.look(false).await;
    assert_eq!(shown.borrow().text, "");
}

/// By a time to hand over that no clock can hold; no configuration has it.
#[tokio::test]
async fn a_fault_on_the_way_out_leaves_no_address_behind() {
    let Scene { mut keeper, tasks, _folder, _verdict, .. } = scene(Duration::MAX);
    keeper.term = Term { is_won: true, ..Term::default() };
    let (orders_in, orders) = mpsc::channel(1);
    let (_offers_in, offers) = mpsc::channel(1);
    orders_in.send(Order::Drop { job: Job::default(), is_release: true }).await.unwrap();
    let task = tokio::spawn(keeper.run(Orders::new(orders), offers));
    let dropped = async {
        loop {
            match tasks.take() {
                Some(task) => return task,
                None => sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let dropped = timeout(Duration::from_secs(20), dropped).await.unwrap();
    assert!(matches!(dropped, Task::Drop { router: 0, .. }), "{dropped:?}");
    // It lives on, and ends when there are no more orders.
    assert!(!task.is_finished());
    drop(orders_in);
    timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_word_on_a_standby_decides_nothing_before_it_is_used() {
    let Scene { mut keeper, _folder, _verdict, .. } = scene(Duration::from_secs(1));
    let folder = _folder.path();
    let undecided = folder.join("diverged-VI_1");
    keeper.decision.dispute();
    while !undecided.exists() {
        sleep(Duration::from_millis(1)).await;
    }
    keeper.take_word();
    assert_eq!(keeper.decision.mandate(keeper.has_decided), Mandate::Serve, "the next try");
    // Refused for what passes: it is said to the try after that, too.
    keeper.withhold(Job::default(), &Refusal::NotApplied);
    assert_eq!(keeper.decision.mandate(keeper.has_decided), Mandate::Serve);
    for refusal in [Refusal::PeerWritable, Refusal::Undecided] {
        keeper.take_word();
        keeper.withhold(Job::default(), &refusal);
        assert_eq!(keeper.decision.mandate(keeper.has_decided), Mandate::Undecided, "{refusal}");
    }
    // The other one was seen to serve.
    keeper.take_word();
    keeper.decision.give_way();
    keeper.has_decided = false;
    assert_eq!(keeper.decision.mandate(false), Mandate::Undecided);
    let next = Decision::new("VI_1", Divergence::Serve, folder, None);
    assert_eq!(next.mandate(false), Mandate::Undecided, "and so it is for the next process");

    // Under the address it is another matter.
    keeper.term = Term { is_won: true, is_quarantined: true, ..Term::default() };
    keeper.take_word();
    assert_eq!(keeper.decision.mandate(false), Mandate::Serve);
}

#[tokio::test]
async fn a_kill_that_found_nobody_is_said() {
    let Scene { mut keeper, _folder, _verdict, .. } = scene(Duration::from_secs(1));
    keeper.role.settings.stuck = Stuck::Kill;
    keeper.deal_with_stuck(true).await;
    let said = keeper.said.map(|(what, _)| what);
    assert!(said.as_ref().is_some_and(|what| what.contains("none was killed")), "{said:?}");
}

#[tokio::test]
async fn whoever_passes_the_gate_again_lets_everybody_in() {
    let Scene { mut keeper, _folder, _verdict, .. } = scene(Duration::from_secs(1));
    keeper.term = Term { is_won: true, ..Term::default() };
    // Read-only was held up by an idle session.
    keeper.post.doors.refuse_all();
    assert!(!keeper.post.doors.is_open());
    keeper.pass(&Won::default(), Mandate::Open);
    assert!(keeper.post.doors.is_open());
}

#[tokio::test]
async fn a_server_that_is_down_gives_way_to_the_one_that_serves() {
    let Scene { mut keeper, _folder, _verdict, .. } = scene(Duration::from_secs(1));
    keeper.decision.serve();
    let theirs = "server_id: 2\nread_only: 0\ngtid_binlog_state: 0-2-9\nversion: 10.11.19-MariaDB";
    let theirs = PeerAnswer::State(Box::new(ServerState::read(&recorded(theirs)).unwrap()));
    let view = View { ours: Err("it is down".to_owned()), theirs };
    keeper.stand_by(&view).await;
    assert_eq!(keeper.decision.mandate(false), Mandate::Open);
}
