//! `trellis config diff`.

use api_types::ConfigDrift;
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table::{self, Format};

/// Arguments of `trellis config diff`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let drift: ConfigDrift = client.get(&["admin", "config", "drift"], &[])?;
    match arguments.format {
        Format::Json => table::print_json(&drift)?,
        Format::Ndjson => table::print_ndjson(&drift.changes)?,
        Format::Table => print(&drift)?,
    }
    if !drift.problems.is_empty() {
        let number = u64::try_from(drift.problems.len()).unwrap_or(u64::MAX);
        return Err(Failure::Found(format!(
            "the file cannot be applied: {}",
            table::counted(number, "problem")
        )));
    }
    match drift.drifted {
        true => Err(Failure::Drifted),
        false => Ok(()),
    }
}

fn print(drift: &ConfigDrift) -> Result<(), Failure> {
    match (drift.drifted, drift.changes.is_empty()) {
        (_, false) => super::print(&drift.changes)?,
        // Of what cannot be read it is not known what differs.
        (true, true) if !drift.problems.is_empty() => {}
        (true, true) => table::print("only comments and spacing differ")?,
        (false, true) => table::print("the server serves what stands in the file")?,
    }
    for problem in &drift.problems {
        let place = match (problem.line, problem.column) {
            (Some(line), Some(column)) => format!("{line}:{column}: "),
            _ => String::new(),
        };
        let path = match problem.path.as_str() {
            "" => String::new(),
            path => format!("{path}: "),
        };
        eprintln!("{place}{path}{}", problem.message);
    }
    Ok(())
}
