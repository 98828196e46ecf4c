//! The rows of one type in one block of the input, as columns.

use language::value::Value;
use uuid::Uuid;

use super::builder::{Cell, ColumnBuilder};
use super::context::{Context, Shape, value_of, write_key};
use super::index::NodeIndexes;
use super::record::Record;
use crate::chunk::{Chunk, Parts};
use crate::identity;
use crate::keys;
use crate::packed::Numbers;
use arrow_array::ArrayRef;
use arrow_array::builder::LargeStringBuilder;
use arrow_schema::ArrowError;
use std::sync::Arc;

/// Lines of rows: where they follow on one another, the first says them all.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<(u64, u64)>);

impl Lines {
    /// Notes the line of the row with this number, which is higher than those before.
    pub(super) fn push(&mut self, row: u64, line: u64) {
        let follows = |(start, first): &(u64, u64)| first + (row - start) == line;
        if !self.0.last().is_some_and(follows) {
            self.0.push((row, line));
        }
    }

    pub(super) fn of(&self, row: u64) -> u64 {
        let after = self.0.partition_point(|(start, _)| *start <= row);
        let run = after.checked_sub(1).and_then(|at| self.0.get(at));
        run.map_or(0, |(start, first)| first + (row - start))
    }

    /// Adds the lines of later rows.
    pub(super) fn append(&mut self, other: &Self, rows_before: u64, lines_before: u64) {
        for (row, line) in &other.0 {
            self.push(row + rows_before, line + lines_before);
        }
    }
}

/// What a row lacks, other than a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A part of the key, at this position.
    Unidentified(usize),
    /// The key is that of a node which is there.
    Taken,
    /// A required property, at this position.
    Missing(usize),
}

/// The ends of edges: the nodes as far as they are known, the keys of the others.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// 0 for one that is not known yet.
    pub(super) nodes: Vec<u64>,
    /// One after the other.
    keys: Vec<u8>,
    /// Where each ends; only until [`Ends::resolve`].
    key_ends: Vec<usize>,
    /// Rows that are not known, and their keys.
    pub(super) unknown: Vec<(usize, Box<[u8]>)>,
}

impl Ends {
    fn push(&mut self, key: &[u8]) {
        self.keys.extend_from_slice(key);
        self.key_ends.push(self.keys.len());
    }

    /// Finds the nodes of the keys.
    fn resolve(&mut self, context: &Context, slot: usize, indexes: &NodeIndexes) {
        let index = indexes.of(slot);
        let mut start = 0;
        self.nodes.reserve_exact(self.key_ends.len());
        for (row, end) in std::mem::take(&mut self.key_ends).into_iter().enumerate() {
            let key = self.keys.get(start..end).unwrap_or_default();
            start = end;
            let found = index
                .and_then(|index| index.find(key))
                .or_else(|| context.existing(slot, key));
            if found.is_none() {
                self.unknown.push((row, key.into()));
            }
            self.nodes.push(found.unwrap_or_default());
        }
        self.keys = Vec::new();
    }
}

/// Rows of one type while a block is read.
#[derive(Debug)]
pub(super) struct PartBuilder {
    slot: usize,
    rows: usize,
    columns: Vec<ColumnBuilder>,
    identities: LargeStringBuilder,
    hashes: Vec<u64>,
    flaws: Vec<(usize, Flaw)>,
    lines: Lines,
    ends: [Ends; 2],
    properties_set: u64,
    key: Vec<u8>,
}

/// Rows of one type of a block, read.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) slot: usize,
    /// Its ids count from 0, its ends are not set.
    pub(super) chunk: Chunk,
    /// Of the keys of nodes.
    pub(super) hashes: Vec<u64>,
    /// By row, ascending.
    pub(super) flaws: Vec<(usize, Flaw)>,
    pub(super) lines: Lines,
    /// Of the sources and of the targets.
    pub(super) ends: [Ends; 2],
    pub(super) properties_set: u64,
}

/// A row on its way into the columns.
pub(super) struct Given<'a, 'b> {
    pub(super) line: u64,
    /// By position; `None` where nothing is given, not even null.
    pub(super) cells: &'b mut [Option<Cell<'a>>],
    /// Where it is not a declared property.
    pub(super) identity: Option<&'a str>,
    /// The keys of source and target, for edges, as [`keys::bytes_of`] writes them.
    pub(super) ends: Option<(&'a [u8], &'a [u8])>,
}

impl PartBuilder {
    pub(super) fn new(context: &Context, slot: usize) -> Self {
        let properties = context.shape(slot).map(|shape| &shape.layout.properties);
        let properties = properties.into_iter().flatten();
        Self {
            slot,
            rows: 0,
            columns: properties.map(ColumnBuilder::new).collect(),
            identities: LargeStringBuilder::new(),
            hashes: Vec::new(),
            flaws: Vec::new(),
            lines: Lines::default(),
            ends: Default::default(),
            properties_set: 0,
            key: Vec::new(),
        }
    }

    /// Adds a row whose values their properties accept.
    pub(super) fn push(&mut self, context: &Context, given: Given<'_, '_>) {
        let Some(shape) = context.shape(self.slot) else {
            return;
        };
        let there = |cell: &&Option<Cell<'_>>| !matches!(cell, None | Some(Cell::Null));
        self.properties_set += given.cells.iter().filter(there).count() as u64;
        let made;
        let mut flaw = None;
        let mut identity = given.identity;
        let default = |position: usize| {
            let default = shape.property(position)?.default.as_ref();
            Some(Cell::from(default.unwrap_or(&Value::Null)))
        };
        // Shorter lived than what was given: defaults are the schema's.
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(given.cells.len());
        for (position, cell) in given.cells.iter().enumerate() {
            let default = || default(position).unwrap_or(Cell::Null);
            cells.push(cell.clone().unwrap_or_else(default));
        }
        if shape.layout.key.is_empty() {
            made = self.identify(shape, &cells, identity);
            identity = made.as_deref();
            if let Some(position) = shape.layout.declared_id
                && let Some(cell) = cells.get_mut(position)
                && *cell == Cell::Null
            {
                let text = identity.map(Value::string).unwrap_or(Value::Null);
                let fits = shape
                    .property(position)
                    .is_some_and(|it| it.accept(text).is_ok());
                match identity {
                    Some(text) if fits => *cell = Cell::Text(text),
                    // That of an edge stays empty.
                    _ if shape.is_node() => flaw = Some(Flaw::Unidentified(position)),
                    _ => {}
                }
            }
        }
        if shape.is_node() {
            flaw = flaw.or(self.hash_key(context, shape, &cells, identity));
        }
        let empty = |position: &&usize| cells.get(**position) == Some(&Cell::Null);
        let missing = shape.required.iter().find(empty);
        if let Some(flaw) = flaw.or(missing.map(|position| Flaw::Missing(*position))) {
            self.flaws.push((self.rows, flaw));
        }
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.push(cell);
        }
        self.identities.append_option(identity);
        if let Some((source, target)) = given.ends {
            let [sources, targets] = &mut self.ends;
            sources.push(source);
            targets.push(target);
        }
        self.lines.push(self.rows as u64, given.line);
        self.rows += 1;
    }

    /// The identity of a row of a type without a key: the `id` that the type declares, else the one
    /// that was given, else, for a node or for an `id` to hold it, a new one.
    fn identify(&self, shape: &Shape, cells: &[Cell<'_>], given: Option<&str>) -> Option<Arc<str>> {
        let declared = shape.layout.declared_id;
        let declared_value = declared.and_then(|position| {
            let value_type = &shape.property(position)?.value_type;
            identity::of_value(&value_of(cells.get(position)?, value_type))
        });
        let new = || {
            let wanted = shape.is_node() || declared.is_some();
            wanted.then(|| Arc::from(Uuid::now_v7().to_string()))
        };
        declared_value.or_else(|| given.map(Arc::from)).or_else(new)
    }

    /// The hash of a node's key; says when it has none, or one that is taken.
    fn hash_key(
        &mut self,
        context: &Context,
        shape: &Shape,
        cells: &[Cell<'_>],
        identity: Option<&str>,
    ) -> Option<Flaw> {
        self.key.clear();
        let mut flaw = None;
        for position in &shape.layout.key {
            match (shape.property(*position), cells.get(*position)) {
                (Some(property), Some(cell)) if *cell != Cell::Null => {
                    write_key(property, cell, &mut self.key);
                }
                _ => flaw = flaw.or(Some(Flaw::Unidentified(*position))),
            }
        }
        if shape.layout.key.is_empty()
            && let Some(identity) = identity
        {
            keys::write_text(identity, &mut self.key);
        }
        self.hashes.push(keys::hash(&self.key));
        let taken = || context.existing(self.slot, &self.key).map(|_| Flaw::Taken);
        flaw.or_else(taken)
    }

    /// Adds a record that was read as values.
    pub(super) fn push_record(&mut self, context: &Context, record: &Record) {
        let (line, identity, properties) = match record {
            Record::Node(node) => (node.line, &node.identity, &node.properties),
            Record::Edge(edge) => (edge.line, &edge.identity, &edge.properties),
        };
        let Some(shape) = context.shape(self.slot) else {
            return;
        };
        let mut cells = vec![None; shape.layout.properties.len()];
        for (id, value) in properties {
            let position = shape.layout.position(*id);
            if let Some(cell) = position.and_then(|position| cells.get_mut(position)) {
                *cell = Some(Cell::from(value));
            }
        }
        let keys = match record {
            Record::Node(_) => None,
            Record::Edge(edge) => Some((
                keys::bytes_of(&edge.source.key),
                keys::bytes_of(&edge.target.key),
            )),
        };
        self.push(
            context,
            Given {
                line,
                cells: &mut cells,
                identity: identity.as_deref(),
                ends: keys
                    .as_ref()
                    .map(|(source, target)| (&source[..], &target[..])),
            },
        );
    }

    /// The columns, with the ends of edges found as far as the nodes are known.
    pub(super) fn finish(
        mut self,
        context: &Context,
        indexes: &NodeIndexes,
    ) -> Result<Part, ArrowError> {
        if let Some((source, target)) = context.shape(self.slot).and_then(|shape| shape.ends) {
            let [sources, targets] = &mut self.ends;
            sources.resolve(context, source, indexes);
            targets.resolve(context, target, indexes);
        }
        let columns = self.columns.into_iter();
        let properties = columns.map(|column| column.finish().map(Some));
        let identities: ArrayRef = Arc::new(self.identities.finish());
        Ok(Part {
            slot: self.slot,
            chunk: Chunk::new(Parts {
                ids: Numbers::Run {
                    first: 0,
                    len: self.rows,
                },
                ends: None,
                identities: Some(identities),
                properties: properties.collect::<Result<Vec<_>, _>>()?,
            }),
            hashes: self.hashes,
            flaws: self.flaws,
            lines: self.lines,
            ends: self.ends,
            properties_set: self.properties_set,
        })
    }
}
