//! The graph in moto, a server that speaks S3's protocol. `./dev test` installs it; where it is not,
//! its tests say so and are skipped.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use tempfile::TempDir;

use crate::Store;
use crate::tests::Fixture;

/// Serves on a free port, says which, and ends with its parent.
const SERVE: &str = "
import os, sys, threading
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
server = make_server('127.0.0.1', 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
";

const BUCKET: &str = "trellis-moto-tests";

pub(crate) struct Moto {
    process: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where `./dev test` puts it.
fn packages() -> PathBuf {
    let given = std::env::var_os("TRELLIS_CACHE").map(PathBuf::from);
    let cache = given.or_else(|| Some(std::env::home_dir()?.join(".cache/trellis")));
    cache.unwrap_or_default().join("moto")
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        let started = Command::new("python3")
            .args(["-c", SERVE])
            .env("PYTHONPATH", packages())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                println!("skipped: python3 cannot be started: {error}");
                return None;
            }
        };
        let mut port = String::new();
        if let Some(said) = process.stdout.take() {
            let _ = BufReader::new(said).read_line(&mut port);
        }
        let url = format!("http://127.0.0.1:{}", port.trim());
        let moto = Self { process, url };
        if port.trim().is_empty() {
            println!(
                "skipped: moto is not in {} (./dev test installs it)",
                packages().display()
            );
            return None;
        }
        let made = reqwest::blocking::Client::new()
            .put(format!("{}/{BUCKET}", moto.url))
            .send()
            .expect("moto answers");
        assert!(made.status().is_success(), "{made:?}");
        let client = AmazonS3Builder::new()
            .with_endpoint(&moto.url)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .with_bucket_name(BUCKET)
            .build()
            .expect("a client");
        crate::store::lend(BUCKET, Arc::new(client));
        Some(moto)
    }

    pub(crate) fn store(&self, name: &str) -> Store {
        Store::at(&format!("s3://{BUCKET}/graphs/{name}")).expect("a place")
    }

    pub(crate) fn fixture(&self, name: &str) -> Fixture {
        Fixture::at(TempDir::new().expect("a folder"), self.store(name))
    }
}
