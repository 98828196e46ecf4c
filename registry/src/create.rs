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
use std::path::{Path, PathBuf};
use std::sync::Arc;

use language::schema::Schema;
use policy::{Action, Permit};
use storage_engine::{CreateError, Graph, Store};
use uuid::Uuid;

use crate::answer::{self, Answer, Key};
use crate::change::{Effects, Prepared};
use crate::config::store::ConfigText;
use crate::config::{GraphEntry, GraphKind, PolicyFile, edit};
use crate::deleted::{self, Deleted};
use crate::durable;
use crate::intent::{self, Change, Creation, Found, Intent};
use crate::refusal::WrongPermit;
use crate::registration::{Graphs, Registration, Snapshot};
use crate::registry::Registry;
use crate::steps::Step;
use crate::uri::{self, GraphUri, Roots, UriError};
use crate::{Digest, Error, GraphId, StorageError, locate, settle};

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
    /// What the caller calls this request, when it may send it again.
    pub key: Option<Key>,
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
            key: None,
        }
    }
}

/// Everything decided, nothing done.
struct Plan {
    prepared: Prepared,
    registration: Arc<Registration>,
}

/// What came of a create.
#[derive(Debug)]
pub struct Created {
    /// The graph as it was made.
    pub registration: Arc<Registration>,
    /// The version of its registration ([`Registration::version`]), as it was made.
    pub version: String,
    /// It was made by an earlier request of the same key.
    pub replayed: bool,
}

impl Registry {
    /// Creates the graph: storage, config file, served version; all of them or none. The permit is
    /// for `graph_create` on the server; its principal is who made the first commit.
    pub fn create(&self, permit: &Permit, request: NewGraph) -> Result<Created, Error> {
        let is_it = permit.action() == Action::GraphCreate && permit.graph_id().is_none();
        WrongPermit::unless(is_it, permit)?;
        let schema = request.schema.clone();
        let principal = permit.principal().id.clone();
        let by = principal.clone();
        self.create_with(&principal, request, move |folder, graph| {
            initialise(folder, graph, schema, by)
        })
    }

    /// `initialise` puts an empty graph with that uuid into the folder, which is there and empty.
    /// It must write `graph.json`, holding the uuid, before anything else: that is how a folder
    /// left by a crash is known to be this attempt's.
    fn create_with(
        &self,
        principal: &str,
        request: NewGraph,
        initialise: impl FnOnce(&Path, Uuid) -> Result<(), StorageError>,
    ) -> Result<Created, Error> {
        locate::check_texts(request.tenant.iter(), std::iter::once(&request.labels))?;
        let _lock = self.lock()?;
        // What is known of a key does not depend on what somebody has made of the file since.
        if let Some(key) = &request.key
            && let Some(answer) = self.answered(principal, key)?
        {
            return self.replay(key, answer);
        }
        let (read, snapshot) = self.current()?;
        let kept = settle::kept(self.file(), self.options())?;
        let Plan {
            prepared,
            registration,
        } = self.plan(principal, &request, &read, &snapshot, &kept)?;
        let Change::Create(creation) = &prepared.intent.change else {
            return Err(Error::Changed);
        };
        let version = registration.version_of(Some(creation.graph_uuid));
        let mut creating = Creating {
            creation,
            registration: registration.clone(),
            made_folder: false,
            initialise: Some(initialise),
        };
        self.carry_out(&prepared, &snapshot, &mut creating)?;
        Ok(Created {
            registration,
            version,
            replayed: false,
        })
    }

    /// Under the lock: the answer to the key, also when a crash kept it from being written down.
    fn answered(&self, principal: &str, key: &Key) -> Result<Option<Answer>, Error> {
        settle::settle(self.file(), self.options())?;
        Ok(answer::find(self.file(), principal, key)?)
    }

    fn replay(&self, key: &Key, answer: Answer) -> Result<Created, Error> {
        if answer.request != key.request {
            return Err(Error::KeyReused);
        }
        let uri = GraphUri::parse(&answer.entry.uri, self.file().folder())?;
        let (graph_id, entry) = (answer.graph_id, answer.entry);
        let registration = Registration::new(self.file(), graph_id, entry, uri);
        Ok(Created {
            version: registration.version_of(answer.graph_uuid),
            registration: Arc::new(registration),
            replayed: true,
        })
    }

    fn plan(
        &self,
        principal: &str,
        request: &NewGraph,
        read: &ConfigText,
        snapshot: &Snapshot,
        kept: &[Deleted],
    ) -> Result<Plan, Error> {
        if let Some(taken) = snapshot.graphs.get(&request.graph_id) {
            return Err(Error::GraphExists(taken.graph_id.clone()));
        }
        let graph_uuid = Uuid::new_v4();
        let roots = self.roots(snapshot)?;
        let uri = self.place(request, graph_uuid, snapshot, kept, &roots)?;
        if let Some(written) = &request.policy_file {
            self.check_policy_file(written, &roots)?;
        }
        let entry = GraphEntry {
            uri: uri.written().to_owned(),
            tenant: request.tenant.clone(),
            labels: request.labels.clone(),
            policy: request.policy_file.clone().map(|file| PolicyFile { file }),
            graph_type: request.graph_type,
        };
        let graph_id = &request.graph_id;
        let text = edit::add_graph(&read.text, graph_id, &entry)?;
        let folder = uri.canonical().to_owned();
        let answer = request.key.as_ref();
        let creation = Creation {
            graph_uuid,
            folder_existed: !uri::is_remote(&folder) && folder.exists(),
            missing_above: missing_above(&folder),
            folder,
            answer: answer.map(|key| Answer::new(principal, key, graph_id, graph_uuid, &entry)),
        };
        let new_digest = Digest::of(text.as_bytes());
        let change = Change::Create(creation);
        let registration = Registration::new(self.file(), graph_id.clone(), entry, uri);
        Ok(Plan {
            prepared: Prepared {
                intent: Intent::new(graph_id, read.digest, new_digest, change),
                text,
            },
            registration: Arc::new(registration),
        })
    }

    /// Settles where the graph will be kept and checks the place against every rule.
    fn place(
        &self,
        request: &NewGraph,
        graph_uuid: Uuid,
        snapshot: &Snapshot,
        kept: &[Deleted],
        roots: &Roots,
    ) -> Result<GraphUri, Error> {
        let folder = self.file().folder();
        let graph_id = &request.graph_id;
        let uri = match &request.uri {
            Some(written) => GraphUri::within(written, folder, roots)?,
            None => {
                let storage = snapshot
                    .config
                    .server
                    .storage
                    .as_ref()
                    .ok_or(UriError::NoStorage)?;
                let written = format!("{}/{graph_id}", storage.trim_end_matches('/'));
                let uri = GraphUri::parse(&written, folder)?;
                let state = self.file().state_folder();
                let claimed = deleted::check_unclaimed(&state, kept, graph_id, &uri);
                match (intent::look(uri.canonical())?, claimed) {
                    (_, Err(error)) if !matches!(error, Error::UriInUse { .. }) => {
                        return Err(error);
                    }
                    (Found::Absent | Found::Empty, Ok(())) => uri,
                    // Kept from a deleted graph of that name, or of which its record still speaks.
                    _ => {
                        let uuid = graph_uuid.simple().to_string();
                        let mark = uuid.get(..8).unwrap_or(&uuid);
                        GraphUri::parse(&format!("{written}-{mark}"), folder)?
                    }
                }
            }
        };
        uri.clear_of_config(self.file().path())?;
        self.check_vacant(graph_id, &uri, snapshot, kept)?;
        Ok(uri)
    }
}

/// Making a graph's storage, and undoing it.
struct Creating<'a, F> {
    creation: &'a Creation,
    registration: Arc<Registration>,
    made_folder: bool,
    initialise: Option<F>,
}

impl<F: FnOnce(&Path, Uuid) -> Result<(), StorageError>> Effects for Creating<'_, F> {
    fn before(&mut self, registry: &Registry) -> Result<(), Error> {
        let Creation {
            folder, graph_uuid, ..
        } = self.creation;
        self.made_folder = !uri::is_remote(folder) && durable::create_folder(folder)?;
        registry.after(Step::FolderMade)?;
        if !matches!(intent::look(folder)?, Found::Absent | Found::Empty) {
            // Somebody was quicker: what is in there is theirs, even if the folder is ours.
            self.made_folder = false;
            return Err(Error::UriNotEmpty {
                path: folder.clone(),
            });
        }
        let failed = |source| Error::Storage {
            graph_id: self.registration.graph_id.clone(),
            source,
        };
        if let Some(initialise) = self.initialise.take() {
            initialise(folder, *graph_uuid).map_err(failed)?;
        }
        registry.after(Step::StorageInitialised)?;
        // The engine must have left its mark, else a crash could not be told from a stranger's folder.
        if intent::look(folder)? == Found::Graph(*graph_uuid) {
            Ok(())
        } else {
            Err(failed(StorageError::Unmarked))
        }
    }

    fn undo(&mut self, registry: &Registry) -> Result<(), Error> {
        let options = registry.options();
        self.creation.undo_attempt(self.made_folder, options)
    }

    fn after(&mut self, registry: &Registry) -> Result<(), Error> {
        let Some(answer) = &self.creation.answer else {
            return Ok(());
        };
        answer.keep(registry.file())?;
        registry.after(Step::AnswerKept)
    }

    fn publish(&mut self, _: &Registry, graphs: &mut Graphs) {
        let graph_id = self.registration.graph_id.clone();
        graphs.insert(graph_id, self.registration.clone());
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
    use std::fs;

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
        let _ = registry.create_with("me", at("warm-up", "data/x"), |_, _| Err(full()));
        let before = listing(folder.path());
        let error = registry
            .create_with("me", at("one", "data/some/where/one"), |folder, _| {
                write(folder.join("half"), "half");
                Err(full())
            })
            .expect_err("fails");
        assert!(matches!(error, Error::Storage { .. }), "{error}");
        assert_eq!(listing(folder.path()), before);
        // A folder that was there before stays; what carries the attempt's uuid goes.
        registry
            .create_with("me", at("two", "data/empty"), |folder, uuid| {
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
        let error = registry.create_with("me", at("three", "data/three"), |_, _| Ok(()));
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
