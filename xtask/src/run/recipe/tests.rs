//! The lab runs what is shipped: nothing of another place is left in it, and nothing but the place has changed.

use super::*;

const SHIPPED: [&str; 2] = [
    include_str!("../../../../config/mysql-pair-a.yaml"),
    include_str!("../../../../config/mysql-pair-b.yaml"),
];

fn local(text: &str, is_managed: bool) -> String {
    localized(text, Path::new("/lab/s.sock"), Path::new("/lab/secrets"), is_managed)
}

#[test]
fn no_address_and_no_path_of_another_place_is_left() {
    for text in SHIPPED {
        let local = local(text, true);
        let settings = local.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in settings {
            assert!(!["192.168", "/etc/", "/run/"].iter().any(|place| line.contains(place)), "{line}");
        }
        assert_eq!(local.lines().count(), text.lines().count());
        assert!(local.contains("role: manage") && local.contains("socket: /lab/s.sock"), "{local}");
        assert!(PASSWORDS.iter().all(|(name, _)| local.contains(&format!("/lab/secrets/{name}"))), "{local}");
        assert!(local.contains(&format!("- name: {INSTANCE}")), "{local}");
    }
}

#[test]
fn beside_a_keepalived_no_role_is_managed() {
    for text in SHIPPED {
        let local = local(text, false);
        assert!(!local.contains("role:") && !local.contains("service_ports"), "{local}");
        assert!(local.contains("write: { table: vrrp.heartbeat }"), "{local}");
    }
}
