//! One request's questions about one subject: answered from the [`Docket`] where that may be, put to
//! the policies where not.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{Decision, EntityUid};

use crate::action::Action;
use crate::authorizer::Authorizer;
use crate::decision::{TypeKind, TypeTouch};
use crate::docket::{Docket, Subject};
use crate::model::server_uid;
use crate::policies::GraphPolicy;
use crate::principal::Principal;
use crate::request::{Asker, Hearing, Scene, Unaskable, check_time, graph_uid, type_uid};
use crate::resource::{Context, GraphRef};
use crate::verdict::Verdict;

/// The most types of a scene that is kept for later questions.
const MAX_TYPES: usize = 64;

/// What a request asks about one graph, or about the server.
pub(crate) struct Case<'a> {
    authorizer: &'a Authorizer,
    principal: &'a Principal,
    graph: Option<&'a GraphRef>,
    context: &'a Context,
    /// What will be asked.
    actions: &'a [Action],
    subject: Subject,
    /// `None` when nothing may be kept about the subject.
    docket: Option<Arc<Docket>>,
    /// Made when there is something to ask.
    asker: OnceCell<Asker>,
    /// The last one that was set.
    scene: RefCell<Option<Arc<Scene>>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        authorizer: &'a Authorizer,
        principal: &'a Arc<Principal>,
        graph: Option<&'a GraphRef>,
        context: &'a Context,
        actions: &'a [Action],
    ) -> Result<Self, Unaskable> {
        check_time(context)?;
        let subject = Subject::new(principal, graph, context);
        Ok(Self {
            authorizer,
            principal,
            graph,
            context,
            actions,
            docket: authorizer.dockets.of(&subject),
            subject,
            asker: OnceCell::new(),
            scene: RefCell::default(),
        })
    }

    /// May the principal do `action` to the subject itself?
    pub(crate) fn of_action(&self, action: Action) -> Result<Arc<Verdict>, Unaskable> {
        let keeps = !self.looks_at_time(action);
        let docket = self.docket.as_deref().filter(|_| keeps);
        if let Some(known) = docket.and_then(|docket| docket.of_action(action)) {
            return Ok(known);
        }
        let scene = self.scene(&BTreeSet::new())?;
        let hearing = Hearing::new(self.asker()?, &scene);
        let resource = self.graph.map_or_else(server_uid, graph_uid);
        let in_scope = action.in_scope(self.principal.scopes.as_deref());
        let verdict = self.ask(&hearing, action, resource, in_scope)?;
        if let Some(docket) = docket
            && verdict.errors.is_empty()
        {
            let dockets = &self.authorizer.dockets;
            dockets.keep_action(&self.subject, docket, action, &verdict);
        }
        Ok(verdict)
    }

    /// May the principal touch these types of the graph so? One answer for each, in their order.
    pub(crate) fn of_types(
        &self,
        graph: &GraphRef,
        touches: &BTreeSet<TypeTouch<'_>>,
    ) -> Result<Vec<Arc<Verdict>>, Unaskable> {
        let known: Vec<_> = touches
            .iter()
            .map(|touch| {
                let keeps = !self.looks_at_time(touch.action());
                let docket = self.docket.as_deref().filter(|_| keeps);
                (touch, docket.and_then(|docket| docket.of_type(touch)))
            })
            .collect();
        let asked: BTreeSet<_> = known
            .iter()
            .filter(|(_, verdict)| verdict.is_none())
            .map(|(touch, _)| (touch.kind, touch.name))
            .collect();
        if asked.is_empty() {
            return Ok(known.into_iter().filter_map(|(_, known)| known).collect());
        }
        let scene = self.scene(&asked)?;
        let hearing = Hearing::new(self.asker()?, &scene);
        let answers = known
            .into_iter()
            .map(|(touch, known)| known.map_or_else(|| self.of_type(&hearing, graph, touch), Ok));
        answers.collect()
    }

    fn of_type(
        &self,
        hearing: &Hearing<'_>,
        graph: &GraphRef,
        touch: &TypeTouch<'_>,
    ) -> Result<Arc<Verdict>, Unaskable> {
        let (action, resource) = (touch.action(), type_uid(graph, touch.kind, touch.name));
        // The permit's own action was in scope, and touching types is how it is done.
        let verdict = self.ask(hearing, action, resource, true)?;
        if let Some(docket) = &self.docket
            && !self.looks_at_time(action)
            && verdict.errors.is_empty()
        {
            let dockets = &self.authorizer.dockets;
            dockets.keep_type(&self.subject, docket, touch, &verdict);
        }
        Ok(verdict)
    }

    fn own_policy(&self) -> Option<&'a GraphPolicy> {
        self.graph.and_then(GraphRef::policy).map(Arc::as_ref)
    }

    fn looks_at_time(&self, action: Action) -> bool {
        self.authorizer.looks_at_time(action, self.own_policy())
    }

    fn asker(&self) -> Result<&Asker, Unaskable> {
        if let Some(asker) = self.asker.get() {
            return Ok(asker);
        }
        let asker = Asker::new(self.principal, self.context)?;
        Ok(self.asker.get_or_init(|| asker))
    }

    /// The entities for questions about these types and the case's actions: one scene for all of them.
    fn scene(&self, types: &BTreeSet<(TypeKind, &str)>) -> Result<Arc<Scene>, Unaskable> {
        let last = self.scene.borrow().clone();
        if let Some(scene) = last.filter(|scene| scene.has(types)) {
            return Ok(scene);
        }
        let recurs = self
            .actions
            .iter()
            .any(|action| self.looks_at_time(*action));
        let scene = match &self.docket {
            Some(docket) if recurs => self.kept_scene(docket, types)?,
            _ => Arc::new(self.asker()?.scene(self.graph, self.actions, types)?),
        };
        *self.scene.borrow_mut() = Some(Arc::clone(&scene));
        Ok(scene)
    }

    /// Where a policy looks at the time the question will have to be put again, so the scene is kept,
    /// with every action that there is: it serves the graph and its types.
    fn kept_scene(
        &self,
        docket: &Docket,
        types: &BTreeSet<(TypeKind, &str)>,
    ) -> Result<Arc<Scene>, Unaskable> {
        let kept = docket.scene();
        if let Some(scene) = kept.as_ref().filter(|scene| scene.has(types)) {
            return Ok(Arc::clone(scene));
        }
        let before = kept.as_ref().map(|scene| scene.types());
        let mut all: BTreeSet<_> = before.into_iter().flatten().collect();
        all.extend(types);
        let types = if all.len() > MAX_TYPES { types } else { &all };
        let scene = self.asker()?.scene(self.graph, Action::ALL, types)?;
        let scene = Arc::new(scene);
        let dockets = &self.authorizer.dockets;
        dockets.keep_scene(&self.subject, docket, &scene);
        Ok(scene)
    }

    /// Puts one question to the server's documents and to the graph's.
    fn ask(
        &self,
        hearing: &Hearing<'_>,
        action: Action,
        resource: EntityUid,
        in_scope: bool,
    ) -> Result<Arc<Verdict>, Unaskable> {
        let own = self.own_policy();
        self.authorizer
            .ask(hearing, action, resource, in_scope, own)
    }
}

impl Authorizer {
    /// Whether the answer about `action` may be another at another time.
    pub(crate) fn looks_at_time(&self, action: Action, own: Option<&GraphPolicy>) -> bool {
        self.documents
            .iter()
            .chain(own.map(GraphPolicy::document))
            .any(|document| document.slices().look_at_time(action))
    }

    /// Puts one question to the server's documents and to the graph's.
    pub(crate) fn ask(
        &self,
        hearing: &Hearing<'_>,
        action: Action,
        resource: EntityUid,
        in_scope: bool,
        graph_policy: Option<&GraphPolicy>,
    ) -> Result<Arc<Verdict>, Unaskable> {
        let question = hearing.question(action, resource, in_scope)?;
        let mut verdict = Verdict::default();
        for document in self
            .documents
            .iter()
            .chain(graph_policy.map(GraphPolicy::document))
        {
            let Some(policies) = document.slices().for_action(action) else {
                continue;
            };
            let response = self
                .cedar
                .is_authorized(&question, policies, hearing.entities());
            let diagnostics = response.diagnostics();
            verdict
                .errors
                .extend(diagnostics.errors().map(ToString::to_string));
            match response.decision() {
                Decision::Allow => verdict.permitted = true,
                Decision::Deny => {
                    verdict
                        .forbidding
                        .extend(diagnostics.reason().map(ToString::to_string));
                }
            }
        }
        Ok(verdict.shared())
    }
}
