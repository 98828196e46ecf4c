//! Laying out the patterns of a `MATCH`: every node once, however often its name stands, and every
//! relationship between two of them. No types are narrowed here and no conditions checked.
//!
//! `(a)-->(b), (b)-->(a)` has two vertices and two links.

use std::collections::{BTreeMap, BTreeSet};

use open_cypher::ast::{
    Expr as Syntax, ExprKind as SyntaxKind, LabelExpression, Name, NodePattern, PatternPart,
    RelationshipPattern,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{Length, Shortest, Slot, Type};
use crate::schema::TypeId;

use super::compiler::{Checked, Compiler, all};
use super::labels::Element;
use super::narrow::{Link, Vertex};
use super::parse::span;
use super::sketch::direction;
use super::types;

/// The patterns of one clause while they are laid out.
pub(super) struct Layout<'q> {
    pub(super) vertices: Vec<Vertex>,
    pub(super) links: Vec<Link>,
    pub(super) link_spans: Vec<Span>,
    pub(super) names: BTreeMap<&'q str, Named>,
    pub(super) paths: Vec<Path<'q>>,
    /// Slots from here on are bound by this clause.
    pub(super) first_slot: Slot,
}

/// What a name stands for in this clause.
#[derive(Clone, Copy)]
pub(super) enum Named {
    Node { vertex: usize, slot: Slot },
    Edge { link: usize, slot: Slot },
    Path { slot: Slot },
}

/// A place in a pattern.
pub(super) struct Place<'q> {
    /// Of a vertex or a link.
    pub(super) index: usize,
    pub(super) slot: Slot,
    pub(super) bound: bool,
    pub(super) labels: Option<&'q LabelExpression>,
    pub(super) properties: Option<&'q Syntax>,
    pub(super) condition: Option<&'q Syntax>,
}

/// One path of the clause.
pub(super) struct Path<'q> {
    pub(super) binding: Option<Slot>,
    pub(super) shortest: Option<Shortest>,
    pub(super) nodes: Vec<Place<'q>>,
    pub(super) edges: Vec<Place<'q>>,
}

impl Compiler<'_> {
    /// Adds one pattern part: vertices, links and names.
    pub(super) fn lay_out<'q>(
        &mut self,
        layout: &mut Layout<'q>,
        part: &'q PatternPart,
    ) -> Checked<()> {
        let chain = self.chain(part)?;
        let nodes = all(chain
            .nodes
            .iter()
            .map(|(node, place)| self.node_place(layout, node, *place)))?;
        let mut edges = Vec::new();
        for (index, (edge, place)) in chain.edges.iter().enumerate() {
            let ends = (nodes[index].index, nodes[index + 1].index);
            edges.push(self.edge_place(layout, edge, *place, ends, chain.shortest)?);
        }
        let binding = match &part.kind.binding {
            Some(name) => Some(self.new_name(layout, name, |slot| Named::Path { slot })?),
            None => None,
        };
        layout.paths.push(Path {
            binding,
            shortest: chain.shortest,
            nodes,
            edges,
        });
        Ok(())
    }

    fn node_place<'q>(
        &mut self,
        layout: &mut Layout<'q>,
        node: &'q NodePattern,
        place: Span,
    ) -> Checked<Place<'q>> {
        self.check_effort(place)?;
        let labelled = self.labelled(node.labels.as_ref(), Element::Node)?;
        let (index, slot, bound) = self.vertex(layout, node.variable.as_ref())?;
        let vertex = &mut layout.vertices[index];
        vertex.types = &vertex.types & &labelled;
        vertex.explicit |= node.labels.is_some();
        let properties = node.properties.as_deref();
        if self.keep_having(properties, &mut vertex.types, place)? {
            vertex.explicit = true;
        }
        Ok(Place {
            index,
            slot,
            bound,
            labels: node.labels.as_ref(),
            properties,
            condition: node.where_clause.as_deref(),
        })
    }

    /// The vertex that a name stands for, made when it is new.
    fn vertex<'q>(
        &mut self,
        layout: &mut Layout<'q>,
        name: Option<&'q Name>,
    ) -> Checked<(usize, Slot, bool)> {
        let new = Vertex {
            types: self.all_types(Element::Node),
            explicit: false,
        };
        let index = layout.vertices.len();
        let Some(name) = name else {
            layout.vertices.push(new);
            return Ok((index, self.new_slot(), false));
        };
        let text = name.kind.text.as_str();
        match layout.names.get(text) {
            Some(Named::Node { vertex, slot }) => return Ok((*vertex, *slot, true)),
            Some(_) => return self.twice(name, "a node"),
            None => {}
        }
        let (slot, bound) = match self.scope.get(text).cloned() {
            None => {
                layout.vertices.push(new);
                (self.new_slot(), false)
            }
            Some(variable) => {
                let types = match &variable.value_type {
                    Type::Node(types) => types.clone(),
                    Type::Any => self
                        .hidden
                        .iter()
                        .copied()
                        .filter(|id| self.schema.node_type(*id).is_some())
                        .collect(),
                    Type::Null => BTreeSet::new(),
                    other => return self.bound_otherwise(name, other, "a node"),
                };
                layout.vertices.push(Vertex {
                    types,
                    explicit: true,
                });
                (variable.slot, true)
            }
        };
        layout.names.insert(
            text,
            Named::Node {
                vertex: index,
                slot,
            },
        );
        Ok((index, slot, bound))
    }

    fn edge_place<'q>(
        &mut self,
        layout: &mut Layout<'q>,
        edge: &'q RelationshipPattern,
        place: Span,
        (left, right): (usize, usize),
        shortest: Option<Shortest>,
    ) -> Checked<Place<'q>> {
        let mut types = self.labelled(edge.labels.as_ref(), Element::Edge)?;
        let length = self.length_of(edge, shortest)?;
        let index = layout.links.len();
        let (slot, bound) = match &edge.variable {
            None => (self.new_slot(), false),
            Some(name) => match self.bound_edge(layout, name, length.is_some())? {
                Some((slot, bound_types)) => {
                    types = &types & &bound_types;
                    layout
                        .names
                        .insert(&name.kind.text, Named::Edge { link: index, slot });
                    (slot, true)
                }
                None => (
                    self.new_name(layout, name, |slot| Named::Edge { link: index, slot })?,
                    false,
                ),
            },
        };
        let properties = edge.properties.as_deref();
        let having = self.keep_having(properties, &mut types, place)?;
        let explicit = edge.labels.is_some() || having || bound;
        layout.links.push(Link {
            left,
            right,
            types,
            explicit,
            direction: direction(edge),
            length,
        });
        layout.link_spans.push(place);
        Ok(Place {
            index,
            slot,
            bound,
            labels: edge.labels.as_ref(),
            properties,
            condition: edge.where_clause.as_deref(),
        })
    }

    fn length_of(
        &self,
        edge: &RelationshipPattern,
        shortest: Option<Shortest>,
    ) -> Checked<Option<Length>> {
        let length = self.length(edge.legacy_quantifier.as_ref())?;
        let place = span(edge.direction.span);
        match (shortest, length) {
            (None, length) => Ok(length),
            (Some(_), None) if edge.variable.is_some() => self.unsupported(
                place,
                "a named single relationship in shortestPath (write [r*1..1])",
            ),
            (Some(_), None) => Ok(Some(Length {
                min: 1,
                max: Some(1),
            })),
            (Some(_), Some(Length { min: 2.., .. })) => {
                self.unsupported(place, "a lower bound above 1 in shortestPath")
            }
            (Some(_), length) => Ok(length),
        }
    }

    /// The slot and types of a relationship that an earlier clause bound.
    fn bound_edge(
        &self,
        layout: &Layout<'_>,
        name: &Name,
        list: bool,
    ) -> Checked<Option<(Slot, BTreeSet<TypeId>)>> {
        let text = name.kind.text.as_str();
        if layout.names.contains_key(text) {
            return self.twice(name, "a relationship");
        }
        let Some(variable) = self.scope.get(text) else {
            return Ok(None);
        };
        match &variable.value_type {
            Type::Relationship(types) if !list => Ok(Some((variable.slot, types.clone()))),
            Type::Null => Ok(Some((variable.slot, BTreeSet::new()))),
            Type::Any => {
                let types = self
                    .hidden
                    .iter()
                    .copied()
                    .filter(|id| self.schema.edge_type(*id).is_some());
                Ok(Some((variable.slot, types.collect())))
            }
            Type::List(element) if list => match element.as_ref() {
                Type::Relationship(types) => Ok(Some((variable.slot, types.clone()))),
                Type::Any | Type::Null => {
                    let types = self.all_types(Element::Edge);
                    Ok(Some((variable.slot, types)))
                }
                other => self.bound_otherwise(name, other, "a relationship"),
            },
            other if list => self.bound_otherwise(name, other, "a list of relationships"),
            other => self.bound_otherwise(name, other, "a relationship"),
        }
    }

    fn new_name<'q>(
        &mut self,
        layout: &mut Layout<'q>,
        name: &'q Name,
        named: impl Fn(Slot) -> Named,
    ) -> Checked<Slot> {
        let text = name.kind.text.as_str();
        if layout.names.contains_key(text) || self.scope.get(text).is_some() {
            return self.twice(name, "something new");
        }
        let slot = self.new_slot();
        layout.names.insert(text, named(slot));
        Ok(slot)
    }

    fn twice<T>(&self, name: &Name, what: &str) -> Checked<T> {
        let text = &name.kind.text;
        let message = format!("`{text}` is bound already and cannot stand for {what} here");
        self.fail(Code::DuplicateName, span(name.span), message)
    }

    fn bound_otherwise<T>(&self, name: &Name, value_type: &Type, what: &str) -> Checked<T> {
        let message = format!(
            "`{}` is {}, not {what}",
            name.kind.text,
            types::name(value_type)
        );
        self.fail(Code::TypeMismatch, span(name.span), message)
    }

    /// Leaves only the types that have every property named in `{...}`; whether there are any.
    fn keep_having(
        &self,
        properties: Option<&Syntax>,
        types: &mut BTreeSet<TypeId>,
        place: Span,
    ) -> Checked<bool> {
        let entries = match properties.map(|properties| &properties.kind) {
            None => return Ok(false),
            Some(SyntaxKind::Map(entries)) => entries,
            Some(SyntaxKind::Parameter(_)) => {
                let message = "the properties of a pattern to find are written out: a parameter \
                               cannot stand for all of them";
                return self.fail(Code::InvalidValue, place, message);
            }
            Some(_) => {
                return self.fail(Code::Syntax, place, "the properties of a pattern are a map");
            }
        };
        if self.open.is_some() {
            return Ok(false);
        }
        for entry in entries {
            let name = entry.key.kind.text.as_str();
            let having = self.resolve(types, name, span(entry.key.span))?;
            types.retain(|type_id| having.ids.contains_key(type_id));
        }
        Ok(!entries.is_empty())
    }
}
