//! An authority and a server certificate by it, made by openssl in the lab's folder.
//!
//! Owns the names in it: `db.example`, and the addresses of both hosts. Refuses to know who trusts it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::Setup;
use crate::lab::Lab;

const NAMES: &str = "subjectAltName = DNS:db.example, IP:127.0.0.1, IP:10.99.0.1, IP:10.99.0.2\nbasicConstraints = CA:FALSE\n";

/// See the file's head.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// In a folder of that name; each is an authority of its own.
    pub fn make(lab: &Lab, name: &str) -> Result<Self> {
        let folder = lab.folder().join(name);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(folder.join("leaf.cnf"), NAMES).context("write leaf.cnf")?;
        for line in [
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem",
            "req -newkey rsa:2048 -nodes -subj /CN=db -keyout key.pem -out request.pem",
            "x509 -req -days 2 -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile leaf.cnf -out cert.pem",
        ] {
            openssl(&folder, line)?;
        }
        Ok(Self { folder })
    }

    /// The authority's own certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The server with this certificate.
    #[must_use]
    pub fn equip(&self, setup: Setup) -> Setup {
        let line = |key: &str, file: &str| format!("{key} = {}", self.folder.join(file).display());
        setup.with(&line("ssl_cert", "cert.pem")).with(&line("ssl_key", "key.pem"))
    }
}

fn openssl(folder: &Path, line: &str) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(line.split(' ')).current_dir(folder);
    let output = command.output().context("run openssl")?;
    ensure!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
