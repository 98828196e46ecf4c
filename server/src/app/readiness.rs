//! Whether requests should be sent here, and for those who are known, how the server is.

use std::sync::Arc;

use api_types::{ConfigReadiness, GraphsReadiness, QuarantinedGraph, Readiness};
use policy::{Action, Context, Principal};
use registry::config::Drift;

use super::App;

pub(crate) fn run(app: &App, principal: Option<&Arc<Principal>>) -> Readiness {
    let ready = !app.is_stopping();
    match principal {
        None => Readiness {
            ready,
            graphs: None,
            config: None,
        },
        Some(principal) => Readiness {
            ready,
            graphs: Some(graphs(app, principal)),
            config: Some(config(app)),
        },
    }
}

fn graphs(app: &App, principal: &Arc<Principal>) -> GraphsReadiness {
    let quarantined = app.directory.quarantined();
    let access = app.access.load();
    let references = quarantined.iter().map(|(known, _)| known.reference());
    let visible = access
        .authorizer
        .visible(principal, &Context::now(), references);
    // Whoever may read the configuration knows every graph from there.
    let runs_server = app.permit_server(principal, Action::ConfigRead).is_ok();
    let visible: Vec<_> = visible
        .into_iter()
        .map(policy::GraphRef::graph_id)
        .collect();
    GraphsReadiness {
        open: app.directory.open_count() as u64,
        registered: app.directory.count() as u64,
        quarantined: quarantined
            .iter()
            .filter(|(known, _)| runs_server || visible.contains(&known.reference().graph_id()))
            .map(|(known, reason)| QuarantinedGraph {
                graph_id: known.reference().graph_id().to_owned(),
                reason: reason.clone(),
            })
            .collect(),
    }
}

/// A file that cannot be read now is not the one that was read.
fn config(app: &App) -> ConfigReadiness {
    let registry = app.directory.registry();
    let drifted = match registry.drift() {
        Ok((drift, _)) => drift == Drift::Drifted,
        Err(error) => {
            tracing::warn!(%error, "the config file cannot be compared");
            true
        }
    };
    ConfigReadiness {
        digest: registry.snapshot().digest.to_string(),
        drifted,
        last_reload_ok: true,
    }
}
