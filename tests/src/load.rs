//! Load on the machine: busy loops, memory, disk, and holders of the kernel's RTNL lock.
//!
//! Owns the child processes that make it, each bounded by itself too. Refuses to know who suffers.

use std::path::Path;

use anyhow::Result;

use crate::{lab::Lab, namespace::Namespace, process::Process};

/// Running load; ends when dropped.
#[derive(Debug)]
pub struct Load {
    // The processes go before the namespace they work in.
    processes: Vec<Process>,
    _namespace: Option<Namespace>,
}

impl Load {
    /// `count` processes that each want a whole CPU; each ends itself after a minute of CPU time.
    pub fn busy_loops(lab: &Lab, count: usize) -> Result<Self> {
        Self::shells(lab, "busy", count, "while :; do :; done")
    }

    /// Two processes that fill and free so many bytes each, again and again; each ends itself after a minute of CPU time, and
    /// is the first that the kernel would end for want of memory.
    pub fn memory(lab: &Lab, each: u64) -> Result<Self> {
        // `tail` without a newline in sight keeps everything it has read.
        let fill = format!(
            "echo 1000 > /proc/self/oom_score_adj; while :; do head -c {each} /dev/zero | tail -n 1 > /dev/null; done"
        );
        Self::shells(lab, "memory", 2, &fill)
    }

    /// Two processes that write 64 MiB to the disk that this folder is on and wait until it is there, again and again; each
    /// ends itself after a minute of CPU time, and is the first that the kernel would end for want of memory.
    pub fn disk(lab: &Lab, folder: &Path) -> Result<Self> {
        let folder = folder.display();
        // Without a name from the beginning: nothing is left of it, however its writer ends.
        let write = format!(
            "echo 1000 > /proc/self/oom_score_adj; \
             file=$(mktemp -p '{folder}') && exec 3> \"$file\" && rm \"$file\" || exit 1; \
             while :; do dd if=/dev/zero of=/proc/self/fd/3 bs=1M count=64 conv=fsync 2> /dev/null; done"
        );
        Self::shells(lab, "disk", 2, &write)
    }

    fn shells(lab: &Lab, what: &str, count: usize, script: &str) -> Result<Self> {
        let script = format!("ulimit -t 60; {script}");
        let start = |index: usize| {
            let name = format!("{what}{index}");
            let log = lab.folder().join(format!("{name}.log"));
            Process::spawn(None, &name, Path::new("/bin/sh"), &["-c", &script], &log)
        };
        let processes = (0..count).map(start).collect::<Result<_>>()?;
        Ok(Self { processes, _namespace: None })
    }

    /// `count` processes that change links as fast as they can in a namespace of their own. Each change runs under the
    /// RTNL lock, which all namespaces share; removing devices holds it longest. Each ends itself after a minute of CPU
    /// time or 100 000 rounds.
    pub fn link_changers(lab: &Lab, count: usize) -> Result<Self> {
        let namespace = Namespace::create(&format!("{}-load", lab.next_name()))?;
        let start = |index: usize| {
            let name = format!("links{index}");
            let log = lab.folder().join(format!("{name}.log"));
            let mut batch = String::new();
            for pair in 0..8 {
                batch.push_str(&format!(
                    "link add name u{index}v{pair} type veth peer name w{index}v{pair}\n"
                ));
                batch
                    .push_str(&format!("link set dev u{index}v{pair} up\nlink set dev w{index}v{pair} up\n"));
            }
            batch.push_str(&format!("link add name m{index} type bridge\nlink set dev m{index} up\n"));
            batch.push_str(&format!("link set dev w{index}v0 master m{index}\nlink del dev m{index}\n"));
            for pair in 0..8 {
                batch.push_str(&format!("link del dev u{index}v{pair}\n"));
            }
            let file = lab.folder().join(format!("{name}.batch"));
            std::fs::write(&file, batch)?;
            let script = format!(
                "ulimit -t 60; n=0; while [ $n -lt 100000 ]; do ip -force -batch {}; n=$((n+1)); done",
                file.display()
            );
            Process::spawn(Some(&namespace), &name, Path::new("/bin/sh"), &["-c", &script], &log)
        };
        let processes = (0..count).map(start).collect::<Result<_>>()?;
        Ok(Self { processes, _namespace: Some(namespace) })
    }

    /// The processes that make it.
    pub fn processes(&mut self) -> &mut [Process] {
        &mut self.processes
    }
}
