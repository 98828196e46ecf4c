//! Which graphs exist: the served version of the config file, and the one way to change it.
//!
//! ```no_run
//! # fn example(permit: &policy::Permit) -> Result<(), Box<dyn std::error::Error>> {
//! use registry::{GraphId, Options, Registry};
//! let registry = Registry::open("config/trellis.yaml".as_ref(), Options::default())?;
//! let graph = registry.get(&GraphId::parse("alpha")?).expect("declared");
//! println!("{} is kept in {}", graph.graph_id, graph.uri.written());
//! println!("its head is {}", registry.reader(permit)?.head().id);
//! # Ok(()) }
//! ```

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use policy::Permit;

use crate::config::lock::{ConfigLock, LockError};
use crate::config::store::{self, ConfigText};
use crate::config::{ConfigFile, Drift};
use crate::deleted::{self, Deleted, Listed};
use crate::fence::Fence;
use crate::handle::{Handles, Reader, Standing, Writer};
use crate::idle::{Budget, Tally};
use crate::intent::{self, Found};
use crate::refusal::{HandleError, WrongPermit};
use crate::registration::{Registration, Snapshot};
use crate::reload::Gate;
use crate::settle::{self, settle, sweep};
use crate::steps::{Options, Step};
use crate::turn::Queue;
use crate::{Digest, Error, GraphId};

/// How often a file is read that changes while it is looked at.
const READINGS: usize = 5;

/// The declared graphs of one config file.
pub struct Registry {
    file: ConfigFile,
    options: Options,
    served: RwLock<Arc<Snapshot>>,
    pub(crate) queue: Queue,
    handles: Arc<Handles>,
    pub(crate) listed: Listed,
    pub(crate) gate: OnceLock<Weak<dyn Gate>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("file", &self.file)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads the config file, settling what a crash left behind. Every problem of the file is in
    /// the error.
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        Self::open_file(ConfigFile::find(path)?, options)
    }

    /// The registry of a server of one graph, which must be there; with the file's other sections, when
    /// there is a file.
    pub fn single(uri: &str, config: Option<&Path>, options: Options) -> Result<Self, Error> {
        let registry = Self::open_file(ConfigFile::single(uri, config)?, options)?;
        for graph in registry.snapshot().graphs.values() {
            registry.check_there(graph)?;
        }
        Ok(registry)
    }

    /// Refuses a place without a graph, and a graph that was deleted.
    fn check_there(&self, graph: &Registration) -> Result<(), Error> {
        let folder = graph.uri.canonical();
        let found = intent::look(folder)?;
        if self.file.is_borrowed() {
            let is_it = |record: &Deleted| {
                let moved = matches!((record.graph_uuid, &found), (Some(own), Found::Graph(found)) if own == *found);
                moved || record.folder == folder
            };
            if let Some(record) = deleted::kept(&self.file)?.into_iter().find(is_it) {
                return Err(Error::Deleted {
                    path: folder.to_owned(),
                    config: self.file.path().to_owned(),
                    graph_id: record.graph_id,
                });
            }
        }
        match found {
            Found::Graph(_) => Ok(()),
            Found::Absent | Found::Empty | Found::Other => Err(Error::NoGraph {
                path: folder.to_owned(),
            }),
        }
    }

    fn open_file(file: ConfigFile, options: Options) -> Result<Self, Error> {
        let acquired = file
            .is_on_disk()
            .then(|| ConfigLock::acquire(&file.state_folder(), options.lock_patience));
        let lock = match acquired.transpose() {
            Ok(lock) => lock,
            // A config that is mounted read-only can be served; it cannot be changed, by anyone.
            Err(LockError::Disk(error)) if is_read_only(&error.source) => {
                tracing::warn!(%error, "the config's folder cannot be written: graphs cannot be created");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut kept = Vec::new();
        if lock.is_some() {
            sweep(&file, &options)?;
            settle(&file, &options)?;
            kept = settle::kept(&file, &options)?;
        }
        let read = file.read()?;
        let snapshot = Snapshot::of(&file, &read)?;
        // No reload would take it over, but one entry stops no start, and nothing is purged beside it.
        for (key, problem) in deleted::claimed(&kept, &snapshot.graphs) {
            tracing::error!(
                key = key.join("."),
                problem,
                "a graph is in the way of a deleted one"
            );
        }
        if lock.is_some() && !file.is_borrowed() {
            settle::accept_restored(&file, &snapshot.graphs, &options)?;
        }
        let handles = Handles::new(
            file.state_folder(),
            storage_engine::Options {
                retention: Duration::from_secs(snapshot.config.server.history_retention.seconds()),
                ..options.storage.clone()
            },
            Budget::of(&snapshot.config.server.open_graphs),
        );
        Ok(Self {
            file,
            options,
            served: RwLock::new(Arc::new(snapshot)),
            queue: Queue::default(),
            gate: OnceLock::new(),
            listed: Listed::default(),
            handles,
        })
    }

    pub(crate) fn handles(&self) -> &Handles {
        &self.handles
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The file it is about.
    #[must_use]
    pub fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// The served version: a value that does not change while it is held.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.served
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The graph of that id, in any case.
    #[must_use]
    pub fn get(&self, graph_id: &GraphId) -> Option<Arc<Registration>> {
        self.snapshot().graphs.get(graph_id).cloned()
    }

    /// One snapshot of the graph that the permit is for. Blocks while the graph is opened.
    pub fn reader(&self, permit: &Permit) -> Result<Reader, HandleError> {
        let registration = self.permitted(permit)?;
        self.handles.reader(permit, &registration)
    }

    /// The same without blocking, for a thread that must not: `None` unless the graph is open already.
    pub fn reader_at_once(&self, permit: &Permit) -> Result<Option<Reader>, HandleError> {
        let registration = self.permitted(permit)?;
        self.handles.reader_at_once(permit, &registration)
    }

    /// The way to write to the graph that the permit is for. Blocks while the graph is opened.
    pub fn writer(&self, permit: &Permit) -> Result<Writer, HandleError> {
        let registration = self.permitted(permit)?;
        self.handles.writer(permit, &registration)
    }

    /// The same without blocking, for a thread that must not: `None` unless the graph is open already.
    pub fn writer_at_once(&self, permit: &Permit) -> Result<Option<Writer>, HandleError> {
        let registration = self.permitted(permit)?;
        self.handles.writer_at_once(permit, &registration)
    }

    fn permitted(&self, permit: &Permit) -> Result<Arc<Registration>, HandleError> {
        let graph_id = permit.graph_id();
        WrongPermit::unless(graph_id.is_some(), permit)?;
        let graph_id = graph_id.and_then(|graph_id| GraphId::parse(graph_id).ok());
        graph_id
            .and_then(|graph_id| self.get(&graph_id))
            .ok_or(HandleError::Absent)
    }

    /// How a graph stands, without opening it.
    #[must_use]
    pub fn standing(&self, registration: &Registration) -> Standing {
        self.handles.standing(registration)
    }

    /// What is open, and what it takes.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.handles.tally()
    }

    /// Closes graphs that nobody has used for long, and while open graphs take more than they may,
    /// those that were not used for longest. To be called every now and then. Blocks.
    pub fn tend(&self) {
        self.handles.tend();
    }

    /// Has a graph that was set aside opened again now, for whoever may change its registration.
    /// Blocks.
    pub fn retry(&self, permit: &Permit) -> Result<Arc<Registration>, HandleError> {
        let registration = self.permitted(permit)?;
        self.handles.retry(permit, &registration)?;
        Ok(registration)
    }

    /// Closes every graph for good. What was acknowledged is durable whether or not this succeeds.
    /// Blocks.
    pub fn close(&self) {
        self.handles.close();
    }

    /// How the file on the disk stands to the served version, and its digest.
    pub fn drift(&self) -> Result<(Drift, Digest), Error> {
        let (read, drift) = self.look()?;
        Ok((drift, read.digest))
    }

    /// Takes over what another process of ours wrote, and says what was found. Changes by anyone
    /// else are left to [`Registry::reload`]. Cheap when nothing changed; does not wait for a
    /// change that is under way in this process.
    pub fn refresh(&self) -> Result<Drift, Error> {
        let Some(_turn) = self.queue.try_take() else {
            return Ok(Drift::Same);
        };
        let (read, drift) = self.look()?;
        if drift == Drift::AdoptedFromPeer {
            self.adopt(&read)?;
        }
        Ok(drift)
    }

    /// Without the lock: what another process writes between the reading of the file and that of its
    /// record looks like drift, so a file that still changes is read again.
    pub(crate) fn look(&self) -> Result<(ConfigText, Drift), Error> {
        let mut read = self.file.read()?;
        for _ in 0..READINGS {
            let drift = self.judge(&read)?;
            let again = match drift {
                Drift::Drifted => self.file.read()?,
                Drift::Same | Drift::AdoptedFromPeer => return Ok((read, drift)),
            };
            if again.digest == read.digest {
                return Ok((read, drift));
            }
            read = again;
        }
        Ok((read, Drift::Drifted))
    }

    /// Ends the attempt where a test wants it to end.
    pub(crate) fn after(&self, step: Step) -> Result<(), Error> {
        self.options.after(step)
    }

    /// Under the lock: leftovers settled, the file read once, and that reading's version served.
    pub(crate) fn current(&self) -> Result<(ConfigText, Arc<Snapshot>), Error> {
        settle(&self.file, &self.options)?;
        let read = self.file.read()?;
        let snapshot = match self.judge(&read)? {
            Drift::Same => self.snapshot(),
            Drift::AdoptedFromPeer => self.adopt(&read)?,
            Drift::Drifted => return Err(self.drifted(read.digest)),
        };
        Ok((read, snapshot))
    }

    /// Takes the graph's writer lock, asking whoever has it to let go.
    pub(crate) fn fence(&self, graph: &Registration) -> Result<Fence<'_>, Error> {
        let patience = self.options.fence_patience;
        Fence::raise(&self.handles, graph.uri.canonical(), patience)
    }

    /// Lets go of graphs that another process is about to delete. Cheap; to be called often.
    pub fn yield_to_peers(&self) {
        self.handles.yield_to_peers();
    }

    pub(crate) fn drifted(&self, on_disk: Digest) -> Error {
        let baseline = self.snapshot().digest;
        Error::ConfigDrift {
            path: self.file.path().to_owned(),
            baseline,
            on_disk,
        }
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        self.handles
            .set_budget(Budget::of(&snapshot.config.server.open_graphs));
        let folders = snapshot.graphs.values();
        self.handles
            .keep_only(&folders.map(|graph| graph.uri.canonical()).collect());
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = snapshot.clone();
        snapshot
    }

    fn judge(&self, read: &ConfigText) -> Result<Drift, Error> {
        let baseline = self.snapshot().digest;
        if read.digest == baseline {
            return Ok(Drift::Same);
        }
        // A peer between its rename and its record is known by its intent.
        let mut recorded: Vec<Digest> = intent::pending(&self.file)?
            .iter()
            .map(|intent| intent.new_digest)
            .collect();
        recorded.extend(self.file.last_write());
        Ok(store::drift(read.digest, baseline, &recorded))
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    )
}
