//! Making a graph's folder.

use std::path::PathBuf;

use language::schema::Schema;
use uuid::Uuid;

use crate::clock;
use crate::files::FileError;
use crate::graph::log::{Log, Right};
use crate::graph::{FORMAT, Identity, LEASE, LOCAL_EPOCH};
use crate::record::{
    Body, CatalogueChange, ChangeCounts, Changes, CommitId, Header, Record, RecordError,
};
use crate::store::claim::ClaimError;
use crate::store::{PlaceError, Store};

/// What a new graph is.
#[derive(Clone, Debug)]
pub struct NewGraph {
    /// Its identity for life; nothing else is ever deleted in its name.
    pub graph: Uuid,
    /// What it may contain.
    pub schema: Schema,
    /// Who makes it.
    pub principal: String,
}

impl NewGraph {
    /// A graph with a fresh identity.
    pub fn new(schema: Schema, principal: impl Into<String>) -> Self {
        Self {
            graph: Uuid::new_v4(),
            schema,
            principal: principal.into(),
        }
    }
}

/// Why a graph was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The folder has something in it. Nothing was changed.
    #[error("{} is not empty", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The place cannot be reached.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The object store cannot keep two writers apart.
    #[error(
        "the object store cannot hold a graph: it stores an object under a name that is taken \
         (conditional writes, If-None-Match, are needed)"
    )]
    Unconditional,
    /// The log could not be made.
    #[error("cannot make the graph's log")]
    Log(#[from] journal::Error),
    /// The first commit could not be written.
    #[error("cannot write the graph's first commit")]
    Append(#[from] journal::AppendError),
    /// The first commit could not be encoded.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl CreateError {
    fn of(error: ClaimError, store: &Store) -> Self {
        match error {
            // Another one came to the same place at the same moment.
            ClaimError::Held(_) => Self::NotEmpty {
                folder: store.place(""),
            },
            ClaimError::Unconditional => Self::Unconditional,
            ClaimError::File(error) => error.into(),
        }
    }
}

impl super::Graph {
    /// Makes a graph in `store`, whose folder is made too when it is missing. When this returns, the
    /// graph is durable. After an error the place may hold a part of it, under its own `graph.json`
    /// or none: the caller, who knows whether the folder was there before, removes it.
    ///
    /// # Errors
    /// [`CreateError::NotEmpty`] when the folder has something in it, else what failed.
    pub fn create(store: impl Into<Store>, new: NewGraph) -> Result<(), CreateError> {
        let store = store.into();
        store.make_folder("")?;
        if !store.is_empty()? {
            return Err(CreateError::NotEmpty {
                folder: store.place(""),
            });
        }
        let identity = Identity {
            format: FORMAT,
            uuid: new.graph,
            in_log: true,
        };
        let json = serde_json::json!(identity).to_string();
        if !store.put_first("graph.json", &[json.as_bytes(), b"\n"])? {
            return Err(CreateError::NotEmpty {
                folder: store.place(""),
            });
        }
        for name in ["files", "tables", "checkpoints"] {
            store.make_folder(name)?;
        }
        let right =
            Right::take(&store, LEASE, 1).map_err(|error| CreateError::of(error, &store))?;
        let mut log = Log::create(&store, right, LEASE)?;
        log.append(&[first_commit(new).encode()?])?;
        log.close()?;
        Ok(())
    }
}

/// The commit that gives the graph its schema.
fn first_commit(new: NewGraph) -> Record {
    let header = Header {
        lsn: 1,
        branch: 0,
        sequence: 1,
        previous_lsn: 0,
        epoch: LOCAL_EPOCH,
        id: CommitId(Uuid::now_v7()),
        parents: Vec::new(),
        time_micros: clock::now_micros(),
        principal: new.principal,
        run: new.graph,
        message: Some("create the graph".to_owned()),
        request: None,
        decision: None,
        idempotency: None,
        schema_version: new.schema.version,
        counts: ChangeCounts::default(),
        next_ids: Vec::new(),
    };
    let catalogue = vec![CatalogueChange::Schema(new.schema)];
    Record::Commit(
        header,
        Body::Inline(Changes {
            catalogue,
            rows: Vec::new(),
        }),
    )
}
