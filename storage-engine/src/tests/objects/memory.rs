//! An object store, in memory or another, that loses answers, cannot be reached, holds back what it is
//! asked to do, and notes what is deleted.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What becomes of a put that needs a free name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Stored; the answer is lost.
    Unanswered,
    /// Lost on the way.
    Lost,
    /// The store says no.
    Refused,
}

#[derive(Debug, Default)]
struct Faults {
    /// Every so many-th put loses its answer, or is lost; 0: none.
    every: AtomicUsize,
    puts: AtomicUsize,
    /// Of the coming puts below `log/`, the last first.
    fates: Mutex<Vec<Fate>>,
    /// Puts of names with this in them wait.
    held: Mutex<Option<String>>,
    /// New ones do not wait.
    passing: AtomicBool,
    waiting: AtomicUsize,
    /// The store takes no notice of `PutMode::Create`.
    careless: AtomicBool,
    deleted: Mutex<Vec<String>>,
    /// Deletions of names with this in them wait, too.
    kept: Mutex<Option<String>>,
    /// Reads that fail.
    unreachable: Mutex<Option<Cut>>,
    /// How many have.
    refused: AtomicUsize,
    /// Reads of names with this in them wait.
    unread: Mutex<Option<String>>,
    /// So many more changes are made, and no others.
    changes: Mutex<Option<usize>>,
}

/// Reads of names with this in them fail, so often, after so many that do not.
#[derive(Debug)]
struct Cut {
    part: String,
    after: usize,
    times: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Memory {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }
}

/// What is asked for by a listing: a folder.
fn listed(prefix: Option<&Path>) -> String {
    format!("{}/", prefix.map_or("", Path::as_ref))
}

fn lost() -> Error {
    Error::Generic {
        store: "away",
        source: "timed out".into(),
    }
}

fn refused(location: &Path) -> Error {
    Error::PermissionDenied {
        path: location.to_string(),
        source: "no".into(),
    }
}

impl Memory {
    /// What another store has, through faults.
    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            faults: Arc::default(),
        }
    }

    /// Nothing can be read whose name has this in it, for so many times.
    pub(crate) fn cut(&self, part: &str, times: usize) {
        self.cut_after(part, 0, times);
    }

    /// As [`Memory::cut`], after so many more.
    pub(crate) fn cut_after(&self, part: &str, after: usize, times: usize) {
        let part = part.to_owned();
        let cut = Cut { part, after, times };
        *self.faults.unreachable.lock().expect("sound") = Some(cut);
    }

    pub(crate) fn mend(&self) {
        *self.faults.unreachable.lock().expect("sound") = None;
    }

    fn reach(&self, location: &str) -> Result<()> {
        let mut unreachable = self.faults.unreachable.lock().expect("sound");
        match &mut *unreachable {
            Some(cut) if cut.times > 0 && location.contains(&cut.part) => {
                if let Some(after) = cut.after.checked_sub(1) {
                    cut.after = after;
                    return Ok(());
                }
                cut.times -= 1;
                self.faults.refused.fetch_add(1, Ordering::AcqRel);
                Err(lost())
            }
            _ => Ok(()),
        }
    }

    /// How many reads have failed.
    pub(crate) fn refused(&self) -> usize {
        self.faults.refused.load(Ordering::Acquire)
    }

    /// Deletions wait.
    pub(crate) fn hold_deletions(&self, part: &str) {
        *self.faults.kept.lock().expect("sound") = Some(part.to_owned());
    }

    /// They go on.
    pub(crate) fn release_deletions(&self) {
        *self.faults.kept.lock().expect("sound") = None;
    }

    /// Reads wait.
    pub(crate) fn hold_reads(&self, part: &str) {
        *self.faults.unread.lock().expect("sound") = Some(part.to_owned());
    }

    /// They go on.
    pub(crate) fn release_reads(&self) {
        *self.faults.unread.lock().expect("sound") = None;
    }

    /// Waits while the part that is held is in a name.
    async fn wait_for(&self, held: &Mutex<Option<String>>, location: &Path) {
        let held = || {
            let held = held.lock().expect("sound");
            let part = held.as_deref();
            part.is_some_and(|part| location.as_ref().contains(part))
        };
        if !held() {
            return;
        }
        self.faults.waiting.fetch_add(1, Ordering::AcqRel);
        while held() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.faults.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn lose_every(&self, count: usize) {
        self.faults.every.store(count, Ordering::Release);
    }

    pub(crate) fn fates(&self, fates: &[Fate]) {
        let fates = fates.iter().rev().copied().collect();
        *self.faults.fates.lock().expect("sound") = fates;
    }

    pub(crate) fn hold(&self, part: &str) {
        *self.faults.held.lock().expect("sound") = Some(part.to_owned());
    }

    pub(crate) fn release(&self) {
        *self.faults.held.lock().expect("sound") = None;
    }

    /// From now on only those wait that wait already.
    pub(crate) fn let_others_pass(&self) {
        self.faults.passing.store(true, Ordering::Release);
    }

    pub(crate) fn until_someone_waits(&self) {
        while self.faults.waiting.load(Ordering::Acquire) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn be_careless(&self) {
        self.faults.careless.store(true, Ordering::Release);
    }

    /// Makes so many more changes, as a process does that is killed then.
    pub(crate) fn stop_after(&self, changes: usize) {
        *self.faults.changes.lock().expect("sound") = Some(changes);
    }

    /// Makes them all again.
    pub(crate) fn go_on(&self) {
        *self.faults.changes.lock().expect("sound") = None;
    }

    fn change(&self, location: &Path) -> Result<()> {
        let mut changes = self.faults.changes.lock().expect("sound");
        let left = changes.as_ref().map(|left| left.checked_sub(1));
        match left {
            Some(None) => Err(refused(location)),
            Some(left) => {
                *changes = left;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What was deleted since this was asked.
    pub(crate) fn deleted(&self) -> Vec<String> {
        std::mem::take(&mut self.faults.deleted.lock().expect("sound"))
    }

    fn fate(&self, location: &Path) -> Option<Fate> {
        if location.as_ref().contains("/log/")
            && let Some(fate) = self.faults.fates.lock().expect("sound").pop()
        {
            return Some(fate);
        }
        if location.as_ref().contains("/tables/") {
            // A fold fails then, and tries again later: that is Lance's and the fold's to show.
            return None;
        }
        let every = self.faults.every.load(Ordering::Acquire);
        let number = self.faults.puts.fetch_add(1, Ordering::AcqRel);
        if every == 0 || number % every != every - 1 {
            return None;
        }
        match number / every % 2 {
            0 => Some(Fate::Unanswered),
            _ => Some(Fate::Lost),
        }
    }

    async fn wait(&self, location: &Path) {
        if !self.faults.passing.load(Ordering::Acquire) {
            self.wait_for(&self.faults.held, location).await;
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

// What `#[async_trait]` would write.
impl ObjectStore for Memory {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Answer<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.wait(location).await;
            let create = options.mode == PutMode::Create;
            let fate = create.then(|| self.fate(location)).flatten();
            match fate {
                Some(Fate::Lost) => return Err(lost()),
                Some(Fate::Refused) => return Err(refused(location)),
                Some(Fate::Unanswered) | None => {}
            }
            self.change(location)?;
            if self.faults.careless.load(Ordering::Acquire) {
                options.mode = PutMode::Overwrite;
            }
            let put = self.inner.put_opts(location, payload, options).await;
            match fate {
                Some(Fate::Unanswered) => Err(lost()),
                _ => put,
            }
        })
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        options: PutMultipartOptions,
    ) -> Answer<'c, Box<dyn MultipartUpload>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.wait(location).await;
            self.change(location)?;
            self.inner.put_multipart_opts(location, options).await
        })
    }

    fn get_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        options: GetOptions,
    ) -> Answer<'c, GetResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.wait_for(&self.faults.unread, location).await;
            self.reach(location.as_ref())?;
            self.inner.get_opts(location, options).await
        })
    }

    fn get_ranges<'a, 'b, 'c, 'd>(
        &'a self,
        location: &'b Path,
        ranges: &'c [Range<u64>],
    ) -> Answer<'d, Vec<Bytes>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        Box::pin(async move {
            self.reach(location.as_ref())?;
            self.inner.get_ranges(location, ranges).await
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let noted = locations.then(move |location| {
            let this = this.clone();
            async move {
                let location = location?;
                this.change(&location)?;
                this.wait_for(&this.faults.kept, &location).await;
                let mut deleted = this.faults.deleted.lock().expect("sound");
                deleted.push(location.to_string());
                Ok(location)
            }
        });
        self.inner.delete_stream(noted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.reach(&listed(prefix)) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.reach(&listed(prefix)) {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b Path>) -> Answer<'c, ListResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.reach(&listed(prefix))?;
            self.inner.list_with_delimiter(prefix).await
        })
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> Answer<'d, ()>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        match self.change(to) {
            Ok(()) => self.inner.copy_opts(from, to, options),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}
