//! Walking checked expressions.

use crate::diagnostic::Span;
use crate::plan::{Expr, ExprKind, Slot, Type};

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
        ExprKind::Slice { object, from, to } => {
            std::iter::once(object).chain(from).chain(to).map(AsRef::as_ref).collect()
        }
        ExprKind::Case { branches, otherwise } => branches
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
        ExprKind::Slice { object, from, to } => {
            std::iter::once(object).chain(from).chain(to).map(AsMut::as_mut).collect()
        }
        ExprKind::Case { branches, otherwise } => branches
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
    any(expr, &mut |part| matches!(part.kind, ExprKind::Variable(slot) if slot >= first))
}

/// How many nodes the tree has.
pub(super) fn size(expr: &Expr) -> usize {
    1 + children(expr).into_iter().map(size).sum::<usize>()
}

/// The expression without its place and type: equal for texts that mean the same.
pub(super) fn bare(expr: &Expr) -> Expr {
    let mut bare = expr.clone();
    strip(&mut bare);
    bare
}

fn strip(expr: &mut Expr) {
    expr.span = Span::default();
    expr.value_type = Type::Any;
    children_mut(expr).into_iter().for_each(strip);
}
