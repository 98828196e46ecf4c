//! The rows of one type with the indexes over them.

use std::sync::Arc;

use arrow_schema::ArrowError;

use crate::chunk::{Chunk, Written};
use crate::cold::Source;
use crate::keys::{KeyLevel, Keys};
use crate::rows::{Entry, Rows};
use crate::topology::{Adjacency, Level, Link};

/// The table in which rows are once they are folded, where it is known.
pub(crate) type Sources<'a> = dyn Fn(&Rows) -> Option<Arc<Source>> + 'a;

/// Nodes of one type.
#[derive(Clone, Debug)]
pub(crate) struct NodeTable {
    pub(crate) rows: Rows,
    pub(super) keys: Keys,
}

/// Edges of one type.
#[derive(Clone, Debug)]
pub(crate) struct EdgeTable {
    pub(crate) rows: Rows,
    pub(super) outgoing: Adjacency,
    pub(super) incoming: Adjacency,
}

impl NodeTable {
    pub(super) fn new(rows: Rows) -> Self {
        let keys = Keys::build(&rows);
        Self { rows, keys }
    }

    pub(super) fn put(&mut self, id: u64, entry: Entry) {
        let layout = &self.rows.layout;
        match (&entry.row, self.rows.contains(id)) {
            (Some(row), false) => self.keys.put(layout, row, Some(id)),
            (None, true) => {
                // The key of a node of the base stands in a level, where it says nothing any more.
                if let Some(Entry { row: Some(old), .. }) = self.rows.changes.get(&id) {
                    self.keys.put(layout, old, None);
                }
            }
            // A key never changes while its node lives.
            _ => {}
        }
        self.rows.put(id, entry);
    }

    /// Takes rows in whose ids no row has had; `keys` are theirs.
    pub(super) fn append(&mut self, chunks: &[Arc<Chunk>], keys: &Arc<KeyLevel>, written: Written) {
        self.rows.append(chunks, written);
        self.keys.add_level(keys, written.lsn);
    }

    pub(super) fn clear(&mut self, lsn: u64) {
        self.rows.clear(lsn);
        self.keys = Keys::empty();
    }

    pub(super) fn folded(&self, source: &Sources<'_>) -> Result<Self, ArrowError> {
        let rows = self.rows.folded(source(&self.rows))?;
        let keys = self.keys.folded(&rows);
        Ok(Self { rows, keys })
    }

    pub(super) fn rebased(&self, prepared: &Self, folded: u64) -> Self {
        if self.rows.is_emptied_after(folded) {
            return self.clone();
        }
        let mut keys = prepared.keys.with_newer(&self.keys, folded);
        let rows = self.rows.rebased(&prepared.rows, folded);
        for (id, entry) in rows.changes.iter() {
            if let Some(row) = &entry.row {
                keys.put(&rows.layout, row, Some(*id));
            }
        }
        Self { rows, keys }
    }
}

impl EdgeTable {
    pub(super) fn new(rows: Rows) -> Self {
        let outgoing = Adjacency::build(rows.base.edges());
        let edges = rows.base.edges();
        let incoming = Adjacency::build(edges.map(|(edge, source, target)| (edge, target, source)));
        let table = Self {
            rows,
            outgoing,
            incoming,
        };
        table.look_for_loops();
        table
    }

    /// So that nobody who plans a statement has to.
    fn look_for_loops(&self) {
        if self.rows.layout.may_loop() {
            self.outgoing.look_for_loops();
        }
    }

    /// The edges that lead from a node to itself; of a type that has such.
    pub(crate) fn loops(&self) -> impl Iterator<Item = Link> + '_ {
        let loops = self.rows.layout.may_loop().then(|| self.outgoing.loops());
        let loops = loops.into_iter().flatten();
        loops.filter(|link| self.rows.contains(link.edge))
    }

    /// Those of a node.
    pub(crate) fn loops_of(&self, node: u64) -> impl Iterator<Item = Link> + '_ {
        let some_gone = self.outgoing.has_gone(node);
        let may_loop = self.rows.layout.may_loop();
        let loops = may_loop.then(|| self.outgoing.loops_of(node));
        let loops = loops.into_iter().flatten();
        loops.filter(move |link| !some_gone || self.rows.contains(link.edge))
    }

    pub(super) fn put(&mut self, id: u64, entry: Entry) {
        let before = self.rows.ends(id);
        let after = entry.row.as_ref().and_then(|row| row.ends);
        match (before, after) {
            (None, Some(ends)) => {
                // An id below the mark may be of an edge that is gone and comes back.
                let known = id < self.rows.next_id && self.outgoing.regain(ends.0, id);
                if known {
                    self.incoming.regain(ends.1, id);
                } else {
                    self.link(id, ends);
                }
            }
            (Some((source, target)), None) => {
                self.outgoing.lose(source);
                self.incoming.lose(target);
            }
            // The ends of an edge never change.
            _ => {}
        }
        self.rows.put(id, entry);
    }

    pub(super) fn link(&mut self, edge: u64, (source, target): (u64, u64)) {
        let (to, from) = (target, source);
        self.outgoing.add(source, Link { edge, node: to });
        self.incoming.add(target, Link { edge, node: from });
    }

    /// Takes rows in whose ids no row has had; the levels are of their links.
    pub(super) fn append(
        &mut self,
        chunks: &[Arc<Chunk>],
        levels: &[Arc<Level>; 2],
        written: Written,
    ) {
        self.rows.append(chunks, written);
        let [outgoing, incoming] = levels;
        self.outgoing.add_level(outgoing, written.lsn);
        self.incoming.add_level(incoming, written.lsn);
    }

    pub(super) fn clear(&mut self, lsn: u64) {
        self.rows.clear(lsn);
        self.outgoing = Adjacency::empty();
        self.incoming = Adjacency::empty();
    }

    pub(super) fn folded(&self, source: &Sources<'_>) -> Result<Self, ArrowError> {
        let rows = self.rows.folded(source(&self.rows))?;
        let table = Self {
            outgoing: self.outgoing.folded(|edge| rows.base.contains(edge)),
            incoming: self.incoming.folded(|edge| rows.base.contains(edge)),
            rows,
        };
        table.look_for_loops();
        Ok(table)
    }

    pub(super) fn rebased(&self, prepared: &Self, folded: u64) -> Self {
        if self.rows.is_emptied_after(folded) {
            return self.clone();
        }
        let mut table = Self {
            rows: self.rows.rebased(&prepared.rows, folded),
            outgoing: prepared.outgoing.with_newer(&self.outgoing, folded),
            incoming: prepared.incoming.with_newer(&self.incoming, folded),
        };
        let Rows { base, changes, .. } = table.rows.clone();
        for (id, entry) in changes.iter() {
            let before = base.find(*id).and_then(|(chunk, row)| chunk.ends(row));
            match (before, entry.row.as_ref().and_then(|row| row.ends)) {
                (None, Some(ends)) => table.link(*id, ends),
                (Some((source, target)), None) => {
                    table.outgoing.lose(source);
                    table.incoming.lose(target);
                }
                _ => {}
            }
        }
        table
    }

    /// Links from the nodes that edges leave, or from those that they enter.
    pub(crate) fn adjacency(&self, outgoing: bool) -> &Adjacency {
        if outgoing {
            &self.outgoing
        } else {
            &self.incoming
        }
    }

    /// The links of a node whose edges are still there.
    pub(crate) fn live<'a>(
        &'a self,
        adjacency: &'a Adjacency,
        node: u64,
    ) -> impl Iterator<Item = Link> + 'a {
        let some_gone = adjacency.has_gone(node);
        let links = adjacency.links(node);
        links.filter(move |link| !some_gone || self.rows.contains(link.edge))
    }
}
