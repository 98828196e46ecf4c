//! What the names of a schema mean: its own types, and the types of properties.
//!
//! Interfaces, node types and edge types share one namespace, in which `person` beside `Person` is
//! a mistake: labels that differ by case alone are confused sooner or later. `String` as the type
//! of a property is looked up here as well.

use rustc_hash::{FxHashMap, FxHashSet};

use super::constraints::Context;
use super::findings::Findings;
use super::lexer::MAX_WORD;
use super::model::{PropertyType, TypeId};
use super::syntax::{Declaration, DeclarationKind, Document, Name, TypeExpression, TypeKind};
use crate::diagnostic::{Code, Span};

/// Most values of one enum.
pub const MAX_ENUM_VALUES: usize = 4_096;

const TYPES: [&str; 13] = [
    "String", "Bool", "I32", "I64", "U32", "U64", "F32", "F64", "Date", "DateTime", "Vector",
    "Blob", "enum",
];

/// What other languages call our types.
const OTHER_NAMES: [(&str, &str); 14] = [
    ("int", "I64"),
    ("integer", "I64"),
    ("long", "I64"),
    ("uint", "U64"),
    ("float", "F64"),
    ("double", "F64"),
    ("number", "F64"),
    ("decimal", "F64"),
    ("boolean", "Bool"),
    ("text", "String"),
    ("varchar", "String"),
    ("timestamp", "DateTime"),
    ("time", "DateTime"),
    ("list", "[String]"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Interface,
    Node(TypeId),
    Edge(TypeId),
}

impl Declared {
    const fn noun(self) -> &'static str {
        match self {
            Self::Interface => "an interface",
            Self::Node(_) => "a node type",
            Self::Edge(_) => "an edge type",
        }
    }
}

/// The types of a schema by name.
pub(super) struct Names<'a> {
    by_name: FxHashMap<&'a str, Declared>,
    /// In order of declaration, for suggestions that do not change from run to run.
    in_order: Vec<(&'a str, Declared)>,
    /// The declarations that count, each with what it is: not those of a taken name.
    pub(super) declarations: Vec<(&'a Declaration, Declared)>,
    pub(super) next_type_id: u32,
}

impl<'a> Names<'a> {
    /// Gives node and edge types their ids, from 1, in order of declaration.
    pub(super) fn of(document: &'a Document, findings: &mut Findings<'_>) -> Self {
        let mut names = Self {
            by_name: FxHashMap::default(),
            in_order: Vec::new(),
            declarations: Vec::new(),
            next_type_id: 1,
        };
        let mut taken: FxHashMap<String, &str> = FxHashMap::default();
        for declaration in &document.declarations {
            let Name { text, span } = &declaration.name;
            if text.starts_with('_') {
                reserved(text, *span, findings);
            }
            if let Some(first) = taken.insert(text.to_lowercase(), text) {
                let message = if first == text {
                    format!("`{text}` is declared twice")
                } else {
                    format!("`{text}` differs from `{first}` only in upper and lower case")
                };
                findings.add(Code::DuplicateName, *span, message);
                continue;
            }
            let id = TypeId(names.next_type_id);
            let declared = match declaration.kind {
                DeclarationKind::Interface => Declared::Interface,
                DeclarationKind::Node { .. } => Declared::Node(id),
                DeclarationKind::Edge { .. } => Declared::Edge(id),
            };
            names.next_type_id += u32::from(declared != Declared::Interface);
            names.by_name.insert(text, declared);
            names.in_order.push((text, declared));
            names.declarations.push((declaration, declared));
        }
        names
    }

    /// The node type that an edge names as one of its ends.
    pub(super) fn end(&self, name: &Name, findings: &mut Findings<'_>) -> Option<TypeId> {
        let text = &name.text;
        match self.by_name.get(text.as_str()) {
            Some(Declared::Node(id)) => return Some(*id),
            Some(Declared::Interface) => {
                let message = format!(
                    "`{text}` is an interface; an edge between interfaces is not supported yet, \
                     only between one node type and one node type"
                );
                findings.add(Code::Unsupported, name.span, message);
            }
            Some(Declared::Edge(_)) => {
                let message = format!("`{text}` is an edge type; an edge joins node types");
                findings.add(Code::TypeMismatch, name.span, message);
            }
            None => {
                let message = format!("there is no node type `{text}`");
                let candidates = self.named(|declared| matches!(declared, Declared::Node(_)));
                findings.add_suggesting((Code::UnknownType, name.span, message), text, candidates);
            }
        }
        None
    }

    /// Whether `name` is an interface; if not, says so.
    pub(super) fn is_interface(&self, name: &Name, findings: &mut Findings<'_>) -> bool {
        let text = &name.text;
        match self.by_name.get(text.as_str()) {
            Some(Declared::Interface) => return true,
            Some(other) => {
                let message = format!(
                    "`{text}` is {}; only interfaces are implemented",
                    other.noun()
                );
                findings.add(Code::TypeMismatch, name.span, message);
            }
            None => {
                let message = format!("there is no interface `{text}`");
                let candidates = self.named(|declared| declared == Declared::Interface);
                findings.add_suggesting((Code::UnknownType, name.span, message), text, candidates);
            }
        }
        false
    }

    fn named(&self, wanted: impl Fn(Declared) -> bool) -> impl Iterator<Item = &'a str> {
        self.in_order
            .iter()
            .filter(move |(_, declared)| wanted(*declared))
            .map(|(name, _)| *name)
    }

    /// What a property holds; `None` when that could not be told, which has been noted.
    pub(super) fn value_type(
        &self,
        expression: &TypeExpression,
        context: &mut Context<'_, '_>,
    ) -> Option<PropertyType> {
        match &expression.kind {
            TypeKind::Named {
                name,
                has_arguments,
            } => {
                let scalar = self.scalar(name, context)?;
                if *has_arguments {
                    context.invalid(
                        expression.span,
                        format!("`{}` takes no argument", name.text),
                    );
                    return None;
                }
                Some(scalar)
            }
            TypeKind::Enum(values) => enum_type(values, expression.span, context),
            TypeKind::List {
                element,
                nullable_element,
            } => {
                if let Some(span) = nullable_element {
                    context.invalid(
                        *span,
                        "the elements of a list are never null; `[T]?` is a list that may be",
                    );
                }
                if matches!(element.kind, TypeKind::List { .. }) {
                    context.unsupported(expression.span, "a list of lists");
                    return None;
                }
                Some(PropertyType::List(Box::new(
                    self.value_type(element, context)?,
                )))
            }
        }
    }

    fn scalar(&self, name: &Name, context: &mut Context<'_, '_>) -> Option<PropertyType> {
        let text = name.text.as_str();
        Some(match text {
            "String" => PropertyType::String,
            "Bool" => PropertyType::Bool,
            "I32" => PropertyType::I32,
            "I64" => PropertyType::I64,
            "U32" => PropertyType::U32,
            "U64" => PropertyType::U64,
            "F32" => PropertyType::F32,
            "F64" => PropertyType::F64,
            "Date" => PropertyType::Date,
            "DateTime" => PropertyType::DateTime,
            "Vector" | "Blob" => {
                context.unsupported(name.span, &format!("the type `{text}`"));
                return None;
            }
            _ => {
                self.unknown_scalar(name, context);
                return None;
            }
        })
    }

    fn unknown_scalar(&self, name: &Name, context: &mut Context<'_, '_>) {
        let text = name.text.as_str();
        let finding = |message| (Code::UnknownType, name.span, message);
        if let Some(declared) = self.by_name.get(text) {
            let message = format!(
                "`{text}` is {}, not a type of property; relationships are declared with `edge`",
                declared.noun()
            );
            context.findings.add(Code::UnknownType, name.span, message);
            return;
        }
        let lower = text.to_lowercase();
        let finding = finding(format!("there is no type `{text}`"));
        match OTHER_NAMES.iter().find(|(other, _)| *other == lower) {
            Some((_, ours)) => context.findings.add_with(finding, ours),
            None => context.findings.add_suggesting(finding, text, TYPES),
        }
    }
}

fn enum_type(values: &[Name], span: Span, context: &mut Context<'_, '_>) -> Option<PropertyType> {
    if values.is_empty() {
        context.invalid(span, "an enum has at least one value");
        return None;
    }
    if values.len() > MAX_ENUM_VALUES {
        context.invalid(
            span,
            format!("an enum has at most {MAX_ENUM_VALUES} values"),
        );
        return None;
    }
    let mut seen = FxHashSet::default();
    for value in values {
        if value.text.is_empty() || value.text.len() > MAX_WORD {
            context.invalid(
                value.span,
                format!("a value of an enum has 1 to {MAX_WORD} bytes"),
            );
        } else if !seen.insert(value.text.as_str()) {
            let message = format!("the enum has `{}` twice", value.text);
            context
                .findings
                .add(Code::DuplicateName, value.span, message);
        }
    }
    Some(PropertyType::Enum(
        values.iter().map(|value| value.text.clone()).collect(),
    ))
}

/// Notes that a name may not begin as it does.
pub(super) fn reserved(name: &str, span: Span, findings: &mut Findings<'_>) {
    let message = format!("`{name}` is reserved: names that begin with `_` are the system's");
    findings.add(Code::InvalidValue, span, message);
}
