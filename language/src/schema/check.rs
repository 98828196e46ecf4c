//! Syntax tree -> schema.
//!
//! Interfaces come first, then node and edge types in the order of the text, so that declarations
//! may refer forward. Ids are given in that order too, from 1: 0 is never one. A type that has a
//! mistake is still made as far as it goes, so that one mistake is told once; the caller throws
//! the schema away.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::body::{Body, Key, size};
use super::constraints::{Constraint, Context, Draft};
use super::findings::Findings;
use super::index::Index;
use super::model::{
    EdgeType, Interface, NodeType, Property, PropertyId, PropertyType, Schema, TypeId,
};
use super::names::{Declared, Names, reserved};
use super::syntax::{
    Annotation, Argument, ArgumentKind, Declaration, DeclarationKind, Document, Literal, Name,
    PropertyDeclaration,
};
use crate::diagnostic::Code;

/// Most properties of one type.
pub const MAX_PROPERTIES: usize = 1_000;
/// Most room that inherited properties may take, in bytes: a short text can multiply them.
pub const MAX_INHERITED: usize = 16 << 20;

/// What the edges of a type join; constraints may name these like properties.
const ENDS: [&str; 2] = ["src", "dst"];

/// The schema that `document` means, as far as `findings` stays empty.
pub(super) fn check(text: &str, document: &Document, findings: &mut Findings<'_>) -> Schema {
    let names = Names::of(document, findings);
    let mut checker = Checker {
        names,
        context: Context {
            findings,
            checks: 0,
        },
        interfaces: FxHashMap::default(),
        inherited_size: 0,
        next_property_id: 1,
        schema: Schema {
            source: text.to_owned(),
            version: 1,
            interfaces: Vec::new(),
            node_types: Vec::new(),
            edge_types: Vec::new(),
            next_type_id: 0,
            next_property_id: 0,
            index: Index::default(),
        },
    };
    checker.check();
    let Checker {
        names,
        next_property_id,
        schema,
        ..
    } = checker;
    Schema {
        next_type_id: names.next_type_id,
        next_property_id,
        ..schema
    }
}

struct Checker<'a, 'f, 't> {
    names: Names<'a>,
    context: Context<'f, 't>,
    interfaces: FxHashMap<&'a str, Body>,
    inherited_size: usize,
    next_property_id: u32,
    schema: Schema,
}

impl<'a> Checker<'a, '_, '_> {
    fn check(&mut self) {
        let declarations = std::mem::take(&mut self.names.declarations);
        for (declaration, declared) in &declarations {
            if *declared == Declared::Interface {
                self.interface(declaration);
            }
        }
        for (declaration, declared) in &declarations {
            if self.context.findings.is_full() {
                return;
            }
            match (&declaration.kind, *declared) {
                (DeclarationKind::Node { implements }, Declared::Node(id)) => {
                    self.node(declaration, id, implements)
                }
                (DeclarationKind::Edge { source, target }, Declared::Edge(id)) => {
                    self.edge(declaration, id, (source, target));
                }
                _ => {}
            }
        }
    }

    fn interface(&mut self, declaration: &'a Declaration) {
        let body = self.body(declaration, Body::default(), Vec::new());
        self.schema.interfaces.push(Interface {
            name: declaration.name.text.clone(),
            properties: body
                .drafts
                .iter()
                .map(|draft| draft.property.name.clone())
                .collect(),
            annotations: body.annotations.clone(),
        });
        self.interfaces.insert(&declaration.name.text, body);
    }

    fn node(&mut self, declaration: &Declaration, id: TypeId, implements: &[Name]) {
        let (inherited, keys, interfaces) = self.inherit(implements);
        let body = self.body(declaration, inherited, keys);
        let key = body
            .key
            .as_ref()
            .map(|key| key.properties.clone())
            .unwrap_or_default();
        let annotations = body.annotations.clone();
        let properties = self.properties(body);
        let key = key
            .iter()
            .filter_map(|name| properties.iter().find(|property| property.name == *name))
            .map(|property| property.id)
            .collect();
        let name = declaration.name.text.clone();
        self.schema.node_types.push(NodeType {
            id,
            name,
            interfaces,
            properties,
            key,
            annotations,
        });
    }

    fn edge(&mut self, declaration: &Declaration, id: TypeId, ends: (&Name, &Name)) {
        let source = self.names.end(ends.0, self.context.findings);
        let target = self.names.end(ends.1, self.context.findings);
        let body = self.body(declaration, Body::default(), Vec::new());
        let annotations = body.annotations.clone();
        let properties = self.properties(body);
        if let (Some(source), Some(target)) = (source, target) {
            let name = declaration.name.text.clone();
            self.schema.edge_types.push(EdgeType {
                id,
                name,
                source,
                target,
                properties,
                annotations,
            });
        }
    }

    /// What the interfaces give: their properties and annotations, their keys, their names.
    fn inherit(&mut self, implements: &[Name]) -> (Body, Vec<Key>, Vec<String>) {
        let mut body = Body::default();
        let mut keys = Vec::new();
        let mut names: Vec<String> = Vec::new();
        let mut seen = FxHashSet::default();
        for name in implements {
            if !self.names.is_interface(name, self.context.findings) {
                continue;
            }
            if !seen.insert(name.text.as_str()) {
                let message = format!("`{}` is implemented twice", name.text);
                self.context
                    .findings
                    .add(Code::DuplicateName, name.span, message);
                continue;
            }
            names.push(name.text.clone());
            let Some(interface) = self.interfaces.get(name.text.as_str()) else {
                continue;
            };
            self.inherited_size += interface.drafts.iter().map(size).sum::<usize>();
            self.inherited_size += interface
                .annotations
                .values()
                .map(String::len)
                .sum::<usize>();
            if self.inherited_size > MAX_INHERITED {
                let message =
                    format!("what interfaces add to types is larger than {MAX_INHERITED} bytes");
                self.context.invalid(name.span, message);
                break;
            }
            for draft in &interface.drafts {
                // A finding about it belongs to the place that asks for it.
                let draft = Draft {
                    inherited: true,
                    key: None,
                    span: name.span,
                    ..draft.clone()
                };
                if let Err(difference) = body.add(draft) {
                    let message = format!("the interfaces do not agree: {difference}");
                    self.context
                        .findings
                        .add(Code::TypeMismatch, name.span, message);
                }
            }
            for (annotation, text) in &interface.annotations {
                body.annotations
                    .entry(annotation.clone())
                    .or_insert_with(|| text.clone());
            }
            keys.extend(interface.key.iter().map(|key| Key {
                span: name.span,
                ..key.clone()
            }));
        }
        (body, keys, names)
    }

    /// Own properties and constraints on top of what is inherited.
    fn body(&mut self, declaration: &Declaration, inherited: Body, mut keys: Vec<Key>) -> Body {
        let edge = matches!(declaration.kind, DeclarationKind::Edge { .. });
        let mut body = inherited;
        for property in &declaration.properties {
            if self.context.findings.is_full() {
                return body;
            }
            let draft = self.draft(property, edge);
            if body
                .get(&property.name.text)
                .is_some_and(|existing| !existing.inherited)
            {
                let message = format!(
                    "`{}` already has a property `{}`",
                    declaration.name.text, property.name.text
                );
                self.context
                    .findings
                    .add(Code::DuplicateName, property.name.span, message);
                continue;
            }
            if let Err(difference) = body.add(draft) {
                let message = format!("this is not what the interface declares: {difference}");
                self.context
                    .findings
                    .add(Code::TypeMismatch, property.name.span, message);
            }
        }
        if body.drafts.len() > MAX_PROPERTIES {
            let message = format!("a type has at most {MAX_PROPERTIES} properties");
            self.context.invalid(declaration.name.span, message);
            return body;
        }
        let mut own = BTreeMap::new();
        for annotation in &declaration.annotations {
            if let Some(key) = self.annotate(annotation, declaration, &mut body, &mut own) {
                keys.push(key);
            }
        }
        body.annotations.append(&mut own);
        for draft in &body.drafts {
            draft.check_default(&mut self.context);
            keys.extend(draft.key.map(|span| Key {
                properties: vec![draft.property.name.clone()],
                span,
            }));
        }
        body.key = body.agreed_key(keys, &declaration.name.text, &mut self.context);
        body
    }

    fn draft(&mut self, declaration: &PropertyDeclaration, edge: bool) -> Draft {
        let Name { text, span } = &declaration.name;
        if text.starts_with('_') {
            reserved(text, *span, self.context.findings);
        } else if edge && ENDS.contains(&text.as_str()) {
            let message = format!("`{text}` is an end of every edge already, not a property");
            self.context.invalid(*span, message);
        }
        let value_type = self
            .names
            .value_type(&declaration.value_type, &mut self.context);
        let mut draft = Draft {
            broken: value_type.is_none(),
            property: Property {
                // Given when the type is complete.
                id: PropertyId(0),
                name: text.clone(),
                value_type: value_type.unwrap_or(PropertyType::String),
                nullable: declaration.nullable,
                indexed: false,
                default: None,
                range: None,
                check: None,
                annotations: BTreeMap::new(),
            },
            span: *span,
            inherited: false,
            key: None,
            default: None,
        };
        for annotation in &declaration.annotations {
            draft.apply(Constraint::of(annotation), edge, &mut self.context);
        }
        draft
    }

    /// Applies an annotation of the type: to the type, or to the properties that it names.
    fn annotate(
        &mut self,
        annotation: &Annotation,
        declaration: &Declaration,
        body: &mut Body,
        own: &mut BTreeMap<String, String>,
    ) -> Option<Key> {
        let edge = matches!(declaration.kind, DeclarationKind::Edge { .. });
        let constraint = Constraint::of(annotation);
        let span = annotation.span;
        match annotation.name.text.as_str() {
            "key" if edge => self.context.unsupported(span, "`@key` on an edge"),
            "key" => {
                let properties = self.named(annotation, declaration, body)?;
                return Some(Key { properties, span });
            }
            "index" => {
                for name in self.named(annotation, declaration, body)? {
                    if let Some(draft) = body.get_mut(&name) {
                        draft.property.indexed = true;
                    }
                }
            }
            "card" if !edge => self.context.invalid(span, "`@card` belongs to an edge"),
            name @ ("unique" | "card" | "embed" | "secret" | "rename_from") => {
                self.context.unsupported(span, &format!("`@{name}`"));
            }
            name @ ("range" | "check" | "default") => match annotation.values().split_first() {
                Some((first, values)) if annotation.names_properties() => {
                    let name = self.named_property(first, declaration, body)?;
                    match body.get_mut(&name) {
                        Some(draft) => {
                            let constraint = Constraint {
                                values,
                                ..constraint
                            };
                            draft.apply(constraint, edge, &mut self.context);
                        }
                        None => {
                            let message = format!("`{name}` is an end of the edge, not a property");
                            self.context.invalid(first.span, message);
                        }
                    }
                }
                _ => {
                    let message = format!(
                        "here `@{name}` begins with the property it is about, as in `@{name}(a, ...)`"
                    );
                    self.context.invalid(span, message);
                }
            },
            _ => self.context.keep(constraint, own),
        }
        None
    }

    /// The properties that `@key(a, b)` names; `None` when one of them does not exist.
    fn named(
        &mut self,
        annotation: &Annotation,
        declaration: &Declaration,
        body: &Body,
    ) -> Option<Vec<String>> {
        let name = &annotation.name.text;
        if annotation.values().is_empty() {
            let message = format!("here `@{name}` names its properties, as in `@{name}(a, b)`");
            self.context.invalid(annotation.span, message);
            return None;
        }
        let mut properties: Vec<String> = Vec::new();
        let mut complete = true;
        for value in annotation.values() {
            match self.named_property(value, declaration, body) {
                Some(property) if properties.contains(&property) => {
                    let message = format!("`@{name}` names `{property}` twice");
                    self.context
                        .findings
                        .add(Code::DuplicateName, value.span, message);
                }
                Some(property) => properties.push(property),
                None => complete = false,
            }
        }
        complete.then_some(properties)
    }

    fn named_property(
        &mut self,
        value: &Argument,
        declaration: &Declaration,
        body: &Body,
    ) -> Option<String> {
        let ArgumentKind::Literal(Literal::Word(name)) = &value.kind else {
            self.context
                .invalid(value.span, "expected the name of a property");
            return None;
        };
        let edge = matches!(declaration.kind, DeclarationKind::Edge { .. });
        if body.get(name).is_none() && !(edge && ENDS.contains(&name.as_str())) {
            let message = format!("`{}` has no property `{name}`", declaration.name.text);
            let candidates = body.drafts.iter().map(|draft| draft.property.name.as_str());
            let finding = (Code::UnknownProperty, value.span, message);
            self.context
                .findings
                .add_suggesting(finding, name, candidates);
            return None;
        }
        Some(name.clone())
    }

    /// Gives the properties their ids.
    fn properties(&mut self, body: Body) -> Vec<Property> {
        let next = &mut self.next_property_id;
        body.drafts
            .into_iter()
            .map(|draft| {
                let id = PropertyId(*next);
                *next += 1;
                Property {
                    id,
                    ..draft.property
                }
            })
            .collect()
    }
}
