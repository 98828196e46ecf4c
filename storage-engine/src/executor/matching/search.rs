//! Runs the steps of one `MATCH`, depth first.
//!
//! Recursion follows the steps of the plan, never the data: walks of variable length keep their
//! own stack.

use std::sync::Arc;

use language::plan::{PathPattern, Slot};
use language::schema::{PropertyType, Schema, TypeId};
use language::value::{EdgeRef, NodeRef, Path, Value};
use rustc_hash::FxHashSet;

use super::expand::{BoundEdge, Expand};
use super::planning::{KeyLookup, Planned};
use super::seek::Seek;
use super::shortest::ShortestPath;
use super::stopwatch::Stopwatch;
use super::tail::Tail;
use super::variable_length::{BoundList, VariableLength};
use crate::executor::Row;
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;
use crate::executor::operator::{self, Operator};
use crate::executor::parallel::Morsel;
use crate::executor::pipeline::{ENOUGH, Flow, MORE, Next};
use crate::snapshot::Snapshot;

/// A way to bind slots.
pub(crate) enum Operation<'a> {
    /// Nothing: the conditions on what came bound follow it.
    Begin,
    /// Nothing, for a pattern that cannot match.
    Nothing,
    /// Every node of some types.
    Scan { slot: Slot, types: Vec<TypeId> },
    /// The nodes that have a key.
    Lookup {
        slot: Slot,
        keys: Vec<KeyLookup<'a>>,
    },
    /// The nodes of which something equals a value.
    Seek(Box<Seek<'a>>),
    /// The relationships of a node.
    Expand(Expand),
    /// The ends of a relationship that came bound.
    BoundEdge(BoundEdge<'a>),
    /// Walks of variable length.
    VariableLength(VariableLength<'a>),
    /// A walk along a list of relationships that came bound.
    BoundList(BoundList<'a>),
    /// Shortest paths between two bound nodes.
    Shortest(ShortestPath<'a>),
    /// The path made of what is bound.
    Path { slot: Slot, path: &'a PathPattern },
}

/// The relationships used so far within a clause.
#[derive(Debug, Default)]
pub(crate) struct Used {
    order: Vec<EdgeRef>,
    /// Mirrors `order` once that is long.
    set: FxHashSet<EdgeRef>,
}

/// Up to this many are compared one by one.
const FEW: usize = 16;

impl Used {
    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.set.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Those used since there were `start`.
    pub(crate) fn since(&self, start: usize) -> &[EdgeRef] {
        self.order.get(start..).unwrap_or_default()
    }

    /// Uses one; false when it is in use.
    pub(crate) fn insert(&mut self, edge: EdgeRef) -> bool {
        if self.set.is_empty() {
            if self.order.contains(&edge) {
                return false;
            }
            self.order.push(edge);
            if self.order.len() > FEW {
                self.set.extend(self.order.iter().copied());
            }
            return true;
        }
        let new = self.set.insert(edge);
        if new {
            self.order.push(edge);
        }
        new
    }

    /// Frees all but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        for edge in self.order.drain(len.min(self.order.len())..) {
            self.set.remove(&edge);
        }
        if self.order.len() <= FEW {
            self.set.clear();
        }
    }
}

/// A search for one input row.
pub(crate) struct Search<'s, 'a, 'n> {
    pub(crate) context: Context<'a>,
    pub(crate) steps: &'s [Planned<'a>],
    pub(crate) used: &'s mut Used,
    pub(crate) next: &'s mut Next<'n>,
    /// Whether anything matched.
    pub(crate) found: bool,
    /// When the time of each step is wanted.
    pub(crate) stopwatch: Option<&'s Stopwatch>,
    /// The nodes that [`FIRST`] scans, when those are not all.
    pub(crate) morsel: Option<Morsel>,
    /// When only the number of rows is asked of the last step.
    pub(crate) tail: Option<&'s Tail<'a>>,
}

/// The step that may begin with a part of all nodes: the one after [`Operation::Begin`].
pub(crate) const FIRST: usize = 1;

impl Operation<'_> {
    /// What it is; nothing for what does no work.
    pub(crate) fn describe(&self, schema: &Schema) -> Option<Operator> {
        let text = |name, details| Some(Operator::new(name, details));
        match self {
            Self::Begin => None,
            Self::Nothing => text("Nothing", String::new()),
            Self::Scan { slot, types } => text("NodeScan", operator::node(schema, *slot, types)),
            Self::Lookup { slot, keys } => {
                let types = keys.iter().map(|key| &key.type_id);
                text("KeyLookup", operator::node(schema, *slot, types))
            }
            Self::Seek(seek) => Some(seek.describe(schema)),
            Self::Expand(expand) => expand.describe(schema),
            Self::BoundEdge(bound) => text("RelationshipEnds", operator::variable(bound.edge.slot)),
            Self::VariableLength(walk) => text("ExpandVariable", walk.details(schema)),
            Self::BoundList(bound) => text("FollowList", bound.walk.details(schema)),
            Self::Shortest(shortest) => text("ShortestPath", shortest.walk.details(schema)),
            Self::Path { slot, .. } => text("Path", operator::variable(*slot)),
        }
    }
}

impl Search<'_, '_, '_> {
    /// Runs the step at a place, and with it all after it.
    pub(crate) fn run(&mut self, at: usize, row: &mut Row) -> Flow {
        let Some(stopwatch) = self.stopwatch else {
            return self.step(at, row);
        };
        let before = stopwatch.switch(at);
        let flow = self.step(at, row);
        stopwatch.switch(before);
        flow
    }

    fn step(&mut self, at: usize, row: &mut Row) -> Flow {
        let steps = self.steps;
        let Some(step) = steps.get(at) else {
            self.found = true;
            return (self.next)(row);
        };
        match &step.operation {
            Operation::Begin => self.proceed(at, row),
            Operation::Nothing => MORE,
            Operation::Scan { slot, types } => self.scan(at, *slot, types, row),
            Operation::Lookup { slot, keys } => self.look_up(at, *slot, keys, row),
            Operation::Seek(seek) => seek.run(self, at, row),
            Operation::Expand(expand) => match self.tail.filter(|tail| tail.at() == at) {
                Some(tail) => tail.run(self, expand, row),
                None => expand.run(self, at, row),
            },
            Operation::BoundEdge(bound) => bound.run(self, at, row),
            Operation::VariableLength(walk) => walk.run(self, at, row),
            Operation::BoundList(bound) => bound.run(self, at, row),
            Operation::Shortest(shortest) => shortest.run(self, at, row),
            Operation::Path { slot, path } => {
                row[slot.0] = path_value(self.context.snapshot, path, row);
                self.proceed(at, row)
            }
        }
    }

    /// The step at a place has bound its slots: tests its conditions and goes on.
    pub(crate) fn proceed(&mut self, at: usize, row: &mut Row) -> Flow {
        let steps = self.steps;
        self.context.step()?;
        for condition in &steps[at].conditions {
            if !condition.holds(self.context, row)? {
                return MORE;
            }
        }
        steps[at].rows.update(|rows| rows + 1);
        self.run(at + 1, row)
    }

    /// Binds every node of some types.
    pub(super) fn scan(&mut self, at: usize, slot: Slot, types: &[TypeId], row: &mut Row) -> Flow {
        if let Some(morsel) = self.morsel.filter(|_| at == FIRST) {
            let range = (morsel.first, morsel.last);
            for node in self.context.snapshot.nodes_between(morsel.type_id, range) {
                row[slot.0] = Value::Node(node);
                if self.proceed(at, row)?.is_break() {
                    return ENOUGH;
                }
            }
            return MORE;
        }
        for type_id in types {
            for node in self.context.snapshot.nodes(*type_id) {
                row[slot.0] = Value::Node(node);
                if self.proceed(at, row)?.is_break() {
                    return ENOUGH;
                }
            }
        }
        MORE
    }

    fn look_up(&mut self, at: usize, slot: Slot, keys: &[KeyLookup<'_>], row: &mut Row) -> Flow {
        for lookup in keys {
            let Some(key) = key_of(self.context, lookup, row)? else {
                continue;
            };
            let Some(node) = self.context.snapshot.node_by_key(lookup.type_id, &key) else {
                continue;
            };
            row[slot.0] = Value::Node(node);
            if self.proceed(at, row)?.is_break() {
                return ENOUGH;
            }
        }
        MORE
    }
}

/// The key that is looked up; `None` when no node can have it.
pub(crate) fn key_of(
    context: Context<'_>,
    lookup: &KeyLookup<'_>,
    row: &Row,
) -> Result<Option<Vec<Value>>, ExecuteError> {
    let mut key = Vec::with_capacity(lookup.parts.len());
    for (expr, property_type) in &lookup.parts {
        match stored_form(context.evaluate(expr, row)?, property_type) {
            Some(value) => key.push(value),
            None => return Ok(None),
        }
    }
    Ok(Some(key))
}

/// The form in which a property would hold a value that equals this one; `None` when none can.
pub(crate) fn stored_form(value: Value, property_type: &PropertyType) -> Option<Value> {
    match (property_type, value) {
        (_, Value::Null) => None,
        (PropertyType::F32 | PropertyType::F64, Value::Int(int)) => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "compared with the integer below"
            )]
            let float = Value::Float(int as f64);
            (float.equals(&Value::Int(int)) == Some(true)).then_some(float)
        }
        (
            PropertyType::I32 | PropertyType::I64 | PropertyType::U32 | PropertyType::U64,
            Value::Float(float),
        ) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "compared with the float below"
            )]
            let int = Value::Int(float as i64);
            (int.equals(&Value::Float(float)) == Some(true)).then_some(int)
        }
        (_, value) => Some(value),
    }
}

/// Sets the far end of a walk, or compares with it when it is bound.
pub(crate) fn arrive(row: &mut Row, to: Slot, to_bound: bool, node: NodeRef) -> bool {
    if to_bound {
        return matches!(row[to.0], Value::Node(bound) if bound == node);
    }
    row[to.0] = Value::Node(node);
    true
}

/// The node at the other end of an edge.
pub(crate) fn far_end(snapshot: &Snapshot, edge: EdgeRef, near: NodeRef) -> Option<NodeRef> {
    let (source, target) = snapshot.edge_ends(edge)?;
    if source == near {
        Some(target)
    } else if target == near {
        Some(source)
    } else {
        None
    }
}

/// The path that a pattern's bound slots make; null when they make none.
fn path_value(snapshot: &Snapshot, pattern: &PathPattern, row: &Row) -> Value {
    let collect = || {
        let Value::Node(start) = row[pattern.start.slot.0] else {
            return None;
        };
        let (mut nodes, mut edges) = (vec![start], Vec::new());
        for step in &pattern.steps {
            let single;
            let walked: &[Value] = match &row[step.edge.slot.0] {
                Value::List(list) => list,
                one => {
                    single = [one.clone()];
                    &single
                }
            };
            for edge in walked {
                let Value::Relationship(edge) = edge else {
                    return None;
                };
                let near = *nodes.last()?;
                nodes.push(far_end(snapshot, *edge, near)?);
                edges.push(*edge);
            }
        }
        Some(Path { nodes, edges })
    };
    collect().map_or(Value::Null, |path| Value::Path(Arc::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_stays_right_beyond_the_few() {
        let edge = |id| EdgeRef {
            type_id: TypeId(1),
            id,
        };
        let mut used = Used::default();
        for id in 0..100 {
            assert!(used.insert(edge(id)));
            assert!(!used.insert(edge(id / 2)));
        }
        assert_eq!(used.since(98), [edge(98), edge(99)]);
        used.truncate(20);
        assert!(used.insert(edge(50)));
        assert!(!used.insert(edge(19)));
        used.truncate(3);
        assert!(used.insert(edge(10)));
        assert!(!used.insert(edge(2)));
        used.truncate(0);
        assert!(used.insert(edge(2)));
    }

    #[test]
    fn keys_are_looked_up_in_the_form_in_which_they_are_stored() {
        let cases = [
            (Value::Float(2.0), PropertyType::I64, Some(Value::Int(2))),
            (Value::Float(2.5), PropertyType::I64, None),
            (Value::Float(f64::NAN), PropertyType::I64, None),
            (Value::Int(2), PropertyType::F64, Some(Value::Float(2.0))),
            (Value::Int(i64::MAX), PropertyType::F64, None),
            (Value::Null, PropertyType::String, None),
        ];
        for (value, property_type, expected) in cases {
            assert_eq!(
                stored_form(value.clone(), &property_type),
                expected,
                "{value:?}"
            );
        }
    }
}
