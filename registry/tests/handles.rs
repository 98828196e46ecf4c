//! No permit, no handle: what a permit opens, and what it does not.

#![allow(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that fails says why, and makes the files that people and crashes leave"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use language::schema::Schema;
use policy::{
    Action, Authorizer, Context, GraphRef, Permit, Principal, Resource, TypeKind, TypeTouch,
};
use registry::{GraphId, HandleError, NewGraph, Options, Registry, Standing};

struct Place {
    registry: Registry,
    authorizer: Authorizer,
    folder: tempfile::TempDir,
}

impl Place {
    /// With the graphs alpha and beta.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("trellis.yaml");
        fs::write(&config, "version: 1\nserver: { storage: data }\n").expect("written");
        let place = Self {
            registry: Registry::open(&config, Options::default()).expect("sound"),
            authorizer: Authorizer::unauthenticated(),
            folder,
        };
        for name in ["alpha", "beta"] {
            let schema = Schema::parse("node P { k: I64 @key }").expect("sound");
            let new = NewGraph {
                tenant: Some("acme".to_owned()),
                ..NewGraph::new(id(name), schema)
            };
            let permit = place.permit_to(Action::GraphCreate, Resource::Server);
            place.registry.create(&permit, new).expect("created");
        }
        place
    }

    fn permit_to(&self, action: Action, resource: Resource) -> Permit {
        let anyone = Arc::new(Principal::anonymous());
        self.authorizer
            .decide(&anyone, action, &resource, &Context::now())
            .expect("everything is permitted")
    }

    fn reference(&self, name: &str) -> GraphRef {
        let graph = self.registry.get(&id(name)).expect("registered");
        graph.reference().clone()
    }

    fn permit(&self, action: Action, name: &str) -> Permit {
        self.permit_to(action, Resource::Graph(self.reference(name)))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("trellis.yaml")
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    fn standing(&self, name: &str) -> Standing {
        self.registry
            .standing(&self.registry.get(&id(name)).expect("registered"))
    }
}

fn id(text: &str) -> GraphId {
    GraphId::parse(text).expect("a valid id")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
}

#[test]
fn a_permit_opens_its_own_graph_and_as_far_as_it_goes() {
    let place = Place::new();
    let registry = &place.registry;
    let query = place.permit(Action::Query, "alpha");
    registry.reader(&query).expect("a permit to read");
    assert_eq!(place.standing("alpha"), Standing::Open);
    assert_eq!(place.standing("beta"), Standing::Closed);
    assert!(matches!(
        registry.writer(&query),
        Err(HandleError::WrongPermit(_))
    ));
    let of_server = place.permit_to(Action::GraphList, Resource::Server);
    assert!(matches!(
        registry.reader(&of_server),
        Err(HandleError::WrongPermit(_))
    ));
    // A reference that somebody made up is not the registered one.
    let forged = GraphRef::new("alpha", Some("acme".to_owned()), Default::default(), None);
    let forged = place.permit_to(Action::Query, Resource::Graph(forged));
    assert!(matches!(
        registry.reader(&forged),
        Err(HandleError::Changed)
    ));
    let absent = GraphRef::new("gamma", None, Default::default(), None);
    let absent = place.permit_to(Action::Query, Resource::Graph(absent));
    assert!(matches!(registry.reader(&absent), Err(HandleError::Absent)));
}

#[test]
fn what_was_decided_for_one_graph_or_action_is_not_done_with_another() {
    let place = Place::new();
    let types = [TypeTouch {
        kind: TypeKind::Node,
        name: "P",
        write: false,
    }];
    let alpha = place.permit(Action::GraphShow, "alpha");
    let reader = place.registry.reader(&alpha).expect("opens");
    let counts = |permit: &Permit| reader.counts(&place.authorizer.allowed_types(permit, types));
    assert_eq!(counts(&alpha).expect("decided").0["P"], 0);
    assert!(counts(&place.permit(Action::GraphShow, "beta")).is_err());
    assert!(counts(&place.permit(Action::Query, "alpha")).is_err());
    let none = place.authorizer.allowed_types(&alpha, []);
    assert!(reader.counts(&none).expect("decided").0.is_empty());
}

/// A decision on attributes that are not so any more opens nothing.
#[test]
fn a_decision_does_not_outlive_what_it_was_about() {
    let place = Place::new();
    let (alpha, beta) = (
        place.permit(Action::Query, "alpha"),
        place.permit(Action::Query, "beta"),
    );
    let text = fs::read_to_string(place.config()).expect("read");
    let moved = text.replacen("tenant: acme", "tenant: rival", 1);
    write(&place.config(), &moved);
    place
        .registry
        .reload(registry::Reload::Apply)
        .expect("sound");
    assert_eq!(place.reference("alpha").tenant(), Some("rival"));
    assert!(matches!(
        place.registry.reader(&alpha),
        Err(HandleError::Changed)
    ));
    place.registry.reader(&beta).expect("it has not changed");
    // The same id on another folder is another graph.
    write(
        &place.config(),
        &moved.replace("uri: data/alpha", "uri: data/elsewhere"),
    );
    place
        .registry
        .reload(registry::Reload::Apply)
        .expect("sound");
    let elsewhere = place.permit(Action::Query, "alpha");
    assert!(matches!(
        place.registry.reader(&elsewhere),
        Err(HandleError::Broken { .. })
    ));
}

#[test]
fn what_passes_is_tried_again_soon_and_damage_is_set_aside() {
    let place = Place::new();
    let permit = place.permit(Action::Query, "alpha");
    let (file, aside) = (
        place.data("alpha").join("graph.json"),
        place.data("alpha").join("aside"),
    );
    fs::rename(&file, &aside).expect("moved");
    fs::create_dir(&file).expect("something that cannot be read");
    assert!(matches!(
        place.registry.reader(&permit),
        Err(HandleError::NotNow { .. })
    ));
    fs::remove_dir(&file).expect("removed");
    fs::rename(&aside, &file).expect("moved back");
    // Whoever comes before it is tried again gets the same answer, and when that will be.
    let Err(HandleError::NotNow { after, .. }) = place.registry.reader(&permit) else {
        panic!("it was tried again at once");
    };
    let after = after.expect("it is known");
    assert!(after <= Duration::from_secs(1), "{after:?}");
    assert_eq!(place.standing("alpha"), Standing::Closed);
    std::thread::sleep(after);
    place
        .registry
        .reader(&permit)
        .expect("it was never damaged");

    write(&place.data("beta").join("graph.json"), "{");
    let permit = place.permit(Action::Query, "beta");
    for _ in 0..2 {
        assert!(matches!(
            place.registry.reader(&permit),
            Err(HandleError::Broken { .. })
        ));
    }
    assert!(matches!(place.standing("beta"), Standing::Broken(_)));
}

#[test]
fn what_is_closed_stays_closed() {
    let place = Place::new();
    let permit = place.permit(Action::Query, "alpha");
    place.registry.reader(&permit).expect("opens");
    place.registry.close();
    for name in ["alpha", "beta"] {
        let permit = place.permit(Action::Query, name);
        assert!(matches!(
            place.registry.reader(&permit),
            Err(HandleError::Closed)
        ));
    }
    // Its lock is free for the next server.
    let next = Registry::open(&place.config(), Options::default()).expect("sound");
    let graph = next.get(&id("alpha")).expect("registered");
    let permit = place.permit_to(Action::Query, Resource::Graph(graph.reference().clone()));
    next.reader(&permit).expect("opens");
}
