//! Removing the data of deleted graphs for good, when it has been kept long enough or when somebody
//! asks for it.
//!
//! Under the lock it is settled that nobody can restore the graph any more; then the files go, without
//! the lock, for that may take long; then it is written down. A crash on the way is gone on with by the
//! next round, or ended by the next create when everything was gone. Nothing is removed but what the engine
//! makes, in a folder that carries the graph's own uuid, that no graph of the config file has and in which
//! no other graph lies. What cannot be shown to be the graph's stays, and then nothing is said to be gone.

use std::path::Path;

use policy::{Action, Permit};
use uuid::Uuid;

use crate::deleted::{self, Deleted, DeletedGraph, Stage, now_micros};
use crate::intent::{self, Found};
use crate::refusal::WrongPermit;
use crate::registration::{self, Graphs};
use crate::registry::Registry;
use crate::steps::Step;
use crate::uri::Relation;
use crate::{Error, answer, settle};

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
        // Those that cannot be purged are in nobody's way.
        for record in kept.iter().filter(|record| due(record)) {
            if purged == ROUND {
                break;
            }
            match self.remove(record, &kept) {
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
        self.remove(&deleted.record, &deleted::kept(self.file())?)?;
        Ok(Deleted {
            stage: Stage::Purged(now_micros()),
            ..deleted.record.clone()
        })
    }

    /// Everything is looked at before it is begun, so that what is refused can still be restored.
    fn remove(&self, record: &Deleted, kept: &[Deleted]) -> Result<(), Error> {
        if matches!(record.stage, Stage::Purged(_)) {
            return Err(Error::Purged(record.graph_id.clone()));
        }
        check_unclaimed(record, &self.snapshot().graphs, kept)?;
        check_contents(record)?;
        let record = self.begin_purge(record)?;
        self.after(Step::PurgeBegun)?;
        if let Some(uuid) = record.graph_uuid
            && is_in(&record.folder, uuid)?
        {
            let hold = match crate::handle::hold(&record.folder) {
                Ok(hold) => Some(hold),
                Err(error) if is_in(&record.folder, uuid)? => return Err(Error::held(error)),
                // Another purge of it was quicker.
                Err(_) => None,
            };
            if hold.is_some() && is_in(&record.folder, uuid)? {
                check_contents(&record)?;
                intent::remove_files(&record.folder, uuid)?;
                self.after(Step::FilesRemoved)?;
                intent::remove_mark(&record.folder)?;
                self.after(Step::MarkRemoved)?;
            }
        }
        let lock = self.lock();
        if let Err(error @ Error::LockTimeout { .. }) = &lock {
            // The data is gone all the same.
            tracing::warn!(graph_id = %record.graph_id, %error, "a purge is written down by the next round");
            return Ok(());
        }
        let _lock = lock?;
        settle::end_purge(self.file(), self.options(), &record)
    }

    /// From here on the graph cannot be restored. Refused while anybody else has its folder.
    fn begin_purge(&self, record: &Deleted) -> Result<Deleted, Error> {
        let _lock = self.lock()?;
        let (_, snapshot) = self.current()?;
        let gone = || Error::Purged(record.graph_id.clone());
        let again = record.again(self.file())?;
        let record = again.filter(|it| it.is_of(record)).ok_or_else(gone)?;
        check_unclaimed(&record, &snapshot.graphs, &deleted::kept(self.file())?)?;
        let record = Deleted {
            stage: Stage::Purging,
            ..record
        };
        record.write(self.file())?;
        Ok(record)
    }
}

fn is_in(folder: &Path, graph: Uuid) -> Result<bool, Error> {
    Ok(intent::look(folder)? == Found::Graph(graph))
}

/// Refuses while the folder is a registered graph's, lies in one or around one; while another deleted
/// graph lies in it; and while it is also that of one that was deleted later, whose data this is by now.
fn check_unclaimed(record: &Deleted, graphs: &Graphs, kept: &[Deleted]) -> Result<(), Error> {
    let uri = record.uri();
    registration::check_unclaimed(graphs, &uri)?;
    let age = |record: &Deleted| (record.deleted_micros, record.deletion);
    for other in kept.iter().filter(|other| !other.is_of(record)) {
        let relation = match uri.relation(&other.folder) {
            Some(Relation::Around) => Relation::Around,
            Some(Relation::Same) if age(other) > age(record) => Relation::Same,
            _ => continue,
        };
        return Err(Error::UriInUse {
            uri: record.entry.uri.clone(),
            relation,
            by: other.graph_id.clone(),
        });
    }
    Ok(())
}

/// Refuses to remove what another graph may have put there, and to say that data is gone that would stay.
fn check_contents(record: &Deleted) -> Result<(), Error> {
    let folder = &record.folder;
    let graph_id = || record.graph_id.clone();
    match (intent::look(folder)?, record.graph_uuid) {
        (Found::Absent | Found::Empty, _) => Ok(()),
        (Found::Graph(found), Some(uuid)) if found == uuid => {
            match intent::other_graph(folder, uuid)? {
                None => Ok(()),
                Some(path) => Err(Error::GraphWithin {
                    graph_id: graph_id(),
                    path,
                }),
            }
        }
        // What others have put there, and nothing of a graph.
        (Found::Other, _) if !intent::has_parts(folder)? => Ok(()),
        (Found::Graph(_) | Found::Other, _) => Err(Error::NotItsOwn {
            graph_id: graph_id(),
            uri: record.entry.uri.clone(),
        }),
    }
}
