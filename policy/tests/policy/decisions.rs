//! Permit, forbidden or hidden, and why.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use policy::{
    Action, Authorizer, BranchRef, Context, Denial, MAX_REFUSALS, NothingConfigured, Permit,
    PolicyDocument, Principal, Resource, ResourceKind, Tokens,
};

use crate::fixture::{authorizer, document, plain, who, with_policy};

/// Fails to evaluate on every request: a condition that is well typed and overflows.
const OVERFLOW: &str = r#"@id("overflows") forbid (principal, action, resource)
    when { (if context.draft then 1 else 2) * 9223372036854775807 == 0 };"#;
const EVERYTHING: &str = r#"@id("everything") permit (principal, action, resource);"#;

fn decide(authorizer: &Authorizer, action: Action, resource: &Resource) -> Result<Permit, Denial> {
    authorizer.decide(&who("alice", "", []), action, resource, &Context::now())
}

/// `ok`, `hidden` or `forbidden`, with the policies that forbade.
fn said(decided: &Result<Permit, Denial>) -> String {
    match decided {
        Ok(_) => "ok".to_owned(),
        Err(Denial::Hidden(refusal)) => format!("hidden {:?}", refusal.reasons),
        Err(Denial::Forbidden(refusal)) => format!("forbidden {:?}", refusal.reasons),
    }
}

#[test]
fn without_a_policy_everything_is_denied() {
    let authorizer = Authorizer::new([]);
    for action in Action::ALL {
        let (resource, expected) = match action.resource_kind() {
            ResourceKind::Server => (Resource::Server, "forbidden []"),
            ResourceKind::Graph => (plain("alpha"), "hidden []"),
            ResourceKind::Type => continue,
        };
        assert_eq!(
            said(&decide(&authorizer, *action, &resource)),
            expected,
            "{action}"
        );
    }
}

#[test]
fn a_graph_is_hidden_unless_graph_show_is_allowed() {
    let cases = [
        (
            r#"permit (principal, action in Action::"read", resource);"#,
            Action::Query,
            "ok",
        ),
        (
            r#"permit (principal, action in Action::"read", resource);"#,
            Action::Mutate,
            "forbidden []",
        ),
        (
            r#"permit (principal, action == Action::"query", resource);"#,
            Action::Query,
            "hidden []",
        ),
        (
            r#"permit (principal, action == Action::"graph_show", resource);"#,
            Action::Query,
            "forbidden []",
        ),
        (
            r#"permit (principal, action == Action::"graph_show", resource);"#,
            Action::GraphShow,
            "ok",
        ),
        (
            r#"permit (principal, action, resource); @id("frozen") forbid (principal, action in Action::"write", resource);"#,
            Action::Load,
            r#"forbidden ["server.cedar#frozen"]"#,
        ),
        (
            r#"permit (principal, action, resource); forbid (principal, action == Action::"graph_show", resource);"#,
            Action::Load,
            r#"hidden ["server.cedar#2"]"#,
        ),
    ];
    for (policy, action, expected) in cases {
        let decided = decide(&authorizer(policy), action, &plain("alpha"));
        assert_eq!(said(&decided), expected, "{policy} {action}");
    }
}

#[test]
fn a_permit_says_what_it_is_for() {
    let context = Context {
        branch: Some(BranchRef {
            name: "main".to_owned(),
            protected: false,
        }),
        ..Context::now()
    };
    let alice = who("alice", "", []);
    let permit = authorizer(EVERYTHING)
        .decide(&alice, Action::Mutate, &plain("alpha"), &context)
        .expect("permitted");
    assert_eq!(permit.principal(), &alice);
    assert_eq!(
        (permit.action(), permit.graph_id(), permit.branch()),
        (Action::Mutate, Some("alpha"), Some("main"))
    );
    assert!(permit.allows_writing());
    let permit = decide(
        &authorizer(EVERYTHING),
        Action::GraphList,
        &Resource::Server,
    )
    .expect("permitted");
    assert_eq!((permit.graph_id(), permit.allows_writing()), (None, false));
}

#[test]
fn a_forbid_that_fails_to_evaluate_denies() {
    let authorizer = authorizer(&format!("{EVERYTHING}\n{OVERFLOW}"));
    let denial =
        decide(&authorizer, Action::ConfigRead, &Resource::Server).expect_err("an error denies");
    let refusal = denial.refusal();
    assert!(refusal.reasons.is_empty());
    assert_eq!(refusal.errors.len(), 1);
    assert!(
        refusal.errors[0].contains("server.cedar#overflows"),
        "{}",
        refusal.errors[0]
    );
    assert!(
        refusal.errors[0].contains("overflow"),
        "{}",
        refusal.errors[0]
    );
    assert_eq!(authorizer.evaluation_errors(), 1);
    // Also when it is the graph that cannot be seen for sure.
    assert!(matches!(
        decide(&authorizer, Action::Query, &plain("alpha")),
        Err(Denial::Hidden(_))
    ));
    assert_eq!(authorizer.evaluation_errors(), 2);
}

#[test]
fn any_policy_that_fails_to_evaluate_denies_a_permit_or_a_graphs_own_included() {
    let erring_permit = OVERFLOW.replace("forbid", "permit");
    let server = authorizer(&format!("{EVERYTHING}\n{erring_permit}"));
    assert!(decide(&server, Action::ConfigRead, &Resource::Server).is_err());

    for erring in [OVERFLOW, &erring_permit] {
        let server = authorizer(EVERYTHING);
        assert!(
            decide(&server, Action::Query, &with_policy("alpha", erring)).is_err(),
            "{erring}"
        );
        assert!(decide(&server, Action::Query, &plain("beta")).is_ok());
        assert!(decide(&server, Action::ConfigRead, &Resource::Server).is_ok());
    }
}

#[test]
fn a_graphs_policy_concerns_that_graph_only() {
    let alpha = with_policy("alpha", EVERYTHING);
    let closed = with_policy(
        "beta",
        r#"@id("closed") forbid (principal, action in [Action::"write", Action::"manage"], resource);"#,
    );
    let nobody = authorizer("");
    assert_eq!(said(&decide(&nobody, Action::Mutate, &alpha)), "ok");
    assert_eq!(
        said(&decide(&nobody, Action::Mutate, &plain("gamma"))),
        "hidden []"
    );
    assert_eq!(
        said(&decide(&nobody, Action::GraphCreate, &Resource::Server)),
        "forbidden []"
    );

    let everybody = authorizer(EVERYTHING);
    assert_eq!(
        said(&decide(&everybody, Action::Mutate, &closed)),
        r#"forbidden ["graph.cedar#closed"]"#
    );
    assert_eq!(
        said(&decide(&everybody, Action::Mutate, &plain("gamma"))),
        "ok"
    );

    let sealed =
        authorizer(r#"@id("sealed") forbid (principal, action in Action::"write", resource);"#);
    assert_eq!(
        said(&decide(&sealed, Action::Mutate, &alpha)),
        r#"forbidden ["server.cedar#sealed"]"#
    );
}

#[test]
fn several_documents_decide_together_whatever_their_names() {
    let authorizer = Authorizer::new([
        document("same.cedar", EVERYTHING),
        document(
            "same.cedar",
            r#"@id("everything") forbid (principal, action == Action::"load", resource);"#,
        ),
    ]);
    assert_eq!(
        said(&decide(&authorizer, Action::Query, &plain("alpha"))),
        "ok"
    );
    assert_eq!(
        said(&decide(&authorizer, Action::Load, &plain("alpha"))),
        r#"forbidden ["same.cedar#everything"]"#
    );
}

#[test]
fn policies_read_branch_draft_and_time() {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let on = |name: &str, protected: bool| {
        Some(BranchRef {
            name: name.to_owned(),
            protected,
        })
    };
    let context = |branch: Option<BranchRef>, draft: bool, time: SystemTime| Context {
        branch,
        draft,
        time,
    };
    // 2026-03-01T12:00:00Z, a Sunday.
    let noon = at(1_772_366_400);
    let cases = [
        ("context.draft", context(None, true, noon), true),
        ("context.draft", context(None, false, noon), false),
        ("context has branch", context(None, false, noon), false),
        (
            r#"context has branch && context.branch == Branch::"alpha/main""#,
            context(on("main", false), false, noon),
            true,
        ),
        (
            r#"context has branch && context.branch in Graph::"alpha""#,
            context(on("main", false), false, noon),
            true,
        ),
        (
            r#"context has branch && context.branch.name == "dev""#,
            context(on("dev", false), false, noon),
            true,
        ),
        (
            "context has branch && context.branch.protected",
            context(on("main", true), false, noon),
            true,
        ),
        (
            "context has branch && context.branch.protected",
            context(on("main", false), false, noon),
            false,
        ),
        (
            r#"context.time < datetime("2026-03-01T12:00:01Z")"#,
            context(None, false, noon),
            true,
        ),
        (
            r#"context.time < datetime("2026-03-01T12:00:00Z")"#,
            context(None, false, noon),
            false,
        ),
        (
            r#"context.time.toTime() >= duration("9h") && context.time.toTime() < duration("17h")"#,
            context(None, false, noon),
            true,
        ),
        (
            r#"context.time.toTime() >= duration("9h") && context.time.toTime() < duration("17h")"#,
            context(None, false, at(1_772_366_400 + 6 * 3600)),
            false,
        ),
    ];
    for (condition, context, expected) in cases {
        let authorizer = authorizer(&format!(
            "permit (principal, action, resource) when {{ {condition} }};"
        ));
        let decided = authorizer.decide(
            &who("alice", "", []),
            Action::Query,
            &plain("alpha"),
            &context,
        );
        assert_eq!(decided.is_ok(), expected, "{condition} {context:?}");
    }
}

#[test]
fn a_time_outside_the_calendar_is_denied_not_a_crash() {
    let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1 << 50)) else {
        return;
    };
    let context = Context {
        time,
        ..Context::now()
    };
    let alice = who("alice", "", []);
    let denied = authorizer(EVERYTHING).decide(&alice, Action::Query, &plain("alpha"), &context);
    assert_eq!(said(&denied), "hidden []");
    assert!(
        authorizer(EVERYTHING)
            .visible(&alice, &context, [])
            .graphs
            .is_empty()
    );
}

#[test]
fn an_action_on_something_else_is_denied() {
    for (action, resource) in [
        (Action::Query, Resource::Server),
        (Action::GraphCreate, plain("alpha")),
        (Action::TypeRead, plain("alpha")),
    ] {
        assert!(
            decide(&authorizer(EVERYTHING), action, &resource).is_err(),
            "{action} {resource}"
        );
    }
}

#[test]
fn what_a_server_starts_with() {
    let tokens = Tokens::from_plain(
        [("alice".to_owned(), "secret".to_owned())],
        &Default::default(),
    )
    .expect("valid");
    let own = || Some(vec![document("server.cedar", EVERYTHING)]);
    assert_eq!(
        Authorizer::configured(None, &Tokens::default()).err(),
        Some(NothingConfigured)
    );
    assert!(Authorizer::configured(own(), &Tokens::default()).is_ok());

    let read_only = Authorizer::configured(None, &tokens).expect("tokens are enough");
    for action in Action::ALL {
        let (resource, expected) = match (action.resource_kind(), action.group().as_str()) {
            (ResourceKind::Server, _) => (Resource::Server, false),
            (ResourceKind::Graph, group) => (plain("alpha"), group == "read"),
            (ResourceKind::Type, _) => continue,
        };
        assert_eq!(
            decide(&read_only, *action, &resource).is_ok(),
            expected,
            "{action}"
        );
    }
}

#[test]
fn without_authentication_anonymous_does_everything_by_policy() {
    let authorizer = Authorizer::unauthenticated();
    let anonymous = Arc::new(Principal::anonymous());
    for action in Action::ALL {
        let resource = match action.resource_kind() {
            ResourceKind::Server => Resource::Server,
            ResourceKind::Graph => plain("alpha"),
            ResourceKind::Type => continue,
        };
        assert!(
            authorizer
                .decide(&anonymous, *action, &resource, &Context::now())
                .is_ok(),
            "{action}"
        );
        assert!(
            authorizer
                .decide(&who("alice", "", []), *action, &resource, &Context::now())
                .is_err(),
            "{action}"
        );
    }
    let closed = with_policy(
        "beta",
        r#"forbid (principal, action == Action::"load", resource);"#,
    );
    assert!(
        authorizer
            .decide(&anonymous, Action::Load, &closed, &Context::now())
            .is_err()
    );
}

#[test]
fn a_refusal_can_be_looked_up_and_is_kept_over_a_reload() {
    let old = authorizer(&format!("{EVERYTHING}\n{OVERFLOW}"));
    let first = decide(&old, Action::ConfigRead, &Resource::Server).expect_err("denied");
    let id = first.refusal().decision_id;
    assert_eq!(old.refusal(id).as_ref(), Some(first.refusal()));

    let new = authorizer("").succeeding(&old);
    assert_eq!(
        (new.refusal(id).as_ref(), new.evaluation_errors()),
        (Some(first.refusal()), 1)
    );
    let second = decide(&new, Action::ConfigRead, &Resource::Server).expect_err("denied");
    assert_eq!(
        second.to_string(),
        format!(
            "`alice` may not do `config_read` on the server: no policy permits it (decision {})",
            second.refusal().decision_id
        )
    );
    for _ in 1..MAX_REFUSALS {
        let _ = decide(&new, Action::ConfigRead, &Resource::Server);
    }
    assert!(new.refusal(id).is_none(), "the oldest makes room");
    assert!(new.refusal(second.refusal().decision_id).is_some());
}

#[test]
fn ids_are_data_whatever_is_in_them() {
    let authorizer = authorizer(r#"permit (principal == User::"alice", action, resource);"#);
    for id in [r#"alice" || true"#, "alice\\", "Alice", "alice\u{0}", "*"] {
        let decided = authorizer.decide(
            &who(id, "", []),
            Action::Query,
            &plain("alpha"),
            &Context::now(),
        );
        assert!(decided.is_err(), "{id:?}");
    }
}

#[test]
fn an_example_file_is_a_valid_graph_policy() {
    let document: PolicyDocument = crate::fixture::example("readers-and-writers.cedar");
    assert_eq!(document.policy_ids().len(), 3);
}
