//! Who is told, as it reads back.

use std::fmt;

use super::super::notify::TOPICS;
use super::super::{Command, InstanceNotify, Mail, Notify, Scripts, Topic, duration};
use super::check::command;
use super::{quoted, word};

pub(super) fn explain_mail(f: &mut fmt::Formatter<'_>, mail: &Mail) -> fmt::Result {
    let to: Vec<String> = mail.to.iter().map(|address| quoted(address)).collect();
    writeln!(f, "mail:\n  to: [{}]", to.join(", "))?;
    match &mail.from {
        Some(from) => writeln!(f, "  from: {}", quoted(from))?,
        None => writeln!(f, "  # from: vrrp@ the host's name")?,
    }
    writeln!(f, "  server: {}\n  port: {}", quoted(&mail.server), mail.port)?;
    writeln!(f, "  connect_timeout: {}", duration::format(mail.connect_timeout))?;
    if let Some(helo) = &mail.helo {
        writeln!(f, "  helo: {}", quoted(helo))?;
    }
    writeln!(f, "  on: {}", topics(&mail.on))
}

pub(super) fn explain_notify(f: &mut fmt::Formatter<'_>, notify: &Notify) -> fmt::Result {
    if *notify == Notify::default() {
        return Ok(());
    }
    writeln!(f, "notify:")?;
    scripts(f, "  ", &notify.scripts)?;
    if let Some(path) = &notify.fifo {
        writeln!(f, "  fifo: {}", quoted(&path.display().to_string()))?;
    }
    if let Some(hook) = &notify.webhook {
        let (url, on, timeout) = (quoted(&hook.url), topics(&hook.on), duration::format(hook.timeout));
        writeln!(f, "  webhook: {{ url: {url}, on: {on}, timeout: {timeout} }}")?;
    }
    Ok(())
}

pub(super) fn explain_instance(f: &mut fmt::Formatter<'_>, notify: &InstanceNotify) -> fmt::Result {
    writeln!(f, "    notify:")?;
    scripts(f, "      ", &notify.scripts)?;
    notify.mail.as_ref().map_or(Ok(()), |on| writeln!(f, "      mail: {}", topics(on)))
}

fn scripts(f: &mut fmt::Formatter<'_>, indent: &str, scripts: &Scripts) -> fmt::Result {
    for (key, Command { line, user, timeout }) in scripts.each() {
        let user = user.as_ref().map(|user| format!(", user: {}", quoted(user))).unwrap_or_default();
        let timeout = duration::format(*timeout);
        writeln!(f, "{indent}{key}: {{ command: {}{user}, timeout: {timeout} }}", command(line))?;
    }
    Ok(())
}

fn topics(on: &[Topic]) -> String {
    let words: Vec<&str> = on.iter().map(|topic| word(&TOPICS, *topic)).collect();
    format!("[{}]", words.join(", "))
}
