//! The same records in every format that a load may have.

use std::fmt::Write as _;
use std::io::{Seek, SeekFrom, Write as _};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use language::schema::{Property, Schema, TypeId, scalar_to_json};
use language::value::Value;
use serde_json::{Map, Value as Json, json};

use super::Values;
use crate::columns::{Layout, property_column};
use crate::load::{Format, Input, Mode, Source};
use crate::rows::Row;

/// How the records come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Lines, put row by row when they are few.
    Rows,
    /// Lines, by columns whenever they are not merged.
    Lines,
    Csv,
    Parquet,
    Arrow,
}

pub(super) const WAYS: [Way; 6] = [
    Way::Rows,
    Way::Lines,
    Way::Lines,
    Way::Csv,
    Way::Parquet,
    Way::Arrow,
];

/// A node or an edge as it is given.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) type_id: TypeId,
    /// What stands in `id`, where the type does not declare it.
    pub(super) id: Option<Value>,
    /// The identities of source and target.
    pub(super) ends: Option<(Value, Value)>,
    /// What is given; null where null is.
    pub(super) values: Values,
}

impl Way {
    /// Whether all records are of one type.
    pub(super) fn has_columns(self) -> bool {
        !matches!(self, Self::Rows | Self::Lines)
    }

    /// The records in this form; of those that have columns, all are of one type.
    pub(super) fn input(self, schema: &Schema, records: &[Record], mode: Mode) -> (Input, Source) {
        let type_name = |records: &[Record]| {
            let first = records.first().expect("one record at least");
            schema.type_name(first.type_id).expect("a type").to_owned()
        };
        let stream = |bytes: Vec<u8>| Input::Stream(Box::new(std::io::Cursor::new(bytes)));
        match self {
            Self::Rows => (stream(lines(schema, records)), Source::lines(mode)),
            Self::Lines => {
                let source = Source {
                    by_row: 0,
                    ..Source::lines(mode)
                };
                (stream(lines(schema, records)), source)
            }
            Self::Csv => {
                let source = Source::columns(Format::Csv, type_name(records), mode);
                (stream(csv(schema, records)), source)
            }
            Self::Arrow => {
                let source = Source::columns(Format::Arrow, type_name(records), mode);
                (stream(arrow(&batch(schema, records))), source)
            }
            Self::Parquet => {
                let source = Source::columns(Format::Parquet, type_name(records), mode);
                (Input::File(parquet(&batch(schema, records))), source)
            }
        }
    }
}

fn lines(schema: &Schema, records: &[Record]) -> Vec<u8> {
    let mut lines = String::new();
    for record in records {
        let mut data = Map::new();
        if let Some(id) = &record.id {
            data.insert("id".to_owned(), scalar_to_json(id));
        }
        for property in schema.properties(record.type_id).expect("a type") {
            if let Some(value) = record.values.get(&property.id) {
                data.insert(property.name.clone(), scalar_to_json(value));
            }
        }
        let name = schema.type_name(record.type_id).expect("a type");
        let line = match &record.ends {
            None => json!({"type": name, "data": data}),
            Some((from, to)) => json!({
                "edge": name, "from": scalar_to_json(from), "to": scalar_to_json(to), "data": data,
            }),
        };
        writeln!(lines, "{line}").expect("a line");
    }
    // Lines with nothing on them are nothing.
    lines.push_str(" \r\n\n");
    lines.into_bytes()
}

/// The columns that ends take: their names, and the part of the identity of each.
fn end_columns(schema: &Schema, record: &Record) -> Vec<(String, bool, Option<usize>)> {
    let Some(edge_type) = schema.edge_type(record.type_id) else {
        return Vec::new();
    };
    let sides = [
        ("from", edge_type.source, true),
        ("to", edge_type.target, false),
    ];
    let columns = sides.into_iter().flat_map(|(side, node_type, source)| {
        let node_type = schema.node_type(node_type).expect("a node type");
        let name = |id| {
            let mut properties = node_type.properties.iter();
            let property = properties.find(|property| property.id == id);
            property.expect("declared").name.clone()
        };
        match node_type.key.as_slice() {
            [] | [_] => vec![(side.to_owned(), source, None)],
            key => {
                let parts = key.iter().enumerate();
                let parts =
                    parts.map(|(at, id)| (format!("{side}.{}", name(*id)), source, Some(at)));
                parts.collect()
            }
        }
    });
    columns.collect()
}

fn end_value(record: &Record, source: bool, part: Option<usize>) -> Value {
    let (from, to) = record.ends.clone().expect("an edge");
    let end = if source { from } else { to };
    match (part, end) {
        (Some(part), Value::List(parts)) => parts[part].clone(),
        (_, whole) => whole,
    }
}

/// Text as a cell has it: what is text already, or the JSON of it.
fn cell(value: &Value) -> String {
    match scalar_to_json(value) {
        Json::Null => String::new(),
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn csv(schema: &Schema, records: &[Record]) -> Vec<u8> {
    let first = records.first().expect("one record at least");
    let properties = schema.properties(first.type_id).expect("a type");
    let ends = end_columns(schema, first);
    let declared = properties.iter().any(|property| property.name == "id");
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<String> = ends.iter().map(|(name, ..)| name.clone()).collect();
    if !declared {
        header.push("id".to_owned());
    }
    header.extend(properties.iter().map(|property| property.name.clone()));
    writer.write_record(&header).expect("a header");
    for record in records {
        let ends = ends
            .iter()
            .map(|(_, source, part)| cell(&end_value(record, *source, *part)));
        let mut row: Vec<String> = ends.collect();
        if !declared {
            row.push(record.id.as_ref().map(cell).unwrap_or_default());
        }
        let value = |property: &Property| record.values.get(&property.id).map(cell);
        row.extend(properties.iter().map(|it| value(it).unwrap_or_default()));
        writer.write_record(&row).expect("a row");
    }
    writer.into_inner().expect("written")
}

fn batch(schema: &Schema, records: &[Record]) -> RecordBatch {
    let first = records.first().expect("one record at least");
    let (nodes, edges) = Layout::of_schema(schema);
    let mut layouts = nodes.iter().chain(&edges);
    let layout = layouts.find(|layout| layout.type_id == first.type_id);
    let layout = layout.expect("a type");
    let rows: Vec<Row> = records
        .iter()
        .map(|record| {
            let value = |property: &Property| record.values.get(&property.id).cloned();
            let values = layout.properties.iter();
            Row {
                left: Vec::new(),
                values: values.map(|it| value(it).unwrap_or(Value::Null)).collect(),
                identity: None,
                ends: None,
                lsn: 0,
                run: uuid::Uuid::nil(),
            }
        })
        .collect();
    let stored = layout.batch((1..).zip(&rows)).expect("a batch");
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (name, source, part) in end_columns(schema, first) {
        let cells = records
            .iter()
            .map(|record| cell(&end_value(record, source, part)));
        columns.push((name, Arc::new(StringArray::from_iter_values(cells))));
    }
    if layout
        .properties
        .iter()
        .all(|property| property.name != "id")
    {
        let ids = records.iter().map(|record| record.id.as_ref().map(cell));
        columns.push(("id".to_owned(), Arc::new(ids.collect::<StringArray>())));
    }
    for property in &layout.properties {
        let column = stored.column_by_name(&property_column(property.id));
        columns.push((property.name.clone(), column.expect("a column").clone()));
    }
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn arrow(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let writer = arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema());
    let mut writer = writer.expect("a writer");
    writer.write(batch).expect("written");
    writer.finish().expect("finished");
    drop(writer);
    bytes
}

fn parquet(batch: &RecordBatch) -> std::fs::File {
    let mut bytes = Vec::new();
    let writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None);
    let mut writer = writer.expect("a writer");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("written");
    file.seek(SeekFrom::Start(0)).expect("at the start");
    file
}

/// Whether a format says of this value what it is: a cell of CSV with nothing in it gives nothing.
pub(super) fn is_told(way: Way, value: &Value) -> bool {
    match (way, value) {
        (Way::Csv, Value::Null) => false,
        (Way::Csv, Value::String(text)) => !text.is_empty(),
        _ => true,
    }
}
