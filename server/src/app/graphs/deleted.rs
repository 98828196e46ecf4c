//! Which deleted graph is meant, of the several that may have had one id, and who may do what to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::DeletionParameters;
use policy::{Action, Context, Denial, GraphRef, Permit, Principal, Resource};
use registry::{DeletedGraph, GraphId};
use uuid::Uuid;

use crate::app::{App, Error};

impl App {
    /// May `principal` do `action` to a deleted graph of that name: to the one that is named, else to the
    /// newest to which they may, so that nobody's deletion is in the way of another's? One that may not
    /// be seen and one that never was give the same error. Reads the disk.
    pub(crate) fn permit_deleted(
        &self,
        principal: &Arc<Principal>,
        action: Action,
        name: &str,
        parameters: &DeletionParameters,
    ) -> Result<(Permit, DeletedGraph), Error> {
        let deletion = parameters.deletion.as_deref().map(Uuid::parse_str);
        let deletion = deletion
            .transpose()
            .map_err(|_| Error::InvalidRequest("deletion must be a UUID".to_owned()))?;
        let hidden = || Error::NoSuchGraph {
            graph_id: name.to_owned(),
        };
        let graph_id = GraphId::parse(name).map_err(|_| hidden())?;
        let access = self.access.load();
        let decide = |reference: GraphRef| {
            let resource = Resource::Graph(reference);
            let decided = access
                .authorizer
                .decide(principal, action, &resource, &Context::now());
            match decided {
                Err(Denial::Hidden(_)) => Err(None),
                decided => decided.map_err(Some),
            }
        };
        let mut refused = None;
        for graph in self.registry.deleted(&graph_id)? {
            if deletion.is_some_and(|deletion| deletion != graph.record.deletion) {
                continue;
            }
            match decide(graph.registration.reference().clone()) {
                Ok(permit) => return Ok((permit, graph)),
                Err(denial) => refused = refused.or(denial),
            }
        }
        // Whatever there is, the policies are asked about the graph of that id.
        let registered = self.registry.get(&graph_id).filter(|_| deletion.is_none());
        let reference = match &registered {
            Some(registration) => registration.reference().clone(),
            None => GraphRef::new(graph_id.as_str(), None, BTreeMap::new(), None),
        };
        match (decide(reference), registered) {
            (Ok(_), Some(graph)) => {
                return Err(registry::Error::GraphExists(graph.graph_id.clone()).into());
            }
            (Err(denial), Some(_)) => refused = refused.or(denial),
            (_, None) => {}
        }
        Err(refused.map_or_else(hidden, Error::from))
    }

    /// Whether `principal` may bring a deleted graph back.
    pub(crate) fn may_restore(&self, principal: &Arc<Principal>, deleted: &DeletedGraph) -> bool {
        let resource = Resource::Graph(deleted.registration.reference().clone());
        let access = self.access.load();
        let context = Context::now();
        access
            .authorizer
            .decide(principal, Action::GraphRestore, &resource, &context)
            .is_ok()
    }
}
