//! The rows of a load, taken in block by block in the order of the input.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use language::schema::scalar_to_json;

use super::context::{Context, Shape};
use super::index::NodeIndexes;
use super::part::{Flaw, Lines, Part, PartBuilder};
use super::{Errors, LineError};
use crate::chunk::{CHUNK_ROWS, Chunk};
use crate::columns::Layout;
use crate::keys;
use crate::packed::Numbers;
use crate::rows::Row;
use crate::transaction::{describe_key, missing};

/// The nodes that are known so far.
pub(super) type Nodes = RwLock<NodeIndexes>;

/// What came of one block of the input.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// How many lines or rows it has.
    pub(super) lines: u64,
    /// By line, counted from 1 within the block.
    pub(super) errors: Vec<(u64, String)>,
    /// Node types before edge types.
    pub(super) parts: Vec<Part>,
}

impl Block {
    /// Takes in the rows of each type.
    pub(super) fn finish(
        &mut self,
        context: &Context,
        nodes: &Nodes,
        builders: impl IntoIterator<Item = PartBuilder>,
    ) {
        let nodes = nodes.read().unwrap_or_else(PoisonError::into_inner);
        for builder in builders {
            match builder.finish(context, &nodes) {
                Ok(part) => self.parts.push(part),
                Err(error) => self.errors.push((1, error.to_string())),
            }
        }
        self.parts.sort_by_key(|part| part.slot);
    }
}

/// An end of an edge whose node has not come yet.
#[derive(Debug)]
struct Pending {
    slot: usize,
    /// Among the rows of its type.
    row: u64,
    /// The source is 0, the target 1.
    side: usize,
    key: Box<[u8]>,
}

/// The rows of one type.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) layout: Arc<Layout>,
    pub(super) chunks: Vec<Arc<Chunk>>,
    /// How many of them, the last, are to be one with what comes, and how many rows they have.
    open: (usize, usize),
    pub(super) lines: Lines,
    pub(super) rows: u64,
    pub(super) first_id: u64,
}

/// Everything that was read so far.
#[derive(Debug)]
pub(super) struct Gatherer<'a> {
    context: &'a Context,
    nodes: &'a Nodes,
    tables: Vec<Table>,
    pending: Vec<Pending>,
    /// What is wrong with lines by themselves.
    errors: Errors,
    /// What the graph does not allow, of nodes and of edges.
    node_errors: Errors,
    edge_errors: Errors,
    lines: u64,
    properties_set: u64,
}

/// Everything that was read, and what is wrong with it: then nothing is loaded.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(super) tables: Vec<Table>,
    pub(super) properties_set: u64,
    pub(super) errors: Vec<LineError>,
}

impl Table {
    /// Makes one chunk of small neighbours where they and so many rows more would be too many for it; gives
    /// it, with how many it is made of. At once, and not in the end: what they are made of is free for
    /// what comes, while there is only so much of it.
    fn make_room(&mut self, more: usize) -> Option<(usize, Arc<Chunk>)> {
        let (count, rows) = self.open;
        if rows + more <= CHUNK_ROWS {
            return None;
        }
        self.open = (0, 0);
        if count < 2 {
            return None;
        }
        let some = self
            .chunks
            .split_off(self.chunks.len().saturating_sub(count));
        match Chunk::concat(&self.layout, &some) {
            Ok(whole) => {
                let whole = Arc::new(whole);
                self.chunks.push(whole.clone());
                Some((count, whole))
            }
            Err(error) => {
                // They do as they are.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "chunks are not joined"
                );
                self.chunks.extend(some);
                None
            }
        }
    }

    fn push(&mut self, chunk: Arc<Chunk>) {
        let (count, rows) = self.open;
        self.open = (count + 1, rows + chunk.len());
        self.chunks.push(chunk);
    }

    /// The chunk that has one of its rows, and the place there.
    fn place(&self, row: u64) -> Option<(usize, usize)> {
        let id = self.first_id + row;
        let after = self.chunks.partition_point(|chunk| chunk.first() <= id);
        let at = after.checked_sub(1)?;
        Some((at, self.chunks.get(at)?.find(id)?))
    }
}

impl<'a> Gatherer<'a> {
    pub(super) fn new(context: &'a Context, nodes: &'a Nodes) -> Self {
        let table = |shape: &Shape| Table {
            layout: shape.layout.clone(),
            chunks: Vec::new(),
            open: (0, 0),
            lines: Lines::default(),
            rows: 0,
            first_id: shape.first_id,
        };
        Self {
            tables: context.shapes.iter().map(table).collect(),
            context,
            nodes,
            pending: Vec::new(),
            errors: Errors::default(),
            node_errors: Errors::default(),
            edge_errors: Errors::default(),
            lines: 0,
            properties_set: 0,
        }
    }

    /// Takes in the next block. `false` when there are errors enough.
    pub(super) fn take(&mut self, block: Block) -> bool {
        for (line, message) in block.errors {
            self.errors.add(self.lines + line, message);
        }
        for part in block.parts {
            self.properties_set += part.properties_set;
            match self.context.shape(part.slot) {
                Some(shape) if shape.is_node() => self.take_nodes(shape, part),
                Some(_) => self.take_edges(part),
                None => {}
            }
        }
        self.lines += block.lines;
        !self.errors.full()
    }

    /// What is wrong with the input as a whole, at the line after those taken in.
    pub(super) fn fail(&mut self, message: String) {
        self.errors.add(self.lines + 1, message);
    }

    fn take_nodes(&mut self, shape: &Shape, part: Part) {
        let Some(table) = self.tables.get_mut(part.slot) else {
            return;
        };
        table.lines.append(&part.lines, table.rows, self.lines);
        let before = table.rows;
        table.rows += part.chunk.len() as u64;
        let chunk = Arc::new(part.chunk.numbered(table.first_id + before));
        let keyless: Vec<usize> = part
            .flaws
            .iter()
            .filter(|(_, flaw)| matches!(flaw, Flaw::Unidentified(_)))
            .map(|(row, _)| *row)
            .collect();
        let joined = table.make_room(chunk.len());
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if let (Some((count, whole)), Some(index)) = (joined, nodes.of_mut(part.slot)) {
            index.join(count, whole);
        }
        let repeated = match nodes.of_mut(part.slot) {
            Some(index) => index.add(&chunk, &part.hashes, |row| {
                keyless.binary_search(&row).is_ok()
            }),
            None => Vec::new(),
        };
        drop(nodes);
        // Of each row the first that is wrong: no key, one that is taken, then what is missing.
        let mut wrong: BTreeMap<usize, Flaw> = part.flaws.into_iter().collect();
        for row in repeated {
            wrong.insert(row, Flaw::Taken);
        }
        for (row, flaw) in wrong {
            let line = table.lines.of(before + row as u64);
            self.node_errors
                .add(line, tell(&shape.layout, &chunk, row, flaw));
        }
        table.push(chunk);
    }

    fn take_edges(&mut self, part: Part) {
        let Some(ends) = self.context.shape(part.slot).and_then(|shape| shape.ends) else {
            return;
        };
        let Some(table) = self.tables.get_mut(part.slot) else {
            return;
        };
        table.lines.append(&part.lines, table.rows, self.lines);
        for (row, flaw) in part.flaws {
            let line = table.lines.of(table.rows + row as u64);
            self.edge_errors
                .add(line, tell(&table.layout, &part.chunk, row, flaw));
        }
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let [mut sources, mut targets] = part.ends;
        for (side, slot, ends) in [(0, ends.0, &mut sources), (1, ends.1, &mut targets)] {
            for (row, key) in std::mem::take(&mut ends.unknown) {
                let known = nodes.of(slot).and_then(|index| index.find(&key));
                match (known, ends.nodes.get_mut(row)) {
                    (Some(node), Some(place)) => *place = node,
                    _ => self.pending.push(Pending {
                        slot: part.slot,
                        row: table.rows + row as u64,
                        side,
                        key,
                    }),
                }
            }
        }
        let first = table.first_id + table.rows;
        table.rows += part.chunk.len() as u64;
        let (sources, targets) = (Numbers::pack(&sources.nodes), Numbers::pack(&targets.nodes));
        let chunk = part.chunk.numbered(first).with_ends(sources, targets);
        table.make_room(chunk.len());
        table.push(Arc::new(chunk));
    }

    /// Everything, with the edges whose nodes came after them.
    pub(super) fn finish(mut self) -> Gathered {
        for table in &mut self.tables {
            table.make_room(CHUNK_ROWS);
        }
        // A node that an edge lacks may be on a line that could not be read.
        if self.errors.is_empty() {
            self.resolve();
        }
        Gathered {
            tables: self.tables,
            properties_set: self.properties_set,
            errors: Errors::merged([self.errors, self.node_errors, self.edge_errors]),
        }
    }

    fn resolve(&mut self) {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        type Places = Vec<(usize, usize, u64)>;
        let mut found: BTreeMap<(usize, usize), Places> = BTreeMap::new();
        let mut told = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            let shape = self.context.shape(pending.slot);
            let Some(ends) = shape.and_then(|shape| shape.ends) else {
                continue;
            };
            let end = if pending.side == 0 { ends.0 } else { ends.1 };
            let node = nodes.of(end).and_then(|index| index.find(&pending.key));
            if let Some(node) = node {
                let place = self.tables.get(pending.slot);
                if let Some((chunk, row)) = place.and_then(|table| table.place(pending.row)) {
                    let places = found.entry((pending.slot, chunk)).or_default();
                    places.push((row, pending.side, node));
                }
                continue;
            }
            let table = self.tables.get(pending.slot);
            let line = table.map(|table| table.lines.of(pending.row));
            let side = if pending.side == 0 { "from" } else { "to" };
            let name = self
                .context
                .shape(end)
                .map(|shape| shape.layout.name.as_str());
            told.push((line.unwrap_or(0), pending.side, side, name, pending.key));
        }
        for ((slot, chunk), places) in found {
            let table = self.tables.get_mut(slot);
            if let Some(chunk) = table.and_then(|table| table.chunks.get_mut(chunk)) {
                *chunk = Arc::new(chunk.with_nodes(&places));
            }
        }
        // Of an edge that lacks both, the source is told.
        told.sort_by_key(|(line, side, ..)| (*line, *side));
        told.dedup_by_key(|(line, ..)| *line);
        for (line, _, side, name, key) in told {
            let name = name.unwrap_or_default();
            self.edge_errors.replace(line, absent(side, name, &key));
        }
    }
}

/// What is said of an end that is not there.
pub(super) fn absent(side: &str, type_name: &str, key: &[u8]) -> String {
    let values = keys::values_of(key);
    let key: Vec<String> = values
        .iter()
        .map(|value| scalar_to_json(value).to_string())
        .collect();
    format!(
        "{side}: there is no {type_name} with the key {}",
        key.join(", ")
    )
}

/// What is said of a row.
pub(super) fn tell(layout: &Layout, chunk: &Chunk, row: usize, flaw: Flaw) -> String {
    match flaw {
        Flaw::Unidentified(position) | Flaw::Missing(position) => {
            missing(layout, position).to_string()
        }
        Flaw::Taken => {
            let row = Row {
                values: (0..layout.properties.len())
                    .map(|position| chunk.value(row, position))
                    .collect(),
                left: Vec::new(),
                identity: chunk.identity(row).map(Arc::from),
                ends: None,
                lsn: 0,
                run: uuid::Uuid::nil(),
            };
            let (type_name, key) = (&layout.name, describe_key(layout, &row));
            format!("a {type_name} with {key} exists already")
        }
    }
}
