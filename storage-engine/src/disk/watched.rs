//! Folders that a test watches.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::BoxStream;
use journal::{Effect, Faults, Verdict};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

static WATCHED: Mutex<Vec<(PathBuf, Arc<dyn Faults>)>> = Mutex::new(Vec::new());

/// A folder is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(PathBuf);

/// Every change below `folder` is asked for and told of. To be called before the graph is opened.
#[must_use]
pub(crate) fn watch(folder: &Path, faults: Arc<dyn Faults>) -> Watch {
    crate::store::lend("watched", Arc::new(Asking(LocalFileSystem::new())));
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.push((folder.to_owned(), faults));
    Watch(folder.to_owned())
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(folder, _)| *folder != self.0);
    }
}

/// Who watches a path.
pub(crate) fn of(path: &Path) -> Option<Arc<dyn Faults>> {
    let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = watched.iter().find(|(folder, _)| path.starts_with(folder));
    found.map(|(_, faults)| faults.clone())
}

/// The local disk as Lance sees it, where each change is asked for.
#[derive(Debug)]
struct Asking(LocalFileSystem);

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched")
    }
}

fn local(path: &ObjectPath) -> PathBuf {
    PathBuf::from(format!("/{path}"))
}

/// Makes a file of Lance's, whole.
async fn create<T>(path: &ObjectPath, real: impl Future<Output = Result<T>>) -> Result<T> {
    let path = local(path);
    let (faults, effect) = (of(&path), Effect::Create { path: &path });
    if let Some(faults) = &faults
        && let Verdict::Fail(error) = faults.before(&effect)
    {
        return Err(Error::Generic {
            store: "watched",
            source: error.into(),
        });
    }
    let made = real.await?;
    if let Some(faults) = &faults {
        faults.after(&effect);
    }
    Ok(made)
}

/// Reads of a file of Lance's.
async fn read<T>(path: &ObjectPath, real: impl Future<Output = Result<T>>) -> Result<T> {
    let path = local(path);
    let asked = of(&path).map_or(Ok(()), |faults| faults.read(&path));
    asked.map_err(|error| Error::Generic {
        // As the local disk's own errors are told.
        store: "LocalFileSystem",
        source: error.into(),
    })?;
    real.await
}

/// A file that comes in parts, and is there at the end.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    path: ObjectPath,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

// What `#[async_trait]` would write.
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    fn complete<'a, 'b>(&'a mut self) -> Answer<'b, PutResult>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(create(&self.path, self.inner.complete()))
    }

    fn abort<'a, 'b>(&'a mut self) -> Answer<'b, ()>
    where
        'a: 'b,
        Self: 'b,
    {
        self.inner.abort()
    }
}

impl ObjectStore for Asking {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> Answer<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(create(
            location,
            self.0.put_opts(location, payload, options),
        ))
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        options: PutMultipartOptions,
    ) -> Answer<'c, Box<dyn MultipartUpload>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let inner = self.0.put_multipart_opts(location, options).await?;
            let path = location.clone();
            Ok(Box::new(Upload { inner, path }) as Box<dyn MultipartUpload>)
        })
    }

    fn get_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        options: GetOptions,
    ) -> Answer<'c, GetResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(read(location, self.0.get_opts(location, options)))
    }

    fn get_ranges<'a, 'b, 'c, 'd>(
        &'a self,
        location: &'b ObjectPath,
        ranges: &'c [Range<u64>],
    ) -> Answer<'d, Vec<Bytes>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        Box::pin(read(location, self.0.get_ranges(location, ranges)))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_delimiter<'a, 'b, 'c>(
        &'a self,
        prefix: Option<&'b ObjectPath>,
    ) -> Answer<'c, ListResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.0.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b ObjectPath,
        to: &'c ObjectPath,
        options: CopyOptions,
    ) -> Answer<'d, ()>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        Box::pin(create(to, self.0.copy_opts(from, to, options)))
    }
}
