//! Every operation of the served document, asked by everybody, against a table that was written
//! by hand: who may is a decision of people, and this is where it is read. An operation without a row
//! fails, and so does a row without an operation.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, PEOPLE, Who};

/// One operation, a request that succeeds for whoever may, and the status for each of
/// [`Who::ALL`]: nobody, stranger, reader, writer, graph admin, server admin, other tenant.
struct Row {
    operation: &'static str,
    method: Method,
    path: &'static str,
    body: Body,
    expected: [u16; 7],
}

/// What is sent. `{n}` stands for a number that is new each time.
enum Body {
    None,
    Json(Value),
    Lines(&'static str),
}

/// Operations that everybody may ask, who may read, who may write.
const PUBLIC: [u16; 7] = [200, 200, 200, 200, 200, 200, 200];
const READ: [u16; 7] = [401, 401, 200, 200, 200, 200, 404];
const WRITE: [u16; 7] = [401, 401, 403, 200, 200, 200, 404];

fn table() -> Vec<Row> {
    let row = |operation, method, path, body, expected| Row {
        operation,
        method,
        path,
        body,
        expected,
    };
    let people = json!({"graph_id": "new-{n}", "schema": {"source": PEOPLE}});
    let count = json!({"query": "MATCH (p:Person) RETURN count(*) AS people"});
    let create = json!({"query": "CREATE (:Person {email: 'm{n}', name: 'x'})"});
    let line = "{\"type\":\"Person\",\"data\":{\"email\":\"l{n}\",\"name\":\"x\"}}";
    vec![
        row("health_show", Method::GET, "/healthz", Body::None, PUBLIC),
        row(
            "ready_show",
            Method::GET,
            "/readyz",
            Body::None,
            [200, 401, 200, 200, 200, 200, 200],
        ),
        row(
            "openapi_show",
            Method::GET,
            "/openapi.json",
            Body::None,
            PUBLIC,
        ),
        row(
            "whoami_show",
            Method::GET,
            "/whoami",
            Body::None,
            [401, 401, 200, 200, 200, 200, 200],
        ),
        row(
            "graphs_list",
            Method::GET,
            "/graphs",
            Body::None,
            [401, 401, 200, 200, 200, 200, 200],
        ),
        row(
            "graphs_create",
            Method::POST,
            "/graphs",
            Body::Json(people),
            [401, 401, 403, 403, 403, 201, 403],
        ),
        row(
            "graphs_show",
            Method::GET,
            "/graphs/people",
            Body::None,
            READ,
        ),
        row(
            "graphs_update",
            Method::PATCH,
            "/graphs/people",
            Body::Json(json!({"labels": {"n": "{n}"}})),
            [401, 401, 403, 403, 200, 200, 404],
        ),
        row(
            "graphs_delete",
            Method::DELETE,
            "/graphs/people",
            Body::None,
            [401, 401, 403, 403, 403, 412, 404],
        ),
        // Whoever may, finds that the graph is not deleted.
        row(
            "graphs_restore",
            Method::POST,
            "/graphs/people/restore",
            Body::None,
            [401, 401, 403, 403, 403, 409, 404],
        ),
        row(
            "graphs_purge",
            Method::POST,
            "/graphs/people/purge",
            Body::None,
            [401, 401, 403, 403, 403, 409, 404],
        ),
        row(
            "graphs_retry",
            Method::POST,
            "/graphs/people/retry",
            Body::None,
            [401, 401, 403, 403, 200, 200, 404],
        ),
        row(
            "metrics_show",
            Method::GET,
            "/metrics",
            Body::None,
            [401, 401, 403, 403, 403, 200, 403],
        ),
        row(
            "config_drift",
            Method::GET,
            "/admin/config/drift",
            Body::None,
            [401, 401, 403, 403, 403, 200, 403],
        ),
        row(
            "config_reload",
            Method::POST,
            "/admin/config/reload",
            Body::Json(json!({"dry_run": true})),
            [401, 401, 403, 403, 403, 200, 403],
        ),
        row(
            "cluster_query_run",
            Method::POST,
            "/graphs/people/query",
            Body::Json(count.clone()),
            READ,
        ),
        row(
            "cluster_query_explain",
            Method::POST,
            "/graphs/people/query/explain",
            Body::Json(count),
            READ,
        ),
        row(
            "cluster_mutate_run",
            Method::POST,
            "/graphs/people/mutate",
            Body::Json(create),
            WRITE,
        ),
        row(
            "cluster_load_run",
            Method::POST,
            "/graphs/people/load",
            Body::Lines(line),
            WRITE,
        ),
        row(
            "cluster_export_run",
            Method::GET,
            "/graphs/people/export",
            Body::None,
            READ,
        ),
        row(
            "cluster_schema_show",
            Method::GET,
            "/graphs/people/schema",
            Body::None,
            READ,
        ),
    ]
}

fn ask(server: &Harness, who: Who, row: &Row, number: usize) -> Answer {
    let fresh = |text: &str| text.replace("{n}", &number.to_string());
    let mut request = server.request(who, row.method.clone(), row.path);
    if row.method == Method::DELETE {
        // The graph is still needed: whoever may, finds that it is another version.
        request = request.header("if-match", "\"0000000000000000\"");
    }
    Answer::of(match &row.body {
        Body::None => request,
        Body::Json(body) => request
            .header("content-type", "application/json")
            .body(fresh(&body.to_string())),
        Body::Lines(lines) => request
            .header("content-type", "application/x-ndjson")
            .body(fresh(lines)),
    })
}

/// Operation id to method and path, of everything that the server says it does.
fn operations(document: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if let Some(id) = operation["operationId"].as_str() {
                assert!(
                    operation["x-cedar-action"].is_string(),
                    "{id} does not name its action"
                );
                found.insert(id.to_owned(), format!("{method} {path}"));
            }
        }
    }
    found
}

#[test]
fn everybody_gets_what_the_table_says() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let mut number = 0;
    let mut wrong = Vec::new();
    for row in table() {
        for (who, expected) in Who::ALL.into_iter().zip(row.expected) {
            number += 1;
            let answer = ask(&server, who, &row, number);
            if answer.status != expected {
                wrong.push(format!(
                    "{} as {who:?}: {} and not {expected}: {}",
                    row.operation, answer.status, answer.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

    // What was refused was not done either: three may mutate, three may load, one may create.
    let people = server.rows("people", "MATCH (p:Person) RETURN count(*)");
    assert_eq!(people, [[json!(6)]]);
    let graphs = server.get(Who::ServerAdmin, "/graphs");
    assert_eq!(graphs.body["graphs"].as_array().map(Vec::len), Some(2));
}

/// What stands in only one of the two: the table's rows and the operations of a document.
fn unmatched(table: &[Row], document: &Value) -> Vec<String> {
    let served = operations(document);
    let rows: BTreeMap<_, _> = table
        .iter()
        .map(|row| {
            let pattern = row.path.replace("/people", "/{graph_id}");
            let method = row.method.as_str().to_lowercase();
            (row.operation.to_owned(), format!("{method} {pattern}"))
        })
        .collect();
    assert_eq!(rows.len(), table.len(), "an operation has two rows");
    let only = |what, these: &BTreeMap<String, String>, those: &BTreeMap<String, String>| {
        these
            .iter()
            .filter(|(id, at)| those.get(*id) != Some(at))
            .map(|(id, at)| format!("{what}: {id} ({at})"))
            .collect::<Vec<_>>()
    };
    let mut found = only("no row", &served, &rows);
    found.extend(only("no operation", &rows, &served));
    found
}

#[test]
fn the_table_is_the_document() {
    let server = Harness::start();
    let document = server.get(Who::Nobody, "/openapi.json").body;
    assert_eq!(unmatched(&table(), &document), [""; 0]);
}

#[test]
fn a_new_operation_without_a_row_fails() {
    let server = Harness::start();
    let mut document = server.get(Who::Nobody, "/openapi.json").body;
    document["paths"]["/graphs/{graph_id}"]["put"] =
        json!({"operationId": "graphs_put", "x-cedar-action": "graph_update"});
    assert_eq!(
        unmatched(&table(), &document),
        ["no row: graphs_put (put /graphs/{graph_id})"]
    );
    let mut shorter = table();
    shorter.retain(|row| row.operation != "cluster_export_run");
    assert_eq!(unmatched(&shorter, &document).len(), 2);
}
