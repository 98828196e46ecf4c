//! A config file and a data folder of a test's own, and what is asked of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use language::schema::Schema;
use policy::{Action, Authorizer, Context, Permit, Principal, Resource};
use registry::{Error, GraphId, NewGraph, Options, Registry, Step};

pub(crate) const CONFIG: &str = "# the operator's own\nversion: 1\n\nserver:\n  storage: ../data   # here\n  allow_roots: [../data]\n\ngraphs:\n  # the first one\n  alpha:\n    uri: ../data/alpha\n\ngroups: {}   # nobody\n";

/// A folder with `config/trellis.yaml` and `data/`.
pub(crate) struct Place {
    pub(crate) base: PathBuf,
    _folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        fs::create_dir_all(base.join("config")).expect("created");
        fs::create_dir_all(base.join("data")).expect("created");
        fs::write(base.join("config/trellis.yaml"), config).expect("written");
        Self {
            base,
            _folder: folder,
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.base.join("config/trellis.yaml")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.config()).expect("read")
    }

    pub(crate) fn open(&self) -> Registry {
        Registry::open(&self.config(), Options::default()).expect("opened")
    }

    /// Somebody else does something right after that step.
    pub(crate) fn disturbed(&self, at: Step, by: impl Fn() + Send + Sync + 'static) -> Registry {
        let options = Options {
            fault_hook: Some(Arc::new(move |step| {
                if step == at {
                    by();
                }
                false
            })),
            ..Options::default()
        };
        Registry::open(&self.config(), options).expect("opened")
    }

    pub(crate) fn halting(&self, at: Step) -> Registry {
        self.open_with(move |step| step == at).expect("opened")
    }

    /// Ends what it does, the opening itself too, after any step that `halts` says.
    pub(crate) fn open_with(
        &self,
        halts: impl Fn(Step) -> bool + Send + Sync + 'static,
    ) -> Result<Registry, Error> {
        let options = Options {
            fault_hook: Some(Arc::new(halts)),
            ..Options::default()
        };
        Registry::open(&self.config(), options)
    }

    /// Every path below data/, and every path below config/ that is not the lock.
    pub(crate) fn listing(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for item in fs::read_dir(folder).expect("listed") {
                let path = item.expect("listed").path();
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, found);
                }
                found.push(path);
            }
        }
        let mut found = Vec::new();
        walk(&self.base, &mut found);
        let state = self.base.join("config/.trellis");
        found.retain(|path| {
            *path != state
                && *path != state.join("config.lock")
                && *path != state.join("last-write")
                && *path != state.join("intents")
                && !path.starts_with(state.join("answers"))
        });
        found.sort();
        found
    }
}

pub(crate) fn id(text: &str) -> GraphId {
    GraphId::parse(text).expect("a valid id")
}

pub(crate) fn named(graph_id: &str) -> NewGraph {
    let schema = Schema::parse("node Person { email: String @key }").expect("sound");
    NewGraph::new(id(graph_id), schema)
}

pub(crate) fn at(graph_id: &str, uri: &str) -> NewGraph {
    NewGraph {
        uri: Some(uri.to_owned()),
        ..named(graph_id)
    }
}

pub(crate) fn permit_for(action: Action, resource: &Resource) -> Permit {
    let anyone = Arc::new(Principal::anonymous());
    Authorizer::unauthenticated()
        .decide(&anyone, action, resource, &Context::now())
        .expect("everything is permitted")
}

pub(crate) fn permit() -> Permit {
    permit_for(Action::GraphCreate, &Resource::Server)
}

pub(crate) fn key(key: &str, request: &str) -> registry::Key {
    registry::Key {
        key: key.to_owned(),
        request: registry::Digest::of(request.as_bytes()),
    }
}

/// A permit for a graph that is registered.
pub(crate) fn permit_on(registry: &Registry, action: Action, graph_id: &str) -> Permit {
    let graph = registry.get(&id(graph_id)).expect("registered");
    permit_for(action, &Resource::Graph(graph.reference().clone()))
}

/// A permit for a graph that was deleted.
pub(crate) fn permit_on_deleted(action: Action, graph: &registry::DeletedGraph) -> Permit {
    let reference = graph.registration.reference().clone();
    permit_for(action, &Resource::Graph(reference))
}
