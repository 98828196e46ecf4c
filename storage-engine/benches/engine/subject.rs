//! Open graphs and what can be done with them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use language::cypher;
use language::plan::Plan;
use language::schema::Schema;
use language::value::Value;
use serde_json::{Value as Json, json};
use storage_engine::executor::{self, ExecuteError, Limits, Parameters};
use storage_engine::load::{self, Format, Input, LineError, Mode, Source};
use storage_engine::{Graph, NewGraph, Options, Work, WriteRequest};
use tokio::runtime::Runtime;

use crate::values;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Memory for rows in one statement: enough that no query of the benchmark is refused.
const MAX_BYTES: usize = 4 << 30;

/// What is wrong with a file of records.
#[derive(Debug, thiserror::Error)]
#[error("line {}: {}", .0.line, .0.message)]
struct WrongLine(LineError);

/// One process with graphs in it.
pub(crate) struct Subject {
    runtime: Runtime,
    graphs: BTreeMap<String, Graph>,
}

impl Subject {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_multi_thread().build()?,
            graphs: BTreeMap::new(),
        })
    }

    /// Carries out a command.
    pub(crate) fn obey(&mut self, command: &Json) -> Result<Json, Failure> {
        match text(command, "do")? {
            "open" => self.open(command),
            "reopen" => self.reopen(command),
            "fold" => {
                let begun = Instant::now();
                self.graph(command)?.fold()?;
                Ok(json!({"nanos": nanos(begun)}))
            }
            "status" => {
                let status = self.graph(command)?.status()?;
                Ok(json!({
                    "lsn": status.lsn,
                    "checkpoint": status.checkpoint.map(|checkpoint| checkpoint.lsn),
                    "log_bytes": status.log.bytes,
                    "resident_bytes": status.memory.total(),
                    "last_fold_error": status.fold_error.map(|it| it.message),
                }))
            }
            "commit" => self.commit(command),
            "query" => self.query(command),
            "load" => self.load(command),
            other => Err(format!("no command {other}").into()),
        }
    }

    fn graph(&self, command: &Json) -> Result<&Graph, Failure> {
        let name = text(command, "graph")?;
        self.graphs
            .get(name)
            .ok_or_else(|| format!("{name} is not open").into())
    }

    /// Opens a graph; with a schema, makes it first.
    fn open(&mut self, command: &Json) -> Result<Json, Failure> {
        let folder = Path::new(text(command, "folder")?);
        if let Some(source) = command["schema"].as_str() {
            let schema = Schema::parse(source).map_err(|errors| {
                let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
                texts.join("; ")
            })?;
            Graph::create(folder, NewGraph::new(schema, "bench"))?;
        }
        let mut options = Options::default();
        if let Some(rows) = command["fold_rows"].as_u64() {
            options.fold_rows = usize::try_from(rows)?;
        }
        let begun = Instant::now();
        let graph = Graph::open(folder, options)?;
        let taken = nanos(begun);
        self.graphs
            .insert(text(command, "graph")?.to_owned(), graph);
        Ok(json!({"nanos": taken}))
    }

    /// Drops the graph without closing it, as a crash does, and opens it again.
    fn reopen(&mut self, command: &Json) -> Result<Json, Failure> {
        let store = self.graph(command)?.store().clone();
        self.graphs.remove(text(command, "graph")?);
        let begun = Instant::now();
        let graph = Graph::open(&store, Options::default())?;
        let taken = nanos(begun);
        let tail = graph.status()?.tail_rows;
        self.graphs
            .insert(text(command, "graph")?.to_owned(), graph);
        Ok(json!({"nanos": taken, "tail_rows": tail}))
    }

    /// Commits one statement for each set of parameters, from so many writers at once.
    fn commit(&self, command: &Json) -> Result<Json, Failure> {
        let graph = self.graph(command)?;
        let plan = Arc::new(compile(text(command, "query")?, graph)?);
        let sets = parameter_sets(command)?;
        let writers = usize::try_from(command["writers"].as_u64().unwrap_or(1))?.max(1);
        let begun = Instant::now();
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|writer| {
                    let mine = sets.iter().skip(writer).step_by(writers);
                    let plan = &plan;
                    scope.spawn(move || {
                        mine.map(|set| commit_one(graph, plan, set))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_default())
                .collect()
        });
        let wall = nanos(begun);
        let lost = sets.len() - outcomes.len();
        let mut times = Vec::with_capacity(sets.len());
        let mut errors = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(time) => times.push(time),
                Err(error) => errors.push(error.to_string()),
            }
        }
        Ok(json!({
            "times": times,
            "wall": wall,
            "errors": errors.len() + lost,
            "first_error": errors.first(),
        }))
    }

    /// Runs one statement for each set of parameters until the time is used up; compiled each time
    /// with `compile`, else once.
    fn query(&self, command: &Json) -> Result<Json, Failure> {
        let graph = self.graph(command)?;
        let query = text(command, "query")?;
        let sets = parameter_sets(command)?;
        let each = command["compile"].as_bool().unwrap_or(false);
        let answered = command["answers"].as_bool().unwrap_or(false);
        let budget = Duration::from_millis(command["budget_ms"].as_u64().unwrap_or(u64::MAX));
        let mut limits = limits();
        if let Some(most) = command["threads"].as_u64() {
            limits.threads.most = usize::try_from(most)?;
        }
        let mut plan = compile(query, graph)?;
        let (mut times, mut answers) = (Vec::with_capacity(sets.len()), Vec::new());
        let started = Instant::now();
        for set in &sets {
            let begun = Instant::now();
            if each {
                plan = compile(query, graph)?;
            }
            let rows = read(&plan, set, graph, &limits)?;
            times.push(nanos(begun));
            if answered {
                let rows = rows
                    .iter()
                    .map(|row| row.iter().map(values::json).collect::<Json>());
                answers.push(rows.collect::<Json>());
            }
            if started.elapsed() > budget {
                break;
            }
        }
        Ok(json!({"times": times, "answers": answers}))
    }

    /// Loads files: of records as one commit, or, where `types` names one for each, Parquet files as a
    /// commit each. Says what reading and committing took.
    fn load(&self, command: &Json) -> Result<Json, Failure> {
        let graph = self.graph(command)?;
        let begun = Instant::now();
        let mut loads = Loads::default();
        match command["types"].as_array() {
            Some(types) => {
                for (file, type_name) in paths(command)?.iter().zip(types) {
                    let name = type_name.as_str().ok_or("a type is a name")?;
                    let source = Source::columns(Format::Parquet, name, Mode::Append);
                    self.load_one(graph, Input::File(File::open(file)?), &source, &mut loads)?;
                }
            }
            None => {
                let mut reader: Box<dyn Read + Send> = Box::new(std::io::empty());
                for file in paths(command)? {
                    reader = Box::new(reader.chain(File::open(file)?));
                }
                let source = Source::lines(Mode::Append);
                self.load_one(graph, Input::Stream(reader), &source, &mut loads)?;
            }
        }
        Ok(json!({
            "nanos": nanos(begun),
            "parse": loads.parse,
            "commit": loads.commit,
            "nodes": loads.nodes,
            "edges": loads.edges,
        }))
    }

    fn load_one(
        &self,
        graph: &Graph,
        input: Input,
        source: &Source,
        loads: &mut Loads,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let batch = load::parse(input, source, &graph.snapshot()).map_err(first)?;
        loads.parse += nanos(begun);
        let begun = Instant::now();
        let loading = graph.load(WriteRequest::by("bench"), None, &batch);
        let loaded = self.runtime.block_on(loading)?.value;
        loads.commit += nanos(begun);
        loads.nodes += loaded.nodes.values().sum::<u64>();
        loads.edges += loaded.edges.values().sum::<u64>();
        Ok(())
    }
}

/// What loads came to: nanoseconds and records.
#[derive(Default)]
struct Loads {
    parse: u64,
    commit: u64,
    nodes: u64,
    edges: u64,
}

fn paths(command: &Json) -> Result<Vec<&Path>, Failure> {
    let files = command["files"].as_array().ok_or("files is a list")?;
    files
        .iter()
        .map(|file| Ok(Path::new(file.as_str().ok_or("a file is a path")?)))
        .collect()
}

fn first(errors: Vec<LineError>) -> WrongLine {
    WrongLine(errors.into_iter().next().unwrap_or(LineError {
        line: 0,
        message: "refused without a reason".to_owned(),
    }))
}

/// On a thread that may block, as a program with the engine inside would.
fn commit_one(graph: &Graph, plan: &Arc<Plan>, set: &Arc<Parameters>) -> Result<u64, Failure> {
    let (plan, set) = (plan.clone(), set.clone());
    let begun = Instant::now();
    let touched = plan.touches.types.keys().copied().collect();
    let work = Work::ahead(touched, move |transaction| {
        executor::write(&plan, &set, transaction, &limits(), &mut |_| {
            ControlFlow::Continue(())
        })
    });
    let written = graph.submit_blocking(WriteRequest::by("bench"), work)?;
    let taken = nanos(begun);
    if written.counts.is_empty() {
        return Err("the statement changed nothing".into());
    }
    Ok(taken)
}

fn read(
    plan: &Plan,
    set: &Parameters,
    graph: &Graph,
    limits: &Limits,
) -> Result<Vec<Vec<Value>>, ExecuteError> {
    let mut rows = Vec::new();
    executor::read(plan, set, &graph.snapshot(), limits, &mut |row| {
        rows.push(row.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

fn limits() -> Limits {
    Limits {
        max_bytes: MAX_BYTES,
        ..Limits::default()
    }
}

fn compile(query: &str, graph: &Graph) -> Result<Plan, Failure> {
    cypher::compile(query, graph.snapshot().schema())
        .map_err(|diagnostics| format!("{query}: {diagnostics:?}").into())
}

fn parameter_sets(command: &Json) -> Result<Vec<Arc<Parameters>>, Failure> {
    let sets = command["params"].as_array().ok_or("params is a list")?;
    sets.iter().map(values::parameters).collect()
}

fn text<'a>(command: &'a Json, name: &str) -> Result<&'a str, Failure> {
    command[name]
        .as_str()
        .ok_or_else(|| format!("{name} is missing").into())
}

fn nanos(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
