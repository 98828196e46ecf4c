//! Which names mean which slots, from clause to clause.

use std::collections::BTreeMap;

use crate::plan::{Slot, Type};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Variable {
    /// Its place in the row.
    pub(super) slot: Slot,
    /// What is known of its value.
    pub(super) value_type: Type,
}

/// The names that may be used at one place of a statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    variables: BTreeMap<String, Variable>,
}

impl Scope {
    /// What `name` stands for.
    pub(super) fn get(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    /// Binds `name`, over whatever it stood for.
    pub(super) fn insert(&mut self, name: &str, slot: Slot, value_type: Type) {
        self.variables
            .insert(name.to_owned(), Variable { slot, value_type });
    }

    /// Forgets `name`; gives what it stood for.
    pub(super) fn remove(&mut self, name: &str) -> Option<Variable> {
        self.variables.remove(name)
    }

    /// The names, in alphabetical order: what `*` stands for.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.variables
            .iter()
            .map(|(name, variable)| (name.as_str(), variable))
    }

    /// The names alone, for suggestions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// This scope with `inner` laid over it: what `ORDER BY` and the `WHERE` of a `WITH` see.
    pub(super) fn overlaid(&self, inner: &Self) -> Self {
        let mut variables = self.variables.clone();
        variables.extend(
            inner
                .variables
                .iter()
                .map(|(name, variable)| (name.clone(), variable.clone())),
        );
        Self { variables }
    }
}
