//! The graphs that the caller may see, a page at a time; or the deleted ones that the caller may restore.

use std::sync::Arc;

use api_types::{GraphList, GraphState, GraphSummary, ListGraphsParameters};
use policy::{Action, GraphRef, Principal};
use registry::{Deleted, DeletedGraph, GraphId};

use crate::app::listing::Graphs;
use crate::app::{App, Error, blocking, outcome};

/// Graphs in a page when the caller names no number.
const DEFAULT_PAGE: u64 = 100;
/// Graphs in a page at most.
const MAX_PAGE: u64 = 1000;

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    parameters: ListGraphsParameters,
) -> Result<GraphList, Error> {
    let _permit = app.permit_server(principal, Action::GraphList)?;
    let limit = parameters.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Error::InvalidRequest(format!(
            "limit must be from 1 to {MAX_PAGE}; it is {limit}"
        )));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if parameters.state == Some(GraphState::Deleted) {
        let (app, principal) = (app.clone(), principal.clone());
        // They are on the disk alone.
        blocking(move || deleted(&app, &principal, &parameters, limit)).await
    } else {
        registered(app, principal, parameters, limit).await
    }
}

fn wrong_cursor() -> Error {
    Error::InvalidRequest("cursor must be the next_cursor of the page before".to_owned())
}

async fn registered(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    parameters: ListGraphsParameters,
    limit: usize,
) -> Result<GraphList, Error> {
    let after = parameters.cursor.as_deref().map(GraphId::parse);
    let after = after.transpose().map_err(|_| wrong_cursor())?;
    let visible = app.visible(principal).await?;
    let from = after.map_or(0, |after| {
        visible.partition_point(|graph| graph.graph_id <= after)
    });
    if parameters.state.is_none() {
        return Ok(page(app, &visible, &parameters, from, limit));
    }
    // Of graphs in a state there may be few among many, each of which is looked at.
    let app = app.clone();
    blocking(move || Ok(page(&app, &visible, &parameters, from, limit))).await
}

fn page(
    app: &App,
    visible: &Graphs,
    parameters: &ListGraphsParameters,
    from: usize,
    limit: usize,
) -> GraphList {
    let in_state = |graph: &GraphSummary| {
        let state = parameters.state;
        state.is_none_or(|state| state == graph.state)
    };
    let mut shown = visible
        .iter()
        .skip(from)
        .filter(|graph| wanted(graph.reference(), parameters))
        .map(|graph| super::summary(&app.registry, graph))
        .filter(in_state);
    let page: Vec<_> = shown.by_ref().take(limit).collect();
    let more = shown.next().is_some();
    let next_cursor = page
        .last()
        .filter(|_| more)
        .map(|last| last.graph_id.clone());
    GraphList {
        graphs: page,
        next_cursor,
    }
}

/// Each is decided by itself: of one id there may be several, of different tenants.
fn deleted(
    app: &App,
    principal: &Arc<Principal>,
    parameters: &ListGraphsParameters,
    limit: usize,
) -> Result<GraphList, Error> {
    let after = parameters.cursor.as_deref();
    if after.is_some_and(|after| !Deleted::is_name(after)) {
        return Err(wrong_cursor());
    }
    let found = app.registry.all_deleted()?;
    let mut shown = found
        .iter()
        .map(|graph| (graph.record.name(), graph))
        .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after))
        .filter(|(_, graph)| wanted(graph.registration.reference(), parameters))
        .filter(|(_, graph)| app.may_restore(principal, graph));
    let page: Vec<_> = shown.by_ref().take(limit).collect();
    let more = shown.next().is_some();
    let last = page.last().filter(|_| more);
    Ok(GraphList {
        next_cursor: last.map(|(name, _)| name.clone()),
        graphs: page.into_iter().map(|(_, graph)| told(graph)).collect(),
    })
}

fn told(graph: &DeletedGraph) -> GraphSummary {
    let record = &graph.record;
    GraphSummary {
        graph_id: record.graph_id.to_string(),
        uri: record.entry.uri.clone(),
        tenant: record.entry.tenant.clone(),
        labels: record.entry.labels.clone(),
        state: GraphState::Deleted,
        deletion: Some(record.deletion.to_string()),
        deleted_at: Some(outcome::time(record.deleted_micros)),
        purge_after: Some(outcome::time(record.purge_after_micros)),
    }
}

fn wanted(reference: &GraphRef, parameters: &ListGraphsParameters) -> bool {
    let tenant = parameters.tenant.as_deref();
    let label = parameters
        .label
        .as_deref()
        .map(|label| match label.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (label, None),
        });
    tenant.is_none_or(|tenant| reference.tenant() == Some(tenant))
        && label.is_none_or(|(name, value)| {
            reference
                .labels()
                .get(name)
                .is_some_and(|found| value.is_none_or(|value| value == found))
        })
}
