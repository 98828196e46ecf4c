//! Properties by name: which property of which type, what it holds, what may be put into it.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::plan::{Expr, ExprKind, Type};
use crate::schema::{InvalidValue, Property, PropertyId, TypeId};
use crate::value::Value;

use super::compiler::{Checked, Compiler};
use super::types;

/// A property name resolved on a set of types.
pub(super) struct Resolved {
    /// Types without the property are not in here.
    pub(super) ids: BTreeMap<TypeId, PropertyId>,
    /// What is known of its value.
    pub(super) value_type: Type,
}

impl<'a> Compiler<'a> {
    /// The property of one type.
    pub(super) fn property_of(&self, type_id: TypeId, name: &str) -> Option<&'a Property> {
        self.schema.property_named(type_id, name)
    }

    /// Resolves `name`; that none of some types has it is an error.
    pub(super) fn resolve(
        &self,
        types: &BTreeSet<TypeId>,
        name: &str,
        span: Span,
    ) -> Checked<Resolved> {
        let found = self.find(types, name);
        if found.ids.is_empty() && !types.is_empty() {
            return Err(vec![self.no_property(types, name, span)]);
        }
        Ok(found)
    }

    /// Resolves `name` on those of `types` that have it, which may be none.
    pub(super) fn find(&self, types: &BTreeSet<TypeId>, name: &str) -> Resolved {
        // Looking a name up takes several times as long as looking at a type.
        self.spend(8 * types.len());
        let properties = types.iter().filter_map(|type_id| {
            self.property_of(*type_id, name)
                .map(|found| (*type_id, found))
        });
        let mut resolved = Resolved {
            ids: BTreeMap::new(),
            value_type: Type::Null,
        };
        for (type_id, property) in properties {
            resolved.ids.insert(type_id, property.id);
            let value_type = types::of_property(&property.value_type);
            resolved.value_type = types::join(&resolved.value_type, &value_type);
        }
        resolved
    }

    fn no_property(&self, types: &BTreeSet<TypeId>, name: &str, span: Span) -> Diagnostic {
        let message = match types.len() {
            1 => format!("{} has no property `{name}`", self.type_names(types)),
            _ => match self.type_names(types).as_str() {
                "anything" => format!("no type has a property `{name}`"),
                names => format!("none of the possible types has a property `{name}`: {names}"),
            },
        };
        let known = types
            .iter()
            .flat_map(|type_id| self.schema.properties(*type_id).unwrap_or_default())
            .map(|property| property.name.as_str());
        self.finding(Code::UnknownProperty, span, message)
            .suggest(name, known)
    }

    /// Checks that `value` may be put into a property, as far as can be known before it runs.
    pub(super) fn assignable(
        &mut self,
        type_id: TypeId,
        property: &Property,
        value: &Expr,
    ) -> Checked<()> {
        let wanted = types::of_property(&property.value_type);
        self.ask(value, &wanted);
        let owner = self.schema.type_name(type_id).unwrap_or_default();
        if matches!(value.kind, ExprKind::Literal(Value::Null)) && !property.nullable {
            let message = format!(
                "`{owner}.{}` must have a value: it cannot be null",
                property.name
            );
            return self.fail(Code::MissingProperty, value.span, message);
        }
        if !types::fits(&value.value_type, &wanted) {
            let message = format!(
                "`{owner}.{}` takes {}, not {}",
                property.name,
                types::name(&wanted),
                types::name(&value.value_type)
            );
            let finding = self.finding(Code::TypeMismatch, value.span, message);
            return Err(vec![with_conversion(finding, &wanted, value)]);
        }
        match constant(value).map(|constant| property.accept(constant)) {
            Some(Err(reason)) => Err(vec![self.not_accepted(
                &format!("{owner}.{}", property.name),
                value.span,
                reason,
            )]),
            _ => Ok(()),
        }
    }

    /// Why a constant may not stand in a property.
    pub(super) fn not_accepted(&self, name: &str, place: Span, reason: InvalidValue) -> Diagnostic {
        let finding = self.finding(Code::InvalidValue, place, format!("`{name}`: {reason}"));
        match reason {
            InvalidValue::NotInEnum {
                expected,
                found,
                suggestion,
            } => {
                let message = format!("`{name}`: expected one of {expected}, got {found}");
                Diagnostic {
                    message,
                    suggestion,
                    ..finding
                }
            }
            _ => finding,
        }
    }

    /// Notes the type that a use of a parameter asks for.
    pub(super) fn ask(&mut self, expr: &Expr, wanted: &Type) {
        let ExprKind::Parameter(name) = &expr.kind else {
            return;
        };
        if matches!(
            wanted,
            Type::Null | Type::Any | Type::Node(_) | Type::Relationship(_) | Type::Path
        ) {
            return;
        }
        let entry = self.parameters.entry(name.clone()).or_default();
        *entry = Some(match entry.as_ref() {
            Some(asked) => types::join(asked, wanted),
            None => wanted.clone(),
        });
    }
}

/// The value of an expression that is the same in every row, as far as that shows.
pub(super) fn constant(expr: &Expr) -> Option<Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value.clone()),
        ExprKind::List(items) => {
            let items: Option<Vec<Value>> = items.iter().map(constant).collect();
            items.map(Value::list)
        }
        _ => None,
    }
}

/// Says how to write a date where text stands for one.
pub(super) fn with_conversion(finding: Diagnostic, wanted: &Type, value: &Expr) -> Diagnostic {
    let function = match wanted {
        Type::Date => "date",
        Type::DateTime => "datetime",
        _ => return finding,
    };
    match &value.kind {
        ExprKind::Literal(Value::String(text)) => {
            let quoted = text.replace('\\', "\\\\").replace('\'', "\\'");
            Diagnostic {
                suggestion: Some(format!("{function}('{quoted}')")),
                ..finding
            }
        }
        _ => finding,
    }
}
