//! Expressions: names resolved, types inferred. Operators are in `operator`, calls in `call`.

use std::collections::BTreeMap;

use open_cypher::ast::{
    BinaryOperator, CaseExpression, Expr as Syntax, ExprKind as SyntaxKind, IsPredicate, MapEntry,
    Name, ParameterName, UnaryOperator as SyntaxUnary,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{BinaryOperator as Operator, Expr, ExprKind, Type};
use crate::value::Value;

use super::compiler::{Checked, Compiler, all, both};
use super::labels::Element;
use super::parse::span;
use super::types;

impl Compiler<'_> {
    /// Checks an expression.
    pub(super) fn expression(&mut self, syntax: &Syntax) -> Checked<Expr> {
        self.deeper(span(syntax.span), |compiler| {
            compiler.expression_here(syntax)
        })
    }

    fn expression_here(&mut self, syntax: &Syntax) -> Checked<Expr> {
        let place = span(syntax.span);
        let predicate = std::mem::take(&mut self.predicate);
        if let Some(result) = self.logic(syntax, predicate, place) {
            return result;
        }
        match &syntax.kind {
            SyntaxKind::Literal(literal) => self.literal(literal, None),
            SyntaxKind::Variable(name) => self.variable(name),
            SyntaxKind::Parameter(parameter) => {
                let name = match &parameter.name {
                    ParameterName::Named(name) | ParameterName::Positional(name) => name.clone(),
                    _ => return self.unsupported(place, "this kind of parameter"),
                };
                self.parameters.entry(name.clone()).or_default();
                Ok(Expr {
                    kind: ExprKind::Parameter(name),
                    value_type: Type::Any,
                    span: place,
                })
            }
            SyntaxKind::List(items) => self.list(items, place),
            SyntaxKind::Map(entries) => self.map(entries, place),
            SyntaxKind::Unary { operator, operand } => match operator.kind {
                SyntaxUnary::Minus => self.sign(operand, true, place),
                SyntaxUnary::Plus => self.sign(operand, false, place),
                _ => self.unsupported(span(operator.span), "this operator"),
            },
            SyntaxKind::Binary { .. } => self.infix(syntax),
            SyntaxKind::Is {
                expression,
                negated,
                predicate,
            } => self.is(expression, *negated, predicate, place),
            SyntaxKind::Property { expression, key } => {
                let object = self.expression(expression)?;
                self.property(object, &key.kind.text, span(key.span), place)
            }
            SyntaxKind::Index { expression, index } => self.index(expression, index, place),
            SyntaxKind::Slice {
                expression,
                lower,
                upper,
            } => self.slice(expression, lower.as_deref(), upper.as_deref(), place),
            SyntaxKind::Function(function) => self.call(function, place),
            SyntaxKind::Case(case) => self.case(case, place),
            SyntaxKind::ListComprehension(inner) => self.list_comprehension(inner, place),
            SyntaxKind::PatternComprehension(inner) => self.pattern_comprehension(inner, place),
            SyntaxKind::QuantifiedPredicate(inner) => self.quantified(inner, place),
            SyntaxKind::Reduce(inner) => self.reduce(inner, place),
            SyntaxKind::MapProjection(inner) => self.map_projection(inner, place),
            SyntaxKind::Subquery(inner) => self.subquery(inner, place),
            SyntaxKind::Pattern(pattern) => self.misplaced_pattern(pattern),
            other => self.fail_on(other, place),
        }
    }

    /// What conditions are made of; where they stand, a pattern may stand.
    fn logic(&mut self, syntax: &Syntax, predicate: bool, place: Span) -> Option<Checked<Expr>> {
        Some(match &syntax.kind {
            SyntaxKind::Parenthesized(inner) => {
                self.predicate = predicate;
                self.expression(inner)
            }
            SyntaxKind::Pattern(pattern) if predicate => self.pattern_predicate(pattern, place),
            SyntaxKind::Unary { operator, operand } if operator.kind == SyntaxUnary::Not => {
                self.not(operand, predicate, place)
            }
            SyntaxKind::Binary { operator, .. } => {
                let checked = match operator.kind {
                    BinaryOperator::Or => Operator::Or,
                    BinaryOperator::Xor => Operator::Xor,
                    BinaryOperator::And => Operator::And,
                    _ => return None,
                };
                self.boolean_chain(syntax, operator.kind, checked, predicate)
            }
            _ => return None,
        })
    }

    /// The forms that are parsed and not compiled, each by its name.
    fn fail_on(&self, kind: &SyntaxKind, place: Span) -> Checked<Expr> {
        let what = match kind {
            SyntaxKind::Wildcard => return self.fail(Code::Syntax, place, "`*` is not a value"),
            SyntaxKind::Error(_) => {
                return self.fail(Code::Syntax, place, "a value is missing here");
            }
            SyntaxKind::DynamicProperty { .. } => "a property whose name is computed",
            _ => "this kind of expression",
        };
        self.unsupported(place, what)
    }

    pub(super) fn variable(&mut self, name: &Name) -> Checked<Expr> {
        let place = span(name.span);
        match self.scope.get(&name.kind.text) {
            Some(variable) => Ok(Expr {
                kind: ExprKind::Variable(variable.slot),
                value_type: variable.value_type.clone(),
                span: place,
            }),
            None => self.unknown_variable(name),
        }
    }

    /// A name that stands for nothing. Names of one letter are all close to each other, so that
    /// suggesting one says nothing.
    pub(super) fn unknown_variable<T>(&self, name: &Name) -> Checked<T> {
        let text = name.kind.text.as_str();
        let message = format!("there is no variable `{text}` here");
        let finding = self.finding(Code::UnknownVariable, span(name.span), message);
        let long = |name: &&str| name.chars().count() > 1;
        let candidates = self.scope.names().filter(|_| long(&text)).filter(long);
        Err(vec![finding.suggest(text, candidates)])
    }

    /// A condition: a boolean, or something that may turn out to be one.
    pub(super) fn condition(&mut self, syntax: &Syntax) -> Checked<Expr> {
        self.predicate = true;
        let condition = self.expression(syntax)?;
        self.require(&condition, &Type::Boolean, "a condition")?;
        Ok(condition)
    }

    /// Fails when `expr` can never be what its place takes.
    pub(super) fn require(&mut self, expr: &Expr, wanted: &Type, what: &str) -> Checked<()> {
        self.ask(expr, wanted);
        if types::fits(&expr.value_type, wanted) {
            return Ok(());
        }
        let message = format!(
            "{what} must be {}, not {}",
            types::name(wanted),
            types::name(&expr.value_type)
        );
        self.fail(Code::TypeMismatch, expr.span, message)
    }

    fn list(&mut self, items: &[Syntax], place: Span) -> Checked<Expr> {
        let items = all(items.iter().map(|item| self.expression(item)))?;
        let element = if items.is_empty() {
            Type::Any
        } else {
            self.join(items.iter().map(|item| &item.value_type))
        };
        let value_type = Type::List(Box::new(element));
        Ok(Expr {
            kind: ExprKind::List(items),
            value_type,
            span: place,
        })
    }

    fn map(&mut self, entries: &[MapEntry], place: Span) -> Checked<Expr> {
        let entries = self.entries(entries)?;
        entries
            .iter()
            .for_each(|(_, value)| self.hide(&value.value_type));
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key.kind.text.clone(), value))
            .collect();
        Ok(Expr {
            kind: ExprKind::Map(entries),
            value_type: Type::Map,
            span: place,
        })
    }

    /// The entries of a map with their names, each name once.
    pub(super) fn entries<'e>(
        &mut self,
        entries: &'e [MapEntry],
    ) -> Checked<Vec<(&'e Name, Expr)>> {
        let mut seen = std::collections::BTreeSet::new();
        all(entries.iter().map(|entry| {
            if !seen.insert(entry.key.kind.text.as_str()) {
                let message = format!("`{}` is given twice", entry.key.kind.text);
                return self.fail(Code::DuplicateName, span(entry.key.span), message);
            }
            Ok((&entry.key, self.expression(&entry.value)?))
        }))
    }

    fn is(
        &mut self,
        operand: &Syntax,
        negated: bool,
        predicate: &IsPredicate,
        place: Span,
    ) -> Checked<Expr> {
        let operand = self.expression(operand)?;
        let labels = match predicate {
            IsPredicate::Null => {
                let kind = ExprKind::IsNull {
                    operand: Box::new(operand),
                    negated,
                };
                return Ok(Expr {
                    kind,
                    value_type: Type::Boolean,
                    span: place,
                });
            }
            IsPredicate::Label(labels) => labels,
            IsPredicate::Typed(_) => return self.unsupported(place, "IS TYPED"),
            IsPredicate::Normalized(_) => return self.unsupported(place, "IS NORMALIZED"),
            _ => return self.unsupported(place, "this predicate"),
        };
        let element = match &operand.value_type {
            Type::Node(_) => Element::Node,
            Type::Relationship(_) => Element::Edge,
            Type::Any | Type::Null => Element::Either,
            other => {
                let message = format!(
                    "only nodes and relationships have labels, not {}",
                    types::name(other)
                );
                return self.fail(Code::TypeMismatch, operand.span, message);
            }
        };
        let test = if self.open.is_some() {
            super::open::label_test(self, &operand, labels)?
        } else {
            let types = self.satisfying(labels, element)?;
            let kind = ExprKind::HasType {
                operand: Box::new(operand),
                types,
            };
            Expr {
                kind,
                value_type: Type::Boolean,
                span: place,
            }
        };
        Ok(if negated {
            super::operator::negation(test, place)
        } else {
            test
        })
    }

    /// `object.name`.
    pub(super) fn property(
        &mut self,
        object: Expr,
        name: &str,
        name_span: Span,
        place: Span,
    ) -> Checked<Expr> {
        let (ids, value_type) = match &object.value_type {
            Type::Node(_) | Type::Relationship(_) if self.open.is_some() => {
                self.read_name(&object.value_type, name);
                (BTreeMap::new(), Type::Any)
            }
            Type::Node(types) | Type::Relationship(types) => {
                let resolved = self.resolve(types, name, name_span)?;
                (resolved.ids, resolved.value_type)
            }
            Type::Any => (self.find(&self.hidden, name).ids, Type::Any),
            Type::Map => (BTreeMap::new(), Type::Any),
            Type::Null => (BTreeMap::new(), Type::Null),
            value_type if types::is_temporal(value_type) => (BTreeMap::new(), Type::Any),
            other => {
                let message = format!("{} has no properties", types::name(other));
                return self.fail(Code::TypeMismatch, object.span, message);
            }
        };
        self.read_properties(&ids);
        let kind = ExprKind::Property {
            object: Box::new(object),
            name: name.to_owned(),
            ids,
        };
        Ok(Expr {
            kind,
            value_type,
            span: place,
        })
    }

    fn index(&mut self, object: &Syntax, index: &Syntax, place: Span) -> Checked<Expr> {
        let (object, index) = both(self.expression(object), self.expression(index))?;
        let value_type = match &object.value_type {
            Type::List(element) => {
                let element = element.as_ref().clone();
                self.require_index(&index, &Type::Integer, "the index of a list")?;
                element
            }
            Type::Map => {
                self.require_index(&index, &Type::String, "the key of a map")?;
                Type::Any
            }
            Type::Node(_) | Type::Relationship(_) => {
                self.require_index(&index, &Type::String, "the name of a property")?;
                if let ExprKind::Literal(Value::String(name)) = &index.kind {
                    let (name, name_span) = (name.clone(), index.span);
                    return self.property(object, &name, name_span, place);
                }
                self.read_value(&object.value_type);
                Type::Any
            }
            Type::Any | Type::Null => Type::Any,
            other => {
                let message = format!("{} has no elements", types::name(other));
                return self.fail(Code::TypeMismatch, object.span, message);
            }
        };
        let kind = ExprKind::Index {
            object: Box::new(object),
            index: Box::new(index),
        };
        Ok(Expr {
            kind,
            value_type,
            span: place,
        })
    }

    /// In an open graph a wrong index is an error of the row that has it.
    fn require_index(&mut self, index: &Expr, wanted: &Type, what: &str) -> Checked<()> {
        if self.open.is_some() {
            return Ok(());
        }
        self.require(index, wanted, what)
    }

    fn slice(
        &mut self,
        object: &Syntax,
        from: Option<&Syntax>,
        to: Option<&Syntax>,
        place: Span,
    ) -> Checked<Expr> {
        let object = self.expression(object)?;
        if !matches!(object.value_type, Type::List(_) | Type::Any | Type::Null) {
            let message = format!(
                "only lists can be sliced, not {}",
                types::name(&object.value_type)
            );
            return self.fail(Code::TypeMismatch, object.span, message);
        }
        let mut bound = |syntax: Option<&Syntax>| -> Checked<Option<Box<Expr>>> {
            let Some(syntax) = syntax else {
                return Ok(None);
            };
            let bound = self.expression(syntax)?;
            self.require(&bound, &Type::Integer, "the bound of a slice")?;
            Ok(Some(Box::new(bound)))
        };
        let (from, to) = both(bound(from), bound(to))?;
        let value_type = object.value_type.clone();
        let kind = ExprKind::Slice {
            object: Box::new(object),
            from,
            to,
        };
        Ok(Expr {
            kind,
            value_type,
            span: place,
        })
    }

    fn case(&mut self, case: &CaseExpression, place: Span) -> Checked<Expr> {
        let operand = case
            .operand
            .as_ref()
            .map(|operand| self.expression(operand))
            .transpose()?;
        let mut branches = Vec::new();
        for alternative in &case.alternatives {
            let conditions = all(alternative.when.iter().map(|when| match &operand {
                Some(operand) => {
                    let operand = self.copy(operand)?;
                    let value = self.expression(when)?;
                    self.comparison(Operator::Equal, operand, value, span(when.span))
                }
                None => self.condition(when),
            }));
            let (conditions, then) = both(conditions, self.expression(&alternative.then))?;
            let condition = super::operator::balanced(Operator::Or, conditions);
            branches.extend(condition.map(|condition| (condition, then)));
        }
        let otherwise = case
            .else_expression
            .as_ref()
            .map(|other| self.expression(other))
            .transpose()?;
        let values = branches.iter().map(|(_, value)| value).chain(&otherwise);
        let parts: Vec<Type> = values.map(|value| value.value_type.clone()).collect();
        let value_type = self.join(&parts);
        let kind = ExprKind::Case {
            branches,
            otherwise: otherwise.map(Box::new),
        };
        Ok(Expr {
            kind,
            value_type,
            span: place,
        })
    }
}
