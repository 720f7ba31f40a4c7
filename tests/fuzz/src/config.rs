//! The configuration: any text is either refused in words or comes to values that keep the promises of `Config`.

use std::{collections::HashSet, fs, path::Path};

use vrrp_user::config::{Config, Protocol, Skew, explain};

const NAME: &str = "fuzz.yaml";

/// Where a value is put: first byte of an input, modulo their number. `@` stands for it.
const PLACES: [&str; 16] = [
    "advert_interval: @",
    "startup_delay: @",
    "vip_deadline: @",
    "priority: @",
    "virtual_router_id: @",
    "version: @",
    "preempt: @",
    "virtual_addresses: [@]",
    "virtual_addresses: [{ address: @, dev: eth1 }]",
    "virtual_addresses: [{ address: 192.0.2.9/24, dev: @, label: @, scope: link }]",
    "peers: [@]",
    "skew: @",
    "garp: { burst: 1, repeat_after: @, refresh: @ }",
    "auth: { type: pass, password: @ }",
    "name: @",
    "interface: @",
];
/// The other bit of the first byte: as a quoted text rather than as YAML finds it.
const QUOTED: u8 = 0x80;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|name| name == "yaml")).collect();
    files.sort();
    let mut seeds: Vec<_> = files.into_iter().map(|file| fs::read(file).unwrap()).collect();
    // What no example says: anchors and merges, a second document, tabs, a null, duplicate keys, deep nesting.
    seeds.extend(
        [
            "instances: [&a { name: A, interface: eth0, virtual_router_id: 1, virtual_addresses: [192.0.2.9] }, *a]",
            "a: &a [1, 1]\nb: &b [*a, *a]\nc: &c [*b, *b]\ninstances: [*c, *c]",
            "instances: []\n---\ninstances: []",
            "instances:\n\t- name: x",
            "~",
            "instances: [{ name: A, name: B, <<: { priority: 3 } }]",
            "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
            "rx: socket\ndelivery: changes\nconsume: true\nguard: false\nrealtime_priority: 0\nlog: { format: json, \
             level: trace }\ninstances: !!map {}",
        ]
        .map(|text| text.as_bytes().to_vec()),
    );
    seeds
}

pub(crate) fn check(input: &[u8]) -> bool {
    std::str::from_utf8(input).is_ok_and(judge)
}

pub(crate) fn value_seeds() -> Vec<Vec<u8>> {
    let values = [
        "1s",
        "10ms",
        "40950ms",
        "1.5s",
        "250us",
        "1m",
        "0",
        "-1s",
        "1e3s",
        "100",
        "255",
        "2",
        "3",
        "true",
        "no",
        "192.0.2.9/24",
        "192.0.2.9",
        "192.0.2.0/24",
        "fe80::1/64",
        "0.0.0.0",
        "eth0",
        "eth0:vip",
        "a/b",
        "none",
        "rfc",
        "1111",
        "123456789",
        "\u{e9}t\u{e9}",
        "0x10",
        "0o17",
        ".inf",
        "99999999999999999999999s",
        "",
    ];
    let mut seeds = Vec::new();
    for (number, value) in values.iter().enumerate() {
        for place in 0..PLACES.len() {
            // Each value somewhere, and each place with a good value: not all pairs.
            if number % PLACES.len() == place || number < 2 {
                let first = u8::try_from(place).unwrap() | if number % 2 == 0 { QUOTED } else { 0 };
                seeds.push([&[first], value.as_bytes()].concat());
            }
        }
    }
    seeds
}

/// First byte, value.
pub(crate) fn check_value(input: &[u8]) -> bool {
    let Some((first, value)) = input.split_first() else { return false };
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let place = PLACES[usize::from(first & !QUOTED) % PLACES.len()];
    // A JSON string is a YAML string.
    let value = if first & QUOTED != 0 { serde_json::to_string(value).unwrap() } else { value.to_owned() };
    let line = place.replace('@', &value);
    let key = place.split(':').next().unwrap();
    let mut text = "instances:\n  - ".to_owned();
    for default in [
        "name: VI_1",
        "interface: eth0",
        "virtual_router_id: 51",
        "version: 3",
        "virtual_addresses: [192.0.2.9/24]",
        "peers: [192.0.2.2]",
    ] {
        if !default.starts_with(&format!("{key}:")) {
            text.push_str(default);
            text.push_str("\n    ");
        }
    }
    text.push_str(&line);
    text.push('\n');
    judge(&text)
}

/// Whether the text is a configuration. Panics if it is neither refused in words nor what `Config` promises.
fn judge(text: &str) -> bool {
    let config = match Config::parse(text, Path::new(NAME)) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            assert!(error.to_string().contains(NAME), "nameless: {error}");
            return false;
        }
    };
    assert!(!explain(&config).is_empty());
    assert!(!config.instances.is_empty());
    let (mut names, mut identities) = (HashSet::new(), HashSet::new());
    for instance in &config.instances {
        assert!(names.insert(&instance.name), "two are called {:?}", instance.name);
        let identity = (&instance.interface, instance.virtual_router_id);
        assert!(identities.insert(identity), "two are {identity:?}");
        assert!((1..=255).contains(&instance.virtual_addresses.len()));
        for vip in &instance.virtual_addresses {
            assert!((1..=32).contains(&vip.prefix), "{vip:?}");
            assert!(
                !vip.address.is_unspecified() && !vip.address.is_multicast() && !vip.address.is_loopback()
            );
            assert!((1..=15).contains(&vip.device.len()), "{vip:?}");
            assert!(vip.label.as_ref().is_none_or(|label| (1..=15).contains(&label.len())), "{vip:?}");
        }
        if instance.skew == Skew::None {
            assert_eq!(instance.peers.len(), 1);
        }
        assert!(!instance.vip_deadline.is_zero());
        match &instance.protocol {
            Protocol::V2 { password: Some(password), .. } => {
                let shown = format!("{password:?}");
                assert!(
                    !shown.contains(&String::from_utf8_lossy(&password.zero_filled()).into_owned()),
                    "shown"
                );
            }
            Protocol::V2 { password: None, .. } | Protocol::V3 { .. } => {}
        }
    }
    true
}
