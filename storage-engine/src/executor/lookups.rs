//! Nodes by the value of a property, for one statement: the tables that a hash join looks up.
//!
//! A statement may ask for the nodes of one value once for each of its rows. The first time it scans; from
//! the second time on it looks up in a table that is made then, of all nodes of the type. So what is asked
//! once costs no table, and what is asked often costs two passes, whatever was expected. A table holds
//! hashes and ids: it says who *may* have a value. Where the statement itself changes nodes, the table
//! reads which from [`Rows::journal`](crate::rows::Rows::journal) before each answer; what a node had
//! before stays in it, and is found out by whoever looks at the node.

use std::cell::RefCell;

use language::schema::{PropertyId, TypeId};
use language::value::{NodeRef, Value};
use rustc_hash::FxHashMap;

use super::context::Context;
use super::error::ExecuteError;
use crate::index;
use crate::rows::Rows;

/// What a node takes in a table: its link, and its share of the map of hashes.
const ENTRY_BYTES: usize = size_of::<Link>() + 24;

/// A property of the nodes of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Column {
    pub(crate) type_id: TypeId,
    pub(crate) property: Named,
}

/// Which property.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    Id(PropertyId),
    /// In an open graph.
    Name(Box<str>),
}

/// The tables of a statement.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    tables: RefCell<FxHashMap<Column, Known>>,
}

/// What is known of a property.
#[derive(Debug)]
enum Known {
    /// It was asked for once.
    Asked,
    /// It would take more memory than the statement may use for it.
    TooLarge,
    Here(Table),
}

/// The nodes of a type by the hashes of their values.
#[derive(Debug, Default)]
struct Table {
    /// Where in `links` the newest of a hash stands.
    heads: FxHashMap<u32, u32>,
    links: Vec<Link>,
    /// How much of the journal is in it.
    read: usize,
}

#[derive(Debug)]
struct Link {
    id: u64,
    before: Option<u32>,
}

impl Lookups {
    /// Forgets all tables.
    pub(crate) fn clear(&self) {
        self.tables.borrow_mut().clear();
    }
}

impl Context<'_> {
    /// Whether there is a table of a column, which has everything then. Each call says that values of it
    /// are asked for.
    pub(crate) fn has_table(self, column: &Column) -> Result<bool, ExecuteError> {
        let Some(rows) = self.snapshot.node_table(column.type_id).map(|it| &it.rows) else {
            return Ok(false);
        };
        let mut tables = self.statement.lookups().tables.borrow_mut();
        match tables.get_mut(column) {
            None => {
                tables.insert(column.clone(), Known::Asked);
                Ok(false)
            }
            Some(Known::TooLarge) => Ok(false),
            Some(Known::Here(table)) => {
                self.catch_up(column, rows, table)?;
                Ok(true)
            }
            Some(known @ Known::Asked) => {
                let Some(table) = self.table_of(column, rows)? else {
                    *known = Known::TooLarge;
                    return Ok(false);
                };
                *known = Known::Here(table);
                Ok(true)
            }
        }
    }

    /// Adds the ids of those nodes that may have a value with a hash; for who [has](Self::has_table) the
    /// table.
    pub(crate) fn look_up(self, column: &Column, hash: u32, ids: &mut Vec<u64>) {
        let tables = self.statement.lookups().tables.borrow();
        let Some(Known::Here(table)) = tables.get(column) else {
            return;
        };
        let mut place = table.heads.get(&hash).copied();
        while let Some(link) = place.and_then(|place| table.links.get(place as usize)) {
            ids.push(link.id);
            place = link.before;
        }
    }

    /// `None` when it would take more than half of what is left to the statement.
    fn table_of(self, column: &Column, rows: &Rows) -> Result<Option<Table>, ExecuteError> {
        let count = usize::try_from(rows.count).unwrap_or(usize::MAX);
        let bytes = count.saturating_mul(ENTRY_BYTES);
        if bytes > self.statement.left() / 2 || u32::try_from(count).is_err() {
            return Ok(None);
        }
        if let Named::Id(id) = &column.property
            && let Some(position) = rows.layout.position(*id)
        {
            rows.bring(position);
        }
        self.statement.charge(bytes)?;
        let mut table = Table {
            read: rows.journal().len(),
            ..Table::default()
        };
        for id in rows.ids() {
            self.step()?;
            self.add(column, id, &mut table);
        }
        Ok(Some(table))
    }

    /// Takes in what the statement has changed since.
    fn catch_up(self, column: &Column, rows: &Rows, table: &mut Table) -> Result<(), ExecuteError> {
        let journal = rows.journal();
        let changed = journal.get(table.read..).unwrap_or_default();
        self.statement.charge(changed.len() * ENTRY_BYTES)?;
        for id in changed {
            self.step()?;
            self.add(column, *id, table);
        }
        table.read = journal.len();
        Ok(())
    }

    fn add(self, column: &Column, id: u64, table: &mut Table) {
        let type_id = column.type_id;
        let node = NodeRef { type_id, id };
        let value = match &column.property {
            Named::Id(property) => self.snapshot.node_property(node, *property),
            Named::Name(name) => self.snapshot.property_named(&Value::Node(node), name),
        };
        // Null equals nothing. Of so many nodes that places do not fit, no table was begun, and what a
        // statement changes stands in memory several times over.
        let place = u32::try_from(table.links.len());
        if let (false, Ok(place)) = (value.is_null(), place) {
            let before = table.heads.insert(index::hash_of(&value), place);
            table.links.push(Link { id, before });
        }
    }
}
