//! Changing what the config file says of one graph: its tenant, its labels, its policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::{Action, GraphRef, Permit};

use crate::change::{Effects, Prepared};
use crate::config::{GraphEntry, edit};
use crate::intent::{Change, Intent};
use crate::refusal::WrongPermit;
use crate::registration::{Graphs, Registration};
use crate::registry::Registry;
use crate::{Digest, Error, locate};

/// What is to be changed; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphUpdate {
    /// Whose it is; `Some(None)` for nobody's.
    pub tenant: Option<Option<String>>,
    /// Its labels, all of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its own Cedar policy file, within the allowed roots; `Some(None)` for none.
    pub policy_file: Option<Option<String>>,
}

/// On which version of a registration a change is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Any.
    #[default]
    Any,
    /// One of these ([`Registration::version`]).
    OneOf(Vec<String>),
}

impl Condition {
    pub(crate) fn check(&self, graph: &Registration) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(versions) if versions.contains(&graph.version()) => Ok(()),
            Self::OneOf(_) => Err(Error::OtherVersion(graph.graph_id.clone())),
        }
    }
}

impl Registry {
    /// The graph as it would be after the change, for the question whether its principal may still do
    /// what it does: nobody moves a graph to where they have no say.
    #[must_use]
    pub fn as_updated(&self, graph: &Registration, update: &GraphUpdate) -> GraphRef {
        let entry = merged(&graph.entry, update);
        GraphRef::new(graph.graph_id.as_str(), entry.tenant, entry.labels, None)
    }

    /// Changes the entry of the graph that the permit, one for `graph_update`, is for. Another policy asks
    /// for `of_policy`, a permit for `policy_update` on it, too. What says already what it is to say is no
    /// change.
    pub fn update(
        &self,
        permit: &Permit,
        of_policy: Option<&Permit>,
        update: &GraphUpdate,
        condition: &Condition,
    ) -> Result<Arc<Registration>, Error> {
        WrongPermit::unless(permit.action() == Action::GraphUpdate, permit)?;
        if update.policy_file.is_some() {
            let of_policy = of_policy.unwrap_or(permit);
            WrongPermit::unless(of_policy.action() == Action::PolicyUpdate, of_policy)?;
        }
        locate::check_texts(update.tenant.iter().flatten(), update.labels.iter())?;
        let _lock = self.lock()?;
        let (read, snapshot) = self.current()?;
        let graph = Self::still(permit, &snapshot)?;
        if let Some(of_policy) = of_policy {
            let same = Self::still(of_policy, &snapshot)?;
            WrongPermit::unless(Arc::ptr_eq(&same, &graph), of_policy)?;
        }
        condition.check(&graph)?;
        if let Some(Some(written)) = &update.policy_file {
            let roots = self.roots(&snapshot)?;
            self.check_policy_file(written, &roots)?;
        }
        let entry = merged(&graph.entry, update);
        if entry == graph.entry {
            return Ok(graph);
        }
        let text = edit::update_graph(&read.text, &graph.graph_id, &entry)?;
        let new_digest = Digest::of(text.as_bytes());
        let prepared = Prepared {
            intent: Intent::new(&graph.graph_id, read.digest, new_digest, Change::Update),
            text,
        };
        let (graph_id, uri) = (graph.graph_id.clone(), graph.uri.clone());
        let updated = Arc::new(Registration::new(self.file(), graph_id, entry, uri));
        self.carry_out(&prepared, &snapshot, &mut Replaced(updated.clone()))?;
        Ok(updated)
    }
}

fn merged(entry: &GraphEntry, update: &GraphUpdate) -> GraphEntry {
    let mut entry = entry.clone();
    if let Some(tenant) = &update.tenant {
        entry.tenant.clone_from(tenant);
    }
    if let Some(labels) = &update.labels {
        entry.labels.clone_from(labels);
    }
    if let Some(policy_file) = &update.policy_file {
        let file = policy_file.clone();
        entry.policy = file.map(|file| crate::config::PolicyFile { file });
    }
    entry
}

struct Replaced(Arc<Registration>);

impl Effects for Replaced {
    fn publish(&mut self, _: &Registry, graphs: &mut Graphs) {
        graphs.insert(self.0.graph_id.clone(), self.0.clone());
    }
}
