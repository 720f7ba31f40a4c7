//! Every complaint with its line, path and hint; every example; no input that panics.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

mod checks;
mod complaints;
mod notify;
mod role;
mod servers;

/// The file that must work as it is.
pub(super) const RECIPE: &str = r#"router_id: mysql-ha
instances:
  - name: VI_1
    interface: eth0
    virtual_router_id: 51
    priority: 100
    version: 2
    advert_interval: 1s
    preempt: false
    auth: { type: pass, password: "1111" }
    virtual_addresses: [192.168.1.200/24]
"#;

pub(super) fn parsed(text: &str) -> Loaded {
    match Config::parse(text, Path::new("x.yaml")) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}\n{text}"),
    }
}

pub(super) fn refused(text: &str) -> String {
    match Config::parse(text, Path::new("x.yaml")) {
        Ok(loaded) => panic!("accepted: {loaded:?}\n{text}"),
        Err(error) => error.to_string(),
    }
}

fn only(text: &str) -> Instance {
    let mut instances = parsed(text).config.instances;
    assert_eq!(instances.len(), 1);
    instances.remove(0)
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect()
}

#[test]
fn recipe_works_as_it_is() {
    let loaded = parsed(RECIPE);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = loaded.config;
    assert_eq!(config.router_id.as_deref(), Some("mysql-ha"));
    assert_eq!((config.rx, config.delivery), (Rx::Auto, Delivery::Auto));
    assert_eq!((config.consume, config.guard, config.realtime_priority), (false, true, 50));
    let instance = &config.instances[0];
    assert_eq!((instance.name.as_str(), instance.interface.as_str()), ("VI_1", "eth0"));
    assert_eq!((instance.virtual_router_id.get(), instance.priority.get()), (51, 100));
    assert_eq!((instance.version(), instance.advert_interval().duration()), (2, Duration::from_secs(1)));
    assert!(!instance.preempt);
    let Protocol::V2 { advert_interval, password: Some(password) } = &instance.protocol else {
        panic!("{:?}", instance.protocol)
    };
    assert_eq!(advert_interval.get(), 1);
    assert_eq!(password.zero_filled(), *b"1111\0\0\0\0");
    let vip = VirtualAddress {
        address: Ipv4Addr::new(192, 168, 1, 200),
        prefix: 24,
        device: "eth0".into(),
        label: None,
        scope: Scope::Global,
    };
    assert_eq!(instance.virtual_addresses, [vip]);
}

#[test]
fn defaults_are_keepalived_s() {
    let instance =
        only("instances: [{name: a, interface: eth0, virtual_router_id: 1, virtual_addresses: [10.0.0.9]}]");
    assert_eq!(instance.priority.get(), 100);
    assert_eq!(instance.version(), 2);
    assert_eq!(instance.advert_interval().duration(), Duration::from_secs(1));
    assert!(instance.preempt);
    assert_eq!(instance.startup_delay, Duration::ZERO);
    assert_eq!(instance.virtual_addresses[0].prefix, 32);
    assert_eq!(instance.skew, Skew::Rfc);
    assert_eq!(instance.garp.burst.get(), 5);
    assert_eq!(instance.garp.repeat_after, Duration::from_secs(5));
    assert_eq!(instance.garp.refresh, Duration::from_secs(60));
    assert_eq!(instance.vip_deadline, Duration::from_secs(1));
    assert_eq!(instance.address_lifetime, AddressLifetime::Auto);
}

#[test]
fn every_key_reaches_its_value() {
    let loaded = parsed(
        r#"
router_id: db-1
rx: tcx
delivery: changes
consume: true
guard: false
realtime_priority: 0
log: { format: json, level: debug }
instances:
  - name: VI_2
    interface: bond0.100
    virtual_router_id: 255
    priority: 254
    version: 3
    advert_interval: 40950ms
    preempt: true
    startup_delay: 1.5s
    checksum: rfc9568
    skew: none
    peers: [10.0.0.2]
    garp: { burst: 1, repeat_after: 0s, refresh: 0s }
    vip_deadline: 250ms
    address_lifetime: off
    virtual_addresses:
      - 10.0.0.9
      - { address: 10.0.1.9/31, dev: eth7, label: "eth7:vip", scope: link }
"#,
    );
    let config = loaded.config;
    assert_eq!((config.rx, config.delivery), (Rx::Tcx, Delivery::Changes));
    assert_eq!((config.consume, config.guard, config.realtime_priority), (true, false, 0));
    assert_eq!(config.log, Log { format: LogFormat::Json, level: LogLevel::Debug });
    let instance = &config.instances[0];
    let Protocol::V3 { advert_interval, checksum } = instance.protocol else { panic!("{instance:?}") };
    assert_eq!((advert_interval.get(), checksum), (4095, Checksum::Rfc9568));
    assert_eq!(instance.startup_delay, Duration::from_millis(1500));
    assert_eq!((instance.skew, instance.peers.as_slice()), (Skew::None, &[Ipv4Addr::new(10, 0, 0, 2)][..]));
    assert_eq!((instance.garp.burst.get(), instance.garp.refresh), (1, Duration::ZERO));
    assert_eq!(instance.vip_deadline, Duration::from_millis(250));
    assert_eq!(config.address_lifetime(instance), None);
    let [first, second] = instance.virtual_addresses.as_slice() else { panic!("{instance:?}") };
    assert_eq!((first.device.as_str(), first.prefix), ("bond0.100", 32));
    assert_eq!((second.device.as_str(), second.prefix, second.scope), ("eth7", 31, Scope::Link));
    assert_eq!(second.label.as_deref(), Some("eth7:vip"));
}

#[test]
fn intervals_are_the_protocol_s_numbers() {
    for (version, text, wire) in
        [(2, "1s", 1), (2, "255s", 255), (2, "2m", 120), (3, "10ms", 1), (3, "1s", 100), (3, "40950ms", 4095)]
    {
        let text = RECIPE.replace("version: 2", &format!("version: {version}")).replace("1s", text);
        let text = if version == 3 { text.replace("auth:", "#") } else { text };
        let number = match only(&text).protocol {
            Protocol::V2 { advert_interval, .. } => u16::from(advert_interval.get()),
            Protocol::V3 { advert_interval, .. } => advert_interval.get(),
        };
        assert_eq!(number, wire, "{text}");
    }
}

/// Reference values of RFC 3768 §6.1 and RFC 9568 §6.1, in ns.
#[test]
fn times_follow_the_rfc_to_the_nanosecond() {
    for (version, interval, priority, skew, down) in [
        (3, "1s", 100, 609_375_000, 3_609_375_000),
        (2, "1s", 150, 414_062_500, 3_414_062_500),
        (3, "100ms", 100, 60_937_500, 360_937_500),
        (3, "10ms", 254, 78_125, 30_078_125),
        (2, "10s", 100, 609_375_000, 30_609_375_000_u64),
    ] {
        let text = format!(
            "instances: [{{name: a, interface: e, virtual_router_id: 1, virtual_addresses: [10.0.0.9], version: {version}, \
             advert_interval: {interval}, priority: {priority}}}]"
        );
        let instance = only(&text);
        assert_eq!(instance.skew_time(), Duration::from_nanos(skew), "{text}");
        assert_eq!(instance.master_down_interval(), Duration::from_nanos(down), "{text}");
    }
}

/// Whatever the two priorities are. Below 1 s a lifetime in whole seconds cannot be short enough: the guard serves.
#[test]
fn address_lifetime_ends_before_the_peer_takes_over() {
    for (interval, seconds) in [("10ms", 1), ("500ms", 1), ("1s", 2), ("2s", 5), ("40s", 119)] {
        for priority in [1, 254] {
            let text =
                RECIPE.replace("version: 2", "version: 3").replace("1s", interval).replace("auth:", "#");
            let config = parsed(&text.replace("priority: 100", &format!("priority: {priority}"))).config;
            let lifetime = config.address_lifetime(&config.instances[0]);
            assert_eq!(lifetime, Some(Duration::from_secs(seconds)), "{interval}");
        }
    }
}

fn many(instances: usize) -> String {
    let mut text = String::from("instances:\n");
    for n in 1..=instances {
        text.push_str(&format!(
            "  - {{ name: VI_{n}, interface: eth{}, virtual_router_id: {}, virtual_addresses: [10.0.{}.{}] }}\n",
            n / 255,
            n % 255 + 1,
            n / 200,
            n % 200 + 1
        ));
    }
    text
}

#[test]
fn above_64_instances_the_dense_settings_hold() {
    for (count, changes_only) in [(64, false), (65, true)] {
        let config = parsed(&many(count)).config;
        assert_eq!(config.delivers_changes_only(), changes_only);
        assert_eq!(config.address_lifetime(&config.instances[0]).is_none(), changes_only);
    }
}

#[test]
fn thousands_of_instances_are_read() {
    assert_eq!(parsed(&many(5000)).config.instances.len(), 5000);
}

#[test]
fn every_example_is_a_configuration_without_a_warning() {
    let examples = examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        match Config::load(&example) {
            Ok(loaded) => assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn halves_of_a_pair_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    for (a, b) in [("pair-master", "pair-backup"), ("mysql-pair-a", "mysql-pair-b"), ("lab-a", "lab-b")] {
        let [a, b] = [a, b].map(|name| {
            Config::load(&folder.join(name).with_extension("yaml")).unwrap().config.instances.remove(0)
        });
        assert!(a.priority > b.priority);
        assert_eq!((a.virtual_router_id, &a.protocol), (b.virtual_router_id, &b.protocol));
        assert_eq!(a.virtual_addresses, b.virtual_addresses);
    }
}

#[test]
fn explained_configuration_reads_back_as_itself() {
    let odd = r#"
rx: xdp
instances:
  - name: "null"
    interface: "e'\"\\h#0"
    virtual_router_id: 7
    priority: 255
    auth: { type: pass, password: secret }
    virtual_addresses: [{ address: 10.0.0.9/24, label: "1e3", dev: "on", scope: site }]
"#;
    let mut texts: Vec<String> =
        examples().iter().map(|example| fs::read_to_string(example).unwrap()).collect();
    texts.extend([odd.to_owned(), many(70)]);
    for text in texts {
        let config = parsed(&text).config;
        let explained = explain(&config);
        let mut expected = config;
        let mut passwords = false;
        for instance in &mut expected.instances {
            if let Protocol::V2 { password: password @ Some(_), .. } = &mut instance.protocol {
                passwords = true;
                *password = Some(Password::new("other").unwrap());
            }
        }
        if passwords {
            assert!(refused(&explained).contains("write the password itself"), "{explained}");
        }
        assert_eq!(parsed(&explained.replace("***", "other")).config, expected, "{explained}");
    }
}

#[test]
fn explained_configuration_says_what_follows() {
    let text = explain(&parsed(RECIPE).config);
    for line in [
        "router_id: mysql-ha\n",
        "delivery: auto # all\n",
        "    auth: { type: pass, password: \"***\" } # not shown\n",
        "      - { address: 192.168.1.200/24, dev: eth0 }\n",
        "    address_lifetime: auto # valid_lft 2s\n",
        "    # skew_time 609.375ms, master_down_interval 3609.375ms\n",
        "    # as BACKUP takes over 2609.375ms to 3609.375ms after its master died,\n",
        "    # and 609.375ms after its master stopped as planned\n",
    ] {
        assert!(text.contains(line), "{line}not in\n{text}");
    }
}

#[test]
fn passwords_are_never_shown() {
    let loaded = parsed(&RECIPE.replace("1111", "hunter2"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(!explain(&loaded.config).contains("hunter2"));
    for wrong in
        ["password: \"hunter2!!\"", "password: [hunter2]", "passwort: hunter2", "password: 1234567.5"]
    {
        let text = RECIPE.replace("password: \"1111\"", wrong);
        let message = refused(&text);
        assert!(!message.contains("hunter2") && !message.contains("1234567"), "{message}");
    }
}

#[test]
fn unusable_files_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let long = folder.path().join("long.yaml");
    File::create(&long).unwrap().set_len(MAX_FILE + 1).unwrap();
    for (path, hint) in [
        (folder.path().join("none.yaml"), "there is no such file; name one with --config FILE"),
        (folder.path().to_owned(), "is a directory; name the file in it"),
        (write("empty.yaml", b""), "is empty; it needs at least `instances:`"),
        (write("comment.yaml", b"# nothing\n\n"), "is empty; it needs at least `instances:`"),
        (write("latin1.yaml", b"a: b\nc: \xe4\n"), ":2: is not UTF-8 text from here on; save it as UTF-8"),
        (long, "is longer than 16 MiB"),
        (write("file.yaml", b"").join("below"), "cannot be read"),
    ] {
        let message = Config::load(&path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        assert!(message.contains(hint), "{message}");
    }
    assert!(Config::load(&write("good.yaml", RECIPE.as_bytes())).is_ok());
}

/// A line of a file, right or wrong, as an operator might leave it.
fn line() -> impl Strategy<Value = String> {
    const KEYS: &[&str] =
        &["instances", "name", "priority", "auth", "garp", "virtual_addresses", "peers", "skew", "<<", "x"];
    const VALUES: &[&str] =
        &["", "1", "-1", "1s", "none", "[]", "{}", "[1, {a: b}]", "&a [*a]", "!t x", "10.0.0.1/8", "'", "|"];
    (0..6_usize, any::<bool>(), prop::sample::select(KEYS), prop::sample::select(VALUES)).prop_map(
        |(indent, item, key, value)| {
            format!("{}{}{key}: {value}\n", " ".repeat(indent), if item { "- " } else { "" })
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = Path::new("x.yaml");
        let text = String::from_utf8_lossy(&bytes);
        if let Err(error) = Config::parse(&text, file) {
            prop_assert!(error.to_string().starts_with("x.yaml:"));
        }
    }

    #[test]
    fn no_lines_make_the_reader_panic(lines in prop::collection::vec(line(), 0..20)) {
        let text = lines.concat();
        if let Err(error) = Config::parse(&text, Path::new("x.yaml")) {
            prop_assert!(error.to_string().starts_with("x.yaml:"));
        }
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_reader_panic(at in 0..RECIPE.len(), with: char, drop in 0..40_usize) {
        let end = (at + drop).min(RECIPE.len());
        let text = format!("{}{with}{}", &RECIPE[..at], &RECIPE[end..]);
        if let Err(error) = Config::parse(&text, Path::new("x.yaml")) {
            prop_assert!(error.to_string().starts_with("x.yaml:"));
        }
    }
}
