//! Where a graph is kept: a folder, written as a path or as a `file://` uri, or a place in an object
//! store, written `s3://bucket/prefix`.
//!
//! A location has two forms: what somebody wrote, which is what the config file keeps, and the
//! canonical one, absolute and free of links, `..` and trailing slashes, which is what two
//! spellings of one folder are compared by. It knows nothing of what lies in the folder. The canonical
//! form of a place in an object store is its uri, whose parts compare as those of a path do.
//!
//! ```
//! use registry::uri::GraphUri;
//! let folder = std::path::Path::new("/srv/trellis/config");
//! let one = GraphUri::parse("../data/alpha/", folder).expect("a path");
//! let two = GraphUri::parse("file:///srv/trellis/data/x/../alpha", folder).expect("a file uri");
//! assert_eq!(one.canonical(), two.canonical());
//! ```

mod walk;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::environment::{self, VariableError};

pub use walk::{Roots, canonical};

/// The folder that the registry keeps beside the config file.
pub const STATE_FOLDER: &str = ".trellis";

/// A location as it was written and as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphUri {
    written: String,
    canonical: PathBuf,
}

/// How a folder lies to another one. As words it stands between the two: `is`, `lies inside`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are one folder.
    Same,
    /// It lies inside the other.
    Inside,
    /// The other lies inside it.
    Around,
}

impl fmt::Display for Relation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Same => "is",
            Self::Inside => "lies inside",
            Self::Around => "lies around",
        })
    }
}

/// Why a location cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UriError {
    /// Nothing, or only blanks.
    #[error("a graph's uri must not be empty")]
    Empty,
    /// A variable of the environment that has no value.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// One in a uri that was given over HTTP: what the server's environment holds is not for callers to use.
    #[error("only the config file may name environment variables")]
    NamesVariable,
    /// A control character, or a blank at either end.
    #[error("a uri must not begin or end with a blank nor contain a control character")]
    BadCharacter,
    /// A scheme other than `file` and `s3`.
    #[error(
        "the scheme {scheme}:// is not supported yet; write a path, or a uri that begins with file:/// or s3://"
    )]
    UnsupportedScheme {
        /// The scheme as written.
        scheme: String,
    },
    /// A `file:` uri that names no local absolute path.
    #[error("{reason}; a file uri looks like file:///srv/data/alpha")]
    BadFileUri {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An `s3:` uri that names no place in a bucket.
    #[error("{reason}; a uri in an object store looks like s3://bucket/graphs/alpha")]
    BadObjectUri {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something on the way is no folder, or the location itself is a file.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// What is in the way.
        path: PathBuf,
    },
    /// Links that lead to each other.
    #[error("the links on the way to {} lead nowhere or in a circle", path.display())]
    BrokenLink {
        /// Where it was noticed.
        path: PathBuf,
    },
    /// The disk would not say.
    #[error("cannot look at {}", path.display())]
    Io {
        /// What was looked at.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Outside the folders where a location given over HTTP may point.
    #[error("{written:?} is outside the folders that server.allow_roots names")]
    OutsideRoots {
        /// As written.
        written: String,
    },
    /// On, around or inside what belongs to the registry itself.
    #[error("{written:?} cannot hold a graph: it {conflict}")]
    BelongsToTheRegistry {
        /// As written.
        written: String,
        /// In which way, for instance `holds the config file`.
        conflict: &'static str,
    },
    /// No uri was given and `server.storage` is not set.
    #[error("no uri was given and server.storage is not set in the config file; give a uri")]
    NoStorage,
}

impl UriError {
    /// The place on the disk that it tells something about.
    #[must_use]
    pub fn place(&self) -> Option<&Path> {
        match self {
            Self::NotAFolder { path } | Self::BrokenLink { path } | Self::Io { path, .. } => {
                Some(path)
            }
            Self::Empty
            | Self::Variable(_)
            | Self::NamesVariable
            | Self::BadCharacter
            | Self::UnsupportedScheme { .. }
            | Self::BadFileUri { .. }
            | Self::BadObjectUri { .. }
            | Self::OutsideRoots { .. }
            | Self::BelongsToTheRegistry { .. }
            | Self::NoStorage => None,
        }
    }
}

impl GraphUri {
    /// Reads a location; a relative one is taken from `folder`, the config file's own.
    ///
    /// Looks at the disk, to follow links, but asks for nothing to exist.
    pub fn parse(written: &str, folder: &Path) -> Result<Self, UriError> {
        let expanded = environment::expand(written)?;
        let canonical = match remote_place(&expanded)? {
            Some(place) if place.components().count() > ROOT_PARTS => place,
            Some(_) => {
                let reason = "the uri names a whole bucket";
                return Err(UriError::BadObjectUri { reason });
            }
            None => canonical(&folder.join(local_path(&expanded)?))?,
        };
        Ok(Self {
            written: written.to_owned(),
            canonical,
        })
    }

    /// A location whose canonical form is known already.
    pub(crate) fn known(written: &str, canonical: &Path) -> Self {
        Self {
            written: written.to_owned(),
            canonical: canonical.to_owned(),
        }
    }

    /// As it stands in the config file, or was given over HTTP.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The folder: absolute, no links, no `..`, no trailing slash. Or `s3://bucket/prefix`.
    #[must_use]
    pub fn canonical(&self) -> &Path {
        &self.canonical
    }

    /// What went wrong at this place, as callers may read it: with the uri as it was written where the
    /// folder stands, and no value of the environment.
    #[must_use]
    pub fn told(&self, words: String) -> String {
        let folder = self.canonical.to_string_lossy();
        environment::hide(&self.written, words.replace(&*folder, &self.written))
    }

    /// Refuses the config file, its folder, whatever holds it, and the registry's own folder.
    pub fn clear_of_config(&self, config: &Path) -> Result<(), UriError> {
        let folder = crate::durable::parent(config);
        let conflict = if self.canonical == config {
            "is the config file"
        } else if self.canonical == folder {
            "is the config file's folder"
        } else if folder.starts_with(&self.canonical) {
            "holds the config file"
        } else if self.canonical.starts_with(folder.join(STATE_FOLDER)) {
            "lies in the registry's own folder, .trellis"
        } else {
            return Ok(());
        };
        Err(UriError::BelongsToTheRegistry {
            written: self.written.clone(),
            conflict,
        })
    }

    /// How this folder lies to another canonical one; `None` when neither has anything of the other.
    #[must_use]
    pub fn relation(&self, other: &Path) -> Option<Relation> {
        if self.canonical == other {
            Some(Relation::Same)
        } else if self.canonical.starts_with(other) {
            Some(Relation::Inside)
        } else if other.starts_with(&self.canonical) {
            Some(Relation::Around)
        } else {
            None
        }
    }
}

/// What of `s3://bucket` are parts of a path.
const ROOT_PARTS: usize = 2;

/// Whether a canonical place is in an object store; every other begins with a slash.
#[must_use]
pub fn is_remote(canonical: &Path) -> bool {
    canonical.starts_with("s3:")
}

/// The canonical form of `s3://bucket/prefix`; `None` for what has another scheme or none.
fn remote_place(written: &str) -> Result<Option<PathBuf>, UriError> {
    let Some((_, rest)) =
        split_scheme(written).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("s3"))
    else {
        return Ok(None);
    };
    let bad = |reason| Err(UriError::BadObjectUri { reason });
    if !storage_engine::HAS_OBJECT_STORES {
        return bad("this build of Trellis has no object stores (its feature `aws` is off)");
    }
    let rest = rest.trim_start_matches("//");
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !(3..=63).contains(&bucket.len())
        || !bucket.chars().all(sound)
        || !bucket.starts_with(ends)
        || !bucket.ends_with(ends)
    {
        return bad("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens");
    }
    let mut place = format!("s3://{bucket}");
    for part in prefix.split('/').filter(|part| !part.is_empty()) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
        if matches!(part, "." | "..") {
            return bad("a place in a bucket has neither . nor .. in it");
        }
        if !part.chars().all(plain) {
            return bad("a place in a bucket has letters, digits and - _ . = in its parts");
        }
        place.push('/');
        place.push_str(part);
    }
    Ok(Some(PathBuf::from(place)))
}

/// Whether a canonical path lies below (not at) one of the canonical `roots`.
fn is_inside(path: &Path, roots: &[PathBuf]) -> bool {
    roots
        .iter()
        .any(|root| path != root && path.starts_with(root))
}

/// The path that a location names, still relative if it was written so.
fn local_path(written: &str) -> Result<PathBuf, UriError> {
    if written.trim().is_empty() {
        return Err(UriError::Empty);
    }
    if written.trim() != written || written.chars().any(char::is_control) {
        return Err(UriError::BadCharacter);
    }
    let Some((scheme, rest)) = split_scheme(written) else {
        return Ok(PathBuf::from(written));
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(UriError::UnsupportedScheme {
            scheme: scheme.to_owned(),
        });
    }
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(UriError::BadFileUri {
            reason: "two slashes must follow file:",
        });
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !(host.is_empty() || host.eq_ignore_ascii_case("localhost")) {
        return Err(UriError::BadFileUri {
            reason: "a file uri cannot name another host",
        });
    }
    if path.is_empty() {
        return Err(UriError::BadFileUri {
            reason: "the uri names no path",
        });
    }
    if path.contains(['?', '#']) {
        return Err(UriError::BadFileUri {
            reason: "a file uri has neither query nor fragment",
        });
    }
    percent_decode(path)
}

/// Splits `s3://bucket` and `file:/x`, but not `notes:2024` or `C:x`, which are file names.
fn split_scheme(written: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = written.split_once(':')?;
    let well_formed = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let is_uri = rest.starts_with("//") || scheme.eq_ignore_ascii_case("file");
    (well_formed && is_uri).then_some((scheme, rest))
}

fn percent_decode(path: &str) -> Result<PathBuf, UriError> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut decoded = [0];
        match (rest.next(), rest.next()) {
            (Some(high), Some(low)) if hex::decode_to_slice([high, low], &mut decoded).is_ok() => {}
            _ => {
                return Err(UriError::BadFileUri {
                    reason: "% must be followed by two hex digits",
                });
            }
        }
        if decoded[0].is_ascii_control() || decoded[0] == b'/' {
            return Err(UriError::BadFileUri {
                reason: "an encoded slash or control character",
            });
        }
        bytes.push(decoded[0]);
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn spellings_of_one_folder_are_equal() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let base = temporary.path().canonicalize().expect("it exists");
        fs::create_dir_all(base.join("data/real/deep")).expect("created");
        fs::create_dir(base.join("config")).expect("created");
        symlink(base.join("data/real"), base.join("data/link")).expect("linked");
        symlink("../data/real/deep", base.join("config/far")).expect("linked");
        let config = base.join("config");
        let cases: [(String, &str); 14] = [
            ("../data/alpha".into(), "data/alpha"),
            ("../data/alpha/".into(), "data/alpha"),
            ("../data//alpha///".into(), "data/alpha"),
            ("./../data/./alpha".into(), "data/alpha"),
            ("../data/x/../alpha".into(), "data/alpha"),
            (format!("{}/data/alpha", base.display()), "data/alpha"),
            (
                format!("file://{}/data/alpha/", base.display()),
                "data/alpha",
            ),
            (
                format!("FILE://localhost{}/data/%61lpha", base.display()),
                "data/alpha",
            ),
            ("../data/link/alpha".into(), "data/real/alpha"),
            ("../data/link".into(), "data/real"),
            ("far/..".into(), "data/real"),
            ("far/../../alpha".into(), "data/alpha"),
            ("a:b".into(), "config/a:b"),
            ("missing/../../data/link/../alpha".into(), "data/alpha"),
        ];
        for (written, expect) in cases {
            let uri = GraphUri::parse(&written, &config).expect("a location");
            assert_eq!(uri.canonical(), base.join(expect), "{written}");
            assert_eq!(uri.written(), written);
        }
    }

    #[test]
    fn what_is_no_location_is_refused_with_the_reason() {
        let cases = [
            ("", "must not be empty"),
            ("  ", "must not be empty"),
            (" a", "blank"),
            ("a\nb", "control character"),
            ("a\0b", "control character"),
            ("s3://", "a bucket's name"),
            ("s3://bucket", "names a whole bucket"),
            ("s3://bucket//", "names a whole bucket"),
            ("s3://Bucket/graph", "a bucket's name"),
            ("s3://-bucket/graph", "a bucket's name"),
            ("s3://user:secret@bucket/graph", "a bucket's name"),
            ("s3://bucket/a/../graph", "neither . nor .."),
            ("s3://bucket/a b", "letters, digits"),
            ("s3://bucket/graph?versionId=1", "letters, digits"),
            ("s3://bucket/%2e%2e/graph", "letters, digits"),
            ("GS://bucket", "GS:// is not supported yet"),
            ("https://example.org/x", "https:// is not supported yet"),
            ("file:relative", "two slashes"),
            ("file://server/share", "another host"),
            ("file://", "names no path"),
            ("file:///a?b", "neither query nor fragment"),
            ("file:///a%2", "two hex digits"),
            ("file:///a%zz", "two hex digits"),
            ("file:///a%00b", "control character"),
            ("file:///a%2f..%2fetc", "encoded slash"),
            ("/etc/passwd/graph", "not a folder"),
        ];
        for (written, reason) in cases {
            let error = GraphUri::parse(written, Path::new("/srv")).expect_err(written);
            assert!(error.to_string().contains(reason), "{written:?}: {error}");
        }
    }

    #[test]
    fn places_in_object_stores_have_one_spelling_and_roots() {
        let config = Path::new("/srv/none");
        let place = |written| GraphUri::parse(written, config).expect("a place");
        for written in [
            "s3://bucket/graphs/alpha",
            "S3://bucket/graphs/alpha/",
            "s3://bucket//graphs///alpha",
        ] {
            assert_eq!(
                place(written).canonical(),
                Path::new("s3://bucket/graphs/alpha")
            );
            assert_eq!(
                place(written).canonical().to_str(),
                Some("s3://bucket/graphs/alpha")
            );
            assert_eq!(place(written).written(), written);
        }
        let roots = ["s3://bucket/graphs", "S3://other/", "data"].map(str::to_owned);
        let roots = Roots::new(&roots, config).expect("roots");
        for (written, expect) in [
            ("s3://bucket/graphs/alpha", true),
            ("s3://bucket/graphs", false),
            ("s3://bucket/graphs-two/alpha", false),
            ("s3://bucket/alpha", false),
            ("s3://other/alpha", true),
            ("s3://other-two/alpha", false),
            ("data/alpha", true),
            ("data/s3:/bucket/graphs/alpha", true),
            ("s3:/bucket/graphs/alpha", false),
        ] {
            let inside = GraphUri::within(written, config, &roots).is_ok();
            assert_eq!(inside, expect, "{written}");
        }
        let alpha = place("s3://bucket/graphs/alpha");
        assert_eq!(
            alpha.relation(Path::new("s3://bucket/graphs")),
            Some(Relation::Inside)
        );
        assert_eq!(
            alpha.relation(Path::new("s3://bucket/graphs/alpha/x")),
            Some(Relation::Around)
        );
        assert_eq!(alpha.relation(Path::new("s3://bucket/graphs/alph")), None);
    }

    #[test]
    fn a_link_that_leads_out_of_the_roots_is_outside() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let base = temporary.path().canonicalize().expect("it exists");
        fs::create_dir(base.join("data")).expect("created");
        fs::create_dir(base.join("elsewhere")).expect("created");
        symlink(base.join("elsewhere"), base.join("data/escape")).expect("linked");
        symlink("/nowhere/at-all", base.join("data/dangling")).expect("linked");
        symlink("loop-b", base.join("data/loop-a")).expect("linked");
        symlink("loop-a", base.join("data/loop-b")).expect("linked");
        let roots = Roots::new(&["data".to_owned()], &base).expect("roots");
        let cases = [
            ("data/alpha", true),
            ("data/deep/er/alpha", true),
            ("data", false),
            ("data/", false),
            ("data/..", false),
            ("data/escape", false),
            ("data/escape/alpha", false),
            ("data/dangling", false),
            ("data/../elsewhere/x", false),
            ("data-two/alpha", false),
            ("/etc", false),
        ];
        for (written, expect) in cases {
            GraphUri::parse(written, &base).expect("a location");
            let inside = GraphUri::within(written, &base, &roots).is_ok();
            assert_eq!(inside, expect, "{written}");
        }
        let looped = GraphUri::parse("data/loop-a/x", &base).expect_err("a loop");
        assert!(matches!(looped, UriError::BrokenLink { .. }), "{looped}");
    }

    #[test]
    fn the_registrys_own_places_are_refused() {
        let config = Path::new("/srv/none/config/trellis.yaml");
        let folder = Path::new("/srv/none/config");
        let cases = [
            ("trellis.yaml", Some("is the config file")),
            (".", Some("is the config file's folder")),
            ("..", Some("holds the config file")),
            ("/", Some("holds the config file")),
            (".trellis", Some("registry's own folder")),
            (".trellis/intents/x", Some("registry's own folder")),
            ("data", None),
            ("../data", None),
            (".trellis-data", None),
        ];
        for (written, expect) in cases {
            let uri = GraphUri::parse(written, folder).expect("a location");
            let found = uri
                .clear_of_config(config)
                .err()
                .map(|error| error.to_string());
            match (expect, found) {
                (None, None) => {}
                (Some(reason), Some(message)) => assert!(message.contains(reason), "{message}"),
                (expect, found) => panic!("{written}: expected {expect:?}, found {found:?}"),
            }
        }
        let uri = GraphUri::parse("/srv/none/data/alpha", folder).expect("a location");
        assert_eq!(
            uri.relation(Path::new("/srv/none/data")),
            Some(Relation::Inside)
        );
        assert_eq!(
            uri.relation(Path::new("/srv/none/data/alpha/x")),
            Some(Relation::Around)
        );
        assert_eq!(
            uri.relation(Path::new("/srv/none/data/alpha")),
            Some(Relation::Same)
        );
        assert_eq!(uri.relation(Path::new("/srv/none/data/alph")), None);
    }
}
