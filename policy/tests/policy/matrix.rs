//! Who may do what under `policies/server.cedar`: role x action x resource, in one text that reviews
//! as a diff.

use std::fmt::Write as _;
use std::sync::Arc;

use policy::{
    Action, Authorizer, BranchRef, Context, Denial, Principal, Resource, ResourceKind, TypeKind,
    TypeTouch,
};

use crate::fixture::{example, graph, who};

fn roles() -> Vec<(&'static str, Arc<Principal>)> {
    vec![
        ("admin", who("ada", "", ["admins"])),
        ("operator", who("otto", "", ["operators"])),
        ("graph-admin", who("gina", "acme", ["graph-admins"])),
        ("writer", who("will", "acme", ["writers"])),
        ("reader", who("rita", "acme", [])),
        (
            "other-tenant",
            who("theo", "globex", ["writers", "graph-admins"]),
        ),
        ("no-tenant", who("nora", "", ["writers", "graph-admins"])),
    ]
}

fn mark<T>(decided: &Result<T, Denial>) -> &'static str {
    match decided {
        Ok(_) => "yes",
        Err(Denial::Forbidden(_)) => "403",
        Err(Denial::Hidden(_)) => "404",
    }
}

/// A type is decided under a permit; without one there is nothing to decide.
fn on_type(
    authorizer: &Authorizer,
    principal: &Arc<Principal>,
    action: Action,
    resource: &Resource,
    context: &Context,
) -> &'static str {
    let write = action == Action::TypeWrite;
    let way = if write { Action::Mutate } else { Action::Query };
    match authorizer.decide(principal, way, resource, context) {
        Ok(permit) => {
            let touch = TypeTouch {
                kind: TypeKind::Node,
                name: "Person",
                write,
            };
            if authorizer.authorize_types(&permit, (), &[touch]).is_ok() {
                "yes"
            } else {
                "403"
            }
        }
        Err(_) => "-",
    }
}

#[test]
fn the_example_policy_of_the_server() {
    let authorizer = Authorizer::new([example("server.cedar")]);
    let roles = roles();
    let protected = Context {
        branch: Some(BranchRef {
            name: "main".to_owned(),
            protected: true,
        }),
        ..Context::now()
    };
    let resources = [
        ("the server", Resource::Server, Context::now()),
        (
            "a graph of tenant acme",
            Resource::Graph(graph("alpha", "acme")),
            Context::now(),
        ),
        (
            "a protected branch of a graph of tenant acme",
            Resource::Graph(graph("alpha", "acme")),
            protected,
        ),
        (
            "a graph without a tenant",
            Resource::Graph(graph("beta", "")),
            Context::now(),
        ),
    ];
    let mut table = String::new();
    for (title, resource, context) in &resources {
        writeln!(table, "\n{title}").expect("a string grows");
        write!(table, "  {:<15}{:<12}", "action", "group").expect("a string grows");
        for (role, _) in &roles {
            write!(table, "{role:<14}").expect("a string grows");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
        for action in Action::ALL {
            let kind = action.resource_kind();
            if matches!(resource, Resource::Server) != (kind == ResourceKind::Server) {
                continue;
            }
            write!(
                table,
                "  {:<15}{:<12}",
                action.as_str(),
                action.group().as_str()
            )
            .expect("a string grows");
            for (_, principal) in &roles {
                let said = if kind == ResourceKind::Type {
                    on_type(&authorizer, principal, *action, resource, context)
                } else {
                    mark(&authorizer.decide(principal, *action, resource, context))
                };
                write!(table, "{said:<14}").expect("a string grows");
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
    }
    insta::assert_snapshot!("server.cedar", table);
}
