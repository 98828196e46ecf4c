//! Loading files: records in, one commit out, or nothing.
//!
//! NDJSON: a line is `{"type": "Person", "data": {...}}` or `{"edge": "Knows", "from": ..., "to":
//! ..., "data": {...}}`; blank lines are skipped. Parquet, CSV and Arrow streams hold rows of one
//! type; their columns are its properties, `from` and `to`, and `id` (`table.rs`). [`parse`] reads
//! the input against the schema, outside of any transaction; [`crate::Graph::load`] makes the commit.
//! Nodes come before edges whatever the order of the lines. Both say what is wrong with which line,
//! for the first [`MAX_ERRORS`] of them.
//!
//! In an open graph `type` is a label, and `labels` may stand in its place: see [`open`], and for rows
//! [`open_columns`].
//!
//! Identity: in a type with a key it is the key. `"id"` inside `data` that is not a declared
//! property must equal the key, or, in a type without one, is the identity. `from` and `to` are
//! identities, arrays where a key has several properties.
//!
//! There are two ways to the same end. A little input, and every input that is merged, becomes
//! records that a transaction puts one by one (`apply.rs`). A large one becomes columns: several
//! threads parse blocks of it (`pipeline.rs`, `lines.rs`, `line.rs`, `part.rs`), one takes the blocks
//! in order and finds out who is joined with whom (`gather.rs`, `index.rs`), files and indexes are made
//! (`ready.rs`), and the leader takes them in as they are. Memory beyond the graph's own does not
//! grow with the input.

mod answer;
mod apply;
mod builder;
mod context;
mod frame;
mod gather;
mod index;
mod line;
mod lines;
mod open;
pub(crate) mod open_columns;
mod part;
mod pipeline;
mod ready;
mod record;
mod tabular;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use language::schema::{PropertyId, Schema, TypeId};
use language::value::Value;

use crate::needed::Needed;
use crate::rows::Rows as Table;
use crate::snapshot::Snapshot;
use context::Context;
use gather::Gathered;
use record::Record;

pub use apply::Loaded;
pub(crate) use apply::apply;
pub(crate) use ready::{NotReady, Ready, Taken};

/// How many wrong lines are reported.
pub const MAX_ERRORS: usize = 100;

/// The longest line, in bytes.
pub const MAX_LINE: u64 = 64 << 20;

/// The columns that are needed to put records row by row: of rows that are changed what is set, of rows
/// that are deleted everything.
pub(crate) fn needed(rows: &Rows, mode: Mode, snapshot: &Snapshot) -> Needed {
    let mut set = BTreeMap::<TypeId, BTreeSet<PropertyId>>::new();
    let nodes = rows.nodes.iter().map(|it| (it.type_id, &it.properties));
    let edges = rows.edges.iter().map(|it| (it.type_id, &it.properties));
    for (type_id, properties) in nodes.chain(edges).filter(|_| mode == Mode::Merge) {
        let ids = properties.iter().map(|(id, _)| *id);
        set.entry(type_id).or_default().extend(ids);
    }
    let whole = mode == Mode::Overwrite || snapshot.open().is_some();
    let needed = |rows: &Table| {
        let set = set.get(&rows.layout.type_id);
        let position = |id: &PropertyId| rows.layout.position(*id);
        let positions = match (mode, set) {
            (Mode::Append, _) | (Mode::Merge, None) => return None,
            _ if whole => rows.positions().collect(),
            (_, set) => set.into_iter().flatten().filter_map(position).collect(),
        };
        Some((rows.layout.type_id, positions))
    };
    snapshot.tables().filter_map(needed).collect()
}

/// What to do with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every record is new; a key that is taken is an error.
    Append,
    /// A node with the same key, or an edge of the same type between the same nodes (with the same
    /// `id`, where the record has one), gets the properties of the record; others are new.
    Merge,
    /// Everything that is there is deleted first.
    Overwrite,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// From 1.
    pub line: u64,
    /// One sentence.
    pub message: String,
}

/// What an input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line; of any types.
    #[default]
    Ndjson,
    /// Text with a line of column names; rows of one type.
    Csv,
    /// Rows of one type. It is read from a file.
    Parquet,
    /// An Arrow IPC stream; rows of one type.
    Arrow,
}

/// Where an input comes from.
pub enum Input {
    /// A file, from its position on.
    File(File),
    /// Anything else that can be read.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.read(bytes),
            Self::Stream(stream) => stream.read(bytes),
        }
    }
}

/// How to read an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub format: Format,
    /// The type that its rows are of; not for NDJSON.
    pub type_name: Option<String>,
    /// What to do with what is there.
    pub mode: Mode,
    /// An input of at most so many bytes is put row by row.
    pub by_row: usize,
}

impl Source {
    /// Rows of one type, in a format that has columns.
    #[must_use]
    pub fn columns(format: Format, type_name: impl Into<String>, mode: Mode) -> Self {
        Self {
            format,
            type_name: Some(type_name.into()),
            ..Self::lines(mode)
        }
    }

    /// NDJSON.
    #[must_use]
    pub fn lines(mode: Mode) -> Self {
        Self {
            format: Format::Ndjson,
            type_name: None,
            mode,
            by_row: BY_ROW,
        }
    }
}

/// See [`Source::by_row`]; as many bytes stand in the log's record itself.
const BY_ROW: usize = 1 << 20;

/// A graph with more rows than this is not emptied row by row.
const EMPTIED_BY_ROW: u64 = 10_000;

/// Records that fit the schema.
#[derive(Debug)]
pub struct Batch {
    mode: Mode,
    types: BTreeSet<TypeId>,
    end_types: BTreeSet<TypeId>,
    /// Gone once it is loaded.
    content: Mutex<Option<Content>>,
}

/// What is to be loaded.
#[derive(Debug)]
pub(crate) enum Content {
    /// Row by row.
    Rows(Rows),
    /// As columns, read against this.
    Columns(Box<Gathered>, Arc<Context>),
}

/// Records as values.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    nodes: Vec<NodeRecord>,
    edges: Vec<EdgeRecord>,
}

#[derive(Debug)]
struct NodeRecord {
    line: u64,
    type_id: TypeId,
    identity: Option<Arc<str>>,
    properties: Vec<(PropertyId, Value)>,
}

#[derive(Debug)]
struct EdgeRecord {
    line: u64,
    type_id: TypeId,
    identity: Option<Arc<str>>,
    source: End,
    target: End,
    properties: Vec<(PropertyId, Value)>,
}

/// One end of an edge: the key of a node.
#[derive(Debug)]
struct End {
    type_id: TypeId,
    key: Vec<Value>,
}

impl Batch {
    fn of_rows(mode: Mode, rows: Rows) -> Self {
        let nodes = rows.nodes.iter().map(|node| node.type_id);
        let edges = rows.edges.iter();
        let ends = edges.clone();
        Self {
            mode,
            types: nodes.chain(edges.map(|edge| edge.type_id)).collect(),
            end_types: ends
                .flat_map(|edge| [edge.source.type_id, edge.target.type_id])
                .collect(),
            content: Mutex::new(Some(Content::Rows(rows))),
        }
    }

    fn of_columns(mode: Mode, gathered: Gathered, context: Arc<Context>) -> Self {
        let tables = gathered.tables.iter().filter(|table| table.rows > 0);
        let layouts = tables.map(|table| &table.layout);
        Self {
            mode,
            types: layouts.clone().map(|layout| layout.type_id).collect(),
            end_types: layouts
                .filter_map(|layout| layout.ends)
                .flat_map(|(source, target)| [source, target])
                .collect(),
            content: Mutex::new(Some(Content::Columns(Box::new(gathered), context))),
        }
    }

    /// What to do with what is there.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The types that the records are of: what is written.
    #[must_use]
    pub fn types(&self) -> &BTreeSet<TypeId> {
        &self.types
    }

    /// The node types that edges end at: what is looked up.
    #[must_use]
    pub fn end_types(&self) -> &BTreeSet<TypeId> {
        &self.end_types
    }

    /// What is to be loaded; once.
    pub(crate) fn take(&self) -> Option<Content> {
        self.content
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Errors as they are found, up to the limit.
#[derive(Debug, Default)]
struct Errors(Vec<LineError>);

impl Errors {
    fn add(&mut self, line: u64, message: impl Into<String>) {
        if !self.full() {
            self.0.push(LineError {
                line,
                message: message.into(),
            });
        }
    }

    fn full(&self) -> bool {
        self.0.len() >= MAX_ERRORS
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says this of the line, whatever was said of it before.
    fn replace(&mut self, line: u64, message: String) {
        self.0.retain(|error| error.line != line);
        self.add(line, message);
    }

    fn sorted(mut self) -> Vec<LineError> {
        self.0.sort_by_key(|error| error.line);
        self.0
    }

    fn or<T>(self, value: T) -> Result<T, Vec<LineError>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.sorted())
        }
    }
}

/// Why nothing was loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} line(s) of the load are wrong", lines.len())]
pub struct LoadError {
    /// What is wrong, by line.
    pub lines: Vec<LineError>,
    /// Nothing is wrong: others were faster, and it must be made ready anew.
    pub(crate) outrun: bool,
}

impl From<Vec<LineError>> for LoadError {
    fn from(lines: Vec<LineError>) -> Self {
        Self {
            lines,
            outrun: false,
        }
    }
}

/// Reads an input and checks it against the schema of the snapshot.
///
/// # Errors
/// Everything that is wrong with lines by themselves; also when reading fails.
pub fn parse(
    mut input: Input,
    source: &Source,
    snapshot: &Arc<Snapshot>,
) -> Result<Batch, Vec<LineError>> {
    let mode = source.mode;
    if source.format != Format::Ndjson {
        return parse_columns(input, source, snapshot);
    }
    let mut head = Vec::new();
    let limit = source.by_row as u64 + 1;
    if let Err(error) = input.by_ref().take(limit).read_to_end(&mut head) {
        return Err(vec![LineError {
            line: 1,
            message: format!("the rest cannot be read: {error}"),
        }]);
    }
    let present: u64 = snapshot.tables().map(|rows| rows.count).sum();
    let emptied = mode == Mode::Overwrite && present > EMPTIED_BY_ROW;
    // What an open graph declares is looked at row by row.
    let declared = snapshot.schema().declared().is_some();
    let by_row = mode == Mode::Merge || declared || head.len() <= source.by_row && !emptied;
    let whole = Cursor::new(head).chain(input);
    if by_row {
        let rows = parse_rows(BufReader::new(whole), snapshot.schema())?;
        return Ok(Batch::of_rows(mode, rows));
    }
    let context = Arc::new(Context::new(snapshot.clone(), mode == Mode::Overwrite));
    let gathered = lines::gather(whole, &context)?;
    Ok(Batch::of_columns(mode, gathered, context))
}

/// Reads rows of one type.
fn parse_columns(
    input: Input,
    source: &Source,
    snapshot: &Arc<Snapshot>,
) -> Result<Batch, Vec<LineError>> {
    let mode = source.mode;
    let wrong = |message| vec![LineError { line: 0, message }];
    let name = source.type_name.as_deref().unwrap_or_default();
    let context = Arc::new(Context::new(snapshot.clone(), mode == Mode::Overwrite));
    let batches = tabular::Batches::open(input, source.format).map_err(wrong)?;
    let schema = snapshot.schema();
    if let Some(open) = schema.open() {
        let plan = tabular::open_plan(&batches, schema, open, name)?;
        if mode == Mode::Merge || schema.declared().is_some() {
            let rows = tabular::open_records(batches, &plan)?;
            return Ok(Batch::of_rows(mode, rows));
        }
        let gathered = tabular::open_gather(batches, &plan, &context)?;
        return Ok(Batch::of_columns(mode, gathered, context));
    }
    let slot = context.named(name, false).or(context.named(name, true));
    let slot = slot.ok_or_else(|| wrong(format!("there is no type {name:?}")))?;
    if mode == Mode::Merge {
        return Ok(Batch::of_rows(
            mode,
            tabular::records(batches, slot, &context)?,
        ));
    }
    let gathered = tabular::gather(batches, slot, &context)?;
    Ok(Batch::of_columns(mode, gathered, context))
}

/// Reads lines as records.
fn parse_rows(mut reader: impl BufRead, schema: &Schema) -> Result<Rows, Vec<LineError>> {
    let mut rows = Rows::default();
    let mut errors = Errors::default();
    let mut bytes = Vec::new();
    for line in 1_u64.. {
        bytes.clear();
        match reader
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut bytes)
        {
            Ok(0) => break,
            Ok(read) if read as u64 > MAX_LINE => {
                errors.add(line, lines::too_long());
                break;
            }
            Ok(_) => {}
            Err(error) => {
                errors.add(line, format!("the rest cannot be read: {error}"));
                break;
            }
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match record::read(&bytes, line, schema) {
            Ok(Record::Node(node)) => rows.nodes.push(node),
            Ok(Record::Edge(edge)) => rows.edges.push(edge),
            Err(message) => errors.add(line, message),
        }
        if errors.full() {
            break;
        }
    }
    errors.or(rows)
}
