use std::path::Path;

use vrrp_ebpf::samples::Sample;

use super::*;

const OWN: MacAddress = MacAddress([9; 6]);

fn config(more: &str) -> Config {
    let text = format!(
        "instances: [{{name: A, interface: eth0, virtual_router_id: 10, priority: 90, virtual_addresses: [192.0.2.10], \
         {more}}}]"
    );
    Config::parse(&text, Path::new("x.yaml")).unwrap().config
}

/// Each frame three times, a second apart, one after the other.
fn problems(frames: &[Vec<u8>], config: &Config) -> Vec<Vec<String>> {
    let (mut heard, mut others) = (BTreeMap::new(), 0);
    for second in 0..3 {
        for frame in frames {
            note(&mut heard, &mut others, Instant::from_nanos(second * 1_000_000_000), frame);
        }
    }
    assert_eq!(others, 0);
    let speakers = judge::judge(&heard, "eth0", OWN, Some(config));
    assert!(speakers.iter().all(|speaker| speaker.measured_ms == Some(1000)), "{speakers:?}");
    speakers.into_iter().map(|speaker| speaker.problems).collect()
}

fn one(sample: &Sample, more: &str) -> String {
    let [problems] = problems(&[sample.frame()], &config(more)).try_into().unwrap();
    problems.join("; ")
}

fn addresses(sample: &Sample) -> String {
    let frame = sample.frame();
    let listed = Peek::parse(&frame).unwrap().addresses().map(|address| address.to_string());
    listed.collect::<Vec<_>>().join(", ")
}

#[test]
fn what_fits_is_not_complained_of() {
    let v3 = Sample::v3();
    let text = format!(
        "instances: [{{name: A, interface: eth0, virtual_router_id: 10, priority: 90, version: 3, virtual_addresses: \
         [{}]}}]",
        addresses(&v3)
    );
    let config = Config::parse(&text, Path::new("x.yaml")).unwrap().config;
    assert_eq!(problems(&[v3.frame()], &config), [Vec::<String>::new()]);
}

#[test]
fn each_mismatch_is_named() {
    let v3 = Sample::v3();
    let locked = Sample { auth_type: 1, authentication: Some(*b"1111\0\0\0\0"), ..Sample::v2() };
    for (sample, more, expected) in [
        (v3.clone(), "version: 2", "version 3, A has 2"),
        (Sample { interval: 200, ..v3.clone() }, "version: 3", "interval 2s, A has 1s"),
        (Sample { ttl: 7, ..v3.clone() }, "version: 3", "TTL 7 and not 255"),
        (v3.clone(), "version: 3, peers: [192.0.2.77]", "not one of the `peers` of A"),
        (Sample::v2(), "version: 2, auth: { type: pass, password: x }", "no password, A has one"),
        (v3.clone(), "version: 3", "other addresses than A, which has 192.0.2.10"),
        (Sample { priority: 90, ..v3.clone() }, "version: 3", "the priority of A"),
        (locked.clone(), "version: 2", "a password, A has none"),
        (locked, "version: 2, auth: { type: pass, password: other }", "not the password of A"),
    ] {
        let said = one(&sample, more);
        assert!(said.contains(expected), "{expected:?} in {said:?} with {more}");
    }
    let mut broken = v3.frame();
    *broken.last_mut().unwrap() ^= 1;
    let said = problems(&[broken], &config("version: 3"));
    assert!(said[0].iter().any(|problem| problem.contains("checksum")), "{said:?}");
}

#[test]
fn two_masters_of_one_router_are_told_and_a_handover_is_not() {
    let one = Sample::v3().frame();
    let other = Sample { source: vec![192, 0, 2, 9], ..Sample::v3() }.frame();
    let said = problems(&[one.clone(), other.clone()], &config("version: 3"));
    assert!(
        said.iter().all(|of_one| of_one.iter().any(|problem| problem.ends_with("two masters"))),
        "{said:?}"
    );

    let (mut heard, mut others) = (BTreeMap::new(), 0);
    for (second, frame) in [&one, &one, &other, &other].into_iter().enumerate() {
        note(&mut heard, &mut others, Instant::from_nanos(second as u64 * 1_000_000_000), frame);
    }
    for speaker in judge::judge(&heard, "eth0", OWN, None) {
        assert_eq!(speaker.problems, Vec::<String>::new());
    }
}

#[test]
fn a_flood_of_senders_is_bounded() {
    let (mut heard, mut others) = (BTreeMap::new(), 0);
    for sender in 0..5000_u16 {
        let [high, low] = sender.to_be_bytes();
        let frame = Sample { source: vec![10, 0, high, low], ..Sample::v3() }.frame();
        note(&mut heard, &mut others, Instant::from_nanos(1), &frame);
    }
    assert_eq!((heard.len(), others), (MOST, 5000 - MOST as u64));
}
