//! `vrrp_sync_group`: what is lost without it.
//!
//! Owns nothing more until instances can move together.

use super::report::Report;
use super::tree::Statement;

/// One block.
pub(super) fn read(block: &Statement, report: &mut Report) {
    let mut members = 0;
    for statement in block.inside() {
        match statement.keyword() {
            "group" => members += statement.inside().iter().map(|line| line.words.len()).sum::<usize>(),
            keyword if keyword.starts_with("track_") => {
                let why = "is not there for a group; track it in each instance";
                report.error(statement.place, keyword, why);
            }
            keyword if keyword.starts_with("notify") => {
                let why = "is not there for a group; `notify` of each instance tells the same, one by one";
                report.error(statement.place, keyword, why);
            }
            keyword => report.ignore(statement.place, keyword, "belongs to the group"),
        }
    }
    if members > 1 {
        let why = "instances move one by one, not together: this is not there yet";
        report.error(block.place, "vrrp_sync_group", why);
    } else {
        report.ignore(block.place, "vrrp_sync_group", "a group of one moves as that one does");
    }
}
