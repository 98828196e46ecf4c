//! A request as Cedar sees it: entities, context, and the question.
//!
//! Everything that a valid policy can look at is brought along: the principal, the resource with what
//! it stands in, the branch, and the action with its group. It knows nothing of policies.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::error::Error;

use cedar_policy::{
    Context as CedarContext, Entities, Entity, EntityUid, Request, RestrictedExpression,
};
use jiff::Timestamp;

use crate::action::Action;
use crate::decision::TypeKind;
use crate::model::{EntityType, action_uid, group_uid, principal_uid, server_uid};
use crate::principal::{AttributeValue, Principal};
use crate::resource::{Context, GraphRef};

/// A request that cannot be put to Cedar, such as one with a time outside the calendar. It is denied.
pub(crate) type Unaskable = Box<dyn Error + Send + Sync>;

type Attributes = HashMap<String, RestrictedExpression>;

/// The principal's part of a request, made once for any number of questions.
pub(crate) struct Asker {
    entity: Entity,
    uid: EntityUid,
    context: Vec<(String, RestrictedExpression)>,
    branch: Option<(String, bool)>,
}

/// Entities ready for questions about them: an asker, what it asks about, and actions.
#[derive(Debug)]
pub(crate) struct Scene {
    entities: Entities,
    branch: Option<EntityUid>,
    types: BTreeSet<(TypeKind, String)>,
    size: usize,
}

/// A scene at the time of one request, for its questions.
pub(crate) struct Hearing<'a> {
    asker: &'a Asker,
    scene: &'a Scene,
    /// By whether the action is in scope.
    contexts: [OnceCell<CedarContext>; 2],
}

/// Refuses a time that Cedar cannot be told.
pub(crate) fn check_time(context: &Context) -> Result<(), Unaskable> {
    Timestamp::try_from(context.time)?;
    Ok(())
}

impl Asker {
    pub(crate) fn new(principal: &Principal, context: &Context) -> Result<Self, Unaskable> {
        let uid = principal_uid(principal);
        let parents: HashSet<_> = principal
            .groups
            .iter()
            .map(|group| EntityType::Group.uid(group))
            .collect();
        let tags = principal
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), attribute(value)));
        let entity = Entity::new_with_tags(
            uid.clone(),
            tenant(principal.tenant.as_deref()),
            parents,
            tags,
        )?;
        let time = Timestamp::try_from(context.time)?
            .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
            .to_string();
        let mut pairs = vec![
            ("time".to_owned(), RestrictedExpression::new_datetime(time)),
            (
                "draft".to_owned(),
                RestrictedExpression::new_bool(context.draft),
            ),
        ];
        if let Some(scopes) = &principal.scopes {
            pairs.push(("scopes".to_owned(), texts(scopes)));
        }
        let branch = context
            .branch
            .as_ref()
            .map(|branch| (branch.name.clone(), branch.protected));
        Ok(Self {
            entity,
            uid,
            context: pairs,
            branch,
        })
    }

    /// For questions about these actions on a graph (on the server without one) and on these types of
    /// it.
    pub(crate) fn scene(
        &self,
        graph: Option<&GraphRef>,
        actions: &[Action],
        types: &BTreeSet<(TypeKind, &str)>,
    ) -> Result<Scene, Unaskable> {
        let mut entities = vec![
            self.entity.clone(),
            Entity::new_no_attrs(server_uid(), HashSet::new()),
        ];
        let mut branch = None;
        if let Some(graph) = graph {
            entities.push(Entity::new_with_tags(
                graph_uid(graph),
                tenant(graph.tenant()),
                HashSet::from([server_uid()]),
                labels(graph),
            )?);
            for (kind, name) in types {
                let uid = type_uid(graph, *kind, name);
                entities.push(part(graph, uid, [("name", *name)], [])?);
            }
            if let Some((name, protected)) = &self.branch {
                let uid = EntityType::Branch.uid(&format!("{}/{name}", graph.graph_id()));
                entities.push(part(
                    graph,
                    uid.clone(),
                    [("name", name.as_str())],
                    [("protected", *protected)],
                )?);
                branch = Some(uid);
            }
        }
        // The hierarchy of the actions is the enum's; a test holds it to the schema's.
        entities.extend(actions.iter().map(|action| {
            Entity::new_no_attrs(
                action_uid(*action),
                HashSet::from([group_uid(action.group())]),
            )
        }));
        Ok(Scene {
            size: entities.len(),
            entities: Entities::from_entities(entities, None)?,
            branch,
            types: types
                .iter()
                .map(|(kind, name)| (*kind, (*name).to_owned()))
                .collect(),
        })
    }
}

impl Scene {
    /// How many entities there are.
    pub(crate) fn len(&self) -> usize {
        self.size
    }

    /// The types that can be asked about.
    pub(crate) fn types(&self) -> impl Iterator<Item = (TypeKind, &str)> {
        self.types.iter().map(|(kind, name)| (*kind, name.as_str()))
    }

    /// Whether all of these types can be asked about.
    pub(crate) fn has(&self, types: &BTreeSet<(TypeKind, &str)>) -> bool {
        types.is_empty() || {
            let known: BTreeSet<_> = self.types().collect();
            types.is_subset(&known)
        }
    }
}

impl<'a> Hearing<'a> {
    pub(crate) fn new(asker: &'a Asker, scene: &'a Scene) -> Self {
        Self {
            asker,
            scene,
            contexts: [OnceCell::new(), OnceCell::new()],
        }
    }

    pub(crate) fn entities(&self) -> &Entities {
        &self.scene.entities
    }

    /// May the asker do `action` to `resource`? `in_scope`: whether its scopes include the action.
    pub(crate) fn question(
        &self,
        action: Action,
        resource: EntityUid,
        in_scope: bool,
    ) -> Result<Request, Unaskable> {
        let [out, within] = &self.contexts;
        let place = if in_scope { within } else { out };
        let context = match place.get() {
            Some(context) => context.clone(),
            None => {
                let context = self.context(in_scope)?;
                place.get_or_init(|| context).clone()
            }
        };
        Ok(Request::new(
            self.asker.uid.clone(),
            action_uid(action),
            resource,
            context,
            None,
        )?)
    }

    fn context(&self, in_scope: bool) -> Result<CedarContext, Unaskable> {
        let mut pairs = self.asker.context.clone();
        pairs.push((
            "in_scope".to_owned(),
            RestrictedExpression::new_bool(in_scope),
        ));
        if let Some(branch) = &self.scene.branch {
            pairs.push((
                "branch".to_owned(),
                RestrictedExpression::new_entity_uid(branch.clone()),
            ));
        }
        Ok(CedarContext::from_pairs(pairs)?)
    }
}

pub(crate) fn graph_uid(graph: &GraphRef) -> EntityUid {
    EntityType::Graph.uid(graph.graph_id())
}

pub(crate) fn type_uid(graph: &GraphRef, kind: TypeKind, name: &str) -> EntityUid {
    let id = format!("{}/{name}", graph.graph_id());
    match kind {
        TypeKind::Node => EntityType::NodeType.uid(&id),
        TypeKind::Edge => EntityType::EdgeType.uid(&id),
    }
}

/// Something inside a graph: it carries the graph's tenant and labels.
fn part<const T: usize, const B: usize>(
    graph: &GraphRef,
    uid: EntityUid,
    texts: [(&str, &str); T],
    flags: [(&str, bool); B],
) -> Result<Entity, Unaskable> {
    let mut attributes = tenant(graph.tenant());
    attributes.extend(texts.map(|(name, value)| (name.to_owned(), text(value))));
    attributes.extend(
        flags.map(|(name, value)| (name.to_owned(), RestrictedExpression::new_bool(value))),
    );
    Ok(Entity::new_with_tags(
        uid,
        attributes,
        HashSet::from([graph_uid(graph)]),
        labels(graph),
    )?)
}

fn labels(graph: &GraphRef) -> impl Iterator<Item = (String, RestrictedExpression)> + '_ {
    graph
        .labels()
        .iter()
        .map(|(key, value)| (key.clone(), text(value)))
}

fn tenant(tenant: Option<&str>) -> Attributes {
    tenant
        .map(|tenant| ("tenant".to_owned(), text(tenant)))
        .into_iter()
        .collect()
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn texts(texts: &[String]) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.iter().map(|item| text(item)))
}

/// `{ values: Set<String>, number?: Long }`, as the schema has it.
fn attribute(value: &AttributeValue) -> RestrictedExpression {
    let values = match value {
        AttributeValue::Text(value) => texts(std::slice::from_ref(value)),
        AttributeValue::List(list) => texts(list),
        AttributeValue::Number(number) => texts(&[number.to_string()]),
        AttributeValue::Flag(flag) => texts(&[flag.to_string()]),
    };
    let mut fields = BTreeMap::from([("values".to_owned(), values)]);
    if let AttributeValue::Number(number) = value {
        fields.insert("number".to_owned(), RestrictedExpression::new_long(*number));
    }
    RestrictedExpression::new_record(fields).expect("a map has no key twice")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::VALIDATOR;
    use crate::principal::PrincipalKind;
    use crate::resource::BranchRef;

    /// What is handed to Cedar without checks in production conforms to the schema.
    #[test]
    fn entities_and_context_are_what_the_schema_says() {
        let schema = VALIDATOR.schema();
        let bare = Principal::user("alice");
        let full = Principal {
            kind: PrincipalKind::Service,
            groups: ["staff".to_owned()].into(),
            tenant: Some("acme".to_owned()),
            attributes: BTreeMap::from([
                ("text".to_owned(), AttributeValue::Text("a".to_owned())),
                (
                    "list".to_owned(),
                    AttributeValue::List(vec!["a".to_owned(), "b".to_owned()]),
                ),
                ("empty".to_owned(), AttributeValue::List(Vec::new())),
                ("number".to_owned(), AttributeValue::Number(-3)),
                ("flag".to_owned(), AttributeValue::Flag(true)),
            ]),
            scopes: Some(vec!["read".to_owned()]),
            ..Principal::user("indexer")
        };
        let labels = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
        let graphs = [
            GraphRef::new("alpha", None, BTreeMap::new(), None),
            GraphRef::new("beta", Some("acme".to_owned()), labels, None),
        ];
        let branch = BranchRef {
            name: "main".to_owned(),
            protected: true,
        };
        let contexts = [
            Context::now(),
            Context {
                branch: Some(branch),
                draft: true,
                ..Context::now()
            },
        ];
        let types = [(TypeKind::Node, "Person"), (TypeKind::Edge, "Knows")];
        for (principal, graph, context) in [&bare, &full]
            .into_iter()
            .flat_map(|principal| graphs.iter().map(move |graph| (principal, graph)))
            .flat_map(|(principal, graph)| {
                contexts
                    .iter()
                    .map(move |context| (principal, graph, context))
            })
        {
            let asker = Asker::new(principal, context).unwrap();
            let scene = asker
                .scene(Some(graph), Action::ALL, &types.into())
                .unwrap();
            let hearing = Hearing::new(&asker, &scene);
            Entities::from_entities(hearing.entities().iter().cloned(), Some(schema)).unwrap();
            for action in Action::ALL {
                let resource = match action.resource_kind() {
                    crate::ResourceKind::Server => server_uid(),
                    crate::ResourceKind::Graph => graph_uid(graph),
                    crate::ResourceKind::Type => type_uid(graph, TypeKind::Edge, "Knows"),
                };
                let question = hearing.question(*action, resource, true).unwrap();
                question
                    .context()
                    .unwrap()
                    .validate(schema, &action_uid(*action))
                    .unwrap();
            }
        }
    }
}
