//! Checks: one entry of `checks`, whether it comes of a script that an instance tracks or of a local server.
//!
//! Owns the keys of an entry, and the meaning of `vrrp_script` and `track_script`.

use std::collections::HashMap;

use super::command::{command, needs_shell};
use super::report::{Report, shown};
use super::settings::{Setting, identifier, origin, seconds, set};
use super::tree::Statement;
use super::yaml::{Entry, Item, Origin, Value};

/// What happens when it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Release,
    Report,
    Weight(String),
}

/// One entry of `checks`.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) from: Origin,
    /// `tcp` or `script`, and its keys.
    pub(super) kind: &'static str,
    pub(super) settings: Vec<Entry>,
    pub(super) interval: Option<(String, Origin)>,
    pub(super) rise: Option<(String, Origin)>,
    pub(super) fall: Option<(String, Origin)>,
    pub(super) reaction: (Reaction, Origin),
    pub(super) notify_down: Option<(String, Origin)>,
    pub(super) notify_up: Option<(String, Origin)>,
}

impl Check {
    pub(super) fn item(&self) -> Item {
        let from = &self.from;
        let bare = Origin { comment: None, ..from.clone() };
        let mut entries = vec![
            Entry::new("name", Value::text(&self.name), from),
            Entry::new(self.kind, Value::Map(self.settings.clone()), &bare),
        ];
        if let Some((text, origin)) = &self.interval {
            entries.push(Entry::new("interval", Value::text(text), origin));
        }
        for (key, number) in [("rise", &self.rise), ("fall", &self.fall)] {
            if let Some((text, origin)) = number {
                entries.push(Entry::new(key, Value::number(text), origin));
            }
        }
        let (reaction, origin) = &self.reaction;
        let reaction = match reaction {
            Reaction::Release => Value::word("release"),
            Reaction::Report => Value::word("report"),
            Reaction::Weight(weight) => Value::Map(vec![Entry::new(
                "weight",
                Value::number(weight),
                &Origin { comment: None, ..origin.clone() },
            )]),
        };
        entries.push(Entry::new("on_failure", reaction, origin));
        for (key, script) in [("notify_down", &self.notify_down), ("notify_up", &self.notify_up)] {
            if let Some((text, origin)) = script {
                entries.push(Entry::new(key, Value::quoted(&command(text)), origin));
            }
        }
        Item { value: Value::Map(entries), origin: bare }
    }
}

/// A `vrrp_script`.
#[derive(Clone, Debug, Default)]
struct Script {
    from: Origin,
    script: Option<Setting>,
    interval: Option<Setting>,
    timeout: Option<Setting>,
    weight: Option<Setting>,
    rise: Option<Setting>,
    fall: Option<Setting>,
    user: Option<Setting>,
    init_fail: bool,
    is_reverse: bool,
    is_used: bool,
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    scripts: HashMap<String, Script>,
}

impl Scripts {
    pub(super) fn read(&mut self, block: &Statement, report: &mut Report) {
        let Some(name) = block.value() else {
            return report.error(block.place, "vrrp_script", "has no name; left out");
        };
        let mut script = Script { from: origin(block), ..Script::default() };
        for statement in block.inside() {
            script.keyword(statement, report);
        }
        if script.script.is_none() {
            report.warn(block.place, "vrrp_script", "says no `script`: it does nothing");
        }
        if self.scripts.insert(name.to_owned(), script).is_some() {
            let why = format!("`{}` is defined twice; the last one counts", shown(name));
            report.error(block.place, "vrrp_script", why);
        }
    }

    /// What nobody tracks.
    pub(super) fn report_unused(&self, report: &mut Report) {
        for script in self.scripts.values().filter(|script| !script.is_used) {
            report.ignore(
                script.from.place,
                "vrrp_script",
                "no instance tracks it, so keepalived never runs it either",
            );
        }
    }

    /// A line of an instance's `track_script`.
    pub(super) fn track(
        &mut self,
        line: &Statement,
        default_user: Option<&Setting>,
        report: &mut Report,
    ) -> Option<Check> {
        let name = line.keyword();
        let Some(script) = self.scripts.get_mut(name) else {
            let why = format!("there is no vrrp_script `{}`; keepalived ignores it too", shown(name));
            report.warn(line.place, "track_script", why);
            return None;
        };
        script.is_used = true;
        let words: Vec<&str> = line.words.iter().skip(1).map(String::as_str).collect();
        let (weight, is_reverse) = match words.as_slice() {
            [] => (None, script.is_reverse),
            ["weight", weight] | ["weight", weight, "no_reverse" | "noreverse"] => {
                (Some((*weight).to_owned()), false)
            }
            ["weight", weight, "reverse"] => (Some((*weight).to_owned()), true),
            [..] => {
                report.warn(
                    line.place,
                    "track_script",
                    "only `weight N [reverse]` can stand here; the rest is ignored",
                );
                (None, script.is_reverse)
            }
        };
        let weight_from = match (&weight, &script.weight) {
            (Some(_), _) => origin(line),
            (None, Some(setting)) => setting.origin.clone(),
            (None, None) => script.from.clone(),
        };
        let weight = weight.or_else(|| Some(script.weight.as_ref()?.text.clone()));
        if is_reverse {
            let why = "`reverse` (better when the script fails) is not there; the check is left out";
            report.error(weight_from.place, "track_script", why);
            return None;
        }
        script.check(name, line, weight, weight_from, default_user, report)
    }
}

impl Script {
    fn keyword(&mut self, statement: &Statement, report: &mut Report) {
        match statement.keyword() {
            "script" => set(&mut self.script, statement, report),
            "interval" => set(&mut self.interval, statement, report),
            "timeout" => set(&mut self.timeout, statement, report),
            "weight" => {
                set(&mut self.weight, statement, report);
                self.is_reverse = statement.words.get(2).is_some_and(|word| word == "reverse");
            }
            "rise" => set(&mut self.rise, statement, report),
            "fall" => set(&mut self.fall, statement, report),
            "user" => set(&mut self.user, statement, report),
            "init_fail" => self.init_fail = true,
            keyword => {
                let why = "is not a keyword of a vrrp_script; left out, as keepalived does";
                report.warn(statement.place, keyword, why);
            }
        }
    }

    fn check(
        &self,
        name: &str,
        line: &Statement,
        weight: Option<String>,
        weight_from: Origin,
        default_user: Option<&Setting>,
        report: &mut Report,
    ) -> Option<Check> {
        let Setting { text, origin: script_from } = self.script.as_ref()?;
        let settings = script_settings(
            text,
            script_from,
            self.timeout.as_ref(),
            self.user.as_ref().or(default_user),
            report,
        );
        let mut settings = settings;
        if self.init_fail {
            settings.push(Entry::new(
                "init_fail",
                Value::word(true),
                &Origin { comment: None, ..self.from.clone() },
            ));
        }
        let interval = self.interval.as_ref().map_or_else(
            || ("1s".to_owned(), Origin { comment: None, ..self.from.clone() }),
            |setting| (seconds(&setting.text), setting.origin.clone()),
        );
        let number = |setting: &Option<Setting>| {
            setting.as_ref().map(|setting| (setting.text.clone(), setting.origin.clone()))
        };
        let reaction = match weight {
            Some(weight) if weight.trim_start_matches(['-', '+']).bytes().any(|byte| byte != b'0') => {
                Reaction::Weight(weight.trim_start_matches('+').to_owned())
            }
            // Weight 0 is FAULT.
            Some(_) | None => Reaction::Release,
        };
        // The comment of the line that tracks it: the definition's own may belong to several instances.
        let from = Origin { what: "track_script".to_owned(), ..origin(line) };
        let weight_from = if weight_from.place == from.place {
            Origin { comment: None, ..weight_from }
        } else {
            weight_from
        };
        let weight_from = if weight_from.place == self.from.place {
            Origin { comment: None, ..weight_from }
        } else {
            weight_from
        };
        Some(Check {
            name: identifier(name),
            from,
            kind: "script",
            settings,
            interval: Some(interval),
            rise: number(&self.rise),
            fall: number(&self.fall),
            reaction: (reaction, weight_from),
            notify_down: None,
            notify_up: None,
        })
    }
}

/// The keys of `script:`.
pub(super) fn script_settings(
    text: &str,
    from: &Origin,
    timeout: Option<&Setting>,
    user: Option<&Setting>,
    report: &mut Report,
) -> Vec<Entry> {
    if needs_shell(text) {
        let why = "no shell reads it, neither in keepalived 2 nor here: put what needs one into a script of its own";
        report.warn(from.place, &from.what, why);
    }
    let mut settings = vec![Entry::new("command", Value::quoted(&command(text)), from)];
    if let Some(Setting { text, origin }) = timeout {
        settings.push(Entry::new("timeout", Value::text(&seconds(text)), origin));
    }
    match user {
        Some(Setting { text, origin }) => {
            let origin = Origin { comment: None, ..origin.clone() };
            settings.push(Entry::new("user", Value::text(text), &origin));
        }
        None => {
            let why = "keepalived runs it as keepalived_script if there is such a user, else as root; here it runs as root \
                       unless `user` is set";
            report.warn(from.place, &from.what, why);
        }
    }
    settings
}
