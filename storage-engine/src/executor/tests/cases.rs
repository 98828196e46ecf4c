//! Cases: statements with their expected tables, in `cases/*.txt`.
//!
//! A file is a list of blocks between empty lines. A block is an optional title (`# ...`),
//! parameters (`:name expression`), statements ending with `;`, run one after the other on a fresh
//! copy of the graph in `cases/graph.cypher`, and below `--` what the last one gives. Rows are
//! sorted unless the statement sorts them. `TRELLIS_BLESS=1` writes what is given into the files.

use std::path::{Path, PathBuf};

use super::{graph, render};
use crate::executor::{Limits, Parameters};
use crate::transaction::Transaction;

const SCHEMA: &str = include_str!("cases/schema.trellis");
const GRAPH: &str = include_str!("cases/graph.cypher");

fn world() -> Transaction {
    let mut transaction = graph::empty(SCHEMA);
    graph::run_all(&mut transaction, GRAPH);
    transaction
}

fn fresh(world: &Transaction) -> Transaction {
    Transaction::new(world.snapshot().clone(), 3, uuid::Uuid::nil())
}

/// The block with what its statements give now.
fn answer(world: &Transaction, block: &str) -> String {
    let input = block.split_once("\n--\n").map_or(block, |(input, _)| input);
    let mut transaction = fresh(world);
    let mut parameters = Parameters::new();
    let mut statements = String::new();
    for line in input.lines() {
        match line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            Some((name, expression)) => {
                let text = format!("RETURN {expression} AS value");
                let answer = graph::run(&mut transaction, &text, &parameters, &Limits::default());
                let answer = answer.unwrap_or_else(|failure| panic!("{text}\n{failure}"));
                parameters.insert(name.to_owned(), answer.rows[0][0].clone());
            }
            None if line.starts_with('#') => {}
            None => {
                statements.push_str(line);
                statements.push('\n');
            }
        }
    }
    let mut text = String::new();
    for statement in statements
        .split(";\n")
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        let outcome = graph::run(&mut transaction, statement, &parameters, &Limits::default());
        text = render::outcome(transaction.snapshot(), &outcome);
        if outcome.is_err() {
            break;
        }
    }
    format!("{input}\n--\n{}", text.trim_end())
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/executor/tests/cases");
    let entries = std::fs::read_dir(folder).expect("the cases' folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_case_gives_its_table() {
    let world = world();
    let bless = std::env::var_os("TRELLIS_BLESS").is_some();
    let (mut count, mut wrong) = (0, Vec::new());
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("a readable case file");
        let mut given = Vec::new();
        for block in text.trim().split("\n\n") {
            count += 1;
            let answer = answer(&world, block.trim_end());
            if answer != block.trim_end() && !bless {
                let name = path.file_name().expect("a name").display();
                wrong.push(format!("{name}, expected:\n{block}\nbut got:\n{answer}\n"));
            }
            given.push(answer);
        }
        if bless {
            #[expect(
                clippy::disallowed_methods,
                reason = "blessing rewrites a source file of the tests"
            )]
            std::fs::write(&path, given.join("\n\n") + "\n").expect("a writable case file");
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} cases differ\n\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 150, "only {count} cases were found");
}
