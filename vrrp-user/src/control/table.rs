//! The status as a person reads it, at three in the morning.
//!
//! Owns the words and the columns of `vrrp status`. What is wrong stands out and says why; what is right takes one line.
//! Refuses to know where the snapshot came from.

use std::fmt::{self, Write as _};

use super::snapshot::{Channel, Check, Guard, Instance, Percentiles, Server, Snapshot, State};
use crate::health::verdict::Verdict;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Colour,
}

/// A FAULT that is meant.
const KEPT_OUT: &str = "KEPT OUT";

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";

/// All of it, or one instance in full.
pub fn render(snapshot: &Snapshot, only: Option<&str>, style: Style) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    write(&mut text, snapshot, only, style).unwrap_or_default();
    text
}

fn write(out: &mut String, snapshot: &Snapshot, only: Option<&str>, style: Style) -> fmt::Result {
    head(out, snapshot, style)?;
    let shown: Vec<_> =
        snapshot.instances.iter().filter(|instance| only.is_none_or(|name| name == instance.name)).collect();
    let rows: Vec<[String; 6]> = shown.iter().map(|instance| row(instance)).collect();
    let titles = ["INSTANCE", "STATE", "FOR", "PRIORITY", "MASTER", "LAST ADVERT"];
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    writeln!(out)?;
    line(out, &titles.map(str::to_owned), &widths, None, style)?;
    for (instance, cells) in shown.iter().zip(&rows) {
        let colour = match instance.state {
            State::Fault if is_kept_out(instance) => Some(YELLOW),
            State::Master => Some(GREEN),
            State::Fault => Some(RED),
            State::Backup => None,
            State::Initialize => Some(YELLOW),
        };
        line(out, cells, &widths, colour, style)?;
        details(out, instance, style)?;
        if only.is_some() {
            timers(out, instance)?;
        }
    }
    if only.is_none() {
        foot(out, snapshot)?;
    }
    Ok(())
}

fn head(out: &mut String, snapshot: &Snapshot, style: Style) -> fmt::Result {
    let time = clock(snapshot.time_unix_ms);
    let up = span(snapshot.uptime_ns);
    writeln!(out, "vrrp {} on {} at {time}, up {up}", snapshot.version, snapshot.router_id)?;
    let interfaces =
        snapshot.interfaces.iter().map(|interface| format!("{} by {}", interface.name, interface.mode));
    write!(out, "adverts on {}; ", interfaces.collect::<Vec<_>>().join(", "))?;
    match snapshot.guard {
        Guard::Watching => writeln!(out, "guard watching"),
        Guard::Missing => writeln!(out, "{}", paint("guard MISSING, being replaced", RED, style)),
        Guard::Off => writeln!(out, "{}", paint("no guard", YELLOW, style)),
    }
}

fn row(instance: &Instance) -> [String; 6] {
    let priority = &instance.priority;
    let sum = priority
        .weights
        .iter()
        .filter(|weight| weight.weight != 0)
        .fold(String::new(), |sum, weight| format!("{sum} {:+}", weight.weight));
    let priority = if sum.is_empty() {
        priority.effective.to_string()
    } else {
        format!("{} = {}{sum}", priority.effective, priority.base)
    };
    let master = match (instance.state, instance.master) {
        (State::Master, _) => "this host".to_owned(),
        (State::Initialize | State::Fault | State::Backup, Some(master)) => match instance.master_priority {
            Some(priority) => format!("{master} ({priority})"),
            None => master.to_string(),
        },
        (State::Initialize | State::Fault | State::Backup, None) => "-".to_owned(),
    };
    [
        instance.name.clone(),
        // By somebody's will: nothing is broken.
        if is_kept_out(instance) { KEPT_OUT } else { instance.state.name() }.to_owned(),
        instance.state_age_ns.map_or_else(|| "?".to_owned(), span),
        priority,
        master,
        instance.last_advert_age_ns.map_or_else(|| "-".to_owned(), |age| format!("{} ago", span(age))),
    ]
}

fn is_kept_out(instance: &Instance) -> bool {
    instance.state == State::Fault && !instance.held_out.is_empty()
}

fn line(
    out: &mut String,
    cells: &[String; 6],
    widths: &[usize; 6],
    colour: Option<&str>,
    style: Style,
) -> fmt::Result {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padded = format!("{cell:width$}");
        let shown = match (column, colour) {
            (1, Some(colour)) => paint(&padded, colour, style),
            (0, Some(_)) => paint(&padded, BOLD, style),
            (_, _) => padded,
        };
        text.push_str(&shown);
        text.push_str("  ");
    }
    writeln!(out, "{}", text.trim_end())
}

fn details(out: &mut String, instance: &Instance, style: Style) -> fmt::Result {
    let addresses = instance.addresses.iter().map(|address| {
        let text = format!("{} on {}", address.address, address.device);
        match (address.held, address.present) {
            (true, true) => paint(&format!("{text}: held"), GREEN, style),
            (true, false) => paint(&format!("{text}: MISSING"), RED, style),
            (false, true) => paint(&format!("{text}: THERE, and not ours"), RED, style),
            (false, false) => format!("{text}: off"),
        }
    });
    writeln!(out, "    {}", addresses.collect::<Vec<_>>().join(", "))?;
    if !instance.held_out.is_empty() {
        let holds = instance.held_out.iter().map(|hold| hold.why.as_str()).collect::<Vec<_>>().join("; ");
        writeln!(out, "    {}", paint(&format!("kept out: {holds}"), YELLOW, style))?;
    }
    if !instance.why.is_empty() {
        writeln!(out, "    {}", instance.why)?;
    }
    if let Some(phase) = &instance.phase {
        writeln!(out, "    {}", paint(phase, YELLOW, style))?;
    }
    if let Some(role) = &instance.role {
        // Capitals are for what somebody must look at.
        let is_wrong = role.split(|c: char| !c.is_ascii_uppercase()).any(|word| word.len() > 4);
        let text = format!("server: {role}");
        writeln!(out, "    {}", if is_wrong { paint(&text, RED, style) } else { text })?;
    }
    for check in &instance.checks {
        self::check(out, check, style)?;
    }
    if let Some(reject) = &instance.last_reject {
        let text = format!("adverts of {} were rejected: {}", reject.sender, reject.reason);
        writeln!(out, "    {}", paint(&text, YELLOW, style))?;
    }
    Ok(())
}

/// What is healthy and has no more to say takes no line.
fn check(out: &mut String, check: &Check, style: Style) -> fmt::Result {
    if check.verdict != Verdict::Healthy.name() {
        let why = if check.cause.is_empty() { String::new() } else { format!(": {}", check.cause) };
        let text = format!("check {}: {}{why}", check.name, check.verdict);
        writeln!(out, "    {}", paint(&text, YELLOW, style))?;
    }
    if let Some(server) = &check.server {
        writeln!(out, "    {}", self::server(server))?;
    }
    Ok(())
}

/// As long as a person reads: the whole of it is in `--json`.
fn server(server: &Server) -> String {
    const POSITION: usize = 120;
    let mut text = format!("server {}: {}", server.server_id, server.writability);
    for channel in &server.channels {
        text.push_str(", ");
        text.push_str(&follows(channel));
    }
    if server.channels.is_empty() {
        text.push_str(", follows nobody");
    }
    if let Some(semi_sync) = server.semi_sync {
        text.push_str(match (semi_sync.source_enabled, semi_sync.source_active) {
            (false, _) => ", semi-sync off",
            (true, true) => ", semi-sync on",
            (true, false) => ", semi-sync FALLEN BACK",
        });
    }
    match &server.position {
        None => text.push_str(", position unknown"),
        Some(position) if position.is_empty() => text.push_str(", at no transaction"),
        Some(position) if position.chars().count() > POSITION => {
            text.extend([", at ", &position.chars().take(POSITION).collect::<String>(), "..."]);
        }
        Some(position) => text.extend([", at ", position]),
    }
    text
}

fn follows(channel: &Channel) -> String {
    // The usual port says nothing.
    let source = channel.source.strip_suffix(":3306").unwrap_or(&channel.source);
    let name = if channel.name.is_empty() { String::new() } else { format!(" by \"{}\"", channel.name) };
    let how = match (channel.io.as_str(), channel.sql.as_str(), channel.behind_ns) {
        ("running", "running", Some(behind)) => format!("{} s behind", behind / 1_000_000_000),
        ("running", "running", None) => "lag unknown".to_owned(),
        (io, sql, _) => {
            let error = [&channel.sql_error, &channel.io_error].into_iter().find(|error| !error.is_empty());
            let error = error.map(|error| format!("; error {error}")).unwrap_or_default();
            format!("IO {io}, SQL {sql}{error}")
        }
    };
    format!("follows {source}{name} ({how})")
}

fn timers(out: &mut String, instance: &Instance) -> fmt::Result {
    let timers = &instance.timers;
    writeln!(
        out,
        "    VRRPv{} {} on {}, preempt: {}; advert interval {}, skew time {}, master down interval {}",
        instance.version,
        instance.virtual_router_id,
        instance.interface,
        instance.preempt,
        span(timers.advert_interval_ns),
        span(timers.skew_time_ns),
        span(timers.master_down_interval_ns),
    )?;
    if let Some(next) = timers.next_ns {
        let what = if instance.state == State::Master { "next advert" } else { "next deadline" };
        writeln!(out, "    {what} in {}", span(next))?;
    }
    for weight in &instance.priority.weights {
        writeln!(out, "    priority {:+} by {}", weight.weight, weight.source)?;
    }
    Ok(())
}

fn foot(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let thread = &snapshot.advert_thread;
    writeln!(
        out,
        "\nadverts: {} sent, {} received, {} refused by the kernel; {} of {} wakes late",
        thread.adverts_sent, thread.adverts_received, thread.adverts_refused, thread.late_wakes, thread.wakes
    )?;
    for (what, lateness) in [("sent", thread.sent_lateness), ("acted on", thread.received_lateness)] {
        if lateness.count > 0 {
            let Percentiles { p50_ns, p99_ns, p999_ns, max_ns, .. } = lateness;
            let [p50, p99, p999, max] = [p50_ns, p99_ns, p999_ns, max_ns].map(span);
            writeln!(out, "{what} late by: half {p50}, 99 % {p99}, 99.9 % {p999}, worst {max}")?;
        }
    }
    if let Some(ring) = snapshot.ring {
        writeln!(out, "ring: {} of {} bytes", ring.used_bytes, ring.size_bytes)?;
    }
    let counters = snapshot.counters.iter().filter(|(_, count)| **count > 0);
    let counters = counters.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>();
    if !counters.is_empty() {
        writeln!(out, "kernel half: {}", counters.join(", "))?;
    }
    Ok(())
}

fn paint(text: &str, colour: &str, style: Style) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
    }
}

/// Two units at most: what matters of a time.
fn span(ns: u64) -> String {
    const MICRO: u64 = 1_000;
    const MILLI: u64 = 1_000 * MICRO;
    const SECOND: u64 = 1_000 * MILLI;
    let seconds = ns / SECOND;
    match ns {
        0..MILLI => format!("{} us", ns / MICRO),
        MILLI..SECOND => format!("{}.{} ms", ns / MILLI, ns % MILLI / (100 * MICRO)),
        SECOND.. if seconds < 60 => format!("{seconds}.{} s", ns % SECOND / (100 * MILLI)),
        SECOND.. => match seconds {
            ..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
            3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
            86_400.. => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
        },
    }
}

/// Of the day, UTC: comparable between hosts whatever their time zones.
fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000 % 86_400;
    let (hours, minutes) = (seconds / 3_600, seconds % 3_600 / 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03} UTC", seconds % 60, unix_ms % 1_000)
}

#[cfg(test)]
pub(in crate::control) mod tests;
