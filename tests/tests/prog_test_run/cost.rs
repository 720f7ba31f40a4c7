//! What a packet costs: that every kind was measured as what it is. The costs are printed, not judged: the machine
//! under the test is somebody else's, too.

use vrrp_user::bench::xdp::{self, Group};

use super::kernel::Kernel;

pub(crate) const CASES: &[crate::Case] = &[
    ("verifier_has_room_left", verifier_has_room_left),
    ("every_kind_of_packet_is_measured", every_kind_of_packet_is_measured),
];

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
