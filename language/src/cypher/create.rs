//! `CREATE`: nodes of exactly one type with their keys, relationships between ends that fit.

use std::collections::{BTreeMap, BTreeSet};

use open_cypher::ast::{
    CreateClause, Expr as Syntax, ExprKind as SyntaxKind, LabelExpression, LabelExpressionKind,
    Name, NodePattern, RelationshipPattern,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{
    Create, Direction, Expr, ExprKind, NewEdge, NewElement, NewNode, NewPath, Slot, Type,
};
use crate::schema::{EdgeType, PropertyId, TypeId};
use crate::value::Value;

use super::compiler::{Checked, Compiler, all};
use super::labels::Element;
use super::parse::span;
use super::sketch::direction;
use super::{types, walk};

/// What is given for a new node or relationship.
pub(super) struct Given {
    pub(super) properties: Vec<(PropertyId, Expr)>,
    pub(super) map: Option<Expr>,
}

/// The end of a new relationship.
pub(super) struct End {
    pub(super) slot: Slot,
    /// `None` when its type is only known when it runs.
    pub(super) types: Option<BTreeSet<TypeId>>,
}

impl<'a> Compiler<'a> {
    /// Checks a `CREATE`.
    pub(super) fn create(&mut self, clause: &CreateClause) -> Checked<Create> {
        let first = self.next_slot();
        let mut create = Create {
            elements: Vec::new(),
            paths: Vec::new(),
        };
        for part in &clause.pattern.parts {
            let chain = self.chain(part)?;
            if chain.shortest.is_some() {
                return self.fail(
                    Code::Syntax,
                    span(part.span),
                    "shortestPath cannot be created",
                );
            }
            let alone = chain.edges.is_empty();
            let mut ends = Vec::new();
            for (node, place) in &chain.nodes {
                ends.push(self.create_node(node, *place, alone, first, &mut create)?);
            }
            let mut path = vec![ends[0].slot];
            for (index, (edge, place)) in chain.edges.iter().enumerate() {
                let edge = self.new_edge(edge, *place, &ends[index], &ends[index + 1], first)?;
                path.extend([edge.slot, ends[index + 1].slot]);
                create.elements.push(NewElement::Edge(edge));
            }
            if let Some(name) = &part.kind.binding {
                let slot = self.bind_new(name, Type::Path)?;
                let created = create.elements.iter().map(|element| match element {
                    NewElement::Node(node) => node.type_id,
                    NewElement::Edge(edge) => edge.type_id,
                });
                self.path_types.extend(created);
                self.path_types.extend(
                    ends.iter()
                        .flat_map(|end| end.types.iter().flatten().copied()),
                );
                create.paths.push(NewPath {
                    slot,
                    elements: path,
                });
            }
        }
        Ok(create)
    }

    fn create_node(
        &mut self,
        node: &NodePattern,
        place: Span,
        alone: bool,
        first: Slot,
        create: &mut Create,
    ) -> Checked<End> {
        if let Some(end) = self.bound_end(node, alone)? {
            return Ok(end);
        }
        let node = self.new_node(node, place, first)?;
        self.key_given(&node, place)?;
        let end = End {
            slot: node.slot,
            types: Some(BTreeSet::from([node.type_id])),
        };
        create.elements.push(NewElement::Node(node));
        Ok(end)
    }

    /// The node that a name stands for already; there it must stand bare.
    pub(super) fn bound_end(&self, node: &NodePattern, alone: bool) -> Checked<Option<End>> {
        let Some(name) = &node.variable else {
            return Ok(None);
        };
        let text = &name.kind.text;
        let Some(variable) = self.scope.get(text) else {
            return Ok(None);
        };
        if alone || node.labels.is_some() || node.properties.is_some() {
            let message = format!("`{text}` is bound already: it cannot be made anew");
            return self.fail(Code::DuplicateName, span(name.span), message);
        }
        let types = match &variable.value_type {
            Type::Node(types) => Some(types.clone()),
            Type::Any | Type::Null => None,
            other => {
                let message = format!("`{text}` is {}, not a node", types::name(other));
                return self.fail(Code::TypeMismatch, span(name.span), message);
            }
        };
        Ok(Some(End {
            slot: variable.slot,
            types,
        }))
    }

    /// A node to make, its name bound.
    pub(super) fn new_node(
        &mut self,
        node: &NodePattern,
        place: Span,
        first: Slot,
    ) -> Checked<NewNode> {
        self.no_condition(node.where_clause.as_deref())?;
        let (type_id, given) = match self.open {
            Some(open) => {
                let labels = self.label_list(node.labels.as_ref())?;
                let properties = node.properties.as_deref();
                let given =
                    self.open_given((open.labels, labels), open.node_properties, properties)?;
                self.write_whole(&BTreeSet::from([open.node]));
                (open.node, given)
            }
            None => {
                let type_id = self.new_type(node.labels.as_ref(), place)?;
                (
                    type_id,
                    self.given(type_id, node.properties.as_deref(), first)?,
                )
            }
        };
        self.write_new(type_id);
        let value_type = Type::Node(BTreeSet::from([type_id]));
        let slot = match &node.variable {
            Some(name) => self.bind_new(name, value_type)?,
            None => self.new_slot(),
        };
        Ok(NewNode {
            slot,
            type_id,
            properties: given.properties,
            map: given.map,
            span: place,
        })
    }

    /// What is made is one relationship.
    pub(super) fn no_length(&self, edge: &RelationshipPattern) -> Checked<()> {
        match edge
            .legacy_quantifier
            .as_ref()
            .or(edge.graph_quantifier.as_ref())
        {
            Some(quantifier) => {
                let message = "a new relationship has no length";
                self.fail(Code::InvalidValue, span(quantifier.span), message)
            }
            None => Ok(()),
        }
    }

    pub(super) fn no_condition(&self, condition: Option<&Syntax>) -> Checked<()> {
        match condition {
            Some(condition) => self.fail(
                Code::Syntax,
                span(condition.span),
                "what is made has no WHERE",
            ),
            None => Ok(()),
        }
    }

    pub(super) fn bind_new(&mut self, name: &Name, value_type: Type) -> Checked<Slot> {
        if self.scope.get(&name.kind.text).is_some() {
            let message = format!(
                "`{}` is bound already: it cannot be made anew",
                name.kind.text
            );
            return self.fail(Code::DuplicateName, span(name.span), message);
        }
        let slot = self.new_slot();
        self.declare(&name.kind.text, slot, value_type);
        Ok(slot)
    }

    /// The one node type of a node to make; labels of its interfaces may stand beside it.
    pub(super) fn new_type(
        &mut self,
        labels: Option<&LabelExpression>,
        place: Span,
    ) -> Checked<TypeId> {
        let Some(labels) = labels else {
            return self.fail(
                Code::InvalidValue,
                place,
                "a new node needs its type: write (:Type)",
            );
        };
        let possible = self.satisfying(labels, Element::Node)?;
        let place = span(labels.span);
        let Some(names) = plain_names(labels) else {
            return self.fail(
                Code::InvalidValue,
                place,
                "a new node has exactly one type, not a choice",
            );
        };
        let named: BTreeSet<TypeId> = names
            .iter()
            .filter_map(|name| self.schema.node_type_named(&name.kind.text))
            .map(|node_type| node_type.id)
            .collect();
        match (named.first(), named.len()) {
            (Some(type_id), 1) if possible.contains(type_id) => Ok(*type_id),
            (None, _) => {
                let message = format!(
                    "`{}` is an interface: a new node is {}",
                    self.source(place),
                    self.type_names(&possible)
                );
                self.fail(Code::InvalidValue, place, message)
            }
            _ => self.fail(Code::InvalidValue, place, "a new node has exactly one type"),
        }
    }

    /// The properties of something to make.
    pub(super) fn given(
        &mut self,
        type_id: TypeId,
        properties: Option<&Syntax>,
        first: Slot,
    ) -> Checked<Given> {
        let mut given = Given {
            properties: Vec::new(),
            map: None,
        };
        match properties.map(|properties| (&properties.kind, properties)) {
            None => {}
            Some((SyntaxKind::Map(entries), _)) => {
                let types = BTreeSet::from([type_id]);
                let entries = self.entries(entries)?;
                given.properties = all(entries.into_iter().map(|(key, value)| {
                    let name = key.kind.text.as_str();
                    let resolved = self.resolve(&types, name, span(key.span))?;
                    if walk::reads_from(&value, first) {
                        return self.unsupported(
                            value.span,
                            "a variable of the same CREATE in its properties",
                        );
                    }
                    let Some(property) = self.property_of(type_id, name) else {
                        return self.fail(
                            Code::UnknownProperty,
                            span(key.span),
                            "there is no such property",
                        );
                    };
                    self.assignable(type_id, property, &value)?;
                    self.write_properties(&resolved.ids);
                    Ok((property.id, value))
                }))?;
            }
            Some((_, syntax)) => {
                let map = self.expression(syntax)?;
                self.require(&map, &Type::Map, "the properties of something new")?;
                self.write_whole(&BTreeSet::from([type_id]));
                given.map = Some(map);
            }
        }
        Ok(given)
    }

    /// Fails when a node's key, or a property that must have a value, is not given.
    fn key_given(&self, node: &NewNode, place: Span) -> Checked<()> {
        let Some(node_type) = self.schema.node_type(node.type_id) else {
            return Ok(());
        };
        if node.map.is_some() || self.open.is_some() {
            return Ok(());
        }
        let is_given = |id: PropertyId| node.properties.iter().any(|(given, _)| *given == id);
        for property in node_type
            .properties
            .iter()
            .filter(|property| !is_given(property.id))
        {
            let (owner, name) = (&node_type.name, &property.name);
            if node_type.key.contains(&property.id) && property.default.is_none() {
                let message = format!("a new {owner} needs its key `{name}`");
                return self.fail(Code::MissingProperty, place, message);
            }
            // A SET that follows may still give it; then the engine decides.
            if !property.nullable && property.default.is_none() && !self.assigns {
                let message = format!("a new {owner} needs `{name}`, which must have a value");
                return self.fail(Code::MissingProperty, place, message);
            }
        }
        Ok(())
    }

    /// A relationship to make, its name bound.
    pub(super) fn new_edge(
        &mut self,
        edge: &RelationshipPattern,
        place: Span,
        left: &End,
        right: &End,
        first: Slot,
    ) -> Checked<NewEdge> {
        self.no_condition(edge.where_clause.as_deref())?;
        self.no_length(edge)?;
        let (source, target) = match direction(edge) {
            Direction::Outgoing => (left, right),
            Direction::Incoming => (right, left),
            Direction::Either => {
                let message = "a new relationship needs a direction: write -[:Type]->";
                return self.fail(Code::InvalidValue, place, message);
            }
        };
        let (type_id, given) = match self.open {
            Some(open) => {
                let name = self.open_edge_name(edge, place)?;
                let properties = edge.properties.as_deref();
                let given = self.open_given((open.name, name), open.edge_properties, properties)?;
                self.write_whole(&BTreeSet::from([open.edge]));
                (open.edge, given)
            }
            None => {
                let edge_type = self.new_edge_type(edge.labels.as_ref(), place, source, target)?;
                let given = self.given(edge_type.id, edge.properties.as_deref(), first)?;
                (edge_type.id, given)
            }
        };
        self.write_new(type_id);
        let value_type = Type::Relationship(BTreeSet::from([type_id]));
        let slot = match &edge.variable {
            Some(name) => self.bind_new(name, value_type)?,
            None => self.new_slot(),
        };
        Ok(NewEdge {
            slot,
            type_id,
            source: source.slot,
            target: target.slot,
            properties: given.properties,
            map: given.map,
            span: place,
        })
    }

    pub(super) fn new_edge_type(
        &mut self,
        labels: Option<&LabelExpression>,
        place: Span,
        source: &End,
        target: &End,
    ) -> Checked<&'a EdgeType> {
        let Some(labels) = labels else {
            let message = "a new relationship needs its type: write -[:Type]->";
            return self.fail(Code::InvalidValue, place, message);
        };
        let possible = self.satisfying(labels, Element::Edge)?;
        if plain_names(labels).is_none_or(|names| names.len() != 1) {
            let message = "a new relationship has exactly one type";
            return self.fail(Code::InvalidValue, span(labels.span), message);
        }
        let fits = |end: &End, type_id: TypeId| {
            end.types
                .as_ref()
                .is_none_or(|types| types.contains(&type_id))
        };
        let schema = self.schema;
        let edges = || {
            schema
                .edge_types
                .iter()
                .filter(|edge| possible.contains(&edge.id))
        };
        let mut fitting =
            edges().filter(|edge| fits(source, edge.source) && fits(target, edge.target));
        match (fitting.next(), fitting.next(), edges().next()) {
            (Some(edge), None, _) => Ok(edge),
            (Some(_), Some(_), _) => {
                let message =
                    "several edge types of this name fit: the ends must have one type each";
                self.fail(Code::InvalidValue, place, message)
            }
            (None, _, Some(edge)) => {
                let name = |type_id| self.schema.type_name(type_id).unwrap_or_default();
                let names = |end: &End| {
                    end.types
                        .as_ref()
                        .map_or_else(String::new, |types| self.type_names(types))
                };
                let message = format!(
                    "`{}` goes from {} to {}, not from {} to {}",
                    edge.name,
                    name(edge.source),
                    name(edge.target),
                    names(source),
                    names(target)
                );
                self.fail(Code::WrongDirection, place, message)
            }
            (None, _, None) => self.fail(
                Code::InvalidValue,
                place,
                "a new relationship has exactly one type",
            ),
        }
    }

    /// The ids that are given, for `MERGE`, which also looks for them.
    pub(super) fn read_given(
        &mut self,
        type_id: TypeId,
        given: &[(PropertyId, Expr)],
    ) -> Checked<()> {
        self.read_types(&BTreeSet::from([type_id]));
        for (property, value) in given {
            if matches!(value.kind, ExprKind::Literal(Value::Null)) {
                return self.fail(Code::InvalidValue, value.span, "MERGE cannot look for null");
            }
            self.read_properties(&BTreeMap::from([(type_id, *property)]));
        }
        Ok(())
    }
}

/// The names of `:A:B` or `:A&B`; absent when there is anything else.
pub(super) fn plain_names(labels: &LabelExpression) -> Option<Vec<&Name>> {
    match &labels.kind {
        LabelExpressionKind::Name(name) => Some(vec![name]),
        LabelExpressionKind::Parenthesized(inner) => plain_names(inner),
        LabelExpressionKind::And(parts) => {
            let names: Option<Vec<_>> = parts.iter().map(plain_names).collect();
            Some(names?.into_iter().flatten().collect())
        }
        _ => None,
    }
}
