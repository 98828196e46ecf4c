//! Whether a policy looks at the time.
//!
//! Of what a request brings along only the time is new each time: who asks, about what, on which
//! branch, with which scopes come again and again. So the answer of policies that do not look at the
//! time is good for the next request too (see [`crate::docket`]).

use cedar_policy::Policy;
use serde_json::Value;

/// Whether the answer of `policy` may depend on the time. What is not understood may.
pub(crate) fn looks_at_it(policy: &Policy) -> bool {
    policy.to_json().map_or(true, |tree| is_read(&tree))
}

/// A policy has the time as `context.time`, or as a part of `context` as a whole.
fn is_read(tree: &Value) -> bool {
    match tree {
        Value::Array(items) => items.iter().any(is_read),
        Value::Object(_) if is_context(tree) => true,
        Value::Object(fields) => fields.iter().any(|(operator, operands)| {
            match (operator.as_str(), operands.get("left")) {
                ("." | "has", Some(left)) if is_context(left) => {
                    let other = operands.get("attr").and_then(Value::as_str);
                    other.is_none_or(|name| name == "time")
                }
                _ => is_read(operands),
            }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_context(tree: &Value) -> bool {
    tree.get("Var").and_then(Value::as_str) == Some("context")
}

#[cfg(test)]
mod tests {
    use cedar_policy::PolicySet;

    use super::*;

    #[test]
    fn only_policies_that_cannot_see_the_time_are_taken_for_timeless() {
        let check = |condition: &str, expected: bool| {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            let set: PolicySet = text.parse().expect("Cedar");
            let found: Vec<_> = set.policies().map(looks_at_it).collect();
            assert_eq!(found, [expected], "{condition}");
        };
        check("true", false);
        check("context.draft", false);
        check("context has branch && context.branch.protected", false);
        check(
            r#"context has scopes && context.scopes.contains("time")"#,
            false,
        );
        check(r#"resource.name == "context""#, false);
        check(r#"resource has time && resource.time == 3"#, false);
        check(
            r#"{"Var": "context", "time": 1} == {"Var": "x", "time": 1}"#,
            false,
        );
        check(r#"context.time < datetime("2026-03-01")"#, true);
        check(r#"context["time"] < datetime("2026-03-01")"#, true);
        check("context has time", true);
        check(
            r#"context.draft || context.time.toTime() < duration("9h")"#,
            true,
        );
        check("context == context", true);
        check("{a: context} == {a: context}", true);
        check("(if context.draft then context else context).draft", true);
        check("[context].contains(context)", true);
    }
}
