//! What policies read of principals: groups, kind, attributes, scopes.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::{Action, AttributeValue, Context, Principal, PrincipalKind};

use crate::fixture::{authorizer, plain, who};

#[test]
fn attributes_are_read_as_tags_and_a_missing_one_denies() {
    let cases = [
        (
            r#"principal.hasTag("team") && principal.getTag("team").values.contains("sales")"#,
            true,
        ),
        (
            r#"principal.hasTag("team") && principal.getTag("team").values.contains("legal")"#,
            false,
        ),
        (
            r#"principal.hasTag("teams") && principal.getTag("teams").values.contains("b")"#,
            true,
        ),
        (
            r#"principal.hasTag("on_call") && principal.getTag("on_call").values.contains("true")"#,
            true,
        ),
        (
            r#"principal.hasTag("level") && principal.getTag("level") has number && principal.getTag("level").number >= 3"#,
            true,
        ),
        (
            r#"principal.hasTag("level") && principal.getTag("level") has number && principal.getTag("level").number >= 4"#,
            false,
        ),
        (
            r#"principal.hasTag("level") && principal.getTag("level").values.contains("3")"#,
            true,
        ),
        (
            r#"principal.hasTag("team") && principal.getTag("team") has number"#,
            false,
        ),
        (r#"principal.hasTag("absent")"#, false),
        (r#"principal has tenant"#, false),
        ("principal is User", false),
        (r#"principal is Service in Group::"bots""#, true),
    ];
    let indexer = Arc::new(Principal {
        kind: PrincipalKind::Service,
        groups: ["bots".to_owned()].into(),
        attributes: BTreeMap::from([
            ("team".to_owned(), AttributeValue::Text("sales".to_owned())),
            (
                "teams".to_owned(),
                AttributeValue::List(vec!["a".to_owned(), "b".to_owned()]),
            ),
            ("on_call".to_owned(), AttributeValue::Flag(true)),
            ("level".to_owned(), AttributeValue::Number(3)),
        ]),
        ..Principal::user("indexer")
    });
    for (condition, expected) in cases {
        let authorizer = authorizer(&format!(
            "permit (principal, action, resource) when {{ {condition} }};"
        ));
        let decided = authorizer.decide(
            &indexer,
            Action::GraphShow,
            &plain("alpha"),
            &Context::now(),
        );
        assert_eq!(decided.is_ok(), expected, "{condition}");
    }
}

#[test]
fn scopes_narrow_and_never_widen() {
    let everything = "permit (principal, action, resource);";
    let nothing = "";
    let cases: &[(&str, Option<&[&str]>, Action, bool)] = &[
        (everything, None, Action::Mutate, true),
        (everything, Some(&[]), Action::Query, false),
        (everything, Some(&["query"]), Action::Query, true),
        (everything, Some(&["query"]), Action::Export, false),
        (everything, Some(&["read"]), Action::Export, true),
        (everything, Some(&["read"]), Action::Mutate, false),
        (everything, Some(&["read", "mutate"]), Action::Mutate, true),
        (everything, Some(&["query"]), Action::GraphShow, true),
        (everything, Some(&["openid"]), Action::GraphShow, false),
        (
            everything,
            Some(&["graph_create"]),
            Action::GraphShow,
            false,
        ),
        (nothing, Some(&["query", "read"]), Action::Query, false),
        (nothing, Some(&["query", "read"]), Action::GraphShow, false),
    ];
    for (policy, scopes, action, expected) in cases {
        let scopes = scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect());
        let alice = Arc::new(Principal {
            scopes,
            ..Principal::user("alice")
        });
        let decided = authorizer(policy).decide(&alice, *action, &plain("alpha"), &Context::now());
        assert_eq!(
            decided.is_ok(),
            *expected,
            "{policy} {:?} {action}",
            alice.scopes
        );
    }
    // What is out of scope on a graph that one may see is forbidden, and says by what.
    let alice = Arc::new(Principal {
        scopes: Some(vec!["query".to_owned()]),
        ..Principal::user("alice")
    });
    let denial = authorizer(everything)
        .decide(&alice, Action::Export, &plain("alpha"), &Context::now())
        .expect_err("out of scope");
    assert_eq!(denial.refusal().reasons, ["builtin-scopes#out-of-scope"]);
}

#[test]
fn policies_read_scopes_of_their_own() {
    let authorizer = authorizer(
        r#"permit (principal, action, resource) when { context has scopes && context.scopes.contains("billing") };"#,
    );
    for (scope, expected) in [("billing", true), ("shipping", false)] {
        let scopes = Some(vec!["read".to_owned(), scope.to_owned()]);
        let alice = Arc::new(Principal {
            scopes,
            ..Principal::user("alice")
        });
        let decided = authorizer.decide(&alice, Action::Query, &plain("alpha"), &Context::now());
        assert_eq!(decided.is_ok(), expected, "{scope}");
    }
    let unlimited = who("bob", "", []);
    assert!(
        authorizer
            .decide(&unlimited, Action::Query, &plain("alpha"), &Context::now())
            .is_err()
    );
}
