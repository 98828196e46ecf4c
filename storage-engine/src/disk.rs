//! Changes of a graph's folder pass here, and what is read of it is asked for, but for what `journal`
//! and Lance do: a test may watch that and make it fail. In production there is nobody to ask.

use std::io;
use std::path::{Path, PathBuf};

use journal::{Effect, Verdict};

#[cfg(test)]
pub(crate) mod watched;

#[cfg(test)]
pub(crate) use watched::of as faults;

/// Who watches a path.
#[cfg(not(test))]
pub(crate) fn faults(_: &Path) -> Option<std::sync::Arc<dyn journal::Faults>> {
    None
}

/// The log of a graph, for those who read it.
pub(crate) fn log(path: &Path) -> journal::Folder {
    journal::Folder::watched(path, faults(path))
}

/// To be called before a file or the names in a folder are read.
pub(crate) fn reads(path: &Path) -> io::Result<()> {
    faults(path).map_or(Ok(()), |faults| faults.read(path))
}

/// Where Lance finds what is at `path`.
pub(crate) fn table(path: PathBuf) -> PathBuf {
    match faults(&path) {
        // Through a client that asks, too.
        Some(_) => PathBuf::from(format!("s3://watched{}", path.display())),
        None => path,
    }
}

/// Makes a change.
pub(crate) fn make<T>(effect: Effect<'_>, real: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let faults = faults(path_of(&effect));
    if let Some(faults) = &faults
        && let Verdict::Fail(error) = faults.before(&effect)
    {
        return Err(error);
    }
    let made = real()?;
    if let Some(faults) = &faults {
        faults.after(&effect);
    }
    Ok(made)
}

/// Adds bytes to a file; says how many were taken.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    real: impl FnOnce(&[u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let faults = faults(path);
    let effect = |bytes| Effect::Write {
        path,
        // Nobody asks where: these files only grow.
        offset: 0,
        bytes,
    };
    let mut taken = bytes;
    if let Some(faults) = &faults {
        match faults.before(&effect(bytes.len())) {
            Verdict::Fail(error) => return Err(error),
            Verdict::Short(most) => taken = bytes.get(..most).unwrap_or(bytes),
            Verdict::Proceed => {}
        }
    }
    let written = real(taken)?;
    if let Some(faults) = &faults {
        faults.after(&effect(written));
    }
    Ok(written)
}

fn path_of<'a>(effect: &Effect<'a>) -> &'a Path {
    match effect {
        Effect::Create { path }
        | Effect::Write { path, .. }
        | Effect::SyncFile { path }
        | Effect::Rename { from: path, .. }
        | Effect::SyncFolder { path }
        | Effect::Cut { path, .. }
        | Effect::Remove { path } => path,
    }
}
