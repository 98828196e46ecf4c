//! Which threads give way to others.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::task::{Context, Poll};

use futures::task::ArcWake;

use super::*;
use crate::aside;

/// Tells whether the thread that wakes it gives way.
struct Woken(SyncSender<bool>);

impl ArcWake for Woken {
    fn wake_by_ref(woken: &Arc<Self>) {
        // Nobody hears it any more when the write is done.
        let _ = woken.0.send(aside::gives_way());
    }
}

#[test]
fn what_runs_beside_the_committer_gives_way_and_who_commits_it_does_not() {
    let fixture = Fixture::new();
    let runtime = runtime();
    let _entered = runtime.enter();
    let runs = Arc::default();
    let note = fixture.note(|_| "long".to_owned());
    let work = long(
        &[fixture.type_id("Note")],
        MS(30),
        &runs,
        move |transaction| note(transaction).map(|_| aside::gives_way()),
    );
    let (woken, waking) = sync_channel(16);
    let waker = futures::task::waker(Arc::new(Woken(woken)));
    let mut context = Context::from_waker(&waker);
    let graph = fixture.graph();
    let mut writing = Box::pin(graph.submit(WriteRequest::by("ann"), work));
    let written = loop {
        match writing.as_mut().poll(&mut context) {
            Poll::Ready(written) => break written.expect("written"),
            Poll::Pending => {
                let gives_way = waking.recv_timeout(Duration::from_secs(30)).expect("woken");
                assert!(!gives_way, "whoever leads");
            }
        }
    };
    assert!(written.value, "its last run");
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

#[test]
fn a_statement_gives_way_where_it_should() {
    let fixture = Fixture::new();
    let snapshot = fixture.graph().snapshot();
    let text = "UNWIND range(1, 20000) AS x WITH x WHERE x < 0 RETURN x";
    let plan = cypher::compile(text, snapshot.schema()).expect("valid");
    let run = || {
        let (limits, set) = (Limits::default(), Parameters::default());
        let mut none = |_: &[Value]| ControlFlow::Continue(());
        let before = aside::gave_way();
        executor::read(&plan, &set, &snapshot, &limits, &mut none).expect("runs");
        aside::gave_way() - before
    };
    assert_eq!(run(), 0);
    assert!(aside::politely(run) > 5);
    assert!(!aside::gives_way());
}
