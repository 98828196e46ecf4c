//! A statement: its clauses in order, the rules about that order, and the parts of a `UNION`.

use open_cypher::ast::{
    CallTarget, Clause as Syntax, ClauseKind, RegularQuery, SingleQuery, UnionOperator,
};

use crate::diagnostic::{Code, Diagnostics, Span};
use crate::plan::{Branch, Clause, Column, Plan, Type, Unwind};
use crate::schema::Schema;

use super::compiler::{Checked, Compiler};
use super::parse::{Parsed, span};
use super::procedures::Procedures;
use super::projection::Kind;
use super::types;

/// Compiles one statement.
pub(super) fn compile(
    text: &str,
    schema: &Schema,
    procedures: &Procedures,
    parsed: &Parsed,
) -> Result<Plan, Diagnostics> {
    let query = &parsed.query;
    let mut compiler = Compiler::new(text, schema, procedures, &parsed.bare_patterns);
    let (branches, distinct) = match compiler.standalone_call(query)? {
        Some(branch) => (vec![branch], false),
        None => compiler.branches(query, false)?,
    };
    for column in branches.iter().flat_map(|branch| &branch.columns) {
        compiler.read_value(&column.value_type);
    }
    let parameters = std::mem::take(&mut compiler.parameters);
    let parameters = parameters
        .into_iter()
        .map(|(name, asked)| (name, asked.unwrap_or(Type::Any)));
    let mut branches = branches.into_iter();
    let Some(Branch { clauses, columns }) = branches.next() else {
        return compiler.fail(Code::Syntax, Span::new(0, 0), "the statement is empty");
    };
    Ok(Plan {
        clauses,
        columns,
        unions: branches.collect(),
        distinct,
        slots: compiler.slot_count(),
        names: std::mem::take(&mut compiler.names),
        touches: std::mem::take(&mut compiler.touches),
        parameters: parameters.collect(),
        schema_version: schema.version,
    })
}

impl Compiler<'_> {
    /// The parts that `UNION` joins, and whether equal rows are given once. `nested`: within an
    /// expression, where a query may end without `RETURN`.
    pub(super) fn branches(
        &mut self,
        query: &RegularQuery,
        nested: bool,
    ) -> Checked<(Vec<Branch>, bool)> {
        let around = self.scope.clone();
        let mut branches = vec![self.branch(&query.head, nested)?];
        let distinct = |operator| operator != UnionOperator::All;
        let first = query
            .unions
            .first()
            .map(|union| distinct(union.operator.kind));
        for union in &query.unions {
            let place = span(union.operator.span);
            if Some(distinct(union.operator.kind)) != first {
                let message = "UNION and UNION ALL cannot be mixed in one statement";
                return self.fail(Code::MisplacedClause, place, message);
            }
            self.scope = around.clone();
            let branch = self.branch(&union.query, nested)?;
            self.same_columns(&mut branches, branch, place)?;
        }
        Ok((branches, first.unwrap_or(false)))
    }

    /// Adds a part of a `UNION` whose columns have the same names, in the order of the first.
    fn same_columns(
        &mut self,
        branches: &mut Vec<Branch>,
        branch: Branch,
        place: Span,
    ) -> Checked<()> {
        let names = |columns: &[Column]| {
            columns
                .iter()
                .map(|column| column.name.clone())
                .collect::<Vec<_>>()
        };
        let Some(first) = branches.first_mut() else {
            return Ok(());
        };
        let (ours, theirs) = (names(&first.columns), names(&branch.columns));
        let mut columns = Vec::new();
        for column in &mut first.columns {
            let Some(same) = branch
                .columns
                .iter()
                .find(|other| other.name == column.name)
            else {
                break;
            };
            self.hide(&column.value_type);
            self.hide(&same.value_type);
            column.value_type = types::join(&column.value_type, &same.value_type);
            columns.push(same.clone());
        }
        if columns.len() != ours.len() || ours.len() != theirs.len() {
            let message = format!(
                "the parts of a UNION have the same columns: here they are {} and {}",
                ours.join(", "),
                theirs.join(", ")
            );
            return self.fail(Code::UnionColumns, place, message);
        }
        if ours.is_empty() {
            let message = "each part of a UNION ends with RETURN";
            return self.fail(Code::MisplacedClause, place, message);
        }
        branches.push(Branch { columns, ..branch });
        Ok(())
    }

    fn branch(&mut self, query: &SingleQuery, nested: bool) -> Checked<Branch> {
        let syntax = &query.kind.clauses;
        self.check_order(syntax, nested)?;
        self.assigns |= syntax
            .iter()
            .any(|clause| matches!(clause.kind, ClauseKind::Set(_)));
        let mut branch = Branch {
            clauses: Vec::new(),
            columns: Vec::new(),
        };
        for clause in syntax {
            self.clause(clause, &mut branch.clauses, &mut branch.columns)?;
        }
        Ok(branch)
    }

    /// A statement that is nothing but a `CALL`: it returns what the procedure gives.
    fn standalone_call(&mut self, query: &RegularQuery) -> Checked<Option<Branch>> {
        let ([clause], true) = (query.head.kind.clauses.as_slice(), query.unions.is_empty()) else {
            return Ok(None);
        };
        let ClauseKind::Call(call) = &clause.kind else {
            return Ok(None);
        };
        if !matches!(call.target, CallTarget::Procedure { .. }) {
            return Ok(None);
        }
        let (call, columns) = self.call_clause(call, span(clause.span), true)?;
        Ok(Some(Branch {
            clauses: vec![Clause::Call(call)],
            columns,
        }))
    }

    fn clause(
        &mut self,
        syntax: &Syntax,
        clauses: &mut Vec<Clause>,
        columns: &mut Vec<Column>,
    ) -> Checked<()> {
        match &syntax.kind {
            ClauseKind::Match(clause) => clauses.push(Clause::Match(self.match_clause(clause)?)),
            ClauseKind::Unwind(clause) => {
                let list = self.expression(&clause.expression)?;
                self.ask(&list, &Type::List(Box::new(Type::Any)));
                let name = &clause.variable;
                let text = &name.kind.text;
                if self.scope.get(text).is_some() {
                    let message = format!("`{text}` is bound already: UNWIND needs a new name");
                    return self.fail(Code::DuplicateName, span(name.span), message);
                }
                let slot = self.new_slot();
                self.declare(text, slot, types::element(&list.value_type));
                clauses.push(Clause::Unwind(Unwind { list, slot }));
            }
            ClauseKind::With(clause) => {
                let filter = clause.where_clause.as_ref();
                let (projection, _) = self.project(&clause.projection, filter, Kind::With)?;
                clauses.push(Clause::Project(projection));
            }
            ClauseKind::Return(clause) => {
                let (projection, named) = self.project(&clause.projection, None, Kind::Return)?;
                clauses.push(Clause::Project(projection));
                *columns = named;
            }
            ClauseKind::Create(clause) => clauses.push(Clause::Create(self.create(clause)?)),
            ClauseKind::Merge(clause) => clauses.extend(self.merge(clause)?),
            ClauseKind::Set(clause) => clauses.push(Clause::Set(self.assignments(&clause.items)?)),
            ClauseKind::Remove(clause) => clauses.push(Clause::Set(self.remove(clause)?)),
            ClauseKind::Delete(clause) => clauses.push(Clause::Delete(self.delete(clause)?)),
            ClauseKind::Call(clause) => {
                let (call, _) = self.call_clause(clause, span(syntax.span), false)?;
                clauses.push(Clause::Call(call));
            }
            other => return self.unsupported(span(syntax.span), unsupported_name(other)),
        }
        Ok(())
    }

    /// Reading after writing needs a `WITH` between; the end is a `RETURN` or a write.
    fn check_order(&self, syntax: &[Syntax], nested: bool) -> Checked<()> {
        let mut wrote: Option<&str> = None;
        for (index, clause) in syntax.iter().enumerate() {
            let place = head(clause);
            let name = clause_name(&clause.kind);
            match &clause.kind {
                ClauseKind::With(_) => wrote = None,
                ClauseKind::Match(_) | ClauseKind::Unwind(_) | ClauseKind::Call(_) => {
                    if let Some(written) = wrote {
                        let message = format!("{name} after {written} needs a WITH between them");
                        return self.fail(Code::MisplacedClause, place, message);
                    }
                }
                ClauseKind::Return(_) if index + 1 < syntax.len() => {
                    return self.fail(Code::MisplacedClause, place, "nothing may follow RETURN");
                }
                kind if writes(kind) => wrote = Some(name),
                _ => {}
            }
        }
        let Some(last) = syntax.last() else {
            return self.fail(Code::Syntax, Span::new(0, 0), "the statement is empty");
        };
        match &last.kind {
            ClauseKind::Match(_) | ClauseKind::With(_) | ClauseKind::Unwind(_) if nested => Ok(()),
            ClauseKind::With(_) | ClauseKind::Match(_) | ClauseKind::Unwind(_) => {
                let name = clause_name(&last.kind);
                let message = format!(
                    "a statement cannot end with {name}: add RETURN, or a clause that writes"
                );
                self.fail(Code::MisplacedClause, head(last), message)
            }
            _ => Ok(()),
        }
    }
}

/// Where a clause begins, as a place to point at.
fn head(clause: &Syntax) -> Span {
    let start = clause.span.start;
    Span::new(start, start + clause_name(&clause.kind).len())
}

const fn writes(kind: &ClauseKind) -> bool {
    matches!(
        kind,
        ClauseKind::Create(_)
            | ClauseKind::Merge(_)
            | ClauseKind::Set(_)
            | ClauseKind::Remove(_)
            | ClauseKind::Delete(_)
    )
}

const fn clause_name(kind: &ClauseKind) -> &'static str {
    match kind {
        ClauseKind::Match(clause) if clause.optional => "OPTIONAL MATCH",
        ClauseKind::Match(_) => "MATCH",
        ClauseKind::Unwind(_) => "UNWIND",
        ClauseKind::With(_) => "WITH",
        ClauseKind::Return(_) => "RETURN",
        ClauseKind::Create(_) => "CREATE",
        ClauseKind::Merge(_) => "MERGE",
        ClauseKind::Set(_) => "SET",
        ClauseKind::Remove(_) => "REMOVE",
        ClauseKind::Delete(_) => "DELETE",
        ClauseKind::Call(_) => "CALL",
        other => unsupported_name(other),
    }
}

const fn unsupported_name(kind: &ClauseKind) -> &'static str {
    match kind {
        ClauseKind::Use(_) => "USE",
        ClauseKind::Let(_) => "LET",
        ClauseKind::Insert(_) => "INSERT",
        ClauseKind::Foreach(_) => "FOREACH",
        ClauseKind::LoadCsv(_) => "LOAD CSV",
        ClauseKind::Select(_) => "SELECT",
        ClauseKind::Next(_) => "NEXT",
        ClauseKind::Filter(_) => "FILTER",
        ClauseKind::Finish => "FINISH",
        _ => "this clause",
    }
}
