//! Reads by key: answered at once and whole, and the same whichever way they are answered.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::body::HttpBody;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use registry::Options;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Site, check_problem, serving_app};

const BY_KEY: &str = "MATCH (p:Person {email: $email}) RETURN p.name AS name";
const NEXT_TO_IT: &str = "MATCH (p:Person {email: $email})-[:Knows]->(q) RETURN q.email AS email";

impl Site {
    /// Lines, and whether they were there when the answer began.
    async fn lines(&self, token: &str, query: &str, email: &str) -> (Vec<Value>, bool) {
        let body = json!({"query": query, "params": {"email": email}});
        let request = Request::post("/graphs/alpha/query")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/x-ndjson")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        let whole = response.body().size_hint().exact().is_some();
        let bytes = response.into_body().collect().await.expect("a whole body");
        let lines = bytes.to_bytes();
        let lines = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice(line).expect("JSON"));
        (lines.collect(), whole)
    }

    async fn write(&self, query: &str) {
        let body = json!({ "query": query });
        let answer = self
            .send("root", "POST /graphs/alpha/mutate", Some(body))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

#[tokio::test]
async fn a_read_by_key_is_answered_at_once_and_whole() {
    let site = Site::new();
    site.create("alpha", "open").await;
    // The first to ask opens the graph, which takes a thread of its own.
    let (none, _) = site.lines("root", BY_KEY, "a").await;
    assert!(none.is_empty());
    site.write("CREATE (:Person {email: 'a', name: 'Ann'})")
        .await;
    for token in ["root", "reader", "root"] {
        let (found, whole) = site.lines(token, BY_KEY, "a").await;
        assert_eq!(
            (found, whole),
            (vec![json!({"name": "Ann"})], true),
            "{token}"
        );
    }
    let (none, whole) = site.lines("root", BY_KEY, "b").await;
    assert_eq!((none, whole), (Vec::new(), true));
    let (all, whole) = site
        .lines("root", "MATCH (p:Person) RETURN p.name AS name", "a")
        .await;
    assert_eq!(
        (all, whole),
        (vec![json!({"name": "Ann"})], false),
        "a scan"
    );
    // What is kept is the plan, never what it found.
    site.write("MATCH (p:Person {email: 'a'}) SET p.name = 'Anna'")
        .await;
    let (found, whole) = site.lines("root", BY_KEY, "a").await;
    assert_eq!((found, whole), (vec![json!({"name": "Anna"})], true));
}

#[tokio::test]
async fn what_is_long_is_begun_again_elsewhere_and_answered_all_the_same() {
    let site = Site::new();
    site.create("alpha", "open").await;
    site.write("CREATE (:Person {email: 'few'})-[:Knows]->(:Person {email: 'one'})")
        .await;
    let (few, whole) = site.lines("root", NEXT_TO_IT, "few").await;
    assert_eq!((few, whole), (vec![json!({"email": "one"})], true));
    site.write(
        "CREATE (h:Person {email: 'hub'}) WITH h UNWIND range(1, 990) AS i \
         CREATE (h)-[:Knows]->(:Person {email: \
         'an address that is so long that all of them are more than a piece of an answer ' + toString(i)})",
    )
    .await;
    for _ in 0..3 {
        let (many, whole) = site.lines("root", NEXT_TO_IT, "hub").await;
        assert_eq!((many.len(), whole), (990, false));
    }
}

#[tokio::test]
async fn at_once_is_refused_what_is_refused_elsewhere() {
    let site = Site::new();
    site.create("alpha", "open").await;
    site.write("CREATE (:Person {email: 'a'})-[:Knows]->(:Person {email: 'b'})")
        .await;
    site.write("MATCH (p:Person {email: 'a'}) CREATE (p)-[:Knows]->(:Person {email: 'c'})")
        .await;
    // The first run opens nothing any more, compiles and decides; the second finds both done.
    for _ in 0..2 {
        let ask = async |token: &str, body: Value| {
            site.send(token, "POST /graphs/alpha/query", Some(body))
                .await
        };
        let limited = json!({"query": NEXT_TO_IT, "params": {"email": "a"}, "max_rows": 1});
        check_problem(&ask("root", limited).await, 400, "row_limit");
        let missing = json!({ "query": BY_KEY });
        check_problem(&ask("root", missing).await, 400, "invalid_parameters");
        let unknown = json!({"query": "MATCH (p:Person {email: 'a'}) RETURN p.nmae"});
        check_problem(&ask("root", unknown).await, 400, "invalid_query");
        let writes = json!({"query": "CREATE (:Person {email: 'd'})"});
        check_problem(&ask("root", writes).await, 400, "write_in_read_query");
        let by_key = json!({"query": BY_KEY, "params": {"email": "a"}});
        check_problem(&ask("nobody", by_key.clone()).await, 404, "graph_not_found");
        check_problem(&ask("operator", by_key.clone()).await, 403, "forbidden");
        check_problem(&ask("", by_key.clone()).await, 401, "unauthenticated");
        let answer = ask("root", by_key).await;
        assert_eq!(answer.body["rows"], json!([{"name": null}]));
        assert_eq!(answer.body["stats"]["rows"], json!(1));
        assert_eq!(answer.body["commit"]["sequence"], json!(3));
        assert_eq!(
            answer.body["columns"],
            json!([{"name": "name", "type": "string"}])
        );
    }
}

#[tokio::test]
async fn each_refusal_has_its_own_decision() {
    let site = Site::new();
    site.create("alpha", "open").await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let body = json!({"query": "CREATE (:Person {email: 'a'})"});
        let answer = site
            .send("linker", "POST /graphs/alpha/mutate", Some(body))
            .await;
        check_problem(&answer, 403, "forbidden");
        seen.insert(answer.body["decision_id"].to_string());
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_brief_is_answered_in_place_when_nothing_else_runs() {
    const ALL: &str = "MATCH (p:Person) RETURN p.name AS name";
    const LONG: &str = "UNWIND range(1, 1000) AS x UNWIND range(1, 1000) AS y \
         WITH x, y WHERE x + y = 1999 RETURN x";
    let site = Site::new();
    let (app, router) = serving_app(&site.config(), Options::default(), 1_000);
    let site = Site { router, ..site };
    site.create("alpha", "open").await;
    site.write("CREATE (:Person {email: 'a', name: 'Ann'})")
        .await;
    let ann = vec![json!({"name": "Ann"})];
    let (found, whole) = site.lines("root", ALL, "a").await;
    assert_eq!(
        (found, whole),
        (ann.clone(), false),
        "nothing is known of it"
    );
    // A machine that does something else may make a run long, so that some more are not tried.
    let begun = Instant::now();
    let mut again = site.lines("root", ALL, "a").await;
    while !again.1 && begun.elapsed() < Duration::from_secs(30) {
        again = site.lines("root", ALL, "a").await;
    }
    assert_eq!(again, (ann.clone(), true));
    for _ in 0..3 {
        let (rows, whole) = site.lines("root", LONG, "a").await;
        assert_eq!((rows.len(), whole), (2, false), "it takes long each time");
    }
    // Beside another, it takes turns.
    let other = loop {
        // The last one may not have left yet.
        match app.admission.enter_alone("root", "alpha") {
            Some(other) => break other,
            None => tokio::task::yield_now().await,
        }
    };
    assert_eq!(site.lines("root", ALL, "a").await, (ann, false));
    drop(other);
}
