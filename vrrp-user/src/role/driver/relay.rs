//! What was received from a former master and is in nobody's data: left over by a promotion that did not wait for it.
//!
//! Nothing is kept about it: both servers tell. Refuses to touch what the peer's server has.

use super::{Driver, Sockets, open, outcome_of, run_all};
use crate::mysql::{Flavour, Position, Product, ReplicaStatus, ServerState, Thread};
use crate::net::clock;

/// A channel's name, and what is left over of it.
type Leftover = (String, String);

impl<S: Sockets> Driver<S> {
    /// On MySQL it would be applied among what was written since, and the peer, rebuilt under its old name, would be taken for
    /// one that lost its log. MariaDB drops it by itself, and asks the peer for what is missing.
    pub(super) async fn forget_what_nobody_has(&mut self) -> Result<(), String> {
        let by = clock::now() + self.settings.statement_limit;
        let asked = self.ask_ours(by, |flavour| vec![flavour.replica_status().to_owned()]).await;
        let (rows, flavour) = asked.map_err(|error| outcome_of(error).reason())?;
        if flavour.product != Product::MySql {
            return Ok(());
        }
        let asked = self.ask_ours(by, |flavour| vec![flavour.identity()]).await;
        let (state, _) = asked.map_err(|error| outcome_of(error).reason())?;
        let own = state.first().and_then(ServerState::read).and_then(|state| state.position.ok());
        let theirs = self.last_known.as_ref().map(|seen| &seen.position);
        let (Some(own), Some(theirs)) = (own, theirs) else { return Ok(()) };
        let channels: Vec<ReplicaStatus> = rows.iter().map(ReplicaStatus::read).collect();
        for (channel, what) in leftovers(&channels, flavour, own.joined_with(theirs, false)) {
            let (mut session, _) =
                open(&mut self.local, by).await.map_err(|error| outcome_of(error).reason())?;
            let words = [flavour.stop_replication(""), flavour.forget_received(&channel)];
            let done = run_all(&mut session, &words, by).await;
            done.map_err(|error| format!("{what} is to be dropped first: {}", outcome_of(error).reason()))?;
            tracing::warn!(
                "{}: {what} was received before this server was promoted and never applied, and the peer's server has not got it, \
                 either: it is dropped",
                self.instance
            );
        }
        Ok(())
    }
}

/// Of channels that receive nothing now: what was received is a set that does not grow.
fn leftovers(channels: &[ReplicaStatus], flavour: Flavour, known: Position) -> Vec<Leftover> {
    let stopped = channels.iter().filter(|channel| channel.receiver == Thread::Stopped && channel.is_by_gtid);
    let leftover = stopped.filter_map(|channel| {
        let what = channel.received_position(flavour)?.beyond(&known)?;
        (!what.is_empty()).then(|| (channel.channel.clone(), what))
    });
    leftover.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::row::tests::recorded;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn only_what_neither_server_has_is_left_over_and_only_where_nothing_is_received() {
        let position = |text: &str| Position::parse_mysql(text).unwrap();
        let of = |io: &str, auto: u8, own: &str, theirs: &str| {
            let row = recorded(&format!(
                "Channel_Name: pair\nReplica_IO_Running: {io}\nReplica_SQL_Running: No\nAuto_Position: {auto}\n\
                 Retrieved_Gtid_Set: {A}:5-12"
            ));
            let known = position(own).joined_with(&position(theirs), false);
            leftovers(&[ReplicaStatus::read(&row)], Flavour::of("8.4.0"), known)
        };
        let (ours, rebuilt) = (format!("{A}:1-9,{B}:1-3"), format!("{A}:1-9,{B}:1-3"));
        assert_eq!(of("No", 1, &ours, &rebuilt), [("pair".to_owned(), format!("{A}:10-12"))]);
        // A standby whose applier was stopped: all that is still to be had.
        assert_eq!(of("No", 1, &ours, &format!("{A}:1-20")), []);
        assert_eq!(of("No", 1, &format!("{A}:1-12"), &rebuilt), [], "all is applied");
        assert_eq!(of("Yes", 1, &ours, &rebuilt), [], "what it has since it was asked is no old history");
        assert_eq!(of("No", 0, &ours, &rebuilt), [], "by place nothing could be asked for again");
    }
}
