//! What can go wrong in the registry. The server maps each variant to one status and code.

use std::path::PathBuf;
use std::time::Duration;

use storage_engine::CreateError;

use crate::config::Problem;
use crate::config::edit::EditError;
use crate::config::lock::LockError;
use crate::durable::DiskError;
use crate::policy_file::PolicyFileError;
use crate::refusal::WrongPermit;
use crate::uri::{Relation, UriError};
use crate::{Digest, GraphId, GraphIdError, Step};

/// Every failure of the registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The id breaks a rule (400 `invalid_graph_id`).
    #[error(transparent)]
    InvalidGraphId(GraphIdError),
    /// The id is a reserved word (400 `invalid_graph_id`).
    #[error(transparent)]
    ReservedGraphId(GraphIdError),
    /// The location cannot be used (400 `invalid_uri`).
    #[error(transparent)]
    InvalidUri(#[from] UriError),
    /// The policy file cannot be used (400). Its content is never told.
    #[error("the policy file {written:?} {reason}")]
    InvalidPolicyFile {
        /// As given.
        written: String,
        /// Why, to be read after the file's name: `is outside server.allow_roots`.
        reason: &'static str,
    },
    /// The policy file is in its place and no sound policy (400 `invalid_policy`). Tell its summary, not
    /// its text, which quotes the file.
    #[error("the policy file cannot be used: {}", .0.summary())]
    InvalidPolicy(#[source] PolicyFileError),
    /// The permit is not one to create graphs: a defect of the caller.
    #[error(transparent)]
    WrongPermit(#[from] WrongPermit),
    /// A tenant or a label that cannot be kept (400).
    #[error("the {field} must not be empty, nor be <<, nor contain a control character")]
    InvalidText {
        /// `tenant`, `label` or `label value`.
        field: &'static str,
    },
    /// A tenant or a label that is too long (400).
    #[error("the {field} is too long; it may have {longest} bytes")]
    LongText {
        /// `tenant`, `label` or `label value`.
        field: &'static str,
        /// In bytes.
        longest: usize,
    },
    /// Too many labels (400).
    #[error("there are too many labels; a graph may have {most}")]
    TooManyLabels {
        /// How many there may be.
        most: usize,
    },
    /// The id is taken, in this or another case (409 `graph_exists`).
    #[error("there is a graph \"{0}\" already")]
    GraphExists(GraphId),
    /// The folder belongs to another graph, a registered one or a deleted one whose data is kept, lies in
    /// its folder or around it (409 `uri_in_use`).
    #[error("{uri:?} {relation} the folder of the graph \"{by}\"")]
    UriInUse {
        /// As given.
        uri: String,
        /// How it lies to the other's folder.
        relation: Relation,
        /// The graph that has it.
        by: GraphId,
    },
    /// Another graph lies in the folder of a deleted one (409 `uri_in_use`). Nothing was removed.
    #[error(
        "another graph lies in the folder of the deleted graph \"{graph_id}\", at {}; nothing was removed",
        path.display()
    )]
    GraphWithin {
        /// The deleted graph.
        graph_id: GraphId,
        /// Where the other one lies.
        path: PathBuf,
    },
    /// What lies in the folder of a deleted graph cannot be shown to be that graph's (409 `uri_not_empty`).
    /// Nothing was removed.
    #[error(
        "the data at {uri:?} cannot be shown to be that of the deleted graph \"{graph_id}\", for its graph.json cannot be read or names another graph; nothing was removed"
    )]
    NotItsOwn {
        /// The deleted graph.
        graph_id: GraphId,
        /// Its uri, as written.
        uri: String,
    },
    /// There is something in the folder already (409 `uri_not_empty`).
    #[error("the folder {} is not empty; a new graph needs an empty or a new one", path.display())]
    UriNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The config file was changed by hand (503 `config_drift`). Nothing was changed.
    #[error(
        "the config file {} was changed outside the server since it was last read; reload it first",
        path.display()
    )]
    ConfigDrift {
        /// The config file.
        path: PathBuf,
        /// The version this server knows.
        baseline: Digest,
        /// The version on the disk.
        on_disk: Digest,
    },
    /// The config file is not sound.
    #[error("the config file {} cannot be used{}", path.display(), first(problems))]
    InvalidConfig {
        /// The config file.
        path: PathBuf,
        /// All of them.
        problems: Vec<Problem>,
    },
    /// The lock was not had in time (503).
    #[error("the config file is being changed by another request for more than {} ms", waited.as_millis())]
    LockTimeout {
        /// How long was waited.
        waited: Duration,
        /// Who holds it.
        #[source]
        source: Option<LockError>,
    },
    /// The lock cannot be had at all.
    #[error("cannot lock the config file")]
    Lock(#[source] LockError),
    /// The config file's YAML cannot be edited with certainty.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The graph's storage was not made.
    #[error("cannot initialise the storage of the graph \"{graph_id}\"")]
    Storage {
        /// The graph that was to be.
        graph_id: GraphId,
        /// The engine's reason.
        #[source]
        source: StorageError,
    },
    /// There is no graph where a server of one graph was to find it.
    #[error(
        "{} is no graph: it has no readable graph.json; a server with a config file creates one",
        path.display()
    )]
    NoGraph {
        /// The folder.
        path: PathBuf,
    },
    /// What a server of one graph was to serve was deleted from the config file that it borrows.
    #[error(
        "the graph at {} was deleted, as \"{graph_id}\" of {}: restore it first, on a server of that file, with `trellis graph restore {graph_id}`",
        path.display(),
        config.display()
    )]
    Deleted {
        /// The folder.
        path: PathBuf,
        /// The config file.
        config: PathBuf,
        /// What it was called.
        graph_id: GraphId,
    },
    /// The server has no config file that could be changed or read again.
    #[error("the server runs without a config file")]
    NoFile,
    /// The graph's registration is not the one that was decided about (503): ask again.
    #[error("the graph's registration has changed since the decision")]
    Changed,
    /// The registration is another version than the caller has seen (412).
    #[error("the registration of the graph \"{0}\" has changed; read it again")]
    OtherVersion(GraphId),
    /// The graph was deleted and its data is gone (410).
    #[error("the graph \"{0}\" was purged")]
    Purged(GraphId),
    /// Another process, or a write under way, has the graph and does not let go (503).
    #[error("{holder} holds the graph")]
    Locked {
        /// Who.
        holder: storage_engine::Holder,
    },
    /// The graph cannot be held (503).
    #[error("the graph cannot be held for writing")]
    Hold(#[source] storage_engine::OpenError),
    /// The key stands for another request (422).
    #[error("the Idempotency-Key was used for another request; nothing was done")]
    KeyReused,
    /// A step on the disk failed.
    #[error(transparent)]
    Io(#[from] DiskError),
    /// The config file was replaced, and what follows failed (503 `outcome_unknown`): the change has
    /// happened or will be finished by whoever comes next, unless the system lost the file's new name.
    #[error("the config file was changed, but the change could not be finished")]
    Unfinished(#[source] Box<Error>),
    /// A fault hook ended the attempt after this step, as a crash would have. Tests only.
    #[error("ended after the step {0:?}")]
    Halted(Step),
}

impl Error {
    /// What failed once the config file had been replaced.
    pub(crate) fn unfinished(error: impl Into<Self>) -> Self {
        match error.into() {
            error @ Self::Halted(_) => error,
            error => Self::Unfinished(Box::new(error)),
        }
    }

    /// Why a graph's writer lock was not had.
    pub(crate) fn held(error: storage_engine::OpenError) -> Self {
        match error {
            storage_engine::OpenError::Locked { holder } => Self::Locked { holder },
            error => Self::Hold(error),
        }
    }
}

/// Why the storage of a new graph was not made.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] CreateError),
    /// The engine left no mark, without which a crash could not be told from a stranger's folder.
    #[error("graph.json does not carry the graph's uuid")]
    Unmarked,
}

fn first(problems: &[Problem]) -> String {
    let Some((first, others)) = problems.split_first() else {
        return String::new();
    };
    match others.len() {
        0 => format!(": {first}"),
        others => format!(": {first} (and {others} more)"),
    }
}

impl From<GraphIdError> for Error {
    fn from(error: GraphIdError) -> Self {
        match error {
            GraphIdError::Reserved { .. } => Self::ReservedGraphId(error),
            error => Self::InvalidGraphId(error),
        }
    }
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Timeout { waited, .. } => Self::LockTimeout {
                waited,
                source: Some(error),
            },
            error => Self::Lock(error),
        }
    }
}
