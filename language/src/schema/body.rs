//! The body of one type: its properties, its key and what is said of it, inheritance included.
//!
//! Knows how declarations of one property and of one key come together, not where they come from.
//! `@key` in an interface and `@key(email)` in the node that implements it are one key, `email`.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::constraints::{Context, Draft};
use super::model::{Property, PropertyType};
use crate::diagnostic::{Code, Span};

/// What stands between the braces, inheritance included.
#[derive(Default)]
pub(super) struct Body {
    pub(super) drafts: Vec<Draft>,
    positions: FxHashMap<String, usize>,
    pub(super) key: Option<Key>,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) properties: Vec<String>,
    pub(super) span: Span,
}

impl Body {
    pub(super) fn get(&self, name: &str) -> Option<&Draft> {
        self.drafts.get(*self.positions.get(name)?)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Draft> {
        self.drafts.get_mut(*self.positions.get(name)?)
    }

    /// Adds a property, or merges it into the one of its name; an error says how they differ.
    pub(super) fn add(&mut self, draft: Draft) -> Result<(), String> {
        if let Some(existing) = self.get_mut(&draft.property.name) {
            return existing.merge(draft);
        }
        self.positions
            .insert(draft.property.name.clone(), self.drafts.len());
        self.drafts.push(draft);
        Ok(())
    }

    /// The key, when there is one and everything that declares one means the same.
    pub(super) fn agreed_key(
        &self,
        keys: Vec<Key>,
        type_name: &str,
        context: &mut Context<'_, '_>,
    ) -> Option<Key> {
        let mut keys = keys.into_iter();
        let first = keys.next()?;
        if let Some(other) = keys.find(|key| key.properties != first.properties) {
            let both = format!(
                "`{}` and `{}`",
                first.properties.join(", "),
                other.properties.join(", ")
            );
            let message = format!(
                "`{type_name}` has two keys, {both}; a key of several properties is written `@key(a, b)`"
            );
            context
                .findings
                .add(Code::DuplicateName, other.span, message);
            return None;
        }
        let mut valid = true;
        for name in &first.properties {
            let Some(draft) = self.get(name).filter(|draft| !draft.broken) else {
                continue;
            };
            if let Some(reason) = unfit_for_key(&draft.property) {
                let message = format!("`{name}` cannot be in the key of `{type_name}`: {reason}");
                context.invalid(first.span, message);
                valid = false;
            } else if draft.property.default.is_some() {
                context.unsupported(
                    draft.default.unwrap_or(first.span),
                    "`@default` on a property of the key",
                );
                valid = false;
            }
        }
        valid.then_some(first)
    }
}

fn unfit_for_key(property: &Property) -> Option<&'static str> {
    match property.value_type {
        _ if property.nullable => Some("it may be null"),
        PropertyType::List(_) => Some("it is a list"),
        PropertyType::F32 | PropertyType::F64 => Some("floats are not compared exactly"),
        _ => None,
    }
}

/// Roughly how much memory a copy of the property takes, in bytes.
pub(super) fn size(draft: &Draft) -> usize {
    let property = &draft.property;
    let values = match &property.value_type {
        PropertyType::Enum(values) => values.as_slice(),
        PropertyType::List(element) => match &**element {
            PropertyType::Enum(values) => values.as_slice(),
            _ => &[],
        },
        _ => &[],
    };
    let texts = values
        .iter()
        .chain(property.annotations.values())
        .map(|text| text.len() + size_of::<String>());
    size_of::<Draft>() + property.name.len() + texts.sum::<usize>()
}
