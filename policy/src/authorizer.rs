//! The decisions.
//!
//! An [`Authorizer`] is an immutable value: a reload makes another and puts it in the place of the
//! old one. The server's documents and the graph's own are evaluated one after the other and their
//! answers combined as Cedar combines policies (a forbid wins, then a permit, else denied), so nothing
//! is ever merged. Where Cedar skips a policy that fails to evaluate, the whole request is denied.
//! An answer that no policy can give differently the next time is kept (see [`crate::docket`]).
//!
//! ```
//! use policy::{Action, Authorizer, Context, Principal, Resource};
//! use std::sync::Arc;
//! let authorizer = Authorizer::unauthenticated();
//! let anonymous = Arc::new(Principal::anonymous());
//! assert!(authorizer.decide(&anonymous, Action::GraphCreate, &Resource::Server, &Context::now()).is_ok());
//! let alice = Arc::new(Principal::user("alice"));
//! assert!(authorizer.decide(&alice, Action::GraphCreate, &Resource::Server, &Context::now()).is_err());
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::action::{Action, ResourceKind};
use crate::case::Case;
use crate::decision::{Authorized, Denial, Permit, Refusal, TypeDenial, TypeTouch};
use crate::docket::Dockets;
use crate::policies::PolicyDocument;
use crate::principal::Principal;
use crate::request::Unaskable;
use crate::resource::{Context, GraphRef, Resource};
use crate::tokens::Tokens;
use crate::verdict::Verdict;

/// How many of the latest refusals are kept for [`Authorizer::refusal`].
pub const MAX_REFUSALS: usize = 1024;

/// A server that would let nobody in, or everybody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither tokens nor a policy are configured: set `auth.tokens_file` (or TRELLIS_TOKENS_JSON) and `server.policy`, or start with --unauthenticated to let everybody on this machine do everything"
)]
pub struct NothingConfigured;

/// Decides, by the server's policies and each graph's own.
#[derive(Debug)]
pub struct Authorizer {
    pub(crate) documents: Vec<PolicyDocument>,
    pub(crate) cedar: cedar_policy::Authorizer,
    /// What these policies decided before.
    pub(crate) dockets: Dockets,
    ledger: Arc<Ledger>,
}

/// What outlives a reload.
#[derive(Debug, Default)]
struct Ledger {
    evaluation_errors: AtomicU64,
    refusals: Mutex<VecDeque<Arc<Refusal>>>,
}

impl Authorizer {
    /// By these policies of the server, and the built-in one that holds principals to their scopes.
    pub fn new(server: impl IntoIterator<Item = PolicyDocument>) -> Self {
        const SCOPES: &str = include_str!("../../policies/builtin-scopes.cedar");
        let scopes = PolicyDocument::built_in("builtin-scopes", SCOPES);
        Self {
            documents: std::iter::once(scopes).chain(server).collect(),
            cedar: cedar_policy::Authorizer::new(),
            dockets: Dockets::default(),
            ledger: Arc::default(),
        }
    }

    /// For a server that has tokens and no policy: everybody reads every graph and does nothing else.
    pub fn read_only() -> Self {
        const READ_ONLY: &str = include_str!("../../policies/builtin-read-only.cedar");
        Self::new([PolicyDocument::built_in("builtin-read-only", READ_ONLY)])
    }

    /// For `--unauthenticated`: [`Principal::anonymous`] may do everything. A graph's own policy may
    /// still forbid.
    pub fn unauthenticated() -> Self {
        const UNAUTHENTICATED: &str = include_str!("../../policies/builtin-unauthenticated.cedar");
        Self::new([PolicyDocument::built_in(
            "builtin-unauthenticated",
            UNAUTHENTICATED,
        )])
    }

    /// What a server with authentication starts with: its policies, or read-only when it has tokens
    /// and no policy (`None`), or nothing at all, and then it must not start.
    pub fn configured(
        server: Option<Vec<PolicyDocument>>,
        tokens: &Tokens,
    ) -> Result<Self, NothingConfigured> {
        match server {
            Some(documents) => Ok(Self::new(documents)),
            None if !tokens.is_empty() => Ok(Self::read_only()),
            None => Err(NothingConfigured),
        }
    }

    /// Takes over the counts and refusals of the one that this replaces.
    #[must_use]
    pub fn succeeding(mut self, previous: &Self) -> Self {
        self.ledger = Arc::clone(&previous.ledger);
        self
    }

    /// The documents of the server, built-in ones included.
    pub fn documents(&self) -> &[PolicyDocument] {
        &self.documents
    }

    /// How many policies failed to evaluate since the server started. Each made a request fail.
    pub fn evaluation_errors(&self) -> u64 {
        self.ledger.evaluation_errors.load(Ordering::Relaxed)
    }

    /// One of the last [`MAX_REFUSALS`] refusals.
    pub fn refusal(&self, decision_id: Uuid) -> Option<Arc<Refusal>> {
        let refusals = self.ledger.refusals();
        refusals
            .iter()
            .rev()
            .find(|refusal| refusal.decision_id == decision_id)
            .cloned()
    }

    /// May `principal` do `action` to `resource`? Whatever the action, a graph on which `graph_show`
    /// is denied is hidden.
    pub fn decide(
        &self,
        principal: &Arc<Principal>,
        action: Action,
        resource: &Resource,
        context: &Context,
    ) -> Result<Permit, Denial> {
        let decision_id = Uuid::now_v7();
        let outcome = match (resource, action.resource_kind()) {
            (Resource::Server, ResourceKind::Server) => self
                .about_server(principal, action, context)
                .map(|verdict| (verdict, true)),
            (Resource::Graph(graph), ResourceKind::Graph) => {
                self.about_graph(principal, action, graph, context)
            }
            _ => Err(format!("`{action}` is not an action on {resource}").into()),
        };
        let (verdict, visible) = outcome
            .unwrap_or_else(|error| (Verdict::unaskable(&error), resource.graph().is_none()));
        self.note_errors(&verdict, &principal.id, action, decision_id);
        if verdict.allowed() && visible {
            let resource = resource.clone();
            return Ok(Permit::new(
                Arc::clone(principal),
                action,
                resource,
                context.clone(),
                decision_id,
            ));
        }
        let refusal = self.refuse(Refusal {
            decision_id,
            time: context.time,
            principal: principal.id.clone(),
            action,
            resource: resource.to_string(),
            graph_id: resource.graph().map(|graph| graph.graph_id().to_owned()),
            reasons: verdict.forbidding.iter().cloned().collect(),
            errors: verdict.errors.clone(),
        });
        Err(if visible {
            Denial::Forbidden(refusal)
        } else {
            Denial::Hidden(refusal)
        })
    }

    fn about_server(
        &self,
        principal: &Arc<Principal>,
        action: Action,
        context: &Context,
    ) -> Result<Arc<Verdict>, Unaskable> {
        let actions = [action];
        Case::new(self, principal, None, context, &actions)?.of_action(action)
    }

    /// The verdict on the action, and whether the graph is visible.
    fn about_graph(
        &self,
        principal: &Arc<Principal>,
        action: Action,
        graph: &GraphRef,
        context: &Context,
    ) -> Result<(Arc<Verdict>, bool), Unaskable> {
        let show = Action::GraphShow;
        let actions = [show, action];
        let actions = if action == show {
            &actions[..1]
        } else {
            &actions
        };
        let case = Case::new(self, principal, Some(graph), context, actions)?;
        let shown = case.of_action(show)?;
        let visible = shown.allowed();
        // What hides a graph is why every action on it is refused.
        if !visible || action == show {
            return Ok((shown, visible));
        }
        Ok((case.of_action(action)?, visible))
    }

    /// May the principal of `permit` touch all of these types? `plan` comes back as one that may be
    /// executed. A permit for an action of the group `read` lets no type be written, whatever the
    /// policies say.
    pub fn authorize_types<P>(
        &self,
        permit: &Permit,
        plan: P,
        touches: &[TypeTouch<'_>],
    ) -> Result<Authorized<P>, TypeDenial> {
        let touches: BTreeSet<_> = touches.iter().copied().collect();
        let verdicts = match self.about_types(permit, &touches) {
            Ok(verdicts) => verdicts,
            Err(error) => touches.iter().map(|_| Verdict::unaskable(&error)).collect(),
        };
        let refusals: Vec<_> = touches
            .iter()
            .zip(verdicts)
            .filter_map(|(touch, verdict)| self.refuse_type(permit, touch, &verdict))
            .collect();
        if refusals.is_empty() {
            Ok(Authorized::new(plan, permit.shared()))
        } else {
            Err(TypeDenial { refusals })
        }
    }

    /// Those of the types that the principal of `permit` may touch so, in order. For answers that leave
    /// out what may not be seen; refusals are not recorded.
    pub fn allowed_types<'t>(
        &self,
        permit: &Permit,
        touches: impl IntoIterator<Item = TypeTouch<'t>>,
    ) -> Authorized<Vec<TypeTouch<'t>>> {
        let touches: BTreeSet<_> = touches.into_iter().collect();
        let verdicts = match self.about_types(permit, &touches) {
            Ok(verdicts) => verdicts,
            Err(error) => touches.iter().map(|_| Verdict::unaskable(&error)).collect(),
        };
        let mut allowed = Vec::new();
        for (touch, verdict) in touches.iter().zip(verdicts) {
            let principal = &permit.principal().id;
            self.note_errors(&verdict, principal, touch.action(), permit.decision_id());
            if verdict.allowed() {
                allowed.push(*touch);
            }
        }
        Authorized::new(allowed, permit.shared())
    }

    fn about_types(
        &self,
        permit: &Permit,
        touches: &BTreeSet<TypeTouch<'_>>,
    ) -> Result<Vec<Arc<Verdict>>, Unaskable> {
        if touches.is_empty() {
            return Ok(Vec::new());
        }
        let Some(graph) = permit.graph() else {
            return Err("the permit is for the server, which has no types".into());
        };
        let actions = [Action::TypeRead, Action::TypeWrite];
        let (principal, context) = (permit.principal(), permit.context());
        let case = Case::new(self, principal, Some(graph), context, &actions)?;
        let (refused, asked): (BTreeSet<_>, BTreeSet<_>) = touches
            .iter()
            .partition(|touch| touch.write && !permit.allows_writing());
        let mut answers = case.of_types(graph, &asked)?.into_iter();
        let only_reads = || {
            let error = format!("the permit is for `{}`, which only reads", permit.action());
            Verdict::unaskable(&error.into())
        };
        let answer = |touch| {
            if refused.contains(touch) {
                return Some(only_reads());
            }
            answers.next()
        };
        Ok(touches.iter().filter_map(answer).collect())
    }

    fn refuse_type(
        &self,
        permit: &Permit,
        touch: &TypeTouch<'_>,
        verdict: &Verdict,
    ) -> Option<Arc<Refusal>> {
        if verdict.allowed() {
            return None;
        }
        let decision_id = Uuid::now_v7();
        self.note_errors(verdict, &permit.principal().id, touch.action(), decision_id);
        let graph_id = permit.graph_id().map(str::to_owned);
        Some(self.refuse(Refusal {
            decision_id,
            time: permit.context().time,
            principal: permit.principal().id.clone(),
            action: touch.action(),
            resource: format!(
                "{} `{}` of graph `{}`",
                touch.kind,
                touch.name,
                graph_id.as_deref().unwrap_or_default()
            ),
            graph_id,
            reasons: verdict.forbidding.iter().cloned().collect(),
            errors: verdict.errors.clone(),
        }))
    }

    pub(crate) fn note_errors(
        &self,
        verdict: &Verdict,
        principal: &str,
        action: Action,
        decision_id: Uuid,
    ) {
        for error in &verdict.errors {
            self.ledger
                .evaluation_errors
                .fetch_add(1, Ordering::Relaxed);
            tracing::error!(%decision_id, principal, action = action.as_str(), error, "denied: a policy could not be evaluated");
        }
    }

    fn refuse(&self, refusal: Refusal) -> Arc<Refusal> {
        let refusal = Arc::new(refusal);
        let mut refusals = self.ledger.refusals();
        if refusals.len() == MAX_REFUSALS {
            refusals.pop_front();
        }
        refusals.push_back(Arc::clone(&refusal));
        refusal
    }
}

impl Ledger {
    /// A push or a pop cannot leave the ring half changed, so a poisoned lock is still good.
    fn refusals(&self) -> MutexGuard<'_, VecDeque<Arc<Refusal>>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
