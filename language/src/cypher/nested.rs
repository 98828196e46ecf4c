//! `CALL { ... }` and `FOREACH`: clauses within clauses. And the short forms of `WITH *`: `LET`, `FILTER`.

use open_cypher::ast::{
    Binding, CallClause, CallTarget, Clause as Syntax, ClauseKind, Expr, ForeachClause, LetClause,
    ProjectionClause, ProjectionItem, ProjectionItemKind, QueryKind, RegularQuery, SingleQuery,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{Branch, Clause, Nested, Type, Unwind};

use super::compiler::{Checked, Compiler};
use super::parse::span;
use super::projection::Kind;
use super::scope::Scope;
use super::statement::{Around, clause_name, writes};
use super::types;

impl Compiler<'_> {
    /// `CALL { ... }`: it sees the names that it imports, and adds those that it returns.
    pub(super) fn call_subquery(&mut self, clause: &CallClause, place: Span) -> Checked<Clause> {
        let CallTarget::Subquery { scope, query, .. } = &clause.target else {
            return self.fail(Code::Syntax, place, "this is not a subquery");
        };
        let QueryKind::Regular(query) = &query.kind else {
            return self.fail(Code::Syntax, place, "this is not a query");
        };
        let around = self.scope.clone();
        let (imported, manner) = match scope {
            None => (Scope::default(), Around::Imports(around.clone())),
            Some(scope) if scope.import_all => (around.clone(), Around::Statement),
            Some(scope) => {
                let mut imported = Scope::default();
                for name in &scope.variables {
                    let Some(variable) = around.get(&name.kind.text) else {
                        return self.unknown_variable(name);
                    };
                    imported.insert(&name.kind.text, variable.slot, variable.value_type.clone());
                }
                (imported, Around::Statement)
            }
        };
        // What is imported by name stays visible behind a WITH; what a WITH imports does not.
        let outer = scope.as_ref().map(|_| imported.clone());
        let outer = std::mem::replace(&mut self.outer, outer);
        self.scope = imported;
        let found = self.deeper(place, |compiler| compiler.branches(query, &manner));
        self.outer = outer;
        self.scope = around;
        let (branches, distinct) = found?;
        self.named_columns(query)?;
        let outputs = self.outputs(&branches, place)?;
        Ok(Clause::Nested(Nested {
            each: None,
            branches,
            distinct,
            outputs,
            optional: clause.optional,
        }))
    }

    /// Gives the columns of a subquery places in the row around it, under new names.
    fn outputs(&mut self, branches: &[Branch], place: Span) -> Checked<Vec<crate::plan::Slot>> {
        let columns = branches.first().map_or(&[][..], |branch| &branch.columns);
        let mut outputs = Vec::new();
        for column in columns {
            if self.scope.get(&column.name).is_some() {
                let message = format!(
                    "`{}` is bound already: return it under another name with AS",
                    column.name
                );
                return self.fail(Code::DuplicateName, place, message);
            }
            let slot = self.new_slot();
            self.declare(&column.name, slot, column.value_type.clone());
            outputs.push(slot);
        }
        Ok(outputs)
    }

    /// What a subquery returns is used by its name.
    fn named_columns(&self, query: &RegularQuery) -> Checked<()> {
        let parts =
            std::iter::once(&query.head).chain(query.unions.iter().map(|union| &union.query));
        let last = parts.filter_map(|part| part.kind.clauses.last());
        for clause in last {
            let ClauseKind::Return(clause) = &clause.kind else {
                continue;
            };
            for item in &clause.projection.items {
                if let ProjectionItemKind::Expression {
                    expression,
                    alias: None,
                } = &item.kind
                    && !matches!(expression.kind, open_cypher::ast::ExprKind::Variable(_))
                {
                    let text = self.source(span(expression.span));
                    let message =
                        format!("`{text}` needs a name in a subquery: write `{text} AS name`");
                    return self.fail(Code::Syntax, span(item.span), message);
                }
            }
        }
        Ok(())
    }

    /// The clauses of a part of a `CALL { ... }` behind the `WITH` that imports names, which come into
    /// scope. A `WITH` that does more is a clause as well.
    pub(super) fn import<'q>(&mut self, around: &Scope, query: &'q SingleQuery) -> &'q [Syntax] {
        let clauses = query.kind.clauses.as_slice();
        self.scope = Scope::default();
        let Some((first, rest)) = clauses.split_first() else {
            return clauses;
        };
        let ClauseKind::With(with) = &first.kind else {
            return clauses;
        };
        if self.blocks.contains_key(&first.span.start) {
            return clauses;
        }
        for item in &with.projection.items {
            match &item.kind {
                ProjectionItemKind::Wildcard => self.scope = around.clone(),
                ProjectionItemKind::Expression {
                    expression,
                    alias: None,
                } => {
                    if let open_cypher::ast::ExprKind::Variable(name) = &expression.kind
                        && let Some(variable) = around.get(&name.kind.text)
                    {
                        self.scope.insert(
                            &name.kind.text,
                            variable.slot,
                            variable.value_type.clone(),
                        );
                    }
                }
                _ => {}
            }
        }
        let projection = &with.projection;
        let plain = projection.items.iter().all(|item| match &item.kind {
            ProjectionItemKind::Wildcard => true,
            ProjectionItemKind::Expression {
                expression,
                alias: None,
            } => matches!(&expression.kind, open_cypher::ast::ExprKind::Variable(name)
                if self.scope.get(&name.kind.text).is_some()),
            _ => false,
        });
        if plain && is_bare(projection) && with.where_clause.is_none() {
            rest
        } else {
            clauses
        }
    }

    /// `FOREACH`: its clauses write, and see one element at a time.
    pub(super) fn foreach(&mut self, clause: &ForeachClause, place: Span) -> Checked<Clause> {
        let list = self.expression(&clause.list)?;
        self.ask(&list, &Type::List(Box::new(Type::Any)));
        let name = &clause.variable;
        let text = &name.kind.text;
        if self.scope.get(text).is_some() {
            let message = format!("`{text}` is bound already: FOREACH needs a new name");
            return self.fail(Code::DuplicateName, span(name.span), message);
        }
        let around = self.scope.clone();
        let slot = self.new_slot();
        self.declare(text, slot, types::element(&list.value_type));
        let clauses = self.deeper(place, |compiler| compiler.written(&clause.clauses));
        self.scope = around;
        let branch = Branch {
            clauses: clauses?,
            columns: Vec::new(),
        };
        Ok(Clause::Nested(Nested {
            each: Some(Unwind { list, slot }),
            branches: vec![branch],
            distinct: false,
            outputs: Vec::new(),
            optional: false,
        }))
    }

    fn written(&mut self, syntax: &[Syntax]) -> Checked<Vec<Clause>> {
        let (mut clauses, mut columns) = (Vec::new(), Vec::new());
        for clause in syntax {
            let kind = self.kind_of(clause)?;
            if !writes(kind) {
                let message = format!(
                    "{} cannot stand in FOREACH, whose clauses write",
                    clause_name(kind)
                );
                return self.fail(Code::MisplacedClause, self.head(clause), message);
            }
            self.clause(clause, &mut clauses, &mut columns)?;
        }
        Ok(clauses)
    }

    /// `LET`: `WITH *` and one more name after the other.
    pub(super) fn let_clause(&mut self, clause: &LetClause) -> Checked<Vec<Clause>> {
        let mut clauses = Vec::new();
        for Binding {
            variable,
            expression,
            ..
        } in &clause.bindings
        {
            let text = &variable.kind.text;
            if self.scope.get(text).is_some() {
                let message = format!("`{text}` is bound already: LET needs a new name");
                return self.fail(Code::DuplicateName, span(variable.span), message);
            }
            let item = ProjectionItemKind::Expression {
                expression: expression.clone(),
                alias: Some(variable.clone()),
            };
            let items = vec![ProjectionItemKind::Wildcard, item];
            let (projection, _) = self.project(&all_and(items, expression), None, Kind::With)?;
            if projection.aggregation.is_some() {
                let message = "LET does not aggregate: write WITH";
                return self.fail(Code::MisplacedAggregate, span(expression.span), message);
            }
            clauses.push(Clause::Project(projection));
        }
        Ok(clauses)
    }

    /// `FILTER`: `WITH * WHERE ...`.
    pub(super) fn filter_clause(&mut self, condition: &Expr) -> Checked<Clause> {
        let projection = all_and(vec![ProjectionItemKind::Wildcard], condition);
        let (projection, _) = self.project(&projection, Some(condition), Kind::With)?;
        Ok(Clause::Project(projection))
    }
}

/// Whether a projection consists of its items alone.
pub(super) const fn is_bare(projection: &ProjectionClause) -> bool {
    projection.quantifier.is_none()
        && projection.order_by.is_none()
        && projection.offset.is_none()
        && projection.skip.is_none()
        && projection.limit.is_none()
}

/// A projection that stands where `at` does.
fn all_and(items: Vec<ProjectionItemKind>, at: &Expr) -> ProjectionClause {
    let item = |kind| ProjectionItem::new(kind, at.span);
    ProjectionClause {
        quantifier: None,
        items: items.into_iter().map(item).collect(),
        order_by: None,
        offset: None,
        skip: None,
        limit: None,
        span: at.span,
    }
}
