//! `MATCH` and `OPTIONAL MATCH`.
//!
//! All patterns of a clause are laid out together (a name that stands twice is one node), their
//! types narrowed, the names bound, and only then the conditions checked: so that what is known of
//! `b` in `(a:Person)-[:WorksAt]->(b)` is known in the `WHERE`.

use std::collections::{BTreeMap, BTreeSet};

use open_cypher::ast::{Expr as Syntax, ExprKind as SyntaxKind, MatchClause, Pattern};

use crate::diagnostic::{Code, Span};
use crate::plan::{
    BinaryOperator, Direction, EdgePattern, Expr, ExprKind, Match, NodePattern, PathPattern,
    PropertyTest, Step, Type,
};
use crate::schema::TypeId;

use super::compiler::{Checked, Compiler, all, both};
use super::layout::{Layout, Named, Path, Place};
use super::narrow::{self, Link};
use super::operator::balanced;
use super::parse::span;
use super::walk;

impl Compiler<'_> {
    /// Checks a `MATCH`.
    pub(super) fn match_clause(&mut self, clause: &MatchClause) -> Checked<Match> {
        if let Some(mode) = &clause.mode {
            return self.unsupported(span(mode.span), "a path mode");
        }
        if let Some(hint) = clause.hints.first() {
            return self.unsupported(span(hint.span), "a planner hint");
        }
        self.match_pattern(
            &clause.pattern,
            clause.where_clause.as_ref(),
            clause.optional,
        )
    }

    /// Checks patterns to find, and the condition on them.
    pub(super) fn match_pattern(
        &mut self,
        pattern: &Pattern,
        filter: Option<&Syntax>,
        optional: bool,
    ) -> Checked<Match> {
        let mut layout = self.new_layout();
        all(pattern
            .parts
            .iter()
            .map(|part| self.lay_out(&mut layout, part)))?;
        self.no_new_names(layout.names.keys().copied(), span(pattern.span))?;
        self.narrow(&mut layout, span(pattern.span))?;
        self.bind(&layout, optional);
        self.touch_patterns(&layout);
        let mut conditions = Vec::new();
        let paths = self.paths(&layout, &mut conditions);
        let filter = filter.map(|filter| self.condition(filter)).transpose();
        let (paths, filter) = both(paths, filter)?;
        conditions.extend(filter);
        let filter = balanced(BinaryOperator::And, conditions);
        Ok(Match {
            optional,
            paths,
            filter,
        })
    }

    /// Leaves the types that can be at each place.
    pub(super) fn narrow(&self, layout: &mut Layout<'_>, place: Span) -> Checked<()> {
        let mut spend = |types| self.spend(types);
        let (vertices, links) = (&mut layout.vertices, &mut layout.links);
        let narrowed = narrow::narrow(self.schema, vertices, links, &mut spend);
        self.check_effort(place)?;
        // In an open graph nothing but an empty interval is impossible, and that is no mistake.
        match narrowed {
            Err(index) if self.open.is_none() => Err(vec![self.wrong_direction(layout, index)]),
            _ => Ok(()),
        }
    }

    pub(super) fn new_layout<'q>(&self) -> Layout<'q> {
        Layout {
            vertices: Vec::new(),
            links: Vec::new(),
            link_spans: Vec::new(),
            names: BTreeMap::new(),
            paths: Vec::new(),
            first_slot: self.next_slot(),
        }
    }

    /// The paths of a layout; what cannot be tested on the way goes to `conditions`.
    pub(super) fn paths(
        &mut self,
        layout: &Layout<'_>,
        conditions: &mut Vec<Expr>,
    ) -> Checked<Vec<PathPattern>> {
        all(layout
            .paths
            .iter()
            .map(|path| self.path(layout, path, conditions)))
    }

    /// Puts the names of the clause into scope. An optional match leaves what was bound before.
    pub(super) fn bind(&mut self, layout: &Layout<'_>, optional: bool) {
        for (name, named) in &layout.names {
            let known = self.scope.get(name).is_some();
            if known && optional {
                continue;
            }
            let (slot, value_type) = match *named {
                Named::Node { vertex, slot } => {
                    (slot, Type::Node(layout.vertices[vertex].types.clone()))
                }
                Named::Edge { link, slot } => {
                    let link = &layout.links[link];
                    let one = Type::Relationship(link.types.clone());
                    (
                        slot,
                        if link.length.is_some() {
                            Type::List(Box::new(one))
                        } else {
                            one
                        },
                    )
                }
                Named::Path { slot } => (slot, Type::Path),
            };
            self.declare(name, slot, value_type);
        }
    }

    pub(super) fn touch_patterns(&mut self, layout: &Layout<'_>) {
        for path in &layout.paths {
            let mut on_path = BTreeSet::new();
            for node in &path.nodes {
                on_path.extend(&layout.vertices[node.index].types);
            }
            for edge in &path.edges {
                let link = &layout.links[edge.index];
                on_path.extend(&link.types);
                if link.length.is_some() {
                    on_path.extend(narrow::visited(self.schema, &link.types));
                }
            }
            self.read_types(&on_path);
            if path.binding.is_some() {
                self.path_types.extend(on_path);
            }
        }
    }

    fn path(
        &mut self,
        layout: &Layout<'_>,
        path: &Path<'_>,
        conditions: &mut Vec<Expr>,
    ) -> Checked<PathPattern> {
        let nodes = all(path.nodes.iter().map(|place| {
            let types = layout.vertices[place.index].types.clone();
            let value_type = Type::Node(types.clone());
            if let (Some(labels), true) = (place.labels, self.open.is_some()) {
                let element = Expr {
                    kind: ExprKind::Variable(place.slot),
                    value_type: value_type.clone(),
                    span: span(labels.span),
                };
                conditions.push(super::open::label_test(self, &element, labels)?);
            }
            let properties = self.tests(layout, place, &value_type, conditions)?;
            Ok(NodePattern {
                slot: place.slot,
                bound: place.bound,
                types,
                properties,
            })
        }));
        let edges = all(path.edges.iter().map(|place| {
            let link = &layout.links[place.index];
            let value_type = Type::Relationship(link.types.clone());
            if link.length.is_some() {
                self.no_moving_parts(layout, place)?;
            }
            let properties = self.tests(layout, place, &value_type, conditions)?;
            Ok(EdgePattern {
                slot: place.slot,
                bound: place.bound,
                types: link.types.clone(),
                direction: link.direction,
                length: link.length,
                names: self.names_of(place, link.length.is_some(), conditions)?,
                properties,
            })
        }));
        let (nodes, edges) = both(nodes, edges)?;
        let mut nodes = nodes.into_iter();
        let Some(start) = nodes.next() else {
            return self.fail(
                Code::Syntax,
                Span::default(),
                "a pattern begins with a node",
            );
        };
        let steps = edges
            .into_iter()
            .zip(nodes)
            .map(|(edge, node)| Step { edge, node })
            .collect();
        Ok(PathPattern {
            binding: path.binding,
            shortest: path.shortest,
            start,
            steps,
        })
    }

    /// The types of a relationship of an open graph, by name; what is no plain choice of names
    /// becomes a condition.
    fn names_of(
        &mut self,
        place: &Place<'_>,
        variable_length: bool,
        conditions: &mut Vec<Expr>,
    ) -> Checked<Vec<String>> {
        let Some((labels, open)) = place.labels.zip(self.open) else {
            return Ok(Vec::new());
        };
        if let Some(names) = super::open::choice(labels) {
            return Ok(names);
        }
        if variable_length {
            return self.unsupported(
                span(labels.span),
                "anything but a choice of types on a variable-length relationship",
            );
        }
        let element = Expr {
            kind: ExprKind::Variable(place.slot),
            value_type: Type::Relationship([open.edge].into()),
            span: span(labels.span),
        };
        conditions.push(super::open::label_test(self, &element, labels)?);
        Ok(Vec::new())
    }

    /// On a relationship of variable length each one is tested while it is walked, so a condition
    /// cannot wait until everything is bound.
    fn no_moving_parts(&mut self, layout: &Layout<'_>, place: &Place<'_>) -> Checked<()> {
        if let Some(condition) = place.condition {
            return self.unsupported(
                span(condition.span),
                "WHERE inside a variable-length relationship",
            );
        }
        let Some(SyntaxKind::Map(entries)) = place.properties.map(|properties| &properties.kind)
        else {
            return Ok(());
        };
        for entry in entries {
            let value = self.expression(&entry.value)?;
            if walk::reads_from(&value, layout.first_slot) {
                let what = "a variable of the same MATCH in the properties of a variable-length relationship";
                return self.unsupported(value.span, what);
            }
        }
        Ok(())
    }

    /// `{name: value}`. A value that needs a variable of this clause becomes a condition instead:
    /// where the executor begins must not matter.
    fn tests(
        &mut self,
        layout: &Layout<'_>,
        place: &Place<'_>,
        value_type: &Type,
        conditions: &mut Vec<Expr>,
    ) -> Checked<Vec<PropertyTest>> {
        let mut tests = Vec::new();
        if let Some(SyntaxKind::Map(entries)) = place.properties.map(|properties| &properties.kind)
        {
            for (key, value) in self.entries(entries)? {
                let name_span = span(key.span);
                let kind = ExprKind::Variable(place.slot);
                let element = Expr {
                    kind,
                    value_type: value_type.clone(),
                    span: name_span,
                };
                let property = self.property(element, &key.kind.text, name_span, name_span)?;
                let whole = Span::new(name_span.start, value.span.end);
                let equal = self.comparison(BinaryOperator::Equal, property, value, whole)?;
                if walk::reads_from(right_of(&equal), layout.first_slot) {
                    conditions.push(equal);
                } else if let ExprKind::Binary { left, right, .. } = equal.kind
                    && let ExprKind::Property { ids, name, .. } = left.kind
                {
                    let value = *right;
                    tests.push(PropertyTest { name, ids, value });
                }
            }
        }
        if let Some(condition) = place.condition {
            conditions.push(self.condition(condition)?);
        }
        Ok(tests)
    }

    /// Explains why no relationship fits, from the schema.
    fn wrong_direction(&self, layout: &Layout<'_>, index: usize) -> crate::Diagnostic {
        let (link, place) = (&layout.links[index], layout.link_spans[index]);
        let (left, right) = (
            &layout.vertices[link.left].types,
            &layout.vertices[link.right].types,
        );
        let (from, to) = match link.direction {
            Direction::Incoming => (right, left),
            _ => (left, right),
        };
        let (from, to) = (self.type_names(from), self.type_names(to));
        let message = match self.one_edge(&link.types) {
            Some((name, source, target)) if link.explicit => {
                format!("`{name}` goes from {source} to {target}, not from {from} to {to}")
            }
            _ if link.direction == Direction::Either => {
                format!("no such relationship joins {from} and {to}")
            }
            _ => format!("no such relationship goes from {from} to {to}"),
        };
        let turned = match link.direction {
            Direction::Outgoing => Direction::Incoming,
            _ => Direction::Outgoing,
        };
        let other = Link {
            direction: turned,
            ..link.clone()
        };
        let suggestion = (link.direction != Direction::Either
            && narrow::possible(self.schema, left, &other, right, &mut |types| {
                self.spend(types)
            }))
        .then(|| self.turned(place, turned));
        let finding = self.finding(Code::WrongDirection, place, message);
        crate::Diagnostic {
            suggestion,
            ..finding
        }
    }

    /// The relationship as it was written, with its arrow at the other end.
    fn turned(&self, place: Span, direction: Direction) -> String {
        let inside = self
            .source(place)
            .trim_start_matches(['<', '-'])
            .trim_end_matches(['>', '-']);
        match direction {
            Direction::Incoming => format!("<-{inside}-"),
            _ => format!("-{inside}->"),
        }
    }

    fn one_edge(&self, types: &BTreeSet<TypeId>) -> Option<(&str, &str, &str)> {
        let only = types.first().filter(|_| types.len() == 1)?;
        let edge = self.schema.edge_type(*only)?;
        let (source, target) = (
            self.schema.type_name(edge.source)?,
            self.schema.type_name(edge.target)?,
        );
        Some((&edge.name, source, target))
    }
}

fn right_of(equal: &Expr) -> &Expr {
    match &equal.kind {
        ExprKind::Binary { right, .. } => right,
        _ => equal,
    }
}
