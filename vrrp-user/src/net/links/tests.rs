use super::*;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn interest() -> Interest {
    Interest {
        interfaces: [(2, "eth0".to_owned())].into(),
        devices: [(2, "eth0".to_owned()), (3, "eth1".to_owned())].into(),
        vips: [(2, VIP)].into(),
    }
}

fn eth0(ifindex: u32, running: bool, mac: u8) -> Link {
    Link { ifindex, name: "eth0".to_owned(), mac: [mac; 6], running, ethernet: true, mtu: 1500 }
}

fn held(address: Ipv4Addr, secondary: bool) -> HeldAddress {
    HeldAddress { address, prefix: 24, ifindex: 2, secondary }
}

fn news(before: &Picture, after: &Picture) -> Vec<LinkNews> {
    let mut told = Vec::new();
    after.news_since(before, &interest(), &mut |news| told.push(news));
    told
}

#[test]
fn the_primary_address_is_never_a_virtual_one() {
    let mut picture = Picture { links: vec![], addresses: vec![held(VIP, false), held(OWN, true)] };
    assert_eq!(picture.primary_address(2, &interest()), Some(OWN), "a left-over VIP made it secondary");
    let other = Ipv4Addr::new(10, 9, 0, 1);
    picture.addresses.push(held(other, false));
    assert_eq!(picture.primary_address(2, &interest()), Some(other));
    picture.addresses.truncate(1);
    assert_eq!(picture.primary_address(2, &interest()), None);
}

#[test]
fn carrier_and_address_and_vip_each_make_their_news() {
    let up = Picture { links: vec![eth0(2, true, 1)], addresses: vec![held(OWN, false), held(VIP, true)] };
    let down = Picture { links: vec![eth0(2, false, 1)], ..up.clone() };
    assert_eq!(news(&up, &down), [LinkNews::Down { ifindex: 2 }]);
    assert_eq!(news(&down, &up), [LinkNews::Up { ifindex: 2 }]);
    let without_vip = Picture { addresses: vec![held(OWN, false)], ..up.clone() };
    assert_eq!(news(&up, &without_vip), [LinkNews::VipRemoved { ifindex: 2, address: VIP }]);
    assert_eq!(news(&without_vip, &up), []);
    let bare = Picture { addresses: vec![], ..up.clone() };
    assert_eq!(news(&without_vip, &bare), [LinkNews::PrimaryAddress { ifindex: 2, address: None }]);
}

#[test]
fn an_interface_that_came_back_under_its_name_is_a_replacement() {
    let first = Picture { links: vec![eth0(2, true, 1)], addresses: vec![] };
    let gone = Picture::default();
    let back = Picture { links: vec![eth0(9, true, 1)], addresses: vec![] };
    assert_eq!(news(&first, &gone), [LinkNews::Down { ifindex: 2 }]);
    assert_eq!(news(&gone, &back), [LinkNews::Replaced { ifindex: 2 }]);
    let other_mac = Picture { links: vec![eth0(2, true, 7)], addresses: vec![] };
    assert_eq!(news(&first, &other_mac), [LinkNews::Replaced { ifindex: 2 }]);
}

#[test]
fn a_device_that_only_addresses_are_on_is_replaced_too_but_is_no_link_of_the_election() {
    let eth1 = |ifindex, running| Link { name: "eth1".to_owned(), ..eth0(ifindex, running, 1) };
    let picture = |links| Picture { links, addresses: vec![] };
    let both = picture(vec![eth0(2, true, 1), eth1(3, true)]);
    let down = picture(vec![eth0(2, true, 1), eth1(3, false)]);
    let gone = picture(vec![eth0(2, true, 1)]);
    let back = picture(vec![eth0(2, true, 1), eth1(9, true)]);
    assert_eq!(news(&both, &down), []);
    assert_eq!(news(&both, &gone), []);
    assert_eq!(news(&gone, &back), [LinkNews::Replaced { ifindex: 3 }]);
}

#[test]
fn an_interface_that_becomes_interesting_is_introduced_and_a_new_vip_is_no_primary_address() {
    let picture =
        Picture { links: vec![eth0(2, true, 1)], addresses: vec![held(VIP, false), held(OWN, true)] };
    let introduced = |former: &Interest, interest: &Interest| {
        let mut told = Vec::new();
        picture.introduce(former, interest, &mut |news| told.push(news));
        told
    };
    let primary = |address| LinkNews::PrimaryAddress { ifindex: 2, address: Some(address) };
    assert_eq!(introduced(&Interest::default(), &interest()), [primary(OWN), LinkNews::Up { ifindex: 2 }]);
    assert_eq!(introduced(&interest(), &interest()), []);
    let without = Interest { vips: BTreeSet::new(), ..interest() };
    assert_eq!(introduced(&without, &interest()), [primary(OWN)]);
    assert_eq!(introduced(&interest(), &without), [primary(VIP)]);
}
