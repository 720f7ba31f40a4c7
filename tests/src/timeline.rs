//! Who held an address when, and what follows from it: overlaps, gaps, the holder at an instant.
//!
//! Pure: owns the arithmetic on one clock. Refuses to know where the changes were observed.

use std::{fmt, time::Duration};

use crate::clock;

/// One host got or lost the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub time_ns: u64,
    pub host: String,
    pub held: bool,
}

/// One host held the address from, until (`None`: still does).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub host: String,
    pub from_ns: u64,
    pub until_ns: Option<u64>,
}

/// A stretch of time during which exactly these hosts held the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub from_ns: u64,
    pub until_ns: u64,
    pub hosts: Vec<String>,
}

impl Span {
    /// How long it was.
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.until_ns.saturating_sub(self.from_ns))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = if self.hosts.is_empty() { "nobody".to_owned() } else { self.hosts.join(" and ") };
        write!(f, "{hosts} for {:?} from {} ns on", self.length(), self.from_ns)
    }
}

/// The history of one address between two instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldingTimeline {
    spans: Vec<Span>,
    end_ns: u64,
}

impl HoldingTimeline {
    /// From the changes seen between `start_ns` and `end_ns`, oldest first; who held it at the start is a change at the
    /// start. Between equal stamps there is no time, so no overlap either.
    pub fn new(start_ns: u64, end_ns: u64, changes: &[Change]) -> Self {
        let mut spans = Vec::new();
        let mut holders: Vec<String> = Vec::new();
        let mut since = start_ns;
        for change in changes {
            if change.held == holders.contains(&change.host) {
                continue;
            }
            if change.time_ns > since {
                spans.push(Span { from_ns: since, until_ns: change.time_ns, hosts: holders.clone() });
                since = change.time_ns;
            }
            if change.held {
                holders.push(change.host.clone());
            } else {
                holders.retain(|host| *host != change.host);
            }
        }
        spans.push(Span { from_ns: since, until_ns: end_ns.max(since), hosts: holders });
        Self { spans, end_ns: end_ns.max(since) }
    }

    /// All stretches in order; each differs from its neighbours in who held it.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Stretches with two holders or more, neighbouring ones joined.
    pub fn overlaps(&self) -> Vec<Span> {
        self.joined(|span| span.hosts.len() > 1)
    }

    /// The first overlap longer than `bound`: the judge to use, since stamps are taken when a reader thread wakes and can
    /// be late by its scheduling delay (see `AddressWatch`).
    pub fn overlap_longer_than(&self, bound: Duration) -> Option<Span> {
        self.overlaps().into_iter().find(|span| span.length() > bound)
    }

    /// Stretches with no holder.
    pub fn gaps(&self) -> Vec<Span> {
        self.joined(|span| span.hosts.is_empty())
    }

    /// The longest stretch without a holder that lies after the first holder and before the end.
    pub fn longest_outage(&self) -> Duration {
        let first =
            self.spans.iter().find(|span| !span.hosts.is_empty()).map_or(u64::MAX, |span| span.from_ns);
        let outages = self.gaps().into_iter().filter(|span| span.from_ns >= first);
        outages.map(|span| span.length()).max().unwrap_or_default()
    }

    /// Who held it at that instant; nobody for instants outside.
    pub fn holders_at(&self, time_ns: u64) -> &[String] {
        let span = self.spans.iter().rfind(|span| span.from_ns <= time_ns && time_ns <= self.end_ns);
        span.map_or(&[], |span| &span.hosts)
    }

    /// Who holds it at the end.
    pub fn holders(&self) -> &[String] {
        self.spans.last().map_or(&[], |span| &span.hosts)
    }

    /// Each host's own stretches, in order of their beginning.
    pub fn holdings(&self) -> Vec<Holding> {
        let mut holdings: Vec<Holding> = Vec::new();
        for span in &self.spans {
            let is_last = span.until_ns == self.end_ns;
            let until_ns = (!is_last).then_some(span.until_ns);
            for host in &span.hosts {
                let open = holdings.iter_mut().rfind(|h| h.host == *host && h.until_ns == Some(span.from_ns));
                match open {
                    Some(holding) => holding.until_ns = until_ns,
                    None => holdings.push(Holding { host: host.clone(), from_ns: span.from_ns, until_ns }),
                }
            }
        }
        holdings
    }

    /// How often `host` got it; what it held from the start counts.
    pub fn acquisitions(&self, host: &str) -> usize {
        self.holdings().iter().filter(|holding| holding.host == host).count()
    }

    /// When `host` first got it at or after `since_ns`.
    pub fn acquired_at(&self, host: &str, since_ns: u64) -> Option<u64> {
        self.holdings().iter().find(|h| h.host == host && h.from_ns >= since_ns).map(|h| h.from_ns)
    }

    /// When `host` first lost it at or after `since_ns`.
    pub fn lost_at(&self, host: &str, since_ns: u64) -> Option<u64> {
        self.holdings().iter().filter(|h| h.host == host).find_map(|h| h.until_ns.filter(|&t| t >= since_ns))
    }

    /// Panics, with the history, if two hosts held it for longer than `bound`.
    pub fn assert_never_two(&self, bound: Duration) {
        self.assert_never_two_since(0, bound);
    }

    /// The same of what is younger than an instant: older stretches had a bound of their own.
    pub fn assert_never_two_since(&self, since_ns: u64, bound: Duration) {
        let span = self.overlaps().into_iter().find(|span| span.until_ns > since_ns && span.length() > bound);
        if let Some(span) = span {
            panic!("two owners: {span} (allowed: {bound:?})\n{self}");
        }
    }

    fn joined(&self, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let mut found: Vec<Span> = Vec::new();
        for span in self.spans.iter().filter(|span| wanted(span)) {
            match found.last_mut().filter(|last| last.until_ns == span.from_ns) {
                Some(last) => {
                    last.until_ns = span.until_ns;
                    last.hosts.extend(span.hosts.iter().cloned());
                    last.hosts.sort();
                    last.hosts.dedup();
                }
                None => found.push(span.clone()),
            }
        }
        found
    }
}

impl fmt::Display for HoldingTimeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.spans.first().map_or(0, |span| span.from_ns);
        for span in &self.spans {
            let at = (span.from_ns - start) / (clock::MILLISECOND / 1000);
            let hosts = if span.hosts.is_empty() { "nobody".to_owned() } else { span.hosts.join(" and ") };
            writeln!(f, "{:>6}.{:03} ms  {hosts} for {:?}", at / 1000, at % 1000, span.length())?;
        }
        Ok(())
    }
}
