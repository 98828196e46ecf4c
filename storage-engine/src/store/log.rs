//! The objects of a graph's log.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use journal::{Object, ObjectError, Objects, Put};
use object_store::Error;

use crate::store::bucket::{Bucket, PutNew, refuses};

/// How long the first repetition of a request waits; each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The objects below `log/`.
#[derive(Debug)]
pub(crate) struct LogObjects(Bucket);

impl LogObjects {
    /// Those of the graph that is kept there.
    pub(crate) fn of(bucket: &Bucket) -> Self {
        Self(bucket.below("log"))
    }
}

fn error(error: Error) -> ObjectError {
    match refuses(&error) {
        true => ObjectError::Refused(error.into()),
        false => ObjectError::Unclear(error.into()),
    }
}

impl Objects for LogObjects {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<Put, ObjectError> {
        match self.0.put_new(name, Bytes::copy_from_slice(bytes)) {
            Ok(PutNew::Stored) => Ok(Put::Stored),
            Ok(PutNew::Exists) => Ok(Put::Exists),
            Err(failure) => Err(error(failure)),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let put = self.0.put_over(name, Bytes::copy_from_slice(bytes));
        put.map_err(error)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        let found = self.0.find(name).map_err(error)?;
        Ok(found.map(Into::into))
    }

    fn get_all(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, ObjectError> {
        let found = self.0.find_all(names).map_err(error)?;
        let found = found.into_iter().map(|found| found.map(Into::into));
        Ok(found.collect())
    }

    fn list(&self, after: Option<&str>) -> Result<Vec<Object>, ObjectError> {
        // Every name of the log comes after this one.
        let listed = self.0.list_after(after.unwrap_or("!")).map_err(error)?;
        let objects = listed.into_iter().map(|listed| Object {
            name: listed.name,
            bytes: listed.bytes,
        });
        Ok(objects.collect())
    }

    fn delete(&self, name: &str) -> Result<(), ObjectError> {
        self.0.remove(name).map_err(error)
    }

    fn delete_all(&self, names: &[String]) -> Result<(), ObjectError> {
        self.0.remove_all(names).map_err(error)
    }

    fn wait(&self, attempt: u32) {
        self.0
            .wait(FIRST_WAIT * 2_u32.saturating_pow(attempt.min(6)));
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.place(name)
    }
}
