//! What starts, what refuses to, and how it ends.
#![allow(
    clippy::disallowed_methods,
    reason = "tests write the files that people would"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use server::{BootError, ServeOptions, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn config(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("trellis.yaml");
    std::fs::write(&path, text).expect("written");
    path
}

fn options(config: PathBuf) -> ServeOptions {
    ServeOptions {
        bind: Some("127.0.0.1:0".to_owned()),
        ..ServeOptions::new(config)
    }
}

#[tokio::test]
async fn nobody_and_everybody_is_refused_unless_it_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = config(&folder, "version: 1\nserver: { storage: data }\n");
    let error = start(options(path.clone())).await.expect_err("refused");
    assert!(error.to_string().contains("--unauthenticated"), "{error}");
    let open = ServeOptions {
        unauthenticated: true,
        ..options(path.clone())
    };
    start(open.clone())
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    let everywhere = ServeOptions {
        bind: Some("0.0.0.0:0".to_owned()),
        ..open
    };
    let error = start(everywhere).await.expect_err("refused");
    assert!(matches!(error, BootError::NotLoopback { .. }), "{error}");
}

#[tokio::test]
async fn a_config_that_is_wrong_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for text in [
        "version: 2\n",
        "version: 1\nservr: {}\n",
        "version: 1\nserver: { policy: { file: none.cedar } }\n",
        "version: 1\nauth: { tokens_file: none.yaml }\n",
    ] {
        start(options(config(&folder, text))).await.expect_err(text);
    }
}

#[tokio::test]
async fn a_connection_that_never_ends_does_not_keep_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = config(&folder, "version: 1\nserver: { storage: data }\n");
    let grace = Duration::from_millis(200);
    let open = ServeOptions {
        unauthenticated: true,
        grace,
        ..options(path)
    };
    let running = start(open).await.expect("starts");
    let mut connection = TcpStream::connect(running.address())
        .await
        .expect("connects");
    let half = b"POST /graphs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    connection.write_all(half).await.expect("written");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    running.stop().await.expect("stops");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_open_server_serves_anonymous_and_refuses_a_wrong_credential() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = config(&folder, "version: 1\nserver: { storage: data }\n");
    let open = ServeOptions {
        unauthenticated: true,
        ..options(path)
    };
    let running = start(open).await.expect("starts");
    let ask = async |header: &str| {
        let mut connection = TcpStream::connect(running.address())
            .await
            .expect("connects");
        let request =
            format!("GET /whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n");
        connection
            .write_all(request.as_bytes())
            .await
            .expect("written");
        let mut text = String::new();
        connection
            .read_to_string(&mut text)
            .await
            .expect("answered");
        text
    };
    assert!(
        ask("")
            .await
            .contains("\"principal\":\"anonymous\",\"kind\":\"anonymous\"")
    );
    assert!(
        ask("authorization: Bearer x\r\n")
            .await
            .starts_with("HTTP/1.1 401")
    );
    running.stop().await.expect("stops");
}
