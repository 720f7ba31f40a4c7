//! Scripts of one instance, one after the other.
//!
//! Owns what a script is told: keepalived's arguments, so that its scripts work unchanged, and the same and more in the
//! environment. How one is run and ended is `health::script`'s.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::outbox::Outbox;
use super::{News, Tally, What};
use crate::config::Command;
use crate::health::script::{Outcome, execute};
use crate::health::settings::CommandLine;

/// What is put after the arguments of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    None,
    /// `INSTANCE NAME STATE PRIORITY`; of a check `CHECK NAME CHECK VERDICT`.
    Told,
}

/// A state's own script.
pub(super) const fn as_written(command: Command) -> (Command, Arguments) {
    (command, Arguments::None)
}

/// One that is told what happened.
pub(super) const fn told(command: Command) -> (Command, Arguments) {
    (command, Arguments::Told)
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) commands: Vec<(Command, Arguments)>,
    pub(super) news: News,
}

/// Until the outbox is closed and empty.
pub(super) async fn run(outbox: Outbox<Job>, turns: Arc<Semaphore>, tally: Arc<Tally>) {
    while let Some(Job { commands, news }) = outbox.take().await {
        for (command, arguments) in commands {
            let Ok(_turn) = turns.acquire().await else { return };
            let line = line(&command.line, arguments, &news);
            let (instance, program) = (news.instance.as_str(), line.program.display());
            let user = command.user.as_deref();
            let outcome = execute(&line, user, &environment(&news), command.timeout).await;
            tally.note(outcome == Outcome::Good);
            match outcome {
                Outcome::Good => tracing::debug!(instance, "{}: told by {program}", news.word()),
                Outcome::Failed(why) | Outcome::TimedOut(why) | Outcome::NotRun(why) => {
                    tracing::warn!(instance, "{}: script {program}: {why}", news.word());
                }
            }
        }
    }
}

pub(super) fn line(written: &CommandLine, arguments: Arguments, news: &News) -> CommandLine {
    let mut line = written.clone();
    match arguments {
        Arguments::None => {}
        Arguments::Told => line.arguments.extend(match &news.what {
            What::State(_) => {
                ["INSTANCE", &news.instance, news.word(), &news.priority.to_string()].map(str::to_owned)
            }
            What::Check { check, verdict } => {
                ["CHECK", &news.instance, check, verdict.name()].map(str::to_owned)
            }
        }),
    }
    line
}

fn environment(news: &News) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("VRRP_INSTANCE", news.instance.clone()),
        ("VRRP_PRIORITY", news.priority.to_string()),
        ("VRRP_WHY", news.why.replace('\0', "")),
    ];
    match &news.what {
        What::State(_) => environment.push(("VRRP_STATE", news.word().to_owned())),
        What::Check { check, verdict } => {
            environment.push(("VRRP_CHECK", check.clone()));
            environment.push(("VRRP_VERDICT", verdict.name().to_owned()));
        }
    }
    environment
}
