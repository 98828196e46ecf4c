//! A load as columns: made ready outside of the leader, checked and taken in inside.
//!
//! What is made ready names ids that nobody has had when it began. By its turn others may have come
//! so far, taken a key, or deleted a node that an edge of it ends at: the first means new numbers,
//! the others are mistakes of the load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::ArrowError;
use language::schema::TypeId;

use super::context::{Context, GAP};
use super::gather::{Gathered, Table, absent, tell};
use super::part::{Flaw, Lines};
use super::{Errors, LineError, Loaded};
use crate::bulk::{Addition, Bulk, Index};
use crate::chunk::{Chunk, Written};
use crate::column_file::{self, Unnamed};
use crate::columns::Layout;
use crate::files::FileError;
use crate::keys;
use crate::record::ChangeCounts;
use crate::rows::Rows;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::transaction::Transaction;

/// Why a load cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("{} line(s) of the load are wrong", .0.len())]
    Lines(Vec<LineError>),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the rows cannot be held as columns")]
    Columns(#[from] ArrowError),
}

/// A load that is ready to be taken in.
#[derive(Debug)]
pub(crate) struct Ready {
    context: Arc<Context>,
    store: Store,
    additions: Vec<Addition>,
    files: Vec<Unnamed>,
    /// For each addition.
    lines: Vec<Lines>,
    properties_set: u64,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Taken {
    Loaded(Loaded),
    /// Its ids have been given to others.
    Outrun(Box<Ready>),
    Wrong(Vec<LineError>),
}

impl Ready {
    /// Builds the indexes and writes the files.
    pub(crate) fn new(
        context: Arc<Context>,
        gathered: Gathered,
        store: &Store,
    ) -> Result<Self, NotReady> {
        if !gathered.errors.is_empty() {
            return Err(NotReady::Lines(gathered.errors));
        }
        let mut tables = Vec::new();
        let mut lines = Vec::new();
        for table in gathered.tables.into_iter().filter(|table| table.rows > 0) {
            let Table { layout, chunks, .. } = table;
            lines.push(table.lines);
            tables.push((layout, chunks));
        }
        let (additions, files) = build(tables, store)?;
        Ok(Self {
            context,
            store: store.clone(),
            additions,
            files,
            lines,
            properties_set: gathered.properties_set,
        })
    }

    /// Gives it ids that follow on those of `now`.
    pub(crate) fn renumber(self, now: &Snapshot) -> Result<Self, NotReady> {
        let mut moves = BTreeMap::new();
        for addition in &self.additions {
            let type_id = addition.layout.type_id;
            let next = now.rows(type_id).map_or(1, |rows| rows.next_id);
            moves.insert(type_id, (addition.first_id(), next + GAP));
        }
        let moved = |type_id: TypeId| {
            let (from, to) = moves.get(&type_id).copied().unwrap_or((u64::MAX, 0));
            move |id: u64| id.checked_sub(from).map_or(id, |place| to + place)
        };
        let nobody = TypeId(u32::MAX);
        let tables = self.additions.into_iter().map(|addition| {
            let (source, target) = addition.layout.ends.unwrap_or((nobody, nobody));
            let own = moved(addition.layout.type_id);
            let chunks = addition.chunks.iter().map(|chunk| {
                let first = own(chunk.first());
                Arc::new(chunk.renumbered(first, moved(source), moved(target)))
            });
            let chunks: Vec<_> = chunks.collect();
            (addition.layout, chunks)
        });
        let (additions, files) = build(tables.collect(), &self.store)?;
        Ok(Self {
            additions,
            files,
            ..self
        })
    }

    /// Takes it into a transaction that has no other changes.
    pub(crate) fn take_in(self, transaction: &mut Transaction) -> Taken {
        let now = transaction.snapshot();
        let outrun = self.additions.iter().any(|addition| {
            let rows = now.rows(addition.layout.type_id);
            rows.is_none_or(|rows| rows.next_id > addition.first_id())
        });
        if outrun {
            return Taken::Outrun(Box::new(self));
        }
        if !self.context.fresh
            && let Err(errors) = self.check(now)
        {
            return Taken::Wrong(errors);
        }
        let loaded = self.loaded();
        let truncate = self.context.fresh;
        let counts = self.counts(now);
        if self.additions.is_empty() && counts.is_empty() {
            return Taken::Loaded(loaded);
        }
        let (lsn, run) = (transaction.lsn, transaction.run);
        let snapshot = &mut transaction.snapshot;
        snapshot.take_in(truncate, &self.additions, Written { lsn, run });
        transaction.bulk = Some(Bulk {
            truncate,
            additions: self.additions,
            files: self.files,
            counts,
        });
        Taken::Loaded(loaded)
    }

    /// Holds it against what was committed since it was read.
    fn check(&self, now: &Snapshot) -> Result<(), Vec<LineError>> {
        let then = &self.context.snapshot;
        let mut errors = Errors::default();
        if now.lsn() == then.lsn() {
            return Ok(());
        }
        for (addition, lines) in self.additions.iter().zip(&self.lines) {
            match &addition.index {
                Index::Keys(_) => check_keys(addition, lines, then, now, &mut errors),
                Index::Links(_) => check_ends(addition, lines, then, now, &mut errors),
            }
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors.sorted()),
        }
    }

    fn loaded(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for addition in &self.additions {
            let counts = match addition.layout.ends {
                None => &mut loaded.nodes,
                Some(_) => &mut loaded.edges,
            };
            counts.insert(addition.layout.name.clone(), rows(addition));
        }
        loaded
    }

    fn counts(&self, now: &Snapshot) -> ChangeCounts {
        let mut counts = ChangeCounts {
            properties_set: self.properties_set,
            ..ChangeCounts::default()
        };
        for addition in &self.additions {
            *(match addition.layout.ends {
                None => &mut counts.nodes_created,
                Some(_) => &mut counts.edges_created,
            }) += rows(addition);
        }
        for table in now.tables().filter(|_| self.context.fresh) {
            *(match table.layout.ends {
                None => &mut counts.nodes_deleted,
                Some(_) => &mut counts.edges_deleted,
            }) += table.count;
        }
        counts
    }
}

fn rows(addition: &Addition) -> u64 {
    addition.chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// The indexes, while the files are written beside.
fn build(
    tables: Vec<(Arc<Layout>, Vec<Arc<Chunk>>)>,
    store: &Store,
) -> Result<(Vec<Addition>, Vec<Unnamed>), NotReady> {
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let files = tables.iter();
            let files = files.map(|(layout, chunks)| column_file::write(store, layout, chunks));
            files.collect::<Result<Vec<_>, _>>()
        });
        let additions = tables.iter();
        let additions = additions
            .map(|(layout, chunks)| Addition::new(layout.clone(), chunks.clone()))
            .collect();
        let files = writing
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((additions, files))
    })
}

/// Keys that nodes have which were made since.
fn check_keys(
    addition: &Addition,
    lines: &Lines,
    then: &Snapshot,
    now: &Snapshot,
    errors: &mut Errors,
) {
    let layout = &addition.layout;
    let (Index::Keys(index), Some((then, now))) = (&addition.index, both(layout, then, now)) else {
        return;
    };
    let mut key = Vec::new();
    for id in now.ids_from(then.next_id) {
        key.clear();
        now.write_key(id, &mut key);
        let Some(taken) = index.find(layout, &addition.chunks, &key) else {
            continue;
        };
        let after = addition
            .chunks
            .partition_point(|chunk| chunk.first() <= taken);
        let chunk = after.checked_sub(1).and_then(|at| addition.chunks.get(at));
        if let Some((chunk, row)) = chunk.and_then(|chunk| Some((chunk, chunk.find(taken)?))) {
            let line = lines.of(taken - addition.first_id());
            errors.add(line, tell(layout, chunk, row, Flaw::Taken));
        }
    }
}

fn both<'a>(
    layout: &Layout,
    then: &'a Snapshot,
    now: &'a Snapshot,
) -> Option<(&'a Rows, &'a Rows)> {
    Some((then.rows(layout.type_id)?, now.rows(layout.type_id)?))
}

/// Nodes that edges end at and that were deleted since.
fn check_ends(
    addition: &Addition,
    lines: &Lines,
    then: &Snapshot,
    now: &Snapshot,
    errors: &mut Errors,
) {
    let Some((source, target)) = addition.layout.ends else {
        return;
    };
    for (side, type_id) in [("from", source), ("to", target)] {
        let (Some(before), Some(after)) = (then.rows(type_id), now.rows(type_id)) else {
            continue;
        };
        if !now.changed_since(type_id, then.lsn()) {
            continue;
        }
        let mut gone = BTreeSet::new();
        for (edge, from, to) in addition
            .chunks
            .iter()
            .flat_map(|chunk| crate::base::edges(chunk))
        {
            let node = if side == "from" { from } else { to };
            // Above are the load's own.
            if node >= before.next_id || after.contains(node) && !gone.contains(&node) {
                continue;
            }
            gone.insert(node);
            let mut key = Vec::new();
            before.write_key(node, &mut key);
            let line = lines.of(edge - addition.first_id());
            errors.add(line, absent(side, &before.layout.name, &key));
            if errors.full() {
                return;
            }
        }
    }
}

impl Rows {
    /// Appends the key of a node, as [`keys::bytes_of`] writes it.
    fn write_key(&self, id: u64, key: &mut Vec<u8>) {
        if let Some(entry) = self.changes.get(&id) {
            if let Some(row) = &entry.row {
                key.extend(keys::bytes_of(&keys::key_of(&self.layout, row)));
            }
        } else if let Some((chunk, row)) = self.base.find(id) {
            keys::write_row_key(&self.layout, chunk, row, key);
        }
    }
}
