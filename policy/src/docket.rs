//! What was decided before.
//!
//! An answer depends on the question, on who asks, on the graph, on the branch, on whether it is a
//! draft, and on the policies; the time apart, on nothing else. So it is kept in the [`Docket`] of
//! all that, [`Subject`], and found again by one lookup. The policies need no place in it: dockets
//! belong to one [`crate::Authorizer`], and a reload makes another. Subjects are compared in full, so
//! nobody is given the answer of another.
//!
//! What is kept is bounded in bytes. Dockets are spread by principal: whoever asks about ever new
//! graphs displaces the dockets of a few others at most. A graph that does not exist has its docket
//! like one that does, for it must not be told by the time that an answer takes.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::action::Action;
use crate::decision::{TypeKind, TypeTouch};
use crate::principal::{AttributeValue, Principal};
use crate::request::Scene;
use crate::resource::{BranchRef, Context, GraphRef};
use crate::verdict::Verdict;

/// Parts that dockets are spread over.
const SHARDS: usize = 16;
/// Bytes of the newer half of a part, and of the older.
const SHARD_BYTES: usize = 512 << 10;
/// The largest subject or docket that is kept.
const MAX_BYTES: usize = 64 << 10;
/// Bytes of an entity of a scene, roughly.
const ENTITY_BYTES: usize = 512;

/// What all answers in a docket are about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    principal: Arc<Principal>,
    /// `None` for the server.
    graph: Option<GraphRef>,
    branch: Option<BranchRef>,
    draft: bool,
}

impl Subject {
    pub(crate) fn new(
        principal: &Arc<Principal>,
        graph: Option<&GraphRef>,
        context: &Context,
    ) -> Self {
        Self {
            principal: Arc::clone(principal),
            graph: graph.cloned(),
            branch: context.branch.clone(),
            draft: context.draft,
        }
    }

    fn weight(&self) -> usize {
        let Principal {
            id,
            groups,
            tenant,
            attributes,
            scopes,
            kind: _,
        } = self.principal.as_ref();
        let text = |text: &str| 32 + text.len();
        let attribute = |value: &AttributeValue| match value {
            AttributeValue::Text(value) => text(value),
            AttributeValue::List(values) => values.iter().map(|value| text(value)).sum(),
            AttributeValue::Number(_) | AttributeValue::Flag(_) => 0,
        };
        let of_principal = text(id)
            + tenant.as_deref().map_or(0, text)
            + groups.iter().map(|group| text(group)).sum::<usize>()
            + scopes
                .iter()
                .flatten()
                .map(|scope| text(scope))
                .sum::<usize>()
            + attributes
                .iter()
                .map(|(name, value)| 32 + text(name) + attribute(value))
                .sum::<usize>();
        let labels = self.graph.iter().flat_map(GraphRef::labels);
        let of_graph = labels
            .map(|(name, value)| text(name) + text(value))
            .sum::<usize>();
        let of_branch = self.branch.as_ref().map_or(0, |branch| text(&branch.name));
        size_of::<Self>() + 256 + of_principal + of_graph + of_branch
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            principal,
            graph,
            branch,
            draft,
        } = self;
        let same_graph = match (graph, &other.graph) {
            (Some(one), Some(other)) => one.is_as(other),
            (None, None) => true,
            _ => false,
        };
        *draft == other.draft
            && *branch == other.branch
            && same_graph
            && (Arc::ptr_eq(principal, &other.principal) || **principal == *other.principal)
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Enough to tell most apart; the comparison tells all.
        self.principal.id.hash(state);
        self.graph.as_ref().map(GraphRef::graph_id).hash(state);
        let branch = self.branch.as_ref();
        branch.map(|branch| branch.name.as_str()).hash(state);
    }
}

/// The answers about one subject so far.
#[derive(Debug, Default)]
pub(crate) struct Docket(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    actions: Vec<(Action, Arc<Verdict>)>,
    types: HashMap<Box<str>, OfType>,
    /// For questions that must be asked anew, since a policy looks at the time.
    scene: Option<Arc<Scene>>,
    bytes: usize,
}

/// The answers about the types of one name.
type OfType = [Option<Arc<Verdict>>; 4];

const fn place(touch: &TypeTouch<'_>) -> usize {
    match (touch.kind, touch.write) {
        (TypeKind::Node, false) => 0,
        (TypeKind::Node, true) => 1,
        (TypeKind::Edge, false) => 2,
        (TypeKind::Edge, true) => 3,
    }
}

impl Docket {
    pub(crate) fn of_action(&self, action: Action) -> Option<Arc<Verdict>> {
        let answers = unpoisoned(&self.0);
        let found = answers.actions.iter().find(|(known, _)| *known == action);
        found.map(|(_, verdict)| Arc::clone(verdict))
    }

    pub(crate) fn of_type(&self, touch: &TypeTouch<'_>) -> Option<Arc<Verdict>> {
        let answers = unpoisoned(&self.0);
        answers.types.get(touch.name)?.get(place(touch))?.clone()
    }

    pub(crate) fn scene(&self) -> Option<Arc<Scene>> {
        unpoisoned(&self.0).scene.clone()
    }

    fn keep_action(&self, action: Action, verdict: Arc<Verdict>) -> usize {
        let mut answers = unpoisoned(&self.0);
        let bytes = size_of::<usize>() * 2 + verdict.weight();
        let is_new = answers.actions.iter().all(|(known, _)| *known != action);
        if !is_new || !answers.has_room(bytes, 0) {
            return 0;
        }
        answers.actions.push((action, verdict));
        bytes
    }

    fn keep_type(&self, touch: &TypeTouch<'_>, verdict: Arc<Verdict>) -> usize {
        let mut answers = unpoisoned(&self.0);
        let bytes = size_of::<OfType>() + 64 + touch.name.len() + verdict.weight();
        if !answers.has_room(bytes, 0) {
            return 0;
        }
        let of_type = answers.types.entry(touch.name.into()).or_default();
        if let Some(answer) = of_type.get_mut(place(touch)) {
            *answer = Some(verdict);
        }
        bytes
    }

    fn keep_scene(&self, scene: &Arc<Scene>) -> usize {
        let mut answers = unpoisoned(&self.0);
        let bytes = ENTITY_BYTES * scene.len();
        let before = answers.scene.as_ref().map_or(0, |scene| scene.len());
        if !answers.has_room(bytes, ENTITY_BYTES * before) {
            return 0;
        }
        answers.scene = Some(Arc::clone(scene));
        bytes
    }

    fn bytes(&self) -> usize {
        unpoisoned(&self.0).bytes
    }
}

impl Answers {
    /// Takes the bytes when they fit in, for others that go.
    fn has_room(&mut self, bytes: usize, instead_of: usize) -> bool {
        let total = self.bytes.saturating_sub(instead_of) + bytes;
        let fits = total <= MAX_BYTES;
        if fits {
            self.bytes = total;
        }
        fits
    }
}

/// All dockets of an authorizer.
#[derive(Debug)]
pub(crate) struct Dockets {
    hashing: RandomState,
    shards: Vec<Mutex<Shard>>,
}

/// In two halves: what is asked for goes into the newer one; when that is full it becomes the older,
/// whose rest is forgotten.
#[derive(Debug, Default)]
struct Shard {
    newer: HashMap<Subject, Arc<Docket>>,
    older: HashMap<Subject, Arc<Docket>>,
    /// Of the newer half.
    bytes: usize,
}

impl Default for Dockets {
    fn default() -> Self {
        Self {
            hashing: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Dockets {
    /// The docket of a subject, a new one if need be; `None` for a subject too large to be kept.
    pub(crate) fn of(&self, subject: &Subject) -> Option<Arc<Docket>> {
        let mut shard = self.shard(subject)?;
        if let Some(docket) = shard.newer.get(subject) {
            return Some(Arc::clone(docket));
        }
        let weight = subject.weight();
        if weight > MAX_BYTES {
            return None;
        }
        let docket = shard.older.remove(subject).unwrap_or_default();
        shard.put(subject.clone(), &docket, weight + docket.bytes());
        Some(docket)
    }

    pub(crate) fn keep_action(
        &self,
        subject: &Subject,
        docket: &Docket,
        action: Action,
        verdict: &Arc<Verdict>,
    ) {
        self.grew(subject, docket.keep_action(action, Arc::clone(verdict)));
    }

    pub(crate) fn keep_type(
        &self,
        subject: &Subject,
        docket: &Docket,
        touch: &TypeTouch<'_>,
        verdict: &Arc<Verdict>,
    ) {
        self.grew(subject, docket.keep_type(touch, Arc::clone(verdict)));
    }

    pub(crate) fn keep_scene(&self, subject: &Subject, docket: &Docket, scene: &Arc<Scene>) {
        self.grew(subject, docket.keep_scene(scene));
    }

    fn grew(&self, subject: &Subject, bytes: usize) {
        if let Some(mut shard) = self.shard(subject) {
            shard.bytes += bytes;
            shard.turn_when_full();
        }
    }

    fn shard(&self, subject: &Subject) -> Option<MutexGuard<'_, Shard>> {
        let hash = self.hashing.hash_one(&subject.principal.id);
        let index = usize::try_from(hash % SHARDS as u64).ok()?;
        self.shards.get(index).map(unpoisoned)
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let shards = self.shards.iter().map(unpoisoned);
        shards
            .map(|shard| shard.newer.len() + shard.older.len())
            .sum()
    }
}

impl Shard {
    fn put(&mut self, subject: Subject, docket: &Arc<Docket>, bytes: usize) {
        self.newer.insert(subject, Arc::clone(docket));
        self.bytes += bytes;
        self.turn_when_full();
    }

    fn turn_when_full(&mut self) {
        if self.bytes > SHARD_BYTES {
            self.older = std::mem::take(&mut self.newer);
            self.bytes = 0;
        }
    }
}

/// What is behind these locks may be forgotten at any time, and is never half written.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn subject(principal: &Arc<Principal>, graph_id: &str, branch: &str) -> Subject {
        let graph = GraphRef::new(graph_id, None, BTreeMap::new(), None);
        let context = Context {
            branch: Some(BranchRef {
                name: branch.to_owned(),
                protected: false,
            }),
            ..Context::now()
        };
        Subject::new(principal, Some(&graph), &context)
    }

    #[test]
    fn equal_subjects_share_a_docket_and_others_do_not() {
        let dockets = Dockets::default();
        let alice = Arc::new(Principal::user("alice"));
        let of = |subject: &Subject| dockets.of(subject).expect("small");
        let first = of(&subject(&alice, "alpha", "main"));
        let again = Arc::new(Principal::user("alice"));
        assert!(Arc::ptr_eq(&first, &of(&subject(&again, "alpha", "main"))));
        let tenant = Principal {
            tenant: Some("acme".to_owned()),
            ..Principal::user("alice")
        };
        let attribute = Principal {
            attributes: BTreeMap::from([("level".to_owned(), AttributeValue::Number(3))]),
            ..Principal::user("alice")
        };
        let service = Principal {
            kind: crate::principal::PrincipalKind::Service,
            ..Principal::user("alice")
        };
        let others = [
            subject(&alice, "beta", "main"),
            subject(&alice, "alpha", "dev"),
            subject(&Arc::new(Principal::user("bob")), "alpha", "main"),
            subject(&Arc::new(tenant), "alpha", "main"),
            subject(&Arc::new(attribute), "alpha", "main"),
            subject(&Arc::new(service), "alpha", "main"),
            Subject {
                draft: true,
                ..subject(&alice, "alpha", "main")
            },
            Subject {
                graph: None,
                ..subject(&alice, "alpha", "main")
            },
        ];
        for other in &others {
            assert!(!Arc::ptr_eq(&first, &of(other)), "{other:?}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_in_use_stays() {
        let dockets = Dockets::default();
        let alice = Arc::new(Principal::user("alice"));
        let used = subject(&alice, "used", "main");
        let docket = dockets.of(&used).expect("small");
        dockets.keep_action(&used, &docket, Action::Query, &Arc::default());
        for number in 0..20_000 {
            let new = subject(&alice, &format!("g{number}"), "main");
            dockets.of(&new).expect("small");
            let found = dockets.of(&used).expect("small");
            assert!(found.of_action(Action::Query).is_some(), "{number}");
        }
        assert!(dockets.count() < 4_000, "{}", dockets.count());
        let endless = subject(&alice, "used", &"x".repeat(MAX_BYTES));
        assert!(dockets.of(&endless).is_none());
        let full = dockets.of(&used).expect("small");
        for number in 0..10_000 {
            let touch = TypeTouch {
                kind: TypeKind::Node,
                name: &format!("T{number}"),
                write: false,
            };
            dockets.keep_type(&used, &full, &touch, &Arc::default());
        }
        assert!(full.bytes() <= MAX_BYTES);
        assert!(unpoisoned(&full.0).types.len() < 1_000);
    }
}
