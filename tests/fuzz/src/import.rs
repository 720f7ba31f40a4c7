//! keepalived.conf: any text comes to a report in words, and to YAML that our own parser takes, or to none.

use std::path::Path;

use vrrp_user::{
    config::Config,
    import::{self, Grade, Memory, Options},
};

const FILE: &str = "/etc/keepalived/keepalived.conf";
/// What a file may include; itself, too.
const INCLUDED: &str = "vrrp_instance INC {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n192.0.2.9\n}\n}\n\
                        include *.conf\n";

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let recipe = [
        include_str!("../../../vrrp-user/src/import/samples/recipe-master.conf"),
        include_str!("../../../vrrp-user/src/import/samples/recipe-backup.conf"),
    ];
    let others = [
        // Definitions, sequences, includes, lines for one host only.
        "$P=100\n$I= \\\nvrrp_instance v${ID} { \\\ninterface eth0 \\\nvirtual_router_id ${ID} \\\npriority $P \\\n\
         virtual_ipaddress { \\\n192.0.2.${ID} \\\n} \\\n}\n~SEQ(ID,1,9,2) $I\n@host include conf.d/*.conf\n@^host }\n",
        // All that a check can come from.
        "vrrp_script chk {\nscript \"/bin/check -x 'a b'\"\ninterval 2\nweight -20\nfall 3\nuser nobody\n}\n\
         vrrp_instance A {\nstate MASTER\ninterface eth0\nvirtual_router_id 7\nversion 3\nadvert_int 0.1\nnopreempt\n\
         unicast_peer {\n192.0.2.2\n}\ntrack_script {\nchk weight 5\n}\nvirtual_ipaddress {\n192.0.2.5/24 dev eth1 label \
         eth1:1\n}\nnotify_master \"/bin/m a\" root\n}\nvirtual_server 192.0.2.5 80 {\ndelay_loop 1.5\nreal_server \
         127.0.0.1 80 {\nMISC_CHECK {\nmisc_path \"/bin/c\"\nmisc_timeout 3\n}\n}\nsorry_server 192.0.2.6 80\n}\n",
        "include /etc/keepalived/*.conf\n",
        "vrrp_sync_group G {\ngroup {\nA\nB\n}\n}\nvrrp_instance \"a b\" { interface 'e' } ! x\n}}}{{",
    ];
    recipe.into_iter().chain(others).map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn check(input: &[u8]) -> bool {
    let files = Memory::default().with(FILE, input).with("/etc/keepalived/conf.d/a.conf", INCLUDED);
    let options = Options { config_id: "host".to_owned(), local: vec!["192.168.1.201".parse().unwrap()] };
    let imported = import::import(Path::new(FILE), &files, &options).unwrap();
    for finding in imported.report.findings() {
        assert!(!finding.what.is_empty() && !finding.why.is_empty(), "{finding:?} has no words");
        assert!(!finding.why.contains('\n'), "{finding:?} is more than a line");
    }
    let Some(yaml) = &imported.yaml else {
        assert!(imported.report.count(Grade::Error) > 0, "nothing is written and nobody says why");
        return false;
    };
    let parsed = Config::parse(yaml, Path::new("imported.yaml"));
    assert!(parsed.is_ok(), "{}\n{yaml}", parsed.unwrap_err());
    true
}
