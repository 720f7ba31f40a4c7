//! Notifications: mail, FIFO and the scripts of transitions.
//!
//! Owns the keywords that begin with notify or smtp, and what becomes of them.

use super::command::command;
use super::report::Report;
use super::settings::{Setting, origin, seconds, set, switch};
use super::tree::Statement;
use super::yaml::{Entry, Item, Origin, Value};

/// keepalived's mail settings.
#[derive(Debug, Default)]
pub(super) struct Mail {
    to: Vec<(String, Origin)>,
    from: Option<Setting>,
    server: Option<Setting>,
    port: Option<(String, Origin)>,
    connect_timeout: Option<Setting>,
    helo: Option<Setting>,
    /// `smtp_alert` and `smtp_alert_vrrp`, for instances that say nothing.
    alert: bool,
    /// `smtp_alert_checker`: on unless switched off.
    checker_off: bool,
    no_faults: bool,
}

impl Mail {
    /// Whether the keyword was one of these.
    pub(super) fn keyword(&mut self, statement: &Statement, report: &mut Report) -> bool {
        match statement.keyword() {
            "notification_email" => {
                for line in statement.inside() {
                    let from = Origin { what: "notification_email".to_owned(), ..origin(line) };
                    for (index, word) in line.words.iter().enumerate() {
                        let comment = from.comment.clone().filter(|_| index == 0);
                        self.to.push((word.clone(), Origin { comment, ..from.clone() }));
                    }
                }
            }
            "notification_email_from" => set(&mut self.from, statement, report),
            "smtp_server" => {
                set(&mut self.server, statement, report);
                let bare = Origin { comment: None, ..origin(statement) };
                self.port = statement.words.get(2).map(|port| (port.clone(), bare));
            }
            "smtp_connect_timeout" => set(&mut self.connect_timeout, statement, report),
            "smtp_helo_name" => set(&mut self.helo, statement, report),
            "smtp_alert" => {
                let is_on = switch(statement, report).unwrap_or(false);
                (self.alert, self.checker_off) = (is_on, !is_on);
            }
            "smtp_alert_vrrp" => self.alert = switch(statement, report).unwrap_or(false),
            "smtp_alert_checker" => self.checker_off = !switch(statement, report).unwrap_or(true),
            "no_checker_emails" => self.checker_off = true,
            "no_email_faults" => self.no_faults = true,
            _ => return false,
        }
        true
    }

    /// What an instance mails: transitions if it asks for them, and what its checks find.
    fn events(&self, alert: Option<bool>) -> Vec<&'static str> {
        let mut events = Vec::new();
        if alert.unwrap_or(self.alert) {
            let all = ["master", "backup", "fault", "stop"];
            events.extend(all.into_iter().filter(|event| !(self.no_faults && *event == "fault")));
        }
        if !self.checker_off {
            events.push("health");
        }
        events
    }

    /// `mail:`, if there is anybody to write to.
    pub(super) fn entry(&self, report: &mut Report) -> Option<Entry> {
        let (_, first) = self.to.first()?;
        let block = Origin { comment: None, ..first.clone() };
        let to = self
            .to
            .iter()
            .map(|(address, origin)| Item { value: Value::text(address), origin: origin.clone() });
        let mut entries = vec![Entry::new("to", Value::List(to.collect()), &block)];
        match &self.from {
            Some(Setting { text, origin }) => entries.push(Entry::new("from", Value::text(text), origin)),
            None => {
                report.ignore(block.place, "notification_email", "no sender is named: vrrp@ the host's name")
            }
        }
        match &self.server {
            Some(Setting { text, origin }) => entries.push(Entry::new("server", Value::text(text), origin)),
            None => {
                report.warn(block.place, "notification_email", "no smtp_server is named: 127.0.0.1 is used")
            }
        }
        if let Some((port, origin)) = &self.port {
            entries.push(Entry::new("port", Value::number(port), origin));
        }
        if let Some(Setting { text, origin }) = &self.connect_timeout {
            entries.push(Entry::new("connect_timeout", Value::text(&seconds(text)), origin));
        }
        if let Some(Setting { text, origin }) = &self.helo {
            entries.push(Entry::new("helo", Value::text(text), origin));
        }
        entries.push(Entry::new("on", list(&self.events(None), &block), &block));
        Some(Entry::new("mail", Value::Map(entries), &block))
    }
}

fn list(words: &[&str], origin: &Origin) -> Value {
    let item = |word: &&str| Item { value: Value::word(word), origin: origin.clone() };
    Value::List(words.iter().map(item).collect())
}

/// An instance's own.
#[derive(Debug, Default)]
pub(super) struct Notify {
    scripts: Vec<(&'static str, Setting, Option<String>)>,
    alert: Option<(bool, Origin)>,
}

impl Notify {
    /// Whether the keyword was one of these.
    pub(super) fn keyword(&mut self, statement: &Statement, report: &mut Report) -> bool {
        let event = match statement.keyword() {
            "notify_master" => "master",
            "notify_backup" => "backup",
            "notify_fault" => "fault",
            "notify_stop" => "stop",
            "notify" => "any",
            "smtp_alert" => {
                self.alert = switch(statement, report).map(|is_on| (is_on, origin(statement)));
                return true;
            }
            "notify_deleted" => {
                report.warn(
                    statement.place,
                    "notify_deleted",
                    "an instance that a reload removes ends with `stop`",
                );
                return true;
            }
            "notify_master_rx_lower_pri" => {
                report.error(
                    statement.place,
                    statement.keyword(),
                    "is not there: nothing is run when a weaker MASTER is heard",
                );
                return true;
            }
            "notify_priority_changes" => {
                report.warn(
                    statement.place,
                    statement.keyword(),
                    "changes of priority are not told to the FIFO",
                );
                return true;
            }
            _ => return false,
        };
        let mut slot = None;
        set(&mut slot, statement, report);
        if let Some(setting) = slot {
            if let Some(group) = statement.words.get(3) {
                let why =
                    format!("runs with the groups of its user, not as `{}`", super::report::shown(group));
                report.warn(statement.place, statement.keyword(), why);
            }
            let user = statement.words.get(2).cloned();
            if let Some(at) = self.scripts.iter().position(|(known, _, _)| *known == event) {
                let (_, earlier, _) = self.scripts.remove(at);
                let why = "stands again further down, and the last one counts: this one has no effect";
                report.warn(earlier.origin.place, &earlier.origin.what, why);
            }
            self.scripts.push((event, setting, user));
        }
        true
    }

    /// `notify:`, if there is anything in it.
    pub(super) fn entry(&self, mail: &Mail, default_user: Option<&Setting>, from: &Origin) -> Option<Entry> {
        let bare = Origin { comment: None, ..from.clone() };
        let mut entries = Vec::new();
        for (event, setting, user) in &self.scripts {
            let Setting { text, origin } = setting;
            let user = user.as_deref().or_else(|| default_user.map(|setting| setting.text.as_str()));
            let script = Value::quoted(&command(text));
            let value = match user {
                None => script,
                Some(user) => {
                    let bare = Origin { comment: None, ..origin.clone() };
                    Value::Map(vec![
                        Entry::new("command", script, &bare),
                        Entry::new("user", Value::text(user), &bare),
                    ])
                }
            };
            entries.push(Entry::new(event, value, origin));
        }
        if let Some((is_on, origin)) = &self.alert
            && !mail.to.is_empty()
            && *is_on != mail.alert
        {
            entries.push(Entry::new("mail", list(&mail.events(Some(*is_on)), &bare), origin));
        }
        let place = Origin { comment: None, ..entries.first()?.origin.clone() };
        Some(Entry::new("notify", Value::Map(entries), &place))
    }
}
