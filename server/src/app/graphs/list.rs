//! The graphs that the caller may see, a page at a time.

use std::sync::Arc;

use api_types::{GraphList, ListGraphsParameters};
use policy::{Action, GraphRef, Principal};
use registry::{GraphId, Registration};

use crate::app::{App, Error, blocking};

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
    let (worker, principal) = (app.clone(), principal.clone());
    // There may be ten thousand graphs to look at.
    blocking(move || page(&worker, &principal, &parameters)).await
}

fn page(
    app: &App,
    principal: &Principal,
    parameters: &ListGraphsParameters,
) -> Result<GraphList, Error> {
    let limit = parameters.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Error::InvalidRequest(format!(
            "limit must be from 1 to {MAX_PAGE}; it is {limit}"
        )));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let after = parameters.cursor.as_deref().map(GraphId::parse);
    let after = after.transpose().map_err(|_| {
        Error::InvalidRequest("cursor must be the next_cursor of the page before".to_owned())
    })?;
    let snapshot = app.registry.snapshot();
    let mut visible: Vec<&Registration> = snapshot
        .list(after.as_ref())
        .map(Arc::as_ref)
        .filter(|graph| wanted(graph.reference(), parameters))
        .collect();
    app.keep_visible(principal, &mut visible);
    let mut shown = visible.into_iter();
    let page: Vec<_> = shown
        .by_ref()
        .take(limit)
        .map(|graph| super::summary(&app.registry, graph))
        .collect();
    let more = shown.next().is_some();
    let next_cursor = page
        .last()
        .filter(|_| more)
        .map(|last| last.graph_id.clone());
    Ok(GraphList {
        graphs: page,
        next_cursor,
    })
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
