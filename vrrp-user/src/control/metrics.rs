//! A snapshot as Prometheus reads it.
//!
//! Owns the names, which are an interface: <https://prometheus.io/docs/practices/naming/>. Times are seconds, written as
//! decimals of whole nanoseconds. Refuses to know how the snapshot came about and who asks.

mod database;
mod text;

use super::snapshot::{Buckets, Guard, Instance, Snapshot, State};
use crate::health::verdict::Verdict;
use text::{Family, Kind, Text, labels, seconds, thousandths};

/// Of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole answer.
pub fn render(snapshot: &Snapshot) -> String {
    let mut out = Text::default();
    process(&mut out, snapshot);
    adverts(&mut out, snapshot);
    failover(&mut out, snapshot);
    notifications(&mut out, snapshot);
    instances(&mut out, &snapshot.instances);
    addresses(&mut out, &snapshot.instances);
    checks(&mut out, &snapshot.instances);
    database::write(&mut out, &snapshot.instances);
    out.finish()
}

fn process(out: &mut Text, snapshot: &Snapshot) {
    let info = labels([("version", &snapshot.version), ("router_id", &snapshot.router_id)]);
    out.family("vrrp_build_info", Kind::Gauge, "Version of the daemon, and what it calls itself.")
        .add(&info, 1);
    out.family("vrrp_uptime_seconds", Kind::Gauge, "Time since the daemon took up its work.")
        .write("", &seconds(snapshot.uptime_ns));
    if snapshot.guard != Guard::Off {
        out.family(
            "vrrp_guard_watching",
            Kind::Gauge,
            "1 while the second process that takes addresses off for a dead daemon is there.",
        )
        .add("", u64::from(snapshot.guard == Guard::Watching));
    }
    let mut modes = out.family(
        "vrrp_interface_receive_info",
        Kind::Gauge,
        "How adverts of an interface are received: xdp-native is best, socket is worst.",
    );
    for interface in &snapshot.interfaces {
        modes.add(&labels([("interface", &interface.name), ("mode", &interface.mode)]), 1);
    }
}

fn adverts(out: &mut Text, snapshot: &Snapshot) {
    let mut counters = out.family(
        "vrrp_kernel_adverts_total",
        Kind::Counter,
        "Adverts by what became of them in the kernel half; one advert may count under several names.",
    );
    for (name, count) in &snapshot.counters {
        counters.add(&labels([("reason", name)]), *count);
    }
    if let Some(ring) = snapshot.ring {
        out.family("vrrp_ring_used_bytes", Kind::Gauge, "Fill of the ring between kernel and daemon.")
            .add("", ring.used_bytes);
        out.family("vrrp_ring_size_bytes", Kind::Gauge, "Size of the ring between kernel and daemon.")
            .add("", ring.size_bytes);
    }
    let thread = &snapshot.advert_thread;
    for (name, help, value) in [
        ("vrrp_adverts_sent_total", "Adverts that the kernel took.", thread.adverts_sent),
        ("vrrp_adverts_refused_total", "Adverts that the kernel refused to send.", thread.adverts_refused),
        (
            "vrrp_adverts_received_total",
            "Adverts that the daemon took from the ring.",
            thread.adverts_received,
        ),
        ("vrrp_advert_thread_wakes_total", "Wake-ups of the advert thread.", thread.wakes),
        (
            "vrrp_advert_thread_late_wakes_total",
            "Wake-ups more than a millisecond after the time asked for.",
            thread.late_wakes,
        ),
    ] {
        out.family(name, Kind::Counter, help).add("", value);
    }
    out.family(
        "vrrp_advert_latency_seconds",
        Kind::Histogram,
        "From an advert's arrival in the kernel until it was acted upon; of those that matter.",
    )
    .histogram("", &thread.received_buckets);
    out.family(
        "vrrp_advert_send_lateness_seconds",
        Kind::Histogram,
        "From the time an advert was due until the kernel had taken it.",
    )
    .histogram("", &thread.sent_buckets);
}

fn failover(out: &mut Text, snapshot: &Snapshot) {
    let phases = &snapshot.failover;
    let mut family = out.family(
        "vrrp_failover_phase_seconds",
        Kind::Histogram,
        "Steps of taking over and giving up: silence (last advert to decision), claim (decision to first advert), \
         addresses_on, addresses_off.",
    );
    for (phase, buckets) in [
        ("silence", &phases.silence),
        ("claim", &phases.claim),
        ("addresses_on", &phases.addresses_on),
        ("addresses_off", &phases.addresses_off),
    ] {
        family.histogram(&labels([("phase", phase)]), buckets);
    }
}

fn notifications(out: &mut Text, snapshot: &Snapshot) {
    let help = "What became of what was to be told; superseded: later news came before its turn.";
    let mut family = out.family("vrrp_notifications_total", Kind::Counter, help);
    for (kind, delivery) in &snapshot.notifications {
        for (result, count) in [
            ("delivered", delivery.delivered),
            ("failed", delivery.failed),
            ("superseded", delivery.superseded),
        ] {
            family.add(&labels([("kind", kind.as_str()), ("result", result)]), count);
        }
    }
}

/// One family with one sample, at most, for each instance.
fn each(family: &mut Family<'_>, instances: &[Instance], value: impl Fn(&Instance) -> Option<String>) {
    for instance in instances {
        if let Some(value) = value(instance) {
            family.write(&of(instance), &value);
        }
    }
}

fn of(instance: &Instance) -> String {
    labels([("vrrp_instance", &instance.name)])
}

fn instances(out: &mut Text, instances: &[Instance]) {
    let mut family = out.family("vrrp_instance_info", Kind::Gauge, "The virtual routers of this daemon.");
    for instance in instances {
        let id = instance.virtual_router_id.to_string();
        let info =
            [("vrrp_instance", instance.name.as_str()), ("interface", &instance.interface), ("vrid", &id)];
        family.add(&labels(info), 1);
    }
    let mut family = out.family("vrrp_instance_state", Kind::Gauge, "1 for the state that it is in.");
    for instance in instances {
        for state in State::ALL {
            let which = labels([("vrrp_instance", instance.name.as_str()), ("state", state.name())]);
            family.add(&which, u64::from(state == instance.state));
        }
    }
    let mut family =
        out.family("vrrp_instance_transitions_total", Kind::Counter, "How often it came into each state.");
    for instance in instances {
        for state in State::ALL {
            let count = instance.transitions.get(state.name()).copied().unwrap_or(0);
            family.add(&labels([("vrrp_instance", instance.name.as_str()), ("state", state.name())]), count);
        }
    }
    let help = "When it last changed its state, in seconds since 1970.";
    let mut family = out.family("vrrp_instance_last_transition_timestamp_seconds", Kind::Gauge, help);
    each(&mut family, instances, |instance| {
        instance.timeline.last().map(|transition| thousandths(transition.time_unix_ms))
    });
    let mut family = out.family("vrrp_instance_priority", Kind::Gauge, "The priority in its adverts.");
    each(&mut family, instances, |instance| Some(instance.priority.effective.to_string()));
    let mut family = out.family("vrrp_instance_base_priority", Kind::Gauge, "The configured priority.");
    each(&mut family, instances, |instance| Some(instance.priority.base.to_string()));
    let help = "Since the last advert: sent by a MASTER, heard by a BACKUP.";
    let mut family = out.family("vrrp_instance_last_advert_age_seconds", Kind::Gauge, help);
    each(&mut family, instances, |instance| instance.last_advert_age_ns.map(seconds));
    let help = "Silence after which a BACKUP takes over.";
    let mut family = out.family("vrrp_instance_master_down_interval_seconds", Kind::Gauge, help);
    each(&mut family, instances, |instance| Some(seconds(instance.timers.master_down_interval_ns)));
    let help = "How many keep it from taking part: the operator, checks.";
    let mut family = out.family("vrrp_instance_holders", Kind::Gauge, help);
    each(&mut family, instances, |instance| Some(instance.held_out.len().to_string()));
    let help = "1 while the operator has drained it.";
    let mut family = out.family("vrrp_instance_drained", Kind::Gauge, help);
    each(&mut family, instances, |instance| {
        let drained = instance.held_out.iter().any(|hold| hold.by == "operator");
        Some(u8::from(drained).to_string())
    });
}

fn addresses(out: &mut Text, instances: &[Instance]) {
    let all = || {
        instances
            .iter()
            .flat_map(|instance| instance.addresses.iter().map(move |address| (instance, address)))
    };
    let named = |(instance, address): (&Instance, &super::snapshot::Address)| {
        let (name, address, device) = (&instance.name, &address.address, &address.device);
        labels([("vrrp_instance", name), ("address", address), ("device", device)])
    };
    let mut family =
        out.family("vrrp_address_held", Kind::Gauge, "1 while this daemon has put the virtual address on.");
    for one in all() {
        family.add(&named(one), u64::from(one.1.held));
    }
    let help = "1 while the virtual address is on, by the kernel's own word.";
    let mut family = out.family("vrrp_address_present", Kind::Gauge, help);
    for one in all() {
        family.add(&named(one), u64::from(one.1.present));
    }
}

fn checks(out: &mut Text, instances: &[Instance]) {
    let all =
        || instances.iter().flat_map(|instance| instance.checks.iter().map(move |check| (instance, check)));
    if all().next().is_none() {
        return;
    }
    let mut family = out.family("vrrp_check_verdict", Kind::Gauge, "1 for the verdict that the check has.");
    for (instance, check) in all() {
        for verdict in Verdict::ALL {
            let which = [
                ("vrrp_instance", instance.name.as_str()),
                ("check", &check.name),
                ("kind", &check.kind),
                ("verdict", verdict.name()),
            ];
            family.add(&labels(which), u64::from(verdict.name() == check.verdict));
        }
    }
    let mut family = out.family("vrrp_check_changes_total", Kind::Counter, "Changes of a check's verdict.");
    for (instance, check) in all() {
        family.add(&labels([("vrrp_instance", &instance.name), ("check", &check.name)]), check.changes);
    }
    let help = "How long a probe of a check took, retries counted.";
    let mut family = out.family("vrrp_probe_duration_seconds", Kind::Histogram, help);
    for (instance, check) in all() {
        for probe in &check.probes {
            let which =
                [("vrrp_instance", instance.name.as_str()), ("check", &check.name), ("probe", &probe.name)];
            family.histogram(&labels(which), &probe.durations);
        }
    }
}

#[cfg(test)]
mod tests;
