//! Counts triangles: three nodes, each joined with the other two.
//!
//! For each node of the first corner those of the third that it is joined with are marked; then, over the
//! nodes of the second corner that it is joined with, the marks of their relationships are added up. Two
//! sides can be the same relationship only if the third is a loop, so types with loops are enumerated.
//!
//! First nodes are shared out among the cores; what each finds is added up, so the order is nothing.

use language::plan::Aggregation;
use language::value::NodeRef;

use super::tree::{Hop, Known, Vertex};
use super::weigh::Weigher;
use crate::executor::Row;
use crate::executor::aggregate::{AggregateStage, Tally};
use crate::executor::context::{Context, Pace};
use crate::executor::cores::Cores;
use crate::executor::error::ExecuteError;
use crate::executor::matching::condition::Condition;
use crate::executor::operator::{self, Operator};
use crate::executor::pipeline::{Flow, MORE, Next, Stage};
use crate::topology::Weights;

/// Relationships between two looks at the clock, about.
const LINKS_PER_CHECK: u64 = 1 << 16;
/// What a first or second node counts for by itself.
const LINKS_PER_NODE: u64 = 16;
/// Fewer first nodes than this are not worth a thread.
const NODES_PER_THREAD: usize = 2_048;

/// Three nodes and the relationships between them.
pub(super) struct Triangle<'a> {
    /// The first is found by key, if one is. Without branches, of one type each.
    pub(super) corners: [Vertex<'a>; 3],
    /// From the first to the second, from the second to the third, from the first to the third.
    pub(super) sides: [Vec<Hop<'a>>; 3],
}

impl<'a> Triangle<'a> {
    /// How many there are.
    pub(super) fn count(
        &mut self,
        weigher: &Weigher<'a>,
        row: &mut Row,
    ) -> Result<u128, ExecuteError> {
        let [first, second, third] = &mut self.corners;
        for corner in [&mut *second, &mut *third] {
            weigher.prepare(corner, row, f64::INFINITY)?;
        }
        let mut nodes = Vec::new();
        let _ = weigher.each(first, row, &mut |_, node, _| {
            nodes.push(node);
            MORE
        })?;
        weigher.charge(nodes.len() * size_of::<NodeRef>())?;
        let snapshot = weigher.context.snapshot;
        let third_table = self.corners[2]
            .types
            .first()
            .and_then(|id| snapshot.node_table(*id));
        let Some(range) = third_table.and_then(|table| table.rows.bounds()) else {
            return Ok(0);
        };
        let len = usize::try_from(range.1 - range.0).unwrap_or(usize::MAX - 1) + 1;
        let marks = len.saturating_mul(size_of::<u32>());
        let statement = &weigher.context.statement;
        let most = threads(
            statement.threads().most,
            nodes.len(),
            statement.left(),
            marks,
        );
        let cores = Cores::lend(most);
        let threads = cores.threads();
        weigher.charge(marks.saturating_mul(threads))?;
        let pace = weigher.context.statement.pace();
        let (this, range) = (&*self, (range.0, len));
        if threads == 1 {
            return this.part(&nodes, range, pace);
        }
        let parts = nodes.chunks(nodes.len().div_ceil(threads));
        std::thread::scope(|scope| {
            let parts: Vec<_> = parts
                .map(|part| scope.spawn(move || this.part(part, range, pace)))
                .collect();
            let sums = parts.into_iter().map(|part| match part.join() {
                Ok(sum) => sum,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            sums.sum()
        })
    }

    /// How many there are at some first nodes.
    fn part(
        &self,
        nodes: &[NodeRef],
        (first, len): (u64, usize),
        pace: Pace<'_>,
    ) -> Result<u128, ExecuteError> {
        let mut marks = vec![0_u32; len];
        let mut marked = Vec::new();
        let mut count = 0_u128;
        let mut work = LINKS_PER_CHECK;
        for node in nodes {
            work += LINKS_PER_NODE;
            look(&mut work, pace)?;
            for link in self.sides[2].iter().flat_map(|hop| hop.links(node.id)) {
                let place = usize::try_from(link.node.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let Some(mark) = marks.get_mut(place)
                    && counts(&self.corners[2], link.node)
                {
                    *mark += 1;
                    marked.push(place);
                }
            }
            work += marked.len() as u64;
            let weights = Weights {
                first,
                values: &marks,
            };
            if !marked.is_empty() {
                for link in self.sides[0].iter().flat_map(|hop| hop.links(node.id)) {
                    if counts(&self.corners[1], link.node) {
                        count += u128::from(self.around(link.node, weights));
                        let degrees = self.sides[1].iter();
                        let degrees = degrees.map(|hop| hop.adjacency().degree(link.node));
                        work += LINKS_PER_NODE + degrees.sum::<u64>();
                        look(&mut work, pace)?;
                    }
                }
            }
            marked.drain(..).for_each(|place| marks[place] = 0);
        }
        Ok(count)
    }

    /// The marks of what a second node is joined with.
    fn around(&self, second: u64, marks: Weights<'_, u32>) -> u64 {
        let parts = self.sides[1].iter().map(|hop| {
            if hop.adjacency().is_regular(second) {
                hop.adjacency().sum(second, marks)
            } else {
                hop.links(second).map(|link| marks.of(link.node)).sum()
            }
        });
        parts.sum()
    }
}

/// `MATCH` of triangles and the counts after it, while they run.
pub(super) struct TriangleStage<'a> {
    context: Context<'a>,
    triangle: Triangle<'a>,
    guards: Vec<Condition<'a>>,
    groups: AggregateStage<'a>,
    tallies: Vec<Tally>,
}

impl<'a> TriangleStage<'a> {
    pub(super) fn new(
        context: Context<'a>,
        triangle: Triangle<'a>,
        guards: Vec<Condition<'a>>,
        aggregation: &'a Aggregation,
    ) -> Self {
        Self {
            context,
            triangle,
            guards,
            groups: AggregateStage::new(context, aggregation),
            tallies: vec![Tally::Rows; aggregation.aggregates.len()],
        }
    }
}

impl Stage for TriangleStage<'_> {
    fn begin(&mut self, around: &Row) {
        self.groups.begin(around);
    }

    fn push(&mut self, row: &mut Row, _: &mut Next<'_>) -> Flow {
        self.context.step()?;
        for guard in &self.guards {
            if !guard.holds(self.context, row)? {
                return MORE;
            }
        }
        let weigher = Weigher::new(self.context);
        let count = self.triangle.count(&weigher, &mut row.clone())?;
        weigher.release();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.groups.add_counts(count, 0, &self.tallies);
        MORE
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), ExecuteError> {
        self.groups.finish(next)
    }

    fn describe(&self, _: f64, operators: &mut Vec<Operator>) -> f64 {
        let schema = self.context.snapshot.schema();
        let corners = self.triangle.corners.iter();
        let details: Vec<_> = corners
            .clone()
            .map(|corner| operator::node(schema, corner.slot, &corner.types))
            .collect();
        let conditions = corners.flat_map(|corner| &corner.conditions);
        operators.push(Operator {
            conditions: conditions.filter_map(Condition::span).collect(),
            ..Operator::new("CountTriangles", details.join(", "))
        });
        1.0
    }
}

/// How many threads share the first nodes, each with marks of its own: these take half of the bytes that
/// are left at most, however many cores there are.
fn threads(cores: usize, nodes: usize, left: usize, marks: usize) -> usize {
    let room = left / 2 / marks.max(1);
    cores.min(nodes / NODES_PER_THREAD).min(room).max(1)
}

/// Looks at the clock and the cancel flag when enough was done since the last time.
fn look(work: &mut u64, pace: Pace<'_>) -> Result<(), ExecuteError> {
    if *work < LINKS_PER_CHECK {
        return Ok(());
    }
    *work = 0;
    pace.check()
}

/// Whether a node may stand for a corner.
fn counts(corner: &Vertex<'_>, id: u64) -> bool {
    match corner.known.first() {
        Some(Known::All) => true,
        Some(Known::Marks(first, values)) => {
            let first = *first;
            Weights { first, values }.of(id) > 0
        }
        Some(Known::Counts(first, values)) => {
            let first = *first;
            Weights { first, values }.of(id) > 0
        }
        Some(Known::Some(sums)) => sums.contains_key(&id),
        Some(Known::Asked) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_take_half_of_what_is_left() {
        let (many, mebibyte) = (10_000_000, 1 << 20);
        assert_eq!(threads(2, many, 256 * mebibyte, mebibyte), 2);
        assert_eq!(threads(64, many, 256 * mebibyte, 40 * mebibyte), 3);
        assert_eq!(threads(64, many, mebibyte, 40 * mebibyte), 1);
        assert_eq!(threads(64, 5_000, 256 * mebibyte, 1), 2);
        assert_eq!(threads(64, 10, 256 * mebibyte, 0), 1);
    }
}
