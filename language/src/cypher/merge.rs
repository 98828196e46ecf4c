//! `MERGE`: a node by its whole key, a relationship between two bound nodes, or a pattern that
//! falls apart into these.
//!
//! With keys the parts of a pattern are found or made one by one: a node that is there cannot be
//! made again, whatever its relationships.

use open_cypher::ast::{MergeClause, MergeTrigger, NodePattern, RelationshipPattern};

use crate::diagnostic::{Code, Span};
use crate::plan::{Clause, Direction, Merge, MergeTarget, SetItem};

use super::compiler::{Checked, Compiler};
use super::create::End;
use super::parse::span;
use super::sketch::direction;

impl Compiler<'_> {
    /// Checks a `MERGE`: one clause for each node that is not bound and for each relationship.
    pub(super) fn merge(&mut self, clause: &MergeClause) -> Checked<Vec<Clause>> {
        if self.open.is_some() {
            return self.merge_pattern(clause);
        }
        let chain = self.chain(&clause.pattern)?;
        if let Some(name) = &clause.pattern.kind.binding {
            return self.unsupported(span(name.span), "a path variable in MERGE");
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
        Ok(merges.into_iter().map(Clause::Merge).collect())
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
        if node.labels.is_none() {
            return self.unsupported(place, "MERGE of a node without a type");
        }
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
        let Some(node_type) = self.schema.node_type(made.type_id) else {
            return self.unsupported(place, "MERGE of this node");
        };
        if node_type.key.is_empty() {
            let message = format!(
                "MERGE finds nodes by their key only, and {} has none",
                node_type.name
            );
            return self.fail(Code::Unsupported, place, message);
        }
        let given = |key: &crate::schema::PropertyId| {
            made.properties.iter().any(|(given, _)| *given == *key)
        };
        if let Some(missing) = node_type.key.iter().find(|key| !given(key)) {
            let name = node_type
                .properties
                .iter()
                .find(|property| property.id == *missing);
            let name = name.map_or("", |property| property.name.as_str());
            let message = format!(
                "MERGE finds nodes by their key only: the key `{name}` of {} is not given",
                node_type.name
            );
            return self.fail(Code::Unsupported, place, message);
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
        if direction(edge) == Direction::Either {
            return self.unsupported(place, "MERGE of a relationship without a direction");
        }
        let first = self.next_slot();
        let made = self.new_edge(edge, place, left, right, first)?;
        if let Some(map) = &made.map {
            return self.unsupported(map.span, "MERGE with a map that is only known when it runs");
        }
        self.read_given(made.type_id, &made.properties)?;
        Ok(MergeTarget::Edge(made))
    }
}
