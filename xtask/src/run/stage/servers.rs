//! The stage's part about the database servers and the planned switch: keys for them, and what they have to tell.
//!
//! Owns nothing of its own. Refuses to wait for a server or a command.

use anyhow::{Context, Result, bail};
use vrrp_lab::clock;

use super::{Kind, NODES, Router, ServerKey, Stage, VIP};
use crate::run::{
    switch::{Switch, Word},
    tally::News,
};

impl Stage {
    pub(super) fn obey_for_server(&mut self, key: ServerKey, index: usize) -> Result<()> {
        let database = self.database.as_mut().context("this lab has no database servers (--no-mysql)")?;
        let what = match key {
            ServerKey::Kill => database.kill(index)?,
            ServerKey::Freeze => database.toggle_freeze(index)?,
            ServerKey::Disk => database.toggle_disk(index)?,
            ServerKey::Start => database.start_again(&self.lab, index)?,
        };
        self.deed_to(index, "'s", what);
        Ok(())
    }

    pub(super) fn begin_switch(&mut self) -> Result<()> {
        if self.switch.is_some() {
            bail!("a planned switch is on its way");
        }
        let [owner] = self.timeline.holders() else { bail!("a planned switch wants one owner") };
        let from = NODES.iter().position(|name| name == owner).context("the owner is a node")?;
        if matches!(self.routers[from], Router::Keepalived(_)) {
            bail!("keepalived knows no planned switch; s stops it");
        }
        let switch = Switch::begin(self.lab.host(NODES[from]), from, self.targets[from].clone())?;
        self.switch = Some(switch);
        self.deed(from, "was told to hand over (vrrp drain)");
        Ok(())
    }

    pub(super) fn look_at_switch(&mut self) {
        let Some(switch) = &mut self.switch else { return };
        let from = NODES[switch.from];
        let holders = self.timeline.holders();
        let has_moved = !holders.is_empty() && holders.iter().all(|holder| holder != from);
        let (words, is_over) = switch
            .look(self.lab.host(from), has_moved)
            .unwrap_or_else(|error| (vec![Word::Bad(format!("{error:#}"))], true));
        if is_over {
            self.switch = None;
        }
        for word in words {
            let (kind, text) = match word {
                Word::Good(text) => (Kind::Done, text),
                Word::Bad(text) => (Kind::Trouble, text),
            };
            self.tell(clock::now_ns(), kind, text);
        }
    }

    pub(super) fn look_at_database(&mut self) -> Result<()> {
        let Some(database) = &mut self.database else { return Ok(()) };
        let now = clock::now_ns();
        let span = self.timeline.spans().last();
        if let Some(span) = span
            && let [owner] = &span.hosts[..]
            && let Some(owner) = NODES.into_iter().find(|name| name == owner)
        {
            database.note_owner(owner, span.from_ns);
        }
        let (news, endings) = database.look(now);
        // Whoever is written to has the address by then; an older history may not know it yet.
        let owner = self.watch.timeline(VIP)?.holders().join(" and ");
        endings.into_iter().for_each(|text| self.tell(now, Kind::Done, text));
        for item in news {
            let at_ns = if let News::Outage { at_ns, .. } = &item { *at_ns } else { now };
            let kind = if item.is_trouble() { Kind::Trouble } else { Kind::Moved };
            self.tell(at_ns, kind, item.text(&owner));
        }
        Ok(())
    }
}
