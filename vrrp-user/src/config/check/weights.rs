//! Weights that do not do what they were written for: told with the arithmetic.

use std::num::NonZeroU8;

use crate::config::Instance;
use crate::config::fields::{Fields, Value};
use crate::config::instance::OWNER;
use crate::config::problem::Problems;
use crate::health::settings::{Check, Reaction, effective_priority};
use crate::health::verdict::Verdict;

/// What of the instance the arithmetic needs.
#[derive(Clone, Copy)]
pub(in crate::config) struct Standing {
    pub(in crate::config) priority: NonZeroU8,
    pub(in crate::config) preempt: bool,
    pub(in crate::config) peer_priority: Option<NonZeroU8>,
}

impl Standing {
    pub(in crate::config) fn of(instance: &Instance) -> Self {
        Self { priority: instance.priority, preempt: instance.preempt, peer_priority: instance.peer_priority }
    }
}

pub(in crate::config) fn warn(
    fields: &Fields<'_>,
    standing: Standing,
    checks: &[Check],
    problems: &mut Problems,
) {
    let Some(list) = fields.find("checks") else { return };
    for (index, check) in checks.iter().enumerate() {
        if check.on_failure.weights().is_empty() {
            continue;
        }
        let place = place(&list, index);
        if let Some(message) = useless(standing, check, checks) {
            problems.warn(&place, message);
        }
    }
}

fn place(list: &Value<'_>, index: usize) -> crate::config::tree::Path {
    list.path.item(index)
}

/// Why the check's weight moves nothing, if it does not.
fn useless(standing: Standing, check: &Check, checks: &[Check]) -> Option<String> {
    let name = &check.name;
    if standing.priority.get() == OWNER {
        return Some(format!(
            "the weight of {name} can do nothing: 255 owns the address and never changes (RFC 9568, section 5.2.4); use \
             `on_failure: release`, or a priority below 255"
        ));
    }
    if !standing.preempt {
        return Some(format!(
            "the weight of {name} can do nothing: with `preempt: false` the peer waits for as long as this router lives, \
             whatever its priority; use `on_failure: release`, or `preempt: true` on both"
        ));
    }
    let healthy = priority_when(standing, checks, None);
    let (verdict, failing) = failures(check)
        .map(|verdict| (verdict, priority_when(standing, checks, Some((check, verdict)))))
        .max_by_key(|(_, priority)| *priority)?;
    if failing == healthy {
        return Some(format!(
            "the weight of {name} can do nothing: the priority is {healthy} with it and without ({}); move `priority` \
             away from the end of the range",
            sum(standing, check, verdict)
        ));
    }
    let peer = standing.peer_priority?;
    // The peer runs the same checks, and all is well there.
    let bonus = checks.iter().map(|check| check.on_failure.bonus());
    let healthy_peer = effective_priority(peer, bonus);
    (failing >= healthy_peer).then(|| {
        format!(
            "while {name} is {verdict} this router still outranks its peer: {} = {failing}, and the healthy peer has \
             {healthy_peer}; use a weight below {}",
            sum(standing, check, verdict),
            i32::from(healthy_peer.get()) - i32::from(healthy.get())
        )
    })
}

/// The verdicts to which it reacts with a weight, of those that it can have.
pub(in crate::config) fn failures(check: &Check) -> impl Iterator<Item = Verdict> + '_ {
    Verdict::ALL
        .into_iter()
        .filter(|verdict| check.kind.can_say(*verdict))
        .filter(|verdict| matches!(check.on_failure.to(*verdict), Some(Reaction::Weight(_))))
}

/// With this one check failing so, and all others healthy.
pub(in crate::config) fn priority_when(
    standing: Standing,
    checks: &[Check],
    failing: Option<(&Check, Verdict)>,
) -> NonZeroU8 {
    effective_priority(
        standing.priority,
        checks.iter().map(|check| match failing {
            Some((failed, verdict)) if failed.name == check.name => check.on_failure.contribution(verdict),
            Some(_) | None => check.on_failure.bonus(),
        }),
    )
}

/// `100 - 20`, or `100 without + 5`.
pub(in crate::config) fn sum(standing: Standing, check: &Check, verdict: Verdict) -> String {
    let base = standing.priority;
    match check.on_failure.contribution(verdict) {
        0 => format!("{base} without +{}", check.on_failure.bonus()),
        weight => format!("{base} - {}", weight.unsigned_abs()),
    }
}
