//! What the daemons of the bare lab have outside of its folder, where `config/lab-*.yaml` puts it.
//!
//! Owns these places. Refuses to touch anything else there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::stage::NODES;

/// A running daemon's own folder; the lab's daemons keep theirs beside it.
pub(super) const FOLDER: &str = "/run/vrrp";

/// Where the daemon of that node listens.
pub(super) fn socket(node: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("lab-{node}.sock"))
}

/// What the daemons remember, and nobody else should: a node that an earlier lab left drained would never own the address.
/// Nothing of it is there at first, nor after the drop.
#[derive(Debug)]
pub(super) struct BareState {
    folder: PathBuf,
}

impl BareState {
    /// Forgets what earlier labs left.
    pub(super) fn clear(folder: &Path) -> Result<Self> {
        let state = Self { folder: folder.to_owned() };
        state.remove()?;
        Ok(state)
    }

    fn remove(&self) -> Result<()> {
        for node in NODES {
            let path = self.folder.join(format!("lab-{node}"));
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", path.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Drop for BareState {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("lab: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_those_of_the_shipped_files() {
        let shipped =
            [include_str!("../../../config/lab-a.yaml"), include_str!("../../../config/lab-b.yaml")];
        for (node, text) in NODES.into_iter().zip(shipped) {
            let control =
                format!("control: {{ socket: {}, state_dir: {FOLDER}/lab-{node} }}", socket(node).display());
            assert!(text.contains(&control), "{control}\n{text}");
        }
    }

    #[test]
    fn what_a_lab_left_is_gone_before_the_next_and_after_it_and_a_strangers_stays() {
        let folder = std::env::temp_dir().join(format!("vrrp-bare-{}", std::process::id()));
        let (own, strange) = (folder.join("lab-b"), folder.join("state"));
        let leave = || fs::create_dir_all(&own).and_then(|()| fs::write(own.join("drained"), "LAB")).unwrap();
        fs::create_dir_all(&strange).unwrap();
        leave();
        let state = BareState::clear(&folder).unwrap();
        assert!(!own.exists() && strange.exists());
        leave();
        drop(state);
        assert!(!own.exists() && strange.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
