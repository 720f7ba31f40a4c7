//! The two files that users of keepalived for MySQL run, as published.

use std::time::Duration;

use super::*;
use crate::config::Protocol;

const MASTER: &str = include_str!("../samples/recipe-master.conf");
const BACKUP: &str = include_str!("../samples/recipe-backup.conf");
const SCRIPT: &str = include_str!("../samples/check_mysql.sh");

fn recipe(text: &str) -> Memory {
    Memory::default().with(FILE, text).with("/etc/keepalived/check_mysql.sh", SCRIPT)
}

#[test]
fn both_files_give_the_pair_that_they_promise() {
    for (text, priority) in [(MASTER, 100), (BACKUP, 90)] {
        let imported = with(recipe(text), &Options::default());
        let config = parsed(imported.yaml.as_deref().unwrap()).config;
        assert_eq!(config.router_id.as_deref(), Some("MySQL-ha"));
        let [instance] = config.instances.as_slice() else { panic!("{config:?}") };
        assert_eq!((instance.name.as_str(), instance.interface.as_str()), ("VI_1", "eth0"));
        assert_eq!((instance.virtual_router_id.get(), instance.priority.get()), (51, priority));
        assert_eq!(instance.advert_interval().duration(), Duration::from_secs(1));
        assert!(!instance.preempt, "the recipe says that nobody preempts");
        let Protocol::V2 { password: Some(password), .. } = &instance.protocol else {
            panic!("{instance:?}")
        };
        assert_eq!(password.zero_filled(), *b"1111\0\0\0\0");
        let [vip] = instance.virtual_addresses.as_slice() else { panic!("{instance:?}") };
        assert_eq!((vip.address.to_string().as_str(), vip.prefix), ("192.168.1.200", 32));
    }
}

#[test]
fn the_whole_of_a_file_as_it_is_written() {
    assert_eq!(
        draft_of(&recipe(MASTER), &["192.168.1.201"]),
        "router_id: MySQL-ha\n\
         mail:\n  to: [\"xxx@mail.com\"]\n  from: \"xxx@mail.com\"\n  server: 127.0.0.1\n  connect_timeout: 30s\n  \
         on: [health]\n\
         instances:\n  \
               - name: VI_1\n    \
                 interface: eth0\n    \
                 virtual_router_id: 51\n    \
                 priority: 100 # MASTER权重要高于BACKUP\n    \
                 advert_interval: 1s\n    \
                 preempt: false # 不抢占,只在优先级高的机器上设置即可\n    \
                 auth: { type: pass, password: \"1111\" }\n    \
                 virtual_addresses:\n      \
                   - 192.168.1.200 # VIP虚拟 IP#虚拟IP地址,mysql客户端访问的地址\n    \
                 checks:\n      \
                   - name: tcp-3306\n        \
                     tcp:\n          \
                       address: 192.168.1.201 # 本机IP地址\n          \
                       port: 3306 # mysql端口号\n          \
                       connect_timeout: 10s # 连接超时\n          \
                       retries: 3 # 重试次数\n          \
                       retry_delay: 3s # 重试间隔时间\n        \
                     interval: 2s\n        \
                     on_failure: release # 检测到服务down后执行的脚本\n"
    );
}

#[test]
fn the_traps_of_the_recipe_are_said_with_their_lines() {
    let options = Options { local: vec!["192.168.1.201".parse().unwrap()], ..Options::default() };
    let imported = with(recipe(MASTER), &options);
    let said = findings(&imported);
    for expected in [
        (Grade::Warning, 12, "state"),
        (Grade::Warning, 26, "virtual_server 192.168.1.200 3306"),
        (Grade::Warning, 34, "notify_down"),
    ] {
        assert!(said.contains(&expected), "{expected:?} in\n{}", imported.report);
    }
    assert!(!said.iter().any(|(_, line, _)| *line == 32), "the server is local:\n{}", imported.report);
    let errors = said.iter().filter(|(grade, _, _)| *grade == Grade::Error).count();
    assert_eq!(errors, 0, "{}", imported.report);
}

#[test]
fn the_recipe_s_mail_is_carried_over() {
    let imported = with(
        recipe(MASTER),
        &Options { local: vec!["192.168.1.201".parse().unwrap()], ..Options::default() },
    );
    let mail = parsed(imported.yaml.as_deref().unwrap()).config.mail.unwrap();
    assert_eq!(
        (mail.to.as_slice(), mail.from.as_deref()),
        (["xxx@mail.com".to_owned()].as_slice(), Some("xxx@mail.com"))
    );
    assert_eq!(
        (mail.server.as_str(), mail.port, mail.connect_timeout),
        ("127.0.0.1", 25, Duration::from_secs(30))
    );
    assert_eq!(
        mail.on,
        [Topic::Health],
        "keepalived mails what checkers find, and transitions only with smtp_alert"
    );
}

#[test]
fn what_the_parser_does_not_take_is_named_in_the_head_of_the_file() {
    let imported = imported(&instance("use_vmac\nvirtual_routes {\n}\n"));
    let yaml = imported.yaml.unwrap();
    let head: Vec<&str> = yaml.lines().take_while(|line| line.starts_with('#')).collect();
    assert_eq!(head[0], "# From /etc/keepalived/keepalived.conf by `vrrp import`.");
    assert!(head[2].starts_with("#   /etc/keepalived/keepalived.conf:5 use_vmac: "), "{yaml}");
    assert!(head[3].starts_with("#   /etc/keepalived/keepalived.conf:6 virtual_routes: "), "{yaml}");
}
