//! `vrrp doctor`: is this pair of servers fit for a failover?
//!
//! Owns the order: ask, read, judge, show. Changes nothing on either server. Refuses to know the daemon, which need not run.

use crate::database::{DatabaseError, Login};
use crate::mysql::ServerState;
use crate::mysql::row::transpose;

mod collect;
mod facts;
mod finding;
mod host;
mod options;
mod report;
mod rules;

pub use report::Report;
pub use rules::{Context, Heartbeat};

use facts::{Answers, Facts};
use finding::{Findings, Node};
use report::Subject;

/// Whom to ask.
#[derive(Debug)]
pub struct Question {
    pub local: Login,
    /// Whether `local` runs on this very host, whose files can be read.
    pub is_here: bool,
    pub peer: Option<Login>,
    pub context: Context,
}

/// Asks both and judges. A server that does not answer is a finding, not a failure.
pub async fn examine(question: &Question) -> Report {
    let heartbeats = question.context.heartbeat_tables();
    let local = collect::ask(&question.local, &heartbeats).await;
    let peer = match &question.peer {
        Some(peer) => Some((peer, collect::ask(peer, &heartbeats).await)),
        None => None,
    };
    let mut findings = Vec::new();
    let host = |answers: &Answers| {
        question.is_here.then(|| host::look(&transpose(&answers.variables), &question.context))
    };
    let mut local_facts = read(&local, host, Node::Local, &mut findings);
    let peer_facts =
        peer.as_ref().and_then(|(_, answers)| read(answers, |_| None, Node::Peer, &mut findings));
    if let (Some(local), Some(peer)) = (&mut local_facts, &peer_facts) {
        look_again(&question.local, local, peer).await;
    }
    if let Some(facts) = &local_facts {
        findings.extend(rules::judge(facts, peer_facts.as_ref(), &question.context));
    }
    Report {
        local: subject(&question.local, local_facts.as_ref()),
        peer: question.peer.as_ref().map(|peer| subject(peer, peer_facts.as_ref())),
        findings,
    }
}

/// Under writes a standby that was asked later has more than the active server had before: not errant, but replicated since.
/// The other way round the active one was asked later anyway.
async fn look_again(login: &Login, local: &mut Facts, peer: &Facts) {
    if !local.state.writability.is_writable() || peer.state.writability.is_writable() {
        return;
    }
    let again = collect::identity(login).await.ok().and_then(|row| ServerState::read(&row));
    if let Some(now) = again.filter(|now| now.server_id == local.state.server_id) {
        local.state.position = now.position;
    }
}

fn read(
    outcome: &Result<Answers, DatabaseError>,
    host: impl FnOnce(&Answers) -> Option<facts::HostFacts>,
    node: Node,
    findings: &mut Vec<finding::Finding>,
) -> Option<Facts> {
    let reason = match outcome {
        Ok(answers) => match Facts::read(answers, host(answers)) {
            Some(facts) => {
                findings.extend(unanswered(answers, node));
                return Some(facts);
            }
            None => "it answered without its server_id, read_only or version".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    let mut own = Findings::on(node);
    own.error(
        "answers",
        reason,
        "a server that cannot be asked can be neither checked nor taken over to",
        "start it, or correct address, user, password and TLS",
    );
    findings.extend(own.into_all());
    None
}

fn unanswered(answers: &Answers, node: Node) -> Vec<finding::Finding> {
    let mut own = Findings::on(node);
    if !answers.unanswered.is_empty() {
        own.warn(
            "answers",
            format!("no answer in time about {}", answers.unanswered.join(", ")),
            "what depends on it was not looked at",
            "see what the server waits for (SHOW PROCESSLIST), and ask again",
        );
    }
    own.into_all()
}

fn subject(login: &Login, facts: Option<&Facts>) -> Subject {
    Subject {
        place: login.place.to_string(),
        server: facts.map(|facts| format!("{}, server_id {}", facts.flavour, facts.state.server_id)),
        role: facts.map(|facts| facts.state.writability.to_string()),
    }
}
