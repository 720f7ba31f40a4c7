//! What the daemon's notices are to those who are notified.
//!
//! Owns which of them are news: a state that is another one, a verdict. Who is told, and how, is `control::notify`'s.

use crate::control::notify::{News, What};
use crate::daemon::notice::Notice;
use crate::daemon::service::Running;
use crate::daemon::status::shown;
use crate::health::watch::Told;
use crate::net::clock;

impl Running {
    pub(super) fn tell(&mut self, notice: &Notice) {
        let Notice::Transition { router, from, to, why, .. } = *notice else { return };
        // A remark.
        if from == to {
            return;
        }
        let instance = self.journal.name(router).to_owned();
        self.announce(instance, why.to_string(), What::State(shown(to)));
    }

    pub(super) fn tell_verdict(&mut self, told: Told) {
        let Told { instance, check, verdict, cause, .. } = told;
        self.announce(instance.to_string(), cause, What::Check { check, verdict });
    }

    fn announce(&mut self, instance: String, why: String, what: What) {
        let priority = self.standing.of(&instance).map_or(0, |standpoint| standpoint.priority.get());
        let news = News { time_unix_ms: clock::unix_ms(), instance, priority, why, what };
        self.herald.tell(&news);
    }
}
