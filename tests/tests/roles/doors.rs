//! The way in to a service that leaves: what a client sees, by sockets of its own.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use vrrp_lab::{Lab, Requirement, clock, harness::Test, tests};
use vrrp_user::net::{
    doorkeeper::{Doorkeeper, Hook},
    doors::Doors,
    farewell::Places,
};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
const PORT: u16 = 3306;
/// Below the second after which a client's kernel repeats an unanswered SYN.
const AT_ONCE: Duration = Duration::from_millis(900);

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::Lab;
    tests![[Lab];
        a_service_that_leaves_refuses_who_comes_keeps_who_is_there_and_then_resets_everybody,
        a_block_ends_by_itself,
        a_shorter_block_ends_no_longer_one,
        whoever_runs_into_a_block_hears_of_it_until_it_ends,
        other_services_of_the_host_are_not_blocked,
        before_linux_6_6_the_block_is_the_same,
    ]
}

/// Host `a` with the VIP, a server on every address that answers each byte, and the doors to it.
struct Scene {
    doors: Doors,
    doorkeeper: Arc<Mutex<Doorkeeper>>,
    runtime: Handle,
    /// Dropped, it ends the runtime's thread.
    _end: oneshot::Sender<()>,
    lab: Lab,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::at(name, Hook::Tcx)
    }

    fn at(name: &str, hook: Hook) -> Self {
        let lab = Lab::pair(name).unwrap();
        let namespace = lab.host("a").namespace();
        namespace.ip(&["address", "add", "10.99.0.200/32", "dev", "eth0"]).unwrap();
        let index = lab.host("a").ifindex();
        let (doors, doorkeeper, runtime, end) = namespace
            .enter(|| {
                for port in [PORT, 80] {
                    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
                    std::thread::spawn(move || echo(&listener));
                }
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                let (end, ended) = oneshot::channel::<()>();
                let handle = runtime.handle().clone();
                std::thread::spawn(move || runtime.block_on(ended).unwrap_or_default());
                let doorkeeper = Doorkeeper::attach_at(hook, &["eth0".to_owned()], 1).unwrap();
                let doorkeeper = Arc::new(Mutex::new(doorkeeper));
                let places = Places { addresses: vec![(index, VIP)], ports: vec![PORT] };
                (Doors::new(places, Some(Arc::clone(&doorkeeper))), doorkeeper, handle, end)
            })
            .unwrap();
        Self { doors, doorkeeper, runtime, _end: end, lab }
    }

    fn with_doors(&self, work: impl FnOnce(&Doors) + Send) {
        let host = self.lab.host("a").namespace();
        host.enter(|| {
            let _inside = self.runtime.enter();
            work(&self.doors);
        })
        .unwrap();
    }

    fn connect(&self, port: u16) -> Result<TcpStream, ErrorKind> {
        let to = SocketAddr::from((VIP, port));
        let client = self.lab.host("client").namespace();
        client.enter(move || TcpStream::connect_timeout(&to, AT_ONCE).map_err(|error| error.kind())).unwrap()
    }
}

fn echo(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        std::thread::spawn(move || {
            let mut byte = [0];
            while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
        });
    }
}

fn answers(stream: &mut TcpStream) -> Result<(), ErrorKind> {
    stream.set_read_timeout(Some(AT_ONCE)).unwrap();
    let mut byte = [7];
    stream.write_all(&byte).and_then(|()| stream.read_exact(&mut byte)).map_err(|error| error.kind())
}

fn a_service_that_leaves_refuses_who_comes_keeps_who_is_there_and_then_resets_everybody() {
    leaves(&Scene::new("doors"));
}

fn before_linux_6_6_the_block_is_the_same() {
    leaves(&Scene::at("clsact", Hook::Clsact));
    // Of one that was killed something stays, which blocks nobody and gives way to the next.
    let scene = Scene::at("clsact-left", Hook::Clsact);
    let host = scene.lab.host("a").namespace();
    let again = host.enter(|| Doorkeeper::attach_at(Hook::Clsact, &["eth0".to_owned()], 1).unwrap()).unwrap();
    let filters = host.run("tc", &["filter", "show", "dev", "eth0", "ingress"]).unwrap();
    assert_eq!(filters.matches("direct-action").count(), 1, "{filters}");
    drop(again);
}

fn leaves(scene: &Scene) {
    let mut early = scene.connect(PORT).unwrap();
    assert_eq!(answers(&mut early), Ok(()));

    scene.with_doors(|doors| assert!(doors.refuse_new(Duration::from_secs(10))));
    for _ in 0..20 {
        assert_eq!(scene.connect(PORT).err(), Some(ErrorKind::ConnectionRefused));
    }
    assert_eq!(answers(&mut early), Ok(()), "who is there goes on");

    scene.with_doors(|doors| assert_eq!(doors.clear().unwrap(), 1));
    assert_eq!(answers(&mut early), Err(ErrorKind::ConnectionReset));
    assert_eq!(scene.connect(PORT).err(), Some(ErrorKind::ConnectionRefused));

    // The client still sends here.
    scene.lab.host("a").namespace().ip(&["address", "del", "10.99.0.200/32", "dev", "eth0"]).unwrap();
    assert_eq!(scene.connect(PORT).err(), Some(ErrorKind::ConnectionRefused));

    scene.lab.host("a").namespace().ip(&["address", "add", "10.99.0.200/32", "dev", "eth0"]).unwrap();
    scene.with_doors(Doors::open);
    let mut late = scene.connect(PORT).unwrap();
    assert_eq!(answers(&mut late), Ok(()));
}

fn a_block_ends_by_itself() {
    let scene = Scene::new("block-end");
    let service = vrrp_ebpf::block::Service { address: VIP.octets(), port: PORT.to_be_bytes(), padding: 0 };
    let until = vrrp_user::net::clock::now() + Duration::from_secs(3);
    scene.doorkeeper.lock().unwrap().block(service, true, until).unwrap();
    // Nobody answers here: a SYN that is dropped.
    assert_eq!(scene.connect(PORT).err(), Some(ErrorKind::TimedOut));
    assert!(clock::wait_until(Duration::from_secs(20), || scene.connect(PORT).is_ok()));
}

/// Who is let in by the kernel before it is over would be answered twice.
fn a_shorter_block_ends_no_longer_one() {
    let scene = Scene::new("block-longer");
    let service = vrrp_ebpf::block::Service { address: VIP.octets(), port: PORT.to_be_bytes(), padding: 0 };
    let now = vrrp_user::net::clock::now();
    for (is_whole, span) in [(false, Duration::from_secs(600)), (true, Duration::from_millis(1))] {
        scene.doorkeeper.lock().unwrap().block(service, is_whole, now + span).unwrap();
    }
    clock::sleep_ms(10);
    assert_eq!(scene.connect(PORT).err(), Some(ErrorKind::TimedOut));
    scene.with_doors(Doors::open);
    assert!(scene.connect(PORT).is_ok());
}

/// Behind a gate, for which sessions were ended, a planned change may follow at once, which takes longer.
fn whoever_runs_into_a_block_hears_of_it_until_it_ends() {
    let scene = Scene::new("block-answered");
    scene.with_doors(Doors::refuse_all);
    scene.with_doors(|doors| assert!(doors.refuse_new(Duration::from_secs(600))));
    clock::sleep_ms(4_000);
    assert_eq!(scene.connect(PORT).err(), Some(ErrorKind::ConnectionRefused), "in silence");
}

fn other_services_of_the_host_are_not_blocked() {
    let scene = Scene::new("block-other");
    scene.with_doors(Doors::refuse_all);
    assert_eq!(scene.connect(PORT).err(), Some(ErrorKind::ConnectionRefused));
    assert_eq!(answers(&mut scene.connect(80).unwrap()), Ok(()));
}
