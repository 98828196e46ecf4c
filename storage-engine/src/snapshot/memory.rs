//! What a graph takes in memory: near enough to decide which graphs stay open.

use super::Snapshot;
use crate::rows::Rows;

/// About how many bytes of memory a graph takes, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Columns: ids, ends of edges, identities and those properties that are in memory.
    pub columns: usize,
    /// From keys to nodes.
    pub keys: usize,
    /// From nodes to their edges, in both directions.
    pub topology: usize,
    /// Rows changed since the checkpoint.
    pub changes: usize,
    /// Bytes that can leave memory once a fold has put them into tables: of the changes, and of columns.
    pub unfolded: usize,
    /// Answers that are kept for requests that come again.
    pub answers: usize,
    /// How many columns are not, or not all, in memory: each a property of a type.
    pub cold_columns: usize,
    /// Bytes of the columns that can leave memory, because a table has them.
    pub loose: usize,
    /// How many of those are [reserved](crate::Account::reserved) in the account of all graphs.
    pub reserved: usize,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.tables() + self.changes + self.answers
    }

    /// What the tables of a checkpoint take, with the indexes over them.
    pub(crate) fn tables(&self) -> usize {
        self.columns + self.keys + self.topology
    }
}

impl Snapshot {
    /// About how much memory it takes. Costs as much as it has pieces of columns, not rows.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let loose = self
            .tables()
            .map(|rows| rows.base.loose_bytes(&rows.layout));
        let (loose, reserved) = loose.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let nodes = self.nodes.iter();
        let edges = self.edges.iter();
        Memory {
            columns: self.tables().map(|rows| rows.base.bytes()).sum(),
            keys: nodes.map(|table| table.keys.bytes()).sum(),
            topology: edges
                .map(|table| table.outgoing.bytes() + table.incoming.bytes())
                .sum(),
            changes: self.tables().map(Rows::changes_bytes).sum(),
            unfolded: self.tables().map(Rows::unfolded_bytes).sum(),
            answers: self.answers.bytes(),
            cold_columns: self.tables().map(Rows::cold_columns).sum(),
            loose: number(loose),
            reserved: number(reserved),
        }
    }
}
