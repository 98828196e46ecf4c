//! An immutable view of a graph at a commit.
//!
//! A snapshot is tables at a checkpoint plus the changes since, with the indexes over both. It is
//! cheap to copy, and copies share everything that is equal. A statement holds one from start to
//! end; the one writer works on a copy and publishes it when its commit is durable.

mod memory;
mod restore;
mod tables;

use std::sync::Arc;

use arrow_schema::ArrowError;
use language::schema::{OpenTypes, PropertyId, Schema, TypeId};
use language::value::{EdgeRef, NodeRef, Value};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::answers::Answers;
use crate::base::Base;
use crate::bulk::{Addition, Index};
use crate::chunk::Written;
use crate::cold::Failures;
use crate::columns::Layout;
use crate::identity;
#[cfg(doc)]
use crate::keys;
use crate::record::{CommitInfo, Header};
use crate::rows::{Entry, Row, Rows};
use crate::statistics::Statistics;
use crate::topology::{Adjacency, Link};
use tables::{NodeTable, Sources};

pub use memory::Memory;
pub(crate) use restore::Before;
pub(crate) use tables::EdgeTable;

/// An immutable view of a graph.
#[derive(Clone, Debug)]
pub struct Snapshot {
    schema: Arc<Schema>,
    open: Option<OpenTypes>,
    graph: Uuid,
    head: Arc<CommitInfo>,
    lsn: u64,
    places: Arc<FxHashMap<TypeId, Place>>,
    nodes: Vec<NodeTable>,
    edges: Vec<EdgeTable>,
    answers: Answers,
    statistics: Arc<Statistics>,
    /// Columns that could not be read; its rows have the same.
    pub(crate) failures: Arc<Failures>,
}

/// An edge and the node at its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The edge.
    pub edge: EdgeRef,
    /// The node that it leads to, seen from the one that was asked.
    pub node: NodeRef,
}

/// Where the table of a type stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Node(usize),
    Edge(usize),
}

/// The table of each type: its columns, its rows, and the first id that no row of it has had.
pub(crate) type Bases = FxHashMap<TypeId, (Arc<Layout>, Arc<Base>, u64)>;

impl Snapshot {
    /// The graph as its tables hold it, at the commit they were folded to.
    pub(crate) fn at_checkpoint(
        graph: Uuid,
        schema: Arc<Schema>,
        head: CommitInfo,
        lsn: u64,
        bases: &Bases,
    ) -> Self {
        let (node_layouts, edge_layouts) = Layout::of_schema(&schema);
        let rows = |layout: Arc<Layout>| match bases.get(&layout.type_id) {
            Some((layout, base, next_id)) => Rows::new(layout.clone(), base.clone(), *next_id),
            None => Rows::new(layout, Arc::default(), 1),
        };
        let nodes = node_layouts.into_iter();
        let nodes: Vec<_> = nodes.map(|layout| NodeTable::new(rows(layout))).collect();
        let edges = edge_layouts.into_iter();
        let edges: Vec<_> = edges.map(|layout| EdgeTable::new(rows(layout))).collect();
        let node_places = nodes
            .iter()
            .enumerate()
            .map(|(at, table)| (table.rows.layout.type_id, Place::Node(at)));
        let edge_places = edges
            .iter()
            .enumerate()
            .map(|(at, table)| (table.rows.layout.type_id, Place::Edge(at)));
        let places = Arc::new(node_places.chain(edge_places).collect());
        Self {
            open: schema.open(),
            schema,
            graph,
            head: Arc::new(head),
            lsn,
            places,
            nodes,
            edges,
            answers: Answers::default(),
            statistics: Arc::default(),
            failures: Arc::default(),
        }
        .apart()
    }

    /// The schema that the graph has at this commit.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Where an open graph keeps what nobody declared; `None` for a closed one.
    #[must_use]
    pub fn open(&self) -> Option<OpenTypes> {
        self.open
    }

    /// The commit that this is a view of.
    #[must_use]
    pub fn head(&self) -> &CommitInfo {
        &self.head
    }

    /// The graph's own identity, made when it was created.
    #[must_use]
    pub fn graph(&self) -> Uuid {
        self.graph
    }

    /// The log position of the commit.
    #[must_use]
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// How many nodes of a type there are.
    #[must_use]
    pub fn node_count(&self, type_id: TypeId) -> u64 {
        self.node_table(type_id).map_or(0, |table| table.rows.count)
    }

    /// How many edges of a type there are.
    #[must_use]
    pub fn edge_count(&self, type_id: TypeId) -> u64 {
        self.edge_table(type_id).map_or(0, |table| table.rows.count)
    }

    /// The nodes of a type, in the order in which they were made.
    pub fn nodes(&self, type_id: TypeId) -> impl Iterator<Item = NodeRef> + '_ {
        let ids = self
            .node_table(type_id)
            .into_iter()
            .flat_map(|table| table.rows.ids());
        ids.map(move |id| NodeRef { type_id, id })
    }

    /// The nodes of a type whose ids lie in a range, both ends included, in the order in which they were
    /// made.
    pub(crate) fn nodes_between(
        &self,
        type_id: TypeId,
        (first, last): (u64, u64),
    ) -> impl Iterator<Item = NodeRef> + '_ {
        let table = self.node_table(type_id).into_iter();
        let ids = table.flat_map(move |table| table.rows.ids_between(first, last));
        ids.map(move |id| NodeRef { type_id, id })
    }

    /// The edges of a type, in the order in which they were made.
    pub fn edges(&self, type_id: TypeId) -> impl Iterator<Item = EdgeRef> + '_ {
        let ids = self
            .edge_table(type_id)
            .into_iter()
            .flat_map(|table| table.rows.ids());
        ids.map(move |id| EdgeRef { type_id, id })
    }

    /// Whether a node is there.
    #[must_use]
    pub fn contains_node(&self, node: NodeRef) -> bool {
        self.node_table(node.type_id)
            .is_some_and(|table| table.rows.contains(node.id))
    }

    /// Whether an edge is there.
    #[must_use]
    pub fn contains_edge(&self, edge: EdgeRef) -> bool {
        self.edge_table(edge.type_id)
            .is_some_and(|table| table.rows.contains(edge.id))
    }

    /// A property of a node; null when the node, the property or its value is not there.
    #[must_use]
    pub fn node_property(&self, node: NodeRef, property: PropertyId) -> Value {
        self.node_table(node.type_id)
            .map_or(Value::Null, |table| table.rows.property(node.id, property))
    }

    /// A property of an edge; null when the edge, the property or its value is not there.
    #[must_use]
    pub fn edge_property(&self, edge: EdgeRef, property: PropertyId) -> Value {
        self.edge_table(edge.type_id)
            .map_or(Value::Null, |table| table.rows.property(edge.id, property))
    }

    /// The node that an edge leaves and the one that it enters.
    #[must_use]
    pub fn edge_ends(&self, edge: EdgeRef) -> Option<(NodeRef, NodeRef)> {
        let table = self.edge_table(edge.type_id)?;
        let (source, target) = table.rows.ends(edge.id)?;
        let (source_type, target_type) = table.rows.layout.ends?;
        Some((
            NodeRef {
                type_id: source_type,
                id: source,
            },
            NodeRef {
                type_id: target_type,
                id: target,
            },
        ))
    }

    /// The edges of a type that leave a node; none when the node is of another type.
    pub fn outgoing(
        &self,
        edge_type: TypeId,
        node: NodeRef,
    ) -> impl Iterator<Item = Neighbour> + '_ {
        self.neighbours(edge_type, node, |table, (source, target)| {
            (source, target, &table.outgoing)
        })
    }

    /// The edges of a type that enter a node; none when the node is of another type.
    pub fn incoming(
        &self,
        edge_type: TypeId,
        node: NodeRef,
    ) -> impl Iterator<Item = Neighbour> + '_ {
        self.neighbours(edge_type, node, |table, (source, target)| {
            (target, source, &table.incoming)
        })
    }

    /// What `side` says of an edge table and its ends: the type of the near node, that of the far
    /// one, and the adjacency from one to the other.
    fn neighbours<'a>(
        &'a self,
        edge_type: TypeId,
        node: NodeRef,
        side: impl FnOnce(&'a EdgeTable, (TypeId, TypeId)) -> (TypeId, TypeId, &'a Adjacency),
    ) -> impl Iterator<Item = Neighbour> + 'a {
        let found = self.edge_table(edge_type).and_then(|table| {
            let (near, far, adjacency) = side(table, table.rows.layout.ends?);
            (near == node.type_id).then_some((table, far, adjacency))
        });
        found.into_iter().flat_map(move |(table, far, adjacency)| {
            let links = table.live(adjacency, node.id);
            links.map(move |link| Neighbour::of(edge_type, far, link))
        })
    }

    /// How many edges of a type leave a node. Does not walk them.
    #[must_use]
    pub fn out_degree(&self, edge_type: TypeId, node: NodeRef) -> u64 {
        self.edge_table(edge_type)
            .filter(|table| table.rows.layout.ends.map(|ends| ends.0) == Some(node.type_id))
            .map_or(0, |table| table.outgoing.degree(node.id))
    }

    /// How many edges of a type enter a node. Does not walk them.
    #[must_use]
    pub fn in_degree(&self, edge_type: TypeId, node: NodeRef) -> u64 {
        self.edge_table(edge_type)
            .filter(|table| table.rows.layout.ends.map(|ends| ends.1) == Some(node.type_id))
            .map_or(0, |table| table.incoming.degree(node.id))
    }

    /// The node with this key: the values of the type's key in order, or, for a type without a
    /// key, the identity alone.
    #[must_use]
    pub fn node_by_key(&self, type_id: TypeId, key: &[Value]) -> Option<NodeRef> {
        let table = self.node_table(type_id)?;
        let id = table.keys.get(&table.rows, key)?;
        Some(NodeRef { type_id, id })
    }

    /// The id of the node with a key, given as [`keys::bytes_of`] writes it.
    pub(crate) fn node_with_key(&self, type_id: TypeId, key: &[u8]) -> Option<u64> {
        let table = self.node_table(type_id)?;
        table.keys.find(&table.rows, key)
    }

    /// What people know a node by: its key's value, a list when the key is composite, else text.
    #[must_use]
    pub fn node_identity(&self, node: NodeRef) -> Value {
        let Some(table) = self.node_table(node.type_id) else {
            return Value::Null;
        };
        let key = &table.rows.layout.key;
        match key.as_slice() {
            [] => table
                .rows
                .identity(node.id)
                .map_or(Value::Null, Value::String),
            [position] => table.rows.value(node.id, *position),
            several => Value::list(
                several
                    .iter()
                    .map(|position| table.rows.value(node.id, *position)),
            ),
        }
    }

    /// What people know an edge by: its `id`, where the type declares one, else the identity it was
    /// given, else one derived from the graph's.
    #[must_use]
    pub fn edge_identity(&self, edge: EdgeRef) -> Value {
        let rows = self.edge_table(edge.type_id).map(|table| &table.rows);
        let declared = rows
            .and_then(|rows| identity::of_value(&rows.value(edge.id, rows.layout.declared_id?)));
        match declared.or_else(|| rows?.identity(edge.id)) {
            Some(identity) => Value::String(identity),
            None => Value::string(identity::of_edge(self.graph, edge).to_string()),
        }
    }

    /// How many rows have changed since the checkpoint.
    #[must_use]
    pub fn changed_rows(&self) -> usize {
        self.tables().map(Rows::unfolded).sum()
    }

    /// The rows of every type.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Rows> {
        let nodes = self.nodes.iter().map(|table| &table.rows);
        nodes.chain(self.edges.iter().map(|table| &table.rows))
    }

    /// The same, to be changed.
    pub(crate) fn tables_mut(&mut self) -> impl Iterator<Item = &mut Rows> {
        let nodes = self.nodes.iter_mut().map(|table| &mut table.rows);
        nodes.chain(self.edges.iter_mut().map(|table| &mut table.rows))
    }

    pub(crate) fn node_table(&self, type_id: TypeId) -> Option<&NodeTable> {
        match *self.places.get(&type_id)? {
            Place::Node(at) => self.nodes.get(at),
            Place::Edge(_) => None,
        }
    }

    pub(crate) fn edge_table(&self, type_id: TypeId) -> Option<&EdgeTable> {
        match *self.places.get(&type_id)? {
            Place::Edge(at) => self.edges.get(at),
            Place::Node(_) => None,
        }
    }

    /// The rows of one type.
    pub(crate) fn rows(&self, type_id: TypeId) -> Option<&Rows> {
        match *self.places.get(&type_id)? {
            Place::Node(at) => self.nodes.get(at).map(|table| &table.rows),
            Place::Edge(at) => self.edges.get(at).map(|table| &table.rows),
        }
    }

    fn rows_mut(&mut self, type_id: TypeId) -> Option<&mut Rows> {
        match *self.places.get(&type_id)? {
            Place::Node(at) => self.nodes.get_mut(at).map(|table| &mut table.rows),
            Place::Edge(at) => self.edges.get_mut(at).map(|table| &mut table.rows),
        }
    }

    /// Keeps which nodes are changed from now on, or no more.
    pub(crate) fn keep_journal(&mut self, keep: bool) {
        let nodes = self.nodes.iter_mut();
        nodes.for_each(|table| table.rows.keep_journal(keep));
    }

    /// Takes back changes of a row that came to nothing; it is there before and after.
    pub(crate) fn put_back(&mut self, type_id: TypeId, id: u64, before: &Arc<Row>) {
        if let Some(rows) = self.rows_mut(type_id) {
            rows.put_back(id, before);
        }
    }

    /// Puts or deletes one row and keeps the indexes with it.
    pub(crate) fn put(&mut self, type_id: TypeId, id: u64, entry: Entry) {
        match self.places.get(&type_id).copied() {
            Some(Place::Node(at)) => {
                if let Some(table) = self.nodes.get_mut(at) {
                    table.put(id, entry);
                }
            }
            Some(Place::Edge(at)) => {
                if let Some(table) = self.edges.get_mut(at) {
                    table.put(id, entry);
                }
            }
            None => {}
        }
    }

    /// Deletes everything.
    pub(crate) fn clear(&mut self, lsn: u64) {
        self.nodes.iter_mut().for_each(|table| table.clear(lsn));
        self.edges.iter_mut().for_each(|table| table.clear(lsn));
    }

    /// Takes in new rows of one type.
    pub(crate) fn append(&mut self, addition: &Addition, written: Written) {
        let place = self.places.get(&addition.layout.type_id).copied();
        match (place, &addition.index) {
            (Some(Place::Node(at)), Index::Keys(keys)) => {
                if let Some(table) = self.nodes.get_mut(at) {
                    table.append(&addition.chunks, keys, written);
                }
            }
            (Some(Place::Edge(at)), Index::Links(links)) => {
                if let Some(table) = self.edges.get_mut(at) {
                    table.append(&addition.chunks, links, written);
                }
            }
            // An addition is made for the layout of its type.
            _ => {}
        }
    }

    /// Names the commit that this has become.
    pub(crate) fn advance(&mut self, head: CommitInfo, lsn: u64) {
        self.head = Arc::new(head);
        self.lsn = lsn;
    }

    /// What keyed requests were answered.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Keeps what a commit's request was answered, when it has a key.
    pub(crate) fn remember(&mut self, header: &Header) {
        if let Some(idempotency) = &header.idempotency {
            self.answers.put(header, idempotency);
        }
    }

    /// The same graph with the answers of a checkpoint.
    pub(crate) fn with_answers(self, answers: Answers) -> Self {
        Self { answers, ..self }
    }

    /// What was known of its values at the last fold.
    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The same graph with this known of its values.
    pub(crate) fn with_statistics(self, statistics: Statistics) -> Self {
        Self {
            statistics: Arc::new(statistics),
            ..self
        }
    }

    /// Whether a commit after `lsn` has changed rows of the type or given ids of it. Only for
    /// positions since the graph was opened.
    pub(crate) fn changed_since(&self, type_id: TypeId, lsn: u64) -> bool {
        self.rows(type_id).is_none_or(|rows| rows.changed > lsn)
    }

    /// Notes that the ids of a type before `next_id` have been given, at `lsn` the last of them.
    pub(crate) fn reserve(&mut self, type_id: TypeId, next_id: u64, lsn: u64) {
        if let Some(rows) = self.rows_mut(type_id) {
            rows.next_id = rows.next_id.max(next_id);
            rows.changed = rows.changed.max(lsn);
        }
    }

    /// The same graph with every row in the bases, as the tables have it once this is folded; `source`
    /// says where those are. What that costs depends on what has changed since the last fold.
    pub(crate) fn folded(&self, source: &Sources<'_>) -> Result<Self, ArrowError> {
        let nodes = self.nodes.iter().map(|table| table.folded(source));
        let edges = self.edges.iter().map(|table| table.folded(source));
        Ok(Self {
            nodes: nodes.collect::<Result<Vec<_>, _>>()?,
            edges: edges.collect::<Result<Vec<_>, _>>()?,
            ..self.clone()
        })
    }

    /// The same graph on newer bases, which hold everything up to `folded`. `prepared` is the
    /// snapshot at `folded` on those bases, whose indexes are taken over.
    pub(crate) fn rebased(&self, prepared: &Self) -> Self {
        let folded = prepared.lsn;
        let nodes = self.nodes.iter().zip(&prepared.nodes);
        let edges = self.edges.iter().zip(&prepared.edges);
        Self {
            nodes: nodes.map(|(now, then)| now.rebased(then, folded)).collect(),
            edges: edges.map(|(now, then)| now.rebased(then, folded)).collect(),
            statistics: prepared.statistics.clone(),
            ..self.clone()
        }
    }
}

impl Rows {
    fn property(&self, id: u64, property: PropertyId) -> Value {
        self.layout
            .position(property)
            .map_or(Value::Null, |position| self.value(id, position))
    }
}

impl Neighbour {
    fn of(edge_type: TypeId, node_type: TypeId, link: Link) -> Self {
        Self {
            edge: EdgeRef {
                type_id: edge_type,
                id: link.edge,
            },
            node: NodeRef {
                type_id: node_type,
                id: link.node,
            },
        }
    }
}
