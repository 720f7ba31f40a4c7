//! What the operator orders over the control socket, carried out and answered in sentences.
//!
//! Owns draining and resuming: the holder called operator, and the file that remembers him. What follows for a router is
//! the standing's and the core's business.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::control::desk::{Order, Refusal, What};
use crate::control::message::{Done, Selection};
use crate::daemon::drained::{DrainedError, REASON};
use crate::daemon::service::Running;
use crate::daemon::standing::Holder;
use crate::daemon::wiring::SERVICE_SLACK;

/// A drained MASTER has released within 50 ms, besides what resetting clients and a managed role may take, or the answer says that
/// it has not.
const RELEASE: Duration = Duration::from_millis(200);
/// Nothing else is done meanwhile, so the disk gets no longer.
const DISK: Duration = Duration::from_secs(1);

/// Answers that wait for a release.
#[derive(Default)]
pub(super) struct Drains(Vec<Waiting>);

/// Drains that wait for peers' servers to have everything.
#[derive(Default)]
pub(super) struct Offers(JoinSet<Offered>);

/// What came of asking the peers' servers first.
pub(super) struct Offered {
    answer: oneshot::Sender<Result<Done, Refusal>>,
    names: Vec<String>,
    outcome: Result<(), (String, String)>,
}

struct Waiting {
    answer: oneshot::Sender<Result<Done, Refusal>>,
    done: Done,
    names: Vec<String>,
    by: Instant,
}

impl Drains {
    /// Comes back when one has waited long enough.
    pub(super) async fn overdue(&self) {
        match self.0.iter().map(|waiting| waiting.by).min() {
            Some(by) => sleep_until(by).await,
            None => std::future::pending().await,
        }
    }
}

impl Offers {
    /// One that was asked for and is ready to be carried out, or not. Cancelled, it has lost nothing.
    pub(super) async fn offered(&mut self) -> Offered {
        loop {
            match self.0.join_next().await {
                Some(Ok(offered)) => return offered,
                // Whoever asked hears that nobody answers.
                Some(Err(error)) => tracing::error!("asking the peers' servers failed: {error}"),
                None => std::future::pending().await,
            }
        }
    }
}

impl Running {
    /// Carries one out. Whoever gave it may have gone meanwhile.
    pub(super) async fn carry_out(&mut self, order: Order) {
        let result = match order.what {
            // Its answer comes later, and nothing else waits for it.
            What::Drain(selection) => match self.begin_drain(&selection) {
                Ok(names) if selection.force => {
                    return self.drain(Offered { answer: order.answer, names, outcome: Ok(()) }).await;
                }
                Ok(names) => {
                    let offer = self.roles.offer(&names);
                    self.offers.0.spawn(async move {
                        let outcome = offer.await;
                        Offered { answer: order.answer, names, outcome }
                    });
                    return;
                }
                Err(refusal) => Err(refusal),
            },
            What::Resume(selection) => self.resume(&selection).await,
            What::Reload => match self.reload_and_say().await {
                Ok(outcome) => Ok(Done { done: vec![outcome.to_string()], warnings: outcome.warnings }),
                Err(error) => Err(Refusal::Refused(format!("nothing was changed: {error}"))),
            },
        };
        order.answer.send(result).unwrap_or_default();
    }

    /// Those of the drained that there are.
    pub(super) fn hold_drained(&mut self) {
        for instance in &self.drained {
            self.standing.hold(instance, Holder::Operator, REASON.to_owned());
        }
    }

    /// Those that are out by now, or have had their time.
    pub(super) fn answer_drains(&mut self) {
        let now = Instant::now();
        let (due, waiting) =
            std::mem::take(&mut self.drains.0).into_iter().partition::<Vec<_>, _>(|waiting| {
                waiting.by <= now || waiting.names.iter().all(|name| self.is_out(name))
            });
        self.drains.0 = waiting;
        for Waiting { answer, mut done, names, .. } in due {
            for name in names {
                let how =
                    if self.is_out(&name) { "its addresses are off here" } else { "it is still releasing" };
                done.done.push(format!(
                    "{name} is drained, {how}; until `vrrp resume {name}`, also over a restart"
                ));
            }
            // Whoever asked may have gone.
            answer.send(Ok(done)).unwrap_or_default();
        }
    }

    /// Those to be drained, if their peers' servers could take over by the last look at them.
    fn begin_drain(&self, selection: &Selection) -> Result<Vec<String>, Refusal> {
        let names = self.select(selection)?;
        let obstacle = names.iter().find_map(|name| Some((name, self.roles.obstacle(name)?)));
        match obstacle.filter(|_| !selection.force) {
            Some((name, why)) => Err(unfit(name, &why)),
            None => Ok(names),
        }
    }

    /// The peers' servers have everything, or nobody asks for that: now the addresses may go.
    pub(super) async fn drain(&mut self, offered: Offered) {
        let Offered { answer, names, outcome } = offered;
        if let Err((name, why)) = outcome {
            // Whoever asked may have gone.
            return answer.send(Err(unfit(&name, &why))).unwrap_or_default();
        }
        for name in &names {
            self.standing.hold(name, Holder::Operator, REASON.to_owned());
        }
        self.drained.extend(names.iter().cloned());
        // At once: the servers are read-only by now, and the disk may be slow.
        self.tell_verdicts().await;
        let mut done = Done::default();
        if let Err(why) = self.keep_drained().await {
            done.warnings.push(format!("{why}; after a restart of the daemon they will take part again"));
        }
        let by = Instant::now() + RELEASE + SERVICE_SLACK + self.roles.longest;
        self.drains.0.push(Waiting { answer, done, names, by });
    }

    async fn resume(&mut self, selection: &Selection) -> Result<Done, Refusal> {
        let names = self.select(selection)?;
        let drained = self.standing.drained();
        let (mut refused, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        for name in &names {
            self.standing.let_go(name, &Holder::Operator);
            // Whatever kept its server from being promoted: a person has decided, and the gate looks again.
            if self.standing.is_held_by(name, &Holder::Role) {
                self.standing.let_go(name, &Holder::Role);
                refused.insert(name.clone());
            }
            if self.roles.go_alone(name, refused.contains(name)) {
                waiting.insert(name.clone());
            }
            self.drained.remove(name);
        }
        if selection.all {
            self.drained.clear();
        }
        self.tell_verdicts().await;
        let mut done = Done::default();
        if let Err(why) = self.keep_drained().await {
            done.warnings.push(format!("{why}; after a restart of the daemon they will be drained again"));
        }
        for name in names {
            let others = self.standing.reasons(&name);
            done.done.push(if refused.contains(&name) {
                format!(
                    "{name} takes part again: its server's promotion is tried once more, and refused again if nothing changed; a \
                     diverged peer that is read-only is no obstacle then, if diverged is serve"
                )
            } else if waiting.contains(&name) {
                format!(
                    "{name} has the address and a read-only server: it takes writes again once both servers agree, or at once if \
                     the peer's does not answer, or is read-only and diverged is serve"
                )
            } else if !drained.contains(&name) {
                format!("{name} was not drained")
            } else if others.is_empty() {
                format!("{name} takes part again; it listens before it claims anything")
            } else {
                format!("{name} is no longer drained, and still kept out: {others}")
            });
        }
        Ok(done)
    }

    fn select(&self, selection: &Selection) -> Result<Vec<String>, Refusal> {
        let all = self.standing.instances();
        if selection.all {
            return Ok(all);
        }
        match selection.instances.iter().find(|name| !all.contains(name)) {
            Some(unknown) => Err(Refusal::NotFound(format!(
                "nothing was changed: there is no instance {unknown}; there is {}",
                all.join(", ")
            ))),
            None => Ok(selection.instances.clone()),
        }
    }

    fn is_out(&self, name: &str) -> bool {
        let router = self.wiring.routers.iter().find(|router| router.name == name);
        router.is_none_or(|router| self.arrivals.is_out(router.router))
    }

    async fn keep_drained(&mut self) -> Result<(), DrainedError> {
        self.keeping.keep(&self.config.control.state_dir, self.drained.clone(), DISK).await
    }

    /// After a reload: an instance may be called something else, or be there again.
    pub(super) fn follow_drained(&mut self, before: &BTreeSet<String>) {
        let absent = self.drained.difference(before).cloned().collect::<BTreeSet<_>>();
        self.drained = self.standing.drained();
        self.drained.extend(absent);
        self.hold_drained();
    }
}

fn unfit(name: &str, why: &str) -> Refusal {
    Refusal::Refused(format!(
        "nothing was changed: nobody could take over {name}: {why}; mend that first, or add --force"
    ))
}
