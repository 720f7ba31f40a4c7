//! What happens in the lab: two routers, a client that asks for the VIP, the witnesses, and what the user does to them.
//!
//! Owns the lab and its routers, and draws the conclusions that the view shows. Refuses to know how they are shown.

use std::{collections::VecDeque, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context, Result};
use vrrp_lab::{
    AddressWatch, Capture, Daemon, HoldingTimeline, Host, Keepalived, Lab, Peer, Process,
    clock::{self, MILLISECOND, SECOND},
    daemon::socket,
    frame::Advert,
};

use super::{
    bare::{self, BareState},
    client::{Client, PERIOD, Reach},
    database::{Database, ServerNode},
    recipe,
    switch::{Switch, Target},
    tally::Writes,
    words::Words,
};

mod servers;

/// The virtual address in config/lab-*.yaml and, in the lab's place, config/mysql-pair-*.yaml.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
pub(super) const NODES: [&str; 2] = ["a", "b"];
/// keepalived's part, when it takes one: as in the files.
const PRIORITIES: [u8; 2] = [100, 90];
const ADVERT_MS: u32 = 100;
const KEPT: usize = 200;
/// A daemon that takes longer shows that by itself.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What a key asks for; `usize` is the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Link(usize),
    Carrier(usize),
    Kill(usize),
    Restart(usize),
    Stop(usize),
    Freeze(usize),
    /// The owner hands over.
    Switch,
    Server(ServerKey, usize),
    Quit,
}

/// What is done to a database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerKey {
    Kill,
    Freeze,
    Disk,
    Start,
}

impl Key {
    /// Lower case is node a, upper case node b.
    pub(crate) fn from_char(character: char) -> Option<Self> {
        let node = usize::from(character.is_uppercase());
        match character.to_ascii_lowercase() {
            '1' => Some(Self::Link(0)),
            '2' => Some(Self::Link(1)),
            'c' => Some(Self::Carrier(node)),
            'k' => Some(Self::Kill(node)),
            'r' => Some(Self::Restart(node)),
            's' => Some(Self::Stop(node)),
            'z' => Some(Self::Freeze(node)),
            'p' => Some(Self::Switch),
            'm' => Some(Self::Server(ServerKey::Kill, node)),
            'f' => Some(Self::Server(ServerKey::Freeze, node)),
            'd' => Some(Self::Server(ServerKey::Disk, node)),
            'u' => Some(Self::Server(ServerKey::Start, node)),
            'q' => Some(Self::Quit),
            _ => None,
        }
    }
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Running,
    Frozen,
    Ended(String),
}

impl Condition {
    pub(super) fn of(process: &mut Process) -> Self {
        match (process.ending(), process.state()) {
            (Some(how), _) => Self::Ended(how),
            (None, Some('T')) => Self::Frozen,
            (None, _) => Self::Running,
        }
    }
}

/// How a router's cable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// Nothing passes, the carrier stays.
    Cut,
    /// The carrier is gone.
    Unplugged,
}

#[derive(Debug)]
enum Router {
    Daemon(Daemon),
    Keepalived(Keepalived),
}

impl Router {
    fn process(&mut self) -> &mut Process {
        match self {
            Self::Daemon(daemon) => daemon,
            Self::Keepalived(keepalived) => keepalived,
        }
    }

    fn restart(&mut self, host: &Host) -> Result<()> {
        match self {
            Self::Daemon(daemon) => daemon.restart(host),
            Self::Keepalived(keepalived) => keepalived.restart(host),
        }
    }
}

/// One router, as seen.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) pid: u32,
    pub(crate) condition: Condition,
    pub(crate) link: Link,
    pub(crate) adverts: u64,
    pub(crate) last_advert: Option<AdvertSeen>,
}

/// One advert, as the switch saw it.
#[derive(Clone, Debug)]
pub(crate) struct AdvertSeen {
    pub(crate) time_ns: u64,
    pub(crate) node: &'static str,
    /// Since the same node's advert before.
    pub(crate) gap_ns: Option<u64>,
    pub(crate) advert: Advert,
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Done,
    Moved,
    Trouble,
}

/// Something worth telling.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) time_ns: u64,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// All that a view needs.
pub(crate) struct Sight<'stage> {
    pub(crate) now_ns: u64,
    pub(crate) start_ns: u64,
    pub(crate) nodes: &'stage [Node],
    pub(crate) timeline: &'stage HoldingTimeline,
    pub(crate) reach: &'stage Reach,
    /// Nothing in the bare lab.
    pub(crate) database: Option<DatabaseSight<'stage>>,
    pub(crate) adverts: &'stage VecDeque<AdvertSeen>,
    pub(crate) events: &'stage VecDeque<Event>,
}

/// What a view needs of the servers.
#[derive(Clone, Copy)]
pub(crate) struct DatabaseSight<'stage> {
    pub(crate) servers: &'stage [ServerNode],
    pub(crate) writes: &'stage Writes,
}

/// How the lab is set.
pub(crate) struct Plan<'a> {
    /// The daemon.
    pub(crate) binary: &'a Path,
    /// The folder `config/`.
    pub(crate) config: &'a Path,
    /// Nodes that run keepalived.
    pub(crate) keepalived: &'a [String],
    /// MariaDB on both nodes and a writer.
    pub(crate) has_servers: bool,
}

/// The lab with everything in it. Dropping it undoes all of it.
pub(crate) struct Stage {
    // Dropped in this order: the routers, what they left, the servers, those who watch them, the network.
    switch: Option<Switch>,
    routers: Vec<Router>,
    _bare_state: Option<BareState>,
    targets: Vec<Target>,
    words: [Words; 2],
    database: Option<Database>,
    client: Client,
    capture: Capture,
    watch: AddressWatch,
    lab: Lab,
    start_ns: u64,
    nodes: Vec<Node>,
    timeline: HoldingTimeline,
    told_spans: usize,
    reach: Reach,
    adverts: VecDeque<AdvertSeen>,
    events: VecDeque<Event>,
    next_event: u64,
    /// When the key that is obeyed was read.
    deed_ns: u64,
    last_deed: Option<(u64, String)>,
}

impl Stage {
    /// Builds the network, starts the servers, if any, and the routers: with `lab-*.yaml`, or with `mysql-pair-*.yaml` where
    /// they have servers.
    pub(crate) fn set(plan: &Plan<'_>) -> Result<Self> {
        let lab = Lab::pair("run").context("build the lab")?;
        let is_managed = plan.keepalived.is_empty();
        let database = plan.has_servers.then(|| Database::start(&lab, !is_managed)).transpose()?;
        let capture = Capture::start(&lab, &NODES)?;
        let watch = AddressWatch::start(&lab, &NODES)?;
        let client = Client::start(lab.host("client"), VIP)?;
        let start_ns = clock::now_ns();
        let timeline = watch.timeline(VIP)?;
        let bare_state =
            (!plan.has_servers).then(|| BareState::clear(Path::new(bare::FOLDER))).transpose()?;
        let (mut routers, mut nodes, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (name, priority) in NODES.into_iter().zip(PRIORITIES) {
            let host = lab.host(name);
            let socket = if database.is_some() { socket(host) } else { bare::socket(name) };
            let instance = if database.is_some() { recipe::INSTANCE } else { "LAB" };
            targets.push(Target { binary: plan.binary.to_owned(), socket, instance });
            let (mut router, program) = if plan.keepalived.iter().any(|node| node == name) {
                let keepalived = match &database {
                    Some(_) => Keepalived::start_with_file(host, &recipe::write_keepalived(host, priority)?),
                    None => Keepalived::start(host, &[Peer::v3(priority, ADVERT_MS)]),
                };
                (Router::Keepalived(keepalived?), "keepalived")
            } else {
                let file = match &database {
                    Some(database) => {
                        recipe::write_daemon(host, plan.config, &database.socket(name), is_managed)?
                    }
                    None => plan.config.join(format!("lab-{name}.yaml")),
                };
                let daemon = Daemon::start_with_file(host, plan.binary, &file)?;
                // Alike but for the priority, they would race: a is to be the first owner.
                clock::wait_until(START_LIMIT, || daemon.log().contains("-> BACKUP"));
                (Router::Daemon(daemon), "vrrp")
            };
            let pid = router.process().pid();
            routers.push(router);
            nodes.push(Node {
                name,
                program,
                address: host.address(),
                pid,
                condition: Condition::Running,
                link: Link::Up,
                adverts: 0,
                last_advert: None,
            });
        }
        let (reach, adverts, events) = (Reach::default(), VecDeque::new(), VecDeque::new());
        let mut stage = Self {
            switch: None,
            routers,
            _bare_state: bare_state,
            targets,
            words: Default::default(),
            database,
            client,
            capture,
            watch,
            lab,
            start_ns,
            nodes,
            timeline,
            told_spans: 0,
            reach,
            adverts,
            events,
            next_event: 0,
            deed_ns: start_ns,
            last_deed: None,
        };
        if stage.database.is_some() && !is_managed {
            let text = "as in the usual recipe both servers take writes: beside keepalived nobody manages their role";
            stage.tell(start_ns, Kind::Done, text.to_owned());
        }
        Ok(stage)
    }

    /// Takes in what has happened since the last look.
    pub(crate) fn look(&mut self) -> Result<()> {
        self.client.check()?;
        for record in self.capture.drain() {
            let Some(index) = NODES.iter().position(|name| *name == record.host) else { continue };
            if let Some(advert) = record.advert() {
                self.note_advert(index, record.time_ns, advert.clone());
            } else if record.arp().is_some_and(|arp| arp.operation == 2 && arp.sender == VIP) {
                self.note_answer(index, record.time_ns);
            }
        }
        for (index, name) in NODES.into_iter().enumerate() {
            let words = self.words[index].look(self.routers[index].process());
            for text in words {
                self.tell(clock::now_ns(), Kind::Trouble, format!("{name}: {text}"));
            }
            self.look_at_process(index);
        }
        self.look_at_owner()?;
        self.look_at_switch();
        self.look_at_database()
    }

    /// Does what a key asks for; a failure becomes an event.
    pub(crate) fn obey(&mut self, key: Key) {
        // Before the deed: what comes of it is told after it.
        self.deed_ns = clock::now_ns();
        let outcome = match key {
            Key::Link(index) => self.toggle_link(index, Link::Cut),
            Key::Carrier(index) => self.toggle_link(index, Link::Unplugged),
            Key::Kill(index) => {
                match &mut self.routers[index] {
                    // Its guard lives on: that is the point.
                    Router::Daemon(daemon) => daemon.kill(),
                    Router::Keepalived(keepalived) => keepalived.kill_tree(),
                }
                self.deed(index, "was killed (SIGKILL)");
                Ok(())
            }
            Key::Stop(index) => {
                self.routers[index].process().terminate();
                self.deed(index, "was asked to stop (SIGTERM)");
                Ok(())
            }
            Key::Freeze(index) => {
                self.toggle_freeze(index);
                Ok(())
            }
            Key::Restart(index) => {
                let outcome = self.routers[index].restart(self.lab.host(NODES[index]));
                self.nodes[index].pid = self.routers[index].process().pid();
                self.deed(index, "was started again");
                outcome
            }
            Key::Switch => self.begin_switch(),
            Key::Server(key, index) => self.obey_for_server(key, index),
            Key::Quit => Ok(()),
        };
        if let Err(error) = outcome {
            self.tell(clock::now_ns(), Kind::Trouble, format!("{error:#}"));
        }
    }

    /// What there is to see.
    pub(crate) fn sight(&self) -> Sight<'_> {
        Sight {
            now_ns: clock::now_ns(),
            start_ns: self.start_ns,
            nodes: &self.nodes,
            timeline: &self.timeline,
            reach: &self.reach,
            database: self
                .database
                .as_ref()
                .map(|database| DatabaseSight { servers: database.nodes(), writes: database.writes() }),
            adverts: &self.adverts,
            events: &self.events,
        }
    }

    fn note_advert(&mut self, index: usize, time_ns: u64, advert: Advert) {
        let node = &mut self.nodes[index];
        let before = node.last_advert.as_ref().map(|seen| seen.time_ns);
        let gap_ns = before.map(|before| time_ns.saturating_sub(before));
        let seen = AdvertSeen { time_ns, node: node.name, gap_ns, advert };
        node.adverts += 1;
        node.last_advert = Some(seen.clone());
        let (name, is_release) = (node.name, seen.advert.is_release());
        push(&mut self.adverts, seen);
        if is_release {
            self.tell(time_ns, Kind::Done, format!("{name} released the VIP (advert of priority 0)"));
        }
    }

    fn note_answer(&mut self, index: usize, time_ns: u64) {
        if let Some(before) = self.reach.last_answer_ns {
            let gap = time_ns.saturating_sub(before);
            if gap > 3 * PERIOD {
                self.reach.last_outage_ns = Some(gap);
                let by = NODES[index];
                self.tell(
                    time_ns,
                    Kind::Moved,
                    format!("client: the VIP answers again after {}, from {by}", ms(gap)),
                );
            }
        }
        self.reach.last_answer_ns = Some(time_ns);
        self.reach.answered_by = Some(NODES[index]);
    }

    fn look_at_process(&mut self, index: usize) {
        let process = self.routers[index].process();
        let condition = Condition::of(process);
        let node = &mut self.nodes[index];
        if node.condition != condition {
            if let Condition::Ended(how) = &condition {
                let log = process.log();
                // Who is killed has no say; who gives up says why.
                let has_given_up = how.starts_with("exit code") && how != "exit code 0";
                let last = log.lines().next_back().filter(|_| has_given_up);
                let last = last.map(|line| format!("; its last words: {line}"));
                let text =
                    format!("{}'s {} ended: {how}{}", node.name, node.program, last.unwrap_or_default());
                node.condition = condition;
                self.tell(clock::now_ns(), Kind::Done, text);
                return;
            }
            node.condition = condition;
        }
    }

    fn look_at_owner(&mut self) -> Result<()> {
        self.timeline = self.watch.timeline(VIP)?;
        let spans = self.timeline.spans().to_vec();
        // The first stretch is the time before anything happened; a stretch is told when it begins.
        for (index, span) in spans.iter().enumerate().skip(self.told_spans.max(1)) {
            let cut_off: Vec<&str> = self.cut_off().collect();
            let (kind, mut text) = match &span.hosts[..] {
                [] => (Kind::Moved, "nobody owns the VIP".to_owned()),
                [one] => (Kind::Moved, format!("{one} owns the VIP")),
                more if cut_off.is_empty() => (Kind::Trouble, format!("TWO OWNERS: {}", more.join(" and "))),
                more => (
                    Kind::Moved,
                    format!("{} own the VIP, {} being cut off", more.join(" and "), cut_off.join(" and ")),
                ),
            };
            if let Some((time_ns, deed)) = &self.last_deed
                && let Some(after) = span.from_ns.checked_sub(*time_ns)
                && after < 20 * SECOND
            {
                text.push_str(&format!(", {} after {deed}", ms(after)));
            }
            if let Some(before) = spans.get(index - 1)
                && before.hosts.len() > 1
            {
                text.push_str(&format!(" (two owners for {})", ms(clock::nanos(before.length()))));
            }
            self.tell(span.from_ns, kind, text);
        }
        self.told_spans = spans.len();
        Ok(())
    }

    fn cut_off(&self) -> impl Iterator<Item = &'static str> {
        self.nodes.iter().filter(|node| node.link != Link::Up).map(|node| node.name)
    }

    fn toggle_link(&mut self, index: usize, wanted: Link) -> Result<()> {
        let host = self.lab.host(NODES[index]);
        let (link, words) = match (self.nodes[index].link, wanted) {
            (Link::Up, Link::Unplugged) => {
                host.lose_carrier()?;
                (Link::Unplugged, "lost its carrier")
            }
            (Link::Up, Link::Cut | Link::Up) => {
                host.cut()?;
                (Link::Cut, "was cut off (carrier stays)")
            }
            (Link::Cut, _) => {
                host.heal()?;
                (Link::Up, "was connected again")
            }
            (Link::Unplugged, _) => {
                host.restore_carrier()?;
                (Link::Up, "was plugged in again")
            }
        };
        self.nodes[index].link = link;
        self.deed(index, words);
        Ok(())
    }

    fn toggle_freeze(&mut self, index: usize) {
        let is_frozen = self.nodes[index].condition == Condition::Frozen;
        match (&mut self.routers[index], is_frozen) {
            (Router::Daemon(daemon), false) => daemon.freeze(),
            (Router::Daemon(daemon), true) => daemon.thaw(),
            (Router::Keepalived(keepalived), false) => keepalived.freeze_tree(),
            (Router::Keepalived(keepalived), true) => keepalived.thaw_tree(),
        }
        self.deed(index, if is_frozen { "was thawed (SIGCONT)" } else { "was frozen (SIGSTOP)" });
    }

    fn deed(&mut self, index: usize, what: &str) {
        self.deed_to(index, "", what);
    }

    fn deed_to(&mut self, index: usize, whose: &str, what: &str) {
        let text = format!("{}{whose} {what}", NODES[index]);
        self.last_deed = Some((self.deed_ns, text.clone()));
        self.tell(self.deed_ns, Kind::Done, text);
    }

    fn tell(&mut self, time_ns: u64, kind: Kind, text: String) {
        let event = Event { number: self.next_event, time_ns, kind, text };
        self.next_event += 1;
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        // The witnesses are read one after the other: what they saw is told in the order in which it happened.
        let place =
            self.events.iter().rposition(|earlier| earlier.time_ns <= time_ns).map_or(0, |place| place + 1);
        self.events.insert(place, event);
    }
}

/// Milliseconds with a tenth, as text.
pub(crate) fn ms(nanoseconds: u64) -> String {
    let tenths = nanoseconds / (MILLISECOND / 10);
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(item);
}
