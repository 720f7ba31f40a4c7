//! The sessions of clients: who is ended so that the server can be made read-only, and so that nobody stays at an address that
//! goes.
//!
//! Refuses to know whether it helps: which session holds a lock no version tells all alike.

use super::{Driver, Sockets, outcome_of};
use crate::database::DatabaseError;
use crate::mysql::{Flavour, Row, statements};
use crate::role::step::Outcome;
use crate::vrrp::Instant;

/// So many are named in the log.
const NAMED: usize = 5;

/// One row of [`statements::SESSIONS`].
struct Client {
    id: u64,
    is_idle: bool,
    /// What it does, for how long by the server's whole seconds.
    seconds: u64,
    words: String,
    user: String,
}

impl Client {
    fn read(row: &Row) -> Option<Self> {
        let id = row.number(&["id"])?;
        let text = |name| row.get(&[name]).unwrap_or_default();
        let (user, host) = (text("user"), text("host"));
        let is_idle = text("command") == "Sleep";
        let seconds = row.number(&["time"]).unwrap_or(0);
        let what = if is_idle { "idle" } else { "busy" };
        let words = format!("{id} of {user}@{host}, {what} for {seconds}s");
        Some(Self { id, is_idle, seconds, words, user: user.to_owned() })
    }
}

impl<S: Sockets> Driver<S> {
    /// The sessions of clients; `only_busy`: those that are in the middle of something. Their sockets go whatever the server
    /// says.
    pub(super) async fn end_sessions(&mut self, by: Instant, only_busy: bool) -> Outcome {
        let ended = self.kill_sessions(by, only_busy).await;
        if only_busy {
            return ended;
        }
        match self.sockets.destroy() {
            Ok(_) => ended,
            Err(how) => Outcome::Gone(how),
        }
    }

    async fn kill_sessions(&mut self, by: Instant, only_busy: bool) -> Outcome {
        let asked = |words: &'static str| move |_: Flavour| vec![words.to_owned()];
        let own = match self.ask_ours(by, asked(statements::OWN_SESSION)).await {
            Ok((rows, _)) => rows.first().and_then(|row| row.at(0)?.parse::<u64>().ok()),
            Err(error) => return outcome_of(error),
        };
        let (rows, flavour) = match self.ask_ours(by, asked(statements::SESSIONS)).await {
            Ok(answer) => answer,
            Err(error) => return outcome_of(error),
        };
        let mut clients: Vec<Client> = rows.iter().filter_map(Client::read).collect();
        // The peer's daemon is about to ask, and has no rights to write.
        clients.retain(|client| {
            let is_peers = self.peer.as_ref().is_some_and(|peer| client.user == peer.login.user);
            Some(client.id) != own && !is_peers && !(only_busy && client.is_idle)
        });
        // Who has done the same for longest stands first: a lock that was forgotten.
        clients.sort_by_key(|client| std::cmp::Reverse(client.seconds));
        let (mut outcome, mut ended) = (Outcome::Done, Vec::new());
        for client in &clients {
            match self.ask_ours(by, |_| vec![flavour.end_session(client.id)]).await {
                Ok(_) => ended.push(client.words.as_str()),
                // It has ended by itself.
                Err(DatabaseError::Refused { code: 1094, .. }) => {}
                // One whom we may not end, MySQL's administrators above all, is no reason to spare the others.
                Err(DatabaseError::Refused { code, message, .. }) => {
                    outcome = Outcome::Refused { code, text: format!("{message} ({})", client.words) };
                }
                Err(error) => {
                    outcome = outcome_of(error);
                    break;
                }
            }
        }
        if !ended.is_empty() {
            let (named, more) = ended.split_at(ended.len().min(NAMED));
            let and_more = if more.is_empty() { String::new() } else { format!("; and {} more", more.len()) };
            tracing::info!("{}: sessions ended: {}{and_more}", self.instance, named.join("; "));
        }
        outcome
    }
}
