//! Policies that are alike: the same but for the names in them.
//!
//! Validating a policy costs milliseconds, for Cedar types it once for each kind of request, and a server
//! may have ten thousand graphs with policies that differ in whom they name. To the validator a literal of
//! plain characters is as good as any other, but for the ids of actions, which the schema has, and for what
//! extension functions such as `ip("...")` read; literals are told apart only by being equal to one another.
//! So policies whose literals are equal at the same places are all valid when one is, and warn of nothing
//! when it does not.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use cedar_policy::Policy;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What policies that are alike have in common.
pub(crate) type Likeness = [u8; 32];

/// Likenesses that are remembered. There are as many as operators have thought of, unless somebody makes
/// them up; then they are forgotten.
const REMEMBERED: usize = 4_096;

/// Of policies in which nothing was found.
static SOUND: LazyLock<Mutex<HashSet<Likeness>>> = LazyLock::new(Mutex::default);

/// Whether a policy like it was validated and nothing was found.
pub(crate) fn is_sound(likeness: &Likeness) -> bool {
    sound().contains(likeness)
}

/// Remembers that nothing was found in such a policy.
pub(crate) fn remember(likeness: Likeness) {
    let mut sound = sound();
    if sound.len() >= REMEMBERED {
        sound.clear();
    }
    sound.insert(likeness);
}

fn sound() -> MutexGuard<'static, HashSet<Likeness>> {
    // An insertion cannot be half done, and what is forgotten is validated again.
    SOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None` for a policy that cannot be written as JSON.
pub(crate) fn of(policy: &Policy) -> Option<Likeness> {
    let mut tree = policy.to_json().ok()?;
    // Nothing looks at them but people.
    tree.as_object_mut()?.remove("annotations");
    let mut names = Names::default();
    names.replace_in(&mut tree);
    Some(Sha256::digest(tree.to_string()).into())
}

/// Numbers for literals, in the order in which they come.
#[derive(Default)]
struct Names {
    /// By type and id; texts have no type.
    numbers: HashMap<(String, String), usize>,
}

impl Names {
    /// In a policy as Cedar writes it in JSON.
    fn replace_in(&mut self, tree: &mut Value) {
        match tree {
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_in(item)),
            Value::Object(fields) => {
                if let (2, Some(Value::String(of)), Some(Value::String(_))) =
                    (fields.len(), fields.get("type"), fields.get("id"))
                {
                    let of = of.clone();
                    if let Some(Value::String(id)) = fields.get_mut("id") {
                        self.replace_entity(&of, id);
                    }
                    return;
                }
                for (name, field) in fields {
                    match field {
                        Value::String(text) if name == "Value" => self.replace("", text),
                        // The arguments of an extension function: a set is the only other list of values.
                        Value::Array(_) if !LISTS.contains(&name.as_str()) => {}
                        field => self.replace_in(field),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn replace_entity(&mut self, of: &str, id: &mut String) {
        if of != "Action" && !of.ends_with("::Action") {
            self.replace(of, id);
        }
    }

    /// Other characters can look like something that they are not, which is warned of.
    fn replace(&mut self, of: &str, text: &mut String) {
        if !text.is_ascii() {
            return;
        }
        let count = self.numbers.len();
        let number = self.numbers.entry((of.to_owned(), text.clone()));
        *text = format!("\u{0}{}", number.or_insert(count));
    }
}

/// The fields of a policy in JSON that are lists of more than arguments: `when` and `unless`, the actions or
/// entities of a scope, and the values of a set.
const LISTS: [&str; 3] = ["conditions", "entities", "Set"];

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(text: &str) -> Likeness {
        let policy = Policy::parse(None, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        of(&policy).expect("it is plain")
    }

    #[track_caller]
    fn check(one: &str, other: &str, alike: bool) {
        assert_eq!(likeness(one) == likeness(other), alike, "{one}\n{other}");
    }

    #[test]
    fn policies_that_differ_in_names_are_alike() {
        for (one, other) in [
            (
                r#"@id("a") permit (principal == User::"a", action, resource);"#,
                r#"permit (principal == User::"b", action, resource);"#,
            ),
            (
                r#"permit (principal in Group::"a", action, resource) when { resource.tenant == "x" };"#,
                r#"permit (principal in Group::"b", action, resource) when { resource.tenant == "y" };"#,
            ),
            (
                r#"forbid (principal, action in [Action::"query", Action::"load"], resource) unless { ["a", "b"].contains(resource.tenant) };"#,
                r#"forbid (principal, action in [Action::"query", Action::"load"], resource) unless { ["c", "d"].contains(resource.tenant) };"#,
            ),
        ] {
            check(one, other, true);
        }
    }

    #[test]
    fn policies_that_the_validator_tells_apart_are_not() {
        let when = |text: &str| format!("permit (principal, action, resource) when {{ {text} }};");
        for (one, other) in [
            // What is equal to what decides whether it can ever hold.
            (r#"User::"a" == User::"a""#, r#"User::"a" == User::"b""#),
            (r#""a" == "a""#, r#""a" == "b""#),
            (
                r#"resource.hasTag("a") && resource.getTag("a") == "x""#,
                r#"resource.hasTag("a") && resource.getTag("b") == "x""#,
            ),
            (r#"principal == User::"a""#, r#"principal == Service::"a""#),
            (
                r#"action == Action::"query""#,
                r#"action == Action::"load""#,
            ),
            (r#"principal.a == "x""#, r#"principal.b == "x""#),
            (
                r#"resource.tenant like "a*""#,
                r#"resource.tenant like "b*""#,
            ),
            (r#"ip("1.2.3.4").isIpv4()"#, r#"ip("nothing").isIpv4()"#),
            ("principal.n == 1", "principal.n == 2"),
            (
                r#"resource.tenant == "a""#,
                "resource.tenant == \"\u{430}\"",
            ),
        ] {
            check(&when(one), &when(other), false);
        }
        check(
            "permit (principal, action, resource) when { principal has a };",
            "permit (principal, action, resource) unless { principal has a };",
            false,
        );
        check(
            r#"permit (principal == User::"a", action, resource);"#,
            r#"forbid (principal == User::"a", action, resource);"#,
            false,
        );
    }
}
