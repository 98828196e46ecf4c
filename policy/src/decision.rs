//! What comes out of a decision.
//!
//! A [`Permit`] and an [`Authorized`] plan have private fields and no public constructor: holding one
//! proves that the decision was made. A [`Permit`] cannot be cloned, only carried on.
//!
//! ```compile_fail
//! let forged = policy::Permit { /* private fields */ };
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use crate::action::{Action, ActionGroup};
use crate::principal::Principal;
use crate::resource::{Context, GraphRef, Resource};

/// The proof that a principal may do one action to one resource.
#[must_use = "a permit that nothing asks for protects nothing"]
pub struct Permit(Arc<Grant>);

struct Grant {
    principal: Arc<Principal>,
    action: Action,
    resource: Resource,
    context: Context,
    decision_id: Uuid,
}

impl Permit {
    pub(crate) fn new(
        principal: Arc<Principal>,
        action: Action,
        resource: Resource,
        context: Context,
        decision_id: Uuid,
    ) -> Self {
        Self(Arc::new(Grant {
            principal,
            action,
            resource,
            context,
            decision_id,
        }))
    }

    /// Who may.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.0.principal
    }

    /// What it may do.
    pub fn action(&self) -> Action {
        self.0.action
    }

    /// The graph that it is about; `None` for the server.
    pub fn graph_id(&self) -> Option<&str> {
        self.graph().map(GraphRef::graph_id)
    }

    /// Whether it was decided for this very graph, with the attributes and the own policy that it has in
    /// `graph`. A graph that has changed since has another reference.
    pub fn is_for(&self, graph: &GraphRef) -> bool {
        self.graph().is_some_and(|decided| decided.is(graph))
    }

    /// The branch that was named when it was decided.
    pub fn branch(&self) -> Option<&str> {
        self.0
            .context
            .branch
            .as_ref()
            .map(|branch| branch.name.as_str())
    }

    /// Whether it is for an action that may change something: any outside the group `read`.
    pub fn allows_writing(&self) -> bool {
        self.0.action.group() != ActionGroup::Read
    }

    /// Of this decision, time-ordered (UUIDv7).
    pub fn decision_id(&self) -> Uuid {
        self.0.decision_id
    }

    pub(crate) fn graph(&self) -> Option<&GraphRef> {
        self.0.resource.graph()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }

    /// For [`Authorized`], which carries its permit on while a handler may still need it.
    pub(crate) fn shared(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("principal", &self.0.principal.id)
            .field("action", &self.0.action)
            .field("resource", &self.0.resource.to_string())
            .field("decision_id", &self.0.decision_id)
            .finish()
    }
}

/// The record of a denied request: why a 403 was a 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of this decision, time-ordered (UUIDv7).
    pub decision_id: Uuid,
    /// When the request was received.
    pub time: SystemTime,
    /// The id of who asked.
    pub principal: String,
    /// What was asked.
    pub action: Action,
    /// About what, in words: ``graph `alpha` ``.
    pub resource: String,
    /// The graph concerned; `None` for the server.
    pub graph_id: Option<String>,
    /// The ids of the policies that forbade it, sorted; empty when no policy permitted it.
    pub reasons: Vec<String>,
    /// What went wrong in evaluating policies; one is enough to deny.
    pub errors: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            principal,
            action,
            resource,
            decision_id,
            ..
        } = self;
        write!(f, "`{principal}` may not do `{action}` on {resource}: ")?;
        if !self.errors.is_empty() {
            write!(f, "a policy could not be evaluated")?;
        } else if self.reasons.is_empty() {
            write!(f, "no policy permits it")?;
        } else {
            write!(f, "forbidden by {}", self.reasons.join(", "))?;
        }
        write!(f, " (decision {decision_id})")
    }
}

/// A request that was denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The principal may not even see the graph: answer as if there were none (404). The text is for
    /// the log alone.
    #[error("hidden: {0}")]
    Hidden(Arc<Refusal>),
    /// It may see the graph, or it is about the server: answer 403 with the decision id.
    #[error("{0}")]
    Forbidden(Arc<Refusal>),
}

impl Denial {
    /// The record.
    pub fn refusal(&self) -> &Arc<Refusal> {
        match self {
            Self::Hidden(refusal) | Self::Forbidden(refusal) => refusal,
        }
    }
}

/// Node type or edge type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TypeKind {
    /// A node type.
    Node,
    /// An edge type.
    Edge,
}

impl fmt::Display for TypeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node type",
            Self::Edge => "edge type",
        })
    }
}

/// A type that a plan reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeTouch<'a> {
    /// Node or edge type.
    pub kind: TypeKind,
    /// Its name in the schema.
    pub name: &'a str,
    /// Whether the plan writes it. One that is both read and written is touched twice.
    pub write: bool,
}

impl TypeTouch<'_> {
    pub(crate) fn action(&self) -> Action {
        if self.write {
            Action::TypeWrite
        } else {
            Action::TypeRead
        }
    }
}

/// A plan that touches types its principal may not touch (403), one refusal for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct TypeDenial {
    /// At least one, in the order of the touches.
    pub refusals: Vec<Arc<Refusal>>,
}

/// A plan whose every touched type was decided, with the permit it runs under.
#[must_use = "an authorized plan is to be executed"]
pub struct Authorized<P> {
    plan: P,
    permit: Permit,
}

impl<P> Authorized<P> {
    pub(crate) fn new(plan: P, permit: Permit) -> Self {
        Self { plan, permit }
    }

    /// The plan.
    pub fn plan(&self) -> &P {
        &self.plan
    }

    /// Who runs it.
    pub fn principal(&self) -> &Arc<Principal> {
        self.permit.principal()
    }

    /// Under which permit.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }
}

impl<P: fmt::Debug> fmt::Debug for Authorized<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorized")
            .field("plan", &self.plan)
            .field("permit", &self.permit)
            .finish()
    }
}
