//! What `GET /v1/watch` streams, a JSON object a line: adverts and transitions as they happen.
//!
//! Owns the form, and how it reads in a terminal and in a capture file. Refuses to know who saw what.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::wire::peek::Peek;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Sight {
    Advert(Advert),
    Transition(Transition),
    /// So many lines were not taken in time, or not written in time, and are lost.
    Lost {
        count: u64,
    },
}

/// A frame, and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advert {
    /// Received and rejected ones: the kernel half's stamp. Sent ones: when the kernel had taken it.
    pub time_unix_ns: u64,
    /// The same on CLOCK_MONOTONIC.
    pub time_monotonic_ns: u64,
    pub instance: String,
    pub interface: String,
    pub way: Way,
    /// Of a rejected one: the counter's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// None if it is no VRRP message as far as it is there.
    pub message: Option<Message>,
    /// Bytes of the frame on the wire, as far as known.
    pub length: u16,
    /// Its bytes in hexadecimal, perhaps not all of them.
    pub frame: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    Received,
    Sent,
    /// One of those that were dropped: a sample, at most 20 a second.
    Rejected,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Received => "received",
            Self::Sent => "sent",
            Self::Rejected => "REJECTED",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub source: IpAddr,
    pub source_mac: String,
    pub destination: IpAddr,
    pub ttl: u8,
    pub version: u8,
    pub virtual_router_id: u8,
    pub priority: u8,
    pub interval_ms: u64,
    pub addresses: Vec<IpAddr>,
}

impl From<Peek<'_>> for Message {
    fn from(peek: Peek<'_>) -> Self {
        Self {
            source: peek.source,
            source_mac: peek.source_mac.to_string(),
            destination: peek.destination,
            ttl: peek.ttl,
            version: peek.version,
            virtual_router_id: peek.virtual_router_id,
            priority: peek.priority,
            interval_ms: u64::try_from(peek.interval.as_millis()).unwrap_or(u64::MAX),
            addresses: peek.addresses().collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub time_unix_ns: u64,
    pub time_monotonic_ns: u64,
    pub instance: String,
    pub interface: String,
    pub from: String,
    pub to: String,
    pub why: String,
}

impl Sight {
    /// The instance it is about.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::Advert(advert) => Some(&advert.instance),
            Self::Transition(transition) => Some(&transition.instance),
            Self::Lost { .. } => None,
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Advert(advert) => advert.fmt(f),
            Self::Transition(Transition { time_unix_ns, instance, from, to, why, .. }) => {
                let time = Clock(*time_unix_ns);
                if from == to {
                    write!(f, "{time}  {instance}  {to}: {why}")
                } else {
                    write!(f, "{time}  {instance}  {from} -> {to}: {why}")
                }
            }
            Self::Lost { count } => write!(f, "{count} lines are lost: they came faster than they were read"),
        }
    }
}

impl fmt::Display for Advert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {:8}  ", Clock(self.time_unix_ns), self.instance, self.way)?;
        match &self.message {
            Some(message) => message.fmt(f)?,
            None => write!(f, "{} bytes on {}", self.length, self.interface)?,
        }
        match (&self.reason, &self.why) {
            (Some(reason), Some(why)) => write!(f, ": {reason}: {why}"),
            (Some(reason), None) => write!(f, ": {reason}"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, version, virtual_router_id, priority, interval_ms, ttl, .. } = self;
        write!(f, "{source}: VRRPv{version} {virtual_router_id} priority {priority}")?;
        if *priority == 0 {
            write!(f, " (release)")?;
        }
        write!(f, ", every {}", Millis(*interval_ms))?;
        for (number, address) in self.addresses.iter().enumerate() {
            write!(f, "{} {address}", if number == 0 { ", for" } else { "," })?;
        }
        if *ttl == 255 { Ok(()) } else { write!(f, ", TTL {ttl}") }
    }
}

struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{}s", self.0 / 1000) } else { write!(f, "{}ms", self.0) }
    }
}

/// Of the day, UTC, to the nanosecond.
struct Clock(u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000_000 % 86_400;
        let (hours, minutes) = (seconds / 3_600, seconds % 3_600 / 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{:09}", seconds % 60, self.0 % 1_000_000_000)
    }
}

/// Bytes as text.
pub fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;

    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

/// And back; None if it is not that.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::samples::Sample;

    use super::*;

    fn advert() -> Advert {
        let frame = Sample { ttl: 9, ..Sample::v3() }.frame();
        Advert {
            time_unix_ns: 3_600_000_000_042,
            time_monotonic_ns: 42,
            instance: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            way: Way::Rejected,
            reason: Some("ip_ttl".to_owned()),
            why: None,
            message: Peek::parse(&frame).map(Message::from),
            length: 42,
            frame: to_hex(&frame),
        }
    }

    #[test]
    fn a_line_reads_back_as_it_was() {
        let sight = Sight::Advert(advert());
        let text = serde_json::to_string(&sight).unwrap();
        assert!(text.starts_with("{\"type\":\"advert\","), "{text}");
        assert_eq!(serde_json::from_str::<Sight>(&text).unwrap(), sight);
    }

    #[test]
    fn a_person_reads_time_instance_sender_and_reason() {
        let text = advert().to_string();
        assert!(
            text.starts_with("01:00:00.000000042  VI_1  REJECTED  192.0.2.251: VRRPv3 10 priority 200"),
            "{text}"
        );
        assert!(text.ends_with(", TTL 9: ip_ttl"), "{text}");
    }

    #[test]
    fn hexadecimal_there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        for wrong in ["a", "0g", "ää"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
