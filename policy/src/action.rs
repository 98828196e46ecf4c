//! What can be asked: every action of the Cedar schema, as one enum.
//!
//! A test holds this enum and `policies/trellis.cedarschema` to the same actions, groups and
//! resources, so that a name here is always a name there.
//!
//! ```
//! use policy::{Action, ActionGroup, ResourceKind};
//! assert_eq!("graph_show".parse(), Ok(Action::GraphShow));
//! assert_eq!(Action::Mutate.group(), ActionGroup::Write);
//! assert_eq!(Action::GraphList.resource_kind(), ResourceKind::Server);
//! ```

use std::fmt;
use std::str::FromStr;

/// The group of an action, as a policy names it: `action in Action::"read"`. The groups do not
/// contain each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionGroup {
    /// See and read.
    Read,
    /// Change data.
    Write,
    /// Change a graph itself: schema, branches, description.
    Manage,
    /// Run the server.
    Administer,
}

impl ActionGroup {
    /// Every group.
    pub const ALL: &[Self] = &[Self::Read, Self::Write, Self::Manage, Self::Administer];

    /// The name in the Cedar schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
            Self::Administer => "administer",
        }
    }
}

impl fmt::Display for ActionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// `Server::"root"`.
    Server,
    /// A graph.
    Graph,
    /// A node type or an edge type of a graph.
    Type,
}

/// A name that is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no action `{0}`")]
pub struct UnknownAction(pub String);

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident, $group:ident;)*) => {
        /// What a principal asks to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $($(#[$doc])* $variant,)* }

        impl Action {
            /// Every action, in the order of the design.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the Cedar schema and in `x-cedar-action`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the action is done to.
            pub const fn resource_kind(self) -> ResourceKind {
                match self { $(Self::$variant => ResourceKind::$kind,)* }
            }

            /// The one group that the action stands in.
            pub const fn group(self) -> ActionGroup {
                match self { $(Self::$variant => ActionGroup::$group,)* }
            }
        }
    };
}

actions! {
    /// Ask which graphs there are; the answer is filtered by [`Action::GraphShow`].
    GraphList = "graph_list", Server, Read;
    /// Create a graph.
    GraphCreate = "graph_create", Server, Administer;
    /// Read the server's configuration and its drift.
    ConfigRead = "config_read", Server, Administer;
    /// Apply the configuration file again.
    ConfigReload = "config_reload", Server, Administer;
    /// Read, validate and explain policies and decisions.
    PolicyRead = "policy_read", Server, Administer;
    /// Read the audit trail.
    AuditRead = "audit_read", Server, Administer;
    /// Read metrics.
    MetricsRead = "metrics_read", Server, Administer;
    /// See that a graph exists, and its description. Without it, the graph does not exist.
    GraphShow = "graph_show", Graph, Read;
    /// Change a graph's description: tenant, labels.
    GraphUpdate = "graph_update", Graph, Manage;
    /// Give a graph another policy of its own, or none.
    PolicyUpdate = "policy_update", Graph, Administer;
    /// Delete a graph.
    GraphDelete = "graph_delete", Graph, Administer;
    /// Bring a deleted graph back.
    GraphRestore = "graph_restore", Graph, Administer;
    /// Run a reading statement.
    Query = "query", Graph, Read;
    /// Run a writing statement.
    Mutate = "mutate", Graph, Write;
    /// Load records.
    Load = "load", Graph, Write;
    /// Export records.
    Export = "export", Graph, Read;
    /// Read the schema.
    SchemaRead = "schema_read", Graph, Read;
    /// Change the schema.
    SchemaApply = "schema_apply", Graph, Manage;
    /// Create a branch.
    BranchCreate = "branch_create", Graph, Write;
    /// Delete a branch.
    BranchDelete = "branch_delete", Graph, Manage;
    /// Merge a branch.
    BranchMerge = "branch_merge", Graph, Manage;
    /// Read commits, diffs and the change feed.
    HistoryRead = "history_read", Graph, Read;
    /// Read records of a type.
    TypeRead = "type_read", Type, Read;
    /// Write records of a type.
    TypeWrite = "type_write", Type, Write;
}

impl Action {
    /// The action of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.as_str() == name)
    }

    /// Whether a credential limited to `scopes` may ask for this action. A scope is the name of an
    /// action or of a group; other words mean nothing here, but policies may read them. Whoever is
    /// let to anything that concerns graphs is let to see them: a token for `query` alone would
    /// otherwise find no graph.
    pub(crate) fn in_scope(self, scopes: Option<&[String]>) -> bool {
        let Some(scopes) = scopes else { return true };
        scopes.iter().any(|scope| {
            scope == self.as_str()
                || scope == self.group().as_str()
                || (self == Self::GraphShow && concerns_graphs(scope))
        })
    }
}

fn concerns_graphs(scope: &str) -> bool {
    ActionGroup::ALL.iter().any(|group| group.as_str() == scope)
        || Action::parse(scope).is_some_and(|action| {
            action == Action::GraphList || action.resource_kind() != ResourceKind::Server
        })
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        Self::parse(name).ok_or_else(|| UnknownAction(name.to_owned()))
    }
}
