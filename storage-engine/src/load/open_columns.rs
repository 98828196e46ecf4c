//! Rows of one label or relationship type from Parquet, CSV or an Arrow stream, for an open graph.
//!
//! Each column is a property, of the type that the graph declares or else that the file gives it (in CSV,
//! text); what is null is no property. Three kinds are none: `from` and `to`, which together make the rows
//! relationships; `_id`, the identity, in whose place `id` serves, which stays a property; and `_labels`,
//! the labels of a node in place of the one that the rows are loaded as.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, new_empty_array};
use arrow_schema::{DataType, Schema as ArrowSchema};
use language::schema::{OpenTypes, Property, PropertyId, PropertyType, Schema, TypeId};
use language::value::Value;

use super::frame::Source;
use super::open;
use super::record::Record;
use crate::identity::{self, ID};

/// The column of identities that are no properties.
pub(crate) const IDENTITY: &str = "_id";
/// The column of labels, lists of text.
pub(crate) const LABELS: &str = "_labels";
/// The columns of the ends.
const ENDS: [&str; 2] = ["from", "to"];

/// What each column of an input is for.
#[derive(Debug)]
pub(super) struct Plan {
    open: OpenTypes,
    /// What a node is labelled, or a relationship called.
    name: String,
    columns: Vec<Column>,
    edges: bool,
    /// A cell without anything in it gives nothing.
    sparse: bool,
}

#[derive(Debug)]
struct Column {
    name: String,
    role: Role,
    /// What it holds; `None` for what only identifies.
    property: Option<Property>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Property,
    Identity,
    Labels,
    From,
    To,
}

impl Plan {
    /// # Errors
    /// A column that says nothing a property could be.
    pub(super) fn new(
        schema: &Schema,
        open: OpenTypes,
        name: &str,
        given: &ArrowSchema,
        sparse: bool,
    ) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a label or a relationship type has a name".to_owned());
        }
        let edges = ENDS.iter().all(|end| given.column_with_name(end).is_some());
        let declared = schema.declared();
        let edge_type = declared.and_then(|declared| declared.edge_type_named(name));
        let node_type = declared.and_then(|declared| declared.node_type_named(name));
        let properties = match (edges, edge_type, node_type) {
            (false, Some(_), None) => {
                return Err("an edge needs the columns `from` and `to`".to_owned());
            }
            (true, Some(edge_type), _) => edge_type.properties.as_slice(),
            (false, _, Some(node_type)) => node_type.properties.as_slice(),
            (true, None, _) | (false, None, None) => &[],
        };
        let mut columns: Vec<Column> = Vec::new();
        for field in given.fields() {
            if columns.iter().any(|column| column.name == *field.name()) {
                return Err(format!("there are two columns `{}`", field.name()));
            }
            let role = role(field.name(), edges);
            let property = match role {
                Role::Property => Some(property(field.name(), field.data_type(), properties)?),
                Role::Labels => Some(made(LABELS, list(PropertyType::String))),
                Role::Identity | Role::From | Role::To => None,
            };
            let column = Column {
                name: field.name().clone(),
                role,
                property,
            };
            // Whether its type says something, is told before any row is read.
            column.source(&new_empty_array(field.data_type()))?;
            columns.push(column);
        }
        Ok(Self {
            open,
            name: name.to_owned(),
            columns,
            edges,
            sparse,
        })
    }

    /// The type of the table that the rows go to.
    pub(super) fn type_id(&self) -> TypeId {
        if self.edges {
            self.open.edge
        } else {
            self.open.node
        }
    }

    /// Gives each row, or says what is wrong with it; `before` rows came before.
    pub(super) fn read(
        &self,
        batch: &RecordBatch,
        before: u64,
        take: &mut dyn FnMut(Result<Record, String>),
    ) -> Result<(), String> {
        let sources = self.columns.iter().zip(batch.columns());
        let sources = sources.map(|(column, array)| Ok((column, column.source(array)?)));
        let sources: Vec<(&Column, Source)> = sources.collect::<Result<_, String>>()?;
        for row in 0..batch.num_rows() {
            take(self.record(&sources, row, before + row as u64 + 1));
        }
        Ok(())
    }

    fn record(
        &self,
        sources: &[(&Column, Source)],
        row: usize,
        line: u64,
    ) -> Result<Record, String> {
        let mut properties = BTreeMap::new();
        let (mut given, mut own) = (None, None);
        let mut labels = vec![Value::string(&self.name)];
        let mut ends = [None, None];
        for (column, source) in sources {
            if self.sparse && source.is_empty(row) {
                continue;
            }
            let Some(value) = source.value(row)?.filter(|value| !value.is_null()) else {
                continue;
            };
            match column.role {
                Role::Property => {
                    if column.name == ID {
                        own = identity::of_value(&value);
                    }
                    properties.insert(column.name.clone(), value);
                }
                Role::Identity => given = identity::of_value(&value),
                Role::Labels => labels = open::distinct(value),
                Role::From => ends[0] = identity::of_value(&value),
                Role::To => ends[1] = identity::of_value(&value),
            }
        }
        let properties = Value::Map(Arc::new(properties));
        let identity = given.or(own);
        if !self.edges {
            return Ok(open::node(self.open, line, identity, labels, properties));
        }
        let [source, target] = ends;
        let missing = |end: &str| format!("an edge needs `{end}`");
        let source = source.ok_or_else(|| missing("from"))?;
        let target = target.ok_or_else(|| missing("to"))?;
        let ends = (source, target);
        Ok(open::edge(
            self.open, line, identity, &self.name, ends, properties,
        ))
    }
}

impl Column {
    fn source(&self, array: &arrow_array::ArrayRef) -> Result<Source, String> {
        Source::of(self.name.clone(), self.property.clone(), array)
    }
}

fn role(name: &str, edges: bool) -> Role {
    match name {
        IDENTITY => Role::Identity,
        LABELS if !edges => Role::Labels,
        "from" if edges => Role::From,
        "to" if edges => Role::To,
        _ => Role::Property,
    }
}

/// What a column holds: what is declared, else what the file says.
fn property(name: &str, given: &DataType, declared: &[Property]) -> Result<Property, String> {
    if let Some(declared) = declared.iter().find(|property| property.name == name) {
        return Ok(declared.clone());
    }
    let value_type = property_type(given)
        .ok_or_else(|| format!("the column `{name}` is {given}, which no property can be"))?;
    Ok(made(name, value_type))
}

fn made(name: &str, value_type: PropertyType) -> Property {
    Property {
        id: PropertyId(0),
        name: name.to_owned(),
        value_type,
        nullable: true,
        indexed: false,
        default: None,
        range: None,
        check: None,
        annotations: BTreeMap::new(),
    }
}

fn list(element: PropertyType) -> PropertyType {
    PropertyType::List(Box::new(element))
}

fn property_type(given: &DataType) -> Option<PropertyType> {
    match given {
        DataType::Boolean => Some(PropertyType::Bool),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            Some(PropertyType::String)
        }
        DataType::Date32 | DataType::Date64 => Some(PropertyType::Date),
        DataType::Timestamp(..) => Some(PropertyType::DateTime),
        DataType::Decimal128(..) | DataType::Decimal256(..) => Some(PropertyType::F64),
        DataType::Dictionary(_, values) => property_type(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            property_type(item.data_type()).map(list)
        }
        given if given.is_integer() => Some(PropertyType::I64),
        given if given.is_floating() => Some(PropertyType::F64),
        _ => None,
    }
}
