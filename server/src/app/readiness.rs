//! Whether requests should be sent here, and for those who are known, how the server is.

use std::sync::Arc;

use api_types::{ConfigReadiness, GraphsReadiness, QuarantinedGraph, Readiness};
use policy::{Action, Principal};
use registry::Standing;

use super::{App, Error, blocking, outcome};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: Option<&Arc<Principal>>,
) -> Result<Readiness, Error> {
    let ready = !app.is_stopping();
    let Some(principal) = principal else {
        return Ok(Readiness {
            ready,
            graphs: None,
            config: None,
        });
    };
    let drifted = app.has_drifted().await;
    let (worker, principal) = (app.clone(), principal.clone());
    blocking(move || {
        Ok(Readiness {
            ready,
            graphs: Some(graphs(&worker, &principal)),
            config: (worker.registry.file().is_on_disk()).then(|| config(&worker, drifted)),
        })
    })
    .await
}

/// Of the graphs that the caller may see: how many others there are is nobody's business, except of
/// those who may read the configuration, which names them all.
fn graphs(app: &App, principal: &Arc<Principal>) -> GraphsReadiness {
    let graphs = match app.permit_server(principal, Action::ConfigRead) {
        Ok(_) => app.registry.snapshot().graphs.values().cloned().collect(),
        Err(_) => app.visible_now(principal),
    };
    let mut readiness = GraphsReadiness {
        open: 0,
        registered: graphs.len() as u64,
        quarantined: Vec::new(),
    };
    for graph in graphs.iter() {
        let reason = match (graph.broken_policy(), app.registry.standing(graph)) {
            (Some(reason), _) => reason.to_owned(),
            (None, Standing::Broken(reason)) => reason,
            (None, Standing::Open) => {
                readiness.open += 1;
                continue;
            }
            (None, Standing::Closed) => continue,
        };
        readiness.quarantined.push(QuarantinedGraph {
            graph_id: graph.graph_id.to_string(),
            reason,
        });
    }
    readiness
}

fn config(app: &App, drifted: bool) -> ConfigReadiness {
    let last_reload = app.last_reload();
    ConfigReadiness {
        digest: app.registry.snapshot().digest.to_string(),
        drifted,
        last_reload_ok: last_reload.is_none_or(|last| last.applied),
        last_reload_at: last_reload.map(|last| outcome::time_of(last.at)),
    }
}
