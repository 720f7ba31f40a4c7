//! What the daemon writes for a process of its own: the guard's plan, a line of JSON on its standard input, and the state
//! file that tells the next daemon what is drained. What is read is written so that it reads the same.

use vrrp_user::{daemon::drained::Content, net::guard::Plan};

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let plans = [
        r#"{"daemon_pid":1,"board_fd":3,"realtime_priority":null,"wards":[],"testament_fd":4}"#,
        r#"{"daemon_pid":4294967295,"board_fd":-1,"realtime_priority":50,"wards":[{"name":"VI_1","vips":[{"ifindex":2,"address":"192.0.2.9","prefix":24,"label":null,"scope":0}],"ifindex":2,"release":[1,2,3],"freeze_limit_ns":1,"is_managed":true}],"testament_fd":4}"#,
        "{}",
        "",
    ];
    plans.map(|plan| plan.as_bytes().to_vec()).to_vec()
}

pub(crate) fn check(input: &[u8]) -> bool {
    match serde_json::from_slice::<Plan>(input) {
        Err(error) => super::refused(&error),
        Ok(plan) => {
            let line = serde_json::to_vec(&plan).unwrap();
            assert!(!line.contains(&b'\n'), "a plan is one line");
            assert_eq!(serde_json::from_slice::<Plan>(&line).unwrap(), plan);
            true
        }
    }
}

pub(crate) fn drained_seeds() -> Vec<Vec<u8>> {
    let files = [
        r#"{"drained":["VI_1","VI_2"]}"#,
        r#"{"drained":[]}"#,
        r#"{"drained":["VI_1","VI_1","\u00e4 \""]}"#,
        "{",
        "",
    ];
    files.map(|file| file.as_bytes().to_vec()).to_vec()
}

pub(crate) fn check_drained(input: &[u8]) -> bool {
    match serde_json::from_slice::<Content>(input) {
        Err(error) => super::refused(&error),
        Ok(content) => {
            let file = serde_json::to_vec(&content).unwrap();
            assert_eq!(serde_json::from_slice::<Content>(&file).unwrap(), content);
            true
        }
    }
}
