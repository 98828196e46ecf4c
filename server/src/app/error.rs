//! Why a use case did not give what was asked for. `http/error.rs` makes an answer of each.

use language::{Code, Diagnostic, Diagnostics};
use policy::{Denial, TypeDenial};
use registry::{AccessError, HandleError, WrongPermit};
use storage_engine::executor::ExecuteError;
use storage_engine::export::ExportError;
use storage_engine::load::LoadError;
use storage_engine::results::RowError;
use storage_engine::{CommitError, PastError, StatusError};

use super::load::LineErrors;
use super::mutate::StepError;

/// Every failure of a use case.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What a graph has on disk cannot be listed now.
    #[error("what the graph has on disk cannot be listed now")]
    Storage(#[source] StatusError),
    /// Well-formed JSON that asks for something that makes no sense.
    #[error("{0}")]
    InvalidRequest(String),
    /// In the contract, but not in this version.
    #[error("{0}")]
    Unsupported(String),
    /// Nobody said who asks, and it is not open to everybody.
    #[error("this needs a credential: Authorization: Bearer <token>")]
    Unauthenticated,
    /// The policy says no, to somebody who may know what it is about.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The policy says no to a type that the statement touches.
    #[error(transparent)]
    TypesDenied(#[from] TypeDenial),
    /// There is none, or none that the caller may see.
    #[error("there is no graph {graph_id:?}")]
    NoSuchGraph {
        /// As it was asked for.
        graph_id: String,
    },
    /// The graph has only `main`.
    #[error("there is no branch {branch:?}; there is only \"main\"")]
    NoSuchBranch {
        /// As it was asked for.
        branch: String,
    },
    /// The text of a schema is wrong.
    #[error("the schema has {} error(s)", .0.len())]
    InvalidSchema(Diagnostics),
    /// A statement does not compile.
    #[error("{}", in_statement(*.statement, "does not compile"))]
    InvalidQuery {
        /// Which of several, from 0.
        statement: Option<usize>,
        /// What is wrong with it; at least one.
        diagnostics: Diagnostics,
    },
    /// A writing statement where only reading is done.
    #[error("the statement writes; send it to `mutate`")]
    WriteInReadQuery,
    /// A parameter that the executor's values cannot hold.
    #[error("the parameter `${name}` {problem}")]
    InvalidParameter {
        /// Without the `$`.
        name: String,
        /// To be read after the name.
        problem: &'static str,
    },
    /// A row of an answer would be too large.
    #[error("a row of the result is larger than {limit} bytes")]
    ResultTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A row does not fit the form that was asked for.
    #[error(transparent)]
    Row(RowError),
    /// The config file cannot be applied.
    #[error("the config file has errors: {}", .0.len())]
    InvalidConfig(Vec<registry::config::Problem>),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A decision was carried on to where it does not belong: a defect.
    #[error(transparent)]
    WrongPermit(WrongPermit),
    /// The graph cannot be reached.
    #[error(transparent)]
    Handle(#[from] HandleError),
    /// The graph as it was cannot be had.
    #[error(transparent)]
    Past(#[from] PastError),
    /// A reading statement stopped.
    #[error("the statement failed")]
    Execute(#[source] ExecuteError),
    /// The same, where it is known which part of the text it is about.
    #[error("the statement failed")]
    ExecuteAt {
        /// What happened.
        #[source]
        error: ExecuteError,
        /// Where.
        place: Box<Diagnostic>,
    },
    /// A write was not made.
    #[error("the statements were not carried out")]
    Mutate(#[source] CommitError<StepError>),
    /// A load was not made.
    #[error("the file was not loaded")]
    Load(#[source] CommitError<LoadError>),
    /// The file of a load has errors.
    #[error(transparent)]
    Lines(#[from] LineErrors),
    /// An export stopped.
    #[error("the export stopped")]
    Export(#[source] ExportError),
    /// The body of a load did not arrive whole.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A temporary file could not be written or read.
    #[error("cannot keep the body in a temporary file")]
    Spool(#[source] std::io::Error),
    /// The principal has too many queries waiting.
    #[error("too many queries of yours are waiting; nothing was done")]
    TooManyQueries {
        /// When one of them will have been answered, about.
        retry_after: std::time::Duration,
    },
    /// Too many wait for the graph to be opened.
    #[error("the graph is being opened, and too many wait for that; nothing was done")]
    Opening,
    /// The principal has too many long statements waiting to be compiled.
    #[error("too many long statements of yours are waiting to be compiled; nothing was changed")]
    TooManyTexts {
        /// When one of them will have been, about.
        retry_after: std::time::Duration,
    },
    /// The principal holds as much memory as there is for it.
    #[error(
        "requests of yours that are under way take all the memory that there is for them; nothing was done"
    )]
    TooMuchHeld,
    /// The server is told to stop.
    #[error("the server is stopping; nothing was changed")]
    ShuttingDown,
    /// The thread that made the answer ended without a word: a panic.
    #[error("the thread that made the answer ended before the answer did")]
    BrokenOff,
    /// The caller took nothing of a streamed answer for too long.
    #[error("the caller took nothing of the answer for too long")]
    Stalled,
    /// JSON of our own that cannot be written or read: a defect.
    #[error("what was kept of an answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// A panic in a use case.
    #[error("a use case panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

/// What came of a graph that was reached, by use case.
impl Error {
    pub(crate) fn of_query(error: AccessError<ExecuteError>) -> Self {
        Self::of(error, Self::Execute)
    }

    /// The same with its place in the statement's text, where it has one.
    pub(crate) fn of_query_in(text: &str, error: AccessError<ExecuteError>) -> Self {
        match Self::of_query(error) {
            Self::Execute(error) => match place(text, &error) {
                Some(place) => Self::ExecuteAt { error, place },
                None => Self::Execute(error),
            },
            error => error,
        }
    }

    pub(crate) fn of_export(error: AccessError<ExportError>) -> Self {
        Self::of(error, Self::Export)
    }

    pub(crate) fn of_mutate(error: AccessError<CommitError<StepError>>) -> Self {
        Self::of(error, Self::Mutate)
    }

    pub(crate) fn of_load(error: AccessError<CommitError<LoadError>>) -> Self {
        Self::of(error, Self::Load)
    }

    fn of<E: std::error::Error + 'static>(
        error: AccessError<E>,
        engine: impl FnOnce(E) -> Self,
    ) -> Self {
        match error {
            AccessError::WrongPermit(error) => Self::WrongPermit(error),
            AccessError::Engine(error) => engine(error),
        }
    }
}

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// More than is accepted.
    #[error("the body is larger than the {limit} bytes that the server accepts here")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Nothing came for too long, or too little altogether.
    #[error("the body came too slowly: {bytes} bytes in {seconds} seconds")]
    TooSlow {
        /// How long it has taken so far.
        seconds: u64,
        /// What had come by then.
        bytes: u64,
    },
    /// The connection ended before the body did.
    #[error("the body broke off")]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Names a statement among several, for a sentence.
pub(crate) fn in_statement(statement: Option<usize>, what: &str) -> String {
    match statement {
        Some(index) => format!("statement {} {what}", index + 1),
        None => format!("the statement {what}"),
    }
}

/// What stopped a statement, as a finding about its text.
pub(crate) fn place(text: &str, error: &ExecuteError) -> Option<Box<Diagnostic>> {
    let span = error.span().filter(|span| span.end <= text.len())?;
    let code = match error.kind() {
        ExecuteError::Type { .. } => Code::TypeMismatch,
        ExecuteError::UnknownProperty { .. } => Code::UnknownProperty,
        _ => Code::InvalidValue,
    };
    Some(Box::new(Diagnostic::new(
        code,
        text,
        span,
        error.to_string(),
    )))
}
