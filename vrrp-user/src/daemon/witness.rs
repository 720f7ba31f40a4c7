//! The witness of process exits at work: whoever keeps vigil over a process is told of its end.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use crate::health::process::{Vigil, Witness};
use crate::net::exits::{Exits, ExitsError};

const VIGILS: usize = 16;

/// None, and a line in the log, if it cannot be had: pidfds then do alone.
pub(super) fn start() -> Option<Witness> {
    match Exits::attach() {
        Ok(exits) => {
            let (vigils_in, vigils) = mpsc::channel(VIGILS);
            tokio::spawn(keep(exits, vigils));
            Some(Witness(vigils_in))
        }
        Err(error) => {
            tracing::warn!(
                "the end of a server with much memory is seen late, when the kernel has taken its memory down: {error}"
            );
            None
        }
    }
}

/// Until nobody can ask any more.
async fn keep(mut exits: Exits, mut vigils: mpsc::Receiver<Vigil>) {
    let mut kept: HashMap<u32, Vec<oneshot::Sender<()>>> = HashMap::new();
    loop {
        tokio::select! {
            vigil = vigils.recv() => {
                let Some(Vigil { pid, ends }) = vigil else { return };
                forget_abandoned(&mut exits, &mut kept);
                match exits.watch(pid) {
                    Ok(()) => kept.entry(pid).or_default().push(ends),
                    Err(error) => tracing::warn!("process {pid} is watched by its pidfd alone: {error}"),
                }
            }
            ended = exits.next() => match ended {
                Ok(pid) => {
                    exits.forget(pid);
                    for ends in kept.remove(&pid).unwrap_or_default() {
                        // Whoever kept vigil may have ended in the meantime.
                        ends.send(()).unwrap_or_default();
                    }
                }
                Err(ExitsError::Wait(error)) => {
                    tracing::error!("the witness of process exits is deaf: {error}");
                    return;
                }
                Err(error) => tracing::warn!("{error}"),
            },
        }
    }
}

fn forget_abandoned(exits: &mut Exits, kept: &mut HashMap<u32, Vec<oneshot::Sender<()>>>) {
    kept.retain(|pid, waiting| {
        waiting.retain(|ends| !ends.is_closed());
        if waiting.is_empty() {
            exits.forget(*pid);
        }
        !waiting.is_empty()
    });
}
