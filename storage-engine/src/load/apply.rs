//! Records -> changes of a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::schema::TypeId;
use language::value::{EdgeRef, NodeRef, Value};
use rustc_hash::FxHashMap;

use super::{EdgeRecord, End, Errors, LineError, Mode, NodeRecord, Rows};
use crate::snapshot::Snapshot;
use crate::transaction::{Transaction, WriteError};

/// How many records of each type were loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// By node type.
    pub nodes: BTreeMap<String, u64>,
    /// By edge type.
    pub edges: BTreeMap<String, u64>,
}

/// Applies the records. After an error the transaction must be dropped.
///
/// # Errors
/// Everything that the graph does not allow, by line.
pub(crate) fn apply(
    batch: &Rows,
    mode: Mode,
    transaction: &mut Transaction,
) -> Result<Loaded, Vec<LineError>> {
    if mode == Mode::Overwrite {
        clear(transaction).map_err(|error| {
            vec![LineError {
                line: 0,
                message: error.to_string(),
            }]
        })?;
    }
    let (loaded, errors) = put(batch, mode, transaction, true);
    errors.or(loaded)
}

/// What the graph would refuse of records that are not loaded, for there are others that could not be
/// read: a node that an edge lacks may be one of those.
pub(super) fn refused(batch: &Rows, mode: Mode, snapshot: &Arc<Snapshot>) -> Errors {
    let run = uuid::Uuid::nil();
    let mut trial = Transaction::new(snapshot.as_ref().clone(), snapshot.lsn() + 1, run);
    match mode == Mode::Overwrite && clear(&mut trial).is_err() {
        true => Errors::default(),
        false => put(batch, mode, &mut trial, false).1,
    }
}

/// Puts all records; `all`: those, too, whose ends are not there.
fn put(batch: &Rows, mode: Mode, transaction: &mut Transaction, all: bool) -> (Loaded, Errors) {
    let mut loaded = Loaded::default();
    let mut errors = Errors::default();
    for record in &batch.nodes {
        if errors.full() {
            break;
        }
        match put_node(record, mode, transaction) {
            Ok(()) => {
                *loaded
                    .nodes
                    .entry(name(transaction, record.type_id))
                    .or_default() += 1
            }
            Err(error) => errors.add(record.line, error.to_string()),
        }
    }
    let mut between = Between::default();
    for record in &batch.edges {
        if errors.full() {
            break;
        }
        let is_there = |end: &End| {
            let snapshot = transaction.snapshot();
            snapshot.node_by_key(end.type_id, &end.key).is_some()
        };
        if !(all || is_there(&record.source) && is_there(&record.target)) {
            continue;
        }
        match put_edge(record, mode, transaction, &mut between) {
            Ok(()) => {
                *loaded
                    .edges
                    .entry(name(transaction, record.type_id))
                    .or_default() += 1
            }
            Err(message) => errors.add(record.line, message),
        }
    }
    (loaded, errors)
}

fn name(transaction: &Transaction, type_id: TypeId) -> String {
    transaction
        .snapshot()
        .schema()
        .type_name(type_id)
        .unwrap_or_default()
        .to_owned()
}

fn clear(transaction: &mut Transaction) -> Result<(), WriteError> {
    let before = transaction.snapshot().clone();
    let schema = before.schema();
    for edge in schema
        .edge_types
        .iter()
        .flat_map(|edge_type| before.edges(edge_type.id))
    {
        transaction.delete_edge(edge)?;
    }
    for node in schema
        .node_types
        .iter()
        .flat_map(|node_type| before.nodes(node_type.id))
    {
        transaction.delete_node(node)?;
    }
    Ok(())
}

fn put_node(
    record: &NodeRecord,
    mode: Mode,
    transaction: &mut Transaction,
) -> Result<(), WriteError> {
    let there = match mode {
        Mode::Merge => find_node(record, transaction.snapshot()),
        Mode::Append | Mode::Overwrite => None,
    };
    match there {
        Some(node) => {
            let element = Value::Node(node);
            let changes = transaction
                .snapshot()
                .overlaid(&element, &record.properties);
            transaction.set_node(node, changes)?;
        }
        None => {
            transaction.create_identified_node(
                record.type_id,
                record.identity.clone(),
                record.properties.clone(),
            )?;
        }
    }
    transaction.end_statement()
}

fn find_node(record: &NodeRecord, snapshot: &Snapshot) -> Option<NodeRef> {
    let key = match &record.identity {
        Some(identity) => vec![Value::String(identity.clone())],
        None => {
            let key = &snapshot.schema().node_type(record.type_id)?.key;
            let value = |id| record.properties.iter().find(|(other, _)| other == id);
            let values = key
                .iter()
                .map(|id| value(id).map(|(_, value)| value.clone()));
            values
                .collect::<Option<Vec<_>>>()
                .filter(|values| !values.is_empty())?
        }
    };
    snapshot.node_by_key(record.type_id, &key)
}

fn put_edge(
    record: &EdgeRecord,
    mode: Mode,
    transaction: &mut Transaction,
    between: &mut Between,
) -> Result<(), String> {
    let source = find_end(&record.source, transaction.snapshot(), "from")?;
    let target = find_end(&record.target, transaction.snapshot(), "to")?;
    let there = match mode {
        Mode::Merge => between.find(record, source, target, transaction.snapshot()),
        Mode::Append | Mode::Overwrite => None,
    };
    let put = match there {
        Some(edge) => {
            let element = Value::Relationship(edge);
            let changes = transaction
                .snapshot()
                .overlaid(&element, &record.properties);
            transaction.set_edge(edge, changes)
        }
        None => transaction
            .create_identified_edge(
                record.type_id,
                source,
                target,
                record.identity.clone(),
                record.properties.clone(),
            )
            .map(|made| {
                if mode == Mode::Merge {
                    between.add(made, source, target);
                }
            }),
    };
    put.and_then(|()| transaction.end_statement())
        .map_err(|error| error.to_string())
}

fn find_end(end: &End, snapshot: &Snapshot, side: &str) -> Result<NodeRef, String> {
    snapshot.node_by_key(end.type_id, &end.key).ok_or_else(|| {
        let type_name = snapshot.schema().type_name(end.type_id).unwrap_or_default();
        let key: Vec<String> = end
            .key
            .iter()
            .map(|value| language::schema::scalar_to_json(value).to_string())
            .collect();
        format!(
            "{side}: there is no {type_name} with the key {}",
            key.join(", ")
        )
    })
}

/// The edges between two nodes. Those of a source are listed once, however many a load merges: a
/// hub is not walked for each of its edges.
#[derive(Debug, Default)]
struct Between(FxHashMap<(TypeId, u64), FxHashMap<u64, Vec<EdgeRef>>>);

impl Between {
    fn of(
        &mut self,
        edge_type: TypeId,
        source: NodeRef,
        snapshot: &Snapshot,
    ) -> &mut FxHashMap<u64, Vec<EdgeRef>> {
        self.0.entry((edge_type, source.id)).or_insert_with(|| {
            let mut edges: FxHashMap<u64, Vec<EdgeRef>> = FxHashMap::default();
            for neighbour in snapshot.outgoing(edge_type, source) {
                edges
                    .entry(neighbour.node.id)
                    .or_default()
                    .push(neighbour.edge);
            }
            edges
        })
    }

    /// Notes an edge that was made since.
    fn add(&mut self, edge: EdgeRef, source: NodeRef, target: NodeRef) {
        if let Some(edges) = self.0.get_mut(&(edge.type_id, source.id)) {
            edges.entry(target.id).or_default().push(edge);
        }
    }

    fn find(
        &mut self,
        record: &EdgeRecord,
        source: NodeRef,
        target: NodeRef,
        snapshot: &Snapshot,
    ) -> Option<EdgeRef> {
        let edges = self.of(record.type_id, source, snapshot).get(&target.id)?;
        let edges = edges.iter().copied();
        let mut edges = edges.filter(|edge| super::open::same_type(record, *edge, snapshot));
        match &record.identity {
            None => edges.min_by_key(|edge| edge.id),
            Some(identity) => {
                let wanted = Value::String(identity.clone());
                edges.find(|edge| snapshot.edge_identity(*edge) == wanted)
            }
        }
    }
}
