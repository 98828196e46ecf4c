//! Walks over the expressions and slots of a plan.
//!
//! Used to fold constants, to find what a condition depends on, and to know which slots are still
//! wanted by later clauses, so that held rows keep only those.

use language::plan::{
    Clause, Column, Create, Expr, ExprKind, Match, MergeTarget, NewElement, PathPattern, SetItem,
    Slot, Subquery,
};
use language::schema::PropertyId;

/// A set of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotSet(Vec<bool>);

impl SlotSet {
    pub(crate) fn new(slots: usize) -> Self {
        Self(vec![false; slots])
    }

    pub(crate) fn insert(&mut self, slot: Slot) {
        if slot.0 >= self.0.len() {
            self.0.resize(slot.0 + 1, false);
        }
        self.0[slot.0] = true;
    }

    /// Leaves out what the other does not hold.
    fn keep(&mut self, other: &Self) {
        for (place, held) in self.0.iter_mut().enumerate() {
            *held &= other.contains(Slot(place));
        }
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.0.get(slot.0).copied().unwrap_or(false)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, held)| **held)
            .map(|(index, _)| Slot(index))
    }
}

/// As [`wanted_after`] for the clauses of a subquery: what the row around it held is wanted too.
pub(crate) fn wanted_within(clauses: &[Clause], columns: &[Column], slots: usize) -> Vec<SlotSet> {
    let mut later = SlotSet::new(slots);
    columns.iter().for_each(|column| later.insert(column.slot));
    clauses
        .iter()
        .for_each(|clause| mentioned(clause, &mut later));
    vec![later; clauses.len()]
}

/// For each clause, the slots that are bound by then and that later clauses or the result mention.
pub(crate) fn wanted_after(clauses: &[Clause], columns: &[Column], slots: usize) -> Vec<SlotSet> {
    let mut later = SlotSet::new(slots);
    columns.iter().for_each(|column| later.insert(column.slot));
    let mut wanted = Vec::with_capacity(clauses.len());
    for clause in clauses.iter().rev() {
        wanted.push(later.clone());
        mentioned(clause, &mut later);
    }
    wanted.reverse();
    let mut so_far = SlotSet::new(slots);
    for (clause, wanted) in clauses.iter().zip(&mut wanted) {
        mentioned(clause, &mut so_far);
        wanted.keep(&so_far);
    }
    wanted
}

/// Adds every slot that a clause reads or binds.
pub(crate) fn mentioned(clause: &Clause, out: &mut SlotSet) {
    match clause {
        Clause::Match(matching) => matching.paths.iter().for_each(|path| path_slots(path, out)),
        Clause::Unwind(unwind) => out.insert(unwind.slot),
        Clause::Project(projection) => {
            projection
                .items
                .iter()
                .for_each(|item| out.insert(item.slot));
            if let Some(aggregation) = &projection.aggregation {
                aggregation.keys.iter().for_each(|key| out.insert(key.slot));
                let aggregates = aggregation.aggregates.iter();
                aggregates.for_each(|aggregate| out.insert(aggregate.slot));
            }
        }
        Clause::Create(create) => {
            create
                .elements
                .iter()
                .for_each(|element| new_element_slots(element, out));
            for path in &create.paths {
                out.insert(path.slot);
                path.elements.iter().for_each(|slot| out.insert(*slot));
            }
        }
        Clause::Merge(merge) => {
            match &merge.target {
                MergeTarget::Node(node) => out.insert(node.slot),
                MergeTarget::Edge(edge) => {
                    [edge.slot, edge.source, edge.target]
                        .into_iter()
                        .for_each(|slot| out.insert(slot));
                }
                MergeTarget::Pattern(pattern) => {
                    let paths = &pattern.matching.paths;
                    paths.iter().for_each(|path| path_slots(path, out));
                    let made = &pattern.create;
                    made.elements
                        .iter()
                        .for_each(|element| new_element_slots(element, out));
                    made.paths.iter().for_each(|path| out.insert(path.slot));
                }
            }
            let items = merge.on_create.iter().chain(&merge.on_match);
            items.for_each(|item| out.insert(target(item)));
        }
        Clause::Set(items) => items.iter().for_each(|item| out.insert(target(item))),
        Clause::Call(call) => call.outputs.iter().for_each(|(_, slot)| out.insert(*slot)),
        Clause::Nested(nested) => {
            nested.outputs.iter().for_each(|slot| out.insert(*slot));
            nested.each.iter().for_each(|each| out.insert(each.slot));
            let columns = nested.branches.iter().flat_map(|branch| &branch.columns);
            columns.for_each(|column| out.insert(column.slot));
            nested.clauses().for_each(|clause| mentioned(clause, out));
        }
        Clause::Delete(_) => {}
    }
    expressions(clause, &mut |expr| variables(expr, out));
}

fn path_slots(path: &PathPattern, out: &mut SlotSet) {
    path.binding.iter().for_each(|slot| out.insert(*slot));
    out.insert(path.start.slot);
    for step in &path.steps {
        out.insert(step.edge.slot);
        out.insert(step.node.slot);
    }
}

fn new_element_slots(element: &NewElement, out: &mut SlotSet) {
    match element {
        NewElement::Node(node) => out.insert(node.slot),
        NewElement::Edge(edge) => {
            [edge.slot, edge.source, edge.target]
                .into_iter()
                .for_each(|slot| out.insert(slot));
        }
    }
}

const fn target(item: &SetItem) -> Slot {
    match item {
        SetItem::Property { target, .. } | SetItem::Properties { target, .. } => *target,
    }
}

/// What a query within an expression looks at of the row around it.
pub(crate) fn outer(subquery: &Subquery) -> Vec<Slot> {
    let clauses = || subquery.branches.iter().flat_map(|branch| &branch.clauses);
    let (mut seen, mut own) = (SlotSet::new(0), SlotSet::new(0));
    clauses().for_each(|clause| mentioned(clause, &mut seen));
    clauses().for_each(|clause| bound(clause, &mut own));
    let columns = subquery.branches.iter().flat_map(|branch| &branch.columns);
    columns.for_each(|column| seen.insert(column.slot));
    seen.iter().filter(|slot| !own.contains(*slot)).collect()
}

/// Adds every slot that a reading clause gives its value, those within its expressions included.
fn bound(clause: &Clause, out: &mut SlotSet) {
    match clause {
        Clause::Match(matching) => {
            for path in &matching.paths {
                path.binding.iter().for_each(|slot| out.insert(*slot));
                let nodes = path.steps.iter().map(|step| &step.node);
                for node in std::iter::once(&path.start).chain(nodes) {
                    if !node.bound {
                        out.insert(node.slot);
                    }
                }
                for step in path.steps.iter().filter(|step| !step.edge.bound) {
                    out.insert(step.edge.slot);
                }
            }
        }
        Clause::Unwind(unwind) => out.insert(unwind.slot),
        Clause::Project(projection) => {
            // One that is passed on as it is may come from outside.
            let items = projection.items.iter();
            let keys = projection.aggregation.iter().flat_map(|it| &it.keys);
            let made = items.chain(keys);
            let made = made.filter(|item| item.expr.kind != ExprKind::Variable(item.slot));
            made.for_each(|item| out.insert(item.slot));
            let aggregation = projection.aggregation.iter();
            let aggregates = aggregation.flat_map(|it| &it.aggregates);
            aggregates.for_each(|aggregate| out.insert(aggregate.slot));
        }
        Clause::Call(call) => call.outputs.iter().for_each(|(_, slot)| out.insert(*slot)),
        Clause::Nested(nested) => {
            nested.outputs.iter().for_each(|slot| out.insert(*slot));
            nested.each.iter().for_each(|each| out.insert(each.slot));
            nested.clauses().for_each(|clause| bound(clause, out));
        }
        Clause::Create(_) | Clause::Merge(_) | Clause::Set(_) | Clause::Delete(_) => {}
    }
    expressions(clause, &mut |expr| bound_by(expr, out));
}

/// Adds the slots of the variables that stand within an expression only.
fn bound_by(expr: &Expr, out: &mut SlotSet) {
    match &expr.kind {
        ExprKind::Comprehension { variable, .. } | ExprKind::Quantified { variable, .. } => {
            out.insert(*variable);
        }
        ExprKind::Reduce {
            accumulator,
            variable,
            ..
        } => {
            out.insert(*accumulator);
            out.insert(*variable);
        }
        ExprKind::Subquery(subquery) => {
            let clauses = subquery.branches.iter().flat_map(|branch| &branch.clauses);
            clauses.for_each(|clause| bound(clause, out));
        }
        _ => {}
    }
    for child in expr.children() {
        bound_by(child, out);
    }
}

/// Whether a query within an expression always gives the same for the same.
pub(crate) fn is_steady(subquery: &Subquery) -> bool {
    let mut steady = true;
    let clauses = subquery.branches.iter().flat_map(|branch| &branch.clauses);
    clauses.for_each(|clause| {
        expressions(clause, &mut |expr| steady &= is_steady_expression(expr));
    });
    steady
}

fn is_steady_expression(expr: &Expr) -> bool {
    let here = match &expr.kind {
        ExprKind::Call { function, .. } => !function.is_random(),
        ExprKind::Subquery(subquery) => is_steady(subquery),
        _ => true,
    };
    here && expr.children().into_iter().all(is_steady_expression)
}

/// Adds the variables that an expression reads.
pub(crate) fn variables(expr: &Expr, out: &mut SlotSet) {
    match &expr.kind {
        ExprKind::Variable(slot) => out.insert(*slot),
        ExprKind::Subquery(subquery) => {
            let clauses = subquery.branches.iter().flat_map(|branch| &branch.clauses);
            clauses.for_each(|clause| mentioned(clause, out));
        }
        _ => {}
    }
    for child in expr.children() {
        variables(child, out);
    }
}

/// Whether its value can be another one for the same variables, as far as is looked into.
pub(crate) fn varies(expr: &Expr) -> bool {
    let here = match &expr.kind {
        ExprKind::Call { function, .. } => function.is_random(),
        ExprKind::Subquery(_) => true,
        _ => false,
    };
    here || expr.children().into_iter().any(varies)
}

/// Calls `visit` with each outermost expression of a clause.
pub(crate) fn expressions<'c>(clause: &'c Clause, visit: &mut dyn FnMut(&'c Expr)) {
    match clause {
        Clause::Match(matching) => in_match(matching, visit),
        Clause::Unwind(unwind) => visit(&unwind.list),
        Clause::Call(call) => call.arguments.iter().chain(&call.filter).for_each(visit),
        Clause::Project(projection) => {
            if let Some(aggregation) = &projection.aggregation {
                aggregation.keys.iter().for_each(|key| visit(&key.expr));
                let aggregates = aggregation.aggregates.iter();
                aggregates
                    .flat_map(|a| a.argument.iter().chain(&a.parameter))
                    .for_each(&mut *visit);
            }
            projection.items.iter().for_each(|item| visit(&item.expr));
            projection.order.iter().for_each(|key| visit(&key.expr));
            let last = [&projection.skip, &projection.limit, &projection.filter];
            last.into_iter().flatten().for_each(visit);
        }
        Clause::Create(create) => in_create(create, visit),
        Clause::Merge(merge) => {
            match &merge.target {
                MergeTarget::Node(node) => in_new(&node.properties, node.map.as_ref(), visit),
                MergeTarget::Edge(edge) => in_new(&edge.properties, edge.map.as_ref(), visit),
                MergeTarget::Pattern(pattern) => {
                    in_match(&pattern.matching, visit);
                    in_create(&pattern.create, visit);
                    pattern.required.iter().for_each(|it| visit(&it.value));
                }
            }
            merge
                .on_create
                .iter()
                .chain(&merge.on_match)
                .for_each(|item| visit(new_value(item)));
        }
        Clause::Set(items) => items.iter().for_each(|item| visit(new_value(item))),
        Clause::Delete(delete) => delete.expressions.iter().for_each(visit),
        Clause::Nested(nested) => {
            nested.each.iter().for_each(|each| visit(&each.list));
            nested
                .clauses()
                .for_each(|clause| expressions(clause, visit));
        }
    }
}

fn in_match<'c>(matching: &'c Match, visit: &mut dyn FnMut(&'c Expr)) {
    for path in &matching.paths {
        path.start
            .properties
            .iter()
            .for_each(|test| visit(&test.value));
        for step in &path.steps {
            let tests = step.edge.properties.iter().chain(&step.node.properties);
            tests.for_each(|test| visit(&test.value));
        }
    }
    matching.filter.iter().for_each(visit);
}

fn in_create<'c>(create: &'c Create, visit: &mut dyn FnMut(&'c Expr)) {
    for element in &create.elements {
        match element {
            NewElement::Node(node) => in_new(&node.properties, node.map.as_ref(), visit),
            NewElement::Edge(edge) => in_new(&edge.properties, edge.map.as_ref(), visit),
        }
    }
}

fn in_new<'c>(
    properties: &'c [(PropertyId, Expr)],
    map: Option<&'c Expr>,
    visit: &mut dyn FnMut(&'c Expr),
) {
    properties.iter().for_each(|(_, value)| visit(value));
    map.into_iter().for_each(visit);
}

const fn new_value(item: &SetItem) -> &Expr {
    match item {
        SetItem::Property { value, .. } | SetItem::Properties { value, .. } => value,
    }
}

/// Calls `visit` with each outermost expression that is evaluated once per row or more, to change
/// it. Writing clauses are left out: they cost far more than their expressions.
pub(crate) fn reading_expressions_mut(clause: &mut Clause, visit: &mut dyn FnMut(&mut Expr)) {
    match clause {
        Clause::Match(matching) => {
            for path in &mut matching.paths {
                path.start
                    .properties
                    .iter_mut()
                    .for_each(|test| visit(&mut test.value));
                for step in &mut path.steps {
                    let edge = step.edge.properties.iter_mut();
                    edge.chain(&mut step.node.properties)
                        .for_each(|test| visit(&mut test.value));
                }
            }
            matching.filter.iter_mut().for_each(visit);
        }
        Clause::Unwind(unwind) => visit(&mut unwind.list),
        Clause::Call(call) => call
            .arguments
            .iter_mut()
            .chain(&mut call.filter)
            .for_each(visit),
        Clause::Project(projection) => {
            if let Some(aggregation) = &mut projection.aggregation {
                aggregation
                    .keys
                    .iter_mut()
                    .for_each(|key| visit(&mut key.expr));
                let aggregates = aggregation.aggregates.iter_mut();
                aggregates
                    .filter_map(|a| a.argument.as_mut())
                    .for_each(&mut *visit);
            }
            projection
                .items
                .iter_mut()
                .for_each(|item| visit(&mut item.expr));
            projection
                .order
                .iter_mut()
                .for_each(|key| visit(&mut key.expr));
            projection.filter.iter_mut().for_each(visit);
        }
        Clause::Nested(nested) => {
            nested
                .each
                .iter_mut()
                .for_each(|each| visit(&mut each.list));
            let branches = nested.branches.iter_mut();
            branches
                .flat_map(|branch| &mut branch.clauses)
                .for_each(|clause| reading_expressions_mut(clause, visit));
        }
        Clause::Create(_) | Clause::Merge(_) | Clause::Set(_) | Clause::Delete(_) => {}
    }
}
