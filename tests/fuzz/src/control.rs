//! The bodies of the control socket, in both directions, the table that a person is shown of any status at all, and the
//! lines of the watched stream.

use serde::{Serialize, de::DeserializeOwned};
use vrrp_user::control::{
    message::{Done, Failure, Selection},
    sight::{Sight, from_hex, to_hex},
    snapshot::Snapshot,
    table::{Style, render},
};

use crate::refused;

const STATUS: &str = r#"{"schema":1,"version":"0.1.0","time_unix_ms":1764000007250,"router_id":"db1","pid":1,
"uptime_ns":277000000000000,"config":"/etc/vrrp/vrrp.yaml","guard":"watching",
"interfaces":[{"name":"eth0","mode":"xdp-native","refused":["tcx: no"]}],"counters":{"accepted":7},
"ring":{"used_bytes":1,"size_bytes":0},"advert_thread":{"wakes":1,"late_wakes":2,"adverts_sent":3,"adverts_refused":4,
"adverts_received":5,"sent_lateness":{"count":1,"p50_ns":2,"p99_ns":3,"p999_ns":4,"max_ns":5},
"received_lateness":{"count":0,"p50_ns":0,"p99_ns":0,"p999_ns":0,"max_ns":0}},
"instances":[{"name":"VI_1","interface":"eth0","virtual_router_id":51,"version":2,"state":"MASTER",
"state_age_ns":8040000000000,"why":"no master heard","phase":"promoting",
"priority":{"effective":70,"base":100,"weights":[{"source":"disk","weight":-30}]},"preempt":false,
"held_out":[{"by":"operator","why":"drained"}],"master":"10.0.0.2","master_priority":100,
"last_advert_age_ns":412345678,"timers":{"advert_interval_ns":1000000000,"skew_time_ns":414062500,
"master_down_interval_ns":3414062500,"next_ns":null},
"addresses":[{"address":"10.0.0.200/24","device":"eth0","held":true,"present":false}],
"last_reject":{"sender":"10.0.0.9","reason":"checksum"}}]}"#;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let others = [
        r#"{"instances":["VI_1"]}"#,
        r#"{"all":true}"#,
        r#"{"done":["a"],"warnings":[]}"#,
        r#"{"error":"x"}"#,
        r#"{"instances":["VI_1"],"all":false,"force":true}"#,
        r#"{"type":"transition","time_unix_ns":1764000007250000000,"time_monotonic_ns":277000000000000,"instance":"VI_1",
"interface":"eth0","from":"BACKUP","to":"MASTER","why":"no master heard"}"#,
        r#"{"type":"advert","time_unix_ns":18446744073709551615,"time_monotonic_ns":0,"instance":"VI_1","interface":"eth0",
"way":"rejected","reason":"ip_ttl","message":{"source":"192.0.2.251","source_mac":"00:00:5e:00:01:0a",
"destination":"224.0.0.18","ttl":9,"version":3,"virtual_router_id":10,"priority":0,"interval_ms":1500,
"addresses":["192.0.2.200","fe80::1"]},"length":42,"frame":"01005E00001200005e00010a0800"}"#,
        r#"{"type":"advert","time_unix_ns":0,"time_monotonic_ns":0,"instance":"","interface":"","way":"sent","message":null,
"length":0,"frame":""}"#,
        r#"{"type":"lost","count":7}"#,
        "{}",
    ];
    let reversed = STATUS.replace("\"MASTER\"", "\"BACKUP\"").replace("8040000000000", "null");
    let largest = STATUS
        .replace("8040000000000", "18446744073709551615")
        .replace("277000000000000", "18446744073709551615");
    others
        .into_iter()
        .map(str::to_owned)
        .chain([STATUS.to_owned(), reversed, largest])
        .map(String::into_bytes)
        .collect()
}

pub(crate) fn check(input: &[u8]) -> bool {
    if let Some(status) = same_again::<Snapshot>(input) {
        for style in [Style::Plain, Style::Colour] {
            assert!(!render(&status, None, style).is_empty());
            for instance in &status.instances {
                let one = render(&status, Some(&instance.name), style);
                assert!(one.contains(&instance.name), "{:?} is not in its own table", instance.name);
            }
        }
        return true;
    }
    if let Some(sight) = same_again::<Sight>(input) {
        check_sight(&sight);
        return true;
    }
    same_again::<Selection>(input).is_some()
        || same_again::<Done>(input).is_some()
        || same_again::<Failure>(input).is_some()
}

/// As `vrrp watch` shows it, or writes it to a capture file.
fn check_sight(sight: &Sight) {
    let text = sight.to_string();
    assert!(sight.instance().is_none_or(|name| text.contains(name)), "{text} does not say whose it is");
    if let Sight::Advert(advert) = sight
        && let Some(frame) = from_hex(&advert.frame)
    {
        assert_eq!(to_hex(&frame), advert.frame.to_ascii_lowercase());
    }
}

/// What is read is written so that it reads the same.
fn same_again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(input: &[u8]) -> Option<T> {
    let value = match serde_json::from_slice::<T>(input) {
        Ok(value) => value,
        Err(error) => {
            refused(&error);
            return None;
        }
    };
    let text = serde_json::to_vec(&value).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&text).unwrap(), value);
    Some(value)
}
