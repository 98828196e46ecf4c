//! The changes of one commit while they are being made.
//!
//! A transaction owns a working [`Snapshot`]. Every change is checked and applied to it at once,
//! so that later statements see it; dropping the transaction undoes all. Values are checked one by
//! one, keys and both ends of edges at once, required properties when a statement ends.

mod declared;
mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use language::plan::Plan;
use language::schema::{PropertyId, PropertyType, TypeId, scalar_to_json};
use language::value::{EdgeRef, NodeRef, Value};
use uuid::Uuid;

use crate::bulk::Bulk;
use crate::cold::{ColumnError, Mark};
use crate::columns::Layout;
use crate::finish::same;
use crate::identity;
use crate::keys;
use crate::needed::Needed;
use crate::rows::{Row, Rows};
use crate::snapshot::Snapshot;

pub use error::WriteError;

/// Changes that are being made.
#[derive(Debug)]
pub struct Transaction {
    pub(crate) snapshot: Snapshot,
    pub(crate) lsn: u64,
    pub(crate) run: Uuid,
    /// Rows that came as columns; then there are no other changes.
    pub(crate) bulk: Option<Bulk>,
    /// What each touched row was before; `None` when it is new.
    pub(crate) before: BTreeMap<(TypeId, u64), Option<Arc<Row>>>,
    /// Rows whose required properties have not been checked yet.
    unchecked: Vec<(TypeId, u64)>,
    /// Nodes of an open graph that have other labels than when the statement began.
    relabelled: BTreeSet<u64>,
    pub(crate) properties_set: u64,
    /// About how many bytes the changes take in the log, and how many they may.
    pub(crate) bytes: usize,
    pub(crate) max_bytes: usize,
    budget: Option<Instant>,
    over_budget: bool,
    /// Nobody gets the state that it comes to: only its changes are taken over.
    aside: bool,
    /// Columns that could not be read before it began.
    pub(crate) mark: Mark,
}

impl Transaction {
    pub(crate) fn new(snapshot: Snapshot, lsn: u64, run: Uuid) -> Self {
        let snapshot = snapshot.apart();
        Self {
            mark: snapshot.mark(),
            snapshot,
            lsn,
            run,
            bulk: None,
            before: BTreeMap::new(),
            unchecked: Vec::new(),
            relabelled: BTreeSet::new(),
            properties_set: 0,
            bytes: 0,
            max_bytes: usize::MAX,
            budget: None,
            over_budget: false,
            aside: false,
        }
    }

    /// The same, of whose work only the changes are taken over, so that it holds no more columns than it
    /// needs.
    pub(crate) fn aside(self) -> Self {
        Self {
            aside: true,
            ..self
        }
    }

    /// The same, with a time after which the work is to stop.
    pub(crate) fn within(self, budget: Option<Instant>) -> Self {
        Self { budget, ..self }
    }

    /// When work that may be run again elsewhere is to stop here, because others wait behind it. It
    /// says so with [`Self::end_over_budget`] and fails; nobody sees how.
    #[must_use]
    pub fn budget(&self) -> Option<Instant> {
        self.budget
    }

    /// Says that the work stops because its [budget](Self::budget) is over.
    pub fn end_over_budget(&mut self) {
        self.over_budget = self.budget.is_some();
    }

    pub(crate) fn is_over_budget(&self) -> bool {
        self.over_budget
    }

    /// Comes to have what a statement needs in memory. Waits a little for room. Blocks.
    pub(crate) fn prepare(&mut self, plan: &Plan) -> Result<(), Arc<ColumnError>> {
        self.snapshot.prepare(plan, self.aside)
    }

    /// Whether it has these columns in memory, or now has them from `held`, whose rows are the same.
    pub(crate) fn has(&self, held: &Snapshot, needed: &Needed) -> bool {
        self.snapshot.take_over(held, needed);
        self.snapshot.has(needed)
    }

    /// Keeps which nodes are changed from now on, for the statement that begins, or no more.
    pub(crate) fn keep_journal(&mut self, keep: bool) {
        self.snapshot.keep_journal(keep);
    }

    /// The graph with the changes made so far.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Makes a node. One of a type without a key gets a new identity (UUIDv7).
    ///
    /// # Errors
    /// When a value does not fit, a part of the key is missing or the key is taken.
    pub fn create_node(
        &mut self,
        type_id: TypeId,
        properties: Vec<(PropertyId, Value)>,
    ) -> Result<NodeRef, WriteError> {
        self.create_identified_node(type_id, None, properties)
    }

    /// Makes a node of a type without a key under a given identity.
    ///
    /// # Errors
    /// As [`Self::create_node`].
    pub fn create_identified_node(
        &mut self,
        type_id: TypeId,
        identity: Option<Arc<str>>,
        properties: Vec<(PropertyId, Value)>,
    ) -> Result<NodeRef, WriteError> {
        let rows = self.node_rows(type_id)?;
        let id = rows.next_id;
        let layout = rows.layout.clone();
        let mut row = self.new_row(&layout, properties)?;
        if layout.key.is_empty() {
            row.identity = Some(identify(&layout, &mut row, identity)?);
        }
        for position in &layout.key {
            if null_at(&row, *position) {
                return Err(missing(&layout, *position));
            }
        }
        let key = keys::key_of(&layout, &row);
        if self.snapshot.node_by_key(type_id, &key).is_some() {
            return Err(WriteError::DuplicateKey {
                type_name: layout.name.clone(),
                key: describe_key(&layout, &row),
            });
        }
        self.insert(type_id, id, row)?;
        Ok(NodeRef { type_id, id })
    }

    /// Makes an edge.
    ///
    /// # Errors
    /// When a value does not fit, an end is gone or of a type that the edge does not join.
    pub fn create_edge(
        &mut self,
        type_id: TypeId,
        source: NodeRef,
        target: NodeRef,
        properties: Vec<(PropertyId, Value)>,
    ) -> Result<EdgeRef, WriteError> {
        self.create_identified_edge(type_id, source, target, None, properties)
    }

    /// Makes an edge under a given identity.
    ///
    /// # Errors
    /// As [`Self::create_edge`].
    pub fn create_identified_edge(
        &mut self,
        type_id: TypeId,
        source: NodeRef,
        target: NodeRef,
        identity: Option<Arc<str>>,
        properties: Vec<(PropertyId, Value)>,
    ) -> Result<EdgeRef, WriteError> {
        let rows = self.edge_rows(type_id)?;
        let id = rows.next_id;
        let layout = rows.layout.clone();
        if layout.ends != Some((source.type_id, target.type_id)) {
            return Err(WriteError::WrongEnds {
                type_name: layout.name.clone(),
            });
        }
        for end in [source, target] {
            self.require_node(end)?;
        }
        let mut row = self.new_row(&layout, properties)?;
        row.identity = identity;
        row.ends = Some((source.id, target.id));
        let edge = EdgeRef { type_id, id };
        self.name_edge(&layout, edge, &mut row);
        self.insert(type_id, id, row)?;
        Ok(edge)
    }

    /// Sets properties of a node; null removes one.
    ///
    /// # Errors
    /// When the node is gone, a value does not fit or the key would change.
    pub fn set_node(
        &mut self,
        node: NodeRef,
        changes: Vec<(PropertyId, Value)>,
    ) -> Result<(), WriteError> {
        self.node_rows(node.type_id)?;
        self.update(node.type_id, node.id, changes)
    }

    /// Sets properties of an edge; null removes one.
    ///
    /// # Errors
    /// When the edge is gone or a value does not fit.
    pub fn set_edge(
        &mut self,
        edge: EdgeRef,
        changes: Vec<(PropertyId, Value)>,
    ) -> Result<(), WriteError> {
        self.edge_rows(edge.type_id)?;
        self.update(edge.type_id, edge.id, changes)
    }

    /// Deletes an edge; one that is gone already is left so.
    ///
    /// # Errors
    /// When the type does not exist.
    pub fn delete_edge(&mut self, edge: EdgeRef) -> Result<(), WriteError> {
        self.edge_rows(edge.type_id)?;
        self.delete(edge.type_id, edge.id)
    }

    /// Deletes a node that no edge touches; one that is gone already is left so.
    ///
    /// # Errors
    /// [`WriteError::HasRelationships`] while edges touch it.
    pub fn delete_node(&mut self, node: NodeRef) -> Result<(), WriteError> {
        let rows = self.node_rows(node.type_id)?;
        let Some(row) = rows.row(node.id) else {
            return Ok(());
        };
        if self.relationships(node).next().is_some() {
            return Err(WriteError::HasRelationships {
                type_name: rows.layout.name.clone(),
                key: describe_key(&rows.layout, &row),
            });
        }
        self.delete(node.type_id, node.id)
    }

    /// The edges that touch a node, of every type; a loop comes twice.
    pub fn relationships(&self, node: NodeRef) -> impl Iterator<Item = EdgeRef> + '_ {
        let types = self
            .snapshot
            .schema()
            .edge_types
            .iter()
            .map(|edge_type| edge_type.id);
        types.flat_map(move |edge_type| {
            let outgoing = self.snapshot.outgoing(edge_type, node);
            outgoing
                .chain(self.snapshot.incoming(edge_type, node))
                .map(|neighbour| neighbour.edge)
        })
    }

    /// Checks what a statement may leave open until its end.
    ///
    /// # Errors
    /// [`WriteError::MissingProperty`] for a row that lacks a required property.
    pub fn end_statement(&mut self) -> Result<(), WriteError> {
        let relabelled = std::mem::take(&mut self.relabelled);
        for (type_id, id) in std::mem::take(&mut self.unchecked) {
            let Some(rows) = self.snapshot.rows(type_id) else {
                continue;
            };
            if !rows.contains(id) {
                continue;
            }
            for (position, property) in rows.layout.properties.iter().enumerate() {
                if property.nullable || rows.is_left(id, position) {
                    continue;
                }
                if rows.value(id, position).is_null() {
                    return Err(missing(&rows.layout, position));
                }
            }
            self.hold_to_declarations(type_id, id, relabelled.contains(&id))?;
        }
        Ok(())
    }

    fn node_rows(&self, type_id: TypeId) -> Result<&Rows, WriteError> {
        let table = self
            .snapshot
            .node_table(type_id)
            .ok_or(WriteError::UnknownType(type_id))?;
        Ok(&table.rows)
    }

    fn edge_rows(&self, type_id: TypeId) -> Result<&Rows, WriteError> {
        let table = self
            .snapshot
            .edge_table(type_id)
            .ok_or(WriteError::UnknownType(type_id))?;
        Ok(&table.rows)
    }

    fn require_node(&self, node: NodeRef) -> Result<(), WriteError> {
        let rows = self.node_rows(node.type_id)?;
        if rows.contains(node.id) {
            return Ok(());
        }
        Err(WriteError::Deleted {
            type_name: rows.layout.name.clone(),
        })
    }

    /// A row of these properties, defaults filled in, every value checked.
    fn new_row(
        &mut self,
        layout: &Layout,
        properties: Vec<(PropertyId, Value)>,
    ) -> Result<Row, WriteError> {
        let mut row = Row {
            values: vec![Value::Null; layout.properties.len()],
            left: Vec::new(),
            identity: None,
            ends: None,
            lsn: self.lsn,
            run: self.run,
        };
        let mut given = vec![false; layout.properties.len()];
        for (id, value) in properties {
            let position = position(layout, id)?;
            let value = accept(layout, position, value)?;
            self.properties_set += self.count_set(layout, position, &Value::Null, &value);
            put_at(&mut row.values, position, value);
            put_at(&mut given, position, true);
        }
        for (position, property) in layout.properties.iter().enumerate() {
            if let Some(default) = &property.default
                && given.get(position) == Some(&false)
            {
                put_at(&mut row.values, position, default.clone());
            }
        }
        Ok(row)
    }

    /// How many properties a value sets in place of an old one. In an open graph the map of
    /// properties counts by its entries; labels and the name of a type are no properties.
    fn count_set(&self, layout: &Layout, position: usize, old: &Value, new: &Value) -> u64 {
        let map = |value: &Value| match value {
            Value::Map(map) => map.clone(),
            _ => Arc::default(),
        };
        if self.is_open(layout.type_id) {
            if layout
                .properties
                .get(position)
                .map(|property| &property.value_type)
                != Some(&PropertyType::Map)
            {
                return 0;
            }
            let (old, new) = (map(old), map(new));
            let set = new
                .iter()
                .filter(|(name, value)| old.get(*name) != Some(*value))
                .count();
            let removed = old.keys().filter(|name| !new.contains_key(*name)).count();
            return (set + removed) as u64;
        }
        u64::from(!new.is_null())
    }

    fn is_open(&self, type_id: TypeId) -> bool {
        let open = self.snapshot.open();
        open.is_some_and(|open| open.properties_of(type_id).is_some())
    }

    fn insert(&mut self, type_id: TypeId, id: u64, row: Row) -> Result<(), WriteError> {
        self.put((type_id, id), None, Some(Arc::new(row)))?;
        self.unchecked.push((type_id, id));
        Ok(())
    }

    fn update(
        &mut self,
        type_id: TypeId,
        id: u64,
        changes: Vec<(PropertyId, Value)>,
    ) -> Result<(), WriteError> {
        let rows = self
            .snapshot
            .rows(type_id)
            .ok_or(WriteError::UnknownType(type_id))?;
        let layout = rows.layout.clone();
        let Some(mut old) = rows.row(id) else {
            return Err(WriteError::Deleted {
                type_name: layout.name.clone(),
            });
        };
        for (property, _) in &changes {
            let position = layout.position(*property);
            if let Some(position) = position.filter(|position| old.is_left(*position)) {
                // What it is changed from, the log says too.
                Arc::make_mut(&mut old).set(position, rows.base_value(id, position));
            }
        }
        let mut row = Row {
            lsn: self.lsn,
            run: self.run,
            ..(*old).clone()
        };
        for (property, value) in changes {
            let position = position(&layout, property)?;
            let value = accept(&layout, position, value)?;
            let fixed = layout.key.contains(&position)
                || layout.ends.is_none() && layout.declared_id == Some(position);
            if fixed && row.values.get(position) != Some(&value) {
                return Err(WriteError::KeyChange {
                    type_name: layout.name.clone(),
                    property: property_name(&layout, position),
                });
            }
            let old = row.values.get(position).unwrap_or(&Value::Null);
            self.properties_set += match self.snapshot.open() {
                Some(_) => self.count_set(&layout, position, old, &value),
                None => 1,
            };
            put_at(&mut row.values, position, value);
        }
        if layout.ends.is_some() {
            self.name_edge(&layout, EdgeRef { type_id, id }, &mut row);
        }
        if let Some(open) = self.snapshot.open().filter(|open| open.node == type_id)
            && let Some(labels) = layout.position(open.labels)
            && row.values.get(labels) != old.values.get(labels)
        {
            self.relabelled.insert(id);
        }
        if row.values.iter().zip(&old.values).all(|(a, b)| same(a, b)) {
            // The row stays as it is, down to the commit that it names.
            return Ok(());
        }
        self.put((type_id, id), Some(old), Some(Arc::new(row)))?;
        self.unchecked.push((type_id, id));
        Ok(())
    }

    /// Puts an edge's identity into the `id` that its type declares, where that is empty: every edge
    /// has one. A declared `id` that holds no text stays empty.
    fn name_edge(&self, layout: &Layout, edge: EdgeRef, row: &mut Row) {
        let Some(position) = layout.declared_id.filter(|at| null_at(row, *at)) else {
            return;
        };
        let made = || identity::of_edge(self.snapshot.graph(), edge).to_string();
        let text = row.identity.clone().unwrap_or_else(|| made().into());
        if let Ok(value) = accept(layout, position, Value::String(text)) {
            put_at(&mut row.values, position, value);
        }
    }

    fn delete(&mut self, type_id: TypeId, id: u64) -> Result<(), WriteError> {
        match self.snapshot.rows(type_id).and_then(|rows| rows.whole(id)) {
            Some(old) => self.put((type_id, id), Some(old), None),
            None => Ok(()),
        }
    }
}

/// The identity of a new node of a type without a key: the `id` that the type declares, else the one
/// given, else a new one. What the type can hold of it, stands in the declared property too, so that
/// there are never two.
fn identify(
    layout: &Layout,
    row: &mut Row,
    given: Option<Arc<str>>,
) -> Result<Arc<str>, WriteError> {
    if let Some(declared) = identity::declared(layout, row) {
        return Ok(declared);
    }
    let identity = given.unwrap_or_else(|| Uuid::now_v7().to_string().into());
    if let Some(position) = layout.declared_id {
        let text = Value::String(identity.clone());
        match accept(layout, position, text) {
            Ok(value) => put_at(&mut row.values, position, value),
            Err(_) => return Err(missing(layout, position)),
        }
    }
    Ok(identity)
}

fn position(layout: &Layout, id: PropertyId) -> Result<usize, WriteError> {
    layout
        .position(id)
        .ok_or_else(|| WriteError::UnknownProperty {
            type_name: layout.name.clone(),
            property: format!("{id:?}"),
        })
}

fn accept(layout: &Layout, position: usize, value: Value) -> Result<Value, WriteError> {
    match layout.properties.get(position) {
        Some(property) => property
            .accept(value)
            .map_err(|source| WriteError::InvalidValue {
                type_name: layout.name.clone(),
                property: property.name.clone(),
                source,
            }),
        None => Ok(Value::Null),
    }
}

fn null_at(row: &Row, position: usize) -> bool {
    row.values.get(position).is_none_or(Value::is_null)
}

fn put_at<T>(values: &mut [T], position: usize, value: T) {
    if let Some(place) = values.get_mut(position) {
        *place = value;
    }
}

fn property_name(layout: &Layout, position: usize) -> String {
    layout
        .properties
        .get(position)
        .map(|property| property.name.clone())
        .unwrap_or_default()
}

pub(crate) fn missing(layout: &Layout, position: usize) -> WriteError {
    WriteError::MissingProperty {
        type_name: layout.name.clone(),
        property: property_name(layout, position),
    }
}

/// `name = value, ...` of a key, for messages.
pub(crate) fn describe_key(layout: &Layout, row: &Row) -> String {
    if layout.key.is_empty() {
        return format!("identity {:?}", row.identity.as_deref().unwrap_or_default());
    }
    let part = |position: &usize| {
        let value = row.values.get(*position).unwrap_or(&Value::Null);
        let value = scalar_to_json(value);
        format!("{} = {value}", property_name(layout, *position))
    };
    layout.key.iter().map(part).collect::<Vec<_>>().join(", ")
}
