//! What cannot be reached, told from what is damaged. Only the latter says something about a graph:
//! what cannot be read now may be whole, so that it is tried again and never passed over.

use std::error::Error;
use std::io::{self, ErrorKind};

/// Whether an error, or what caused it, says that a file or an object cannot be read now, without a
/// word on what is in it: time-outs, refusals, too many open files, a full disk. What is missing, cut
/// short or garbled was reached.
pub(crate) fn is_out_of_reach(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(verdict) = verdict(error) {
            return verdict;
        }
        cause = error.source();
    }
    false
}

/// What an error says by itself; nothing when its cause has to be asked.
fn verdict(error: &(dyn Error + 'static)) -> Option<bool> {
    if error.is::<journal::ObjectError>() {
        return Some(true);
    }
    // As it stands behind what failed for want of a thread.
    if error.is::<&'static io::Error>() {
        return Some(true);
    }
    if let Some(lance) = error.downcast_ref::<Box<lance_core::Error>>() {
        return of_lance(lance);
    }
    if let Some(lance) = error.downcast_ref() {
        return of_lance(lance);
    }
    if let Some(store) = error.downcast_ref() {
        return of_store(store);
    }
    of_system(error.downcast_ref()?)
}

fn of_lance(error: &lance_core::Error) -> Option<bool> {
    if error.is_not_found() {
        return Some(false);
    }
    matches!(error.find_root(), lance_core::Error::Timeout { .. }).then_some(true)
}

/// Stores that are none to be out of reach: Lance reads folders through the first, what it has of a
/// file already through the second, and hands on errors of its own under the third. What they say is
/// the word of their cause.
const AT_HAND: [&str; 3] = ["LocalFileSystem", "memory", "N/A"];

fn of_store(error: &object_store::Error) -> Option<bool> {
    use object_store::Error as Store;
    match error {
        Store::NotFound { .. } => Some(false),
        Store::Generic { store, .. } => (!AT_HAND.contains(store)).then_some(true),
        _ => Some(true),
    }
}

fn of_system(error: &io::Error) -> Option<bool> {
    // What such an error wraps is not among its causes.
    if let Some(inner) = error.get_ref()
        && let Some(known) = inner.downcast_ref()
    {
        return of_store(known);
    }
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::InvalidData
        | ErrorKind::InvalidInput
        | ErrorKind::UnexpectedEof => Some(false),
        ErrorKind::Other => None,
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::{FileError, failed};
    use crate::graph::{EntryError, OpenError, UnusableCheckpoint};
    use crate::tables::TableError;
    use uuid::Uuid;

    fn file(source: io::Error) -> FileError {
        failed("read", Path::new("x"))(source)
    }

    fn generic(store: &'static str, source: io::Error) -> object_store::Error {
        let source = source.into();
        object_store::Error::Generic { store, source }
    }

    fn lance(source: lance_core::Error) -> UnusableCheckpoint {
        UnusableCheckpoint::Table(TableError::Lance {
            folder: "1-x".to_owned(),
            action: "read",
            source: Box::new(source),
        })
    }

    #[test]
    fn what_is_out_of_reach_is_told_from_damage() {
        let timeout = || io::Error::from(ErrorKind::TimedOut);
        let lost = || generic("S3", io::Error::other("timed out"));
        let missing = || object_store::Error::NotFound {
            path: "x".to_owned(),
            source: "none".into(),
        };
        let unread = || journal::Error::Object {
            action: "read",
            place: "x".into(),
            source: journal::ObjectError::Unclear("timed out".into()),
        };
        let visit = journal::Error::Visit {
            lsn: journal::Lsn(3),
            source: EntryError::File(file(io::Error::other(lost()))).into(),
        };
        let unreachable: [&(dyn Error + 'static); 8] = [
            &file(timeout()),
            &file(io::Error::other(lost())),
            &unread(),
            &OpenError::Log(unread()),
            &OpenError::Log(visit),
            &lance(lost().into()),
            &lance(generic("LocalFileSystem", timeout()).into()),
            &lance(lance_core::Error::timeout("too long")),
        ];
        for (at, error) in unreachable.iter().enumerate() {
            assert!(is_out_of_reach(*error), "{at}: {error:?}");
        }
        let cut = io::Error::from(ErrorKind::UnexpectedEof);
        let handed_on = object_store::Error::from(lance_core::Error::not_found("x"));
        let short = io::Error::other("invalid range 0..9 for object of size 0");
        let damaged: [&(dyn Error + 'static); 8] = [
            &lance(handed_on.into()),
            &lance(generic("memory", short).into()),
            &file(io::Error::from(ErrorKind::NotFound)),
            &file(io::Error::new(ErrorKind::NotFound, missing())),
            &EntryError::SideFile("x".to_owned()),
            &lance(missing().into()),
            &lance(generic("LocalFileSystem", cut).into()),
            &UnusableCheckpoint::Foreign(Uuid::nil()),
        ];
        for (at, error) in damaged.iter().enumerate() {
            assert!(!is_out_of_reach(*error), "{at}: {error:?}");
        }
    }
}
