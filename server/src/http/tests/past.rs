//! `at`: a graph as it was.

use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use super::{Answer, Site, answer, check_problem, serving, serving_with};

const COUNT: &str = "MATCH (p:Person) RETURN count(*) AS n";

impl Site {
    async fn add(&self, email: &str) -> Value {
        let query = format!("CREATE (:Person {{email: '{email}'}})");
        let body = json!({"query": query});
        let made = self
            .send("root", "POST /graphs/alpha/mutate", Some(body))
            .await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        made.body["commit"].clone()
    }

    async fn counted(&self, at: &str) -> Answer {
        let body = json!({"query": COUNT, "at": at});
        self.send("reader", "POST /graphs/alpha/query", Some(body))
            .await
    }

    async fn exported(&self, at: &str) -> (StatusCode, Answer) {
        let at = at.replace('+', "%2B");
        let request = Request::get(format!("/graphs/alpha/export?at={at}"))
            .header(header::AUTHORIZATION, "Bearer reader")
            .body(axum::body::Body::empty())
            .expect("a request");
        let answer = answer(&self.router, request).await;
        (answer.status, answer)
    }
}

#[tokio::test]
async fn a_graph_is_read_as_it_was() {
    let site = Site::new();
    site.create("alpha", "open").await;
    let mut commits = Vec::new();
    for email in ["a", "b", "c"] {
        commits.push(site.add(email).await);
    }
    for (place, commit) in commits.iter().enumerate() {
        let sequence = commit["sequence"].to_string();
        for at in [&commit["id"], &commit["time"], &json!(sequence)] {
            let at = at.as_str().expect("text");
            let found = site.counted(at).await;
            assert_eq!(found.status, StatusCode::OK, "{}", found.body);
            assert_eq!(found.body["rows"], json!([{"n": place + 1}]), "{at}");
            assert_eq!(found.body["commit"], *commit, "{at}");
        }
    }
    let first = commits[0]["id"].as_str().expect("text");
    let exported = site.exported(first).await;
    assert_eq!(exported.0, StatusCode::OK);
    assert_eq!(
        exported.1.body["data"]["email"], "a",
        "one line, of one person"
    );
    let empty = site.counted("1").await;
    assert_eq!(empty.body["rows"], json!([{"n": 0}]));
}

#[tokio::test]
async fn what_is_no_past_is_told_apart() {
    let site = Site::new();
    site.create("alpha", "open").await;
    site.add("a").await;
    for at in ["", "x", "-1", "yesterday", "2026-13-01T00:00:00Z"] {
        check_problem(&site.counted(at).await, 400, "invalid_request");
        check_problem(&site.exported(at).await.1, 400, "invalid_request");
    }
    let unknown = uuid::Uuid::nil().to_string();
    for at in ["0", "99", unknown.as_str(), "1999-01-01T00:00:00Z"] {
        check_problem(&site.counted(at).await, 404, "commit_not_found");
        check_problem(&site.exported(at).await.1, 404, "commit_not_found");
    }
    let before = site.counted("1999-01-01T00:00:00Z").await;
    let told = before.body["detail"].as_str().expect("words");
    assert!(
        told.starts_with("the graph did not exist at time 1999"),
        "{told}"
    );
    // What is no text is told by its name.
    let body = json!({"query": COUNT, "at": 1});
    let number = site
        .send("reader", "POST /graphs/alpha/query", Some(body))
        .await;
    check_problem(&number, 400, "invalid_request");
    let told = number.body["detail"].as_str().expect("words");
    assert!(
        told.contains("integer `1`, expected `at` as text"),
        "{told}"
    );
    // Who may not read the graph now may not read it then.
    let body = json!({"query": COUNT, "at": "1"});
    let hidden = site
        .send("nobody", "POST /graphs/alpha/query", Some(body))
        .await;
    check_problem(&hidden, 404, "graph_not_found");
}

/// A server that folds after each commit, and keeps no history but what recovery needs.
fn forgetful(site: &Site) -> axum::Router {
    let text = std::fs::read_to_string(site.config()).expect("read");
    let text = text.replace("server:\n", "server:\n  history_retention: 0\n");
    std::fs::write(site.config(), text).expect("written");
    let storage = storage_engine::Options {
        fold_rows: 1,
        segment_bytes: 1,
        ..storage_engine::Options::default()
    };
    let options = registry::Options {
        storage,
        ..registry::Options::default()
    };
    serving_with(&site.config(), options)
}

#[tokio::test]
async fn a_past_that_was_collected_is_gone() {
    let mut site = Site::new();
    site.create("alpha", "open").await;
    let first = site.add("a").await;
    site.router = axum::Router::new();
    site.router = forgetful(&site);
    let time = first["time"].as_str().expect("text").to_owned();
    // Folds and collections come in the background.
    for round in 0..200 {
        site.add(&format!("{round}@x")).await;
        if site.counted("2").await.status == StatusCode::GONE {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for at in ["2", first["id"].as_str().expect("text"), time.as_str()] {
        check_problem(&site.counted(at).await, 410, "history_gone");
        check_problem(&site.exported(at).await.1, 410, "history_gone");
    }
    let shown = site.send("root", "GET /graphs/alpha", None).await;
    let storage = &shown.body["storage"];
    assert!(
        storage["horizon"].as_u64().expect("a number") > 2,
        "{storage}"
    );
    let rows = &storage["checkpoint"]["tables"]["Person"]["rows"];
    assert!(rows.as_u64().expect("a number") >= 2, "{storage}");
    let none = json!({"fold": null, "compaction": null, "collection": null});
    assert_eq!(storage["errors"], none);
    // Of types that may not be read nothing is told.
    let operator = site.send("operator", "GET /graphs/alpha", None).await;
    assert_eq!(operator.body["storage"]["checkpoint"]["tables"], json!({}));
}

#[tokio::test]
async fn a_graph_that_another_server_writes_is_read_along() {
    let mut site = Site::new();
    site.create("alpha", "open").await;
    site.add("a").await;
    let folder = tempfile::tempdir().expect("a folder");
    let other = Site {
        router: serving(&site.config()),
        folder,
    };
    for (email, count) in [("b", 2), ("c", 3)] {
        let commit = site.add(email).await;
        let body = json!({"query": COUNT});
        let seen = other
            .send("reader", "POST /graphs/alpha/query", Some(body))
            .await;
        assert_eq!(seen.body["rows"], json!([{"n": count}]));
        assert_eq!(seen.body["commit"], commit);
    }
    assert_eq!(other.counted("2").await.body["rows"], json!([{"n": 1}]));
    let body = json!({"query": "CREATE (:Person {email: 'd'})"});
    let refused = other
        .send("root", "POST /graphs/alpha/mutate", Some(body.clone()))
        .await;
    check_problem(&refused, 503, "graph_locked");
    let detail = refused.body["detail"].as_str().expect("words");
    assert!(
        detail.contains(&format!("process {} on ", std::process::id())),
        "{detail}"
    );
    assert!(detail.contains(" since 20"), "{detail}");
    // The first write after the other has gone takes the graph over.
    site.router = axum::Router::new();
    let written = other
        .send("root", "POST /graphs/alpha/mutate", Some(body))
        .await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.body);
    let body = json!({"query": COUNT});
    let seen = other
        .send("reader", "POST /graphs/alpha/query", Some(body))
        .await;
    assert_eq!(seen.body["rows"], json!([{"n": 4}]));
}
