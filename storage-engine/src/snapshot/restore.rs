//! A snapshot as it was before some commits: rows that they changed are put back.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::schema::TypeId;

use super::Snapshot;
use super::tables::{EdgeTable, NodeTable};
use crate::record::CommitInfo;
use crate::rows::{Entry, Row};
use crate::topology::{Adjacency, Link};

/// Of each row that differs, what it was; `None` where it was not there.
pub(crate) type Before = BTreeMap<TypeId, BTreeMap<u64, Option<Row>>>;

impl Snapshot {
    /// This graph with `before` put back, which is what it was at the commit `head`. It is for reading
    /// only: ids that it does not know of were given.
    pub(crate) fn restored(&self, before: Before, head: CommitInfo, lsn: u64) -> Self {
        let mut restored = self.clone();
        for table in &mut restored.nodes {
            if let Some(rows) = before.get(&table.rows.layout.type_id) {
                table.restore(rows);
            }
        }
        for table in &mut restored.edges {
            if let Some(rows) = before.get(&table.rows.layout.type_id) {
                table.restore(rows);
            }
        }
        restored.advance(head, lsn);
        restored
    }
}

fn entry(row: Option<&Row>) -> Entry {
    Entry {
        lsn: 0,
        row: row.cloned().map(Arc::new),
    }
}

impl NodeTable {
    /// Those that were not there go first: another node may have had their key.
    fn restore(&mut self, before: &BTreeMap<u64, Option<Row>>) {
        for (id, _) in before.iter().filter(|(_, row)| row.is_none()) {
            if self.rows.contains(*id) {
                self.put(*id, entry(None));
            }
        }
        for (id, row) in before {
            if row.is_some() {
                self.put(*id, entry(row.as_ref()));
            }
        }
    }
}

impl EdgeTable {
    fn restore(&mut self, before: &BTreeMap<u64, Option<Row>>) {
        let mut revived = Vec::new();
        for (id, row) in before {
            let was = self.rows.ends(*id);
            match (was, row.as_ref().and_then(|row| row.ends)) {
                (None, Some((source, target))) => revived.push((*id, source, target)),
                (Some((source, target)), None) => {
                    self.outgoing.lose(source);
                    self.incoming.lose(target);
                }
                _ => {}
            }
            if was.is_some() || row.is_some() {
                self.rows.put(*id, entry(row.as_ref()));
            }
        }
        let forth = revived.iter().copied();
        join(&mut self.outgoing, forth);
        let back = revived.iter().copied();
        join(
            &mut self.incoming,
            back.map(|(edge, source, target)| (edge, target, source)),
        );
    }
}

fn join(adjacency: &mut Adjacency, edges: impl Iterator<Item = (u64, u64, u64)>) {
    let mut by_node = BTreeMap::<u64, Vec<Link>>::new();
    for (edge, near, far) in edges {
        let link = Link { edge, node: far };
        by_node.entry(near).or_default().push(link);
    }
    for (near, links) in by_node {
        adjacency.restore(near, &links);
    }
}
