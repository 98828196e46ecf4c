//! Objects of an object store, one call at a time: the store's own client is asynchronous, the
//! engine is not. Every call blocks; none is to be made from an async context.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use tokio::runtime::Runtime;

use crate::files::{FileError, failed};
use crate::store::Listed;

/// How many requests are under way at once for one caller.
const PARALLEL: usize = 16;

/// What is larger is put in parts of this size.
const PART_BYTES: usize = 16 << 20;

/// Requests run on a thread of their own, so that neither Lance nor the server delays a commit.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("objects")
        .enable_all()
        .build()
});

/// Starts that thread, if it was not before: with the priority of the caller's.
pub(crate) fn start_requests() {
    // Whoever needs it is told that it cannot be started.
    LazyLock::force(&RUNTIME);
}

/// All objects of a bucket whose names begin with a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    name: Arc<str>,
    prefix: ObjectPath,
    client: Arc<dyn ObjectStore>,
}

/// The same place; the client is the same then.
impl PartialEq for Bucket {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.prefix) == (&other.name, &other.prefix)
    }
}

impl Eq for Bucket {}

/// What became of a put that needs a free name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutNew {
    Stored,
    Exists,
}

impl Bucket {
    pub(crate) fn new(name: &str, prefix: ObjectPath, client: Arc<dyn ObjectStore>) -> Self {
        Self {
            name: name.into(),
            prefix,
            client,
        }
    }

    /// Everything that is below a part of this.
    pub(crate) fn below(&self, part: &str) -> Self {
        Self {
            prefix: self.path(part),
            ..self.clone()
        }
    }

    /// The uri of an object, in the one spelling that it has here.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("s3://{}/{}", self.name, self.path(name)))
    }

    fn path(&self, name: &str) -> ObjectPath {
        let parts = name.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Runs one request to its end.
    fn run<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match &*RUNTIME {
            Ok(runtime) => runtime.block_on(future),
            Err(error) => Err(Error::NotSupported {
                source: format!("no thread for the object store: {error}").into(),
            }),
        }
    }

    /// Lets some time pass before what failed is tried again.
    pub(crate) fn wait(&self, duration: Duration) {
        if let Ok(runtime) = &*RUNTIME {
            runtime.block_on(async { tokio::time::sleep(duration).await });
        }
    }

    /// Stores an object, whatever has that name.
    pub(crate) fn put(&self, name: &str, bytes: Bytes) -> Result<(), FileError> {
        let stored = self.put_over(name, bytes);
        stored.map_err(|error| self.error("store", name, error))
    }

    pub(crate) fn put_over(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let path = self.path(name);
        self.run(async {
            if bytes.len() <= PART_BYTES {
                self.client.put(&path, bytes.into()).await?;
                return Ok(());
            }
            let upload = self.client.put_multipart(&path).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            upload.put(bytes);
            upload.finish().await.map(drop)
        })
    }

    /// Stores what a reader gives, in parts, so that it is never in memory as a whole.
    pub(crate) fn put_all(&self, name: &str, reader: &mut dyn io::Read) -> Result<(), FileError> {
        let path = self.path(name);
        let unread = |error: io::Error| Error::Generic {
            store: "file",
            source: error.into(),
        };
        let stored = self.run(async {
            let upload = self.client.put_multipart(&path).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            loop {
                let mut part = Vec::with_capacity(PART_BYTES);
                io::Read::read_to_end(
                    &mut io::Read::take(&mut *reader, PART_BYTES as u64),
                    &mut part,
                )
                .map_err(unread)?;
                if part.is_empty() {
                    break;
                }
                upload.wait_for_capacity(2).await?;
                upload.put(part.into());
            }
            upload.finish().await.map(drop)
        });
        stored.map_err(|error| self.error("store", name, error))
    }

    /// Stores what one object holds under another name too.
    pub(crate) fn copy(&self, from: &str, to: &str) -> Result<(), FileError> {
        let copied = self.run(self.client.copy(&self.path(from), &self.path(to)));
        copied.map_err(|error| self.error("copy", from, error))
    }

    /// As [`Bucket::copy`], for several: from and to.
    pub(crate) fn copy_all(&self, pairs: &[(String, String)]) -> Result<(), FileError> {
        let copies = pairs.iter().map(|(from, to)| {
            let (source, target) = (self.path(from), self.path(to));
            async move {
                let copied = self.client.copy(&source, &target).await;
                copied.map_err(|error| (from, error))
            }
        });
        let copies = futures::stream::iter(copies).buffer_unordered(PARALLEL);
        let mut failed = None;
        let done = self.run(async {
            let copied: Result<(), _> = copies.try_collect().await;
            failed = copied.err();
            Ok(())
        });
        match (failed, done) {
            (Some((from, error)), _) => Err(self.error("copy", from, error)),
            (None, done) => done.map_err(|error| self.error("copy", "", error)),
        }
    }

    /// Stores an object unless one has that name.
    pub(crate) fn put_new(&self, name: &str, bytes: Bytes) -> Result<PutNew, Error> {
        let options = PutOptions::from(PutMode::Create);
        let path = self.path(name);
        match self.run(
            self.client
                .put_opts(&path, PutPayload::from(bytes), options),
        ) {
            Ok(_) => Ok(PutNew::Stored),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(PutNew::Exists),
            Err(error) => Err(error),
        }
    }

    /// A whole object; `None` when there is none.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let path = self.path(name);
        self.run(async { found(self.client.get(&path).await?.bytes().await) })
            .or_else(|error| absent(error).map_or_else(Err, |()| Ok(None)))
    }

    /// Several whole objects.
    pub(crate) fn find_all(&self, names: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        let gets = names.iter().map(|name| {
            let path = self.path(name);
            async move {
                match self.client.get(&path).await {
                    Ok(got) => found(got.bytes().await),
                    Err(error) => absent(error).map(|()| None),
                }
            }
        });
        self.run(futures::stream::iter(gets).buffered(PARALLEL).try_collect())
    }

    pub(crate) fn get(&self, name: &str) -> Result<Bytes, FileError> {
        match self.find(name) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(self.missing("read", name)),
            Err(error) => Err(self.error("read", name, error)),
        }
    }

    /// Gives an object to a writer, piece by piece.
    pub(crate) fn get_into(&self, name: &str, writer: &mut dyn io::Write) -> Result<(), FileError> {
        let path = self.path(name);
        let copied = self.run(async {
            let mut pieces = self.client.get(&path).await?.into_stream();
            while let Some(piece) = pieces.try_next().await? {
                writer.write_all(&piece).map_err(|error| Error::Generic {
                    store: "file",
                    source: error.into(),
                })?;
            }
            Ok(())
        });
        copied.map_err(|error| self.error("read", name, error))
    }

    /// What is directly below `below`.
    pub(crate) fn list(&self, below: &str) -> Result<Vec<Listed>, FileError> {
        let path = self.path(below);
        let listed = self
            .run(self.client.list_with_delimiter(Some(&path)))
            .map_err(|error| self.error("list", below, error))?;
        let objects = listed.objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            let bytes = object.size;
            Some(Listed { name, bytes })
        });
        Ok(objects.collect())
    }

    /// What is directly below this and has a name after `after`.
    pub(crate) fn list_after(&self, after: &str) -> Result<Vec<Listed>, Error> {
        let offset = self.path(after);
        let objects = self.client.list_with_offset(Some(&self.prefix), &offset);
        let objects: Vec<_> = self.run(objects.try_collect())?;
        let listed = objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            let bytes = object.size;
            Some(Listed { name, bytes })
        });
        Ok(listed.collect())
    }

    /// Every object below `below`, however deep, by its name within this.
    pub(crate) fn list_all(&self, below: &str) -> Result<Vec<Listed>, FileError> {
        let path = self.path(below);
        let objects: Result<Vec<_>, Error> = self.run(self.client.list(Some(&path)).try_collect());
        let objects = objects.map_err(|error| self.error("list", below, error))?;
        let listed = objects.into_iter().filter_map(|object| {
            let name = object
                .location
                .as_ref()
                .strip_prefix(self.prefix.as_ref())?;
            let name = name.trim_start_matches('/').to_owned();
            let bytes = object.size;
            Some(Listed { name, bytes })
        });
        Ok(listed.collect())
    }

    /// Whether there is no object here at all.
    pub(crate) fn is_empty(&self) -> Result<bool, FileError> {
        let first = self.run(async {
            let mut objects = self.client.list(Some(&self.prefix));
            objects.try_next().await
        });
        first
            .map(|first| first.is_none())
            .map_err(|error| self.error("list", "", error))
    }

    /// Removes an object. One that is not there is none too many.
    pub(crate) fn delete(&self, name: &str) -> Result<(), FileError> {
        self.remove(name)
            .map_err(|error| self.error("remove", name, error))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        self.run(self.client.delete(&path)).or_else(absent)
    }

    /// Removes several objects.
    pub(crate) fn remove_all(&self, names: &[String]) -> Result<(), Error> {
        let removals = names.iter().map(|name| {
            let path = self.path(name);
            async move { self.client.delete(&path).await.or_else(absent) }
        });
        self.run(
            futures::stream::iter(removals)
                .buffer_unordered(PARALLEL)
                .try_collect(),
        )
    }

    pub(crate) fn missing(&self, action: &'static str, name: &str) -> FileError {
        let error = io::Error::new(io::ErrorKind::NotFound, "there is no such object");
        failed(action, &self.place(name))(error)
    }

    pub(crate) fn error(&self, action: &'static str, name: &str, error: Error) -> FileError {
        let kind = match &error {
            Error::NotFound { .. } => io::ErrorKind::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::Other,
        };
        failed(action, &self.place(name))(io::Error::new(kind, error))
    }
}

fn found(bytes: Result<Bytes, Error>) -> Result<Option<Bytes>, Error> {
    bytes.map(Some)
}

/// Takes a missing object for what it is.
fn absent(error: Error) -> Result<(), Error> {
    match error {
        Error::NotFound { .. } => Ok(()),
        other => Err(other),
    }
}

/// Whether the store has said no, so that nothing was changed.
pub(crate) fn refuses(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}
