//! Finishing or undoing what crashes left behind. Under the lock.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::config::{self, ConfigFile, GraphEntry};
use crate::deleted::{self, Deleted, Stage, now_micros};
use crate::durable::{self, DiskError};
use crate::handle::hold;
use crate::intent::{self, Change, Creation, Found, Intent, Named, Settlement};
use crate::steps::{Options, Step};
use crate::uri::{self, GraphUri, Relation};
use crate::{Error, GraphId, answer, with_causes};

/// Finishes or undoes what earlier attempts left behind.
pub(crate) fn settle(file: &ConfigFile, options: &Options) -> Result<(), Error> {
    let intents = intent::pending(file)?;
    if intents.is_empty() {
        return Ok(());
    }
    sweep(file, options)?;
    let read = file.read()?;
    let Ok(parsed) = config::parse(&read.text) else {
        tracing::warn!(
            count = intents.len(),
            "the config file is not sound, so that unfinished changes cannot be settled; they wait"
        );
        return Ok(());
    };
    let graphs = parsed.config.graphs;
    for intent in intents {
        tracing::info!(graph_id = %intent.graph_id, "settling a change that did not end");
        if read.digest == intent.new_digest {
            file.record_write(read.digest)?;
            options.after(Step::DigestRecorded)?;
        }
        let unedited = read.digest == intent.old_digest;
        match finish_or_undo(file, options, &intent, &graphs, unedited) {
            Err(Error::Io(error)) if is_remote(&intent) => {
                // A store that is out of reach stops nothing but this.
                let error = with_causes(&error);
                tracing::warn!(graph_id = %intent.graph_id, error, "an unfinished create waits");
                continue;
            }
            finished => finished?,
        }
        intent.end(file)?;
        options.after(Step::IntentEnded)?;
    }
    Ok(())
}

fn is_remote(intent: &Intent) -> bool {
    matches!(&intent.change, Change::Create(creation) if uri::is_remote(&creation.folder))
}

fn finish_or_undo(
    file: &ConfigFile,
    options: &Options,
    intent: &Intent,
    graphs: &[(GraphId, GraphEntry)],
    unedited: bool,
) -> Result<(), Error> {
    // Neither a delete nor a restore changes the uri, and ids are unique.
    let stands = |record: &Deleted| {
        let mut graphs = graphs.iter();
        graphs
            .any(|(graph_id, entry)| *graph_id == intent.graph_id && entry.uri == record.entry.uri)
    };
    match &intent.change {
        Change::Update => {}
        Change::Create(creation) => {
            let named = named(file, &intent.graph_id, &creation.folder, graphs);
            create(file, options, creation, named, unedited)?;
        }
        // The file was not replaced, and the graph was never away; or it was, and the graph is back.
        Change::Delete(record) | Change::Restore(record) if stands(record) => {
            record.remove(file)?;
            options.after(Step::DeletionForgotten)?;
        }
        Change::Delete(record) => {
            record.write(file)?;
            options.after(Step::DeletionRecorded)?;
        }
        Change::Restore(_) => {}
    }
    Ok(())
}

fn create(
    file: &ConfigFile,
    options: &Options,
    creation: &Creation,
    named: Named,
    unedited: bool,
) -> Result<(), Error> {
    let folder = &creation.folder;
    let look = || intent::look(folder).map(|it| intent::settlement(creation, named, it, unedited));
    let mut settlement = look()?;
    let mut _hold = None;
    if settlement == Settlement::RemoveGraph {
        match hold(folder) {
            Ok(held) => {
                _hold = Some(held);
                settlement = look()?;
            }
            // What crashed half-way in an object store cannot be opened; one that cannot be reached
            // may be in use.
            Err(error) if uri::is_remote(folder) && !error.is_passing() => {}
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(folder = %folder.display(), error, "a graph of an unfinished create cannot be held");
                settlement = Settlement::LeftAlone;
            }
        }
    }
    if settlement == Settlement::RemoveGraph
        && intent::other_graph(folder, creation.graph_uuid)?.is_some()
    {
        settlement = Settlement::LeftAlone;
    }
    tracing::info!(folder = %folder.display(), ?settlement, "settling a create");
    match (settlement, &creation.answer) {
        (Settlement::Finished, Some(answer)) => {
            answer.keep(file)?;
            options.after(Step::AnswerKept)?;
        }
        (Settlement::LeftAlone, _) => {
            tracing::warn!(folder = %folder.display(), "what an unfinished create left behind stays: others may have used it since");
        }
        _ => {}
    }
    creation.undo(settlement, options)
}

/// Removes temporary files that a crash left behind.
pub(crate) fn sweep(file: &ConfigFile, options: &Options) -> Result<(), Error> {
    for path in leftovers(file)? {
        durable::remove(&path)?;
        options.after(Step::TemporaryRemoved)?;
    }
    Ok(())
}

/// The temporary files in the folders in which only who has the lock makes any.
pub(crate) fn leftovers(file: &ConfigFile) -> Result<Vec<PathBuf>, DiskError> {
    let state = file.state_folder();
    let mut found = durable::leftovers(file.folder())?;
    found.extend(durable::leftovers(&state)?);
    for name in [
        intent::FOLDER,
        deleted::DELETED,
        deleted::PURGED,
        answer::FOLDER,
    ] {
        found.extend(durable::leftovers(&state.join(name))?);
    }
    Ok(found)
}

/// The deleted graphs that there are, once the purges were ended that had removed everything and whose
/// process died before it was written down. What cannot be ended now waits, and keeps its place.
pub(crate) fn kept(file: &ConfigFile, options: &Options) -> Result<Vec<Deleted>, Error> {
    let mut kept = Vec::new();
    for record in deleted::kept(file)? {
        let ended = match record.stage {
            Stage::Purging => end_if_gone(file, options, &record),
            Stage::Kept | Stage::Purged(_) => Ok(false),
        };
        match ended {
            Ok(true) => {}
            Ok(false) => kept.push(record),
            Err(error @ Error::Halted(_)) => return Err(error),
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(graph_id = %record.graph_id, error, "a purge cannot be written down yet");
                kept.push(record);
            }
        }
    }
    Ok(kept)
}

fn end_if_gone(file: &ConfigFile, options: &Options, record: &Deleted) -> Result<bool, Error> {
    let folder = &record.folder;
    let gone = match intent::look(folder)? {
        Found::Absent | Found::Empty => true,
        // What others have put there, or a lock.
        Found::Other => !intent::has_parts(folder)?,
        Found::Graph(_) => false,
    };
    if gone {
        end_purge(file, options, record)?;
    }
    Ok(gone)
}

/// Nothing is left of what a deleted graph had: writes that down, unless somebody else has.
pub(crate) fn end_purge(
    file: &ConfigFile,
    options: &Options,
    record: &Deleted,
) -> Result<(), Error> {
    let Some(record) = record.again(file)?.filter(|it| it.is_of(record)) else {
        return Ok(());
    };
    let folder = &record.folder;
    let was_there = record.graph_uuid.is_some() && !uri::is_remote(folder);
    if was_there && intent::look(folder)? == Found::Other {
        intent::remove_lock(folder)?;
    }
    if was_there && intent::look(folder)? == Found::Empty {
        durable::remove_empty_folder(folder)?;
        options.after(Step::FolderRemoved)?;
    }
    let purged = Deleted {
        stage: Stage::Purged(now_micros()),
        ..record.clone()
    };
    purged.write(file)?;
    options.after(Step::PurgeRecorded)?;
    record.remove(file)?;
    options.after(Step::PurgeEnded)
}

/// A graph that an operator has put back into the file by hand, under whichever id, is restored: its record
/// goes. One whose data is being removed stays deleted.
pub(crate) fn accept_restored(
    file: &ConfigFile,
    graphs: &crate::Graphs,
    options: &Options,
) -> Result<(), Error> {
    let kept = deleted::kept(file)?;
    if kept.is_empty() {
        return Ok(());
    }
    let graphs = graphs.values();
    let folders: HashSet<_> = graphs.map(|graph| graph.uri.canonical()).collect();
    for record in kept {
        if folders.contains(&*record.folder) && record.stage == Stage::Kept {
            tracing::info!(graph_id = %record.graph_id, "a deleted graph stands in the config file again: it is restored");
            record.remove(file)?;
            options.after(Step::DeletionForgotten)?;
        }
    }
    Ok(())
}

fn named(
    file: &ConfigFile,
    graph_id: &GraphId,
    folder: &std::path::Path,
    graphs: &[(GraphId, GraphEntry)],
) -> Named {
    let ours = GraphUri::known("", folder);
    let mut named = Named::No;
    for (other, entry) in graphs {
        // A place that cannot be followed may be the folder in question: nothing is removed.
        let Ok(uri) = GraphUri::parse(&entry.uri, file.folder()) else {
            return Named::Another;
        };
        match ours.relation(uri.canonical()) {
            Some(Relation::Same) if other == graph_id => return Named::Itself,
            Some(_) => named = Named::Another,
            None => {}
        }
    }
    named
}
