//! What is wrong with a text, where, and what was probably meant.
//!
//! Positions are 1-based lines and columns, columns counted in Unicode scalar values, the end
//! exclusive. They are computed once, from a byte [`Span`], when the diagnostic is made.

use std::fmt;

/// A half-open range of byte offsets into the text that was compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` up to, not including, `end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// The stable code of a diagnostic: what programs match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The text does not follow the grammar.
    Syntax,
    /// The text is longer than is accepted.
    TextTooLong,
    /// Parentheses, brackets or braces are nested deeper than is accepted.
    NestingTooDeep,
    /// Valid, but not supported yet.
    Unsupported,
    /// A label or relationship type that the schema does not have.
    UnknownType,
    /// A property that none of the possible types has.
    UnknownProperty,
    /// A variable that is not in scope.
    UnknownVariable,
    /// A function that does not exist.
    UnknownFunction,
    /// A procedure that does not exist.
    UnknownProcedure,
    /// A name declared twice, or a variable bound twice.
    DuplicateName,
    /// An expression has a type that its place does not take.
    TypeMismatch,
    /// A relationship type does not join these node types in this direction.
    WrongDirection,
    /// A function called with the wrong number of arguments.
    WrongArity,
    /// An aggregate where none may stand.
    MisplacedAggregate,
    /// A clause where it may not stand.
    MisplacedClause,
    /// An expression where only a constant, or one without randomness, may stand.
    NonConstant,
    /// The parts of a `UNION` have different columns.
    UnionColumns,
    /// A required property or key is missing.
    MissingProperty,
    /// A value or declaration that is well formed but not allowed.
    InvalidValue,
    /// A writing statement where only reading is accepted.
    WriteInReadQuery,
    /// The schema declares nothing.
    EmptySchema,
}

impl Code {
    /// The code as it appears on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::TextTooLong => "text_too_long",
            Self::NestingTooDeep => "nesting_too_deep",
            Self::Unsupported => "unsupported",
            Self::UnknownType => "unknown_type",
            Self::UnknownProperty => "unknown_property",
            Self::UnknownVariable => "unknown_variable",
            Self::UnknownFunction => "unknown_function",
            Self::UnknownProcedure => "unknown_procedure",
            Self::DuplicateName => "duplicate_name",
            Self::TypeMismatch => "type_mismatch",
            Self::WrongDirection => "wrong_direction",
            Self::WrongArity => "wrong_arity",
            Self::MisplacedAggregate => "misplaced_aggregate",
            Self::MisplacedClause => "misplaced_clause",
            Self::NonConstant => "non_constant",
            Self::UnionColumns => "union_columns",
            Self::MissingProperty => "missing_property",
            Self::InvalidValue => "invalid_value",
            Self::WriteInReadQuery => "write_in_read_query",
            Self::EmptySchema => "empty_schema",
        }
    }

    /// The class of openCypher's errors that it belongs to, as the TCK names them.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::UnknownProcedure => "ProcedureError",
            _ => "SyntaxError",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding.
    pub code: Code,
    /// One sentence for a person.
    pub message: String,
    /// First line, from 1.
    pub line: usize,
    /// First column, from 1, in characters.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column one past the end.
    pub end_column: usize,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

/// One or more findings; never empty when returned as an error.
pub type Diagnostics = Vec<Diagnostic>;

impl Diagnostic {
    /// A diagnostic about `span` of `text`.
    #[must_use]
    pub fn new(code: Code, text: &str, span: Span, message: impl Into<String>) -> Self {
        let (line, column) = position(text, span.start);
        let (end_line, end_column) = position(text, span.end.max(span.start));
        Self {
            code,
            message: message.into(),
            line,
            column,
            end_line,
            end_column,
            suggestion: None,
        }
    }

    /// Adds the closest of `candidates` to `name`, when one is close enough to be a typo.
    #[must_use]
    pub fn suggest<'a>(
        mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.suggestion = closest(name, candidates).map(str::to_owned);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.line, self.column, self.code, self.message
        )?;
        match &self.suggestion {
            Some(name) => write!(f, " (did you mean `{name}`?)"),
            None => Ok(()),
        }
    }
}

/// The candidate that `name` is most likely a misspelling of, if any is close.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    // One edit in three characters: short names are only matched when they differ by case.
    let limit = wanted.chars().count() / 3;
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= limit && *candidate != name)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "añb\ncd";
        let at = |start, end| {
            let d = Diagnostic::new(Code::Syntax, text, Span::new(start, end), "x");
            (d.line, d.column, d.end_line, d.end_column)
        };
        assert_eq!(at(0, 1), (1, 1, 1, 2));
        assert_eq!(at(3, 4), (1, 3, 1, 4));
        assert_eq!(at(5, 7), (2, 1, 2, 3));
        assert_eq!(at(99, 99), (2, 3, 2, 3));
    }

    #[test]
    fn suggests_only_what_is_close() {
        assert_eq!(closest("Persn", ["Person", "Org"]), Some("Person"));
        assert_eq!(closest("person", ["Person", "Org"]), Some("Person"));
        assert_eq!(closest("Zebra", ["Person", "Org"]), None);
        assert_eq!(closest("b", ["a", "B"]), Some("B"));
        assert_eq!(closest("b", ["a"]), None);
    }
}
