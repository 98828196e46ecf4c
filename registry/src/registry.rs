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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use policy::Permit;

use crate::config::lock::{ConfigLock, LockError};
use crate::config::store::{self, ConfigText};
use crate::config::{self, ConfigFile, Drift};
use crate::durable;
use crate::handle::{HandleError, Handles, Reader, Standing, Writer, WrongPermit, with_causes};
use crate::intent::{self, Intent, Named, Settlement};
use crate::registration::{self, Graphs, Registration, Snapshot};
use crate::{Digest, Error, GraphId};

/// How often a file is read that changes while it is looked at.
const READINGS: usize = 5;

/// An effect of a create; what a fault hook is asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The intent is on the disk.
    IntentWritten,
    /// The graph's folder is there.
    FolderMade,
    /// The engine has put an empty graph into it.
    StorageInitialised,
    /// The new config is on the disk under a temporary name.
    ConfigPrepared,
    /// The new config has taken the old one's name.
    ConfigReplaced,
    /// The new digest is recorded for other processes.
    DigestRecorded,
    /// The graph is served.
    Published,
    /// The intent is gone.
    IntentEnded,
}

impl Step {
    /// All steps in their order.
    pub const ALL: [Self; 8] = [
        Self::IntentWritten,
        Self::FolderMade,
        Self::StorageInitialised,
        Self::ConfigPrepared,
        Self::ConfigReplaced,
        Self::DigestRecorded,
        Self::Published,
        Self::IntentEnded,
    ];
}

/// Asked after every [`Step`]; `true` ends the attempt there without any clean-up, as a crash
/// would. A test of processes may kill its own instead.
pub type FaultHook = Arc<dyn Fn(Step) -> bool + Send + Sync>;

/// How a registry behaves.
#[derive(Clone)]
pub struct Options {
    /// The longest wait for the lock on the config file.
    pub lock_patience: Duration,
    /// How graphs are kept; how far back their past can be read, the config file says.
    pub storage: storage_engine::Options,
    /// For tests.
    pub fault_hook: Option<FaultHook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lock_patience: Duration::from_secs(10),
            storage: storage_engine::Options::default(),
            fault_hook: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("lock_patience", &self.lock_patience)
            .field("storage", &self.storage)
            .field("fault_hook", &self.fault_hook.is_some())
            .finish()
    }
}

/// The declared graphs of one config file.
#[derive(Debug)]
pub struct Registry {
    file: ConfigFile,
    options: Options,
    served: RwLock<Arc<Snapshot>>,
    /// Threads of this process queue here, so that only one at a time polls for the file lock.
    turn: Mutex<()>,
    handles: Handles,
}

impl Registry {
    /// Reads the config file, settling what a crash left behind. Every problem of the file is in
    /// the error.
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let file = ConfigFile::find(path)?;
        let lock = match ConfigLock::acquire(&file.state_folder(), options.lock_patience) {
            Ok(lock) => Some(lock),
            // A config that is mounted read-only can be served; it cannot be changed, by anyone.
            Err(LockError::Disk(error)) if is_read_only(&error.source) => {
                tracing::warn!(%error, "the config's folder cannot be written: graphs cannot be created");
                None
            }
            Err(error) => return Err(error.into()),
        };
        if lock.is_some() {
            sweep(&file)?;
            settle(&file)?;
        }
        let read = file.read()?;
        let snapshot = snapshot(&file, &read, &Graphs::new())?;
        let handles = Handles::new(storage_engine::Options {
            retention: snapshot.config.server.history_retention,
            ..options.storage.clone()
        });
        Ok(Self {
            file,
            options,
            served: RwLock::new(Arc::new(snapshot)),
            turn: Mutex::new(()),
            handles,
        })
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
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Drift::Same),
        };
        let (read, drift) = self.look()?;
        if drift == Drift::AdoptedFromPeer {
            self.adopt(&read)?;
        }
        Ok(drift)
    }

    /// Without the lock: what another process writes between the reading of the file and that of its
    /// record looks like drift, so a file that still changes is read again.
    fn look(&self) -> Result<(ConfigText, Drift), Error> {
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

    /// Serves the file as it is on the disk, whoever changed it; the old version stays when the
    /// new one has a problem.
    pub fn reload(&self) -> Result<Arc<Snapshot>, Error> {
        let _turn = self.take_turn();
        let _lock = self.lock()?;
        settle(&self.file)?;
        let read = self.file.read()?;
        self.adopt(&read)
    }

    /// Ends the attempt where a test wants it to end.
    pub(crate) fn after(&self, step: Step) -> Result<(), Error> {
        match &self.options.fault_hook {
            Some(halts) if halts(step) => Err(Error::Halted(step)),
            _ => Ok(()),
        }
    }

    pub(crate) fn take_turn(&self) -> MutexGuard<'_, ()> {
        // Nothing is kept under this lock that a panic could leave half-done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> Result<ConfigLock, Error> {
        Ok(ConfigLock::acquire(
            &self.file.state_folder(),
            self.options.lock_patience,
        )?)
    }

    /// Under the lock: leftovers settled, the file read once, and that reading's version served.
    pub(crate) fn current(&self) -> Result<(ConfigText, Arc<Snapshot>), Error> {
        settle(&self.file)?;
        let read = self.file.read()?;
        let snapshot = match self.judge(&read)? {
            Drift::Same => self.snapshot(),
            Drift::AdoptedFromPeer => self.adopt(&read)?,
            Drift::Drifted => return Err(self.drifted(read.digest)),
        };
        Ok((read, snapshot))
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

    fn adopt(&self, read: &ConfigText) -> Result<Arc<Snapshot>, Error> {
        let snapshot = snapshot(&self.file, read, &self.snapshot().graphs)?;
        Ok(self.publish(snapshot))
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    )
}

/// What one reading of the file says, with every place settled. Changes nothing on the disk.
pub(crate) fn snapshot(
    file: &ConfigFile,
    read: &ConfigText,
    known: &Graphs,
) -> Result<Snapshot, Error> {
    let invalid = |problems| Error::InvalidConfig {
        path: file.path().to_owned(),
        problems,
    };
    let mut config = config::parse(&read.text).map_err(invalid)?.config;
    let graphs = std::mem::take(&mut config.graphs);
    let graphs = registration::register(file, graphs, known)
        .map_err(|findings| invalid(config::parse::place(&read.text, findings)))?;
    Ok(Snapshot {
        digest: read.digest,
        config: Arc::new(config),
        graphs,
    })
}

/// Under the lock: finishes or undoes what earlier attempts left behind.
fn settle(file: &ConfigFile) -> Result<(), Error> {
    let intents = intent::pending(file)?;
    if intents.is_empty() {
        return Ok(());
    }
    sweep(file)?;
    let read = file.read()?;
    let Ok(parsed) = config::parse(&read.text) else {
        tracing::warn!(
            count = intents.len(),
            "the config file is not sound, so that unfinished creates cannot be settled; they wait"
        );
        return Ok(());
    };
    for intent in intents {
        let named = named(file, &intent, &parsed.config.graphs);
        let found = match intent::look(&intent.folder) {
            Err(error) if crate::uri::is_remote(&intent.folder) => {
                // A store that is out of reach stops nothing but this.
                let error = with_causes(&error);
                tracing::warn!(graph_id = %intent.graph_id, error, "an unfinished create waits");
                continue;
            }
            found => found?,
        };
        let settlement = intent::settlement(&intent, named, found);
        tracing::info!(
            graph_id = %intent.graph_id, folder = %intent.folder.display(), ?settlement,
            "settling a create that did not end"
        );
        if settlement == Settlement::Finished && read.digest == intent.new_digest {
            file.record_write(read.digest)?;
        }
        intent.undo(settlement)?;
        intent.end(file)?;
    }
    Ok(())
}

/// Under the lock: removes temporary files that a crash left behind.
fn sweep(file: &ConfigFile) -> Result<(), Error> {
    let state = file.state_folder();
    for folder in [file.folder(), &state, &state.join(intent::FOLDER)] {
        durable::sweep(folder)?;
    }
    Ok(())
}

fn named(file: &ConfigFile, intent: &Intent, graphs: &[(GraphId, config::GraphEntry)]) -> Named {
    let ours = crate::uri::GraphUri::known("", &intent.folder);
    let mut named = Named::No;
    for (graph_id, entry) in graphs {
        // A place that cannot be followed may be the folder in question: nothing is removed.
        let Ok(uri) = crate::uri::GraphUri::parse(&entry.uri, file.folder()) else {
            return Named::Another;
        };
        let same_folder = uri.canonical() == intent.folder;
        if same_folder && *graph_id == intent.graph_id {
            return Named::Itself;
        }
        if same_folder || ours.overlap(uri.canonical()).is_some() {
            named = Named::Another;
        }
    }
    named
}
