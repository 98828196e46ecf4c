//! What a plan holds within expressions and calls, as text: see [`super::describe`].

use crate::plan::{Branch, Call, Expr, ExprKind, MergePattern, Nested, Quantifier, SubqueryKind};

use super::describe::{Describer, slot};

impl Describer<'_> {
    /// Expressions that bind names of their own, and subqueries.
    pub(super) fn nested(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Comprehension {
                variable,
                list,
                filter,
                result,
            } => {
                let filter = filter.as_ref().map_or_else(String::new, |filter| {
                    format!(" where {}", self.expr(filter))
                });
                let result = result
                    .as_ref()
                    .map_or_else(String::new, |result| format!(" | {}", self.expr(result)));
                format!(
                    "[{} in {}{filter}{result}]",
                    slot(*variable),
                    self.expr(list)
                )
            }
            ExprKind::Quantified {
                quantifier,
                variable,
                list,
                predicate,
            } => {
                let name = match quantifier {
                    Quantifier::All => "all",
                    Quantifier::Any => "any",
                    Quantifier::None => "none",
                    Quantifier::Single => "single",
                };
                let (list, predicate) = (self.expr(list), self.expr(predicate));
                format!("{name}({} in {list} where {predicate})", slot(*variable))
            }
            ExprKind::Reduce {
                accumulator,
                initial,
                variable,
                list,
                step,
            } => format!(
                "reduce({} = {}, {} in {} | {})",
                slot(*accumulator),
                self.expr(initial),
                slot(*variable),
                self.expr(list),
                self.expr(step)
            ),
            ExprKind::Subquery(subquery) => {
                let name = match subquery.kind {
                    SubqueryKind::Exists => "exists",
                    SubqueryKind::Count => "count",
                    SubqueryKind::Collect => "collect",
                };
                let parts: Vec<String> = subquery
                    .branches
                    .iter()
                    .map(|branch| self.branch(branch))
                    .collect();
                let union = if subquery.distinct {
                    " union "
                } else {
                    " union all "
                };
                format!("{name} {{ {} }}", parts.join(union))
            }
            _ => String::new(),
        }
    }

    /// Clauses within a clause.
    pub(super) fn within(&self, nested: &Nested) -> String {
        let parts: Vec<String> = nested
            .branches
            .iter()
            .map(|branch| self.branch(branch))
            .collect();
        let parts = parts.join(if nested.distinct {
            " union "
        } else {
            " union all "
        });
        if let Some(each) = &nested.each {
            let list = self.expr(&each.list);
            return format!("foreach {} in {list} {{ {parts} }}", slot(each.slot));
        }
        let optional = if nested.optional { "optional " } else { "" };
        let outputs: Vec<String> = nested.outputs.iter().map(|at| slot(*at)).collect();
        format!("{optional}call {{ {parts} }} yield {}", outputs.join(", "))
    }

    fn branch(&self, branch: &Branch) -> String {
        let clauses: Vec<String> = branch
            .clauses
            .iter()
            .map(|clause| self.clause(clause))
            .collect();
        clauses.join(" ")
    }

    pub(super) fn call(&self, call: &Call) -> String {
        let outputs: Vec<String> = call
            .outputs
            .iter()
            .map(|(output, at)| format!("{} = {output}", slot(*at)))
            .collect();
        let filter = call.filter.as_ref().map_or_else(String::new, |filter| {
            format!(" where {}", self.expr(filter))
        });
        let arguments = self.list(&call.arguments);
        format!(
            "call {}({arguments}) yield {}{filter}",
            call.name,
            outputs.join(", ")
        )
    }

    pub(super) fn merge_pattern(&self, pattern: &MergePattern) -> String {
        format!(
            "{} else {}",
            self.match_clause(&pattern.matching),
            self.create(&pattern.create)
        )
    }
}
