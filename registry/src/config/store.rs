//! The config file on the disk: read once, hashed as read, replaced whole.
//!
//! A file that two servers may reach by different links has one identity here, the real one: its
//! folder is what relative paths start from and what `.trellis/` lies in, so that both servers take
//! the same lock and mean the same folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::model::GraphEntry;
use crate::durable::{self, DiskError, Naming, Replacement};
use crate::registration::Placed;
use crate::uri::{GraphUri, STATE_FOLDER, is_remote};
use crate::{Digest, Error, GraphId};

const LAST_WRITE: &str = "last-write";

/// The operator's file and the folders that follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    given: PathBuf,
    path: PathBuf,
    folder: PathBuf,
    single: Option<Single>,
}

/// The one graph of a server that has no others, in place of those of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Single {
    only: Placed,
    /// In place of a file that there is not.
    text: Option<String>,
}

/// What the graph of a server of one graph is called when its folder's name cannot be an id.
const THE_GRAPH: &str = "graph";

/// The bytes of one reading, as text, and their digest.
#[derive(Debug, Clone)]
pub struct ConfigText {
    /// The whole file.
    pub text: String,
    /// SHA-256 of those very bytes.
    pub digest: Digest,
}

/// How the file on the disk stands to the version this server last read or wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// The very same bytes.
    Same,
    /// Another process of ours wrote it through the API: it may be taken over.
    AdoptedFromPeer,
    /// Somebody else changed it: nothing may be changed before a reload.
    Drifted,
}

/// Compares the file's digest with the baseline and with those that API writers recorded.
#[must_use]
pub fn drift(on_disk: Digest, baseline: Digest, recorded: &[Digest]) -> Drift {
    if on_disk == baseline {
        Drift::Same
    } else if recorded.contains(&on_disk) {
        Drift::AdoptedFromPeer
    } else {
        Drift::Drifted
    }
}

/// A graph that is named by its place alone.
fn placed(written: String, uri: GraphUri) -> Placed {
    let name = uri
        .canonical()
        .file_name()
        .and_then(std::ffi::OsStr::to_str);
    let named = name.and_then(|name| GraphId::parse(name).ok());
    let graph_id = match named {
        Some(graph_id) => graph_id,
        None => GraphId::parse(THE_GRAPH).expect("a constant that is an id"),
    };
    let entry = GraphEntry {
        uri: written,
        ..GraphEntry::default()
    };
    (graph_id, entry, uri)
}

#[derive(Serialize, Deserialize)]
struct LastWrite {
    digest: Digest,
    process: u32,
}

impl ConfigFile {
    /// Finds the file; it must exist. Links are followed once and for all.
    pub fn find(path: &Path) -> Result<Self, DiskError> {
        let given = std::path::absolute(path).naming("find", path)?;
        let real = fs::canonicalize(&given).naming("find the config file", path)?;
        if !real.is_file() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
            return Err(DiskError {
                action: "read the config file",
                path: path.to_owned(),
                source,
            });
        }
        let folder = durable::parent(&real).to_owned();
        Ok(Self {
            given,
            path: real,
            folder,
            single: None,
        })
    }

    /// A server of one graph: the file's sections with this of its graphs alone, or nothing but defaults
    /// when there is no file. A relative uri starts from the folder of the file, or from the working folder;
    /// the place that it leads to now is the graph's, whatever links become.
    pub fn single(uri: &str, config: Option<&Path>) -> Result<Self, Error> {
        if let Some(config) = config {
            let found = Self::find(config)?;
            let place = GraphUri::parse(uri, found.folder())?;
            place.clear_of_config(found.path())?;
            let only = placed(uri.to_owned(), place);
            let single = Some(Single { only, text: None });
            return Ok(Self { single, ..found });
        }
        let here = std::path::absolute(".").naming("find", Path::new("."))?;
        let place = GraphUri::parse(uri, &here)?;
        let folder = match is_remote(place.canonical()) {
            true => here,
            false => durable::parent(place.canonical()).to_owned(),
        };
        let path = folder.join("trellis.yaml");
        let only = placed(place.canonical().display().to_string(), place);
        let text = Some("version: 1\n".to_owned());
        Ok(Self {
            given: path.clone(),
            path,
            folder,
            single: Some(Single { only, text }),
        })
    }

    /// The one graph of a server of one, as long as the file says nothing of it.
    pub(crate) fn only_graph(&self) -> Option<&Placed> {
        Some(&self.single.as_ref()?.only)
    }

    /// Whether there is a file that others read and change too.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        self.single
            .as_ref()
            .is_none_or(|single| single.text.is_none())
    }

    /// Whether the file is another server's, of which this one serves one graph: its graphs, and what is
    /// known of those that were deleted, are not for this one to change.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.single.is_some() && self.is_on_disk()
    }

    /// The real file, links followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The real file's folder: where its relative paths start.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The registry's own folder beside the file: `.trellis`.
    #[must_use]
    pub fn state_folder(&self) -> PathBuf {
        self.folder.join(STATE_FOLDER)
    }

    /// A path written in the file (or given over HTTP), from the file's folder.
    #[must_use]
    pub fn resolve(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    /// Reads the file once. Not UTF-8 is an error of kind `InvalidData`.
    pub fn read(&self) -> Result<ConfigText, DiskError> {
        if let Some(text) = self.single.as_ref().and_then(|single| single.text.clone()) {
            let digest = Digest::of(text.as_bytes());
            return Ok(ConfigText { text, digest });
        }
        let real = fs::canonicalize(&self.given).naming("find the config file", &self.given)?;
        if real != self.path {
            let source = io::Error::other(format!(
                "the link now leads to {}, not to {}; restart the server",
                real.display(),
                self.path.display()
            ));
            return Err(DiskError {
                action: "read",
                path: self.given.clone(),
                source,
            });
        }
        let bytes = fs::read(&self.path).naming("read", &self.path)?;
        let digest = Digest::of(&bytes);
        let text = String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
            .naming("read as UTF-8", &self.path)?;
        Ok(ConfigText { text, digest })
    }

    /// Puts the new text on the disk beside the file, ready to take its name.
    pub(crate) fn prepare(&self, text: &str) -> Result<Replacement, DiskError> {
        Replacement::prepare(&self.path, text.as_bytes())
    }

    /// The digest that the last API writer recorded. One that cannot be read counts as none: the
    /// worst that follows is drift, which an operator cures with a reload.
    pub fn last_write(&self) -> Option<Digest> {
        let bytes = fs::read(self.state_folder().join(LAST_WRITE)).ok()?;
        let last: LastWrite = serde_json::from_slice(&bytes).ok()?;
        Some(last.digest)
    }

    /// Records, durably, that an API writer put this version on the disk.
    pub(crate) fn record_write(&self, digest: Digest) -> Result<(), DiskError> {
        let last = LastWrite {
            digest,
            process: std::process::id(),
        };
        let path = self.state_folder().join(LAST_WRITE);
        let bytes = serde_json::to_vec(&last)
            .map_err(io::Error::from)
            .naming("encode", &path)?;
        durable::write(&path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn drift_is_what_no_writer_of_ours_made() {
        let [one, two, three] = [b"1", b"2", b"3"].map(|bytes| Digest::of(bytes));
        let cases = [
            (one, one, vec![], Drift::Same),
            (one, one, vec![two], Drift::Same),
            (two, one, vec![two], Drift::AdoptedFromPeer),
            (two, one, vec![three, two], Drift::AdoptedFromPeer),
            (two, one, vec![], Drift::Drifted),
            (two, one, vec![one, three], Drift::Drifted),
        ];
        for (on_disk, baseline, recorded, expect) in cases {
            assert_eq!(drift(on_disk, baseline, &recorded), expect);
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let real = folder.path().join("real");
        fs::create_dir(&real).expect("created");
        fs::write(real.join("trellis.yaml"), "version: 1\n").expect("written");
        let link = folder.path().join("link.yaml");
        symlink("real/trellis.yaml", &link).expect("linked");
        for mode in [0o600, 0o640, 0o664] {
            fs::set_permissions(real.join("trellis.yaml"), fs::Permissions::from_mode(mode))
                .expect("set");
            let file = ConfigFile::find(&link).expect("found");
            file.prepare(&format!("version: 1 # {mode}\n"))
                .expect("prepared")
                .rename()
                .expect("renamed");
            assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
            let found = fs::metadata(real.join("trellis.yaml")).expect("there");
            assert_eq!(found.permissions().mode() & 0o7777, mode);
            assert_eq!(
                file.read().expect("read").text,
                format!("version: 1 # {mode}\n")
            );
            assert_eq!(
                fs::read_dir(&real).expect("listed").count(),
                1,
                "no temporary file stays"
            );
        }
        let file = ConfigFile::find(&link).expect("found");
        assert_eq!(file.folder(), real.canonicalize().expect("there"));
        fs::set_permissions(real.join("trellis.yaml"), fs::Permissions::from_mode(0o444))
            .expect("set");
        let error = file.prepare("version: 1\n").expect_err("read-only");
        assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
    }
}
