//! A statement: its clauses in order, and the rules about that order.

use open_cypher::ast::{Clause as Syntax, ClauseKind};

use crate::diagnostic::{Code, Diagnostics, Span};
use crate::plan::{Clause, Column, Plan, Type, Unwind};
use crate::schema::Schema;

use super::compiler::{Checked, Compiler};
use super::parse::span;
use super::projection::Kind;
use super::types;

/// Compiles the clauses of one statement.
pub(super) fn compile(text: &str, schema: &Schema, syntax: &[Syntax]) -> Result<Plan, Diagnostics> {
    let mut compiler = Compiler::new(text, schema);
    compiler.check_order(syntax)?;
    compiler.assigns = syntax
        .iter()
        .any(|clause| matches!(clause.kind, ClauseKind::Set(_)));
    let mut clauses = Vec::new();
    let mut columns = Vec::new();
    for clause in syntax {
        compiler.clause(clause, &mut clauses, &mut columns)?;
    }
    for column in &columns {
        compiler.read_value(&column.value_type);
    }
    let parameters = std::mem::take(&mut compiler.parameters);
    let parameters = parameters
        .into_iter()
        .map(|(name, asked)| (name, asked.unwrap_or(Type::Any)));
    Ok(Plan {
        clauses,
        columns,
        slots: compiler.slot_count(),
        touches: std::mem::take(&mut compiler.touches),
        parameters: parameters.collect(),
        schema_version: schema.version,
    })
}

impl Compiler<'_> {
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
                self.scope
                    .insert(text, slot, types::element(&list.value_type));
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
            other => return self.unsupported(span(syntax.span), unsupported_name(other)),
        }
        Ok(())
    }

    /// Reading after writing needs a `WITH` between; the end is a `RETURN` or a write.
    fn check_order(&self, syntax: &[Syntax]) -> Checked<()> {
        let mut wrote: Option<&str> = None;
        for (index, clause) in syntax.iter().enumerate() {
            let place = head(clause);
            let name = clause_name(&clause.kind);
            match &clause.kind {
                ClauseKind::With(_) => wrote = None,
                ClauseKind::Match(_) | ClauseKind::Unwind(_) => {
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
        ClauseKind::Call(_) => "CALL",
        ClauseKind::Select(_) => "SELECT",
        ClauseKind::Next(_) => "NEXT",
        ClauseKind::Filter(_) => "FILTER",
        ClauseKind::Finish => "FINISH",
        _ => "this clause",
    }
}
