//! Where a graph or a policy file that was named over HTTP may be, and what a graph may be called.

use std::collections::BTreeMap;
use std::fs;

use crate::deleted::{self, Deleted};
use crate::intent::{self, Found};
use crate::policy_file::read_policy;
use crate::registration::{self, Snapshot};
use crate::registry::Registry;
use crate::uri::{self, GraphUri, Roots, UriError};
use crate::{Error, GraphId};

/// What is said of every policy file outside, whatever is there.
const OUTSIDE: &str = "is outside the folders that server.allow_roots names";

/// The most labels of a graph: all are in the file, and in every decision about the graph.
const MAX_LABELS: usize = 64;
/// The longest tenant, label or label value, in bytes.
const MAX_TEXT: usize = 256;

/// Refuses a tenant or a label that cannot be kept in the file, and more than there is room for.
pub(crate) fn check_texts<'a>(
    tenant: impl Iterator<Item = &'a String>,
    labels: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> Result<(), Error> {
    let labels: Vec<_> = labels.collect();
    if labels.iter().any(|labels| labels.len() > MAX_LABELS) {
        return Err(Error::TooManyLabels { most: MAX_LABELS });
    }
    let labels = labels
        .into_iter()
        .flatten()
        .flat_map(|(name, value)| [("label", name), ("label value", value)]);
    for (field, text) in tenant.map(|tenant| ("tenant", tenant)).chain(labels) {
        let empty = text.trim().is_empty() && field != "label value";
        // `<<` as a key would be taken for YAML's merge.
        if empty || text == "<<" || text.chars().any(char::is_control) {
            return Err(Error::InvalidText { field });
        }
        if text.len() > MAX_TEXT {
            let longest = MAX_TEXT;
            return Err(Error::LongText { field, longest });
        }
    }
    Ok(())
}

impl Registry {
    /// The folders where a location given over HTTP may point.
    pub(crate) fn roots(&self, snapshot: &Snapshot) -> Result<Roots, Error> {
        let server = &snapshot.config.server;
        let written: Vec<&String> = match &server.allow_roots {
            Some(roots) => roots.iter().collect(),
            None => server.storage.iter().collect(),
        };
        Ok(Roots::new(written, self.file().folder())?)
    }

    /// Refuses a place that another graph has, registered or deleted and kept, one inside it or around it,
    /// and one that is not empty. It is to be a graph's of that id.
    pub(crate) fn check_vacant(
        &self,
        graph_id: &GraphId,
        uri: &GraphUri,
        snapshot: &Snapshot,
        kept: &[Deleted],
    ) -> Result<(), Error> {
        registration::check_unclaimed(&snapshot.graphs, uri)?;
        deleted::check_unclaimed(&self.file().state_folder(), kept, graph_id, uri)?;
        let path = uri.canonical().to_owned();
        match intent::look(&path)? {
            Found::Absent | Found::Empty => Ok(()),
            Found::Other if !uri::is_remote(&path) && !path.is_dir() => {
                Err(UriError::NotAFolder { path }.into())
            }
            Found::Graph(_) | Found::Other => Err(Error::UriNotEmpty { path }),
        }
    }

    /// A policy file given over HTTP: within the roots, a file, readable, and a sound policy. Of one
    /// that is outside nothing is told, not even whether it is there.
    pub(crate) fn check_policy_file(&self, written: &str, roots: &Roots) -> Result<(), Error> {
        let refuse = |reason| Error::InvalidPolicyFile {
            written: written.to_owned(),
            reason,
        };
        if written.trim().is_empty() || written.chars().any(char::is_control) {
            return Err(refuse("is no file name"));
        }
        let path = match roots.canonical(written, &self.file().resolve(written)) {
            Ok(path) => path,
            Err(UriError::OutsideRoots { .. }) => return Err(refuse(OUTSIDE)),
            Err(_) => return Err(refuse("cannot be found")),
        };
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(refuse("is no file")),
            Err(_) => return Err(refuse("cannot be found")),
        }
        read_policy(&path).map_err(Error::InvalidPolicy)?;
        Ok(())
    }
}
