//! The log: structured lines on standard error, for people or for machines.
//!
//! `TRELLIS_LOG` (a `tracing` filter) and `TRELLIS_LOG_FORMAT` (`text` or `json`) go before what the
//! config file says. Nothing here or elsewhere logs a credential.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

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
    if install(format, parsed).is_ok() {
        log_panics();
    }
    Ok(())
}

fn install(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            let layer = layer
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false);
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
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
    }));
}
