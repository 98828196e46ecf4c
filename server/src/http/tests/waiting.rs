//! Writes that find no place.

use axum::http::{StatusCode, header};
use serde_json::json;

use super::{Site, check_problem, serving_with};

/// Of two places somebody who has one gets no second, and others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_has_too_many_writes_under_way_is_told_when_to_come_again() {
    let mut site = Site::new();
    site.create("alpha", "open").await;
    site.router = axum::Router::new();
    let options = registry::Options {
        storage: storage_engine::Options {
            queue: 2,
            ..storage_engine::Options::default()
        },
        ..registry::Options::default()
    };
    site.router = serving_with(&site.config(), options);
    let write = async |query: &str| {
        let body = json!({"query": query});
        site.send("root", "POST /graphs/alpha/mutate", Some(body))
            .await
    };
    let long =
        write("UNWIND range(1, 100000) AS x CREATE (:Person {email: 'long ' + toString(x)})");
    let short = async {
        // Until the long one has its place.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut done = 0;
        loop {
            let answer = write(&format!("CREATE (:Person {{email: 'short {done}'}})")).await;
            if answer.status != StatusCode::OK {
                return (done, answer);
            }
            done += 1;
        }
    };
    let (long, (done, refused)) = tokio::join!(long, short);
    assert_eq!(long.status, StatusCode::OK, "{}", long.body);
    check_problem(&refused, 429, "too_many_writes");
    let after = refused.headers[header::RETRY_AFTER].to_str().expect("text");
    let after: u64 = after.parse().expect("whole seconds");
    assert!(after >= 1);
    let detail = refused.body["detail"].as_str().expect("words");
    let told = format!("1 writes are waiting already; nothing was changed. Try again in {after} s");
    assert_eq!(detail, told);
    let next = write("CREATE (:Person {email: 'next'})").await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.body);
    let count = json!({"query": "MATCH (p:Person) RETURN count(*) AS n"});
    let count = site
        .send("root", "POST /graphs/alpha/query", Some(count))
        .await;
    assert_eq!(count.body["rows"], json!([{"n": 100_001 + done}]));
}
