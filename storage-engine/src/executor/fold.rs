//! Computes once what is the same for every row: calls and collections of constants, parameters.
//!
//! An expression that fails is left as it is, so that the error comes only when a row needs it
//! (`CASE WHEN false THEN 1/0 END` is null).

use std::borrow::Cow;

use language::plan::{Clause, Expr, ExprKind, Function};

use super::context::Context;
use super::{functions, walk};

/// Elements of a range that is kept as a list.
const LONG: usize = 1_024;

/// The clauses with constant expressions replaced by their values; themselves where there are none.
pub(crate) fn constants<'c>(context: Context<'_>, clauses: &'c [Clause]) -> Cow<'c, [Clause]> {
    if !clauses.iter().any(has_constants) {
        return Cow::Borrowed(clauses);
    }
    let mut clauses = clauses.to_vec();
    for clause in &mut clauses {
        walk::reading_expressions_mut(clause, &mut |expr| fold(context, expr));
    }
    Cow::Owned(clauses)
}

fn has_constants(clause: &Clause) -> bool {
    let mut found = false;
    walk::expressions(clause, &mut |expr| found = found || has_constant(expr));
    found
}

/// Whether there is something to compute in an expression.
fn has_constant(expr: &Expr) -> bool {
    if let ExprKind::Subquery(subquery) = &expr.kind {
        let mut clauses = subquery.branches.iter().flat_map(|branch| &branch.clauses);
        return clauses.any(has_constants);
    }
    let children = expr.children();
    let literal = |child: &&Expr| matches!(child.kind, ExprKind::Literal(_));
    !varies(expr) && children.iter().all(literal) || children.into_iter().any(has_constant)
}

/// Whether it has a value of its own already, or another one each time.
const fn varies(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Subquery(_) => true,
        ExprKind::Call { function, .. } => function.is_random(),
        _ => false,
    }
}

/// Whether it is a range that is better counted through than made.
fn is_long(context: Context<'_>, expr: &Expr) -> bool {
    let ExprKind::Call {
        function: Function::Range,
        arguments,
    } = &expr.kind
    else {
        return false;
    };
    let range = functions::range(context, arguments, expr.span, &[]);
    range.is_ok_and(|range| range.is_some_and(|range| range.count > LONG))
}

fn fold(context: Context<'_>, expr: &mut Expr) {
    for child in expr.children_mut() {
        fold(context, child);
    }
    if let ExprKind::Subquery(subquery) = &mut expr.kind {
        let branches = subquery.branches.iter_mut();
        for clause in branches.flat_map(|branch| &mut branch.clauses) {
            walk::reading_expressions_mut(clause, &mut |expr| fold(context, expr));
        }
    }
    if varies(expr) || is_long(context, expr) {
        return;
    }
    let children = expr.children();
    let constant = children
        .iter()
        .all(|child| matches!(child.kind, ExprKind::Literal(_)));
    if constant && let Ok(value) = context.evaluate(expr, &[]) {
        expr.kind = ExprKind::Literal(value);
    }
}
