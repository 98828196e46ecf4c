//! Runs the steps of one scenario.

use std::path::Path;

use language::cypher::{Procedure, ProcedureBody};
use language::plan::Type;
use language::value::Value;

use super::errors;
use super::feature::{Scenario, Step};
use super::value::Shown;
use super::world::{Answer, Failure, World};

/// Runs a scenario; `Err` says what is wrong.
pub(super) fn run(scenario: &Scenario, graphs: &Path) -> Result<(), String> {
    let mut world = World::new();
    let mut outcome: Option<Result<Answer, Failure>> = None;
    for step in &scenario.steps {
        take(step, &mut world, &mut outcome, graphs)?;
    }
    Ok(())
}

type Outcome = Option<Result<Answer, Failure>>;

fn take(
    step: &Step,
    world: &mut World,
    outcome: &mut Outcome,
    graphs: &Path,
) -> Result<(), String> {
    let text = step.text.trim_end_matches(':').trim_end();
    let document = || step.document.clone().ok_or("a step without its text");
    match text {
        "an empty graph" | "any graph" => Ok(()),
        "having executed" => must(world, &document()?),
        "parameters are" => {
            for row in &step.table {
                let [name, value] = row.as_slice() else {
                    return Err("two columns".to_owned());
                };
                world
                    .parameters
                    .insert(name.clone(), plain(&Shown::parse(value)?)?);
            }
            Ok(())
        }
        "executing query" | "executing control query" => {
            *outcome = Some(world.run(&document()?));
            Ok(())
        }
        "no side effects" => effects(outcome, &[]),
        "the side effects should be" => effects(outcome, &step.table),
        _ if text.starts_with("there exists a procedure ") => {
            world.procedures.add(procedure(text, &step.table)?);
            Ok(())
        }
        _ if text.starts_with("the result should be") => result(text, step, outcome),
        _ if text.contains(" should be raised ") => errors::check(&step.text, outcome.as_ref()),
        _ => match text
            .strip_prefix("the ")
            .and_then(|text| text.strip_suffix(" graph"))
        {
            Some(name) => {
                let path = graphs.join(name).join(format!("{name}.cypher"));
                let script = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
                must(world, script.trim().trim_end_matches(';'))
            }
            None => Err(format!("the step `{text}` is not known")),
        },
    }
}

fn must(world: &mut World, statement: &str) -> Result<(), String> {
    world
        .run(statement)
        .map(|_| ())
        .map_err(|failure| format!("preparing: {}", errors::describe(&failure)))
}

fn answer(outcome: &Outcome) -> Result<&Answer, String> {
    match outcome {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(failure)) => Err(errors::describe(failure)),
        None => Err("nothing was executed".to_owned()),
    }
}

fn effects(outcome: &Outcome, table: &[Vec<String>]) -> Result<(), String> {
    let mut found: Vec<String> = answer(outcome)?
        .effects
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let mut wanted: Vec<String> = table.iter().map(|row| row.join(" ")).collect();
    found.sort();
    wanted.sort();
    if found == wanted {
        return Ok(());
    }
    Err(format!("side effects {found:?}, expected {wanted:?}"))
}

fn result(text: &str, step: &Step, outcome: &Outcome) -> Result<(), String> {
    let answer = answer(outcome)?;
    let empty = text.ends_with("be empty");
    let ignoring = text.contains("ignoring element order for lists");
    let ordered = text.contains("in order");
    let (header, rows) = match step.table.split_first() {
        Some((header, rows)) => (header.clone(), rows),
        None => (Vec::new(), &[] as &[Vec<String>]),
    };
    if !empty && answer.columns != header {
        return Err(format!("columns {:?}, expected {header:?}", answer.columns));
    }
    let line = |cells: Vec<String>| cells.join(" | ");
    let mut found: Vec<String> = answer
        .rows
        .iter()
        .map(|row| line(row.iter().map(|value| value.text(ignoring)).collect()))
        .collect();
    let mut wanted = Vec::new();
    for row in rows {
        let cells: Result<Vec<String>, String> = row
            .iter()
            .map(|cell| Shown::parse(cell).map(|value| value.text(ignoring)))
            .collect();
        wanted.push(line(cells?));
    }
    if !ordered {
        found.sort();
        wanted.sort();
    }
    if found == wanted {
        return Ok(());
    }
    let shown = |rows: &[String]| rows.iter().take(6).cloned().collect::<Vec<_>>().join(" ; ");
    Err(format!(
        "rows [{}], expected [{}]",
        shown(&found),
        shown(&wanted)
    ))
}

/// A value without nodes as one of the engine's.
fn plain(shown: &Shown) -> Result<Value, String> {
    Ok(match shown {
        Shown::Null => Value::Null,
        Shown::Bool(value) => Value::Bool(*value),
        Shown::Int(value) => Value::Int(*value),
        Shown::Float(value) => Value::Float(*value),
        Shown::Text(text) => Value::string(text),
        Shown::List(values) => {
            let values: Result<Vec<Value>, String> = values.iter().map(plain).collect();
            Value::list(values?)
        }
        Shown::Map(map) => {
            let entries: Result<_, String> = map
                .iter()
                .map(|(name, value)| Ok((name.clone(), plain(value)?)))
                .collect();
            Value::Map(std::sync::Arc::new(entries?))
        }
        other => return Err(format!("{other:?} is no plain value")),
    })
}

/// `there exists a procedure name(in :: TYPE?, ...) :: (out :: TYPE?, ...)` with its table.
fn procedure(text: &str, table: &[Vec<String>]) -> Result<Procedure, String> {
    let text = text.trim_start_matches("there exists a procedure ").trim();
    let broken = || format!("`{text}` is no procedure");
    let (name, rest) = text.split_once('(').ok_or_else(broken)?;
    let (inputs, rest) = rest.split_once(')').ok_or_else(broken)?;
    let outputs = rest
        .trim()
        .trim_start_matches("::")
        .trim()
        .trim_start_matches('(');
    let outputs = outputs.trim_end_matches(')');
    let fields = |text: &str| -> Result<Vec<(String, Type)>, String> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let (name, kind) = part.split_once("::").ok_or_else(broken)?;
                Ok((name.trim().to_owned(), kind_of(kind.trim())))
            })
            .collect()
    };
    let mut rows = Vec::new();
    for row in table.iter().skip(1) {
        let values: Result<Vec<Value>, String> =
            row.iter().map(|cell| plain(&Shown::parse(cell)?)).collect();
        rows.push(values?);
    }
    Ok(Procedure {
        name: name.trim().to_owned(),
        inputs: fields(inputs)?,
        outputs: fields(outputs)?,
        body: ProcedureBody::Table(rows.into()),
    })
}

fn kind_of(name: &str) -> Type {
    match name.trim_end_matches('?') {
        "STRING" => Type::String,
        "INTEGER" => Type::Integer,
        "FLOAT" => Type::Float,
        "NUMBER" => Type::Number,
        "BOOLEAN" => Type::Boolean,
        _ => Type::Any,
    }
}
