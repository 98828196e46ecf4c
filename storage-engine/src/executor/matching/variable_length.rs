//! Walks of variable length: trails, in which no relationship comes twice.
//!
//! The search keeps its own stack, one iterator per relationship on the way, so that long trails
//! cost memory that is counted and no program stack.

use language::plan::{Direction, EdgePattern, Length, PropertyTest, Slot};
use language::schema::Schema;
use language::value::{EdgeRef, NodeRef, Value};

use super::condition::property_equals;
use super::expand::Ways;
use super::search::{Search, arrive, far_end};
use crate::executor::Row;
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;
use crate::executor::operator;
use crate::executor::pipeline::{ENOUGH, Flow, MORE};
use crate::snapshot::Neighbour;

/// A step of variable length from a bound node.
#[derive(Debug)]
pub(crate) struct VariableLength<'a> {
    pub(crate) edge: Slot,
    pub(crate) from: Slot,
    pub(crate) to: Slot,
    pub(crate) to_bound: bool,
    /// Walked from the right end of the pattern to the left.
    pub(crate) reversed: bool,
    pub(crate) length: Length,
    pub(crate) ways: Ways,
    /// The same relationships seen from the far end.
    pub(crate) back: Ways,
    /// What each relationship must fulfil.
    pub(crate) tests: Vec<&'a PropertyTest>,
    /// Whether anything reads the list of relationships.
    pub(crate) list_wanted: bool,
}

type Trail<'t> = Box<dyn Iterator<Item = Neighbour> + 't>;

/// What one level of the stack costs, in bytes: the boxed iterator and the used relationship.
const LEVEL_BYTES: usize = 256;

impl VariableLength<'_> {
    /// What it walks: `(#1)-[#2:Knows]->(#3) 1..4`.
    pub(crate) fn details(&self, schema: &Schema) -> String {
        let (from, to) = (operator::variable(self.from), operator::variable(self.to));
        let edge = self.ways.details(schema, self.edge);
        let max = self.length.max.map(|max| max.to_string());
        let (min, max) = (self.length.min, max.unwrap_or_default());
        format!("({from}){edge}({to}) {min}..{max}")
    }

    pub(crate) fn run(&self, search: &mut Search<'_, '_, '_>, at: usize, row: &mut Row) -> Flow {
        let Value::Node(from) = row[self.from.0] else {
            return MORE;
        };
        self.trails(
            search,
            row,
            from,
            self.length,
            &mut |search, row, node, mark| self.emit_trail(search, at, row, node, mark),
        )
    }

    /// Calls `emit` with the end of each trail whose length is within `length`; the trail itself is
    /// what is used since the given mark.
    pub(crate) fn trails<'s, 'a, 'n>(
        &self,
        search: &mut Search<'s, 'a, 'n>,
        row: &mut Row,
        from: NodeRef,
        length: Length,
        emit: &mut dyn FnMut(&mut Search<'s, 'a, 'n>, &mut Row, NodeRef, usize) -> Flow,
    ) -> Flow {
        let context = search.context;
        let mark = search.used.len();
        if length.min == 0 && emit(search, row, from, mark)?.is_break() {
            return ENOUGH;
        }
        if length.max == Some(0) {
            return MORE;
        }
        context.statement.charge(LEVEL_BYTES)?;
        let mut stack: Vec<Trail<'_>> =
            vec![Box::new(self.ways.neighbours(context.snapshot, from))];
        while let Some(level) = stack.last_mut() {
            context.step()?;
            let Some(neighbour) = level.next() else {
                stack.pop();
                context.statement.release(LEVEL_BYTES);
                // The relationship that led to this level is free again.
                search
                    .used
                    .truncate((mark + stack.len()).saturating_sub(1).max(mark));
                continue;
            };
            if !self.allows(context, neighbour.edge, row)? || !search.used.insert(neighbour.edge) {
                continue;
            }
            let depth = u32::try_from(stack.len()).unwrap_or(u32::MAX);
            if depth >= length.min && emit(search, row, neighbour.node, mark)?.is_break() {
                context.statement.release(stack.len() * LEVEL_BYTES);
                return ENOUGH;
            }
            if length.max.is_none_or(|max| depth < max) {
                context.statement.charge(LEVEL_BYTES)?;
                stack.push(Box::new(
                    self.ways.neighbours(context.snapshot, neighbour.node),
                ));
            } else {
                search.used.truncate(mark + stack.len() - 1);
            }
        }
        MORE
    }

    /// Whether a relationship passes the tests of the pattern.
    pub(crate) fn allows(
        &self,
        context: Context<'_>,
        edge: EdgeRef,
        row: &Row,
    ) -> Result<bool, ExecuteError> {
        for test in &self.tests {
            if !property_equals(context, &Value::Relationship(edge), test, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn emit_trail(
        &self,
        search: &mut Search<'_, '_, '_>,
        at: usize,
        row: &mut Row,
        node: NodeRef,
        mark: usize,
    ) -> Flow {
        if !arrive(row, self.to, self.to_bound, node) {
            return MORE;
        }
        if self.list_wanted {
            row[self.edge.0] = self.list(search.used.since(mark));
        }
        search.proceed(at, row)
    }

    /// The relationships in the order of the text.
    pub(crate) fn list(&self, walked: &[EdgeRef]) -> Value {
        let edges = walked.iter().copied().map(Value::Relationship);
        if self.reversed {
            Value::list(edges.rev())
        } else {
            Value::list(edges)
        }
    }
}

/// A step of variable length whose list of relationships came bound.
#[derive(Debug)]
pub(crate) struct BoundList<'a> {
    pub(crate) edge: &'a EdgePattern,
    pub(crate) walk: VariableLength<'a>,
}

impl BoundList<'_> {
    pub(crate) fn run(&self, search: &mut Search<'_, '_, '_>, at: usize, row: &mut Row) -> Flow {
        let walk = &self.walk;
        let (Value::Node(from), Value::List(list)) = (&row[walk.from.0], &row[walk.edge.0]) else {
            return MORE;
        };
        let (from, list) = (*from, list.clone());
        let length = u32::try_from(list.len()).unwrap_or(u32::MAX);
        if length < walk.length.min || walk.length.max.is_some_and(|max| length > max) {
            return MORE;
        }
        let mark = search.used.len();
        let end = self.follow(search, row, from, &list)?;
        let flow = match end {
            Some(end) if arrive(row, walk.to, walk.to_bound, end) => search.proceed(at, row)?,
            _ => std::ops::ControlFlow::Continue(()),
        };
        search.used.truncate(mark);
        Ok(flow)
    }

    fn follow(
        &self,
        search: &mut Search<'_, '_, '_>,
        row: &Row,
        from: NodeRef,
        list: &[Value],
    ) -> Result<Option<NodeRef>, ExecuteError> {
        let mut node = from;
        for place in 0..list.len() {
            let place = if self.walk.reversed {
                list.len() - 1 - place
            } else {
                place
            };
            let Value::Relationship(edge) = list[place] else {
                return Ok(None);
            };
            let Some(far) = far_end(search.context.snapshot, edge, node) else {
                return Ok(None);
            };
            let ends = search.context.snapshot.edge_ends(edge);
            let forward = ends == Some((node, far));
            let fits = match (self.edge.direction, self.walk.reversed) {
                (Direction::Either, _) => true,
                (Direction::Outgoing, false) | (Direction::Incoming, true) => forward,
                (Direction::Outgoing, true) | (Direction::Incoming, false) => {
                    ends == Some((far, node))
                }
            };
            let names = &self.edge.names;
            let allowed = self.edge.types.contains(&edge.type_id)
                && (names.is_empty() || search.context.snapshot.is_named(edge, names))
                && self.walk.allows(search.context, edge, row)?;
            if !fits || !allowed || !search.used.insert(edge) {
                return Ok(None);
            }
            node = far;
        }
        Ok(Some(node))
    }
}
