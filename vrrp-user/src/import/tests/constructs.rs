//! Each keyword: what is written for it, and what is said.

use super::*;
use Grade::{Error, Ignored, Warning};

/// Lines from line 5 of an instance on, what stands in the draft, and grade, line and keyword of what is said.
type Case = (&'static str, &'static str, &'static [(Grade, u32, &'static str)]);

const INSTANCE: &[Case] = &[
    ("state BACKUP", "", &[]),
    ("state MASTER", "", &[(Ignored, 5, "state")]),
    ("state SLAVE", "", &[(Warning, 5, "state")]),
    ("nopreempt", "preempt: false\n", &[]),
    ("preempt", "preempt: true\n", &[]),
    ("state MASTER\nnopreempt # stay", "preempt: false # stay\n", &[(Warning, 5, "state")]),
    ("preempt_delay 300", "", &[(Error, 5, "preempt_delay")]),
    ("preempt_delay 0", "", &[]),
    ("preempt_delay 300\nnopreempt", "preempt: false\n", &[(Ignored, 5, "preempt_delay")]),
    ("preempt_delay 5\nstate MASTER", "", &[(Warning, 5, "preempt_delay"), (Ignored, 6, "state")]),
    ("priority 150 #high", "priority: 150 # high\n", &[]),
    ("priority 150\npriority 90", "priority: 90\n", &[(Warning, 5, "priority")]),
    ("priority 300", "priority: 300\n", &[(Error, 5, "priority")]),
    ("priority", "", &[(Warning, 5, "priority")]),
    ("priority ten", "priority: \"ten\"\n", &[(Error, 5, "priority")]),
    ("version 3\nadvert_int 0.25", "version: 3\n    advert_interval: 250ms\n", &[]),
    ("version 3\nadvert_int 0.123", "advert_interval: 120ms\n", &[(Warning, 6, "advert_int")]),
    ("advert_int 1.6", "advert_interval: 2s\n", &[(Warning, 5, "advert_int")]),
    ("advert_int 0.4", "advert_interval: 1s\n", &[(Warning, 5, "advert_int")]),
    ("advert_int 300", "advert_interval: 300s\n", &[(Error, 5, "advert_int")]),
    ("advert_int soon", "advert_interval: soon\n", &[(Error, 5, "advert_int")]),
    (
        "authentication {\nauth_type PASS\nauth_pass secret # ours\n}",
        "auth: { type: pass, password: \"secret\" } # ours\n",
        &[],
    ),
    ("authentication { auth_type PASS\nauth_pass 1111 }", "auth: { type: pass, password: \"1111\" }\n", &[]),
    ("auth_type PASS\nauth_pass 1111", "auth: { type: pass, password: \"1111\" }\n", &[]),
    ("auth_type PASS\nauth_pass 123456789", "password: \"12345678\"", &[(Warning, 6, "auth_pass")]),
    ("auth_type PASS\nauth_pass 1234567é", "password: \"1234567\"", &[(Error, 6, "auth_pass")]),
    ("auth_type PASS\nauth_pass a!b", "password: \"a\"", &[(Warning, 6, "auth_pass")]),
    ("auth_type AH\nauth_pass 1111", "", &[(Error, 5, "auth_type")]),
    ("auth_type WORD\nauth_pass 1111", "", &[(Warning, 5, "auth_type")]),
    ("auth_type PASS", "", &[(Warning, 5, "auth_type")]),
    ("auth_pass 1111", "", &[(Warning, 5, "auth_pass")]),
    ("version 3\nauth_type PASS\nauth_pass 1111", "version: 3\n", &[(Warning, 6, "authentication")]),
    (
        "strict_mode\nauth_type PASS\nauth_pass 1111",
        "",
        &[(Warning, 5, "strict_mode"), (Warning, 6, "authentication")],
    ),
    ("strict_mode off", "", &[]),
    ("strict_mode maybe", "", &[(Warning, 5, "strict_mode")]),
    ("auth_hmac key", "", &[(Error, 5, "auth_hmac")]),
    (
        "garp_master_delay 10\ngarp_master_repeat 2\ngarp_master_refresh 60",
        "garp: { burst: 2, repeat_after: 10s, refresh: 60s }\n",
        &[],
    ),
    (
        "garp_lower_prio_repeat 1\ngarp_master_refresh_repeat 2",
        "",
        &[(Ignored, 5, "garp_lower_prio_repeat"), (Ignored, 6, "garp_master_refresh_repeat")],
    ),
    ("down_timer_adverts 3", "", &[]),
    ("down_timer_adverts 5", "", &[(Error, 5, "down_timer_adverts")]),
    ("use_vmac vrrp51", "", &[(Error, 5, "use_vmac")]),
    ("use_vmac_addr", "", &[(Error, 5, "use_vmac_addr")]),
    ("use_ipvlan", "", &[(Error, 5, "use_ipvlan")]),
    ("dont_track_primary", "", &[(Error, 5, "dont_track_primary")]),
    ("mcast_src_ip 10.0.0.1", "", &[(Warning, 5, "mcast_src_ip")]),
    ("mcast_dst_ip 224.0.0.18", "", &[]),
    ("mcast_dst_ip 224.0.0.19", "", &[(Error, 5, "mcast_dst_ip")]),
    (
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n10.0.0.3 # third\n}",
        "peers:\n      - 10.0.0.2\n      - 10.0.0.3 # third\n",
        &[(Warning, 5, "unicast_src_ip"), (Error, 6, "unicast_peer")],
    ),
    ("track_interface {\neth0\n}", "", &[(Ignored, 6, "track_interface")]),
    ("track_interface {\neth1 weight 5 reverse\n}", "", &[(Error, 6, "track_interface")]),
    ("no_accept", "", &[(Error, 5, "no_accept")]),
    ("accept", "", &[(Ignored, 5, "accept")]),
    ("virtual_routes {\n10.1.0.0/16 via 10.0.0.1\n}", "", &[(Error, 5, "virtual_routes")]),
    ("virtual_rules {\n}", "", &[(Error, 5, "virtual_rules")]),
    ("track_file {\nf\n}", "", &[(Error, 5, "track_file")]),
    ("track_process {\nmysqld\n}", "", &[(Error, 5, "track_process")]),
    ("track_bfd {\nb\n}", "", &[(Error, 5, "track_bfd")]),
    ("lower_prio_no_advert", "", &[(Warning, 5, "lower_prio_no_advert")]),
    ("debug 3", "", &[(Ignored, 5, "debug")]),
    ("vrf blue", "", &[(Error, 5, "vrf")]),
    ("no_such_word 3", "", &[(Warning, 5, "no_such_word")]),
    (
        "virtual_ipaddress {\n10.0.0.8/24 brd + dev eth0 label eth0:1 scope link\n}",
        "      - address: 10.0.0.8/24\n        label: \"eth0:1\"\n        scope: link\n",
        &[(Ignored, 6, "virtual_ipaddress: brd")],
    ),
    ("virtual_ipaddress {\n10.0.0.8 dev eth1\n}", "      - address: 10.0.0.8\n        dev: eth1\n", &[]),
    ("virtual_ipaddress {\n10.0.0.8/255.255.255.0\n}", "10.0.0.8/32", &[(Warning, 6, "virtual_ipaddress")]),
    ("virtual_ipaddress {\n10.0.0.0/24\n}", "10.0.0.0/24", &[(Error, 6, "virtual_ipaddress")]),
    ("virtual_ipaddress {\nnonsense\n}", "", &[(Error, 6, "virtual_ipaddress")]),
    ("virtual_ipaddress {\n10.0.0.9\n}", "", &[(Error, 6, "virtual_ipaddress")]),
    (
        "virtual_ipaddress {\n10.0.0.8 peer 10.0.0.7 no_track home what\n}",
        "10.0.0.8",
        &[
            (Error, 6, "virtual_ipaddress: peer"),
            (Warning, 6, "virtual_ipaddress: no_track"),
            (Warning, 6, "virtual_ipaddress: what"),
            (Ignored, 6, "virtual_ipaddress: home"),
        ],
    ),
    ("virtual_ipaddress {\n10.0.0.8 scope nowhere\n}", "10.0.0.8", &[(Error, 6, "virtual_ipaddress: scope")]),
    ("virtual_ipaddress {\n10.0.0.8 scope 254\n}", "scope: host", &[]),
    (
        "virtual_ipaddress_excluded {\n10.0.0.8\n}",
        "[10.0.0.9, 10.0.0.8]",
        &[(Error, 5, "virtual_ipaddress_excluded")],
    ),
    ("virtual_ipaddress_excluded {\nfe80::1\n}", "", &[(Error, 6, "virtual_ipaddress_excluded")]),
];

#[test]
fn every_keyword_of_an_instance() {
    for (lines, expected, said) in INSTANCE {
        let text = instance(lines);
        let yaml = draft(&text);
        assert!(yaml.contains(expected), "{lines}\nis not\n{expected}\nbut\n{yaml}");
        let imported = imported(&text);
        let mut found = findings(&imported);
        found.sort_by_key(|(grade, line, what)| (*line, *grade, what.to_string()));
        let mut said = said.to_vec();
        said.sort_by_key(|(grade, line, what)| (*line, *grade, what.to_string()));
        assert_eq!(found, said, "{lines}\n{}", imported.report);
        assert!(imported.yaml.is_some(), "{lines}\n{}", imported.report);
    }
}

const GLOBAL: &[Case] = &[
    ("router_id db-1 # ours", "router_id: db-1 # ours\n", &[]),
    ("router_id \"db one\"", "router_id: db_one\n", &[(Warning, 2, "router_id")]),
    ("vrrp_version 3", "    version: 3\n", &[]),
    ("vrrp_rt_priority 60", "realtime_priority: 60\n", &[]),
    ("vrrp_rt_priority 100", "realtime_priority: 100\n", &[(Error, 2, "vrrp_rt_priority")]),
    ("vrrp_startup_delay 5.5", "    startup_delay: 5500ms\n", &[]),
    ("vrrp_garp_master_refresh 30", "garp: { refresh: 30s }", &[]),
    ("vrrp_min_garp", "garp: { burst: 1, repeat_after: 0s }", &[]),
    ("vrrp_min_garp off", "", &[]),
    ("vrrp_min_garp\nvrrp_garp_master_delay 3", "garp: { burst: 1, repeat_after: 3s }", &[]),
    ("vrrp_strict", "", &[(Warning, 2, "vrrp_strict")]),
    ("vrrp_mcast_group4 224.0.0.18", "", &[]),
    ("vrrp_mcast_group4 224.0.0.20", "", &[(Error, 2, "vrrp_mcast_group4")]),
    ("vrrp_skip_check_adv_addr", "", &[(Ignored, 2, "vrrp_skip_check_adv_addr")]),
    ("enable_snmp_vrrp", "", &[(Warning, 2, "enable_snmp_vrrp")]),
    ("net_namespace n", "", &[(Error, 2, "net_namespace")]),
    ("lvs_sync_daemon eth0", "", &[(Ignored, 2, "lvs_sync_daemon")]),
    ("notify_fifo_script /x", "", &[(Error, 2, "notify_fifo_script")]),
    (
        "vrrp_process_name x\nprocess_names\nchecker_process_name y",
        "",
        &[
            (Ignored, 2, "vrrp_process_name"),
            (Ignored, 3, "process_names"),
            (Ignored, 4, "checker_process_name"),
        ],
    ),
    ("vrrp_down_timer_adverts 4", "", &[(Error, 2, "down_timer_adverts")]),
    ("what_is_this", "", &[(Warning, 2, "what_is_this")]),
];

#[test]
fn every_keyword_of_the_global_block() {
    for (lines, expected, said) in GLOBAL {
        let text = format!("global_defs {{\n{lines}\n}}\n{}", instance(""));
        let yaml = draft(&text);
        assert!(yaml.contains(expected), "{lines}\nis not\n{expected}\nbut\n{yaml}");
        let imported = imported(&text);
        assert_eq!(findings(&imported), *said, "{lines}\n{}", imported.report);
    }
}

#[test]
fn blocks_of_which_nothing_is_carried_over_are_all_listed() {
    for (block, grade) in [
        ("static_ipaddress {\n10.0.0.7\n}", Error),
        ("static_routes {\n}", Error),
        ("interface_up_down_delays {\neth0 1\n}", Error),
        ("linkbeat_interfaces {\neth0\n}", Warning),
        ("garp_group {\n}", Warning),
        ("bfd_instance x {\n}", Ignored),
        ("vrrp_script unused {\nscript /x\n}", Ignored),
        ("virtual_server_group g {\n}", Ignored),
        ("nobody_knows {\n}", Warning),
        ("vrrp_sync_group g {\ngroup {\nVI_1\n}\n}", Ignored),
        ("vrrp_sync_group g {\ngroup {\nVI_1\nVI_2\n}\n}", Error),
    ] {
        let imported = imported(&format!("{block}\n{}", instance("")));
        let keyword = block.split_whitespace().next().unwrap();
        assert!(findings(&imported).contains(&(grade, 1, keyword)), "{block}\n{}", imported.report);
    }
}

#[test]
fn instances_that_cannot_be_leave_the_others_alone() {
    let good = instance("");
    for (bad, line, what) in [
        ("vrrp_instance {\n}", 7, "vrrp_instance"),
        ("vrrp_instance B {\nvirtual_router_id 5\n}", 7, "vrrp_instance"),
        ("vrrp_instance B {\ninterface eth1\nvirtual_ipaddress { 10.0.0.5 }\n}", 7, "vrrp_instance"),
        (
            "vrrp_instance B {\ninterface eth0\nvirtual_router_id 051\nvirtual_ipaddress { 10.0.0.5 }\n}",
            9,
            "virtual_router_id",
        ),
        (
            "vrrp_instance VI_1 {\ninterface eth1\nvirtual_router_id 5\nvirtual_ipaddress { 10.0.0.5 }\n}",
            7,
            "vrrp_instance",
        ),
        (
            "vrrp_instance B {\ninterface eth1\nvirtual_router_id 5\nvirtual_ipaddress { 2001:db8::1 }\n}",
            7,
            "vrrp_instance",
        ),
        (
            "vrrp_instance B {\ninterface eth0/1\nvirtual_router_id 5\nvirtual_ipaddress { 10.0.0.5 }\n}",
            8,
            "interface",
        ),
    ] {
        let imported = imported(&format!("{good}{bad}\n"));
        let config = parsed(imported.yaml.as_deref().unwrap()).config;
        assert_eq!(config.instances.len(), 1, "{bad}");
        assert!(findings(&imported).contains(&(Error, line, what)), "{bad}\n{}", imported.report);
    }
}

#[test]
fn a_file_of_which_nothing_is_left_writes_nothing() {
    for text in ["", "# nothing\n", "global_defs {\nrouter_id a\n}\n", "vrrp_instance A {\ninterface lo\n}\n"]
    {
        let imported = imported(text);
        assert_eq!(imported.yaml, None);
        assert!(findings(&imported).contains(&(Error, 0, "(file)")), "{text}");
    }
}

#[test]
fn no_report_shows_a_password() {
    let text = instance("auth_type PASS\nauth_pass hunter2\nauth_pass hunter2hunter2");
    assert!(!imported(&text).report.to_string().contains("hunter2"));
}
