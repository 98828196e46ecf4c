//! Parts of the log, and the headings of its entries.

use std::ops::ControlFlow;

use journal::Lsn;

use super::PastError;
use crate::graph::log;
use crate::record::{Header, Heading};
use crate::store::Store;

/// What ends a reading on purpose.
#[derive(Debug, thiserror::Error)]
#[error("enough was read")]
struct Enough;

/// Visits the entries after `after` up to `upto`.
pub(in crate::graph) fn read(
    store: &Store,
    after: u64,
    upto: u64,
    visit: &mut dyn FnMut(journal::Entry<'_>) -> Result<ControlFlow<()>, PastError>,
) -> Result<(), PastError> {
    if after >= upto {
        return Ok(());
    }
    let mut failure = None;
    let ended = log::read(store, Lsn(after), &mut |entry| {
        let last = entry.lsn.0 >= upto;
        match visit(entry) {
            Ok(ControlFlow::Continue(())) if !last => Ok(()),
            Ok(_) => Err(Enough.into()),
            Err(error) => {
                failure = Some(error);
                Err(Enough.into())
            }
        }
    });
    match (failure, ended) {
        (Some(error), _) => Err(error),
        (None, Ok(_)) => Ok(()),
        (None, Err(journal::Error::Visit { source, .. })) if source.is::<Enough>() => Ok(()),
        (None, Err(error)) => Err(PastError::Log(error)),
    }
}

/// Visits the headings of the entries after `after` up to `upto`.
pub(in crate::graph) fn headings(
    store: &Store,
    after: u64,
    upto: u64,
    visit: &mut dyn FnMut(u64, Heading) -> Result<ControlFlow<()>, PastError>,
) -> Result<(), PastError> {
    read(store, after, upto, &mut |entry| {
        visit(entry.lsn.0, Heading::decode(entry.bytes)?)
    })
}

/// The first commit from a position on.
pub(super) fn first_header(store: &Store, first: u64) -> Result<Option<Box<Header>>, PastError> {
    let mut found = None;
    headings(
        store,
        first.saturating_sub(1),
        u64::MAX,
        &mut |_, heading| {
            Ok(match heading {
                Heading::Commit(header, _) => {
                    found = Some(header);
                    ControlFlow::Break(())
                }
                Heading::Horizon(_) | Heading::Term(_) => ControlFlow::Continue(()),
            })
        },
    )?;
    Ok(found)
}

/// When the first commit from a position on was made, if there is one.
pub(in crate::graph) fn first_commit(
    store: &Store,
    first: u64,
) -> Result<Option<i64>, journal::Error> {
    match first_header(store, first) {
        Ok(header) => Ok(header.map(|header| header.time_micros)),
        Err(PastError::Log(error)) => Err(error),
        // What cannot be read is not for collection to judge.
        Err(_) => Ok(None),
    }
}
