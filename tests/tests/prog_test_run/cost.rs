//! What a packet costs, printed, not asserted: the machine under the test is somebody else's, too.

use std::io;

use vrrp_ebpf::abi::{FAMILY_IPV4, FAMILY_IPV6, RULE_CHANGES_ONLY, Rule};
use vrrp_ebpf::samples::Sample;

use super::kernel::{Kernel, SLOT, v2_pass, v3};

pub(crate) const CASES: &[crate::Case] =
    &[("verifier_has_room_left", verifier_has_room_left), ("costs_are_printed", costs_are_printed)];

/// The verifier's limit since Linux 5.2.
const INSTRUCTIONS: u32 = 1_000_000;

fn verifier_has_room_left() {
    let mut kernel = Kernel::new();
    let programs = kernel.control.programs_mut().unwrap();
    let xdp = programs.xdp().unwrap().info().unwrap().verified_instruction_count().unwrap();
    let tcx = programs.tcx().unwrap().info().unwrap().verified_instruction_count().unwrap();
    println!("verifier: processed {xdp} insns (XDP), {tcx} (TCX) of {INSTRUCTIONS}");
    assert!(xdp < INSTRUCTIONS / 2 && tcx < INSTRUCTIONS / 2);
}

const REPEAT: u32 = 200_000;
/// The bucket holds 256.
const LONG: u32 = 250;
const SHORT: u32 = 50;
const BATCHES: usize = 11;

fn costs_are_printed() {
    let empty = EmptyProgram::load().unwrap();
    let not_vrrp = {
        let mut frame = Sample::v3().frame();
        frame[23] = 6;
        frame
    };
    println!("{:<40} {:>6}", "ns per packet, best of 5", "p50 of 5");
    print("empty program", || empty.run(&not_vrrp, REPEAT).unwrap());

    let case = |name: &str, family: u8, rule: Rule, frame: Vec<u8>| {
        let mut kernel = Kernel::with_rule(family, rule);
        print(name, || {
            let (_, ns) = kernel.run_xdp(&frame, REPEAT);
            kernel.drain();
            ns
        });
    };
    case("not VRRP", FAMILY_IPV4, v3(), not_vrrp);
    case("foreign", FAMILY_IPV4, v3(), Sample { virtual_router_id: 99, ..Sample::v3() }.frame());
    case("junk: TTL", FAMILY_IPV4, v3(), Sample { ttl: 1, ..Sample::v3() }.frame());
    case("junk: version", FAMILY_IPV4, v3(), Sample::v2().frame());
    case("junk: type", FAMILY_IPV4, v3(), Sample { kind: 2, ..Sample::v3() }.frame());
    case("junk: count", FAMILY_IPV4, v3(), Sample { count: 0, ..Sample::v3() }.frame());
    case("junk: length", FAMILY_IPV4, v3(), Sample { count: 3, ..Sample::v3() }.frame());
    let mut bad = Sample::v3().frame();
    bad[34 + 6] ^= 1;
    case("junk: checksum", FAMILY_IPV4, v3(), bad);
    let wrong = Sample { authentication: Some(*b"2222\0\0\0\0"), ..Sample::v2_pass() };
    case("junk: password", FAMILY_IPV4, v2_pass(), wrong.frame());
    let changes = Rule { flags: RULE_CHANGES_ONLY, ..v3() };
    case("accepted, slot only (delivery: changes)", FAMILY_IPV4, changes, Sample::v3().frame());

    let delivered = |name: &str, family: u8, rule: Rule, frame: Vec<u8>| {
        let mut kernel = Kernel::with_rule(family, rule);
        print(name, || {
            // A long batch less a short one, so that what is cold at the start of each does not count.
            let (long, short) = (batches(&mut kernel, &frame, LONG), batches(&mut kernel, &frame, SHORT));
            (long * u128::from(LONG)).saturating_sub(short * u128::from(SHORT)) / u128::from(LONG - SHORT)
        });
    };
    delivered("delivered, v3", FAMILY_IPV4, v3(), Sample::v3().frame());
    delivered("delivered, v3 RFC 9568", FAMILY_IPV4, v3(), Sample::v3_message_only().frame());
    delivered("delivered, v2 with password", FAMILY_IPV4, v2_pass(), Sample::v2_pass().frame());
    delivered("delivered, v3 over IPv6", FAMILY_IPV6, v3(), Sample::v6().frame());
    delivered("delivered, 255 addresses", FAMILY_IPV4, v3(), Sample::v3().with_addresses(255).frame());
    case("above the rate", FAMILY_IPV4, v3(), Sample::v3().frame());
}

/// Median ns per packet over batches that the sender's bucket has tokens for. The first packet after the slot was
/// cleared wakes the consumer, and is not measured.
fn batches(kernel: &mut Kernel, frame: &[u8], length: u32) -> u128 {
    let batch = |_| {
        kernel.drain();
        kernel.control.slots().clear(SLOT);
        kernel.run_xdp(frame, 1);
        kernel.run_xdp(frame, length).1
    };
    let mut batches: Vec<u128> = (0..BATCHES).map(batch).collect();
    batches.sort_unstable();
    batches[BATCHES / 2]
}

fn print(name: &str, mut run: impl FnMut() -> u128) {
    let mut runs: Vec<u128> = (0..5).map(|_| run()).collect();
    runs.sort_unstable();
    println!("{name:<40} {:>6} {:>8}", runs[0], runs[2]);
}

/// `XDP_PASS` and nothing else: what the test run itself costs.
struct EmptyProgram {
    fd: std::os::fd::OwnedFd,
}

impl EmptyProgram {
    fn load() -> io::Result<Self> {
        use std::os::fd::FromRawFd;
        // r0 = XDP_PASS; exit
        let instructions: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
        let license = c"GPL";
        let attributes: [u64; 12] = [
            // type XDP, two instructions
            2 << 32 | 6,
            instructions.as_ptr() as u64,
            license.as_ptr() as u64,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let fd = bpf(BPF_PROG_LOAD, &attributes)?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { fd: unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) } })
    }

    fn run(&self, frame: &[u8], repeat: u32) -> io::Result<u128> {
        use std::os::fd::AsRawFd;
        let length = u64::try_from(frame.len()).unwrap();
        let attributes: [u64; 12] = [
            u64::try_from(self.fd.as_raw_fd()).unwrap(),
            length,
            frame.as_ptr() as u64,
            0,
            u64::from(repeat),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        bpf(BPF_PROG_TEST_RUN, &attributes)?;
        // The kernel writes the duration behind `repeat`, into the array.
        Ok(u128::from(attributes[4] >> 32))
    }
}

const BPF_PROG_LOAD: i64 = 5;
const BPF_PROG_TEST_RUN: i64 = 10;

fn bpf(command: i64, attributes: &[u64; 12]) -> io::Result<i32> {
    // SAFETY: attributes of this command as <linux/bpf.h> lays them out; all pointers in them live in the caller.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) };
    i32::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}
