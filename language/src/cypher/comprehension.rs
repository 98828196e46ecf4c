//! Expressions that bind a name of their own for the elements of a list: comprehensions,
//! quantifiers, `reduce`. The name is gone behind them. Map projections too.

use open_cypher::ast::{
    Expr as Syntax, ListComprehension, MapProjection, MapProjectionItemKind, Name,
    QuantifiedPredicate, QuantifiedPredicateKind, ReduceExpression,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{Expr, ExprKind, Function, Quantifier, Slot, Type};

use super::compiler::{Checked, Compiler};
use super::parse::span;
use super::types;

impl Compiler<'_> {
    pub(super) fn list_comprehension(
        &mut self,
        syntax: &ListComprehension,
        place: Span,
    ) -> Checked<Expr> {
        let list = self.elements(&syntax.list, "a list comprehension")?;
        let element = types::element(&list.value_type);
        let (variable, inner) = self.locally(&syntax.variable, element.clone(), |compiler| {
            let filter = syntax.predicate.as_ref();
            let filter = filter
                .map(|filter| compiler.condition(filter))
                .transpose()?;
            let result = syntax.projection.as_ref();
            let result = result
                .map(|result| compiler.expression(result))
                .transpose()?;
            Ok((filter, result))
        })?;
        let (filter, result) = inner;
        let value_type = result
            .as_ref()
            .map_or(element, |result| result.value_type.clone());
        Ok(Expr {
            kind: ExprKind::Comprehension {
                variable,
                list: Box::new(list),
                filter: filter.map(Box::new),
                result: result.map(Box::new),
            },
            value_type: Type::List(Box::new(value_type)),
            span: place,
        })
    }

    pub(super) fn quantified(
        &mut self,
        syntax: &QuantifiedPredicate,
        place: Span,
    ) -> Checked<Expr> {
        let quantifier = match syntax.kind.kind {
            QuantifiedPredicateKind::All => Quantifier::All,
            QuantifiedPredicateKind::Any => Quantifier::Any,
            QuantifiedPredicateKind::None => Quantifier::None,
            QuantifiedPredicateKind::Single => Quantifier::Single,
            _ => return self.unsupported(place, "this quantifier"),
        };
        let list = self.elements(&syntax.list, "a quantifier")?;
        let element = types::element(&list.value_type);
        let (variable, predicate) = self.locally(&syntax.variable, element, |compiler| {
            compiler.condition(&syntax.predicate)
        })?;
        Ok(Expr {
            kind: ExprKind::Quantified {
                quantifier,
                variable,
                list: Box::new(list),
                predicate: Box::new(predicate),
            },
            value_type: Type::Boolean,
            span: place,
        })
    }

    pub(super) fn reduce(&mut self, syntax: &ReduceExpression, place: Span) -> Checked<Expr> {
        let initial = self.expression(&syntax.initial)?;
        let list = self.elements(&syntax.list, "reduce()")?;
        let element = types::element(&list.value_type);
        // The result of a step may have another type than what it began with.
        let (accumulator, inner) = self.locally(&syntax.accumulator, Type::Any, |compiler| {
            compiler.locally(&syntax.variable, element, |compiler| {
                compiler.expression(&syntax.expression)
            })
        })?;
        let (variable, step) = inner;
        let value_type = self.join([&initial.value_type, &step.value_type]);
        self.hide(&initial.value_type);
        Ok(Expr {
            kind: ExprKind::Reduce {
                accumulator,
                initial: Box::new(initial),
                variable,
                list: Box::new(list),
                step: Box::new(step),
            },
            value_type,
            span: place,
        })
    }

    fn elements(&mut self, list: &Syntax, what: &str) -> Checked<Expr> {
        let list = self.expression(list)?;
        let wanted = Type::List(Box::new(Type::Any));
        self.require(&list, &wanted, &format!("what {what} goes through"))?;
        Ok(list)
    }

    /// Runs `inner` with one more name, which may hide another, and without aggregates.
    fn locally<T>(
        &mut self,
        name: &Name,
        value_type: Type,
        inner: impl FnOnce(&mut Self) -> Checked<T>,
    ) -> Checked<(Slot, T)> {
        let before = self.scope.clone();
        let slot = self.new_slot();
        self.locals.insert(slot);
        self.declare(&name.kind.text, slot, value_type);
        let result = self.without_aggregates(inner);
        self.scope = before;
        Ok((slot, result?))
    }

    /// `n {.name, .*, other, key: value}`: later entries win.
    pub(super) fn map_projection(&mut self, syntax: &MapProjection, place: Span) -> Checked<Expr> {
        let base = self.expression(&syntax.base)?;
        match &base.value_type {
            Type::Node(_) | Type::Relationship(_) | Type::Map | Type::Any | Type::Null => {}
            other => {
                let message = format!("{} has no properties to project", types::name(other));
                return self.fail(Code::TypeMismatch, base.span, message);
            }
        }
        let mut parts: Vec<Expr> = Vec::new();
        for item in &syntax.items {
            let place = span(item.span);
            let (name, value) = match &item.kind {
                MapProjectionItemKind::AllProperties => {
                    self.read_value(&base.value_type.clone());
                    let all = self.copy(&base)?;
                    let properties = call(Function::Properties, vec![all], Type::Map, place);
                    parts.push(properties);
                    continue;
                }
                MapProjectionItemKind::Property(key) => {
                    let object = self.copy(&base)?;
                    let name = key.kind.text.clone();
                    let value = self.property(object, &name, span(key.span), place)?;
                    (name, value)
                }
                MapProjectionItemKind::Variable(name) => {
                    (name.kind.text.clone(), self.variable(name)?)
                }
                MapProjectionItemKind::Entry(entry) => {
                    (entry.key.kind.text.clone(), self.expression(&entry.value)?)
                }
                _ => return self.unsupported(place, "this part of a map projection"),
            };
            self.hide(&value.value_type);
            let kind = ExprKind::Map(vec![(name, value)]);
            parts.push(Expr {
                kind,
                value_type: Type::Map,
                span: place,
            });
        }
        let empty = Expr {
            kind: ExprKind::Map(Vec::new()),
            value_type: Type::Map,
            span: place,
        };
        let map = parts.into_iter().fold(empty, |map, part| {
            call(Function::Overlay, vec![map, part], Type::Map, place)
        });
        // Of null there is nothing to project.
        let condition = Expr {
            kind: ExprKind::IsNull {
                operand: Box::new(base),
                negated: true,
            },
            value_type: Type::Boolean,
            span: place,
        };
        let kind = ExprKind::Case {
            branches: vec![(condition, map)],
            otherwise: None,
        };
        Ok(Expr {
            kind,
            value_type: Type::Map,
            span: place,
        })
    }
}

/// A call of a function whose arguments are known to fit.
pub(super) fn call(function: Function, arguments: Vec<Expr>, value_type: Type, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Call {
            function,
            arguments,
        },
        value_type,
        span,
    }
}
