//! Two states of a graph, compared row by row.

use language::value::Value;

use crate::rows::{Row, Rows};
use crate::snapshot::Snapshot;

/// How many differences are told one by one.
const TOLD: usize = 5;

/// What differs: the first few, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Differences {
    told: Vec<String>,
    count: usize,
}

impl Differences {
    fn push(&mut self, what: String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(what);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told.join(", "))?;
        match self.count - self.told.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// How the state from the log alone and the state from a checkpoint differ.
pub(super) fn differences(log: &Snapshot, checkpoint: &Snapshot) -> Differences {
    let mut found = Differences::default();
    if log.schema() != checkpoint.schema() {
        found.push("the schemas differ".to_owned());
        return found;
    }
    if log.head() != checkpoint.head() {
        let (a, b) = (log.head().id, checkpoint.head().id);
        found.push(format!(
            "the newest commit is {a} by the log, {b} by the checkpoint"
        ));
    }
    for rows in log.tables() {
        let name = &rows.layout.name;
        // In memory as long as it is compared.
        let whole = checkpoint.with_whole(rows.layout.type_id);
        match whole.as_ref().map(|it| it.rows(rows.layout.type_id)) {
            Ok(Some(other)) => compare(rows, other, &mut found),
            Ok(None) => found.push(format!("the checkpoint has no type {name}")),
            Err(error) => found.push(format!("{name} cannot be compared: {error}")),
        }
    }
    found
}

fn compare(log: &Rows, checkpoint: &Rows, found: &mut Differences) {
    let name = &log.layout.name;
    if log.count != checkpoint.count {
        let (a, b) = (log.count, checkpoint.count);
        found.push(format!(
            "{name} has {a} rows by the log, {b} by the checkpoint"
        ));
    }
    // A checkpoint may know of ids that were given and came to nothing.
    if log.next_id > checkpoint.next_id {
        let (a, b) = (log.next_id, checkpoint.next_id);
        found.push(format!(
            "the next id of {name} is {a} by the log, {b} by the checkpoint"
        ));
    }
    for id in log.ids() {
        match (log.whole(id), checkpoint.whole(id)) {
            (Some(a), Some(b)) if !same(&a, &b) => {
                found.push(format!("row {id} of {name} differs"));
            }
            (Some(_), None) => found.push(format!("row {id} of {name} is not in the checkpoint")),
            _ => {}
        }
    }
    for id in checkpoint.ids().filter(|id| !log.contains(*id)) {
        found.push(format!("row {id} of {name} is not in the log"));
    }
}

/// Apart from what columns in memory do not hold: who wrote the row.
fn same(a: &Row, b: &Row) -> bool {
    let values = a.values.len() == b.values.len()
        && a.values.iter().zip(&b.values).all(|(a, b)| equal(a, b));
    values && a.identity == b.identity && a.ends == b.ends
}

/// A number that is none equals itself here.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}
