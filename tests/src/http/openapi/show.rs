//! `GET /openapi.json`, `GET /docs`.

use std::fs;

use serde_json::Value;

use crate::harness::{Harness, Setup, Who, repository};

#[test]
fn the_served_document_is_the_committed_one() {
    let server = Harness::start();
    let committed = fs::read_to_string(repository().join("openapi.json")).expect("the document");
    let committed: Value = serde_json::from_str(&committed).expect("JSON");
    assert!(
        server.get(Who::Nobody, "/openapi.json").body == committed,
        "openapi.json is not what is served"
    );
}

#[test]
fn an_open_server_asks_for_no_credential() {
    let server = Setup {
        unauthenticated: true,
        ..Setup::default()
    }
    .start();
    let document = server.get(Who::Nobody, "/openapi.json").body;
    assert!(document["paths"].is_object(), "{document}");
    assert!(!document.to_string().contains("\"bearer\""));
}

/// Swagger UI from the binary itself: its page names no other host.
#[test]
fn the_pages_need_no_network() {
    let server = Harness::start();
    let page = server.get(Who::Nobody, "/docs/");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("swagger"), "{page:?}");
    for name in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-initializer.js",
    ] {
        assert!(page.text.contains(name), "{name}: {page:?}");
        let file = server.get(Who::Nobody, &format!("/docs/{name}"));
        assert_eq!(file.status, 200, "{name}");
    }
    for place in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
        assert!(!page.text.contains(place), "{}", page.text);
    }
}
