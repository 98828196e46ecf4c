//! Reading Parquet, CSV and Arrow streams: batches of rows, whatever the file.

use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use arrow_array::builder::LargeStringBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use language::schema::OpenTypes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::context::Context;
use super::frame::Plan;
use super::gather::{Block, Gathered, Gatherer};
use super::index::NodeIndexes;
use super::open_columns::Plan as OpenPlan;
use super::part::{Given, PartBuilder};
use super::record::Record;
use super::{
    EdgeRecord, End, Errors, Format, Input, LineError, MAX_ERRORS, MAX_LINE, NodeRecord, Rows,
    pipeline,
};
use crate::keys;

/// Rows of a batch.
const ROWS: usize = 16 << 10;

/// Bytes of text of a batch, more or less: rows may be long.
const BATCH: usize = 16 << 20;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

/// The rows of an input, some at a time; an error ends it.
pub(super) struct Batches {
    schema: SchemaRef,
    /// Empty cells give nothing.
    sparse: bool,
    rows: Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>,
}

impl Batches {
    /// # Errors
    /// What is wrong with the input before its first row.
    pub(super) fn open(input: Input, format: Format) -> Result<Self, String> {
        // These readers panic on some of the files that are damaged.
        let opened = catch_unwind(AssertUnwindSafe(|| match format {
            Format::Parquet => parquet(input),
            Format::Arrow => arrow(input),
            Format::Csv => csv(input),
            Format::Ndjson => Err("lines are no columns".to_owned()),
        }));
        opened.unwrap_or_else(|_| Err(damaged()))
    }
}

fn damaged() -> String {
    "the file is damaged".to_owned()
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = catch_unwind(AssertUnwindSafe(|| self.rows.next()));
        next.unwrap_or_else(|_| Some(Err(damaged())))
    }
}

fn parquet(input: Input) -> Result<Batches, String> {
    let Input::File(file) = input else {
        return Err("Parquet is read from a file: its end is read first".to_owned());
    };
    let unreadable = |error: &dyn std::fmt::Display| format!("not readable as Parquet: {error}");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| unreadable(&e))?;
    let schema = reader.schema().clone();
    let reader = reader.with_batch_size(ROWS).build();
    let reader = reader.map_err(|error| unreadable(&error))?;
    Ok(Batches {
        schema,
        sparse: false,
        rows: Box::new(reader.map(move |batch| batch.map_err(|error| unreadable(&error)))),
    })
}

fn arrow(input: Input) -> Result<Batches, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("not readable as Arrow: {error}");
    let input = BufReader::with_capacity(BUFFER, input);
    let reader = StreamReader::try_new(input, None).map_err(|error| unreadable(&error))?;
    Ok(Batches {
        schema: reader.schema(),
        sparse: false,
        rows: Box::new(reader.map(move |batch| batch.map_err(|error| unreadable(&error)))),
    })
}

fn csv(input: Input) -> Result<Batches, String> {
    let since = Arc::<AtomicU64>::default();
    let counted = Counted {
        input,
        since: since.clone(),
    };
    let counted = BufReader::with_capacity(BUFFER, counted);
    let mut reader = csv::ReaderBuilder::new().from_reader(counted);
    let header = reader.headers().map_err(|error| unreadable_csv(&error))?;
    let fields = header
        .iter()
        .map(|name| Field::new(name, DataType::LargeUtf8, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = CsvRows {
        reader,
        since,
        schema: schema.clone(),
    };
    Ok(Batches {
        schema,
        sparse: true,
        rows: Box::new(rows),
    })
}

fn unreadable_csv(error: &csv::Error) -> String {
    format!("not readable as CSV: {error}")
}

/// An input that ends with an error when a row does not end.
struct Counted<R> {
    input: R,
    since: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        let since = self.since.fetch_add(read as u64, Ordering::Relaxed);
        // What is read ahead of a row counts as its own.
        if since > MAX_LINE {
            let words = format!("a row is longer than {MAX_LINE} bytes");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, words));
        }
        Ok(read)
    }
}

/// The rows of a CSV file, as text.
struct CsvRows<R> {
    reader: csv::Reader<R>,
    /// Bytes that were read since the row before.
    since: Arc<AtomicU64>,
    schema: SchemaRef,
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let fields = self.schema.fields().iter();
        let mut columns: Vec<_> = fields.map(|_| LargeStringBuilder::new()).collect();
        let mut record = csv::StringRecord::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < ROWS && bytes < BATCH {
            self.since.store(0, Ordering::Relaxed);
            match self.reader.read_record(&mut record) {
                Ok(true) => rows += 1,
                Ok(false) => break,
                Err(error) => return Some(Err(unreadable_csv(&error))),
            }
            bytes += record.as_slice().len();
            for (column, text) in columns.iter_mut().zip(&record) {
                column.append_value(text);
            }
        }
        let columns = columns.iter_mut();
        let columns = columns.map(|column| Arc::new(column.finish()) as ArrayRef);
        let batch = || RecordBatch::try_new(self.schema.clone(), columns.collect());
        (rows > 0).then(|| batch().map_err(|error| error.to_string()))
    }
}

/// Reads all rows of a type as columns.
///
/// # Errors
/// Everything that is wrong with rows by themselves.
pub(super) fn gather(
    batches: Batches,
    slot: usize,
    context: &Context,
) -> Result<Gathered, Vec<LineError>> {
    let plan = Plan::new(context, slot, &batches.schema, batches.sparse).map_err(at_once)?;
    gathered(batches, slot, context, |batch, builder, block| {
        let mut line = 0;
        plan.read(context, batch, &mut |given| {
            line += 1;
            match given {
                Ok(given) => builder.push(context, given),
                Err(message) => wrong(block, line, message),
            }
        })
    })
}

/// The same for rows of a label or a relationship type of an open graph.
///
/// # Errors
/// As [`gather`].
pub(super) fn open_gather(
    batches: Batches,
    plan: &OpenPlan,
    context: &Context,
) -> Result<Gathered, Vec<LineError>> {
    let slot = context.slot(plan.type_id());
    let slot = slot.ok_or_else(|| at_once("the table is gone".to_owned()))?;
    gathered(batches, slot, context, |batch, builder, block| {
        let mut line = 0;
        plan.read(batch, 0, &mut |record| {
            line += 1;
            match record {
                Ok(record) => builder.push_record(context, &record),
                Err(message) => wrong(block, line, message),
            }
        })
    })
}

/// What the columns of an input are for, in an open graph.
///
/// # Errors
/// A column that is for nothing.
pub(super) fn open_plan(
    batches: &Batches,
    schema: &language::schema::Schema,
    open: OpenTypes,
    name: &str,
) -> Result<OpenPlan, Vec<LineError>> {
    OpenPlan::new(schema, open, name, &batches.schema, batches.sparse).map_err(at_once)
}

/// What is wrong with the input as a whole.
fn at_once(message: String) -> Vec<LineError> {
    vec![LineError { line: 0, message }]
}

fn wrong(block: &mut Block, line: u64, message: String) {
    if block.errors.len() < MAX_ERRORS {
        block.errors.push((line, message));
    }
}

/// Reads all rows in parallel; `fill` those of a batch.
fn gathered(
    batches: Batches,
    slot: usize,
    context: &Context,
    fill: impl Fn(&RecordBatch, &mut PartBuilder, &mut Block) -> Result<(), String> + Sync,
) -> Result<Gathered, Vec<LineError>> {
    let nodes = RwLock::new(NodeIndexes::new(context));
    let mut gatherer = Gatherer::new(context, &nodes);
    let work = |batch: Result<RecordBatch, String>| {
        let batch = batch?;
        let mut block = Block {
            lines: batch.num_rows() as u64,
            ..Block::default()
        };
        let mut builder = PartBuilder::new(context, slot);
        fill(&batch, &mut builder, &mut block)?;
        block.finish(context, &nodes, [builder]);
        Ok(block)
    };
    pipeline::run(batches, work, |block: Result<Block, String>| match block {
        Ok(block) => gatherer.take(block),
        Err(message) => {
            gatherer.fail(message);
            false
        }
    });
    gatherer.finish()
}

/// Reads all rows of a type as records.
///
/// # Errors
/// As [`gather`].
pub(super) fn records(
    batches: Batches,
    slot: usize,
    context: &Context,
) -> Result<Rows, Vec<LineError>> {
    let plan = Plan::new(context, slot, &batches.schema, batches.sparse).map_err(at_once)?;
    recorded(batches, |batch, before, rows, errors| {
        let mut line = before;
        plan.read(context, batch, &mut |given| {
            line += 1;
            match given {
                Ok(given) => push(rows, context, slot, line, &given),
                Err(message) => errors.add(line, message),
            }
        })
    })
}

/// The same for rows of a label or a relationship type of an open graph.
///
/// # Errors
/// As [`gather`].
pub(super) fn open_records(batches: Batches, plan: &OpenPlan) -> Result<Rows, Vec<LineError>> {
    recorded(batches, |batch, before, rows, errors| {
        let mut line = before;
        plan.read(batch, before, &mut |record| {
            line += 1;
            match record {
                Ok(Record::Node(node)) => rows.nodes.push(node),
                Ok(Record::Edge(edge)) => rows.edges.push(edge),
                Err(message) => errors.add(line, message),
            }
        })
    })
}

/// Reads all rows one after the other; `read` those of a batch, before which so many came.
fn recorded(
    batches: Batches,
    mut read: impl FnMut(&RecordBatch, u64, &mut Rows, &mut Errors) -> Result<(), String>,
) -> Result<Rows, Vec<LineError>> {
    let (mut rows, mut errors) = (Rows::default(), Errors::default());
    let mut before = 0;
    for batch in batches {
        let taken = batch.and_then(|batch| {
            read(&batch, before, &mut rows, &mut errors)?;
            before += batch.num_rows() as u64;
            Ok(())
        });
        if let Err(message) = taken {
            errors.add(before + 1, message);
            break;
        }
        if errors.full() {
            break;
        }
    }
    errors.or(rows)
}

fn push(rows: &mut Rows, context: &Context, slot: usize, line: u64, given: &Given<'_, '_>) {
    let Some(shape) = context.shape(slot) else {
        return;
    };
    let layout = &shape.layout;
    let cells = layout.properties.iter().zip(given.cells.iter());
    let properties: Vec<_> = cells
        .filter_map(|(property, cell)| {
            let value = super::context::value_of(cell.as_ref()?, &property.value_type);
            Some((property.id, value))
        })
        .collect();
    let declared = layout.declared_id.and_then(|position| {
        let property = layout.properties.get(position)?;
        let value = properties.iter().find(|(id, _)| *id == property.id);
        crate::identity::of_value(&value?.1)
    });
    let identity = declared.or_else(|| given.identity.map(Arc::from));
    let type_id = layout.type_id;
    let Some(((source, target), (source_type, target_type))) = given.ends.zip(layout.ends) else {
        rows.nodes.push(NodeRecord {
            line,
            type_id,
            identity,
            properties,
        });
        return;
    };
    let end = |type_id, key: &[u8]| End {
        type_id,
        key: keys::values_of(key),
    };
    rows.edges.push(EdgeRecord {
        line,
        type_id,
        identity,
        source: end(source_type, source),
        target: end(target_type, target),
        properties,
    });
}
