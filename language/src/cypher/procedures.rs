//! Procedures: what `CALL` can call, with the names and types of what they take and give.
//!
//! What a procedure does is data too: the engine knows the few that look at the graph, and a table
//! of rows answers for itself, which is how tests bring their own.

use std::sync::Arc;

use crate::plan::Type;
use crate::value::Value;

/// A procedure.
#[derive(Clone, Debug, PartialEq)]
pub struct Procedure {
    /// As it is called, with its dots.
    pub name: String,
    /// Names and types of what it takes, in order.
    pub inputs: Vec<(String, Type)>,
    /// Names and types of what it gives, in order.
    pub outputs: Vec<(String, Type)>,
    /// What it does.
    pub body: ProcedureBody,
}

/// What a procedure does.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcedureBody {
    /// The labels that nodes have, or could have.
    Labels,
    /// The types that relationships have, or could have.
    RelationshipTypes,
    /// The names of properties that nodes and relationships have, or could have.
    PropertyKeys,
    /// The rows whose first values, one per input, equal the arguments; null equals null here.
    Table(Arc<[Vec<Value>]>),
}

/// The procedures that a statement may call.
#[derive(Clone, Debug)]
pub struct Procedures(Vec<Procedure>);

impl Default for Procedures {
    /// Those that every graph has.
    fn default() -> Self {
        let listing = |name: &str, output: &str, body| Procedure {
            name: name.to_owned(),
            inputs: Vec::new(),
            outputs: vec![(output.to_owned(), Type::String)],
            body,
        };
        Self(vec![
            listing("db.labels", "label", ProcedureBody::Labels),
            listing(
                "db.relationshipTypes",
                "relationshipType",
                ProcedureBody::RelationshipTypes,
            ),
            listing(
                "db.propertyKeys",
                "propertyKey",
                ProcedureBody::PropertyKeys,
            ),
        ])
    }
}

impl Procedures {
    /// Adds one, over any of the same name.
    pub fn add(&mut self, procedure: Procedure) {
        self.0.retain(|known| known.name != procedure.name);
        self.0.push(procedure);
    }

    /// The procedure of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Procedure> {
        self.0
            .iter()
            .find(|known| known.name.eq_ignore_ascii_case(name))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Procedure> {
        self.0.iter()
    }
}
