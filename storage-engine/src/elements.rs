//! Nodes and edges as people see them: labels, types and properties by name, in closed graphs, where
//! the type says them, and in open ones, where the row does.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::schema::{PropertyId, TypeId};
use language::value::{EdgeRef, NodeRef, Value};

use crate::snapshot::Snapshot;

impl Snapshot {
    /// The labels of a node: its type and its interfaces, or what it was given.
    #[must_use]
    pub fn node_labels(&self, node: NodeRef) -> Vec<Arc<str>> {
        match self.open() {
            Some(open) if open.node == node.type_id => {
                texts(&self.node_property(node, open.labels))
            }
            _ => {
                let node_type = self.schema().node_type(node.type_id);
                let labels = node_type
                    .into_iter()
                    .flat_map(|node_type| node_type.labels());
                labels.map(Arc::from).collect()
            }
        }
    }

    /// Whether a node has a label; without one, whether it has any.
    pub(crate) fn has_label(&self, node: NodeRef, label: Option<&str>) -> bool {
        let is = |own: &str| label.is_none_or(|label| own == label);
        match self.open() {
            Some(open) if open.node == node.type_id => {
                self.any_text(node.type_id, node.id, open.labels, is)
            }
            _ => self.node_labels(node).iter().any(|own| is(own)),
        }
    }

    /// Whether an edge of an open graph is of a type of one of these names.
    pub(crate) fn is_named(&self, edge: EdgeRef, names: &[String]) -> bool {
        let is = |own: &str| names.iter().any(|name| name == own);
        match self.open() {
            Some(open) if open.edge == edge.type_id => {
                self.any_text(edge.type_id, edge.id, open.name, is)
            }
            _ => self.edge_type_name(edge).is_some_and(|own| is(&own)),
        }
    }

    fn any_text(
        &self,
        type_id: TypeId,
        id: u64,
        property: PropertyId,
        is: impl Fn(&str) -> bool,
    ) -> bool {
        let rows = self.rows(type_id);
        let place = rows.and_then(|rows| Some((rows, rows.layout.position(property)?)));
        place.is_some_and(|(rows, position)| rows.any_text(id, position, is))
    }

    /// The name of an edge's type; `None` when the edge of an open graph is gone.
    #[must_use]
    pub fn edge_type_name(&self, edge: EdgeRef) -> Option<Arc<str>> {
        match self.open() {
            Some(open) if open.edge == edge.type_id => match self.edge_property(edge, open.name) {
                Value::String(name) => Some(name),
                _ => None,
            },
            _ => self.schema().type_name(edge.type_id).map(Arc::from),
        }
    }

    /// All properties of a node that have a value, by name.
    #[must_use]
    pub fn node_properties(&self, node: NodeRef) -> BTreeMap<String, Value> {
        match self.open().filter(|open| open.node == node.type_id) {
            Some(open) => entries(self.node_property(node, open.node_properties)),
            None => self
                .rows(node.type_id)
                .map(|rows| rows.named_values(node.id))
                .unwrap_or_default(),
        }
    }

    /// All properties of an edge that have a value, by name.
    #[must_use]
    pub fn edge_properties(&self, edge: EdgeRef) -> BTreeMap<String, Value> {
        match self.open().filter(|open| open.edge == edge.type_id) {
            Some(open) => entries(self.edge_property(edge, open.edge_properties)),
            None => self
                .rows(edge.type_id)
                .map(|rows| rows.named_values(edge.id))
                .unwrap_or_default(),
        }
    }

    /// The property called `name` of a node or relationship; null when it has none.
    pub(crate) fn property_named(&self, element: &Value, name: &str) -> Value {
        let type_id = match element {
            Value::Node(node) => node.type_id,
            Value::Relationship(edge) => edge.type_id,
            _ => return Value::Null,
        };
        if let Some(map) = self.open().and_then(|open| open.properties_of(type_id)) {
            let (Value::Node(NodeRef { id, .. }) | Value::Relationship(EdgeRef { id, .. })) =
                element
            else {
                return Value::Null;
            };
            let rows = self.rows(type_id);
            let place = rows.and_then(|rows| Some((rows, rows.layout.position(map)?)));
            return place.map_or(Value::Null, |(rows, map)| rows.entry(*id, map, name));
        }
        let id = self.property_id(type_id, name);
        id.map_or(Value::Null, |id| self.property_of(element, id))
    }

    fn property_id(&self, type_id: TypeId, name: &str) -> Option<PropertyId> {
        self.schema()
            .property_named(type_id, name)
            .map(|property| property.id)
    }

    /// A property of a node or relationship by its id.
    pub(crate) fn property_of(&self, element: &Value, id: PropertyId) -> Value {
        match element {
            Value::Node(node) => self.node_property(*node, id),
            Value::Relationship(edge) => self.edge_property(*edge, id),
            _ => Value::Null,
        }
    }

    /// What a merge sets: in an open graph the map of properties is laid over the one that is there,
    /// and labels are added.
    pub(crate) fn overlaid(
        &self,
        element: &Value,
        given: &[(PropertyId, Value)],
    ) -> Vec<(PropertyId, Value)> {
        let over = |id: PropertyId, value: &Value| match (self.property_of(element, id), value) {
            (Value::Map(below), Value::Map(above)) if self.open().is_some() => {
                let mut map = below.as_ref().clone();
                map.extend(
                    above
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone())),
                );
                Value::Map(Arc::new(map))
            }
            (Value::List(below), Value::List(above)) if self.open().is_some() => {
                let new = above.iter().filter(|label| !below.contains(label));
                Value::list(below.iter().chain(new).cloned())
            }
            _ => value.clone(),
        };
        given
            .iter()
            .map(|(id, value)| (*id, over(*id, value)))
            .collect()
    }

    /// Whether a node or relationship is there; true of other values.
    pub(crate) fn is_there(&self, element: &Value) -> bool {
        match element {
            Value::Node(node) => self.contains_node(*node),
            Value::Relationship(edge) => self.contains_edge(*edge),
            _ => true,
        }
    }
}

fn texts(value: &Value) -> Vec<Arc<str>> {
    let Value::List(values) = value else {
        return Vec::new();
    };
    let texts = values.iter().filter_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

fn entries(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Map(map) => Arc::unwrap_or_clone(map),
        _ => BTreeMap::new(),
    }
}
