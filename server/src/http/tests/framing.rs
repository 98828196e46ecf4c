//! Long answers to callers of HTTP/1.0.

use axum::body::{Body, HttpBody};
use axum::http::{Request, StatusCode, Version, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Site;

/// How an answer began, and what of it came.
struct Answer {
    status: StatusCode,
    /// It has its length.
    counted: bool,
    /// What came before it broke off, if it did.
    bytes: Result<Vec<u8>, Vec<u8>>,
}

impl Answer {
    fn code(&self) -> String {
        let bytes = self.bytes.as_ref().expect("whole");
        let problem: Value = serde_json::from_slice(bytes).expect("a problem");
        problem["code"].as_str().expect("a code").to_owned()
    }

    /// Of one that broke off: the last line, or the only one.
    fn end(&self) -> Value {
        let bytes = self.bytes.as_ref().expect_err("it breaks off");
        let text = std::str::from_utf8(bytes).expect("text");
        let line = text.lines().last().expect("a line");
        serde_json::from_str(line).expect("whole")
    }
}

/// Asks for `rows` of which each is a kilobyte and the one at `error` cannot be made.
async fn ask(site: &Site, version: Version, accept: &str, rows: u64, error: u64) -> Answer {
    let query = "UNWIND range(1, $rows) AS n RETURN $text AS text, 1 / ($error - n) AS x";
    let params = json!({"rows": rows, "error": error, "text": "x".repeat(1_500)});
    let request = Request::post("/graphs/alpha/query")
        .version(version)
        .header(header::AUTHORIZATION, "Bearer reader")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, accept)
        .body(Body::from(
            json!({"query": query, "params": params}).to_string(),
        ))
        .expect("a request");
    let response = site.router.clone().oneshot(request).await;
    let (parts, body) = response.expect("infallible").into_parts();
    Answer {
        status: parts.status,
        counted: body.size_hint().exact().is_some(),
        bytes: taken(body).await,
    }
}

/// All of it, as from a socket: what is taken is let go.
async fn taken(mut body: Body) -> Result<Vec<u8>, Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().expect("no trailers")),
            Err(_) => return Err(bytes),
        }
    }
    Ok(bytes)
}

/// Only what is streamed is refused: an answer that is there has its length, whatever is accepted.
#[tokio::test]
async fn the_answer_to_a_write_is_given() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let query =
        "CREATE (p:Person {email: 'a'}) WITH p UNWIND range(1, 900) AS n RETURN n, $text AS text";
    let params = json!({"text": "x".repeat(1_500)});
    let request = Request::post("/graphs/alpha/mutate")
        .version(Version::HTTP_10)
        .header(header::AUTHORIZATION, "Bearer root")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::from(
            json!({"query": query, "params": params}).to_string(),
        ))
        .expect("a request");
    let response = site.router.clone().oneshot(request).await;
    let (parts, body) = response.expect("infallible").into_parts();
    assert_eq!(parts.status, StatusCode::OK);
    let length = body.size_hint().exact().expect("it has its length");
    assert!(length > 1 << 20, "{length}");
    assert_eq!(taken(body).await.expect("whole").len() as u64, length);
}

#[tokio::test]
async fn nobody_takes_half_an_answer_for_a_whole_one() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let formats = [
        "application/x-ndjson",
        "application/vnd.apache.arrow.stream",
        "application/json",
    ];
    for accept in formats {
        let check = async |version, rows, error| ask(&site, version, accept, rows, error).await;
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);

        let (short, same) = (check(old, 300, 0).await, check(new, 300, 0).await);
        assert_eq!(
            (short.status, short.counted),
            (StatusCode::OK, true),
            "{accept}"
        );
        assert!(same.counted == (accept == "application/json"), "{accept}");
        let (short, same) = (short.bytes.expect("whole"), same.bytes.expect("whole"));
        assert!(short.len() > 300 << 10, "{accept}");
        assert_eq!(short.len() / 1_000, same.len() / 1_000, "{accept}");

        // The status is sent with the first rows, unless they are kept back.
        let broken = check(old, 400, 300).await;
        assert_eq!(broken.status, StatusCode::BAD_REQUEST, "{accept}");
        assert_eq!(broken.code(), "execution_failed");

        let long = check(old, 900, 0).await;
        assert_eq!(
            long.status,
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "{accept}"
        );
        assert_eq!(long.code(), "http_version_not_supported");
        let long = check(new, 900, 0).await;
        assert_eq!(
            (long.status, long.counted),
            (StatusCode::OK, false),
            "{accept}"
        );
        assert!(long.bytes.expect("whole").len() > 900 << 10, "{accept}");
        let broken = check(new, 1_000, 950).await;
        assert_eq!(broken.status, StatusCode::OK, "{accept}");
        if accept == "application/vnd.apache.arrow.stream" {
            assert!(broken.bytes.is_err(), "it breaks off");
        } else {
            let end = broken.end();
            assert_eq!(end["error"]["code"], "execution_failed", "{accept}: {end}");
            assert_eq!(end["error"]["instance"], "/graphs/alpha/query");
            assert_ne!(end["error"]["request_id"], "");
        }
    }
}
