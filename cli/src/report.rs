//! What a check without a server found.

use server::offline::Report;

use crate::failure::Failure;
use crate::table;

/// Prints findings and warnings to standard error. A sound report says so on standard output;
/// any finding is a failure.
pub(crate) fn print(report: &Report, what: &str, counted: &str) -> Result<(), Failure> {
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for finding in &report.findings {
        eprintln!("error: {finding}");
    }
    let number = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    if number > 0 {
        return Err(Failure::Found(format!(
            "{} in {what}",
            table::counted(number, "mistake")
        )));
    }
    let count = u64::try_from(report.count).unwrap_or(u64::MAX);
    table::print(&format!(
        "{what} is sound: {}",
        table::counted(count, counted)
    ))
}
