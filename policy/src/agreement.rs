//! An authorizer that remembers gives the answers of one that does not: random policies, principals,
//! graphs and questions, asked again and again in one order by everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::action::{Action, ResourceKind};
use crate::authorizer::Authorizer;
use crate::decision::{Denial, TypeKind, TypeTouch};
use crate::policies::{GraphPolicy, PolicyDocument, PolicySource};
use crate::principal::{AttributeValue, Principal, PrincipalKind};
use crate::resource::{BranchRef, Context, GraphRef, Resource};

/// A small generator, so that a failure is reproduced by its seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const SCOPES: &[&str] = &[
    "principal, action, resource",
    "principal, action, resource",
    r#"principal == User::"u0", action, resource"#,
    r#"principal in Group::"staff", action, resource"#,
    r#"principal, action in Action::"read", resource"#,
    r#"principal, action in [Action::"query", Action::"graph_show"], resource"#,
    r#"principal, action in [Action::"type_read", Action::"type_write"], resource"#,
    r#"principal, action == Action::"type_write", resource is NodeType"#,
    r#"principal, action, resource in Graph::"g0""#,
    r#"principal is Service, action, resource"#,
];
const CONDITIONS: &[&str] = &[
    "true",
    "principal has tenant && resource has tenant && principal.tenant == resource.tenant",
    r#"resource.hasTag("env") && resource.getTag("env") == "prod""#,
    r#"principal.hasTag("level") && principal.getTag("level") has number && principal.getTag("level").number > 2"#,
    "context.draft",
    "!(context has branch)",
    r#"context has branch && context.branch.name == "dev""#,
    "context has branch && context.branch.protected",
    r#"context has scopes && context.scopes.contains("read")"#,
    r#"context.time.toTime() < duration("12h")"#,
    r#"context has branch && context.time < datetime("2026-03-01")"#,
    r#"resource has tenant && resource.tenant == "acme" && context.time.toTime() < duration("12h")"#,
    r#"(if resource has tenant && resource.tenant == "acme" then 9223372036854775807 else 1) + 1 == 2"#,
    r#"(if context.time.toTime() < duration("12h") then 9223372036854775807 else 1) + 1 == 2"#,
];
const RESOURCES: &[&str] = &["Server", "Graph", "NodeType", "EdgeType"];

/// Policies that hold against the schema; which resources have a tag or a tenant is theirs to ask.
fn policies(random: &mut Random, most: usize) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(most) {
        let effect = random.pick(&["permit", "permit", "permit", "forbid"]);
        let (scope, condition) = (random.pick(SCOPES), random.pick(CONDITIONS));
        let kind = random.pick(RESOURCES);
        let guard = if condition.contains("resource") {
            format!("!(resource is Server) && (resource is {kind} || resource is Graph) && ")
        } else {
            String::new()
        };
        text.push_str(&format!(
            "{effect} ({scope}) when {{ {guard}{condition} }};\n"
        ));
    }
    text
}

fn document(name: &str, text: &str) -> Option<PolicyDocument> {
    let source = PolicySource {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    PolicyDocument::parse(source).ok()
}

fn principals(random: &mut Random) -> Vec<Arc<Principal>> {
    (0..8)
        .map(|_| {
            let tenant = random.pick(&["", "acme", "globex"]);
            let level = i64::try_from(random.below(5)).expect("small");
            Arc::new(Principal {
                kind: *random.pick(&[PrincipalKind::User, PrincipalKind::Service]),
                groups: (random.below(2) == 0)
                    .then(|| "staff".to_owned())
                    .into_iter()
                    .collect(),
                tenant: (!tenant.is_empty()).then(|| (*tenant).to_owned()),
                attributes: (random.below(2) == 0)
                    .then(|| ("level".to_owned(), AttributeValue::Number(level)))
                    .into_iter()
                    .collect(),
                scopes: (random.below(4) == 0)
                    .then(|| vec![(*random.pick(&["read", "write", "query"])).to_owned()]),
                // Few ids: some differ in nothing else, some in everything else.
                ..Principal::user(format!("u{}", random.below(3)))
            })
        })
        .collect()
}

fn graphs(random: &mut Random) -> Vec<GraphRef> {
    (0..5)
        .map(|_| {
            let tenant = random.pick(&["", "acme", "globex"]);
            let env = random.pick(&["prod", "test"]);
            let own = (random.below(3) == 0)
                .then(|| document("own.cedar", &policies(random, 2)).map(GraphPolicy::new))
                .flatten();
            GraphRef::new(
                format!("g{}", random.below(3)),
                (!tenant.is_empty()).then(|| (*tenant).to_owned()),
                BTreeMap::from([("env".to_owned(), (*env).to_owned())]),
                own,
            )
        })
        .collect()
}

fn context(random: &mut Random) -> Context {
    let branch = *random.pick(&[None, Some("main"), Some("dev")]);
    let hours = Duration::from_hours(24 * 20_500 + 10 * random.below(3) as u64);
    Context {
        branch: branch.map(|name| BranchRef {
            name: name.to_owned(),
            protected: random.below(2) == 0,
        }),
        draft: random.below(4) == 0,
        time: SystemTime::UNIX_EPOCH + hours,
    }
}

/// What is told of a decision, without the id and the time, which are each one's own.
fn told(denial: &Denial) -> String {
    let kind = match denial {
        Denial::Hidden(_) => "hidden",
        Denial::Forbidden(_) => "forbidden",
    };
    let refusal = denial.refusal();
    format!("{kind} {:?} {:?}", refusal.reasons, refusal.errors)
}

/// Every answer of one request.
fn answers(
    authorizer: &Authorizer,
    principal: &Arc<Principal>,
    graph: &GraphRef,
    context: &Context,
    action: Action,
    touches: &BTreeSet<TypeTouch<'_>>,
) -> Vec<String> {
    let resource = Resource::Graph(graph.clone());
    let permit = match authorizer.decide(principal, action, &resource, context) {
        Ok(permit) => permit,
        Err(denial) => return vec![told(&denial)],
    };
    assert!(permit.is_for(graph), "the very graph that was asked about");
    assert!(Arc::ptr_eq(permit.principal(), principal));
    let touches: Vec<_> = touches.iter().copied().collect();
    let allowed = authorizer.allowed_types(&permit, touches.iter().copied());
    let mut told = vec![format!("ok {:?}", allowed.plan())];
    if let Err(denial) = authorizer.authorize_types(&permit, (), &touches) {
        told.extend(denial.refusals.iter().map(|refusal| {
            format!(
                "{} {} {:?} {:?}",
                refusal.action, refusal.resource, refusal.reasons, refusal.errors
            )
        }));
    }
    told
}

#[test]
fn what_is_remembered_is_what_would_be_decided() {
    let graph_actions: Vec<_> = Action::ALL
        .iter()
        .filter(|action| action.resource_kind() == ResourceKind::Graph)
        .collect();
    let (mut permitted, mut refused, mut errors, mut sets) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let text = policies(&mut random, 5);
        let Some(server) = document("server.cedar", &text) else {
            continue;
        };
        sets += 1;
        let remembers = Authorizer::new([server]);
        let mut forgets = Authorizer::new([document("server.cedar", &text).expect("as before")]);
        let (principals, graphs) = (principals(&mut random), graphs(&mut random));
        for _ in 0..150 {
            let (principal, graph) = (random.pick(&principals), random.pick(&graphs));
            let (context, action) = (context(&mut random), **random.pick(&graph_actions));
            let touches: BTreeSet<_> = (0..random.below(4))
                .map(|_| TypeTouch {
                    kind: *random.pick(&[TypeKind::Node, TypeKind::Edge]),
                    name: random.pick::<&str>(&["Person", "Knows"]),
                    write: random.below(2) == 0,
                })
                .collect();
            let of = |authorizer: &Authorizer| {
                answers(authorizer, principal, graph, &context, action, &touches)
            };
            let expected = of(&forgets);
            forgets.dockets = crate::docket::Dockets::default();
            let found = of(&remembers);
            assert_eq!(
                found, expected,
                "seed {seed} {action} {principal:?} {graph:?} {context:?}\n{text}"
            );
            permitted += usize::from(expected[0].starts_with("ok"));
            refused += usize::from(expected.len() > 1 || !expected[0].starts_with("ok"));
            errors += usize::from(expected.iter().any(|told| told.contains("overflow")));
        }
        assert_eq!(remembers.evaluation_errors(), forgets.evaluation_errors());
        assert!(remembers.dockets.count() <= 8 * 5 * 10);
    }
    // The test would be idle if nearly all answers were the same.
    println!("{sets} sets: {permitted} permitted, {refused} refused, {errors} with errors");
    assert!(sets > 30 && permitted > 500 && refused > 500 && errors > 50);
}
