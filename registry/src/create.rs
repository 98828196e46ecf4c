//! Creating a graph at run time, in the order that keeps the file, the disk and the served version
//! one.
//!
//! Under the lock: what a crash left is settled; the file is read once and must be the version that
//! is served (or another process's); id and place are checked against that reading; the edited text
//! is made and proven in memory; then the effects, each undone or finished by the intent that
//! precedes them all. An attempt that fails before the config is replaced leaves nothing behind;
//! after that moment the graph exists.
//!
//! All of it is synchronous. Run it where nobody's going away can end it half-way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use language::schema::Schema;
use policy::{Action, Permit};
use storage_engine::{CreateError, Graph, Store};
use uuid::Uuid;

use crate::config::store::ConfigText;
use crate::config::{GraphEntry, GraphKind, PolicyFile, edit};
use crate::durable;
use crate::handle::WrongPermit;
use crate::intent::{self, Found, Intent};
use crate::policy_file::read_policy;
use crate::registration::{self, Registration, Snapshot};
use crate::registry::{Registry, Step};
use crate::uri::{self, GraphUri, UriError};
use crate::{Digest, Error, GraphId, StorageError};

/// A graph that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGraph {
    /// Its id.
    pub graph_id: GraphId,
    /// What it may contain.
    pub schema: Schema,
    /// Where to keep it; below `server.storage` when not given.
    pub uri: Option<String>,
    /// Whose it is.
    pub tenant: Option<String>,
    /// Free marks.
    pub labels: BTreeMap<String, String>,
    /// Its own Cedar policy file, within the allowed roots.
    pub policy_file: Option<String>,
    /// Closed when not given.
    pub graph_type: Option<GraphKind>,
}

impl NewGraph {
    /// A graph with this id and nothing else said.
    #[must_use]
    pub fn new(graph_id: GraphId, schema: Schema) -> Self {
        Self {
            graph_id,
            schema,
            uri: None,
            tenant: None,
            labels: BTreeMap::new(),
            policy_file: None,
            graph_type: None,
        }
    }

    fn check_texts(&self) -> Result<(), Error> {
        let labels = self
            .labels
            .iter()
            .flat_map(|(name, value)| [("label", name), ("label value", value)]);
        for (field, text) in self
            .tenant
            .iter()
            .map(|tenant| ("tenant", tenant))
            .chain(labels)
        {
            let empty = text.trim().is_empty() && field != "label value";
            // `<<` as a key would be taken for YAML's merge.
            if empty || text == "<<" || text.chars().any(char::is_control) {
                return Err(Error::InvalidText { field });
            }
        }
        Ok(())
    }
}

/// What is said of every policy file outside, whatever is there.
const OUTSIDE: &str = "is outside the folders that server.allow_roots names";

/// Everything decided, nothing done.
struct Plan {
    entry: GraphEntry,
    uri: GraphUri,
    text: String,
    intent: Intent,
}

impl Registry {
    /// Creates the graph: storage, config file, served version; all of them or none. The permit is
    /// for `graph_create` on the server; its principal is who made the first commit.
    pub fn create(&self, permit: &Permit, request: NewGraph) -> Result<Arc<Registration>, Error> {
        let is_it = permit.action() == Action::GraphCreate && permit.graph_id().is_none();
        WrongPermit::unless(is_it, permit)?;
        let schema = request.schema.clone();
        let principal = permit.principal().id.clone();
        self.create_with(request, |folder, graph| {
            initialise(folder, graph, schema, principal)
        })
    }

    /// `initialise` puts an empty graph with that uuid into the folder, which is there and empty.
    /// It must write `graph.json`, holding the uuid, before anything else: that is how a folder
    /// left by a crash is known to be this attempt's.
    fn create_with(
        &self,
        request: NewGraph,
        initialise: impl FnOnce(&Path, Uuid) -> Result<(), StorageError>,
    ) -> Result<Arc<Registration>, Error> {
        request.check_texts()?;
        let _turn = self.take_turn();
        let _lock = self.lock()?;
        let (read, snapshot) = self.current()?;
        let plan = self.plan(&request, &read, &snapshot)?;
        plan.intent.begin(self.file())?;
        self.after(Step::IntentWritten)?;
        let mut made_folder = false;
        match self.replace_config(&plan, &mut made_folder, initialise) {
            Ok(()) => {}
            // As after a crash: whoever comes next settles it.
            Err(Failure {
                error: error @ Error::Halted(_),
                ..
            }) => return Err(error),
            // The new config may be in place already, so only the disk can tell: as above.
            Err(Failure {
                error,
                replaced: true,
            }) => return Err(error),
            Err(Failure {
                error,
                replaced: false,
            }) => {
                self.abandon(&plan.intent, made_folder);
                return Err(error);
            }
        }
        self.file().record_write(plan.intent.new_digest)?;
        self.after(Step::DigestRecorded)?;
        let registration = self.serve(
            request.graph_id,
            plan.entry,
            plan.uri,
            &plan.intent,
            &snapshot,
        );
        self.after(Step::Published)?;
        if let Err(error) = plan.intent.end(self.file()) {
            // The graph is whole; whoever comes next finds it so and ends the intent.
            tracing::warn!(%error, "an intent could not be ended");
        }
        self.after(Step::IntentEnded)?;
        Ok(registration)
    }

    fn plan(
        &self,
        request: &NewGraph,
        read: &ConfigText,
        snapshot: &Snapshot,
    ) -> Result<Plan, Error> {
        if let Some(taken) = snapshot.graphs.get(&request.graph_id) {
            return Err(Error::GraphExists(taken.graph_id.clone()));
        }
        let graph_uuid = Uuid::new_v4();
        let roots = self.roots(snapshot)?;
        let uri = self.place(request, graph_uuid, snapshot, &roots)?;
        let policy = request
            .policy_file
            .as_deref()
            .map(|written| self.policy_file(written, &roots))
            .transpose()?;
        let entry = GraphEntry {
            uri: uri.written().to_owned(),
            tenant: request.tenant.clone(),
            labels: request.labels.clone(),
            policy,
            graph_type: request.graph_type,
        };
        let text = edit::add_graph(&read.text, &request.graph_id, &entry)?;
        let folder = uri.canonical().to_owned();
        let intent = Intent {
            intent: Uuid::new_v4(),
            graph_id: request.graph_id.clone(),
            graph_uuid,
            folder_existed: !uri::is_remote(&folder) && folder.exists(),
            missing_above: missing_above(&folder),
            folder,
            old_digest: read.digest,
            new_digest: Digest::of(text.as_bytes()),
        };
        Ok(Plan {
            entry,
            uri,
            text,
            intent,
        })
    }

    /// The canonical folders where a location given over HTTP may point.
    fn roots(&self, snapshot: &Snapshot) -> Result<Vec<PathBuf>, Error> {
        let server = &snapshot.config.server;
        let written: Vec<&String> = match &server.allow_roots {
            Some(roots) => roots.iter().collect(),
            None => server.storage.iter().collect(),
        };
        let roots = written
            .into_iter()
            .map(|root| uri::root(root, self.file().folder()));
        Ok(roots.collect::<Result<_, UriError>>()?)
    }

    /// Settles where the graph will be kept and checks the place against every rule.
    fn place(
        &self,
        request: &NewGraph,
        graph_uuid: Uuid,
        snapshot: &Snapshot,
        roots: &[PathBuf],
    ) -> Result<GraphUri, Error> {
        let folder = self.file().folder();
        let uri = match &request.uri {
            Some(written) => {
                let outside = || UriError::OutsideRoots {
                    written: written.clone(),
                };
                let uri =
                    GraphUri::parse(written, folder).map_err(|error| match error.place() {
                        // What the disk says of places outside is not the caller's to know.
                        Some(place) if !uri::is_inside(place, roots) => outside(),
                        _ => error,
                    })?;
                if !uri.inside(roots) {
                    return Err(outside().into());
                }
                uri
            }
            None => {
                let storage = snapshot
                    .config
                    .server
                    .storage
                    .as_ref()
                    .ok_or(UriError::NoStorage)?;
                let written = format!("{}/{}", storage.trim_end_matches('/'), request.graph_id);
                let uri = GraphUri::parse(&written, folder)?;
                match intent::look(uri.canonical())? {
                    Found::Absent | Found::Empty => uri,
                    // Kept from a deleted graph of that name.
                    _ => {
                        let uuid = graph_uuid.simple().to_string();
                        let mark = uuid.get(..8).unwrap_or(&uuid);
                        GraphUri::parse(&format!("{written}-{mark}"), folder)?
                    }
                }
            }
        };
        uri.clear_of_config(self.file().path())?;
        self.check_vacant(&uri, snapshot)?;
        Ok(uri)
    }

    fn check_vacant(&self, uri: &GraphUri, snapshot: &Snapshot) -> Result<(), Error> {
        if let Some(by) = registration::occupant(&snapshot.graphs, uri.canonical()) {
            return Err(Error::UriInUse {
                uri: uri.written().to_owned(),
                by: by.graph_id.clone(),
            });
        }
        if let Some((relation, by)) = registration::neighbour(&snapshot.graphs, uri) {
            return Err(UriError::Overlaps {
                written: uri.written().to_owned(),
                relation,
                by: by.graph_id.to_string(),
            }
            .into());
        }
        let path = uri.canonical().to_owned();
        match intent::look(&path)? {
            Found::Absent | Found::Empty => Ok(()),
            Found::Other if !uri::is_remote(&path) && !path.is_dir() => {
                Err(UriError::NotAFolder { path }.into())
            }
            Found::Graph(_) | Found::Other => Err(Error::UriNotEmpty { path }),
        }
    }

    /// A policy file given over HTTP: within the roots, a file, readable, and a sound policy. Of one
    /// that is outside nothing is told, not even whether it is there.
    fn policy_file(&self, written: &str, roots: &[PathBuf]) -> Result<PolicyFile, Error> {
        let refuse = |reason| Error::InvalidPolicyFile {
            written: written.to_owned(),
            reason,
        };
        if written.trim().is_empty() || written.chars().any(char::is_control) {
            return Err(refuse("is no file name"));
        }
        let path = match uri::canonical(&self.file().resolve(written)) {
            Ok(path) => path,
            Err(error) if error.place().is_some_and(|at| uri::is_inside(at, roots)) => {
                return Err(refuse("cannot be found"));
            }
            Err(_) => return Err(refuse(OUTSIDE)),
        };
        if !uri::is_inside(&path, roots) {
            return Err(refuse(OUTSIDE));
        }
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(refuse("is no file")),
            Err(_) => return Err(refuse("cannot be found")),
        }
        read_policy(&path).map_err(Error::InvalidPolicy)?;
        Ok(PolicyFile {
            file: written.to_owned(),
        })
    }

    /// The effects up to the moment from which the graph exists.
    fn replace_config(
        &self,
        plan: &Plan,
        made_folder: &mut bool,
        initialise: impl FnOnce(&Path, Uuid) -> Result<(), StorageError>,
    ) -> Result<(), Failure> {
        let intent = &plan.intent;
        let remote = uri::is_remote(&intent.folder);
        *made_folder = !remote && durable::create_folder(&intent.folder)?;
        self.after(Step::FolderMade)?;
        if !matches!(intent::look(&intent.folder)?, Found::Absent | Found::Empty) {
            // Somebody was quicker: what is in there is theirs, even if the folder is ours.
            *made_folder = false;
            return Err(Error::UriNotEmpty {
                path: intent.folder.clone(),
            }
            .into());
        }
        initialise(&intent.folder, intent.graph_uuid).map_err(|error| Error::Storage {
            graph_id: intent.graph_id.clone(),
            source: error,
        })?;
        self.after(Step::StorageInitialised)?;
        self.check_identity(intent)?;
        let replacement = self.file().prepare(&plan.text)?;
        if let Err(halted) = self.after(Step::ConfigPrepared) {
            replacement.leave();
            return Err(halted.into());
        }
        // An editor pays no regard to our lock: look again at the last moment.
        let on_disk = self.file().read()?.digest;
        if on_disk != intent.old_digest {
            return Err(self.drifted(on_disk).into());
        }
        replacement.rename()?;
        let replaced = |error: Error| Failure {
            error,
            replaced: true,
        };
        durable::sync_folder(self.file().folder()).map_err(|error| replaced(error.into()))?;
        self.after(Step::ConfigReplaced).map_err(replaced)
    }

    /// The engine must have left its mark, else a crash could not be told from a stranger's folder.
    fn check_identity(&self, intent: &Intent) -> Result<(), Error> {
        if intent::look(&intent.folder)? == Found::Graph(intent.graph_uuid) {
            return Ok(());
        }
        Err(Error::Storage {
            graph_id: intent.graph_id.clone(),
            source: StorageError::Unmarked,
        })
    }

    fn serve(
        &self,
        graph_id: GraphId,
        entry: GraphEntry,
        uri: GraphUri,
        intent: &Intent,
        snapshot: &Snapshot,
    ) -> Arc<Registration> {
        let position = snapshot.graphs.len();
        let registration = Arc::new(Registration::new(
            self.file(),
            graph_id.clone(),
            entry,
            uri,
            position,
        ));
        let mut graphs = snapshot.graphs.clone();
        graphs.insert(graph_id, registration.clone());
        self.publish(Snapshot {
            digest: intent.new_digest,
            config: snapshot.config.clone(),
            graphs,
        });
        registration
    }

    /// Undoes a failed attempt. What cannot be undone now is left to the intent.
    fn abandon(&self, intent: &Intent, made_folder: bool) {
        let undone = intent
            .undo_attempt(made_folder)
            .and_then(|()| intent.end(self.file()));
        if let Err(error) = undone {
            tracing::error!(graph_id = %intent.graph_id, %error, "a failed create could not be undone yet");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that makes a graph, and `create` asks for a permit first"
)]
fn initialise(
    folder: &Path,
    graph: Uuid,
    schema: Schema,
    principal: String,
) -> Result<(), StorageError> {
    let new = storage_engine::NewGraph {
        graph,
        schema,
        principal,
    };
    let store = match uri::is_remote(folder) {
        true => Store::at(&folder.to_string_lossy()).map_err(CreateError::from)?,
        false => folder.into(),
    };
    Ok(Graph::create(store, new)?)
}

/// Why the effects stopped, and whether the config had been replaced by then.
struct Failure {
    error: Error,
    replaced: bool,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            replaced: false,
        }
    }
}

fn missing_above(folder: &Path) -> Vec<PathBuf> {
    if uri::is_remote(folder) {
        // There are no folders.
        return Vec::new();
    }
    folder
        .ancestors()
        .skip(1)
        .take_while(|above| !above.exists())
        .map(Path::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    /// A registry on `data/` in a temporary folder, and every path below that folder.
    fn place() -> (Registry, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("trellis.yaml");
        let text = "version: 1\nserver: { storage: data }\n";
        durable::write(&config, text.as_bytes()).expect("written");
        fs::create_dir_all(folder.path().join("data/empty")).expect("created");
        let registry = Registry::open(&config, Options::default()).expect("sound");
        (registry, folder)
    }

    fn listing(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for item in fs::read_dir(folder).expect("listed") {
            let path = item.expect("listed").path();
            if path.is_dir() && !path.ends_with(".trellis") {
                found.extend(listing(&path));
            }
            found.push(path);
        }
        found.sort();
        found
    }

    fn at(graph_id: &str, uri: &str) -> NewGraph {
        let schema = Schema::parse("node Person { email: String @key }").expect("sound");
        NewGraph {
            uri: Some(uri.to_owned()),
            ..NewGraph::new(GraphId::parse(graph_id).expect("valid"), schema)
        }
    }

    fn write(path: PathBuf, text: &str) {
        durable::write(&path, text.as_bytes()).expect("written");
    }

    #[test]
    fn a_failing_engine_leaves_nothing() {
        let (registry, folder) = place();
        let full = || {
            StorageError::Engine(storage_engine::CreateError::NotEmpty {
                folder: PathBuf::new(),
            })
        };
        let _ = registry.create_with(at("warm-up", "data/x"), |_, _| Err(full()));
        let before = listing(folder.path());
        let error = registry
            .create_with(at("one", "data/some/where/one"), |folder, _| {
                write(folder.join("half"), "half");
                Err(full())
            })
            .expect_err("fails");
        assert!(matches!(error, Error::Storage { .. }), "{error}");
        assert_eq!(listing(folder.path()), before);
        // A folder that was there before stays; what carries the attempt's uuid goes.
        registry
            .create_with(at("two", "data/empty"), |folder, uuid| {
                write(
                    folder.join("graph.json"),
                    &format!("{{\"uuid\":\"{uuid}\"}}"),
                );
                write(folder.join("writer.lock"), "more");
                Err(full())
            })
            .expect_err("fails");
        assert_eq!(listing(folder.path()), before);
        // An engine that leaves no mark is refused.
        let error = registry.create_with(at("three", "data/three"), |_, _| Ok(()));
        let unmarked = matches!(
            error,
            Err(Error::Storage {
                source: StorageError::Unmarked,
                ..
            })
        );
        assert!(unmarked);
        assert_eq!(listing(folder.path()), before);
    }
}
