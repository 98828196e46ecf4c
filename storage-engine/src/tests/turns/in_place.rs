//! Writes that the caller's own thread carries out.

use std::sync::mpsc::sync_channel;
use std::thread::ThreadId;

use tokio::runtime::Builder;

use super::*;

/// Which thread asked for a write, and which carried it out, after `before`.
async fn threads(
    fixture: &Fixture,
    email: &str,
    before: impl FnOnce() + Send + 'static,
) -> (ThreadId, ThreadId) {
    let noted = Arc::default();
    let note = fixture.noting(email.to_owned(), &noted);
    let asking = std::thread::current().id();
    let work = Work::inside(move |transaction: &mut Transaction| {
        before();
        note(transaction)?;
        Ok::<_, WriteError>(std::thread::current().id())
    });
    let request = WriteRequest {
        in_place: true,
        ..WriteRequest::by("test")
    };
    let written = fixture.graph().submit(request, work).await;
    (asking, written.expect("written").value)
}

#[test]
fn nobody_waits_for_a_thread_that_carries_out_a_write() {
    let fixture = Arc::new(Fixture::new());
    let one_thread = Builder::new_multi_thread().worker_threads(1).build();
    let one_thread = one_thread.expect("a runtime");
    let (go, gone) = sync_channel::<()>(1);
    let (begin, begun) = sync_channel::<()>(1);
    let writing = one_thread.spawn({
        let fixture = fixture.clone();
        async move {
            // Until another task of the runtime has run.
            let before = move || {
                begin.send(()).expect("heard");
                let waited = gone.recv_timeout(Duration::from_secs(30));
                waited.expect("another task runs meanwhile");
            };
            threads(&fixture, "ann", before).await
        }
    });
    begun.recv_timeout(Duration::from_secs(30)).expect("begun");
    let queued = one_thread.spawn({
        let fixture = fixture.clone();
        async move {
            let meanwhile = threads(&fixture, "bob", || ());
            // It is in its line before the first goes on.
            let go = async { go.send(()).expect("heard") };
            futures::join!(meanwhile, go).0
        }
    });
    let (asking, writing) = one_thread.block_on(writing).expect("no panic");
    assert_eq!(asking, writing, "it was carried out where it was asked for");
    let (asking, writing) = one_thread.block_on(queued).expect("no panic");
    assert_ne!(asking, writing, "it was left to whoever leads next");
    assert_eq!(fixture.persons(), 2);
}

#[test]
fn where_nobody_would_take_over_another_thread_carries_it_out() {
    let fixture = Fixture::new();
    let alone = Builder::new_current_thread().build().expect("a runtime");
    let (asking, writing) = alone.block_on(threads(&fixture, "ann", || ()));
    assert_ne!(asking, writing);
    assert_eq!(fixture.persons(), 1);
}
