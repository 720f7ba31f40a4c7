//! What our daemon counts, asked for at its control socket as a monitoring system would.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

/// The whole numbers among the metrics of one moment, by name with labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, u64>);

const PATIENCE: Duration = Duration::from_secs(5);
const STATE: &str = "vrrp_instance_state{";
/// The one family of which each label counts: what became of adverts in the kernel half.
const KERNEL: &str = "vrrp_kernel_adverts_total{reason=\"";
/// Those that are no loss: read and recorded, told apart further, or none of our business.
const NO_DROPS: [&str; 9] = [
    "accepted",
    "checksum_message_only",
    "checksum_pseudo_header",
    "foreign_passed",
    "not_understood",
    "rate_limited",
    "ring_full",
    "delivered",
    "woke",
];

impl Metrics {
    pub(crate) fn read(socket: &Path) -> Result<Self> {
        let ask = || {
            let mut stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        let answer = ask().with_context(|| format!("read /metrics at {}", socket.display()))?;
        ensure!(
            answer.starts_with("HTTP/1.1 200 "),
            "/metrics: {}",
            answer.lines().next().unwrap_or_default()
        );
        Ok(Self::parse(&answer))
    }

    fn parse(text: &str) -> Self {
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.lines().filter(|line| line.starts_with("vrrp_")).filter_map(number).collect())
    }

    /// How much this counter has grown since `before`; None if it is not there.
    pub(crate) fn grown(&self, before: &Self, name: &str) -> Option<u64> {
        Some(self.0.get(name)?.saturating_sub(before.0.get(name).copied().unwrap_or(0)))
    }

    /// Fails unless so many instances are BACKUP: one that stands by has sent nothing, as one that does nothing at all has.
    pub(crate) fn ensure_backups(&self, instances: usize) -> Result<()> {
        let is_backup = |(name, value): &(&String, &u64)| {
            **value == 1 && name.starts_with(STATE) && name.ends_with(",state=\"BACKUP\"}")
        };
        let backups = self.0.iter().filter(is_backup).count();
        ensure!(
            backups == instances,
            "{backups} of the backup's {instances} instances are BACKUP, and it sent nothing"
        );
        Ok(())
    }

    /// Adverts that the kernel half found right since `before`.
    pub(crate) fn accepted(&self, before: &Self) -> Option<u64> {
        self.grown(before, &format!("{KERNEL}accepted\"}}"))
    }

    /// What the kernel half dropped since `before`, by reason.
    pub(crate) fn drops(&self, before: &Self) -> Vec<(String, u64)> {
        let reason = |name: &String| {
            let reason = name.strip_prefix(KERNEL)?.strip_suffix("\"}")?;
            let count = self.grown(before, name).filter(|count| *count > 0)?;
            (!NO_DROPS.contains(&reason)).then(|| (reason.to_owned(), count))
        };
        self.0.keys().filter_map(reason).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn counters_are_read_and_what_was_dropped_is_told_from_what_was_not() {
        let text = |ttl, accepted| {
            format!(
                "HTTP/1.1 200 OK\r\n\r\n# TYPE vrrp_kernel_adverts_total counter\n\
                 vrrp_kernel_adverts_total{{reason=\"ip_ttl\"}} {ttl}\n\
                 vrrp_kernel_adverts_total{{reason=\"checksum\"}} 7\n\
                 vrrp_kernel_adverts_total{{reason=\"accepted\"}} {accepted}\n\
                 vrrp_advert_thread_wakes_total {accepted}\nvrrp_uptime_seconds 1.25\n"
            )
        };
        let (before, after) = (Metrics::parse(&text(1, 10)), Metrics::parse(&text(51, 30)));
        assert_eq!(after.drops(&before), [("ip_ttl".to_owned(), 50)]);
        assert_eq!(after.accepted(&before), Some(20));
        assert_eq!(after.grown(&before, "vrrp_advert_thread_wakes_total"), Some(20));
        assert_eq!(after.grown(&before, "vrrp_nothing_total"), None);
    }

    #[test]
    fn a_backup_is_one_that_says_so_of_every_instance() {
        let of = |name: &str, backup: u8, fault: u8| {
            format!(
                "vrrp_instance_state{{vrrp_instance=\"{name}\",state=\"BACKUP\"}} {backup}\n\
                 vrrp_instance_state{{vrrp_instance=\"{name}\",state=\"FAULT\"}} {fault}\n"
            )
        };
        let backups = |text: &str| Metrics::parse(text).ensure_backups(2).is_ok();
        assert!(backups(&(of("a", 1, 0) + &of("b", 1, 0))));
        assert!(!backups(&(of("a", 1, 0) + &of("b", 0, 1))));
        assert!(!backups(&of("a", 1, 0)));
    }
}
