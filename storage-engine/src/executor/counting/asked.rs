//! What a grouping asks of patterns: of which node, and what of it each aggregate takes.

use language::plan::{Aggregate, AggregateFunction, Aggregation, Expr, ExprKind, Slot, Type};

use super::plan::Patterns;
use crate::executor::aggregate::Tally;
use crate::executor::context::Context;
use crate::executor::matching::condition::is_infallible;
use crate::executor::walk::{self, SlotSet};

/// What is asked of patterns.
pub(super) struct Asked<'a> {
    /// The one node that keys and aggregates look at, if they look at any.
    pub(super) root: Option<Slot>,
    /// What each aggregate takes.
    pub(super) tallies: Vec<Tally>,
    /// What is added up: integers of other nodes than the root.
    pub(super) sums: Vec<(Slot, &'a Expr)>,
    /// Each node of the root is a group.
    pub(super) by_node: bool,
}

impl<'a> Asked<'a> {
    /// `None` when counting cannot answer it. `first` says that no more than one row comes in.
    pub(super) fn new(
        context: Context<'_>,
        aggregation: &'a Aggregation,
        patterns: &Patterns<'_>,
        first: bool,
    ) -> Option<Self> {
        if aggregation.aggregates.iter().any(|it| !is_countable(it)) {
            return None;
        }
        let mut subjects = SlotSet::new(0);
        let (mut tallies, mut sums) = (Vec::new(), Vec::new());
        for key in &aggregation.keys {
            subjects_of(&key.expr, patterns, &mut subjects)?;
        }
        for aggregate in &aggregation.aggregates {
            let mut tally = tally_of(aggregate, patterns, first);
            if tally != Tally::Rows
                && let Some(argument) = &aggregate.argument
            {
                let mut of_argument = SlotSet::new(0);
                subjects_of(argument, patterns, &mut of_argument)?;
                match summed(aggregate, argument, patterns, &of_argument) {
                    Some(slot) if subjects.iter().any(|root| root != slot) => {
                        tally = Tally::Sum(sums.len());
                        sums.push((slot, argument));
                    }
                    _ => of_argument.iter().for_each(|slot| subjects.insert(slot)),
                }
            }
            tallies.push(tally);
        }
        let ends_only = |(tally, aggregate): (&Tally, &Aggregate)| match tally {
            Tally::Once => true,
            Tally::Rows | Tally::Sum(_) => false,
            Tally::Value => is_of_a_set(aggregate),
        };
        let mut added = tallies.iter().zip(&aggregation.aggregates);
        if patterns.has_reach() && !added.all(ends_only) {
            return None;
        }
        let mut subjects = subjects.iter();
        let (root, None) = (subjects.next(), subjects.next()) else {
            return None;
        };
        if root.is_some_and(|root| !patterns.is_node(root)) {
            return None;
        }
        let by_node =
            first && root.is_some_and(|root| is_node_by_node(context, aggregation, patterns, root));
        Some(Self {
            root,
            tallies,
            sums,
            by_node,
        })
    }

    /// Whether nothing but how often the patterns are there is asked for.
    pub(super) fn is_count(&self, aggregation: &Aggregation) -> bool {
        let rows = |tally: &Tally| *tally == Tally::Rows;
        aggregation.keys.is_empty() && self.tallies.iter().all(rows)
    }
}

/// Whether an aggregate can be had from values and how often each is there.
pub(in crate::executor) fn is_countable(aggregate: &Aggregate) -> bool {
    let number = |argument: &Expr| {
        matches!(
            argument.value_type,
            Type::Integer | Type::Float | Type::Number
        )
    };
    match aggregate.function {
        AggregateFunction::Count | AggregateFunction::Min | AggregateFunction::Max => true,
        AggregateFunction::Sum | AggregateFunction::Avg => {
            aggregate.argument.as_ref().is_some_and(number)
        }
        _ => false,
    }
}

/// Whether an aggregate is the same however often a value comes.
const fn is_of_a_set(aggregate: &Aggregate) -> bool {
    aggregate.distinct
        || matches!(
            aggregate.function,
            AggregateFunction::Min | AggregateFunction::Max
        )
}

/// The node whose integers an aggregate adds up, when it does.
fn summed(
    aggregate: &Aggregate,
    argument: &Expr,
    patterns: &Patterns<'_>,
    subjects: &SlotSet,
) -> Option<Slot> {
    let mut subjects = subjects.iter();
    let (Some(slot), None) = (subjects.next(), subjects.next()) else {
        return None;
    };
    let sum = matches!(
        aggregate.function,
        AggregateFunction::Sum | AggregateFunction::Avg
    );
    let plain = !aggregate.distinct
        && argument.value_type == Type::Integer
        && is_infallible(argument)
        && patterns.is_node(slot);
    (sum && plain).then_some(slot)
}

/// What is added to an aggregate for a node that counts for many rows.
fn tally_of(aggregate: &Aggregate, patterns: &Patterns<'_>, first: bool) -> Tally {
    let Some(argument) = &aggregate.argument else {
        return Tally::Rows;
    };
    // Of what is found, nothing is null.
    let found = matches!(&argument.kind, ExprKind::Variable(slot) if patterns.holds(*slot));
    match (aggregate.function, aggregate.distinct) {
        (AggregateFunction::Count, false) if found => Tally::Rows,
        // When one row comes in, each root node comes once.
        (AggregateFunction::Count, true) if found && first => Tally::Once,
        _ => Tally::Value,
    }
}

/// Adds the elements of the patterns that an expression looks at; `None` when its value is another each
/// time.
fn subjects_of(expr: &Expr, patterns: &Patterns<'_>, subjects: &mut SlotSet) -> Option<()> {
    if walk::varies(expr) {
        return None;
    }
    let mut mentioned = SlotSet::new(0);
    walk::variables(expr, &mut mentioned);
    let of_patterns = mentioned.iter().filter(|slot| patterns.holds(*slot));
    of_patterns.for_each(|slot| subjects.insert(slot));
    Some(())
}

/// Whether the keys differ for different nodes: the node itself is one, or they are its type's key.
fn is_node_by_node(
    context: Context<'_>,
    aggregation: &Aggregation,
    patterns: &Patterns<'_>,
    root: Slot,
) -> bool {
    let is_root = |expr: &Expr| matches!(expr.kind, ExprKind::Variable(slot) if slot == root);
    let keys = || aggregation.keys.iter().map(|key| &key.expr);
    if keys().any(is_root) {
        return true;
    }
    let types = patterns.node_types(root);
    let mut types = types.iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let schema = context.snapshot.schema();
    let Some(node_type) = schema.node_type(*only).filter(|it| !it.key.is_empty()) else {
        return false;
    };
    node_type.key.iter().all(|part| {
        keys().any(|key| match &key.kind {
            ExprKind::Property { object, ids, .. } => {
                is_root(object) && ids.get(only) == Some(part)
            }
            _ => false,
        })
    })
}
