//! The log: structured lines on standard error, for people or for machines.
//!
//! `TRELLIS_LOG` (a `tracing` filter) and `TRELLIS_LOG_FORMAT` (`text` or `json`) go before what the
//! config file says. Nothing here or elsewhere logs a credential.

mod lines;

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::lines::Lines;

/// The lines of the process, once it has a log.
static LINES: OnceLock<Lines> = OnceLock::new();

/// How long the end of the process waits until its last lines are written.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long a thread that panics waits for it, which may be one that answers requests.
const PANIC_LINES: Duration = Duration::from_millis(100);

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?} cannot be read; write something like `info,registry=debug`")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// `TRELLIS_LOG_FORMAT` is neither `text` nor `json`.
    #[error("TRELLIS_LOG_FORMAT is {0:?}; it must be `text` or `json`")]
    Format(String),
    /// The system gives no thread.
    #[error("there is no thread to write the log")]
    Thread(#[source] std::io::Error),
}

/// Starts the log of the process; the first call decides. Panics are logged from here on.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    let format = match std::env::var("TRELLIS_LOG_FORMAT").ok().as_deref() {
        None | Some("") => format,
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => return Err(LoggingError::Format(other.to_owned())),
    };
    let filter = std::env::var("TRELLIS_LOG").unwrap_or_else(|_| filter.to_owned());
    let parsed = EnvFilter::builder()
        .parse(&filter)
        .map_err(|source| LoggingError::Filter { filter, source })?;
    if LINES.get().is_some() {
        return Ok(());
    }
    let lines = Lines::start(std::io::stderr()).map_err(LoggingError::Thread)?;
    if install(format, parsed, lines.clone()) && LINES.set(lines).is_ok() {
        log_panics();
    }
    Ok(())
}

/// Waits until what was logged is written, but not long: nobody may be reading it.
pub fn flush() {
    flush_for(LAST_LINES);
}

/// Lines of the log that nobody read in time and that were dropped, since the process started.
pub(crate) fn dropped() -> u64 {
    LINES.get().map_or(0, Lines::dropped)
}

fn flush_for(patience: Duration) {
    if let Some(lines) = LINES.get() {
        lines.flush(patience);
    }
}

/// Whether it is the log of the process now; there may be another already.
fn install(format: LogFormat, filter: EnvFilter, lines: Lines) -> bool {
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines);
    let installed = match format {
        LogFormat::Text => {
            let layer = layer
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false);
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    installed.is_ok()
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("no message");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, what, %backtrace, "panicked");
        // It may be the last that the process does.
        flush_for(PANIC_LINES);
    }));
}
