//! Checks and what their verdicts do to an instance: held, weighed, or only reported.
//!
//! Owns which checks run. Refuses to know how one comes to its verdict (`health`), and what a held instance does
//! (`standing`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::config::{Config, Instance};
use crate::daemon::standing::{Holder, Standing};
use crate::daemon::witness;
use crate::database::Place;
use crate::health::process::{Witness, is_here};
use crate::health::settings::{Check, Kind, Mysql, Reaction};
use crate::health::verdict::Verdict;
use crate::health::watch::{Context, Told, Watch};

/// Verdicts on their way; a check waits for room.
const TOLD: usize = 64;

/// All checks of all instances.
pub(super) struct Checks {
    standing: Standing,
    running: BTreeMap<(String, String), Running>,
    /// By instance, whether it is MASTER here.
    active: BTreeMap<String, watch::Sender<bool>>,
    told_in: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    witness: Option<Witness>,
    runs: u64,
}

/// A check that the configuration wants.
struct Wanted<'c> {
    check: &'c Check,
    is_managed: bool,
    /// Of a database server: of this host's own.
    is_own: bool,
    /// Of the one whose role goes with the addresses.
    is_of_role: bool,
}

struct Running {
    check: Check,
    is_own: bool,
    is_of_role: bool,
    run: u64,
    /// By its last looks.
    seen: Verdict,
    /// Dropping it ends the check.
    watch: Watch,
}

impl Running {
    /// The one that is managed is, wherever it lives: a container's address is not the host's.
    fn is_of_this_hosts_server(&self) -> bool {
        match &self.check.kind {
            Kind::Mysql(mysql) => {
                self.is_own && (self.is_of_role || mysql.socket.is_some() || is_here(mysql.address))
            }
            Kind::Tcp(_) | Kind::Script(_) => false,
        }
    }
}

fn is_at(place: &Place, mysql: &Mysql) -> bool {
    match place {
        Place::Socket(socket) => mysql.socket.as_ref() == Some(socket),
        Place::Tcp(address, port) => {
            mysql.socket.is_none() && (*address, *port) == (mysql.address, mysql.port)
        }
    }
}

impl Checks {
    pub(super) fn new(standing: Standing) -> Self {
        let (told_in, told) = mpsc::channel(TOLD);
        Self {
            standing,
            running: BTreeMap::new(),
            active: BTreeMap::new(),
            told_in,
            told,
            witness: None,
            runs: 0,
        }
    }

    /// Runs what the configuration wants: a check that is the same goes on, all else starts anew. The instances must have
    /// their seats; `is_active` says of each whether it is MASTER here, also under a new name.
    pub(super) fn go_by(&mut self, config: &Config, is_active: impl Fn(&str) -> bool) {
        let wanted: BTreeMap<_, _> = config
            .instances
            .iter()
            .flat_map(|instance| {
                instance.checks.iter().map(move |check| {
                    let (is_own, is_of_role) = match &check.kind {
                        Kind::Mysql(mysql) => (
                            config.is_own_server(instance, mysql),
                            (instance.role.as_ref()).is_some_and(|role| is_at(&role.local.place, mysql)),
                        ),
                        Kind::Tcp(_) | Kind::Script(_) => (false, false),
                    };
                    let key = (instance.name.clone(), check.name.clone());
                    (key, Wanted { check, is_managed: instance.role.is_some(), is_own, is_of_role })
                })
            })
            .collect();
        let standing = &self.standing;
        self.running.retain(|key, running| {
            let stays = (wanted.get(key))
                .is_some_and(|wanted| *wanted.check == running.check && wanted.is_own == running.is_own);
            if !stays {
                // An instance that is gone has no seat either.
                standing.forget(&key.0, &key.1);
            }
            stays
        });
        self.active.retain(|name, _| config.instances.iter().any(|instance| instance.name == *name));
        for Instance { name, .. } in &config.instances {
            // Also of one without checks: it may get one while it is MASTER, and no transition would say so then.
            self.active.entry(name.clone()).or_insert_with(|| watch::Sender::new(false));
            self.note_active(name, is_active(name));
        }
        for (key, wanted) in wanted {
            if !self.running.contains_key(&key) {
                self.start(key, &wanted);
            }
        }
    }

    fn start(&mut self, key: (String, String), wanted: &Wanted<'_>) {
        let Wanted { check, is_managed, is_own, is_of_role } = *wanted;
        let mut started = check.clone();
        if let Kind::Mysql(mysql) = &mut started.kind {
            // Whoever listens here is not whom the check asks.
            mysql.process &= is_own;
        }
        let is_watched = matches!(&started.kind, Kind::Mysql(mysql) if mysql.process);
        if is_watched && self.witness.is_none() {
            self.witness = witness::start();
        }
        let active = self.active.entry(key.0.clone()).or_insert_with(|| watch::Sender::new(false));
        self.runs += 1;
        let run = self.runs;
        let context = Context {
            instance: Arc::from(key.0.as_str()),
            run,
            active: active.subscribe(),
            is_managed,
            witness: self.witness.clone(),
            told: self.told_in.clone(),
        };
        let watch = Watch::start(started, context);
        let standing = watch.standing();
        self.running.insert(
            key.clone(),
            Running { check: check.clone(), is_own, is_of_role, run, seen: standing.verdict, watch },
        );
        self.act(&Told {
            instance: Arc::from(key.0.as_str()),
            check: key.1,
            run,
            verdict: standing.verdict,
            seen: standing.verdict,
            is_change: true,
            cause: standing.cause,
        });
    }

    /// The next verdict. Never the end: `self` holds a sender.
    pub(super) async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// Does what the configuration wants done about it.
    /// False if the verdict is of a check that is no more.
    pub(super) fn act(&mut self, told: &Told) -> bool {
        let Told { instance, check, run, verdict, seen, is_change, cause } = told;
        let running = self.running.get_mut(&(instance.to_string(), check.clone()));
        // Of one that is no more, or is another one now: told before it was ended.
        let Some(running) = running.filter(|running| running.run == *run) else { return false };
        running.seen = *seen;
        if !is_change {
            return true;
        }
        let on_failure = &running.check.on_failure;
        let holder = Holder::Check(check.clone());
        let holds = on_failure.to(*verdict) == Some(Reaction::Release);
        let known = if holds {
            let reason = if cause.is_empty() { String::new() } else { format!(": {cause}") };
            self.standing.hold(instance, holder, format!("check {check} says {verdict}{reason}"))
        } else {
            self.standing.let_go(instance, &holder)
        };
        let weighed = on_failure.weights().is_empty()
            || self.standing.weigh(instance, check, on_failure.contribution(*verdict));
        if !known || !weighed {
            tracing::error!(
                instance = &**instance,
                "check {check} is {verdict}, and no such instance is there"
            );
        }
        true
    }

    /// The worst that is seen of an instance's database server on this host, and not of a port or by a script; None if nobody
    /// looks.
    pub(super) fn server_verdict(&self, instance: &str) -> Option<Verdict> {
        let of_server = self
            .running
            .iter()
            .filter(|((name, _), running)| name == instance && running.is_of_this_hosts_server());
        of_server.map(|(_, running)| running.seen).max_by_key(|verdict| verdict.rank())
    }

    /// Whether the instance is MASTER now: only then its server is written to.
    pub(super) fn note_active(&self, instance: &str, active: bool) {
        if let Some(told) = self.active.get(instance) {
            told.send_if_modified(|now| std::mem::replace(now, active) != active);
        }
    }

    /// The checks of an instance, for status.
    pub(super) fn of(&self, instance: &str) -> impl Iterator<Item = (&Check, &Watch)> {
        self.running
            .iter()
            .filter(move |((name, _), _)| name == instance)
            .map(|(_, running)| (&running.check, &running.watch))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;
    use std::path::Path;

    use super::*;
    use crate::daemon::standing::Chair;

    const INSTANCE: &str = "instances:\n  - { name: A, interface: e, virtual_router_id: 1, virtual_addresses: [10.0.0.9], checks: [";

    fn config(checks: &str) -> Config {
        Config::parse(&format!("{INSTANCE}{checks}] }}\n"), Path::new("x.yaml")).unwrap().config
    }

    fn checks(config: &Config) -> Checks {
        let standing = Standing::default();
        standing.start(&[Chair { instance: "A".into(), router: 0, base: NonZeroU8::new(100).unwrap() }]);
        let mut checks = Checks::new(standing);
        checks.go_by(config, |_| false);
        checks
    }

    fn told(checks: &Checks, check: &str, verdict: Verdict) -> Told {
        let run = checks.running.get(&("A".to_owned(), check.to_owned())).map_or(0, |running| running.run);
        let (instance, check) = (Arc::from("A"), check.into());
        Told { instance, check, run, verdict, seen: verdict, is_change: true, cause: "why".into() }
    }

    fn act(checks: &mut Checks, check: &str, verdict: Verdict) {
        let told = told(checks, check, verdict);
        checks.act(&told);
    }

    /// Never runs on its own: what is told here is all that is told.
    const RELEASE: &str = "{ name: r, tcp: { port: 1 }, interval: 3600s, fall: 255 }";
    const WEIGHT: &str =
        "{ name: w, tcp: { port: 1 }, interval: 3600s, fall: 255, on_failure: { weight: -30 } }";
    const BONUS: &str =
        "{ name: b, tcp: { port: 1 }, interval: 3600s, fall: 255, on_failure: { weight: 5 } }";
    const REPORT: &str = "{ name: s, tcp: { port: 1 }, interval: 3600s, fall: 255, on_failure: report }";
    const FAILED: &str =
        "{ name: f, script: { command: /bin/true, init_fail: true }, interval: 3600s, rise: 255 }";

    fn stands(checks: &Checks) -> (u8, usize) {
        let standpoint = checks.standing.of("A").unwrap();
        (standpoint.priority.get(), standpoint.holders.len())
    }

    #[tokio::test]
    async fn a_verdict_holds_weighs_or_is_only_told() {
        let mut checks = checks(&config(&[RELEASE, WEIGHT, BONUS, REPORT].join(", ")));
        assert_eq!(stands(&checks), (105, 0), "the bonus counts from the start");
        for (check, verdict, expected) in [
            ("s", Verdict::Dead, (105, 0)),
            ("w", Verdict::Dead, (75, 0)),
            ("b", Verdict::Hung, (70, 0)),
            ("r", Verdict::Misconfigured, (70, 0)),
            ("r", Verdict::Degraded, (70, 0)),
            ("r", Verdict::Hung, (70, 1)),
            ("r", Verdict::Misconfigured, (70, 0)),
            ("w", Verdict::Healthy, (100, 0)),
            ("b", Verdict::Healthy, (105, 0)),
        ] {
            act(&mut checks, check, verdict);
            assert_eq!(stands(&checks), expected, "{check} {verdict}");
        }
        act(&mut checks, "r", Verdict::Dead);
        let holders = checks.standing.of("A").unwrap().holders;
        assert_eq!(holders, [(Holder::Check("r".into()), "check r says dead: why".to_owned())]);
    }

    #[tokio::test]
    async fn the_worst_that_is_said_of_a_server_counts_and_goes_with_the_check() {
        let mysql = |name: &str| format!("{{ name: {name}, mysql: {{ port: 1, user: u }}, fall: 255 }}");
        let mut checks = checks(&config(&[mysql("m"), mysql("n"), RELEASE.to_owned()].join(", ")));
        assert_eq!(checks.server_verdict("A"), Some(Verdict::Healthy));
        for (check, verdict, expected) in [
            ("r", Verdict::Dead, Verdict::Healthy),
            ("m", Verdict::Hung, Verdict::Hung),
            ("n", Verdict::Healthy, Verdict::Hung),
            ("n", Verdict::Misconfigured, Verdict::Hung),
            ("m", Verdict::Degraded, Verdict::Degraded),
            ("n", Verdict::Dead, Verdict::Dead),
        ] {
            act(&mut checks, check, verdict);
            assert_eq!(checks.server_verdict("A"), Some(expected), "{check} {verdict}");
        }
        // Its account was dropped with the server down: it is out, and whether the server is cannot be told.
        let blind =
            Told { seen: Verdict::Misconfigured, is_change: false, ..told(&checks, "n", Verdict::Dead) };
        checks.act(&blind);
        assert_eq!(checks.server_verdict("A"), Some(Verdict::Degraded));
        assert_eq!(stands(&checks).1, 2, "{:?}", checks.standing.of("A"));
        checks.go_by(&config(&mysql("m")), |_| false);
        assert_eq!(checks.server_verdict("A"), Some(Verdict::Degraded), "the same check goes on");
        checks.go_by(&config(&mysql("m").replace("255", "254")), |_| false);
        assert_eq!(checks.server_verdict("A"), Some(Verdict::Healthy), "another one knows nothing yet");
        checks.go_by(&config(RELEASE), |_| false);
        assert_eq!(checks.server_verdict("A"), None);
    }

    #[tokio::test]
    async fn another_hosts_server_is_not_this_ones() {
        let at = |place: &str| {
            format!("{{ name: m, mysql: {{ {place}, user: u }}, fall: 255, on_failure: report }}")
        };
        let mut checks = checks(&config(&at("port: 1")));
        let dead = |checks: &mut Checks| {
            act(checks, "m", Verdict::Dead);
            checks.server_verdict("A")
        };
        assert_eq!(dead(&mut checks), Some(Verdict::Dead));
        let elsewhere = "peers: [10.0.0.2], checks: [";
        let of = |place: &str| {
            let text = format!("{}{}] }}\n", INSTANCE.replace("checks: [", elsewhere), at(place));
            Config::parse(&text, Path::new("x.yaml")).unwrap().config
        };
        for (place, expected) in [
            ("address: 10.0.0.2", None),
            // The virtual address: whoever is MASTER.
            ("address: 10.0.0.9", None),
            // Nobody's whom the configuration knows, and not this host's.
            ("address: 192.0.2.7", None),
            ("address: 10.0.0.2, socket: /s", Some(Verdict::Dead)),
            ("address: 127.0.0.2", Some(Verdict::Dead)),
        ] {
            checks.go_by(&of(place), |_| false);
            assert_eq!(dead(&mut checks), expected, "{place}");
        }
    }

    #[tokio::test]
    async fn the_managed_server_is_this_hosts_wherever_it_lives() {
        let at = |port: u16| {
            let managed = "role: manage, mysql: { address: 192.0.2.7, port: 3306, user: u, service_ports: [3306], peer: { address: \
                           10.0.0.2, user: u } }, checks: [";
            let check = format!(
                "{{ name: m, mysql: {{ address: 192.0.2.7, port: {port}, user: u }}, fall: 255, on_failure: report }}"
            );
            let text = format!("{}{check}] }}\n", INSTANCE.replace("checks: [", managed));
            Config::parse(&text, Path::new("x.yaml")).unwrap().config
        };
        let mut checks = checks(&at(3306));
        act(&mut checks, "m", Verdict::Hung);
        assert_eq!(checks.server_verdict("A"), Some(Verdict::Hung), "a container's");
        checks.go_by(&at(3307), |_| false);
        act(&mut checks, "m", Verdict::Hung);
        assert_eq!(checks.server_verdict("A"), None, "another one's");
    }

    #[tokio::test]
    async fn an_instance_is_known_as_master_before_it_has_a_check_and_under_a_new_name() {
        let mut checks = checks(&config(""));
        let is_active = |checks: &Checks, name: &str| checks.active.get(name).map(|active| *active.borrow());
        checks.note_active("A", true);
        checks.go_by(&config(RELEASE), |name| name == "A");
        assert_eq!(is_active(&checks, "A"), Some(true));
        let renamed = INSTANCE.replace("name: A", "name: B") + RELEASE + "] }\n";
        let renamed = Config::parse(&renamed, Path::new("x.yaml")).unwrap().config;
        checks.go_by(&renamed, |name| name == "B");
        assert_eq!((is_active(&checks, "A"), is_active(&checks, "B")), (None, Some(true)));
        checks.go_by(&renamed, |_| false);
        assert_eq!(is_active(&checks, "B"), Some(false), "another router by that name");
    }

    #[tokio::test]
    async fn what_counts_as_failed_until_it_is_known_holds_from_the_start() {
        assert_eq!(stands(&checks(&config(FAILED))), (100, 1));
    }

    #[tokio::test]
    async fn another_configuration_drops_what_is_gone_and_keeps_what_is_the_same() {
        let mut checks = checks(&config(&[RELEASE, WEIGHT].join(", ")));
        act(&mut checks, "r", Verdict::Dead);
        act(&mut checks, "w", Verdict::Dead);
        assert_eq!(stands(&checks), (70, 1));
        checks.go_by(&config(&[RELEASE, BONUS].join(", ")), |_| false);
        assert_eq!(stands(&checks), (105, 1), "the weight is gone, the hold stays");
        let under_way = told(&checks, "r", Verdict::Dead);
        checks.go_by(&config(&RELEASE.replace("255", "254")), |_| false);
        checks.act(&under_way);
        assert_eq!(stands(&checks), (100, 0), "another check begins anew, whatever was said of the former");
        assert_eq!(checks.of("A").count(), 1);
        checks.go_by(&config(""), |_| false);
        act(&mut checks, "r", Verdict::Dead);
        assert_eq!(stands(&checks), (100, 0), "nobody asks any more");
    }
}
