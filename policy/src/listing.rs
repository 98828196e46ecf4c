//! The filtered list: which of many graphs may be seen.
//!
//! A decision costs microseconds for every policy, a server may have ten thousand graphs, and most
//! of them look alike to the policies. So graphs are sorted into kinds, and one of each kind is
//! decided. Two graphs are of one kind when the policies cannot tell them apart: neither is named by
//! id, both have the same own policy, and their tenants and labels are the same, up to an exchange of
//! texts that stand in no policy and are not known of the principal or the request. Cedar compares
//! texts and cannot look inside them without `like`; a policy with `like` turns that exchange off.
//! A thousand foreign tenants are one kind.
//!
//! A property test holds this to the plain decisions, one graph after the other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::action::Action;
use crate::authorizer::Authorizer;
use crate::policies::PolicyDocument;
use crate::principal::{AttributeValue, Principal};
use crate::request::{Asker, Hearing, Unaskable, graph_uid};
use crate::resource::{Context, GraphRef};
use crate::verdict::Verdict;
use crate::vocabulary::Vocabulary;

/// A text of a graph, as far as the policies can tell it from others.
#[derive(PartialEq, Eq, Hash)]
enum Word<'a> {
    Known(&'a str),
    /// The n-th different text of this graph that nobody knows.
    Unknown(usize),
}

/// What the policies can tell of a graph.
#[derive(PartialEq, Eq, Hash)]
struct Kind<'a> {
    named: Option<&'a str>,
    own_policy: Option<&'a [u8; 32]>,
    tenant: Option<Word<'a>>,
    labels: Vec<(Word<'a>, Word<'a>)>,
}

/// What is known in one request: by the server's policies, the principal and the context.
struct Knowledge<'a> {
    of_server: Vec<&'a Vocabulary>,
    of_request: HashSet<&'a str>,
}

/// Which of many graphs may be seen.
#[derive(Debug)]
pub struct Visible<'a> {
    /// In the order in which they were given.
    pub graphs: Vec<&'a GraphRef>,
    /// Whether the same question gets the same answer at any other time: no policy that was asked looks
    /// at the time, and none failed.
    pub lasting: bool,
}

impl Authorizer {
    /// Those of `graphs` that `principal` may see: exactly those for which [`Authorizer::decide`] allows
    /// `graph_show`. Refusals are not recorded.
    pub fn visible<'a>(
        &self,
        principal: &Principal,
        context: &Context,
        graphs: impl IntoIterator<Item = &'a GraphRef>,
    ) -> Visible<'a> {
        let show = Action::GraphShow;
        let looks_at_time = |document: &PolicyDocument| document.slices().look_at_time(show);
        let mut lasting = !self.documents.iter().any(looks_at_time);
        let knowledge = Knowledge {
            of_server: self
                .documents
                .iter()
                .map(|document| document.slices().listing())
                .collect(),
            of_request: words_of(principal, context),
        };
        let asker = Asker::new(principal, context);
        let mut decided: HashMap<Kind<'a>, bool> = HashMap::new();
        let mut visible = Vec::new();
        for graph in graphs {
            let decide = || {
                let verdict = self.shows(principal, asker.as_ref(), graph);
                let own = graph.policy().map(|policy| policy.document());
                lasting &= verdict.errors.is_empty() && !own.is_some_and(looks_at_time);
                verdict.allowed()
            };
            let shown = *decided.entry(knowledge.kind(graph)).or_insert_with(decide);
            if shown {
                visible.push(graph);
            }
        }
        tracing::debug!(
            principal = principal.id,
            kinds = decided.len(),
            "filtered the list of graphs"
        );
        Visible {
            graphs: visible,
            lasting,
        }
    }

    fn shows(
        &self,
        principal: &Principal,
        asker: Result<&Asker, &Unaskable>,
        graph: &GraphRef,
    ) -> Arc<Verdict> {
        let show = Action::GraphShow;
        let in_scope = show.in_scope(principal.scopes.as_deref());
        let own = graph.policy().map(Arc::as_ref);
        let verdict = match asker {
            Ok(asker) => asker
                .scene(Some(graph), &[show], &BTreeSet::new())
                .and_then(|scene| {
                    let hearing = Hearing::new(asker, &scene);
                    self.ask(&hearing, show, graph_uid(graph), in_scope, own)
                })
                .unwrap_or_else(|error| Verdict::unaskable(&error)),
            Err(error) => Verdict::unaskable(error),
        };
        self.note_errors(&verdict, &principal.id, show, Uuid::now_v7());
        verdict
    }
}

/// Every text that a policy can get from the principal or the context.
fn words_of<'a>(principal: &'a Principal, context: &'a Context) -> HashSet<&'a str> {
    let mut words: HashSet<&str> = ["true", "false"].into();
    words.extend(principal.tenant.as_deref());
    words.extend(context.branch.as_ref().map(|branch| branch.name.as_str()));
    words.extend(principal.scopes.iter().flatten().map(String::as_str));
    for (name, value) in &principal.attributes {
        words.insert(name);
        match value {
            AttributeValue::Text(text) => {
                words.insert(text);
            }
            AttributeValue::List(list) => words.extend(list.iter().map(String::as_str)),
            AttributeValue::Number(_) | AttributeValue::Flag(_) => {}
        }
    }
    words
}

impl Knowledge<'_> {
    fn kind<'g>(&self, graph: &'g GraphRef) -> Kind<'g> {
        let own = graph.policy();
        let of_graph = own.map(|policy| policy.document().slices().listing());
        let vocabularies: Vec<&Vocabulary> =
            self.of_server.iter().copied().chain(of_graph).collect();
        let every_text = vocabularies
            .iter()
            .any(|vocabulary| vocabulary.looks_inside_texts);
        let mut unknown: Vec<&str> = Vec::new();
        let mut word = |text: &'g str| {
            let known = every_text
                || self.of_request.contains(text)
                || is_number(text)
                || vocabularies
                    .iter()
                    .any(|vocabulary| vocabulary.texts.contains(text));
            if known {
                return Word::Known(text);
            }
            let index = unknown
                .iter()
                .position(|known| *known == text)
                .unwrap_or_else(|| {
                    unknown.push(text);
                    unknown.len() - 1
                });
            Word::Unknown(index)
        };
        let looked_at = |key: &str| {
            vocabularies.iter().any(|vocabulary| {
                vocabulary
                    .label_keys
                    .as_ref()
                    .is_none_or(|keys| keys.contains(key))
            })
        };
        let id = graph.graph_id();
        Kind {
            named: vocabularies
                .iter()
                .any(|vocabulary| vocabulary.graphs.contains(id))
                .then_some(id),
            own_policy: own.map(|policy| policy.digest()),
            tenant: graph.tenant().map(&mut word),
            labels: graph
                .labels()
                .iter()
                .filter(|(key, _)| looked_at(key))
                .map(|(key, value)| (word(key), word(value)))
                .collect(),
        }
    }
}

/// Attributes that are numbers have their digits as text; taking all numbers as known is simpler than
/// listing those of the principal, and rarely costs a kind.
fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}
