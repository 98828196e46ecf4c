//! Files that nothing names.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::doctor::Chart;
use crate::doctor::finding::{Finding, counted};
use crate::files::{FileError, UNFINISHED, failed};

/// What a graph's folder holds by itself.
const OURS: [&str; 9] = [
    "graph.json",
    "writer.lock",
    "log",
    "files",
    "tables",
    "checkpoints",
    "leases",
    "published",
    "epochs",
];

/// The names in a folder, sorted; those that are no text are shown as well as can be.
fn names(chart: &Chart, part: &str) -> Result<Vec<String>, FileError> {
    if chart.is_remote() {
        let mut names = chart.store.folders(part)?;
        let listed = chart.store.list(part)?.into_iter();
        names.extend(listed.map(|it| it.name));
        names.sort_unstable();
        return Ok(names);
    }
    let folder = &chart.store.place(part);
    let entries = fs::read_dir(folder).map_err(failed("list", folder))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, std::io::Error>>()
        .map_err(failed("list", folder))?;
    names.sort_unstable();
    Ok(names)
}

/// Names of `part` that are not in `named`. A folder that is missing is damage.
fn orphans(
    chart: &mut Chart,
    part: &'static str,
    named: &HashSet<String>,
) -> Option<(usize, Vec<String>)> {
    match names(chart, part) {
        Ok(mut names) => {
            let all = names.len();
            names.retain(|name| !named.contains(name));
            Some((all, names))
        }
        Err(error) if chart.is_remote() => {
            let finding = Finding::warning(part, chart.told(&error));
            chart
                .findings
                .push(finding.means("nothing says that it is damaged"));
            None
        }
        Err(error) => {
            let finding = Finding::damage(part, chart.told(&error));
            let meaning = "the next large commit or fold fails";
            let rescue = "make the folder again; what is missing of its files is said of each";
            chart.findings.push(finding.means(meaning).saved_by(rescue));
            chart.block(&format!("the folder {part} cannot be listed"));
            None
        }
    }
}

/// Side files; `complete` when every record could be read, so that it is known which are named.
pub(super) fn side_files(chart: &mut Chart, named: &HashSet<String>, complete: bool) {
    let Some((all, orphans)) = orphans(chart, "files", named) else {
        return;
    };
    let used = counted((all - orphans.len()) as u64, "side file");
    chart.findings.push(Finding::ok(
        "files",
        format!("{used} with the length and digest that the log names"),
    ));
    if orphans.is_empty() {
        return;
    }
    let what = if complete {
        format!(
            "{} that no commit names",
            counted(orphans.len() as u64, "file")
        )
    } else {
        format!(
            "{} that no commit names that can be read",
            counted(orphans.len() as u64, "file")
        )
    };
    let meaning = "what a write left that was not finished; they take room, nothing else";
    let finding = Finding::note("files", what);
    chart.findings.push(if complete {
        finding.means(meaning)
    } else {
        finding
    });
}

/// Table folders that no usable checkpoint names.
pub(super) fn tables(chart: &mut Chart, named: &HashSet<String>) {
    let Some((_, orphans)) = orphans(chart, "tables", named) else {
        return;
    };
    if !orphans.is_empty() {
        let what = format!(
            "{} that no checkpoint names",
            counted(orphans.len() as u64, "table folder")
        );
        let meaning = "what a fold left, or an older checkpoint; they take room, nothing else";
        chart
            .findings
            .push(Finding::note("tables", what).means(meaning));
    }
}

/// Files in the graph's folder and in its log that are not of the engine's making.
pub(super) fn strangers(chart: &mut Chart) {
    let ours = |name: &str| OURS.contains(&name);
    let mut strange: Vec<String> = Vec::new();
    let mut copies = 0;
    for name in names(chart, "").unwrap_or_default() {
        if name.starts_with("repair-") {
            copies += 1;
        } else if !ours(&name) && !name.starts_with(UNFINISHED) {
            strange.push(name);
        }
    }
    for name in names(chart, "log").unwrap_or_default() {
        let extension = Path::new(&name)
            .extension()
            .and_then(OsStr::to_str)
            .unwrap_or_default();
        let new = name.ends_with(".seg.new");
        if name.contains(".seg.torn-") {
            copies += 1;
        } else if extension != "seg" && !new {
            strange.push(format!("log/{name}"));
        }
    }
    if copies > 0 {
        let what = format!(
            "{} of what was cut off or replaced",
            counted(copies, "copy").replace("copys", "copies")
        );
        chart
            .findings
            .push(Finding::note("folder", what).means("they may be moved away"));
    }
    if !strange.is_empty() {
        let what = format!("not of the graph: {}", strange.join(", "));
        chart
            .findings
            .push(Finding::note("folder", what).means("they are left alone"));
    }
}
