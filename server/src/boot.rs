//! From a config file to a server that listens, and back down in a bounded time.
//!
//! ```no_run
//! # async fn example() -> Result<(), server::BootError> {
//! let options = server::ServeOptions { unauthenticated: true, ..server::ServeOptions::new("trellis.yaml") };
//! let running = server::start(options).await?;
//! running.stop().await
//! # }
//! ```

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use registry::config::{ConfigFile, Drift, Problem, Sections};
use registry::{Options, Reading, Registry, environment, with_causes};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::access::{AccessError, access, judge, limits};
use crate::app::{self, App};
use crate::gate::ServerGate;
use crate::http::{self, Mount, Security};
use crate::listen;
use crate::logging::{self, LogFormat, LoggingError};

/// How long running requests may take to end when the server is told to stop.
const GRACE: Duration = Duration::from_secs(20);
/// How long they may take once they were cancelled, and how long graphs may take to close.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// How often the config file is compared with what is served.
const FOLLOW: Duration = Duration::from_secs(1);
/// How often it is looked whether another process wants a graph that is open here.
const YIELD: Duration = Duration::from_millis(100);
/// How often it is looked whether a deleted graph's time is over.
const CLEAN: Duration = Duration::from_secs(60);

/// What the operator says on the command line.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The config file; a server of one graph can do without.
    pub config: Option<PathBuf>,
    /// Serve this graph alone, its routes flat: a folder, or a uri.
    pub graph: Option<String>,
    /// Instead of `server.bind`: address and port; port 0 takes a free one.
    pub bind: Option<String>,
    /// Let everybody on this machine do everything.
    pub unauthenticated: bool,
    /// How long running requests may take to end when the server is told to stop.
    pub grace: Duration,
}

impl ServeOptions {
    /// One graph alone, without a config file.
    pub fn single(graph: impl Into<String>) -> Self {
        Self {
            config: None,
            graph: Some(graph.into()),
            ..Self::new("")
        }
    }

    /// As the config file says.
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self {
            config: Some(config.into()),
            graph: None,
            bind: None,
            unauthenticated: false,
            grace: GRACE,
        }
    }
}

/// Why the server does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The config file or a graph's place.
    #[error("cannot serve what was named")]
    Registry(#[from] registry::Error),
    /// A variable of the environment that the config file names.
    #[error("cannot use the config file")]
    Variable(#[from] environment::VariableError),
    /// `server.require_all_graphs` is set, and not all of them can be opened.
    #[error(
        "server.require_all_graphs is set, and {failed} of {graphs} graphs cannot be opened: {reasons}"
    )]
    GraphsRequired {
        /// How many cannot.
        failed: usize,
        /// Of how many.
        graphs: usize,
        /// Each with its id and why.
        reasons: String,
    },
    /// Neither a config file nor a graph was named.
    #[error("name a config file with --config, or a graph with --graph")]
    NothingToServe,
    /// The log.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The config file, or what it names, has errors.
    #[error("the config file {} cannot be used:{}", path.display(), listed(problems))]
    InvalidConfig {
        /// The config file.
        path: PathBuf,
        /// Every one that can be found.
        problems: Vec<Problem>,
    },
    /// Who may come in.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Not an address and a port.
    #[error("cannot bind to {bind:?}: write an address and a port, such as 127.0.0.1:8080")]
    Address {
        /// As given.
        bind: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// `--unauthenticated` on an address that others reach.
    #[error(
        "--unauthenticated lets everybody do everything, so it binds to loopback only, and {address} \
         is not; bind to 127.0.0.1 or give out tokens"
    )]
    NotLoopback {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// Listening or serving failed.
    #[error("cannot serve on {address}")]
    Serve {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// The serving task ended by itself.
    #[error("the server stopped by itself")]
    Task(#[from] tokio::task::JoinError),
}

/// A server that listens. Dropping it stops it without waiting for anything.
pub struct Running {
    address: SocketAddr,
    app: Arc<App>,
    grace: Duration,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    following: JoinHandle<()>,
    cleaning: JoinHandle<()>,
    /// Held for the registry, which asks it at every reload.
    _gate: Arc<ServerGate>,
}

/// Reads the config, decides who may come in, and listens.
pub async fn start(options: ServeOptions) -> Result<Running, BootError> {
    start_log(options.config.as_deref())?;
    let (registry, mount) = open(&options)?;
    let config = registry.snapshot().config.clone();
    let sections = Sections::from(&*config);
    let (access, security, notes) = access(sections, registry.file(), options.unauthenticated)
        .map_err(|errors| refused(registry.file(), errors, options.unauthenticated))?;
    notes.log();
    if config.server.require_all_graphs {
        require_all(&registry)?;
    }
    let bind = match options.bind {
        Some(bind) => bind,
        None => environment::expand(&config.server.bind)?.into_owned(),
    };
    let address = resolve(&bind).await?;
    if security == Security::Open && !address.ip().is_loopback() {
        return Err(BootError::NotLoopback { address });
    }
    let failed = |source| BootError::Serve { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let graphs = registry.snapshot().graphs.len();
    let app = App::new(registry, access, limits(&config.server));
    let gate = ServerGate::set(&app, options.unauthenticated);
    let router = http::router(app.clone(), mount, security);
    let (stop, stopped) = oneshot::channel::<()>();
    let site = listen::Site {
        listener,
        router,
        connections: app.connections(),
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let serving = tokio::spawn(listen::serve(site, async {
        // A dropped sender means the same as a sent word.
        let _ = stopped.await;
    }));
    tracing::info!(%address, graphs, ?security, "listening");
    let following = tokio::spawn(follow(Arc::downgrade(&app.registry)));
    let app_registry = Arc::downgrade(&app.registry);
    Ok(Running {
        address,
        app,
        grace: options.grace,
        stop,
        serving,
        following,
        cleaning: tokio::spawn(clean(app_registry)),
        _gate: gate,
    })
}

/// The graphs that are to be served, and how.
fn open(options: &ServeOptions) -> Result<(Registry, Mount), BootError> {
    let config = options.config.as_deref();
    let (opened, mount) = match (&options.graph, config) {
        (Some(graph), config) => {
            let mount = match config {
                Some(_) => Mount::SingleOfConfig,
                None => Mount::Single,
            };
            let opened = Registry::single(graph, config, Options::of_process());
            (opened, mount)
        }
        (None, Some(config)) => (Registry::open(config, Options::of_process()), Mount::Many),
        (None, None) => return Err(BootError::NothingToServe),
    };
    let registry = opened.map_err(|error| {
        let told = match (&error, &options.graph, config) {
            (registry::Error::InvalidConfig { .. }, Some(graph), config) => {
                ConfigFile::single(graph, config).ok()
            }
            (registry::Error::InvalidConfig { .. }, None, Some(config)) => {
                ConfigFile::find(config).ok()
            }
            _ => None,
        };
        told.and_then(|file| unsound(&file, options.unauthenticated))
            .unwrap_or(BootError::Registry(error))
    })?;
    Ok((registry, mount))
}

/// Of several errors, and of one in the file, all are told, with those that other stages find.
fn refused(file: &ConfigFile, errors: Vec<AccessError>, unauthenticated: bool) -> BootError {
    let of_file = |error: &AccessError| !matches!(error, AccessError::NothingConfigured(_));
    let told = match errors.iter().any(of_file) && file.is_on_disk() {
        true => unsound(file, unauthenticated),
        false => None,
    };
    let first = || errors.into_iter().next().map(BootError::from);
    told.or_else(first).unwrap_or(BootError::NothingToServe)
}

/// Everything that is wrong with the config file as it is now, when anything is.
fn unsound(file: &ConfigFile, unauthenticated: bool) -> Option<BootError> {
    let read = file.read().ok()?;
    let mut reading = Reading::of(file, &read);
    judge(&mut reading, file, unauthenticated);
    let problems = reading.problems();
    (!problems.is_empty()).then(|| BootError::InvalidConfig {
        path: file.path().to_owned(),
        problems,
    })
}

/// One problem a line, those of a policy below it.
fn listed(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        let told = problem.to_string().replace('\n', "\n      ");
        format!("\n    {told}")
    });
    lines.collect()
}

/// Opens every graph, for a server that is not to start without one of them. They stay open.
fn require_all(registry: &Registry) -> Result<(), BootError> {
    let graphs = registry.snapshot().graphs.len();
    let failed = registry.open_all();
    if failed.is_empty() {
        return Ok(());
    }
    let each = failed
        .iter()
        .map(|(graph_id, reason)| format!("{graph_id}: {reason}"));
    Err(BootError::GraphsRequired {
        failed: failed.len(),
        graphs,
        reasons: each.collect::<Vec<_>>().join("; "),
    })
}

/// Takes over graphs that other processes create in the same config file, and says once when that
/// cannot be done any more.
async fn follow(registry: Weak<Registry>) {
    let mut before = Ok(Drift::Same);
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(YIELD).await;
        let Some(worker) = registry.upgrade() else {
            return;
        };
        let looking = looked.elapsed() >= FOLLOW;
        let peer = worker.clone();
        // Closing a graph waits for what it is doing.
        let letting_go = tokio::task::spawn_blocking(move || {
            peer.yield_to_peers();
            if looking {
                peer.tend();
            }
        });
        if let Err(error) = letting_go.await {
            tracing::error!(%error, "graphs cannot be let go");
        }
        if !looking {
            continue;
        }
        looked = Instant::now();
        let found = match tokio::task::spawn_blocking(move || worker.refresh()).await {
            Ok(found) => found.map_err(|error| with_causes(&error)),
            Err(error) => Err(with_causes(&error)),
        };
        match &found {
            same if *same == before => {}
            Ok(Drift::Drifted) => {
                tracing::warn!("the config file was changed by hand; graphs cannot be created");
            }
            Ok(Drift::Same | Drift::AdoptedFromPeer) => {}
            Err(error) => tracing::error!(error, "the config file cannot be read any more"),
        }
        before = found;
    }
}

/// Purges deleted graphs whose time is over, a few at a time.
async fn clean(registry: Weak<Registry>) {
    loop {
        let Some(worker) = registry.upgrade() else {
            return;
        };
        match tokio::task::spawn_blocking(move || worker.clean()).await {
            Ok(Ok(_)) => {}
            // A config that cannot be written has no deleted graphs of ours.
            Ok(Err(error)) => tracing::debug!(error = with_causes(&error), "nothing was purged"),
            Err(error) => tracing::error!(%error, "purging deleted graphs failed"),
        }
        tokio::time::sleep(CLEAN).await;
    }
}

/// The signals that a server heeds. From when they are watched none of them ends the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// To be called within a runtime, before anybody is told that there is a server to send them to.
    pub fn watch() -> Result<Self, BootError> {
        let watch = |kind| signal(kind).map_err(BootError::Signals);
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
            hangup: watch(SignalKind::hangup())?,
        })
    }
}

/// A reload that a signal asked for, while there is one.
#[derive(Default)]
struct Reloading(Option<JoinHandle<()>>);

impl Reloading {
    fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// When it ends; never when there is none.
    async fn ended(&mut self) {
        match &mut self.0 {
            Some(reloading) => {
                if let Err(error) = reloading.await {
                    tracing::error!(%error, "reading the config file again failed");
                }
            }
            None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT, then stops. SIGHUP has the config file read again.
    pub async fn until_signalled(mut self, signals: Signals) -> Result<(), BootError> {
        let Signals {
            mut terminate,
            mut interrupt,
            mut hangup,
        } = signals;
        // Beside the others, for it may wait for whoever changes the file; one that comes meanwhile is kept.
        let mut reloading = Reloading::default();
        let name = loop {
            tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                _ = hangup.recv(), if !reloading.is_under_way() => reloading = self.reload(),
                () = reloading.ended() => reloading = Reloading::default(),
                ended = &mut self.serving => {
                    let address = self.address;
                    return ended?.map_err(|source| BootError::Serve { address, source });
                }
            }
        };
        tracing::info!(signal = name, "stopping");
        self.stop().await
    }

    /// Takes over the config file, as SIGHUP asks; the log says how that went.
    fn reload(&self) -> Reloading {
        tracing::info!("SIGHUP: reading the config file again");
        let app = self.app.clone();
        let reload = move || {
            // What it says, it has logged.
            let _ = app::config::reload::carry_out(&app, registry::Reload::Apply);
        };
        Reloading(Some(tokio::task::spawn_blocking(reload)))
    }

    /// Takes no more connections, lets running requests end up to the limit, cancels the rest, and
    /// closes every graph.
    pub async fn stop(mut self) -> Result<(), BootError> {
        self.app.stop();
        self.following.abort();
        self.cleaning.abort();
        // The receiver is gone only when serving has ended, which is what is asked for.
        let _ = self.stop.send(());
        if tokio::time::timeout(self.grace, &mut self.serving)
            .await
            .is_err()
        {
            let running = self.app.running.cancel_all();
            tracing::warn!(running, "requests did not end in time and are cancelled");
            if tokio::time::timeout(LAST_GRACE, &mut self.serving)
                .await
                .is_err()
            {
                tracing::warn!("connections did not end in time and are cut");
                self.serving.abort();
            }
        }
        let registry = self.app.registry.clone();
        let closing = tokio::task::spawn_blocking(move || registry.close());
        match tokio::time::timeout(LAST_GRACE, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "closing the graphs failed"),
            Err(_) => {
                tracing::warn!("graphs did not close in time; their logs are whole all the same");
            }
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The log section goes first, so that everything after it is logged. A config that cannot be read
/// is reported by whoever reads it in earnest.
fn start_log(config: Option<&Path>) -> Result<(), LoggingError> {
    let log = config
        .and_then(|config| ConfigFile::find(config).ok())
        .and_then(|file| file.read().ok())
        .and_then(|read| registry::config::parse(&read.text).ok())
        .map(|parsed| parsed.config.server.log)
        .unwrap_or_default();
    let format = match log.format {
        registry::config::LogFormat::Text => LogFormat::Text,
        registry::config::LogFormat::Json => LogFormat::Json,
    };
    logging::init(format, &log.level)
}

async fn resolve(bind: &str) -> Result<SocketAddr, BootError> {
    let failed = |source| BootError::Address {
        bind: bind.to_owned(),
        source,
    };
    let mut addresses = tokio::net::lookup_host(bind).await.map_err(failed)?;
    addresses
        .next()
        .ok_or_else(|| failed(std::io::Error::other("the name has no address")))
}
