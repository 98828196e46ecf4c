//! `SET`, `REMOVE` and `DELETE`.

use std::collections::{BTreeMap, BTreeSet};

use open_cypher::ast::{
    DeleteClause, DeleteMode, Expr as Syntax, ExprKind as SyntaxKind, LabelExpression, MapEntry,
    Name, RemoveClause, RemoveItemKind, SetItem as SetSyntax, SetItemKind,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{Delete, Expr, ExprKind, Function, SetItem, Slot, Type};
use crate::schema::{Property, PropertyId, TypeId};
use crate::value::Value;

use super::compiler::{Checked, Compiler, all};
use super::comprehension::call;
use super::labels::Element;
use super::open::literal;
use super::parse::span;
use super::{types, walk};

/// What is assigned to.
struct Target {
    slot: Slot,
    types: BTreeSet<TypeId>,
}

impl Compiler<'_> {
    /// Checks the items of a `SET`.
    pub(super) fn assignments(&mut self, items: &[SetSyntax]) -> Checked<Vec<SetItem>> {
        let lists = all(items.iter().map(|item| self.assignment(item)))?;
        Ok(lists.into_iter().flatten().collect())
    }

    fn assignment(&mut self, item: &SetSyntax) -> Checked<Vec<SetItem>> {
        match &item.kind {
            SetItemKind::Property { target, value } => {
                if let SyntaxKind::Index { expression, index } = &target.kind {
                    return self.assign_entry(expression, index, Some(value));
                }
                let (target, name) = self.assigned_property(target)?;
                let value = self.expression(value)?;
                Ok(vec![self.assign_one(&target, name, value)?])
            }
            SetItemKind::ReplaceProperties { target, value } => {
                self.assign_all(target, value, true)
            }
            SetItemKind::MergeProperties { target, value } => self.assign_all(target, value, false),
            SetItemKind::Labels { target, labels } => {
                self.labels_changed(target, labels, Function::WithLabels)
            }
            _ => self.unsupported(span(item.span), "this assignment"),
        }
    }

    /// Checks a `REMOVE`.
    pub(super) fn remove(&mut self, clause: &RemoveClause) -> Checked<Vec<SetItem>> {
        let lists = all(clause.items.iter().map(|item| match &item.kind {
            RemoveItemKind::Property(Syntax {
                kind: SyntaxKind::Index { expression, index },
                ..
            }) => self.assign_entry(expression, index, None),
            RemoveItemKind::Property(property) => {
                let (target, name) = self.assigned_property(property)?;
                let place = span(item.span);
                let kind = ExprKind::Literal(Value::Null);
                let null = Expr {
                    kind,
                    value_type: Type::Null,
                    span: place,
                };
                Ok(vec![self.assign_one(&target, name, null)?])
            }
            RemoveItemKind::Labels { target, labels } => {
                self.labels_changed(target, labels, Function::WithoutLabels)
            }
            _ => self.unsupported(span(item.span), "this removal"),
        }))?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// Checks a `DELETE`.
    pub(super) fn delete(&mut self, clause: &DeleteClause) -> Checked<Delete> {
        let detach = clause.mode.kind == DeleteMode::Detach;
        let expressions = all(clause.expressions.iter().map(|syntax| {
            let expr = self.expression(syntax)?;
            let types = match &expr.value_type {
                Type::Node(_) | Type::Relationship(_) | Type::Path => {
                    self.graph_types(&expr.value_type)
                }
                Type::Any => self.hidden.clone(),
                Type::Null => BTreeSet::new(),
                Type::Boolean
                    if matches!(
                        expr.kind,
                        ExprKind::HasType { .. } | ExprKind::HasLabel { .. }
                    ) =>
                {
                    let message = "a label cannot be deleted";
                    return self.fail(Code::TypeMismatch, expr.span, message);
                }
                other => {
                    let message = format!(
                        "DELETE takes nodes, relationships and paths, not {}",
                        types::name(other)
                    );
                    return self.fail(Code::TypeMismatch, expr.span, message);
                }
            };
            self.write_types(&types);
            if detach {
                self.write_detached(&types);
            }
            Ok(expr)
        }))?;
        Ok(Delete {
            detach,
            expressions,
        })
    }

    /// `x[name] = value`, with a name that is computed; without a value it is taken away.
    fn assign_entry(
        &mut self,
        owner: &Syntax,
        name: &Syntax,
        value: Option<&Syntax>,
    ) -> Checked<Vec<SetItem>> {
        let target = self.owner(owner)?;
        let name = self.expression(name)?;
        self.require(&name, &Type::String, "the name of a property")?;
        let place = name.span;
        let value = match value {
            Some(value) => self.expression(value)?,
            None => literal(Value::Null, Type::Null, place),
        };
        self.hide(&value.value_type.clone());
        let entry = call(Function::Entry, vec![name, value], Type::Map, place);
        self.write_whole(&target.types);
        if let Some(open) = self.open {
            let item = self.open_assign_all(open, target.slot, entry, false);
            return Ok(vec![item]);
        }
        Ok(vec![SetItem::Properties {
            target: target.slot,
            replace: false,
            value: entry,
        }])
    }

    /// The variable and the property of `x.name`.
    fn assigned_property<'q>(&mut self, syntax: &'q Syntax) -> Checked<(Target, &'q Name)> {
        let SyntaxKind::Property { expression, key } = &syntax.kind else {
            return self.unsupported(
                span(syntax.span),
                "an assignment to anything but `variable.property`",
            );
        };
        Ok((self.owner(expression)?, key))
    }

    /// The variable that is assigned to.
    fn owner(&mut self, expression: &Syntax) -> Checked<Target> {
        let mut owner = expression;
        while let SyntaxKind::Parenthesized(inner) = &owner.kind {
            owner = inner;
        }
        let SyntaxKind::Variable(name) = &owner.kind else {
            return self.unsupported(
                span(owner.span),
                "an assignment to anything but `variable.property`",
            );
        };
        self.target(name)
    }

    fn target(&mut self, name: &Name) -> Checked<Target> {
        let text = &name.kind.text;
        let Some(variable) = self.scope.get(text) else {
            return self.unknown_variable(name);
        };
        let slot = variable.slot;
        let types = match &variable.value_type {
            Type::Node(types) | Type::Relationship(types) => types.clone(),
            Type::Any => self.hidden.clone(),
            Type::Null => BTreeSet::new(),
            other => {
                let message = format!(
                    "`{text}` is {}: only nodes and relationships are assigned to",
                    types::name(other)
                );
                return self.fail(Code::TypeMismatch, span(name.span), message);
            }
        };
        Ok(Target { slot, types })
    }

    /// One property gets a value, or is taken away with null.
    fn assign_one(&mut self, target: &Target, name: &Name, value: Expr) -> Checked<SetItem> {
        if let Some(open) = self.open {
            self.write_whole(&target.types);
            return Ok(self.open_assign(open, target.slot, &name.kind.text, value));
        }
        self.assign(target, &name.kind.text, span(name.span), value)
    }

    /// One property, on those of the possible types that have it.
    fn assign(
        &mut self,
        target: &Target,
        name: &str,
        name_span: Span,
        value: Expr,
    ) -> Checked<SetItem> {
        for type_id in &target.types {
            self.not_a_key(*type_id, name, name_span)?;
        }
        self.assign_entry_of(target, name, name_span, value)
    }

    /// The same for an entry of a map, which may name the key as long as it stays what it is.
    fn assign_entry_of(
        &mut self,
        target: &Target,
        name: &str,
        name_span: Span,
        value: Expr,
    ) -> Checked<SetItem> {
        let resolved = self.resolve(&target.types, name, name_span)?;
        for type_id in resolved.ids.keys() {
            if let Some(property) = self.property_of(*type_id, name) {
                self.assignable(*type_id, property, &value)?;
            }
        }
        self.write_properties(&resolved.ids);
        Ok(SetItem::Property {
            target: target.slot,
            ids: resolved.ids,
            value,
        })
    }

    fn is_in_key(&self, type_id: TypeId, name: &str) -> bool {
        let node_type = self.schema.node_type(type_id);
        node_type.is_some_and(|node_type| {
            let property = node_type.property(name);
            property.is_some_and(|property| node_type.key.contains(&property.id))
        })
    }

    fn not_a_key(&self, type_id: TypeId, name: &str, place: Span) -> Checked<()> {
        let Some(node_type) = self
            .schema
            .node_type(type_id)
            .filter(|_| self.is_in_key(type_id, name))
        else {
            return Ok(());
        };
        let message = format!(
            "`{name}` is in the key of {}, which a node keeps for life: delete the node and create another",
            node_type.name
        );
        self.fail(Code::Unsupported, place, message)
    }

    /// `x = map` and `x += map`.
    fn assign_all(
        &mut self,
        target: &Name,
        value: &Syntax,
        replace: bool,
    ) -> Checked<Vec<SetItem>> {
        let target = self.target(target)?;
        if let SyntaxKind::Map(entries) = &value.kind
            && self.open.is_none()
        {
            return self.assign_literal(&target, entries, replace, span(value.span));
        }
        let value = self.expression(value)?;
        match &value.value_type {
            Type::Map | Type::Any | Type::Null => {}
            Type::Node(_) | Type::Relationship(_) => self.read_value(&value.value_type.clone()),
            other => {
                let message = format!(
                    "properties come from a map, a node or a relationship, not {}",
                    types::name(other)
                );
                return self.fail(Code::TypeMismatch, value.span, message);
            }
        }
        self.ask(&value, &Type::Map);
        self.write_whole(&target.types);
        if let Some(open) = self.open {
            return Ok(vec![self.open_assign_all(
                open,
                target.slot,
                value,
                replace,
            )]);
        }
        Ok(vec![SetItem::Properties {
            target: target.slot,
            replace,
            value,
        }])
    }

    /// A map whose names are known is checked here, and becomes single assignments unless one of
    /// its values reads the graph: they are all computed before any is assigned.
    fn assign_literal(
        &mut self,
        target: &Target,
        entries: &[MapEntry],
        replace: bool,
        place: Span,
    ) -> Checked<Vec<SetItem>> {
        let entries = self.entries(entries)?;
        let names: Vec<String> = entries
            .iter()
            .map(|(key, _)| key.kind.text.clone())
            .collect();
        // Whether a key stays what it is, is seen when it runs.
        let has_key = |name: &str| {
            target
                .types
                .iter()
                .any(|type_id| self.is_in_key(*type_id, name))
        };
        let reads = entries.iter().any(|(_, value)| self.reads_graph(value));
        let at_once = reads || names.iter().any(|name| has_key(name));
        let map = entries
            .iter()
            .map(|(key, value)| (key.kind.text.clone(), value.clone()))
            .collect();
        let mut items = all(entries.into_iter().map(|(key, value)| {
            self.assign_entry_of(target, &key.kind.text, span(key.span), value)
        }))?;
        if replace {
            items.extend(self.emptied(target, &names, place)?);
        }
        if !at_once {
            return Ok(items);
        }
        let value = Expr {
            kind: ExprKind::Map(map),
            value_type: Type::Map,
            span: place,
        };
        Ok(vec![SetItem::Properties {
            target: target.slot,
            replace,
            value,
        }])
    }

    /// What `x = {...}` takes away: every property that it does not name, but not the key.
    fn emptied(&mut self, target: &Target, named: &[String], place: Span) -> Checked<Vec<SetItem>> {
        let mut others: BTreeMap<&str, BTreeMap<TypeId, PropertyId>> = BTreeMap::new();
        for type_id in &target.types {
            let key = self
                .schema
                .node_type(*type_id)
                .map_or(&[] as &[PropertyId], |node_type| &node_type.key);
            let kept = |property: &&Property| {
                !key.contains(&property.id) && !named.contains(&property.name)
            };
            for property in self
                .schema
                .properties(*type_id)
                .unwrap_or_default()
                .iter()
                .filter(kept)
            {
                if !property.nullable {
                    let owner = self.schema.type_name(*type_id).unwrap_or_default();
                    let message = format!(
                        "`{owner}.{}` must have a value, and = would remove it: name it, or use +=",
                        property.name
                    );
                    return self.fail(Code::MissingProperty, place, message);
                }
                others
                    .entry(&property.name)
                    .or_default()
                    .insert(*type_id, property.id);
            }
        }
        let items = others.into_values().map(|ids| {
            self.write_properties(&ids);
            let kind = ExprKind::Literal(Value::Null);
            let value = Expr {
                kind,
                value_type: Type::Null,
                span: place,
            };
            SetItem::Property {
                target: target.slot,
                ids,
                value,
            }
        });
        Ok(items.collect())
    }

    /// Whether a value may change when a property is assigned.
    fn reads_graph(&self, value: &Expr) -> bool {
        walk::any(value, &mut |part| match (&part.kind, &part.value_type) {
            (ExprKind::Variable(_), Type::Any | Type::Map) => !self.hidden.is_empty(),
            (ExprKind::Variable(_), Type::List(element)) if **element == Type::Any => {
                !self.hidden.is_empty()
            }
            (ExprKind::Variable(_), value_type) => !self.graph_types(value_type).is_empty(),
            _ => false,
        })
    }

    /// In a closed graph labels are fixed by the type.
    fn labels_changed(
        &mut self,
        target: &Name,
        labels: &LabelExpression,
        function: Function,
    ) -> Checked<Vec<SetItem>> {
        let target = self.target(target)?;
        if let Some(open) = self.open {
            self.write_whole(&BTreeSet::from([open.node]));
            return Ok(vec![self.open_labels(
                open,
                target.slot,
                labels,
                function,
            )?]);
        }
        self.satisfying(labels, Element::Node)?;
        let message = "in a closed graph a node keeps its type, and so its labels, for life";
        self.fail(Code::InvalidValue, span(labels.span), message)
    }
}
