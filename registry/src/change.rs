//! The one order in which the config file is changed: intent, effects on the disk, the file's
//! replacement, the digest for other processes, what follows, the served version, the intent's end.
//!
//! From the replacement on the change has happened, and whoever comes next finishes what is missing;
//! before it, a failure undoes what was done. All of it is synchronous and under the lock. Run it where
//! nobody's going away can end it half-way.

use std::sync::Arc;

use crate::Error;
use crate::durable;
use crate::intent::Intent;
use crate::registration::{Graphs, Snapshot};
use crate::registry::Registry;
use crate::steps::Step;

/// A change decided and proven, with nothing done yet.
pub(crate) struct Prepared {
    pub(crate) intent: Intent,
    /// The whole new file.
    pub(crate) text: String,
}

/// What a change does besides replacing the file.
pub(crate) trait Effects {
    /// Before the file is replaced.
    fn before(&mut self, _registry: &Registry) -> Result<(), Error> {
        Ok(())
    }

    /// Takes back what was done before a failure.
    fn undo(&mut self, _registry: &Registry) -> Result<(), Error> {
        Ok(())
    }

    /// Once the file is replaced.
    fn after(&mut self, _registry: &Registry) -> Result<(), Error> {
        Ok(())
    }

    /// What the graphs are from now on.
    fn publish(&mut self, registry: &Registry, graphs: &mut Graphs);
}

/// Why the effects stopped, and whether the config had been replaced by then.
struct Failure {
    error: Error,
    replaced: bool,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            replaced: false,
        }
    }
}

impl Registry {
    /// Under the lock, on the version `served` that was just compared with the disk.
    pub(crate) fn carry_out(
        &self,
        prepared: &Prepared,
        served: &Snapshot,
        effects: &mut dyn Effects,
    ) -> Result<(), Error> {
        let intent = &prepared.intent;
        intent.begin(self.file())?;
        self.after(Step::IntentWritten)?;
        match self.up_to_the_replacement(prepared, effects) {
            Ok(()) => {}
            // As after a crash, or the new config may be in place already, so that only the disk can
            // tell: whoever comes next settles it.
            Err(Failure {
                error: error @ Error::Halted(_),
                ..
            })
            | Err(Failure {
                error,
                replaced: true,
            }) => return Err(error),
            Err(Failure {
                error,
                replaced: false,
            }) => {
                self.take_back(intent, effects);
                return Err(error);
            }
        }
        let recorded = self.file().record_write(intent.new_digest);
        recorded.map_err(Error::unfinished)?;
        self.after(Step::DigestRecorded)?;
        effects.after(self).map_err(Error::unfinished)?;
        let mut graphs = served.graphs.clone();
        effects.publish(self, &mut graphs);
        self.publish(Snapshot {
            digest: intent.new_digest,
            text: prepared.text.as_str().into(),
            config: served.config.clone(),
            graphs,
        });
        self.after(Step::Published)?;
        if let Err(error) = intent.end(self.file()) {
            // The change is whole; whoever comes next finds it so and ends the intent.
            tracing::warn!(%error, "an intent could not be ended");
        }
        self.after(Step::IntentEnded)
    }

    fn up_to_the_replacement(
        &self,
        prepared: &Prepared,
        effects: &mut dyn Effects,
    ) -> Result<(), Failure> {
        effects.before(self)?;
        let replacement = self.file().prepare(&prepared.text)?;
        if let Err(halted) = self.after(Step::ConfigPrepared) {
            replacement.leave();
            return Err(halted.into());
        }
        // An editor pays no regard to our lock: look again at the last moment.
        let on_disk = self.file().read()?.digest;
        if on_disk != prepared.intent.old_digest {
            return Err(self.drifted(on_disk).into());
        }
        replacement.rename()?;
        let replaced = |error: Error| Failure {
            error,
            replaced: true,
        };
        let synced = durable::sync_folder(self.file().folder());
        synced.map_err(|error| replaced(Error::unfinished(error)))?;
        self.after(Step::ConfigReplaced).map_err(replaced)
    }

    /// What cannot be undone now is left to the intent.
    fn take_back(&self, intent: &Intent, effects: &mut dyn Effects) {
        let undone = effects
            .undo(self)
            .and_then(|()| Ok(intent.end(self.file())?));
        if let Err(error) = undone {
            let error = crate::with_causes(&error);
            tracing::error!(graph_id = %intent.graph_id, error, "a failed change could not be undone yet");
        }
    }

    /// The served registration that a permit was decided for, as it is on the disk now.
    pub(crate) fn still(
        permit: &policy::Permit,
        snapshot: &Snapshot,
    ) -> Result<Arc<crate::Registration>, Error> {
        let graph_id = permit.graph_id();
        let graph_id = graph_id.and_then(|graph_id| crate::GraphId::parse(graph_id).ok());
        let found = graph_id.and_then(|graph_id| snapshot.graphs.get(&graph_id));
        match found {
            Some(graph) if permit.is_for(graph.reference()) => Ok(graph.clone()),
            _ => Err(Error::Changed),
        }
    }
}
