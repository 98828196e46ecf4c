//! How a statement would be run, and how it was. Its own result is given to nobody here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::{ExplainRequest, ExplainResponse, Operator, QueryRequest, QueryStats};
use language::Value;
use language::cypher::{self, Mode};
use language::plan::{Column, Plan, Slot, Type};
use language::schema::scalar_to_json;
use policy::{Action, Permit, Principal};
use storage_engine::executor::{self, Limits, Parameters};
use storage_engine::{At, CommitInfo};

use super::query::{Answer, Rows};
use super::rows::{self, Layout, RowWriter};
use super::{App, Error, Target, aside, outcome, past, statement};

/// How deep operators are shown within each other, at most.
const MAX_INDENT: usize = 32;

/// `query/explain`.
pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    request: ExplainRequest,
) -> Result<ExplainResponse, Error> {
    let explained = explain(app, principal, graph_id, request).await?;
    Ok(explained.response)
}

/// What a statement with `EXPLAIN` or `PROFILE` before it gives: its operators as rows.
pub(crate) async fn as_rows(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    request: QueryRequest,
    layout: Layout,
) -> Result<Answer, Error> {
    let request = ExplainRequest {
        query: request.query,
        params: request.params,
        branch: request.branch,
        at: request.at,
        timeout_ms: request.timeout_ms,
        max_rows: request.max_rows,
        analyze: false,
    };
    let explained = explain(app, principal, graph_id, request).await?;
    let analyzed = explained.response.stats.is_some();
    let columns = columns(analyzed);
    let labels: Vec<_> = columns
        .iter()
        .map(|column| rows::label(&column.name))
        .collect();
    let mut rows = RowWriter::new(layout, &labels, &columns, &explained.commit)?;
    let operators = &explained.response.plan;
    for (operator, shown) in operators.iter().zip(indented(operators)) {
        let values = values(operator, &shown, analyzed);
        rows.push(&values, usize::MAX, |value| Ok(scalar_to_json(value)))?;
    }
    let stats = QueryStats {
        rows: rows.count(),
        elapsed_ms: explained.elapsed_ms,
    };
    let told = columns.iter().map(|column| api_types::Column {
        name: column.name.clone(),
        value_type: column.value_type.to_string(),
    });
    Ok(Answer {
        columns: told.collect(),
        commit: explained.response.commit,
        rows: Rows::Whole(rows.finish()?, stats),
    })
}

fn columns(analyzed: bool) -> Vec<Column> {
    let known = [
        ("operator", Type::String),
        ("details", Type::String),
        ("conditions", Type::String),
        ("estimated_rows", Type::Float),
    ];
    let run = [("rows", Type::Integer), ("time_ms", Type::Float)];
    let run = run.into_iter().filter(|_| analyzed);
    known
        .into_iter()
        .chain(run)
        .map(|(name, value_type)| Column {
            name: name.to_owned(),
            slot: Slot(0),
            value_type,
        })
        .collect()
}

fn values(operator: &Operator, shown: &str, analyzed: bool) -> Vec<Value> {
    let mut values = vec![
        Value::string(shown),
        Value::string(&operator.details),
        Value::string(operator.conditions.join(" AND ")),
        Value::Float(operator.estimated_rows),
    ];
    if analyzed {
        let rows = operator.rows.and_then(|rows| i64::try_from(rows).ok());
        values.push(rows.map_or(Value::Null, Value::Int));
        values.push(operator.time_ms.map_or(Value::Null, Value::Float));
    }
    values
}

/// The names of operators, those that another takes its rows from below it and further in.
fn indented(operators: &[Operator]) -> Vec<String> {
    let mut depths = vec![0; operators.len()];
    for (place, operator) in operators.iter().enumerate() {
        let depth = depths.get(place).copied().unwrap_or(0) + 1;
        for input in &operator.inputs {
            if let Some(below) = depths.get_mut(*input) {
                *below = depth;
            }
        }
    }
    let shown = operators.iter().zip(depths).map(|(operator, depth)| {
        match depth.min(MAX_INDENT).checked_sub(1) {
            None => operator.operator.clone(),
            Some(indent) => format!("{}└ {}", "  ".repeat(indent), operator.operator),
        }
    });
    shown.collect()
}

struct Explained {
    response: ExplainResponse,
    commit: CommitInfo,
    elapsed_ms: f64,
}

/// What is to be explained, and how.
struct Work {
    app: Arc<App>,
    principal: Arc<Principal>,
    /// To query the graph.
    permit: Arc<Permit>,
    graph_id: String,
    branch: Option<String>,
    /// `None` for the newest commit.
    at: Option<At>,
    text: String,
    parameters: Parameters,
    limits: Limits,
    analyze: bool,
    start: Instant,
}

async fn explain(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    request: ExplainRequest,
) -> Result<Explained, Error> {
    let start = Instant::now();
    let target = Target::branch(&graph_id, request.branch.as_deref());
    let permit = app.permit_graph(principal, Action::Query, target)?;
    target.check_branch()?;
    let at = past(request.at.as_deref())?;
    statement::refuse_zero("timeout_ms", request.timeout_ms)?;
    statement::refuse_zero("max_rows", request.max_rows)?;
    let parameters = statement::parameters_soon(request.params).await?;
    let deadline = statement::deadline(&app.limits(), request.timeout_ms);
    let slot = app.turn(&permit, deadline).await?;
    // Going away stops it.
    let (cancelled, _cancel) = app.running.begin();
    let work = Work {
        app: app.clone(),
        principal: principal.clone(),
        permit: Arc::new(permit),
        graph_id,
        branch: request.branch,
        at,
        text: request.query,
        parameters,
        limits: Limits {
            deadline: Some(deadline),
            max_rows: Some(statement::max_rows(&app.limits(), request.max_rows)),
            max_bytes: usize::try_from(app.limits().query_memory_bytes).unwrap_or(usize::MAX),
            cancelled,
            ..Limits::default()
        },
        analyze: request.analyze,
        start,
    };
    aside(move || {
        let _slot = slot;
        work.explain()
    })
    .await
}

impl Work {
    fn explain(self) -> Result<Explained, Error> {
        let (mode, text) = cypher::mode(&self.text);
        let app = &self.app;
        let mut reader = app.reader_at(&self.permit, self.at, &(&self.limits).into())?;
        let statement = self.app.plans.prepare(&text, reader.schema(), None)?;
        let analyze = self.analyze || mode == Mode::Profile;
        let permit = match statement.plan.writes() {
            true if analyze => return Err(Error::WriteInReadQuery),
            // Whoever may not carry it out, learns nothing of how it would be done.
            true => {
                let target = Target::branch(&self.graph_id, self.branch.as_deref());
                let action = Action::Mutate;
                Arc::new(self.app.permit_graph(&self.principal, action, target)?)
            }
            false => self.permit,
        };
        let plan = statement.decide(&self.app, &permit)?;
        let (operators, rows) = if analyze {
            reader = reader.prepared(&plan).map_err(Error::of_query)?;
            let profiled = reader.profile(&plan, &self.parameters, &self.limits);
            let (operators, rows) = profiled.map_err(|error| Error::of_query_in(&text, error))?;
            (operators, Some(rows))
        } else {
            let explained = reader.explain(&plan, &self.parameters, &self.limits);
            (explained.map_err(Error::of_query)?, None)
        };
        let elapsed_ms = milliseconds(self.start.elapsed());
        let names = |write: bool| {
            let touches = statement.touches().filter(|touch| touch.write == write);
            touches.map(|touch| touch.name.to_owned()).collect()
        };
        Ok(Explained {
            response: ExplainResponse {
                columns: statement.columns.to_vec(),
                reads: names(false),
                writes: names(true),
                plan: listed(&statement.plan, &operators, &text, rows),
                commit: outcome::commit(reader.head()),
                stats: rows.map(|rows| QueryStats { rows, elapsed_ms }),
            },
            commit: reader.head().clone(),
            elapsed_ms,
        })
    }
}

/// The operators, that which gives the result first and each before those that it takes its rows from.
/// `rows`: of the result, when the statement was run.
fn listed(
    plan: &Plan,
    branches: &[Vec<executor::Operator>],
    text: &str,
    rows: Option<u64>,
) -> Vec<Operator> {
    let mut operators = Vec::new();
    if branches.len() > 1 {
        let ends = branches.iter().filter_map(|branch| branch.last());
        let name = if plan.distinct { "Union" } else { "UnionAll" };
        operators.push(Operator {
            id: 0,
            operator: name.to_owned(),
            details: String::new(),
            conditions: Vec::new(),
            estimated_rows: tenths(ends.map(|end| end.estimated_rows).sum()),
            rows,
            time_ms: None,
            inputs: Vec::new(),
        });
    }
    for branch in branches {
        let begin = list(branch, text, rows.is_some(), &mut operators);
        if let Some(union) = operators.first_mut().filter(|_| branches.len() > 1) {
            union.inputs.extend(begin);
        }
    }
    operators
}

/// Adds a chain of operators, the last first, each followed by what else it takes rows from; gives the
/// place of the first that was added.
fn list(
    chain: &[executor::Operator],
    text: &str,
    ran: bool,
    operators: &mut Vec<Operator>,
) -> Option<usize> {
    let mut above: Option<usize> = None;
    let mut begin = None;
    for operator in chain.iter().rev() {
        let id = operators.len();
        let conditions = operator.conditions.iter();
        let conditions = conditions.filter_map(|span| text.get(span.start..span.end));
        operators.push(Operator {
            id,
            operator: operator.name.to_owned(),
            details: operator.details.clone(),
            conditions: conditions.map(|text| text.trim().to_owned()).collect(),
            estimated_rows: tenths(operator.estimated_rows),
            rows: operator.rows.filter(|_| ran),
            time_ms: operator.time.map(milliseconds),
            inputs: Vec::new(),
        });
        let below = operator.inputs.iter();
        let below: Vec<usize> = below
            .filter_map(|chain| list(chain, text, ran, operators))
            .collect();
        if let Some(operator) = operators.get_mut(id) {
            operator.inputs = below;
        }
        match above.and_then(|above| operators.get_mut(above)) {
            Some(operator) => operator.inputs.insert(0, id),
            None => begin = Some(id),
        }
        above = Some(id);
    }
    begin
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// No estimate is better than that.
fn tenths(rows: f64) -> f64 {
    (rows * 10.0).round() / 10.0
}
