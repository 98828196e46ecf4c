//! What is asked about, and under which circumstances.
//!
//! ```
//! use policy::{BranchRef, Context, GraphRef};
//! use std::collections::BTreeMap;
//! let alpha = GraphRef::new("alpha", Some("acme".into()), BTreeMap::from([("env".into(), "prod".into())]), None);
//! let on_main = Context { branch: Some(BranchRef { name: "main".into(), protected: true }), ..Context::now() };
//! assert_eq!((alpha.graph_id(), alpha.tenant()), ("alpha", Some("acme")));
//! # let _ = on_main;
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::policies::GraphPolicy;

/// A graph as policies see it: its id, tenant and labels, and its own policy. It opens nothing; only
/// a permit does. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GraphRef(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    graph_id: String,
    tenant: Option<String>,
    labels: BTreeMap<String, String>,
    policy: Option<Arc<GraphPolicy>>,
}

impl GraphRef {
    /// For the registry, which knows what is so.
    pub fn new(
        graph_id: impl Into<String>,
        tenant: Option<String>,
        labels: BTreeMap<String, String>,
        policy: Option<Arc<GraphPolicy>>,
    ) -> Self {
        Self(Arc::new(Facts {
            graph_id: graph_id.into(),
            tenant,
            labels,
            policy,
        }))
    }

    /// Whether both are copies of one reference.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether policies cannot tell them apart: copies of one reference, or all facts equal.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let own = |graph: &Self| graph.policy().map(Arc::as_ptr);
        self.is(other)
            || (self.graph_id() == other.graph_id()
                && self.tenant() == other.tenant()
                && self.labels() == other.labels()
                && own(self) == own(other))
    }

    /// The id, as registered.
    pub fn graph_id(&self) -> &str {
        &self.0.graph_id
    }

    /// Whose data it is.
    pub fn tenant(&self) -> Option<&str> {
        self.0.tenant.as_deref()
    }

    /// Its labels, by key.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.0.labels
    }

    /// Its own policy, beside the server's.
    pub fn policy(&self) -> Option<&Arc<GraphPolicy>> {
        self.0.policy.as_ref()
    }
}

/// What an action is done to.
#[derive(Debug, Clone)]
pub enum Resource {
    /// The server: `Server::"root"`.
    Server,
    /// A graph.
    Graph(GraphRef),
}

impl Resource {
    pub(crate) fn graph(&self) -> Option<&GraphRef> {
        match self {
            Self::Server => None,
            Self::Graph(graph) => Some(graph),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server"),
            Self::Graph(graph) => write!(f, "graph `{}`", graph.graph_id()),
        }
    }
}

/// A branch as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchRef {
    /// Its name in the graph.
    pub name: String,
    /// Whether it is protected.
    pub protected: bool,
}

/// The circumstances of a request. The scopes come from the principal.
#[derive(Debug, Clone)]
pub struct Context {
    /// The branch that the request names.
    pub branch: Option<BranchRef>,
    /// Whether it works on a draft.
    pub draft: bool,
    /// When it was received.
    pub time: SystemTime,
}

impl Context {
    /// A request received now, on no named branch.
    pub fn now() -> Self {
        Self {
            branch: None,
            draft: false,
            time: SystemTime::now(),
        }
    }
}
