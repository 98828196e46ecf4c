//! What is known of types: joining, fitting, comparing, naming. Pure: it knows no schema.

use crate::plan::Type;
use crate::schema::PropertyType;

/// The narrowest type that holds the values of both.
pub(super) fn join(left: &Type, right: &Type) -> Type {
    match (left, right) {
        (Type::Null, other) | (other, Type::Null) => other.clone(),
        (a, b) if a == b => a.clone(),
        (a, b) if is_number(a) && is_number(b) => Type::Number,
        (Type::Node(a), Type::Node(b)) => Type::Node(a | b),
        (Type::Relationship(a), Type::Relationship(b)) => Type::Relationship(a | b),
        (Type::List(a), Type::List(b)) => Type::List(Box::new(join(a, b))),
        _ => Type::Any,
    }
}

/// Whether a value of type `actual` can be what is wanted; unknown types can.
pub(super) fn fits(actual: &Type, wanted: &Type) -> bool {
    match (actual, wanted) {
        (Type::Any | Type::Null, _) | (_, Type::Any) => true,
        (Type::Integer | Type::Float | Type::Number, Type::Number) => true,
        (Type::Number, Type::Integer | Type::Float) => true,
        (Type::Integer, Type::Float) => true,
        (Type::List(a), Type::List(b)) => fits(a, b),
        (Type::Node(_), Type::Node(_)) | (Type::Relationship(_), Type::Relationship(_)) => true,
        (a, b) => a == b,
    }
}

/// Whether `=` between the two can ever be true.
pub(super) fn comparable(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Any | Type::Null, _) | (_, Type::Any | Type::Null) => true,
        (a, b) if is_number(a) && is_number(b) => true,
        (Type::List(a), Type::List(b)) => comparable(a, b),
        (Type::Node(_), Type::Node(_)) | (Type::Relationship(_), Type::Relationship(_)) => true,
        (a, b) => a == b,
    }
}

/// Whether `<` and its kin mean something on it.
pub(super) fn ordered(value_type: &Type) -> bool {
    match value_type {
        Type::Node(_) | Type::Relationship(_) | Type::Path | Type::Map => false,
        Type::List(element) => ordered(element),
        _ => true,
    }
}

/// An integer, a float or either.
pub(super) const fn is_number(value_type: &Type) -> bool {
    matches!(value_type, Type::Integer | Type::Float | Type::Number)
}

/// A date, a time or an amount of time.
pub(super) const fn is_temporal(value_type: &Type) -> bool {
    matches!(
        value_type,
        Type::Date
            | Type::DateTime
            | Type::LocalTime
            | Type::Time
            | Type::LocalDateTime
            | Type::Duration
    )
}

/// Nothing can be said against it before it runs.
pub(super) const fn is_open(value_type: &Type) -> bool {
    matches!(value_type, Type::Any | Type::Null)
}

/// What stands in a list of this type; of what is not a list, itself.
pub(super) fn element(value_type: &Type) -> Type {
    match value_type {
        Type::List(element) => element.as_ref().clone(),
        other => other.clone(),
    }
}

/// The type of a stored property.
pub(super) fn of_property(property: &PropertyType) -> Type {
    match property {
        PropertyType::String | PropertyType::Enum(_) => Type::String,
        PropertyType::Bool => Type::Boolean,
        PropertyType::I32 | PropertyType::I64 | PropertyType::U32 | PropertyType::U64 => {
            Type::Integer
        }
        PropertyType::F32 | PropertyType::F64 => Type::Float,
        PropertyType::Date => Type::Date,
        PropertyType::DateTime => Type::DateTime,
        PropertyType::List(element) => Type::List(Box::new(of_property(element))),
        PropertyType::Map => Type::Map,
    }
}

/// The type with its article, for messages.
pub(super) fn name(value_type: &Type) -> String {
    match value_type {
        Type::Any => "a value".to_owned(),
        Type::Null => "null".to_owned(),
        Type::Boolean => "a boolean".to_owned(),
        Type::Integer => "an integer".to_owned(),
        Type::Float => "a float".to_owned(),
        Type::Number => "a number".to_owned(),
        Type::String => "a string".to_owned(),
        Type::Date => "a date".to_owned(),
        Type::DateTime => "a datetime".to_owned(),
        Type::LocalTime => "a localtime".to_owned(),
        Type::Time => "a time".to_owned(),
        Type::LocalDateTime => "a localdatetime".to_owned(),
        Type::Duration => "a duration".to_owned(),
        Type::Node(_) => "a node".to_owned(),
        Type::Relationship(_) => "a relationship".to_owned(),
        Type::Path => "a path".to_owned(),
        Type::List(element) => match element.as_ref() {
            Type::Any | Type::Null => "a list".to_owned(),
            element => format!("a list of {}", plural(element)),
        },
        Type::Map => "a map".to_owned(),
    }
}

fn plural(value_type: &Type) -> String {
    match value_type {
        Type::List(_) => "lists".to_owned(),
        other => {
            let name = name(other);
            let noun = name.split_once(' ').map_or(name.as_str(), |(_, noun)| noun);
            format!("{noun}s")
        }
    }
}
