//! Buckets by name: one client each for the whole process, for the engine and for Lance alike.
//!
//! Where the store is and who asks come from the process's environment, as the `object_store` crate
//! reads it: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`,
//! `AWS_ALLOW_HTTP` and so on; never from a request.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use lance_io::object_store::{
    ObjectStore as LanceStore, ObjectStoreParams, ObjectStoreProvider, ObjectStoreRegistry,
};
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use url::Url;

use crate::store::bucket::Bucket;

/// How many reads Lance has under way at once.
const PARALLEL: usize = 16;

/// How often Lance tries to read on when a download breaks off.
const DOWNLOADS: usize = 3;

static CLIENTS: LazyLock<Mutex<HashMap<String, Arc<dyn ObjectStore>>>> =
    LazyLock::new(Mutex::default);

/// A place in an object store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It names no bucket and prefix.
    #[error("{uri} does not name a place in a bucket, as s3://bucket/prefix does")]
    Malformed {
        /// What was given.
        uri: String,
    },
    /// This program was built without object stores.
    #[error("this build of Trellis has no object stores: its feature `aws` is off")]
    NotBuilt,
    /// The environment does not say where the store is, or does not say it right.
    #[error("the object store is not configured: see the AWS_* variables in the README")]
    Configuration(#[source] Box<object_store::Error>),
}

/// The bucket and prefix of `s3://bucket/prefix`.
pub(super) fn bucket(uri: &str) -> Result<Bucket, PlaceError> {
    let malformed = || PlaceError::Malformed {
        uri: uri.to_owned(),
    };
    let place = uri.strip_prefix("s3://").ok_or_else(malformed)?;
    let (name, prefix) = place.split_once('/').ok_or_else(malformed)?;
    let prefix = ObjectPath::parse(prefix).map_err(|_| malformed())?;
    if name.is_empty() || prefix.as_ref().is_empty() {
        return Err(malformed());
    }
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let client = match clients.get(name) {
        Some(client) => client.clone(),
        None => {
            let client = client(name)?;
            clients.insert(name.to_owned(), client.clone());
            client
        }
    };
    Ok(Bucket::new(name, prefix, client))
}

/// Serves a bucket from memory, or through faults.
#[cfg(test)]
pub(crate) fn lend(name: &str, client: Arc<dyn ObjectStore>) {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    clients.insert(name.to_owned(), client);
}

#[cfg(feature = "aws")]
fn client(bucket: &str) -> Result<Arc<dyn ObjectStore>, PlaceError> {
    use object_store::RetryConfig;
    use object_store::aws::AmazonS3Builder;
    use std::time::Duration;

    // A commit waits for its put, so it is told soon that the store is out of reach.
    let retry = RetryConfig {
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
        ..RetryConfig::default()
    };
    let client = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry)
        .build()
        .map_err(|error| PlaceError::Configuration(Box::new(error)))?;
    Ok(Arc::new(client))
}

#[cfg(not(feature = "aws"))]
fn client(_: &str) -> Result<Arc<dyn ObjectStore>, PlaceError> {
    Err(PlaceError::NotBuilt)
}

/// Gives Lance the clients that are there; it has none of its own for `s3`.
#[derive(Debug)]
struct Clients;

type Answer<'a> = Pin<Box<dyn Future<Output = Result<LanceStore, lance_core::Error>> + Send + 'a>>;

impl ObjectStoreProvider for Clients {
    // Written out: this is what the trait's `async fn` stands for.
    fn new_store<'this, 'params, 'answer>(
        &'this self,
        base: Url,
        params: &'params ObjectStoreParams,
    ) -> Answer<'answer>
    where
        'this: 'answer,
        'params: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
            let client = base.host_str().and_then(|name| clients.get(name).cloned());
            drop(clients);
            let client = client.ok_or_else(|| {
                lance_core::Error::invalid_input(format!("there is no client for {base}"))
            })?;
            Ok(LanceStore::new(
                client,
                base,
                params.block_size,
                None,
                false,
                true,
                PARALLEL,
                DOWNLOADS,
                None,
            ))
        })
    }
}

/// Lance's own stores, and ours.
pub(crate) fn lance_stores() -> Arc<ObjectStoreRegistry> {
    let registry = ObjectStoreRegistry::default();
    registry.insert("s3", Arc::new(Clients));
    Arc::new(registry)
}
