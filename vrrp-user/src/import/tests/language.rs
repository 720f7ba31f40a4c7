//! The language: includes, conditions, definitions, sequences, braces.

use super::*;
use Grade::{Error, Warning};

fn names(imported: &Imported) -> Vec<String> {
    let config = parsed(imported.yaml.as_deref().unwrap()).config;
    config.instances.into_iter().map(|instance| instance.name).collect()
}

fn numbered(number: u8) -> String {
    format!(
        "vrrp_instance V{number} {{\ninterface eth0\nvirtual_router_id {number}\nvirtual_ipaddress {{ 10.0.0.{number} }}\n}}\n"
    )
}

#[test]
fn includes_follow_patterns_from_the_folder_of_the_file() {
    let files = Memory::default()
        .with(FILE, format!("include conf.d/*.conf\n{}", numbered(1)))
        .with("/etc/keepalived/conf.d/b.conf", numbered(3))
        .with("/etc/keepalived/conf.d/a.conf", format!("include ../more/{{x,y}}\n{}", numbered(2)))
        .with("/etc/keepalived/conf.d/../more/x", numbered(4))
        .with("/etc/keepalived/conf.d/readme", "vrrp_instance no {\n}\n");
    let imported = with(files, &Options::default());
    assert_eq!(names(&imported), ["V4", "V2", "V3", "V1"]);
    // {y} is named and not there.
    assert_eq!(findings(&imported), [(Error, 1, "include")]);
}

#[test]
fn a_circle_of_includes_ends() {
    let files = Memory::default()
        .with(FILE, format!("include b\n{}", numbered(1)))
        .with("/etc/keepalived/b", "include keepalived.conf\ninclude b\n");
    let imported = with(files, &Options::default());
    assert_eq!(findings(&imported), [(Error, 1, "include"), (Error, 2, "include")]);
    assert_eq!(names(&imported), ["V1"]);
}

#[test]
fn places_name_the_file_that_the_line_is_in() {
    let files = Memory::default()
        .with(FILE, format!("include b\n{}", numbered(1)))
        .with("/etc/keepalived/b", "\nvirtual_server fwmark 1 {\n}\n");
    let imported = with(files, &Options::default());
    let found = &imported.report.findings()[0];
    assert_eq!(imported.report.place(found.place), "/etc/keepalived/b:2");
    assert!(imported.report.to_string().starts_with("error    /etc/keepalived/b:2  virtual_server  "));
}

#[test]
fn an_include_that_fits_nothing_is_a_warning_and_with_a_check_an_error() {
    for (word, grade) in [("include", Warning), ("includea", Error), ("includer", Error)] {
        let imported = imported(&format!("{word} none/*.conf\n{}", numbered(1)));
        assert_eq!(findings(&imported), [(grade, 1, "include")]);
    }
}

#[test]
fn conditions_are_decided_by_the_configuration_id() {
    let text = instance("@high priority 170\n@low priority 85\n@^high advert_int 2");
    for (id, priority, seconds) in [("high", 170, 1), ("low", 85, 2), ("other", 100, 2)] {
        let options = Options { config_id: id.to_owned(), ..Options::default() };
        let imported = with(Memory::default().with(FILE, text.as_str()), &options);
        let config = parsed(imported.yaml.as_deref().unwrap()).config;
        let instance = &config.instances[0];
        assert_eq!(instance.priority.get(), priority, "{id}");
        assert_eq!(instance.advert_interval().duration().as_secs(), seconds, "{id}");
        assert_eq!(findings(&imported), [(Warning, 5, "@")]);
    }
}

#[test]
fn definitions_are_replaced_when_they_are_used() {
    let text = format!(
        "$BASE=10.0.${{SUB}}\n$SUB=0\n$PRIO=120\n$IF_X=@x\n{}",
        instance(
            "priority $PRIO\n$SUB=7\n$IF_X advert_int 9\nvirtual_ipaddress {\n${BASE}.8\n}\nauth_type PASS\nauth_pass a${_HASH}${_BANG}$UNKNOWN"
        )
    );
    let yaml = draft(&text);
    assert!(yaml.contains("priority: 120\n") && yaml.contains("10.0.7.8"), "{yaml}");
    assert!(yaml.contains("password: \"a#!$UNKN\""), "{yaml}");
    assert!(!yaml.contains("advert_interval"), "{yaml}");
}

#[test]
fn definitions_of_many_lines_nest_and_keep_their_places() {
    let text = "$RS= \\\n  priority ${P} \\\n\n  advert_int 300 # far\n$ONE= \\\nvrrp_instance V${N} { \\\n  interface eth0 \\ # c\n\
                  virtual_router_id ${N} \\\n  $P=1${N} \\\n  $RS \\\n  virtual_ipaddress { \\\n    10.0.0.${N} \\\n  } \\\n}\n\
                $N=1\n$ONE\n$N=2\n$ONE\n";
    let yaml = draft(text);
    assert!(yaml.contains("virtual_router_id: 1\n    priority: 11\n"), "{yaml}");
    assert!(yaml.contains("virtual_router_id: 2\n    priority: 12\n"), "{yaml}");
    let imported = imported(text);
    assert_eq!(findings(&imported), [(Error, 4, "advert_int")]);
    assert_eq!(imported.report.findings()[0].times, 2);
}

#[test]
fn sequences_write_instances_out() {
    let text = "$I= \\\nvrrp_instance V.${A}.${B} { \\\ninterface eth${A} \\\nvirtual_router_id ${B} \\\nvirtual_ipaddress { 10.0.${A}.${B} } \\\n}\n\
                ~SEQ(A,0,2) ~SEQ(B,1,2,5) $I\n~LST({A,B},{7,1},{8,2}) $I\n";
    let imported = imported(text);
    assert_eq!(
        names(&imported),
        ["V.0.1", "V.0.3", "V.0.5", "V.1.1", "V.1.3", "V.1.5", "V.2.1", "V.2.3", "V.2.5", "V.7.1", "V.8.2"]
    );
    assert!(findings(&imported).is_empty(), "{}", imported.report);
}

#[test]
fn braces_may_stand_anywhere() {
    for text in [
        "vrrp_instance V1{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress\n{\n10.0.0.1\n}\n}\n",
        "vrrp_instance V1\n\n{ interface eth0\nvirtual_router_id 1\nvirtual_ipaddress {10.0.0.1}}\n",
        "\tvrrp_instance\t\tV1   {\r\n\r\n interface   eth0\r\n  virtual_router_id 1\r\n virtual_ipaddress { 10.0.0.1 } }",
    ] {
        let imported = imported(text);
        assert_eq!(names(&imported), ["V1"], "{text}");
        assert!(findings(&imported).is_empty(), "{}", imported.report);
    }
}

#[test]
fn braces_missing_or_too_many_are_reported_with_their_block() {
    let open = format!(
        "{}vrrp_instance V2 {{\ninterface eth0\nvirtual_router_id 2\nvirtual_ipaddress {{\n10.0.0.2\n",
        numbered(1)
    );
    let imported_open = imported(&open);
    assert_eq!(
        findings(&imported_open),
        [(Warning, 6, "vrrp_instance V2"), (Warning, 9, "virtual_ipaddress")]
    );
    assert_eq!(names(&imported_open), ["V1", "V2"]);

    let middle = format!(
        "vrrp_instance V2 {{\ninterface eth0\nvirtual_router_id 2\nvirtual_ipaddress {{ 10.0.0.2 }}\n{}",
        numbered(1)
    );
    let imported_middle = imported(&middle);
    assert_eq!(findings(&imported_middle), [(Error, 1, "vrrp_instance V2")]);
    assert_eq!(names(&imported_middle), ["V2", "V1"]);

    let many = imported(&format!("}}\n{}{{\nx\n}}\n", numbered(1)));
    assert_eq!(findings(&many), [(Warning, 1, "}"), (Warning, 7, "{"), (Warning, 7, "\"\"")]);
}

#[test]
fn text_that_is_no_utf8_is_read_with_a_warning() {
    let mut text = b"# \xb1\xea\xbc\xc7\n".to_vec();
    text.extend(numbered(1).as_bytes());
    let imported = with(Memory::default().with(FILE, text), &Options::default());
    assert_eq!(findings(&imported), [(Warning, 1, "(file)")]);
    assert_eq!(names(&imported), ["V1"]);
}
