//! Computes once what is the same for every row: calls and collections of constants, parameters.
//!
//! An expression that fails is left as it is, so that the error comes only when a row needs it
//! (`CASE WHEN false THEN 1/0 END` is null).

use language::plan::{Clause, Expr, ExprKind};

use super::context::Context;
use super::walk;

/// The clauses with constant expressions replaced by their values.
pub(crate) fn constants(context: Context<'_>, clauses: &[Clause]) -> Vec<Clause> {
    let mut clauses = clauses.to_vec();
    for clause in &mut clauses {
        walk::reading_expressions_mut(clause, &mut |expr| fold(context, expr));
    }
    clauses
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
    let varies = match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Subquery(_) => true,
        ExprKind::Call { function, .. } => function.is_random(),
        _ => false,
    };
    if varies {
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
