//! Everything in one snapshot, as lines that `load` takes back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::ExportParameters;
use bytes::Bytes;
use policy::{Action, Authorized, Principal};
use registry::Reader;
use storage_engine::PastLimits;

use super::stream::{self, Closed, Outlet, PIECE, Pieces};
use super::{App, Error, Target, blocking, past, statement};

/// How long the caller may take nothing.
const STALL: Duration = Duration::from_secs(60);

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    parameters: ExportParameters,
) -> Result<Pieces<()>, Error> {
    let target = Target::branch(&graph_id, parameters.branch.as_deref());
    let permit = app.permit_graph(principal, Action::Export, target)?;
    target.check_branch()?;
    let at = past(parameters.at.as_deref())?;
    let (cancelled, cancel) = app.running.begin();
    let limits = PastLimits {
        deadline: Some(statement::deadline(&app.limits(), None)),
        max_bytes: usize::try_from(app.limits().query_memory_bytes).unwrap_or(usize::MAX),
        cancelled: cancelled.clone(),
    };
    let worker = app.clone();
    let (reader, authorized) = blocking(move || {
        let mut reader = worker.registry.reader(&permit)?;
        if let Some(at) = at {
            reader = reader.at(at, &limits)?;
        }
        let schema = reader.schema().clone();
        let mut touches = statement::all_types(&schema, false);
        if let Some(name) = &parameters.type_name {
            touches.retain(|touch| touch.name == name);
            if touches.is_empty() {
                return Err(Error::InvalidRequest(statement::unknown_type(
                    name, &schema,
                )));
            }
            // An edge is written with the keys of the nodes that it joins.
            if let Some(edge) = schema.edge_type_named(name) {
                touches.extend(statement::types([edge.source, edge.target], &schema, false));
            }
        }
        let access = worker.access.load();
        let authorized =
            access
                .authorizer
                .authorize_types(&permit, parameters.type_name, &touches)?;
        Ok((reader, authorized))
    })
    .await?;
    let (outlet, pieces) = stream::channel(cancelled, cancel);
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || {
        span.in_scope(|| match make(&reader, &authorized, &outlet) {
            Ok(()) => outlet.end(()),
            Err(error) => outlet.fail(error, Instant::now() + STALL),
        });
    });
    Ok(pieces)
}

fn make(
    reader: &Reader,
    only: &Authorized<Option<String>>,
    outlet: &Outlet<()>,
) -> Result<(), Error> {
    let mut collected = Vec::with_capacity(PIECE);
    let mut sent = Ok(());
    let made = reader.export(only, &mut |lines| {
        collected.extend_from_slice(lines);
        if collected.len() >= PIECE {
            let full = std::mem::replace(&mut collected, Vec::with_capacity(PIECE));
            sent = outlet.send(Bytes::from(full), Instant::now() + STALL);
        }
        match sent {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    made.map_err(Error::of_export)?;
    sent.and_then(|()| outlet.send(Bytes::from(collected), Instant::now() + STALL))
        .map_err(|closed| match closed {
            Closed::Cancelled => Error::ShuttingDown,
            Closed::Late => Error::Stalled,
        })
}
