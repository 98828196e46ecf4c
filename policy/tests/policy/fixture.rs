//! Principals, graphs and policies in one line each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{
    Authorizer, GraphPolicy, GraphRef, PolicyDocument, PolicySource, Principal, Resource,
};

pub(crate) fn document(name: &str, text: &str) -> PolicyDocument {
    let source = PolicySource {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    PolicyDocument::parse(source).expect("a policy that is valid")
}

pub(crate) fn authorizer(text: &str) -> Authorizer {
    Authorizer::new([document("server.cedar", text)])
}

pub(crate) fn graph_policy(text: &str) -> Option<Arc<GraphPolicy>> {
    Some(GraphPolicy::new(document("graph.cedar", text)))
}

/// `who("bob", "acme", ["writers"])`; an empty tenant is none.
pub(crate) fn who<const N: usize>(id: &str, tenant: &str, groups: [&str; N]) -> Arc<Principal> {
    Arc::new(Principal {
        tenant: (!tenant.is_empty()).then(|| tenant.to_owned()),
        groups: groups.map(str::to_owned).into(),
        ..Principal::user(id)
    })
}

pub(crate) fn graph(id: &str, tenant: &str) -> GraphRef {
    labelled(id, tenant, &[])
}

pub(crate) fn labelled(id: &str, tenant: &str, labels: &[(&str, &str)]) -> GraphRef {
    let labels = labels
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    GraphRef::new(
        id,
        (!tenant.is_empty()).then(|| tenant.to_owned()),
        labels,
        None,
    )
}

pub(crate) fn with_policy(id: &str, text: &str) -> Resource {
    Resource::Graph(GraphRef::new(id, None, BTreeMap::new(), graph_policy(text)))
}

pub(crate) fn plain(id: &str) -> Resource {
    Resource::Graph(graph(id, ""))
}

/// The folder of the example policies.
pub(crate) fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

pub(crate) fn example(file: &str) -> PolicyDocument {
    let text = std::fs::read_to_string(policies().join(file)).expect("an example policy");
    document(file, &text)
}
