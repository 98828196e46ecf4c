//! Leases in an object store.
//!
//! No lock ends with its process there, so a lease is over by itself after some time, far longer than
//! what it is taken for takes. How long it is there is told by clocks of different machines, which is
//! why it is that long: collection waits, and nothing else.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Claim, FOLDER};
use crate::clock;
use crate::files::FileError;
use crate::store::bucket::Bucket;
use crate::store::claim::Process;

/// A lease is over when this much time has passed, and is nobody's when it comes from a time that is
/// further ahead: two hours in microseconds.
const EXPIRES_MICROS: u64 = 2 * 3_600_000_000;

/// What the object says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Said {
    #[serde(flatten)]
    claim: Claim,
    process: Process,
}

impl Said {
    fn holds(&self) -> bool {
        let age = clock::now_micros().abs_diff(self.claim.since_micros);
        age < EXPIRES_MICROS && !self.process.is_over()
    }
}

/// An object that says what is needed.
#[derive(Debug)]
pub(super) struct Lease {
    bucket: Bucket,
    name: String,
}

impl Lease {
    pub(super) fn take(bucket: &Bucket, lsn: u64) -> Result<Option<Self>, FileError> {
        let said = Said {
            claim: Claim::on(lsn),
            process: Process::this(),
        };
        let name = format!("{FOLDER}/{}.json", Uuid::new_v4().simple());
        let text = serde_json::to_vec(&said).unwrap_or_default();
        match bucket.put(&name, text.into()) {
            Ok(()) => Ok(Some(Self {
                bucket: bucket.clone(),
                name,
            })),
            // Who may only read gets along without.
            Err(error) if error.is_refused() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(error) = self.bucket.delete(&self.name) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a lease stays until its time is over");
        }
    }
}

/// The leases that hold. With `sweep` the others are removed.
pub(super) fn live(bucket: &Bucket, sweep: bool) -> Result<Vec<Claim>, FileError> {
    let listed = bucket.list(FOLDER)?.into_iter();
    let names: Vec<String> = listed.map(|it| format!("{FOLDER}/{}", it.name)).collect();
    let found = bucket.find_all(&names);
    let found = found.map_err(|error| bucket.error("read", FOLDER, error))?;
    let mut claims = Vec::new();
    for (name, bytes) in names.iter().zip(found) {
        // One that is gone was given back.
        let Some(bytes) = bytes else { continue };
        // What cannot be understood is not ours.
        let Ok(said) = serde_json::from_slice::<Said>(&bytes) else {
            continue;
        };
        if said.holds() {
            claims.push(said.claim);
        } else if sweep && let Err(error) = bucket.delete(name) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a lease that nobody holds stays");
        }
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_while_it_is_held_and_not_for_ever() {
        let (_home, store, _) = crate::tests::objects::place();
        let bucket = store.bucket().expect("a bucket");
        let lsns = |sweep| {
            let claims = live(bucket, sweep).expect("listed");
            let mut lsns: Vec<u64> = claims.iter().map(|claim| claim.lsn).collect();
            lsns.sort_unstable();
            lsns
        };
        let first = Lease::take(bucket, 7).expect("taken").expect("stored");
        let second = Lease::take(bucket, 3).expect("taken").expect("stored");
        assert_eq!(lsns(true), [3, 7]);
        drop(second);
        assert_eq!(lsns(true), [7]);
        let elsewhere = Process::elsewhere();
        let mut said = Said {
            claim: Claim::on(9),
            process: elsewhere,
        };
        let hours = |hours: i64| hours * 3_600_000_000;
        let now = said.claim.since_micros;
        for (since, held) in [(-1, true), (1, true), (-3, false), (3, false)] {
            said.claim.since_micros = now + hours(since);
            let text = serde_json::to_vec(&said).expect("JSON");
            bucket.put("leases/other.json", text.into()).expect("put");
            assert_eq!(lsns(false).contains(&9), held, "{since}");
        }
        assert!(bucket.find("leases/other.json").expect("read").is_some());
        assert_eq!(lsns(true), [7]);
        assert!(bucket.find("leases/other.json").expect("read").is_none());
        drop(first);
        assert_eq!(lsns(true), [0; 0]);
    }
}
