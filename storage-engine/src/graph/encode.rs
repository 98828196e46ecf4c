//! A commit's entry in the log, and the files beside the log that it names.

use std::sync::Arc;

use journal::AppendError;
use sha2::{Digest as _, Sha256};

use super::job::Failure;
use crate::bulk::Bulk;
use crate::graph::Inner;
use crate::record::{Body, Changes, Encoding, Header, Record, SideFile};
use crate::store::Store;

/// Bodies above this many bytes go to a side file.
const INLINE_BYTES: usize = 1 << 20;

/// Files that the entries of a group name.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) names: Vec<String>,
    pub(super) bytes: u64,
}

impl Inner {
    /// The log entry of a commit; a large body is stored beside the log first.
    pub(super) fn encode(
        &self,
        header: Header,
        changes: Changes,
        beside: &mut Beside,
    ) -> Result<Vec<u8>, Failure> {
        let record = |error| Failure::Record(Arc::new(error));
        let bytes = changes.encode().map_err(record)?;
        if bytes.len() <= INLINE_BYTES {
            let entry = Record::Commit(header, Body::Inline(changes)).encode();
            return within_limit(entry.map_err(record)?);
        }
        let file = SideFile {
            name: SideFile::name(header.lsn, Encoding::Changes),
            bytes: bytes.len() as u64,
            digest: Sha256::digest(&bytes).into(),
            encoding: Encoding::Changes,
            rows: changes.rows.len() as u64,
        };
        let (name, body) = (file.place(), Body::File(file));
        let entry = within_limit(Record::Commit(header, body).encode().map_err(record)?)?;
        if let Err(error) = self.store.put(&name, &[&bytes]) {
            discard(&self.store, &name);
            return Err(Failure::SideFile(Arc::new(error)));
        }
        beside.names.push(name);
        beside.bytes += bytes.len() as u64;
        Ok(entry)
    }

    /// The log entry of a commit whose rows stand in files beside the log already.
    pub(super) fn encode_bulk(
        &self,
        header: Header,
        bulk: Bulk,
        beside: &mut Beside,
    ) -> Result<Vec<u8>, Failure> {
        let mut named = Vec::new();
        let columns = bulk.name_files(header.lsn, &mut named);
        let columns = columns.map_err(|error| Failure::SideFile(Arc::new(error)));
        let mut bytes = 0;
        let entry = columns.and_then(|columns| {
            bytes = columns.tables.iter().map(|table| table.file.bytes).sum();
            let entry = Record::Commit(header, Body::Columns(columns)).encode();
            within_limit(entry.map_err(|error| Failure::Record(Arc::new(error)))?)
        });
        match &entry {
            Ok(_) => {
                beside.names.append(&mut named);
                beside.bytes += bytes;
            }
            Err(_) => named.iter().for_each(|name| discard(&self.store, name)),
        }
        entry
    }
}

/// Refuses alone what would make the whole group fail.
fn within_limit(entry: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if entry.len() <= journal::MAX_ENTRY_BYTES {
        return Ok(entry);
    }
    let error = AppendError::EntryTooLarge {
        index: 0,
        bytes: entry.len(),
        max: journal::MAX_ENTRY_BYTES,
    };
    Err(Failure::NotWritten(Arc::new(error)))
}

/// Removes a side file that no record names. One that stays is removed when the graph is opened.
pub(super) fn discard(store: &Store, name: &str) {
    if let Err(error) = store.delete(name) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "an unused file stays");
    }
}
