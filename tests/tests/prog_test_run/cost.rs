//! What a packet costs: that every kind was measured as what it is. The costs are printed, not judged: the machine
//! under the test is somebody else's, too.

use std::collections::BTreeSet;

use aya::programs::{ProgramInfo, loaded_programs};
use vrrp_user::bench::xdp::{self, Group};
use vrrp_user::net::{doorkeeper::Doorkeeper, exits::Exits};

use super::kernel::Kernel;

pub(crate) const CASES: &[crate::Case] = &[
    ("verifier_has_room_left", verifier_has_room_left),
    ("every_kind_of_packet_is_measured", every_kind_of_packet_is_measured),
];

/// The verifier's limit since Linux 5.2.
const INSTRUCTIONS: u32 = 1_000_000;

/// The receivers' programs have a handle; the others are told by their names (as much as the kernel keeps of them) among
/// those loaded since.
fn verifier_has_room_left() {
    let before = loaded().map(|info| info.id()).collect::<BTreeSet<_>>();
    let mut kernel = Kernel::new();
    let programs = kernel.control.programs_mut().unwrap();
    let xdp = programs.xdp().unwrap().info().unwrap();
    let tcx = programs.tcx().unwrap().info().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _witness = runtime.block_on(async { Exits::attach().unwrap() });
    let _doorkeeper = Doorkeeper::attach(&["lo".to_owned()], 1).unwrap();
    let find = |begin: &str| {
        let is_it = |info: &ProgramInfo| info.name_as_str().is_some_and(|name| name.starts_with(begin));
        let found = loaded().find(|info| !before.contains(&info.id()) && is_it(info));
        found.unwrap_or_else(|| panic!("no program {begin}* was loaded"))
    };
    let others = [("witness", find("vrrp_process_ex")), ("doorkeeper", find("vrrp_doorkeepe"))];
    for (name, info) in [("XDP", xdp), ("TCX", tcx)].into_iter().chain(others) {
        let processed = info.verified_instruction_count().unwrap();
        println!("verifier: processed {processed} insns of {INSTRUCTIONS} ({name})");
        assert!((1..INSTRUCTIONS / 2).contains(&processed), "{name}: {processed}");
    }
}

/// Of the whole machine; one that goes while it is looked at is left out.
fn loaded() -> impl Iterator<Item = ProgramInfo> {
    loaded_programs().filter_map(Result::ok)
}

/// The measurement itself makes sure of each packet's verdict and counter.
fn every_kind_of_packet_is_measured() {
    let report = xdp::run(11).unwrap();
    println!("{report}");
    let rows: Vec<&str> = report.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(rows, xdp::names());
    for row in &report.rows {
        assert!(row.best_ns <= row.median_ns, "{row:?}");
        // A run costs something, and an advert's more than none.
        assert!(row.median_ns > 0 && row.ratio > 0.0, "{row:?}");
    }
    assert_eq!(report.rows.iter().filter(|row| row.group == Group::Reference).count(), 2);
    assert!(report.sizes.iter().all(|size| size.jited_bytes > 0), "{:?}", report.sizes);
}
