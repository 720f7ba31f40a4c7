//! What was written on a standby under its server's own name, by somebody whom read_only does not stop.
//!
//! With both directions running the peer has it at once, and nothing else would show it: it is remembered until the role
//! changes. Owns that memory, from look to look. Refuses to know how it is said.

use crate::mysql::Position;

#[derive(Clone, Debug, Default)]
pub(super) struct Errant {
    /// What this server had written by the last look.
    at_rest: Option<Position>,
    /// What the peer had at the last look, and at the one before.
    peer: [Option<Position>; 2],
    found: Option<String>,
}

impl Errant {
    /// One look: what this server has of its own, and what the peer has, which was asked later. What was found in all.
    pub(super) fn note(&mut self, own: &Position, theirs: Option<Position>) -> Option<&str> {
        let [last, earlier] = std::mem::take(&mut self.peer);
        let rest = self.at_rest.get_or_insert_with(|| own.clone());
        if let Some(news) = own.beyond(rest).filter(|news| !news.is_empty()) {
            *rest = own.clone();
            // A server that was rebuilt gets its own old writes back from its peer. What was committed here between the
            // questions of the last look is there, too, if replication is quick: what the peer had before this server was
            // asked then, and it lacked, came from the peer.
            let known = earlier.as_ref().or(last.as_ref());
            let is_replicated = known.is_some_and(|peer| own.beyond(peer).is_some_and(|it| it.is_empty()));
            if !is_replicated {
                self.found = Some(news);
            }
        }
        self.peer = [theirs, last];
        self.found.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(last: u64) -> Position {
        Position::parse_mariadb(&format!("0-2-{last}")).unwrap()
    }

    /// What is found after looks at what this server and the peer have of this server's writes.
    fn found(looks: &[(u64, u64)]) -> Option<String> {
        let mut errant = Errant::default();
        let mut found = None;
        for (ours, theirs) in looks {
            found = errant.note(&own(*ours), Some(own(*theirs))).map(str::to_owned);
        }
        found
    }

    #[test]
    fn what_reaches_the_peer_between_the_two_questions_of_a_look_is_found() {
        assert_eq!(found(&[(10, 10), (10, 10), (10, 11)]), None);
        assert_eq!(found(&[(10, 10), (10, 10), (10, 11), (11, 11)]).as_deref(), Some("0-2-11"));
        // And at any other time; nor is it forgotten.
        assert!(found(&[(10, 10), (11, 11)]).is_some());
        assert!(found(&[(10, 10), (10, 10), (11, 10), (11, 11), (11, 11), (11, 11)]).is_some());
    }

    #[test]
    fn old_writes_that_come_back_from_the_peer_are_not() {
        assert_eq!(found(&[(3, 10), (5, 10), (7, 10), (10, 10), (10, 10)]), None);
    }

    #[test]
    fn with_a_peer_that_does_not_answer_it_is_found_all_the_same() {
        let mut errant = Errant::default();
        assert_eq!(errant.note(&own(10), None), None);
        assert!(errant.note(&own(11), None).is_some());
    }
}
