//! Debian starts a service when it is installed; the keepalived and Prometheus of the tests must not become this host's own.
//!
//! Owns these services, and only while this program installs them: one that was there before is not touched.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{find, program, succeed};

/// A service, and how services are managed here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    name: &'static str,
    manager: Manager,
}

#[derive(Clone, Copy, Debug)]
enum Manager {
    Systemd,
    SysV,
    None,
}

/// Before the installation: makes a start impossible. Undone at the next boot, should we not get to it.
pub(super) fn hold_down(name: &'static str) -> Result<Held> {
    let manager = if Path::new("/run/systemd/system").exists() {
        succeed(program("systemctl").args(["mask", "--runtime", "--quiet", &unit(name)]))
            .with_context(|| format!("keep the {name} service from starting"))?;
        Manager::Systemd
    } else if find("update-rc.d").is_some() {
        // Without systemd the package may start it all the same: what we can prevent is the next boot's start.
        Manager::SysV
    } else {
        Manager::None
    };
    Ok(Held { name, manager })
}

/// After it: the service stays installed, disabled and not running.
pub(super) fn leave_disabled(Held { name, manager }: Held) -> Result<()> {
    match manager {
        Manager::Systemd => {
            succeed(program("systemctl").args(["unmask", "--runtime", "--quiet", &unit(name)]))?;
            succeed(program("systemctl").args(["disable", "--quiet", &unit(name)]))?;
        }
        Manager::SysV => succeed(program("update-rc.d").args([name, "disable"]))?,
        Manager::None => return Ok(()),
    }
    println!("setup: {name} is for the tests: its service is disabled");
    Ok(())
}

fn unit(name: &str) -> String {
    format!("{name}.service")
}
