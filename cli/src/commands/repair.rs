//! `trellis repair`.

use std::path::PathBuf;

use clap::Args;
use server::offline::doctor::{self, Depth, RepairError};

use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis repair`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph's folder, the one with graph.json in it, or its place in an object store
    folder: PathBuf,
    /// Also take away tables that do not hold what the log says, as `doctor --deep` finds them
    #[arg(long)]
    deep: bool,
    /// Do it; without this, only say what would be done
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = arguments.folder.display();
    let depth = if arguments.deep {
        Depth::Deep
    } else {
        Depth::Usual
    };
    let place = super::doctor::place(&arguments.folder)?;
    let prescription = doctor::prescribe(&place, depth).map_err(failure)?;
    if prescription.is_empty() {
        let diagnosis = &prescription.diagnosis;
        if !diagnosis.sound {
            let hint = format!("see `trellis doctor {folder}`");
            return Err(Failure::Found(format!(
                "{folder} is damaged in a way that this command does not repair: {hint}"
            )));
        }
        return table::print(&format!("{folder} needs no repair"));
    }
    if !arguments.yes {
        table::print(prescription.to_string().trim_end())?;
        return Err(Failure::Found(
            "nothing was changed: say --yes to have this done".to_owned(),
        ));
    }
    let repaired = doctor::repair(&place, depth).map_err(failure)?;
    table::print(repaired.before.to_string().trim_end())?;
    if let Some(copies) = &repaired.copies {
        table::print(&format!("copies are kept in {}", copies.display()))?;
    }
    if repaired.after.sound {
        return table::print(&format!("{folder} is sound"));
    }
    Err(Failure::Found(format!(
        "{folder} is still damaged: see `trellis doctor {folder}`"
    )))
}

fn failure(error: RepairError) -> Failure {
    match error {
        RepairError::Examine(error) => Failure::Usage(error.to_string()),
        other => Failure::Repair(other),
    }
}
