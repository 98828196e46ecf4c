//! Counts and groups what `MATCH` finds without enumerating it.
//!
//! When nothing is asked of a pattern but how often it is there, for each node of one of its variables or
//! in all, each node gets a number: how many ways there are to find what hangs on it. For a tree these
//! are sums of products over the adjacency ([`weigh`], [`blocks`]); a pattern with a cycle, or with
//! conditions that compare two of its nodes, is enumerated as ever ([`plan`] decides).
//!
//! Relationships of one `MATCH` differ: where two neighbours of the tree could be the same one, what they
//! would count for together is taken away.
//!
//! Example: `MATCH (a)-[:Follows]->(b)-[:Follows]->(c) RETURN count(*)` is, over all `b`, the number of
//! relationships that arrive times the number of those that leave, less the loops.

mod asked;
mod blocks;
mod marks;
mod merge;
mod plan;
mod rank;
mod reach;
mod ring;
mod shape;
mod tree;
mod triangle;
mod value;
mod weigh;

use std::ops::ControlFlow;

use language::plan::{Aggregation, Clause, Match, Projection};
use language::value::{NodeRef, Value};

use self::asked::Asked;
pub(super) use self::asked::is_countable;
use self::blocks::Total;
use self::plan::{Pattern, Patterns};
use self::rank::Rank;
use self::tree::{Known, Vertex};
use self::triangle::TriangleStage;
use self::value::Sum;
use self::weigh::{Few, Weigher};
use super::Row;
use super::aggregate::{AggregateStage, ForMany, Tally};
use super::context::Context;
use super::error::{ArithmeticProblem, ExecuteError};
use super::matching::condition;
use super::matching::selectivity::selectivity;
use super::operator::{self, Operator};
use super::pipeline::{ENOUGH, Flow, MORE, Next, Stage};
use super::project;

/// `MATCH` clauses and the grouping after them, while they run.
pub(crate) struct CountStage<'a> {
    context: Context<'a>,
    pattern: Pattern<'a>,
    aggregation: &'a Aggregation,
    groups: AggregateStage<'a>,
    tallies: Vec<Tally>,
    /// What is added up.
    sums: Vec<Sum<'a>>,
    /// Each node of the root is a group.
    by_node: bool,
    rank: Option<Rank>,
}

/// A stage, and how many clauses it stands for.
type Counted<'a> = (Box<dyn Stage + 'a>, usize);

/// A stage for the clauses that a list begins with, and how many those are, when they can be counted:
/// `MATCH` clauses, and the grouping of the projection after them. `first` says that no more than one row
/// comes in.
pub(crate) fn stage<'a>(
    context: Context<'a>,
    clauses: &'a [Clause],
    first: bool,
) -> Result<Option<Counted<'a>>, ExecuteError> {
    let matchings: Vec<&Match> = clauses
        .iter()
        .map_while(|clause| match clause {
            Clause::Match(matching) => Some(matching),
            _ => None,
        })
        .collect();
    let count = matchings.len();
    let Some(Clause::Project(projection)) = clauses.get(count).filter(|_| count > 0) else {
        return Ok(None);
    };
    let Some(aggregation) = &projection.aggregation else {
        return Ok(None);
    };
    let wanted = project::wanted(context, projection)?.filter(|_| first);
    let stage = || -> Option<Box<dyn Stage + 'a>> {
        let patterns = Patterns::gather(context, matchings)?;
        let asked = Asked::new(context, aggregation, &patterns, first)?;
        if asked.is_count(aggregation)
            && let Some((triangle, guards)) = patterns.triangle()
        {
            let stage = TriangleStage::new(context, triangle, guards, aggregation);
            return Some(Box::new(stage));
        }
        let grouping = (projection, aggregation);
        let stage = CountStage::new(context, patterns, asked, grouping, wanted)?;
        Some(Box::new(stage))
    };
    Ok(stage().map(|stage| (stage, count)))
}

impl<'a> CountStage<'a> {
    fn new(
        context: Context<'a>,
        patterns: Patterns<'a>,
        asked: Asked<'a>,
        (projection, aggregation): (&'a Projection, &'a Aggregation),
        wanted: Option<usize>,
    ) -> Option<Self> {
        let harmless = aggregation.keys.iter().map(|key| &key.expr);
        let harmless = harmless.chain(projection.items.iter().map(|item| &item.expr));
        let harmless = asked.by_node && harmless.into_iter().all(condition::is_infallible);
        let rank = wanted.filter(|_| harmless);
        let rank = rank.and_then(|wanted| Rank::new(projection, wanted));
        let sums = asked.sums.iter();
        let sums = sums.map(|(slot, expr)| Sum::new(&patterns, asked.root, *slot, expr));
        Some(Self {
            context,
            sums: sums.collect::<Option<_>>()?,
            pattern: patterns.pattern(asked.root)?,
            aggregation,
            groups: AggregateStage::new(context, aggregation),
            rank: rank.filter(|rank| asked.tallies[rank.aggregate] == Tally::Rows),
            tallies: asked.tallies,
            by_node: asked.by_node,
        })
    }

    /// Whether only the number of rows, or of root nodes, is asked for.
    fn is_whole(&self) -> bool {
        let alone = self.pattern.others.is_empty();
        let plain = |tally: &Tally| *tally == Tally::Rows || (alone && *tally == Tally::Once);
        self.aggregation.keys.is_empty() && self.tallies.iter().all(plain)
    }

    fn count_whole(&mut self, weigher: &Weigher<'a>, row: &mut Row) -> Flow {
        let with_nodes = self.tallies.contains(&Tally::Once);
        let mut all = Difference::default();
        let factor = weigher.factor(&mut self.pattern.trees, row)?;
        let Some(tree) = self.pattern.trees.first_mut().filter(|_| factor > 0) else {
            return MORE;
        };
        let total = weigher.total(tree, with_nodes, row)?;
        all.add(1, total.weight.saturating_mul(u128::from(factor)));
        for (times, trees) in &mut self.pattern.others {
            let factor = weigher.factor(trees, row)?;
            if let Some(tree) = trees.first_mut().filter(|_| factor > 0) {
                let weight = weigher.total(tree, false, row)?.weight;
                all.add(*times, weight.saturating_mul(u128::from(factor)));
            }
        }
        self.groups
            .add_counts(all.number(), total.nodes, &self.tallies);
        MORE
    }

    /// Makes what is added to the weights of root nodes, or taken away, ready: for each by what its
    /// weights are multiplied.
    fn prepare_others(
        &mut self,
        weigher: &Weigher<'a>,
        row: &mut Row,
    ) -> Result<Vec<u64>, ExecuteError> {
        let mut factors = Vec::with_capacity(self.pattern.others.len());
        for (_, trees) in &mut self.pattern.others {
            factors.push(weigher.factor(trees, row)?);
            if let Some(tree) = trees.first_mut() {
                weigher.prepare(tree, row, f64::INFINITY)?;
            }
        }
        Ok(factors)
    }

    /// Gives each root node and what it counts for to its group, or on, when it is one by itself.
    fn count_groups(&mut self, weigher: &Weigher<'a>, row: &mut Row, next: &mut Next<'_>) -> Flow {
        let factor = weigher.factor(&mut self.pattern.trees, row)?;
        let Some(mut tree) = (factor > 0).then(|| self.pattern.trees.swap_remove(0)) else {
            return MORE;
        };
        let factors = self.prepare_others(weigher, row)?;
        let others = std::mem::take(&mut self.pattern.others);
        let slot = tree.slot.0;
        for sum in &mut self.sums {
            sum.prepare(weigher, row)?;
        }
        let mut added = Vec::with_capacity(self.sums.len());
        let flow = weigher.each(&mut tree, row, &mut |row, node, weight| {
            let mut all = Difference::default();
            all.add(1, u128::from(weight.saturating_mul(factor)));
            for ((times, trees), factor) in others.iter().zip(&factors) {
                if let Some(tree) = trees.first() {
                    let weight = weigher.known(tree, node, row)?;
                    all.add(*times, u128::from(weight.saturating_mul(*factor)));
                }
            }
            let weight = all.number();
            if weight == 0 {
                return MORE;
            }
            if let Some(rank) = &mut self.rank
                && !rank.admits(weight)
            {
                return MORE;
            }
            if i64::try_from(weight).is_err() {
                return Err(too_many(self.aggregation));
            }
            self.context.step()?;
            added.clear();
            for sum in &self.sums {
                added.push(sum.of(weigher, node, factor, row)?);
            }
            let many = ForMany {
                rows: weight,
                tallies: &self.tallies,
                added: &added,
            };
            row[slot] = Value::Node(node);
            if !self.by_node {
                self.groups.take(row, many)?;
                return MORE;
            }
            for key in &self.aggregation.keys {
                row[key.slot.0] = self.context.evaluate(&key.expr, row)?;
            }
            self.groups.alone(row, many)?;
            next(row)
        });
        self.pattern.trees.insert(0, tree);
        self.pattern.others = others;
        flow
    }
}

impl Stage for CountStage<'_> {
    fn begin(&mut self, around: &Row) {
        self.groups.begin(around);
        if let Some(rank) = &mut self.rank {
            rank.forget();
        }
    }

    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        self.context.step()?;
        for guard in &self.pattern.guards {
            if !guard.holds(self.context, row)? {
                return MORE;
            }
        }
        let weigher = Weigher::new(self.context);
        // The row that came in stays what it was.
        let mut scratch = row.clone();
        let flow = if self.is_whole() {
            self.count_whole(&weigher, &mut scratch)
        } else {
            self.count_groups(&weigher, &mut scratch, next)
        };
        weigher.release();
        flow
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), ExecuteError> {
        if self.by_node {
            return Ok(());
        }
        self.groups.finish(next)
    }

    fn describe(&self, _: f64, operators: &mut Vec<Operator>) -> f64 {
        let schema = self.context.snapshot.schema();
        let mut nodes = 1.0;
        for tree in self.pattern.trees.iter().rev() {
            tree.walk(None, &mut |vertex, above| {
                let node = operator::node(schema, vertex.slot, &vertex.types);
                let all = vertex
                    .types
                    .iter()
                    .map(|id| self.context.snapshot.node_count(*id));
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                let all = all.sum::<u64>() as f64;
                let conditions = vertex.conditions.iter();
                let part: f64 = conditions
                    .clone()
                    .map(|condition| selectivity(self.context, condition))
                    .product();
                nodes = match &vertex.found {
                    tree::Found::Anywhere => all * part,
                    tree::Found::Sought(seek) => seek.expected,
                    tree::Found::ByKey(_) | tree::Found::Bound(_) => 1.0,
                };
                let (name, details) = match above {
                    None => ("CountNodes", node),
                    Some((near, branch)) => (
                        if branch.child.is_free() {
                            "CountRelationships"
                        } else {
                            "CountExpand"
                        },
                        format!(
                            "({})-{}",
                            operator::variable(near),
                            link(schema, branch, &node)
                        ),
                    ),
                };
                operators.push(Operator {
                    conditions: conditions.filter_map(condition::Condition::span).collect(),
                    estimated_rows: nodes,
                    ..Operator::new(name, details)
                });
            });
        }
        if !self.pattern.others.is_empty() {
            let count = self.pattern.others.len();
            let details = format!("{count} with a relationship taken twice");
            operators.push(Operator {
                estimated_rows: nodes,
                ..Operator::new("SubtractRepeats", details)
            });
        }
        let groups = match (self.aggregation.keys.is_empty(), self.by_node) {
            (true, _) => 1.0,
            (_, true) => nodes,
            (_, false) => nodes.max(1.0).sqrt(),
        };
        let name = match (self.rank.is_some(), self.by_node) {
            (true, _) => "RankNodes",
            (_, true) => "GroupByNode",
            (_, false) => "GroupCounts",
        };
        let aggregates = self.aggregation.aggregates.iter();
        let aggregates: Vec<_> = aggregates.map(|it| operator::variable(it.slot)).collect();
        operators.push(Operator {
            estimated_rows: groups,
            ..Operator::new(name, aggregates.join(", "))
        });
        groups
    }
}

/// `[#1:Follows]->(#2:Person)`.
fn link(schema: &language::schema::Schema, branch: &tree::Branch<'_>, node: &str) -> String {
    let types: std::collections::BTreeSet<_> =
        branch.hops.iter().map(|hop| hop.edge_type).collect();
    let types = match branch.names {
        [] => operator::type_names(schema, &types),
        names => format!(":{}", names.join("|")),
    };
    let outgoing = branch.hops.iter().any(|hop| hop.outgoing);
    let incoming = branch.hops.iter().any(|hop| !hop.outgoing);
    let arrow = match (outgoing, incoming) {
        (true, false) => "->",
        (false, true) => "<-",
        _ => "-",
    };
    format!("[{}{types}]{arrow}{node}", operator::variable(branch.edge))
}

/// A sum of numbers that are added and taken away, and that is not below zero in the end.
#[derive(Default)]
struct Difference {
    more: u128,
    less: u128,
    /// Something was too large to be told.
    saturated: bool,
}

impl Difference {
    fn add(&mut self, times: i64, number: u128) {
        self.saturated |= number >= u128::from(u64::MAX);
        let number = number.saturating_mul(u128::from(times.unsigned_abs()));
        let part = if times < 0 {
            &mut self.less
        } else {
            &mut self.more
        };
        *part = part.saturating_add(number);
    }

    fn number(&self) -> u64 {
        if self.saturated {
            return u64::MAX;
        }
        u64::try_from(self.more.saturating_sub(self.less)).unwrap_or(u64::MAX)
    }
}

impl<'a> Weigher<'a> {
    /// What the trees beside the first count for: each multiplies all.
    fn factor(&self, trees: &mut [Vertex<'a>], row: &mut Row) -> Result<u64, ExecuteError> {
        let mut factor = 1_u128;
        for tree in trees.iter_mut().skip(1) {
            factor = factor.saturating_mul(self.total(tree, false, row)?.weight);
        }
        Ok(u64::try_from(factor).unwrap_or(u64::MAX))
    }

    /// What the nodes of a root count for together; `with_nodes` also how many those are.
    fn total(
        &self,
        root: &mut Vertex<'a>,
        with_nodes: bool,
        row: &mut Row,
    ) -> Result<Total, ExecuteError> {
        let mut total = Total::default();
        let few = self.prepare_branches(root, row, f64::INFINITY)?;
        if let Some(sums) = root.lone_sums() {
            let weights = sums.iter().flat_map(|(_, sums)| sums.values());
            weights.for_each(|weight| total.add(&[*weight]));
            return Ok(total);
        }
        if !with_nodes && let Some(weight) = self.product(root, row)? {
            total.weight = weight;
            return Ok(total);
        }
        match few {
            Some(few) => {
                for known in self.known_few(root, &few, row)? {
                    if let Known::Some(sums) = known {
                        sums.values().for_each(|weight| total.add(&[*weight]));
                    }
                }
            }
            None if root.is_free() => {
                let snapshot = self.context.snapshot;
                total.nodes = root.types.iter().map(|id| snapshot.node_count(*id)).sum();
                total.weight = u128::from(total.nodes);
            }
            None => {
                for place in 0..root.types.len() {
                    let _ = self.blocks(root, place, row, &mut |_, weights, _| {
                        total.add(weights);
                        MORE
                    })?;
                }
            }
        }
        Ok(total)
    }

    /// Calls `visit` with each node of a root that counts for anything, in order.
    fn each(&self, root: &mut Vertex<'a>, row: &mut Row, visit: &mut EachNode<'_>) -> Flow {
        let few = self.prepare_branches(root, row, f64::INFINITY)?;
        for place in 0..root.types.len() {
            let type_id = root.types[place];
            let flow = match &few {
                Some(few) => self.each_of(root, few, place, row, visit)?,
                None => self.blocks(root, place, row, &mut |first, weights, row| {
                    for (id, weight) in (first..).zip(weights).filter(|(_, weight)| **weight > 0) {
                        if visit(row, NodeRef { type_id, id }, *weight)?.is_break() {
                            return ENOUGH;
                        }
                    }
                    MORE
                })?,
            };
            if flow.is_break() {
                return ENOUGH;
            }
        }
        MORE
    }

    fn each_of(
        &self,
        root: &Vertex<'a>,
        few: &Few,
        place: usize,
        row: &mut Row,
        visit: &mut EachNode<'_>,
    ) -> Flow {
        let mut ids = few.get(place).cloned().unwrap_or_default();
        ids.sort_unstable();
        let type_id = root.types[place];
        for id in ids {
            let node = NodeRef { type_id, id };
            let weight = self.weigh(root, node, row)?;
            if weight > 0 && visit(row, node, weight)?.is_break() {
                return ENOUGH;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What [`Weigher::each`] calls.
type EachNode<'v> = dyn FnMut(&mut Row, NodeRef, u64) -> Flow + 'v;

fn too_many(aggregation: &Aggregation) -> ExecuteError {
    let argument = aggregation
        .aggregates
        .iter()
        .find_map(|it| it.argument.as_ref());
    ExecuteError::Arithmetic {
        operation: "the count",
        problem: ArithmeticProblem::Overflow,
        span: argument.map(|argument| argument.span).unwrap_or_default(),
    }
}
