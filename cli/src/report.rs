//! What a check without a server found.

use std::path::Path;

use server::offline::Report;

use crate::failure::Failure;
use crate::table;

/// Prints findings and warnings to standard error. A sound report says so on standard output;
/// any finding is a failure.
pub(crate) fn print(report: &Report, files: &[&Path], counted: &str) -> Result<(), Failure> {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let names = names.join(", ");
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for finding in &report.findings {
        eprintln!("error: {finding}");
    }
    let number = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    if number > 0 {
        return Err(Failure::Found(format!(
            "{} in {names}",
            table::counted(number, "mistake")
        )));
    }
    let count = u64::try_from(report.count).unwrap_or(u64::MAX);
    let verb = if files.len() == 1 { "is" } else { "are" };
    table::print(&format!(
        "{names} {verb} sound: {}",
        table::counted(count, counted)
    ))
}
