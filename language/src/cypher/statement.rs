//! A statement: its clauses in order, the rules about that order, and the parts of a `UNION`.

use open_cypher::ast::{
    CallTarget, Clause as Syntax, ClauseKind, RegularQuery, SingleQuery, UnionOperator,
};

use crate::diagnostic::{Code, Diagnostics, Span};
use crate::plan::{Branch, Clause, Column, Plan, Projection, Type, Unwind};
use crate::schema::Schema;
use crate::value::Value;

use super::compiler::{Checked, Compiler};
use super::nested::is_bare;
use super::open::literal;
use super::parse::{Parsed, span};
use super::procedures::Procedures;
use super::projection::Kind;
use super::scope::Scope;
use super::types;

/// Compiles one statement.
pub(super) fn compile(
    text: &str,
    schema: &Schema,
    procedures: &Procedures,
    parsed: &Parsed,
) -> Result<Plan, Diagnostics> {
    let query = &parsed.query;
    let mut compiler = Compiler::new(text, schema, procedures, parsed);
    let (branches, distinct) = match compiler.standalone_call(query)? {
        Some(branch) => (vec![branch], false),
        None => compiler.branches(query, &Around::Statement)?,
    };
    compiler.no_other_blocks()?;
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

/// What stands around a query.
pub(super) enum Around {
    /// Nothing, or a clause that says which names there are.
    Statement,
    /// An expression: the query may end without `RETURN`.
    Expression,
    /// A `CALL { ... }` whose parts begin with a `WITH` of the names that they want of these.
    Imports(Scope),
}

impl<'a> Compiler<'a> {
    /// The parts that `UNION` joins, and whether equal rows are given once.
    pub(super) fn branches(
        &mut self,
        query: &RegularQuery,
        nested: &Around,
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

    fn branch(&mut self, query: &SingleQuery, nested: &Around) -> Checked<Branch> {
        let syntax = match nested {
            Around::Imports(around) => self.import(around, query),
            _ => &query.kind.clauses,
        };
        self.check_order(syntax, matches!(nested, Around::Expression))?;
        self.assigns |= assigns(syntax);
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
        let ClauseKind::Call(call) = self.kind_of(clause)? else {
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

    pub(super) fn clause(
        &mut self,
        syntax: &Syntax,
        clauses: &mut Vec<Clause>,
        columns: &mut Vec<Column>,
    ) -> Checked<()> {
        match self.kind_of(syntax)? {
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
            ClauseKind::Call(clause) if matches!(clause.target, CallTarget::Subquery { .. }) => {
                clauses.push(self.call_subquery(clause, self.head(syntax))?);
            }
            ClauseKind::Call(clause) => {
                let (call, _) = self.call_clause(clause, span(syntax.span), false)?;
                clauses.push(Clause::Call(call));
            }
            ClauseKind::Foreach(clause) => clauses.push(self.foreach(clause, self.head(syntax))?),
            ClauseKind::Let(clause) => clauses.extend(self.let_clause(clause)?),
            ClauseKind::Filter(clause) => clauses.push(self.filter_clause(&clause.predicate)?),
            ClauseKind::Finish => clauses.push(Clause::Project(nothing(span(syntax.span)))),
            other => return self.unsupported(span(syntax.span), clause_name(other)),
        }
        Ok(())
    }

    /// What a clause is; one that the parser takes for `WITH *` may be another.
    pub(super) fn kind_of<'s>(&self, syntax: &'s Syntax) -> Checked<&'s ClauseKind>
    where
        'a: 's,
    {
        let Some(block) = self.blocks.get(&syntax.span.start) else {
            return Ok(&syntax.kind);
        };
        self.met.borrow_mut().insert(syntax.span.start);
        if let ClauseKind::With(with) = &syntax.kind
            && with.where_clause.is_none()
            && is_bare(&with.projection)
            && with.projection.items.len() == 1
        {
            return Ok(&block.kind);
        }
        let message = format!("this cannot follow {}", clause_name(&block.kind));
        self.fail(
            Code::Syntax,
            Span::new(block.span.end, syntax.span.end),
            message,
        )
    }

    /// Refuses what was taken for a clause and stands where none can.
    fn no_other_blocks(&self) -> Checked<()> {
        let met = self.met.borrow();
        match self.blocks.iter().find(|(at, _)| !met.contains(at)) {
            None => Ok(()),
            Some((_, block)) => {
                let message = format!("{} cannot stand here", clause_name(&block.kind));
                self.fail(Code::Syntax, block.span, message)
            }
        }
    }

    /// Where a clause begins, as a place to point at.
    pub(super) fn head(&self, clause: &Syntax) -> Span {
        let start = clause.span.start;
        let block = self.blocks.get(&start);
        let name = clause_name(block.map_or(&clause.kind, |block| &block.kind));
        let word = name.split(" {").next().unwrap_or(name);
        Span::new(start, start + word.len())
    }

    /// Reading after writing needs a `WITH` between; the end is a `RETURN` or a write.
    fn check_order(&self, syntax: &[Syntax], nested: bool) -> Checked<()> {
        let mut wrote: Option<&str> = None;
        for (index, clause) in syntax.iter().enumerate() {
            let kind = self.kind_of(clause)?;
            let place = self.head(clause);
            let name = clause_name(kind);
            match kind {
                ClauseKind::With(_) | ClauseKind::Let(_) | ClauseKind::Filter(_) => wrote = None,
                ClauseKind::Call(call) if matches!(call.target, CallTarget::Subquery { .. }) => {}
                ClauseKind::Match(_) | ClauseKind::Unwind(_) | ClauseKind::Call(_) => {
                    if let Some(written) = wrote {
                        let message = format!("{name} after {written} needs a WITH between them");
                        return self.fail(Code::MisplacedClause, place, message);
                    }
                }
                ClauseKind::Return(_) | ClauseKind::Finish if index + 1 < syntax.len() => {
                    let message = format!("nothing may follow {name}");
                    return self.fail(Code::MisplacedClause, place, message);
                }
                kind if writes(kind) => wrote = Some(name),
                _ => {}
            }
        }
        let Some(last) = syntax.last() else {
            return self.fail(Code::Syntax, Span::new(0, 0), "the statement is empty");
        };
        match self.kind_of(last)? {
            kind @ (ClauseKind::Match(_)
            | ClauseKind::With(_)
            | ClauseKind::Unwind(_)
            | ClauseKind::Let(_)
            | ClauseKind::Filter(_))
                if !nested =>
            {
                let name = clause_name(kind);
                let message = format!(
                    "a statement cannot end with {name}: add RETURN, or a clause that writes"
                );
                self.fail(Code::MisplacedClause, self.head(last), message)
            }
            _ => Ok(()),
        }
    }
}

/// No row at all, and no columns: what `FINISH` gives.
fn nothing(span: Span) -> Projection {
    Projection {
        aggregation: None,
        items: Vec::new(),
        distinct: false,
        order: Vec::new(),
        skip: None,
        limit: Some(literal(Value::Int(0), Type::Integer, span)),
        filter: None,
    }
}

/// Whether one of the clauses assigns properties.
pub(super) fn assigns(syntax: &[Syntax]) -> bool {
    let sets = |clause: &Syntax| matches!(clause.kind, ClauseKind::Set(_));
    syntax.iter().any(sets)
}

pub(super) const fn writes(kind: &ClauseKind) -> bool {
    matches!(
        kind,
        ClauseKind::Create(_)
            | ClauseKind::Merge(_)
            | ClauseKind::Set(_)
            | ClauseKind::Remove(_)
            | ClauseKind::Delete(_)
            | ClauseKind::Foreach(_)
    )
}

pub(super) const fn clause_name(kind: &ClauseKind) -> &'static str {
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
        ClauseKind::Call(clause) => match clause.target {
            CallTarget::Subquery { .. } if clause.optional => "OPTIONAL CALL { ... }",
            CallTarget::Subquery { .. } => "CALL { ... }",
            _ => "CALL",
        },
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
