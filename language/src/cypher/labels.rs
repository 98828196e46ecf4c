//! Label expressions -> sets of types.
//!
//! A node has the label of its type and those of its type's interfaces; a relationship has the
//! name of its type. `:A|B`, `:A&B`, `!A` and `%` are then plain set operations.

use std::collections::BTreeSet;

use open_cypher::ast::{LabelExpression, LabelExpressionKind, Name};

use crate::diagnostic::Code;
use crate::schema::TypeId;

use super::compiler::{Checked, Compiler};
use super::parse::span;

/// What kind of element a label expression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Node,
    Edge,
    /// Not known before the statement runs.
    Either,
}

impl Compiler<'_> {
    /// Every type of this kind of element.
    pub(super) fn all_types(&self, element: Element) -> BTreeSet<TypeId> {
        self.spend(self.schema.node_types.len() + self.schema.edge_types.len());
        let nodes = self.schema.node_types.iter().map(|node_type| node_type.id);
        let edges = self.schema.edge_types.iter().map(|edge_type| edge_type.id);
        match element {
            Element::Node => nodes.collect(),
            Element::Edge => edges.collect(),
            Element::Either => nodes.chain(edges).collect(),
        }
    }

    /// The types that satisfy a label expression; every type when there is none.
    pub(super) fn labelled(
        &mut self,
        labels: Option<&LabelExpression>,
        element: Element,
    ) -> Checked<BTreeSet<TypeId>> {
        match labels {
            // In an open graph a condition, made where the element is known.
            Some(_) if self.open.is_some() => Ok(self.all_types(element)),
            Some(labels) => self.satisfying(labels, element),
            None => Ok(self.all_types(element)),
        }
    }

    /// The types that satisfy a label expression.
    pub(super) fn satisfying(
        &mut self,
        labels: &LabelExpression,
        element: Element,
    ) -> Checked<BTreeSet<TypeId>> {
        let place = span(labels.span);
        self.check_effort(place)?;
        match &labels.kind {
            LabelExpressionKind::Name(name) => self.named_types(name, element),
            LabelExpressionKind::Wildcard => Ok(self.all_types(element)),
            LabelExpressionKind::Parenthesized(inner) => {
                self.deeper(place, |compiler| compiler.satisfying(inner, element))
            }
            LabelExpressionKind::Not(inner) => {
                let without = self.deeper(place, |compiler| compiler.satisfying(inner, element))?;
                Ok(&self.all_types(element) - &without)
            }
            LabelExpressionKind::And(parts) => self.combined(parts, labels, element, |a, b| a & b),
            LabelExpressionKind::Or(parts) => self.combined(parts, labels, element, |a, b| a | b),
            _ => self.fail(Code::Syntax, place, "this is not a label"),
        }
    }

    fn combined(
        &mut self,
        parts: &[LabelExpression],
        whole: &LabelExpression,
        element: Element,
        combine: impl Fn(&BTreeSet<TypeId>, &BTreeSet<TypeId>) -> BTreeSet<TypeId>,
    ) -> Checked<BTreeSet<TypeId>> {
        let sets = self.deeper(span(whole.span), |compiler| {
            super::compiler::all(parts.iter().map(|part| compiler.satisfying(part, element)))
        })?;
        Ok(sets
            .into_iter()
            .reduce(|a, b| combine(&a, &b))
            .unwrap_or_default())
    }

    fn named_types(&self, name: &Name, element: Element) -> Checked<BTreeSet<TypeId>> {
        // Names are compared, and few types have them: that is a small part of the work with all.
        self.spend((self.schema.node_types.len() + self.schema.edge_types.len()) / 8);
        let label = name.kind.text.as_str();
        let nodes = self
            .schema
            .node_types
            .iter()
            .filter(|node_type| node_type.labels().any(|own| own == label))
            .map(|node_type| node_type.id);
        let edges = self
            .schema
            .edge_types
            .iter()
            .filter(|edge_type| edge_type.name == label)
            .map(|edge_type| edge_type.id);
        let (nodes, edges): (BTreeSet<_>, BTreeSet<_>) = (nodes.collect(), edges.collect());
        let (found, other, kind) = match element {
            Element::Node => (nodes, edges, "node"),
            Element::Edge => (edges, nodes, "edge"),
            Element::Either => (&nodes | &edges, BTreeSet::new(), "node or edge"),
        };
        // An interface that no type implements is a label that no node has.
        let known = element != Element::Edge && self.schema.interface_named(label).is_some();
        if known || !found.is_empty() {
            return Ok(found);
        }
        let message = if other.is_empty() {
            format!("there is no {kind} type `{label}`")
        } else if element == Element::Node {
            format!("`{label}` is an edge type: write -[:{label}]->")
        } else {
            format!("`{label}` is a node type: write (:{label})")
        };
        let finding = self.finding(Code::UnknownType, span(name.span), message);
        Err(vec![finding.suggest(label, self.labels(element))])
    }

    /// Every label that an element of this kind may have.
    fn labels(&self, element: Element) -> Vec<&str> {
        let interfaces = self
            .schema
            .interfaces
            .iter()
            .map(|interface| interface.name.as_str());
        let nodes = self
            .schema
            .node_types
            .iter()
            .map(|node_type| node_type.name.as_str());
        let nodes = nodes.chain(interfaces);
        let edges = self
            .schema
            .edge_types
            .iter()
            .map(|edge_type| edge_type.name.as_str());
        match element {
            Element::Node => nodes.collect(),
            Element::Edge => edges.collect(),
            Element::Either => nodes.chain(edges).collect(),
        }
    }

    /// The names of some types, for messages: `Person, Org or Place`.
    pub(super) fn type_names(&self, types: &BTreeSet<TypeId>) -> String {
        const MAX_NAMED: usize = 4;
        let nodes = &self.schema.node_types;
        if nodes.len() > 1 && nodes.iter().all(|node_type| types.contains(&node_type.id)) {
            return "anything".to_owned();
        }
        let names: Vec<&str> = types
            .iter()
            .filter_map(|id| self.schema.type_name(*id))
            .collect();
        match names.as_slice() {
            [] => "nothing".to_owned(),
            [only] => (*only).to_owned(),
            names if names.len() > MAX_NAMED => format!("any of {} types", names.len()),
            [head @ .., last] => format!("{} or {last}", head.join(", ")),
        }
    }
}
