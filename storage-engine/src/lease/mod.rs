//! `leases/`: who reads what collection would remove.

mod file;
mod object;

use serde::{Deserialize, Serialize};

use crate::aside::in_background;
use crate::files::FileError;
use crate::lock;
use crate::store::Store;

/// The folder of leases in a graph's folder.
const FOLDER: &str = "leases";

/// What a lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Claim {
    /// Process id.
    pub(crate) pid: u32,
    /// Host name.
    pub(crate) host: String,
    /// Microseconds since 1970, UTC.
    pub(crate) since_micros: i64,
    /// The checkpoint of this position and the log after it are needed.
    pub(crate) lsn: u64,
}

impl Claim {
    fn on(lsn: u64) -> Self {
        let (pid, host, since_micros) = lock::myself();
        Self {
            pid,
            host,
            since_micros,
            lsn,
        }
    }
}

/// A lease, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Held,
}

#[derive(Debug)]
enum Held {
    File(file::Lease),
    Object(object::Lease),
}

impl Lease {
    /// Takes a lease on the checkpoint at `lsn` and the log after it. Only what is there after it
    /// was taken stays there. `None` where nothing can be written, and nobody can ask for more.
    pub(crate) fn take(store: &Store, lsn: u64) -> Result<Option<Self>, FileError> {
        let held = match store.bucket() {
            None => file::Lease::take(&store.place(""), lsn)?.map(Held::File),
            Some(bucket) => object::Lease::take(bucket, lsn)?.map(Held::Object),
        };
        Ok(held.map(|held| Self { held }))
    }

    /// Gives it back, on another thread where that blocks.
    pub(crate) fn give_back(self) {
        match self.held {
            Held::File(lease) => drop(lease),
            Held::Object(lease) => in_background(move || drop(lease)),
        }
    }
}

/// The leases that somebody holds. With `sweep` the others are removed.
pub(crate) fn live(store: &Store, sweep: bool) -> Result<Vec<Claim>, FileError> {
    match store.bucket() {
        None => file::live(&store.place(""), sweep),
        Some(bucket) => object::live(bucket, sweep),
    }
}
