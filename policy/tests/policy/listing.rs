//! The filtered list is what one decision for each graph would give, and costs far less.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::{
    Action, AttributeValue, Authorizer, BranchRef, Context, GraphRef, Principal, Resource,
};

use crate::fixture::{authorizer, example, graph, graph_policy, who};

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

/// Everything by which a policy may look at a graph, and some that err.
const CONDITIONS: &[&str] = &[
    "true",
    "resource has tenant",
    "!(resource has tenant)",
    r#"resource has tenant && resource.tenant == "acme""#,
    "resource has tenant && principal has tenant && resource.tenant == principal.tenant",
    r#"resource has tenant && ["acme", "globex"].contains(resource.tenant)"#,
    r#"resource has tenant && resource.tenant like "t*""#,
    r#"resource.hasTag("env")"#,
    r#"resource.hasTag("env") && resource.getTag("env") == "prod""#,
    r#"resource.hasTag("env") && resource has tenant && resource.getTag("env") == resource.tenant"#,
    r#"resource.hasTag("env") && resource.hasTag("team") && resource.getTag("env") == resource.getTag("team")"#,
    r#"resource.hasTag("team") && principal.hasTag("team") && principal.getTag("team").values.contains(resource.getTag("team"))"#,
    "resource has tenant && resource.hasTag(resource.tenant)",
    "principal has tenant && resource.hasTag(principal.tenant)",
    "resource has tenant && principal.hasTag(resource.tenant)",
    r#"resource.hasTag("team") && context has branch && context.branch.name == resource.getTag("team")"#,
    r#"resource.hasTag("team") && context has scopes && context.scopes.contains(resource.getTag("team"))"#,
    r#"resource.hasTag("team") && resource.getTag("team") like "*1""#,
    r#"(if resource has tenant && resource.tenant == "acme" then 9223372036854775807 else 1) + 1 == 2"#,
    r#"(if resource.hasTag("env") && resource.getTag("env") == "t3" then 9223372036854775807 else 1) + 1 == 2"#,
];
const SCOPES_OF_RESOURCE: &[&str] = &[
    "resource",
    "resource",
    "resource",
    "resource is Graph",
    r#"resource == Graph::"g3""#,
    r#"resource in Graph::"g5""#,
    r#"resource in Server::"root""#,
];
const ACTIONS: &[&str] = &[
    "action",
    r#"action in Action::"read""#,
    r#"action == Action::"graph_show""#,
    r#"action == Action::"load""#,
];
const WORDS: &[&str] = &[
    "acme", "globex", "t1", "t2", "t3", "prod", "env", "team", "3", "true",
];

fn policies(random: &mut Random, most: usize) -> String {
    let mut text = String::new();
    for _ in 0..random.below(most + 1) {
        let effect = random.pick(&["permit", "permit", "permit", "forbid"]);
        let (action, resource) = (random.pick(ACTIONS), random.pick(SCOPES_OF_RESOURCE));
        let condition = random.pick(CONDITIONS);
        text.push_str(&format!(
            "{effect} (principal, {action}, {resource}) when {{ {condition} }};\n"
        ));
    }
    text
}

fn maybe(random: &mut Random) -> Option<String> {
    (random.below(3) > 0).then(|| random.pick(WORDS).to_string())
}

fn principal(random: &mut Random) -> Arc<Principal> {
    let mut attributes = BTreeMap::new();
    if random.below(2) == 0 {
        let value = match random.below(3) {
            0 => AttributeValue::Number(3),
            1 => AttributeValue::Flag(true),
            _ => AttributeValue::List(vec![
                random.pick(WORDS).to_string(),
                random.pick(WORDS).to_string(),
            ]),
        };
        attributes.insert((*random.pick(&["team", "t1"])).to_owned(), value);
    }
    let scopes = (random.below(4) == 0).then(|| {
        vec![
            random.pick(&["read", "graph_create", "query"]).to_string(),
            random.pick(WORDS).to_string(),
        ]
    });
    Arc::new(Principal {
        tenant: maybe(random),
        attributes,
        scopes,
        ..Principal::user("alice")
    })
}

fn graphs(random: &mut Random) -> Vec<GraphRef> {
    let own: Vec<_> = (0..3).map(|_| graph_policy(&policies(random, 2))).collect();
    (0..40)
        .map(|index| {
            let mut labels = BTreeMap::new();
            for key in ["env", "team", "t1", "acme"] {
                if let Some(value) = maybe(random) {
                    labels.insert(key.to_owned(), value);
                }
            }
            let policy = if random.below(4) == 0 {
                random.pick(&own).clone()
            } else {
                None
            };
            GraphRef::new(format!("g{index}"), maybe(random), labels, policy)
        })
        .collect()
}

fn one_by_one<'a>(
    authorizer: &Authorizer,
    principal: &Arc<Principal>,
    context: &Context,
    graphs: &'a [GraphRef],
) -> Vec<&'a str> {
    graphs
        .iter()
        .filter(|graph| {
            let resource = Resource::Graph((*graph).clone());
            authorizer
                .decide(principal, Action::GraphShow, &resource, context)
                .is_ok()
        })
        .map(GraphRef::graph_id)
        .collect()
}

#[test]
fn the_list_is_what_single_decisions_give() {
    let (mut some, mut most) = (0, 0);
    for seed in 0..250 {
        let mut random = Random(seed);
        let text = policies(&mut random, 4);
        let authorizer = authorizer(&text);
        let (principal, graphs) = (principal(&mut random), graphs(&mut random));
        let branch = maybe(&mut random).map(|name| BranchRef {
            name,
            protected: false,
        });
        let context = Context {
            branch,
            ..Context::now()
        };
        let listed: Vec<_> = authorizer
            .visible(&principal, &context, &graphs)
            .graphs
            .into_iter()
            .map(GraphRef::graph_id)
            .collect();
        let expected = one_by_one(&authorizer, &principal, &context, &graphs);
        assert_eq!(listed, expected, "seed {seed}\n{principal:?}\n{text}");
        some += usize::from(!listed.is_empty() && listed.len() < graphs.len());
        most += usize::from(listed.len() == graphs.len());
    }
    // The test would be idle if nearly all lists were empty or full.
    assert!(some > 60 && most < 125, "{some} {most}");
}

#[test]
fn ten_thousand_tenants_cost_one_pass() {
    let authorizer = Authorizer::new([example("server.cedar")]);
    let graphs: Vec<_> = (0..10_000)
        .map(|index| graph(&format!("g{index}"), &format!("tenant-{}", index % 5_000)))
        .collect();
    let rita = who("rita", "tenant-7", []);

    let started = Instant::now();
    let listed: Vec<_> = authorizer
        .visible(&rita, &Context::now(), &graphs)
        .graphs
        .into_iter()
        .map(GraphRef::graph_id)
        .collect();
    let took = started.elapsed();
    assert_eq!(listed, ["g7", "g5007"]);

    let sample = &graphs[..200];
    let started = Instant::now();
    let expected = one_by_one(&authorizer, &rita, &Context::now(), sample);
    let plain = started.elapsed() * 50;
    assert_eq!(expected, ["g7"]);
    println!("10,000 graphs: {took:?}; one by one they would take {plain:?}");
    assert!(
        took * 5 < plain.max(Duration::from_millis(1)),
        "{took:?} against {plain:?}"
    );
}

#[test]
fn a_list_lasts_unless_a_policy_looks_at_the_time_or_fails() {
    let graphs = [graph("alpha", "acme"), graph("beta", "globex")];
    let lasts = |text: &str, graphs: &[GraphRef]| {
        let rita = who("rita", "acme", []);
        let visible = authorizer(text).visible(&rita, &Context::now(), graphs);
        visible.lasting
    };
    let everything = "permit (principal, action, resource);";
    assert!(lasts(everything, &graphs));
    let later =
        r#"permit (principal, action, resource) when { context.time > datetime("2020-01-01") };"#;
    assert!(!lasts(later, &graphs));
    let of_another = r#"permit (principal, action == Action::"load", resource) when { context.time > datetime("2020-01-01") };"#;
    assert!(lasts(of_another, &graphs));
    let fails = r#"permit (principal, action, resource) when { (if resource.tenant == "acme" then 9223372036854775807 else 1) + 1 == 2 };"#;
    let fails = fails.replace(
        "(if resource.tenant",
        "(if resource has tenant && resource.tenant",
    );
    assert!(!lasts(&fails, &graphs));
    assert!(lasts(&fails, &graphs[1..]), "nothing failed");
    let own = GraphRef::new("own", None, BTreeMap::new(), graph_policy(later));
    assert!(!lasts(everything, &[own]));
}
