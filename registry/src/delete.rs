//! Deleting a graph: out of the config file and of every process at once, its data kept for a while;
//! and bringing it back.
//!
//! A delete first takes the graph's writer lock, asking whoever has it to let go, and keeps it until
//! the graph stands in no file any more. Whoever opens the graph takes that lock too and then looks for
//! the record of a deletion ([`crate::deleted`]), so that after a delete is acknowledged no process
//! acknowledges a commit to the graph, however old its view of the config file is.

use std::sync::Arc;
use std::time::Duration;

use policy::{Action, Permit};

use crate::change::{Effects, Prepared};
use crate::config::edit;
use crate::deleted::{self, Deleted, DeletedGraph, Stage};
use crate::intent::{self, Change, Found, Intent};
use crate::refusal::WrongPermit;
use crate::registration::{self, Graphs, Registration};
use crate::registry::Registry;
use crate::steps::Step;
use crate::{Condition, Digest, Error, GraphId};

impl Registry {
    /// Deletes the graph that the permit, one for `graph_delete`, is for.
    pub fn delete(&self, permit: &Permit, condition: &Condition) -> Result<Deleted, Error> {
        WrongPermit::unless(permit.action() == Action::GraphDelete, permit)?;
        let graph = Self::still(permit, &self.snapshot())?;
        condition.check(&graph)?;
        let _fence = self.fence(&graph)?;
        let _lock = self.lock()?;
        let (read, snapshot) = self.current()?;
        let graph = Self::still(permit, &snapshot)?;
        condition.check(&graph)?;
        let graph_uuid = match intent::look(graph.uri.canonical())? {
            Found::Graph(uuid) => Some(uuid),
            Found::Absent | Found::Empty | Found::Other => None,
        };
        let keep = Duration::from_secs(snapshot.config.server.deleted_retention.seconds());
        let record = Deleted::new(&graph, graph_uuid, &permit.principal().id, keep);
        let text = edit::remove_graph(&read.text, &graph.graph_id)?;
        let new_digest = Digest::of(text.as_bytes());
        let change = Change::Delete(Box::new(record.clone()));
        let prepared = Prepared {
            intent: Intent::new(&graph.graph_id, read.digest, new_digest, change),
            text,
        };
        self.carry_out(&prepared, &snapshot, &mut Deleting(&record))?;
        Ok(record)
    }

    /// The deleted graphs of that id: first those that can be restored, at last those that were purged,
    /// each the newest first. Reads the disk.
    pub fn deleted(&self, graph_id: &GraphId) -> Result<Vec<DeletedGraph>, Error> {
        let records = deleted::of_id(self.file(), graph_id)?;
        Ok(Deleted::into_graphs(self.file(), records))
    }

    /// The deleted graphs that can be restored, in order of [`Deleted::name`]. Reads the disk.
    pub fn all_deleted(&self) -> Result<Vec<Arc<DeletedGraph>>, Error> {
        let mut kept = deleted::kept(self.file())?;
        kept.retain(|record| record.stage == Stage::Kept);
        kept.sort_by_cached_key(Deleted::name);
        Ok(self.listed.graphs(self.file(), kept))
    }

    /// Brings back the deleted graph that the permit, one for `graph_restore`, is for.
    pub fn restore(
        &self,
        permit: &Permit,
        deleted: &DeletedGraph,
    ) -> Result<Arc<Registration>, Error> {
        let is_it = permit.action() == Action::GraphRestore
            && permit.is_for(deleted.registration.reference());
        WrongPermit::unless(is_it, permit)?;
        let graph_id = &deleted.record.graph_id;
        let _lock = self.lock()?;
        let (read, snapshot) = self.current()?;
        if let Some(taken) = snapshot.graphs.get(graph_id) {
            return Err(Error::GraphExists(taken.graph_id.clone()));
        }
        let record = match deleted.record.again(self.file())? {
            Some(record) if record.stage == Stage::Kept => record,
            _ => return Err(Error::Purged(graph_id.clone())),
        };
        if record != deleted.record {
            return Err(Error::Changed);
        }
        self.check_still_there(&record, &snapshot.graphs)?;
        let text = edit::add_graph(&read.text, graph_id, &record.entry)?;
        let new_digest = Digest::of(text.as_bytes());
        let change = Change::Restore(Box::new(record.clone()));
        let prepared = Prepared {
            intent: Intent::new(graph_id, read.digest, new_digest, change),
            text,
        };
        let entry = record.entry.clone();
        let registration = Registration::new(self.file(), graph_id.clone(), entry, record.uri());
        let mut restoring = Restoring(&record, Arc::new(registration));
        self.carry_out(&prepared, &snapshot, &mut restoring)?;
        Ok(restoring.1)
    }

    /// The folder must be nobody's else by now, and hold what it held.
    fn check_still_there(&self, record: &Deleted, graphs: &Graphs) -> Result<(), Error> {
        registration::check_unclaimed(graphs, &record.uri())?;
        match (record.graph_uuid, intent::look(&record.folder)?) {
            (None, _) => Ok(()),
            (Some(uuid), Found::Graph(found)) if found == uuid => Ok(()),
            (Some(_), _) => Err(Error::Purged(record.graph_id.clone())),
        }
    }
}

struct Deleting<'a>(&'a Deleted);

impl Effects for Deleting<'_> {
    fn before(&mut self, registry: &Registry) -> Result<(), Error> {
        self.0.write(registry.file())?;
        registry.after(Step::DeletionRecorded)
    }

    fn undo(&mut self, registry: &Registry) -> Result<(), Error> {
        Ok(self.0.remove(registry.file())?)
    }

    fn publish(&mut self, _: &Registry, graphs: &mut Graphs) {
        graphs.remove(&self.0.graph_id);
    }
}

struct Restoring<'a>(&'a Deleted, Arc<Registration>);

impl Effects for Restoring<'_> {
    fn after(&mut self, registry: &Registry) -> Result<(), Error> {
        self.0.remove(registry.file())?;
        registry.after(Step::DeletionForgotten)
    }

    fn publish(&mut self, _: &Registry, graphs: &mut Graphs) {
        graphs.insert(self.1.graph_id.clone(), self.1.clone());
    }
}
