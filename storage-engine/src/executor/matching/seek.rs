//! Nodes that are found by what a condition says they must equal, instead of looking at all.
//!
//! `{name: 'x'}`, `n.name = row.name`, `n.key IN $keys`, `n.a = 1 OR n.a = 2` and the same of `id(n)` and
//! `elementId(n)` each name a *subject* and what is *wanted* of it. For each type that the node may have
//! there is a way to the nodes in question: its key, its identity, an index, or a table that the statement
//! makes for itself ([`crate::executor::lookups`]). A way only proposes nodes; each is looked at, so that
//! what comes out is what a scan with the condition gives, in the same order.

use language::plan::{Expr, Slot};
use language::schema::{PropertyType, Schema, TypeId};
use language::value::{NodeRef, Value};

use super::condition::Condition;
use super::search::{Search, stored_form};
use crate::executor::Row;
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;
use crate::executor::functions::element_id;
use crate::executor::lookups::{Column, Named};
use crate::executor::operator::{self, Operator};
use crate::executor::pipeline::{ENOUGH, Flow, MORE};
use crate::index;
use crate::snapshot::Snapshot;

/// A way to bind a node.
pub(crate) struct Seek<'a> {
    pub(super) slot: Slot,
    pub(super) subject: Subject,
    pub(super) wanted: Vec<Wanted<'a>>,
    /// For each type that the node may have and that has what is asked for.
    pub(super) types: Vec<Sought>,
    /// What it stands for, which need not be tested again; `None` when it is tested all the same.
    pub(super) condition: Option<Condition<'a>>,
    /// It is expected to be asked more than once.
    pub(crate) repeated: bool,
    /// How many rows are expected to come out for one that comes in.
    pub(crate) expected: f64,
}

/// What of a node is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A property, which [`Sought`] names.
    Property,
    /// `id(n)`
    Id,
    /// `elementId(n)`
    ElementId,
}

/// What it must equal: one of several.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(super) value: &'a Expr,
    /// The value is a list, each of whose elements will do.
    pub(super) each: bool,
}

/// How the nodes of one type are found.
pub(crate) struct Sought {
    pub(super) column: Column,
    pub(super) way: Way,
}

/// A way to nodes; those that are found sooner come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The identity is text.
    Identity,
    /// The key, whose parts hold these.
    Key(Vec<PropertyType>),
    /// The index of the property at a position.
    Index(usize),
    /// A table that the statement makes, once that pays.
    Table,
    /// All of the type.
    Scan,
}

impl Way {
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Identity | Self::Key(_) => 0,
            Self::Index(_) => 1,
            Self::Table => 2,
            Self::Scan => 3,
        }
    }
}

/// Values, each with its hash, in the order of the hashes; none is null.
struct Values(Vec<(u32, Value)>);

impl Values {
    /// Whether one of them equals a value.
    fn contain(&self, value: &Value) -> bool {
        if let [(_, only)] = self.0.as_slice() {
            return only.equals(value) == Some(true);
        }
        if value.is_null() {
            return false;
        }
        let hash = index::hash_of(value);
        let start = self.0.partition_point(|(other, _)| *other < hash);
        let same = self.0.iter().skip(start).take_while(|it| it.0 == hash);
        same.into_iter()
            .any(|(_, wanted)| wanted.equals(value) == Some(true))
    }
}

impl<'a> Seek<'a> {
    /// The slowest of its ways.
    pub(super) fn rank(&self) -> u8 {
        let ranks = self.types.iter().map(|sought| sought.way.rank());
        ranks.max().unwrap_or(0)
    }

    pub(super) fn describe(&self, schema: &Schema) -> Operator {
        let name = match (self.rank(), self.subject) {
            (0, Subject::Property) => "KeyLookup",
            (0, Subject::Id | Subject::ElementId) => "NodeByIdSeek",
            (1, _) => "NodeIndexSeek",
            (2, _) if self.repeated => "HashJoin",
            _ => "NodeScan",
        };
        let types = self.types.iter().map(|sought| &sought.column.type_id);
        Operator {
            conditions: self.condition.iter().filter_map(Condition::span).collect(),
            ..Operator::new(name, operator::node(schema, self.slot, types))
        }
    }

    /// Binds the nodes and goes on.
    pub(super) fn run(&self, search: &mut Search<'_, '_, '_>, at: usize, row: &mut Row) -> Flow {
        let context = search.context;
        let Some(values) = self.values(context, row)? else {
            // The conditions say why that has no value, if a row comes so far.
            let types: Vec<TypeId> = self.types.iter().map(|it| it.column.type_id).collect();
            return search.scan(at, self.slot, &types, row);
        };
        if values.0.is_empty() {
            return MORE;
        }
        context
            .statement
            .require(size_of_val(values.0.as_slice()))?;
        for sought in &self.types {
            let mut bind = |node: NodeRef| {
                context.step()?;
                if !self.is_wanted(context.snapshot, sought, node, &values) {
                    return MORE;
                }
                row[self.slot.0] = Value::Node(node);
                search.proceed(at, row)
            };
            let flow = match self.proposed(context, sought, &values)? {
                Some(ids) => {
                    let bytes = size_of_val(ids.as_slice());
                    context.statement.charge(bytes)?;
                    let flow = each(ids.iter().map(|id| sought.node(*id)), &mut bind);
                    context.statement.release(bytes);
                    flow
                }
                None => each(context.snapshot.nodes(sought.column.type_id), &mut bind),
            };
            if flow?.is_break() {
                return ENOUGH;
            }
        }
        MORE
    }

    /// Whether it leads straight to the nodes, and says all that its condition does.
    pub(crate) fn is_straight(&self) -> bool {
        self.rank() <= Way::Index(0).rank() && self.condition.is_some()
    }

    /// Nodes among which are all that are found: few for one that [is straight](Self::is_straight).
    pub(crate) fn nodes(
        &self,
        context: Context<'_>,
        row: &Row,
    ) -> Result<Vec<NodeRef>, ExecuteError> {
        let snapshot = context.snapshot;
        let values = self.values(context, row)?;
        let mut nodes = Vec::new();
        for sought in &self.types {
            let proposed = match &values {
                Some(values) => self.proposed(context, sought, values)?,
                None => None,
            };
            match proposed {
                Some(ids) => nodes.extend(ids.into_iter().map(|id| sought.node(id))),
                None => nodes.extend(snapshot.nodes(sought.column.type_id)),
            }
        }
        nodes.retain(|node| snapshot.contains_node(*node));
        Ok(nodes)
    }

    /// What is wanted; `None` when it cannot be computed, and a condition will tell.
    fn values(&self, context: Context<'_>, row: &Row) -> Result<Option<Values>, ExecuteError> {
        let mut values = Vec::new();
        for wanted in &self.wanted {
            match (context.evaluate(wanted.value, row), wanted.each) {
                (Ok(Value::Null), _) => {}
                (Ok(Value::List(list)), true) => values.extend(list.iter().cloned()),
                (Ok(value), false) => values.push(value),
                (Ok(_), true) if self.condition.is_some() => {}
                (Err(error), _) if self.condition.is_some() => return Err(error),
                (Ok(_), true) | (Err(_), _) => return Ok(None),
            }
        }
        let hashed = values.into_iter().filter(|value| !value.is_null());
        let mut hashed: Vec<(u32, Value)> = hashed
            .map(|value| (index::hash_of(&value), value))
            .collect();
        if hashed.len() > 1 {
            hashed.sort_by_key(|(hash, _)| *hash);
            hashed.dedup_by(|a, b| a.0 == b.0 && a.1.equals(&b.1) == Some(true));
        }
        Ok(Some(Values(hashed)))
    }

    /// The ids of all nodes of a type that may be wanted, ascending; `None` for all that there are.
    fn proposed(
        &self,
        context: Context<'_>,
        sought: &Sought,
        values: &Values,
    ) -> Result<Option<Vec<u64>>, ExecuteError> {
        let snapshot = context.snapshot;
        let type_id = sought.column.type_id;
        let mut ids = Vec::new();
        match &sought.way {
            Way::Scan => return Ok(None),
            Way::Identity => {
                let texts = values
                    .0
                    .iter()
                    .filter(|(_, it)| matches!(it, Value::String(_)));
                let found = texts.filter_map(|(_, text)| {
                    snapshot.node_by_key(type_id, std::slice::from_ref(text))
                });
                ids.extend(found.map(|node| node.id));
            }
            Way::Key(parts) => {
                let keys = values.0.iter();
                let keys = keys.filter_map(|(_, value)| self.key(parts, value));
                let found = keys.filter_map(|key| snapshot.node_by_key(type_id, &key));
                ids.extend(found.map(|node| node.id));
            }
            Way::Index(position) => {
                let Some(table) = snapshot.node_table(type_id) else {
                    return Ok(Some(ids));
                };
                let mut pace = |steps| {
                    context.statement.check()?;
                    context.statement.steps(steps)
                };
                for (hash, _) in &values.0 {
                    table.rows.seek(*position, *hash, &mut pace, &mut ids)?;
                }
            }
            Way::Table => {
                if !context.has_table(&sought.column)? {
                    return Ok(None);
                }
                for (hash, _) in &values.0 {
                    context.look_up(&sought.column, *hash, &mut ids);
                }
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Some(ids))
    }

    /// The key that a value stands for.
    fn key(&self, parts: &[PropertyType], value: &Value) -> Option<Vec<Value>> {
        match (parts, value) {
            // An element id is text, whatever the key is.
            ([part], Value::String(text)) if self.subject == Subject::ElementId => match part {
                PropertyType::I32 | PropertyType::I64 | PropertyType::U32 | PropertyType::U64 => {
                    Some(vec![Value::Int(text.parse().ok()?)])
                }
                _ => Some(vec![value.clone()]),
            },
            ([part], value) => Some(vec![stored_form(value.clone(), part)?]),
            (parts, Value::List(list)) if list.len() == parts.len() => {
                let parts = list.iter().zip(parts);
                parts
                    .map(|(it, part)| stored_form(it.clone(), part))
                    .collect()
            }
            _ => None,
        }
    }

    /// Whether a node is there and is one of those that are wanted.
    fn is_wanted(
        &self,
        snapshot: &Snapshot,
        sought: &Sought,
        node: NodeRef,
        values: &Values,
    ) -> bool {
        let value = match (self.subject, &sought.column.property) {
            (Subject::Id, _) => snapshot.node_identity(node),
            (Subject::ElementId, _) => element_id(snapshot.node_identity(node)),
            (Subject::Property, Named::Id(id)) => snapshot.node_property(node, *id),
            (Subject::Property, Named::Name(name)) => {
                snapshot.property_named(&Value::Node(node), name)
            }
        };
        values.contain(&value)
    }
}

/// Gives nodes to `bind` until that is enough.
fn each(nodes: impl Iterator<Item = NodeRef>, bind: &mut dyn FnMut(NodeRef) -> Flow) -> Flow {
    for node in nodes {
        if bind(node)?.is_break() {
            return ENOUGH;
        }
    }
    MORE
}

impl Sought {
    const fn node(&self, id: u64) -> NodeRef {
        let type_id = self.column.type_id;
        NodeRef { type_id, id }
    }
}
