//! By what a set of policies can tell one graph from another.
//!
//! Cedar looks at a graph through its id, its tenant and its labels only. Unless a policy uses
//! `like`, it can do nothing with a text but compare it with others, so a text that stands in no
//! policy, principal or context is as good as any other such text. That is what lets the list of
//! graphs be filtered by kinds of graphs instead of by graphs (see [`crate::listing`]).

use std::collections::HashSet;

use cedar_policy::Policy;
use serde_json::Value;

use crate::model::EntityType;

/// What the policies name. Naming too much costs only speed; naming too little would be wrong, so
/// whatever is not understood counts as the worst.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    /// Graphs named by id.
    pub(crate) graphs: HashSet<String>,
    /// Every text that stands anywhere in the policies.
    pub(crate) texts: HashSet<String>,
    /// The keys of all labels looked at; `None` when a key is computed, so any may be.
    pub(crate) label_keys: Option<HashSet<String>>,
    /// Whether a policy looks inside texts.
    pub(crate) looks_inside_texts: bool,
}

impl Vocabulary {
    pub(crate) fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut vocabulary = Self {
            label_keys: Some(HashSet::new()),
            ..Self::default()
        };
        for policy in policies {
            vocabulary.graphs.extend(
                policy
                    .entity_literals()
                    .iter()
                    .filter_map(|uid| EntityType::Graph.id_of(uid))
                    .map(str::to_owned),
            );
            match policy.to_json() {
                Ok(tree) => vocabulary.read(&tree),
                Err(_) => vocabulary.assume_the_worst(),
            }
        }
        vocabulary
    }

    fn assume_the_worst(&mut self) {
        self.label_keys = None;
        self.looks_inside_texts = true;
    }

    fn read(&mut self, tree: &Value) {
        match tree {
            Value::String(text) => {
                self.texts.insert(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| self.read(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    match name.as_str() {
                        "like" => self.looks_inside_texts = true,
                        "hasTag" | "getTag" => self.read_tag(field),
                        _ => {}
                    }
                    self.texts.insert(name.clone());
                    self.read(field);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn read_tag(&mut self, operands: &Value) {
        match operands.pointer("/right/Value") {
            Some(Value::String(key)) => {
                if let Some(keys) = &mut self.label_keys {
                    keys.insert(key.clone());
                }
            }
            _ => self.label_keys = None,
        }
    }
}
