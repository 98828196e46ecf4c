//! `MERGE` of a whole pattern, found as it is or made as a whole.

use std::collections::BTreeSet;

use open_cypher::ast::{
    ExprKind as SyntaxKind, LabelExpression, MergeClause, Name, NodePattern, RelationshipPattern,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{
    BinaryOperator, Clause, Create, Direction, Match, Merge, MergePattern, MergeTarget, NewEdge,
    NewElement, NewNode, NewPath, Required, Slot,
};

use super::compiler::{Checked, Compiler};
use super::create::End;
use super::layout::Layout;
use super::operator::balanced;
use super::parse::span;
use super::sketch::{Chain, direction};

impl Compiler<'_> {
    /// Checks a `MERGE`: the pattern to find, and the same pattern to make.
    pub(super) fn merge_pattern(&mut self, clause: &MergeClause) -> Checked<Vec<Clause>> {
        let chain = self.chain(&clause.pattern)?;
        if chain.shortest.is_some() {
            let message = "shortestPath cannot be merged";
            return self.fail(Code::Syntax, span(clause.pattern.span), message);
        }
        if chain.edges.is_empty() {
            for (node, _) in &chain.nodes {
                self.bound_end(node, true)?;
            }
        }
        for (node, _) in &chain.nodes {
            self.bound_end(node, false)?;
        }
        for (edge, _) in &chain.edges {
            if let Some(name) = edge
                .variable
                .as_ref()
                .filter(|name| self.scope.get(&name.kind.text).is_some())
            {
                let message = format!(
                    "`{}` is bound already: it cannot be made anew",
                    name.kind.text
                );
                return self.fail(Code::DuplicateName, span(name.span), message);
            }
        }
        // What is made is computed before the new names can be seen.
        let mut layout = self.new_layout();
        self.lay_out(&mut layout, &clause.pattern)?;
        self.narrow(&mut layout, span(clause.pattern.span))?;
        let mut create = self.made(&chain, &layout)?;
        let required = self.required(&chain)?;
        self.bind(&layout, false);
        self.touch_patterns(&layout);
        let mut conditions = Vec::new();
        let paths = self.paths(&layout, &mut conditions)?;
        for path in &paths {
            let (Some(slot), steps) = (path.binding, &path.steps) else {
                continue;
            };
            let rest = steps
                .iter()
                .flat_map(|step| [step.edge.slot, step.node.slot]);
            let elements: Vec<Slot> = std::iter::once(path.start.slot).chain(rest).collect();
            create.paths.push(NewPath { slot, elements });
        }
        let filter = balanced(BinaryOperator::And, conditions);
        let matching = Match {
            optional: false,
            paths,
            filter,
        };
        let (on_create, on_match) = self.actions(clause)?;
        let pattern = MergePattern {
            matching,
            create,
            required,
        };
        let target = MergeTarget::Pattern(Box::new(pattern));
        Ok(vec![Clause::Merge(Merge {
            target,
            on_create,
            on_match,
        })])
    }

    fn made(&mut self, chain: &Chain<'_>, layout: &Layout<'_>) -> Checked<Create> {
        let mut elements = Vec::new();
        let Some(path) = layout.paths.first() else {
            return Ok(Create {
                elements,
                paths: Vec::new(),
            });
        };
        let mut ends = Vec::new();
        for ((node, at), place) in chain.nodes.iter().zip(&path.nodes) {
            let types = if place.bound {
                let bound = layout.vertices.get(place.index);
                bound.map_or_else(BTreeSet::new, |vertex| vertex.types.clone())
            } else {
                let node = self.made_node(node, *at, place.slot, layout.first_slot)?;
                let types = BTreeSet::from([node.type_id]);
                elements.push(NewElement::Node(node));
                types
            };
            ends.push(End {
                slot: place.slot,
                types: Some(types),
            });
        }
        for ((edge, at), (place, ends)) in chain
            .edges
            .iter()
            .zip(path.edges.iter().zip(ends.windows(2)))
        {
            let [left, right] = ends else { continue };
            let slots = (place.slot, layout.first_slot);
            let edge = self.made_edge(edge, *at, slots, (left, right))?;
            elements.push(NewElement::Edge(edge));
        }
        Ok(Create {
            elements,
            paths: Vec::new(),
        })
    }

    fn made_node(
        &mut self,
        node: &NodePattern,
        place: Span,
        slot: Slot,
        first: Slot,
    ) -> Checked<NewNode> {
        self.no_condition(node.where_clause.as_deref())?;
        let properties = node.properties.as_deref();
        let (type_id, given) = match self.open {
            Some(open) => {
                let labels = self.label_list(node.labels.as_ref())?;
                let given =
                    self.open_given((open.labels, labels), open.node_properties, properties)?;
                self.write_whole(&[open.node].into());
                (open.node, given)
            }
            None => {
                let type_id = self.new_type(node.labels.as_ref(), place)?;
                (type_id, self.given(type_id, properties, first)?)
            }
        };
        self.write_new(type_id);
        Ok(NewNode {
            slot,
            type_id,
            properties: given.properties,
            map: None,
            span: place,
        })
    }

    fn made_edge(
        &mut self,
        edge: &RelationshipPattern,
        place: Span,
        (slot, first): (Slot, Slot),
        (left, right): (&End, &End),
    ) -> Checked<NewEdge> {
        self.no_condition(edge.where_clause.as_deref())?;
        self.no_length(edge)?;
        // Without a direction it is made from left to right, where that is possible.
        let (mut source, mut target) = match direction(edge) {
            Direction::Incoming => (right, left),
            Direction::Outgoing | Direction::Either => (left, right),
        };
        let properties = edge.properties.as_deref();
        let (type_id, given) = match self.open {
            Some(open) => {
                let name = self.open_edge_name(edge, place)?;
                let given = self.open_given((open.name, name), open.edge_properties, properties)?;
                self.write_whole(&[open.edge].into());
                (open.edge, given)
            }
            None => {
                let labels = edge.labels.as_ref();
                let mut found = self.new_edge_type(labels, place, source, target);
                if found.is_err() && direction(edge) == Direction::Either {
                    (source, target) = (target, source);
                    found = self.new_edge_type(labels, place, source, target);
                }
                let type_id = found?.id;
                (type_id, self.given(type_id, properties, first)?)
            }
        };
        self.write_new(type_id);
        Ok(NewEdge {
            slot,
            type_id,
            source: source.slot,
            target: target.slot,
            properties: given.properties,
            map: None,
            span: place,
        })
    }

    /// The values that take part in finding.
    fn required(&mut self, chain: &Chain<'_>) -> Checked<Vec<Required>> {
        let nodes = chain.nodes.iter().map(|(node, _)| {
            let of = self.called(node.labels.as_ref(), node.variable.as_ref(), "a node");
            (of, node.properties.as_deref())
        });
        let edges = chain.edges.iter().map(|(edge, _)| {
            let of = self.called(
                edge.labels.as_ref(),
                edge.variable.as_ref(),
                "a relationship",
            );
            (of, edge.properties.as_deref())
        });
        let maps: Vec<_> = nodes.chain(edges).collect();
        let mut required = Vec::new();
        for (of, map) in maps {
            let Some(map) = map else { continue };
            let SyntaxKind::Map(entries) = &map.kind else {
                let message = "a parameter cannot stand for all the properties that MERGE finds by";
                return self.fail(Code::InvalidValue, span(map.span), message);
            };
            for (key, value) in self.entries(entries)? {
                required.push(Required {
                    of: of.clone(),
                    name: key.kind.text.clone(),
                    value,
                });
            }
        }
        Ok(required)
    }

    /// An element of a pattern, as a message names it.
    fn called(
        &self,
        labels: Option<&LabelExpression>,
        name: Option<&Name>,
        otherwise: &str,
    ) -> String {
        match (labels, name) {
            (Some(labels), _) => format!(
                "`{}`",
                self.source(span(labels.span)).trim_start_matches(':')
            ),
            (None, Some(name)) => format!("`{}`", name.kind.text),
            (None, None) => otherwise.to_owned(),
        }
    }
}
