//! The graphs that the config file declares, each with its place settled. Whether a graph is open,
//! and its handle, are no concern of a registration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{GraphPolicy, GraphRef, PolicyDocument, PolicySource};
use uuid::Uuid;

use crate::config::store::ConfigText;
use crate::config::{Config, ConfigFile, Finding, GraphEntry};
use crate::environment;
use crate::intent::{self, Found};
use crate::policy_file::read_policy;
use crate::reading::Reading;
use crate::refusal::with_causes;
use crate::uri::{GraphUri, Relation};
use crate::{Digest, Error, GraphId};

/// The own policy of a graph whose policy file cannot be used: a forbid wins over every permit.
const CLOSED: &str = "@id(\"unreadable-policy\") forbid (principal, action, resource);";

/// The fewest policy files that are worth a thread.
const MIN_SHARE: usize = 8;

/// One declared graph.
#[derive(Debug)]
pub struct Registration {
    /// Its id, in the case the file has it.
    pub graph_id: GraphId,
    /// What the file says of it.
    pub entry: GraphEntry,
    /// Where it is kept, as written and canonical.
    pub uri: GraphUri,
    /// Its own policy file, from the config's folder.
    pub policy_file: Option<PathBuf>,
    reference: GraphRef,
    broken_policy: Option<String>,
}

/// As the file has it; what its policy file held when it was read makes no difference.
impl PartialEq for Registration {
    fn eq(&self, other: &Self) -> bool {
        self.says(&other.graph_id, &other.entry, &other.uri)
    }
}

impl Eq for Registration {}

/// A graph's own policy, as its file was read.
#[derive(Debug, Clone, Default)]
struct OwnPolicy {
    policy: Option<Arc<GraphPolicy>>,
    /// Why it cannot be used, without a word of what is in the file.
    broken: Option<String>,
}

impl OwnPolicy {
    fn read(path: &Path) -> Self {
        match read_policy(path) {
            Ok(document) => Self {
                policy: Some(GraphPolicy::new(document)),
                broken: None,
            },
            Err(error) => {
                let causes = with_causes(&error);
                let path = path.display();
                tracing::error!(%path, error = causes, "graphs are closed: their policy cannot be used");
                Self {
                    policy: Some(closed()),
                    broken: Some(error.summary()),
                }
            }
        }
    }
}

/// Graphs by id.
pub type Graphs = BTreeMap<GraphId, Arc<Registration>>;

/// One version of the config file as the server serves it: an immutable value.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The digest of the file's bytes.
    pub digest: Digest,
    /// The file itself.
    pub text: Arc<str>,
    /// The file's sections; its `graphs` are empty, for they are in [`Snapshot::graphs`].
    pub config: Arc<Config>,
    /// The declared graphs by id.
    pub graphs: Graphs,
}

impl Snapshot {
    /// The version that one reading of the file would be served as. Changes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with every problem.
    pub fn of(file: &ConfigFile, read: &ConfigText) -> Result<Self, Error> {
        Reading::of(file, read).into_snapshot()
    }

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
    /// A graph of the file with its place; its policy file is read.
    pub(crate) fn new(
        file: &ConfigFile,
        graph_id: GraphId,
        entry: GraphEntry,
        uri: GraphUri,
    ) -> Self {
        let path = policy_file(file, &entry);
        let own = path.as_deref().map(OwnPolicy::read).unwrap_or_default();
        Self::with(graph_id, entry, uri, path, own)
    }

    fn with(
        graph_id: GraphId,
        entry: GraphEntry,
        uri: GraphUri,
        policy_file: Option<PathBuf>,
        own: OwnPolicy,
    ) -> Self {
        let GraphEntry { tenant, labels, .. } = &entry;
        let (name, tenant, labels) = (graph_id.as_str(), tenant.clone(), labels.clone());
        Self {
            reference: GraphRef::new(name, tenant, labels, own.policy),
            broken_policy: own.broken,
            graph_id,
            entry,
            uri,
            policy_file,
        }
    }

    fn says(&self, graph_id: &GraphId, entry: &GraphEntry, uri: &GraphUri) -> bool {
        self.graph_id.as_str() == graph_id.as_str() && (&self.entry, &self.uri) == (entry, uri)
    }

    /// The version of the registration: another one when anything in it is another, or when it is that of
    /// another graph, and the same in every process. 16 hexadecimal digits. Looks into the graph's folder;
    /// where that does not say which graph it is, that is a version too.
    #[must_use]
    pub fn version(&self) -> String {
        self.version_of(match intent::look(self.uri.canonical()) {
            Ok(Found::Graph(uuid)) => Some(uuid),
            _ => None,
        })
    }

    /// Its version when the graph in its folder is that one.
    pub(crate) fn version_of(&self, graph: Option<Uuid>) -> String {
        let said = serde_json::to_vec(&(&self.graph_id, &self.entry, graph)).unwrap_or_default();
        let mut digest = Digest::of(&said).to_string();
        digest.truncate(16);
        digest
    }

    /// As policies see it: an opaque reference, which opens nothing; only a permit does. A graph whose
    /// own policy cannot be used is closed to everybody, for that policy might forbid what the
    /// server's permits.
    #[must_use]
    pub fn reference(&self) -> &GraphRef {
        &self.reference
    }

    /// Why its own policy cannot be used, without a word of what is in the file.
    #[must_use]
    pub fn broken_policy(&self) -> Option<&str> {
        self.broken_policy.as_deref()
    }
}

/// From the config's folder.
fn policy_file(file: &ConfigFile, entry: &GraphEntry) -> Option<PathBuf> {
    let policy = entry.policy.as_ref()?;
    Some(file.resolve(&policy.file))
}

/// Reads each file once, however many graphs have it, on as many threads as there are processors: each
/// is checked against the Cedar schema, which takes its time.
fn read_policies(paths: BTreeSet<PathBuf>) -> HashMap<PathBuf, OwnPolicy> {
    let paths: Vec<PathBuf> = paths.into_iter().collect();
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = paths.len().div_ceil(threads).max(MIN_SHARE);
    let read = |paths: &[PathBuf]| -> Vec<OwnPolicy> {
        paths.iter().map(|path| OwnPolicy::read(path)).collect()
    };
    let read: Vec<OwnPolicy> = std::thread::scope(|scope| {
        let workers: Vec<_> = paths
            .chunks(share)
            .map(|share| scope.spawn(move || read(share)))
            .collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended
            .flat_map(|read| read.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    paths.into_iter().zip(read).collect()
}

fn closed() -> Arc<GraphPolicy> {
    let source = PolicySource {
        name: "closed".to_owned(),
        text: CLOSED.to_owned(),
    };
    let document = PolicyDocument::parse(source)
        .expect("the closing policy is a constant, and a test reads it");
    GraphPolicy::new(document)
}

/// A declared graph whose place is settled.
pub(crate) type Placed = (GraphId, GraphEntry, GraphUri);

/// Settles the place of every graph. One that is as it is in `known` has the place that it has there, so
/// that links are not followed again. Those whose place cannot be used are left out, and told.
pub(crate) fn settle_places(
    file: &ConfigFile,
    graphs: Vec<(GraphId, GraphEntry)>,
    known: &Graphs,
    findings: &mut Vec<Finding>,
) -> Vec<Placed> {
    let mut settled = Vec::with_capacity(graphs.len());
    let mut places: BTreeMap<PathBuf, GraphId> = BTreeMap::new();
    for (graph_id, entry) in graphs {
        let uri = match known.get(&graph_id) {
            Some(known) if known.entry.uri == entry.uri => {
                Ok(GraphUri::known(&entry.uri, known.uri.canonical()))
            }
            _ => GraphUri::parse(&entry.uri, file.folder()),
        };
        let uri = match uri.and_then(|uri| uri.clear_of_config(file.path()).map(|()| uri)) {
            Ok(uri) => uri,
            Err(error) => {
                // The value of a variable is nobody's business.
                let told = environment::hide(&entry.uri, with_causes(&error));
                findings.push((uri_of(&graph_id), told));
                continue;
            }
        };
        if let Some(first) = places.get(uri.canonical()) {
            let told = format!("the graph {:?} has the same folder", first.as_str());
            findings.push((uri_of(&graph_id), told));
            continue;
        }
        places.insert(uri.canonical().to_owned(), graph_id.clone());
        settled.push((graph_id, entry, uri));
    }
    for (folder, graph_id) in &places {
        let mut above = folder.ancestors().skip(1);
        if let Some(outer) = above.find_map(|above| places.get(above)) {
            let told = format!("lies inside the folder of the graph {:?}", outer.as_str());
            findings.push((uri_of(graph_id), told));
        }
    }
    settled
}

/// Of the graphs of the file the one that a server of one graph serves, by its place; when none of them has
/// that place, the graph as the command line alone says it. A place in or around another graph's is told.
pub(crate) fn only(
    only: &Placed,
    settled: Vec<Placed>,
    findings: &mut Vec<Finding>,
) -> Option<Placed> {
    let place = &only.2;
    for (graph_id, _, uri) in &settled {
        let relation = place.relation(uri.canonical());
        if let Some(relation) = relation.filter(|it| *it != Relation::Same) {
            let told = format!(
                "{:?}, which was to be served alone, {relation} this graph's folder; name the folder itself",
                place.written()
            );
            findings.push((uri_of(graph_id), told));
            return None;
        }
    }
    let mut settled = settled.into_iter();
    let declared = settled.find(|(_, _, uri)| uri.canonical() == place.canonical());
    Some(declared.unwrap_or_else(|| only.clone()))
}

fn uri_of(graph_id: &GraphId) -> Vec<String> {
    vec!["graphs".to_owned(), graph_id.to_string(), "uri".to_owned()]
}

/// The graphs with their policies. One that is as it is in `known` is that very one, its policy not read
/// again.
pub(crate) fn with_policies(file: &ConfigFile, settled: Vec<Placed>, known: &Graphs) -> Graphs {
    let known = |graph_id: &GraphId, entry: &GraphEntry, uri: &GraphUri| {
        let known = known.get(graph_id)?;
        known.says(graph_id, entry, uri).then(|| known.clone())
    };
    let (mut registered, mut others) = (Graphs::new(), Vec::new());
    for (graph_id, entry, uri) in settled {
        match known(&graph_id, &entry, &uri) {
            Some(known) => drop(registered.insert(graph_id, known)),
            None => others.push((graph_id, entry, uri)),
        }
    }
    for registration in made(file, others) {
        registered.insert(registration.graph_id.clone(), Arc::new(registration));
    }
    registered
}

/// Graphs with their places, in the same order; their policy files are read, each once.
pub(crate) fn made(file: &ConfigFile, graphs: Vec<Placed>) -> Vec<Registration> {
    let paths = graphs.iter();
    let paths = paths.filter_map(|(_, entry, _)| policy_file(file, entry));
    let policies = read_policies(paths.collect());
    let made = graphs.into_iter().map(|(graph_id, entry, uri)| {
        let path = policy_file(file, &entry);
        // Never none where a file is named: the graph would be open to whoever that file keeps out.
        let read = |path: &PathBuf| match policies.get(path) {
            Some(own) => own.clone(),
            None => OwnPolicy::read(path),
        };
        let own = path.as_ref().map(read).unwrap_or_default();
        Registration::with(graph_id, entry, uri, path, own)
    });
    made.collect()
}

/// Refuses a folder that is a graph's, lies inside one or around one.
pub(crate) fn check_unclaimed(graphs: &Graphs, uri: &GraphUri) -> Result<(), Error> {
    let claim = |graph: &Arc<Registration>| {
        let relation = uri.relation(graph.uri.canonical())?;
        Some(Error::UriInUse {
            uri: uri.written().to_owned(),
            relation,
            by: graph.graph_id.clone(),
        })
    };
    graphs.values().find_map(claim).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_graph_is_not_read_again_and_a_broken_policy_closes_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("trellis.yaml", "version: 1\n");
        write("own.cedar", "permit (principal, action, resource);");
        let file = ConfigFile::find(&folder.path().join("trellis.yaml")).expect("found");
        let entry = |tenant: &str| GraphEntry {
            uri: "data/alpha".to_owned(),
            tenant: Some(tenant.to_owned()),
            policy: Some(crate::config::PolicyFile {
                file: "own.cedar".to_owned(),
            }),
            ..GraphEntry::default()
        };
        let alpha = GraphId::parse("alpha").expect("valid");
        let registered = |tenant: &str, known: &Graphs| {
            let (graphs, mut findings) = (vec![(alpha.clone(), entry(tenant))], Vec::new());
            let settled = settle_places(&file, graphs, known, &mut findings);
            assert_eq!(findings, []);
            with_policies(&file, settled, known)
        };
        let first = registered("acme", &Graphs::new());
        assert_eq!(first[&alpha].broken_policy(), None);
        write("own.cedar", "permit (sekret");
        let again = registered("acme", &first);
        assert!(Arc::ptr_eq(&first[&alpha], &again[&alpha]));
        assert_eq!(again[&alpha].broken_policy(), None);
        let moved = registered("rival", &first);
        assert_eq!(moved[&alpha].reference().tenant(), Some("rival"));
        let reason = moved[&alpha].broken_policy().expect("not Cedar");
        assert!(!reason.contains("sekret"), "{reason}");
        assert!(
            moved[&alpha].reference().policy().is_some(),
            "the closing one"
        );
    }
}
