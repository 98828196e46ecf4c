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
use std::error::Error as StdError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::config::store::ConfigText;
use crate::config::{GraphEntry, GraphKind, PolicyFile, edit};
use crate::durable::{self, Naming};
use crate::intent::{self, Found, Intent};
use crate::registration::{self, Registration, Snapshot};
use crate::registry::{Registry, Step};
use crate::uri::{self, GraphUri, UriError};
use crate::{Digest, Error, GraphId};

/// A graph that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGraph {
    /// Its id.
    pub graph_id: GraphId,
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
    pub fn named(graph_id: GraphId) -> Self {
        Self {
            graph_id,
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

/// Everything decided, nothing done.
struct Plan {
    entry: GraphEntry,
    uri: GraphUri,
    text: String,
    intent: Intent,
}

impl Registry {
    /// Creates the graph: storage, config file, served version; all of them or none.
    ///
    /// `initialise` puts an empty graph with that uuid into the folder, which is there and empty.
    /// It must write `graph.json`, holding the uuid, before anything else: that is how a folder
    /// left by a crash is known to be this attempt's.
    pub fn create<E>(
        &self,
        request: NewGraph,
        initialise: impl FnOnce(&Path, Uuid) -> Result<(), E>,
    ) -> Result<Arc<Registration>, Error>
    where
        E: StdError + Send + Sync + 'static,
    {
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
        let policy = match &request.policy_file {
            Some(written) => Some(self.policy_file(written, &roots)?),
            None => None,
        };
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
            folder_existed: folder.exists(),
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
            .map(|root| uri::canonical(&self.file().resolve(root)));
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
                let uri = GraphUri::parse(written, folder)?;
                if !uri.inside(roots) {
                    return Err(UriError::OutsideRoots {
                        written: written.clone(),
                    }
                    .into());
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
            Found::Other if !path.is_dir() => Err(UriError::NotAFolder { path }.into()),
            Found::Graph(_) | Found::Other => Err(Error::UriNotEmpty { path }),
        }
    }

    /// A policy file given over HTTP: within the roots, a file, readable. Its content is the
    /// caller's to judge and is not told here.
    fn policy_file(&self, written: &str, roots: &[PathBuf]) -> Result<PolicyFile, Error> {
        let refuse = |reason| Error::InvalidPolicyFile {
            written: written.to_owned(),
            reason,
        };
        if written.trim().is_empty() || written.chars().any(char::is_control) {
            return Err(refuse("is no file name"));
        }
        let path =
            uri::canonical(&self.file().resolve(written)).map_err(|_| refuse("cannot be found"))?;
        if !uri::is_inside(&path, roots) {
            return Err(refuse(
                "is outside the folders that server.allow_roots names",
            ));
        }
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(refuse("is no file")),
            Err(_) => return Err(refuse("cannot be found")),
        }
        fs::File::open(&path).map_err(|_| refuse("cannot be read by the server"))?;
        Ok(PolicyFile {
            file: written.to_owned(),
        })
    }

    /// The effects up to the moment from which the graph exists.
    fn replace_config<E>(
        &self,
        plan: &Plan,
        made_folder: &mut bool,
        initialise: impl FnOnce(&Path, Uuid) -> Result<(), E>,
    ) -> Result<(), Failure>
    where
        E: StdError + Send + Sync + 'static,
    {
        let intent = &plan.intent;
        *made_folder = durable::create_folder(&intent.folder)?;
        self.after(Step::FolderMade)?;
        let listing = fs::read_dir(&intent.folder).naming("list", &intent.folder)?;
        if listing.take(1).count() > 0 {
            return Err(Error::UriNotEmpty {
                path: intent.folder.clone(),
            }
            .into());
        }
        initialise(&intent.folder, intent.graph_uuid).map_err(|error| Error::Storage {
            graph_id: intent.graph_id.clone(),
            source: Box::new(error),
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
        let missing = io::Error::other("graph.json does not carry the graph's uuid");
        Err(Error::Storage {
            graph_id: intent.graph_id.clone(),
            source: Box::new(missing),
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
    folder
        .ancestors()
        .skip(1)
        .take_while(|above| !above.exists())
        .map(Path::to_owned)
        .collect()
}
