//! Every change of the registry, once, so that a crash or a refusing disk can come in between anywhere.

use std::fs;
use std::path::PathBuf;

use registry::{Error, GraphUpdate, NewGraph, Registry, Reload, Stage, Step};

use crate::life::{delete, opens, purge, restore, update, with_one};
use crate::place::{CONFIG, Place, at, id, key, permit};

/// One change of the graph one.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// What must have been done before.
    before: fn(&Place),
    /// The change.
    pub(crate) run: fn(&Registry) -> Result<(), Error>,
    /// Its effects.
    pub(crate) steps: &'static [Step],
}

pub(crate) const OPERATIONS: [Operation; 6] = [
    Operation {
        name: "create",
        before: |_| {},
        run: |registry| {
            let request = NewGraph {
                key: Some(key("k", "one")),
                ..at("one", "../data/new/one")
            };
            registry.create(&permit(), request).map(|_| ())
        },
        steps: Step::CREATE,
    },
    Operation {
        name: "update",
        before: |place| drop(with_one(place)),
        run: |registry| {
            let change = GraphUpdate {
                tenant: Some(Some("rival".to_owned())),
                ..GraphUpdate::default()
            };
            update(registry, "one", &change)
        },
        steps: Step::UPDATE,
    },
    Operation {
        name: "delete",
        before: |place| drop(with_one(place)),
        run: |registry| delete(registry, "one").map(|_| ()),
        steps: Step::DELETE,
    },
    Operation {
        name: "restore",
        before: |place| drop(deleted_one(place)),
        run: |registry| restore(registry, "one"),
        steps: Step::RESTORE,
    },
    Operation {
        name: "purge",
        before: |place| drop(deleted_one(place)),
        run: |registry| purge(registry, "one").map(|_| ()),
        steps: Step::PURGE,
    },
    Operation {
        name: "reload",
        before: |place| {
            drop(with_one(place));
            fs::copy(place.config(), aside(place)).expect("copied");
            delete(&place.open(), "one").expect("deleted");
        },
        run: |registry| registry.reload(Reload::Apply).map(|_| ()),
        steps: Step::RELOAD,
    },
];

fn deleted_one(place: &Place) -> Registry {
    let registry = with_one(place);
    delete(&registry, "one").expect("deleted");
    registry
}

/// The file with the graph one in it.
fn aside(place: &Place) -> PathBuf {
    place.base.join("with-one.yaml")
}

impl Operation {
    /// Where it can be done.
    pub(crate) fn place(&self) -> Place {
        let place = Place::new(CONFIG);
        (self.before)(&place);
        place
    }

    /// What a person does to the file while servers run: one puts the deleted graph back.
    pub(crate) fn edit(&self, place: &Place) {
        if self.is_by_hand() {
            fs::copy(aside(place), place.config()).expect("copied");
        }
    }

    /// Has a server that was running all along see what was done by hand.
    pub(crate) fn follow(&self, registry: &Registry) {
        if self.is_by_hand() {
            registry.reload(Reload::Apply).expect("sound");
        }
    }

    fn is_by_hand(&self) -> bool {
        self.name == "reload"
    }

    /// Whether the file is another one once the step was taken.
    pub(crate) fn has_replaced(&self, after: Step) -> bool {
        let index = |wanted| self.steps.iter().position(|step| *step == wanted);
        index(Step::ConfigReplaced).is_some_and(|at| index(after) >= Some(at))
    }
}

/// After everything was settled: the graph is whole, or it is absent and what is kept of it is whole.
pub(crate) fn whole_or_absent(place: &Place, registry: &Registry, what: &str) {
    let pending = registry::intent::pending(registry.file()).expect("listed");
    assert!(pending.is_empty(), "{what}: {pending:?}");
    let restarted = place.open().snapshot();
    assert_eq!(restarted.graphs, registry.snapshot().graphs, "{what}");
    let records = registry.deleted(&id("one")).expect("read");
    let record = records.into_iter().next();
    if registry.get(&id("one")).is_some() {
        opens(registry, "one").unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(record.is_none(), "{what}");
        return;
    }
    assert!(!place.text().contains("one:"), "{what}");
    let Some(record) = record else {
        assert!(!place.base.join("data/one").exists(), "{what}");
        assert!(!place.base.join("data/new").exists(), "{what}");
        return;
    };
    match record.record.stage {
        Stage::Kept => {
            restore(registry, "one").unwrap_or_else(|error| panic!("{what}: {error}"));
            opens(registry, "one").unwrap_or_else(|error| panic!("{what}: {error}"));
            delete(registry, "one").unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        Stage::Purging => panic!("{what}: the purge was not gone on with"),
        Stage::Purged(_) => assert!(!place.base.join("data/one").exists(), "{what}"),
    }
}
