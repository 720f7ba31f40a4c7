//! What a running daemon refuses to take from a file.

use std::path::Path;

use super::*;

fn config(instances: &str) -> Config {
    Config::parse(&format!("instances:\n{instances}"), Path::new("vrrp.yaml")).unwrap().config
}

fn managed(name: &str, id: u8, host: u8) -> String {
    format!(
        "  - {{ name: {name}, interface: eth0, virtual_router_id: {id}, priority: 100, virtual_addresses: \
         [192.168.1.{host}/24], role: manage, mysql: {{ socket: /run/{name}.sock, user: vrrp, peer: {{ address: 10.0.0.2, \
         port: 33{host}, user: vrrp_peer }} }} }}\n"
    )
}

/// The tasks that change roles know their routers from the start: another number is another router, and nobody's.
#[test]
fn a_managed_instance_keeps_its_virtual_router() {
    let running = config(&(managed("one", 51, 21) + &managed("two", 52, 22)));
    let same = config(&(managed("two", 52, 22) + &managed("one", 51, 21)));
    assert!(keep_roles(&running, &same).is_ok());
    let other = config(&(managed("one", 53, 21) + &managed("two", 52, 22)));
    let swapped = config(&(managed("one", 52, 21) + &managed("two", 51, 22)));
    for file in [other, swapped] {
        let refused = keep_roles(&running, &file).unwrap_err();
        assert!(matches!(&refused, ReloadError::Places { instance } if instance == "one"), "{refused}");
        assert!(refused.to_string().contains("virtual_router_id"), "{refused}");
    }
}
