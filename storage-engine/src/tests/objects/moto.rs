//! The graph in moto, a server that speaks S3's protocol. `./dev test` installs it; where it is not,
//! its tests say so and are skipped.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use tempfile::TempDir;
use uuid::Uuid;

use crate::Store;
use crate::tests::Fixture;
use crate::tests::objects::memory::Memory;

const BUCKET: &str = "trellis-moto-tests";

/// Killed when dropped.
pub(crate) struct Moto {
    process: Child,
    client: Arc<dyn ObjectStore>,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where `./dev test` puts it.
fn packages() -> PathBuf {
    let given = std::env::var_os("TRELLIS_MOTO").map(PathBuf::from);
    let usual = || Some(std::env::home_dir()?.join(".cache/trellis/moto"));
    given.or_else(usual).unwrap_or_default()
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/s3.py");
        let started = Command::new("python3")
            .args([script, BUCKET])
            .env("PYTHONPATH", packages())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = started.ok();
        let mut port = String::new();
        if let Some(said) = process.as_mut().and_then(|it| it.stdout.take()) {
            let _ = BufReader::new(said).read_line(&mut port);
        }
        let port = port.trim();
        if port.is_empty() {
            let packages = packages();
            let there = packages.join("moto/server.py").exists();
            assert!(!there, "moto is there and does not start");
            println!(
                "skipped: no moto in {}; ./dev test installs it",
                packages.display()
            );
            return None;
        }
        let client = AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{port}"))
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .with_bucket_name(BUCKET)
            .build()
            .expect("a client");
        let client: Arc<dyn ObjectStore> = Arc::new(client);
        crate::store::lend(BUCKET, client.clone());
        process.map(|process| Self { process, client })
    }

    /// A place of that name, through faults.
    pub(super) fn faulty(&self, name: &str) -> (Store, Memory) {
        let memory = Memory::over(self.client.clone());
        // Under a name that no server has, the same objects.
        let bucket = format!("faulty-{name}");
        crate::store::lend(&bucket, Arc::new(memory.clone()));
        let store = Store::at(&format!("s3://{bucket}/graphs/{name}")).expect("a place");
        (store, memory)
    }

    /// A new place.
    pub(crate) fn place(&self) -> (TempDir, Store) {
        let name = Uuid::new_v4().simple();
        let store = Store::at(&format!("s3://{BUCKET}/places/{name}")).expect("a place");
        (TempDir::new().expect("a folder"), store)
    }

    pub(in crate::tests) fn fixture(&self, name: &str) -> Fixture {
        let store = Store::at(&format!("s3://{BUCKET}/graphs/{name}")).expect("a place");
        Fixture::at(TempDir::new().expect("a folder"), store)
    }
}
