//! Grouping: what an item that aggregates may say beside its aggregates, and what `ORDER BY` still
//! sees once rows have become groups.
//!
//! The openCypher rule: outside of aggregates such an item may use constants, parameters, and
//! variables or properties that stand in the projection as items of their own.

use std::collections::BTreeSet;

use crate::diagnostic::Code;
use crate::plan::{Expr, ExprKind, Slot};

use super::compiler::{Checked, Compiler, all};
use super::walk;

/// An expression whose value stands in a slot.
pub(super) struct Known {
    pub(super) expr: Expr,
    pub(super) slot: Slot,
}

/// Replaces `expr` by the slot that holds its value already.
fn replaced(expr: &mut Expr, known: &[Known]) -> bool {
    let Some(known) = known.iter().find(|known| walk::same(&known.expr, expr)) else {
        return false;
    };
    expr.kind = ExprKind::Variable(known.slot);
    expr.value_type = known.expr.value_type.clone();
    true
}

impl Compiler<'_> {
    /// Makes an item that aggregates read the slots of keys and aggregates only.
    pub(super) fn regroup(
        &self,
        expr: &mut Expr,
        keys: &[Known],
        aggregates: &BTreeSet<Slot>,
    ) -> Checked<()> {
        if let ExprKind::Variable(slot) = &expr.kind
            && (aggregates.contains(slot) || self.locals.contains(slot))
        {
            return Ok(());
        }
        let reference = matches!(expr.kind, ExprKind::Variable(_) | ExprKind::Property { .. });
        if reference && replaced(expr, keys) {
            return Ok(());
        }
        // A property of what is not grouped by is reported whole.
        let ungrouped = match &mut expr.kind {
            ExprKind::Variable(_) => true,
            ExprKind::Property { object, .. } => self.regroup(object, keys, aggregates).is_err(),
            _ => false,
        };
        if ungrouped {
            let text = self.source(expr.span);
            let message = format!(
                "`{text}` is neither aggregated nor grouped by: make it an item of its own, in a WITH before if need be"
            );
            return self.fail(Code::MisplacedAggregate, expr.span, message);
        }
        if reference {
            return Ok(());
        }
        let children = expr.children_mut().into_iter();
        all(children.map(|child| self.regroup(child, keys, aggregates))).map(|_| ())
    }

    /// Makes a sort key or condition after grouping or `DISTINCT` read projected values only.
    pub(super) fn settle(
        &self,
        expr: &mut Expr,
        items: &[Known],
        visible: &BTreeSet<Slot>,
        what: &str,
    ) -> Checked<()> {
        if let ExprKind::Variable(slot) = &expr.kind
            && (visible.contains(slot) || self.locals.contains(slot))
        {
            return Ok(());
        }
        if replaced(expr, items) {
            return Ok(());
        }
        if matches!(expr.kind, ExprKind::Variable(_)) {
            let text = self.source(expr.span);
            let message = format!(
                "`{text}` is gone here: after DISTINCT or an aggregate {what} sees only what is projected"
            );
            return self.fail(Code::UnknownVariable, expr.span, message);
        }
        let children = expr.children_mut().into_iter();
        all(children.map(|child| self.settle(child, items, visible, what))).map(|_| ())
    }
}
