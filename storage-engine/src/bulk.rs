//! Rows that one commit brings as columns: stored beside the log, adopted as they are.
//!
//! They are made outside of the leader, with ids that no row has had; the leader checks that this
//! still holds, names their files and takes them in. Replaying takes them in the same way.

use std::sync::Arc;

use language::schema::TypeId;

use crate::chunk::{Chunk, Written};
use crate::column_file::{self, ColumnsError, Unnamed};
use crate::columns::Layout;
use crate::files::FileError;
use crate::keys::KeyLevel;
use crate::record::{ChangeCounts, ColumnFile, Columns, Header};
use crate::replay::ReplayError;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::topology::Level;

/// New rows of one type, whose ids follow on one another, with their index.
#[derive(Debug)]
pub(crate) struct Addition {
    pub(crate) layout: Arc<Layout>,
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) index: Index,
}

/// Where to find added rows.
#[derive(Debug)]
pub(crate) enum Index {
    /// By key, for nodes.
    Keys(Arc<KeyLevel>),
    /// From their sources and from their targets, for edges.
    Links([Arc<Level>; 2]),
}

/// What one commit brings.
#[derive(Debug)]
pub(crate) struct Bulk {
    /// Everything that the graph has is deleted first.
    pub(crate) truncate: bool,
    /// Node types before edge types.
    pub(crate) additions: Vec<Addition>,
    /// A file for each.
    pub(crate) files: Vec<Unnamed>,
    pub(crate) counts: ChangeCounts,
}

impl Addition {
    /// The rows with their index, which takes some time to make.
    pub(crate) fn new(layout: Arc<Layout>, chunks: Vec<Arc<Chunk>>) -> Self {
        let edges = || chunks.iter().flat_map(|chunk| crate::base::edges(chunk));
        let index = match layout.ends {
            None => {
                let chunks = chunks.iter().map(|chunk| &**chunk);
                Index::Keys(Arc::new(KeyLevel::of_chunks(&layout, chunks)))
            }
            Some(_) => std::thread::scope(|scope| {
                let turned = edges().map(|(edge, source, target)| (edge, target, source));
                let incoming = scope.spawn(|| Level::build(turned));
                let outgoing = Level::build(edges());
                if layout.may_loop() {
                    outgoing.look_for_loops();
                }
                let incoming = incoming
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                Index::Links([Arc::new(outgoing), Arc::new(incoming)])
            }),
        };
        Self {
            layout,
            chunks,
            index,
        }
    }

    /// The id of the first row.
    pub(crate) fn first_id(&self) -> u64 {
        self.chunks.first().map_or(0, |chunk| chunk.first())
    }

    /// The first id after those of the rows.
    pub(crate) fn next_id(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.last() + 1)
    }
}

impl Bulk {
    /// The ids that it gives.
    pub(crate) fn next_ids(&self) -> Vec<(TypeId, u64)> {
        let ids = self.additions.iter();
        ids.map(|addition| (addition.layout.type_id, addition.next_id()))
            .collect()
    }

    /// Names the files for the record at `lsn`, durably. `named` has the place of each that got a
    /// name, also when this fails half-way.
    pub(crate) fn name_files(
        self,
        lsn: u64,
        named: &mut Vec<String>,
    ) -> Result<Columns, FileError> {
        let mut tables = Vec::with_capacity(self.files.len());
        for (addition, file) in self.additions.iter().zip(self.files) {
            let file = file.name(lsn)?;
            named.push(file.place());
            tables.push(ColumnFile {
                type_id: addition.layout.type_id,
                first_id: addition.first_id(),
                layout: column_file::layout_digest(&addition.layout),
                file,
            });
        }
        Ok(Columns {
            truncate: self.truncate,
            tables,
        })
    }
}

/// Reads what a record names.
pub(crate) fn read(
    store: &Store,
    columns: &Columns,
    snapshot: &Snapshot,
) -> Result<Vec<Addition>, ColumnsReplayError> {
    let read = |table: &ColumnFile| {
        let type_id = table.type_id;
        let rows = snapshot
            .rows(type_id)
            .ok_or(ReplayError::UnknownType(type_id))?;
        let layout = rows.layout.clone();
        let chunks = column_file::read(store, &layout, table)?;
        Ok(Addition::new(layout, chunks))
    };
    columns.tables.iter().map(read).collect()
}

/// Columns that a record names and that cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ColumnsReplayError {
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl Snapshot {
    /// Takes in what a commit brings, after deleting everything when it says so.
    pub(crate) fn take_in(&mut self, truncate: bool, additions: &[Addition], written: Written) {
        if truncate {
            self.clear(written.lsn);
        }
        for addition in additions {
            self.append(addition, written);
        }
    }

    /// Carries out a commit that the log has, whose columns were read.
    pub(crate) fn replay_columns(
        &mut self,
        header: &Header,
        truncate: bool,
        additions: &[Addition],
    ) {
        let (lsn, run) = (header.lsn, header.run);
        self.take_in(truncate, additions, Written { lsn, run });
        for (type_id, next_id) in &header.next_ids {
            self.reserve(*type_id, *next_id, header.lsn);
        }
        self.remember(header);
        self.advance(header.info(), header.lsn);
    }
}
