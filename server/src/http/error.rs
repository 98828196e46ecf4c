//! The one table from errors to answers: code (which has its status), public words, findings.
//!
//! Every match here is exhaustive over its enum, so that a new error does not compile until its
//! answer is decided. What a caller must not know is logged here and not told.

use std::time::Duration;

use api_types::{ErrorCode, Finding};
use axum::http::{HeaderValue, header};
use language::{Code, Diagnostics};
use policy::{Denial, TypeDenial};
use registry::config::Problem;
use registry::uri::{Relation, UriError};
use registry::{GraphId, HandleError, with_causes};
use storage_engine::executor::ExecuteError;
use storage_engine::export::ExportError;
use storage_engine::load::LineError;
use storage_engine::results::RowError;
use storage_engine::{ColumnError, CommitError, OpenError, PastError, WriteError};

use super::envelope::defect;
use super::extract;
use super::failure::Failure;
use crate::app::{Credential, Error, StepError, UploadError, outcome};

/// For what passes by itself, and nobody knows when.
const SOON: Duration = Duration::from_secs(1);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::InvalidRequest(_) => Self::new(ErrorCode::InvalidRequest, words),
            Error::Unsupported(_) => Self::new(ErrorCode::Unsupported, words),
            Error::Unauthenticated => extract::refused(Credential::Missing),
            Error::Denied(denial) => denied(&denial),
            Error::TypesDenied(denial) => types_denied(&denial),
            Error::NoSuchGraph { .. } => Self::new(ErrorCode::GraphNotFound, words),
            Error::NoSuchBranch { .. } => Self::new(ErrorCode::BranchNotFound, words),
            Error::InvalidSchema(diagnostics) => invalid_schema(diagnostics),
            Error::InvalidQuery { diagnostics, .. } => {
                let detail = format!("{words}: {}", first(&diagnostics));
                Self::new(ErrorCode::InvalidQuery, detail).with_findings(findings(diagnostics))
            }
            Error::WriteInReadQuery => Self::new(ErrorCode::WriteInReadQuery, words),
            Error::InvalidParameter { .. } => Self::new(ErrorCode::InvalidParameters, words),
            Error::ResultTooLarge { .. } => Self::new(ErrorCode::MemoryLimit, words),
            Error::InvalidConfig(problems) => invalid_config(problems),
            Error::Registry(error) => registry(error),
            Error::Handle(error) => handle(&error),
            Error::WrongPermit(error) => internal(&error),
            Error::Past(error) => past(&error),
            Error::Execute(error) => execute(&error, String::new()),
            Error::ExecuteAt { error, place } => {
                execute(&error, String::new()).with_findings(findings(vec![*place]))
            }
            Error::Mutate(error) => commit(error, step),
            Error::Load(error) => commit(error, |wrong| lines(wrong.lines)),
            Error::Lines(errors) => lines(errors.0),
            Error::Export(error) => export(&error),
            Error::Row(error) => match error {
                RowError::TooLarge => Self::new(ErrorCode::MemoryLimit, words),
                RowError::OutOfRange { .. } => Self::new(ErrorCode::ExecutionFailed, words),
                RowError::Batch(error) => internal(&error),
            },
            Error::Storage(_) => unavailable(&error, &words),
            Error::Upload(error) => upload(&error),
            Error::Spool(error) => {
                unavailable(&error, "the server cannot keep the body on its disk")
            }
            Error::TooManyQueries { retry_after } => {
                Self::new(ErrorCode::TooManyQueries, words).retried_after(Some(retry_after))
            }
            Error::TooManyTexts { retry_after } => {
                Self::new(ErrorCode::TooManyWrites, words).retried_after(Some(retry_after))
            }
            Error::TooMuchHeld | Error::Opening => {
                Self::new(ErrorCode::Unavailable, words).retried_after(Some(SOON))
            }
            Error::ShuttingDown => stopping(words),
            // The panic hook has logged what and where.
            Error::BrokenOff => defect(),
            Error::Stalled => Self::new(ErrorCode::RequestTimeout, words),
            Error::Panicked(error) => internal(&error),
            Error::Unreadable(error) => internal(&error),
        }
    }
}

fn export(error: &ExportError) -> Failure {
    let words = format!("type: {error}");
    match error {
        ExportError::UnknownType { .. } | ExportError::NoType | ExportError::Both(_) => {
            Failure::new(ErrorCode::InvalidRequest, words)
        }
        ExportError::Mixed { .. } | ExportError::Ambiguous { .. } => {
            Failure::new(ErrorCode::Unsupported, words)
        }
        ExportError::Column(error) => column(error, ""),
        ExportError::Batch(error) => internal(error),
    }
}

impl Failure {
    /// Says when it may be asked for again, in whole seconds.
    fn retried_after(self, time: Option<Duration>) -> Self {
        let seconds = whole_seconds(time.unwrap_or(SOME_TIME));
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}

fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// Logs what happened and says only that it is a defect.
fn internal(error: &dyn std::error::Error) -> Failure {
    tracing::error!(error = with_causes(error), "a defect");
    defect()
}

/// When what cannot be done for now may be asked for again, where nobody knows better.
const SOME_TIME: Duration = Duration::from_secs(2);

/// Whoever takes over is there soon.
fn stopping(words: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::ShuttingDown, words).retried_after(None)
}

/// Logs what happened and says what cannot be done for now.
fn unavailable(error: &dyn std::error::Error, what: &str) -> Failure {
    unavailable_for(None, error, what)
}

/// The same, when it is known for how long.
fn unavailable_for(after: Option<Duration>, error: &dyn std::error::Error, what: &str) -> Failure {
    tracing::error!(error = with_causes(error), "temporarily impossible");
    let words = format!("{what}; nothing was changed");
    Failure::new(ErrorCode::Unavailable, words).retried_after(after)
}

fn denied(denial: &Denial) -> Failure {
    match denial {
        // Use cases say that there is no such graph, with the name that was asked for.
        Denial::Hidden(_) => Failure::new(ErrorCode::GraphNotFound, "there is no such graph"),
        Denial::Forbidden(refusal) => {
            let detail = format!(
                "{} may not do {} on {}",
                refusal.principal, refusal.action, refusal.resource
            );
            Failure::new(ErrorCode::Forbidden, detail).with_decision(refusal.decision_id)
        }
    }
}

fn types_denied(denial: &TypeDenial) -> Failure {
    let sentences: Vec<_> = denial
        .refusals
        .iter()
        .map(|refusal| {
            format!(
                "{} may not do {} on {}",
                refusal.principal, refusal.action, refusal.resource
            )
        })
        .collect();
    let failure = Failure::new(ErrorCode::Forbidden, sentences.join("; "));
    match denial.refusals.first() {
        Some(refusal) => failure.with_decision(refusal.decision_id),
        None => failure,
    }
}

fn invalid_schema(diagnostics: Diagnostics) -> Failure {
    let is_empty = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.code == Code::EmptySchema);
    let code = if is_empty {
        ErrorCode::EmptySchema
    } else {
        ErrorCode::InvalidSchema
    };
    let detail = format!("the schema cannot be used: {}", first(&diagnostics));
    Failure::new(code, detail).with_findings(findings(diagnostics))
}

fn first(diagnostics: &Diagnostics) -> String {
    diagnostics
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn findings(diagnostics: Diagnostics) -> Vec<Finding> {
    let finding = |diagnostic: language::Diagnostic| Finding {
        code: Some(diagnostic.code.as_str().to_owned()),
        message: diagnostic.message,
        line: Some(diagnostic.line as u64),
        column: Some(diagnostic.column as u64),
        end_line: Some(diagnostic.end_line as u64),
        end_column: Some(diagnostic.end_column as u64),
        suggestion: diagnostic.suggestion,
    };
    diagnostics.into_iter().map(finding).collect()
}

fn registry(error: registry::Error) -> Failure {
    use registry::Error as E;
    let words = error.to_string();
    match error {
        E::InvalidGraphId(_) | E::ReservedGraphId(_) => {
            Failure::new(ErrorCode::InvalidGraphId, words)
        }
        E::InvalidUri(error) => invalid_uri(&error),
        E::InvalidPolicyFile { .. } => Failure::new(ErrorCode::InvalidUri, words),
        E::InvalidPolicy(_) => Failure::new(ErrorCode::InvalidPolicy, words),
        E::InvalidText { .. } | E::LongText { .. } | E::TooManyLabels { .. } => {
            Failure::new(ErrorCode::InvalidRequest, words)
        }
        // Neither the case in which it is written there, nor whose it is, is the caller's to know.
        E::GraphExists(_) => Failure::new(
            ErrorCode::GraphExists,
            "there is a graph of this id already; ids are the same in any case",
        ),
        E::UriInUse { uri, relation, by } => uri_in_use(&uri, relation, &by),
        E::GraphWithin { .. } => graph_within(&error),
        E::NotItsOwn { .. } => Failure::new(ErrorCode::UriNotEmpty, words),
        E::UriNotEmpty { .. } => Failure::new(
            ErrorCode::UriNotEmpty,
            "the folder is not empty; a new graph needs an empty one",
        ),
        E::ConfigDrift {
            ref baseline,
            ref on_disk,
            ..
        } => {
            tracing::warn!(%baseline, %on_disk, "the config file was changed outside the server");
            Failure::new(
                ErrorCode::ConfigDrift,
                "the config file was changed outside the server; nothing was changed. reload it first (trellis config reload)",
            )
        }
        E::LockTimeout { .. } => Failure::new(
            ErrorCode::Unavailable,
            "the config file is being changed by another request for too long; nothing was changed",
        )
        .retried_after(None),
        E::Storage { .. } => unavailable(&error, "the storage of the graph cannot be made"),
        E::InvalidConfig { .. } | E::Edit(_) => {
            unavailable(&error, "the config file cannot be edited as it is")
        }
        E::Changed => Failure::new(
            ErrorCode::Unavailable,
            "the graph was changed or removed meanwhile; nothing was changed by this request",
        )
        .retried_after(Some(SOON)),
        E::OtherVersion(_) => Failure::new(ErrorCode::PreconditionFailed, words),
        E::Purged(_) => Failure::new(ErrorCode::GraphPurged, words),
        E::Locked { holder } => Failure::new(
            ErrorCode::GraphLocked,
            format!("{holder} holds the graph and does not let go; nothing was changed"),
        )
        .retried_after(None),
        E::Hold(_) => unavailable(&error, "the graph cannot be held"),
        E::KeyReused => Failure::new(ErrorCode::IdempotencyKeyReused, words),
        E::Unfinished(_) => unfinished(&error),
        E::Lock(_) | E::Io(_) => unavailable(&error, "the config file cannot be changed"),
        E::WrongPermit(_) | E::Halted(_) | E::NoGraph { .. } | E::Deleted { .. } | E::NoFile => {
            internal(&error)
        }
    }
}

/// Neither which graph has the uri is the caller's to know, nor whether that one is deleted.
fn uri_in_use(uri: &str, relation: Relation, by: &GraphId) -> Failure {
    tracing::info!(uri, by = by.as_str(), "the uri is in use");
    let words = format!("{uri:?} {relation} the folder of another graph");
    Failure::new(ErrorCode::UriInUse, words)
}

fn graph_within(error: &registry::Error) -> Failure {
    tracing::warn!(error = with_causes(error), "a purge was refused");
    Failure::new(
        ErrorCode::UriInUse,
        "another graph lies in the folder of the deleted graph; nothing was removed",
    )
}

fn unfinished(error: &registry::Error) -> Failure {
    tracing::error!(error = with_causes(error), "a change could not be finished");
    Failure::new(
        ErrorCode::OutcomeUnknown,
        "the config file was changed, but the change could not be finished: read before changing again",
    )
}

fn invalid_config(problems: Vec<Problem>) -> Failure {
    let count = problems.len();
    let detail = match problems.first() {
        Some(first) if count > 1 => format!("{first} (and {} more)", count - 1),
        Some(first) => first.to_string(),
        None => "the config file has errors".to_owned(),
    };
    let finding = |problem: Problem| Finding {
        message: match problem.path.as_str() {
            "" => problem.message,
            path => format!("{path}: {}", problem.message),
        },
        line: problem.line.map(|line| line as u64),
        column: problem.column.map(|column| column as u64),
        ..Finding::default()
    };
    Failure::new(ErrorCode::InvalidConfig, detail)
        .with_findings(problems.into_iter().map(finding).collect())
}

/// The caller's own words and the rule, but neither another graph's id nor the server's own paths.
fn invalid_uri(error: &UriError) -> Failure {
    let words = match error {
        UriError::NotAFolder { .. } | UriError::BrokenLink { .. } | UriError::Io { .. } => {
            tracing::info!(error = with_causes(error), "a uri cannot be followed");
            "the uri cannot be followed: something on its way is no folder".to_owned()
        }
        UriError::Empty
        | UriError::Variable(_)
        | UriError::NamesVariable
        | UriError::BadCharacter
        | UriError::UnsupportedScheme { .. }
        | UriError::BadFileUri { .. }
        | UriError::BadObjectUri { .. }
        | UriError::OutsideRoots { .. }
        | UriError::BelongsToTheRegistry { .. }
        | UriError::NoStorage => error.to_string(),
    };
    Failure::new(ErrorCode::InvalidUri, words)
}

fn handle(error: &HandleError) -> Failure {
    match error {
        HandleError::WrongPermit(_) => internal(error),
        HandleError::Absent | HandleError::Changed => Failure::new(
            ErrorCode::Unavailable,
            "the graph was changed or removed meanwhile; nothing was changed by this request",
        )
        .retried_after(Some(SOON)),
        HandleError::Closed => stopping("the server is stopping; nothing was changed"),
        HandleError::NotNow { after, source } => match source.as_ref() {
            OpenError::Locked { holder } => Failure::new(
                ErrorCode::GraphLocked,
                match holder.is_known() {
                    true => format!(
                        "{holder} holds the graph for writing since {}; nothing was changed",
                        outcome::time(holder.since_micros)
                    ),
                    false => format!("{holder} holds the graph for writing; nothing was changed"),
                },
            )
            .retried_after(None),
            OpenError::Missing { .. }
            | OpenError::Format { .. }
            | OpenError::Foreign { .. }
            | OpenError::Place(_)
            | OpenError::Unconditional
            | OpenError::File(_)
            | OpenError::OutOfReach { .. }
            | OpenError::Log(_)
            | OpenError::Columns(_)
            | OpenError::Unfinished => unavailable_for(*after, error, "the graph cannot be opened"),
        },
        // Whoever gets here may see the graph, and so its reason in /readyz.
        HandleError::Broken { told, after, .. } => Failure::new(
            ErrorCode::GraphQuarantined,
            "the graph cannot be opened and was set aside; it is tried again from time to time",
        )
        .with_findings(vec![Finding {
            message: told.clone(),
            ..Finding::default()
        }])
        .retried_after(Some(*after)),
    }
}

fn past(error: &PastError) -> Failure {
    let words = error.to_string();
    match error {
        PastError::Unknown(_) | PastError::BeforeGraph(_) => {
            Failure::new(ErrorCode::CommitNotFound, words)
        }
        PastError::Gone { .. } | PastError::NotUndoable { .. } => {
            Failure::new(ErrorCode::HistoryGone, words)
        }
        PastError::Deadline => Failure::new(ErrorCode::Timeout, words),
        // Only the server itself is still there to cancel.
        PastError::Cancelled => stopping(words),
        PastError::TooLarge { .. } => Failure::new(ErrorCode::MemoryLimit, words),
        PastError::Newest(_) => unavailable(error, "the graph cannot be read"),
        PastError::Log(_) | PastError::Record(_) | PastError::Unfit(_) => {
            match error.is_passing() {
                true => unavailable(error, "the graph's history cannot be read"),
                false => internal(error),
            }
        }
    }
}

fn step(error: StepError) -> Failure {
    let (statement, error, place) = match error {
        StepError::Failed {
            statement,
            error,
            place,
        } => (statement, error, place),
        StepError::TooMuchHeld => return Error::TooMuchHeld.into(),
    };
    let which = statement.map(|index| format!("statement {}: ", index + 1));
    let failure = execute(&error, which.unwrap_or_default());
    match place {
        Some(place) => failure.with_findings(findings(vec![*place])),
        None => failure,
    }
}

fn execute(error: &ExecuteError, place: String) -> Failure {
    use ExecuteError as E;
    let words = format!("{place}{error}");
    match error.kind() {
        E::MissingParameter { .. } | E::ParameterType { .. } => {
            Failure::new(ErrorCode::InvalidParameters, words)
        }
        E::Type { .. }
        | E::Arithmetic { .. }
        | E::Argument { .. }
        | E::RowNumber { .. }
        | E::UnknownProperty { .. }
        | E::MergeNull { .. }
        | E::MergeKey { .. }
        | E::MissingEnd { .. }
        | E::TooComplex { .. } => Failure::new(ErrorCode::ExecutionFailed, words),
        E::Deadline => Failure::new(ErrorCode::Timeout, words),
        // Only the server itself is still there to cancel.
        E::Cancelled => stopping(words),
        E::RowLimit { .. } => Failure::new(ErrorCode::RowLimit, words),
        E::MemoryLimit { .. } => Failure::new(ErrorCode::MemoryLimit, words),
        E::Write(error) => write(error, &place),
        E::Column(error) => column(error, &place),
        _ => Failure::new(ErrorCode::ExecutionFailed, words),
    }
}

/// A column that is on disk alone.
fn column(error: &ColumnError, place: &str) -> Failure {
    match error {
        ColumnError::TooLarge { .. } => {
            Failure::new(ErrorCode::MemoryLimit, format!("{place}{error}"))
        }
        ColumnError::Full { .. } => Failure::new(ErrorCode::Unavailable, format!("{place}{error}"))
            .retried_after(Some(SOON)),
        ColumnError::Table { .. } | ColumnError::Unfit { .. } => {
            unavailable(error, "a part of the graph cannot be read")
        }
    }
}

fn write(error: &WriteError, place: &str) -> Failure {
    let code = match error {
        WriteError::DuplicateKey { .. } => ErrorCode::DuplicateKey,
        WriteError::MissingProperty { .. } => ErrorCode::MissingProperty,
        WriteError::InvalidValue { .. }
        | WriteError::KeyChange { .. }
        | WriteError::WrongEnds { .. } => ErrorCode::InvalidValue,
        WriteError::Deleted { .. } => ErrorCode::Gone,
        WriteError::TooLarge { .. } => ErrorCode::MemoryLimit,
        WriteError::Column(error) => return column(error, place),
        WriteError::HasRelationships { .. } => ErrorCode::NodeHasRelationships,
        WriteError::UnknownType(_) | WriteError::UnknownProperty { .. } => {
            ErrorCode::ExecutionFailed
        }
    };
    Failure::new(code, format!("{place}{error}"))
}

fn commit<E: std::error::Error + 'static>(
    error: CommitError<E>,
    work: impl FnOnce(E) -> Failure,
) -> Failure {
    use CommitError as C;
    let words = error.to_string();
    match error {
        C::Work(error) => work(error),
        C::Write(error) => write(&error, ""),
        C::NotHead { .. } => Failure::new(ErrorCode::CommitMismatch, words),
        C::KeyReused => Failure::new(ErrorCode::IdempotencyKeyReused, words),
        C::AnswerTooLarge { .. } => Failure::new(
            ErrorCode::MemoryLimit,
            format!("{words}; return less, or leave the key out. Nothing was changed"),
        ),
        C::Late => Failure::new(ErrorCode::Timeout, format!("{words}; nothing was changed")),
        C::Busy { retry_after, .. } => {
            let seconds = whole_seconds(retry_after);
            Failure::new(
                ErrorCode::TooManyWrites,
                format!("{words}; nothing was changed. Try again in {seconds} s"),
            )
            .retried_after(Some(retry_after))
        }
        C::Unfolded { retry_after } => unavailable_for(Some(retry_after), &error, &words),
        C::Superseded => Failure::new(
            ErrorCode::GraphLocked,
            format!("{words}; nothing was changed"),
        )
        .retried_after(Some(SOON)),
        C::Closed => stopping("the graph is closing; nothing was changed"),
        C::Panicked => internal(&error),
        C::Record(_) => internal(&error),
        C::SideFile(_) | C::NotWritten(_) => unavailable(&error, "the commit could not be stored"),
        C::Unknown(_) => {
            tracing::error!(
                error = with_causes(&error),
                "the outcome of a commit is not known"
            );
            Failure::new(
                ErrorCode::OutcomeUnknown,
                "it cannot be told whether the commit was stored: send the same request again if it \
                 had an Idempotency-Key, else read before writing again",
            )
        }
    }
}

fn lines(errors: Vec<LineError>) -> Failure {
    let count = errors.len();
    let detail = match errors.first() {
        Some(first) => format!("nothing was loaded; line {}: {}", first.line, first.message),
        None => "nothing was loaded".to_owned(),
    };
    let more = if count > 1 {
        format!(" (and {} more)", count - 1)
    } else {
        String::new()
    };
    let finding = |error: LineError| Finding {
        message: error.message,
        line: Some(error.line),
        ..Finding::default()
    };
    Failure::new(ErrorCode::InvalidRows, detail + &more)
        .with_findings(errors.into_iter().map(finding).collect())
}

fn upload(error: &UploadError) -> Failure {
    let words = error.to_string();
    match error {
        UploadError::TooLarge { .. } => Failure::new(ErrorCode::BodyTooLarge, words),
        UploadError::TooSlow { .. } => Failure::new(ErrorCode::RequestTimeout, words),
        UploadError::BrokenOff(_) => Failure::new(ErrorCode::InvalidRequest, with_causes(error)),
    }
}
