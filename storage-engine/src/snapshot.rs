//! An immutable view of a graph at a commit.
//!
//! A snapshot is tables at a checkpoint plus the changes since, with the indexes over both. It is
//! cheap to copy, and copies share everything that is equal. A statement holds one from start to
//! end; the one writer works on a copy and publishes it when its commit is durable.

mod restore;

use std::sync::Arc;

use language::schema::{OpenTypes, PropertyId, Schema, TypeId};
use language::value::{EdgeRef, NodeRef, Value};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::answers::Answers;
use crate::columns::Layout;
use crate::identity;
use crate::keys::Keys;
use crate::record::{CommitInfo, Header};
use crate::rows::{Base, Entry, Rows};
use crate::topology::{Adjacency, Link};

pub(crate) use restore::Before;

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

#[derive(Clone, Debug)]
pub(crate) struct NodeTable {
    pub(crate) rows: Rows,
    keys: Keys,
}

#[derive(Clone, Debug)]
pub(crate) struct EdgeTable {
    pub(crate) rows: Rows,
    outgoing: Adjacency,
    incoming: Adjacency,
}

/// The base of each type, and the first id that no row of it has had.
pub(crate) type Bases = FxHashMap<TypeId, (Arc<Base>, u64)>;

impl Snapshot {
    /// The graph as its tables hold it, at the commit they were folded to.
    pub(crate) fn at_checkpoint(
        graph: Uuid,
        schema: Arc<Schema>,
        head: CommitInfo,
        lsn: u64,
        bases: &Bases,
    ) -> Result<Self, arrow_schema::ArrowError> {
        let (node_layouts, edge_layouts) = Layout::of_schema(&schema);
        let rows = |layout: Arc<Layout>| match bases.get(&layout.type_id) {
            Some((base, next_id)) => Ok(Rows::new(layout, base.clone(), *next_id)),
            None => Base::empty(&layout).map(|base| Rows::new(layout, Arc::new(base), 1)),
        };
        let nodes = node_layouts
            .into_iter()
            .map(|layout| rows(layout).map(NodeTable::new))
            .collect::<Result<Vec<_>, _>>()?;
        let edges = edge_layouts
            .into_iter()
            .map(|layout| rows(layout).map(EdgeTable::new))
            .collect::<Result<Vec<_>, _>>()?;
        let node_places = nodes
            .iter()
            .enumerate()
            .map(|(at, table)| (table.rows.layout.type_id, Place::Node(at)));
        let edge_places = edges
            .iter()
            .enumerate()
            .map(|(at, table)| (table.rows.layout.type_id, Place::Edge(at)));
        let places = Arc::new(node_places.chain(edge_places).collect());
        Ok(Self {
            open: schema.open(),
            schema,
            graph,
            head: Arc::new(head),
            lsn,
            places,
            nodes,
            edges,
            answers: Answers::default(),
        })
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

    /// How many edges of a type leave a node.
    #[must_use]
    pub fn out_degree(&self, edge_type: TypeId, node: NodeRef) -> u64 {
        self.outgoing(edge_type, node).count() as u64
    }

    /// How many edges of a type enter a node.
    #[must_use]
    pub fn in_degree(&self, edge_type: TypeId, node: NodeRef) -> u64 {
        self.incoming(edge_type, node).count() as u64
    }

    /// The node with this key: the values of the type's key in order, or, for a type without a
    /// key, the identity alone.
    #[must_use]
    pub fn node_by_key(&self, type_id: TypeId, key: &[Value]) -> Option<NodeRef> {
        let table = self.node_table(type_id)?;
        let id = table.keys.get(&table.rows, key)?;
        Some(NodeRef { type_id, id })
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

    /// Bytes of memory that columns and adjacency take; changes since the checkpoint not counted.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(|table| table.rows.base.bytes()).sum();
        let edges = self
            .edges
            .iter()
            .map(|table| table.rows.base.bytes() + table.outgoing.bytes() + table.incoming.bytes());
        nodes + edges.sum::<usize>()
    }

    /// How many rows have changed since the checkpoint.
    #[must_use]
    pub fn changed_rows(&self) -> usize {
        self.tables().map(|rows| rows.changes.size()).sum()
    }

    /// The rows of every type.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Rows> {
        let nodes = self.nodes.iter().map(|table| &table.rows);
        nodes.chain(self.edges.iter().map(|table| &table.rows))
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

    /// Whether a commit after `lsn` has changed rows of the type or given ids of it. Only for
    /// positions since the graph was opened.
    pub(crate) fn changed_since(&self, type_id: TypeId, lsn: u64) -> bool {
        self.rows(type_id).is_none_or(|rows| rows.changed > lsn)
    }

    /// Notes that the ids of a type before `next_id` have been given, at `lsn` the last of them.
    pub(crate) fn reserve(&mut self, type_id: TypeId, next_id: u64, lsn: u64) {
        let rows = match self.places.get(&type_id).copied() {
            Some(Place::Node(at)) => self.nodes.get_mut(at).map(|table| &mut table.rows),
            Some(Place::Edge(at)) => self.edges.get_mut(at).map(|table| &mut table.rows),
            None => None,
        };
        if let Some(rows) = rows {
            rows.next_id = rows.next_id.max(next_id);
            rows.changed = rows.changed.max(lsn);
        }
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

impl NodeTable {
    fn new(rows: Rows) -> Self {
        let keys = Keys::of_base(&rows.layout, &rows.base);
        Self { rows, keys }
    }

    fn put(&mut self, id: u64, entry: Entry) {
        match (&entry.row, self.rows.row(id)) {
            (Some(row), None) => self.keys.put(&self.rows.layout, row, Some(id)),
            (None, Some(old)) => self.keys.put(&self.rows.layout, &old, None),
            // A key never changes while its node lives.
            _ => {}
        }
        self.rows.put(id, entry);
    }

    fn rebased(&self, prepared: &Self, folded: u64) -> Self {
        let mut keys = prepared.keys.clone();
        for (id, entry) in self
            .rows
            .changes
            .iter()
            .filter(|(_, entry)| entry.lsn > folded)
        {
            let old = prepared.rows.row(*id);
            match (&entry.row, old) {
                (Some(row), _) => keys.put(&self.rows.layout, row, Some(*id)),
                (None, Some(old)) => keys.put(&self.rows.layout, &old, None),
                (None, None) => {}
            }
        }
        Self {
            rows: self.rows.rebased(prepared.rows.base.clone(), folded),
            keys,
        }
    }
}

impl EdgeTable {
    fn new(rows: Rows) -> Self {
        let base = rows.base.clone();
        let edges = base.ids().iter().enumerate().filter_map(|(slot, id)| {
            let (source, target) = base.ends(slot)?;
            Some((*id, source, target))
        });
        let outgoing = Adjacency::build(edges.clone());
        let incoming = Adjacency::build(edges.map(|(edge, source, target)| (edge, target, source)));
        Self {
            rows,
            outgoing,
            incoming,
        }
    }

    fn put(&mut self, id: u64, entry: Entry) {
        if !self.rows.contains(id)
            && let Some((source, target)) = entry.row.as_ref().and_then(|row| row.ends)
        {
            self.outgoing.add(
                source,
                Link {
                    edge: id,
                    node: target,
                },
            );
            self.incoming.add(
                target,
                Link {
                    edge: id,
                    node: source,
                },
            );
        }
        self.rows.put(id, entry);
    }

    fn rebased(&self, prepared: &Self, folded: u64) -> Self {
        let mut table = Self {
            rows: self.rows.rebased(prepared.rows.base.clone(), folded),
            outgoing: prepared.outgoing.without_additions(),
            incoming: prepared.incoming.without_additions(),
        };
        for (id, entry) in table.rows.changes.iter() {
            let ends = entry.row.as_ref().and_then(|row| row.ends);
            if let Some((source, target)) = ends.filter(|_| table.rows.base.slot(*id).is_none()) {
                table.outgoing.add(
                    source,
                    Link {
                        edge: *id,
                        node: target,
                    },
                );
                table.incoming.add(
                    target,
                    Link {
                        edge: *id,
                        node: source,
                    },
                );
            }
        }
        table
    }

    /// The links of a node whose edges are still there.
    fn live<'a>(&'a self, adjacency: &'a Adjacency, node: u64) -> impl Iterator<Item = Link> + 'a {
        let (base, added) = adjacency.links(node);
        let check_base = self.rows.base_deletions > 0;
        let base = base
            .iter()
            .copied()
            .filter(move |link| !check_base || self.rows.contains(link.edge));
        base.chain(added.filter(|link| self.rows.contains(link.edge)))
    }
}
