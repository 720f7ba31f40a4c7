//! A small network: hosts in namespaces of their own, each with an `eth0`, joined by a bridge in another.
//!
//! Owns the topology and its faults: ports cut and healed, carriers lost, packets dropped. Refuses to know what runs on
//! the hosts. Everything is gone when the lab is dropped; what dead runs left is swept when one is made.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, bail};

use crate::{
    addresses::{self, HeldAddress},
    frame::Mac,
    namespace::{self, Namespace, run},
    process::Process,
};

const BRIDGE: &str = "br0";
const TABLE: &str = "lab";

static COUNT: AtomicU32 = AtomicU32::new(1);

/// Hosts on one Ethernet segment.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: the hosts' processes and links go before the bridge they hang on.
    hosts: Vec<Host>,
    bridge: Namespace,
    folder: PathBuf,
    suffix: String,
}

/// One host: a namespace with an interface `eth0`, and the bridge's port at the other end of its cable.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    bridge: String,
    address: Ipv4Addr,
    mac: Mac,
    ifindex: u32,
    port: u32,
    folder: PathBuf,
}

/// A further segment: see [`Lab::add_segment`].
#[derive(Clone, Debug)]
pub struct Segment {
    /// The name of the interface on each host.
    pub interface: String,
    /// The indices of the bridge's ports, in the order of the hosts.
    pub ports: Vec<u32>,
}

impl Lab {
    /// A bridge without hosts. `name` goes into the names of the namespaces, for whoever looks with `ip netns`.
    pub fn new(name: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(namespace::sweep_dead);
        let suffix = format!("{}-{name}", COUNT.fetch_add(1, Ordering::Relaxed));
        let bridge = Namespace::create(&format!("{suffix}-bridge"))?;
        // Without spanning tree a port forwards as soon as it is up.
        bridge.ip(&[
            "link",
            "add",
            "name",
            BRIDGE,
            "type",
            "bridge",
            "stp_state",
            "0",
            "mcast_snooping",
            "0",
        ])?;
        bridge.ip(&["link", "set", "dev", BRIDGE, "up"])?;
        bridge.enter(be_a_plain_switch)?;
        let folder = namespace::folder(&suffix)?;
        Ok(Self { hosts: Vec::new(), bridge, folder, suffix })
    }

    /// Two routers `a` (10.99.0.1) and `b` (10.99.0.2), and a `client` (10.99.0.100).
    pub fn pair(name: &str) -> Result<Self> {
        let mut lab = Self::new(name)?;
        lab.add_host("a", "10.99.0.1/24")?;
        lab.add_host("b", "10.99.0.2/24")?;
        lab.add_host("client", "10.99.0.100/24")?;
        Ok(lab)
    }

    /// One more host with this address and prefix on its `eth0`. Names are short: they name interfaces.
    pub fn add_host(&mut self, name: &str, address: &str) -> Result<&Host> {
        let host = Host::create(&self.suffix, name, address, &self.bridge, &self.folder)
            .with_context(|| format!("cannot set up host {name} ({address})"))?;
        self.hosts.push(host);
        Ok(self.host(name))
    }

    /// One more segment between these hosts: an interface `eth<number>` on each, with the address 10.(99 + number).0.x/16
    /// whose last byte is that of its `eth0`, on a bridge of its own. For more virtual routers than one segment has IDs.
    pub fn add_segment(&self, number: u8, hosts: &[&str]) -> Result<Segment> {
        let interface = format!("eth{number}");
        let bridge = format!("br{number}");
        let kind = ["type", "bridge", "stp_state", "0", "mcast_snooping", "0"];
        self.bridge.ip(&[["link", "add", "name", &bridge].as_slice(), &kind].concat())?;
        self.bridge.ip(&["link", "set", "dev", &bridge, "up"])?;
        let mut ports = Vec::new();
        for name in hosts {
            let host = self.host(name);
            let port = format!("{name}{number}");
            let [_, _, _, last] = host.address.octets();
            let peer = ["peer", "name", &interface, "netns", host.namespace.name()];
            self.bridge.ip(&[["link", "add", "name", &port, "type", "veth"].as_slice(), &peer].concat())?;
            self.bridge.ip(&["link", "set", "dev", &port, "master", &bridge, "up"])?;
            let address = format!("10.{}.0.{last}/16", 99 + u16::from(number));
            host.namespace.ip(&["address", "add", &address, "dev", &interface])?;
            host.namespace.ip(&["link", "set", "dev", &interface, "up"])?;
            ports.push(interface_index(&self.bridge, &port)?);
        }
        Ok(Segment { interface, ports })
    }

    /// The host with this name; panics when there is none.
    pub fn host(&self, name: &str) -> &Host {
        match self.hosts.iter().find(|host| host.name == name) {
            Some(host) => host,
            None => panic!("the lab has no host {name:?}; it has {:?}", self.names()),
        }
    }

    /// All hosts, in the order in which they were added.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.hosts.iter().map(|host| host.name.as_str()).collect()
    }

    /// The namespace of the bridge; its ports are named after the hosts.
    pub fn bridge(&self) -> &Namespace {
        &self.bridge
    }

    /// The end of a namespace's name that no other in this process has.
    pub(crate) fn next_name(&self) -> String {
        format!("{}-{}", self.suffix, COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// For logs and generated files; removed with the lab.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("lab: cannot remove {}: {error}", self.folder.display());
        }
    }
}

impl Host {
    fn create(lab: &str, name: &str, address: &str, bridge: &Namespace, folder: &Path) -> Result<Self> {
        let Some(ip) = address.split('/').next().and_then(|ip| ip.parse::<Ipv4Addr>().ok()) else {
            bail!("{address:?} is not an IPv4 address with a prefix, like 10.99.0.1/24");
        };
        let [b0, b1, b2, b3] = ip.octets();
        // Locally administered, and readable in a packet dump.
        let mac = [0x02, 0, b0, b1, b2, b3];
        let mac_text = format!("02:00:{b0:02x}:{b1:02x}:{b2:02x}:{b3:02x}");
        let namespace = Namespace::create(&format!("{lab}-{name}"))?;
        let peer = ["peer", "name", "eth0", "address", &mac_text, "netns", namespace.name()];
        bridge.ip(&[["link", "add", "name", name, "type", "veth"].as_slice(), &peer].concat())?;
        bridge.ip(&["link", "set", "dev", name, "master", BRIDGE, "up"])?;
        namespace.ip(&["address", "add", address, "dev", "eth0"])?;
        namespace.ip(&["link", "set", "dev", "eth0", "up"])?;
        let ifindex = interface_index(&namespace, "eth0")?;
        let port = interface_index(bridge, name)?;
        let (name, bridge, folder) = (name.to_owned(), bridge.name().to_owned(), folder.to_owned());
        Ok(Self { name, namespace, bridge, address: ip, mac, ifindex, port, folder })
    }

    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The primary address of its `eth0`.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The hardware address of its `eth0`.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// The index of its `eth0`.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The index, in the bridge's namespace, of the port it hangs on.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// A path for a file of this host, `<lab's folder>/<host>-<what>`.
    pub fn file(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}-{what}", self.name))
    }

    /// Starts a program on this host; its log is `file("<name>.log")`, appended to over restarts.
    pub fn spawn(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<Process> {
        let log = self.file(&format!("{name}.log"));
        Process::spawn(Some(&self.namespace), &format!("{name} on {}", self.name), program, arguments, &log)
    }

    /// Cuts the cable behind the switch: nothing passes in either direction, and the host keeps its carrier.
    pub fn cut(&self) -> Result<()> {
        self.set_port_state("0")
    }

    /// Undoes [`Host::cut`].
    pub fn heal(&self) -> Result<()> {
        self.set_port_state("3")
    }

    /// Pulls the plug: the host sees its carrier go.
    pub fn lose_carrier(&self) -> Result<()> {
        run("ip", &["-n", &self.bridge, "link", "set", "dev", &self.name, "down"]).map(drop)
    }

    /// Undoes [`Host::lose_carrier`].
    pub fn restore_carrier(&self) -> Result<()> {
        run("ip", &["-n", &self.bridge, "link", "set", "dev", &self.name, "up"]).map(drop)
    }

    /// Loses that share of the packets on their way to this host, in the switch: before any XDP program of the host.
    pub fn lose_incoming(&self, percent: u8) -> Result<()> {
        self.set_loss("to", "oifname", percent)
    }

    /// Loses that share of the packets this host sends. With `lose_incoming(0)` a link that is dead one way.
    pub fn lose_outgoing(&self, percent: u8) -> Result<()> {
        self.set_loss("from", "iifname", percent)
    }

    /// The switch drops the adverts this host sends, and nothing else.
    pub fn mute_adverts(&self) -> Result<()> {
        let script = format!(
            "add table bridge {TABLE}\nadd chain bridge {TABLE} mute_{0} {{ type filter hook forward priority 0; }}\n\
             add rule bridge {TABLE} mute_{0} iifname \"{0}\" ether type ip ip protocol 112 drop\n",
            self.name
        );
        self.load_rules(&script)
    }

    /// Undoes [`Host::mute_adverts`].
    pub fn hear_adverts(&self) -> Result<()> {
        self.load_rules(&format!("flush chain bridge {TABLE} mute_{}\n", self.name))
    }

    /// Its own kernel takes no advert of that virtual router, as where a queue is full: whoever sends one is told.
    pub fn refuse_adverts(&self, virtual_router_id: u8) -> Result<()> {
        let script = format!(
            "add table netdev {TABLE}\nadd chain netdev {TABLE} refuse {{ type filter hook egress device \"eth0\" priority 0; }}\n\
             add rule netdev {TABLE} refuse ip protocol 112 @nh,168,8 {virtual_router_id} drop\n"
        );
        load_rules(self.namespace.name(), &self.file("rules.nft"), &script)
    }

    /// Undoes [`Host::refuse_adverts`].
    pub fn refuse_nothing(&self) -> Result<()> {
        load_rules(self.namespace.name(), &self.file("rules.nft"), &format!("delete table netdev {TABLE}\n"))
    }

    /// Packets that its `eth0` has received so far, by the kernel's count: before any XDP program of the host.
    pub fn received(&self) -> Result<u64> {
        let read = || std::fs::read_to_string("/proc/thread-self/net/dev");
        let table = self.namespace.enter(read)?.context("read the interfaces' counters")?;
        let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
        let packets = line.and_then(|counters| counters.split_whitespace().nth(1)?.parse().ok());
        packets.with_context(|| format!("no count of eth0's packets on {} in\n{table}", self.name))
    }

    /// The addresses on this host now, asked of its kernel.
    pub fn addresses(&self) -> Result<Vec<HeldAddress>> {
        addresses::dump(&self.namespace)
    }

    /// Whether it holds that address now.
    pub fn holds(&self, address: Ipv4Addr) -> Result<bool> {
        Ok(self.addresses()?.iter().any(|held| held.address == address))
    }

    fn set_port_state(&self, state: &str) -> Result<()> {
        run("bridge", &["-n", &self.bridge, "link", "set", "dev", &self.name, "state", state]).map(drop)
    }

    fn set_loss(&self, direction: &str, matches: &str, percent: u8) -> Result<()> {
        // A chain per host and direction, refilled; adding what is there already changes nothing.
        let chain = format!("{direction}_{}", self.name);
        let mut script = format!(
            "add table bridge {TABLE}\nadd chain bridge {TABLE} {chain} {{ type filter hook forward priority 0; }}\n\
             flush chain bridge {TABLE} {chain}\n"
        );
        if percent > 0 {
            let port = &self.name;
            // nftables refuses a comparison that is always true.
            let chance =
                if percent < 100 { format!("numgen random mod 100 < {percent}") } else { String::new() };
            script.push_str(&format!("add rule bridge {TABLE} {chain} {matches} \"{port}\" {chance} drop\n"));
        }
        self.load_rules(&script)
    }

    fn load_rules(&self, script: &str) -> Result<()> {
        load_rules(&self.bridge, &self.file("rules.nft"), script)
    }
}

fn load_rules(namespace: &str, file: &Path, script: &str) -> Result<()> {
    std::fs::write(file, script).with_context(|| format!("write {}", file.display()))?;
    run("ip", &["netns", "exec", namespace, "nft", "-f", &file.to_string_lossy()]).map(drop)
}

/// Keeps the IP firewall out of bridged frames, which no real switch has; a kernel without that feature has no such files.
fn be_a_plain_switch() {
    for family in ["iptables", "ip6tables", "arptables"] {
        std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0").ok();
    }
}

fn interface_index(namespace: &Namespace, name: &str) -> Result<u32> {
    let line = namespace.ip(&["-o", "link", "show", "dev", name])?;
    let index = line.split(':').next().and_then(|index| index.trim().parse().ok());
    index.with_context(|| format!("no interface index in {line:?}"))
}
