//! `MERGE` in an open graph: a whole pattern, found as it is or made as a whole.

use open_cypher::ast::{ExprKind as SyntaxKind, MergeClause};

use crate::diagnostic::Code;
use crate::plan::{
    BinaryOperator, Clause, Create, Direction, Expr, Match, Merge, MergePattern, MergeTarget,
    NewEdge, NewElement, NewNode, NewPath, Slot,
};
use crate::schema::OpenTypes;

use super::compiler::{Checked, Compiler};
use super::layout::{Layout, Place};
use super::operator::balanced;
use super::parse::span;
use super::sketch::{Chain, direction};

impl Compiler<'_> {
    /// Checks a `MERGE`: the pattern to find, and the same pattern to make.
    pub(super) fn merge_pattern(&mut self, clause: &MergeClause) -> Checked<Vec<Clause>> {
        let Some(open) = self.open else {
            return self.unsupported(span(clause.pattern.span), "MERGE of a pattern");
        };
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
        let mut create = self.made(open, &chain, &layout)?;
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

    fn made(&mut self, open: OpenTypes, chain: &Chain<'_>, layout: &Layout<'_>) -> Checked<Create> {
        let mut elements = Vec::new();
        let Some(path) = layout.paths.first() else {
            return Ok(Create {
                elements,
                paths: Vec::new(),
            });
        };
        for ((node, _), place) in chain.nodes.iter().zip(&path.nodes) {
            if place.bound {
                continue;
            }
            self.no_condition(node.where_clause.as_deref())?;
            let labels = self.label_list(node.labels.as_ref())?;
            let properties = node.properties.as_deref();
            let given = self.open_given((open.labels, labels), open.node_properties, properties)?;
            self.write_whole(&[open.node].into());
            elements.push(NewElement::Node(NewNode {
                slot: place.slot,
                type_id: open.node,
                properties: given.properties,
                map: None,
            }));
        }
        for (index, ((edge, at), place)) in chain.edges.iter().zip(&path.edges).enumerate() {
            self.no_condition(edge.where_clause.as_deref())?;
            if let Some(quantifier) = &edge.legacy_quantifier {
                let message = "a new relationship has no length";
                return self.fail(Code::InvalidValue, span(quantifier.span), message);
            }
            let name = self.open_edge_name(edge, *at)?;
            let properties = edge.properties.as_deref();
            let given = self.open_given((open.name, name), open.edge_properties, properties)?;
            self.write_whole(&[open.edge].into());
            let ends = (slot_at(&path.nodes, index), slot_at(&path.nodes, index + 1));
            // Without a direction it is made from left to right.
            let (source, target) = match direction(edge) {
                Direction::Incoming => (ends.1, ends.0),
                Direction::Outgoing | Direction::Either => ends,
            };
            elements.push(NewElement::Edge(NewEdge {
                slot: place.slot,
                type_id: open.edge,
                source,
                target,
                properties: given.properties,
                map: None,
            }));
        }
        Ok(Create {
            elements,
            paths: Vec::new(),
        })
    }

    /// The values that take part in finding.
    fn required(&mut self, chain: &Chain<'_>) -> Checked<Vec<(String, Expr)>> {
        let nodes = chain
            .nodes
            .iter()
            .map(|(node, _)| node.properties.as_deref());
        let edges = chain
            .edges
            .iter()
            .map(|(edge, _)| edge.properties.as_deref());
        let maps: Vec<_> = nodes.chain(edges).flatten().collect();
        let mut required = Vec::new();
        for map in maps {
            let SyntaxKind::Map(entries) = &map.kind else {
                let message = "a parameter cannot stand for all the properties that MERGE finds by";
                return self.fail(Code::InvalidValue, span(map.span), message);
            };
            for (key, value) in self.entries(entries)? {
                required.push((key.kind.text.clone(), value));
            }
        }
        Ok(required)
    }
}

fn slot_at(nodes: &[Place<'_>], index: usize) -> Slot {
    nodes.get(index).map_or(Slot(0), |place| place.slot)
}
