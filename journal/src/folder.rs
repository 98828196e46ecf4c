//! The names in a journal's folder. Names that are not ours are left alone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, Folder};
use crate::limits::MAX_LSN;
use crate::{Error, Lsn, Reason};

const SUFFIX: &str = "seg";
const DIGITS: usize = 20;

/// A segment file, by its name alone.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    pub(crate) first: Lsn,
    pub(crate) path: PathBuf,
    /// Length when the folder was listed.
    pub(crate) bytes: u64,
    /// Where it is read through.
    pub(crate) disk: Disk,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// In order of their first lsn.
    pub(crate) segments: Vec<SegmentFile>,
    /// `.seg` files whose name is no lsn.
    pub(crate) misnamed: Vec<PathBuf>,
    /// Segments that were never finished.
    pub(crate) unfinished: Vec<PathBuf>,
}

impl Listing {
    /// The segments, when all names are sound and there is at least one.
    pub(crate) fn sound(&self, folder: &Path) -> Result<&[SegmentFile], Error> {
        if let Some(path) = self.misnamed.first() {
            let segment = path.clone();
            return Err(Error::Damaged {
                segment,
                offset: 0,
                reason: Reason::Name,
            });
        }
        if self.segments.is_empty() {
            return Err(Error::Missing {
                folder: folder.to_owned(),
            });
        }
        Ok(&self.segments)
    }
}

/// Lists a folder; one that does not exist is empty.
pub(crate) fn list(Folder { path: folder, disk }: &Folder) -> Result<Listing, Error> {
    let error = |source| Error::Io {
        action: "list",
        path: folder.to_owned(),
        source,
    };
    let mut listing = Listing::default();
    disk.reads(folder).map_err(error)?;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(listing),
        Err(source) => return Err(error(source)),
    };
    for entry in entries {
        let entry = entry.map_err(error)?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".seg.new") {
            listing.unfinished.push(path);
        } else if let Some(stem) = name.strip_suffix(".seg") {
            match parse_lsn(stem) {
                Some(first) => {
                    // A listing is no snapshot: a file may be replaced, or, at the beginning of the
                    // journal, be collected.
                    match fs::metadata(&path) {
                        Ok(metadata) => {
                            let bytes = metadata.len();
                            let disk = disk.clone();
                            listing.segments.push(SegmentFile {
                                first,
                                path,
                                bytes,
                                disk,
                            });
                        }
                        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
                        Err(source) => return Err(error(source)),
                    }
                }
                None => listing.misnamed.push(path),
            }
        }
    }
    listing.segments.sort_by_key(|segment| segment.first);
    listing.misnamed.sort();
    Ok(listing)
}

pub(crate) fn parse_lsn(stem: &str) -> Option<Lsn> {
    let digits = stem.len() == DIGITS && stem.bytes().all(|byte| byte.is_ascii_digit());
    let lsn = digits.then(|| stem.parse().ok()).flatten()?;
    (1..=MAX_LSN).contains(&lsn).then_some(Lsn(lsn))
}

/// The file of the segment that begins at `first`.
pub(crate) fn segment_path(folder: &Path, first: Lsn) -> PathBuf {
    folder.join(format!("{:0DIGITS$}.{SUFFIX}", first.0))
}

/// Where that segment is prepared.
pub(crate) fn unfinished_path(folder: &Path, first: Lsn) -> PathBuf {
    folder.join(format!("{:0DIGITS$}.{SUFFIX}.new", first.0))
}

/// The first free name for a copy of torn bytes of `segment`.
pub(crate) fn torn_path(segment: &Path) -> PathBuf {
    let mut number = 1;
    while torn_copy(segment, number).exists() {
        number += 1;
    }
    torn_copy(segment, number)
}

/// The name of a copy of torn bytes of `segment`; the first has the number 1.
pub(crate) fn torn_copy(segment: &Path, number: u64) -> PathBuf {
    let mut name = segment.as_os_str().to_owned();
    name.push(format!(".torn-{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twenty_digits_in_range_are_an_lsn() {
        let cases = [
            ("00000000000000000001", Some(Lsn(1))),
            ("09223372036854775807", Some(Lsn(MAX_LSN))),
            ("00000000000000000000", None),
            ("09223372036854775808", None),
            ("99999999999999999999", None),
            ("0000000000000000001", None),
            ("+0000000000000000001", None),
            ("", None),
        ];
        for (stem, lsn) in cases {
            assert_eq!(parse_lsn(stem), lsn, "{stem}");
        }
        let path = segment_path(Path::new("log"), Lsn(7));
        assert_eq!(path, Path::new("log/00000000000000000007.seg"));
    }
}
