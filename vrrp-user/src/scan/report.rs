//! What came of listening, as JSON and as a table.
//!
//! Refuses to judge.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::Options;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub interface: String,
    pub listened_ms: u64,
    pub speakers: Vec<Speaker>,
    /// Instances of the configuration on this interface that nobody spoke for.
    pub silent: Vec<String>,
    /// What else is to be known, in sentences: what a running daemon of this host drops, for one.
    pub notes: Vec<String>,
    /// Frames without a readable VRRP header, and of speakers above the number that is told apart.
    pub others: u64,
}

/// One sender and one virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Speaker {
    /// 4 or 6.
    pub family: u8,
    pub virtual_router_id: u8,
    pub source: IpAddr,
    pub source_mac: String,
    pub this_host: bool,
    pub version: u8,
    pub priority: u8,
    /// As it says.
    pub interval_ms: u64,
    /// As it does.
    pub measured_ms: Option<u64>,
    pub addresses: Vec<IpAddr>,
    pub adverts: u64,
    /// The instance of ours that it speaks for, too.
    pub instance: Option<String>,
    pub problems: Vec<String>,
}

impl Report {
    pub(super) fn new(interface: &str, options: &Options, speakers: Vec<Speaker>, others: u64) -> Self {
        let instances = options.config.as_ref().map_or(&[][..], |config| &config.instances);
        let is_heard = |name: &str| speakers.iter().any(|speaker| speaker.instance.as_deref() == Some(name));
        let silent = instances.iter().filter(|instance| instance.interface == interface);
        let silent = silent.map(|instance| instance.name.clone()).filter(|name| !is_heard(name));
        Self {
            interface: interface.to_owned(),
            listened_ms: u64::try_from(options.time.as_millis()).unwrap_or(u64::MAX),
            silent: silent.collect(),
            speakers,
            notes: Vec::new(),
            others,
        }
    }

    /// Whether anything does not fit.
    pub fn is_clean(&self) -> bool {
        self.notes.is_empty() && self.speakers.iter().all(|speaker| speaker.problems.is_empty())
    }
}

const TITLES: [&str; 7] = ["VRID", "VERSION", "SENDER", "PRIORITY", "INTERVAL", "ADVERTS", "ADDRESSES"];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (interface, seconds) = (&self.interface, self.listened_ms / 1000);
        if self.speakers.is_empty() {
            writeln!(f, "nobody speaks VRRP on {interface}: nothing heard in {seconds} s")?;
        } else {
            self.table(f)?;
        }
        for name in &self.silent {
            writeln!(f, "{name} is configured for {interface}, and nobody spoke for it")?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        if self.others > 0 {
            writeln!(f, "{} other frames of IP protocol 112", self.others)?;
        }
        Ok(())
    }
}

impl Report {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 7]> = self.speakers.iter().map(row).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].len());
            cells.chain([TITLES[column].len()]).max().unwrap_or(0)
        };
        let widths: [usize; 7] = std::array::from_fn(width);
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String; 7]| {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        line(f, &TITLES.map(str::to_owned))?;
        for (speaker, cells) in self.speakers.iter().zip(&rows) {
            line(f, cells)?;
            for problem in &speaker.problems {
                writeln!(f, "      {problem}")?;
            }
        }
        Ok(())
    }
}

fn row(speaker: &Speaker) -> [String; 7] {
    let Speaker { virtual_router_id, family, version, source, source_mac, .. } = speaker;
    let instance = speaker.instance.as_ref().map_or_else(String::new, |name| format!(" {name}"));
    let sender =
        if speaker.this_host { format!("{source} (this host)") } else { format!("{source} {source_mac}") };
    let measured =
        speaker.measured_ms.map_or_else(String::new, |measured| format!(", came {measured} ms apart"));
    let addresses = speaker.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>();
    [
        format!("{virtual_router_id}{instance}"),
        format!("{version}{}", if *family == 6 { " IPv6" } else { "" }),
        sender,
        speaker.priority.to_string(),
        format!("{} ms{measured}", speaker.interval_ms),
        speaker.adverts.to_string(),
        addresses.join(", "),
    ]
}
