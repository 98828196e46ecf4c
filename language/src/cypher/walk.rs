//! Walking checked expressions.

use crate::plan::{Expr, ExprKind, Slot};

/// The operands of an expression, left to right.
pub(super) fn children(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Parameter(_) | ExprKind::Variable(_) => Vec::new(),
        ExprKind::Property { object, .. } => vec![object],
        ExprKind::Unary { operand, .. }
        | ExprKind::IsNull { operand, .. }
        | ExprKind::HasType { operand, .. } => vec![operand],
        ExprKind::Binary { left, right, .. } => vec![left, right],
        ExprKind::List(items) => items.iter().collect(),
        ExprKind::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        ExprKind::Index { object, index } => vec![object, index],
        ExprKind::Slice { object, from, to } => std::iter::once(object)
            .chain(from)
            .chain(to)
            .map(AsRef::as_ref)
            .collect(),
        ExprKind::Case {
            branches,
            otherwise,
        } => branches
            .iter()
            .flat_map(|(condition, value)| [condition, value])
            .chain(otherwise.as_deref())
            .collect(),
        ExprKind::Call { arguments, .. } => arguments.iter().collect(),
    }
}

/// The same, to be changed.
pub(super) fn children_mut(expr: &mut Expr) -> Vec<&mut Expr> {
    match &mut expr.kind {
        ExprKind::Literal(_) | ExprKind::Parameter(_) | ExprKind::Variable(_) => Vec::new(),
        ExprKind::Property { object, .. } => vec![object],
        ExprKind::Unary { operand, .. }
        | ExprKind::IsNull { operand, .. }
        | ExprKind::HasType { operand, .. } => vec![operand],
        ExprKind::Binary { left, right, .. } => vec![left, right],
        ExprKind::List(items) => items.iter_mut().collect(),
        ExprKind::Map(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
        ExprKind::Index { object, index } => vec![object, index],
        ExprKind::Slice { object, from, to } => std::iter::once(object)
            .chain(from)
            .chain(to)
            .map(AsMut::as_mut)
            .collect(),
        ExprKind::Case {
            branches,
            otherwise,
        } => branches
            .iter_mut()
            .flat_map(|(condition, value)| [condition, value])
            .chain(otherwise.as_deref_mut())
            .collect(),
        ExprKind::Call { arguments, .. } => arguments.iter_mut().collect(),
    }
}

/// Whether the expression, or anything in it, satisfies `test`.
pub(super) fn any(expr: &Expr, test: &mut impl FnMut(&Expr) -> bool) -> bool {
    test(expr) || children(expr).into_iter().any(|child| any(child, test))
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
    1 + children(expr).into_iter().map(size).sum::<usize>()
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
    let (left, right) = (children(left), children(right));
    left.len() == right.len() && left.into_iter().zip(right).all(|(a, b)| same(a, b))
}
