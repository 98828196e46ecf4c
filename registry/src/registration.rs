//! The graphs that the config file declares, each with its place settled. Whether a graph is open,
//! and its handle, are no concern of a registration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use policy::{GraphPolicy, GraphRef, PolicyDocument, PolicySource};

use crate::config::store::ConfigText;
use crate::config::{Config, ConfigFile, GraphEntry};
use crate::policy_file::{PolicyFileError, read_policy};
use crate::refusal::with_causes;
use crate::uri::GraphUri;
use crate::{Digest, Error, GraphId};

/// The own policy of a graph whose policy file cannot be used: a forbid wins over every permit.
const CLOSED: &str = "@id(\"unreadable-policy\") forbid (principal, action, resource);";

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
    /// Made on first use, for that reads the policy file.
    facing: OnceLock<Facing>,
}

/// What a graph shows to policies.
#[derive(Debug)]
struct Facing {
    reference: GraphRef,
    broken_policy: Option<String>,
}

/// As the file has it; whether its policy was read yet makes no difference.
impl PartialEq for Registration {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            graph_id,
            entry,
            uri,
            policy_file,
            facing: _,
        } = self;
        graph_id.as_str() == other.graph_id.as_str()
            && (entry, uri) == (&other.entry, &other.uri)
            && *policy_file == other.policy_file
    }
}

impl Eq for Registration {}

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
        crate::registry::snapshot(file, read, &Graphs::new())
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
    /// A graph of the file with its place.
    pub(crate) fn new(
        file: &ConfigFile,
        graph_id: GraphId,
        entry: GraphEntry,
        uri: GraphUri,
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
            facing: OnceLock::new(),
        }
    }

    /// The version of the registration: another one when anything in it is another, and the same in
    /// every process. 16 hexadecimal digits.
    #[must_use]
    pub fn version(&self) -> String {
        let said = serde_json::to_vec(&(&self.graph_id, &self.entry)).unwrap_or_default();
        let mut digest = Digest::of(&said).to_string();
        digest.truncate(16);
        digest
    }

    /// As policies see it: an opaque reference, which opens nothing; only a permit does. A graph whose
    /// own policy cannot be used is closed to everybody, for that policy might forbid what the
    /// server's permits.
    #[must_use]
    pub fn reference(&self) -> &GraphRef {
        &self.facing().reference
    }

    /// Why its own policy cannot be used, without a word of what is in the file.
    #[must_use]
    pub fn broken_policy(&self) -> Option<&str> {
        self.facing().broken_policy.as_deref()
    }

    fn facing(&self) -> &Facing {
        self.facing.get_or_init(|| {
            let graph_id = self.graph_id.as_str();
            let (policy, broken_policy) = match self.own_policy() {
                Ok(policy) => (policy, None),
                Err(error) => {
                    let causes = with_causes(&error);
                    tracing::error!(
                        graph_id,
                        error = causes,
                        "the graph is closed: its policy cannot be used"
                    );
                    (Some(closed()), Some(error.summary()))
                }
            };
            let GraphEntry { tenant, labels, .. } = &self.entry;
            Facing {
                reference: GraphRef::new(graph_id, tenant.clone(), labels.clone(), policy),
                broken_policy,
            }
        })
    }

    fn own_policy(&self) -> Result<Option<Arc<GraphPolicy>>, PolicyFileError> {
        let document = self.policy_file.as_deref().map(read_policy).transpose()?;
        Ok(document.map(GraphPolicy::new))
    }
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

/// Problems as (path, message).
type Findings = Vec<(Vec<String>, String)>;

/// Settles the place of every graph. One that is as it is in `known` is that very one, so that links
/// are not followed and its policy is not read again. The error holds every graph whose place cannot
/// be used.
pub(crate) fn register(
    file: &ConfigFile,
    graphs: Vec<(GraphId, GraphEntry)>,
    known: &Graphs,
) -> Result<Graphs, Findings> {
    let mut findings = Findings::new();
    let mut registered = Graphs::new();
    let mut places: BTreeMap<PathBuf, GraphId> = BTreeMap::new();
    for (graph_id, entry) in graphs {
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
        let registration = Registration::new(file, graph_id.clone(), entry, uri);
        let registration = match known.get(&graph_id) {
            Some(known) if **known == registration => known.clone(),
            _ => Arc::new(registration),
        };
        registered.insert(graph_id, registration);
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
            let graphs = vec![(alpha.clone(), entry(tenant))];
            register(&file, graphs, known).expect("sound")
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
