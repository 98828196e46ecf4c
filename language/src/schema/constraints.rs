//! Annotations -> what they mean for one property.
//!
//! Knows one property at a time: which other types and properties there are is `check`'s. What is
//! understood but not enforced yet is refused, never ignored: `@unique` gives a finding.

use std::collections::BTreeMap;

use super::calendar;
use super::findings::Findings;
use super::model::{Property, PropertyType};
use super::pattern::Pattern;
use super::syntax::{Annotation, Argument, ArgumentKind, Literal, Name};
use crate::diagnostic::{Code, Span, closest};
use crate::value::Value;

/// Most `@check`s in one schema: each is compiled, which takes time and memory.
pub const MAX_CHECKS: usize = 500;

/// Every annotation that has a meaning.
pub(super) const KNOWN: [&str; 12] = [
    "key",
    "unique",
    "index",
    "range",
    "check",
    "card",
    "default",
    "rename_from",
    "description",
    "instruction",
    "embed",
    "secret",
];

/// What the checking of one schema shares.
pub(super) struct Context<'f, 't> {
    pub(super) findings: &'f mut Findings<'t>,
    pub(super) checks: usize,
}

/// A property on its way into a type.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) property: Property,
    /// Its name in the text.
    pub(super) span: Span,
    /// Whether it comes from an interface and has not been declared again.
    pub(super) inherited: bool,
    /// Where a bare `@key` stands.
    pub(super) key: Option<Span>,
    /// Where `@default` stands.
    pub(super) default: Option<Span>,
    /// Whether its type could not be read: what its constraints say cannot be judged then.
    pub(super) broken: bool,
}

/// One annotation as it applies to one property: without the property's name, if it had one.
#[derive(Clone, Copy)]
pub(super) struct Constraint<'a> {
    pub(super) name: &'a Name,
    pub(super) span: Span,
    pub(super) values: &'a [Argument],
    /// The arguments as written.
    pub(super) text: &'a str,
}

impl<'a> Constraint<'a> {
    pub(super) fn of(annotation: &'a Annotation) -> Self {
        let text = annotation
            .arguments
            .as_ref()
            .map_or("", |arguments| &arguments.text);
        Self {
            name: &annotation.name,
            span: annotation.span,
            values: annotation.values(),
            text,
        }
    }

    fn one(&self) -> Option<&'a ArgumentKind> {
        match self.values {
            [only] => Some(&only.kind),
            _ => None,
        }
    }
}

impl Context<'_, '_> {
    pub(super) fn unsupported(&mut self, span: Span, what: &str) {
        self.findings.add(
            Code::Unsupported,
            span,
            format!("{what} is not supported yet"),
        );
    }

    pub(super) fn invalid(&mut self, span: Span, message: impl Into<String>) {
        self.findings.add(Code::InvalidValue, span, message);
    }

    /// `@description`, `@instruction` and unknown annotations, which types and properties share.
    /// A name that is nearly a known one is refused: a `@kye` that is kept would be a key lost.
    pub(super) fn keep(&mut self, constraint: Constraint<'_>, kept: &mut BTreeMap<String, String>) {
        let name = constraint.name.text.as_str();
        let text = match name {
            "description" | "instruction" => match constraint.one() {
                Some(ArgumentKind::Literal(Literal::Text(text))) => text.as_str(),
                _ => {
                    let message = format!("`@{name}` takes one text, as in `@{name}(\"...\")`");
                    return self.invalid(constraint.span, message);
                }
            },
            _ if closest(name, KNOWN).is_some() => {
                let message = format!("there is no annotation `@{name}`, and a known one is close");
                let finding = (Code::InvalidValue, constraint.name.span, message);
                return self.findings.add_suggesting(finding, name, KNOWN);
            }
            _ => constraint.text,
        };
        if kept.contains_key(name) {
            let message = format!("`@{name}` is given twice");
            return self
                .findings
                .add(Code::DuplicateName, constraint.span, message);
        }
        kept.insert(name.to_owned(), text.to_owned());
    }
}

impl Draft {
    /// Applies one annotation; `edge` says whether the property belongs to an edge.
    pub(super) fn apply(
        &mut self,
        constraint: Constraint<'_>,
        edge: bool,
        context: &mut Context<'_, '_>,
    ) {
        let span = constraint.span;
        match constraint.name.text.as_str() {
            "key" if edge => context.unsupported(span, "`@key` on an edge"),
            "key" => self.key = Some(span),
            "index" => self.property.indexed = true,
            name @ ("unique" | "embed" | "secret" | "rename_from") => {
                context.unsupported(span, &format!("`@{name}`"));
            }
            "card" => context.invalid(span, "`@card` belongs to an edge, not to a property"),
            "range" | "check" | "default" if self.broken => {}
            "range" => self.apply_range(constraint, context),
            "check" => self.apply_check(constraint, context),
            "default" => self.apply_default(constraint, context),
            _ => context.keep(constraint, &mut self.property.annotations),
        }
    }

    fn apply_range(&mut self, constraint: Constraint<'_>, context: &mut Context<'_, '_>) {
        let Some(ArgumentKind::Range { min, max }) = constraint.one() else {
            let message =
                "`@range` takes the smallest and the largest value, as in `@range(0..120)`";
            return context.invalid(constraint.span, message);
        };
        let element = element(&self.property.value_type);
        if matches!(
            element,
            PropertyType::String | PropertyType::Bool | PropertyType::Enum(_)
        ) {
            let message = format!(
                "`@range` needs a number, a Date or a DateTime, and `{}` is {}",
                self.property.name, self.property.value_type
            );
            return context
                .findings
                .add(Code::TypeMismatch, constraint.span, message);
        }
        let mut bound = |literal: &Option<Literal>| match literal {
            None => Ok(None),
            Some(literal) => typed(literal, element).map(Some).map_err(|message| {
                let message = format!("the range of `{}`: {message}", self.property.name);
                context
                    .findings
                    .add(Code::TypeMismatch, constraint.span, message);
            }),
        };
        let (Ok(min), Ok(max)) = (bound(min), bound(max)) else {
            return;
        };
        if min.is_none() && max.is_none() {
            return context.invalid(
                constraint.span,
                "`@range(..)` excludes nothing: give an end",
            );
        }
        if let (Some(min), Some(max)) = (&min, &max)
            && min.compare(max).is_none_or(std::cmp::Ordering::is_gt)
        {
            return context.invalid(
                constraint.span,
                "the range is empty: its end is before its start",
            );
        }
        let range = Some((min, max));
        if self.property.range.is_some() && self.property.range != range {
            return self.given_twice(constraint, context);
        }
        self.property.range = range;
    }

    fn apply_check(&mut self, constraint: Constraint<'_>, context: &mut Context<'_, '_>) {
        let Some(ArgumentKind::Literal(Literal::Text(text))) = constraint.one() else {
            let message = "`@check` takes a regular expression, as in `@check(\"[a-z]+\")`";
            return context.invalid(constraint.span, message);
        };
        if *element(&self.property.value_type) != PropertyType::String {
            let message = format!(
                "`@check` needs a String, and `{}` is {}",
                self.property.name, self.property.value_type
            );
            return context
                .findings
                .add(Code::TypeMismatch, constraint.span, message);
        }
        context.checks += 1;
        if context.checks > MAX_CHECKS {
            let message = format!("a schema may have {MAX_CHECKS} `@check`s");
            return context.invalid(constraint.span, message);
        }
        match Pattern::new(text) {
            Ok(pattern)
                if self
                    .property
                    .check
                    .as_ref()
                    .is_some_and(|other| *other != pattern) =>
            {
                self.given_twice(constraint, context);
            }
            Ok(pattern) => self.property.check = Some(pattern),
            Err(reason) => {
                let message = format!("the regular expression is not valid: {reason}");
                context.invalid(constraint.span, message);
            }
        }
    }

    fn apply_default(&mut self, constraint: Constraint<'_>, context: &mut Context<'_, '_>) {
        let Some(ArgumentKind::Literal(literal)) = constraint.one() else {
            let message = "`@default` takes one value, as in `@default(3)` or `@default(\"text\")`";
            return context.invalid(constraint.span, message);
        };
        if *literal == Literal::Word("null".to_owned()) {
            let message =
                "null is no default: a property declared with `?` is null when it is not given";
            return context.invalid(constraint.span, message);
        }
        match typed(literal, &self.property.value_type) {
            Err(message) => {
                let message = format!("the default of `{}`: {message}", self.property.name);
                context
                    .findings
                    .add(Code::TypeMismatch, constraint.span, message);
            }
            Ok(value) => {
                if self
                    .property
                    .default
                    .as_ref()
                    .is_some_and(|other| *other != value)
                {
                    return self.given_twice(constraint, context);
                }
                self.property.default = Some(value);
                self.default = Some(constraint.span);
            }
        }
    }

    fn given_twice(&self, constraint: Constraint<'_>, context: &mut Context<'_, '_>) {
        let message = format!(
            "`{}` has another `@{}` already",
            self.property.name, constraint.name.text
        );
        context
            .findings
            .add(Code::DuplicateName, constraint.span, message);
    }

    /// Whether the default obeys the range and the check; asked when all constraints are known.
    pub(super) fn check_default(&self, context: &mut Context<'_, '_>) {
        if let Some(default) = &self.property.default
            && let Err(reason) = self.property.accept(default.clone())
        {
            let message = format!("the default of `{}`: {reason}", self.property.name);
            context.invalid(self.default.unwrap_or(self.span), message);
        }
    }

    /// Takes over another declaration of the same property; an error says how they differ.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), String> {
        let Property {
            name,
            value_type,
            nullable,
            indexed,
            default,
            range,
            check,
            annotations,
            ..
        } = other.property;
        let mine = &mut self.property;
        if self.broken || other.broken {
            self.inherited &= other.inherited;
            return Ok(());
        }
        if mine.value_type != value_type || mine.nullable != nullable {
            let optional = |nullable| if nullable { "?" } else { "" };
            return Err(format!(
                "`{name}` is {}{} there and {value_type}{} here",
                mine.value_type,
                optional(mine.nullable),
                optional(nullable)
            ));
        }
        let conflict = |constraint| Err(format!("the `@{constraint}` of `{name}` differs"));
        if !agree(&mut mine.range, range) {
            return conflict("range");
        }
        if !agree(&mut mine.check, check) {
            return conflict("check");
        }
        if !agree(&mut mine.default, default) {
            return conflict("default");
        }
        mine.indexed |= indexed;
        mine.annotations.extend(annotations);
        self.key = self.key.or(other.key);
        self.default = other.default.or(self.default);
        self.span = other.span;
        self.inherited &= other.inherited;
        Ok(())
    }
}

/// Takes `other` where there is nothing yet; false when both are there and differ.
fn agree<T: PartialEq>(mine: &mut Option<T>, other: Option<T>) -> bool {
    if mine.is_none() {
        *mine = other;
        return true;
    }
    other.is_none() || *mine == other
}

/// What a list holds, or the type itself.
fn element(value_type: &PropertyType) -> &PropertyType {
    match value_type {
        PropertyType::List(element) => element,
        other => other,
    }
}

/// The value that `literal` stands for in a property of this type.
fn typed(literal: &Literal, value_type: &PropertyType) -> Result<Value, String> {
    let value = value_of(literal, value_type).ok_or_else(|| {
        format!(
            "expected {}, got {}",
            describe(value_type),
            written(literal)
        )
    })?;
    value_type
        .accept(value)
        .map_err(|reason| reason.to_string())
}

fn value_of(literal: &Literal, value_type: &PropertyType) -> Option<Value> {
    match (value_type, literal) {
        (PropertyType::String, Literal::Text(text)) => Some(Value::string(text)),
        (PropertyType::Enum(_), Literal::Text(text) | Literal::Word(text)) => {
            Some(Value::string(text))
        }
        (PropertyType::Bool, Literal::Word(word)) => word.parse().ok().map(Value::Bool),
        (
            PropertyType::I32 | PropertyType::I64 | PropertyType::U32 | PropertyType::U64,
            Literal::Word(word),
        ) => word.parse().ok().map(Value::Int),
        (PropertyType::F32 | PropertyType::F64, Literal::Word(word)) => {
            // Rust would also read `inf` and `nan`.
            let numeric = word
                .trim_start_matches('-')
                .starts_with(|c: char| c.is_ascii_digit());
            word.parse()
                .ok()
                .filter(|value: &f64| numeric && value.is_finite())
                .map(Value::Float)
        }
        (PropertyType::Date, Literal::Text(text)) => calendar::parse_date(text).map(Value::Date),
        (PropertyType::DateTime, Literal::Text(text)) => {
            calendar::parse_date_time(text).map(Value::DateTime)
        }
        (PropertyType::List(element), Literal::List(values)) => values
            .iter()
            .map(|value| value_of(value, element))
            .collect::<Option<Vec<_>>>()
            .map(Value::list),
        _ => None,
    }
}

/// The type, with how its values are written where that is not plain.
fn describe(value_type: &PropertyType) -> String {
    match value_type {
        PropertyType::String => "a text in quotes".to_owned(),
        PropertyType::Date => "a Date such as \"2024-02-29\"".to_owned(),
        PropertyType::DateTime => "a DateTime such as \"2024-02-29T12:00:00Z\"".to_owned(),
        other => other.to_string(),
    }
}

fn written(literal: &Literal) -> String {
    const SHOWN: usize = 64;
    match literal {
        Literal::Text(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
        Literal::Word(word) => format!("`{word}`"),
        Literal::List(values) => format!("a list of {}", values.len()),
    }
}
