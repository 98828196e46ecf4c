//! The syntax tree of a schema: what was written, and where.
//!
//! Nothing here knows whether a name exists or an annotation makes sense: `@key` is an annotation
//! like any other. Text such as `-1`, `phase-2` or `true` is one [`Literal::Word`]; only the type
//! of a property can tell which of these it is.

use crate::diagnostic::Span;

/// A whole schema, in the order of its text.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) declarations: Vec<Declaration>,
}

/// `interface`, `node` or `edge`.
#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) kind: DeclarationKind,
    pub(super) name: Name,
    pub(super) properties: Vec<PropertyDeclaration>,
    /// Of the type itself: in its head, or in its body beside the properties.
    pub(super) annotations: Vec<Annotation>,
}

#[derive(Debug)]
pub(super) enum DeclarationKind {
    Interface,
    Node { implements: Vec<Name> },
    Edge { source: Name, target: Name },
}

#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) struct PropertyDeclaration {
    pub(super) name: Name,
    pub(super) value_type: TypeExpression,
    pub(super) nullable: bool,
    pub(super) annotations: Vec<Annotation>,
}

#[derive(Debug)]
pub(super) struct TypeExpression {
    pub(super) kind: TypeKind,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) enum TypeKind {
    /// `String`, or `Vector(128)`.
    Named { name: Name, has_arguments: bool },
    /// `enum(a, b)`.
    Enum(Vec<Name>),
    /// `[T]`; with the place of a `?` inside the brackets.
    List {
        element: Box<TypeExpression>,
        nullable_element: Option<Span>,
    },
}

/// `@name` or `@name(arguments)`.
#[derive(Debug)]
pub(super) struct Annotation {
    pub(super) name: Name,
    /// From the `@` to the end.
    pub(super) span: Span,
    pub(super) arguments: Option<Arguments>,
}

#[derive(Debug)]
pub(super) struct Arguments {
    /// What stands between the parentheses, as written.
    pub(super) text: String,
    pub(super) values: Vec<Argument>,
}

#[derive(Debug)]
pub(super) struct Argument {
    pub(super) kind: ArgumentKind,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) enum ArgumentKind {
    Literal(Literal),
    /// `min..max`; either end may be open.
    Range {
        min: Option<Literal>,
        max: Option<Literal>,
    },
    /// `name = value`, or anything else that only an unknown annotation may have.
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// Quoted.
    Text(String),
    /// Not quoted: a number, `true`, `null` or a name.
    Word(String),
    List(Vec<Literal>),
}

impl Annotation {
    /// The arguments, none when there are no parentheses.
    pub(super) fn values(&self) -> &[Argument] {
        self.arguments
            .as_ref()
            .map_or(&[], |arguments| &arguments.values)
    }

    /// Whether it names the properties that it is about, as `@key(a, b)` and `@range(age, 0..9)`
    /// do. It then belongs to the type, even right behind a property.
    pub(super) fn names_properties(&self) -> bool {
        let values = self.values();
        let first_is_word = || {
            matches!(
                values.first().map(|value| &value.kind),
                Some(ArgumentKind::Literal(Literal::Word(_)))
            )
        };
        match self.name.text.as_str() {
            "key" | "unique" | "index" => self.arguments.is_some(),
            "range" | "check" | "default" => values.len() > 1 && first_is_word(),
            _ => false,
        }
    }
}
