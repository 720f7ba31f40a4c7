//! Debian starts a service when it is installed; the keepalived of the tests must not become this host's own.
//!
//! Owns that one service, and only while this program installs it: a keepalived that was there before is not touched.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{find, program, succeed};

/// How services are managed here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manager {
    Systemd,
    SysV,
    None,
}

/// Before the installation: makes a start impossible. Undone at the next boot, should we not get to it.
pub(super) fn hold_down() -> Result<Manager> {
    if Path::new("/run/systemd/system").exists() {
        succeed(program("systemctl").args(["mask", "--runtime", "--quiet", "keepalived.service"]))
            .context("keep the keepalived service from starting")?;
        return Ok(Manager::Systemd);
    }
    // Its init script does nothing without a configuration, and the package brings none.
    Ok(if find("update-rc.d").is_some() { Manager::SysV } else { Manager::None })
}

/// After it: the service stays installed, disabled and not running.
pub(super) fn leave_disabled(manager: Manager) -> Result<()> {
    match manager {
        Manager::Systemd => {
            succeed(program("systemctl").args(["unmask", "--runtime", "--quiet", "keepalived.service"]))?;
            succeed(program("systemctl").args(["disable", "--quiet", "keepalived.service"]))?;
        }
        Manager::SysV => succeed(program("update-rc.d").args(["keepalived", "disable"]))?,
        Manager::None => return Ok(()),
    }
    println!("setup: keepalived is for the tests: its service was not started and is disabled");
    Ok(())
}
