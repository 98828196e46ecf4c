//! Leases in a folder.
//!
//! A lease is a file that its holder keeps locked, shared. The kernel gives the lock back when the
//! process ends, however it ends; so a lease that can be locked alone is nobody's any more. What
//! stands in the file only says who it is and what it needs.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs2::FileExt;
use uuid::Uuid;

use super::{Claim, FOLDER};
use crate::files::{FileError, UNFINISHED, failed};

/// A lease that was not finished for this long, or may not be looked at, is nobody's.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// A lease, given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    path: PathBuf,
    _file: File,
}

impl Lease {
    /// Takes a lease on the checkpoint at `lsn` and the log after it. Only what is there after it
    /// was taken stays there. `None` where nothing can be written, and nobody can ask for more.
    pub(super) fn take(graph: &Path, lsn: u64) -> Result<Option<Self>, FileError> {
        let folder = graph.join(FOLDER);
        match fs::create_dir(&folder) {
            Err(error) if refused(&error) => return Ok(None),
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed("create the folder", &folder)(error));
            }
            _ => {}
        }
        let file = match tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&folder)
        {
            Err(error) if refused(&error) => return Ok(None),
            other => other.map_err(failed("create a file in", &folder))?,
        };
        // Who collects may be another user, and has to see whether it is held.
        file.as_file()
            .set_permissions(Permissions::from_mode(0o644))
            .map_err(failed("set the permissions of", file.path()))?;
        // Under its final name it is locked already.
        FileExt::lock_shared(file.as_file()).map_err(failed("lock", file.path()))?;
        let claim = Claim::on(lsn);
        let path = folder.join(Uuid::new_v4().simple().to_string());
        let text = serde_json::to_string(&claim).unwrap_or_default();
        file.as_file()
            .write_all(text.as_bytes())
            .map_err(failed("write", &path))?;
        let file = file
            .persist(&path)
            .map_err(|error| failed("replace", &path)(error.error))?;
        Ok(Some(Self { path, _file: file }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that stays is found to be nobody's.
        let _ = fs::remove_file(&self.path);
    }
}

/// The system does not let anything be written here.
fn refused(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
    )
}

/// The leases that somebody holds. With `sweep` the others are removed.
pub(super) fn live(graph: &Path, sweep: bool) -> Result<Vec<Claim>, FileError> {
    let folder = graph.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", &folder))?,
    };
    let mut claims = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("list", &folder))?.path();
        match claim(&path, File::open(&path))? {
            Found::Held(claim) => claims.push(claim),
            Found::Dead if sweep => {
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != ErrorKind::NotFound
                {
                    tracing::warn!(path = %path.display(), %error, "a lease that nobody holds stays");
                }
            }
            Found::Dead | Found::Nothing => {}
        }
    }
    Ok(claims)
}

enum Found {
    Held(Claim),
    Dead,
    Nothing,
}

fn claim(path: &Path, opened: std::io::Result<File>) -> Result<Found, FileError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let unfinished = name.is_some_and(|name| name.starts_with(UNFINISHED));
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        // Another user's, of which only the age can be seen: what it needs is not known either.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Ok(match is_old(fs::metadata(path)) {
                true => Found::Dead,
                false if unfinished => Found::Nothing,
                false => Found::Held(Claim::default()),
            });
        }
        file => file.map_err(failed("open", path))?,
    };
    match FileExt::try_lock_exclusive(&file) {
        // Between its creation and its lock nobody holds it.
        Ok(()) if unfinished && !is_old(file.metadata()) => Ok(Found::Nothing),
        Ok(()) => Ok(Found::Dead),
        // Whoever makes it looks for what it needs afterwards.
        Err(error) if is_held(&error) && unfinished => Ok(Found::Nothing),
        Err(error) if is_held(&error) => {
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(failed("read", path))?;
            // Of one that cannot be read it is not known what it needs: it needs everything.
            Ok(Found::Held(serde_json::from_str(&text).unwrap_or_default()))
        }
        Err(error) => Err(failed("lock", path)(error)),
    }
}

fn is_held(error: &std::io::Error) -> bool {
    error.kind() == fs2::lock_contended_error().kind()
}

fn is_old(metadata: std::io::Result<Metadata>) -> bool {
    let modified = metadata.and_then(|metadata| metadata.modified());
    let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    age.is_ok_and(|age| age > ABANDONED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_seen_while_it_is_held() {
        let home = tempfile::TempDir::new().expect("a temporary folder");
        assert_eq!(live(home.path(), true).expect("listed"), []);
        let first = Lease::take(home.path(), 7)
            .expect("taken")
            .expect("written");
        let second = Lease::take(home.path(), 3).expect("taken");
        let mut lsns: Vec<u64> = live(home.path(), true)
            .expect("listed")
            .iter()
            .map(|claim| claim.lsn)
            .collect();
        lsns.sort_unstable();
        assert_eq!(lsns, [3, 7]);
        drop(second);
        let left = live(home.path(), true).expect("listed");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].pid, std::process::id());
        drop(first);
        assert_eq!(live(home.path(), true).expect("listed"), []);
    }

    #[test]
    fn another_user_can_see_whether_it_is_held() {
        let home = tempfile::TempDir::new().expect("a temporary folder");
        let lease = Lease::take(home.path(), 7).expect("taken");
        let lease = lease.expect("written");
        let mode = fs::metadata(&lease.path).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o644);
    }

    #[test]
    fn what_may_not_be_looked_at_is_held_for_a_while() {
        let home = tempfile::TempDir::new().expect("a temporary folder");
        let found = |name: &str, age: Duration| {
            let path = home.path().join(name);
            let file = File::create(&path).expect("made");
            let modified = SystemTime::now().checked_sub(age).expect("after 1970");
            file.set_modified(modified).expect("set");
            // These tests may run as one who may look at everything.
            let refused = std::io::Error::from(ErrorKind::PermissionDenied);
            claim(&path, Err(refused)).expect("it is no error")
        };
        let young = Duration::from_secs(60);
        let old = ABANDONED + young;
        assert!(matches!(found("a", young), Found::Held(claim) if claim.lsn == 0));
        assert!(matches!(found("b", old), Found::Dead));
        let unfinished = format!("{UNFINISHED}c");
        assert!(matches!(found(&unfinished, young), Found::Nothing));
        assert!(matches!(found(&unfinished, old), Found::Dead));
    }

    #[test]
    fn what_a_dead_process_leaves_is_removed() {
        let home = tempfile::TempDir::new().expect("a temporary folder");
        let folder = home.path().join(FOLDER);
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("dead"), b"{}").expect("written");
        fs::write(folder.join(format!("{UNFINISHED}young")), b"").expect("written");
        assert_eq!(live(home.path(), false).expect("listed"), []);
        assert!(folder.join("dead").exists(), "only looking removes nothing");
        assert_eq!(live(home.path(), true).expect("listed"), []);
        let left: Vec<_> = fs::read_dir(&folder).expect("listed").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
