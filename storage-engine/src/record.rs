//! What a commit is in the log.
//!
//! A log entry is one byte of format, then a [`Record`] in postcard. Records hold effects, not
//! statements: ids, times and values are decided before they are written, so that replaying needs
//! no Cypher, no clock and no randomness. Adding a variant at the end of an enum keeps old logs
//! readable; anything else is a new format byte. `tests::bytes_are_pinned` notices a slip.

mod heading;

use std::sync::Arc;

use language::schema::{PropertyId, Schema, TypeId};
use language::value::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use heading::{Heading, Horizon};

/// The format byte of entries written now.
const FORMAT: u8 = 1;

/// The one branch that exists until branches do.
pub const MAIN: &str = "main";

/// Identifies a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitId(pub Uuid);

impl std::fmt::Display for CommitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are commits, and none is kept"
)]
pub(crate) enum Record {
    /// A commit.
    Commit(Header, Body),
    /// A writer begins. Only in an object store.
    Term(Term),
    /// What is before a point is to be collected. It is in the log before anything is removed.
    Horizon(Horizon),
}

/// The beginning of a writer. It takes a position in the log and none on a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Term {
    /// Position in the graph's log.
    pub(crate) lsn: u64,
    /// The number of the writer, above that of every one before it.
    pub(crate) epoch: u64,
    /// Microseconds since 1970, UTC.
    pub(crate) time_micros: i64,
    /// Its process and host.
    pub(crate) pid: u32,
    pub(crate) host: String,
}

/// What a commit is, apart from its changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Position in the graph's log.
    pub(crate) lsn: u64,
    /// The line of history, by id; 0 is `main`.
    pub(crate) branch: u32,
    /// Position on the branch, from 1, without gaps.
    pub(crate) sequence: u64,
    /// Position in the log of the commit before it on the branch; 0 for the first.
    pub(crate) previous_lsn: u64,
    /// The term of the writer.
    pub(crate) epoch: u64,
    pub(crate) id: CommitId,
    pub(crate) parents: Vec<CommitId>,
    /// Microseconds since 1970, UTC; larger than that of the commit before it.
    pub(crate) time_micros: i64,
    pub(crate) principal: String,
    pub(crate) run: Uuid,
    pub(crate) message: Option<String>,
    /// The HTTP request that asked for it, and the policy decision that allowed it.
    pub(crate) request: Option<String>,
    pub(crate) decision: Option<Uuid>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) schema_version: u64,
    pub(crate) counts: ChangeCounts,
    /// Per type that the commit adds rows to: the first id that no row has had.
    pub(crate) next_ids: Vec<(TypeId, u64)>,
}

/// The key of a request that must not be carried out twice, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Idempotency {
    pub(crate) key: String,
    /// SHA-256 of what was asked.
    pub(crate) digest: [u8; 32],
    /// What the request was answered besides the commit and its counts.
    pub(crate) answer: String,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// In the record itself.
    Inline(Changes),
    /// In an immutable file of the graph's `files/`, synced before the record.
    File(SideFile),
    /// New rows as columns in such files.
    Columns(Columns),
}

/// What a large load brings: rows that are all new, each type's in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Columns {
    /// Everything that the graph had is deleted first.
    pub(crate) truncate: bool,
    /// Node types before edge types.
    pub(crate) tables: Vec<ColumnFile>,
}

/// New rows of one type as columns (`column_file.rs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnFile {
    pub(crate) type_id: TypeId,
    /// The id of the first row; those of the others follow without holes.
    pub(crate) first_id: u64,
    /// Digest of the type's columns: the file is of no use for others.
    pub(crate) layout: [u8; 32],
    pub(crate) file: SideFile,
}

impl Body {
    /// The files that it is in.
    pub(crate) fn files(&self) -> impl Iterator<Item = &SideFile> {
        let (one, several) = match self {
            Self::Inline(_) => (None, &[][..]),
            Self::File(file) => (Some(file), &[][..]),
            Self::Columns(columns) => (None, &columns.tables[..]),
        };
        one.into_iter()
            .chain(several.iter().map(|table| &table.file))
    }

    /// Whether it says what was there before. Rows that came as columns are known as a range of ids
    /// only, and those that an overwriting load deleted not at all: the state before such a commit is
    /// had from a checkpoint before it, never by going back from after it.
    pub(crate) fn can_be_undone(&self) -> bool {
        !matches!(self, Self::Columns(_))
    }
}

/// A large body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SideFile {
    /// File name within `files/`.
    pub(crate) name: String,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
    /// How the file is to be read.
    pub(crate) encoding: Encoding,
    /// How many rows it changes.
    pub(crate) rows: u64,
}

/// How the names of side files end.
const CHANGES: &str = ".changes";
const COLUMNS: &str = ".columns";

/// How a side file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Encoding {
    /// [`Changes`], as they would stand inline.
    Changes,
    /// Columns of new rows, as an Arrow IPC stream.
    Columns,
}

/// The changes of a commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// First, so that the rows can be read.
    pub(crate) catalogue: Vec<CatalogueChange>,
    pub(crate) rows: Vec<Change>,
}

/// A change of what the graph is, rather than of its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum CatalogueChange {
    /// The schema from here on.
    Schema(Schema),
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) type_id: TypeId,
    pub(crate) id: u64,
    pub(crate) row: RowChange,
}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RowChange {
    /// It is new.
    Insert {
        values: Vec<(PropertyId, Value)>,
        identity: Option<Arc<str>>,
        ends: Option<(u64, u64)>,
    },
    /// Some of its properties changed.
    Update { values: Vec<ValueChange> },
    /// It is gone; this is what it was.
    Delete {
        values: Vec<(PropertyId, Value)>,
        identity: Option<Arc<str>>,
        ends: Option<(u64, u64)>,
    },
}

/// A property before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ValueChange {
    pub(crate) property: PropertyId,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// How much a commit changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Nodes that are new.
    pub nodes_created: u64,
    /// Nodes that are gone.
    pub nodes_deleted: u64,
    /// Edges that are new.
    pub edges_created: u64,
    /// Edges that are gone.
    pub edges_deleted: u64,
    /// Properties set on nodes and edges, new ones included.
    pub properties_set: u64,
}

impl ChangeCounts {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A commit as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Identifies it.
    pub id: CommitId,
    /// The branch that it is on.
    pub branch: String,
    /// Its position on the branch, from 1.
    pub sequence: u64,
    /// The commits that it follows.
    pub parents: Vec<CommitId>,
    /// Microseconds since 1970, UTC.
    pub time_micros: i64,
    /// Who made it.
    pub principal: String,
    /// The execution that made it.
    pub run: Uuid,
    /// What its author said of it.
    pub message: Option<String>,
}

impl Header {
    /// The commit as people see it.
    pub(crate) fn info(&self) -> CommitInfo {
        CommitInfo {
            id: self.id,
            branch: MAIN.to_owned(),
            sequence: self.sequence,
            parents: self.parents.clone(),
            time_micros: self.time_micros,
            principal: self.principal.clone(),
            run: self.run,
            message: self.message.clone(),
        }
    }
}

/// A log entry that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer Trellis.
    #[error("log entries of format {0} are not known to this version of Trellis")]
    Format(u8),
    /// The bytes are whole, as their checksum says, but they are no record.
    #[error("the log entry cannot be read")]
    Decode(#[source] postcard::Error),
    /// The record cannot be written.
    #[error("the log entry cannot be written")]
    Encode(#[source] postcard::Error),
}

impl Record {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        postcard::to_extend(self, vec![FORMAT]).map_err(RecordError::Encode)
    }

    pub(crate) fn decode(entry: &[u8]) -> Result<Self, RecordError> {
        decode(entry)
    }

    /// Its position in the log, as it says itself.
    pub(crate) fn lsn(&self) -> u64 {
        match self {
            Self::Commit(header, _) => header.lsn,
            Self::Horizon(horizon) => horizon.lsn,
            Self::Term(term) => term.lsn,
        }
    }
}

/// What stands after the format byte, down to the last byte.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        Some((&FORMAT, bytes)) => match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(RecordError::Decode(postcard::Error::DeserializeBadEncoding)),
            Err(error) => Err(RecordError::Decode(error)),
        },
        Some((&other, _)) => Err(RecordError::Format(other)),
        None => Err(RecordError::Decode(
            postcard::Error::DeserializeUnexpectedEnd,
        )),
    }
}

impl SideFile {
    /// A new name. It begins with the log position, so that a file which no record came to name can
    /// be told from those of the log before it.
    pub(crate) fn name(lsn: u64, encoding: Encoding) -> String {
        let extension = match encoding {
            Encoding::Changes => CHANGES,
            Encoding::Columns => COLUMNS,
        };
        format!("{lsn:020}-{}{extension}", Uuid::new_v4().simple())
    }

    /// The file's name within the graph.
    pub(crate) fn place(&self) -> String {
        format!("files/{}", self.name)
    }

    /// The position in a name.
    pub(crate) fn lsn(name: &str) -> Option<u64> {
        let (lsn, rest) = name.split_once('-')?;
        let known = rest.ends_with(CHANGES) || rest.ends_with(COLUMNS);
        let ours = lsn.len() == 20 && known;
        ours.then(|| lsn.parse().ok()).flatten()
    }
}

impl Changes {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        postcard::to_extend(self, vec![FORMAT]).map_err(RecordError::Encode)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests;
