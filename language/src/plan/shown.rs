//! Types as answers name them.

use std::fmt;

use super::Type;

impl fmt::Display for Type {
    /// `integer`, `list<node>`: what the columns of a result are said to be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Number => "number",
            Self::String => "string",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::LocalTime => "localtime",
            Self::Time => "time",
            Self::LocalDateTime => "localdatetime",
            Self::Duration => "duration",
            Self::Node(_) => "node",
            Self::Relationship(_) => "relationship",
            Self::Path => "path",
            Self::List(element) => return write!(f, "list<{element}>"),
            Self::Map => "map",
        })
    }
}
