//! Everything in one snapshot, as lines that `load` takes back.

use std::ops::ControlFlow;
use std::sync::Arc;

use api_types::ExportParameters;
use bytes::Bytes;
use language::diagnostic::closest;
use language::schema::Schema;
use policy::{Action, Principal};
use tokio::sync::mpsc;

use super::{App, CancelOnDrop, Error, Target, blocking, refuse_past, statement};

/// Bytes of lines that are collected before they are handed on.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait for the caller.
const WAITING: usize = 4;

/// Lines as they are made. Dropping them stops the making. An error is the last.
pub(crate) struct Lines {
    pub(crate) chunks: mpsc::Receiver<Result<Bytes, Error>>,
    pub(crate) cancel: CancelOnDrop,
}

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    parameters: ExportParameters,
) -> Result<Lines, Error> {
    let target = Target::branch(&graph_id, parameters.branch.as_deref());
    let (known, permit) = app.permit_graph(principal, Action::Export, target)?;
    target.check_branch()?;
    refuse_past(parameters.at.as_deref())?;
    let worker = app.clone();
    let (reader, authorized) = blocking(move || {
        let reader = worker.directory.reader(&permit, &known)?;
        let schema = reader.snapshot().schema().clone();
        let mut touches = statement::all_types(&schema, false);
        if let Some(name) = &parameters.type_name {
            touches.retain(|touch| touch.name == name);
            if touches.is_empty() {
                return Err(Error::InvalidRequest(unknown_type(name, &schema)));
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
    let (cancelled, cancel) = app.running.begin();
    let (sender, chunks) = mpsc::channel(WAITING);
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || {
        span.in_scope(|| {
            let mut collected = Vec::with_capacity(CHUNK);
            let made = reader.export(&authorized, &mut |lines| {
                collected.extend_from_slice(lines);
                if collected.len() < CHUNK {
                    return ControlFlow::Continue(());
                }
                let full = std::mem::replace(&mut collected, Vec::with_capacity(CHUNK));
                let sent = sender.blocking_send(Ok(Bytes::from(full)));
                if sent.is_err() || cancelled.load(std::sync::atomic::Ordering::Acquire) {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            let cancelled = cancelled.load(std::sync::atomic::Ordering::Acquire);
            let last = match made {
                _ if cancelled => Err(Error::ShuttingDown),
                Ok(()) => Ok(Bytes::from(collected)),
                Err(error) => Err(Error::Export(error)),
            };
            // A caller that has gone away needs no end.
            let _ = sender.blocking_send(last);
        });
    });
    Ok(Lines { chunks, cancel })
}

fn unknown_type(name: &str, schema: &Schema) -> String {
    let nodes = schema.node_types.iter().map(|node| node.name.as_str());
    let known = nodes.chain(schema.edge_types.iter().map(|edge| edge.name.as_str()));
    let hint = closest(name, known).map(|name| format!("; did you mean {name:?}?"));
    let hint = hint.unwrap_or_default();
    format!("type: the schema has neither a node type nor an edge type {name:?}{hint}")
}
