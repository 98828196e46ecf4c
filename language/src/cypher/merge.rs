//! `MERGE` in a closed graph: a node by its whole key, a relationship between two bound nodes, or a pattern
//! that falls apart into these; any other pattern as a whole ([`super::open_merge`]).
//!
//! With keys the parts of a pattern are found or made one by one: a node that is there cannot be
//! made again, whatever its relationships.

use open_cypher::ast::{
    ExprKind as SyntaxKind, Identifier, MergeClause, MergeTrigger, Name, NodePattern,
    PathFactorKind, RelationshipPattern,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{Clause, Create, Direction, Merge, MergeTarget, NewPath, SetItem, Slot, Type};

use super::compiler::{Checked, Compiler};
use super::create::{End, plain_names};
use super::parse::span;
use super::sketch::direction;

impl Compiler<'_> {
    /// Checks a `MERGE`: one clause for each node that is not bound and for each relationship.
    pub(super) fn merge(&mut self, clause: &MergeClause) -> Checked<Vec<Clause>> {
        if self.open.is_some() {
            return self.merge_pattern(clause);
        }
        let chain = self.chain(&clause.pattern)?;
        let by_parts = chain
            .nodes
            .iter()
            .all(|(node, _)| self.is_bound(node) || self.gives_key(node))
            && chain
                .edges
                .iter()
                .all(|(edge, _)| direction(edge) != Direction::Either);
        if !by_parts {
            return self.merge_whole(clause);
        }
        if chain.shortest.is_some() {
            return self.fail(
                Code::Syntax,
                span(clause.pattern.span),
                "shortestPath cannot be merged",
            );
        }
        let mut targets = Vec::new();
        let mut ends = Vec::new();
        for (node, place) in &chain.nodes {
            let end = match self.bound_end(node, chain.edges.is_empty())? {
                Some(end) => end,
                None => self.merge_node(node, *place, &mut targets)?,
            };
            ends.push(end);
        }
        for (index, (edge, place)) in chain.edges.iter().enumerate() {
            let target = self.merge_edge(edge, *place, &ends[index], &ends[index + 1])?;
            targets.push(target);
        }
        let path = self.merged_path(clause, &ends, &targets)?;
        if targets.len() > 1
            && let Some(action) = clause.actions.first()
        {
            let what =
                "ON CREATE or ON MATCH on a pattern of several parts (MERGE them one by one)";
            return self.unsupported(span(action.span), what);
        }
        let (on_create, on_match) = self.actions(clause)?;
        let mut merges: Vec<Merge> = targets
            .into_iter()
            .map(|target| Merge {
                target,
                on_create: Vec::new(),
                on_match: Vec::new(),
            })
            .collect();
        if let Some(last) = merges.last_mut() {
            last.on_create = on_create;
            last.on_match = on_match;
        }
        Ok(merges.into_iter().map(Clause::Merge).chain(path).collect())
    }

    /// What binds the path that was merged part by part.
    fn merged_path(
        &mut self,
        clause: &MergeClause,
        ends: &[End],
        targets: &[MergeTarget],
    ) -> Checked<Option<Clause>> {
        let Some(name) = &clause.pattern.kind.binding else {
            return Ok(None);
        };
        let edges = targets.iter().filter_map(|target| match target {
            MergeTarget::Edge(edge) => Some(edge),
            _ => None,
        });
        self.path_types
            .extend(edges.clone().map(|edge| edge.type_id));
        let types = ends.iter().flat_map(|end| end.types.iter().flatten());
        self.path_types.extend(types.copied());
        let slot = self.bind_new(name, Type::Path)?;
        let mut elements: Vec<Slot> = ends.iter().map(|end| end.slot).take(1).collect();
        for (edge, end) in edges.zip(ends.iter().skip(1)) {
            elements.extend([edge.slot, end.slot]);
        }
        Ok(Some(Clause::Create(Create {
            elements: Vec::new(),
            paths: vec![NewPath { slot, elements }],
        })))
    }

    /// A pattern that does not fall apart: what has a key is found or made by it, and the rest is found
    /// or made as a whole.
    fn merge_whole(&mut self, clause: &MergeClause) -> Checked<Vec<Clause>> {
        let mut clause = clause.clone();
        let factors = &mut clause.pattern.kind.path.kind.factors;
        let mut targets = Vec::new();
        let mut hidden = Vec::new();
        let is_pattern = factors.len() > 1;
        for factor in factors.iter_mut().filter(|_| is_pattern) {
            let place = span(factor.span);
            let PathFactorKind::Node(node) = &mut factor.kind else {
                continue;
            };
            if self.is_bound(node) || !self.gives_key(node) {
                continue;
            }
            if node.variable.is_none() {
                // No text can name it.
                let name = Identifier::new(format!("\u{0}{}", place.start), true);
                hidden.push(name.text.clone());
                node.variable = Some(Name::new(name, factor.span));
            }
            self.merge_node(node, place, &mut targets)?;
            (node.labels, node.properties, node.where_clause) = (None, None, None);
        }
        let parts = targets.into_iter().map(|target| {
            Clause::Merge(Merge {
                target,
                on_create: Vec::new(),
                on_match: Vec::new(),
            })
        });
        let mut clauses: Vec<Clause> = parts.collect();
        clauses.extend(self.merge_pattern(&clause)?);
        for name in hidden {
            if let Some(variable) = self.scope.remove(&name) {
                self.names.remove(&variable.slot);
            }
        }
        Ok(clauses)
    }

    fn is_bound(&self, node: &NodePattern) -> bool {
        let name = node.variable.as_ref();
        name.is_some_and(|name| self.scope.get(&name.kind.text).is_some())
    }

    /// Whether a node of a pattern names the whole key of its type.
    fn gives_key(&self, node: &NodePattern) -> bool {
        let labels = node
            .labels
            .as_ref()
            .and_then(plain_names)
            .unwrap_or_default();
        let mut types = labels
            .iter()
            .filter_map(|name| self.schema.node_type_named(&name.kind.text));
        let (Some(node_type), Some(SyntaxKind::Map(entries))) = (
            types.next(),
            node.properties.as_deref().map(|map| &map.kind),
        ) else {
            return false;
        };
        let mut key = node_type
            .properties
            .iter()
            .filter(|property| node_type.key.contains(&property.id));
        let given = |name: &str| entries.iter().any(|entry| entry.key.kind.text == name);
        !node_type.key.is_empty() && key.all(|property| given(&property.name))
    }

    /// What is assigned when it was made, and when it was there.
    pub(super) fn actions(
        &mut self,
        clause: &MergeClause,
    ) -> Checked<(Vec<SetItem>, Vec<SetItem>)> {
        let (mut on_create, mut on_match): (Vec<SetItem>, Vec<SetItem>) = (Vec::new(), Vec::new());
        for action in &clause.actions {
            let items = self.assignments(&action.set.items)?;
            match action.trigger.kind {
                MergeTrigger::Create => on_create.extend(items),
                MergeTrigger::Match => on_match.extend(items),
                _ => return self.unsupported(span(action.span), "this trigger"),
            }
        }
        Ok((on_create, on_match))
    }

    fn merge_node(
        &mut self,
        node: &NodePattern,
        place: Span,
        targets: &mut Vec<MergeTarget>,
    ) -> Checked<End> {
        let first = self.next_slot();
        let made = self.merged_node(node, place, first)?;
        let end = End {
            slot: made.slot,
            types: Some([made.type_id].into()),
        };
        targets.push(MergeTarget::Node(made));
        Ok(end)
    }

    /// A node whose whole key is given, so that it is found through the key.
    fn merged_node(
        &mut self,
        node: &NodePattern,
        place: Span,
        first: crate::plan::Slot,
    ) -> Checked<crate::plan::NewNode> {
        let made = self.new_node(node, place, first)?;
        if let Some(map) = &made.map {
            return self.unsupported(map.span, "MERGE with a map that is only known when it runs");
        }
        self.read_given(made.type_id, &made.properties)?;
        Ok(made)
    }

    fn merge_edge(
        &mut self,
        edge: &RelationshipPattern,
        place: Span,
        left: &End,
        right: &End,
    ) -> Checked<MergeTarget> {
        let first = self.next_slot();
        let made = self.new_edge(edge, place, left, right, first)?;
        if let Some(map) = &made.map {
            return self.unsupported(map.span, "MERGE with a map that is only known when it runs");
        }
        self.read_given(made.type_id, &made.properties)?;
        Ok(MergeTarget::Edge(made))
    }
}
