//! The server: use cases in [`mod@app`], which knows no axum, and thin HTTP handlers around them.
//!
//! A request goes: handler (`http/<resource>/<verb>.rs`) -> use case (`app/`) -> permit (`policy`)
//! -> graph handle (`registry`) -> engine. This crate must never know Lance, Arrow or the YAML of
//! the config file, and decides nothing about access by itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), server::BootError> {
//! let options = server::ServeOptions::new("config/trellis.yaml");
//! let running = server::start(options).await?;
//! println!("listening on {}", running.address());
//! running.until_signalled(server::Signals::watch()?).await
//! # }
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests make the files that people and crashes leave"
    )
)]

mod access;
mod app;
mod boot;
mod gate;
mod http;
mod listen;
mod logging;
mod metrics;
pub mod offline;
mod rounds;

pub use access::AccessError;
pub use boot::{BootError, Running, ServeOptions, Signals, start};
pub use http::{Mount, Security, document};
pub use logging::{LogFormat, LoggingError, flush as flush_log, init as init_logging};
