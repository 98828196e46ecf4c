//! `CALL procedure(...) YIELD ...`, within a statement or as all of it.

use std::collections::BTreeSet;

use open_cypher::ast::{
    CallClause, CallTarget, Expr as Syntax, ExprKind as SyntaxKind, ProjectionItemKind, YieldClause,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{Call, Column, Expr, ExprKind, Slot, Type};

use super::compiler::{Checked, Compiler, all};
use super::parse::span;
use super::procedures::{Procedure, ProcedureBody};

impl Compiler<'_> {
    /// Checks a `CALL`. Alone it takes parameters of the statement for arguments that are not
    /// written, and gives all its outputs.
    pub(super) fn call_clause(
        &mut self,
        clause: &CallClause,
        place: Span,
        alone: bool,
    ) -> Checked<(Call, Vec<Column>)> {
        let CallTarget::Procedure { name, arguments } = &clause.target else {
            return self.unsupported(place, "CALL { ... }");
        };
        let parts: Vec<&str> = name
            .parts
            .iter()
            .map(|part| part.kind.text.as_str())
            .collect();
        let procedures = self.procedures;
        let Some(procedure) = procedures.get(&parts.join(".")) else {
            let message = format!("there is no procedure {}", parts.join("."));
            let finding = self.finding(Code::UnknownProcedure, span(name.span), message);
            let known = procedures.iter().map(|known| known.name.as_str());
            return Err(vec![finding.suggest(&parts.join("."), known)]);
        };
        let arguments = self.call_arguments(procedure, arguments.as_deref(), place, alone)?;
        self.read_all_for(&procedure.body);
        let outputs = match &clause.yield_clause {
            Some(yielded) if yielded.all && !alone => {
                let message = "YIELD * stands only in a statement that is nothing but a CALL";
                return self.fail(Code::Syntax, span(yielded.span), message);
            }
            Some(yielded) if !yielded.all => self.yielded(procedure, yielded)?,
            None if !alone && !procedure.outputs.is_empty() => {
                let message = format!("name what {} gives: YIELD ...", procedure.name);
                return self.fail(Code::UnknownVariable, place, message);
            }
            _ => self.every_output(procedure),
        };
        let columns = outputs
            .iter()
            .map(|(name, output, slot)| Column {
                name: name.clone(),
                slot: *slot,
                value_type: output_type(procedure, *output),
            })
            .collect();
        let filter = clause
            .yield_clause
            .as_ref()
            .and_then(|yielded| yielded.where_clause.as_ref());
        let filter = filter.map(|filter| self.condition(filter)).transpose()?;
        let call = Call {
            name: procedure.name.clone(),
            body: procedure.body.clone(),
            arguments,
            outputs: outputs
                .into_iter()
                .map(|(_, output, slot)| (output, slot))
                .collect(),
            filter,
            passes: procedure.outputs.is_empty(),
        };
        Ok((call, columns))
    }

    fn call_arguments(
        &mut self,
        procedure: &Procedure,
        written: Option<&[Syntax]>,
        place: Span,
        alone: bool,
    ) -> Checked<Vec<Expr>> {
        let Some(written) = written else {
            if !alone {
                let message = "within a statement the arguments of a procedure are written out";
                return self.fail(Code::Syntax, place, message);
            }
            let inputs = procedure.inputs.iter().map(|(name, value_type)| {
                self.parameters
                    .insert(name.clone(), Some(value_type.clone()));
                Expr {
                    kind: ExprKind::Parameter(name.clone()),
                    value_type: value_type.clone(),
                    span: place,
                }
            });
            return Ok(inputs.collect());
        };
        if written.len() != procedure.inputs.len() {
            let message = format!(
                "{} takes {} arguments, not {}",
                procedure.name,
                procedure.inputs.len(),
                written.len()
            );
            return self.fail(Code::WrongArity, place, message);
        }
        let pairs = written.iter().zip(&procedure.inputs);
        all(pairs.map(|(syntax, (name, wanted))| {
            let argument = self.expression(syntax)?;
            let what = format!("the argument `{name}` of {}", procedure.name);
            self.require(&argument, wanted, &what)?;
            Ok(argument)
        }))
    }

    /// Every output under its own name.
    fn every_output(&mut self, procedure: &Procedure) -> Vec<(String, usize, Slot)> {
        let outputs = procedure.outputs.iter().enumerate();
        outputs
            .map(|(output, (name, value_type))| {
                let slot = self.new_slot();
                self.declare(name, slot, value_type.clone());
                (name.clone(), output, slot)
            })
            .collect()
    }

    fn yielded(
        &mut self,
        procedure: &Procedure,
        yielded: &YieldClause,
    ) -> Checked<Vec<(String, usize, Slot)>> {
        let mut taken = BTreeSet::new();
        all(yielded.items.iter().map(|item| {
            let place = span(item.span);
            let ProjectionItemKind::Expression { expression, alias } = &item.kind else {
                return self.fail(Code::Syntax, place, "YIELD takes names");
            };
            let SyntaxKind::Variable(field) = &expression.kind else {
                return self.fail(Code::Syntax, place, "YIELD takes names");
            };
            let wanted = &field.kind.text;
            let outputs = &procedure.outputs;
            let Some(output) = outputs.iter().position(|(name, _)| name == wanted) else {
                let message = format!("{} gives no `{wanted}`", procedure.name);
                let finding = self.finding(Code::UnknownVariable, place, message);
                let known = outputs.iter().map(|(name, _)| name.as_str());
                return Err(vec![finding.suggest(wanted, known)]);
            };
            let name = alias.as_ref().unwrap_or(field).kind.text.clone();
            if self.scope.get(&name).is_some() || !taken.insert(name.clone()) {
                let message = format!("`{name}` is bound already: rename it with AS");
                return self.fail(Code::DuplicateName, place, message);
            }
            let slot = self.new_slot();
            self.declare(&name, slot, output_type(procedure, output));
            Ok((name, output, slot))
        }))
    }

    /// Procedures of the catalogue say something about every type.
    fn read_all_for(&mut self, body: &ProcedureBody) {
        if !matches!(body, ProcedureBody::Table(_)) && self.open.is_some() {
            let types = self.hidden.clone();
            self.read_whole(&types);
        }
    }
}

fn output_type(procedure: &Procedure, output: usize) -> Type {
    procedure
        .outputs
        .get(output)
        .map_or(Type::Any, |(_, value_type)| value_type.clone())
}
