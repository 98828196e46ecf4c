//! `MATCH` and `OPTIONAL MATCH`.
//!
//! All patterns of a clause are laid out together (a name that stands twice is one node), their
//! types narrowed, the names bound, and only then the conditions checked: so that what is known of
//! `b` in `(a:Person)-[:WorksAt]->(b)` is known in the `WHERE`.

use std::collections::{BTreeMap, BTreeSet};

use open_cypher::ast::{Expr as Syntax, ExprKind as SyntaxKind, MatchClause, Name, NodePattern, PatternPart, RelationshipPattern};

use crate::diagnostic::{Code, Span};
use crate::plan::{
    BinaryOperator, Direction, EdgePattern, Expr, ExprKind, Length, Match, NodePattern as PlanNode,
    PathPattern, PropertyTest, Shortest, Slot, Step, Type,
};
use crate::schema::TypeId;

use super::compiler::{Checked, Compiler, all};
use super::labels::Element;
use super::narrow::{self, Link, Vertex};
use super::operator::balanced;
use super::parse::span;
use super::sketch::direction;
use super::types;

/// The patterns of one clause while they are laid out.
struct Layout<'q> {
    vertices: Vec<Vertex>,
    links: Vec<Link>,
    link_spans: Vec<Span>,
    names: BTreeMap<&'q str, Named>,
    paths: Vec<Path<'q>>,
    /// Slots from here on are bound by this clause.
    first_slot: Slot,
}

/// What a name stands for in this clause.
#[derive(Clone, Copy)]
enum Named {
    Node { vertex: usize, slot: Slot },
    Edge { link: usize, slot: Slot },
    Path { slot: Slot },
}

/// A place in a pattern.
struct Place<'q> {
    /// Of a vertex or a link.
    index: usize,
    slot: Slot,
    bound: bool,
    properties: Option<&'q Syntax>,
    condition: Option<&'q Syntax>,
}

struct Path<'q> {
    binding: Option<Slot>,
    shortest: Option<Shortest>,
    nodes: Vec<Place<'q>>,
    edges: Vec<Place<'q>>,
}

impl Compiler<'_> {
    /// Checks a `MATCH`.
    pub(super) fn match_clause(&mut self, clause: &MatchClause) -> Checked<Match> {
        if let Some(mode) = &clause.mode {
            return self.unsupported(span(mode.span), "a path mode");
        }
        if let Some(hint) = clause.hints.first() {
            return self.unsupported(span(hint.span), "a planner hint");
        }
        let mut layout = Layout {
            vertices: Vec::new(),
            links: Vec::new(),
            link_spans: Vec::new(),
            names: BTreeMap::new(),
            paths: Vec::new(),
            first_slot: self.next_slot(),
        };
        all(clause.pattern.parts.iter().map(|part| self.lay_out(&mut layout, part)))?;
        if let Err(index) = narrow::narrow(self.schema, &mut layout.vertices, &mut layout.links) {
            return Err(vec![self.wrong_direction(&layout, index)]);
        }
        self.bind(&layout, clause.optional);
        self.touch_patterns(&layout);

        let mut conditions = Vec::new();
        let paths = all(layout.paths.iter().map(|path| self.path(&layout, path, &mut conditions)));
        let filter = clause.where_clause.as_ref().map(|filter| self.condition(filter)).transpose();
        let (paths, filter) = super::compiler::both(paths, filter)?;
        conditions.extend(filter);
        let filter = balanced(BinaryOperator::And, conditions);
        Ok(Match { optional: clause.optional, paths, filter })
    }

    fn lay_out<'q>(&mut self, layout: &mut Layout<'q>, part: &'q PatternPart) -> Checked<()> {
        let chain = self.chain(part)?;
        let nodes = all(chain.nodes.iter().map(|(node, place)| self.node_place(layout, node, *place)))?;
        let mut edges = Vec::new();
        for (index, (edge, place)) in chain.edges.iter().enumerate() {
            let ends = (nodes[index].index, nodes[index + 1].index);
            edges.push(self.edge_place(layout, edge, *place, ends, chain.shortest)?);
        }
        let binding = match &part.kind.binding {
            Some(name) => Some(self.new_name(layout, name, |slot| Named::Path { slot })?),
            None => None,
        };
        layout.paths.push(Path { binding, shortest: chain.shortest, nodes, edges });
        Ok(())
    }

    fn node_place<'q>(
        &mut self,
        layout: &mut Layout<'q>,
        node: &'q NodePattern,
        place: Span,
    ) -> Checked<Place<'q>> {
        let labelled = self.labelled(node.labels.as_ref(), Element::Node)?;
        let (index, slot, bound) = self.vertex(layout, node.variable.as_ref())?;
        let vertex = &mut layout.vertices[index];
        vertex.types = &vertex.types & &labelled;
        vertex.explicit |= node.labels.is_some();
        let properties = node.properties.as_deref();
        if self.keep_having(properties, &mut vertex.types, place)? {
            vertex.explicit = true;
        }
        Ok(Place { index, slot, bound, properties, condition: node.where_clause.as_deref() })
    }

    /// The vertex that a name stands for, made when it is new.
    fn vertex<'q>(&mut self, layout: &mut Layout<'q>, name: Option<&'q Name>) -> Checked<(usize, Slot, bool)> {
        let new = Vertex { types: self.all_types(Element::Node), explicit: false };
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
                    Type::Any => self.hidden.iter().copied().filter(|id| self.schema.node_type(*id).is_some()).collect(),
                    Type::Null => BTreeSet::new(),
                    other => return self.bound_otherwise(name, other, "a node"),
                };
                layout.vertices.push(Vertex { types, explicit: true });
                (variable.slot, true)
            }
        };
        layout.names.insert(text, Named::Node { vertex: index, slot });
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
            Some(name) => match self.bound_edge(layout, name)? {
                Some(_) if length.is_some() => {
                    return self.unsupported(span(name.span), "a bound list of relationships in a pattern");
                }
                Some((slot, bound_types)) => {
                    types = &types & &bound_types;
                    layout.names.insert(&name.kind.text, Named::Edge { link: index, slot });
                    (slot, true)
                }
                None => (self.new_name(layout, name, |slot| Named::Edge { link: index, slot })?, false),
            },
        };
        let properties = edge.properties.as_deref();
        let having = self.keep_having(properties, &mut types, place)?;
        let explicit = edge.labels.is_some() || having || bound;
        layout.links.push(Link { left, right, types, explicit, direction: direction(edge), length });
        layout.link_spans.push(place);
        Ok(Place { index, slot, bound, properties, condition: edge.where_clause.as_deref() })
    }

    fn length_of(&self, edge: &RelationshipPattern, shortest: Option<Shortest>) -> Checked<Option<Length>> {
        let length = self.length(edge.legacy_quantifier.as_ref())?;
        let place = span(edge.direction.span);
        match (shortest, length) {
            (None, length) => Ok(length),
            (Some(_), None) if edge.variable.is_some() => {
                self.unsupported(place, "a named single relationship in shortestPath (write [r*1..1])")
            }
            (Some(_), None) => Ok(Some(Length { min: 1, max: Some(1) })),
            (Some(_), Some(Length { min: 2.., .. })) => {
                self.unsupported(place, "a lower bound above 1 in shortestPath")
            }
            (Some(_), length) => Ok(length),
        }
    }

    /// The slot and types of a relationship that an earlier clause bound.
    fn bound_edge(&self, layout: &Layout<'_>, name: &Name) -> Checked<Option<(Slot, BTreeSet<TypeId>)>> {
        let text = name.kind.text.as_str();
        if layout.names.contains_key(text) {
            return self.twice(name, "a relationship");
        }
        let Some(variable) = self.scope.get(text) else { return Ok(None) };
        match &variable.value_type {
            Type::Relationship(types) => Ok(Some((variable.slot, types.clone()))),
            Type::Null => Ok(Some((variable.slot, BTreeSet::new()))),
            Type::Any => {
                let types = self.hidden.iter().copied().filter(|id| self.schema.edge_type(*id).is_some());
                Ok(Some((variable.slot, types.collect())))
            }
            Type::List(_) => self.unsupported(span(name.span), "a bound list of relationships in a pattern"),
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
        let message = format!("`{}` is {}, not {what}", name.kind.text, types::name(value_type));
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
                return self.unsupported(place, "a parameter as the properties of a pattern to find");
            }
            Some(_) => return self.fail(Code::Syntax, place, "the properties of a pattern are a map"),
        };
        for entry in entries {
            let name = entry.key.kind.text.as_str();
            let having = self.resolve(types, name, span(entry.key.span))?;
            types.retain(|type_id| having.ids.contains_key(type_id));
        }
        Ok(!entries.is_empty())
    }

    /// Puts the names of the clause into scope. An optional match leaves what was bound before.
    fn bind(&mut self, layout: &Layout<'_>, optional: bool) {
        for (name, named) in &layout.names {
            let known = self.scope.get(name).is_some();
            if known && optional {
                continue;
            }
            let (slot, value_type) = match *named {
                Named::Node { vertex, slot } => (slot, Type::Node(layout.vertices[vertex].types.clone())),
                Named::Edge { link, slot } => {
                    let link = &layout.links[link];
                    let one = Type::Relationship(link.types.clone());
                    (slot, if link.length.is_some() { Type::List(Box::new(one)) } else { one })
                }
                Named::Path { slot } => (slot, Type::Path),
            };
            self.scope.insert(name, slot, value_type);
        }
    }

    fn touch_patterns(&mut self, layout: &Layout<'_>) {
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

    fn path(&mut self, layout: &Layout<'_>, path: &Path<'_>, conditions: &mut Vec<Expr>) -> Checked<PathPattern> {
        let nodes = all(path.nodes.iter().map(|place| {
            let types = layout.vertices[place.index].types.clone();
            let value_type = Type::Node(types.clone());
            let properties = self.tests(layout, place, &value_type, conditions)?;
            Ok(PlanNode { slot: place.slot, bound: place.bound, types, properties })
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
                properties,
            })
        }));
        let (nodes, edges) = super::compiler::both(nodes, edges)?;
        let mut nodes = nodes.into_iter();
        let Some(start) = nodes.next() else {
            return self.fail(Code::Syntax, Span::default(), "a pattern begins with a node");
        };
        let steps = edges.into_iter().zip(nodes).map(|(edge, node)| Step { edge, node }).collect();
        Ok(PathPattern { binding: path.binding, shortest: path.shortest, start, steps })
    }

    /// On a relationship of variable length each one is tested while it is walked, so a condition
    /// cannot wait until everything is bound.
    fn no_moving_parts(&mut self, layout: &Layout<'_>, place: &Place<'_>) -> Checked<()> {
        if let Some(condition) = place.condition {
            return self.unsupported(span(condition.span), "WHERE inside a variable-length relationship");
        }
        let Some(SyntaxKind::Map(entries)) = place.properties.map(|properties| &properties.kind) else {
            return Ok(());
        };
        for entry in entries {
            let value = self.expression(&entry.value)?;
            if super::walk::reads_from(&value, layout.first_slot) {
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
        if let Some(SyntaxKind::Map(entries)) = place.properties.map(|properties| &properties.kind) {
            for (key, value) in self.entries(entries)? {
                let name_span = span(key.span);
                let kind = ExprKind::Variable(place.slot);
                let element = Expr { kind, value_type: value_type.clone(), span: name_span };
                let property = self.property(element, &key.kind.text, name_span, name_span)?;
                let whole = Span::new(name_span.start, value.span.end);
                let equal = self.comparison(BinaryOperator::Equal, property, value, whole)?;
                if super::walk::reads_from(right_of(&equal), layout.first_slot) {
                    conditions.push(equal);
                } else if let ExprKind::Binary { left, right, .. } = equal.kind
                    && let ExprKind::Property { ids, .. } = left.kind
                {
                    tests.push(PropertyTest { ids, value: *right });
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
        let (left, right) = (&layout.vertices[link.left].types, &layout.vertices[link.right].types);
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
        let other = Link { direction: turned, ..link.clone() };
        let suggestion = (link.direction != Direction::Either
            && narrow::possible(self.schema, left, &other, right))
        .then(|| self.turned(place, turned));
        let finding = self.finding(Code::WrongDirection, place, message);
        crate::Diagnostic { suggestion, ..finding }
    }

    /// The relationship as it was written, with its arrow at the other end.
    fn turned(&self, place: Span, direction: Direction) -> String {
        let inside = self.source(place).trim_start_matches(['<', '-']).trim_end_matches(['>', '-']);
        match direction {
            Direction::Incoming => format!("<-{inside}-"),
            _ => format!("-{inside}->"),
        }
    }

    fn one_edge(&self, types: &BTreeSet<TypeId>) -> Option<(&str, &str, &str)> {
        let only = types.first().filter(|_| types.len() == 1)?;
        let edge = self.schema.edge_type(*only)?;
        let (source, target) = (self.schema.type_name(edge.source)?, self.schema.type_name(edge.target)?);
        Some((&edge.name, source, target))
    }
}

fn right_of(equal: &Expr) -> &Expr {
    match &equal.kind {
        ExprKind::Binary { right, .. } => right,
        _ => equal,
    }
}
