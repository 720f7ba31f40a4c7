//! What a MASTER does when it hears a weaker one.

use std::time::Duration;

use vrrp_lab::{
    clock::{self, MILLISECOND, SECOND, nanos},
    flood::Injector,
    frame::Advert,
    harness::Test,
    tests,
};

use super::{
    case::{Case, Measured, NEEDS, V2, V3, V3_100, each_once, ours},
    pair::{Pair, USUAL, VIP, between},
};

/// The default of `garp: burst`.
const BURST: usize = 5;

pub(crate) fn tests() -> Vec<Test> {
    tests![NEEDS;
        a_losing_advert_is_answered_and_the_address_announced_at_once,
        answers_and_announcements_are_rationed,
    ]
}

/// A weaker MASTER, played by the client.
fn weaker(pair: &Pair) -> Vec<u8> {
    let client = pair.lab.host("client");
    let interval = pair.case.setting.interval_ms;
    let advert = match pair.case.setting.version {
        2 => Advert::v2(client.address(), 51, 50, "1111", &[VIP]),
        _ => Advert::v3(client.address(), 51, 50, u16::try_from(interval / 10).unwrap(), &[VIP]),
    };
    advert.emit(client.mac())
}

fn injected(pair: &Pair) -> Vec<u64> {
    pair.capture.adverts_from("client").iter().map(|(time_ns, _)| *time_ns).collect()
}

/// A MASTER alone, whose first announcements are over (the second burst is 5 s after the first).
fn lone_master(case: Case) -> Pair {
    let mut pair = Pair::new(case, USUAL);
    pair.start("a");
    pair.wait_for("a");
    let elected = clock::now_ns();
    pair.wait_until("both bursts are over", || {
        pair.capture.announcements("a", VIP).len() >= 2 * BURST && clock::now_ns() > elected + 5 * SECOND
    });
    pair.wait_for_adverts("a", 1);
    pair
}

fn cases() -> Vec<Case> {
    // At 10 ms an answer cannot be told from the next advert.
    ours().into_iter().filter(|case| [V2, V3, V3_100].contains(&case.setting)).collect()
}

fn a_losing_advert_is_answered_and_the_address_announced_at_once() {
    each_once(&cases(), |case: Case| -> Measured {
        let pair = lone_master(case);
        let injector = Injector::new(pair.lab.host("client")).unwrap();
        let beat = pair.last_advert_before("a", u64::MAX);
        // In the middle between two adverts.
        super::pair::sleep_until(beat, pair.interval() / 2);
        injector.send(&[weaker(&pair)]).unwrap();
        pair.wait_until("the forged advert is seen", || !injected(&pair).is_empty());
        let asked = injected(&pair)[0];
        // Whoever slept too long has missed one.
        let beat = pair.last_advert_before("a", asked);
        let answered = pair.claim_after("a", asked);
        let took = between(asked, answered);
        assert!(took <= pair.slack(&["a"], asked, answered), "answered {took:?} after the losing advert");
        // RFC 9568 §6.4.3: the timer is not touched.
        pair.wait_for_adverts("a", 1);
        let next = pair.claim_after("a", answered);
        let on_the_beat = between(beat, next).abs_diff(pair.interval());
        assert!(
            on_the_beat <= pair.slack(&["a"], beat, next),
            "the next one is {on_the_beat:?} off the beat"
        );
        pair.wait_until("the address is announced", || announced(&pair, asked).len() >= BURST);
        let first = announced(&pair, asked)[0];
        let late = between(asked, first);
        assert!(late <= pair.slack(&["a"], asked, first), "announced {late:?} after the losing advert");
        assert_eq!(pair.timeline().holders(), ["a"]);
        vec![("answered after", took), ("announced after", late)]
    });
}

fn announced(pair: &Pair, from_ns: u64) -> Vec<u64> {
    let mut all = pair.capture.announcements("a", VIP);
    all.retain(|at| *at > from_ns);
    all
}

fn answers_and_announcements_are_rationed() {
    const SPAN: Duration = Duration::from_millis(1500);
    each_once(&cases(), |case: Case| -> Measured {
        let pair = lone_master(case);
        let injector = Injector::new(pair.lab.host("client")).unwrap();
        let frame = [weaker(&pair)];
        let from = clock::now_ns();
        while clock::now_ns() < from + nanos(SPAN) {
            injector.send(&frame).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        pair.wait_for_adverts("a", 1);
        let last = *injected(&pair).last().unwrap();
        let span = last - injected(&pair)[0];
        let sent = pair.adverts_after("a", from).into_iter().filter(|(at, _)| *at < last + 5 * MILLISECOND);
        let sent = sent.count();
        // One answer in 10 ms, and the adverts due by the timer.
        let due = usize::try_from(span / nanos(pair.interval())).unwrap() + 2;
        let most = usize::try_from(span / (10 * MILLISECOND)).unwrap() + 2 + due;
        assert!(sent <= most, "{sent} adverts in {} ms, at most {most} are allowed", span / MILLISECOND);
        assert!(sent > due, "{sent} adverts: not one is an answer");
        let bursts = usize::try_from(span / SECOND).unwrap() + 1;
        std::thread::sleep(Duration::from_millis(200));
        let announced = announced(&pair, from).len();
        assert!(
            (1..=bursts * BURST).contains(&announced),
            "{announced} announcements in {} ms: one burst of {BURST} a second is allowed",
            span / MILLISECOND
        );
        assert_eq!(pair.timeline().holders(), ["a"]);
        Measured::new()
    });
}
