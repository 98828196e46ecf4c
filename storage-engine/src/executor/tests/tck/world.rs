//! The graph that a scenario runs against, and what a statement did to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use language::cypher::{self, Procedures};
use language::schema::Schema;
use language::value::Value;
use uuid::Uuid;

use super::super::streamed;
use super::value::Shown;
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::record::{CommitId, CommitInfo, MAIN};
use crate::snapshot::{Bases, Snapshot};
use crate::transaction::Transaction;

/// Longer than any scenario takes.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// An open graph and what its statements may use.
pub(in crate::executor::tests) struct World {
    snapshot: Snapshot,
    lsn: u64,
    pub(super) parameters: Parameters,
    pub(super) procedures: Procedures,
}

/// What a statement gave.
pub(in crate::executor::tests) struct Answer {
    pub(in crate::executor::tests) columns: Vec<String>,
    pub(in crate::executor::tests) rows: Vec<Vec<Shown>>,
    pub(in crate::executor::tests) effects: Effects,
}

/// Why a statement gave nothing.
pub(in crate::executor::tests) enum Failure {
    Compile(language::Diagnostics),
    Execute(ExecuteError),
}

impl World {
    pub(in crate::executor::tests) fn new() -> Self {
        let head = CommitInfo {
            id: CommitId(Uuid::nil()),
            branch: MAIN.to_owned(),
            sequence: 1,
            parents: Vec::new(),
            time_micros: 0,
            principal: "tck".to_owned(),
            run: Uuid::nil(),
            message: None,
        };
        let schema = Arc::new(Schema::parse_open("").expect("the empty schema"));
        let snapshot = Snapshot::at_checkpoint(Uuid::nil(), schema, head, 1, &Bases::default());
        Self {
            snapshot,
            lsn: 2,
            parameters: Parameters::new(),
            procedures: Procedures::default(),
        }
    }

    /// Runs one statement in the time that every scenario has.
    pub(in crate::executor::tests) fn run(&mut self, text: &str) -> Result<Answer, Failure> {
        self.run_within(text, TIME_LIMIT)
    }

    /// Runs one statement as the server would: compile, then read or write and commit.
    pub(super) fn run_within(&mut self, text: &str, time: Duration) -> Result<Answer, Failure> {
        let schema = Arc::clone(self.snapshot.schema());
        let plan =
            cypher::compile_with(text, &schema, &self.procedures).map_err(Failure::Compile)?;
        let limits = Limits {
            deadline: Some(Instant::now() + time),
            ..Limits::default()
        };
        let mut values: Vec<Vec<Value>> = Vec::new();
        let mut sink = |row: &[Value]| {
            values.push(row.to_vec());
            std::ops::ControlFlow::Continue(())
        };
        let before = Graph::of(&self.snapshot);
        let snapshot = if plan.writes() {
            self.lsn += 1;
            let mut transaction = Transaction::new(self.snapshot.clone(), self.lsn, Uuid::nil());
            executor::write(
                &plan,
                &self.parameters,
                &mut transaction,
                &limits,
                &mut sink,
            )
            .map_err(Failure::Execute)?;
            transaction
                .finish()
                .map_err(|error| Failure::Execute(error.into()))?
                .snapshot
        } else {
            executor::read(&plan, &self.parameters, &self.snapshot, &limits, &mut sink)
                .map_err(Failure::Execute)?;
            self.snapshot.clone()
        };
        let rows = values
            .iter()
            .map(|row| {
                row.iter()
                    .map(|value| Shown::of(&snapshot, value))
                    .collect()
            })
            .collect();
        streamed::check(&plan.columns, &values);
        let effects = before.effects(&Graph::of(&snapshot));
        self.snapshot = snapshot;
        let columns = plan.columns.into_iter().map(|column| column.name).collect();
        Ok(Answer {
            columns,
            rows,
            effects,
        })
    }
}

/// What the TCK counts, by name: `+nodes` and its kin.
pub(in crate::executor::tests) type Effects = Vec<(&'static str, usize)>;

/// Everything in a graph, as sets.
struct Graph {
    nodes: BTreeSet<u64>,
    edges: BTreeSet<u64>,
    labels: BTreeSet<String>,
    properties: BTreeSet<(bool, u64, String, String)>,
}

impl Graph {
    fn of(snapshot: &Snapshot) -> Self {
        let mut graph = Self {
            nodes: BTreeSet::new(),
            edges: BTreeSet::new(),
            labels: BTreeSet::new(),
            properties: BTreeSet::new(),
        };
        let text = |value: &Value| Shown::of(snapshot, value).text(false);
        for node in snapshot
            .schema()
            .node_types
            .iter()
            .flat_map(|t| snapshot.nodes(t.id))
        {
            graph.nodes.insert(node.id);
            graph
                .labels
                .extend(snapshot.node_labels(node).iter().map(ToString::to_string));
            let properties = snapshot.node_properties(node);
            graph.properties.extend(
                properties
                    .iter()
                    .map(|(name, value)| (true, node.id, name.clone(), text(value))),
            );
        }
        for edge in snapshot
            .schema()
            .edge_types
            .iter()
            .flat_map(|t| snapshot.edges(t.id))
        {
            graph.edges.insert(edge.id);
            let properties = snapshot.edge_properties(edge);
            graph.properties.extend(
                properties
                    .iter()
                    .map(|(name, value)| (false, edge.id, name.clone(), text(value))),
            );
        }
        graph
    }

    fn effects(&self, after: &Self) -> Effects {
        fn gone<T: Ord>(before: &BTreeSet<T>, after: &BTreeSet<T>) -> usize {
            before.difference(after).count()
        }
        [
            ("+nodes", gone(&after.nodes, &self.nodes)),
            ("-nodes", gone(&self.nodes, &after.nodes)),
            ("+relationships", gone(&after.edges, &self.edges)),
            ("-relationships", gone(&self.edges, &after.edges)),
            ("+labels", gone(&after.labels, &self.labels)),
            ("-labels", gone(&self.labels, &after.labels)),
            ("+properties", gone(&after.properties, &self.properties)),
            ("-properties", gone(&self.properties, &after.properties)),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect()
    }
}
