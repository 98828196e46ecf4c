//! The file systems below the config file and the graphs: of what kind they are, whether they have locks,
//! and how long an append and a sync take. The file that is written for that has no name and leaves nothing.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs2::FileExt;

use super::{Finding, Grade};
use crate::config::ConfigFile;
use crate::config::lock::is_without_locks;
use crate::{Snapshot, environment, uri};

const PART: &str = "disk";

/// How often an append is synced.
const ROUNDS: usize = 20;
/// How much is appended each time: a small commit.
const APPENDED: [u8; 512] = [0; 512];
/// Above this, every commit is felt.
const SLOW: Duration = Duration::from_millis(50);
/// Below this, no disk was asked: a sync of the quickest takes longer.
const TOO_QUICK: Duration = Duration::from_micros(2);

/// What is to be said of a kind of file system, beyond its name.
#[derive(Clone, Copy)]
enum Nature {
    Local,
    /// Locks of other machines may not be seen, and a sync may not be what it says.
    Shared,
    /// It goes with the machine's memory.
    Memory,
    /// It goes with its container.
    Layer,
}

/// By the number that `statfs` gives (statfs(2)).
const KINDS: [(u64, &str, Nature); 15] = [
    (0xef53, "ext4", Nature::Local),
    (0x5846_5342, "xfs", Nature::Local),
    (0x9123_683e, "btrfs", Nature::Local),
    (0x2fc1_2fc1, "zfs", Nature::Local),
    (0xf2f5_2010, "f2fs", Nature::Local),
    (0x6969, "NFS", Nature::Shared),
    (0x517b, "SMB", Nature::Shared),
    (0xfe53_4d42, "SMB", Nature::Shared),
    (0xff53_4d42, "CIFS", Nature::Shared),
    (0x00c3_6400, "Ceph", Nature::Shared),
    (0x0102_1997, "9p", Nature::Shared),
    (0x6573_5546, "FUSE", Nature::Shared),
    (0x0102_1994, "tmpfs", Nature::Memory),
    (0x8584_58f6, "ramfs", Nature::Memory),
    (0x794c_7630, "overlay", Nature::Layer),
];

/// Each file system once, by the first of the folders on it.
pub(super) fn examine(file: &ConfigFile, snapshot: Option<&Snapshot>) -> Vec<Finding> {
    let mut folders = vec![file.folder().to_owned()];
    if let Some(snapshot) = snapshot {
        let storage = snapshot.config.server.storage.as_deref();
        let storage = storage.and_then(|written| environment::expand(written).ok());
        let storage = storage.map(|written| file.resolve(&written));
        folders.extend(storage.filter(|path| !path.to_string_lossy().contains("://")));
        let graphs = snapshot.graphs.values();
        let graphs = graphs.map(|graph| graph.uri.canonical().to_owned());
        folders.extend(graphs.filter(|place| !uri::is_remote(place)));
    }
    let (mut findings, mut seen) = (Vec::new(), HashSet::new());
    for folder in folders {
        let Some((folder, device)) = existing(&folder) else {
            continue;
        };
        if seen.insert(device) {
            findings.extend(one(&folder));
        }
    }
    findings
}

/// The folder, or the nearest above it that is there, and its device.
fn existing(folder: &Path) -> Option<(PathBuf, u64)> {
    folder.ancestors().find_map(|folder| {
        let found = std::fs::metadata(folder).ok()?;
        found.is_dir().then(|| (folder.to_owned(), found.dev()))
    })
}

fn one(folder: &Path) -> Vec<Finding> {
    let mut findings = vec![kind(folder)];
    let place = folder.display();
    let file = match tempfile::tempfile_in(folder) {
        Ok(file) => file,
        Err(error) => {
            let what = format!("nothing can be written below {place}: {error}");
            findings.push(Finding::new(Grade::Error, PART, what));
            return findings;
        }
    };
    findings.push(match FileExt::try_lock_exclusive(&file) {
        Ok(()) => Finding::new(Grade::Ok, PART, format!("{place} has flock")),
        Err(error) if is_without_locks(&error) => {
            Finding::new(Grade::Error, PART, format!("{place} has no flock: {error}")).advise(
                "two servers could not be kept apart; keep files and graphs where there is one",
            )
        }
        Err(error) => {
            let what = format!("{place} cannot be locked: {error}");
            Finding::new(Grade::Error, PART, what)
        }
    });
    findings.push(match timings(file) {
        Ok(times) => judge(folder, times),
        Err(error) => {
            let what = format!("an append below {place} cannot be synced: {error}");
            Finding::new(Grade::Error, PART, what)
        }
    });
    findings
}

fn kind(folder: &Path) -> Finding {
    let place = folder.display();
    let number = match rustix::fs::statfs(folder) {
        #[expect(
            clippy::cast_sign_loss,
            reason = "a bit pattern, whose type is another one on other machines"
        )]
        Ok(found) => found.f_type as u64 & 0xffff_ffff,
        Err(error) => {
            let what = format!("cannot tell the file system of {place}: {error}");
            return Finding::new(Grade::Note, PART, what);
        }
    };
    let Some((_, name, nature)) = KINDS.iter().find(|(known, ..)| *known == number) else {
        let what = format!("{place} is on a file system of the kind {number:#x}");
        return Finding::new(Grade::Note, PART, what);
    };
    let what = format!("{place} is on {name}");
    match nature {
        Nature::Local => Finding::new(Grade::Ok, PART, what),
        Nature::Shared => Finding::new(Grade::Warning, PART, what).advise(
            "whether locks of other machines are seen there and what is synced is kept depends on how it \
             is mounted; a local disk, or graphs in an object store, keep both",
        ),
        Nature::Memory => Finding::new(Grade::Warning, PART, what)
            .advise("what is there is gone with the next start of the machine"),
        Nature::Layer => Finding::new(Grade::Warning, PART, what)
            .advise("what is there is gone with its container; mount a volume"),
    }
}

fn timings(mut file: File) -> io::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        file.write_all(&APPENDED)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times)
}

fn judge(folder: &Path, times: Vec<Duration>) -> Finding {
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    let what = format!(
        "an append and its sync below {} take {median:.1?}, {longest:.1?} at most",
        folder.display()
    );
    if median > SLOW {
        Finding::new(Grade::Warning, PART, what).advise("every commit waits for one")
    } else if median < TOO_QUICK {
        Finding::new(Grade::Warning, PART, what)
            .advise("no disk is that quick: what is synced may not be kept")
    } else {
        Finding::new(Grade::Ok, PART, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_with_its_time_and_nothing_is_left_on_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let findings = one(folder.path());
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[1].what.ends_with("has flock"), "{findings:?}");
        assert!(
            findings[2].what.contains("an append and its sync"),
            "{findings:?}"
        );
        let left = std::fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn what_takes_too_long_or_no_time_at_all_is_a_warning() {
        let grade = |time| judge(Path::new("/x"), vec![time; 3]).grade;
        assert_eq!(grade(Duration::from_millis(2)), Grade::Ok);
        assert_eq!(grade(Duration::from_millis(80)), Grade::Warning);
        assert_eq!(grade(Duration::from_nanos(300)), Grade::Warning);
    }
}
