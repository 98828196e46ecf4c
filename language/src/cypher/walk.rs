//! Walking checked expressions.

use crate::plan::{Expr, ExprKind, Slot};

/// Whether the expression, or anything in it, satisfies `test`.
pub(super) fn any(expr: &Expr, test: &mut impl FnMut(&Expr) -> bool) -> bool {
    test(expr) || expr.children().into_iter().any(|child| any(child, test))
}

/// Whether it reads a variable that was bound at or after `first`.
pub(super) fn reads_from(expr: &Expr, first: Slot) -> bool {
    any(
        expr,
        &mut |part| matches!(part.kind, ExprKind::Variable(slot) if slot >= first),
    )
}

/// How many nodes the tree has.
pub(super) fn size(expr: &Expr) -> usize {
    1 + expr.children().into_iter().map(size).sum::<usize>()
}

/// Whether two expressions say the same, wherever they stand in the text.
pub(super) fn same(left: &Expr, right: &Expr) -> bool {
    let alike = match (&left.kind, &right.kind) {
        (ExprKind::Literal(a), ExprKind::Literal(b)) => a == b,
        (ExprKind::Parameter(a), ExprKind::Parameter(b)) => a == b,
        (ExprKind::Variable(a), ExprKind::Variable(b)) => a == b,
        (
            ExprKind::Property {
                name: a, ids: x, ..
            },
            ExprKind::Property {
                name: b, ids: y, ..
            },
        ) => a == b && x == y,
        (ExprKind::Unary { operator: a, .. }, ExprKind::Unary { operator: b, .. }) => a == b,
        (ExprKind::Binary { operator: a, .. }, ExprKind::Binary { operator: b, .. }) => a == b,
        (ExprKind::IsNull { negated: a, .. }, ExprKind::IsNull { negated: b, .. }) => a == b,
        (ExprKind::HasType { types: a, .. }, ExprKind::HasType { types: b, .. }) => a == b,
        (ExprKind::HasLabel { label: a, .. }, ExprKind::HasLabel { label: b, .. }) => a == b,
        (ExprKind::List(_), ExprKind::List(_))
        | (ExprKind::Index { .. }, ExprKind::Index { .. }) => true,
        (ExprKind::Map(a), ExprKind::Map(b)) => a
            .iter()
            .map(|(name, _)| name)
            .eq(b.iter().map(|(name, _)| name)),
        (ExprKind::Slice { from: a, to: x, .. }, ExprKind::Slice { from: b, to: y, .. }) => {
            a.is_some() == b.is_some() && x.is_some() == y.is_some()
        }
        (ExprKind::Case { branches: a, .. }, ExprKind::Case { branches: b, .. }) => {
            a.len() == b.len()
        }
        (ExprKind::Call { function: a, .. }, ExprKind::Call { function: b, .. }) => a == b,
        _ => false,
    };
    if !alike {
        return false;
    }
    let (left, right) = (left.children(), right.children());
    left.len() == right.len() && left.into_iter().zip(right).all(|(a, b)| same(a, b))
}
