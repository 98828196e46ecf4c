//! Queries within expressions: `EXISTS {}`, `COUNT {}`, `COLLECT {}`, patterns as conditions, and
//! pattern comprehensions. They see the names around them and keep theirs to themselves.

use open_cypher::ast::{
    Pattern, PatternComprehension, QueryKind, SubqueryExpression, SubqueryExpressionKind,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{
    Branch, Clause, Column, Expr, ExprKind, Item, Projection, Subquery, SubqueryKind, Type,
};

use super::compiler::{Checked, Compiler};
use super::parse::span;
use super::statement::Around;
use super::types;

impl Compiler<'_> {
    pub(super) fn subquery(&mut self, syntax: &SubqueryExpression, place: Span) -> Checked<Expr> {
        let kind = match syntax.kind.kind {
            SubqueryExpressionKind::Exists => SubqueryKind::Exists,
            SubqueryExpressionKind::Count => SubqueryKind::Count,
            SubqueryExpressionKind::Collect => SubqueryKind::Collect,
            _ => return self.unsupported(place, "this kind of subquery"),
        };
        let bare = self.bare_patterns.get(&syntax.kind.span.start);
        let query = match (bare, &syntax.query.kind) {
            (Some(pattern), _) => pattern,
            (None, QueryKind::Regular(query)) => query,
            _ => return self.fail(Code::Syntax, place, "this is not a query"),
        };
        let (branches, distinct) =
            self.enclosed(|compiler| compiler.branches(query, &Around::Expression))?;
        if let Some(branch) = branches
            .iter()
            .find(|branch| branch.clauses.iter().any(Clause::writes))
        {
            debug_assert!(
                !branch.clauses.is_empty(),
                "a clause that writes is a clause"
            );
            let message = "a subquery in an expression only reads";
            return self.fail(Code::MisplacedClause, place, message);
        }
        let value_type = match kind {
            SubqueryKind::Exists => Type::Boolean,
            SubqueryKind::Count => Type::Integer,
            SubqueryKind::Collect => {
                let mut element = Type::Null;
                for branch in &branches {
                    let [column] = branch.columns.as_slice() else {
                        let message = "COLLECT needs a RETURN with one column";
                        return self.fail(Code::MisplacedClause, place, message);
                    };
                    element = types::join(&element, &column.value_type);
                    self.hide(&column.value_type);
                }
                Type::List(Box::new(element))
            }
        };
        Ok(finish(kind, branches, distinct, value_type, place))
    }

    /// `(a)-->(b)` as a condition: whether there is such a path. It binds no new names.
    pub(super) fn pattern_predicate(&mut self, pattern: &Pattern, place: Span) -> Checked<Expr> {
        let matching = self.enclosed(|compiler| {
            compiler.only_bound_names = true;
            let matching = compiler.match_pattern(pattern, None, false);
            compiler.only_bound_names = false;
            matching
        })?;
        let branch = Branch {
            clauses: vec![Clause::Match(matching)],
            columns: Vec::new(),
        };
        Ok(finish(
            SubqueryKind::Exists,
            vec![branch],
            false,
            Type::Boolean,
            place,
        ))
    }

    /// `[p = (a)-->(b) WHERE ... | ...]`.
    pub(super) fn pattern_comprehension(
        &mut self,
        syntax: &PatternComprehension,
        place: Span,
    ) -> Checked<Expr> {
        let mut pattern = syntax.pattern.clone();
        if let (Some(binding), Some(part)) = (&syntax.binding, pattern.parts.first_mut()) {
            part.kind.binding = Some(binding.clone());
        }
        let slot = self.new_slot();
        let (matching, result) = self.enclosed(|compiler| {
            let filter = syntax.predicate.as_deref();
            let matching = compiler.match_pattern(&pattern, filter, false)?;
            let result = compiler.expression(&syntax.projection)?;
            Ok((matching, result))
        })?;
        let value_type = result.value_type.clone();
        let column = Column {
            name: String::new(),
            slot,
            value_type: value_type.clone(),
        };
        let projection = Projection {
            aggregation: None,
            items: vec![Item { expr: result, slot }],
            distinct: false,
            order: Vec::new(),
            skip: None,
            limit: None,
            filter: None,
        };
        let clauses = vec![Clause::Match(matching), Clause::Project(projection)];
        let branch = Branch {
            clauses,
            columns: vec![column],
        };
        let list = Type::List(Box::new(value_type));
        Ok(finish(
            SubqueryKind::Collect,
            vec![branch],
            false,
            list,
            place,
        ))
    }

    /// Runs `inner`, after which the names are what they were; aggregates in it are its own.
    fn enclosed<T>(&mut self, inner: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<T> {
        let before = self.scope.clone();
        let aggregates = self.aggregates.take();
        let outer = self.outer.replace(before.clone());
        let only_bound_names = std::mem::take(&mut self.only_bound_names);
        let result = inner(self);
        self.only_bound_names = only_bound_names;
        self.outer = outer;
        self.aggregates = aggregates;
        self.scope = before;
        result
    }

    /// Fails when a pattern that is a condition names something new.
    pub(super) fn no_new_names<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        place: Span,
    ) -> Checked<()> {
        if !self.only_bound_names {
            return Ok(());
        }
        let outer = self.outer.as_ref();
        let is_new = |name: &str| outer.is_none_or(|outer| outer.get(name).is_none());
        match names.into_iter().find(|name| is_new(name)) {
            Some(name) => {
                let message =
                    format!("there is no variable `{name}` here, and a condition makes none");
                self.fail(Code::UnknownVariable, place, message)
            }
            None => Ok(()),
        }
    }

    /// A pattern where a value is wanted.
    pub(super) fn misplaced_pattern<T>(&self, pattern: &Pattern) -> Checked<T> {
        let message =
            "a pattern is a condition, not a value: write EXISTS { ... } or [ ... | ... ]";
        self.fail(Code::Syntax, span(pattern.span), message)
    }
}

fn finish(
    kind: SubqueryKind,
    branches: Vec<Branch>,
    distinct: bool,
    value_type: Type,
    span: Span,
) -> Expr {
    let subquery = Subquery {
        kind,
        branches,
        distinct,
    };
    Expr {
        kind: ExprKind::Subquery(Box::new(subquery)),
        value_type,
        span,
    }
}
