//! Bodies, headers and query strings as a hostile client sends them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use super::{Answer, Site, answer, check_problem};

async fn site() -> Site {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    site
}

fn request(path: &str, media_type: &str, body: Body) -> Request<Body> {
    Request::post(path)
        .header(header::AUTHORIZATION, "Bearer root")
        .header(header::CONTENT_TYPE, media_type)
        .body(body)
        .expect("a request")
}

async fn query(site: &Site, body: impl Into<Body>) -> Answer {
    let request = request("/graphs/alpha/query", "application/json", body.into());
    answer(&site.router, request).await
}

/// Chunks without a length before them.
fn chunks(count: usize, chunk: &'static str) -> Body {
    let chunks = std::iter::repeat_n(chunk, count);
    Body::from_stream(futures::stream::iter(
        chunks.map(|text| Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes()))),
    ))
}

#[tokio::test]
async fn json_is_read_strictly_and_never_guessed() {
    let site = site().await;
    let deep = format!(
        "{{\"query\": \"RETURN 1 AS x\", \"params\": {{\"a\": {}{}}}}}",
        "[".repeat(500),
        "]".repeat(500)
    );
    let cases: [(&[u8], &str); 14] = [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"null", "invalid_request"),
        (b"[]", "invalid_request"),
        (b"{\"query\": \"RETURN 1 AS x\"} {}", "invalid_json"),
        (
            b"{\"query\": \"RETURN 1 AS x\", \"query\": \"RETURN 2 AS x\"}",
            "invalid_request",
        ),
        (
            b"{\"query\": \"RETURN $a AS x\", \"params\": {\"a\": 1, \"a\": 2}}",
            "invalid_request",
        ),
        (
            b"{\"query\": \"RETURN $a AS x\", \"params\": {\"a\": NaN}}",
            "invalid_json",
        ),
        (
            b"{\"query\": \"RETURN $a AS x\", \"params\": {\"a\": 1e999}}",
            "invalid_json",
        ),
        (
            b"{\"query\": \"RETURN $a AS x\", \"params\": {\"a\": 18446744073709551615}}",
            "invalid_parameters",
        ),
        (b"{\"query\": \"\xff\xfe\"}", "invalid_json"),
        (
            b"{\"query\": \"RETURN 1 AS x\", \"max_rows\": -1}",
            "invalid_request",
        ),
        (
            b"{\"query\": \"RETURN 1 AS x\", \"timeout_ms\": 0}",
            "invalid_request",
        ),
        (deep.as_bytes(), "invalid_json"),
    ];
    for (body, code) in cases {
        let answer = query(&site, body.to_vec()).await;
        let text = String::from_utf8_lossy(body);
        assert_eq!(answer.body["code"], code, "{text}: {}", answer.body);
        check_problem(&answer, 400, code);
    }
    let most = json!({"query": "RETURN 1 AS x", "max_rows": u64::MAX, "timeout_ms": u64::MAX});
    let answered = query(&site, most.to_string()).await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.body);
}

#[tokio::test]
async fn limits_hold_without_a_length_too() {
    let site = site().await;
    check_problem(
        &query(&site, chunks(3000, " ")).await,
        413,
        "body_too_large",
    );
    let load = request(
        "/graphs/alpha/load",
        "application/x-ndjson",
        chunks(1001, "\n"),
    );
    check_problem(&answer(&site.router, load).await, 413, "body_too_large");
}

#[tokio::test]
async fn a_body_that_breaks_off_loads_nothing() {
    let site = site().await;
    let line = Bytes::from_static(b"{\"type\":\"Person\",\"data\":{\"email\":\"a\"}}\n");
    let broken = futures::stream::iter([Ok(line), Err(std::io::Error::other("gone"))]);
    let load = request(
        "/graphs/alpha/load",
        "application/x-ndjson",
        Body::from_stream(broken),
    );
    check_problem(&answer(&site.router, load).await, 400, "invalid_request");
    let shown = site.send("root", "GET /graphs/alpha", None).await;
    assert_eq!(shown.body["nodes"], json!({"Person": 0}));
}

#[tokio::test]
async fn media_types_are_those_of_the_document() {
    let site = site().await;
    let of = async |media_type: &str, coding: &str| {
        let mut request = request(
            "/graphs/alpha/query",
            media_type,
            Body::from("{\"query\": \"RETURN 1 AS x\"}"),
        );
        if !coding.is_empty() {
            let coding = coding.parse().expect("a header value");
            request
                .headers_mut()
                .insert(header::CONTENT_ENCODING, coding);
        }
        answer(&site.router, request).await
    };
    for fine in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(of(fine, "").await.status, StatusCode::OK, "{fine}");
    }
    assert_eq!(
        of("application/json", "identity").await.status,
        StatusCode::OK
    );
    for (media_type, coding) in [
        ("text/plain", ""),
        ("", ""),
        ("application/json", "br"),
        ("application/json-patch+json", ""),
    ] {
        check_problem(&of(media_type, coding).await, 415, "unsupported_media_type");
    }
    let export = Request::get("/graphs/alpha/export")
        .header(header::AUTHORIZATION, "Bearer root")
        .header(header::ACCEPT, "text/csv")
        .body(Body::empty())
        .expect("a request");
    check_problem(&answer(&site.router, export).await, 406, "not_acceptable");
}

/// `?branch=x` on an operation that takes the branch in its body would write to `main`.
#[tokio::test]
async fn a_query_string_that_nobody_reads_is_refused() {
    let site = site().await;
    let create = json!({"query": "CREATE (:Person {email: 'x'})"});
    for (route, body) in [
        (
            "POST /graphs/alpha/mutate?branch=draft",
            Some(create.clone()),
        ),
        ("POST /graphs/alpha/query?timeout_ms=1", Some(create)),
        ("GET /graphs/alpha?at=yesterday", None),
        ("GET /graphs/alpha/schema?version=1", None),
        ("GET /graphs/alpha/export?types=Person", None),
        ("GET /graphs?limit=-1", None),
        ("GET /graphs?limit=99999999999999999999", None),
        ("GET /graphs?limit=1&limit=2", None),
        ("GET /graphs?cursor=..%2F", None),
    ] {
        let answer = site.send("root", route, body).await;
        assert_eq!(answer.body["code"], "invalid_request", "{route}");
        check_problem(&answer, 400, "invalid_request");
    }
    let shown = site.send("root", "GET /graphs/alpha", None).await;
    assert_eq!(shown.body["nodes"], json!({"Person": 0}));
}

/// The executor holds a text once, however often it stands in the result; JSON repeats it.
#[tokio::test]
async fn a_small_result_that_is_large_as_json_is_refused() {
    let site = site().await;
    let name = "x".repeat(900);
    let create =
        json!({"query": "CREATE (:Person {email: 'a', name: $name})", "params": {"name": name}});
    let made = site
        .send("root", "POST /graphs/alpha/mutate", Some(create))
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let bomb = "MATCH (p:Person) UNWIND range(1, 60000) AS i RETURN collect(p) AS all";
    let answered = site
        .send(
            "root",
            "POST /graphs/alpha/query",
            Some(json!({"query": bomb})),
        )
        .await;
    check_problem(&answered, 400, "memory_limit");
    let head = site.send("root", "GET /graphs/alpha", None).await;
    let bomb = format!("MATCH (p:Person) SET p.name = 'y' WITH p {}", &bomb[17..]);
    let bomb = bomb.replace("'y'", "p.name + 'y'");
    let answered = site
        .send(
            "root",
            "POST /graphs/alpha/mutate",
            Some(json!({"query": bomb})),
        )
        .await;
    check_problem(&answered, 400, "memory_limit");
    let after = site.send("root", "GET /graphs/alpha", None).await;
    assert_eq!(
        head.body["head"], after.body["head"],
        "nothing was committed"
    );
}

/// A caller who reads nothing must not keep a thread and a snapshot for ever.
#[tokio::test]
async fn a_stream_that_nobody_reads_ends_with_its_time() {
    let site = site().await;
    let body = json!({
        "query": "UNWIND range(1, 1000) AS i RETURN range(1, 1000) AS many",
        "timeout_ms": 300,
    });
    let mut asked = request(
        "/graphs/alpha/query",
        "application/json",
        Body::from(body.to_string()),
    );
    let lines = "application/x-ndjson".parse().expect("a header value");
    asked.headers_mut().insert(header::ACCEPT, lines);
    let response = site
        .router
        .clone()
        .oneshot(asked)
        .await
        .expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    response
        .into_body()
        .collect()
        .await
        .expect_err("a part that could be taken for the whole");
}
