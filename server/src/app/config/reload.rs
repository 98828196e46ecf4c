//! Taking over the config file as it is on the disk: all of it, or nothing.

use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use api_types::{ReloadConfigRequest, ReloadedConfig};
use policy::{Action, Principal};
use registry::{Reload, with_causes};

use crate::app::{App, Error, LastReload, blocking};

/// Keys that are read when the server starts, and not again.
const AT_START: [&str; 4] = [
    "server.bind",
    "server.require_all_graphs",
    "server.log",
    "server.history_retention",
];

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    request: ReloadConfigRequest,
) -> Result<ReloadedConfig, Error> {
    let _permit = app.permit_server(principal, Action::ConfigReload)?;
    app.refuse_when_stopping()?;
    let reload = if request.dry_run {
        Reload::DryRun
    } else {
        Reload::Apply
    };
    let worker = app.clone();
    blocking(move || carry_out(&worker, reload)).await
}

/// What a signal asks for, too: who may send one to this process may do anything to it.
pub(crate) fn carry_out(app: &App, reload: Reload) -> Result<ReloadedConfig, Error> {
    let reloaded = app.registry.reload(reload);
    if reload == Reload::Apply {
        note(app, reloaded.as_ref().map(Vec::len));
    }
    let changes = reloaded.map_err(|error| match error {
        registry::Error::InvalidConfig { problems, .. } => Error::InvalidConfig(problems),
        error => error.into(),
    })?;
    let changes: Vec<_> = changes.into_iter().map(super::change).collect();
    let read_at_start = |path: &&String| {
        AT_START.iter().any(|key| {
            path.strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let paths = changes.iter().map(|change| &change.path);
    Ok(ReloadedConfig {
        applied: reload == Reload::Apply,
        needs_restart: paths.filter(read_at_start).cloned().collect(),
        changes,
    })
}

fn note(app: &App, outcome: Result<usize, &registry::Error>) {
    match outcome {
        Ok(changes) => tracing::info!(changes, "the config file was applied"),
        Err(error) => {
            tracing::error!(
                error = with_causes(error),
                "the config file was not applied; the old one stays in force"
            );
        }
    }
    let mut last = app
        .last_reload
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *last = Some(LastReload {
        applied: outcome.is_ok(),
        at: SystemTime::now(),
    });
}
