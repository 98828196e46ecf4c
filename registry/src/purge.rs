//! Removing the data of deleted graphs for good, when it has been kept long enough or when somebody
//! asks for it.
//!
//! Under the lock it is settled that nobody can restore the graph any more; then the files go, without
//! the lock, for that may take long; then it is written down. A crash on the way is gone on with by the
//! next round. Nothing is removed but what the engine makes, in a folder that carries the graph's own
//! uuid and that no graph of the config file has.

use policy::{Action, Permit};

use crate::deleted::{self, Deleted, DeletedGraph, Stage, now_micros};
use crate::intent::{self, Found};
use crate::refusal::WrongPermit;
use crate::registration;
use crate::registry::Registry;
use crate::steps::Step;
use crate::uri::GraphUri;
use crate::{Error, answer, durable};

/// The most graphs that one round purges.
const ROUND: usize = 16;

impl Registry {
    /// Purges what is due, at most a few graphs, and forgets old answers and purges. Returns how many
    /// graphs were purged. One that cannot be purged is said in the log and tried again next time.
    pub fn clean(&self) -> Result<usize, Error> {
        let mut purged = 0;
        if !self.file().is_on_disk() || self.file().is_borrowed() {
            return Ok(purged);
        }
        let due = |record: &Deleted| {
            record.stage == Stage::Purging || record.purge_after_micros <= now_micros()
        };
        let mut kept = deleted::kept(self.file())?;
        kept.sort_by_key(|record| record.purge_after_micros);
        for record in kept.into_iter().filter(due).take(ROUND) {
            match self.remove(&record) {
                Ok(()) => {
                    tracing::info!(graph_id = %record.graph_id, folder = %record.folder.display(), "purged a deleted graph");
                    purged += 1;
                }
                Err(error @ Error::Halted(_)) => return Err(error),
                Err(error) => {
                    let error = crate::with_causes(&error);
                    tracing::warn!(graph_id = %record.graph_id, error, "a deleted graph cannot be purged now");
                }
            }
        }
        // Without the lock: each file is forgotten whole, and whoever looks for it meanwhile finds it or
        // not.
        deleted::forget_old_purges(self.file())?;
        answer::forget_old(self.file())?;
        Ok(purged)
    }

    /// Purges the deleted graph that the permit, one for `graph_delete`, is for, now.
    pub fn purge(&self, permit: &Permit, deleted: &DeletedGraph) -> Result<Deleted, Error> {
        let is_it = permit.action() == Action::GraphDelete
            && permit.is_for(deleted.registration.reference());
        WrongPermit::unless(is_it, permit)?;
        self.remove(&deleted.record)?;
        Ok(Deleted {
            stage: Stage::Purged(now_micros()),
            ..deleted.record.clone()
        })
    }

    fn remove(&self, record: &Deleted) -> Result<(), Error> {
        let record = self.begin_purge(record)?;
        self.after(Step::PurgeBegun)?;
        // What somebody else has put in its place is theirs.
        let ours = |uuid| {
            intent::look(&record.folder)
                .map(|found| found == Found::Graph(uuid))
                .map_err(Error::from)
        };
        if let Some(uuid) = record.graph_uuid
            && ours(uuid)?
        {
            let _hold = crate::handle::hold(&record.folder).map_err(Error::held)?;
            if ours(uuid)? {
                intent::remove_files(&record.folder, uuid)?;
                self.after(Step::FilesRemoved)?;
                intent::remove_mark(&record.folder)?;
                self.after(Step::MarkRemoved)?;
            }
        }
        // Also after a crash that came between the mark's end and its folder's.
        if record.graph_uuid.is_some() && intent::look(&record.folder)? == Found::Empty {
            durable::remove_empty_folder(&record.folder)?;
            self.after(Step::FolderRemoved)?;
        }
        let purged = Deleted {
            stage: Stage::Purged(now_micros()),
            ..record.clone()
        };
        purged.write(self.file())?;
        self.after(Step::PurgeRecorded)?;
        record.remove(self.file())?;
        self.after(Step::PurgeEnded)
    }

    /// From here on the graph cannot be restored. Refused while the config file names its folder.
    fn begin_purge(&self, record: &Deleted) -> Result<Deleted, Error> {
        let _lock = self.lock()?;
        let (_, snapshot) = self.current()?;
        let gone = || Error::Purged(record.graph_id.clone());
        let record = record.again(self.file())?.ok_or_else(gone)?;
        if matches!(record.stage, Stage::Purged(_)) {
            return Err(gone());
        }
        let uri = GraphUri::known(&record.entry.uri, &record.folder);
        let by = registration::occupant(&snapshot.graphs, &record.folder)
            .or_else(|| registration::neighbour(&snapshot.graphs, &uri).map(|(_, by)| by));
        if let Some(by) = by {
            return Err(Error::UriInUse {
                uri: record.entry.uri.clone(),
                by: by.graph_id.clone(),
            });
        }
        let record = Deleted {
            stage: Stage::Purging,
            ..record
        };
        record.write(self.file())?;
        Ok(record)
    }
}
