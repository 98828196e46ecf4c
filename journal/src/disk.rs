//! The only place that changes a disk. Every effect passes through [`Disk`], and what is read is asked
//! for there, where a test may watch it or make it fail ([`Faults`]); in production there is nobody to ask.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;

/// One change to the disk, about to be made or just made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A new, empty file.
    Create {
        /// Its path.
        path: &'a Path,
    },
    /// Bytes put into a file, not yet durable.
    Write {
        /// The file.
        path: &'a Path,
        /// Where the bytes go.
        offset: u64,
        /// How many they are.
        bytes: usize,
    },
    /// A file's bytes made durable.
    SyncFile {
        /// The file.
        path: &'a Path,
    },
    /// A file renamed, over another of that name if there is one; not yet durable.
    Rename {
        /// The old path.
        from: &'a Path,
        /// The new path.
        to: &'a Path,
    },
    /// A folder's names made durable.
    SyncFolder {
        /// The folder.
        path: &'a Path,
    },
    /// A file shortened; not yet durable.
    Cut {
        /// The file.
        path: &'a Path,
        /// Its new length.
        bytes: u64,
    },
    /// A file removed; not yet durable.
    Remove {
        /// Its path.
        path: &'a Path,
    },
}

/// What shall become of an effect.
#[derive(Debug)]
pub enum Verdict {
    /// It is made.
    Proceed,
    /// It is not made, and the operating system is said to have returned this error.
    Fail(io::Error),
    /// Only so many bytes of a write are made. Other effects proceed.
    Short(usize),
}

/// The seam for tests: is asked before each effect and told after it. Effects are real; a fault can
/// only leave one out or shorten it.
pub trait Faults: fmt::Debug + Send + Sync {
    /// Whether a file, or the names in a folder, can be read: what the operating system is said to
    /// have returned.
    fn read(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }

    /// What shall become of the effect.
    fn before(&self, effect: &Effect<'_>) -> Verdict;
    /// The effect was made, as it stands on disk.
    fn after(&self, effect: &Effect<'_>);
}

/// The disk, as a writer sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) faults: Option<Arc<dyn Faults>>,
}

/// A journal's folder, for those who read it. Tests may watch what is read there.
#[derive(Debug, Clone)]
pub struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) disk: Disk,
}

impl Folder {
    /// A folder that `faults` watches.
    pub fn watched(path: &Path, faults: Option<Arc<dyn Faults>>) -> Folder {
        Folder {
            path: path.to_owned(),
            disk: Disk { faults },
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Folder {
    fn from(path: &P) -> Folder {
        Folder::watched(path.as_ref(), None)
    }
}

/// A file that this process made or cuts.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    path: PathBuf,
}

impl Disk {
    /// A new file; an error when there is one of that name.
    pub(crate) fn create(&self, path: &Path) -> Result<DiskFile, Error> {
        let file = self.make("create", Effect::Create { path }, || {
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)
        })?;
        Ok(DiskFile {
            file,
            path: path.to_owned(),
        })
    }

    /// One write, which must take all the bytes.
    pub(crate) fn write(&self, to: &DiskFile, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let effect = |bytes| Effect::Write {
            path: &to.path,
            offset,
            bytes,
        };
        let error = |source| Error::Io {
            action: "write",
            path: to.path.clone(),
            source,
        };
        let taken = match self.ask(&effect(bytes.len())) {
            Verdict::Proceed => bytes.len(),
            Verdict::Short(most) => most.min(bytes.len()),
            Verdict::Fail(source) => return Err(error(source)),
        };
        let written = to.file.write_at(&bytes[..taken], offset).map_err(error)?;
        self.tell(&effect(written));
        if written < bytes.len() {
            let message = format!("only {written} of {} bytes were taken", bytes.len());
            return Err(error(io::Error::new(io::ErrorKind::WriteZero, message)));
        }
        Ok(())
    }

    /// `fdatasync`.
    pub(crate) fn sync(&self, file: &DiskFile) -> Result<(), Error> {
        self.make("sync", Effect::SyncFile { path: &file.path }, || {
            file.file.sync_data()
        })
    }

    /// Renames the file, over another one if there is one.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that renames: callers sync the file before and the folder after"
    )]
    pub(crate) fn rename(&self, file: &mut DiskFile, to: &Path) -> Result<(), Error> {
        let from = file.path.clone();
        self.make("rename", Effect::Rename { from: &from, to }, || {
            fs::rename(&from, to)
        })?;
        file.path = to.to_owned();
        Ok(())
    }

    /// `fsync` of a folder.
    pub(crate) fn sync_folder(&self, folder: &Path) -> Result<(), Error> {
        self.make(
            "sync the folder",
            Effect::SyncFolder { path: folder },
            || File::open(folder)?.sync_all(),
        )
    }

    /// Shortens a file, durably.
    pub(crate) fn cut(&self, path: &Path, bytes: u64) -> Result<(), Error> {
        let file = self.make("cut", Effect::Cut { path, bytes }, || {
            let file = File::options().write(true).open(path)?;
            file.set_len(bytes)?;
            Ok(file)
        })?;
        self.sync(&DiskFile {
            file,
            path: path.to_owned(),
        })
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Error> {
        self.make("remove", Effect::Remove { path }, || fs::remove_file(path))
    }

    fn make<T>(
        &self,
        action: &'static str,
        effect: Effect<'_>,
        real: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, Error> {
        let result = match self.ask(&effect) {
            Verdict::Fail(source) => Err(source),
            Verdict::Proceed | Verdict::Short(_) => real(),
        };
        let (Effect::Create { path }
        | Effect::Write { path, .. }
        | Effect::SyncFile { path }
        | Effect::Rename { from: path, .. }
        | Effect::SyncFolder { path }
        | Effect::Cut { path, .. }
        | Effect::Remove { path }) = effect;
        let value = result.map_err(|source| Error::Io {
            action,
            path: path.to_owned(),
            source,
        })?;
        self.tell(&effect);
        Ok(value)
    }

    /// To be called before a file or the names in a folder are read.
    pub(crate) fn reads(&self, path: &Path) -> io::Result<()> {
        self.faults
            .as_ref()
            .map_or(Ok(()), |faults| faults.read(path))
    }

    fn ask(&self, effect: &Effect<'_>) -> Verdict {
        self.faults
            .as_ref()
            .map_or(Verdict::Proceed, |faults| faults.before(effect))
    }

    fn tell(&self, effect: &Effect<'_>) {
        if let Some(faults) = &self.faults {
            faults.after(effect);
        }
    }
}
