//! The graphs that the config file declares, each with its place settled. Whether a graph is open,
//! and its handle, are no concern of a registration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, ConfigFile, GraphEntry};
use crate::uri::{GraphUri, UriError};
use crate::{Digest, GraphId};

/// One declared graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its id, in the case the file has it.
    pub graph_id: GraphId,
    /// What the file says of it.
    pub entry: GraphEntry,
    /// Where it is kept, as written and canonical.
    pub uri: GraphUri,
    /// Its own policy file, from the config's folder.
    pub policy_file: Option<PathBuf>,
    /// Its place among the graphs of the file, from 0.
    pub position: usize,
}

/// Graphs by id.
pub type Graphs = BTreeMap<GraphId, Arc<Registration>>;

/// One version of the config file as the server serves it: an immutable value.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The digest of the file's bytes.
    pub digest: Digest,
    /// The file's sections; its `graphs` are empty, for they are in [`Snapshot::graphs`].
    pub config: Arc<Config>,
    /// The declared graphs by id.
    pub graphs: Graphs,
}

impl Snapshot {
    /// The graphs in order of id, those after `after` when it is given.
    pub fn list(&self, after: Option<&GraphId>) -> impl Iterator<Item = &Arc<Registration>> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.graphs
            .range::<GraphId, _>((from, Bound::Unbounded))
            .map(|(_, graph)| graph)
    }
}

impl Registration {
    /// A graph of the file with its place.
    pub(crate) fn new(
        file: &ConfigFile,
        graph_id: GraphId,
        entry: GraphEntry,
        uri: GraphUri,
        position: usize,
    ) -> Self {
        let policy_file = entry
            .policy
            .as_ref()
            .map(|policy| file.resolve(&policy.file));
        Self {
            graph_id,
            entry,
            uri,
            policy_file,
            position,
        }
    }
}

/// Problems as (path, message).
type Findings = Vec<(Vec<String>, String)>;

/// Settles the place of every graph. `known` spares following links again for graphs that have not
/// moved. The error holds every graph whose place cannot be used.
pub(crate) fn register(
    file: &ConfigFile,
    graphs: Vec<(GraphId, GraphEntry)>,
    known: &Graphs,
) -> Result<Graphs, Findings> {
    let mut findings = Findings::new();
    let mut registered = Graphs::new();
    let mut places: BTreeMap<PathBuf, GraphId> = BTreeMap::new();
    for (position, (graph_id, entry)) in graphs.into_iter().enumerate() {
        let path = || vec!["graphs".to_owned(), graph_id.to_string(), "uri".to_owned()];
        let uri = match known.get(&graph_id) {
            Some(known) if known.entry.uri == entry.uri => {
                Ok(GraphUri::known(&entry.uri, known.uri.canonical()))
            }
            _ => GraphUri::parse(&entry.uri, file.folder()),
        };
        let uri = match uri.and_then(|uri| uri.clear_of_config(file.path()).map(|()| uri)) {
            Ok(uri) => uri,
            Err(error) => {
                findings.push((path(), with_causes(&error)));
                continue;
            }
        };
        if let Some(first) = places.get(uri.canonical()) {
            findings.push((
                path(),
                format!("the graph {:?} has the same folder", first.as_str()),
            ));
            continue;
        }
        places.insert(uri.canonical().to_owned(), graph_id.clone());
        let registration = Registration::new(file, graph_id.clone(), entry, uri, position);
        registered.insert(graph_id, Arc::new(registration));
    }
    for (folder, graph_id) in &places {
        if let Some(outer) = folder
            .ancestors()
            .skip(1)
            .find_map(|above| places.get(above))
        {
            findings.push((
                vec!["graphs".to_owned(), graph_id.to_string(), "uri".to_owned()],
                format!("lies inside the folder of the graph {:?}", outer.as_str()),
            ));
        }
    }
    if findings.is_empty() {
        Ok(registered)
    } else {
        Err(findings)
    }
}

fn with_causes(error: &UriError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The graph that has this very folder.
pub(crate) fn occupant<'a>(graphs: &'a Graphs, folder: &Path) -> Option<&'a Registration> {
    graphs
        .values()
        .map(Arc::as_ref)
        .find(|graph| graph.uri.canonical() == folder)
}

/// A graph whose folder lies inside this one or around it, and which of the two this one is.
pub(crate) fn neighbour<'a>(
    graphs: &'a Graphs,
    uri: &GraphUri,
) -> Option<(&'static str, &'a Registration)> {
    graphs.values().find_map(|graph| {
        uri.overlap(graph.uri.canonical())
            .map(|relation| (relation, graph.as_ref()))
    })
}
