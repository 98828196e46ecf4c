//! What a change was about to do, written down before its first effect, so that whoever comes next
//! can finish or undo it.
//!
//! `.trellis/intents/<uuid>.json` lives from before the first effect to after the last. Undoing
//! deletes a folder only when its `graph.json` carries the uuid of the intent, or when it is still
//! empty and was not there before; everything else is left where it is and said in the log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storage_engine::{Contents, Store};
use uuid::Uuid;

use crate::answer::Answer;
use crate::config::ConfigFile;
use crate::deleted::Deleted;
use crate::durable::{self, DiskError, Naming};
use crate::steps::{Options, Step};
use crate::uri;
use crate::{Digest, Error, GraphId};

/// The file in a graph's folder that says which graph it is.
pub const IDENTITY_FILE: &str = "graph.json";

pub(crate) const FOLDER: &str = "intents";

/// What the engine puts into a new graph's folder beside [`IDENTITY_FILE`]. Nothing else is removed
/// there: whatever it is, somebody else has put it in.
const OURS: [&str; 6] = [
    "log",
    "files",
    "tables",
    "checkpoints",
    "leases",
    "published",
];

/// The lock on a graph. It goes after [`IDENTITY_FILE`]: whoever comes meanwhile finds it held, and makes
/// none where there is no graph any more.
const LOCK: &str = "writer.lock";

/// How the folders begin in which `trellis repair` keeps what it changed.
const REPAIRED: &str = "repair-";

/// How the files begin that the engine was writing when its process died.
const UNFINISHED: &str = ".unfinished-";

/// One change of the config file, from before its first effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The intent's own name.
    pub intent: Uuid,
    /// The graph that it is about.
    pub graph_id: GraphId,
    /// The config before.
    pub old_digest: Digest,
    /// The config after.
    pub new_digest: Digest,
    /// What is to be done.
    pub change: Change,
}

/// What is to be done to a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Change {
    /// It is made.
    Create(Creation),
    /// Its entry is changed.
    Update,
    /// Its entry goes, and its data is kept for a while.
    Delete(Box<Deleted>),
    /// Its entry comes back.
    Restore(Box<Deleted>),
}

/// A graph to be made, from before its first effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// The uuid its storage will carry.
    pub graph_uuid: Uuid,
    /// Its canonical folder, or place in an object store.
    pub folder: PathBuf,
    /// The folder was there (and empty) before.
    pub folder_existed: bool,
    /// Folders above it that were not there before, the lowest first.
    pub missing_above: Vec<PathBuf>,
    /// What a repetition of the request is answered, when it has an `Idempotency-Key`.
    pub answer: Option<Answer>,
}

/// What lies at an intent's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// An empty folder, or one in which the engine was writing its very first file.
    Empty,
    /// A graph's folder with this uuid.
    Graph(Uuid),
    /// Anything else.
    Other,
}

/// What the config file on the disk says of a graph and its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The graph, at that folder.
    Itself,
    /// Another graph at that folder, within it or around it.
    Another,
    /// Neither.
    No,
}

/// How a leftover intent is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The graph is whole: nothing to do.
    Finished,
    /// The folder and what is in it are removed.
    RemoveGraph,
    /// The empty folder is removed.
    RemoveEmpty,
    /// Nothing was left behind.
    NothingLeft,
    /// Something is there that this attempt cannot be shown to have made: it stays.
    LeftAlone,
}

/// Decides how a create that did not end is settled. `unedited`: the config is as it was before the
/// create. One that was edited since may have named the graph for a while, and what was written to it
/// then is not the attempt's.
#[must_use]
pub fn settlement(intent: &Creation, named: Named, found: Found, unedited: bool) -> Settlement {
    match (named, found) {
        (Named::Itself, Found::Graph(uuid)) if uuid == intent.graph_uuid => Settlement::Finished,
        (Named::No, Found::Graph(uuid)) if uuid == intent.graph_uuid && unedited => {
            Settlement::RemoveGraph
        }
        (Named::No, Found::Empty) if !intent.folder_existed => Settlement::RemoveEmpty,
        (Named::No, Found::Absent | Found::Empty) => Settlement::NothingLeft,
        _ => Settlement::LeftAlone,
    }
}

#[derive(Deserialize)]
struct Identity {
    #[serde(alias = "graph_uuid")]
    uuid: Uuid,
}

/// Looks at a folder.
pub fn look(folder: &Path) -> Result<Found, DiskError> {
    if uri::is_remote(folder) {
        return look_remotely(folder);
    }
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(source) => {
            return Err(DiskError {
                action: "look at",
                path: folder.to_owned(),
                source,
            });
        }
        Ok(found) if !found.is_dir() => return Ok(Found::Other),
        Ok(_) => {}
    }
    let mut items = fs::read_dir(folder).naming("list", folder)?;
    if items.all(|item| item.is_ok_and(|item| is_unfinished(&item.file_name()))) {
        return Ok(Found::Empty);
    }
    match fs::read(folder.join(IDENTITY_FILE)) {
        Ok(bytes) => Ok(serde_json::from_slice::<Identity>(&bytes)
            .map_or(Found::Other, |identity| Found::Graph(identity.uuid))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Other),
        Err(source) => Err(DiskError {
            action: "read",
            path: folder.join(IDENTITY_FILE),
            source,
        }),
    }
}

/// Where another graph lies within what the engine made in a graph's folder, if one does.
pub(crate) fn other_graph(folder: &Path, graph: Uuid) -> Result<Option<PathBuf>, DiskError> {
    let found = store(folder)?.other_graph(graph).map_err(io::Error::other);
    found.naming("look through", folder)
}

/// Whether anything in the folder is what the engine makes, whoever's it is.
pub(crate) fn has_parts(folder: &Path) -> Result<bool, DiskError> {
    if !uri::is_remote(folder) && !folder.is_dir() {
        return Ok(false);
    }
    let found = store(folder)?.has_parts().map_err(io::Error::other);
    found.naming("look at", folder)
}

/// The place that a canonical form names.
fn store(place: &Path) -> Result<Store, DiskError> {
    if !uri::is_remote(place) {
        return Ok(place.into());
    }
    Store::at(&place.to_string_lossy())
        .map_err(io::Error::other)
        .naming("reach", place)
}

fn look_remotely(place: &Path) -> Result<Found, DiskError> {
    let contents = store(place)?
        .contents()
        .map_err(io::Error::other)
        .naming("look at", place)?;
    Ok(match contents {
        Contents::Nothing => Found::Absent,
        Contents::Graph(uuid) => Found::Graph(uuid),
        Contents::Other => Found::Other,
    })
}

impl Intent {
    /// A change that is about to be made to the graph of that id.
    pub(crate) fn new(graph_id: &GraphId, old: Digest, new: Digest, change: Change) -> Self {
        Self {
            intent: Uuid::new_v4(),
            graph_id: graph_id.clone(),
            old_digest: old,
            new_digest: new,
            change,
        }
    }

    fn path(&self, file: &ConfigFile) -> PathBuf {
        file.state_folder()
            .join(FOLDER)
            .join(format!("{}.json", self.intent))
    }

    /// Writes it down, durably.
    pub(crate) fn begin(&self, file: &ConfigFile) -> Result<(), DiskError> {
        durable::write_record(&self.path(file), self)
    }

    /// Forgets it, durably.
    pub(crate) fn end(&self, file: &ConfigFile) -> Result<(), DiskError> {
        durable::remove(&self.path(file))
    }
}

impl Creation {
    /// Removes what [`settlement`] allows, and the folders above that were made for it and are
    /// empty again.
    pub(crate) fn undo(&self, settlement: Settlement, options: &Options) -> Result<(), Error> {
        let mut folders = self.missing_above.as_slice();
        if matches!(
            settlement,
            Settlement::RemoveEmpty | Settlement::NothingLeft
        ) {
            for path in unfinished(&self.folder)? {
                durable::remove(&path)?;
                options.after(Step::TemporaryRemoved)?;
            }
        }
        match settlement {
            Settlement::RemoveGraph => {
                remove_files(&self.folder, self.graph_uuid)?;
                options.after(Step::FilesRemoved)?;
                remove_mark(&self.folder)?;
                options.after(Step::MarkRemoved)?;
            }
            Settlement::Finished | Settlement::LeftAlone => return Ok(()),
            Settlement::RemoveEmpty | Settlement::NothingLeft => {}
        }
        if uri::is_remote(&self.folder) {
            folders = &[];
        } else if settlement != Settlement::NothingLeft && !self.folder_existed {
            durable::remove_empty_folder(&self.folder)?;
            options.after(Step::FolderRemoved)?;
        }
        for folder in folders {
            durable::remove_empty_folder(folder)?;
            options.after(Step::FolderRemoved)?;
        }
        Ok(())
    }

    /// As [`Intent::undo`], for the attempt itself while it still runs: a folder that it made a
    /// moment ago, and in which the engine did not come as far as its mark, goes as it is.
    #[expect(
        clippy::disallowed_methods,
        reason = "this attempt made the folder a moment ago, and nothing in it says that it is another's"
    )]
    pub(crate) fn undo_attempt(&self, made_folder: bool, options: &Options) -> Result<(), Error> {
        let found = look(&self.folder)?;
        let settlement = settlement(self, Named::No, found, true);
        if settlement != Settlement::LeftAlone {
            return self.undo(settlement, options);
        }
        // Whoever was quicker in the folder has put its mark there, even if the folder is ours.
        if made_folder && !matches!(found, Found::Graph(_)) {
            fs::remove_dir_all(&self.folder).naming("remove", &self.folder)?;
            durable::sync_folder(durable::parent(&self.folder))?;
            return self.undo(Settlement::NothingLeft, options);
        }
        tracing::warn!(
            folder = %self.folder.display(),
            "a failed create left files behind that it cannot be shown to have made; they stay"
        );
        Ok(())
    }
}

fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(UNFINISHED))
}

/// Files in a folder that the engine was writing when its process died.
fn unfinished(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut found = Vec::new();
    if uri::is_remote(folder) || !folder.is_dir() {
        return Ok(found);
    }
    for item in fs::read_dir(folder).naming("list", folder)? {
        let item = item.naming("list", folder)?;
        if is_unfinished(&item.file_name()) {
            found.push(item.path());
        }
    }
    Ok(found)
}

/// Removes what the engine makes in a graph's folder, but for the file that says whose it is: that
/// one goes last, so that a crash on the way leaves a folder that still says it.
#[expect(
    clippy::disallowed_methods,
    reason = "the folder carries the uuid that the caller looked for, and only what the engine makes is removed"
)]
pub(crate) fn remove_files(folder: &Path, uuid: Uuid) -> Result<(), DiskError> {
    if uri::is_remote(folder) {
        let erased = store(folder)?.erase(uuid).map_err(io::Error::other);
        durable::count_effect();
        return erased.naming("remove", folder);
    }
    let mut ours: Vec<PathBuf> = OURS.map(|name| folder.join(name)).into();
    ours.extend(unfinished(folder)?);
    for item in fs::read_dir(folder).naming("list", folder)? {
        let path = item.naming("list", folder)?.path();
        let name = path.file_name().and_then(std::ffi::OsStr::to_str);
        if path.is_dir() && name.is_some_and(|name| name.starts_with(REPAIRED)) {
            ours.push(path);
        }
    }
    durable::count_effect();
    for path in ours {
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.naming("remove", &path)?;
    }
    durable::sync_folder(folder)
}

/// Removes the file that says whose folder it is, and then the lock.
pub(crate) fn remove_mark(folder: &Path) -> Result<(), DiskError> {
    if uri::is_remote(folder) {
        // It went with the rest.
        return Ok(());
    }
    durable::remove(&folder.join(IDENTITY_FILE))?;
    remove_lock(folder)
}

/// Removes the lock of a graph that is gone. Nobody misses it, so that this need not be durable.
pub(crate) fn remove_lock(folder: &Path) -> Result<(), DiskError> {
    let path = folder.join(LOCK);
    let removed = fs::remove_file(&path);
    let kind = removed.as_ref().err().map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        _ => removed.naming("remove", &path),
    }
}

/// The intents that were left behind (or, without the lock, are under way), oldest name first.
/// One that cannot be read is left where it is and said in the log.
pub fn pending(file: &ConfigFile) -> Result<Vec<Intent>, DiskError> {
    let folder = file.state_folder().join(FOLDER);
    let listing = match fs::read_dir(&folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(DiskError {
                action: "list",
                path: folder,
                source,
            });
        }
    };
    let mut intents = Vec::new();
    for item in listing {
        let path = item.naming("list", &folder)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // Ended between the listing and the reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(DiskError {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        match serde_json::from_slice::<Intent>(&bytes) {
            Ok(intent) => intents.push(intent),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "an intent cannot be read; it stays");
            }
        }
    }
    intents.sort_by_key(|intent| intent.intent);
    Ok(intents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_provably_ours_is_removed() {
        let ours = Uuid::from_u128(1);
        let intent = |folder_existed| Creation {
            graph_uuid: ours,
            folder: "/data/alpha".into(),
            folder_existed,
            missing_above: Vec::new(),
            answer: None,
        };
        let other = Found::Graph(Uuid::from_u128(2));
        let cases = [
            (
                Named::Itself,
                Found::Graph(ours),
                false,
                Settlement::Finished,
            ),
            (Named::Itself, other, false, Settlement::LeftAlone),
            (Named::Itself, Found::Empty, false, Settlement::LeftAlone),
            (
                Named::Another,
                Found::Graph(ours),
                false,
                Settlement::LeftAlone,
            ),
            (Named::Another, Found::Empty, false, Settlement::LeftAlone),
            (
                Named::No,
                Found::Graph(ours),
                false,
                Settlement::RemoveGraph,
            ),
            (Named::No, Found::Graph(ours), true, Settlement::RemoveGraph),
            (Named::No, other, false, Settlement::LeftAlone),
            (Named::No, Found::Other, false, Settlement::LeftAlone),
            (Named::No, Found::Empty, false, Settlement::RemoveEmpty),
            (Named::No, Found::Empty, true, Settlement::NothingLeft),
            (Named::No, Found::Absent, false, Settlement::NothingLeft),
        ];
        for (named, found, existed, expect) in cases {
            assert_eq!(
                settlement(&intent(existed), named, found, true),
                expect,
                "{named:?} {found:?}"
            );
            let edited = match expect {
                Settlement::RemoveGraph => Settlement::LeftAlone,
                expect => expect,
            };
            let found = settlement(&intent(existed), named, found, false);
            assert_eq!(found, edited, "{named:?}");
        }
    }
}
