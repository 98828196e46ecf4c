//! What a graph has on disk and in memory, as far as the caller may read its types.

use std::collections::BTreeMap;

use api_types::{
    BackgroundError, BackgroundErrors, CheckpointDetails, MemoryDetails, PinDetails,
    StorageDetails, TableDetails,
};
use storage_engine::{CheckpointStatus, Memory, PinStatus, Status, Trouble};

use crate::app::outcome;

/// `readable` says of a type whether the caller may read it.
pub(super) fn details(status: Status, readable: &dyn Fn(&str) -> bool) -> StorageDetails {
    let tables = status.checkpoint.as_ref();
    let tables = tables.map_or(&[][..], |checkpoint| &checkpoint.tables);
    StorageDetails {
        log_bytes: status.log.bytes,
        log_entries: status.log.entries,
        log_segments: status.log.segments,
        horizon: status.log.horizon,
        side_file_bytes: status.side_bytes,
        table_bytes: tables.iter().map(|table| table.bytes).sum(),
        log_bytes_since_checkpoint: status.tail_bytes,
        rows_since_checkpoint: status.tail_rows as u64,
        memory: memory(status.memory),
        checkpoint: status.checkpoint.map(|it| checkpoint(it, readable)),
        pins: status.pins.into_iter().map(pin).collect(),
        errors: BackgroundErrors {
            fold: status.fold_error.map(trouble),
            compaction: status.compaction_error.map(trouble),
            collection: status.collection_error.map(trouble),
        },
        collected_files: status.collected.files,
        collected_bytes: status.collected.bytes,
    }
}

fn memory(memory: Memory) -> MemoryDetails {
    MemoryDetails {
        bytes: memory.total() as u64,
        columns_bytes: memory.columns as u64,
        keys_bytes: memory.keys as u64,
        topology_bytes: memory.topology as u64,
        changes_bytes: memory.changes as u64,
        answers_bytes: memory.answers as u64,
        cold_columns: memory.cold_columns as u64,
    }
}

fn checkpoint(checkpoint: CheckpointStatus, readable: &dyn Fn(&str) -> bool) -> CheckpointDetails {
    let age = jiff::Timestamp::now().as_microsecond() - checkpoint.time_micros;
    let tables = checkpoint.tables.into_iter();
    let tables: BTreeMap<_, _> = tables
        .filter(|table| readable(&table.name))
        .map(|table| {
            let details = TableDetails {
                rows: table.rows,
                fragments: table.fragments,
                deleted_rows: table.deleted_rows,
                bytes: table.bytes,
            };
            (table.name, details)
        })
        .collect();
    CheckpointDetails {
        lsn: checkpoint.lsn,
        time: outcome::time(checkpoint.time_micros),
        age_seconds: u64::try_from(age / 1_000_000).unwrap_or(0),
        tables,
    }
}

fn pin(pin: PinStatus) -> PinDetails {
    PinDetails {
        by: pin.by,
        lsn: pin.lsn,
        log_bytes: pin.log_bytes,
        since: pin.since_micros.map(outcome::time),
    }
}

fn trouble(trouble: Trouble) -> BackgroundError {
    BackgroundError {
        message: trouble.message,
        time: outcome::time(trouble.time_micros),
    }
}
