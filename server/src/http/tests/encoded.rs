//! Answers that are compressed while they are made.

use axum::body::{Body, HttpBody};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;
use tower_http::decompression::Decompression;

use super::Site;

/// Bytes of rows that each answer has at least.
const ROWS: usize = 2_000_000;

fn asked(accept: &str, query: &str) -> Request<Body> {
    let body = json!({"query": query, "params": {"text": "x".repeat(1_000)}});
    Request::post("/graphs/g/query")
        .header(header::AUTHORIZATION, "Bearer root")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, accept)
        .body(Body::from(body.to_string()))
        .expect("a request")
}

/// All of it, as from a socket: what is taken is let go.
async fn whole<B>(response: Response<B>, asked: &str) -> Vec<u8>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    assert_eq!(response.status(), StatusCode::OK, "{asked}");
    let (mut body, mut whole) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        whole.extend_from_slice(frame.data_ref().expect("no trailers"));
    }
    whole
}

/// The encoder keeps a piece that it has used up until it has the next, which has to wait for room.
#[tokio::test]
async fn long_pieces_are_compressed_one_after_the_other() {
    let site = Site::new();
    assert_eq!(site.create("g", "open").await.status, StatusCode::CREATED);
    // Three million bytes in pieces of about one, and four rows of half a million.
    let batches = "WITH $text + $text + $text AS t UNWIND range(1, 1000) AS i RETURN i, t";
    let longer = "WITH t + t + t + t + t + t + t + t AS t ".repeat(3);
    let rows = format!("WITH $text AS t {longer} UNWIND range(1, 4) AS i RETURN i, t");
    for (accept, query) in [
        ("application/vnd.apache.arrow.stream", batches),
        ("application/x-ndjson", &rows),
        ("application/json", &rows),
    ] {
        let plain = site.router.clone().oneshot(asked(accept, query)).await;
        let plain = whole(plain.expect("infallible"), accept).await;
        assert!(plain.len() > ROWS, "{accept}: {}", plain.len());
        for encoding in ["gzip", "zstd"] {
            let decoding = Decompression::new(site.router.clone())
                .gzip(encoding == "gzip")
                .zstd(encoding == "zstd");
            let response = decoding.oneshot(asked(accept, query)).await;
            let decoded = whole(response.expect("infallible"), encoding).await;
            // Statistics, at the end of JSON, are different each time.
            assert!(
                decoded[..ROWS] == plain[..ROWS],
                "{accept}, {encoding}: {}",
                decoded.len()
            );
        }
    }
}
