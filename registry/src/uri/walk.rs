//! The one name of a place: links followed, `..` resolved after them, as the system would. And the walk that
//! looks at nothing but what somebody over HTTP may know of.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{GraphUri, UriError, is_inside, local_path, remote_place};
use crate::environment;

/// How many links one location may pass through before it is taken for a loop.
const MAX_LINKS: usize = 40;

/// The one name of a place, whether it exists or not: links of the existing part are followed, the
/// rest is taken as written. `..` is resolved after links, as the system would.
pub fn canonical(path: &Path) -> Result<PathBuf, UriError> {
    walk(path, &mut |_| true)
}

/// The folders where a location given over HTTP may point, and the ways to them. Of every other place
/// nothing is told, so that no place but these is even looked at.
#[derive(Debug)]
pub struct Roots {
    /// Canonical, or places in object stores.
    folders: Vec<PathBuf>,
    /// What lies on the way to them and to the folder that relative paths start from.
    ways: HashSet<PathBuf>,
}

impl Roots {
    /// The roots as they are written, taken from `folder`, which is canonical.
    pub fn new<'a>(
        written: impl IntoIterator<Item = &'a String>,
        folder: &Path,
    ) -> Result<Self, UriError> {
        let mut ways = HashSet::new();
        let mut note = |place: &Path| {
            ways.insert(place.to_owned());
            true
        };
        let mut folders = Vec::new();
        walk(folder, &mut note)?;
        for written in written {
            let expanded = environment::expand(written)?;
            folders.push(match remote_place(&expanded)? {
                Some(place) => place,
                None => walk(&folder.join(expanded.as_ref()), &mut note)?,
            });
        }
        Ok(Self { folders, ways })
    }

    /// Whether a canonical place lies below (not at) one of them.
    #[must_use]
    pub fn hold(&self, canonical: &Path) -> bool {
        is_inside(canonical, &self.folders)
    }

    /// The canonical form of a path that was given over HTTP. One that leads outside, or that passes
    /// outside on its way, is [`UriError::OutsideRoots`], whatever is there.
    pub fn canonical(&self, written: &str, path: &Path) -> Result<PathBuf, UriError> {
        let outside = || UriError::OutsideRoots {
            written: written.to_owned(),
        };
        let mut may_be_known = |place: &Path| {
            self.ways.contains(place) || self.folders.iter().any(|folder| place.starts_with(folder))
        };
        match walk(path, &mut may_be_known) {
            Ok(canonical) if self.hold(&canonical) => Ok(canonical),
            Err(error) if error.place().is_some_and(|place| self.hold(place)) => Err(error),
            Ok(_) | Err(_) => Err(outside()),
        }
    }
}

impl GraphUri {
    /// Reads a location that was given over HTTP; a relative one is taken from `folder`, the config file's
    /// own.
    pub fn within(written: &str, folder: &Path, roots: &Roots) -> Result<Self, UriError> {
        if environment::is_in(written) {
            return Err(UriError::NamesVariable);
        }
        if remote_place(written)?.is_some() {
            let uri = Self::parse(written, folder)?;
            return match roots.hold(&uri.canonical) {
                true => Ok(uri),
                false => Err(UriError::OutsideRoots {
                    written: uri.written,
                }),
            };
        }
        let path = folder.join(local_path(written)?);
        Ok(Self {
            written: written.to_owned(),
            canonical: roots.canonical(written, &path)?,
        })
    }
}

/// `may_look` is asked before each look at a place; without its word, the walk ends as one that leads
/// outside.
fn walk(path: &Path, may_look: &mut dyn FnMut(&Path) -> bool) -> Result<PathBuf, UriError> {
    let absolute = std::path::absolute(path).map_err(|source| UriError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mut links = MAX_LINKS;
    follow(PathBuf::from("/"), &absolute, &mut links, may_look)
}

fn follow(
    mut real: PathBuf,
    path: &Path,
    links: &mut usize,
    may_look: &mut dyn FnMut(&Path) -> bool,
) -> Result<PathBuf, UriError> {
    for component in path.components() {
        match component {
            Component::RootDir => real = PathBuf::from("/"),
            Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                real.pop();
            }
            Component::Normal(name) => {
                let next = real.join(name);
                if !may_look(&next) {
                    let written = path.display().to_string();
                    return Err(UriError::OutsideRoots { written });
                }
                match fs::symlink_metadata(&next) {
                    Ok(found) if found.is_symlink() => {
                        *links = links
                            .checked_sub(1)
                            .ok_or_else(|| UriError::BrokenLink { path: next.clone() })?;
                        let target = fs::read_link(&next).map_err(|source| UriError::Io {
                            path: next.clone(),
                            source,
                        })?;
                        real = follow(real, &target, links, may_look)?;
                    }
                    Ok(_) => real = next,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => real = next,
                    Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                        return Err(UriError::NotAFolder { path: real });
                    }
                    Err(source) => return Err(UriError::Io { path: next, source }),
                }
            }
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::os::unix::fs::symlink;

    use super::*;

    /// `data` is the root, as is `linked`, which leads to `far/graphs` by another link.
    fn place() -> (tempfile::TempDir, PathBuf, Roots) {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let base = temporary.path().canonicalize().expect("it exists");
        for folder in ["config", "data/inner", "secret/deep", "far/graphs"] {
            fs::create_dir_all(base.join(folder)).expect("created");
        }
        fs::write(base.join("secret/file"), "").expect("written");
        fs::write(base.join("data/own.cedar"), "").expect("written");
        symlink("../secret", base.join("data/escape")).expect("linked");
        symlink("hop", base.join("linked")).expect("linked");
        symlink("far/graphs", base.join("hop")).expect("linked");
        let written = ["../data", "../linked"].map(str::to_owned);
        let roots = Roots::new(&written, &base.join("config")).expect("roots");
        (temporary, base, roots)
    }

    #[test]
    fn what_lies_in_the_roots_is_found_by_every_way() {
        let (_temporary, base, roots) = place();
        let absolute = |path: &str| base.join(path).display().to_string();
        for (written, expect) in [
            ("../data/own.cedar".to_owned(), "data/own.cedar"),
            ("../data/new/graph".to_owned(), "data/new/graph"),
            ("../data/inner/../own.cedar".to_owned(), "data/own.cedar"),
            ("../config/../data/x".to_owned(), "data/x"),
            ("../linked/x".to_owned(), "far/graphs/x"),
            (absolute("data/x"), "data/x"),
            (absolute("linked/x"), "far/graphs/x"),
            (absolute("far/graphs/x"), "far/graphs/x"),
        ] {
            let path = base.join("config").join(&written);
            let found = roots.canonical(&written, &path).expect(&written);
            assert_eq!(found, base.join(expect), "{written}");
        }
    }

    /// Whether a place outside is there, and what it is, changes nothing: not even by a way that leads
    /// back into a root.
    #[test]
    fn of_places_outside_nothing_is_told() {
        let (_temporary, base, roots) = place();
        let cases = [
            "/etc/passwd",
            "/etc/none",
            "/etc/passwd/x/../../../{data}/own.cedar",
            "/etc/none/x/../../../{data}/own.cedar",
            "../secret/file",
            "../secret/none",
            "../secret/file/../../data/own.cedar",
            "../secret/file/x/../../../data/own.cedar",
            "../secret/none/x/../../../data/own.cedar",
            "../secret/../data/own.cedar",
            "../data/escape/file",
            "../data/escape/none",
            "../data/escape/file/x",
            "../data/escape/../data/own.cedar",
            "../data/escape/deep/../../data/own.cedar",
            "../data",
            "../config/trellis.yaml",
            "/",
        ];
        let data = base.join("data").display().to_string();
        for written in cases.map(|case| case.replace("/{data}", &data)) {
            let path = base.join("config").join(&written);
            match roots.canonical(&written, &path) {
                Err(UriError::OutsideRoots { written: told }) => assert_eq!(told, written),
                other => panic!("{written}: {other:?}"),
            }
        }
    }

    #[test]
    fn nothing_outside_is_looked_at() {
        let (_temporary, base, roots) = place();
        let looked = RefCell::new(Vec::new());
        for written in ["../secret/file/x", "/etc/passwd", "../data/escape/file"] {
            let _ = walk(&base.join("config").join(written), &mut |place| {
                let may = roots.ways.contains(place) || place.starts_with(base.join("data"));
                if may {
                    looked.borrow_mut().push(place.to_owned());
                }
                may
            });
        }
        let looked = looked.into_inner();
        assert!(
            looked.iter().all(|place| !place.ends_with("file")),
            "{looked:?}"
        );
        assert!(
            looked.iter().all(|place| !place.starts_with("/etc")),
            "{looked:?}"
        );
    }
}
