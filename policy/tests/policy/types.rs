//! From a permit to a plan that may be executed.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::{
    Action, AttributeValue, Authorizer, Context, GraphPolicy, GraphRef, Permit, Principal,
    Resource, TypeKind, TypeTouch,
};

use crate::fixture::{authorizer, example, graph, graph_policy, plain, who};

const fn node(name: &str) -> TypeTouch<'_> {
    TypeTouch {
        kind: TypeKind::Node,
        name,
        write: false,
    }
}

const fn edge(name: &str) -> TypeTouch<'_> {
    TypeTouch {
        kind: TypeKind::Edge,
        name,
        write: false,
    }
}

const fn written(touch: TypeTouch<'_>) -> TypeTouch<'_> {
    TypeTouch {
        write: true,
        ..touch
    }
}

fn permit(authorizer: &Authorizer, action: Action, resource: &Resource) -> Permit {
    authorizer
        .decide(
            &who("alice", "acme", ["staff"]),
            action,
            resource,
            &Context::now(),
        )
        .expect("permitted")
}

/// `ok`, or what was refused and by whom.
fn said(authorizer: &Authorizer, permit: &Permit, touches: &[TypeTouch<'_>]) -> String {
    match authorizer.authorize_types(permit, "plan", touches) {
        Ok(authorized) => {
            assert_eq!(*authorized.plan(), "plan");
            assert_eq!(authorized.principal(), permit.principal());
            assert_eq!(authorized.permit().decision_id(), permit.decision_id());
            "ok".to_owned()
        }
        Err(denial) => denial
            .refusals
            .iter()
            .map(|refusal| {
                format!(
                    "{} {} {:?}",
                    refusal.action, refusal.resource, refusal.reasons
                )
            })
            .collect::<Vec<_>>()
            .join("; "),
    }
}

#[test]
fn each_touched_type_is_decided() {
    let authorizer = authorizer(
        r#"
        permit (principal, action, resource is Graph);
        permit (principal in Group::"staff", action == Action::"type_read", resource in Graph::"alpha");
        permit (principal in Group::"staff", action == Action::"type_write", resource == NodeType::"alpha/Person");
        @id("secret") forbid (principal, action, resource is EdgeType) when { resource.name == "Owes" };
        "#,
    );
    let query = permit(&authorizer, Action::Query, &plain("alpha"));
    let mutate = permit(&authorizer, Action::Mutate, &plain("alpha"));
    let beta = permit(&authorizer, Action::Query, &plain("beta"));
    let cases: &[(&Permit, &[TypeTouch<'_>], &str)] = &[
        (&query, &[], "ok"),
        (
            &query,
            &[node("Person"), edge("Knows"), node("Person")],
            "ok",
        ),
        (
            &query,
            &[node("Person"), edge("Owes")],
            r#"type_read edge type `Owes` of graph `alpha` ["server.cedar#secret"]"#,
        ),
        // A node type of that name is another type.
        (&query, &[node("Owes")], "ok"),
        (
            &mutate,
            &[written(node("Person")), node("Person"), node("Org")],
            "ok",
        ),
        (
            &mutate,
            &[written(edge("Person")), written(node("Org"))],
            "type_write node type `Org` of graph `alpha` []; type_write edge type `Person` of graph `alpha` []",
        ),
        (
            &beta,
            &[node("Person")],
            "type_read node type `Person` of graph `beta` []",
        ),
    ];
    for (permit, touches, expected) in cases {
        assert_eq!(said(&authorizer, permit, touches), *expected, "{touches:?}");
    }
}

#[test]
fn a_reading_permit_writes_nothing_whatever_the_policies_say() {
    let authorizer = authorizer("permit (principal, action, resource);");
    for (action, expected) in [
        (Action::Query, false),
        (Action::Export, false),
        (Action::Mutate, true),
        (Action::Load, true),
        (Action::BranchMerge, true),
    ] {
        let permit = permit(&authorizer, action, &plain("alpha"));
        let decided = authorizer.authorize_types(&permit, (), &[written(node("Person"))]);
        assert_eq!(decided.is_ok(), expected, "{action}");
    }
    let server = permit(&authorizer, Action::GraphList, &Resource::Server);
    assert!(
        authorizer
            .authorize_types(&server, (), &[node("Person")])
            .is_err()
    );
}

#[test]
fn types_carry_tenant_and_labels_of_their_graph_and_the_graphs_policy_counts() {
    let server = authorizer(
        r#"permit (principal, action, resource)
           when { resource has tenant && principal has tenant && resource.tenant == principal.tenant };"#,
    );
    let acme = permit(
        &server,
        Action::Query,
        &Resource::Graph(graph("alpha", "acme")),
    );
    assert_eq!(said(&server, &acme, &[node("Person"), edge("Knows")]), "ok");

    let labels = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    let own = r#"@id("prod") forbid (principal, action == Action::"type_write", resource) when { resource.hasTag("env") && resource.getTag("env") == "prod" };"#;
    let graph = GraphRef::new("alpha", Some("acme".to_owned()), labels, graph_policy(own));
    let acme = permit(&server, Action::Mutate, &Resource::Graph(graph));
    assert_eq!(said(&server, &acme, &[node("Person")]), "ok");
    assert_eq!(
        said(&server, &acme, &[written(edge("Knows"))]),
        r#"type_write edge type `Knows` of graph `alpha` ["graph.cedar#prod"]"#
    );
}

#[test]
fn the_scopes_of_the_permits_action_cover_the_types() {
    let authorizer = authorizer("permit (principal, action, resource);");
    let scopes = Some(vec!["query".to_owned(), "mutate".to_owned()]);
    let alice = Arc::new(Principal {
        scopes,
        ..Principal::user("alice")
    });
    for (action, touch) in [
        (Action::Query, node("Person")),
        (Action::Mutate, written(node("Person"))),
    ] {
        let permit = authorizer
            .decide(&alice, action, &plain("alpha"), &Context::now())
            .expect("in scope");
        assert!(
            authorizer.authorize_types(&permit, (), &[touch]).is_ok(),
            "{action}"
        );
    }
}

#[test]
fn a_policy_that_fails_on_a_type_denies_it() {
    let authorizer = authorizer(
        r#"permit (principal, action, resource);
           forbid (principal, action == Action::"type_read", resource)
           when { (if resource.name == "Person" then 9223372036854775807 else 1) + 1 == 0 };"#,
    );
    let query = permit(&authorizer, Action::Query, &plain("alpha"));
    assert_eq!(said(&authorizer, &query, &[node("Org")]), "ok");
    assert_eq!(
        said(&authorizer, &query, &[node("Org"), node("Person")]),
        "type_read node type `Person` of graph `alpha` []"
    );
    assert_eq!(authorizer.evaluation_errors(), 1);
}

#[test]
fn the_example_keeps_salaries_for_payroll() {
    let own = GraphPolicy::new(example("readers-and-writers.cedar"));
    let alpha = Resource::Graph(GraphRef::new("alpha", None, BTreeMap::new(), Some(own)));
    let authorizer = Authorizer::new([]);
    for (department, expected) in [("payroll", true), ("sales", false)] {
        let value = AttributeValue::Text(department.to_owned());
        let carol = Arc::new(Principal {
            groups: ["readers".to_owned()].into(),
            attributes: BTreeMap::from([("department".to_owned(), value)]),
            ..Principal::user("carol")
        });
        let permit = authorizer
            .decide(&carol, Action::Query, &alpha, &Context::now())
            .expect("readers read");
        assert!(
            authorizer
                .authorize_types(&permit, (), &[node("Person")])
                .is_ok()
        );
        let decided = authorizer.authorize_types(&permit, (), &[node("Salary")]);
        assert_eq!(decided.is_ok(), expected, "{department}");
    }
}
