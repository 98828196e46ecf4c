//! What is different in an open graph: labels, types and properties are looked at when the
//! statement runs, and everything that is made goes into the two tables of the graph.

use std::collections::BTreeMap;

use open_cypher::ast::{
    Expr as Syntax, ExprKind as SyntaxKind, LabelExpression, LabelExpressionKind,
    RelationshipPattern,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{BinaryOperator, Expr, ExprKind, Function, SetItem, Slot, Type};
use crate::schema::{OpenTypes, PropertyId};
use crate::value::Value;

use super::compiler::{Checked, Compiler};
use super::comprehension::call;
use super::create::Given;
use super::operator::{balanced, negation};
use super::parse::span;

/// A constant.
pub(super) fn literal(value: Value, value_type: Type, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Literal(value),
        value_type,
        span,
    }
}

/// Whether an element has the labels of an expression.
pub(super) fn label_test(
    compiler: &Compiler<'_>,
    operand: &Expr,
    labels: &LabelExpression,
) -> Checked<Expr> {
    let place = span(labels.span);
    let has = |label: Option<String>| Expr {
        kind: ExprKind::HasLabel {
            operand: Box::new(operand.clone()),
            label,
        },
        value_type: Type::Boolean,
        span: place,
    };
    let several = |parts: &[LabelExpression], operator| {
        let tests: Checked<Vec<Expr>> = parts
            .iter()
            .map(|part| label_test(compiler, operand, part))
            .collect();
        match balanced(operator, tests?) {
            Some(test) => Ok(test),
            None => compiler.fail(Code::Syntax, place, "a label is missing"),
        }
    };
    match &labels.kind {
        LabelExpressionKind::Name(name) => Ok(has(Some(name.kind.text.clone()))),
        LabelExpressionKind::Wildcard => Ok(has(None)),
        LabelExpressionKind::Parenthesized(inner) => label_test(compiler, operand, inner),
        LabelExpressionKind::Not(inner) => {
            label_test(compiler, operand, inner).map(|test| negation(test, place))
        }
        LabelExpressionKind::And(parts) => several(parts, BinaryOperator::And),
        LabelExpressionKind::Or(parts) => several(parts, BinaryOperator::Or),
        _ => compiler.fail(Code::Syntax, place, "this is not a label"),
    }
}

/// The names of `:A|B`, a choice and nothing else.
pub(super) fn choice(labels: &LabelExpression) -> Option<Vec<String>> {
    match &labels.kind {
        LabelExpressionKind::Name(name) => Some(vec![name.kind.text.clone()]),
        LabelExpressionKind::Parenthesized(inner) => choice(inner),
        LabelExpressionKind::Or(parts) => {
            let names: Option<Vec<Vec<String>>> = parts.iter().map(choice).collect();
            Some(names?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// The names of `:A:B` or `:A&B`, all of which are meant.
fn all_of(labels: &LabelExpression) -> Option<Vec<String>> {
    match &labels.kind {
        LabelExpressionKind::Name(name) => Some(vec![name.kind.text.clone()]),
        LabelExpressionKind::Parenthesized(inner) => all_of(inner),
        LabelExpressionKind::And(parts) => {
            let names: Option<Vec<Vec<String>>> = parts.iter().map(all_of).collect();
            Some(names?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

impl Compiler<'_> {
    /// Labels to give or take, as a list of text.
    pub(super) fn label_list(&self, labels: Option<&LabelExpression>) -> Checked<Expr> {
        let place = labels.map_or_else(Span::default, |labels| span(labels.span));
        let names = match labels.map(all_of) {
            None => Vec::new(),
            Some(Some(names)) => names,
            Some(None) => {
                let message = "labels to give stand side by side (:A:B), without a choice";
                return self.fail(Code::InvalidValue, place, message);
            }
        };
        let mut distinct: Vec<Value> = Vec::new();
        for name in names.into_iter().map(Value::string) {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        let value_type = Type::List(Box::new(Type::String));
        Ok(literal(Value::list(distinct), value_type, place))
    }

    /// The one type of a relationship to make.
    pub(super) fn open_edge_name(&self, edge: &RelationshipPattern, place: Span) -> Checked<Expr> {
        let names = edge.labels.as_ref().and_then(choice).unwrap_or_default();
        match names.as_slice() {
            [name] => Ok(literal(Value::string(name), Type::String, place)),
            _ => {
                let message = "a new relationship has exactly one type: write -[:Type]->";
                self.fail(Code::InvalidValue, place, message)
            }
        }
    }

    /// What is given for something new: `first` and the map of its properties.
    pub(super) fn open_given(
        &mut self,
        (first_id, first): (PropertyId, Expr),
        map_id: PropertyId,
        properties: Option<&Syntax>,
    ) -> Checked<Given> {
        let mut given = vec![(first_id, first)];
        if let Some(syntax) = properties {
            let map = match &syntax.kind {
                SyntaxKind::Map(_) | SyntaxKind::Parameter(_) => self.expression(syntax)?,
                _ => {
                    let message = "the properties of something new are a map or a parameter";
                    return self.fail(Code::Syntax, span(syntax.span), message);
                }
            };
            self.require(&map, &Type::Map, "the properties of something new")?;
            given.push((map_id, map));
        }
        Ok(Given {
            properties: given,
            map: None,
        })
    }

    fn target_expr(&self, target: Slot, value_type: Type, place: Span) -> Expr {
        Expr {
            kind: ExprKind::Variable(target),
            value_type,
            span: place,
        }
    }

    /// An assignment to the map of properties.
    fn set_properties(&self, open: OpenTypes, target: Slot, value: Expr) -> SetItem {
        let ids = BTreeMap::from([
            (open.node, open.node_properties),
            (open.edge, open.edge_properties),
        ]);
        SetItem::Property { target, ids, value }
    }

    /// `x.name = value`: the properties with one entry laid over them; null takes it away.
    pub(super) fn open_assign(
        &mut self,
        open: OpenTypes,
        target: Slot,
        name: &str,
        value: Expr,
    ) -> SetItem {
        let place = value.span;
        let object = self.target_expr(target, Type::Any, place);
        let before = call(Function::Properties, vec![object], Type::Map, place);
        let entry = Expr {
            kind: ExprKind::Map(vec![(name.to_owned(), value)]),
            value_type: Type::Map,
            span: place,
        };
        let after = call(Function::Overlay, vec![before, entry], Type::Map, place);
        self.set_properties(open, target, after)
    }

    /// `x = map` and `x += map`.
    pub(super) fn open_assign_all(
        &mut self,
        open: OpenTypes,
        target: Slot,
        value: Expr,
        replace: bool,
    ) -> SetItem {
        let place = value.span;
        let new = call(Function::Assigned, vec![value], Type::Map, place);
        if replace {
            return self.set_properties(open, target, new);
        }
        let object = self.target_expr(target, Type::Any, place);
        let before = call(Function::Properties, vec![object], Type::Map, place);
        let after = call(Function::Overlay, vec![before, new], Type::Map, place);
        self.set_properties(open, target, after)
    }

    /// `SET x:A:B` and `REMOVE x:A`.
    pub(super) fn open_labels(
        &mut self,
        open: OpenTypes,
        target: Slot,
        labels: &LabelExpression,
        function: Function,
    ) -> Checked<SetItem> {
        let place = span(labels.span);
        let list = self.label_list(Some(labels))?;
        let object = self.target_expr(target, Type::Any, place);
        let list_type = Type::List(Box::new(Type::String));
        let before = call(Function::Labels, vec![object], list_type.clone(), place);
        let value = call(function, vec![before, list], list_type, place);
        let ids = BTreeMap::from([(open.node, open.labels)]);
        Ok(SetItem::Property { target, ids, value })
    }
}
