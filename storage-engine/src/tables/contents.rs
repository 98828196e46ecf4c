//! Which files a version of a table consists of: what collection keeps.

use std::collections::BTreeSet;
use std::num::NonZero;

use lance::Dataset;
use lance_table::format::Fragment;
use lance_table::io::deletion::relative_deletion_file_path;

use super::{TableError, TableVersion, lance, open, run, unexpected};
use crate::store::Store;

/// The folders of a table in which Lance puts what a version consists of. What else there may be is
/// left alone.
pub(crate) const FOLDERS: [&str; 4] = ["data", "_deletions", "_versions", "_transactions"];

/// How the names of the manifests of detached versions begin. The others belong to the table's HEAD,
/// which is never collected.
pub(crate) const DETACHED: &str = "d";

/// The last bytes of each of Lance's files.
const END: &[u8] = b"LANC";

/// The files of a version, within its table's folder. Each was seen to be there.
///
/// # Errors
/// When the version cannot be opened, its files cannot be listed, or a file of it is missing or not as long as it was.
pub(crate) fn contents(
    store: &Store,
    version: &TableVersion,
) -> Result<BTreeSet<String>, TableError> {
    let (files, sizes) = run(async {
        let dataset = open(store, version).await?;
        files(&version.folder, &dataset)
    })?;
    for below in FOLDERS {
        let wanted: Vec<&String> = files
            .iter()
            .filter(|file| file.split('/').next() == Some(below))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let place = format!("tables/{}/{below}", version.folder);
        let listed = store.list_if_there(&place)?;
        for file in wanted {
            let name = file.rsplit('/').next().unwrap_or_default();
            let found = listed.iter().find(|listed| listed.name == name);
            let size = sizes.iter().find(|(sized, _)| sized == file);
            let whole = found.is_some_and(|found| {
                size.is_none_or(|(_, bytes)| *bytes == found.bytes) && found.bytes > 0
            });
            if !whole {
                return Err(TableError::Mismatch {
                    folder: version.folder.clone(),
                    found: format!("no whole file {file}"),
                    expected: "one".to_owned(),
                });
            }
        }
    }
    Ok(files)
}

/// Whether the manifest of a version is there and does not end as Lance ends each file.
pub(crate) fn has_half_a_manifest(store: &Store, version: &TableVersion) -> bool {
    let file = format!("{DETACHED}{}.manifest", version.version);
    let found = store.get(&format!("tables/{}/_versions/{file}", version.folder));
    found.is_ok_and(|bytes| !bytes.ends_with(END))
}

/// Names of files, and the sizes of those of which they are known.
type Files = (BTreeSet<String>, Vec<(String, u64)>);

fn files(folder: &str, dataset: &Dataset) -> Result<Files, TableError> {
    let manifest = dataset.manifest();
    let location = dataset.manifest_location();
    let name = location.path.filename().unwrap_or_default();
    let mut files = BTreeSet::from([format!("_versions/{name}")]);
    let mut sizes = Vec::new();
    if let Some(transaction) = &manifest.transaction_file {
        files.insert(format!("_transactions/{transaction}"));
    }
    for fragment in manifest.fragments.iter() {
        for (file, bytes) in of_fragment(folder, fragment)? {
            sizes.extend(bytes.map(|bytes| (file.clone(), bytes)));
            files.insert(file);
        }
    }
    Ok((files, sizes))
}

/// What a fragment consists of. One that has what this version of Trellis never writes is refused,
/// so that nothing of it is taken for unused.
fn of_fragment(
    folder: &str,
    fragment: &Fragment,
) -> Result<Vec<(String, Option<u64>)>, TableError> {
    let elsewhere = fragment.files.iter().any(|file| file.base_id.is_some());
    if elsewhere || !fragment.overlays.is_empty() {
        return Err(unexpected(folder, "a fragment of files of its own"));
    }
    let data = fragment.files.iter().map(|file| {
        let bytes = file.file_size_bytes.get().map(NonZero::get);
        (format!("data/{}", file.path), bytes)
    });
    let deletions = fragment
        .deletion_file
        .iter()
        .map(|file| (relative_deletion_file_path(fragment.id, file), None));
    Ok(data.chain(deletions).collect())
}

/// How much of a version is in pieces or gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wear {
    /// Fragments.
    pub(crate) fragments: u64,
    /// Rows that are in its files and deleted.
    pub(crate) deleted: u64,
    /// Bytes of its data files.
    pub(crate) bytes: u64,
}

impl Wear {
    pub(super) fn of(folder: &str, dataset: &Dataset) -> Result<Self, TableError> {
        let mut wear = Self::default();
        for fragment in dataset.get_fragments() {
            let deleted = fragment.fast_num_deletions();
            wear.deleted += deleted.map_err(lance(folder, "counted"))? as u64;
            wear.fragments += 1;
            let files = fragment.metadata().files.iter();
            let sizes = files.filter_map(|file| file.file_size_bytes.get());
            wear.bytes += sizes.map(NonZero::get).sum::<u64>();
        }
        Ok(wear)
    }
}
