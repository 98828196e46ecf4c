//! Prefix and infix operators and the types that they take.
//!
//! Chains of AND, OR and XOR are rebuilt as balanced trees (they are associative, in three-valued
//! logic too), so that a thousand alternatives are ten levels deep and not a thousand.

use std::collections::VecDeque;

use open_cypher::ast::{BinaryOperator, Expr as Syntax, ExprKind as SyntaxKind, Node};

use crate::diagnostic::{Code, Span};
use crate::plan::{BinaryOperator as Operator, Expr, ExprKind, Type, UnaryOperator};
use crate::schema::PropertyType;
use crate::value::Value;

use super::compiler::{Checked, Compiler, all, both};
use super::parse::span;
use super::property::{constant, with_conversion};
use super::types;

impl Compiler<'_> {
    /// `a OR b OR c`: `syntax` is the outermost of them.
    pub(super) fn boolean_chain(
        &mut self,
        syntax: &Syntax,
        operator: BinaryOperator,
        checked: Operator,
        predicate: bool,
    ) -> Checked<Expr> {
        let (first, rest) = spine(syntax, |other| other == operator);
        let operands = std::iter::once(first).chain(rest.into_iter().map(|(_, right)| right));
        let what = format!("an operand of {}", symbol(checked));
        let operands = all(operands.map(|operand| {
            self.predicate = predicate;
            let operand = self.expression(operand)?;
            self.require(&operand, &Type::Boolean, &what)?;
            Ok(operand)
        }))?;
        match balanced(checked, operands) {
            Some(chain) => Ok(Expr {
                span: span(syntax.span),
                ..chain
            }),
            None => self.fail(Code::Syntax, span(syntax.span), "an operand is missing"),
        }
    }

    pub(super) fn not(&mut self, operand: &Syntax, predicate: bool, place: Span) -> Checked<Expr> {
        self.predicate = predicate;
        let operand = self.expression(operand)?;
        self.require(&operand, &Type::Boolean, "the operand of NOT")?;
        Ok(negation(operand, place))
    }

    /// `-x` and `+x`.
    pub(super) fn sign(&mut self, operand: &Syntax, negative: bool, place: Span) -> Checked<Expr> {
        if let (SyntaxKind::Literal(literal), true) = (&operand.kind, negative) {
            use open_cypher::ast::LiteralKind::{Float, Integer};
            if matches!(literal.kind, Integer(_) | Float(_)) {
                return self.literal(literal, Some(place));
            }
        }
        let operand = self.expression(operand)?;
        let name = if negative {
            "the operand of -"
        } else {
            "the operand of +"
        };
        if operand.value_type != Type::Duration {
            self.require(&operand, &Type::Number, name)?;
        }
        if !negative {
            return Ok(Expr {
                span: place,
                ..operand
            });
        }
        let value_type = operand.value_type.clone();
        let kind = ExprKind::Unary {
            operator: UnaryOperator::Negate,
            operand: Box::new(operand),
        };
        Ok(Expr {
            kind,
            value_type,
            span: place,
        })
    }

    /// Everything infix that is not boolean.
    pub(super) fn infix(&mut self, syntax: &Syntax) -> Checked<Expr> {
        let SyntaxKind::Binary {
            left,
            operator,
            right,
        } = &syntax.kind
        else {
            return self.fail(Code::Syntax, span(syntax.span), "an operator is missing");
        };
        if comparison_operator(operator.kind).is_some() {
            return self.comparison_chain(syntax);
        }
        let place = span(syntax.span);
        let arithmetic = match operator.kind {
            BinaryOperator::RegexMatch => Operator::Matches,
            BinaryOperator::Concat => Operator::Add,
            BinaryOperator::In => {
                let (left, right) = both(self.expression(left), self.expression(right))?;
                return self.membership(left, right, place);
            }
            BinaryOperator::StartsWith => Operator::StartsWith,
            BinaryOperator::EndsWith => Operator::EndsWith,
            BinaryOperator::Contains => Operator::Contains,
            BinaryOperator::Add => Operator::Add,
            BinaryOperator::Subtract => Operator::Subtract,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Remainder => Operator::Remainder,
            BinaryOperator::Power => Operator::Power,
            _ => return self.unsupported(span(operator.span), "this operator"),
        };
        let (left, right) = both(self.expression(left), self.expression(right))?;
        match arithmetic {
            Operator::StartsWith | Operator::EndsWith | Operator::Contains
                if self.open.is_some() =>
            {
                Ok(binary(arithmetic, left, right, Type::Boolean, place))
            }
            Operator::StartsWith | Operator::EndsWith | Operator::Contains | Operator::Matches => {
                let what = format!("an operand of {}", symbol(arithmetic));
                let checks = [&left, &right].map(|side| self.require(side, &Type::String, &what));
                all(checks)?;
                Ok(binary(arithmetic, left, right, Type::Boolean, place))
            }
            Operator::Add => self.addition(left, right, place),
            other => self.arithmetic(other, left, right, place),
        }
    }

    /// `a < b <= c` is `a < b AND b <= c`.
    fn comparison_chain(&mut self, syntax: &Syntax) -> Checked<Expr> {
        let (first, rest) = spine(syntax, |operator| comparison_operator(operator).is_some());
        let operators: Vec<_> = rest
            .iter()
            .filter_map(|(operator, _)| comparison_operator(operator.kind))
            .collect();
        let operands = std::iter::once(first).chain(rest.iter().map(|(_, right)| *right));
        let operands = all(operands.map(|operand| self.expression(operand)))?;
        let last = operators.len();
        let mut comparisons = Vec::with_capacity(last);
        let mut operands = operands.into_iter();
        let mut left = operands.next();
        for (index, (operator, right)) in operators.into_iter().zip(operands).enumerate() {
            let again = if index + 1 < last {
                Some(self.copy(&right)?)
            } else {
                None
            };
            if let Some(left) = left {
                let place = Span::new(left.span.start, right.span.end);
                comparisons.push(self.comparison(operator, left, right, place));
            }
            left = again;
        }
        match balanced(Operator::And, all(comparisons)?) {
            Some(chain) => Ok(Expr {
                span: span(syntax.span),
                ..chain
            }),
            None => self.fail(Code::Syntax, span(syntax.span), "an operand is missing"),
        }
    }

    /// One comparison. Values that can never be equal or ordered are an error: the answer would
    /// be `false` or null on every row, which is hardly ever what was meant.
    pub(super) fn comparison(
        &mut self,
        operator: Operator,
        left: Expr,
        right: Expr,
        place: Span,
    ) -> Checked<Expr> {
        self.ask_compared(&left, &right.value_type);
        self.ask_compared(&right, &left.value_type);
        let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        if self.open.is_some() {
            return Ok(binary(operator, left, right, Type::Boolean, place));
        }
        if !types::comparable(&left.value_type, &right.value_type) {
            return Err(vec![self.incomparable(
                &left,
                &right,
                symbol(operator),
                place,
            )]);
        }
        if !equality {
            let unordered = [&left, &right]
                .into_iter()
                .find(|side| !types::ordered(&side.value_type));
            if let Some(side) = unordered {
                let message = format!(
                    "{} has no order: {} means nothing",
                    types::name(&side.value_type),
                    symbol(operator)
                );
                return self.fail(Code::TypeMismatch, side.span, message);
            }
        }
        if equality {
            self.known_name(&left, &right)?;
            self.known_name(&right, &left)?;
        }
        Ok(binary(operator, left, right, Type::Boolean, place))
    }

    fn ask_compared(&mut self, side: &Expr, other: &Type) {
        let wanted = if types::is_number(other) {
            &Type::Number
        } else {
            other
        };
        self.ask(side, wanted);
    }

    fn incomparable(
        &self,
        left: &Expr,
        right: &Expr,
        symbol: &str,
        place: Span,
    ) -> crate::Diagnostic {
        let message = format!(
            "{} and {} cannot be compared with {symbol}",
            types::name(&left.value_type),
            types::name(&right.value_type)
        );
        let finding = self.finding(Code::TypeMismatch, place, message);
        let finding = with_conversion(finding, &left.value_type, right);
        with_conversion(finding, &right.value_type, left)
    }

    /// A property of an enum compared with a text that the enum does not have.
    fn known_name(&self, property: &Expr, text: &Expr) -> Checked<()> {
        let (ExprKind::Property { ids, name, .. }, Some(value @ Value::String(_))) =
            (&property.kind, constant(text))
        else {
            return Ok(());
        };
        let mut refused = None;
        for type_id in ids.keys() {
            let Some(declared) = self.property_of(*type_id, name) else {
                continue;
            };
            let enumeration = matches!(declared.value_type, PropertyType::Enum(_));
            match declared.value_type.accept(value.clone()) {
                Err(reason) if enumeration => refused = Some(reason),
                // One type that could hold the value is enough.
                _ => return Ok(()),
            }
        }
        match refused {
            Some(reason) => Err(vec![self.not_accepted(name, text.span, reason)]),
            None => Ok(()),
        }
    }

    fn membership(&mut self, left: Expr, right: Expr, place: Span) -> Checked<Expr> {
        if !left_open(&left) {
            let element = left.value_type.clone();
            let wanted = if types::is_number(&element) {
                Type::Number
            } else {
                element
            };
            self.ask(&right, &Type::List(Box::new(wanted)));
        } else {
            self.ask(&right, &Type::List(Box::new(Type::Any)));
        }
        match &right.value_type {
            Type::List(element) => {
                self.ask_compared(&left, element);
                if self.open.is_none() && !types::comparable(&left.value_type, element) {
                    let finding = self.incomparable(&left, &right, "IN", place);
                    return Err(vec![finding]);
                }
                if let ExprKind::List(items) = &right.kind {
                    all(items.iter().map(|item| self.known_name(&left, item)))?;
                    items
                        .iter()
                        .for_each(|item| self.ask_compared(item, &left.value_type));
                }
            }
            Type::Any | Type::Null => {}
            other => {
                let message = format!("IN needs a list on its right, not {}", types::name(other));
                return self.fail(Code::TypeMismatch, right.span, message);
            }
        }
        Ok(binary(Operator::In, left, right, Type::Boolean, place))
    }

    /// `+` adds numbers and joins texts and lists.
    fn addition(&mut self, left: Expr, right: Expr, place: Span) -> Checked<Expr> {
        let value_type = match (&left.value_type, &right.value_type) {
            (Type::List(a), Type::List(b)) => {
                Type::List(Box::new(self.join([a.as_ref(), b.as_ref()])))
            }
            (Type::List(a), b) => {
                let b = b.clone();
                Type::List(Box::new(self.join([a.as_ref(), &b])))
            }
            (a, Type::List(b)) => Type::List(Box::new(self.join([a, b.as_ref()]))),
            (a, b) if types::is_open(a) || types::is_open(b) => {
                let known = if types::is_open(a) { b } else { a };
                let addable = types::is_open(known)
                    || types::is_number(known)
                    || types::is_temporal(known)
                    || *known == Type::String;
                if !addable && self.open.is_none() {
                    return Err(vec![self.not_added(&left, &right, place)]);
                }
                Type::Any
            }
            (a, b) if types::is_number(a) && types::is_number(b) => numeric(a, b),
            (Type::String, Type::String) => Type::String,
            (Type::Duration, Type::Duration) => Type::Duration,
            (time, Type::Duration) | (Type::Duration, time) if types::is_temporal(time) => {
                time.clone()
            }
            (Type::String, _) | (_, Type::String) if self.open.is_some() => Type::String,
            _ if self.open.is_some() => Type::Any,
            _ => return Err(vec![self.not_added(&left, &right, place)]),
        };
        Ok(binary(Operator::Add, left, right, value_type, place))
    }

    fn not_added(&self, left: &Expr, right: &Expr, place: Span) -> crate::Diagnostic {
        let (a, b) = (&left.value_type, &right.value_type);
        let message = format!("{} and {} cannot be added", types::name(a), types::name(b));
        let finding = self.finding(Code::TypeMismatch, place, message);
        let text = match (a, b) {
            (Type::String, other) if !matches!(other, Type::Node(_) | Type::Relationship(_)) => {
                right
            }
            (other, Type::String) if !matches!(other, Type::Node(_) | Type::Relationship(_)) => {
                left
            }
            _ => return finding,
        };
        let suggestion = Some(format!("toString({})", self.source(text.span)));
        crate::Diagnostic {
            suggestion,
            ..finding
        }
    }

    fn arithmetic(
        &mut self,
        operator: Operator,
        left: Expr,
        right: Expr,
        place: Span,
    ) -> Checked<Expr> {
        let what = format!("an operand of {}", symbol(operator));
        let (a, b) = (&left.value_type, &right.value_type);
        let time = match operator {
            Operator::Subtract if types::is_temporal(a) && fits_duration(b) => Some(a.clone()),
            Operator::Multiply if *a == Type::Duration || *b == Type::Duration => {
                Some(Type::Duration)
            }
            Operator::Divide if *a == Type::Duration => Some(Type::Duration),
            Operator::Subtract if types::is_open(a) && *b == Type::Duration => Some(Type::Any),
            _ => None,
        };
        if let Some(value_type) = time {
            return Ok(binary(operator, left, right, value_type, place));
        }
        let checks = [&left, &right].map(|side| self.require(side, &Type::Number, &what));
        all(checks)?;
        let value_type = match operator {
            // In a closed graph no property is an amount of time.
            _ if self.open.is_some()
                && [&left, &right]
                    .iter()
                    .any(|side| types::is_open(&side.value_type)) =>
            {
                Type::Any
            }
            Operator::Power => Type::Float,
            _ => numeric(&left.value_type, &right.value_type),
        };
        Ok(binary(operator, left, right, value_type, place))
    }
}

const fn left_open(expr: &Expr) -> bool {
    types::is_open(&expr.value_type)
}

/// Whether it may be an amount of time.
fn fits_duration(value_type: &Type) -> bool {
    types::is_open(value_type) || *value_type == Type::Duration
}

fn numeric(left: &Type, right: &Type) -> Type {
    match (left, right) {
        (Type::Integer, Type::Integer) => Type::Integer,
        (Type::Float, other) | (other, Type::Float) if types::is_number(other) => Type::Float,
        _ => Type::Number,
    }
}

/// The operands of a chain of infix operators that all satisfy `part`, from the left.
fn spine(
    syntax: &Syntax,
    part: impl Fn(BinaryOperator) -> bool,
) -> (&Syntax, VecDeque<(&Node<BinaryOperator>, &Syntax)>) {
    let mut first = syntax;
    let mut rest = VecDeque::new();
    while let SyntaxKind::Binary {
        left,
        operator,
        right,
    } = &first.kind
    {
        if !part(operator.kind) {
            break;
        }
        rest.push_front((operator, right.as_ref()));
        first = left;
    }
    (first, rest)
}

/// `operands` joined by an associative operator as a tree of logarithmic depth; absent when there
/// are none.
pub(super) fn balanced(operator: Operator, mut operands: Vec<Expr>) -> Option<Expr> {
    if operands.len() <= 1 {
        return operands.pop();
    }
    let right = operands.split_off(operands.len().div_ceil(2));
    let left = balanced(operator, operands)?;
    let right = balanced(operator, right)?;
    let place = Span::new(
        left.span.start.min(right.span.start),
        left.span.end.max(right.span.end),
    );
    Some(binary(operator, left, right, Type::Boolean, place))
}

/// An infix expression.
pub(super) fn binary(
    operator: Operator,
    left: Expr,
    right: Expr,
    value_type: Type,
    span: Span,
) -> Expr {
    let kind = ExprKind::Binary {
        operator,
        left: Box::new(left),
        right: Box::new(right),
    };
    Expr {
        kind,
        value_type,
        span,
    }
}

/// `NOT operand`.
pub(super) fn negation(operand: Expr, span: Span) -> Expr {
    let kind = ExprKind::Unary {
        operator: UnaryOperator::Not,
        operand: Box::new(operand),
    };
    Expr {
        kind,
        value_type: Type::Boolean,
        span,
    }
}

const fn comparison_operator(operator: BinaryOperator) -> Option<Operator> {
    Some(match operator {
        BinaryOperator::Equal => Operator::Equal,
        BinaryOperator::NotEqual => Operator::NotEqual,
        BinaryOperator::Less => Operator::Less,
        BinaryOperator::LessEqual => Operator::LessEqual,
        BinaryOperator::Greater => Operator::Greater,
        BinaryOperator::GreaterEqual => Operator::GreaterEqual,
        _ => return None,
    })
}

/// The operator as it is written.
pub(super) const fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Or => "OR",
        Operator::Xor => "XOR",
        Operator::And => "AND",
        Operator::Equal => "=",
        Operator::NotEqual => "<>",
        Operator::Less => "<",
        Operator::LessEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterEqual => ">=",
        Operator::In => "IN",
        Operator::StartsWith => "STARTS WITH",
        Operator::EndsWith => "ENDS WITH",
        Operator::Contains => "CONTAINS",
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Remainder => "%",
        Operator::Power => "^",
        Operator::Matches => "=~",
    }
}
