//! Who writes a graph in an object store: `epochs/<epoch>.json`, one for each writer there was.
//!
//! An object store has no lock that ends with its process. A writer claims the next epoch by storing
//! that object, which only one can, and says in it who it is and until when others should leave the
//! graph to it, its *lease*. It renews the lease while it is used. What keeps two writers apart is not
//! the lease, though, but the epoch, which it also puts into the log (`journal::ObjectJournal`): clocks
//! that differ make a writer wait too long or take over too early, and nothing worse.
//!
//! While the lease lasts, what a writer has in memory is the newest state, and it reads from there. It
//! counts on two thirds of it, and once those are over, on nothing: others may have read the old claim
//! and be about to store theirs. Then it claims the next epoch as well ([`Claim::regain`]), which again
//! only one can, before it reads.
//!
//! The claim is also where the store is tried: one that lets a second put of the same name through
//! cannot hold a graph.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use object_store::Error;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock;
use crate::files::FileError;
use crate::lock::Holder;
use crate::store::bucket::{Bucket, PutNew};

/// How often a put that was not answered is tried.
const ATTEMPTS: u32 = 4;

/// How long is waited before it is tried again.
const WAIT: Duration = Duration::from_millis(100);

/// So many times in a lease the store is asked at most that does not answer.
const PAUSES: u32 = 15;

/// Claims of this process that are not given up. Of one that is not here and names this process,
/// nothing is left that could write.
static LIVE: LazyLock<Mutex<HashSet<Uuid>>> = LazyLock::new(Mutex::default);

/// What the object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    epoch: u64,
    /// Of this claim alone.
    nonce: Uuid,
    holder: Holder,
    process: Process,
    renewed_micros: i64,
    lease_millis: u64,
    /// The writer has ended and will not write again.
    released: bool,
}

/// A process, so that the same machine can tell whether it still runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// The boot and the process namespace: what a process id is unique in.
    machine: String,
    pid: u32,
    /// When it began, as the kernel counts.
    began: String,
}

impl Process {
    pub(crate) fn this() -> Self {
        Self {
            machine: machine(),
            pid: std::process::id(),
            began: began(std::process::id()).unwrap_or_default(),
        }
    }

    /// One of which nothing can be told.
    #[cfg(test)]
    pub(crate) fn elsewhere() -> Self {
        Self {
            machine: "elsewhere".to_owned(),
            ..Self::this()
        }
    }

    /// It ran here and has ended.
    pub(crate) fn is_over(&self) -> bool {
        let here = !self.machine.is_empty() && self.machine == machine();
        here && !self.began.is_empty() && began(self.pid).as_ref() != Some(&self.began)
    }
}

/// Empty where it cannot be told.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{} {}", boot.trim(), namespace.display()),
        _ => String::new(),
    }
}

/// The 22nd field of the process's state; what comes before it may hold blanks and brackets.
fn began(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

impl Said {
    /// Whether its writer may still be at work, by all that can be told.
    fn holds(&self) -> bool {
        if self.released || self.process.is_over() {
            return false;
        }
        if self.process == Process::this() {
            let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
            if !live.contains(&self.nonce) {
                return false;
            }
        }
        let lease = i64::try_from(self.lease_millis).unwrap_or(i64::MAX);
        let until = self
            .renewed_micros
            .saturating_add(lease.saturating_mul(1_000));
        clock::now_micros() < until
    }

    /// What a new claim of this process says.
    fn new(epoch: u64, lease: Duration) -> Self {
        let (pid, host, since_micros) = crate::lock::myself();
        let said = Self {
            epoch,
            nonce: Uuid::new_v4(),
            holder: Holder {
                pid,
                host,
                since_micros,
            },
            process: Process::this(),
            renewed_micros: since_micros,
            lease_millis: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            released: false,
        };
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        live.insert(said.nonce);
        said
    }

    /// Nobody in this process makes use of it any more.
    fn forget(&self) {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        live.remove(&self.nonce);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Why nothing was claimed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("another process holds the graph for writing")]
    Held(Holder),
    #[error("the object store gives away a name that is taken")]
    Unconditional,
    #[error(transparent)]
    File(#[from] FileError),
}

/// A claimed epoch. Dropped without [`Claim::release`] it ends as with a crash.
#[derive(Debug)]
pub(crate) struct Claim {
    bucket: Bucket,
    lease: Duration,
    /// Held while the store is asked to keep it.
    said: Mutex<Said>,
    times: Mutex<Times>,
    /// Somebody renews it.
    renewing: AtomicBool,
}

/// When a claim was stored.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// When it was last begun to store it.
    tried: Moment,
    /// When it was last begun to store what is stored, and counts; nothing when the lease is over.
    renewed: Option<Moment>,
    /// When it could not be regained.
    failed: Option<Moment>,
    /// That of the claim which is live.
    nonce: Uuid,
    /// Nothing is written by it any more.
    given_up: bool,
}

/// By a clock that stops while the machine sleeps, and one that may be set.
#[derive(Clone, Copy, Debug)]
struct Moment(Instant, SystemTime);

impl Moment {
    fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn elapsed(&self) -> Duration {
        let by_clock = self.1.elapsed().unwrap_or_default();
        self.0.elapsed().max(by_clock)
    }
}

/// A renewal that is to be made; the next may be when this is gone, made or not.
#[derive(Debug)]
pub(crate) struct Renewal(Arc<Claim>);

impl Renewal {
    pub(crate) fn make(self) {
        self.0.renew();
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.renewing.store(false, Ordering::Release);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.give_up();
    }
}

fn name(epoch: u64) -> String {
    format!("epochs/{epoch:020}.json")
}

fn epoch_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

impl Claim {
    /// Claims an epoch above all that there were, and at least `least`, unless another writer holds
    /// the graph.
    pub(crate) fn take(bucket: &Bucket, lease: Duration, least: u64) -> Result<Self, ClaimError> {
        let (newest, said) = newest(bucket)?.unzip();
        if let Some(Some(said)) = said
            && said.holds()
        {
            return Err(ClaimError::Held(said.holder));
        }
        let epoch = newest
            .map_or(1, |newest| newest.saturating_add(1))
            .max(least);
        let begun = Moment::now();
        let said = Said::new(epoch, lease);
        let nonce = said.nonce;
        let claim = Self {
            bucket: bucket.clone(),
            lease,
            said: Mutex::new(said),
            times: Mutex::new(Times {
                tried: begun,
                renewed: Some(begun),
                failed: None,
                nonce,
                given_up: false,
            }),
            renewing: AtomicBool::new(false),
        };
        let said = claim.said().clone();
        claim.store(&said)?;
        claim.try_store(&said)?;
        Ok(claim)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the claim, if the epoch is free.
    fn store(&self, said: &Said) -> Result<(), ClaimError> {
        let name = name(said.epoch);
        let bytes = said.bytes();
        let mut attempt = 0;
        loop {
            let put = self.bucket.put_new(&name, bytes.clone().into());
            match &put {
                Ok(PutNew::Stored) => return Ok(()),
                Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                    return Err(ClaimError::Unconditional);
                }
                Ok(PutNew::Exists) | Err(_) => {}
            }
            // The answer to an earlier attempt may have been lost.
            match read(&self.bucket, said.epoch)? {
                Some(found) if found.nonce == said.nonce => return Ok(()),
                Some(other) => return Err(ClaimError::Held(other.holder)),
                None => {}
            }
            attempt += 1;
            match put {
                Err(error) if attempt == ATTEMPTS => {
                    return Err(self.bucket.error("store", &name, error).into());
                }
                _ if attempt == ATTEMPTS => return Err(self.bucket.missing("read", &name).into()),
                _ => self.bucket.wait(WAIT),
            }
        }
    }

    /// Tries whether the store keeps to what everything here rests on: a name that is taken is not
    /// given away again.
    fn try_store(&self, said: &Said) -> Result<(), ClaimError> {
        let name = name(said.epoch);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.bucket.put_new(&name, said.bytes().into()) {
                Ok(PutNew::Exists) => return Ok(()),
                Ok(PutNew::Stored)
                | Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                    return Err(ClaimError::Unconditional);
                }
                Err(error) => last = Some(error),
            }
            self.bucket.wait(WAIT);
        }
        let error = last.map(|error| self.bucket.error("store", &name, error));
        Err(error
            .unwrap_or_else(|| self.bucket.missing("store", &name))
            .into())
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.said().epoch
    }

    /// Whether nobody else can have written yet, as long as clocks differ by less than a third of the
    /// lease.
    pub(crate) fn is_valid(&self) -> bool {
        let renewed = self.times().renewed;
        renewed.is_some_and(|renewed| renewed.elapsed() < self.lease / 3 * 2)
    }

    /// What is to be done when it is time to say again that this writer is at work, unless somebody does.
    pub(crate) fn renewal(self: &Arc<Self>) -> Option<Renewal> {
        let due = self.times().tried.elapsed() >= self.lease / 3;
        let mine = due && !self.renewing.swap(true, Ordering::AcqRel);
        mine.then(|| Renewal(self.clone()))
    }

    /// Says again that this writer is at work. It does no harm when it fails, or comes late: others
    /// take over then, and this one does not count on it.
    fn renew(&self) {
        let begun = Moment::now();
        let mut said = self.said();
        {
            let mut times = self.times();
            if times.given_up {
                return;
            }
            times.tried = begun;
        }
        said.renewed_micros = clock::now_micros();
        let stored = self.say(&said);
        if stored && self.is_valid() {
            self.times().renewed = Some(begun);
        }
    }

    /// Claims the next epoch as well, after the lease was over. [`ClaimError::Held`] when another has
    /// it. The lease counts once `confirm` has found that nobody has come and gone in between.
    pub(crate) fn regain<E: From<ClaimError>>(
        &self,
        confirm: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut said = self.said();
        if said.released || self.is_valid() {
            // It is closed, or another has done it meanwhile.
            return Ok(());
        }
        let Times {
            failed, given_up, ..
        } = *self.times();
        if given_up {
            return Err(ClaimError::Held(said.holder.clone()).into());
        }
        if failed.is_some_and(|failed| failed.elapsed() < self.lease / PAUSES) {
            return Err(self.did_not_answer(&said).into());
        }
        let begun = Moment::now();
        let next = Said::new(said.epoch.saturating_add(1), self.lease);
        if let Err(error) = self.store(&next) {
            next.forget();
            self.times().failed = Some(Moment::now());
            return Err(error.into());
        }
        let before = std::mem::replace(&mut *said, next);
        before.forget();
        self.times().nonce = said.nonce;
        if let Err(error) = confirm() {
            self.times().failed = Some(Moment::now());
            return Err(error);
        }
        let mut times = self.times();
        match times.given_up {
            true => said.forget(),
            false => {
                (times.tried, times.renewed, times.failed) = (begun, Some(begun), None);
            }
        }
        drop((times, said));
        self.forget_others();
        Ok(())
    }

    /// What those are told who waited while another found no answer: asking takes its time.
    fn did_not_answer(&self, said: &Said) -> ClaimError {
        let error = Error::Generic {
            store: "object store",
            source: "it did not answer a moment ago".into(),
        };
        self.bucket.error("store", &name(said.epoch), error).into()
    }

    /// Says that nothing is written by it any more, as when its process had ended. Does not block.
    pub(crate) fn give_up(&self) {
        let mut times = self.times();
        (times.renewed, times.given_up) = (None, true);
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        live.remove(&times.nonce);
    }

    /// Lets others take over at once.
    pub(crate) fn release(&self) {
        self.times().renewed = None;
        let mut said = self.said();
        said.released = true;
        self.say(&said);
    }

    fn say(&self, said: &Said) -> bool {
        let stored = self.bucket.put(&name(said.epoch), said.bytes().into());
        if let Err(error) = &stored {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "the lease on a graph was not renewed");
        }
        stored.is_ok()
    }

    /// Removes what earlier writers said. None of them can write any more, once the log has this
    /// epoch.
    pub(crate) fn forget_others(&self) {
        let own = self.epoch();
        let epochs = self.bucket.list("epochs").unwrap_or_default();
        let earlier = epochs.iter().filter_map(|it| epoch_of(&it.name));
        for epoch in earlier.filter(|epoch| *epoch < own) {
            if let Err(error) = self.bucket.delete(&name(epoch)) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what an earlier writer said stays");
                return;
            }
        }
    }
}

/// Who holds the graph for writing, as far as that can be told.
pub(crate) fn holder(bucket: &Bucket) -> Result<Option<Holder>, FileError> {
    let said = newest(bucket)?.and_then(|(_, said)| said);
    Ok(said.filter(Said::holds).map(|said| said.holder))
}

/// The newest epoch that was claimed, and what its writer says.
fn newest(bucket: &Bucket) -> Result<Option<(u64, Option<Said>)>, FileError> {
    let epochs = bucket.list("epochs")?;
    match epochs.iter().filter_map(|it| epoch_of(&it.name)).max() {
        Some(newest) => Ok(Some((newest, read(bucket, newest)?))),
        None => Ok(None),
    }
}

/// What the writer of an epoch says; `None` also when it cannot be understood, for then it holds
/// nobody off.
fn read(bucket: &Bucket, epoch: u64) -> Result<Option<Said>, FileError> {
    let name = name(epoch);
    let found = bucket
        .find(&name)
        .map_err(|error| bucket.error("read", &name, error))?;
    Ok(found.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
