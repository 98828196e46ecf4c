//! Everything in one snapshot, or one type, as what `load` takes back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::ExportParameters;
use bytes::Bytes;
use policy::{Action, Authorized, Principal};
use registry::Reader;
use storage_engine::PastLimits;
use storage_engine::export::{Format, Selection};

use super::stream::{self, Closed, Outlet, PIECE, Pieces};
use super::{App, Error, Target, aside, past, statement};

/// How long the caller may take nothing.
const STALL: Duration = Duration::from_secs(60);

/// Bytes that the caller must take in each second that the export waits for it, after the first
/// [`STALL`] and on the whole: a little now and then would keep a thread and a snapshot for ever.
const SLOWEST: u64 = 16 << 10;

/// How long the caller has been waited for, and for how much.
#[derive(Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn patience(&self) -> Duration {
        let allowed = STALL + Duration::from_secs(self.bytes / SLOWEST);
        allowed.saturating_sub(self.waited).min(STALL)
    }

    fn send(&mut self, piece: Bytes, outlet: &Outlet<()>) -> Result<(), Closed> {
        let begun = Instant::now();
        let bytes = piece.len() as u64;
        let sent = outlet.send(piece, begun + self.patience());
        self.waited += begun.elapsed();
        self.bytes += bytes;
        sent
    }
}

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    parameters: ExportParameters,
    format: Format,
) -> Result<Pieces<()>, Error> {
    let target = Target::branch(&graph_id, parameters.branch.as_deref());
    let permit = app.permit_graph(principal, Action::Export, target)?;
    target.check_branch()?;
    let at = past(parameters.at.as_deref())?;
    let slot = app
        .turn(&permit, statement::deadline(&app.limits(), None))
        .await?;
    let purse = app.purse(permit.principal());
    let (cancelled, cancel) = app.running.begin();
    let limits = PastLimits {
        deadline: Some(statement::deadline(&app.limits(), None)),
        max_bytes: usize::try_from(app.limits().query_memory_bytes).unwrap_or(usize::MAX),
        cancelled: cancelled.clone(),
    };
    let (worker, permit) = (app.clone(), Arc::new(permit));
    let (reader, authorized) = aside(move || {
        let reader = worker.reader_at(&permit, at, &limits)?;
        let schema = reader.schema().clone();
        let mut touches = statement::all_types(&schema, false);
        let selection =
            Selection::new(&schema, parameters.type_name, format).map_err(Error::Export)?;
        // In an open graph a name is of rows, not of a type.
        let name = selection.type_name().filter(|_| schema.open().is_none());
        if let Some(name) = name {
            touches.retain(|touch| touch.name == name);
            // An edge is written with the keys of the nodes that it joins.
            if let Some(edge) = schema.edge_type_named(name) {
                touches.extend(statement::types([edge.source, edge.target], &schema, false));
            }
        }
        let access = worker.access.load();
        let authorized = access
            .authorizer
            .authorize_types(&permit, selection, &touches)?;
        reader.check_export(&authorized).map_err(Error::of_export)?;
        Ok((reader, authorized))
    })
    .await?;
    let (outlet, pieces) = stream::channel(cancelled, cancel, slot, purse);
    let span = tracing::Span::current();
    storage_engine::aside::run(move || {
        span.in_scope(|| match make(&reader, &authorized, &outlet) {
            Ok(()) => outlet.end(()),
            Err(error) => outlet.fail(error, Instant::now() + STALL),
        });
    });
    Ok(pieces)
}

fn make(
    reader: &Reader,
    selection: &Authorized<Selection>,
    outlet: &Outlet<()>,
) -> Result<(), Error> {
    let mut collected = Vec::with_capacity(PIECE);
    let mut sent = Ok(());
    let mut pace = Pace::default();
    let made = reader.export(selection, &mut |made| {
        collected.extend_from_slice(made);
        if collected.len() >= PIECE {
            let full = std::mem::replace(&mut collected, Vec::with_capacity(PIECE));
            sent = pace.send(Bytes::from(full), outlet);
        }
        match sent {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    made.map_err(Error::of_export)?;
    sent.and_then(|()| pace.send(Bytes::from(collected), outlet))
        .map_err(|closed| match closed {
            Closed::Cancelled => Error::ShuttingDown,
            Closed::Late => Error::Stalled,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_now_and_then_is_too_slow() {
        let patience = |waited, bytes| {
            let waited = Duration::from_secs(waited);
            Pace { waited, bytes }.patience()
        };
        assert_eq!(patience(0, 0), STALL);
        assert_eq!(patience(50, 10), Duration::from_secs(10));
        assert_eq!(patience(61, 61), Duration::ZERO);
        assert_eq!(patience(3600, 3600 * SLOWEST), STALL);
    }
}
