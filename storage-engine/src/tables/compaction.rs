//! Compaction: the small and worn fragments of a table written again as few whole ones.
//!
//! A fold adds a fragment, and rows that are replaced or deleted stay in theirs. So the worst table
//! of a fold gets one more detached version: the same rows, in fewer files. It works at half speed at
//! most, and on so many rows at a time; the version before stays while a checkpoint names it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, RecordBatchIterator};
use futures::TryStreamExt;
use lance::Dataset;
use lance::dataset::transaction::Operation;
use lance::dataset::{InsertBuilder, WriteDestination, WriteMode};
use lance_table::format::Fragment;

use super::{
    Expected, TableError, TableVersion, commit, lance, open, run, unexpected, update, write_params,
};
use crate::store::Store;

/// More fragments than this are too many.
const FRAGMENTS: u64 = 32;

/// So many are left when there were too many, so that it is some folds until there are again.
const FRAGMENTS_LEFT: usize = 16;

/// One row in so many may be deleted.
const DELETED: u64 = 5;

/// The most rows that are written again at a time.
const ROWS: u64 = 4 << 20;

/// How many batches may wait between reading and writing.
const BATCHES: usize = 2;

/// The longest pause after a batch.
const PAUSE: Duration = Duration::from_millis(500);

/// How urgent a compaction is: 0 when there is no need.
pub(crate) fn urgency(version: &TableVersion) -> u64 {
    let pieces = match version.fragments > FRAGMENTS {
        true => version.fragments,
        false => 0,
    };
    let stored = version.rows + version.deleted;
    let worn = match version.deleted * DELETED > stored {
        true => version.deleted,
        false => 0,
    };
    pieces + worn
}

/// The same rows in fewer, whole fragments. It exists for readers only once a checkpoint names it.
/// `None` when nothing is to be gained.
pub(crate) fn compact(
    store: &Store,
    parent: &TableVersion,
) -> Result<Option<TableVersion>, TableError> {
    run(async {
        let dataset = open(store, parent).await?;
        let chosen = choose(dataset.manifest().fragments.as_slice());
        if chosen.is_empty() {
            return Ok(None);
        }
        let operation = rewrite(&parent.folder, &dataset, chosen).await?;
        let expected = Expected {
            rows: parent.rows,
            memory: parent.memory,
        };
        let version = commit(&parent.folder, dataset, operation, expected).await?;
        let typed = parent.typed.clone();
        Ok(Some(TableVersion { typed, ..version }))
    })
}

/// Fragments that are worth it: those with many deleted rows, and the smallest when there are too
/// many; never more rows than [`ROWS`], unless one fragment alone has them.
fn choose(fragments: &[Fragment]) -> Vec<Fragment> {
    let stored = |fragment: &Fragment| fragment.physical_rows.unwrap_or(0) as u64;
    let deleted = |fragment: &Fragment| {
        let file = fragment.deletion_file.as_ref();
        file.and_then(|file| file.num_deleted_rows).unwrap_or(0) as u64
    };
    let worn = |fragment: &Fragment| deleted(fragment) * DELETED > stored(fragment);
    let live = |fragment: &Fragment| stored(fragment).saturating_sub(deleted(fragment));
    let (mut chosen, mut others): (Vec<&Fragment>, Vec<&Fragment>) =
        fragments.iter().partition(|fragment| worn(fragment));
    chosen.sort_by_key(|fragment| std::cmp::Reverse(deleted(fragment)));
    if fragments.len() as u64 > FRAGMENTS {
        others.sort_by_key(|fragment| live(fragment));
        let many = fragments
            .len()
            .saturating_sub(FRAGMENTS_LEFT + chosen.len())
            + 1;
        chosen.extend(others.into_iter().take(many));
    }
    let mut rows = 0;
    let mut taken: Vec<Fragment> = chosen
        .into_iter()
        .enumerate()
        .take_while(|(at, fragment)| {
            rows += live(fragment);
            *at == 0 || rows <= ROWS
        })
        .map(|(_, fragment)| fragment.clone())
        .collect();
    // One that is whole is not better alone.
    if let [only] = taken.as_slice()
        && !worn(only)
    {
        taken.clear();
    }
    taken.sort_by_key(|fragment| fragment.id);
    taken
}

/// Writes the live rows of some fragments again, and says in one operation what that changes.
async fn rewrite(
    folder: &str,
    dataset: &Dataset,
    chosen: Vec<Fragment>,
) -> Result<Operation, TableError> {
    let failed = lance(folder, "compacted");
    let removed = chosen.iter().map(|fragment| fragment.id).collect();
    let mut scan = dataset.scan();
    scan.with_fragments(chosen).scan_in_order(true);
    let mut batches = scan.try_into_stream().await.map_err(&failed)?;
    let Some(first) = next(&mut batches).await.map_err(&failed)? else {
        return Ok(update(removed, Vec::new(), Vec::new()));
    };
    let schema = first.schema();
    let (sender, receiver) = tokio::sync::mpsc::channel(BATCHES);
    let feed = async move {
        let mut batch = Some(first);
        while let Some(full) = batch {
            let start = Instant::now();
            if sender.send(full).await.is_err() {
                // The writer has failed, and says why.
                return Ok(());
            }
            batch = next(&mut batches).await?;
            tokio::time::sleep(start.elapsed().min(PAUSE)).await;
        }
        Ok(())
    };
    let reader = RecordBatchIterator::new(Received(receiver), schema);
    let params = write_params(WriteMode::Append);
    let builder = InsertBuilder::new(WriteDestination::Dataset(Arc::new(dataset.clone())))
        .with_params(&params);
    let (fed, staged) = tokio::join!(feed, builder.execute_uncommitted_stream(reader));
    fed.map_err(&failed)?;
    let Operation::Append { fragments } = staged.map_err(&failed)?.operation else {
        return Err(unexpected(folder, "an append"));
    };
    Ok(update(removed, Vec::new(), fragments))
}

async fn next(
    batches: &mut (impl TryStreamExt<Ok = RecordBatch, Error = lance::Error> + Unpin),
) -> Result<Option<RecordBatch>, lance::Error> {
    loop {
        match batches.try_next().await? {
            Some(batch) if batch.num_rows() == 0 => {}
            other => return Ok(other),
        }
    }
}

/// What was sent, as Lance wants it: it asks on a thread that may block.
struct Received(tokio::sync::mpsc::Receiver<RecordBatch>);

impl Iterator for Received {
    type Item = Result<RecordBatch, arrow_schema::ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.blocking_recv().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(id: u64, rows: usize, deleted: usize) -> Fragment {
        let mut fragment = Fragment::new(id);
        fragment.physical_rows = Some(rows);
        fragment.deletion_file = (deleted > 0).then_some(lance_table::format::DeletionFile {
            read_version: 1,
            id: 1,
            file_type: lance_table::format::DeletionFileType::Bitmap,
            num_deleted_rows: Some(deleted),
            base_id: None,
        });
        fragment
    }

    fn chosen(fragments: &[Fragment]) -> Vec<u64> {
        choose(fragments)
            .iter()
            .map(|fragment| fragment.id)
            .collect()
    }

    #[test]
    fn the_worn_and_the_smallest_of_many_are_chosen() {
        assert_eq!(chosen(&[]), [0_u64; 0]);
        let mut few = vec![
            fragment(0, 100, 20),
            fragment(1, 100, 21),
            fragment(2, 5, 0),
        ];
        assert_eq!(chosen(&few), [1]);
        few.push(fragment(3, 10, 10));
        assert_eq!(chosen(&few), [1, 3]);
        let many: Vec<_> = (0..33)
            .map(|id| fragment(id, 1_000 - id as usize, 0))
            .collect();
        assert_eq!(chosen(&many), (15..33).collect::<Vec<_>>());
        assert_eq!(chosen(&many[1..]), [0_u64; 0]);
    }

    #[test]
    fn rows_are_bounded() {
        let rows = ROWS as usize;
        let worn: Vec<_> = (0..4).map(|id| fragment(id, rows, rows / 2)).collect();
        assert_eq!(chosen(&worn), [0, 1]);
        assert_eq!(chosen(&[fragment(0, 10 * rows, 3 * rows)]), [0]);
        let large: Vec<_> = (0..40).map(|id| fragment(id, rows, 0)).collect();
        assert_eq!(chosen(&large), [0_u64; 0], "one alone is not better for it");
    }
}
