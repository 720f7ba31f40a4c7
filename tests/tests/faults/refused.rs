//! Adverts that this host's own kernel does not take: a full queue, a filter, an interface that has become too narrow.

use std::net::Ipv4Addr;

use vrrp_lab::{
    AddressWatch, Daemon, Instance, Lab, Requirement, clock,
    harness::{self, Test},
    tests,
};

use super::pair::{LIMIT, Pair, STALL, Speed};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    harness::despite_stalls(
        STALL,
        tests![[Lab, Daemon];
            a_master_whose_first_advert_is_refused_keeps_the_address,
            a_refused_advert_takes_no_neighbour_along,
        ],
    )
}

/// At 1 s there is time to let the second advert through, and the guard looks twice a second.
fn a_master_whose_first_advert_is_refused_keeps_the_address() {
    let mut pair = Pair::start("refused", Speed::Slow);
    pair.lab.host("b").refuse_adverts(51).unwrap();
    let killed = clock::now_ns();
    pair.a.kill();
    let got = pair.wait_for("b").acquired_at("b", killed).unwrap();
    pair.lab.host("b").refuse_nothing().unwrap();
    pair.wait_for_adverts("b", 3);
    assert!(pair.b.log().contains("the kernel refused 1 adverts"), "nothing was refused:\n{}", pair.b.log());
    assert!(!pair.b.log().contains("frozen"), "{}", pair.b.log());
    let timeline = pair.timeline();
    assert_eq!(timeline.lost_at("b", got), None, "{timeline}");
}

const ROUTERS: u8 = 8;
const MUTE: u8 = 4;

fn vip(router: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 1, router)
}

/// Routers of one interface send their adverts together.
fn a_refused_advert_takes_no_neighbour_along() {
    let lab = Lab::pair("beside").unwrap();
    let watch = AddressWatch::start(&lab, &["a"]).unwrap();
    let instance = |router: u8| Instance {
        name: format!("VI_{router}"),
        vrid: router,
        virtual_addresses: vec![format!("{}/32", vip(router))],
        ..Instance::v3(150, "100ms")
    };
    let instances: Vec<Instance> = (1..=ROUTERS).map(instance).collect();
    let a = Daemon::start(lab.host("a"), &instances).unwrap();
    let holds = |router: u8| watch.holders(vip(router)).unwrap() == ["a"];
    assert!(clock::wait_until(LIMIT, || (1..=ROUTERS).all(holds)), "not all are elected:\n{}", a.log());
    let from = clock::now_ns();
    lab.host("a").refuse_adverts(MUTE).unwrap();
    let lost = |router: u8| watch.timeline(vip(router)).unwrap().lost_at("a", from);
    assert!(clock::wait_until(LIMIT, || lost(MUTE).is_some()), "nobody hears it, and it keeps its address");
    // Long enough for each of the others to be fenced some times.
    clock::sleep_ms(2_000);
    for router in (1..=ROUTERS).filter(|router| *router != MUTE) {
        assert_eq!(lost(router), None, "VI_{router}\n{}", a.log());
    }
}
