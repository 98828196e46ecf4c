//! What can stop a statement while it runs.
//!
//! Everything that can be known before running is a compile error of the front end; what is here
//! depends on data, parameters or limits. A [`Span`] is a byte range of the statement's text.

use std::sync::Arc;

use language::diagnostic::Span;

use crate::cold::ColumnError;
use crate::transaction::WriteError;

/// Why a statement stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// A column that is on disk alone, which is needed, cannot be read.
    #[error(transparent)]
    Column(#[from] Arc<ColumnError>),
    /// A parameter that the statement names was not given.
    #[error("the parameter `${name}` is not given")]
    MissingParameter {
        /// Without the `$`.
        name: String,
    },
    /// A parameter's value does not suit its uses.
    #[error("the parameter `${name}` must be {expected}, not {found}")]
    ParameterType {
        /// Without the `$`.
        name: String,
        /// What its uses ask for.
        expected: String,
        /// What was given.
        found: &'static str,
    },
    /// A value has a kind that its place does not take.
    #[error("{place} takes {expected}, not {found}")]
    Type {
        /// The operator, function or clause.
        place: &'static str,
        /// What it takes.
        expected: &'static str,
        /// The kind of what it got.
        found: &'static str,
        /// Where.
        span: Span,
    },
    /// Arithmetic without a result.
    #[error("{operation} {problem}")]
    Arithmetic {
        /// The operation as a noun: "the sum".
        operation: &'static str,
        /// What is wrong with it.
        problem: ArithmeticProblem,
        /// Where.
        span: Span,
    },
    /// An argument of the right kind that a function cannot use.
    #[error("{function}: {problem}")]
    Argument {
        /// The function's name.
        function: &'static str,
        /// One sentence.
        problem: String,
        /// Where.
        span: Span,
    },
    /// `SKIP` or `LIMIT` with something else than an integer from 0.
    #[error("{clause} takes an integer from 0, not {found}")]
    RowNumber {
        /// `SKIP` or `LIMIT`.
        clause: &'static str,
        /// The value or its kind.
        found: String,
        /// Where.
        span: Span,
    },
    /// A map or assignment names a property that the type does not have.
    #[error("`{type_name}` has no property `{property}`{}", did_you_mean(suggestion.as_deref()))]
    UnknownProperty {
        /// The node or edge type.
        type_name: String,
        /// The name in the map.
        property: String,
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
    /// `MERGE` with a null property: null equals nothing, so it would always make a new element.
    #[error("MERGE on {of} needs a value for `{property}`, which is null here")]
    MergeNull {
        /// The type, or what else it is called, as it stands in a message.
        of: String,
        /// The property.
        property: String,
        /// Where its value stands.
        span: Span,
    },
    /// `MERGE` of a node whose properties lack a part of the key.
    #[error("MERGE on `{type_name}` needs its whole key; `{property}` is missing")]
    MergeKey {
        /// The node type.
        type_name: String,
        /// The missing property of the key.
        property: String,
    },
    /// A relationship cannot be made because an end is null or was not found.
    #[error("a `{type_name}` relationship cannot be made: its {end} is null")]
    MissingEnd {
        /// The edge type.
        type_name: String,
        /// `source` or `target`.
        end: &'static str,
    },
    /// A node or relationship that the statement has deleted is looked at.
    #[error("{what} of {kind} that has been deleted cannot be read")]
    DeletedElement {
        /// "a property", "the labels".
        what: &'static str,
        /// "a node", "a relationship".
        kind: &'static str,
        /// Where.
        span: Span,
    },
    /// The plan is larger than the executor follows.
    #[error("the statement has {found} {what}; at most {limit} are run")]
    TooComplex {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The deadline passed.
    #[error("the statement did not finish in the time that it was given")]
    Deadline,
    /// The time that the transaction gives is over: the engine runs the statement again elsewhere, so
    /// that no caller sees this.
    #[error("the statement takes longer than it may take here")]
    OverBudget,
    /// Whoever asked went away.
    #[error("the statement was cancelled")]
    Cancelled,
    /// More rows than the caller takes.
    #[error("the result has more than {limit} rows; add a LIMIT or raise the row limit")]
    RowLimit {
        /// How many rows are allowed.
        limit: usize,
    },
    /// More memory than the statement may hold.
    #[error("the statement needs more than {limit} bytes for rows that it must hold")]
    MemoryLimit {
        /// How many bytes are allowed.
        limit: usize,
    },
    /// The graph refuses a change.
    #[error(transparent)]
    Write(WriteError),
    /// One that has no place of its own, and where in the statement it came about.
    #[error("{error}")]
    At {
        /// What happened.
        error: Box<Self>,
        /// Where.
        span: Span,
    },
}

impl From<WriteError> for ExecuteError {
    fn from(error: WriteError) -> Self {
        match error {
            // What it writes is a part of what it holds.
            WriteError::TooLarge { limit } => Self::MemoryLimit { limit },
            error => Self::Write(error),
        }
    }
}

/// What is wrong with a calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArithmeticProblem {
    /// Beyond 64 bits.
    #[error("is out of the range of 64-bit integers")]
    Overflow,
    /// Beyond what times and durations reach.
    #[error("is out of the range of times and durations")]
    OutOfTime,
    /// An integer divided by zero.
    #[error("has zero as its divisor")]
    DivisionByZero,
}

impl ExecuteError {
    /// Where in the statement's text, when the error has a place.
    #[must_use]
    pub const fn span(&self) -> Option<Span> {
        match self {
            Self::Type { span, .. }
            | Self::Arithmetic { span, .. }
            | Self::Argument { span, .. }
            | Self::MergeNull { span, .. }
            | Self::DeletedElement { span, .. }
            | Self::At { span, .. }
            | Self::RowNumber { span, .. } => Some(*span),
            _ => None,
        }
    }

    /// The error alone, without the place that was added.
    #[must_use]
    pub fn kind(&self) -> &Self {
        match self {
            Self::At { error, .. } => error.kind(),
            error => error,
        }
    }

    /// The same at a place, when it is about what stands in the statement and has none yet.
    pub(crate) fn at(self, span: Span) -> Self {
        match self {
            Self::UnknownProperty { .. }
            | Self::MergeKey { .. }
            | Self::MissingEnd { .. }
            | Self::Write(
                WriteError::DuplicateKey { .. }
                | WriteError::MissingProperty { .. }
                | WriteError::InvalidValue { .. }
                | WriteError::KeyChange { .. }
                | WriteError::WrongEnds { .. }
                | WriteError::Deleted { .. }
                | WriteError::HasRelationships { .. },
            ) if span.start < span.end => Self::At {
                error: Box::new(self),
                span,
            },
            error => error,
        }
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
